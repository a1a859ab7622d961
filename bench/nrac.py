#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/nrac.py - S2's experiment, simulated: four VMs, three links, plain pre-copy beside NRAC.

    python3 bench/nrac.py [--seeds 5] [--json FILE]

An idle, a memory-, a CPU- and a network-intensive VM of 256 MiB leave over one link: unlimited
(1 Gbit/s), 50 and 30 Mbit/s; one after the other, as in the paper, and all at once. What writes a
lot has a small working set, so that a plain pre-copy over the narrowest link does converge in the
end. The network-intensive VM wants 15 Mbit/s for itself.

Medians over the seeds: total time of each VM, pages sent again, downtime, and what the
network-intensive VM got of what it wanted while it moved. What has not ended after the deadline
stays, and is told as "-".
"""
import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINKS = ("1gbit", "50mbit", "30mbit")
WAYS = {"pre-copy": None,
        "nrac listing": {"policy": "nrac", "settings": {"reading": "listing"}},
        "nrac text": {"policy": "nrac", "settings": {"reading": "text"}},
        "nrac-wc": {"policy": "nrac-wc"}}
VMS = [
    {"name": "idle", "workload": {"kind": "idle"}},
    {"name": "memory", "workload": {"kind": "locality", "write_rate": 300, "read_rate": 1000,
                                    "working_set": "16M"}},
    {"name": "cpu", "workload": {"kind": "locality", "write_rate": 60, "read_rate": 1000,
                                 "cpu": 0.9, "working_set": "16M"}},
    {"name": "network", "workload": {"kind": "server", "write_rate": 200, "working_set": "16M",
                                     "network": "15mbit"}},
]
for vm in VMS:
    vm.update({"ram": "256M", "populated": 0.5})
# Th_r is below what the network-intensive VM wants, and gets.
THRESHOLD = "3mbit"


def scenario(link, way, at_once):
    made = {"look": "S2", "link": {"bandwidth": link}, "deadline": "2h", "downtime": "300ms",
            "vms": VMS}
    if way:
        settings = {**way.get("settings", {}), "network_above": THRESHOLD}
        made["sharing"] = {**way, "settings": settings}
    if at_once:
        made["at_once"] = at_once
    return made


def play(godwit, made, seeds):
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "s2.json"), os.path.join(folder, "out.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(made, file)
        subprocess.run([godwit, "sim", path, "--seed", f"1-{seeds}", "--json", out],
                       capture_output=True, check=False)
        with open(out, encoding="utf-8") as file:
            return [json.loads(line) for line in file]


def median(results, name, figure):
    values = [figure(r) for r in results
              if r["vm"]["name"] == name and r["outcome"] == "completed"]
    return statistics.median(values) if values else None


def traffic_share(result):
    traffic = result["guest"]["traffic"]
    return traffic["bytes"] / traffic["wanted_bytes"]


def row_of(results, link, way, at_once):
    row = {"link": link, "way": way, "at_once": at_once or len(VMS)}
    for vm in VMS:
        name = vm["name"]
        row[name] = {"total_s": median(results, name, lambda r: r["total_time_ns"] / 1e9),
                     "downtime_ms": median(results, name, lambda r: r["downtime_ns"] / 1e6),
                     "resent": median(results, name, lambda r: r["pages_resent"]),
                     "rounds": median(results, name, lambda r: len(r["rounds"]))}
    shares = [traffic_share(r) for r in results if r["vm"]["name"] == "network"]
    row["traffic_share"] = statistics.median(shares)
    return row


def show(rows):
    print("| link | moves | way | " + " | ".join(f"{vm['name']} s" for vm in VMS) +
          " | memory sent again | network sent again | the network VM's own traffic |")
    print("|---|---|---|" + "---:|" * (len(VMS) + 3))
    for row in rows:
        cells = [row["link"], "all at once" if row["at_once"] > 1 else "one by one", row["way"]]
        cells += [cell(row[vm["name"]]["total_s"], ".1f") for vm in VMS]
        cells += [cell(row["memory"]["resent"], ".0f"), cell(row["network"]["resent"], ".0f"),
                  f"{row['traffic_share']:.0%}"]
        print("| " + " | ".join(cells) + " |")


def cell(value, form):
    return "-" if value is None else format(value, form)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--godwit", default=os.path.join(ROOT, "build", "godwit"))
    parser.add_argument("--json", help="one row a line")
    options = parser.parse_args()
    rows = []
    for link, at_once, way in itertools.product(LINKS, (1, 0), WAYS):
        results = play(options.godwit, scenario(link, WAYS[way], at_once), options.seeds)
        if not results:
            sys.exit(f"{link}, {way}: godwit sim gave no results")
        rows.append(row_of(results, link, way, at_once))
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    show(rows)


if __name__ == "__main__":
    main()
