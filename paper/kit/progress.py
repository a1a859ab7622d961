# SPDX-License-Identifier: MIT
"""How far the work is, on standard error: a line that changes on a terminal, plain lines otherwise."""

import sys
import time

EVERY_SECONDS = 15.0  # of the plain lines


def in_words(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class Progress:
    """for item in Progress("sweeping", items): ..."""

    def __init__(self, label, items, quiet=False):
        self.label, self.items, self.quiet = label, list(items), quiet
        self.terminal = sys.stderr.isatty()

    def __iter__(self):
        self.began = self.told = time.monotonic()
        for done, item in enumerate(self.items):
            self._tell(done)
            yield item
        if self.terminal and not self.quiet:
            sys.stderr.write("\r\033[K")

    def _tell(self, done):
        now = time.monotonic()
        if self.quiet or not (self.terminal or now - self.told >= EVERY_SECONDS):
            return
        self.told = now
        left = f", {in_words((now - self.began) / done * (len(self.items) - done))} left" if done else ""
        text = f"{self.label}: {done} of {len(self.items)}{left}"
        sys.stderr.write(f"\r\033[K{text}" if self.terminal else text + "\n")
        sys.stderr.flush()
