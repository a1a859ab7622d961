# SPDX-License-Identifier: MIT
"""What the tests of whole migrations share: two hosts on one machine, and the guests that move.

    rig = Rig(self)                        # removed at the end of the test, also of a failed one
    rig.a.native("web", pages=4096)        # a native guest at host a
    rig.b.serve()                          # the agent that receives
    rig.a.migrate("web", rig.b, policy="postcopy").completes()

A host is a GODWIT_DIR and a GODWIT_RAM_DIR of its own, so what is left behind anywhere is seen. All
processes of a rig carry its GODWIT_DIR in their environment: that is how they are found at the end.
"""

import contextlib
import glob
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3))
sys.path.insert(0, ROOT)

from lab import guest  # noqa: E402
from lab.relay import Relay  # noqa: E402
from tests import keeper  # noqa: E402
from tests.keeper import alive  # noqa: E402

BUILD = os.environ.get("GODWIT_BUILD", os.path.join(ROOT, "build"))
GODWIT = os.path.join(BUILD, "godwit")
NATIVE = os.path.join(BUILD, "guest", "native-guest")
GUEST_DIR = os.environ.get("GODWIT_GUEST_DIR", os.path.join(BUILD, "guest-linux"))
PATIENCE = 60.0  # for what will happen; a machine with other work is slow
PAGE = 4096

COMPLETED, STAYED, UNFINISHED, DOUBTED, ENDED = ("completed", "stayed", "unfinished", "doubt",
                                                 "ended")


def eventually(condition, patience=PATIENCE):
    """Waits for something that will be true; whether it became true."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return bool(condition())
        time.sleep(0.01)
    return True


def state_of(pid):
    """The letter in /proc/PID/stat; None if there is no such process, or only its shell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            letter = file.read().rpartition(")")[2].split()[0]
    except OSError:
        return None
    return None if letter in "ZX" else letter


def kill(pid, how=signal.SIGKILL):
    """Ends one process, and waits until it is no more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
    if how == signal.SIGKILL:
        eventually(lambda: not alive(pid))


def descriptors(pid):
    """What a process has open, as the kernel names it."""
    names = []
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return names


def userfaultfds(pid):
    return sum("userfaultfd" in name for name in descriptors(pid))


def tracer(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return int(re.search(r"TracerPid:\s*(\d+)", file.read()).group(1))


def why_not():
    """None where every tracker and policy works; else one sentence."""
    said = subprocess.run([GODWIT, "probe", "--json", "-"], capture_output=True, text=True,
                          check=False)
    try:
        report = json.loads(said.stdout)
    except ValueError:
        return said.stderr.strip() or "godwit probe says nothing"
    return None if all(report["usable"].values()) else report["missing"]


class Control:
    """A line each way over a unix socket: the native guest's control socket."""

    def __init__(self, path):
        self.path = path

    def ask(self, request, timeout=PATIENCE):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(self.path)
            sock.sendall(request.encode() + b"\n")
            with sock.makefile("r") as lines:
                for line in lines:
                    if not line.startswith(("error", "reset", "resumed", "shutdown", "panicked")):
                        return line.rstrip("\n")
        return ""


