# SPDX-License-Identifier: MIT
"""A real Linux under a real QEMU moves there and back, whatever it does meanwhile."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest

from rig import (ENDED, GODWIT, STAYED, Rig, alive, eventually, kill, main, state_of, tracer,
                 userfaultfds, why_not)
from lab import guest
from lab.client import wait_for_guest
from lab.lab import LabError, free_port, qmp

MEMORY = 160 << 20
PAGES = MEMORY // 4096
NETWORK = "user,id=net0,net=10.77.0.0/24,host=10.77.0.1"
BALLOON = ["-device", "virtio-balloon-pci,id=balloon0"]
SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]


class Case(unittest.TestCase):
    def prepare(self):
        self.rig = Rig(self)
        self.rig.a.serve()
        self.rig.b.serve()
        self.here, self.there = self.rig.a, self.rig.b
        self.client = None
        self.addCleanup(lambda: self.client and self.client.close())

    def arguments(self, disk=False, ram_path=None, **options):
        image = None
        if disk:
            image = os.path.join(self.rig.dir, "disk.raw")
            with open(image, "wb") as file:
                file.truncate(16 << 20)
        return guest.arguments(guest.build(), netdev=NETWORK, memory="160M", disk=image,
                               ram_path=ram_path,
                               options={"ws": "8M", "alloc": "16M", "rate": 1000, "sweep": 4000,
                                        **options})

    def boot(self, more=(), **options):
        done = self.here.run("run", "vm", "--", *self.arguments(**options), *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.connect()

    def control(self, host=None):
        return os.path.join((host or self.here).dir, "vm", "qmp.sock")

    def connect(self, control=None):
        """A client of the guest where it is now: its network is QEMU's own, so it connects anew."""
        if self.client:
            self.client.close()
        port = free_port()
        qmp(control or self.control(), "human-monitor-command",
            **{"command-line": f"hostfwd_add net0 tcp:127.0.0.1:{port}-10.77.0.2:7070"})
        self.client = wait_for_guest("127.0.0.1", port)
        return self.client

    def is_well(self, rounds=1):
        """The guest has compared all its memory anew and found nothing wrong."""
        target = self.client.command("ping", 60)["rounds"] + rounds
        self.assertTrue(eventually(lambda: self.client.command("ping", 60)["rounds"] >= target))
        answer = self.client.command("ping", 60)
        self.assertEqual(answer["errors"], 0, self.rig.story())
        self.assertEqual(answer["disk_errors"], 0, self.rig.story())
        return answer

    def swap(self):
        self.here, self.there = self.there, self.here

    def nothing_left(self, pid):
        """At the side that it has left, and in the QEMU that runs it now."""
        self.assertTrue(self.here.is_clean(), f"{self.here.left()} {self.rig.story()}")
        self.assertTrue(self.there.no_open_question(), self.there.left())
        self.assertFalse(alive(pid))
        there, = self.there.guests()
        self.assertEqual(userfaultfds(there), 0)
        self.assertEqual(tracer(there), 0)

    def move(self, **options):
        pid, = self.here.guests()
        move = self.here.migrate("vm", self.there, verify=True, **options)
        return move, pid

    def arrives(self, move, pid):
        result = move.completes()
        self.assertEqual(result["verified"], {"pages_compared": PAGES, "pages_different": 0})
        self.nothing_left(pid)
        self.swap()
        return result

    def status(self, host=None):
        return qmp(self.control(host), "query-status")["status"]


