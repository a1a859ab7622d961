# SPDX-License-Identifier: MIT
"""The bare guest moves under KVM (under TCG where there is none): every policy, and mishaps."""

import json
import mmap
import os
import signal
import subprocess
import time
import unittest

from rig import (BUILD, PAGE, STAYED, Rig, alive, eventually, kill, main, tracer, userfaultfds,
                 why_not)
from lab import bare, guest
from lab.lab import qmp

ACCEL = bare.accelerator()
MEMORY = 64 << 20
WORKLOAD = {"ws": "2M", "hot": "512K", "rate": 2000, "sweep": 4000}
# Slow enough for a second pass to find something, and for faults to come before their pages.
LINK = "200mbit"


class Case(unittest.TestCase):
    def prepare(self, ram="", **faults):
        self.rig = Rig(self)
        if ram:
            self.mount(ram)
        for host in (self.rig.a, self.rig.b):
            host.serve(more=("--images", BUILD), **faults)
        self.here, self.there = self.rig.a, self.rig.b

    def mount(self, options):
        """Memory files on a tmpfs of our own."""
        for host in (self.rig.a, self.rig.b):
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=256M,{options}", "gw-test",
                            host.ram_dir], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", host.ram_dir], check=False)
        self.addCleanup(self.rig.close)  # before they are unmounted

    def boot(self, more=(), cpus=2, **options):
        done = self.here.run("run", "vm", "--", *bare.arguments(
            os.path.join(BUILD, "guest", "bare", "bare-guest"), accel=ACCEL, cpus=cpus,
            options={**WORKLOAD, **options}), *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(eventually(lambda: self.status().up), self.rig.story())

    def ram(self, host=None):
        host = host or self.here
        name, = host.ram_files()
        return os.path.join(host.ram_dir, name)

    def status(self):
        return bare.status(self.ram())

    def control(self):
        return os.path.join(self.here.dir, "vm", "qmp.sock")

    def is_well(self, boots=1):
        """Each vCPU has since compared all of its memory, its timers go, and nothing is wrong."""
        before = self.status()

        def goes_on():
            now = self.status()
            return (now.error or now.pit_ticks > before.pit_ticks and
                    all(cpu.rounds > then.rounds + 1 and cpu.written > then.written
                        for cpu, then in zip(now.cpus, before.cpus)))
        self.assertTrue(eventually(goes_on), f"{vars(self.status())} {self.rig.story()}")
        now = self.status()
        self.assertEqual((now.errors, now.error, now.boots), (0, None, boots), self.rig.story())
        return now

    def move(self, **options):
        pid, = self.here.guests()
        return self.here.migrate("vm", self.there, verify=True, **options), pid

    def arrives(self, move, pid):
        result = move.completes()
        self.assertEqual(result["verified"], {"pages_compared": MEMORY // PAGE,
                                              "pages_different": 0})
        self.assertTrue(self.here.is_clean(), f"{self.here.left()} {self.rig.story()}")
        self.assertTrue(self.there.no_open_question(), self.there.left())
        self.assertFalse(alive(pid))
        there, = self.there.guests()
        self.assertEqual(userfaultfds(there), 0)
        self.assertEqual(tracer(there), 0)
        self.here, self.there = self.there, self.here
        return result


class Moves(Case):
    """One guest with two vCPUs, booted once."""

    def test_everything_that_may_happen_on_the_way(self):
        self.prepare()
        self.boot()
        for step in (self.every_policy, self.auto_chooses, self.it_is_recorded,
                     self.an_abort_leaves_it, self.it_resets, self.mishaps,
                     self.it_notices_an_old_page):
            with self.subTest(step=step.__name__):
                began = time.monotonic()
                step()
                print(f"{step.__name__}: {time.monotonic() - began:.1f} s", flush=True)

    def every_policy(self):
        """There, back, and so on: what was on before the move goes on after it."""
        on = self.status().kvm
        self.assertEqual(bool(on), ACCEL == "kvm")
        for policy, tracker in (("stop-copy", None), ("precopy", "pagemap"),
                                ("precopy", "digest"), ("postcopy", None), ("hybrid", "pagemap"),
                                ("hybrid", "digest"), ("deferred", "pagemap"), ("split", None),
                                ("sdf-hybrid", None), ("wws-hybrid", None), ("run-ahead", None)):
            with self.subTest(policy=policy, tracker=tracker):
                observe = "500ms" if policy in ("split", "sdf-hybrid", "wws-hybrid") else None
                result = self.arrives(*self.move(policy=policy, tracker=tracker, observe=observe,
                                                 bandwidth=LINK))
                if tracker:
                    self.assertEqual(result["tracker"], tracker)
                if policy == "run-ahead":
                    self.assertTrue(result["shadow"]["ran"], self.rig.story())
                    self.assertGreater(result["shadow"]["touched_pages"], 0)
                self.assertEqual(self.is_well().kvm, on)

    def auto_chooses(self):
        said = self.here.run("estimate", "vm", "--for", "500ms", "--link", LINK, "--quiet",
                             "--json", "-")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("policy", json.loads(said.stdout)["recommendation"])
        result = self.arrives(*self.move(policy="auto", observe="500ms", link=LINK))
        self.assertIn("take " + result["chosen"]["policy"], result["chosen"]["reason"])
        self.is_well()

    def it_is_recorded(self):
        trace = os.path.join(self.rig.dir, "vm.trace")
        done = self.here.run("record", "vm", "-o", trace, "--for", "1s", "--reads", "3",
                             "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = json.loads(done.stdout)
        self.assertEqual(shown["tracker"], "pagemap")
        self.assertGreater(shown["written_pages"]["set"], 64)
        self.assertGreater(shown["cpu_share"], 0)
        self.assertGreater(shown["read_pages"]["median"], 0)
        pid, = self.here.guests()
        self.assertEqual((userfaultfds(pid), tracer(pid)), (0, 0))
        self.is_well()

    def an_abort_leaves_it(self):
        for policy, line in (("precopy", "first pass over"),
                             ("stop-copy", "pages are left at the switch")):
            with self.subTest(policy=policy):
                move, pid = self.move(policy=policy, bandwidth="15mbit")
                self.assertTrue(move.reached(line), self.rig.story())
                os.kill(move.pid, signal.SIGINT)
                self.assertIn("stopped by the user", move.fails())
                self.assertEqual(move.outcome(), STAYED)
                self.assertEqual(self.here.guests(), [pid])
                self.assertTrue(self.there.is_clean(), self.there.left())
                self.assertEqual(userfaultfds(pid), 0)
                self.is_well()

    def it_resets(self):
        move, pid = self.move(policy="precopy", bandwidth=LINK)
        self.arrives(move, pid)
        qmp(self.control(), "system_reset")
        self.assertTrue(eventually(lambda: self.status().boots == 2), vars(self.status()))
        self.assertTrue(eventually(lambda: self.status().up), self.rig.story())
        self.is_well(boots=2)

    def mishaps(self):
        """The kinds of them, once each; the native guest goes through all."""
        for victim, point, moves in (("source agent", "after-handing-over", False),
                                     ("session", "after-prepared", False),
                                     ("session", "after-mine", True),
                                     ("source agent", "after-gone", True)):
            with self.subTest(victim=victim, point=point):
                self.one_kill(victim, point, moves)

    def one_kill(self, victim, point, moves):
        self.there.stop_agent()
        at_source = victim == "source agent"
        self.there.serve(fault=None if at_source else point, more=("--images", BUILD))
        move, pid = self.move(policy="postcopy", fault=point if at_source else None)
        if at_source:
            self.assertTrue(move.held(), self.rig.story())
            kill(move.pid)
        else:
            self.assertTrue(self.there.held_session(), self.rig.story())
            for session in self.there.sessions():
                kill(session)
        move.wait()
        while self.here.journals():
            again = self.here.recover("vm", self.there)
            again.wait()
            self.assertEqual(again.process.returncode, 0, f"{again.said} {self.rig.story()}")
        self.assertEqual(pid not in self.here.guests(), moves, self.rig.story())
        if moves:
            self.here, self.there = self.there, self.here
        self.assertTrue(self.there.is_clean(), f"{self.there.left()} {self.rig.story()}")
        self.assertTrue(self.here.whole(), self.here.left())
        self.assertTrue(eventually(
            lambda: qmp(self.control(), "query-status")["status"] == "running"), self.rig.story())
        self.is_well(boots=2)

    def it_notices_an_old_page(self):
        """Else it would be no judge. Seldom it writes that page anew before it looks: once more."""
        page = 255  # not of those that are mostly written
        self.assertTrue(any(self.goes_back(page) for _ in range(5)))
        self.assertIn(f"a page is wrong: page {page} ", self.status().error)

    def goes_back(self, page):
        at = 0x800000 + page * PAGE
        with open(self.ram(), "r+b") as file, mmap.mmap(file.fileno(), MEMORY) as memory:
            old = memory[at:at + PAGE]
            self.assertTrue(eventually(lambda: memory[at:at + PAGE] != old))
            qmp(self.control(), "stop")
            memory[at:at + PAGE] = old
            qmp(self.control(), "cont")
        return eventually(lambda: self.status().errors > 0, patience=5)


class CommandLines(Case):
    """What users tell QEMU that changes what KVM does, or where the memory lies."""

    def test_what_the_guest_sees_and_what_it_does_not(self):
        """Its processor and interrupt controller stay as they are; memory is not locked there."""
        self.prepare()
        under_kvm = ["-cpu", "host", "-machine", "kernel-irqchip=split"]
        self.boot(more=[*(under_kvm if ACCEL == "kvm" else ["-cpu", "max"]),
                        "-overcommit", "mem-lock=on"], cpus=1)
        for policy in ("precopy", "hybrid", "postcopy"):
            self.arrives(*self.move(policy=policy, bandwidth=LINK))
            self.is_well()

    def test_a_destination_that_lacks_something(self):
        """Its QEMU would load the state, and the guest would miss it later."""
        self.prepare()
        self.boot(more=("-cpu", "qemu64"), cpus=1)
        less = os.path.join(self.rig.dir, "qemu")
        with open(less, "w", encoding="ascii") as file:
            file.write(f'#!/bin/bash\nexec {guest.QEMU} "${{@/qemu64/qemu64,-cx16}}"\n')
        os.chmod(less, 0o755)
        self.there.stop_agent()
        self.there.serve(more=("--images", BUILD, "--qemu", less))
        self.stays("features that the destination's lacks (CPUID 1, ECX: 2000)")
        if ACCEL == "kvm":
            self.there.stop_agent()
            self.there.within = ["unshare", "-m", "sh", "-c",
                                 'mount --bind /dev/null /dev/kvm && exec "$@"', "sh"]
            self.there.serve(more=("--images", BUILD))
            self.stays("runs under KVM, which the destination does not offer")

    def stays(self, why):
        move, pid = self.move(policy="precopy")
        self.assertIn(why, move.fails())
        self.assertEqual(self.here.guests(), [pid])
        self.assertTrue(self.there.is_clean(), self.there.left())
        self.is_well()

    def test_memory_in_huge_pages(self):
        """A page that came before the switch must not bring its neighbours, as zeros."""
        self.prepare(ram="huge=always")
        self.boot(cpus=1)
        for policy in ("split", "sdf-hybrid", "split"):
            self.arrives(*self.move(policy=policy, bandwidth=LINK, observe="500ms"))
            self.is_well()


if __name__ == "__main__":
    print(f"accelerator: {ACCEL}", flush=True)
    main(guest.why_no_qemu() or why_not())
