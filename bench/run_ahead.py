# SPDX-License-Identifier: MIT
"""bench/run_ahead.py - push orders after the switch, side by side, on a link with a latency.

    python3 bench/run_ahead.py [--workloads a,b] [--orders a,b] [--links 200mbit:2ms,...]
                               [--pairs N] [--output FILE.jsonl]

Theory of Operation

    host a, core A                delay_link                host b, core B
      link0 10.79.0.1 ====[ rate, latency, queue ]====== link0 10.79.0.2

A VM of one vCPU, without network or disk, works its way through its memory (bench/toucher.c, or a
C compiler that compiles the same file again and again). It moves to and fro by post-copy, each time
in the next of the orders, so every row of a round has the same guest and the same minute: what is
compared are pairs within a round. Each host's agent, its VM and its VM's shadow are bound to one
core; the link has one of its own.

A line of output is a move: godwit's result, and with it workload, order, link and round. At the
end a table: `unavailable` = downtime + stall of an order against linear and demand, the mean of
paired ratios with its 95 % interval.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import stat
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from lab import guest  # noqa: E402
from lab.lab import parse_rate  # noqa: E402

BUILD = os.environ.get("GODWIT_BUILD", os.path.join(ROOT, "build"))
GODWIT = os.path.join(BUILD, "godwit")
DELAY_LINK = os.path.join(BUILD, "bench", "delay_link")
ORDERS = {  # name -> policy and settings
    "demand": ["--policy", "postcopy", "--order", "demand", "--set", "idle=50ms",
               "--set", "limit=2s"],
    "linear": ["--policy", "postcopy", "--order", "linear"],
    "bubble": ["--policy", "postcopy", "--order", "bubble", "--set", "pivots=1"],
    "bubbles": ["--policy", "postcopy", "--order", "bubble", "--set", "pivots=8"],
    "queue": ["--policy", "run-ahead"],
}
WORKLOADS = ("sequential", "strided", "random", "chase", "phases", "compile")
CORES = (1, 2, 3)
MEMORY = {"compile": "256M"}  # the compiler is unpacked from the initramfs beside itself
USUAL_MEMORY = "128M"
TOUCHED_MIB = 40
WORK = 20000  # steps between touches; under TCG about a tenth of a millisecond
MOVE_SECONDS = 90.0
QUEUE_MS = 20
# Student's t, two-sided 95 %, by degrees of freedom.
T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


# ---- the guest ----


def newc(entries):
    """A cpio archive (newc) of (path, mode, content)."""
    out = bytearray()
    for number, (path, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")]):
        name = path.encode() + b"\0"
        fields = (number + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += b"\0" * (-len(out) % 4) + content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def with_libraries(program):
    """A program and the shared libraries it needs: [(path in the guest, content)]."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    paths = [program] + [word for line in said.splitlines() for word in line.split()
                         if word.startswith("/")]
    files = []
    for path in paths:
        with open(path, "rb") as file:
            files.append((path.lstrip("/"), file.read()))
    return files


def compiler():
    """cc1 itself, and a file for it, preprocessed here."""
    cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True,
                         check=True).stdout.strip()
    source = subprocess.run(["gcc", "-E", "-P", "-I", ROOT, "-D_GNU_SOURCE",
                             os.path.join(ROOT, "core", "migration", "message.c")],
                            capture_output=True, check=True).stdout
    return cc1, with_libraries(cc1), source


def initrd(folder, workload, place):
    """The small Linux guest's, with a program of ours on top: archives may follow one another."""
    program = os.path.join(place, "toucher")
    subprocess.run(["gcc", "-O1", "-static", "-o", program,
                    os.path.join(ROOT, "bench", "toucher.c")], check=True)
    start = f"/bin/toucher {workload} {TOUCHED_MIB} {WORK}"
    files = []
    if workload == "compile":
        cc1, files, source = compiler()
        files = [*files, ("work.i", source)]
        start = (f"echo godwit guest ready; while :; do {cc1} -quiet -O2 -fpreprocessed /work.i "
                 "-o /work.s; done")
    with open(program, "rb") as file:
        files.append(("bin/toucher", file.read()))
    files.append(("init", ("#!/bin/sh\nexport PATH=/bin\n"
                           "/bin/busybox mount -t devtmpfs dev /dev\n"
                           "exec </dev/console >/dev/console 2>&1\n" + start + "\n").encode()))
    folders = sorted({"/".join(path.split("/")[:depth]) for path, _ in files
                      for depth in range(1, path.count("/") + 1)})
    entries = [(path, stat.S_IFDIR | 0o755, b"") for path in folders]
    entries += [(path, stat.S_IFREG | 0o755, content) for path, content in files]
    target = os.path.join(place, "initrd.img")
    with open(os.path.join(folder, "initrd.img"), "rb") as base, open(target, "wb") as out:
        shutil.copyfileobj(base, out)
        out.write(b"\0" * (-out.tell() % 4))
        out.write(newc(entries))
    return target


