#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/evacuate.py - several VMs leave a host, in several settings and several ways.

    link      over one link; a hot VM writes a little more than it carries
    ways      to two hosts, each behind a way of half of the link
    path      over a link that is called 10gbit and that nothing limits: agents' processors do

    one       one at a time, every one by pre-copy: what one does by hand
    same      one at a time, each by the policy that the plan takes for it
    all       all at once, every one by pre-copy, in equal shares of the link
    hybrid    all at once, every one by hybrid
    planned   as `godwit evacuate` plans it

Native guests in a lab of their own: a host, one or two others, and a switch that limits what each
of them gets. Each way moves the same guests, started anew, and is repeated; the ways take turns.

    python3 bench/evacuate.py [--setting link] [--vms 8] [--hot 2] [--rounds 3] [--json FILE]

What is compared: the time until the host is empty, the VMs' unavailable time (downtime, and what
they waited for pages) added up, bytes on the links as the switch counts them, and how far the end
was from the one that the plan announced. A VM that a way did not move is in no figure but `moved`,
and its time: a way that gives one up took that long over it.
"""
import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

from lab.lab import Host, Lab, free_port, parse_rate  # noqa: E402
import table  # noqa: E402

WAYS = {
    "one": ("--at-once", "1", "--sharing", "fair", "--policy", "precopy"),
    "same": ("--at-once", "1", "--sharing", "fair"),
    "all": ("--sharing", "fair", "--policy", "precopy"),
    "hybrid": ("--sharing", "fair", "--policy", "hybrid"),
    "planned": (),
}
HEADERS = 1448 / 1514  # of TCP over Ethernet: what of the link's rate is payload
PATIENCE = 280
READS = 1000  # a second, of every guest


class TwoWays(Lab):
    """A third host; the rate is that of each way to a host."""

    def __init__(self, rate):
        super().__init__(rate)
        self.d = Host(self, "d", "10.78.0.3", self.name + "-d")
        self.hosts = (self.a, self.b, self.d)

    def _set_up(self):
        self._add_namespace(self.d.netns)
        super()._set_up()


def lab_of(options):
    if options.setting == "ways":
        return TwoWays(parse_rate(options.rate) // 2)
    return Lab(None if options.setting == "path" else options.rate)


class Fleet:
    """The guests at host a, and the agents at the others."""

    def __init__(self, lab, build, options):
        self.lab, self.build, self.options = lab, build, options
        self.folder = tempfile.mkdtemp(prefix="gw-", dir="/dev/shm")
        self.processes = []
        self.to = []

    def __enter__(self):
        for host in self.lab.hosts[1:]:
            self.serve(host)
        for number in range(self.options.vms):
            self.start(number)
        return self

    def serve(self, host):
        to = f"{host.ip}:{host.call(lambda: free_port(host.ip))}"
        self.to.append(to)
        self.processes.append(host.popen(
            [os.path.join(self.build, "godwit"), "serve", "--listen", to, "--insecure",
             "--native-guest", os.path.join(self.build, "guest", "native-guest")],
            env=self.environment(host.name), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def await_guest(self, name):
        """Until all of its memory is written, and it has run for a second."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.status(name)
            if status.get("state") == "running" and int(status["reads"]) > READS:
                return
            time.sleep(0.05)
        raise SystemExit(f"{name} does not run")

    def status(self, name):
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(os.path.join(self.folder, "a", name, "native.sock"))
                sock.sendall(b"status\n")
                with sock.makefile("r") as lines:
                    return dict(word.split("=", 1) for word in lines.readline().split()[1:])
        except (OSError, ValueError):
            return {}

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        for path in os.listdir("/proc"):
            self.end_guest(path)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end_guest(self, pid):
        """Guests at host b are children of no one here; they hold a file of this folder."""
        try:
            with open(f"/proc/{int(pid)}/cmdline", "rb") as file:
                if self.folder.encode() in file.read():
                    os.kill(int(pid), 9)
        except (OSError, ValueError):
            pass

    def environment(self, host):
        for kind in ("", "-ram"):
            os.makedirs(os.path.join(self.folder, host + kind), exist_ok=True)
        return {**os.environ, "GODWIT_DIR": os.path.join(self.folder, host),
                "GODWIT_RAM_DIR": os.path.join(self.folder, host + "-ram")}

    def start(self, number):
        name = f"vm{number}"
        hot = number < self.options.hot
        folder = os.path.join(self.folder, "a", name)
        self.environment("a")
        os.makedirs(folder)
        pages = self.options.memory * 256
        config = {"pages": pages, "populate": pages, "seed": number + 1,
                  "writes": self.options.hot_writes if hot else 200,
                  "set": self.options.hot_set * 256 if hot else 1024, "reads": READS}
        words = [os.path.join(self.build, "guest", "native-guest"), "--name", name, "--ram",
                 os.path.join(self.folder, "a-ram", f"godwit-{name}.ram"), "--control",
                 os.path.join(folder, "native.sock")]
        for key, value in config.items():
            words += ["--" + key, str(value)]
        self.processes.append(self.lab.a.popen(words, stderr=subprocess.DEVNULL))

    def link(self):
        """What is told of it."""
        if self.options.setting == "path":
            return ["--bandwidth", "10gbit"]
        rate = int(parse_rate(self.options.rate) / 8 * HEADERS)
        words = ["--bandwidth", f"{rate}B/s"]
        if self.options.setting == "ways":
            for to in self.to:
                words += ["--link", f"{to}={rate // 2}B/s"]
        return words

    def evacuate(self, way):
        path = os.path.join(self.folder, "result.json")
        words = [os.path.join(self.build, "godwit"), "evacuate", "--quiet", "--json", path,
                 *self.link(), *WAYS[way]]
        for to in self.to:
            words += ["--to", to]
        for number in range(self.options.vms):
            self.await_guest(f"vm{number}")
        before = self.carried()
        try:
            done = self.lab.a.run(words, env=self.environment("a"), capture_output=True, text=True,
                                  timeout=PATIENCE, check=False)
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return {"way": way, "said": str(error), "vms": []}
        result["way"] = way
        result["said"] = done.stderr.strip()
        result["link_bytes"] = self.carried() - before
        return result

    def carried(self):
        return sum(self.lab.link_bytes(host) for host in self.lab.hosts[1:])


