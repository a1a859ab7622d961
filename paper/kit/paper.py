# SPDX-License-Identifier: MIT
"""A paper: what it is called, what it claims, and what is done to see."""

import collections
import json
import os
import platform
import sys

from kit import chart
from kit.claim import judge
from kit.document import Html, summary, write
from kit.run import NotHere, PaperError, Run

# simulate, live: called with a Run; live is None where there is nothing to run. source: who wrote
# what and where it appeared, and what of it is shown here.
Paper = collections.namedtuple("Paper", "name title source claims simulate live", defaults=(None,))

SCHEMA = "godwit.paper/1"
PARTS = ("sim", "live")


def _machine():
    load = f"{os.getloadavg()[0]:.0f}"
    return f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} processors, load {load}"


def _command(paper, parts, quick):
    only = f" --{parts[0]}-only" if len(parts) == 1 else ""
    return f"godwit paper {paper.name}{only}{' --quick' if quick else ''} -o DIR"


def load(path):
    """A results.json; None: there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError):
        return None
    return results if isinstance(results, dict) and results.get("schema") == SCHEMA else None


def rejudge(paper, results):
    """Verdicts by the claims as they are now, out of the figures as they were taken."""
    found = {}
    for part in results["parts"].values():
        found.update(part["found"])
    results["claims"] = [judge(claim, found) for claim in paper.claims]
    return results


def regenerate(paper, output, parts, godwit, quick=False, quiet=False):
    """Plays the parts, writes DIR/NAME/; the other part of an earlier run stays."""
    folder = os.path.join(output, paper.name)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise PaperError(f"cannot write to {folder}: {error.strerror}") from None
    path = os.path.join(folder, "results.json")
    old = load(path)
    kept = old["parts"] if old else {}
    for part in parts:
        play = paper.simulate if part == "sim" else paper.live
        if play is None:
            continue
        run = Run(godwit, folder, quick, quiet)
        try:
            play(run)
        except NotHere as error:
            if len(parts) == 1:
                raise
            print(f"godwit: {error}", file=sys.stderr)
            continue
        kept[part] = {"made_by": f"`{_command(paper, [part] if len(parts) == 1 else PARTS, quick)}`"
                                 + (f" ({_machine()})" if part == "live" else ""),
                      "found": run.found, "blocks": run.blocks}
    results = rejudge(paper, {"schema": SCHEMA, "paper": paper.name, "title": paper.title,
                              "source": paper.source, "parts": kept})
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1, ensure_ascii=False)
        file.write("\n")
    return results


def write_index(output, names):
    """DIR/index.html, about all papers that lie there."""
    page = Html()
    page.heading("The papers, measured", 1)
    there = [results for name in names
             if (results := load(os.path.join(output, name, "results.json")))]
    summary(page, there)
    for results in there:
        page.pictures = results["paper"]
        write(page, results, os.path.join(output, results["paper"]))
    path = os.path.join(output, "index.html")
    with open(path, "w", encoding="utf-8") as file:
        file.write(page.page())
    return path


def pictures_missing():
    """A sentence, or None."""
    if chart.available():
        return None
    return f"gnuplot is missing, so there are data but no pictures: install {chart.PACKAGE}"
