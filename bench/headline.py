#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/headline.py - policies beside the original hybrid, on recorded VMs; see docs/policies.md.

    bench/traces.py && bench/headline.py [--set SET...] [--rate RATE...] [--alpha]

Theory of Operation

Every trace of both sets (bench/traces.py) is moved in the simulator by every policy over links of
several rates, from several moments of the recording on. Each VM is observed for 8 s before each
move, whether the policy looks at it or not, so that all policies move the same VM at the same
moment: a pair. Every figure is a sum over pairs; what is told beside hybrid is the ratio of two
sums. A recording begins again when it ends, after 40 s.
"""

import argparse
import collections
import glob
import json
import os
import subprocess
import sys
import tempfile

import table

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SETS = ("train", "held-out")
ALPHAS = ("0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1", "auto")
# as bench/fidelity.py: a native guest has no hypervisor around it
NATIVE = {"state": 3000, "costs": {"stop": "200us", "cont": "200us", "save": "500us", "load": "500us"}}
FIELDS = ("faults", "total_time_ns", "unavailable_ns", "downtime_ns", "pages_sent", "pages_resent")


class Failed(Exception):
    """One sentence."""


def scenario(folder, trace, rate, start):
    name = os.path.basename(trace).removesuffix(".trace")
    native = NATIVE if name.startswith("native") else {}
    path = os.path.join(folder, f"{name},{rate},{start}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"look": "a recorded VM", "trace": trace,
                   "vm": {"name": name, "trace_from": f"{start}s",
                          **({"state": native["state"]} if native else {})},
                   "costs": native.get("costs", {}),
                   "link": {"bandwidth": rate, "latency": "100us"},
                   "policy": "hybrid", "observe": "8s", "deadline": "10min"}, file)
    return path


def play(asked, scenarios, policy, settings):
    """{(trace, rate, start): result}"""
    words = [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run([os.path.join(asked.build, "godwit"), "sim", *scenarios, "--policy", policy,
                           *words, "--seed", "1", "--json", "-", "--quiet"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip())
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for result in results:
        if result["outcome"] != "completed":
            raise Failed(f"{result['scenario']}: {policy}: {result['reason']}")
    return {tuple(os.path.basename(r["scenario"]).removesuffix(".json").split(",")): r for r in results}


def total(results, field, keep=lambda key: True):
    return sum(result[field] for key, result in results.items() if keep(key))


def change(ours, theirs):
    if not theirs:
        return "0 / 0" if not ours else f"{ours} / 0"
    return f"{100 * (ours / theirs - 1):+.1f} %"


def compare(played, keep):
    rows = [["policy", "faults", "", "total time", "", "unavailable", "", "downtime", "pages sent"]]
    base = played["hybrid"]
    for name, results in played.items():
        row = [name]
        for field, scale, digits in (("faults", 1, 0), ("total_time_ns", 1e9, 1),
                                     ("unavailable_ns", 1e9, 2)):
            ours = total(results, field, keep)
            row += [f"{ours / scale:.{digits}f}" + (" s" if scale > 1 else ""),
                    change(ours, total(base, field, keep)) if name != "hybrid" else "-"]
        row += [f"{total(results, 'downtime_ns', keep) / 1e9:.2f} s",
                str(total(results, "pages_sent", keep))]
        rows.append(row)
    return rows


def by_trace(played, rates):
    """Our policy's faults and time beside hybrid's, one trace a row, one rate a column."""
    base, ours = played["hybrid"], played["wws-hybrid"]
    rows = [["workload: faults hybrid / wws-hybrid, total time", *rates]]
    for name in sorted({key[0] for key in base}):
        row = [name]
        for rate in rates:
            def keep(key, name=name, rate=rate):
                return key[:2] == (name, rate)
            row.append(f"{total(base, 'faults', keep)} / {total(ours, 'faults', keep)}, "
                       + change(total(ours, "total_time_ns", keep),
                                total(base, "total_time_ns", keep)))
        rows.append(row)
    return rows


def say(rows):
    print("\n".join(table.render(rows)), end="\n\n", flush=True)


def headline(asked, scenarios, group):
    choices = [("hybrid", "hybrid", ())]
    choices += [(f"sdf-hybrid alpha={alpha}", "sdf-hybrid", (f"alpha={alpha}",))
                for alpha in ("0.3", "0.5", "0.7", "1", "auto")]
    choices += [("split", "split", ()), ("wws-hybrid", "wws-hybrid", ())]
    played = {name: play(asked, scenarios, policy, settings) for name, policy, settings in choices}
    for rate in (*asked.rate, None):
        print(f"{group}, {rate or 'all rates'}:\n")
        say(compare(played, lambda key, rate=rate: rate in (None, key[1])))
    say(by_trace(played, asked.rate))
    return {name: [{"trace": key[0], "rate": key[1], "start_s": int(key[2]),
                    **{field: result[field] for field in FIELDS}} for key, result in results.items()]
            for name, results in played.items()}


def cost(result):
    """What alpha=auto minimises: a second of either is a second."""
    return result["total_time_ns"] + result["stall_ns"]


def alphas(asked, scenarios, group):
    played = {alpha: play(asked, scenarios, "sdf-hybrid", (f"alpha={alpha}",)) for alpha in ALPHAS}
    rows = [[f"{group}: total time + stall", "best alpha", "s", "auto, s", "above best"]]
    worse = collections.defaultdict(list)
    for name, rate in sorted({key[:2] for key in played["auto"]}):
        sums = {alpha: sum(cost(result) for key, result in results.items() if key[:2] == (name, rate))
                for alpha, results in played.items()}
        best = min((alpha for alpha in ALPHAS if alpha != "auto"), key=sums.get)
        for alpha in ALPHAS:
            worse[alpha].append(sums[alpha] / sums[best] - 1)
        rows.append([f"{name}, {rate}", best, f"{sums[best] / 1e9:.2f}", f"{sums['auto'] / 1e9:.2f}",
                     f"{100 * worse['auto'][-1]:.2f} %"])
    say(rows)
    say([["above the best of each workload", *ALPHAS],
         ["mean", *(f"{100 * sum(worse[a]) / len(worse[a]):.2f} %" for a in ALPHAS)],
         ["greatest", *(f"{100 * max(worse[a]):.1f} %" for a in ALPHAS)]])
    return {alpha: {"mean": sum(values) / len(values), "max": max(values)}
            for alpha, values in worse.items()}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--rate", nargs="+", default=["100mbit", "400mbit", "1gbit"])
    parser.add_argument("--start", nargs="+", type=int, default=[0, 5, 11, 18, 26], metavar="S",
                        help="seconds into the recording (0 5 11 18 26)")
    parser.add_argument("--alpha", action="store_true", help="alpha=auto beside fixed ones instead")
    parser.add_argument("--traces", metavar="DIR", help="of bench/traces.py (build/traces)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR")
    parser.add_argument("--json", metavar="FILE", help="every figure")
    asked = parser.parse_args()
    asked.traces = asked.traces or os.path.join(asked.build, "traces")
    return asked


def main():
    asked, found = parse(), {}
    try:
        for group in asked.set:
            traces = sorted(glob.glob(os.path.abspath(os.path.join(asked.traces, group, "*.trace"))))
            if not traces:
                raise Failed(f"{os.path.join(asked.traces, group)} has no traces: bench/traces.py "
                             f"--set {group} records them")
            with tempfile.TemporaryDirectory() as folder:
                scenarios = [scenario(folder, trace, rate, start) for trace in traces
                             for rate in asked.rate for start in asked.start]
                found[group] = (alphas if asked.alpha else headline)(asked, scenarios, group)
    except Failed as error:
        sys.exit(f"headline: {error}")
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"schema": "godwit.headline/1", "sets": found}, file, indent=1)


if __name__ == "__main__":
    main()
