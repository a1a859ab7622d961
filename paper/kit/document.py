# SPDX-License-Identifier: MIT
"""The page about papers: out of results.json, as HTML to look at and as Markdown for the docs."""

import html
import os
import re

from kit.claim import CONFIRMED, IN_PART, NOT, UNMEASURED

VERDICTS = (CONFIRMED, IN_PART, NOT, UNMEASURED)
VERDICT_COLUMNS = ("where", "what the paper says", "published", "ours", "verdict")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .6rem 0 1.4rem } caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .7rem; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } figure { margin: 1rem 0 } img { max-width: 100% }
.confirmed { color: #00734f } .part { color: #9a6a00 } .not { color: #b03a00 } small { color: #666 }
"""
CLASSES = {CONFIRMED: "confirmed", IN_PART: "part", NOT: "not"}


def number(value, digits):
    """As a cell shows it; text stands as it is."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and digits is not None:
        return f"{value:,.{digits}f}"
    return str(value)


def claim_rows(claims):
    """What a page's table of verdicts holds; the test of docs/papers.md compares these."""
    return [[claim["where"], claim["says"], claim["published"] or "-",
             f"{claim['ours']} ({claim['criterion']})" if claim["ours"] else "-", claim["verdict"]]
            for claim in claims]


class Markdown:
    """pictures: the folder of the SVGs as the page's reader sees it."""

    def __init__(self, pictures):
        self.pictures, self.lines = pictures, []

    def heading(self, text, level):
        self.lines += [f"{'#' * level} {text}", ""]

    def text(self, text):
        self.lines += [text, ""]

    def table(self, title, heads, rows, right):
        if title:
            self.lines += [f"**{title}**", ""]
        rule = ["--:" if column in right else "---" for column in range(len(heads))]
        for row in (heads, rule, *rows):
            self.lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        self.lines.append("")

    def claims(self, rows):
        self.table("", VERDICT_COLUMNS, [[*row[:-1], f"**{row[-1]}**"] for row in rows], ())

    def chart(self, title, name, drawn):
        self.lines += [f"![{title}]({self.pictures}/{name}.svg)" if drawn else
                       f"*{title}: not drawn, gnuplot was missing.*", ""]

    def page(self):
        return "\n".join(self.lines).rstrip() + "\n"


class Html:
    def __init__(self, pictures=""):
        self.pictures, self.lines = pictures, []

    def heading(self, text, level):
        self.lines.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def text(self, text):
        self.lines.append("<p>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)) + "</p>")

    def table(self, title, heads, rows, right):
        self.lines.append("<table>")
        if title:
            self.lines.append(f"<caption>{html.escape(title)}</caption>")
        self.lines.append("<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads))
        for row in rows:
            self.lines.append("<tr>" + "".join(
                f"<td{' class=number' if column in right else ''}>{html.escape(cell)}</td>"
                for column, cell in enumerate(row)))
        self.lines.append("</table>")

    def claims(self, rows):
        self.lines.append("<table><tr>" + "".join(f"<th>{head}</th>" for head in VERDICT_COLUMNS))
        for row in rows:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row[:-1])
            self.lines.append(f"<tr>{cells}<td class='{CLASSES.get(row[-1], '')}'>"
                              f"<strong>{row[-1]}</strong></td>")
        self.lines.append("</table>")

    def chart(self, title, name, drawn):
        picture = (f"<img src='{self.pictures}/{name}.svg' alt='{html.escape(title, quote=True)}'>"
                   if drawn else "<small>not drawn: gnuplot was missing</small>")
        self.lines.append(f"<figure>{picture}<figcaption><small>{html.escape(title)}; "
                          f"<a href='{self.pictures}/{name}.csv'>the data</a></small></figcaption></figure>")

    def page(self):
        return ("<!doctype html><html lang=en><meta charset=utf-8><title>godwit: the papers, measured"
                f"</title><style>{STYLE}</style>\n" + "\n".join(self.lines) + "\n</html>\n")


def _block(writer, block, folder, level):
    kind = block["kind"]
    if kind == "heading":
        writer.heading(block["text"], level)
    elif kind == "text":
        writer.text(block["text"])
    elif kind == "chart":
        writer.chart(block["title"], block["name"],
                     os.path.exists(os.path.join(folder, block["name"] + ".svg")))
    else:
        columns = block["columns"]
        rows = [[number(row.get(c["key"]), c["digits"]) for c in columns] for row in block["rows"]]
        right = {i for i, c in enumerate(columns) if c["digits"] is not None}
        writer.table(block["title"], [c["head"] for c in columns], rows, right)


def summary(writer, all_results):
    """How many of each paper's claims came out."""
    rows = []
    for results in all_results:
        verdicts = [claim["verdict"] for claim in results["claims"]]
        rows.append([f"{results['paper'].upper()}: {results['title']}", str(len(verdicts)),
                     *(str(verdicts.count(verdict)) for verdict in VERDICTS)])
    writer.table("", ["paper", "claims", *VERDICTS], rows, range(1, 2 + len(VERDICTS)))


def write(writer, results, folder, level=2):
    """One paper; folder: where its pictures lie."""
    writer.heading(f"{results['paper'].upper()}: {results['title']}", level)
    writer.text(results["source"])
    writer.heading("What it claims, and what came out", level + 1)
    writer.claims(claim_rows(results["claims"]))
    for part in ("sim", "live"):
        if part not in results["parts"]:
            continue
        writer.text(f"Made by: {results['parts'][part]['made_by']}")
        for block in results["parts"][part]["blocks"]:
            _block(writer, block, folder, level + 1)
