#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`godwit run` and `godwit list` with a real QEMU.    run_test.py GODWIT"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 2))
from tests import keeper  # noqa: E402

GODWIT = os.path.abspath(sys.argv.pop(1))
ARGUMENTS = ["-m", "64", "-nodefaults", "-display", "none", "-S"]


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"


class Run(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="godwit-run-")
        keeper.keep(self.folder)
        self.name = f"test-{os.getpid()}-{self._testMethodName[5:]}"
        self.addCleanup(shutil.rmtree, self.folder)

    def godwit(self, *words):
        return subprocess.run([GODWIT, *words], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, "GODWIT_DIR": self.folder})

    def start(self):
        done = self.godwit("run", self.name, "--json", "-", "--", *ARGUMENTS)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        vm = json.loads(done.stdout)
        self.addCleanup(self.clear_up, vm)
        return vm

    def clear_up(self, vm):
        if not gone(vm["pid"]):
            os.kill(vm["pid"], signal.SIGKILL)
        if os.path.exists(vm["ram_path"]):
            os.unlink(vm["ram_path"])

    def listed(self):
        return json.loads(self.godwit("list", "--json", "-").stdout)["vms"]

    def test_life(self):
        vm = self.start()
        self.assertEqual((vm["name"], vm["ram_bytes"]), (self.name, 64 << 20))
        self.assertEqual(os.stat(vm["ram_path"]).st_size, 64 << 20)
        row, = self.listed()
        self.assertEqual((row["name"], row["pid"], row["process"]),
                         (self.name, vm["pid"], "running"))
        self.assertRegex(self.godwit("list").stdout,
                         rf"\ANAME +PROCESS +PID +MEMORY *\n"
                         rf"{self.name}  running +{vm['pid']} +64.0 MiB *\n\Z")
        os.kill(vm["pid"], signal.SIGKILL)
        for _ in range(500):
            if gone(vm["pid"]):
                break
            time.sleep(0.01)
        self.assertEqual([row["process"] for row in self.listed()], ["gone"])

    def test_twice(self):
        vm = self.start()
        done = self.godwit("run", self.name, "--", *ARGUMENTS)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Agodwit: [^\n]+\n\Z")
        self.assertIn(self.name, done.stderr)
        self.assertEqual([row["pid"] for row in self.listed()], [vm["pid"]])
        self.assertFalse(gone(vm["pid"]))

    def test_qemu_that_refuses(self):
        done = self.godwit("run", self.name, "--", "-no-such-option")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\Agodwit: [^\n]+\n\Z")
        self.assertEqual(self.listed(), [])
        self.assertEqual([f for f in os.listdir("/dev/shm") if self.name in f], [])


if __name__ == "__main__":
    if not shutil.which("qemu-system-x86_64"):
        print("skipped: qemu-system-x86_64 is not installed")
        sys.exit(77)
    unittest.main()