class Native:
    """A native guest at one host."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.control = Control(os.path.join(host.dir, name, "native.sock"))

    def ask(self, request, timeout=PATIENCE):
        return self.control.ask(request, timeout)

    def status(self):
        line = self.ask("status")
        return dict(word.split("=", 1) for word in line.split()[1:])

    @property
    def pid(self):
        return int(self.status()["pid"])

    def state(self):
        """running, stopped, incoming; None: there is none."""
        try:
            return self.status()["state"]
        except (OSError, KeyError):
            return None

    def operations(self):
        status = self.status()
        return int(status["writes"]) + int(status["reads"])

    @contextlib.contextmanager
    def unread_save(self):
        """A save by a client of its own, under way for as long as its stream is not read."""
        def begin():
            ours, its = socket.socketpair()
            its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            with its:
                socket.send_fds(client, [b"save\n"], [its.fileno()])
            readable = select.select([client, ours], [], [], PATIENCE)[0]
            if ours in readable and ours.recv(1, socket.MSG_PEEK):
                streams.append(ours)
                return True
            client.recv(200)  # refused
            ours.close()
            return False

        streams = []
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.control.path)
            if not eventually(begin):
                raise AssertionError("no save could be begun")
            with streams[0]:
                yield streams[0]

    def works_on(self):
        """Whether it writes and reads on from now."""
        before = self.operations()
        return eventually(lambda: self.operations() > before)

    def verify(self):
        """(pages compared, pages different)"""
        answer = self.ask("verify")
        found = re.match(r"verified compared=(\d+) different=(\d+)", answer)
        if not found:
            raise AssertionError(f"the guest answers: {answer}")
        return int(found.group(1)), int(found.group(2))


class Move:
    """A `godwit migrate` or `godwit recover` under way."""

    def __init__(self, rig, process, json_path, trace_path, label):
        self.rig, self.process, self.label = rig, process, label
        self.json_path, self.trace_path = json_path, trace_path
        self.said = None

    @property
    def pid(self):
        return self.process.pid

    def trace(self):
        with contextlib.suppress(OSError):
            with open(self.trace_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        return ""

    def reached(self, text, patience=PATIENCE):
        """Waits until the trace says so, or the agent has ended."""
        eventually(lambda: text in self.trace() or self.process.poll() is not None, patience)
        return text in self.trace()

    def held(self):
        """Waits until the agent has stopped itself at its fault point."""
        return eventually(lambda: state_of(self.pid) in ("T", None)) and state_of(self.pid) == "T"

    def wait(self, patience=PATIENCE):
        """The result, {} if there is none; `said` is what it wrote."""
        if self.said is None:
            try:
                out, err = self.process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                out, err = self.process.communicate()
                raise AssertionError(f"{self.label}: it did not end\n{err}\n"
                                     f"{self.rig.story()}") from None
            self.said = out + err
        try:
            with open(self.json_path, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def outcome(self):
        return self.wait().get("outcome")

    def completes(self):
        result = self.wait()
        if result.get("outcome") != COMPLETED or self.process.returncode:
            raise AssertionError(f"{self.label}: {self.said.strip()}\n{self.rig.story()}")
        return result

    def fails(self):
        """It must end with status 1 and one sentence; that sentence."""
        self.wait()
        lines = [line for line in self.said.splitlines() if line.startswith("godwit:")]
        if self.process.returncode != 1 or len(lines) != 1:
            raise AssertionError(f"{self.label}: status {self.process.returncode}: "
                                 f"{self.said.strip()}\n{self.rig.story()}")
        return lines[0]


class Host:
    """One side: its directories, its agent, its guests."""

    def __init__(self, rig, name):
        self.rig, self.name = rig, name
        self.dir = os.path.join(rig.dir, name)
        self.ram_dir = os.path.join(rig.ram_dir, name)
        os.makedirs(self.dir)
        os.makedirs(self.ram_dir)
        self.trace_path = os.path.join(rig.dir, name + ".trace")
        self.agent = None
        self.address = None
        self.moves = 0
        self.within = []  # words before each command: what puts it into a namespace
        self.listen = "127.0.0.1"

    def environment(self, **more):
        return {**os.environ, "GODWIT_DIR": self.dir, "GODWIT_RAM_DIR": self.ram_dir, **more}

    def popen(self, words, fault=None, **more):
        environment = self.environment(**({"GODWIT_FAULT": fault} if fault else {}))
        process = subprocess.Popen([*self.within, *words], env=environment, text=True, **more)
        self.rig.processes.append(process)
        return process

    def run(self, *words, timeout=PATIENCE):
        """godwit WORDS, to its end."""
        return subprocess.run([*self.within, GODWIT, *words], env=self.environment(), text=True,
                              capture_output=True, timeout=timeout, check=False)

    # -- the agent --

    def serve(self, fault=None, port=0, more=()):
        """Starts the agent; waits until it listens."""
        words = [GODWIT, "serve", "--listen", f"{self.listen}:{port}", "--native-guest", NATIVE,
                 "--images", self.rig.dir, "--images", GUEST_DIR,
                 "--trace", self.trace_path, *more]
        self.agent = self.popen(words, fault, stdout=subprocess.PIPE, stderr=self.rig.log)
        line = self.agent.stdout.readline()
        found = re.search(r"listens on (\S+):(\d+)", line)
        if not found:
            raise AssertionError(f"serve did not start: {line} {self.rig.story()}")
        self.address = (found.group(1), int(found.group(2)))
        return self

    def sessions(self):
        """The processes that receive a VM: children of the agent."""
        with contextlib.suppress(OSError, AttributeError):
            with open(f"/proc/{self.agent.pid}/task/{self.agent.pid}/children",
                      encoding="ascii") as file:
                pids = [int(pid) for pid in file.read().split()]
            return [pid for pid in pids if alive(pid) and self._is_agent(pid)]
        return []

    @staticmethod
    def _is_agent(pid):
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{pid}/exe").endswith("/godwit")
        return False

    def held_session(self):
        """Waits until a session stopped itself at its fault point; its pid."""
        def find():
            return [pid for pid in self.sessions() if state_of(pid) == "T"]
        return find()[0] if eventually(lambda: bool(find())) else None

    def stop_agent(self):
        if self.agent and self.agent.poll() is None:
            self.agent.terminate()
            self.agent.wait(PATIENCE)
        self._drop_agent()

    def kill_agent(self):
        """kill -9 of the agent; its sessions go with it."""
        sessions = self.sessions()
        kill(self.agent.pid)
        self.agent.wait(PATIENCE)
        eventually(lambda: not any(alive(pid) for pid in sessions))
        self._drop_agent()

    def _drop_agent(self):
        if self.agent:
            self.agent.stdout.close()
        self.agent = None

    def trace(self):
        with contextlib.suppress(OSError):
            with open(self.trace_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        return ""

    # -- guests --

    def native(self, name, paused=False, **config):
        """Starts a native guest here."""
        os.makedirs(os.path.join(self.dir, name))
        control = os.path.join(self.dir, name, "native.sock")
        ram = os.path.join(self.ram_dir, f"godwit-{name}.ram")
        words = [NATIVE, "--name", name, "--ram", ram, "--control", control]
        words += ["--paused"] if paused else []
        for key, value in config.items():
            words += ["--" + key, str(value)]
        self.popen(words, stderr=self.rig.log)
        vm = Native(self, name)
        if not eventually(lambda: vm.state() is not None):
            raise AssertionError("the native guest did not start")
        return vm

    def vm(self, name):
        return Native(self, name)

    def migrate(self, name, to, fault=None, verb="migrate", more=(), policy=None, **options):
        """`godwit migrate NAME --to HOST`; to: a Host, an address pair, or None."""
        self.moves += 1
        stem = os.path.join(self.rig.dir, f"{self.name}-{self.moves}")
        address = to.address if isinstance(to, Host) else to
        words = [GODWIT, verb, name, "--quiet", "--json", stem + ".json", "--trace",
                 stem + ".trace"]
        words += ["--to", f"{address[0]}:{address[1]}"] if address else []
        words += ["--policy", policy] if policy else []
        for key, value in options.items():
            if value is True:
                words += ["--" + key]
            elif value not in (None, False):
                words += ["--" + key, str(value)]
        words += list(more)
        process = self.popen(words, fault, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return Move(self.rig, process, stem + ".json", stem + ".trace", " ".join(words[1:]))

    def recover(self, name, to=None, **options):
        return self.migrate(name, to, verb="recover", **options)

    # -- what is left --

    def journals(self):
        """The open questions recorded here: file -> last record."""
        found = {}
        for path in glob.glob(os.path.join(self.dir, ".journal", "*")):
            if path.endswith(".sock"):
                continue
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
                records = re.findall(r"^record (\S+) ", file.read(), re.M)
                found[os.path.basename(path)] = records[-1] if records else None
        return found

    def ram_files(self):
        return sorted(os.listdir(self.ram_dir))

    def vm_files(self):
        """What stands in a VM's folder, without its lock."""
        return sorted(os.path.join(name, file)
                      for name in os.listdir(self.dir) if not name.startswith(".")
                      for file in os.listdir(os.path.join(self.dir, name)) if file != "lock")

    def guests(self):
        """Processes of VMs here: those that hold a RAM file of this host, agents apart."""
        pids = []
        for pid in self.rig.pids():
            with contextlib.suppress(OSError):
                if self._is_agent(pid):
                    continue
                with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
                    if self.ram_dir + "/" in file.read():
                        pids.append(pid)
        return pids

    def left(self):
        """What a VM that is not here has left: {} if nothing."""
        left = {"journals": self.journals(), "memory": self.ram_files(), "files": self.vm_files(),
                "processes": self.guests(), "sessions": self.sessions()}
        return {key: value for key, value in left.items() if value}

    def is_clean(self):
        return eventually(lambda: not self.left())

    def no_open_question(self):
        """No agent is at work on a move, and no journal speaks of one."""
        return eventually(lambda: not self.journals() and not self.sessions())

    def whole(self):
        """As above; but a source that fell silent may still come and ask after a whole VM."""
        return eventually(lambda: set(self.journals().values()) <= {"whole"})


