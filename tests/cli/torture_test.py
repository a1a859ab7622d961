#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`godwit torture`: the result, its replay, and what it refuses.    torture_test.py GODWIT"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

GODWIT = os.path.abspath(sys.argv.pop(1))


def torture(*words):
    return subprocess.run([GODWIT, "torture", *words], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, check=False)


class Torture(unittest.TestCase):
    def test_the_result_does_not_depend_on_the_threads(self):
        one, three = (torture("--runs", "3000", "--jobs", jobs, "--json", "-")
                      for jobs in ("1", "3"))
        self.assertEqual(one.returncode, 0, one.stderr)
        self.assertEqual(one.stdout, three.stdout)
        result = json.loads(one.stdout)
        self.assertEqual((result["runs"], result["violations"], result["failures"]), (3000, 0, []))
        self.assertEqual(sum(result["ended"].values()), 3000)
        self.assertGreater(min(result["faults"].values()), 0)
        self.assertIn("Commitment", result["states"]["source"])

    def test_two_halves_are_the_whole(self):
        whole, first, second = (json.loads(torture("--seed", seed, "--runs", runs, "--json",
                                                   "-").stdout)
                                for seed, runs in (("1", "500"), ("1", "250"), ("251", "250")))
        self.assertEqual(whole["lines"], first["lines"] + second["lines"])

    def test_the_table(self):
        result = torture("--runs", "500")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("the link is cut", result.stdout)
        self.assertIn("violations: 0\n", result.stdout)
        self.assertRegex(result.stderr, r"\d+ runs a second and core\n\Z")

    def test_systematic(self):
        result = torture("--systematic", "--runs", "400", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["runs"], 400)

    def test_a_trace_is_the_same_each_time(self):
        with tempfile.TemporaryDirectory(prefix="godwit-torture-") as folder:
            path = os.path.join(folder, "trace")
            self.assertEqual(torture("--seed", "7", "--runs", "1", "--trace", path).returncode, 0)
            with open(path, encoding="utf-8") as file:
                text = file.read()
        again = torture("--seed", "7", "--runs", "1", "--trace", "-")
        self.assertEqual(again.stdout, text)
        self.assertIn("says OFFER", text)

    def test_what_is_refused(self):
        for words, sentence in ((("--jobs", "0"), "--jobs"),
                                (("--trace", "-"), "--trace is of one run"),
                                (("--systematic", "--seed", "99999999999"), "systematic runs are"),
                                (("--systematic", "--seed", "0"), "systematic runs are"),
                                (("--runs", "many"), "many"), (("what",), "what")):
            with self.subTest(words=words):
                result = torture(*words)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertRegex(result.stderr, r"\Agodwit: [^\n]+\n\Z")
                self.assertIn(sentence, result.stderr)

    def test_where_nothing_can_be_written(self):
        result = torture("--runs", "1", "--trace", "/nowhere/trace")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nowhere/trace", result.stderr)


if __name__ == "__main__":
    unittest.main()