class Moves(Case):
    """One guest, booted once: with a disk under direct I/O, a balloon, and seccomp."""

    def test_everything_that_may_happen_on_the_way(self):
        self.prepare()
        self.boot(disk=True, more=[*BALLOON, *SANDBOX])
        self.client.command("disk 8")
        self.assertTrue(eventually(lambda: self.client.command("ping", 60)["disk_ops"] > 0))
        for step in (self.every_policy, self.auto_chooses, self.a_balloon_inflates,
                     self.a_paused_one_stays_paused, self.it_resets, self.an_abort_leaves_it,
                     self.an_abort_while_it_stands, self.it_powers_off):
            with self.subTest(step=step.__name__):
                step()

    def every_policy(self):
        """There, back, and so on."""
        for policy, tracker in (("stop-copy", None), ("precopy", "pagemap"),
                                ("precopy", "digest"), ("postcopy", None), ("hybrid", "pagemap")):
            with self.subTest(policy=policy, tracker=tracker):
                before = self.client.command("ping", 60)
                moved = self.move(policy=policy, tracker=tracker)
                result = self.arrives(*moved)
                self.assertEqual(result.get("tracker"), tracker)
                if policy in ("postcopy", "hybrid"):  # its last word comes back while pages are pulled
                    self.assertTrue(moved[0].reached("the device state is saved"), self.rig.story())
                self.assertEqual(result["vm"]["ram_bytes"], MEMORY)
                self.connect()
                after = self.is_well()
                self.assertGreater(after["ops"], before["ops"])
                self.assertGreater(after["disk_ops"], before["disk_ops"])

    def auto_chooses(self):
        said = self.here.run("estimate", "vm", "--for", "1s", "--link", "1gbit", "--quiet", "--json", "-")
        self.assertEqual(said.returncode, 0, said.stderr)
        told = json.loads(said.stdout)
        self.assertEqual(told["vm"]["ram_bytes"], MEMORY)
        self.assertIn("policy", told["recommendation"])
        self.is_well()
        refused, _pid = self.move(policy="auto", observe="1s", link="1gbit", deadline="10ms")
        self.assertIn("no policy ends within", refused.fails())
        self.is_well()
        result = self.arrives(*self.move(policy="auto", observe="1s", link="1gbit"))
        self.assertEqual(result["policy"], "auto")
        self.assertIn("take " + result["chosen"]["policy"], result["chosen"]["reason"])
        self.assertIn("total_time_ns", result["announced"])
        self.connect()
        self.is_well()

    def a_balloon_inflates(self):
        """What the guest gives back mid-move are holes at the destination too."""
        for policy in ("precopy", "hybrid"):
            with self.subTest(policy=policy):
                qmp(self.control(), "balloon", value=MEMORY)
                move, pid = self.move(policy=policy, bandwidth="120mbit")
                self.assertTrue(move.reached("first pass over" if policy == "precopy"
                                             else "rounds done"), self.rig.story())
                # The agent has the control socket: the guest is asked by its other one.
                self.inflate()
                self.arrives(move, pid)
                self.connect()
                self.is_well()
        self.deflate()

    def inflate(self):
        """Over the balloon's only way in, QMP, which the agent holds: queued until it lets go."""
        import threading

        def ask():
            try:
                qmp(self.control(self.here), "balloon", 60, value=MEMORY - (32 << 20))
            except LabError:
                pass  # that QEMU has ended meanwhile
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()

    def deflate(self):
        qmp(self.control(), "balloon", value=MEMORY)

    def a_paused_one_stays_paused(self):
        qmp(self.control(), "stop")
        for policy in ("precopy", "postcopy"):
            with self.subTest(policy=policy):
                self.arrives(*self.move(policy=policy))
                self.assertEqual(self.status(), "paused")
        qmp(self.control(), "cont")
        self.connect()
        self.is_well()

    def it_resets(self):
        for policy, line in (("precopy", "first pass over"), ("postcopy", "-> Pull")):
            with self.subTest(policy=policy):
                move, pid = self.move(policy=policy, bandwidth="100mbit")
                self.assertTrue(move.reached(line), self.rig.story())
                if policy == "precopy":
                    self.client.command("reset")
                    self.arrives(move, pid)
                else:
                    self.arrives(move, pid)
                    qmp(self.control(), "system_reset")
                self.connect()
                self.is_well()

    def an_abort_leaves_it(self):
        for policy, line in (("precopy", "first pass over"),
                             ("stop-copy", "pages are left at the switch")):
            with self.subTest(policy=policy):
                move, pid = self.move(policy=policy, bandwidth="120mbit")
                self.assertTrue(move.reached(line), self.rig.story())
                os.kill(move.pid, signal.SIGINT)
                self.assertIn("stopped by the user", move.fails())
                self.assertEqual(self.here.guests(), [pid])
                self.assertTrue(self.there.is_clean(), self.there.left())
                self.assertEqual(self.status(), "running")
                self.assertEqual(userfaultfds(pid), 0)
                self.is_well()

    def an_abort_while_it_stands(self):
        """Stopped so that tracking sees all disk I/O: `cont` follows, and nothing else fails."""
        pid, = self.here.guests()
        move = self.here.migrate("vm", self.there, policy="precopy", fault="after-leaving")
        self.assertTrue(move.held(), self.rig.story())  # before the connections are made
        os.kill(move.pid, signal.SIGCONT)
        self.assertTrue(eventually(lambda: "Reservation ->" in move.trace() and
                                   state_of(move.pid) == "T"), self.rig.story())
        os.kill(pid, signal.SIGSTOP)
        os.kill(move.pid, signal.SIGCONT)
        self.assertTrue(move.reached("first pass over"), self.rig.story())
        os.kill(move.pid, signal.SIGINT)
        self.assertTrue(move.reached("-> Cancelled"), self.rig.story())
        os.kill(pid, signal.SIGCONT)
        self.assertIn("stopped by the user", move.fails())
        self.assertTrue(self.there.is_clean(), self.there.left())
        self.assertEqual(self.status(), "running")
        self.is_well()

    def it_powers_off(self):
        move, pid = self.move(policy="precopy", bandwidth="10mbit")
        self.assertTrue(move.reached("first pass over"), self.rig.story())
        self.client.command("poweroff")
        self.assertEqual(move.outcome(), ENDED, self.rig.story())
        self.assertIn("ended", move.fails())
        self.assertTrue(eventually(lambda: not alive(pid)))
        self.assertTrue(self.there.is_clean(), self.there.left())
        self.assertTrue(self.here.no_open_question(), self.here.left())


