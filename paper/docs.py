#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paper/docs.py - makes docs/papers.md and docs/papers/ out of what `godwit paper all -o DIR` left.

    paper/docs.py DIR [-o docs]

docs/papers/ keeps each paper's results and pictures. What DIR has takes the place of what is there;
the page is made of all of it, so that one paper can be measured anew without the others.
"""

import argparse
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from kit.document import Markdown, summary, write  # noqa: E402
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


def take(results, folder, to):
    """A paper's pictures and results, from DIR into the docs."""
    name = results["paper"]
    for part in results["parts"].values():
        for block in part["blocks"]:
            if block["kind"] == "chart":
                picture = f"{name}-{block['name']}"
                shutil.copyfile(os.path.join(folder, block["name"] + ".svg"),
                                os.path.join(to, picture + ".svg"))
                block["name"] = picture
    with open(os.path.join(to, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1, ensure_ascii=False)
        file.write("\n")


def drop_old_pictures(name, to):
    for old in os.listdir(to):
        if old.startswith(name + "-") and old.endswith(".svg"):
            os.unlink(os.path.join(to, old))


def page(pictures):
    """docs/papers.md, out of the results that lie beside the pictures."""
    writer = Markdown("papers")
    writer.heading("The papers, measured", 1)
    writer.text(INTRODUCTION)
    writer.text(COMMANDS)
    kept = [rejudge(paper_of(name), results) for name in names()
            if (results := load(os.path.join(pictures, name + ".json")))]
    summary(writer, kept)
    for results in kept:
        write(writer, results, pictures)
    return writer.page()


def main():
    parser = argparse.ArgumentParser(description="Makes docs/papers.md.")
    parser.add_argument("results", metavar="DIR")
    parser.add_argument("-o", "--output", default=os.path.join(os.path.dirname(HERE), "docs"))
    asked = parser.parse_args()
    pictures = os.path.join(asked.output, "papers")
    os.makedirs(pictures, exist_ok=True)
    for name in names():
        folder = os.path.join(asked.results, name)
        measured = load(os.path.join(folder, "results.json"))
        if measured:
            drop_old_pictures(name, pictures)
            take(measured, folder, pictures)
    with open(os.path.join(asked.output, "papers.md"), "w", encoding="utf-8") as file:
        file.write(page(pictures))


if __name__ == "__main__":
    main()
