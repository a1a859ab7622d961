# SPDX-License-Identifier: MIT
"""bench/hosts.py - one VM in a lab of its own, moved there and back by one of the two engines.

Theory of Operation

The same guest, with the same command line, once under godwit and once under QEMU's own migration,
each in its own lab: two hosts, a client, and a limited link between the hosts. Only one of the two
VMs runs at a time, the other one is paused, so that neither takes the other's processors.

What counts is taken in the same way for both, from outside:

    downtime      from the source's STOP event to the destination's RESUME event, by the stamps
                  that the two QEMUs put on them (one clock: one machine)
    bytes         what the switch sent to the destination's port of the limited link, headers too
    silence       the longest time without an answer that the client saw
    guest gap     the longest time between two operations of the guest's workload by its own clock
                  (which stands while the VM is paused: pauses are downtime, not gap)
    rate          operations of the workload from the command to the end of the move, a second

Every QEMU, whoever starts it, is started through a two-line script that adds a QMP socket of the
bench's own, so that godwit's agents are not asked about themselves.
"""

import glob
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]

from lab import guest  # noqa: E402
from lab.client import wait_for_guest  # noqa: E402
from lab.lab import Lab, free_port  # noqa: E402
import qemu_native  # noqa: E402

SETTLE_SECONDS = 0.5    # after the end: the last retransmission and its answer
BASELINE_SECONDS = 1.5  # the workload's rate before the move is measured over this
AGENT_PORT = 4909
SILENT_NS = 9 * 10**9   # the client's patience is 10 s
ANSWER_SECONDS = 30.0
MOVE_SECONDS = 90.0     # no move but a hung one takes so long


class MoveFailed(Exception):
    """A move that ended neither well nor as a pre-copy that does not converge."""


class Workload:
    """What the guest does, by commands to it: so many pages a second over its working set."""

    def __init__(self, name, rate):
        self.name = name
        self.rate = rate

    def start(self, client):
        if client.command(f"rate {self.rate}") is None:
            raise MoveFailed("the guest does not answer")


class Setting:
    """What holds for all moves of a run."""

    def __init__(self, rate, memory, working_set, cpus, limit_seconds, downtime_ms, bandwidth,
                 program):
        self.rate = rate
        self.memory = memory
        self.working_set = working_set
        self.cpus = cpus
        self.limit_seconds = limit_seconds
        self.downtime_ms = downtime_ms
        self.bandwidth = bandwidth  # bits per second both engines are told, or None
        self.program = program      # the folder with godwit in it

    def guest_arguments(self, host, folder, ram_path=None):
        return guest.arguments(folder, netdev=host.netdev(), memory=self.memory, cpus=self.cpus,
                               ram_path=ram_path, options={"ws": self.working_set, "rate": 0,
                                                           "alloc": self.working_set})


class _Engine:
    """A lab with one VM in it. After each move the hosts change their roles."""

    def __init__(self, setting):
        self.setting = setting
        self.lab = Lab(setting.rate)
        self.client = None

    def __enter__(self):
        self.lab.open()
        try:
            self.folder = self._guest()
            self.source, self.destination = self.lab.a, self.lab.b
            for host in self.lab.hosts:
                host.tap()
                os.mkdir(self.lab.path(host.name))
            self._prepare()
            self._boot()
        except BaseException:
            self.lab.close()
            raise
        return self

    @staticmethod
    def _guest():
        """The folder that the guest is in."""
        return guest.build()

    def _await_boot(self):
        wait_for_guest(*self.source.guest_address(), netns=self.lab.client.netns).close()

    def __exit__(self, *_):
        if self.client:
            self.client.close()
        self.lab.close()

    def move(self, mode, workload):
        """One move; the result as a dict. The VM is paused before and after."""
        if not self._wake():
            self.restart()  # dead since the move before, which has been counted
            self._wake()
        with wait_for_guest(*self.source.guest_address(), self.lab.client.netns,
                            ANSWER_SECONDS) as client:
            workload.start(client)
            time.sleep(0.3)
            before = client.mark()["guest"]
            time.sleep(BASELINE_SECONDS)
            report = client.mark()
            baseline = _rate(before, report["guest"], report["duration_ns"])
            before = report["guest"]
            bytes_before = self.lab.link_bytes(self.destination)
            result = self._move(mode)
            result["bytes_on_link"] = self.lab.link_bytes(self.destination) - bytes_before
            result["link_bytes_per_s"] = result["bytes_on_link"] * 1e9 / result["total_time_ns"]
            self._observe(client, result, before, baseline)
        result["workload"] = workload.name
        if result["outcome"] == "completed":
            self.source, self.destination = self.destination, self.source
        self._tidy()
        self._qmp().execute("stop")
        return result

    def _wake(self):
        """Whether the guest answers, for a second and more."""
        self._qmp().execute("cont")
        try:
            with wait_for_guest(*self.source.guest_address(), self.lab.client.netns,
                                ANSWER_SECONDS) as client:
                time.sleep(1.0)
                return client.command("ping", 5.0) is not None
        except TimeoutError:
            return False

    @staticmethod
    def _observe(client, result, before, baseline):
        after = client.command("ping")
        if after is None:
            raise MoveFailed(f"{result['engine']} {result['mode']}: the guest does not answer")
        time.sleep(SETTLE_SECONDS)
        report = client.mark()
        if report["lost"] or report["longest_silence_ns"] > SILENT_NS:
            raise MoveFailed(f"{result['engine']} {result['mode']}: the guest fell silent at the"
                             " end of the move, and stayed so")
        result["longest_silence_ns"] = report["longest_silence_ns"]
        result["guest_gap_ns"] = report["guest"]["gap_us"] * 1000
        result["guest_errors"] = report["guest"]["errors"]
        rate = _rate(before, after, result.pop("_window_ns"))
        result["guest_rate_before"] = baseline
        result["guest_rate"] = rate
        result["guest_rate_share"] = rate / baseline if baseline else None

    def restart(self):
        """A new VM after one was lost."""
        self.__exit__()
        self.client = None
        self.lab = Lab(self.setting.rate)
        self.__enter__()


