#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paper/kit: verdicts out of checks, tables that hold what was given, charts, the page."""
import csv
import os
import shutil
import sys
import tempfile
import unittest

import support
from kit import chart, numbers
from kit.claim import CONFIRMED, IN_PART, NOT, UNMEASURED, Claim, judge, verdict_of
from kit.document import Html, Markdown, summary, write
from kit.paper import Paper, load, regenerate, rejudge
from kit.run import Column, NotHere, PaperError, Run


def claim(judge_by):
    return Claim("table 1", "it is so", "7", "all of it", judge_by)


class Claims(unittest.TestCase):
    def test_checks_make_the_verdict(self):
        self.assertEqual(verdict_of([True, True]), CONFIRMED)
        self.assertEqual(verdict_of([True, False]), IN_PART)
        self.assertEqual(verdict_of([False]), NOT)
        with self.assertRaises(ValueError):
            verdict_of([])

    def test_a_judge_sees_what_was_found(self):
        row = judge(claim(lambda found: (f"{found['x']}", [found["x"] == 7])), {"x": 7})
        self.assertEqual((row["ours"], row["verdict"]), ("7", CONFIRMED))

    def test_what_was_not_taken_is_not_judged(self):
        row = judge(claim(lambda found: (f"{found['x']}", [True])), {})
        self.assertEqual((row["ours"], row["verdict"]), ("", UNMEASURED))


class Numbers(unittest.TestCase):
    def test_spread(self):
        self.assertEqual(numbers.spread([3, 1]), (2, 1, 3))
        self.assertEqual(numbers.spread([5, 1, 2, 3, 4]), (3, 2, 4))

    def test_an_interval_holds_the_mean_and_comes_again(self):
        values = [1, 2, 3, 4, 10]
        mean, low, high = numbers.interval(values)
        self.assertEqual(mean, 4)
        self.assertTrue(1 <= low < mean < high <= 10)
        self.assertEqual(numbers.interval(values), (mean, low, high))

    def test_error(self):
        self.assertEqual(numbers.error(3, 2), 0.5)
        self.assertEqual(numbers.error(0, 0), 0)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8") as file:
            return file.read()


COLUMNS = [Column("x", "x, s", 0), Column("y", "y | z", 2), Column("low", "low", 2),
           Column("high", "high", 2)]
ROWS = [{"x": k, "y": 1 / (k + 1), "low": 0.0, "high": 1.0} for k in range(4)]


class Tables(Folder):
    def test_the_file_holds_what_was_given(self):
        run = Run("godwit", self.folder)
        run.table("t", "title", COLUMNS, ROWS)
        with open(self.path("t.csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([float(row["y"]) for row in rows], [row["y"] for row in ROWS])

    def test_what_is_missing_stays_empty(self):
        Run("godwit", self.folder).table("t", "", COLUMNS, [{"x": 1, "y": "infinite"}])
        self.assertEqual(self.read("t.csv"), "x,y,low,high\n1,infinite,,\n")

    def test_a_figure_has_one_value(self):
        run = Run("godwit", self.folder)
        run.note("n", 1)
        with self.assertRaises(ValueError):
            run.note("n", 2)


class Charts(Folder):
    def draw(self, kind, **series):
        run = Run("godwit", self.folder)
        run.table("t", "", COLUMNS, ROWS)
        run.chart("t", "a chart", {"kind": kind, "x": "x", "ylabel": 'y "quoted" \\ s',
                                   "series": [{"column": "y", "title": "one", **series},
                                              {"column": "high", "title": "two", **series}]})
        return support.curves(self.path("t.svg"))

    def test_each_kind_is_drawn(self):
        for kind in ("lines", "points", "bars"):
            for series in ({}, {"low": "low", "high": "high"}):
                with self.subTest(kind=kind, series=series):
                    self.assertEqual(self.draw(kind, **series), 2)

    def test_nothing_to_draw_is_an_error(self):
        run = Run("godwit", self.folder)
        run.table("t", "", COLUMNS, [])
        with self.assertRaisesRegex(chart.ChartError, "gnuplot cannot draw .*t.svg"):
            run.chart("t", "", {"kind": "lines", "x": "x", "ylabel": "y",
                                "series": [{"column": "y", "title": "one"}]})


def play(run):
    run.heading("What was done")
    run.text("Some <b>words</b>.")
    run.table("t", "A table", COLUMNS, ROWS)
    run.note("x", 7)


PAPER = Paper("s0", "On nothing", "Nobody", [claim(lambda found: ("seven", [found["x"] == 7])),
                                              claim(lambda found: ("", [found["live"]]))],
              play, lambda run: run.note("live", True))


class Pages(Folder):
    def test_both_pages_show_the_numbers_of_the_file(self):
        results = regenerate(PAPER, self.folder, ("sim",), "godwit", quiet=True)
        markdown, page = Markdown("pictures"), Html("s0")
        write(markdown, results, self.path("s0"))
        write(page, results, self.path("s0"))
        with open(self.path("s0", "t.csv"), encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                self.assertIn(f"| {row['x']} | {float(row['y']):.2f} |", markdown.page())
                self.assertIn(f"<td class=number>{row['x']}</td><td class=number>"
                              f"{float(row['y']):.2f}</td>", page.page())
        self.assertIn("y \\| z", markdown.page())
        self.assertIn("&lt;b&gt;words", page.page())
        self.assertIn(f"**{CONFIRMED}**", markdown.page())
        self.assertIn(f"**{UNMEASURED}**", markdown.page())

    def test_the_other_part_is_kept(self):
        regenerate(PAPER, self.folder, ("sim",), "godwit", quiet=True)
        results = regenerate(PAPER, self.folder, ("live",), "godwit", quiet=True)
        self.assertEqual([row["verdict"] for row in results["claims"]], [CONFIRMED, CONFIRMED])
        self.assertEqual(load(self.path("s0", "results.json")), results)
        self.assertEqual(set(results["parts"]), {"sim", "live"})

    def test_what_cannot_be_done_here_is_left_out(self):
        def never(_run):
            raise NotHere("no such thing here")
        paper = PAPER._replace(live=never)
        results = regenerate(paper, self.folder, ("sim", "live"), "godwit", quiet=True)
        self.assertEqual(set(results["parts"]), {"sim"})
        with self.assertRaises(NotHere):
            regenerate(paper, self.folder, ("live",), "godwit", quiet=True)

    def test_the_summary_counts_verdicts(self):
        results = regenerate(PAPER, self.folder, ("sim",), "godwit", quiet=True)
        page = Markdown("")
        summary(page, [results])
        self.assertIn("| S0: On nothing | 2 | 1 | 0 | 0 | 1 |", page.page())

    def test_verdicts_follow_the_figures(self):
        results = regenerate(PAPER, self.folder, ("sim",), "godwit", quiet=True)
        results["parts"]["sim"]["found"]["x"] = 8
        self.assertEqual(rejudge(PAPER, results)["claims"][0]["verdict"], NOT)

    def test_a_folder_that_cannot_be_made(self):
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        with self.assertRaisesRegex(PaperError, "cannot write to"):
            regenerate(PAPER, self.path("file"), ("sim",), "godwit")

    def test_what_godwit_refuses_is_told(self):
        run = Run(os.environ.get("FALSE", "false"), self.folder)
        with self.assertRaisesRegex(PaperError, "godwit model x"):
            run.godwit("model", "x")


if __name__ == "__main__":
    support.need_gnuplot()
    unittest.main(argv=sys.argv[:1])
