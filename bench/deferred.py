#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/deferred.py - deferred's thresholds, fixed and auto, beside pre-copy that leaves out nothing.

    bench/deferred.py [TRACE-OR-FOLDER...] [--downtime 300ms] [--json FILE]      default: build/traces

Each recorded trace is moved in simulation over links of several rates. Shown are medians of total
time, downtime and pages sent, over rates and seeds; the last row is the geometric mean of all moves
as a share of pre-copy's. A move that does not converge ends after 30 rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from grey import ROOT, traces_of

FIGURES = ("total_time_ns", "downtime_ns", "pages_sent")
CASES = {"precopy": ("precopy", [])}
CASES.update({f"pt={pt} rt={rt}": ("deferred", [f"pt={pt}", f"rt={rt}"])
              for pt in ("0.3", "0.5", "0.7", "0.9") for rt in ("0", "0.5")})
CASES.update({f"auto {name}": ("deferred", ["threshold=auto", f"predictor={name}"])
              for name in ("markov", "gilbert-elliott", "dirty-only", "rate", "ewma")})


def move(asked, trace, rate, case):
    policy, settings = CASES[case]
    scenario = {"vm": {}, "trace": os.path.abspath(trace), "downtime": asked.downtime,
                "policy": policy, "link": {"bandwidth": rate, "latency": "100us"}}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "move.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(scenario, file)
        words = [word for setting in [*settings, "max_rounds=30"] for word in ("--set", setting)]
        done = subprocess.run([asked.godwit, "sim", path, "--policy", policy, *words, "--quiet",
                               "--json", "-", "--seed", asked.seeds], stdout=subprocess.PIPE,
                              text=True, check=True)
    return [tuple(max(1, json.loads(line)[key]) for key in FIGURES)
            for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="*", default=[os.path.join(ROOT, "build", "traces")])
    parser.add_argument("--godwit", default=os.path.join(ROOT, "build", "godwit"))
    parser.add_argument("--rates", default="50mbit,200mbit,800mbit")
    parser.add_argument("--downtime", default="300ms")
    parser.add_argument("--seeds", default="1-2")
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    rows, shares = [], {case: [] for case in CASES}
    print(f"{'':20} " + " ".join(f"{case:>22}" for case in CASES))
    for trace in traces_of(asked.traces):
        moves = {case: [one for rate in asked.rates.split(",")
                        for one in move(asked, trace, rate, case)] for case in CASES}
        workload = os.path.splitext(os.path.basename(trace))[0]
        cells = []
        for case, figures in moves.items():
            medians = [statistics.median(column) for column in zip(*figures)]
            rows.append({"workload": workload, "case": case, **dict(zip(FIGURES, medians))})
            cells.append(f"{medians[0] / 1e9:.1f}s {medians[1] / 1e6:.0f}ms {medians[2] / 1e3:.0f}k")
            shares[case] += [[a / b for a, b in zip(one, base)]
                             for one, base in zip(figures, moves["precopy"])]
        print(f"{workload:20} " + " ".join(f"{cell:>22}" for cell in cells), flush=True)
    if not rows:
        print("bench/deferred.py: no traces; record some by bench/traces.py", file=sys.stderr)
        return 1
    means = {case: [statistics.geometric_mean(column) for column in zip(*of)]
             for case, of in shares.items()}
    print(f"{'of pre-copy':20} " + " ".join(
        f"{' '.join(f'{share:.2f}' for share in mean):>22}" for mean in means.values()))
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"schema": "godwit.deferred/1", "rows": rows, "of_precopy":
                       {case: dict(zip(FIGURES, mean)) for case, mean in means.items()}},
                      file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
