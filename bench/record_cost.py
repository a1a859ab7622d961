#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/record_cost.py - what being recorded, or observed before a move, costs a guest.

    bench/record_cost.py [--pairs N] [--only WAY]                  default: 10 pairs of each

A native guest works; turn and turn about it is recorded for a second and left alone for a second,
or observed by a `godwit migrate` that is stopped before it moves. What is compared is the processor time of its vCPU threads an operation, which other work on the
machine changes less than operations a second; the minor faults that recording causes, which it does
not change at all; and the longest gap between two operations.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
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
OBSERVED = "observed by migrate"
WAYS = {"writes only": ["--reads", 0], "reads in every 10th window": ["--reads", 10],
        "reads in every window": ["--reads", 1], OBSERVED: None}


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


@contextlib.contextmanager
def recording(vm, folder, words):
    """The recorder, once it looks at windows."""
    trace = os.path.join(folder, "t")
    with open(trace, "wb"):
        pass
    process = vm.begin(trace, "--for", f"{SECONDS + 1}s", *words)
    while not os.path.getsize(trace) and process.poll() is None:
        time.sleep(0.01)  # it counts the zero pages, and then begins
    yield process
    vm.end(process)


@contextlib.contextmanager
def destination(vm, folder):
    """Where an agent listens: HOST:PORT."""
    process = subprocess.Popen([vm.godwit, "serve", "--listen", "127.0.0.1:0", "--native-guest",
                                vm.native], env={**vm.environment, "GODWIT_DIR": folder},
                               text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield re.search(r"listens on (\S+)", process.stdout.readline()).group(1)
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def observing(vm, to):
    """A `godwit migrate` that observes, and is then stopped."""
    def run(*words):
        return subprocess.Popen([vm.godwit, *words], env=vm.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    process = run("migrate", watched.NAME, "--to", to, "--observe", "1h")
    while process.poll() is None and "observing" not in run("status").communicate()[0]:
        time.sleep(0.05)
    yield process
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    if "stopped by the user" not in said:
        raise watched.WatchError(said.strip().splitlines()[-1] if said.strip() else "no sentence")


def pair(vm, way):
    """The same alone and watched."""
    alone = window(vm)
    with way() as process:
        own, begun = own_ns(process.pid), time.monotonic()
        result = window(vm)
        result["own"] = 100 * (own_ns(process.pid) - own) / 1e9 / (time.monotonic() - begun)
    return alone, result


def row(name, way, vm, pairs):
    results = [pair(vm, way) for _ in range(pairs)]

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
    parser.add_argument("--only", choices=list(WAYS))
    asked = parser.parse_args()
    for guest, options in GUESTS.items():
        rows = [[guest, "CPU alone, ns/op", "CPU more, %", "faults/s", "CPU a fault, us",
                 "ops/s more, %", "gap alone, ms", "gap watched, ms", "its own CPU, %"]]
        with tempfile.TemporaryDirectory(prefix="godwit-bench-") as folder, \
             watched.Native(asked.build, pages=PAGES, populate=PAGES, pattern="random",
                            **options) as vm, destination(vm, folder) as to:
            for name in [asked.only] if asked.only else WAYS:
                way = ((lambda: observing(vm, to)) if name == OBSERVED else
                       (lambda words=WAYS[name]: recording(vm, folder, words)))
                rows.append(row(name, way, vm, asked.pairs))
        print("\n".join(table.render(rows)), end="\n\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
