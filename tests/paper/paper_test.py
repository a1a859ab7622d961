#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`godwit paper`: what it leaves, and what it refuses.

    paper_test.py GODWIT
"""
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

GODWIT = os.path.abspath(sys.argv.pop(1))


def papers():
    usage = subprocess.run([GODWIT, "paper", "--help"], capture_output=True, text=True, check=True)
    return re.search(r"usage: godwit paper (\S+) ", usage.stdout)[1].split("|")[:-1]


class PaperTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def paper(self, *words, **environment):
        return subprocess.run([GODWIT, "paper", *words], capture_output=True, text=True, timeout=280,
                              stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, **environment})

    def refused(self, status, sentence, *words):
        done = self.paper(*words)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"(?m)^godwit: [^\n]+\n\Z")
        self.assertIn(sentence, done.stderr)

    def quickly(self, name):
        done = self.paper(name, "--sim-only", "--quick", "-q", "--json", "-", "-o", self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class Left(PaperTest):
    def check(self, name, measured):
        results = self.quickly(name)
        self.assertEqual((results["schema"], results["paper"]), ("godwit.paper/1", name))
        with open(self.path(name, "results.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), results)
        with open(self.path("index.html"), encoding="utf-8") as file:
            page = file.read()
        self.check_blocks(name, results["parts"]["sim"]["blocks"], page)
        verdicts = [claim["verdict"] for claim in results["claims"]]
        self.assertGreaterEqual(len(verdicts) - verdicts.count("not measured"), measured)
        return results

    def check_blocks(self, name, blocks, page):
        charts = tables = 0
        for block in blocks:
            if block["kind"] == "chart":
                charts += 1
                self.assertGreaterEqual(support.curves(self.path(name, block["name"] + ".svg")), 1)
                self.assertIn(f"{name}/{block['name']}.svg", page)
            elif block["kind"] == "table":
                tables += 1
                self.check_table(name, block, page)
        self.assertGreater(charts, 0)
        self.assertGreater(tables, 0)

    def check_table(self, name, block, page):
        with open(self.path(name, block["name"] + ".csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), len(block["rows"]))
        for row, ours in zip(rows, block["rows"]):
            for column in block["columns"]:
                if column["digits"] is None or not row[column["key"]] or row[column["key"]] == "infinite":
                    continue
                value = float(row[column["key"]])
                self.assertEqual(value, ours[column["key"]])
                self.assertIn(f">{value:,.{column['digits']}f}<", page)

    def test_s1(self):
        results = self.check("s1", 2)
        self.assertEqual([c["verdict"] for c in results["claims"][:2]], ["confirmed"] * 2)

    def test_s2(self):
        results = self.check("s2", 13)
        verdicts = {claim["where"]: claim["verdict"] for claim in results["claims"]}
        for where in ("equations 1 to 8", *(f"figure {n}, concurrent" for n in (6, 7, 8)), "section 5",
                      "section 5, beyond half"):
            self.assertEqual(verdicts[where], "confirmed", where)
        self.assertEqual(verdicts["NRAC, lines 10 and 15"], "not confirmed")

    def test_s4(self):
        results = self.check("s4", 9)
        self.assertEqual(results["claims"][0]["verdict"], "confirmed")

    def test_s3(self):
        results = self.check("s3", 7)
        headlines = [claim["verdict"] for claim in results["claims"] if claim["where"].startswith("4.4")]
        self.assertEqual(headlines, ["confirmed", "not measured"] * 2)  # simulated, live

    def test_s5(self):
        results = self.check("s5", 7)
        by_hand = results["claims"][0]
        self.assertEqual(by_hand["verdict"], "confirmed")

    def test_without_gnuplot_there_are_data(self):
        bare = self.path("bin")
        os.mkdir(bare)
        os.symlink(sys.executable, os.path.join(bare, "python3"))
        done = self.paper("s5", "--sim-only", "--quick", "-o", self.folder, PATH=bare)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("install gnuplot-nox", done.stderr)
        names = os.listdir(self.path("s5"))
        self.assertIn("figure-2a.csv", names)
        self.assertEqual([name for name in names if name.endswith(".svg")], [])
        with open(self.path("index.html"), encoding="utf-8") as file:
            self.assertIn("gnuplot was missing", file.read())


class Refused(PaperTest):
    def test_wrong_words(self):
        self.refused(2, "paper needs more")
        self.refused(2, "there is no paper 's9'; there are", "s9", "-o", self.folder)
        self.refused(2, "paper needs -o DIR", "s5")
        self.refused(2, "either --sim-only or --live-only", "s5", "-o", self.folder, "--sim-only",
                     "--live-only")

    def test_a_folder_that_cannot_be_written(self):
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.refused(1, "cannot write to", "s5", "--sim-only", "-o", self.path("file"))

    def test_json_that_cannot_be_written(self):
        self.refused(1, "No such file", "s5", "--sim-only", "--quick", "-q", "-o", self.folder,
                     "--json", self.path("no", "file"))

    def test_the_list_is_of_the_files(self):
        there = sorted(name.removesuffix(".py") for name in
                       os.listdir(os.path.join(support.ROOT, "paper"))
                       if re.fullmatch(r"s\d\.py", name))
        self.assertEqual(papers(), there)


if __name__ == "__main__":
    support.need_gnuplot()
    unittest.main()
