#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lab/demo.py - a running VM moves between two hosts and back while a client talks to it.

It takes the best that the machine allows: two hosts and a client in namespaces, a Linux guest under
QEMU, every policy; and where something is not to be had, the next best, each time with a sentence
that says what is different. What it measured stands in a table at the end and in result files; its
exit status is 0 only if every move was right in all that could be checked.
"""

import signal

if __name__ == "__main__":  # Ctrl-C counts from here on, also where a script's background ignores it
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import collections
import fcntl
import json
import os
import platform
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from lab import guest  # noqa: E402  (what stands above comes first)
from lab.lab import Lab, LabError, LoopbackLab, open_lab, parse_rate  # noqa: E402
from lab.movable import NAME, LinuxGuest, MovableError, NativeGuest  # noqa: E402
from lab.show import INDENT, Heartbeat, Screen, duration, number, size  # noqa: E402

Way = collections.namedtuple("Way", "policy order tracker")

SENTENCES = {
    "stop-copy": "The VM stands until all of its memory is across.",
    "precopy": "Memory is sent while the VM runs, then again what it has changed meanwhile;"
               " for the little that is left, the VM stands.",
    "postcopy": "The VM goes first and its memory follows: pages that it touches come at once,"
                " all others behind them.",
    "hybrid": "One round of pre-copy, then the VM goes and pulls only what it had changed.",
}
PULLS = ("postcopy", "hybrid")  # these serve page faults
TRACKS = ("precopy", "hybrid")  # these track written pages
WORK_RATE = 2000  # pages/s that the guest rewrites
GUEST_OPTIONS = {"ws": "64M", "alloc": "64M", "rate": WORK_RATE, "sweep": 4000}
PAGE = "report.html"
# What a demo leaves: of its moves, and besides.
MOVE = re.compile(r"[0-9]{2,}-[ab]-to-[ab]-.*\.(json|trace)")
OTHER = re.compile(r"demo\.json(\.new)?|agent-[ab]\.(log|trace)|console\.log")
SETTLE_SECONDS = 0.6  # after a move: what the client noticed of it comes to an end


class DemoError(Exception):
    """One sentence: what is wrong and what to do."""


class Stage:
    """The lab with an agent on each host, and where everything lies."""

    def __init__(self, lab, output, build, ram_folder):
        self.lab = lab
        self.output = output
        self.godwit = os.path.join(build, "godwit")
        self.native = os.path.join(build, "guest", "native-guest")
        self.ram_folder = ram_folder
        self.address = {}

    def folder(self, host):
        return self.lab.path(host.name)

    def ram(self, host):
        if self.ram_folder == "/dev/shm":
            return self.lab.shm("ram-" + host.name)
        return self.lab.path("ram-" + host.name)

    def environment(self, host):
        return {**os.environ, "GODWIT_DIR": self.folder(host), "GODWIT_RAM_DIR": self.ram(host)}

    def start_agent(self, host, images):
        os.mkdir(self.folder(host), 0o700)
        os.mkdir(self.ram(host), 0o700)
        command = [self.godwit, "serve", "--insecure", "--listen", f"{host.ip}:0",
                   "--native-guest", self.native]
        command += ["--images", images] if images else []
        log = os.path.join(self.output, f"agent-{host.name}.log")
        command += ["--trace", os.path.join(self.output, f"agent-{host.name}.trace")]
        with open(log, "w", encoding="utf-8") as file:
            agent = host.popen(command, env=self.environment(host), start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        end = time.monotonic() + 20
        while host not in self.address:
            with open(log, encoding="utf-8", errors="replace") as file:
                said = file.read()
            match = re.search(r"godwit listens on (\S+)\n", said)
            if match:
                self.address[host] = match[1]
            elif agent.poll() is not None or time.monotonic() > end:
                raise DemoError(f"the agent of host {host.name} did not start: {said.strip()}")
            else:
                time.sleep(0.02)


# ---- what this machine allows ----


class Means:
    """What can be shown here, and in `differences`, sentence by sentence, what is not the same."""

    def __init__(self, arguments, screen, build):
        self.arguments = arguments
        self.differences = []
        self.images = None
        self.usable = self._probe(build)
        self._choose_guest(screen, build)
        self._choose_lab()
        self._choose_ram()
        self._choose_policies()

    def _probe(self, build):
        done = subprocess.run([os.path.join(build, "godwit"), "probe", "--json", "-"],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise DemoError(f"godwit probe failed: {done.stderr.strip()}")
        return json.loads(done.stdout)["usable"]

    def _choose_guest(self, screen, build):
        if self.arguments.guest == "native":
            why = "it was asked for"
        elif platform.machine() != "x86_64":
            why = f"the Linux guest is for x86-64 and this is {platform.machine()}"
        else:
            why = guest.why_no_qemu()
        if why is None:
            folder = os.environ.get("GODWIT_GUEST_DIR") or os.path.join(build, "guest-linux")
            if not os.path.exists(os.path.join(folder, "stamp")):
                screen.step("The guest is made: the distribution's kernel is fetched, once.")
            try:
                self.images = guest.build(folder)
            except (guest.GuestError, OSError) as error:
                why = str(error)
        if why is None:
            return
        if self.arguments.guest == "linux":
            raise DemoError(f"no Linux guest here: {why}")
        self.differences.append(
            f"A native guest takes the VM's place ({why}): a process that writes and checks"
            " memory; it has no network, so the client watches its work over a local socket.")

    def _choose_lab(self):
        rate = self.arguments.rate
        if self.arguments.loopback:
            self.lab, why = LoopbackLab(rate), "it was asked for"
        else:
            self.lab, why = open_lab(rate)
        if why is None:
            return
        anew = (" and the client connects anew after each move, which adds to its silence"
                if self.images else "")
        self.differences.append(
            f"Hosts and client share this machine's loopback ({why}): godwit itself keeps to the"
            f" rate in place of a limited link{anew}.")

    def _choose_ram(self):
        """Guest memory lies in /dev/shm; containers often have little of it."""
        needed = 2 * (LinuxGuest.memory if self.images else NativeGuest.memory)
        try:
            there = os.statvfs("/dev/shm")
            free = there.f_bavail * there.f_frsize if os.access("/dev/shm", os.W_OK) else 0
        except OSError:
            free = 0
        self.ram_folder = "/dev/shm"
        if free >= needed:
            return
        self.ram_folder = "the lab's own"
        self.usable = {"digest": True, "pagemap": "guest memory in an ordinary file has no"
                       " tracker but digest", "faults": "guest memory in an ordinary file cannot"
                       " be filled behind a VM that runs"}
        self.differences.append(
            f"Guest memory lies in ordinary files: /dev/shm has {free >> 20} MiB free, and two"
            f" hosts need {needed >> 20} MiB.")

    def _choose_policies(self):
        self.trackers = [t for t in ("pagemap", "digest") if self.usable[t] is True]
        self.pulls = self.usable["faults"] is True
        why = next((w for w in (self.usable["faults"], self.usable["pagemap"]) if w is not True),
                   None)
        if why is None:
            return
        text = "written pages are found by the tracker digest, which compares contents"
        if "pagemap" in self.trackers:
            text = "written pages are tracked as usual"
        text += "" if self.pulls else ", and only policies that need no page faults are shown"
        self.differences.append(f"{text[0].upper()}{text[1:]} ({why.rstrip('.')}).")

    def ways(self):
        """The policies to show, each with its order and tracker (None: godwit's choice)."""
        if self.arguments.policy:
            for policy in self.arguments.policy:
                if policy in PULLS and not self.pulls:
                    raise DemoError(f"{policy} cannot be shown here: {self.usable['faults']}")
            policies = self.arguments.policy
        elif self.arguments.all:
            policies = ["stop-copy", "precopy"] + (list(PULLS) if self.pulls else [])
        else:
            policies = ["precopy"] + (list(PULLS) if self.pulls else ["stop-copy"])
        tracker = self.arguments.tracker
        if tracker and tracker not in self.trackers:
            raise DemoError(f"the tracker {tracker} cannot be used here: {self.usable[tracker]}")
        if not self.arguments.all:
            chosen = tracker or self.trackers[0]
            return [Way(p, None, chosen if p in TRACKS else None) for p in policies]
        return [Way(p, order, tracked) for p in policies
                for order in (("linear", "bubble", "demand") if p in PULLS else (None,))
                for tracked in (self.trackers if p in TRACKS else (None,))]


# ---- one move ----


class Move:
    """One `godwit migrate`, with what it says passed on as it comes."""

    def __init__(self, demo, way, here, there, path):
        self.demo = demo
        self.screen = demo.screen
        self.way = way
        self.here, self.there = here, there
        self.path = path
        self.said = ""  # godwit's latest words
        self.heartbeat = Heartbeat(self.screen.unicode)

    def _command(self):
        stage, arguments = self.demo.stage, self.demo.arguments
        command = [stage.godwit, "migrate", NAME, "--to", stage.address[self.there], "--verify",
                   "--policy", self.way.policy, "--json", self.path,
                   "--trace", self.path.replace(".json", ".trace")]
        if self.way.order:
            command += ["--order", self.way.order]
        if self.way.tracker:
            command += ["--tracker", self.way.tracker]
        if stage.lab.kind == "loopback" and parse_rate(arguments.rate):
            command += ["--bandwidth", f"{parse_rate(arguments.rate)}bit"]
        return command

    def _ears(self):
        """Where godwit's progress comes from, and what it writes to."""
        if not self.screen.terminal:
            return os.pipe()
        ears, mouth = pty.openpty()
        columns = self.screen.columns - len(INDENT) - 1
        fcntl.ioctl(mouth, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        return ears, mouth

    def run(self):
        """godwit's exit status."""
        ears, mouth = self._ears()
        try:
            process = self.here.popen(self._command(), start_new_session=True,
                                      env=self.demo.stage.environment(self.here),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=mouth)
            os.close(mouth)
            mouth = None
            self._listen(ears)
            return self.demo.stage.lab.stop(process, patience=30)
        finally:
            os.close(ears)
            if mouth is not None:
                os.close(mouth)

    def _listen(self, ears):
        rest = ""
        while True:
            if select.select([ears], [], [], 0.05)[0]:
                try:
                    data = os.read(ears, 65536)
                except OSError:  # a pty's other end is closed
                    data = b""
                if not data:
                    break
                *lines, rest = re.split(r"[\r\n]+", rest + data.decode(errors="replace"))
                for line in [*lines, rest] if self.screen.terminal else lines:
                    self._hear(line)
            self.show()
        self._hear(rest)

    def _hear(self, line):
        line = re.sub(r"\033\[[0-9;]*[A-Za-z]", "", line).strip()
        if not line or line == self.said:
            return
        self.said = line
        if not self.screen.terminal and not line.startswith("godwit:"):
            self.screen.line(INDENT + line)

    def show(self):
        vm = self.demo.vm
        self.heartbeat.add(vm.silence_ns())
        answers, last = vm.counts()
        client = (f"client: {answers:,} answers   guest: {last.get('writes', 0):,} pages"
                  f" rewritten, {last.get('errors', 0)} memory errors")
        self.screen.live(INDENT + self.screen.bold(self.said),
                         INDENT + self.heartbeat.text(), INDENT + client)

    def settle(self):
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            self.show()
            time.sleep(0.05)


# ---- the whole ----


class Demo:
    def __init__(self, arguments, screen, output, build):
        self.arguments = arguments
        self.screen = screen
        self.output = output
        self.build = build
        self.problems = []
        self.moves = []
        self.stage = self.vm = self.means = None
        self.pages_different = 0

    def run(self):
        screen = self.screen
        screen.line(screen.bold("godwit: a running VM moves between two hosts"
                                " while a client talks to it"))
        self.means = Means(self.arguments, screen, self.build)
        ways = self.means.ways()
        for sentence in self.means.differences:
            screen.wrapped(sentence, indent="    ", first="  ! ")
        with self.means.lab as lab:
            try:
                self._perform(lab, ways)
            except (KeyboardInterrupt, SystemExit):
                screen.line("Stopped: the VM, the hosts and their files are being removed.")
                raise
            finally:
                if self.vm:
                    self.vm.close()
        self._finish()

    def _perform(self, lab, ways):
        self.stage = Stage(lab, self.output, self.build, self.means.ram_folder)
        for host in lab.hosts:
            self.stage.start_agent(host, self.means.images)
        if self.means.images:
            self.vm = LinuxGuest(self.stage, self.means.images, GUEST_OPTIONS)
        else:
            self.vm = NativeGuest(self.stage, self.stage.native, WORK_RATE)
        self._introduce(lab)
        self.screen.step("The VM starts at host a.")
        with self.screen.waiting(self._starting()):
            self.vm.start(lab.a)
        self.screen.step("It answers its client, which asks every 10 ms from now on.")
        legs = [(way, here, there) for way in ways
                for here, there in ((lab.a, lab.b), (lab.b, lab.a))]
        before = self.vm.mark()["guest"]
        for index, leg in enumerate(legs):
            self.screen.line()
            if not self._move(index + 1, len(legs), *leg, before):
                break
            before = self.moves[-1]["client"]["guest"]
        self._look_back()

    def _introduce(self, lab):
        line = "──────" if self.screen.unicode else "------"
        rate = self.arguments.rate if lab.kind == "namespaces" else "loopback"
        a, b = (self.stage.address[host].rpartition(":")[0] for host in lab.hosts)
        self.screen.line()
        self.screen.line(f"      host a {a} {line} {rate} {line} {b} host b")
        self.screen.wrapped(f"VM \"{NAME}\": {self.vm.title}; it rewrites {WORK_RATE:,} pages/s and"
                            " checks, page by page, that its memory is what it wrote", INDENT)
        self.screen.wrapped("the row of bars under a move is the client's silence, one bar for"
                            " each 0.1 s", INDENT)
        self.screen.line()

    def _starting(self):
        """How long it takes already, and the last line of the guest's console."""
        started = time.monotonic()

        def lines():
            said = _last_line(os.path.join(self.output, "console.log"))
            return [f"{INDENT}{time.monotonic() - started:4.1f} s  {said}"]

        return lines

    def _checking(self):
        answers, last = self.vm.counts()
        return [f"{INDENT}client: {answers:,} answers   guest: {last.get('swept', 0):,} pages"
                f" compared, {last.get('errors', 0)} memory errors"]

    def _move(self, index, count, way, here, there, before):
        screen = self.screen
        name = "-".join(part for part in way if part)
        path = os.path.join(self.output, f"{index:02d}-{here.name}-to-{there.name}-{name}.json")
        extra = "".join(f", {what} {value}" for what, value in
                        (("order", way.order), ("tracker", way.tracker)) if value)
        screen.step(screen.bold(f"Move {index} of {count}: {here.name} {screen.arrow} {there.name},"
                                f" {way.policy}") + extra)
        screen.wrapped(SENTENCES[way.policy], INDENT)
        self.vm.mark()
        move = Move(self, way, here, there, path)
        status = move.run()
        result = _read_json(path)
        if status != 0:
            said = re.sub(r"^godwit: *", "", move.said) or f"godwit ended with status {status}"
            self._problem(f"move {index} ({way.policy}) failed: {said}")
        if not result or result["outcome"] != "completed":
            if status == 0:
                self._problem(f"move {index} ({way.policy}) left no result of a completed move")
            return False
        self.vm.arrived(there)
        move.settle()
        client = self.vm.mark()
        self.moves.append({"from": here.name, "to": there.name, "result": result,
                           "client": client, "file": os.path.basename(path)})
        self._judge(index, result, client, before)
        self._tell(move, result, client)
        return status == 0

    def _judge(self, index, result, client, before):
        """Everything that has to be right after a move."""
        where = f"move {index} ({result['policy']})"
        verified = result.get("verified", {"pages_compared": 0, "pages_different": 0})
        pages = result["vm"]["ram_bytes"] // result["vm"]["page_bytes"]
        self.pages_different += verified["pages_different"]
        if verified["pages_different"]:
            self._problem(f"{where}: {verified['pages_different']:,} pages differ from the"
                          " source's")
        if verified["pages_compared"] != pages:
            self._problem(f"{where}: {verified['pages_compared']:,} of {pages:,} pages were"
                          " compared")
        if client["guest"]["errors"] > before["errors"]:
            self._problem(f"{where}: the guest found"
                          f" {client['guest']['errors'] - before['errors']} memory errors")
        if client["guest"]["writes"] <= before["writes"]:
            self._problem(f"{where}: the guest's work did not go on")
        if self.vm.lost():
            self._problem(f"{where}: the client's connection was lost: {self.vm.lost()}")

    def _tell(self, move, result, client):
        verified = result.get("verified", {})
        self.screen.line(INDENT + self.screen.dim(move.heartbeat.text()))
        stood = f"the VM stood for {duration(result.get('downtime_ns'))}"
        if result.get("faults"):
            stood += f" and waited {duration(result['stall_ns'])} for pages"
        text = (f"Done in {duration(result['total_time_ns'])}: {stood}; the client's longest"
                f" silence was {duration(client['longest_silence_ns'])};"
                f" {number(verified.get('pages_different'))} pages differ.")
        self.screen.wrapped(text, INDENT)

    def _look_back(self):
        """With all moves done, the guest reads all of its memory once more."""
        if not self.vm.lost():
            self.screen.line()
            self.screen.step("The guest checks all of its memory once more.")
            try:
                with self.screen.waiting(self._checking):
                    self.vm.check_all()
            except MovableError as error:
                self._problem(str(error))
        self.whole = self.vm.whole()
        if self.whole["guest"]["errors"]:
            self._problem(f"the guest found {self.whole['guest']['errors']} memory errors in all")
        if self.whole["lost"]:
            self._problem(f"the client's connection was lost: {self.whole.get('reason')}")

    def _problem(self, text):
        if text not in self.problems:
            self.problems.append(text)
            self.screen.wrapped(text, INDENT, paint=self.screen.bad)

    # -- the end --

    def _finish(self):
        self._write()
        self._table()
        self._sentences()

    def _write(self):
        stage = self.stage
        summary = {
            "schema": "godwit.demo/1", "ok": not self.problems, "problems": self.problems,
            "lab": stage.lab.kind, "guest": self.vm.kind, "vm": self.vm.title,
            "rate": self.arguments.rate, "differences": self.means.differences,
            "same_connection": self.vm.keeps_connection and self.whole["connections"] == 1
            and not self.whole["lost"],
            "client": self.whole, "moves": self.moves,
        }
        path = os.path.join(self.output, "demo.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(summary, file, indent=1)
            file.write("\n")
        os.replace(path + ".new", path)

    def _draw(self):
        """All moves that left a result, as one page; whether there is one."""
        results = [os.path.join(self.output, name) for name in sorted(os.listdir(self.output))
                   if MOVE.fullmatch(name) and name.endswith(".json")]
        page = [self.stage.godwit, "report", *results, "-q", "-o",
                os.path.join(self.output, PAGE)]
        return bool(results) and subprocess.run(page, stderr=subprocess.DEVNULL,
                                                check=False).returncode == 0

    def _table(self):
        if not self.moves:
            return
        headings = ["move", "policy", "total", "downtime", "stall", "faults", "on link", "differ",
                    "client", "gap", "errors"]
        rows, errors = [], 0
        for move in self.moves:
            result, seen = move["result"], move["client"]
            policy = result["policy"]
            if self.arguments.all:
                policy += "".join(f" {result[key]}" for key in ("order", "tracker")
                                  if key in result)
            pulled = "faults" in result
            now = seen["guest"]["errors"]
            rows.append([f"{move['from']}{self.screen.arrow}{move['to']}", policy,
                         duration(result["total_time_ns"]), duration(result.get("downtime_ns")),
                         duration(result["stall_ns"]) if pulled else "-",
                         number(result.get("faults")), size(result["bytes_on_link"]),
                         number(result.get("verified", {}).get("pages_different")),
                         duration(seen["longest_silence_ns"]),
                         duration(seen["guest"]["gap_us"] * 1000), number(now - errors)])
            errors = now
        self.screen.line()
        self.screen.table(headings, rows, right=range(2, len(headings)))
        self.screen.line()
        for note in self._notes():
            self.screen.wrapped(note, "    ", "  ", self.screen.dim)

    def _notes(self):
        if self.vm.keeps_connection:
            over_tcp = "; it rounds up to TCP's next retransmission (0.2, 0.4, 0.8 s)"
        elif self.vm.kind == "linux":
            over_tcp = ", connecting anew included"
        else:
            over_tcp = ", in which the guest's work did not go on"
        stands = (", which stands while the guest is paused" if self.vm.kind == "linux"
                  else ", pauses included")
        return (
            "total: until the source lets go; downtime: no vCPU ran anywhere; stall: each vCPU"
            " waited for pages after that; differ: pages unlike the source's at the switch.",
            f"client: its longest silence{over_tcp}. gap: the guest's longest, by its own"
            f" clock{stands}. errors: of the guest's check of its own memory.",
            "Every page is compared (--verify), which adds to the times; and client, hosts and VM"
            " share this machine: for a benchmark there is make bench.",
        )

    def _sentences(self):
        screen, whole = self.screen, self.whole
        compared = sum(m["result"].get("verified", {}).get("pages_compared", 0)
                       for m in self.moves)
        screen.line()
        if self.moves and not self.pages_different:
            screen.wrapped(f"Not one page differs: {compared:,} were compared in"
                           f" {len(self.moves)} moves.", "  ", paint=screen.good)
        if self.vm.keeps_connection and not whole["lost"]:
            screen.wrapped(f"The client's TCP connection survived and is the one it made at the"
                           f" start ({whole['from']} {screen.arrow} {whole['to']}):"
                           f" {whole['pings']:,} answers, none missing or out of order.", "  ",
                           paint=screen.good)
        elif not whole["lost"]:
            screen.wrapped(f"The client reached the guest at every host, over"
                           f" {whole['connections']} connections: {whole['pings']:,} answers, and"
                           " the guest's work went on where it had stopped.", "  ",
                           paint=screen.good)
        if not whole["guest"]["errors"]:
            screen.wrapped(f"The guest rewrote {whole['guest']['writes']:,} pages and found no"
                           " error in its memory.", "  ", paint=screen.good)
        for problem in self.problems:
            screen.wrapped("NOT RIGHT: " + problem, "  ", paint=screen.bad)
        shown = os.path.relpath(self.output)
        page = f"{PAGE} to look at, " if self._draw() else ""
        screen.line(f"  Results: {self.output if shown.startswith('..') else shown}"
                    f" ({page}demo.json, a file and a trace for each move, logs)")


def _last_line(path):
    try:
        with open(path, "rb") as file:
            lines = file.read()[-500:].decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((re.sub(r"[^ -~]", "", line) for line in reversed(lines) if line.strip()), "")


def _read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _prepare_output(path):
    """The folder exists, and nothing of an earlier demo is in it."""
    try:
        os.makedirs(path, exist_ok=True)
        for entry in os.listdir(path):
            if MOVE.fullmatch(entry) or OTHER.fullmatch(entry) or entry == PAGE:
                os.unlink(os.path.join(path, entry))
        with open(os.path.join(path, "demo.json.new"), "w", encoding="ascii"):
            pass
        os.unlink(os.path.join(path, "demo.json.new"))
    except OSError as error:
        raise DemoError(f"cannot write results to {path} ({error.strerror}): choose another"
                        " folder with --output") from None
    return os.path.abspath(path)


def _options():
    parser = argparse.ArgumentParser(
        prog="demo.py", description="A running VM moves between two hosts and back while a client"
        " talks to it.")
    parser.add_argument("--all", action="store_true",
                        help="all policies, push orders and trackers, in place of three policies"
                        " (takes some minutes)")
    parser.add_argument("--policy", action="append", choices=sorted(SENTENCES),
                        help="only this policy (may be given several times)")
    parser.add_argument("--tracker", choices=("pagemap", "digest"),
                        help="of written pages (default: the best that works)")
    parser.add_argument("--rate", default="400mbit", help="of the link (default: %(default)s)")
    parser.add_argument("--guest", choices=("linux", "native"),
                        help="default: linux where it can run")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, also as root")
    parser.add_argument("-o", "--output", metavar="DIR", help="default: DIR demo in the build")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
                        help="where godwit was built (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        if parse_rate(arguments.rate) < 1_000_000:
            raise LabError("a rate below 1mbit is too slow for a demo")
    except (LabError, ValueError) as error:
        parser.error(str(error))
    return arguments


def _leave(number, _frame):
    raise SystemExit(128 + number)


def main():
    arguments = _options()
    screen = Screen()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        build = os.path.abspath(arguments.build)
        if not os.access(os.path.join(build, "godwit"), os.X_OK):
            raise DemoError(f"there is no godwit in {build}: run `make` first")
        demo = Demo(arguments, screen, _prepare_output(arguments.output
                                                       or os.path.join(build, "demo")), build)
        demo.run()
    except (DemoError, LabError, MovableError) as error:
        screen.line()
        screen.wrapped(f"The demo failed: {error}", paint=screen.bad)
        sys.exit(1)
    except KeyboardInterrupt:
        screen.wipe()
        sys.exit(130)
    sys.exit(1 if demo.problems else 0)


if __name__ == "__main__":
    main()
