# SPDX-License-Identifier: MIT
"""bench/engine.py - the engine alone, with the native guest.

    bulk      the first round of a pre-copy of an idle guest, all of whose memory holds data, over
              loopback; beside a bare send/recv loop of as many bytes (bench/copy_loop.c), into
              memory that was touched before and into a fresh shared file, as godwit's is
    fault     post-copy over a limited link that bulk keeps full, a guest that reads at random
    tracking  a scan of a GiB, clean or with dirty pages (bench/scan_cost.c)
    memory    the agents' own memory, without the guest's, which they map
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import table
from lab.lab import Lab, free_port, why_no_namespaces

PAGE = 4096
MIB = 1 << 20
# What is shown of bulk, and what it is called.
RATES = {"bare": "bare send/recv", "fresh": "bare, into a fresh shared file",
         "frames": "godwit's sender and receiver, without the rest", "scattered": "as before, every other page",
         "godwit": "godwit, first round of a pre-copy", "precopy_total": "godwit, a whole pre-copy",
         "stop-copy_total": "godwit, a whole stop-and-copy"}
OWN_LIMIT = 64 * MIB  # and 16 bytes a page


class EngineError(Exception):
    """One sentence."""


class Here:
    """Both hosts are this machine; what the lab's Host offers, as far as it is used here."""

    ip = "127.0.0.1"
    netns = None

    def popen(self, arguments, **options):
        return subprocess.Popen(arguments, **options)


class Pair:
    """An agent that receives and a native guest that comes to it, each in a folder of its own."""

    def __init__(self, build, source, destination, pages, options):
        self.godwit = os.path.join(build, "godwit")
        self.native = os.path.join(build, "guest", "native-guest")
        self.source, self.destination = source, destination
        self.pages = pages
        self.options = options
        self.processes = []
        self.peak = {"migrate": 0, "session": 0}
        self.cpu = {"migrate": 0, "session": 0}

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="godwit-bench-")
        self.ram = tempfile.mkdtemp(prefix="godwit-bench-", dir="/dev/shm")
        self.log = open(os.path.join(self.folder, "log"), "ab")  # noqa: SIM115
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()
        self._end_guests()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.ram, ignore_errors=True)

    def _end_guests(self):
        """The one at the destination is no child of ours: its memory's path names it."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if words[0].endswith(b"native-guest") and any(
                        word.startswith(self.ram.encode()) for word in words):
                    os.kill(int(pid), 9)  # SIGTERM was seen not to end one
            except OSError:
                continue

    def _environment(self, side):
        return {**os.environ, "GODWIT_DIR": os.path.join(self.folder, side),
                "GODWIT_RAM_DIR": self.ram}

    def _start(self):
        for side in ("a", "b", "a/vm"):
            os.mkdir(os.path.join(self.folder, side), 0o700)
        port = free_port(self.destination.ip) if self.destination.netns is None else 4909
        self.to = f"{self.destination.ip}:{port}"
        self.serve = self.destination.popen(
            [self.godwit, "serve", "--listen", self.to, "--insecure", "--native-guest", self.native],
            env=self._environment("b"), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.processes.append(self.serve)
        control = os.path.join(self.folder, "a", "vm", "native.sock")
        settings = {"pages": self.pages, "populate": self.pages, **self.options}
        self.processes.append(self.source.popen(
            [self.native, "--ram", os.path.join(self.ram, "vm"), "--control", control,
             "--name", "vm", *(word for key, value in settings.items()
                               for word in (f"--{key}", str(value)))],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log))
        end = time.monotonic() + 60
        while not os.path.exists(control) or "godwit listens on" not in self._log():
            if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                raise EngineError("agent and native guest do not start: " + self._said())
            time.sleep(0.05)
        time.sleep(0.3)

    def _log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def _said(self):
        said = self._log().strip().splitlines()
        return said[-1] if said else "it says nothing"

    def migrate(self, *arguments):
        """The result file of one migration."""
        report = os.path.join(self.folder, "result.json")
        process = self.source.popen(
            [self.godwit, "migrate", "vm", "--to", self.to, "--quiet", "--json", report, *arguments],
            env=self._environment("a"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        sampler = threading.Thread(target=self._sample, args=(process,))
        sampler.start()
        said = process.stderr.read().strip()
        process.wait()
        process.stderr.close()
        sampler.join()
        if process.returncode:
            raise EngineError(f"godwit migrate: {said}")
        with open(report, encoding="utf-8") as file:
            result = json.load(file)
        result["own_bytes"] = dict(self.peak)
        result["cpu_s"] = dict(self.cpu)
        return result

    def _sample(self, process):
        while process.poll() is None:
            self._keep("migrate", process.pid)
            for pid in _children(self.serve.pid):
                self._keep("session", pid)
            time.sleep(0.02)

    def _keep(self, name, pid):
        self.peak[name] = max(self.peak[name], own_bytes(pid))
        self.cpu[name] = max(self.cpu[name], cpu_seconds(pid))


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return [child for child in pids if _is_agent(child)]


def _is_agent(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "godwit"
    except OSError:
        return False


def own_bytes(pid):
    """Resident memory but for shared memory: the guest's, which the agent maps, is that."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            fields = dict(re.findall(r"(RssAnon|RssFile):\s+([0-9]+)", file.read()))
    except OSError:
        return 0
    return sum(int(value) * 1024 for value in fields.values())


