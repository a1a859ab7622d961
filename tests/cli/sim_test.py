#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`godwit sim`: sweeps, their order and bytes, interrupt and resume, and what is refused.

    sim_test.py GODWIT EXAMPLES
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

EXAMPLES = os.path.abspath(sys.argv.pop(2))
GODWIT = os.path.abspath(sys.argv.pop(1))
BIG = {"giant.json"}  # too large for a test of every build

SMALL = {
    "seed": 5,
    "vm": {"name": "web", "ram": "16M", "vcpus": 2},
    "workload": {"kind": "locality", "write_rate": 2000, "working_set": "4M"},
    "link": {"bandwidth": "100mbit", "latency": "200us"},
}
LONG = {
    "vm": {"ram": "4G", "vcpus": 4},
    "workload": {"kind": "random", "write_rate": 1000000, "read_rate": 1000000},
    "link": {"bandwidth": "1gbit"}, "deadline": "10h",
}


class Sim(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="godwit-sim-")
        self.addCleanup(self.folder.cleanup)
        self.small = self.write("small.json", SMALL)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, content):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def sim(self, *words):
        return subprocess.run([GODWIT, "sim", *words], capture_output=True, text=True, timeout=600,
                              stdin=subprocess.DEVNULL, check=False)

    def done(self, *words):
        result = self.sim(*words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def lines(self, *words):
        return [json.loads(line) for line in self.done(*words, "--json", "-").splitlines()]

    def refused(self, status, sentence, *words):
        result = self.sim(*words)
        self.assertEqual(result.returncode, status, result)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Agodwit: [^\n]+\n\Z")
        self.assertIn(sentence, result.stderr)


class Results(Sim):
    def test_one_result_has_the_schema(self):
        (line,) = self.lines(self.small)
        self.assertEqual(line["schema"], "godwit.result/1")
        self.assertEqual((line["world"], line["outcome"], line["seed"]), ("sim", "completed", 5))
        self.assertEqual(line["vm"], {"name": "web", "ram_bytes": 16 << 20, "page_bytes": 4096,
                                      "vcpus": 2})
        self.assertEqual(line["policy"], "precopy")
        self.assertGreater(line["total_time_ns"], line["downtime_ns"])
        self.assertGreater(line["bytes_on_link"], 16 << 20)
        self.assertTrue(line["rounds"])

    def test_the_table_is_for_people(self):
        text = self.done(self.small, "--policy", "precopy,postcopy", "--seed", "1-3")
        self.assertRegex(text, r"(?m)^precopy +3 of 3 ")
        self.assertRegex(text, r"(?m)^postcopy +3 of 3 ")

    def test_a_sweep_is_in_order(self):
        lines = self.lines(self.small, "--policy", "precopy", "--policy", "hybrid,postcopy",
                           "--set", "rounds=1,2", "--set", "stop=qemu,xen", "--seed", "3,7-8")
        groups = [("precopy", {"stop": "qemu"}), ("precopy", {"stop": "xen"}),
                  ("hybrid", {"rounds": 1}), ("hybrid", {"rounds": 2}), ("postcopy", {})]
        expected = [(policy, settings, seed) for policy, settings in groups for seed in (3, 7, 8)]
        self.assertEqual([(x["policy"], x["settings"], x["seed"]) for x in lines], expected)
        self.assertEqual(len({x["run"] for x in lines}), len(lines))

    def test_a_policy_brings_its_order(self):
        lines = self.lines(self.small, "--policy", "hybrid,sdf-hybrid")
        self.assertEqual([line["order"] for line in lines], ["linear", "forecast"])
        lines = self.lines(self.small, "--policy", "hybrid,sdf-hybrid", "--set", "order=bubble")
        self.assertEqual([line["order"] for line in lines], ["bubble", "bubble"])

    def beside_hybrid(self, example, *policy):
        """Faults and total time, as shares of the original hybrid's: sums over three seeds."""
        path = os.path.join(EXAMPLES, example)
        both = [self.lines(path, "--policy", name, *words, "--seed", "1-3")
                for name, words in (("hybrid", ()), (policy[0], policy[1:]))]
        return [sum(line[field] for line in both[1]) / sum(line[field] for line in both[0])
                for field in ("faults", "total_time_ns")]

    def test_headlines(self):
        """S3, section 4.4; and our own beyond them: nine of ten faults fewer in no more time."""
        faults, time = self.beside_hybrid("s3-read-intensive.json", "sdf-hybrid", "--set", "alpha=0.3")
        self.assertLessEqual(faults, 0.25)
        self.assertLessEqual(time, 1.095)
        faults, time = self.beside_hybrid("s3-write-intensive.json", "sdf-hybrid", "--set", "alpha=0.7")
        self.assertLessEqual(faults, 0.9)
        self.assertLessEqual(time, 1.004)
        for example in ("s3-read-intensive.json", "s3-write-intensive.json"):
            faults, time = self.beside_hybrid(example, "wws-hybrid")
            self.assertLessEqual(faults, 0.1)
            self.assertLessEqual(time, 1)

    def test_what_a_policy_leaves_out_is_told(self):
        lines = self.lines(self.small, "--policy", "sdf-hybrid", "--set", "alpha=0", "--set",
                           "dirty_threshold=0")
        rounds = lines[0]["rounds"]
        self.assertGreater(len(rounds), 2)
        for before, after in zip(rounds, rounds[1:]):
            self.assertEqual(after["deferred_pages"], before["dirty_pages"] // 2)
            sdf = (before["dirty_pages"] - after["dirty_pages"]) / after["sent_pages"]
            self.assertAlmostEqual(after["sdf"], sdf)
        lines = self.lines(self.small, "--policy", "deferred")
        self.assertTrue(all("predicted_dirty_pages" in row for row in lines[0]["rounds"][1:]))

    def test_orders_are_swept_too(self):
        lines = self.lines(self.small, "--policy", "precopy,postcopy", "--set", "pivots=2",
                           "--set", "order=linear,bubble")
        self.assertEqual([(x["policy"], x.get("order"), x["settings"]) for x in lines],
                         [("precopy", None, {}), ("postcopy", "linear", {}),
                          ("postcopy", "bubble", {"pivots": 2})])

    def test_many_vms_are_many_lines(self):
        many = self.write("many.json", {"workload": {"kind": "idle"}, "vms": [
            {"name": "a", "count": 2, "ram": "8M"}, {"name": "b", "ram": "4M"}]})
        lines = self.lines(many, "--seed", "1-2")
        self.assertEqual([(x["seed"], x["vm"]["name"]) for x in lines],
                         [(s, n) for s in (1, 2) for n in ("a-1", "a-2", "b")])

    def test_the_bytes_do_not_depend_on_threads(self):
        words = (self.small, "--policy", "stop-copy,precopy,postcopy,hybrid", "--seed", "1-10",
                 "--json", "-")
        one = self.done(*words, "--jobs", "1")
        self.assertEqual(len(one.splitlines()), 40)
        for jobs in ("2", "7", "64"):
            self.assertEqual(self.done(*words, "--jobs", jobs), one)

    def test_seeds_differ_and_come_again(self):
        first, second, third = (self.done(self.small, "--json", "-", "--seed", seed)
                                for seed in ("1", "2", "1"))
        self.assertEqual(first, third)
        self.assertNotEqual(first, second)

    def test_a_trace_is_of_one_run(self):
        trace = self.path("trace")
        self.done(self.small, "--trace", trace)
        again = self.read("trace")
        self.assertIn(b"reservation", again.lower())
        self.done(self.small, "--trace", trace)
        self.assertEqual(self.read("trace"), again)
        self.refused(2, "a trace is of one run", self.small, "--seed", "1-2", "--trace", trace)

    def test_a_recorded_trace_is_not_overwritten(self):
        with open(self.path("rec"), "wb") as file:
            file.write(b"GWTRACE\x1a and more")
        self.refused(2, "is a recorded trace", self.small, "--trace", self.path("rec"))
        self.assertEqual(self.read("rec"), b"GWTRACE\x1a and more")


class Resume(Sim):
    words = ("--policy", "precopy,postcopy", "--seed", "1-20", "-q")

    def whole(self):
        self.done(self.small, *self.words, "--json", self.path("whole"))
        return self.read("whole")

    def test_what_is_there_is_not_played_again(self):
        whole = self.whole()
        lines = whole.splitlines(keepends=True)
        marked = [x.replace(b'"name":"web"', b'"name":"kept"') for x in lines]
        self.assertNotEqual(marked[0], lines[0])
        # With gaps, in disorder, and cut in the middle of a line.
        old = [marked[30], *marked[3:9], marked[1]]
        with open(self.path("old"), "wb") as file:
            file.write(b"".join(old) + lines[11][:40])
        self.done(self.small, *self.words, "--json", self.path("old"), "--resume")
        now = self.read("old").splitlines(keepends=True)
        kept = {1, 3, 4, 5, 6, 7, 8, 30}
        self.assertEqual(now, [marked[i] if i in kept else lines[i] for i in range(40)])
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["old", "small.json", "whole"])

    def test_from_nothing(self):
        whole = self.whole()
        self.done(self.small, *self.words, "--json", self.path("new"), "--resume")
        self.assertEqual(self.read("new"), whole)

    def test_other_runs_are_not_taken(self):
        whole = self.whole()
        other = self.write("other.json", {**SMALL, "downtime": "1s"})
        with open(self.path("old"), "wb") as file:
            file.write(whole)
        self.done(other, *self.words, "--json", self.path("old"), "--resume")
        self.assertNotIn(json.loads(whole.splitlines()[0])["run"].encode(), self.read("old"))

    def test_a_file_of_something_else_stays(self):
        self.write("old", "{\"important\": 1}\n")
        self.refused(1, ":1: is no result", self.small, "--json", self.path("old"), "--resume")
        self.assertEqual(self.read("old"), b'{"important": 1}\n')

    def test_resume_needs_a_file(self):
        self.refused(2, "--resume needs", self.small, "--resume")
        self.refused(2, "--resume needs", self.small, "--resume", "--json", "-")

    def test_an_interrupt_keeps_what_is_done(self):
        long = self.write("long.json", LONG)
        process = subprocess.Popen([GODWIT, "sim", self.small, long, "--json", self.path("out"),
                                    "--seed", "1-3", "--jobs", "2"], stderr=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        while len(self.read("out") if os.path.exists(self.path("out")) else b"") == 0:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        while self.read("out").count(b"\n") < 3:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(err, r"godwit: stopped: 3 of 6 runs are done; --resume")
        self.assertRegex(out, r"(?m)^small +precopy +3 of 3 ")
        self.assertEqual(self.read("out"), self.done(self.small, "--seed", "1-3", "--json", "-")
                         .encode())


class Refused(Sim):
    def test_wrong_words(self):
        self.refused(2, "sim needs more")
        self.refused(2, "--policy fast: there are stop-copy", self.small, "--policy", "fast")
        self.refused(2, "--set speed: no policy", self.small, "--set", "speed=1")
        self.refused(2, "--set order: no policy", self.small, "--set", "order=bubble")
        self.refused(2, "--set rounds: no policy", self.small, "--set", "rounds=1")
        self.refused(2, "--set stop=soon: 'soon' is no value", self.small, "--set", "stop=soon")
        self.refused(2, "--set stop: '' is no value", self.small, "--set", "stop=")
        self.refused(2, "write it as key=value", self.small, "--set", "stop")
        self.refused(2, "--set order=fast: there are", self.small, "--set", "order=fast")
        for seed in ("", "x", "1-", "-1", "3-2", "1,", "0-99999999999"):
            self.refused(2, "--seed", self.small, "--seed", seed)
        self.refused(2, "--jobs: 1 to", self.small, "--jobs", "0")

    def test_scenarios_name_key_value_and_line(self):
        bad = self.write("bad.json", '{"vm": {"ram": "16M"},\n"workload": {"kind": "idle",\n'
                                     '"working_set": "17M"}}')
        self.refused(1, "bad.json:3: workload.working_set: \"17M\" is larger", self.small, bad)
        self.refused(1, "nowhere.json: No such file", self.path("nowhere.json"))

    def test_results_that_cannot_be_written(self):
        self.refused(1, "cannot write results", self.small, "--json", self.path("no/file"))
        self.refused(1, "cannot write results", self.small, "--json", "/dev/full", "-q")


class Examples(Sim):
    def test_each_says_what_to_look_at_and_small_ones_run(self):
        names = sorted(os.listdir(EXAMPLES))
        self.assertGreaterEqual(len(names), 5)
        self.assertLessEqual(BIG, set(names))
        for name in names:
            with self.subTest(example=name):
                with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
                    example = json.load(file)
                self.assertRegex(example["look"], r"\A[A-Z0-9].*\.\Z")
                if name in BIG:
                    example["vm"]["ram"] = "16G"
                for line in self.lines(self.write(name, example)):
                    self.assertEqual(line["outcome"], "completed", line["reason"])


if __name__ == "__main__":
    unittest.main()
