# SPDX-License-Identifier: MIT
"""bench/qemu_native.py - QEMU's own migration between two QEMU processes, measured.

    with Qemu([...arguments...], "a.qmp") as a, Qemu([..., "-incoming", "defer"], "b.qmp") as b:
        result = migrate(a, b, "tcp:127.0.0.1:4444", "hybrid", bandwidth_bytes_per_s=50_000_000)

Downtime is given twice: as QEMU reports it (`downtime_reported_ns`), and from outside
(`downtime_ns`): from the source's STOP event to the destination's RESUME event, by the time stamps
that QEMU put on them, which is one clock if both run on one machine.

The destination must not be started with -S: QEMU's post-copy would never resume it.
"""

import json
import os
import select
import socket
import subprocess
import time

# mode: (capabilities, when to switch to post-copy: None, or the pass to wait for)
MODES = {
    # Where the rest is small enough, QEMU ends a hybrid by itself before the switch: see `switched`.
    "precopy": ((), None),
    "postcopy": (("postcopy-ram",), 0),
    "postcopy-preempt": (("postcopy-ram", "postcopy-preempt"), 0),
    # The first synchronisation opens round one, the second ends it.
    "hybrid": (("postcopy-ram",), 2),
    "hybrid-preempt": (("postcopy-ram", "postcopy-preempt"), 2),
}
POLL_SECONDS = 0.02
QMP_SECONDS = 30.0
ENDED = ("completed", "failed", "cancelled")


class QmpError(Exception):
    """What QEMU refused, or that it is gone, in one sentence."""


class Qmp:
    """One QMP connection. Events are kept, each as (name, time in ns, data)."""

    def __init__(self, path, patience=10.0, alive=lambda: True):
        self.path = path
        self.events = []
        self._buffer = b""
        self._answers = []
        self._socket = self._connect(path, patience, alive)
        self._take_answer("the greeting")
        self.execute("qmp_capabilities")

    @staticmethod
    def _connect(path, patience, alive):
        end = time.monotonic() + patience
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(path)
                return sock
            except OSError as error:
                sock.close()
                if not alive() or time.monotonic() > end:
                    raise QmpError(f"no QMP at {path}: {error}") from error
            time.sleep(0.02)

    def close(self):
        self._socket.close()

    def execute(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{command}: QEMU is gone: {error}") from error
        answer = self._take_answer(command)
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def drain(self, patience=0):
        """Takes in the events that are there; waits for the first one."""
        while self._read(patience):
            patience = 0

    def wait_event(self, name, patience, since=0):
        """Time in ns of the first event of this name behind the first `since`; None if none came."""
        end = time.monotonic() + patience
        while True:
            for event, when, _ in self.events[since:]:
                if event == name:
                    return when
            if time.monotonic() > end:
                return None
            self._read(0.05)

    def _take_answer(self, what):
        end = time.monotonic() + QMP_SECONDS
        while not self._answers:
            if time.monotonic() > end:
                raise QmpError(f"{what}: QEMU did not answer in {QMP_SECONDS:.0f} s")
            self._read(0.2)
        return self._answers.pop(0)

    def _read(self, patience):
        if not select.select([self._socket], [], [], patience)[0]:
            return False
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise QmpError(f"QEMU is gone: {error}") from error
        if not data:
            raise QmpError("QEMU closed its QMP connection")
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in filter(bytes.strip, lines):
            self._sort(json.loads(line))
        return True

    def _sort(self, message):
        if "event" not in message:
            self._answers.append(message)
            return
        stamp = message["timestamp"]
        when = stamp["seconds"] * 10**9 + stamp["microseconds"] * 1000
        self.events.append((message["event"], when, message.get("data", {})))


class Qemu:
    """A QEMU process with a QMP connection; ended and reaped at the end of `with`.

    popen: what starts it, such as the lab's Host.popen; output: where stdout and stderr go.
    """

    def __init__(self, arguments, qmp_path, binary="qemu-system-x86_64", popen=subprocess.Popen,
                 output=subprocess.DEVNULL):
        self.process = popen([binary, *arguments, "-qmp", f"unix:{qmp_path},server=on,wait=off"],
                             stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.qmp_path = qmp_path
        try:
            self.qmp = Qmp(qmp_path, alive=lambda: self.process.poll() is None)
        except BaseException:
            self._end()
            raise

    def close(self):
        self.qmp.close()
        self._end()

    def _end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        try:
            os.unlink(self.qmp_path)
        except FileNotFoundError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _prepare(source, destination, capabilities, bandwidth, downtime_ms):
    for qmp in (source, destination):
        qmp.execute("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": name in capabilities or name == "events"}
            for name in ("events", "postcopy-ram", "postcopy-preempt")])
    parameters = {"downtime-limit": downtime_ms}
    if bandwidth:
        # Without the second, post-copy would run unlimited.
        parameters["max-bandwidth"] = bandwidth
        parameters["max-postcopy-bandwidth"] = bandwidth
    source.execute("migrate-set-parameters", **parameters)


