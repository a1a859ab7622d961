#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/bench.py - godwit beside QEMU's own migration, in one run; see bench/README.md."""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

import bare_hosts  # noqa: E402
import engine  # noqa: E402
import hosts  # noqa: E402
import table  # noqa: E402
from lab import bare, guest  # noqa: E402
from lab.lab import LabError, parse_rate, why_no_namespaces  # noqa: E402
from qemu_native import QmpError  # noqa: E402

# The order of a round: each of QEMU's modes is followed by what it is to be compared with.
MOVES = (
    ("qemu", "precopy"), ("godwit", "precopy"),
    ("qemu", "postcopy"), ("godwit", "postcopy"),
    ("qemu", "postcopy-preempt"), ("godwit", "postcopy-bubble"),
    ("qemu", "hybrid"), ("godwit", "hybrid"),
    ("qemu", "hybrid-preempt"), ("godwit", "hybrid-bubble"),
)
# field, head of the column, scale, digits
COLUMNS = (
    ("total_time_ns", "total s", 1e9, 2),
    ("downtime_ns", "downtime ms", 1e6, 0),
    ("bytes_on_link", "link MB", 1e6, 0),
    ("link_bytes_per_s", "MB/s", 1e6, 1),
    ("guest_gap_ns", "guest gap ms", 1e6, 0),
    ("longest_silence_ns", "silence ms", 1e6, 0),
    ("guest_rate_share", "guest rate %", 0.01, 0),
    ("faults", "faults", 1, 0),
    ("stall_ns", "stall ms", 1e6, 0),
)


def machine(accelerator):
    """What the figures were measured on."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    return {"cpus": len(os.sched_getaffinity(0)), "model": model[1] if model else platform.machine(),
            "kernel": platform.release(), "accelerator": accelerator,
            "load": os.getloadavg()[0]}


def say(text):
    print(text, file=sys.stderr, flush=True)


def one_line(result):
    parts = []
    for field, head, scale, digits in COLUMNS:
        if result.get(field) is not None:
            parts.append(f"{head} {result[field] / scale:.{digits}f}")
    return f"{result['outcome']}: " + ", ".join(parts)


def attempt(engines, name, mode, workload):
    """One move; where it fails that is the result, and the VM is started anew."""
    try:
        return engines[name].move(mode, workload)
    except (hosts.MoveFailed, QmpError, TimeoutError, OSError) as error:
        engines[name].restart()
        return {"engine": name, "mode": mode, "workload": workload.name, "outcome": "failed",
                "reason": str(error)}


def side_by_side(asked, setting, workloads, moves):
    results = []
    path = os.path.join(asked.output, "side-by-side.json")
    kind = bare_hosts if asked.guest == "bare" else hosts
    native, ours = kind.Native(setting), kind.Godwit(setting)
    with native, ours:
        engines = {"qemu": native, "godwit": ours}
        for number in range(asked.rounds):
            for workload in workloads:
                for name, mode in moves:
                    result = attempt(engines, name, mode, workload)
                    result["bench_round"] = number + 1
                    results.append(result)
                    say(f"round {number + 1}, {workload.name}: {name} {mode}: "
                        + (result["reason"] if result["outcome"] == "failed" else one_line(result)))
                    save(path, asked, "side-by-side", results, summary_of(results, workloads, moves))
    return results


def summary_of(results, workloads, moves):
    rows = []
    for workload in workloads:
        for name, mode in moves:
            these = [result for result in results if (result["engine"], result["mode"],
                                                      result["workload"]) == (name, mode, workload.name)]
            done = [result for result in these if result["outcome"] == "completed"]
            # A pre-copy that was given up still cost time, bytes and guest speed.
            counted = done or [r for r in these if r["outcome"] == "not-converged"]
            row = {"workload": workload.name, "engine": name, "mode": mode,
                   "outcomes": {outcome: sum(r["outcome"] == outcome for r in these)
                                for outcome in ("completed", "not-converged", "failed")}}
            for field, *_ in COLUMNS:
                row[field] = table.spread(result.get(field) for result in counted)
            latencies = [r["fault_latency_ns"] for r in done if r.get("fault_latency_ns")]
            for key in ("p50", "p99", "max"):
                row[f"fault_{key}_ns"] = table.spread(item[key] for item in latencies)
            rows.append(row)
    return rows


def show_outcomes(outcomes):
    if outcomes["completed"] == sum(outcomes.values()):
        return "yes"
    words = [f"{count} {outcome}" for outcome, count in outcomes.items() if count]
    return ", ".join(words)


def print_side_by_side(rows, out):
    for workload in dict.fromkeys(row["workload"] for row in rows):
        print(f"\n{workload}:\n", file=out)
        cells = [["move", "completed", *(head for _, head, _, _ in COLUMNS)]]
        for row in rows:
            if row["workload"] == workload:
                cells.append([f"{row['engine']} {row['mode']}", show_outcomes(row["outcomes"]),
                              *(table.show(row.get(field), scale, digits)
                                for field, _, scale, digits in COLUMNS)])
        print("\n".join(table.render(cells)), file=out)


def accelerator_of(asked):
    return bare.accelerator() if asked.guest == "bare" else guest.accelerator()


def save(path, asked, kind, results, summary):
    os.makedirs(asked.output, exist_ok=True)
    text = {"schema": "godwit.bench/1", "kind": kind, "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
            "machine": machine(accelerator_of(asked)), "summary": summary, "results": results}
    if kind == "side-by-side":
        text["setting"] = {"link": asked.rate, "memory": asked.memory, "cpus": asked.cpus,
                           "working_set": asked.working_set, "limit_s": asked.limit,
                           "downtime_limit_ms": asked.downtime, "bandwidth": asked.bandwidth,
                           "qemu_shared_ram": asked.shared_ram}
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(text, file, indent=1)
    os.replace(path + ".new", path)


def hand_over(path, where):
    """What was saved, to where --json says."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if where == "-":
        print(text)
    else:
        with open(where, "w", encoding="utf-8") as file:
            file.write(text + "\n")


