# SPDX-License-Identifier: MIT
"""lab/show.py - what the demo writes: sentences, a few lines that are redrawn, and a table.

On a terminal the live lines are redrawn in place; elsewhere they are left out, and what stands
still is the same text.
"""

import contextlib
import os
import shutil
import sys
import textwrap
import threading
import time

INDENT = "      "
BEATS = 60  # the most characters of a heartbeat
BARS = {True: "▁▂▃▄▅▆▇█", False: "_.:-=+*#"}
BAR_LIMITS_MS = (40, 60, 100, 150, 250, 400, 800)


def duration(ns):
    """'107 ms', '3.8 s': three digits at most."""
    if ns is None:
        return "-"
    if ns >= 999_500_000:
        return f"{ns / 1e9:.1f} s"
    return f"{ns / 1e6:.0f} ms" if ns >= 9_950_000 else f"{ns / 1e6:.1f} ms"


def size(count):
    return "-" if count is None else f"{count / (1 << 20):.0f} MiB"


def number(count):
    return "-" if count is None else f"{count:,}"


class Screen:
    """Standard output, with what it can do."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.unicode = (self.stream.encoding or "").lower().replace("-", "") == "utf8"
        self.colour = self.terminal and "NO_COLOR" not in os.environ
        self.started = time.monotonic()
        self._live = 0

    @property
    def columns(self):
        return min(shutil.get_terminal_size((100, 24)).columns, 100)

    @property
    def arrow(self):
        return "→" if self.unicode else "->"

    def style(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def bold(self, text):
        return self.style("1", text)

    def dim(self, text):
        return self.style("2", text)

    def good(self, text):
        return self.style("32", text)

    def bad(self, text):
        return self.style("1;31", text)

    # -- what stays --

    def line(self, text=""):
        self.wipe()
        self.stream.write(text + "\n")
        self.stream.flush()

    def wrapped(self, text, indent="", first=None, paint=None):
        """A sentence, folded at the screen's edge."""
        lines = textwrap.wrap(text, self.columns - 1, subsequent_indent=indent,
                              initial_indent=indent if first is None else first)
        for one in lines:
            self.line(paint(one) if paint else one)

    def step(self, text):
        """What happens now, with the time since the start."""
        self.line(self.dim(f"{time.monotonic() - self.started:5.1f} s  ") + text)

    def table(self, headings, rows, right):
        """right: the columns that hold numbers."""
        widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]

        def laid_out(row):
            cells = (cell.rjust(width) if i in right else cell.ljust(width)
                     for i, (cell, width) in enumerate(zip(row, widths)))
            return "  " + "  ".join(cells).rstrip()

        self.line(self.bold(laid_out(headings)))
        for row in rows:
            self.line(laid_out(row))

    # -- what is redrawn --

    def live(self, *lines):
        if not self.terminal:
            return
        self.wipe()
        width = self.columns - 1
        self.stream.write("\n".join(line[:width] for line in lines))
        self.stream.flush()
        self._live = len(lines)

    @contextlib.contextmanager
    def waiting(self, lines):
        """Redraws what lines() returns while the body waits; the body must write nothing."""
        over = threading.Event()

        def draw():
            while not over.wait(0.1):
                self.live(*lines())

        drawer = threading.Thread(target=draw, daemon=True)
        drawer.start()
        try:
            yield
        finally:
            over.set()
            drawer.join()
            self.wipe()

    def wipe(self):
        if self._live:
            up = f"\033[{self._live - 1}A" if self._live > 1 else ""
            self.stream.write(f"\r{up}\033[J")
            self._live = 0


class Heartbeat:
    """The client's silence over time as a row of bars, one for each TICK_NS."""

    TICK_NS = 100_000_000

    def __init__(self, unicode):
        self.bars = BARS[unicode]
        self.longest = []  # of each tick, in ns
        self.began = time.monotonic_ns()

    def add(self, silence_ns):
        tick = (time.monotonic_ns() - self.began) // self.TICK_NS
        while len(self.longest) <= tick:
            self.longest.append(silence_ns)
        self.longest[tick] = max(self.longest[tick], silence_ns)

    def text(self):
        each = -(-len(self.longest) // BEATS) or 1  # ticks that share a bar when it gets long
        groups = [max(self.longest[i:i + each]) for i in range(0, len(self.longest), each)]
        return "".join(self.bars[sum(ns > limit * 1_000_000 for limit in BAR_LIMITS_MS)]
                       for ns in groups)
