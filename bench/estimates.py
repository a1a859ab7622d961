#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/estimates.py - whether estimates hold what they promise; see docs/estimate.md.

    bench/estimates.py TRACE|DIR...                  coverage of the intervals, errors of the middles
    bench/estimates.py --calibrate TRACE|DIR...      how many times as wide either side is to be (--by)
    bench/estimates.py --again FILE ...              the same of an earlier --json FILE

Of each recording, at several points of it, 8 s are observed and estimated, over links of several
rates. The truth is a simulated move that begins where the observation ends, over a link and between
hosts that are not quite what the estimate was told: its rate and their costs are drawn, from a seed,
within the errors that simulated moves have beside live ones (docs/simulator.md).
"""

import argparse
import concurrent.futures
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, HERE)

import table  # noqa: E402

OBSERVED_S = 8
FIGURES = ("total_time_ns", "downtime_ns", "unavailable_ns", "faults", "bytes_on_link")
DOUBT_LINK, DOUBT_COSTS = 0.015, 0.20
# docs/simulator.md
COSTS_NS = {"scan_per_gib": 500000, "fault": 70000, "stop": 1000000, "cont": 1000000, "save": 6500000,
            "load": 4100000, "reserve": 86000000}
PROMISED = 0.9
# How well the VM's copy foretells it is not seen by watching: told by policy, not counted with the rest.
APART = "run-ahead"


def run(asked, *arguments):
    done = subprocess.run([os.path.join(asked.build, "godwit"), *arguments], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"godwit {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def length_s(asked, trace):
    return json.loads(run(asked, "record", "--show", trace, "--json", "-"))["duration_ns"] / 1e9


def rate_bytes(text):
    return float(text.removesuffix("mbit")) * 125000


def truth(asked, folder, trace, at, rate, row, chance):
    """The result of one move that begins at `at`."""
    drawn = {key: round(ns * (1 + chance.uniform(-DOUBT_COSTS, DOUBT_COSTS)))
             for key, ns in COSTS_NS.items()}
    link = round(rate_bytes(rate) * (1 + chance.uniform(-DOUBT_LINK, DOUBT_LINK)))
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder, encoding="utf-8") as file:
        json.dump({"vm": {"trace_from": f"{at - OBSERVED_S}s", "observe": f"{OBSERVED_S}s"},
                   "trace": os.path.abspath(trace), "versions": False,
                   "link": {"bandwidth": link}, "costs": drawn, "policy": row["policy"],
                   "settings": row["settings"], "seed": chance.randrange(1, 1 << 30)}, file)
        file.flush()
        return json.loads(run(asked, "sim", file.name, "--json", "-", "--quiet").splitlines()[0])


def one_point(asked, folder, trace, at, rate):
    """[{workload, policy, figure: (low, middle, high, true)}] of an observation that ends at `at`."""
    chance = random.Random(f"{asked.seed} {os.path.basename(trace)} {at} {rate}")
    told = json.loads(run(asked, "estimate", trace, "--from", f"{at - OBSERVED_S}s", "--for",
                          f"{OBSERVED_S}s", "--link", rate, "--jobs", "1", "--json", "-", "--quiet"))
    found = []
    for row in told["policies"]:
        if row["completed"] < row["samples"]:
            continue
        result = truth(asked, folder, trace, at, rate, row, chance)
        settings = "".join(f" {key}={value}" for key, value in row["settings"].items())
        entry = {"workload": os.path.basename(trace).removesuffix(".trace"), "at_s": at, "rate": rate,
                 "policy": row["policy"] + settings, "completed": result["outcome"] == "completed"}
        for figure in FIGURES:
            if figure in row and result.get(figure) is not None:
                entry[figure] = {**row[figure], "true": result[figure]}
        found.append(entry)
    return found


def all_points(asked):
    jobs = []
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
        for trace in asked.traces:
            seconds = length_s(asked, trace)
            at = OBSERVED_S
            while at + asked.beyond <= seconds:
                jobs += [pool.submit(one_point, asked, folder, trace, at, rate) for rate in asked.rates]
                at += asked.step
        return [entry for job in jobs for entry in job.result()]


def widen(entries, factors):
    """The intervals so many times as wide: below, above."""
    for entry in entries:
        for figure, (below, above) in factors.items():
            x = entry.get(figure)
            if x:
                x["low"] = max(0, x["middle"] - below * (x["middle"] - x["low"]))
                x["high"] = x["middle"] + above * (x["high"] - x["middle"])


def stall_of(entry):
    """What is calibrated of the unavailable time: the rest is the downtime's."""
    unavailable, downtime = entry["unavailable_ns"], entry["downtime_ns"]
    return {key: max(0, unavailable[key] - downtime[key]) for key in unavailable}