def show_again(path):
    """The tables of an earlier run."""
    with open(path, encoding="utf-8") as file:
        earlier = json.load(file)
    if earlier["kind"] == "engine":
        engine.show(earlier["summary"], sys.stdout)
    else:
        print_side_by_side([row for row in earlier["summary"] if sum(row["outcomes"].values())],
                           sys.stdout)
    return 0


class Parser(argparse.ArgumentParser):
    """Says what is wrong as the program does."""

    def error(self, message):
        self.exit(2, f"godwit: bench: {message}\n")


def parse():
    parser = Parser(
        description="Moves one VM by QEMU's own migration and by godwit, turn and turn about;"
                    " with --engine, measures godwit's engine alone.")
    parser.add_argument("--engine", action="store_true",
                        help="bulk rate, fault latency, tracking cost and memory, native guest")
    parser.add_argument("--show", metavar="FILE", help="print the tables of an earlier run's JSON")
    parser.add_argument("--parts", default="bulk,fault,tracking", help="of the engine")
    parser.add_argument("--bulk-mib", type=int, default=1024, help="guest of the bulk rate (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--rate", default="400mbit", help="of the link (400mbit)")
    parser.add_argument("--bandwidth", default="none",
                        help="what both are told to send at most; none: they find out (none)")
    parser.add_argument("--limit", type=float, default=30.0,
                        help="seconds after which a pre-copy is given up (30)")
    parser.add_argument("--downtime", type=int, default=300, help="downtime limit in ms (300)")
    parser.add_argument("--memory", default="512M", help="of the VM (512M)")
    parser.add_argument("--cpus", type=int, default=1, help="of the VM (1)")
    parser.add_argument("--working-set", default="64M", help="that the guest rewrites (64M)")
    parser.add_argument("--calm", type=int, default=500, metavar="PAGES/S", help="(500)")
    parser.add_argument("--busy", type=int, default=20000, metavar="PAGES/S", help="(20000)")
    parser.add_argument("--only", default="", metavar="TEXT,...",
                        help="of the moves only those that contain one of these:"
                             " 'godwit', 'hybrid', 'qemu postcopy'")
    parser.add_argument("--workloads", default="calm,busy")
    parser.add_argument("--guest", choices=("linux", "bare"), default="linux",
                        help="bare: one without an operating system, under KVM where that works"
                             " at all; its memory is in a shared file, QEMU's own migration, too")
    parser.add_argument("--shared-ram", action="store_true",
                        help="QEMU's own migration, too, with memory in a shared file")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
                        help="where the program was built")
    parser.add_argument("--output", metavar="DIR", help="for the JSON (build/bench)")
    parser.add_argument("--json", metavar="FILE", help="a copy of it in the end; - is standard output")
    asked = parser.parse_args()
    asked.output = asked.output or os.path.join(asked.build, "bench")
    if asked.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return asked


def compare(asked):
    why = guest.why_no_qemu() or why_no_namespaces()
    if why:
        sys.exit(f"godwit: bench: {why}; only --engine works without it")
    bandwidth = None if asked.bandwidth == "none" else parse_rate(asked.bandwidth)
    kind = bare_hosts if asked.guest == "bare" else hosts
    setting = kind.Setting(asked.rate, asked.memory, asked.working_set, asked.cpus, asked.limit,
                            asked.downtime, bandwidth, asked.build)
    setting.shared_ram = asked.shared_ram or asked.guest == "bare"
    workloads = [load for load in (hosts.Workload("calm", asked.calm),
                                   hosts.Workload("busy", asked.busy))
                 if load.name in asked.workloads.split(",")]
    wanted = [text.strip() for text in asked.only.split(",")]
    moves = [move for move in MOVES if any(text in " ".join(move) for text in wanted)]
    if not workloads or not moves:
        sys.exit("godwit: bench: --workloads or --only leaves nothing to measure")
    began = time.monotonic()
    results = side_by_side(asked, setting, workloads, moves)
    rows = summary_of(results, workloads, moves)
    print(f"{asked.rounds} round{'s' if asked.rounds > 1 else ''}, link {asked.rate}, {asked.memory} VM with {asked.cpus} vCPU,"
          f" told to send {asked.bandwidth}; medians (min-max);"
          f" {(time.monotonic() - began) / 60:.0f} minutes")
    print_side_by_side(rows, sys.stdout)
    return 1 if any(result["outcome"] == "failed" for result in results) else 0


def main():
    asked = parse()
    # As Ctrl-C: through every `with`, so that nothing stays behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        if asked.show:
            return show_again(asked.show)
        # Where the JSON goes to standard output the tables do not.
        with contextlib.redirect_stdout(sys.stderr if asked.json == "-" else sys.stdout):
            status = engine.measure(asked, save, say) if asked.engine else compare(asked)
        if asked.json:
            hand_over(os.path.join(asked.output, ("engine" if asked.engine else "side-by-side")
                                   + ".json"), asked.json)
        return status
    except (LabError, guest.GuestError, hosts.MoveFailed, QmpError, ValueError) as error:
        sys.exit(f"godwit: bench: {error}")
    except OSError as error:
        sys.exit(f"godwit: bench: {error.filename}: {error.strerror}" if error.filename
                 else f"godwit: bench: {error}")
    except KeyboardInterrupt:
        sys.exit("godwit: bench: stopped")


if __name__ == "__main__":
    sys.exit(main())
