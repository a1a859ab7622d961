#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paper/main.py - regenerates papers' tables and figures; `godwit paper` calls it.

    main.py --godwit PATH -o DIR [--sim-only|--live-only] [--quick] [--json FILE] PAPER...

Each PAPER is a file beside this one that defines PAPER (kit/paper.py says what that is).
"""

import argparse
import importlib
import json
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from kit.chart import ChartError  # noqa: E402
from kit.paper import PARTS, pictures_missing, regenerate, write_index  # noqa: E402
from kit.run import PaperError  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


def names():
    """Of all papers that there are."""
    return sorted(name.removesuffix(".py") for name in os.listdir(HERE)
                  if name.startswith("s") and name.endswith(".py"))


def paper_of(name):
    return importlib.import_module(name).PAPER


def parse():
    parser = argparse.ArgumentParser(description="Regenerates papers' tables and figures.")
    parser.add_argument("papers", nargs="+", choices=names(), metavar="PAPER")
    parser.add_argument("--godwit", required=True, metavar="PATH")
    parser.add_argument("-o", "--output", required=True, metavar="DIR")
    parser.add_argument("--sim-only", action="store_true")
    parser.add_argument("--live-only", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def tell(results):
    """The verdicts, for a person."""
    for claim in results["claims"]:
        say(f"{results['paper']}: {claim['verdict']}: {claim['where']}: {claim['says']}")


def write_json(path, all_results):
    lines = "".join(json.dumps(results, ensure_ascii=False) + "\n" for results in all_results)
    if path == "-":
        sys.stdout.write(lines)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(lines)


def main():
    asked = parse()
    # As Ctrl-C: through every `with`, so that no guest, agent or namespace stays behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    parts = PARTS[:1] if asked.sim_only else PARTS[1:] if asked.live_only else PARTS
    missing = pictures_missing()
    if missing:
        say(f"godwit: {missing}")
    try:
        done = [regenerate(paper_of(name), asked.output, parts, asked.godwit, asked.quick,
                           asked.quiet) for name in asked.papers]
        page = write_index(asked.output, names())
        if asked.json:
            write_json(asked.json, done)
    except (PaperError, ChartError) as error:
        sys.exit(f"godwit: {error}")
    except OSError as error:
        sys.exit(f"godwit: {error.filename or 'paper'}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("godwit: stopped")
    if not asked.quiet:
        for results in done:
            tell(results)
        say(f"the page: {page}")


if __name__ == "__main__":
    main()