def _rate(before, after, duration_ns):
    done = after["writes"] + after["swept"] - before["writes"] - before["swept"]
    return done * 1e9 / duration_ns


class Native(_Engine):
    """QEMU's own migration."""

    name = "qemu"
    modes = tuple(qemu_native.MODES)

    def _prepare(self):
        self.count = 0

    def _start(self, host, *extra):
        self.count += 1
        ram = self.lab.shm(f"ram{self.count}") if self.setting.shared_ram else None
        arguments = self.setting.guest_arguments(host, self.folder, ram)
        if ram is None:
            arguments[arguments.index("-machine") + 1] = "q35"
        self.rams = getattr(self, "rams", {})
        qemu = qemu_native.Qemu([*arguments, *extra], self.lab.path(f"{self.count}.qmp"),
                                popen=host.popen)
        self.rams[qemu] = ram
        return qemu

    def _end(self, qemu):
        qemu.close()
        ram = self.rams.pop(qemu)
        if ram:
            os.unlink(ram)

    def _boot(self):
        self.vm = self._start(self.source)
        self._await_boot()
        self.vm.qmp.execute("stop")

    def _qmp(self):
        return self.vm.qmp

    def _move(self, mode):
        twin = self._start(self.destination, "-incoming", "defer")
        port = self.destination.call(lambda: free_port(self.destination.ip))
        began = time.monotonic_ns()
        result = qemu_native.migrate(
            self.vm, twin, f"tcp:{self.destination.ip}:{port}", mode,
            bandwidth_bytes_per_s=self.setting.bandwidth and self.setting.bandwidth // 8,
            downtime_limit_ms=self.setting.downtime_ms, timeout_s=self.setting.limit_seconds)
        result["_window_ns"] = time.monotonic_ns() - began
        if result["outcome"] == "completed":
            self._end(self.vm)
            self.vm = twin
        else:
            self._end(twin)
            if result["outcome"] == "failed":
                raise MoveFailed(f"qemu {mode}: {result['reason']}")
        return result

    def _tidy(self):
        pass


