# SPDX-License-Identifier: MIT
"""The shadow of a real VM: with a tap, two disks, a balloon; nothing it does is seen outside."""

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import unittest

from rig import Rig, alive, eventually, kill, main, userfaultfds, why_not
from test_shadow import shadow_of
from lab import guest
from lab.client import wait_for_guest

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
ETH_P_ALL = 3
MEMORY = "160M"
LINK = "100mbit"  # so slow that the shadow comes to run on a busy machine, too
libc = ctypes.CDLL(None, use_errno=True)


def alone():
    """A network of this test's own: a bridge, a tap for each host, and us."""
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    for words in (["mount", "--make-rprivate", "/"], ["mount", "-t", "sysfs", "sysfs", "/sys"]):
        subprocess.run(words, check=True)
    for line in ("link set lo up", "link add br0 type bridge", "addr add 10.77.0.1/24 dev br0",
                 "link set br0 up", "tuntap add tap-a mode tap", "tuntap add tap-b mode tap",
                 "link set tap-a master br0 up", "link set tap-b master br0 up"):
        subprocess.run(["ip", *line.split()], check=True)


class Sniffer:
    """Counts the frames on every interface of a process's network namespace."""

    def __init__(self, pid):
        self.frames = 0
        self.interfaces = ""
        box = threading.Thread(target=self._open, args=(pid,))
        box.start()
        box.join()

    def _open(self, pid):
        with open(f"/proc/{pid}/ns/net", "rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                return
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setblocking(False)
        self.interfaces = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True,
                                         check=True).stdout

    def count(self):
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(65536):
                self.frames += 1
        return self.frames


def writable_files(pid):
    """What a process has open for writing that has a name on this host."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/{pid}/fd/{fd}")
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
                flags = int(re.search(r"flags:\s*(\d+)", file.read()).group(1), 8)
            if name.startswith("/") and not name.startswith("/memfd:") and flags & 3:
                found.add(name)
    return found


def drive_mad(pid, ram_path):
    """Overwrites what a process has of a guest's memory privately, the kernel's pages first."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        start = next(int(line.split("-")[0], 16) for line in file if ram_path in line)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for page in range(4096, 16384):  # 16 to 64 MiB
            with contextlib.suppress(OSError):  # it may have ended of it already
                memory.seek(start + page * 4096)
                memory.write(b"\xff" * 4096)


