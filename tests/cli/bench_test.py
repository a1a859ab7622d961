#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`godwit bench` is bench/bench.py: its tables, its JSON, its errors.

    bench_test.py GODWIT
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

GODWIT = os.path.abspath(sys.argv.pop(1))


def run(*words, program=GODWIT):
    return subprocess.run([program, "bench", *words], capture_output=True, text=True, timeout=300,
                          check=False)


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def fails(self, done, status, part):
        self.assertEqual((done.returncode, done.stdout), (status, ""), done)
        self.assertRegex(done.stderr, r"\Agodwit: [^\n]+\n\Z")
        self.assertIn(part, done.stderr)

    def test_shows_an_earlier_run(self):
        spread = {"median": 3.2e9, "min": 3.1e9, "max": 3.3e9, "n": 2}
        rows = [{"workload": "calm", "engine": engine, "mode": "hybrid",
                 "outcomes": {"completed": 2, "not-converged": 0, "failed": 0},
                 "total_time_ns": spread} for engine in ("qemu", "godwit")]
        path = os.path.join(self.folder, "earlier.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"schema": "godwit.bench/1", "kind": "side-by-side", "summary": rows}, file)
        done = run("--show", path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for words in "qemu hybrid", "godwit hybrid", "3.20 (3.10-3.30)":
            self.assertIn(words, done.stdout)

    def test_nothing_to_measure(self):
        self.fails(run("--engine", "--parts", "none", "--rounds", "0"), 2, "--rounds")
        self.fails(run("--limit", "soon"), 2, "--limit")
        self.fails(run("--show", self.folder + "/none"), 1, "No such file")
        self.fails(run("--no-such-option"), 2, "--no-such-option")

    def test_json_alone_on_standard_output(self):
        done = run("--engine", "--parts", "none", "--output", self.folder, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["kind"], "engine")

    def test_wants_its_source_tree(self):
        alone = shutil.copy(GODWIT, self.folder)
        self.fails(run(program=alone), 1, "source tree")


if __name__ == "__main__":
    unittest.main()
