# SPDX-License-Identifier: MIT
"""Charts by gnuplot, out of the CSV files that lie beside them.

A chart is data, too:

    {"kind": "lines",                     or "points" (measured), or "bars" (one group a row)
     "x": "write_rate",                   a column of the table; of bars: the group's name
     "series": [{"column": "precopy", "title": "pre-copy", "table": "figure-2a"}, ...],
     "xlabel": "write rate, MB/s", "ylabel": "total time, s", "log": false, "top": 5000}

A series may have "low" and "high", columns of its error bars, "mark": "points" in a chart of lines,
"open": true for hollow points, and "colour", a number, where it goes with another series. Another
table than the chart's own is read where "table" names one.
"""

import shutil
import subprocess

# Okabe and Ito's colours, told apart by everyone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#C4C4C4")
DASHES = ("1", "2", "4", "5", "6", "3", "1", "2")
POINTS = (7, 5, 9, 13, 11, 15, 2, 1)
OPEN_POINTS = (6, 4, 8, 12, 10, 14, 2, 1)
PACKAGE = "gnuplot-nox"


class ChartError(Exception):
    """One sentence."""


def available():
    return shutil.which("gnuplot") is not None


def _quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _head(chart, path):
    yield "set terminal svg size 760,430 font 'sans-serif,13' background 'white' noenhanced"
    yield f"set output {_quoted(path)}"
    yield "set datafile separator comma"
    yield "set datafile missing 'infinite'"
    yield "set encoding utf8"
    yield "set border 3 lc rgb '#444444'"
    yield "set tics nomirror out scale 0.6"
    yield "set errorbars small lc rgb '#333333' lw 1.2"
    yield "set xzeroaxis lt 1 lc rgb '#444444'"
    yield "set grid ytics lc rgb '#dddddd' lt 1"
    yield "set key outside right center Left reverse samplen 2.5 spacing 1.3"
    yield f"set xlabel {_quoted(chart.get('xlabel', ''))}"
    yield f"set ylabel {_quoted(chart['ylabel'])}"
    if chart.get("log"):
        yield "set logscale y"
    bottom = chart.get("bottom", "*" if chart.get("log") else 0)
    yield f"set yrange [{bottom}:{chart.get('top', '*')}]"


def _lines(chart, tables):
    for number, series in enumerate(chart["series"]):
        table = tables[series.get("table", chart["table"])]
        columns = [table.index(chart["x"]), table.index(series["column"])]
        hue = series.get("colour", number)
        colour = f"lc rgb '{COLOURS[hue % len(COLOURS)]}'"
        marks = series.get("mark", chart["kind"]) == "points"
        points = OPEN_POINTS if series.get("open") else POINTS
        form = f"points pt {points[hue % len(points)]} ps 0.9 lw 1.6" if marks else (
            f"lines lw 2.2 dt {DASHES[hue % len(DASHES)]}")
        using = ":".join(f"{column + 1}" for column in columns)
        if "low" in series:
            bars = ":".join([using, *(str(table.index(series[key]) + 1) for key in ("low", "high"))])
            yield f"{_quoted(table.path)} skip 1 using {bars} with yerrorbars {colour} pt 0 lw 1.2 notitle"
        yield f"{_quoted(table.path)} skip 1 using {using} with {form} {colour} title {_quoted(series['title'])}"


def _bars(chart, tables):
    table = tables[chart["table"]]
    group = table.index(chart["x"]) + 1
    for number, series in enumerate(chart["series"]):
        columns = [table.index(series["column"])]
        if "low" in series:
            columns += [table.index(series["low"]), table.index(series["high"])]
        using = ":".join(f"{column + 1}" for column in columns)
        hue = series.get("colour", number)
        yield (f"{_quoted(table.path)} skip 1 using {using}:xticlabels({group}) "
               f"lc rgb '{COLOURS[hue % len(COLOURS)]}' title {_quoted(series['title'])}")


def script(chart, tables, path):
    """What gnuplot is told; tables: by name, each with its path and index(column)."""
    lines = list(_head(chart, path))
    if chart["kind"] == "bars":
        errors = "low" in chart["series"][0]
        lines += ["set style data histogram",
                  f"set style histogram {'errorbars gap 1' if errors else 'clustered gap 1'}",
                  "set style fill solid 0.85 noborder", "set boxwidth 0.92",
                  "set xtics rotate by -22" if chart.get("slant") else "set xtics"]
        plots = _bars(chart, tables)
    else:
        plots = _lines(chart, tables)
    lines.append("plot " + ", \\\n     ".join(plots))
    return "\n".join(lines) + "\n"


def draw(chart, tables, path):
    done = subprocess.run(["gnuplot", "-"], input=script(chart, tables, path), text=True,
                          capture_output=True, check=False)
    if done.returncode or "warning" in done.stderr.lower():
        said = done.stderr.strip().splitlines()
        raise ChartError(f"gnuplot cannot draw {path}: {said[-1].strip() if said else done.returncode}")