class Shadow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        alone()

    def boot(self):
        self.rig = Rig(self)
        self.rig.a.serve(more=["--map", "tap-b=tap-a"])
        self.rig.b.serve(more=["--map", "tap-a=tap-b"])
        raw, qcow2 = (os.path.join(self.rig.dir, name) for name in ("disk.raw", "disk.qcow2"))
        with open(raw, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "32M"], check=True)
        arguments = guest.arguments(
            guest.build(), netdev="tap,id=net0,ifname=tap-a,script=no,downscript=no",
            memory=MEMORY, disk=raw, options={"ws": "32M", "alloc": "48M", "rate": 20000,
                                              "sweep": 8000})
        arguments += ["-blockdev", f"driver=file,node-name=f1,filename={qcow2}",
                      "-blockdev", "driver=qcow2,node-name=d1,file=f1",
                      "-device", "virtio-blk-pci,drive=d1",
                      "-device", "virtio-balloon-pci,id=balloon0"]
        done = self.rig.a.run("run", "vm", "--", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.client = wait_for_guest("10.77.0.2", 7070)
        self.addCleanup(self.client.close)
        self.client.command("disk 8")
        return qcow2

    def move(self, **options):
        return self.rig.a.migrate("vm", self.rig.b, policy="run-ahead", bandwidth=LINK,
                                  verify=True, **options)

    def is_well(self):
        answer = self.client.command("ping", 60)
        target = answer["rounds"] + 1
        self.assertTrue(eventually(
            lambda: self.client.command("ping", 60)["rounds"] >= target), self.rig.story())
        answer = self.client.command("ping", 60)
        self.assertEqual((answer["errors"], answer["disk_errors"]), (0, 0), self.rig.story())

    def arrives(self, move, pid):
        result = move.completes()
        self.assertEqual(result["verified"]["pages_different"], 0)
        self.assertTrue(self.rig.a.is_clean(), self.rig.a.left())
        self.assertTrue(eventually(lambda: not alive(pid)))
        there, = self.rig.b.guests()
        self.assertEqual(userfaultfds(there), 0)
        self.is_well()

    def test_nothing_leaves_it(self):
        qcow2 = self.boot()
        with open(qcow2, "rb") as file:
            before = file.read()
        move = self.move()
        pid = shadow_of(move)
        sniffer = Sniffer(pid)
        self.assertTrue(move.reached("the shadow runs"), self.rig.story())
        self.assertRegex(sniffer.interfaces, r"shadowa: .* state DOWN")
        self.assertRegex(sniffer.interfaces, r"lo: .* state DOWN")
        self.assertEqual(writable_files(pid), {"/dev/net/tun", "/dev/userfaultfd"})
        self.arrives(move, pid)
        self.assertEqual(sniffer.count(), 0)
        with open(qcow2, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_it_is_killed_or_hangs(self):
        for step, how in ((None, signal.SIGKILL), ("the VM is stopped", signal.SIGKILL),
                          ("the shadow runs", signal.SIGKILL), (None, signal.SIGSTOP),
                          ("the shadow runs", signal.SIGSTOP)):
            with self.subTest(step=step, how=how):
                self.boot()
                move = self.move()
                pid = shadow_of(move, caged=step is not None)
                if step:
                    self.assertTrue(move.reached(step), self.rig.story())
                kill(pid, how)
                self.arrives(move, pid)
                self.rig.close()

    def test_its_guest_alone_goes_mad(self):
        self.boot()
        move = self.move()
        pid = shadow_of(move)
        ram = self.rig.a.ram_files()[0]
        self.assertTrue(move.reached("the shadow runs"), self.rig.story())
        with contextlib.suppress(OSError):
            drive_mad(pid, ram)
        self.arrives(move, pid)

    def test_its_parent_is_killed(self):
        for step in ("the VM is stopped", "the shadow runs"):
            with self.subTest(step=step):
                self.boot()
                move = self.rig.a.migrate("vm", self.rig.b, policy="run-ahead", bandwidth=LINK)
                pid = shadow_of(move)
                self.assertTrue(move.reached(step), self.rig.story())
                kill(move.pid)
                self.assertTrue(eventually(lambda: not alive(pid)))
                recovered = self.rig.a.recover("vm", self.rig.b)
                recovered.wait()
                self.assertEqual(recovered.process.returncode, 0, self.rig.story())
                self.is_well()
                self.rig.close()

    def test_a_disk_that_cannot_be_overlaid(self):
        """A block node whose name leaves no room for the shadow's: the next best order does it."""
        name = "a-node-with-so-long-a-name-here"
        self.rig = Rig(self)
        self.rig.b.serve(more=["--map", "tap-a=tap-b"])
        self.rig.a.serve()
        disk = os.path.join(self.rig.dir, "disk.raw")
        with open(disk, "wb") as file:
            file.truncate(16 << 20)
        arguments = guest.arguments(
            guest.build(), netdev="tap,id=net0,ifname=tap-a,script=no,downscript=no",
            memory=MEMORY, options={"ws": "8M", "alloc": "16M"})
        arguments += ["-blockdev", f"driver=file,node-name={name},filename={disk}",
                      "-device", f"virtio-blk-pci,drive={name}"]
        done = self.rig.a.run("run", "vm", "--", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.client = wait_for_guest("10.77.0.2", 7070)
        self.addCleanup(self.client.close)
        move = self.move()
        move.completes()
        self.assertIn("the shadow could not be started", move.trace())
        self.assertIn(name, move.trace())
        self.assertIn("without a shadow", move.trace())
        self.is_well()


if __name__ == "__main__":
    main(why_not())