def _passes(qmp, since):
    return max((data["pass"] for name, _, data in qmp.events[since:]
                if name == "MIGRATION_PASS"), default=0)


def _follow(source, since, switch_at, end):
    """Polls until the source's migration has ended; (last answer, why it was cut short or None)."""
    switched = switch_at is None
    cut = None
    while True:
        info = source.execute("query-migrate")
        status = info.get("status")
        if status in ENDED:
            return info, cut
        if not switched and _passes(source, since) >= switch_at:
            source.execute("migrate-start-postcopy")
            switched = True
        if time.monotonic() > end:
            if cut or status not in ("setup", "active", "device"):
                return info, "post-copy did not end in time"
            cut = "did not converge in time"
            source.execute("migrate_cancel")
            end += 10.0
        source.drain(POLL_SECONDS)


def _event_of_status(qmp, since, status):
    for name, when, data in qmp.events[since:]:
        if name == "MIGRATION" and data.get("status") == status:
            return when
    return None


def migrate(source, destination, address, mode, bandwidth_bytes_per_s=None, downtime_limit_ms=300,
            timeout_s=60.0, link_bytes=None):
    """Moves the VM of one Qemu to the other by QEMU's own means; the result as a dict.

    address: where the destination listens, as QEMU writes it (tcp:IP:PORT); link_bytes: a function
    that reads the link's byte counter, if there is one. `switched`: post-copy did begin. outcome: "completed", "not-converged" (the
    VM runs on at the source), "failed". Fields that do not apply are left out.
    """
    capabilities, switch_at = MODES[mode]
    ours, theirs = source.qmp, destination.qmp
    _prepare(ours, theirs, capabilities, bandwidth_bytes_per_s, downtime_limit_ms)
    theirs.execute("migrate-incoming", uri=address)
    our_events, their_events = len(ours.events), len(theirs.events)
    bytes_before = link_bytes() if link_bytes else 0
    began = time.monotonic_ns()
    ours.execute("migrate", uri=address)
    if switch_at == 0:
        ours.execute("migrate-start-postcopy")
        switch_at = None
    info, cut = _follow(ours, our_events, switch_at, time.monotonic() + timeout_s)
    total_ns = time.monotonic_ns() - began

    result = {"engine": "qemu", "mode": mode, "total_time_ns": total_ns,
              "outcome": "completed" if info["status"] == "completed" else
              "not-converged" if info["status"] == "cancelled" and cut else "failed"}
    if bandwidth_bytes_per_s:
        result["bandwidth_bytes_per_s"] = bandwidth_bytes_per_s
    if link_bytes:
        result["bytes_on_link"] = link_bytes() - bytes_before
    result.update(_ram_figures(info.get("ram", {})))
    if result["outcome"] != "completed":
        result["reason"] = cut or info.get("error-desc", info["status"])
        return result
    return _add_times(result, info, ours, our_events, theirs, their_events)


def _ram_figures(ram):
    names = {"transferred": "bytes_reported", "dirty-sync-count": "rounds_reported",
             "duplicate": "zero_pages", "normal": "pages_sent", "postcopy-requests": "faults"}
    return {ours: ram[theirs] for theirs, ours in names.items() if theirs in ram}


def _add_times(result, info, ours, our_events, theirs, their_events):
    resumed = theirs.wait_event("RESUME", 10.0, their_events)
    stopped = ours.wait_event("STOP", 1.0, our_events)
    if resumed is None or stopped is None:
        result["outcome"] = "failed"
        result["reason"] = "the destination never resumed" if resumed is None else \
            "the source never stopped"
        return result
    ours.drain()
    result["switched"] = _event_of_status(ours, our_events, "postcopy-active") is not None
    result["downtime_ns"] = resumed - stopped
    result["downtime_reported_ns"] = info["downtime"] * 10**6
    result["total_time_reported_ns"] = info["total-time"] * 10**6
    began = _event_of_status(ours, our_events, "setup")
    ended = _event_of_status(ours, our_events, "completed")
    if began is not None and ended is not None:
        # By QEMU's own stamps, without our polling. The source says `completed` as soon as the
        # last bytes are in its socket; it is needed until they have come.
        result["total_time_ns"] = max(ended, resumed) - began
    return result
