#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/traces.py - records traces of running guests into a folder.

    bench/traces.py [-o DIR] [--for SECONDS] [--only NAME...]     default: build/traces, 20 s

Of each workload DIR gets NAME.trace, for a scenario's key "trace", and NAME.json with how the guest
was made and what the trace holds. bench/fidelity.py, which compares with live moves, records its own.
"""

import argparse
import json
import os
import sys

import watched
from watched import ROOT

PAGES = 65536  # 256 MiB
NATIVE = {"pages": PAGES, "vcpus": 2, "populate": PAGES // 2}
LINUX = {"memory": "256M", "ws": "32M", "alloc": "64M", "sweep": 2000}
# name: kind, options
WORKLOADS = {
    "native-idle": ("native", {**NATIVE, "pattern": "idle", "writes": 0, "reads": 0}),
    "native-random": ("native", {**NATIVE, "pattern": "random", "set": 8192, "writes": 5000,
                                 "reads": 5000}),
    "native-locality": ("native", {**NATIVE, "pattern": "locality", "set": 4096, "skew": 90,
                                   "drift": 2, "writes": 10000, "reads": 20000}),
    "native-sequential": ("native", {**NATIVE, "pattern": "sequential", "set": 16384,
                                     "writes": 8000, "reads": 8000}),
    "native-phases": ("native", {**NATIVE, "pattern": "phases", "set": 8192, "phase_ms": 2000,
                                 "writes": 20000, "reads": 5000}),
    "linux-random": ("linux", {**LINUX, "pattern": "random", "rate": 2000}),
    "linux-locality": ("linux", {**LINUX, "pattern": "locality", "rate": 4000}),
    "linux-sequential": ("linux", {**LINUX, "pattern": "sequential", "rate": 4000}),
}


def make(build, kind, options):
    if kind == "native":
        return watched.Native(build, **options)
    options = dict(options)
    return watched.Linux(build, options.pop("memory"), **options)


def record(asked, name):
    kind, options = WORKLOADS[name]
    trace = os.path.join(asked.output, name + ".trace")
    with make(asked.build, kind, options) as vm:
        shown = vm.record(trace, "--for", f"{asked.seconds}s", "--reads", asked.reads)
    with open(os.path.join(asked.output, name + ".json"), "w", encoding="utf-8") as file:
        json.dump({"guest": kind, "options": options, "trace": shown}, file, indent=1)
    written = shown["written_pages"]
    print(f"{name}: {shown['windows']} windows, {written['median']} pages written in the median, "
          f"{written['set']} in all; {os.path.getsize(trace)} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", default=os.path.join(ROOT, "build", "traces"))
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--for", dest="seconds", type=int, default=20, help="seconds of each")
    parser.add_argument("--reads", type=int, default=10, help="look at reads in every N-th window")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    asked = parser.parse_args()
    os.makedirs(asked.output, exist_ok=True)
    failed = 0
    for name in asked.only:
        try:
            record(asked, name)
        except Exception as error:  # pylint: disable=broad-except
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
