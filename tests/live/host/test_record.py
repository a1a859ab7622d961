# SPDX-License-Identifier: MIT
"""What `godwit record` sees of a guest whose touches are known, and what it leaves behind."""

import fcntl
import json
import os
import re
import signal
import subprocess
import unittest

from rig import GODWIT, Rig, alive, eventually, kill, main, tracer, userfaultfds, why_not

FIRST, SET = 500, 400  # the working set: pages 500 to 899
WORKING_SET = set(range(FIRST, FIRST + SET))


class Records(unittest.TestCase):
    def guest(self, **config):
        self.rig = Rig(self)
        self.trace = os.path.join(self.rig.dir, "web.trace")
        self.vm = self.rig.a.native("web", **{"pages": 4096, "populate": 2000, "set": SET,
                                              "offset": FIRST, "pattern": "sequential",
                                              "writes": 40000, "reads": 0, **config})

    def record(self, *words, **more):
        """A recording under way."""
        return self.rig.a.popen([GODWIT, "record", "web", "-o", self.trace, *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def recorded(self, process):
        """Its end, which must be a good one: what it said, and what the trace holds."""
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        return out + err, self.shown()

    def shown(self, trace=None):
        result = self.rig.a.run("record", "--show", trace or self.trace, "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def windows(self, kind="--windows"):
        result = self.rig.a.run("record", "--show", self.trace, kind, "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        return [set(map(int, line.split())) for line in result.stdout.splitlines()]

    def under_way(self, process):
        """Waits until the first block of the trace is there."""
        self.assertTrue(eventually(lambda: process.poll() is not None or
                                   os.path.exists(self.trace) and os.path.getsize(self.trace)))
        self.assertIsNone(process.poll())

    def untouched(self):
        """Nothing is left in the guest, which works on."""
        self.assertEqual(userfaultfds(self.vm.pid), 0)
        self.assertEqual(tracer(self.vm.pid), 0)
        self.assertTrue(self.vm.works_on())
        self.assertEqual(self.vm.verify()[1], 0)
        self.assertEqual(self.vm.status()["errors"], "0")

    def refused(self, result, *parts):
        self.assertEqual(result.returncode, 1, result)
        self.assertRegex(result.stderr, r"\Agodwit: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    # -- what is seen --

    def test_what_is_written(self):
        for tracker in "pagemap", "digest":
            with self.subTest(tracker=tracker):
                self.guest()
                _, shown = self.recorded(self.record("--for", "1s", "--tracker", tracker))
                windows = self.windows()
                self.assertEqual(set().union(*windows), WORKING_SET)
                self.assertEqual(shown["tracker"], tracker)
                self.assertEqual(shown["windows"], len(windows))
                self.assertEqual(shown["written_pages"]["set"], SET)
                self.assertEqual(shown["written_pages"]["max"], max(map(len, windows)))
                self.assertEqual(shown["populated_pages"], 2000)
                self.assertEqual(shown["vm"], {"name": "web", "ram_bytes": 4096 * 4096,
                                               "page_bytes": 4096, "vcpus": 1})
                self.untouched()

    def test_what_is_read(self):
        self.guest(writes=0, reads=40000)
        _, shown = self.recorded(self.record("--for", "1s", "--reads", "2"))
        reads = self.windows("--read-windows")
        self.assertEqual(set().union(*self.windows()), set())
        self.assertEqual(set().union(*reads), WORKING_SET)
        self.assertEqual(len(reads), (shown["windows"] + 1) // 2)
        self.untouched()

    def test_reads_beside_writes(self):
        self.guest(pattern="random", reads=40000)
        self.recorded(self.record("--for", "1s", "--reads", "1"))
        reads, writes = self.windows("--read-windows"), self.windows()
        self.assertTrue(set().union(*reads, *writes) <= WORKING_SET)
        self.assertTrue(any(reads))
        for read, written in zip(reads, writes):
            self.assertFalse(read & written)
        self.untouched()

    def test_an_idle_guest_writes_nothing(self):
        self.guest(pattern="idle", writes=0)
        _, shown = self.recorded(self.record("--for", "500ms", "--window", "20ms"))
        self.assertEqual(set().union(*self.windows()), set())
        self.assertEqual(shown["window_ns"], 20000000)

    def test_where_tracing_is_forbidden(self):
        self.guest()
        forbid = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir,
                              "lab", "forbid.py")
        process = self.rig.a.popen(["python3", forbid, "ptrace", "--", GODWIT, "record", "web",
                                    "-o", self.trace, "--for", "500ms"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, shown = self.recorded(process)
        self.assertIn("the tracker digest is used because", said)
        self.assertIn("reads are not recorded", said)
        self.assertEqual(shown["tracker"], "digest")
        self.assertNotIn("read_pages", shown)
        self.assertEqual(set().union(*self.windows()), WORKING_SET)

    # -- how it ends --

    def test_interrupted(self):
        self.guest()
        process = self.record()
        self.under_way(process)
        process.send_signal(signal.SIGINT)
        self.recorded(process)
        self.untouched()

    def test_the_guest_ends(self):
        self.guest()
        process = self.record()
        self.under_way(process)
        kill(self.vm.pid)
        said, _ = self.recorded(process)
        self.assertIn("the VM ended", said)

    def test_killed(self):
        self.guest()
        process = self.record("--reads", "1", "--window", "1ms")
        self.assertTrue(eventually(lambda: os.path.exists(self.trace) and
                                   os.path.getsize(self.trace) > 1000))
        kill(process.pid)
        process.communicate()
        self.untouched()
        result = self.rig.a.run("record", "--show", self.trace)
        self.refused(result, self.trace, "it was cut")
        offset = int(re.search(r"at byte (\d+)", result.stderr).group(1))
        self.assertEqual(offset, os.path.getsize(self.trace))
        self.recorded(self.record("--for", "300ms"))

    def test_a_damaged_trace(self):
        self.guest()
        self.recorded(self.record("--for", "300ms"))
        with open(self.trace, "r+b") as file:
            file.seek(300)
            byte = file.read(1)[0]
            file.seek(300)
            file.write(bytes([byte ^ 1]))
        self.refused(self.rig.a.run("record", "--show", self.trace), "at byte", "damaged")

    # -- one at a time --

    def test_no_migration_meanwhile(self):
        self.guest()
        self.rig.b.serve()
        process = self.record()
        self.under_way(process)
        self.assertIn("recorded by someone else", self.rig.a.migrate("web", self.rig.b).fails())
        other = self.rig.a.run("record", "web", "-o", self.trace + "2", "--for", "100ms")
        self.refused(other, "recorded by someone else")
        self.assertFalse(os.path.exists(self.trace + "2"))
        process.send_signal(signal.SIGTERM)
        self.recorded(process)
        self.rig.a.migrate("web", self.rig.b).completes()

    def test_memory_is_held(self):
        """However the VM was found, by name or pid."""
        self.guest()
        with open(self.vm.status()["ram"], "rb") as memory:
            fcntl.flock(memory, fcntl.LOCK_EX)
            self.refused(self.rig.a.run("record", "web", "-o", self.trace), "or a recording")
        process = self.record()
        self.under_way(process)
        with open(self.vm.status()["ram"], "rb") as memory:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send_signal(signal.SIGHUP)
        self.recorded(process)

    def test_not_while_it_migrates(self):
        self.guest()
        self.rig.b.serve()
        move = self.rig.a.migrate("web", self.rig.b, policy="precopy", bandwidth="1mbit")
        self.assertTrue(move.reached("Iterative Pre-Copy"))
        self.refused(self.rig.a.run("record", "web", "-o", self.trace), "migration of web")
        self.assertFalse(os.path.exists(self.trace))
        self.assertTrue(alive(move.pid))


if __name__ == "__main__":
    main(why_not())