class Rig:
    """Two hosts, a and b. Everything is gone at the end of the test."""

    def __init__(self, test):
        self.dir = tempfile.mkdtemp(prefix="gw-", dir="/tmp")
        self.ram_dir = tempfile.mkdtemp(prefix="gw-", dir="/dev/shm")
        keeper.keep(self.dir, self.ram_dir)
        self.processes = []
        self.log = open(os.path.join(self.dir, "log"), "a", encoding="utf-8")
        self.a, self.b = Host(self, "a"), Host(self, "b")
        if isinstance(test, unittest.TestCase):
            test.addCleanup(self.close)
        else:
            test.addClassCleanup(self.close)

    def relay(self, to, **options):
        """A relay before a host's agent; migrate to relay.address."""
        relay = Relay(("127.0.0.1", 0), to.address, **options)
        self._closing = getattr(self, "_closing", []) + [relay]
        return relay

    def pids(self):
        return keeper.users_of([self.dir])

    def thaw(self):
        """Lets whoever holds at a fault point go on."""
        for pid in self.pids():
            if state_of(pid) == "T":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def settle(self, test, name):
        """
        What a person does after a mishap: the agent at b runs (again), and what is unfinished at a
        is recovered. Then the VM runs in exactly one place, whole, and nothing else is anywhere.
        Returns the host where it is.
        """
        test.assertLessEqual(len(self.running(name)), 1, self.story())
        self.thaw()
        if not self.b.agent or self.b.agent.poll() is not None:
            self.b.serve()
        if self.a.journals():
            move = self.a.recover(name, self.b)
            move.wait()
            if move.process.returncode:
                raise AssertionError(f"recover: {move.said} {self.story()}")
        test.assertTrue(eventually(lambda: len(self.running(name)) == 1),
                        f"{self.a.left()} {self.b.left()} {self.story()}")
        host = self.running(name)[0]
        other = self.b if host is self.a else self.a
        test.assertTrue(other.is_clean(), f"{other.name} {other.left()} {self.story()}")
        test.assertTrue(host.whole(), f"{host.name} {host.left()} {self.story()}")
        vm = host.vm(name)
        test.assertEqual(vm.verify()[1], 0, self.story())
        test.assertTrue(vm.works_on())
        test.assertEqual(vm.status()["errors"], "0")
        test.assertEqual(userfaultfds(vm.pid), 0)
        test.assertEqual(tracer(vm.pid), 0)
        return host

    def running(self, name):
        """The hosts where the guest runs."""
        return [host for host in (self.a, self.b) if host.vm(name).state() == "running"]

    def story(self):
        """All traces and logs so far, for the sentence of a failure."""
        parts = []
        for path in sorted(glob.glob(os.path.join(self.dir, "*.trace")) +
                           [os.path.join(self.dir, "log")]):
            with open(path, encoding="utf-8", errors="replace") as file:
                parts.append(f"--- {os.path.basename(path)}\n{file.read()[-6000:]}")
        return "\n".join(parts)

    def close(self):
        for relay in getattr(self, "_closing", []):
            relay.close()
        keeper.remove([self.dir, self.ram_dir])
        for process in self.processes:
            with contextlib.suppress(Exception):
                process.wait(10)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        self.log.close()


def main(why_not=None):
    if why_not:
        print(f"skipped: {why_not}")
        sys.exit(77)
    unittest.main(verbosity=2)
