#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/fidelity.py - how far simulated moves are from live ones; see bench/README.md.

Theory of Operation

For each workload a VM is started and watched by `godwit record`. It then moves live over a limited
link under every policy, a few times each; and the simulator plays the recorded trace under the same
policies over a link of the same rate and latency. What is compared is what both worlds report with
the same names. Nothing is fitted: the simulator's costs are its defaults.
"""

import argparse
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

import engine  # noqa: E402
import hosts  # noqa: E402
import table  # noqa: E402
from lab import guest  # noqa: E402
from lab.client import wait_for_guest  # noqa: E402
from lab.lab import Lab, LabError, parse_rate, why_no_namespaces  # noqa: E402

PAGES = 256 * engine.MIB // engine.PAGE
POLICIES = {
    "stop-copy": ("--policy", "stop-copy"),
    "precopy": ("--policy", "precopy"),
    "hybrid": ("--policy", "hybrid"),
    "postcopy": ("--policy", "postcopy", "--order", "linear"),
    "postcopy, bubble": ("--policy", "postcopy", "--order", "bubble"),
}
# name: options of the native guest
NATIVE = {
    "native locality": {"pattern": "locality", "set": 16384, "drift": 64, "writes": 4000,
                        "reads": 8000},
    "native sequential": {"pattern": "sequential", "set": 32768, "writes": 3000, "reads": 3000},
    "native random": {"pattern": "random", "writes": 2000, "reads": 6000},
}
# A native guest stops, saves and loads without a hypervisor around it.
NATIVE_COSTS = {"stop": "200us", "cont": "200us", "save": "500us", "load": "500us"}
# name: pages a second that the Linux guest rewrites
LINUX = {"linux calm": 500, "linux busy": 4000}
# field, scale, unit, digits, the least live value of which a share is told
FIELDS = (
    ("total_time_ns", 1e9, "s", 2, 1),
    ("downtime_ns", 1e6, "ms", 1, 1),
    ("pages_sent", 1, "", 0, 1),
    ("faults", 1, "", 0, 20),
)


def say(text):
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    """One sentence."""


def record(run, program, name, path, seconds, environment):
    done = run([program, "record", name, "-o", path, "--reads", "1", "--for", f"{seconds:g}s", "--quiet"],
               env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"record: {done.stderr.strip()}")


def native_case(asked, name, trace):
    """{policy: [live results]}; a guest of its own for each move."""
    live = {}
    options = NATIVE[name]
    for number in range(asked.rounds):
        for policy, arguments in POLICIES.items():
            with Lab(asked.rate) as lab, engine.Pair(asked.build, lab.a, lab.b, PAGES, options) as pair:
                if not os.path.exists(trace):
                    record(lab.a.run, pair.godwit, "vm", trace, asked.seconds,
                           pair._environment("a"))
                result = pair.migrate(*arguments, "--deadline", f"{asked.limit:g}s")
            live.setdefault(policy, []).append(result)
            say(f"{name}, round {number + 1}: {policy}: {brief(result)}")
    return live


def linux_case(asked, name, trace):
    """The same with a Linux VM that moves there and back."""
    live = {}
    setting = hosts.Setting(asked.rate, "512M", "64M", 1, asked.limit, 300, None, asked.build)
    workload = hosts.Workload(name, LINUX[name])
    with hosts.Godwit(setting) as engine_:
        engine_.modes = POLICIES
        engine_.move("stop-copy", workload)  # pages of zeros are holes from now on
        watch_linux(asked, engine_, workload, trace)
        for number in range(asked.rounds):
            for policy in POLICIES:
                try:
                    result = engine_.move(policy, workload)
                except hosts.MoveFailed as error:
                    say(f"{name}, round {number + 1}: {policy}: {error}")
                    engine_.restart()
                    continue
                result["downtime_ns"] = result["downtime_reported_ns"]
                live.setdefault(policy, []).append(result)
                say(f"{name}, round {number + 1}: {policy}: {brief(result)}")
    return live


def watch_linux(asked, engine_, workload, trace):
    engine_._qmp().execute("cont")
    with wait_for_guest(*engine_.source.guest_address(), engine_.lab.client.netns) as client:
        workload.start(client)
        record(engine_.source.run, engine_.program, engine_.vm, trace, asked.seconds,
               engine_._environment(engine_.source))
    engine_._qmp().execute("stop")


def brief(result):
    return f"{result['outcome']}: " + ", ".join(
        f"{field.removesuffix('_ns')} {result[field] / scale:.{digits}f} {unit}".rstrip()
        for field, scale, unit, digits, _ in FIELDS if result.get(field) is not None)


def simulate(asked, case, trace, policy):
    """The results of the simulator, one a seed."""
    scenario = trace.removesuffix(".trace") + ".json"
    words = dict(zip(POLICIES[policy][::2], POLICIES[policy][1::2]))
    with open(scenario, "w", encoding="utf-8") as file:
        json.dump({"look": "a recorded VM over the link of the bench",
                   "vm": {}, "trace": os.path.basename(trace),
                   "link": {"bandwidth": asked.rate, "latency": asked.latency},
                   "costs": NATIVE_COSTS if case in NATIVE else {},
                   "policy": words["--policy"], "deadline": f"{asked.limit:g}s",
                   "settings": {"order": words["--order"]} if "--order" in words else {}}, file)
    done = subprocess.run(
        [os.path.join(asked.build, "godwit"), "sim", scenario, "--seed", f"1-{asked.seeds}",
         "--json", "-", "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"sim: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def median(results, field):
    spread = table.spread(result.get(field) for result in results)
    return spread and spread["median"]


def outcome(results):
    return "completed" if any(r["outcome"] == "completed" for r in results) else results[0]["outcome"]


def compare(case, policy, live, simulated):
    row = {"workload": case, "policy": policy, "live_outcome": outcome(live),
           "sim_outcome": outcome(simulated)}
    live = [r for r in live if r["outcome"] == "completed"]
    for field, *_, least in FIELDS:
        ours, theirs = median(simulated, field), median(live, field)
        row[field] = {"live": table.spread(r.get(field) for r in live), "sim": ours,
                      "error": abs(ours - theirs) / theirs
                      if ours is not None and theirs is not None and theirs >= least else None}
    return row


def cell(values, scale, digits):
    if values["live"] is None or values["sim"] is None:
        return "-"
    error = f" ({100 * values['error']:.0f} %)" if values["error"] is not None else ""
    return f"{values['live']['median'] / scale:.{digits}f} / {values['sim'] / scale:.{digits}f}{error}"


def show(rows, out):
    cells = [["workload, policy", *(f"{field.removesuffix('_ns').replace('_', ' ')} {unit}".strip()
                                    for field, _, unit, *_ in FIELDS)]]
    for row in rows:
        cells.append([f"{row['workload']}, {row['policy']}",
                      *(cell(row[field], scale, digits) for field, scale, _, digits, _ in FIELDS)])
    print("\n".join(table.render(cells)), file=out)
    print("\nerror: median, greatest, and how many of the pairs are above 25 %\n", file=out)
    cells = [["figure", "median", "greatest", "above 25 %"]]
    for field, *_ in FIELDS:
        errors = [row[field]["error"] for row in rows if row[field]["error"] is not None]
        if errors:
            cells.append([field.removesuffix("_ns").replace("_", " "),
                          f"{100 * table.spread(errors)['median']:.1f} %", f"{100 * max(errors):.0f} %",
                          f"{sum(error > 0.25 for error in errors)} of {len(errors)}"])
    print("\n".join(table.render(cells)), file=out)


def measure(asked):
    os.makedirs(asked.output, exist_ok=True)
    rows, found = [], {}
    for case in [*NATIVE, *LINUX]:
        if asked.only not in case:
            continue
        trace = os.path.join(asked.output, case.replace(" ", "-") + ".trace")
        kept = trace.removesuffix(".trace") + ".live.json"
        if asked.again and os.path.exists(kept):
            with open(kept, encoding="utf-8") as file:
                live = json.load(file)
        else:
            if os.path.exists(trace):
                os.unlink(trace)
            live = (native_case if case in NATIVE else linux_case)(asked, case, trace)
            with open(kept, "w", encoding="utf-8") as file:
                json.dump(live, file)
        for policy in POLICIES:
            if live.get(policy):
                simulated = simulate(asked, case, trace, policy)
                rows.append(compare(case, policy, live[policy], simulated))
                found[f"{case}, {policy}"] = {"live": live[policy], "sim": simulated}
    with open(os.path.join(asked.output, "fidelity.json"), "w", encoding="utf-8") as file:
        json.dump({"schema": "godwit.fidelity/1", "rate": asked.rate, "rows": rows,
                   "results": found}, file, indent=1)
    show(rows, sys.stdout)


def parse():
    parser = argparse.ArgumentParser(description="Moves recorded VMs live and in the simulator.")
    parser.add_argument("--rounds", type=int, default=3, help="live moves of each kind (3)")
    parser.add_argument("--seeds", type=int, default=5, help="simulated moves of each kind (5)")
    parser.add_argument("--seconds", type=float, default=10.0, help="that are recorded (10)")
    parser.add_argument("--limit", type=float, default=30.0, help="deadline of a move in s (30)")
    parser.add_argument("--rate", default="400mbit", help="of the link (400mbit)")
    parser.add_argument("--latency", default="30us", help="of the link, one way (30us)")
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads that contain this")
    parser.add_argument("--again", action="store_true",
                        help="simulate anew beside the live moves of an earlier run")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR")
    parser.add_argument("--output", metavar="DIR", help="traces and results (build/fidelity)")
    asked = parser.parse_args()
    asked.output = asked.output or os.path.join(asked.build, "fidelity")
    parse_rate(asked.rate)
    return asked


def main():
    asked = parse()
    why = why_no_namespaces() or guest.why_no_qemu()
    if why:
        sys.exit(f"fidelity: {why}")
    # As Ctrl-C: through every `with`, so that nothing stays behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        measure(asked)
    except (Failed, LabError, guest.GuestError, hosts.MoveFailed, engine.EngineError) as error:
        sys.exit(f"fidelity: {error}")


if __name__ == "__main__":
    main()