def quantile(values, share):
    """The least value that `share` of them, and one more, do not exceed: split conformal's."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * (len(values) + 1)))]


def inside(x):
    return x["low"] <= x["true"] <= x["high"]


def excess(x):
    """How many times as wide the interval would have to be: below, above."""
    return ((x["middle"] - x["true"]) / max(x["middle"] - x["low"], 1),
            (x["true"] - x["middle"]) / max(x["high"] - x["middle"], 1))


def score(x):
    """The interval score for nine in ten (Gneiting and Raftery 2007): its width, and 20 times what it missed by."""
    missed = max(0, x["low"] - x["true"]) + max(0, x["true"] - x["high"])
    return x["high"] - x["low"] + 2 / (1 - PROMISED) * missed


def error(x):
    return abs(x["true"] - x["middle"]) / x["true"] if x["true"] else 0.0


def of_figure(entries, figure):
    return [entry[figure] for entry in entries if figure in entry]


def coverage_cell(values):
    return f"{100 * sum(map(inside, values)) / len(values):.1f} % of {len(values)}" if values else "-"


def show(entries, key, out):
    groups = sorted({entry[key] for entry in entries}) if key else [None]
    cells = [[key or "", *(figure.removesuffix("_ns").replace("_", " ") for figure in FIGURES),
              "total time: error median", "p95"]]
    for group in groups:
        own = [entry for entry in entries if not key or entry[key] == group]
        errors = [error(x) for x in of_figure(own, "total_time_ns")]
        cells.append([group or "all", *(coverage_cell(of_figure(own, figure)) for figure in FIGURES),
                      f"{100 * quantile(errors, 0.5):.1f} %", f"{100 * quantile(errors, 0.95):.1f} %"])
    print("\n".join(table.render(cells)) + "\n", file=out)


def show_widths(entries, out):
    """A wide interval is no achievement: beside its coverage stand its width and its score."""
    cells = [["figure", "held", "width, median share of what came", "interval score, share of what came"]]
    for figure in FIGURES:
        values = [x for x in of_figure(entries, figure) if x["true"]]
        if values:
            widths = [(x["high"] - x["low"]) / x["true"] for x in values]
            scores = sum(map(score, values)) / sum(x["true"] for x in values)
            cells.append([figure, coverage_cell(of_figure(entries, figure)), f"{quantile(widths, 0.5):.3f}",
                          f"{scores:.3f}"])
    print("\n".join(table.render(cells)) + "\n", file=out)


def by_workload(entries):
    for group in sorted({entry["workload"] for entry in entries}):
        yield group, [entry for entry in entries if entry["workload"] == group]


def of_calibrated(entries, figure):
    if figure == "unavailable_ns":
        return [stall_of(entry) for entry in entries if "faults" in entry]
    return of_figure(entries, figure)


def calibrate(entries):
    """The sides as all moves need them, and both as much wider as the worst recording needs: a VM to
    come is another one again."""
    cells = [["figure", "moves", "below", "above", "because of"]]
    by = []
    for figure in FIGURES:
        values = [excess(x) for x in of_calibrated(entries, figure)]
        below, above = (max(0.05, quantile(side, (1 + PROMISED) / 2)) for side in zip(*values))
        worst, group = max(
            (quantile([max(b / below, a / above) for b, a in map(excess, of_calibrated(own, figure))],
                      PROMISED), group)
            for group, own in by_workload(entries) if of_calibrated(own, figure))
        by.append(f"{worst * below:.2f}:{worst * above:.2f}")
        cells.append([figure, str(len(values)), *by[-1].split(":"), group])
    print("\n".join(table.render(cells)) + f"\n\n--by {','.join(by)}")


def traces_of(paths):
    found = []
    for path in paths:
        found += sorted(glob.glob(os.path.join(path, "*.trace"))) if os.path.isdir(path) else [path]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="*", metavar="TRACE|DIR")
    parser.add_argument("--again", metavar="FILE", help="what an earlier run wrote by --json")
    parser.add_argument("--by", metavar="N:N,...", help="BELOW:ABOVE of each figure: sides so many times as wide")
    parser.add_argument("--rates", nargs="+", default=["200mbit", "400mbit", "1000mbit"], help="in mbit")
    parser.add_argument("--step", type=int, default=8, help="seconds from one observation to the next")
    parser.add_argument("--beyond", type=int, default=8,
                        help="seconds of recording that must follow an observation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="every estimate beside its move")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR")
    asked = parser.parse_args()
    asked.traces = traces_of(asked.traces)
    if asked.again:
        with open(asked.again, encoding="utf-8") as file:
            before = json.load(file)
        entries, failed = before["entries"], before["failed"]
    else:
        entries = all_points(asked)
        failed = [entry for entry in entries if not entry["completed"]]
        entries = [entry for entry in entries if entry["completed"]]
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"schema": "godwit.estimates/1", "entries": entries, "failed": failed}, file)
    if asked.by:
        widen(entries, dict(zip(FIGURES, (tuple(map(float, sides.split(":"))) for sides in asked.by.split(",")))))
    recordings = len({entry["workload"] for entry in entries})
    print(f"{len(entries)} moves of {recordings} recordings; {len(failed)} were expected to "
          "complete and did not\n")
    if asked.calibrate:
        calibrate([entry for entry in entries if APART not in entry["policy"]])
        return
    counted = [entry for entry in entries if APART not in entry["policy"]]
    show_widths(counted, sys.stdout)
    for key in (None, "policy", "workload", "rate"):
        show(entries if key == "policy" else counted, key, sys.stdout)


if __name__ == "__main__":
    main()
