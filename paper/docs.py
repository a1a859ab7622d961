#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paper/docs.py - makes docs/papers.md and docs/papers/ out of what `godwit paper all -o DIR` left.

    paper/docs.py DIR [-o docs]

A picture is copied for each chart; docs/papers/NAME.json keeps the figures that the claims ask for,
so that a test can judge them again.
"""

import argparse
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from kit.document import Markdown, write  # noqa: E402
from kit.paper import load, rejudge  # noqa: E402
from main import names, paper_of  # noqa: E402

INTRODUCTION = """
Each paper that godwit implements, regenerated: its tables and figures by our programs, beside what
the text publishes, and for each claim a verdict. A verdict is computed from our figures by the
criterion that stands beside them (`paper/*.py`), never written by hand: *confirmed* if every check
of the criterion holds, *in part* if some do, *not confirmed* if none does. Pictures of the
originals are lost in the texts we have, so where a paper only draws, its orderings and claims
are what is compared.
""".replace("\n", " ").strip()
COMMANDS = """    godwit paper all -o DIR        # data, pictures and DIR/index.html
    paper/docs.py DIR              # this page"""


def copy_pictures(results, folder, to):
    for part in results["parts"].values():
        for block in part["blocks"]:
            if block["kind"] == "chart":
                name = block["name"] + ".svg"
                shutil.copyfile(os.path.join(folder, name),
                                os.path.join(to, f"{results['paper']}-{name}"))
                block["name"] = f"{results['paper']}-{block['name']}"


def keep_found(results, to):
    found = {}
    for part in results["parts"].values():
        found.update(part["found"])
    with open(os.path.join(to, results["paper"] + ".json"), "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description="Makes docs/papers.md.")
    parser.add_argument("results", metavar="DIR")
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(HERE), "docs"))
    asked = parser.parse_args()
    pictures = os.path.join(asked.output, "papers")
    os.makedirs(pictures, exist_ok=True)
    page = Markdown("papers")
    page.heading("The papers, measured", 1)
    page.text(INTRODUCTION)
    page.text(COMMANDS)
    for name in names():
        folder = os.path.join(asked.results, name)
        results = load(folder)
        if results is None:
            sys.exit(f"docs: {folder} holds no results; run `godwit paper {name} -o {asked.results}`")
        rejudge(paper_of(name), results)
        copy_pictures(results, folder, pictures)
        keep_found(results, pictures)
        write(page, results, pictures)
    with open(os.path.join(asked.output, "papers.md"), "w", encoding="utf-8") as file:
        file.write(page.page())


if __name__ == "__main__":
    main()