def figures(result, options):
    row = {"way": result["way"], "moved": sum(vm["outcome"] == "moved" for vm in result["vms"])}
    if "total_time_ns" not in result:
        return row  # it took longer than anybody waits
    total, announced = result["total_time_ns"] / 1e9, result["plan"]["end_ns"] / 1e9
    foretold = result["plan"]["unavailable_ns"]
    return row | {
        "total_s": total,
        "unavailable_ms": result["unavailable_ns"] / 1e6,
        "link_share": 100 * result["link_bytes"] * 8 / parse_rate(options.rate) / total
                      if options.setting != "path" else None,
        "sent_mb": result["link_bytes"] / 1e6,
        "announced_s": announced,
        "announced_unavailable_ms": foretold["middle"] / 1e6,
        "held": result["plan"]["soonest_ns"] <= result["total_time_ns"]
                <= result["plan"]["latest_ns"],
        "off": 100 * (total / announced - 1) if announced else None,
    }


COLUMNS = {
    "moved": ("moved", 0), "total_s": ("empty after s", 1), "unavailable_ms": ("unavailable ms", 0),
    "link_share": ("link use %", 0), "sent_mb": ("on link MB", 0),
    "announced_s": ("announced s", 1), "off": ("end off by %", 0),
}


def show(rows, options):
    print(f"{options.setting}: {options.vms} native guests of {options.memory} MiB, {options.hot} "
          f"of them hot ({options.hot_writes} writes a second in {options.hot_set} MiB)"
          f"{'' if options.setting == 'path' else ', ' + options.rate}; medians of "
          f"{options.rounds}, and their least and most")
    lines = []
    for way in options.ways.split(","):
        own = [row for row in rows if row["way"] == way]
        lines.append([way, *(table.show(table.spread([row.get(key) for row in own]), 1, digits)
                             for key, (_, digits) in COLUMNS.items())])
    print("\n".join(table.render([["way", *(head for head, _ in COLUMNS.values())], *lines])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=("link", "ways", "path"), default="link")
    parser.add_argument("--vms", type=int, default=8)
    parser.add_argument("--hot", type=int, default=2)
    parser.add_argument("--hot-writes", type=int,
                        help="a second (default: 1.15 times the pages that one way carries)")
    parser.add_argument("--hot-set", type=int,
                        help="MiB that they go to (default: 48 for one way, half of it for two)")
    parser.add_argument("--memory", type=int, default=96, help="MiB of each")
    parser.add_argument("--rate", default="400mbit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json", help="every run, one a line")
    options = parser.parse_args()
    ways = 2 if options.setting == "ways" else 1
    options.hot_set = options.hot_set or 48 // ways
    if not options.hot_writes:
        options.hot_writes = int(1.15 * parse_rate(options.rate) / 8 * HEADERS / 4096 / ways)
    rows = []
    for _ in range(options.rounds):
        for way in options.ways.split(","):
            lab = lab_of(options)
            lab.open()
            try:
                with Fleet(lab, options.build, options) as fleet:
                    result = fleet.evacuate(way)
            finally:
                lab.close()
            rows.append(figures(result, options))
            print(rows[-1], result["said"], file=sys.stderr)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps({**rows[-1], "result": result}) + "\n")
    show(rows, options)


if __name__ == "__main__":
    main()