def cpu_seconds(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def copy_loop(build, mib):
    """(bytes per second, processor seconds a GB) of each of its ways, measured once."""
    done = subprocess.run([os.path.join(build, "bench", "copy_loop"), str(mib), "1"],
                          capture_output=True, text=True, check=True)
    return {name: (float(rate), float(cpu)) for name, rate, cpu in
            re.findall(r"^(\w+)\s+([0-9]+) bytes/s.*, ([0-9.]+) CPU", done.stdout, re.MULTILINE)}


def bulk(asked, say):
    """Alternating: the yardsticks, and then godwit."""
    mib = asked.bulk_mib
    pages = mib * MIB // PAGE
    rows = []
    for number in range(asked.rounds):
        ways = copy_loop(asked.build, mib)
        row = {name: rate for name, (rate, _) in ways.items()}
        row["cpu_s_per_gb"] = {name: cpu for name, (_, cpu) in ways.items()}
        for policy in ("precopy", "stop-copy"):
            with Pair(asked.build, Here(), Here(), pages, {"pattern": "idle"}) as pair:
                result = pair.migrate("--policy", policy)
            if policy == "precopy":
                first = result["rounds"][0]
                row["godwit"] = first["sent_pages"] * PAGE * 1e9 / first["duration_ns"]
                row["own_bytes"] = result["own_bytes"]
                row["cpu_s_per_gb"]["godwit"] = sum(result["cpu_s"].values()) * 1e9 / (pages * PAGE)
            row[f"{policy}_total"] = result["bytes_on_link"] * 1e9 / result["total_time_ns"]
        rows.append(row)
        say(f"bulk, round {number + 1}: " + ", ".join(
            f"{name} {rate / 1e9:.2f} GB/s" for name, rate in row.items() if name in RATES))
    return rows


def fault_latency(asked, say):
    """Post-copy over the limited link, told of its rate and not; a guest that waits for each page."""
    rows = []
    pages = 256 * MIB // PAGE
    guest = {"pattern": "random", "reads": 2000, "writes": 500}
    for number in range(asked.rounds):
        for order in ("linear", "bubble"):
            with Lab(asked.rate) as lab, Pair(asked.build, lab.a, lab.b, pages, guest) as pair:
                result = pair.migrate("--policy", "postcopy", "--order", order)
            row = {"order": order, "faults": result["faults"],
                   "urgent_pages": result.get("urgent_pages"),
                   "bulk_bytes_per_s": result["bytes_on_link"] * 1e9 / result["total_time_ns"],
                   "own_bytes": result["own_bytes"], **result["fault_latency_ns"]}
            rows.append(row)
            say(f"fault, round {number + 1}: {order}: {row['faults']} faults, " + ", ".join(
                f"{key} {row[key] / 1e6:.2f} ms" for key in ("p50", "p99", "max")))
    return rows


def tracking(asked, say):
    """What a scan costs, by tracker, dirty pages and whether it is the last one."""
    program = os.path.join(asked.build, "bench", "scan_cost")
    rows = {}
    for kind in ("pagemap", "digest"):
        done = subprocess.run([program, kind], capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"tracking: {kind}: {done.stderr.strip()}")
            continue
        for line in done.stdout.splitlines():
            label, figures = line.split(": median ")
            median, low, high = re.findall(r"[0-9.]+", figures)
            rows[label] = {"median": float(median), "min": float(low), "max": float(high), "n": 11}
            say(f"tracking: {line}")
    return rows


def _own_memory(rows, pages, what):
    allowed = OWN_LIMIT + 16 * pages
    return [{"what": f"{what}, {side}", "pages": pages, "allowed_bytes": allowed,
             "bytes": max(row["own_bytes"][side] for row in rows)} for side in ("migrate", "session")]


def summarise(found, asked):
    summary = {}
    if "bulk" in found:
        names = [name for name in RATES if name in found["bulk"][0]]
        summary["cpu_s_per_gb"] = {
            name: table.spread(row["cpu_s_per_gb"][name] for row in found["bulk"])
            for name in found["bulk"][0]["cpu_s_per_gb"]}
        summary["bulk_bytes_per_s"] = {name: table.spread(row[name] for row in found["bulk"])
                                       for name in names}
        summary["memory"] = _own_memory(found["bulk"], asked.bulk_mib * MIB // PAGE,
                                        "pre-copy over loopback")
    if "fault" in found:
        summary["fault"] = {}
        for order in ("linear", "bubble"):
            rows = [row for row in found["fault"] if row["order"] == order]
            summary["fault"][order] = {key: table.spread(row[key] for row in rows) for key in
                                       ("faults", "p50", "p99", "max", "bulk_bytes_per_s")}
        summary.setdefault("memory", []).extend(
            _own_memory(found["fault"], 256 * MIB // PAGE, "post-copy"))
    if "tracking" in found:
        summary["tracking_ms"] = found["tracking"]
    return summary


def show(summary, out):
    if "bulk_bytes_per_s" in summary:
        rates = summary["bulk_bytes_per_s"]
        cells = [["bulk over loopback", "GB/s", "of bare", "of bare, fresh file", "CPU s/GB"]]
        for name, rate in rates.items():
            share = [f"{100 * rate['median'] / rates[base]['median']:.0f} %" if base in rates else "-"
                     for base in ("bare", "fresh")]
            cells.append([RATES[name], table.show(rate, 1e9, 2), *share,
                          table.show(summary["cpu_s_per_gb"].get(name), 1, 2)])
        print("\n" + "\n".join(table.render(cells)), file=out)
    if "fault" in summary:
        cells = [["faults while bulk fills the link", "faults", "p50 ms", "p99 ms", "max ms",
                  "link MB/s"]]
        for order, row in summary["fault"].items():
            cells.append([order, table.show(row["faults"], 1, 0),
                          *(table.show(row[key], 1e6, 2) for key in ("p50", "p99", "max")),
                          table.show(row["bulk_bytes_per_s"], 1e6, 1)])
        print("\n" + "\n".join(table.render(cells)), file=out)
    if "tracking_ms" in summary:
        cells = [["scan of a GiB", "ms"]]
        cells += [[label, table.show(row, 1, 3)] for label, row in summary["tracking_ms"].items()]
        print("\n" + "\n".join(table.render(cells)), file=out)
    if "memory" in summary:
        cells = [["the agents' own memory", "guest MiB", "MiB", "allowed MiB"]]
        cells += [[row["what"], f"{row['pages'] * PAGE / MIB:.0f}", f"{row['bytes'] / MIB:.1f}",
                   f"{row['allowed_bytes'] / MIB:.0f}"] for row in summary["memory"]]
        print("\n" + "\n".join(table.render(cells)), file=out)


def measure(asked, save, say):
    wanted = [name.strip() for name in asked.parts.split(",")]
    why = why_no_namespaces()
    found = {}
    try:
        if "bulk" in wanted:
            found["bulk"] = bulk(asked, say)
        if "fault" in wanted and why:
            say(f"fault: not measured: {why}")
        elif "fault" in wanted:
            found["fault"] = fault_latency(asked, say)
        if "tracking" in wanted:
            found["tracking"] = tracking(asked, say)
    except (EngineError, subprocess.CalledProcessError) as error:
        sys.exit(f"godwit: bench: {error}")
    summary = summarise(found, asked)
    save(os.path.join(asked.output, "engine.json"), asked, "engine", found, summary)
    show(summary, sys.stdout)
    return 0
