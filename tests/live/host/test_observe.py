# SPDX-License-Identifier: MIT
"""A VM is observed before it moves: what is seen, and what is left when that is cut short."""

import os
import re
import signal
import subprocess
import unittest

from rig import (ENDED, GODWIT, STAYED, Rig, eventually, kill, main, tracer, userfaultfds,
                 why_not)

FIRST, SET, PAGES, POPULATED = 500, 400, 4096, 2000  # written are pages 500 to 899
SEEN = re.compile(r"source +observed for (\d+) ms in (\d+) windows: (\d+) different pages")


class Observes(unittest.TestCase):
    def guest(self, **config):
        self.rig = Rig(self)
        self.here, self.there = self.rig.a, self.rig.b.serve()
        self.vm = self.here.native("web", **{"pages": PAGES, "populate": POPULATED, "set": SET,
                                             "offset": FIRST, "pattern": "sequential",
                                             "writes": 40000, "reads": 4000, **config})

    def move(self, policy="sdf-hybrid", **options):
        return self.here.migrate("web", self.there, policy=policy, **options)

    def seen(self):
        """What the last move's trace says: milliseconds, windows, pages."""
        with open(os.path.join(self.rig.dir, f"a-{self.here.moves}.trace"),
                  encoding="utf-8") as file:
            found = SEEN.search(file.read())
        return tuple(map(int, found.groups())) if found else None

    def observing(self, move):
        """Waits until windows are being looked at."""
        self.assertTrue(eventually(lambda: move.process.poll() is not None or
                                   "observing" in self.here.run("status").stdout))
        self.assertIsNone(move.process.poll())

    def untouched(self):
        """The VM is as it was, and can be moved."""
        self.assertEqual(userfaultfds(self.vm.pid), 0)
        self.assertEqual(tracer(self.vm.pid), 0)
        self.assertTrue(self.vm.works_on())
        self.assertEqual(self.here.journals(), {})
        self.assertTrue(self.there.is_clean(), self.there.left())
        self.move(observe="100ms", verify=True).completes()
        self.whole()

    def whole(self):
        vm = self.there.vm("web")
        self.assertEqual(vm.verify()[1], 0)
        self.assertTrue(vm.works_on())
        self.assertEqual(vm.status()["errors"], "0")
        self.assertTrue(self.here.is_clean(), self.here.left())

    # -- what is seen --

    def test_what_is_written(self):
        for tracker in "pagemap", "digest":
            with self.subTest(tracker=tracker):
                self.guest()
                result = self.move(tracker=tracker, observe="1s", verify=True).completes()
                ms, windows, pages = self.seen()
                self.assertEqual(pages, SET)
                self.assertGreaterEqual(ms, 1000)
                self.assertEqual(ms, result["observation_ns"] // 1000000)
                self.assertLessEqual(windows, 21)
                self.whole()

    def test_as_long_as_the_policy_wants(self):
        self.guest()
        result = self.move(more=("--set", "observe=300ms")).completes()
        self.assertGreaterEqual(result["observation_ns"], 300000000)
        self.assertEqual(result["settings"]["observe"], "300ms")
        self.assertGreaterEqual(self.seen()[1], 1)

    def test_others_observe_nothing(self):
        for options in {"policy": "precopy"}, {"observe": "0"}:
            with self.subTest(options=options):
                self.guest()
                self.assertEqual(self.move(**options).completes()["observation_ns"], 0)
                self.assertIsNone(self.seen())

    def test_the_same_as_is_recorded(self):
        self.guest(pattern="random")
        trace = os.path.join(self.rig.dir, "web.trace")
        windows = os.path.join(self.rig.dir, "windows")
        said = self.here.run("record", "web", "-o", trace, "--for", "1s", "--windows", windows)
        self.assertEqual(said.returncode, 0, said.stderr)
        with open(windows, encoding="utf-8") as file:
            recorded = set(map(int, file.read().split()))
        result = self.move(observe="1s").completes()
        self.assertEqual(self.seen()[2], len(recorded))
        self.assertGreaterEqual(result["observation_ns"], 1000000000)

    def test_observed_earlier(self):
        self.guest()
        trace = os.path.join(self.rig.dir, "web.trace")
        self.here.run("record", "web", "-o", trace, "--for", "1s")
        result = self.move(observed=trace, more=("--set", "observe=400ms")).completes()
        ms, windows, pages = self.seen()
        self.assertEqual(pages, SET)
        self.assertGreaterEqual(ms, 400)
        self.assertLess(windows, 15)  # its last ones
        self.assertEqual(ms, result["observation_ns"] // 1000000)

    def test_observed_elsewhere(self):
        self.guest()
        trace = os.path.join(self.rig.dir, "web.trace")
        self.here.run("record", "web", "-o", trace, "--for", "200ms")
        self.guest(pages=PAGES * 2)
        self.assertIn("4096 pages", self.move(observed=trace).fails())
        self.guest(vcpus=2)
        self.assertIn("1 vCPUs", self.move(observed=trace).fails())
        self.assertIn("no-such", self.move(observed="/no-such").fails())
        self.assertIsNone(self.seen())

    def test_each_round(self):
        """What the VM and the link did in it, as far as the host sees it."""
        self.guest()
        result = self.move(policy="precopy", more=("--set", "max_rounds=3")).completes()
        self.assertTrue(result["rounds"])
        for row in result["rounds"]:
            self.assertTrue(0 <= row["cpu_permille"] <= 1000)
            self.assertTrue(POPULATED <= row["memory_pages"] <= PAGES)
            self.assertNotIn("network_bytes_per_s", row)  # it has no tap
            self.assertGreater(row["link_bytes_per_s"], 0)
        first = result["rounds"][0]
        self.assertGreaterEqual(first["link_bytes_per_s"] * first["duration_ns"] / 10**9,
                                POPULATED * 4096 / 2)

    # -- where there is nothing to see, or nobody to go to --

    def test_paused(self):
        self.guest(paused=True)
        move = self.move()
        result = move.completes()
        self.assertEqual(result["observation_ns"], 0)

    def test_nobody_there(self):
        self.guest()
        self.there.stop_agent()
        said = self.here.migrate("web", ("127.0.0.1", 1), observe="1h").fails()
        self.assertIn("127.0.0.1", said)
        self.there.serve()
        self.untouched()

    # -- how it ends --

    def test_interrupted(self):
        self.guest()
        move = self.move(observe="1h")
        self.observing(move)
        move.process.send_signal(signal.SIGINT)
        self.assertEqual(move.wait()["outcome"], STAYED)
        self.assertIn("stopped by the user", move.fails())
        self.untouched()

    def test_aborted(self):
        self.guest()
        move = self.move(observe="1h")
        self.observing(move)
        said = self.here.run("abort", "web")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual(move.wait()["outcome"], STAYED)
        self.untouched()

    def test_the_guest_ends(self):
        self.guest()
        move = self.move(observe="1h")
        self.observing(move)
        kill(self.vm.pid)
        self.assertEqual(move.wait()["outcome"], ENDED)
        self.assertIn("ended while it was observed", move.fails())
        self.assertTrue(self.there.is_clean(), self.there.left())

    def test_killed(self):
        """The agent's death is no more than that: `recover` says so."""
        self.guest()
        move = self.move(observe="1h")
        self.observing(move)
        kill(move.pid)
        move.process.communicate()
        self.assertTrue(eventually(lambda: userfaultfds(self.vm.pid) == 0))
        said = self.here.run("recover", "web")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("as it was", said.stdout)
        self.untouched()

    def test_progress(self):
        self.guest()
        said = self.here.popen([GODWIT, "migrate", "web", "--observe", "500ms", "--to",
                                "%s:%d" % self.there.address], stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE)
        out, err = said.communicate(timeout=60)
        self.assertEqual(said.returncode, 0, err)
        self.assertRegex(err, r"observing +\d+% +\d+ pages/s written +\d+:\d\d left")
        self.assertRegex(out, r"observed for +[\d.]+ m?s")


if __name__ == "__main__":
    main(why_not())
