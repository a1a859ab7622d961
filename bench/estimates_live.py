#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/estimates_live.py - what was announced of live moves beside what came; see docs/estimate.md.

    bench/estimates_live.py --json FILE [--only TEXT]      then: bench/estimates.py --again FILE

Each VM is observed for 8 s, announced and moved (`godwit migrate --observe 8s`), over links of several
rates: native guests, and Linux under QEMU, which moves there and back.
"""

import argparse
import json
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

import engine  # noqa: E402
import hosts  # noqa: E402
from estimates import FIGURES  # noqa: E402
from lab import guest  # noqa: E402
from lab.lab import Lab, LabError, why_no_namespaces  # noqa: E402

PAGES = 128 * engine.MIB // engine.PAGE
NATIVE = {
    "native idle": {"pattern": "random", "set": 512, "writes": 200, "reads": 500},
    "native random": {"pattern": "random", "writes": 2000, "reads": 6000},
    "native locality": {"pattern": "locality", "set": 8192, "drift": 64, "writes": 4000, "reads": 8000},
    "native sequential": {"pattern": "sequential", "set": 16384, "writes": 3000, "reads": 3000},
    "native phases": {"pattern": "phases", "set": 4096, "phase_ms": 2000, "writes": 4000, "reads": 4000},
}
LINUX = {"linux calm": 500, "linux busy": 4000}
POLICIES = ("precopy", "postcopy", "hybrid")


def options(asked, policy, rate):
    return ("--policy", policy, "--observe", "8s", "--link", rate, "--deadline", f"{asked.limit:g}s")


def entry(workload, policy, rate, result):
    """As bench/estimates.py has them."""
    found = {"workload": workload, "policy": policy, "rate": rate, "at_s": 0,
             "completed": result["outcome"] == "completed"}
    announced = result.get("announced")
    for figure in FIGURES:
        if announced and figure in announced and result.get(figure) is not None:
            found[figure] = {**announced[figure], "true": result[figure]}
    x = found.get("total_time_ns")
    print(f"{workload}, {policy}, {rate}: {result['outcome']}" +
          (f": {x['true'] / 1e9:.2f} s, announced {x['middle'] / 1e9:.2f} s" if x else ": not announced"),
          file=sys.stderr, flush=True)
    return found


def native(asked, workload, rate):
    for policy in POLICIES:
        with Lab(rate) as lab, engine.Pair(asked.build, lab.a, lab.b, PAGES, NATIVE[workload]) as pair:
            yield entry(workload, policy, rate, pair.migrate(*options(asked, policy, rate)))


def linux(asked, workload, rate):
    setting = hosts.Setting(rate, "256M", "64M", 1, asked.limit, 300, None, asked.build)
    load = hosts.Workload(workload, LINUX[workload])
    with hosts.Godwit(setting) as engine_:
        engine_.modes = {policy: options(asked, policy, rate) for policy in POLICIES}
        for policy in POLICIES:
            result = engine_.move(policy, load)
            # As announced: the engine's own, without the headers that the lab's switch counts.
            result["downtime_ns"] = result["downtime_reported_ns"]
            result["bytes_on_link"] = result["bytes_reported"]
            yield entry(workload, policy, rate, result)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", nargs="+", default=["200mbit", "400mbit", "1000mbit"])
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads that contain this")
    parser.add_argument("--limit", type=float, default=60.0, help="deadline of a move in s (60)")
    parser.add_argument("--json", required=True, metavar="FILE", help="written anew after each link")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR")
    asked = parser.parse_args()
    why = why_no_namespaces() or guest.why_no_qemu()
    if why:
        sys.exit(f"estimates_live: {why}")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    entries = []
    for workload in [*NATIVE, *LINUX]:
        for rate in asked.rates if asked.only in workload else ():
            try:
                entries += (native if workload in NATIVE else linux)(asked, workload, rate)
            except (LabError, guest.GuestError, hosts.MoveFailed, engine.EngineError) as error:
                print(f"{workload}, {rate}: {error}", file=sys.stderr)
            done = [e for e in entries if e["completed"]]
            with open(asked.json, "w", encoding="utf-8") as file:
                json.dump({"schema": "godwit.estimates/1", "entries": done,
                           "failed": [e for e in entries if not e["completed"]]}, file)


if __name__ == "__main__":
    main()
