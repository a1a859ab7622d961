#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""QEMU's own migration in every mode, between two real QEMUs and a guest that never rests."""
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 2)
sys.path[:0] = [ROOT, os.path.join(ROOT, "bench")]
import qemu_native  # noqa: E402
from tests import keeper  # noqa: E402

ARGUMENTS = ["-machine", "pc,accel=tcg", "-m", "64", "-nodefaults", "-display", "none",
             "-no-user-config"]
BANDWIDTH = 2_000_000  # so that a pass outlasts the 100 ms after which QEMU knows its rate
# A boot sector that goes on writing one byte of each page from 64 KiB to 576 KiB.
WRITER = bytes([
    0xB8, 0x00, 0x10,              # begin: mov ax, 0x1000
    0x8E, 0xC0,                    # next:  mov es, ax
    0x26, 0xFE, 0x06, 0x00, 0x00,  #        inc byte [es:0]
    0x05, 0x00, 0x01,              #        add ax, 0x100
    0x3D, 0x00, 0x90,              #        cmp ax, 0x9000
    0x72, 0xF1,                    #        jb next
    0xEB, 0xEC,                    #        jmp begin
]).ljust(510, b"\0") + b"\x55\xaa"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Native(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="godwit-native-")
        keeper.keep(self.folder)
        self.addCleanup(shutil.rmtree, self.folder)

    def pair(self, *destination_arguments):
        """Two QEMUs, the second waiting; both end with the test."""
        disk = os.path.join(self.folder, "writer.img")
        with open(disk, "wb") as image:
            image.write(WRITER.ljust(1440 * 1024, b"\0"))
        drive = ["-drive", f"file={disk},format=raw,if=floppy,readonly=on"]
        pair = []
        for name, extra in (("a", []), ("b", ["-incoming", "defer", *destination_arguments])):
            qemu = qemu_native.Qemu([*ARGUMENTS, *drive, *extra], os.path.join(self.folder, name))
            self.addCleanup(qemu.close)
            pair.append(qemu)
        self.wait_for_writer(pair[0])
        return pair

    def wait_for_writer(self, qemu):
        """Until the boot sector runs: its code is where the firmware puts it, and ES is its own."""
        for _ in range(600):
            registers = qemu.qmp.execute("human-monitor-command", **{"command-line": "info registers"})
            if re.search(r"EIP=00007c[0-9a-f]{2}", registers):
                return
            time.sleep(0.05)
        self.fail("the guest did not boot")

    def move(self, mode, pair, **options):
        options.setdefault("bandwidth_bytes_per_s", BANDWIDTH)
        return qemu_native.migrate(*pair, f"tcp:127.0.0.1:{free_port()}", mode, **options)

    def check_move(self, mode):
        a, b = self.pair()
        # 1 ms carries 2 KB, the guest has dirtied 512 KB by then: only precopy may wait for less.
        result = self.move(mode, (a, b), downtime_limit_ms=2000 if mode == "precopy" else 1)
        self.assertEqual(result["outcome"], "completed", result)
        for field in ("total_time_ns", "downtime_ns", "bytes_reported", "zero_pages"):
            self.assertGreater(result[field], 0, result)
        self.assertGreaterEqual(result["total_time_ns"], result["downtime_ns"])
        self.assertTrue(b.qmp.execute("query-status")["running"])
        self.assertFalse(a.qmp.execute("query-status")["running"])
        self.assertEqual(result["switched"], mode != "precopy", a.qmp.events)
        if mode.startswith("hybrid"):
            self.assertGreaterEqual(result["rounds_reported"], 2)

    def test_what_cannot_be_reached(self):
        a, b = self.pair()
        b.qmp.execute("migrate-incoming", uri=f"tcp:127.0.0.1:{free_port()}")
        with self.assertRaises(qemu_native.QmpError):
            self.move("precopy", (a, b))
        self.assertTrue(a.qmp.execute("query-status")["running"])

    def test_too_slow_a_link_is_said(self):
        a, b = self.pair()
        result = self.move("precopy", (a, b), bandwidth_bytes_per_s=20_000, timeout_s=1.0)
        self.assertEqual(result["outcome"], "not-converged", result)
        self.assertNotIn("downtime_ns", result)
        self.assertTrue(a.qmp.execute("query-status")["running"])


for MODE in qemu_native.MODES:
    setattr(Native, f"test_{MODE.replace('-', '_')}", lambda self, mode=MODE: self.check_move(mode))

if __name__ == "__main__":
    if not shutil.which("qemu-system-x86_64"):
        print("skipped: qemu-system-x86_64 is not installed")
        sys.exit(77)
    unittest.main()