def listens(path):
    """A socket's file is there before it listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


class Others(Case):
    def test_it_panics_while_it_moves(self):
        self.prepare()
        self.boot()
        move, _ = self.move(policy="precopy", bandwidth="120mbit")
        self.assertTrue(move.reached("first pass over"), self.rig.story())
        self.client.command("panic")
        move.wait()
        self.assertIn(move.outcome(), (ENDED, "completed"), self.rig.story())
        if move.outcome() == ENDED:
            self.assertTrue(self.there.is_clean(), self.there.left())
        self.assertTrue(self.here.no_open_question(), self.here.left())

    def test_one_that_somebody_else_started_by_its_pid(self):
        self.prepare()
        control = os.path.join(self.rig.dir, "own.qmp")
        ram = os.path.join(self.here.ram_dir, "own.ram")
        qemu = self.here.popen([guest.QEMU, *self.arguments(ram_path=ram),
                                "-qmp", f"unix:{control},server=on,wait=off"],
                               stderr=subprocess.DEVNULL)
        self.assertTrue(eventually(lambda: listens(control)))
        self.connect(control)
        self.is_well()
        move = self.here.migrate(f"--pid={qemu.pid}", self.there, policy="hybrid", verify=True)
        result = move.completes()
        self.assertEqual(result["verified"]["pages_different"], 0)
        self.assertTrue(eventually(lambda: qemu.poll() is not None))
        name = result["vm"]["name"]
        self.connect(os.path.join(self.there.dir, name, "qmp.sock"))
        self.is_well()
        self.assertEqual(self.here.ram_files(), [])
        self.assertTrue(self.there.no_open_question(), self.there.left())

    def test_one_that_is_still_pulled_does_not_move_on(self):
        """By its name or by its pid: its pages are on two hosts."""
        self.prepare()
        self.boot()
        move, _ = self.move(policy="postcopy", bandwidth="120mbit")
        self.assertTrue(move.reached("-> Pull"), self.rig.story())
        there, = self.there.guests()
        for words in ("vm",), (f"--pid={there}",):
            said = self.there.run("migrate", *words, "--to",
                                  ":".join(map(str, self.here.address)))
            self.assertEqual(said.returncode, 1, said.stderr)
            self.assertIn("another migration of vm is under way", said.stderr)
        self.assertEqual(move.completes()["verified"]["pages_different"], 0)
        self.swap()
        self.connect()
        self.is_well()

    def test_it_is_recorded(self):
        """By name and by pid, to its end and killed: what it writes is seen, and it never notices."""
        self.prepare()
        self.boot(rate=4000)
        pid, = self.here.guests()
        trace = os.path.join(self.rig.dir, "vm.trace")
        for whom in (["vm"], ["--pid", str(pid), "--qmp", self.control()]):
            with self.subTest(whom=whom):
                done = self.here.run("record", *whom, "-o", trace, "--for", "4s", "--reads", "3",
                                     "--json", "-")
                self.assertEqual(done.returncode, 0, done.stderr)
                shown = json.loads(done.stdout)
                self.assertEqual(shown["tracker"], "pagemap")
                self.assertGreater(shown["written_pages"]["set"], 1800)  # of 2048, at random
                self.assertGreater(shown["read_pages"]["median"], 0)
                self.assertGreater(shown["cpu_share"], 0)
                self.untracked(pid)
        for number in range(5):
            os.unlink(trace)
            process = self.here.popen([GODWIT, "record", "vm", "-o", trace, "--reads", "1",
                                       "--window", "5ms", "--quiet"])
            self.assertTrue(eventually(lambda: os.path.exists(trace) and os.path.getsize(trace)))
            time.sleep(number * 0.01)
            kill(process.pid)
            process.wait()
        self.untracked(pid)
        self.arrives(*self.move(policy="precopy"))

    def test_it_is_observed(self):
        """What it writes is seen; where that is cut short it stays, and is well."""
        self.prepare()
        self.boot(rate=4000)
        pid, = self.here.guests()
        move = self.here.migrate("vm", self.there, policy="sdf-hybrid", observe="1h")
        self.assertTrue(eventually(lambda: "observing" in self.here.run("status").stdout))
        move.process.send_signal(signal.SIGINT)
        self.assertEqual(move.outcome(), STAYED)
        self.untracked(pid)
        move = self.here.migrate("vm", self.there, policy="sdf-hybrid", observe="1h")
        self.assertTrue(eventually(lambda: "observing" in self.here.run("status").stdout))
        time.sleep(0.3)
        kill(move.pid)
        move.process.wait()
        self.untracked(pid)
        said = self.here.run("recover", "vm")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.is_well()
        result = self.arrives(*self.move(policy="sdf-hybrid", observe="4s"))
        self.assertGreaterEqual(result["observation_ns"], 4 * 10**9)
        seen = re.search(r"observed for 4\d\d\d ms in (\d+) windows: (\d+) different",
                         self.rig.story())
        self.assertLessEqual(int(seen.group(1)), 81)
        self.assertGreater(int(seen.group(2)), 1800)  # of 2048, at random
        # The vCPU may have had no processor for all of a short round.
        self.assertTrue(any(row["cpu_permille"] for row in result["rounds"]))
        for row in result["rounds"]:
            self.assertGreater(row["link_bytes_per_s"], 0)
            self.assertTrue(4096 < row["memory_pages"] <= PAGES)
        self.connect()
        self.is_well()

    def untracked(self, pid):
        self.assertEqual(userfaultfds(pid), 0)
        self.assertEqual(tracer(pid), 0)

    def test_kill_of_each_process(self):
        """The kinds of mishap, once each, with QEMU; the native guest goes through all of them."""
        self.prepare()
        self.boot()
        for victim, point, moves in (("source agent", "after-handing-over", False),
                                     ("session", "after-prepared", False),
                                     ("destination VM", "before-committed", False),
                                     ("session", "after-mine", True),
                                     ("source VM", "before-prepared", True),
                                     ("source agent", "after-gone", True),
                                     ("source VM", "after-gone", True)):
            with self.subTest(victim=victim, point=point):
                self.one_kill(victim, point, moves)

    def one_kill(self, victim, point, moves):
        record = point.partition("-")[2]
        destination = record in ("prepared", "mine")
        self.there.stop_agent()
        self.there.serve(fault=point if destination else None)
        pid, = self.here.guests()
        move = self.here.migrate("vm", self.there, policy="postcopy",
                                 fault=None if destination else point)
        self.assertTrue(self.there.held_session() if destination else move.held(),
                        self.rig.story())
        if victim == "source agent":
            kill(move.pid)
        elif victim == "session":
            for session in self.there.sessions():
                kill(session)
        elif victim == "source VM":
            kill(pid)
        else:
            for there in self.there.guests():
                kill(there)

        def ended():
            self.rig.thaw()
            return move.process.poll() is not None
        self.assertTrue(eventually(ended), self.rig.story())
        move.wait()
        while self.here.journals():
            again = self.here.recover("vm", self.there)
            again.wait()
            self.assertEqual(again.process.returncode, 0, f"{again.said} {self.rig.story()}")
        self.assertEqual(pid not in self.here.guests(), moves, self.rig.story())
        if moves:
            self.swap()
        self.assertTrue(eventually(lambda: self.there.is_clean()),
                        f"{self.there.left()} {self.rig.story()}")
        self.assertTrue(self.here.whole(), self.here.left())
        self.assertEqual(len(self.here.guests()), 1)
        self.assertTrue(eventually(lambda: self.status() == "running"), self.rig.story())
        self.unprepared()
        self.connect()
        self.is_well()

    def unprepared(self):
        """Somebody else's later save of this VM is to hold its memory."""
        on = [row["capability"] for row in qmp(self.control(), "query-migrate-capabilities")
              if row["state"]]
        self.assertEqual(on, [])


if __name__ == "__main__":
    main(guest.why_no_qemu() or why_not())
