# SPDX-License-Identifier: MIT
"""bench/bare_hosts.py - as bench/hosts.py, with the bare guest, which runs under any KVM.

It has no network, so nobody asks it anything: its memory files, the source's and the destination's,
are read a thousand times a second, and what its status page counts tells

    guest gap     the longest time in which it neither wrote nor compared a page, by our clock:
                  pauses and waiting for pages are in it, and its own rhythm of 10 ms
    rate          what it wrote and compared during the move, a second
"""

import glob
import os
import threading
import time

import hosts
from lab import bare

BOOT_SECONDS = 30.0
LOOK_SECONDS = 0.001


class Setting(hosts.Setting):
    def guest_arguments(self, host, folder, ram_path=None):
        return bare.arguments(os.path.join(folder, "bare-guest"), memory=self.memory,
                              cpus=self.cpus, ram_path=ram_path,
                              options={"ws": self.working_set, "hot": self.working_set,
                                       "rate": 0, "sweep": 500})


class _Looker(threading.Thread):
    """Reads what the guest has done, wherever it runs, until it is ended."""

    def __init__(self, find_rams):
        super().__init__(daemon=True)
        self._find_rams = find_rams
        self._ended = threading.Event()
        self.done, self.changed_ns, self.gap_ns = 0, time.monotonic_ns(), 0
        self.start()

    def run(self):
        while not self._ended.wait(LOOK_SECONDS):
            done = max((_done(path) for path in self._find_rams()), default=0)
            now = time.monotonic_ns()
            if done > self.done:  # the destination's is an old one until the guest runs there
                self.gap_ns = max(self.gap_ns, now - self.changed_ns)
                self.done, self.changed_ns = done, now

    def begin(self):
        self.gap_ns = 0
        return self.done

    def end(self):
        self._ended.set()
        self.join()


def _done(path):
    try:
        status = bare.status(path)
    except OSError:
        return 0
    return status.total("written") + status.total("compared")


class _Bare:
    """What of an engine differs."""

    def _guest(self):
        return os.path.join(self.setting.program, "guest", "bare")

    def _await_boot(self):
        end = time.monotonic() + BOOT_SECONDS
        while not any(bare.status(path).up for path in self._rams()):
            if time.monotonic() > end:
                raise hosts.MoveFailed("the guest does not start")
            time.sleep(0.05)

    def move(self, mode, workload):
        ram, = self._rams()
        bare.set_rate(ram, workload.rate)
        self._qmp().execute("cont")
        looker = _Looker(self._rams)
        try:
            time.sleep(1.0)
            before, began = looker.begin(), time.monotonic_ns()
            time.sleep(hosts.BASELINE_SECONDS)
            baseline = (looker.done - before) * 1e9 / (time.monotonic_ns() - began)
            before = looker.begin()
            bytes_before = self.lab.link_bytes(self.destination)
            result = self._move(mode)
            after = looker.done
            result["bytes_on_link"] = self.lab.link_bytes(self.destination) - bytes_before
            result["link_bytes_per_s"] = result["bytes_on_link"] * 1e9 / result["total_time_ns"]
            time.sleep(hosts.SETTLE_SECONDS)
        finally:
            looker.end()
        result["guest_gap_ns"] = looker.gap_ns
        rate = (after - before) * 1e9 / result.pop("_window_ns")
        result["guest_rate_share"] = rate / baseline if baseline else None
        result["workload"] = workload.name
        if result["outcome"] == "completed":
            self.source, self.destination = self.destination, self.source
        self._tidy()
        self._judge(result)
        self._qmp().execute("stop")
        return result

    def _judge(self, result):
        ram, = self._rams()
        status = bare.status(ram)
        result["guest_errors"] = status.errors
        if status.errors:
            raise hosts.MoveFailed(f"{result['engine']} {result['mode']}: {status.error}")


class Native(_Bare, hosts.Native):
    def _rams(self):
        return list(self.rams.values())


class Godwit(_Bare, hosts.Godwit):
    def _rams(self):
        return glob.glob(f"/dev/shm/godwit-{self.vm}-*.ram")
