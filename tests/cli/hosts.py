# SPDX-License-Identifier: MIT
"""Two hosts on this machine for tests of the program: folders, agents, guests, all cleaned up.

A host is a GODWIT_DIR and a GODWIT_RAM_DIR; guests are native ones, or QEMUs without anything in
them; whatever is started ends with the test, by its pid.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 2))

from tests import keeper  # noqa: E402

PATIENCE = 60


def eventually(condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def gone(pid):
    """With its last thread: that one gives its files and locks back."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            ended = stat.read().rpartition(")")[2].split()[0] in "ZX"
        return ended and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid))


class Native:
    """A native guest's control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def ask(self, request, word):
        self.socket.sendall(request.encode() + b"\n")
        for line in self.lines:
            if line.split()[0] in (word, "refused"):
                return line.strip()
        raise OSError(f"the guest ended before it answered {request}")

    def status(self):
        return dict(item.split("=", 1) for item in self.ask("status", "status").split()
                    if "=" in item)

    def verify(self):
        answer = self.ask("verify", "verified")
        found = re.match(r"verified compared=(\d+) different=(\d+)", answer)
        if not found:
            raise OSError(answer)
        return int(found[1]), int(found[2])

    def close(self):
        self.lines.close()
        self.socket.close()


class Host:
    """One host: its folders, its agent, its guests."""

    def __init__(self, test, programs, name, ram_dir=None):
        self.test, self.name = test, name
        self.godwit_path, self.native_path = programs
        self.folder = tempfile.mkdtemp(prefix="gw-", dir="/tmp")
        self.ram = ram_dir or tempfile.mkdtemp(prefix=f"godwit-test-{name}-", dir="/dev/shm")
        keeper.keep(self.folder, self.ram)
        self.agent = None
        self.address = None
        test.addCleanup(self.clean_up)

    def environment(self, **more):
        return {**os.environ, "GODWIT_DIR": self.folder, "GODWIT_RAM_DIR": self.ram, **more}

    def run(self, *words, timeout=PATIENCE, **more):
        return subprocess.run([self.godwit_path, *words], capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL, check=False,
                              env=self.environment(**more), errors="replace")

    def begin(self, *words):
        """The program, running; the caller waits for it."""
        process = subprocess.Popen([self.godwit_path, *words], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.environment(), errors="replace")
        self.test.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def serve(self, *words):
        """The agent, until the test ends. Where it listens is in self.address."""
        self.trace = os.path.join(self.folder, "trace")
        self.agent = subprocess.Popen(
            [self.godwit_path, "serve", "--listen", self.address or "127.0.0.1:0",
             "--native-guest", self.native_path, "--trace", self.trace, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=self.environment())
        line = self.agent.stdout.readline()
        if not line.startswith("godwit listens on "):
            self.stop_serving()
            raise OSError("the agent did not start")
        self.address = line.split()[-1]

    def stop_serving(self):
        if self.agent and self.agent.poll() is None:
            self.agent.kill()
        if self.agent:
            self.agent.wait(PATIENCE)
            self.agent.stdout.close()
        self.agent = None

    def native(self, vm, **config):
        """Starts a native guest that `godwit migrate` finds by its name; its pid."""
        folder = os.path.join(self.folder, vm)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        words = [self.native_path, "--ram", os.path.join(self.ram, f"godwit-{vm}-test.ram"),
                 "--control", os.path.join(folder, "native.sock"), "--name", vm]
        if config.pop("paused", False):
            words.append("--paused")
        config = {"pages": 2048, "writes": 2000, "reads": 500, "populate": 1024, **config}
        for key, value in config.items():
            words += [f"--{key}", str(value)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.test.addCleanup(self.end, process)
        if not eventually(lambda: self.has(vm) or process.poll() is not None) \
                or process.poll() is not None:
            raise OSError("the native guest did not start")
        return process.pid

    def socket_of(self, vm):
        return os.path.join(self.folder, vm, "native.sock")

    def has(self, vm):
        try:
            with contextlib.closing(Native(self.socket_of(vm))):
                return True
        except OSError:
            return False

    @contextlib.contextmanager
    def guest(self, vm):
        guest = Native(self.socket_of(vm))
        try:
            yield guest
        finally:
            guest.close()

    def journals(self):
        try:
            return sorted(name for name in os.listdir(os.path.join(self.folder, ".journal"))
                          if name != ".host")  # the host's identity, which stays
        except FileNotFoundError:
            return []

    def vms(self):
        return {row["name"]: row for row in json.loads(self.run("list", "--json", "-").stdout)["vms"]}

    def left_behind(self):
        """Whatever a migration could have left here: VMs, memory, journals."""
        return list(self.vms()), sorted(os.listdir(self.ram)), self.journals()

    def clean_up(self):
        self.stop_serving()
        for row in self.vms().values():
            if row["process"] == "running":
                kill(row["pid"])
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.ram.startswith("/dev/shm/godwit-test-"):
            shutil.rmtree(self.ram, ignore_errors=True)
