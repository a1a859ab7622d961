#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/traces.py - records traces of running guests into a folder.

    bench/traces.py [-o DIR] [--for SECONDS] [--set SET] [--only NAME...]

Of each workload DIR/SET (build/traces/train, build/traces/held-out) gets NAME.trace, for a
scenario's key "trace", and NAME.json with how the guest was made and what the trace holds. What has
been recorded is kept; remove the folder to record anew. bench/fidelity.py, which compares with live moves, records its own.
"""

import argparse
import json
import os
import sys

import watched
from watched import ROOT

TRAIN_NATIVE = {"pages": 65536, "vcpus": 2, "populate": 65536, "seed": 1}
TRAIN_LINUX = {"memory": "256M", "ws": "32M", "alloc": "64M", "sweep": 2000}
HELD_NATIVE = {"vcpus": 1, "seed": 77}
# set: name: kind, options. What is tuned is tuned on "train"; "held-out" has other guests, seeds,
# memory sizes and workloads, among them real programs.
WORKLOADS = {
    "train": {
        "native-idle": ("native", {**TRAIN_NATIVE, "pattern": "random", "set": 512, "writes": 200,
                                   "reads": 500}),
        "native-random": ("native", {**TRAIN_NATIVE, "pattern": "random", "set": 8192,
                                     "writes": 5000, "reads": 5000}),
        "native-locality": ("native", {**TRAIN_NATIVE, "pattern": "locality", "set": 4096,
                                       "skew": 90, "drift": 2, "writes": 10000, "reads": 20000}),
        "native-sequential": ("native", {**TRAIN_NATIVE, "pattern": "sequential", "set": 16384,
                                         "writes": 8000, "reads": 8000}),
        "native-phases": ("native", {**TRAIN_NATIVE, "pattern": "phases", "set": 8192,
                                     "phase_ms": 2000, "writes": 20000, "reads": 5000}),
        "native-anywhere": ("native", {**TRAIN_NATIVE, "pattern": "random", "writes": 2000,
                                       "reads": 4000}),
        "linux-random": ("linux", {**TRAIN_LINUX, "pattern": "random", "rate": 2000}),
        "linux-locality": ("linux", {**TRAIN_LINUX, "pattern": "locality", "rate": 4000}),
        "linux-sequential": ("linux", {**TRAIN_LINUX, "pattern": "sequential", "rate": 4000}),
    },
    "held-out": {
        "native-wide": ("native", {**HELD_NATIVE, "pages": 98304, "populate": 98304,
                                   "pattern": "locality", "set": 24576, "skew": 80, "drift": 32,
                                   "writes": 3000, "reads": 9000}),
        "native-scattered": ("native", {**HELD_NATIVE, "pages": 49152, "populate": 40960,
                                        "vcpus": 3, "pattern": "random", "writes": 2500,
                                        "reads": 7500}),
        "native-bursts": ("native", {**HELD_NATIVE, "pages": 81920, "populate": 81920,
                                     "pattern": "phases", "set": 12288, "offset": 4096,
                                     "phase_ms": 700, "writes": 9000, "reads": 9000}),
        "linux-calm": ("linux", {"memory": "384M", "ws": "48M", "alloc": "192M", "sweep": 8000,
                                 "pattern": "locality", "rate": 800}),
        "linux-busy": ("linux", {"memory": "512M", "ws": "128M", "alloc": "256M", "sweep": 1000,
                                 "pattern": "random", "rate": 3000}),
        "linux-sort": ("linux", {"memory": "384M", "ws": "4M", "alloc": "8M", "rate": 20,
                                 "program": "sort"}),
        "linux-compile": ("linux", {"memory": "512M", "ws": "4M", "alloc": "8M", "rate": 20,
                                    "program": "compile"}),
    },
}


def make(build, kind, options):
    if kind == "native":
        return watched.Native(build, **options)
    options = dict(options)
    return watched.Linux(build, options.pop("memory"), **options)


def record(asked, folder, name, kind, options):
    trace = os.path.join(folder, name + ".trace")
    if os.path.exists(trace.removesuffix(".trace") + ".json"):
        return
    with make(asked.build, kind, options) as vm:
        shown = vm.record(trace, "--for", f"{asked.seconds}s", "--reads", asked.reads)
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
        json.dump({"guest": kind, "options": options, "trace": shown}, file, indent=1)
    written = shown["written_pages"]
    print(f"{name}: {shown['windows']} windows, {written['median']} pages written in the median, "
          f"{written['set']} in all; {os.path.getsize(trace)} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", default=os.path.join(ROOT, "build", "traces"))
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--for", dest="seconds", type=int, default=40, help="seconds of each (40)")
    parser.add_argument("--reads", type=int, default=10, help="look at reads in every N-th window")
    parser.add_argument("--set", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="workloads by their names")
    asked = parser.parse_args()
    failed = 0
    for group in asked.set:
        folder = os.path.join(asked.output, group)
        os.makedirs(folder, exist_ok=True)
        for name, (kind, options) in WORKLOADS[group].items():
            if asked.only and name not in asked.only:
                continue
            try:
                record(asked, folder, name, kind, options)
            except Exception as error:  # pylint: disable=broad-except
                print(f"{name}: {error}", file=sys.stderr)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
