#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The papers' worked examples through the command line, and what it refuses.

    predict_test.py GODWIT
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

GODWIT = os.path.abspath(sys.argv.pop(1))


def run(*words):
    return subprocess.run([GODWIT, *words], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, text):
        path = os.path.join(self.folder.name, "input")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def result(self, *words):
        done = run(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def refused(self, sentence, *words):
        done = run(*words)
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\Agodwit: [^\n]+\n\Z")
        self.assertIn(sentence, done.stderr)


class Page(Case):
    def test_markov(self):
        result = self.result("predict", "markov", "--bits", "1101001000", "--steps", "2")
        self.assertEqual((result["p11"], result["p01"]), (0.25, 0.4))
        self.assertAlmostEqual(result["forecast"][1], 0.4 * 0.25 + 0.6 * 0.4)

    def test_gilbert_elliott(self):
        result = self.result("predict", "gilbert-elliott", "--b", "0.6", "--g", "0.9")
        for key, value in {"b": 0.6, "g": 0.9, "p_good": 0.6, "p_bad": 0.4, "expected": 0.42}.items():
            self.assertAlmostEqual(result[key], value)
        self.assertAlmostEqual(self.result("predict", "gilbert-elliott", "--b", "1", "--g", "1",
                                           "--e1", "0.2", "--e2", "0.4")["expected"], 0.3)

    def test_bad_input(self):
        self.refused("--bits", "predict", "markov")
        self.refused("'2'", "predict", "markov", "--bits", "0120")
        self.refused("--steps 0", "predict", "markov", "--bits", "01", "--steps", "0")
        self.refused("--b 'nan'", "predict", "gilbert-elliott", "--b", "nan", "--g", "1")
        self.refused("together", "predict", "gilbert-elliott", "--b", "1")
        self.refused("both 0", "predict", "gilbert-elliott", "--b", "0", "--g", "0")
        self.refused("there is no predictor 'x'", "predict", "x")


class WriteSet(Case):
    def setUp(self):
        super().setUp()
        self.windows = self.file("1 2\n2,3 4\n1 4 5\n")

    def follow(self, *words):
        result = self.result("predict", "write-set", "--windows", self.windows, *words)
        return {row["page"]: row["probability"] for row in result["transitions"]}

    def test_the_papers_example(self):
        self.assertEqual(self.follow("--from", "1"), {2: 0.5, 3: 0.25, 4: 0.25})
        plain = self.follow("--from", "1", "--plain")
        self.assertEqual(set(plain), {2, 3, 4})
        for share in plain.values():
            self.assertAlmostEqual(share, 1 / 3)
        self.assertEqual(self.follow("--from", "77"), {})

    def test_windows_that_say_nothing(self):
        for text in ("", "\n", "1 2\n"):
            self.windows = self.file(text)
            self.assertEqual(self.follow("--from", "1"), {})

    def test_likeliest_first(self):
        rows = self.result("predict", "write-set", "--windows", self.windows, "--dirty",
                           "1,2,4000000000")["pages"]
        scores = [row["score"] for row in rows]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(rows[0]["page"], 2)

    def test_bad_input(self):
        self.refused("--windows", "predict", "write-set", "--from", "1")
        self.refused("either", "predict", "write-set", "--windows", self.windows)
        self.refused("/no/such", "predict", "write-set", "--windows", "/no/such", "--from", "1")
        self.refused("line 2: 'x'", "predict", "write-set", "--windows", self.file("1\n2,x\n"),
                     "--from", "1")
        self.refused("'-1'", "predict", "write-set", "--windows", self.windows, "--dirty", "-1")


class Grey(Case):
    def table(self, *more):
        """A system that follows the difference equation with a = 0.5, b = 2."""
        rows, total, driven = ["x1,x2"], 0.0, 0.0
        for k, driver in enumerate((3, 5, 4, 6, 2, 7, 5, 4)):
            driven += driver
            value = 2 * driven if not k else (2 * driven - 0.5 * total) / 1.25
            total += value
            rows.append(f"{value},{driver}")
        driven += 6
        return "\n".join([*rows, *more]) + "\n", (2 * driven - 0.5 * total) / 1.25

    def test_recovers_the_system(self):
        text, wanted = self.table(",6")
        for residual in ("on", "off"):
            result = self.result("predict", "grey", "--input", self.file(text), "--residual",
                                 residual)
            self.assertAlmostEqual(result["a"], 0.5, places=6)
            self.assertAlmostEqual(result["b"][0], 2, places=6)
            self.assertAlmostEqual(result["forecast"], wanted, places=4)
            self.assertEqual(len(result["fitted"]), 8)
            self.assertFalse(result["fallback"])

    def test_fallback(self):
        result = self.result("predict", "grey", "--input", self.file("x1,x2\n4,1\n4,1\n,1\n"))
        self.assertTrue(result["fallback"])
        self.assertEqual(result["forecast"], 4)

    def test_why_it_falls_back(self):
        rows = ["x1,x2,x3", *(f"{k * k},{k},{k % 3}" for k in range(1, 9))]
        constant = ["x1,x2", *(f"5,{k}" for k in range(9))]
        for text, reason in ((rows[:4], "there are too few rounds"), (rows[:1], "there are too few rounds"),
                             (constant, "the series is constant")):
            result = self.result("predict", "grey", "--input", self.file("\n".join(text) + "\n"))
            self.assertEqual((result["fallback"], result["reason"]), (True, reason))
        whole = self.result("predict", "grey", "--input", self.file("\n".join(rows) + "\n"))
        self.assertNotIn("reason", whole)

    def test_bad_input(self):
        for text, sentence in (("", "holds nothing"), ("x1,x2\nmany,1\n", "x1 is 'many'"), ("x1\n", "driver"), ("x1,y\n", "'y'"),
                               ("x1,x2\n1\n", "line 2 has 1 columns"),
                               ("x1,x2\n1,nan\n", "x2 is 'nan'"),
                               ("x1,x2\n,1\n2,2\n", "only the last row")):
            with self.subTest(text=text):
                self.refused(sentence, "predict", "grey", "--input", self.file(text))
        self.refused("--form", "predict", "grey", "--input", self.file("x1,x2\n"), "--form", "z")


class Baselines(Case):
    def test_of_a_page(self):
        for name, wanted in {"rate": 0.4, "last": 0, "ewma": 0.07421875, "dirty-only": 0.25}.items():
            self.assertEqual(self.result("predict", name, "--bits", "1101001000")["forecast"], wanted)

    def test_of_a_series(self):
        path = self.file("x1,x2\n4,9\n1,9\n7,9\n,9\n")
        for name, wanted in {"last": 7, "mean": 4, "weighted-mean": 4.5, "ewma": 4.75}.items():
            result = self.result("predict", name, "--input", path)
            self.assertEqual(result["forecast"], wanted)
            self.assertEqual(len(result["fitted"]), 3)
        self.assertEqual(self.result("predict", "mean", "--input", self.file("x1\n4\n2\n"))["forecast"], 3)

    def test_bad_input(self):
        self.refused("--bits or --input", "predict", "last")
        self.refused("needs --input", "predict", "mean", "--bits", "01")
        self.refused("needs --bits", "predict", "rate", "--input", "x")
        self.refused("no row", "predict", "mean", "--input", self.file("x1\n"))
        self.refused("x1 is 'many'", "predict", "mean", "--input", self.file("x1\nmany\n"))


class Pages(Case):
    """Page 1 is written in each round, page 2 in every other one, page 3 once."""

    def test_the_four_cases(self):
        path = self.file("1 2 3\n1\n1 2\n1\n1 2\n")
        result = self.result("predict", "pages", path, "--learn", "4", "--table")
        self.assertEqual((result["rounds"], result["pages"], result["forecasts"]), (5, 3, 3))
        by_name = {row["name"]: row for row in result["predictors"]}
        self.assertEqual({row["page"]: row["history"] for row in result["table"]},
                         {1: "1111", 2: "1010", 3: "1000"})
        self.assertEqual([row["written"] for row in sorted(result["table"], key=lambda r: r["page"])],
                         [True, True, False])
        # Of those that are dirty, page 1 alone, all leave it out, and rightly.
        for name in ("markov", "dirty-only", "gilbert-elliott", "rate", "last", "ewma"):
            row = by_name[name]
            self.assertEqual((row["deferred"], row["saved"], row["wrong"], row["in_vain"]),
                             (1, 1, 0, 0), name)
        self.assertAlmostEqual(by_name["rate"]["brier"], (0 + 0.25 + 0.0625) / 3)
        self.assertAlmostEqual(by_name["markov"]["brier"], 0)
        self.assertNotIn("brier", by_name["write-set"])

    def test_bad_input(self):
        self.refused("needs a file", "predict", "pages")
        self.refused("takes no file", "predict", "markov", "x")
        self.refused("/no/such", "predict", "pages", "/no/such")
        self.refused("has 2 rounds", "predict", "pages", self.file("1\n2\n"))
        self.refused("has 0 rounds", "predict", "pages", self.file(""))
        self.refused("holds no page", "predict", "pages", self.file("\n\n\n"))
        self.refused("line 2: 'x'", "predict", "pages", self.file("1\nx\n3\n"))
        self.refused("--pt '2'", "predict", "pages", self.file("1\n2\n3\n"), "--pt", "2")
        self.refused("--learn 0", "predict", "pages", self.file("1\n2\n3\n"), "--learn", "0")


class Model(Case):
    WORKED = ("--volume", "11264", "--bandwidth", "12.5", "--write-rate", "3", "--read-rate", "3",
              "--stop-limit", "1000", "--background-share", "0.3")

    def test_worked_by_hand(self):
        result = self.result("model", "hybrid", *self.WORKED, "--json", "-")
        self.assertEqual(result["n"], 2)
        for key, value in {"t1_s": 584.65, "t2_s": 80, "t3_s": 962.74, "total_s": 1627.38,
                           "unavailable_s": 311.06}.items():
            self.assertAlmostEqual(result[key], value, delta=0.006)

    def test_units_are_understood(self):
        result = self.result("model", "precopy", "--volume", "11264", "--bandwidth", "100mbit",
                             "--stop-limit", "1000")
        self.assertAlmostEqual(result["unavailable_s"], 80)

    def test_diverges(self):
        result = self.result("model", "precopy", "--volume", "10", "--bandwidth", "1",
                             "--write-rate", "1", "--stop-limit", "1")
        self.assertEqual((result["n"], result["total_s"]), ("infinite", "infinite"))

    def test_bad_input(self):
        self.refused("--volume and --bandwidth", "model", "hybrid")
        self.refused("there is no model 'x'", "model", "x", *self.WORKED)
        self.refused("bandwidth must be", "model", "precopy", "--volume", "1", "--bandwidth", "0")
        self.refused("--volume 'many'", "model", "precopy", "--volume", "many", "--bandwidth", "1")


if __name__ == "__main__":
    unittest.main()
