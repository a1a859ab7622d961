#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/evacuate.py - several VMs leave a host over one link, in several ways.

    one      one at a time, every one by pre-copy: what one does by hand
    all      all at once, every one by pre-copy, in equal shares of the link
    planned  as `godwit evacuate` plans it

Native guests in a lab of their own: two hosts and a limited link between them. Two of them are hot:
they write more in a second than the link carries in half of one. Each way moves the same guests,
started anew, and is repeated; the ways take turns.

    python3 bench/evacuate.py [--vms 8] [--hot 2] [--rate 400mbit] [--rounds 3] [--json FILE]

What is compared: the time until the host is empty, the VMs' unavailable time (downtime, and what
they waited for pages) added up, bytes on the link as the switch counts them, and how far the end
was from the one that the plan announced.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

from lab.lab import Lab, free_port, parse_rate  # noqa: E402
import table  # noqa: E402

WAYS = {
    "one": ("--at-once", "1", "--sharing", "fair", "--policy", "precopy"),
    "all": ("--sharing", "fair", "--policy", "precopy"),
    "planned": (),
}
HEADERS = 1448 / 1514  # of TCP over Ethernet: what of the link's rate is payload
PATIENCE = 280


class Fleet:
    """The guests at host a, and the agent at host b."""

    def __init__(self, lab, build, options):
        self.lab, self.build, self.options = lab, build, options
        self.folder = tempfile.mkdtemp(prefix="gw-", dir="/dev/shm")
        self.processes = []

    def __enter__(self):
        host = self.lab.b
        port = host.call(lambda: free_port(host.ip))
        self.to = f"{host.ip}:{port}"
        self.processes.append(host.popen(
            [os.path.join(self.build, "godwit"), "serve", "--listen", self.to, "--insecure",
             "--native-guest", os.path.join(self.build, "guest", "native-guest")],
            env=self.environment("b"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for number in range(self.options.vms):
            self.start(number)
        time.sleep(2.0)  # until all of their memory is written
        return self

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
                  "set": pages // 4 if hot else 1024, "reads": 1000}
        words = [os.path.join(self.build, "guest", "native-guest"), "--name", name, "--ram",
                 os.path.join(self.folder, "a-ram", f"godwit-{name}.ram"), "--control",
                 os.path.join(folder, "native.sock")]
        for key, value in config.items():
            words += ["--" + key, str(value)]
        self.processes.append(self.lab.a.popen(words, stderr=subprocess.DEVNULL))

    def evacuate(self, way):
        path = os.path.join(self.folder, "result.json")
        rate = int(parse_rate(self.options.rate) / 8 * HEADERS)
        words = [os.path.join(self.build, "godwit"), "evacuate", "--to", self.to, "--quiet",
                 "--bandwidth", f"{rate}B/s", "--json", path, *WAYS[way]]
        before = self.lab.link_bytes(self.lab.b)
        done = self.lab.a.run(words, env=self.environment("a"), capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        try:
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
        except (OSError, ValueError):
            raise SystemExit(f"{way}: {done.stderr.strip()}") from None
        result["way"] = way
        result["said"] = done.stderr.strip()
        result["link_bytes"] = self.lab.link_bytes(self.lab.b) - before
        return result


def figures(result, rate):
    total = result["total_time_ns"] / 1e9
    announced = result["plan"]["end_ns"] / 1e9
    return {
        "way": result["way"],
        "moved": sum(vm["outcome"] == "moved" for vm in result["vms"]),
        "total_s": total,
        "unavailable_ms": result["unavailable_ns"] / 1e6,
        "link_share": result["link_bytes"] * 8 / parse_rate(rate) / total,
        "sent_mb": result["link_bytes"] / 1e6,
        "announced_s": announced,
        "error": total / announced - 1 if announced else None,
    }


def show(rows, options):
    print(f"{options.vms} native guests of {options.memory} MiB, {options.hot} of them hot "
          f"({options.hot_writes} writes a second in a quarter of it), over {options.rate}; "
          f"medians of {options.rounds}")
    lines = []
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        if not own:
            continue
        median = {key: statistics.median(row[key] for row in own)
                  for key in own[0] if key not in ("way",)}
        lines.append([way, f"{median['moved']:.0f}", f"{median['total_s']:.1f}",
                      f"{median['unavailable_ms']:.0f}", f"{median['link_share']:.0%}",
                      f"{median['sent_mb']:.0f}", f"{median['announced_s']:.1f}",
                      f"{median['error']:+.0%}"])
    heads = ["way", "moved", "empty after s", "unavailable ms", "link use", "on link MB",
             "announced s", "off by"]
    print("\n".join(table.render([heads, *lines])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vms", type=int, default=8)
    parser.add_argument("--hot", type=int, default=2)
    parser.add_argument("--hot-writes", type=int, default=8000)
    parser.add_argument("--memory", type=int, default=96, help="MiB of each")
    parser.add_argument("--rate", default="400mbit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json", help="every run, one a line")
    options = parser.parse_args()
    rows = []
    for _ in range(options.rounds):
        for way in options.ways.split(","):
            lab = Lab(options.rate)
            lab.open()
            try:
                with Fleet(lab, options.build, options) as fleet:
                    result = fleet.evacuate(way)
            finally:
                lab.close()
            rows.append(figures(result, options.rate))
            print(rows[-1], result["said"], file=sys.stderr)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps({**rows[-1], "result": result}) + "\n")
    show(rows, options)


if __name__ == "__main__":
    main()
