# SPDX-License-Identifier: MIT
"""bench/watched.py - one VM that runs and is recorded: a native guest, or the small Linux.

    with watched.Native(build, pages=65536, writes=20000) as vm:
        vm.record("out.trace", "--for", "10s")
"""

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

from lab import guest  # noqa: E402
from lab.client import wait_for_guest  # noqa: E402
from lab.lab import open_lab  # noqa: E402

NAME = "vm"


class WatchError(Exception):
    """One sentence."""


class _VM:
    def __init__(self, build):
        self.godwit = os.path.join(build, "godwit")
        self.native = os.path.join(build, "guest", "native-guest")

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="godwit-bench-")
        self.ram = tempfile.mkdtemp(prefix="godwit-bench-", dir="/dev/shm")
        self.environment = {**os.environ, "GODWIT_DIR": self.folder, "GODWIT_RAM_DIR": self.ram}
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._end()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(self.ram, ignore_errors=True)

    def begin(self, trace, *words):
        """A recording under way; give it to end()."""
        return subprocess.Popen([self.godwit, "record", NAME, "-o", trace, "--json", "-",
                                 *map(str, words)], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @staticmethod
    def end(process):
        """What the trace holds ("godwit.trace/1")."""
        out, err = process.communicate()
        if process.returncode:
            raise WatchError(err.strip().splitlines()[-1] if err.strip() else "record failed")
        return json.loads(out)

    def record(self, trace, *words):
        return self.end(self.begin(trace, *words))


class Native(_VM):
    """options: the guest's, such as pages=65536, pattern="locality", writes=20000."""

    def __init__(self, build, **options):
        super().__init__(build)
        self.options = options
        self.process = None

    def _start(self):
        os.mkdir(os.path.join(self.folder, NAME), 0o700)
        self.control = os.path.join(self.folder, NAME, "native.sock")
        self.process = subprocess.Popen(
            [self.native, "--name", NAME, "--ram", os.path.join(self.ram, NAME + ".ram"),
             "--control", self.control,
             *(word for key, value in self.options.items() for word in ("--" + key, str(value)))],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > end or self.process.poll() is not None:
                raise WatchError("the native guest does not start")
            time.sleep(0.05)

    def _answers(self):
        try:
            return self.status()["state"] == "running"
        except (OSError, KeyError):
            return False

    def ask(self, request):
        """key=value words of the answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(self.control)
            sock.sendall(request.encode() + b"\n")
            line = sock.makefile("r").readline()
        return dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)

    def status(self):
        return self.ask("status")

    def _threads(self, name):
        """The lines of /proc/PID/task/TID/NAME of its vCPUs."""
        status = self.status()
        for thread in status["threads"].split(","):
            with open(f"/proc/{status['pid']}/task/{thread}/{name}", encoding="ascii") as file:
                yield file.read()

    def cpu_ns(self):
        """Time that its vCPU threads have run."""
        return sum(int(line.split()[0]) for line in self._threads("schedstat"))

    def faults(self):
        """Minor faults of its vCPU threads."""
        return sum(int(line.rpartition(")")[2].split()[7]) for line in self._threads("stat"))

    def _end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()


class Linux(_VM):
    """options: of guest/linux/workload.c, such as ws="64M", rate=4000, pattern="locality"."""

    def __init__(self, build, memory, **options):
        super().__init__(build)
        self.memory, self.options = memory, options
        self.lab = self.client = None

    def _start(self):
        self.lab, _ = open_lab()
        self.lab.open()
        host = self.lab.a
        host.tap()
        done = host.run([self.godwit, "run", NAME, "--",
                         *guest.arguments(guest.build(), host.netdev(forward=False), self.memory,
                                          options=self.options)],
                        env=self.environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise WatchError(done.stderr.strip())
        host.forward(os.path.join(self.folder, NAME, "qmp.sock"))
        self.client = wait_for_guest(*host.guest_address(), self.lab.client.netns)

    def _end(self):
        if self.client:
            self.client.close()
        if self.lab:
            self.lab.close()
