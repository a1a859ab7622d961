#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/record_cost.py - what being recorded costs a guest.

    bench/record_cost.py [--pairs N]                               default: 10

A native guest works; turn and turn about it is recorded for a second and left alone for a second.
What is compared is the processor time of its vCPU threads an operation, which other work on the
machine changes less than operations a second; the minor faults that recording causes, which it does
not change at all; and the longest gap between two operations.
"""

import argparse
import os
import sys
import tempfile
import time

import table
import watched
from watched import ROOT

SECONDS = 1.0
PAGES = 262144  # 1 GiB
# name: guest; operations/s, or as fast as it goes
GUESTS = {
    "10,000/s over 32 MiB": {"set": 8192, "writes": 5000, "reads": 5000},
    "100,000/s over 128 MiB": {"set": 32768, "writes": 50000, "reads": 50000},
    "as fast as it goes, over 32 MiB": {"set": 8192, "writes": "max", "reads": 0},
}
RECORDINGS = {"writes only": ["--reads", 0], "reads in every 10th window": ["--reads", 10],
              "reads in every window": ["--reads", 1]}


class Look:
    """Counters of the guest, all growing."""

    def __init__(self, vm):
        status = vm.status()
        self.operations = int(status["writes"]) + int(status["reads"])
        self.cpu_ns, self.faults = vm.cpu_ns(), vm.faults()
        self.time = time.monotonic()


def window(vm):
    """What an operation costs, and the longest gap, over a second."""
    vm.ask("clear")
    begun = Look(vm)
    time.sleep(SECONDS)
    ended = Look(vm)
    operations, seconds = ended.operations - begun.operations, ended.time - begun.time
    return {"cpu_ns": (ended.cpu_ns - begun.cpu_ns) / operations, "rate": operations / seconds,
            "faults": (ended.faults - begun.faults) / operations,
            "gap_ms": int(vm.status()["longest_gap_ns"]) / 1e6}


def own_ns(pid):
    """Time that the recorder has run."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def pair(vm, trace, words):
    """The same alone and recorded."""
    alone = window(vm)
    with open(trace, "wb"):
        pass
    process = vm.begin(trace, "--for", f"{SECONDS + 1}s", *words)
    while not os.path.getsize(trace) and process.poll() is None:
        time.sleep(0.01)  # it counts the zero pages, and then begins
    own, begun = own_ns(process.pid), time.monotonic()
    recorded = window(vm)
    recorded["own"] = 100 * (own_ns(process.pid) - own) / 1e9 / (time.monotonic() - begun)
    vm.end(process)
    return alone, recorded


def row(name, words, vm, trace, pairs):
    results = [pair(vm, trace, words) for _ in range(pairs)]

    def cell(value, digits=1):
        return table.show(table.spread(value(*result) for result in results), 1, digits)

    return [name, cell(lambda alone, recorded: alone["cpu_ns"], 0),
            cell(lambda alone, recorded: 100 * (recorded["cpu_ns"] / alone["cpu_ns"] - 1), 0),
            cell(lambda alone, recorded: recorded["faults"] * recorded["rate"], 0),
            cell(lambda alone, recorded: (recorded["cpu_ns"] - alone["cpu_ns"]) / 1e3
                 / max(recorded["faults"] - alone["faults"], 1e-9)),
            cell(lambda alone, recorded: 100 * (recorded["rate"] / alone["rate"] - 1)),
            cell(lambda alone, recorded: alone["gap_ms"]),
            cell(lambda alone, recorded: recorded["gap_ms"]),
            cell(lambda alone, recorded: recorded["own"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--pairs", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as folder:
        trace = os.path.join(folder, "t")
        for guest, options in GUESTS.items():
            rows = [[guest, "CPU alone, ns/op", "CPU more, %", "faults/s", "CPU a fault, us",
                     "ops/s more, %", "gap alone, ms", "gap recorded, ms", "its own CPU, %"]]
            with watched.Native(asked.build, pages=PAGES, populate=PAGES, pattern="random",
                                **options) as vm:
                for name, words in RECORDINGS.items():
                    rows.append(row(name, words, vm, trace, asked.pairs))
            print("\n".join(table.render(rows)), end="\n\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
