#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/grey.py - how well a round's dirty pages are forecast: S2's GM(1,N) beside every baseline.

    bench/grey.py [TRACE-OR-FOLDER...] [--rates 50mbit,...] [--observe 0s,8s] [--json FILE] [--rounds]

Each recorded trace (build/traces, by bench/traces.py) is moved in simulation over links of several
rates, by pre-copy that goes on for many rounds; the predictor decides nothing, so the move is the
same with each of them. Only rounds count that all of them forecast. --results takes result files
instead, live ones too, for which the one predictor that was at work is told.
"""

import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREDICTORS = ["last", "mean", "weighted-mean", "ewma", "footprint", "grey", "grey-plain",
              "grey-whitening", "grey-whitening-plain"]
MOVE = ["--policy", "precopy", "--set", "max_rounds=16", "--set", "settle=0"]
LEAST_PAGES = 16  # of fewer, an error in per cent says nothing


def traces_of(names):
    for name in names:
        if os.path.isdir(name):
            yield from sorted(glob.glob(os.path.join(name, "**", "*.trace"), recursive=True))
        else:
            yield name


def simulate(asked, trace, rate, observe):
    scenario = {"vm": {}, "trace": os.path.abspath(trace), "downtime": "1ms", "policy": "precopy", "observe": observe,
                "link": {"bandwidth": rate, "latency": "100us"}}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "move.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(scenario, file)
        done = subprocess.run(
            [asked.godwit, "sim", path, *MOVE, "--quiet", "--json", "-", "--seed", asked.seeds,
             "--set", "forecast=" + ",".join(PREDICTORS)],
            stdout=subprocess.PIPE, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


def forecaster(result):
    """deferred forecasts its rounds itself; else footprint does, where nothing is said."""
    own = result["policy"] == "deferred"
    return "deferred" if own else result["settings"].get("forecast", "footprint")


def rounds_of(results):
    """{(seed, round): {predictor: (predicted, dirty)}}, for rounds that all have forecast."""
    found = {}
    for result in results:
        name = forecaster(result)
        for row in result["rounds"]:
            if "predicted_dirty_pages" in row:
                of_round = found.setdefault((result.get("seed", 0), row["round"]), {})
                of_round[name] = (row["predicted_dirty_pages"], row["dirty_pages"])
    predictors = {forecaster(result) for result in results}
    return {key: of for key, of in found.items() if set(of) == predictors}


def errors(pairs):
    """Mean absolute error in pages; the same as a share of what was dirty; median error of a round."""
    off = [abs(predicted - dirty) for predicted, dirty in pairs]
    dirty = sum(dirty for _, dirty in pairs)
    shares = [abs(p - d) / d for p, d in pairs if d >= LEAST_PAGES]
    return {"rounds": len(pairs), "mae_pages": statistics.fmean(off),
            "wape": sum(off) / dirty if dirty else None,
            "median_ape": statistics.median(shares) if shares else None}


def summarise(workload, rounds, rows, all_pairs):
    names = sorted({name for of in rounds.values() for name in of},
                   key=lambda n: PREDICTORS.index(n) if n in PREDICTORS else 99)
    for name in names:
        pairs = [of[name] for of in rounds.values()]
        all_pairs.setdefault(name, []).extend(pairs)
        rows.append({"workload": workload, "predictor": name, **errors(pairs)})


def show(rows):
    names = list(dict.fromkeys(row["predictor"] for row in rows))
    print("median error of a round, % (all errors / all dirty pages, %)")
    print(f"{'workload':28} {'rounds':>6} " + " ".join(f"{name[:15]:>15}" for name in names))
    for workload in dict.fromkeys(row["workload"] for row in rows):
        mine = {row["predictor"]: row for row in rows if row["workload"] == workload}
        cells = []
        for name in names:
            row = mine.get(name)
            cells.append("" if not row or row["median_ape"] is None else
                         f"{100 * row['median_ape']:.1f} ({100 * row['wape']:.1f})")
        count = next(iter(mine.values()))["rounds"]
        print(f"{workload:28} {count:6} " + " ".join(f"{cell:>15}" for cell in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="*", default=[os.path.join(ROOT, "build", "traces")])
    parser.add_argument("--godwit", default=os.path.join(ROOT, "build", "godwit"))
    parser.add_argument("--rates", default="50mbit,200mbit,800mbit")
    parser.add_argument("--observe", default="0s,8s", help="watched so long before the move")
    parser.add_argument("--seeds", default="1-3")
    parser.add_argument("--results", action="store_true", help="the files are results, a line each")
    parser.add_argument("--rounds", action="store_true", help="every single round, too")
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    rows, all_pairs, singles = [], {}, []
    for trace in traces_of(asked.traces):
        workload = os.path.splitext(os.path.basename(trace))[0]
        if asked.results:
            with open(trace, encoding="utf-8") as file:
                cases = [("", [json.loads(line) for line in file if line.startswith("{")])]
        else:
            cases = [(f" observed {observe}", simulate(asked, trace, rate, observe))
                     for observe in asked.observe.split(",") for rate in asked.rates.split(",")]
        for suffix in dict.fromkeys(suffix for suffix, _ in cases):
            rounds = {(number, *key): of for number, (mine, results) in enumerate(cases)
                      if mine == suffix for key, of in rounds_of(results).items()}
            if rounds:
                summarise(workload + suffix, rounds, rows, all_pairs)
            singles += [{"workload": workload + suffix, "round": key[-1], "predictor": name,
                         "predicted": pair[0], "dirty": pair[1]}
                        for key, of in rounds.items() for name, pair in of.items()]
    if not rows:
        print("bench/grey.py: no rounds; record traces by bench/traces.py", file=sys.stderr)
        return 1
    rows += [{"workload": "all", "predictor": name, **errors(pairs)}
             for name, pairs in all_pairs.items()]
    show(rows)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"schema": "godwit.predict-rounds/1", "rows": rows,
                       **({"single": singles} if asked.rounds else {})}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