class Godwit(_Engine):
    """godwit, through its command line."""

    name = "godwit"
    modes = {
        "precopy": ("--policy", "precopy"),
        "postcopy": ("--policy", "postcopy", "--order", "linear"),
        "postcopy-bubble": ("--policy", "postcopy", "--order", "bubble"),
        "hybrid": ("--policy", "hybrid", "--order", "linear"),
        "hybrid-bubble": ("--policy", "hybrid", "--order", "bubble"),
    }

    def __exit__(self, *_):
        super().__exit__()
        for ram in glob.glob(f"/dev/shm/godwit-{self.lab.name}-*.ram"):
            os.unlink(ram)  # of the last VM: its QEMU was ended, not its entry

    def _prepare(self):
        self.qmps = {}
        self.count = 0
        self.program = os.path.join(self.setting.program, "godwit")
        self.qemu = self.lab.path("qemu")
        with open(self.qemu, "w", encoding="ascii") as file:
            file.write(f'#!/bin/sh\nexec {guest.QEMU} "$@"'
                       f" -qmp unix:{self.lab.dir}/$$.qmp,server=on,wait=off\n")
        os.chmod(self.qemu, 0o755)
        for host in self.lab.hosts:
            self._log(host, "serve", lambda log, host=host: host.popen(
                [self.program, "serve", "--listen", f"{host.ip}:{AGENT_PORT}", "--insecure",
                 "--qemu", self.qemu, "--images", self.folder,
                 "--trace", self.lab.path(f"serve-{host.name}.trace")],
                env=self._environment(host), stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        time.sleep(0.3)

    def _log(self, host, name, function):
        with open(self.lab.path(f"{name}-{host.name}.log"), "ab") as log:
            return function(log)

    def _environment(self, host):
        return {**os.environ, "GODWIT_DIR": self.lab.path(host.name), "GODWIT_RAM_DIR": "/dev/shm"}

    def _boot(self):
        self.count += 1
        self.vm = f"{self.lab.name}-{self.count}"
        done = self.source.run(
            [self.program, "run", self.vm, "--qemu", self.qemu, "--",
             *self.setting.guest_arguments(self.source, self.folder)],
            env=self._environment(self.source), capture_output=True, text=True, check=False)
        if done.returncode:
            raise MoveFailed(done.stderr.strip())
        self._find_qmps()
        self._await_boot()
        self._qmp().execute("stop")

    def _find_qmps(self):
        """Opens the QMP sockets of the QEMUs that came; closes those of the ones that went."""
        for name in os.listdir(self.lab.dir):
            pid = name.removesuffix(".qmp")
            if pid == name or int(pid) in self.qmps or not os.path.exists(f"/proc/{pid}"):
                continue
            self.qmps[int(pid)] = qemu_native.Qmp(self.lab.path(name), patience=1.0)
        for pid in [pid for pid in self.qmps if not os.path.exists(f"/proc/{pid}")]:
            self.qmps.pop(pid).close()

    def _qmp(self):
        """Of the one VM that there is between two moves."""
        self._find_qmps()
        if len(self.qmps) != 1:
            raise MoveFailed(f"godwit: {len(self.qmps)} QEMUs are here, not one")
        return next(iter(self.qmps.values()))

    def _move(self, mode):
        ours = self._qmp()
        since = len(ours.events)
        report = self.lab.path("result.json")
        trace = self.lab.path("migrate.trace")
        arguments = [self.program, "migrate", self.vm,
                     "--to", f"{self.destination.ip}:{AGENT_PORT}", *self.modes[mode],
                     "--downtime", f"{self.setting.downtime_ms}ms",
                     "--deadline", f"{self.setting.limit_seconds:g}s",
                     "--quiet", "--json", report, "--trace", trace]
        if self.setting.bandwidth:
            arguments += ["--bandwidth", f"{self.setting.bandwidth // 1000}kbit"]
        began = time.monotonic_ns()
        process = self.source.popen(arguments, env=self._environment(self.source),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True)
        theirs = self._watch(process, ours)
        said = process.stderr.read().strip()
        window = time.monotonic_ns() - began
        result = self._result(mode, report, process.wait(), said)
        self.lab.stop(process)
        result["_window_ns"] = window
        result["command_ns"] = window
        with open(trace, encoding="utf-8") as file:
            result["trace"] = file.read().splitlines()
        self._add_downtime(result, ours, since, theirs)
        return result

    def _watch(self, process, ours):
        """Until the command has ended; the destination's QMP, found as soon as it is there."""
        theirs = None
        end = time.monotonic() + MOVE_SECONDS
        while process.poll() is None:
            if time.monotonic() > end:
                process.kill()
                raise MoveFailed(f"godwit: the move had not ended after {MOVE_SECONDS:.0f} s")
            if theirs is None:
                self._find_qmps()
                theirs = next((qmp for qmp in self.qmps.values() if qmp is not ours), None)
            try:
                ours.drain()
            except qemu_native.QmpError:
                pass  # it has quit: its events are kept
            time.sleep(0.01)
        return theirs

    def _result(self, mode, report, status, said):
        result = {"engine": "godwit", "mode": mode}
        try:
            with open(report, encoding="utf-8") as file:
                result.update(json.load(file))
            os.unlink(report)
        except FileNotFoundError:
            raise MoveFailed(f"godwit {mode}: {said}") from None
        if result["outcome"] != "completed":
            result["outcome"] = "not-converged"
        result["said"] = said
        result["exit_status"] = status
        result["downtime_reported_ns"] = result.pop("downtime_ns", None)
        result["bytes_reported"] = result.pop("bytes_on_link")
        return result

    def _add_downtime(self, result, ours, since, theirs):
        if result["outcome"] != "completed":
            if any(name == "STOP" for name, _, _ in ours.events[since:]):
                raise MoveFailed(f"godwit {result['mode']}: {result['reason']}")
            return
        stopped = ours.wait_event("STOP", 0, since)
        resumed = theirs.wait_event("RESUME", 5.0) if theirs else None
        if stopped is None or resumed is None:
            raise MoveFailed(f"godwit {result['mode']}: the QEMUs did not say when they "
                             f"{'resumed' if stopped else 'stopped'}")
        result["downtime_ns"] = resumed - stopped

    def _tidy(self):
        """The QEMU that is not needed any more may take an instant to go."""
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            self._find_qmps()
            if len(self.qmps) == 1:
                return
            time.sleep(0.02)
