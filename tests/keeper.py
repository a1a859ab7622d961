#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/keeper.py - removes what a test that is killed leaves behind.

    keeper.keep(folder)       in a test in Python
    keep("/tmp/...");         in one in C: tests/live/keeper.h

The keeper is a process, one a test. It is told paths, a line each, and waits for the end of its
input, which is the end of the test, however that came: a test that is killed, as by a time limit,
ends nothing itself. It has a session of its own, for meson ends the test's whole group. Then whoever names one of the paths in its command line or its environment is
killed, and the paths are removed. They are unique names, so those of a test that has cleared up
itself are nobody's.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time

PATIENCE = 20.0


def alive(pid):
    """Whether any thread of it is there still: the last one gives its files and locks back."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            letter = file.read().rpartition(")")[2].split()[0]
        return letter not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    return False


def users_of(paths):
    """Every other process that was started with one of these paths."""
    marks = [path.encode() for path in paths]
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = b""
            for name in ("cmdline", "environ"):
                with open(f"/proc/{entry}/{name}", "rb") as file:
                    words += file.read()
            if any(mark in words for mark in marks) and alive(int(entry)):
                found.append(int(entry))
    return found


def kill(pid):
    """Ends one process, and waits until it is no more."""
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)


def remove(paths):
    for _ in range(3):  # who dies may have been starting something
        for pid in users_of(paths):
            kill(pid)
    for path in paths:
        if os.path.ismount(path):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(path)


@functools.cache
def start():
    return subprocess.Popen([sys.executable, os.path.abspath(__file__)], text=True,
                            stdin=subprocess.PIPE, start_new_session=True)


def keep(*paths):
    print(*paths, sep="\n", file=start().stdin, flush=True)


if __name__ == "__main__":
    remove([line.rstrip("\n") for line in sys.stdin])
