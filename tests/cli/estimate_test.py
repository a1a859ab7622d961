# SPDX-License-Identifier: MIT
"""godwit estimate SCENARIO, and policy auto in the simulator.

    estimate_test.py GODWIT
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

GODWIT = sys.argv.pop(1) if len(sys.argv) > 1 else "build/godwit"
FIGURES = ("total_time_ns", "downtime_ns", "unavailable_ns", "bytes_on_link")
# Never idle, and the link is far: a copy that runs ahead pays where there is no time for a pass.
AHEAD = {"vm": {"ram": "64M"}, "workload": {"kind": "random", "working_set": "32M", "write_rate": 8000,
                                            "read_rate": 12000, "cpu": 1},
         "link": {"bandwidth": "200mbit", "latency": "2ms"}}
CALM = {"vm": {"ram": "8M"}, "workload": {"kind": "idle"}, "link": {"bandwidth": "200mbit"}}
# Writes more than the link carries: pre-copy does not converge.
BUSY = {"vm": {"ram": "8M"}, "workload": {"kind": "random", "write_rate": 20000, "read_rate": 0},
        "link": {"bandwidth": "200mbit"}}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def scenario(self, content, name="s.json"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)
        return path

    def run_it(self, *words):
        return subprocess.run([GODWIT, *words], capture_output=True, text=True, check=False)

    def estimate(self, content, *more):
        said = self.run_it("estimate", self.scenario(content), "--quiet", "--json", "-", "--samples",
                           "3", *more)
        self.assertEqual(said.returncode, 0, said.stderr)
        return json.loads(said.stdout)

    def sim(self, content, *more):
        said = self.run_it("sim", self.scenario(content), "--quiet", "--json", "-", *more)
        self.assertEqual(said.returncode, 0, said.stderr)
        return [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]


class Estimates(Case):
    def test_every_policy_with_its_intervals(self):
        told = self.estimate(CALM)
        self.assertEqual(told["schema"], "godwit.estimate/1")
        self.assertEqual(told["observation_ns"], 8000000000)
        policies = {row["policy"] for row in told["policies"]}
        self.assertLessEqual({"stop-copy", "precopy", "postcopy", "hybrid", "sdf-hybrid"}, policies)
        self.assertNotIn("auto", policies)
        for row in told["policies"]:
            self.assertEqual(row["completed"], row["samples"], row)
            self.assertEqual("faults" in row, row["policy"] not in ("stop-copy", "precopy", "deferred"))
            for figure in FIGURES:
                x = row[figure]
                self.assertLessEqual(x["low"], x["middle"], (row["policy"], figure))
                self.assertLessEqual(x["middle"], x["high"], (row["policy"], figure))

    def test_who_stands_is_unavailable(self):
        pulls = 0
        for row in self.estimate({**CALM, "workload": {"kind": "random"}})["policies"]:
            downtime, unavailable = row["downtime_ns"], row["unavailable_ns"]
            for end in "low", "middle", "high":
                self.assertGreaterEqual(unavailable[end], downtime[end], (row["policy"], end))
            if "faults" not in row:
                self.assertEqual(unavailable, downtime)
            pulls += unavailable["middle"] > 2 * downtime["middle"]
        self.assertGreater(pulls, 0)

    def test_the_middle_is_what_the_simulator_plays(self):
        told = {row["policy"]: row for row in self.estimate(CALM)["policies"] if not row["settings"]}
        for policy in "stop-copy", "precopy", "postcopy":
            result, = self.sim({**CALM, "policy": policy})
            x = told[policy]["total_time_ns"]
            self.assertLessEqual(x["low"], result["total_time_ns"])
            self.assertGreaterEqual(x["high"], result["total_time_ns"])

    def test_a_copy_is_foretold_to_run_ahead(self):
        told = {row["policy"]: row for row in self.estimate(AHEAD)["policies"] if not row["settings"]}
        self.assertLess(told["run-ahead"]["unavailable_ns"]["high"], told["postcopy"]["unavailable_ns"]["middle"])

    def test_what_does_not_converge_says_so(self):
        told = self.estimate(BUSY)
        precopy = next(row for row in told["policies"] if row["policy"] == "precopy")
        self.assertEqual(precopy["completed"], 0)
        self.assertIn("the link carries", precopy["obstacle"])
        self.assertNotIn("total_time_ns", precopy)
        self.assertIn("precopy might not complete", told["recommendation"]["reason"])

    def test_any_number_of_threads_says_the_same(self):
        self.assertEqual(self.estimate(CALM, "--jobs", "1"), self.estimate(CALM, "--jobs", "3"))

    def test_limits(self):
        told = self.estimate(CALM, "--deadline", "100ms")
        self.assertNotIn("policy", told["recommendation"])
        self.assertIn("no policy ends within 100 ms", told["recommendation"]["reason"])
        faster = self.estimate(CALM, "--link", "10gbit", "--for", "1s")
        self.assertEqual(faster["observation_ns"], 1000000000)
        self.assertEqual(faster["link"]["bandwidth_bytes_per_s"], 1250000000)

    def test_a_table_and_a_sentence(self):
        said = self.run_it("estimate", self.scenario(CALM), "--quiet", "--samples", "1")
        self.assertEqual(said.returncode, 0, said.stderr)
        lines = said.stdout.splitlines()
        self.assertRegex(lines[1], "POLICY +SETTINGS +TOTAL TIME +DOWNTIME")
        self.assertRegex(lines[-1], "^take precopy: the VM is unavailable for about")


class BadInput(Case):
    def refused(self, status, word, *words):
        said = self.run_it("estimate", *words)
        self.assertEqual(said.returncode, status, said.stderr)
        self.assertEqual(len(said.stderr.splitlines()), 1, said.stderr)
        self.assertIn(word, said.stderr)

    def test_what_is_none(self):
        self.refused(2, "needs one of")
        self.refused(2, "needs one of", "web", "--pid", "7")
        self.refused(1, "No such file", os.path.join(self.folder, "no.trace"))
        self.refused(1, "no VM is named", "no-such-vm")
        self.refused(2, "--samples", "web", "--samples", "0")
        self.refused(2, "--jobs", "web", "--jobs", "0")
        self.refused(2, "--tracker", "web", "--tracker", "guess")

    def test_broken_files(self):
        path = os.path.join(self.folder, "x.trace")
        with open(path, "wb") as file:
            file.write(b"GWTRACE\\x1a\\x01\\0\\0")
        self.refused(1, "x.trace", path)
        with open(path, "wb") as file:
            file.write(b"text")
        self.refused(1, "x.trace", path)

    def test_several_vms(self):
        many = {**CALM, "vms": [{"name": "a", "ram": "16M"}, {"name": "b", "ram": "8M"}]}
        del many["vm"]
        path = self.scenario(many)
        self.refused(1, "--vm NAME", path)
        self.refused(1, "no VM of that name", path, "--vm", "c")
        self.assertEqual(self.estimate(many, "--vm", "b")["vm"]["ram_bytes"], 8 << 20)

    def test_a_paused_vm(self):
        self.refused(1, "not observed", self.scenario({**CALM, "vm": {"ram": "8M", "paused": True}}))


class Auto(Case):
    def test_it_chooses_and_announces(self):
        result, = self.sim({**CALM, "policy": "auto"})
        self.assertEqual(result["policy"], "auto")
        self.assertEqual(result["outcome"], "completed")
        self.assertEqual(result["chosen"]["policy"], "precopy")
        self.assertIn("take precopy", result["chosen"]["reason"])
        for figure in FIGURES:
            self.assertLessEqual(result["announced"][figure]["low"], result[figure])
            self.assertGreaterEqual(result["announced"][figure]["high"], result[figure])

    def test_it_goes_by_the_guest(self):
        result, = self.sim({**BUSY, "policy": "auto"})
        self.assertNotEqual(result["chosen"]["policy"], "precopy")
        self.assertEqual(result["outcome"], "completed")

    def test_it_refuses(self):
        for limit in {"downtime": "100us"}, {"deadline": "50ms"}:
            result, = self.sim({**CALM, "policy": "auto", **limit})
            self.assertEqual(result["outcome"], "stayed")
            self.assertIn("no policy", result["reason"])
            self.assertNotIn("chosen", result)

    def test_a_copy_where_it_is_worth_its_room(self):
        hurried = {**AHEAD, "policy": "auto", "downtime": "100ms", "deadline": "3s"}
        result, = self.sim(hurried)
        self.assertEqual(result["chosen"]["policy"], "run-ahead", result["chosen"]["reason"])
        self.assertTrue(result["shadow"]["ran"])
        result, = self.sim({**hurried, "vm": {**AHEAD["vm"], "shadow": {"memory": "64M"}}})
        self.assertEqual(result["chosen"]["policy"], "postcopy", result["chosen"]["reason"])

    def test_a_seed_gives_the_same(self):
        self.assertEqual(self.sim({**BUSY, "policy": "auto"}, "--seed", "1-3", "--jobs", "1"),
                         self.sim({**BUSY, "policy": "auto"}, "--seed", "1-3", "--jobs", "3"))

    def test_every_policy_beside_it(self):
        results = self.sim(CALM, "--policy", "auto,precopy")
        self.assertEqual([r["policy"] for r in results], ["auto", "precopy"])


if __name__ == "__main__":
    unittest.main()