# ---- two hosts and a link ----


class Hosts:
    """Two namespaces, an agent in each, bound to a core each, and the link between them."""

    def __init__(self, link, cores):
        self.link, self.cores = link, cores
        self.dir = tempfile.mkdtemp(prefix="gw-ra-", dir="/tmp")
        self.shm = tempfile.mkdtemp(prefix="gw-ra-", dir="/dev/shm")
        self.names = [f"gwra-{os.getpid()}-{letter}" for letter in "ab"]
        self.processes = []
        self.moves = 0
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self):
        rate, latency = self.link
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        self.wire = subprocess.Popen(
            ["taskset", "-c", str(self.cores[2]), DELAY_LINK, *self.names, str(parse_rate(rate)),
             str(int(latency * 1e6)), str(QUEUE_MS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(self.wire)
        if self.wire.stdout.readline() != "ready\n":
            raise RuntimeError("the link did not start")
        for name, number in zip(self.names, (1, 2)):
            for line in (f"addr add 10.79.0.{number}/24 dev link0", "link set link0 mtu 9000",
                         "link set link0 up"):
                subprocess.run(["ip", "-n", name, *line.split()], check=True)
        self.agents = [self._serve(0), self._serve(1)]

    def words(self, host, *words):
        return ["ip", "netns", "exec", self.names[host], "taskset", "-c", str(self.cores[host]),
                *words]

    def environment(self, host):
        folders = [os.path.join(base, "ab"[host]) for base in (self.dir, self.shm)]
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
        return {**os.environ, "GODWIT_DIR": folders[0], "GODWIT_RAM_DIR": folders[1]}

    def _serve(self, host):
        process = subprocess.Popen(
            self.words(host, GODWIT, "serve", "--insecure", "--listen",
                       f"10.79.0.{host + 1}:4909", "--images", self.dir, "--images",
                       guest.build()),
            env=self.environment(host), stdout=subprocess.PIPE,
            stderr=open(os.path.join(self.dir, "log"), "a", encoding="utf-8"), text=True)
        self.processes.append(process)
        if "listens" not in process.stdout.readline():
            raise RuntimeError("an agent did not start")
        return process

    def boot(self, workload):
        folder = guest.build()
        serial = os.path.join(self.dir, "console")
        arguments = guest.arguments(folder, memory=MEMORY.get(workload, USUAL_MEMORY),
                                    serial=serial)
        arguments[arguments.index("-initrd") + 1] = initrd(folder, workload, self.dir)
        subprocess.run(self.words(0, GODWIT, "run", "vm", "--", *arguments), check=True,
                       env=self.environment(0))
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with contextlib.suppress(OSError), open(serial, encoding="utf-8",
                                                    errors="replace") as file:
                if guest.READY in file.read():
                    time.sleep(3.0)
                    return
            time.sleep(0.1)
        raise RuntimeError("the guest did not come up")

    def move(self, source, order):
        """One move from that host to the other one; godwit's result."""
        self.moves += 1
        out = os.path.join(self.dir, f"{self.moves}.json")
        trace = os.path.join(self.dir, f"{self.moves}.trace")
        done = subprocess.run(
            self.words(source, GODWIT, "migrate", "vm", "--to", f"10.79.0.{2 - source}:4909",
                       "--quiet", "--json", out, "--trace", trace, *ORDERS[order]),
            env=self.environment(source), capture_output=True, text=True, timeout=MOVE_SECONDS,
            check=False)
        if done.returncode:
            raise RuntimeError(f"{order}: {done.stderr.strip()}")
        with open(out, encoding="utf-8") as file:
            result = json.load(file)
        with open(trace, encoding="utf-8") as file:
            result["trace"] = [line for line in file.read().splitlines() if "shadow" in line]
        return result

    def _pids(self):
        mark = f"GODWIT_DIR={self.dir}/".encode()
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit():
                    with open(f"/proc/{entry}/environ", "rb") as file:
                        if mark in file.read():
                            yield int(entry)

    def close(self):
        for pid in list(self._pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.shm, ignore_errors=True)


# ---- what comes out ----


def interval(values):
    """Mean and half the width of its 95 % interval."""
    if len(values) < 2:
        return statistics.fmean(values), math.inf
    t = T95.get(len(values) - 1, 1.96)
    return statistics.fmean(values), t * statistics.stdev(values) / math.sqrt(len(values))


def unavailable(row):
    return row["downtime_ns"] + row["stall_ns"]


def ratios(rows, workload, link, order, base, value):
    """Of paired moves: this order's value by that of `base` in the same round."""
    def of(name):
        return {row["round"]: value(row) for row in rows
                if (row["workload"], row["link_name"], row["bench_order"])
                == (workload, link, name)}

    ours, theirs = of(order), of(base)
    return [ours[key] / theirs[key] for key in sorted(ours) if theirs.get(key)]


def ratio_text(values):
    if not values:
        return "-"
    mean, half = interval(values)
    return f"{mean:.2f} +- {half:.2f}"


def table(rows, orders):
    keys = sorted({(row["workload"], row["link_name"]) for row in rows})
    print(f"{'workload':11} {'link':14} {'order':8} {'n':>2} {'unavail ms':>11} {'downtime':>9} "
          f"{'faults':>7} {'total s':>8}  {'/ linear':14} {'/ demand':14} {'downtime/linear'}")
    for workload, link in keys:
        for order in orders:
            mine = [row for row in rows if (row["workload"], row["link_name"],
                                            row["bench_order"]) == (workload, link, order)]
            if not mine:
                continue

            def mean(value):
                return statistics.fmean(value(row) for row in mine)

            print(f"{workload:11} {link:14} {order:8} {len(mine):2} {mean(unavailable) / 1e6:11.1f} "
                  f"{mean(lambda r: r['downtime_ns']) / 1e6:9.1f} {mean(lambda r: r['faults']):7.0f} "
                  f"{mean(lambda r: r['total_time_ns']) / 1e9:8.2f}  "
                  f"{ratio_text(ratios(rows, workload, link, order, 'linear', unavailable)):14} "
                  f"{ratio_text(ratios(rows, workload, link, order, 'demand', unavailable)):14} "
                  + ratio_text(ratios(rows, workload, link, order, "linear",
                                      lambda r: r["downtime_ns"])))


def load(path):
    """The moves of an earlier run."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]
    return []


def measure(workload, link_name, orders, rounds, cores, keep):
    """Makes those rounds' moves; each goes to keep() as soon as it is done."""
    rate, latency = link_name.split(":")
    hosts, side = Hosts((rate, float(latency.removesuffix("ms")) / 1000), cores), 0
    try:
        hosts.boot(workload)
        for number in rounds:
            # Another order begins each round: what a round drifts by falls on each in turn.
            turn = orders[number % len(orders):] + orders[:number % len(orders)]
            for order in turn:
                keep({**hosts.move(side, order), "workload": workload, "bench_order": order,
                      "link_name": link_name, "round": number})
                side = 1 - side
                time.sleep(0.5)
    finally:
        hosts.close()


def collect(path, workloads, links, orders, pairs, cores=CORES):
    """All rounds, those that `path` has not yet made now and kept there: a run may be interrupted."""
    rows = {}

    def key(row):
        return row["workload"], row["link_name"], row["bench_order"], row["round"]

    def keep(row):
        rows[key(row)] = row
        with open(path, "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    for row in load(path):
        rows[key(row)] = row
    for link in links:
        for workload in workloads:
            # A round that was not finished is made anew: what is compared was measured together.
            missing = [number for number in range(pairs)
                       if any((workload, link, order, number) not in rows for order in orders)]
            if missing:
                measure(workload, link, orders, missing, cores, keep)
    return list(rows.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--links", default="200mbit:2ms")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--cores", default=",".join(map(str, CORES)),
                        help="of host a, host b and the link")
    parser.add_argument("--output", default="/dev/null", help="kept there, and not made again")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so through close()
    orders = options.orders.split(",")
    table(collect(options.output, options.workloads.split(","), options.links.split(","), orders,
                  options.pairs, [int(core) for core in options.cores.split(",")]), orders)


if __name__ == "__main__":
    main()
