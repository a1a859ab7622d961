# SPDX-License-Identifier: MIT
"""One paper's run in one world: what a paper's file works with.

    run.heading("Figure 2a")
    run.text("...")
    rows = [...]                                        dicts by column
    run.table("figure-2a", "Total time ...", COLUMNS, rows)
    run.chart("figure-2a", "Total time ...", {...})     kit/chart.py says what a chart is
    run.note("hand_total_s", 1627.38)                   a figure that a claim asks for

Whatever is told is kept as data first; the page is made of it afterwards.
"""

import collections
import csv
import json
import os
import subprocess
import sys
import tempfile

from kit import chart as charts
from kit.progress import Progress

# key: of the CSV; head: of the page; digits: of numbers on the page
Column = collections.namedtuple("Column", "key head digits", defaults=(None,))


class PaperError(Exception):
    """One sentence for the user."""


class NotHere(PaperError):
    """This machine cannot do it; the rest goes on."""


class Table:
    """Where a table's CSV lies, and in which order its columns stand."""

    def __init__(self, path, keys):
        self.path, self.keys = path, keys

    def index(self, key):
        return self.keys.index(key)


def _cell(value):
    return repr(value) if isinstance(value, float) else "" if value is None else value


class Run:
    def __init__(self, godwit, folder, quick=False, quiet=False):
        self.godwit_path, self.folder = godwit, folder
        self.quick, self.quiet = quick, quiet
        self.blocks, self.found, self.tables = [], {}, {}

    # --- what is told ---

    def heading(self, text):
        self.blocks.append({"kind": "heading", "text": text})

    def text(self, text):
        self.blocks.append({"kind": "text", "text": " ".join(text.split())})

    def note(self, name, value):
        if name in self.found:
            raise ValueError(f"{name} is noted twice")
        self.found[name] = value

    def table(self, name, title, columns, rows, shown=True):
        """Writes NAME.csv; on the page too, unless it is for a chart alone."""
        path = os.path.join(self.folder, name + ".csv")
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([column.key for column in columns])
            writer.writerows([_cell(row.get(column.key)) for column in columns] for row in rows)
        self.tables[name] = Table(path, [column.key for column in columns])
        if shown:
            self.blocks.append({"kind": "table", "name": name, "title": title,
                                "columns": [column._asdict() for column in columns], "rows": rows})

    def chart(self, name, title, chart):
        """Draws NAME.svg out of the table of that name, or of chart["table"]."""
        chart = {"table": name, **chart}
        self.blocks.append({"kind": "chart", "name": name, "title": title, "csv": chart["table"]})
        if charts.available():
            charts.draw(chart, self.tables, os.path.join(self.folder, name + ".svg"))

    def progress(self, label, items):
        return Progress(label, items, self.quiet)

    def say(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    # --- godwit ---

    def godwit(self, *words):
        """Standard output of one call."""
        done = subprocess.run([self.godwit_path, *map(str, words)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            said = done.stderr.strip().removeprefix("godwit: ")
            raise PaperError(f"godwit {' '.join(map(str, words))}: {said}")
        return done.stdout

    def json(self, *words):
        return json.loads(self.godwit(*words))

    def sim(self, scenario, *words):
        """The results of a scenario, given as a dict; words: --policy, --set, --seed ..."""
        with tempfile.TemporaryDirectory(prefix="godwit-paper-") as folder:
            path = os.path.join(folder, "scenario.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(scenario, file)
            out = self.godwit("sim", path, "--quiet", "--json", "-", *words)
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    # --- what is kept ---

    def part(self):
        return {"found": self.found, "blocks": self.blocks}
