# SPDX-License-Identifier: MIT
"""lab/movable.py - the VMs of the demo: the small Linux under QEMU, or the native guest.

Both offer start(host), arrived(host), mark(), silence_ns(), whole() and check_all(), and say in
`title` what they are. A window's report is that of lab/client.py, whoever fills it in.
"""

import json
import os
import socket
import subprocess
import threading
import time

from . import guest
from .client import Client, wait_for_guest
from .lab import LabError

NAME = "demo"


class MovableError(Exception):
    """One sentence."""


def _wait(what, condition, patience):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise MovableError(f"{what} in {patience:.0f} s")
        time.sleep(0.05)


class LinuxGuest:
    """Debian's kernel under an unmodified QEMU, with a client over TCP."""

    kind = "linux"
    memory = 512 << 20

    def __init__(self, stage, folder, options):
        self.stage = stage
        self.folder = folder
        self.options = options
        self.keeps_connection = stage.lab.kind == "namespaces"
        self.client = None
        self.connections = 0
        self.answers = 0
        self.duration_ns = 0
        self.longest_ns = 0
        with open(os.path.join(folder, "package"), encoding="ascii") as file:
            kernel = file.read().strip().replace("linux-image-", "").replace("unsigned-", "")
        self.title = f"Linux {kernel} under an unmodified QEMU, {self.memory >> 20} MiB"

    def start(self, host):
        stage = self.stage
        for each in stage.lab.hosts:
            each.tap()
        # Over loopback the guest's port is opened at each host's own QEMU, once it is there.
        netdev = host.netdev(forward=False)
        arguments = guest.arguments(self.folder, netdev, f"{self.memory >> 20}M",
                                    serial=os.path.join(stage.output, "console.log"),
                                    options=self.options)
        done = host.run([stage.godwit, "run", NAME, "--", *arguments], env=stage.environment(host),
                        check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise MovableError(f"the VM did not start: {done.stderr.strip()}")
        self._connect(host)

    def _connect(self, host):
        host.forward(os.path.join(self.stage.folder(host), NAME, "qmp.sock"))
        try:
            self.client = wait_for_guest(*host.guest_address(), self.stage.lab.client.netns)
        except TimeoutError as error:
            raise MovableError(str(error)) from None
        self.connections += 1

    def arrived(self, host):
        """The VM runs at this host now. Where the network does not follow it, the client does."""
        if self.keeps_connection:
            return
        old, heard_ns = self.client, time.monotonic_ns() - self.client.silence_ns()
        report = old.report()
        old.close()
        self._count(report)
        self._connect(host)
        self.client.was_silent_since(heard_ns)

    def lost(self):
        return self.client.lost if self.keeps_connection else None

    def silence_ns(self):
        return self.client.silence_ns()

    def counts(self):
        return self.client.last.get("seq", 0) + self.answers, self.client.last

    def mark(self):
        return self.client.mark()

    def check_all(self, patience=60):
        """Waits until the guest has compared all of its memory once more."""
        def rounds():
            if self.client.lost:
                raise MovableError(f"the client lost its guest: {self.client.lost}")
            return self.client.last["rounds"]

        # The round that is under way began earlier: it does not count.
        target = rounds() + 2
        _wait("the guest did not check all of its memory", lambda: rounds() >= target, patience)

    def _count(self, report):
        self.answers += report["pings"]
        self.duration_ns += report["duration_ns"]
        self.longest_ns = max(self.longest_ns, report["longest_silence_ns"])

    def whole(self):
        report = self.client.report()
        return {**report, "pings": report["pings"] + self.answers,
                "duration_ns": report["duration_ns"] + self.duration_ns,
                "longest_silence_ns": max(report["longest_silence_ns"], self.longest_ns),
                "connections": self.connections, "from": self.client.local, "to": self.client.peer}

    def close(self):
        if self.client:
            self.client.close()


class _Control:
    """One connection to a native guest's control socket; it is told events, too: those are errors
    that it has counted itself."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rw", encoding="utf-8", errors="replace")

    def ask(self, request, answer):
        self.lines.write(request + "\n")
        self.lines.flush()
        while True:
            line = self.lines.readline()
            if not line:
                raise OSError("the guest is gone")
            word, _, rest = line.strip().partition(" ")
            if word == "refused":
                raise OSError(rest)
            if word == answer:
                return dict(pair.split("=", 1) for pair in rest.split(" ") if "=" in pair)

    def status(self):
        return self.ask("status", "status")

    def close(self):
        self.lines.close()
        self.socket.close()


class NativeGuest:
    """A process that plays the VM. It has no network: a watcher asks it how far its work has got,
    and what counts as an answer is that the work has gone on."""

    kind = "native"
    memory = 256 << 20
    used = 128 << 20
    keeps_connection = False
    title = f"native guest (a process that plays the VM), {memory >> 20} MiB"

    def __init__(self, stage, binary, rate):
        self.stage = stage
        self.binary = binary
        self.rate = rate
        self.connections = 0
        self.last = {}
        self._control = None
        self._host = None
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._heard_ns = time.monotonic_ns()
        self._answers = 0
        self._window = self._whole = None

    def _path(self, host):
        return os.path.join(self.stage.folder(host), NAME, "native.sock")

    def start(self, host):
        os.mkdir(os.path.join(self.stage.folder(host), NAME), 0o700)
        with open(os.path.join(self.stage.output, "console.log"), "w", encoding="utf-8") as console:
            self._start_on(host, console)
        self._host = host
        _wait("the native guest did not answer", lambda: self._connect() and self._look(), 30)
        now = time.monotonic_ns()
        self._heard_ns, self._window, self._whole = now, [now, 0, 0], [now, 0, 0]
        self._thread.start()

    def _start_on(self, host, console):
        host.popen([self.binary, "--ram", os.path.join(self.stage.ram(host), NAME + ".ram"),
                    "--control", self._path(host), "--name", NAME, "--vcpus", 2,
                    "--pages", self.memory >> 12, "--populate", self.used >> 12,
                    "--set", self.used >> 12, "--writes", self.rate, "--reads", self.rate],
                   env=self.stage.environment(host), start_new_session=True,
                   stdin=subprocess.DEVNULL, stdout=console, stderr=console)

    def _connect(self):
        if self._control:
            return True
        for host in (self._host, *self.stage.lab.hosts):
            try:
                control = _Control(self._path(host))
            except OSError:
                continue
            try:
                if control.status()["state"] == "running":
                    self._control, self._host = control, host
                    self.connections += 1
                    return True
            except OSError:
                pass
            control.close()
        return False

    def _look(self):
        """True if the guest runs and has worked since the last look."""
        try:
            status = self._control.status()
        except OSError:
            status = {"state": "gone"}
        if status["state"] != "running":
            self._control.close()
            self._control = None
            return False
        went_on = int(status["writes"]) > self.last.get("writes", -1)
        self.last = {key: int(status[key])
                     for key in ("writes", "reads", "errors", "longest_gap_ns")}
        return went_on

    def _watch(self):
        while not self._end.wait(0.01):
            with self._lock:
                if not self._connect() or not self._look():
                    continue
                now = time.monotonic_ns()
                for window in (self._window, self._whole):
                    window[1] += 1
                    window[2] = max(window[2], now - max(self._heard_ns, window[0]))
                self._heard_ns = now

    def arrived(self, host):
        _wait(f"the native guest does not run at host {host.name}",
              lambda: self._host is host and self._control, 30)

    def lost(self):
        return None if self._thread.is_alive() else "the watcher ended"

    def silence_ns(self):
        return time.monotonic_ns() - self._heard_ns

    def counts(self):
        return self._whole[1], self.last

    def _report(self, window):
        now = time.monotonic_ns()
        return {"duration_ns": now - window[0], "pings": window[1],
                "longest_silence_ns": max(window[2], now - max(self._heard_ns, window[0])),
                "lost": False,
                "guest": {"writes": self.last["writes"], "swept": self.last["reads"],
                          "errors": self.last["errors"],
                          "gap_us": self.last["longest_gap_ns"] // 1000}}

    def mark(self):
        with self._lock:
            if self._control:
                self._look()
            report = self._report(self._window)
            if self._control:
                self._control.ask("clear", "ok")
            self._window = [time.monotonic_ns(), 0, 0]
        return report

    def check_all(self):
        """The guest compares every page with what it expects."""
        with self._lock:
            if not self._control:
                raise MovableError("the native guest does not answer")
            verdict = self._control.ask("verify", "verified")
            self._heard_ns = time.monotonic_ns()
        if int(verdict["different"]):
            raise MovableError(f"{verdict['different']} of {verdict['compared']} pages are not"
                               " what the guest expects")

    def whole(self):
        with self._lock:
            return {**self._report(self._whole), "connections": self.connections}

    def close(self):
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._control:
            self._control.close()
