#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/uplink.py - four VMs leave a host by the link that one of them serves its client over.

    plain       `godwit migrate` of each, by pre-copy: the link shares itself
    listing     `godwit evacuate --sharing nrac`, to the letter
    text        the other reading of it
    conserving  `godwit evacuate --sharing nrac-wc`

An idle, a memory-, a CPU- and a network-intensive VM (lab/shared.py: the small Linux under QEMU,
each with a tap on the host's bridge) move one after the other ("in turn") or all together ("at
once"), there and back. A client in a namespace of its own takes a stream from the fourth all the
while, and asks it for an answer fifty times a second. The ways take turns; every cell is a line of
FILE as soon as it is done, and one that is there is not played again.

    python3 bench/uplink.py FILE [--rounds 5] [--links "30 Mbit/s"] [--ways plain,conserving]
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

from lab.lab import parse_rate  # noqa: E402
from lab.shared import UPLINK, SharedLab, Tenants  # noqa: E402

MEMORY = "96M"
WANTED = 12e6 / 8          # bytes a second that the client takes
ABOVE = "3mbit"            # Th_r: who sends more is network-intensive
DOWNTIME = "2s"            # that a VM may stand: device state alone takes half a second at 5 Mbit/s
NETWORK = "network"
VMS = {
    "idle": {"ws": "1M", "rate": 0, "sweep": 0, "pattern": "idle"},
    "memory": {"ws": "8M", "rate": 400, "sweep": 0, "pattern": "locality"},
    "cpu": {"ws": "4M", "rate": 20, "sweep": 0, "pattern": "locality", "spin": 30},
    NETWORK: {"ws": "8M", "rate": 20, "sweep": 0, "pattern": "locality"},
}
LINKS = {"free": "1gbit", "50 Mbit/s": "50mbit", "30 Mbit/s": "30mbit"}
WAYS = {
    "plain": None,
    "listing": ("--sharing", "nrac", "--set", "reading=listing"),
    "text": ("--sharing", "nrac", "--set", "reading=text"),
    "conserving": ("--sharing", "nrac-wc"),
}
MOVES = ("in turn", "at once")
PAYLOAD = 1448 / 1514      # of a frame of TCP with timestamps over Ethernet
SECOND = 10**9
BEFORE_SECONDS = 2.0       # the client, without any move
LIMIT_SECONDS = 150.0
LISTING_SECONDS = 25.0     # it does not converge: so long is enough to see that


class CellFailed(Exception):
    """One sentence."""


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


class Stage:
    """The four VMs in their lab, all at one host between two cells."""

    def __init__(self, build):
        self.lab = SharedLab(None)
        self.vms = Tenants(self.lab, build, VMS, MEMORY)

    def __enter__(self):
        self.lab.open()
        try:
            self.vms.__enter__()
        except BaseException:
            self.lab.close()
            raise
        self.source, self.destination = self.lab.a, self.lab.b
        return self

    def __exit__(self, *_):
        self.lab.close()

    def play(self, link, moves, way):
        """One cell, as a row."""
        self.lab.set_rate(LINKS[link])
        with self.vms.stream(NETWORK, WANTED) as client:
            time.sleep(1.0 + BEFORE_SECONDS)
            begin = time.monotonic_ns()
            before = self._served(client, begin - int(BEFORE_SECONDS * SECOND), begin)
            bytes_before = self.lab.link_bytes(self.destination)
            seen = self._plain(moves) if way == "plain" else self._shared(link, moves, way)
            row = {"link": link, "moves": moves, "way": way, **seen, "before": before,
                   "link_bytes": self.lab.link_bytes(self.destination) - bytes_before}
            time.sleep(0.3)
            self._add_client(row, client)
        self._gather(row)
        return row

    # --- the ways ---

    def _plain(self, moves):
        begin = time.monotonic_ns()
        running, results = {}, {}
        for name in VMS:
            if moves == "in turn":
                self._wait(running, results)
            path = self.lab.path(f"{name}.json")
            running[name] = (path, time.monotonic_ns(), self.vms.godwit(
                self.source, "migrate", name, "--to", self.vms.agent(self.destination), "--policy",
                "precopy", "--downtime", DOWNTIME, "--deadline", f"{LIMIT_SECONDS:.0f}s", "--quiet",
                "--json", path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self._wait(running, results)
        return {"begin_ns": begin, "end_ns": time.monotonic_ns(), "vms": results}

    def _wait(self, running, results):
        while running:
            for name in [name for name, (_, _, process) in running.items()
                         if process.poll() is not None]:
                path, began, process = running.pop(name)
                ended = time.monotonic_ns()
                self.lab.stop(process)
                results[name] = self._move(_read(path), began, ended)
            time.sleep(0.02)

    @staticmethod
    def _move(result, began, ended):
        if not result:
            raise CellFailed("a move left no result")
        return {"begin_ns": began, "end_ns": ended, "result": result,
                "moved": result["outcome"] == "completed"}

    def _shared(self, link, moves, way):
        path = self.lab.path("evacuation.json")
        payload = int(parse_rate(LINKS[link]) / 8 * PAYLOAD)
        words = ["evacuate", "--to", self.vms.agent(self.destination), "--policy", "precopy",
                 "--downtime", DOWNTIME, *WAYS[way], "--set", f"network_above={ABOVE}",
                 "--device", UPLINK, "--carries", LINKS[link], "--bandwidth", f"{payload}B/s",
                 "--quiet", "--json", path]
        if moves == "in turn":
            words += ["--at-once", "1"]
            for place, name in enumerate(VMS):
                words += ["--priority", f"{name}={place}"]
        process = self.vms.godwit(self.source, *words, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LISTING_SECONDS if way == "listing" else LIMIT_SECONDS)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        said = process.stderr.read().strip()
        self.lab.stop(process, 20.0)
        found = _read(path)
        if not found or "began_at_ns" not in found:
            raise CellFailed(f"{way}: {said}")
        begin = found["began_at_ns"]
        return {"begin_ns": begin, "end_ns": begin + found["total_time_ns"], "said": said,
                "traffic_control": found["traffic_control"],
                "vms": {vm["name"]: {"begin_ns": begin + vm.get("begin_ns", 0),
                                     "end_ns": begin + vm.get("end_ns", found["total_time_ns"]),
                                     "moved": vm["outcome"] == "moved", "result": vm.get("result")}
                        for vm in found["vms"]}}

    # --- the client ---

    @staticmethod
    def _served(client, begin, end):
        return {"kept": client.kept(begin, end), "latency_ns": client.latency_ns(begin, end)}

    def _add_client(self, row, client):
        """While the moves went on that left by the link of its VM, and while that one moved."""
        own = row["vms"][NETWORK]
        if client.lost:
            raise CellFailed(f"the client has lost its VM: {client.lost}")
        row["client"] = self._served(client, row["begin_ns"], own["end_ns"])
        row["client_own_move"] = self._served(client, own["begin_ns"], own["end_ns"])

    # --- between two cells ---

    def _gather(self, row):
        """Those that stayed follow, over a link without a limit."""
        self.lab.set_rate(None)
        for name in [name for name, vm in row["vms"].items() if not vm["moved"]]:
            done = self.source.run(
                [self.vms.program, "migrate", name, "--to", self.vms.agent(self.destination),
                 "--quiet"], env=self.vms.environment(self.source), check=False,
                capture_output=True, text=True, timeout=60)
            if done.returncode:
                raise CellFailed(f"{name} does not follow: {done.stderr.strip()}")
        self.source, self.destination = self.destination, self.source


# --- many cells ---


def cells(links, moves, ways, rounds):
    """The ways take turns, and who is first too. What does not end is not waited for by others."""
    for number in range(1, rounds + 1):
        for link in links:
            for how in moves:
                for shift in range(len(ways)):
                    way = ways[(shift + number - 1) % len(ways)]
                    if (how, way) != ("in turn", "listing"):
                        yield number, link, how, way


def load(path):
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]
    return []


def key_of(row):
    return row["round"], row["link"], row["moves"], row["way"]


def collect(path, rounds, build, links=tuple(LINKS), moves=MOVES, ways=tuple(WAYS),
            told=lambda row: None, seconds=float("inf")):
    """The rows of all cells; those that FILE lacks are played, for so long at most."""
    rows = load(path)
    there = {key_of(row) for row in rows}
    missing = [cell for cell in cells(links, moves, ways, rounds) if cell not in there]
    end = time.monotonic() + seconds
    if missing:
        with Stage(build) as stage:
            for number, link, how, way in missing:
                if time.monotonic() > end:
                    break
                row = {"round": number, **stage.play(link, how, way)}
                rows.append(row)
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                told(row)
    return rows


def told_line(row):
    own = row["client"]
    times = "  ".join(f"{name} {vm['result']['total_time_ns'] / SECOND:5.1f}" if vm["moved"] else
                      f"{name}     -" for name, vm in row["vms"].items())
    latency = row["client"]["latency_ns"] or {"p50": 0, "p99": 0}
    return (f"{row['round']} {row['link']:9} {row['moves']} {row['way']:10} {times}  all"
            f" {(row['end_ns'] - row['begin_ns']) / SECOND:5.1f} s  kept {100 * own['kept']:3.0f} %"
            f" (own move {100 * row['client_own_move']['kept']:3.0f}, before"
            f" {100 * row['before']['kept']:3.0f})  p50 {latency['p50'] / 1e6:.1f} p99"
            f" {latency['p99'] / 1e6:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--links", default=",".join(LINKS))
    parser.add_argument("--moves", default=",".join(MOVES))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no new cell after that")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    options = parser.parse_args()
    collect(options.file, options.rounds, options.build, options.links.split(","),
            options.moves.split(","), options.ways.split(","),
            lambda row: print(told_line(row), flush=True), options.seconds)


if __name__ == "__main__":
    main()
