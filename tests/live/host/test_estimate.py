# SPDX-License-Identifier: MIT
"""A running VM is estimated, and moved by policy auto; or it is not, and runs on."""

import json
import unittest

from rig import Rig, main, tracer, userfaultfds, why_not

PAGES, POPULATED = 8192, 6000
FIGURES = ("total_time_ns", "downtime_ns", "unavailable_ns", "bytes_on_link")


class Estimates(unittest.TestCase):
    def guest(self, **config):
        self.rig = Rig(self)
        self.here, self.there = self.rig.a, self.rig.b.serve()
        self.vm = self.here.native("web", **{"pages": PAGES, "populate": POPULATED, "set": 400,
                                             "offset": 500, "pattern": "random", "writes": 2000,
                                             "reads": 1000, **config})

    def estimate(self, *more):
        said = self.here.run("estimate", "web", "--for", "1s", "--quiet", "--json", "-", *more)
        self.assertEqual(said.returncode, 0, said.stderr)
        return json.loads(said.stdout)

    def move(self, **options):
        return self.here.migrate("web", self.there, policy="auto",
                                 **{"observe": "1s", "link": "400mbit", **options})

    def runs_on(self):
        self.assertEqual(userfaultfds(self.vm.pid), 0)
        self.assertEqual(tracer(self.vm.pid), 0)
        self.assertTrue(self.vm.works_on())
        self.assertEqual(self.here.journals(), {})
        self.assertTrue(self.there.is_clean(), self.there.left())

    # -- estimating --

    def test_a_running_vm(self):
        self.guest()
        told = self.estimate("--link", "400mbit", "--to", "%s:%d" % self.there.address)
        self.assertEqual(told["vm"], {"name": "web", "ram_bytes": PAGES * 4096, "vcpus": 1})
        self.assertEqual(told["link"]["bandwidth_bytes_per_s"], 50000000)
        self.assertGreaterEqual(told["observation_ns"], 1000000000)
        for row in told["policies"]:
            for figure in FIGURES:
                x = row[figure]
                self.assertLessEqual(x["low"], x["middle"])
                self.assertLessEqual(x["middle"], x["high"])
        self.assertLessEqual({"precopy", "postcopy", "hybrid"}, {r["policy"] for r in told["policies"]})
        self.assertIn(told["recommendation"]["policy"], {r["policy"] for r in told["policies"]})
        self.runs_on()

    def test_to_nobody(self):
        self.guest()
        said = self.here.run("estimate", "web", "--to", "127.0.0.1:1")
        self.assertEqual(said.returncode, 1)
        self.assertIn("127.0.0.1:1", said.stderr)

    def test_a_paused_vm(self):
        self.guest(paused=True)
        said = self.here.run("estimate", "web", "--for", "1s")
        self.assertEqual(said.returncode, 1)
        self.assertIn("paused", said.stderr)
        self.assertIn("was not observed", self.move().fails())
        self.assertEqual(self.vm.state(), "stopped")

    # -- moving --

    def test_auto_moves(self):
        self.guest()
        move = self.move(verify=True)
        result = move.completes()
        self.assertEqual(result["policy"], "auto")
        self.assertEqual(set(result["chosen"]), {"policy", "settings", "reason"})
        self.assertIn("take " + result["chosen"]["policy"], result["chosen"]["reason"])
        self.assertIn(result["chosen"]["reason"], move.trace())
        self.assertGreaterEqual(result["observation_ns"], 1000000000)
        for figure in FIGURES:
            self.assertLessEqual(result["announced"][figure]["low"], result["announced"][figure]["high"])
        vm = self.there.vm("web")
        self.assertEqual(vm.verify()[1], 0)
        self.assertTrue(vm.works_on())

    def test_auto_by_what_was_recorded(self):
        self.guest()
        trace = self.rig.dir + "/web.trace"
        self.here.run("record", "web", "-o", trace, "--for", "1s")
        self.assertEqual(self.move(observed=trace).completes()["policy"], "auto")

    def test_what_observes_announces(self):
        self.guest()
        result = self.here.migrate("web", self.there, policy="hybrid", observe="500ms").completes()
        self.assertEqual(result["policy"], "hybrid")
        self.assertNotIn("chosen", result)
        self.assertIn("total_time_ns", result["announced"])

    def test_auto_refuses(self):
        self.guest()
        for limit, word in ({"downtime": "10us"}, "downtime of"), ({"deadline": "1ms"}, "ends within"):
            with self.subTest(limit=limit):
                said = self.move(**limit).fails()
                self.assertIn("no policy", said)
                self.assertIn(word, said)
                self.runs_on()

    def test_auto_takes_no_settings(self):
        self.guest()
        for more, word in (("--order", "bubble"), "the order too"), (("--set", "alpha=0.3"), "alpha"):
            said = self.here.run("migrate", "web", "--to", "%s:%d" % self.there.address, "--policy",
                                 "auto", *more)
            self.assertEqual(said.returncode, 2)
            self.assertIn(word, said.stderr)


if __name__ == "__main__":
    main(why_not())
