# SPDX-License-Identifier: MIT
"""The lab comes up, limits its link, and is gone afterwards, however its process ends."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

from support import ROOT, eventually, main
from lab.lab import (NETNS, Lab, LoopbackLab, in_netns, parse_rate, remove, remove_leftovers,
                     why_no_namespaces)

# A process with a lab, a child on a host (which starts one of its own) and a file in /dev/shm.
CHILD = """
import sys, time
from lab.lab import Lab, LoopbackLab
with {kind}() as lab:
    open(lab.shm("ram0"), "w").close()
    child = lab.a.popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=-1, text=True)
    grandchild = child.stdout.readline().strip()
    print(lab.name, lab._keeper.pid, child.pid, grandchild, flush=True)
    {then}
"""


class Made:
    """What a lab in another process has made."""

    def __init__(self, line):
        self.name, *pids = line.split()
        self.keeper, *self.processes = (int(pid) for pid in pids)

    def left(self):
        """What of it is still there: namespaces, files, processes."""
        found = []
        for folder in (NETNS, tempfile.gettempdir(), "/dev/shm"):
            try:
                found += [os.path.join(folder, entry) for entry in os.listdir(folder)
                          if entry.startswith(self.name + "-") or entry == self.name]
            except FileNotFoundError:
                continue
        return found + [f"pid {pid}" for pid in self.processes if alive(pid)]

    def clear(self):
        """After the test, whatever it found."""
        for pid in filter(alive, self.processes):
            os.kill(pid, signal.SIGKILL)
        remove(self.name)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def default_signals():
    """Whoever runs the tests in the background has its children ignore Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class EndTest(unittest.TestCase):
    """However a lab's process ends, nothing outlives it."""

    kinds = ("Lab", "LoopbackLab")

    def start(self, kind, then="time.sleep(1000)"):
        process = subprocess.Popen([sys.executable, "-c", CHILD.format(kind=kind, then=then)],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   cwd=ROOT, preexec_fn=default_signals)
        self.addCleanup(process.kill)
        made = Made(process.stdout.readline())
        self.addCleanup(made.clear)
        return process, made

    def finish(self, process):
        try:
            process.wait(60)
        finally:
            process.kill()
            process.stdout.close()

    def test_nothing_is_left_after_the_end(self):
        for kind in self.kinds:
            with self.subTest(kind=kind):
                process, made = self.start(kind, "pass")
                self.finish(process)
                self.assertEqual(process.returncode, 0)
                self.assertEqual(made.left(), [])

    def test_nothing_is_left_after_an_exception(self):
        for kind in self.kinds:
            with self.subTest(kind=kind):
                process, made = self.start(kind, "1 / 0")
                self.finish(process)
                self.assertEqual(process.returncode, 1)
                self.assertEqual(made.left(), [])

    def test_nothing_is_left_after_a_signal(self):
        for kind in self.kinds:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with self.subTest(kind=kind, signal=number.name):
                    process, made = self.start(kind)
                    self.assertGreater(len(made.left()), 3)
                    process.send_signal(number)
                    self.finish(process)
                    self.assertNotEqual(process.returncode, 0)
                    self.assertEqual(made.left(), [])

    def test_the_keeper_clears_up_when_the_lab_is_killed(self):
        for kind in self.kinds:
            with self.subTest(kind=kind):
                process, made = self.start(kind)
                process.kill()
                self.finish(process)
                self.assertTrue(eventually(lambda: made.left() == []), made.left())

    def test_the_next_lab_clears_up_when_both_are_killed(self):
        for kind in self.kinds:
            with self.subTest(kind=kind):
                process, made = self.start(kind)
                self.assertGreater(len(made.left()), 3)
                os.kill(made.keeper, signal.SIGKILL)
                process.kill()
                self.finish(process)
                remove_leftovers()
                self.assertTrue(eventually(lambda: made.left() == []), made.left())

    def test_what_others_made_stays(self):
        other = f"gwother-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", other], check=True)
        try:
            with Lab() as living:
                remove_leftovers()
                self.assertTrue(os.path.exists(f"{NETNS}/{living.name}-a"))
                self.assertEqual(living.a.run(["true"]).returncode, 0)
            self.assertTrue(os.path.exists(f"{NETNS}/{other}"))
        finally:
            subprocess.run(["ip", "netns", "del", other], check=True)


class LinkTest(unittest.TestCase):
    """What the network between the hosts does."""

    def connect(self, lab):
        server = lab.b.call(lambda: socket.create_server((lab.b.ip, 0)))
        near = lab.a.call(lambda: socket.create_connection(server.getsockname(), 20))
        far, _ = server.accept()
        server.close()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return near, far

    def flood(self, lab, near, far, seconds):
        """Bytes that arrived at b while a sent as much as it could, and a time that was enough."""
        stop = threading.Event()

        def send():
            near.settimeout(0.2)
            while not stop.is_set():
                try:
                    near.send(bytes(1 << 16))
                except socket.timeout:
                    continue

        def receive():
            far.settimeout(0.2)
            while not stop.is_set():
                try:
                    far.recv(1 << 20)
                except socket.timeout:
                    continue

        threads = [threading.Thread(target=work) for work in (send, receive)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        began, before = time.monotonic(), lab.link_bytes(lab.b)
        time.sleep(seconds)
        count, elapsed = lab.link_bytes(lab.b) - before, time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join()
        return count, elapsed

    def uses(self, lab, rate):
        """Whether a flood fills at least half of the link. It never fills more than there is."""
        count, elapsed = self.flood(lab, *self.connect(lab), 1.0)
        self.assertLess(count, rate * elapsed * 1.1 + 400_000)  # the bucket, and the clock's grain
        return count > rate * elapsed * 0.5

    def test_the_rate_limits_and_can_be_changed(self):
        with Lab(rate="40mbit") as lab:
            for rate in ("40mbit", "160mbit"):
                with self.subTest(rate=rate):
                    lab.set_rate(rate)
                    # A machine with other work may leave the link unused, but not for ever.
                    self.assertTrue(eventually(lambda: self.uses(lab, parse_rate(rate) / 8), 120))

    def test_the_hosts_own_devices_have_no_queue_of_ours(self):
        with Lab(rate="40mbit") as lab:
            for host in lab.hosts:
                said = host.run(["tc", "qdisc", "show", "dev", "mig0"], capture_output=True,
                                text=True).stdout
                self.assertIn("noqueue", said)

    def test_an_unplugged_link_carries_nothing_until_it_is_back(self):
        with Lab() as lab:
            near, far = self.connect(lab)
            lab.set_link(lab.b, False)
            near.sendall(b"late")
            far.settimeout(0.5)
            with self.assertRaises(socket.timeout):
                far.recv(4)
            lab.set_link(lab.b, True)
            far.settimeout(30)
            self.assertEqual(far.recv(4, socket.MSG_WAITALL), b"late")

    def test_the_client_does_not_see_the_migration_network(self):
        with Lab() as lab:
            # Not even with an address there: the two networks are two segments.
            lab.client.run(["ip", "addr", "add", "10.78.0.9/24", "dev", "vm0"])
            server = lab.b.call(lambda: socket.create_server((lab.b.ip, 0)))
            self.addCleanup(server.close)
            with self.assertRaises(OSError):
                lab.client.call(lambda: socket.create_connection(server.getsockname(), 2))

    def test_loopback_has_the_same_interface_and_says_what_is_different(self):
        with LoopbackLab(rate="40mbit") as lab:
            self.assertTrue(lab.differences)
            near, far = self.connect(lab)
            near.sendall(b"z")
            self.assertEqual(far.recv(1), b"z")
            self.assertIn("user,id=net0", lab.a.netdev())
            self.assertEqual(lab.a.guest_address()[0], lab.a.ip)
            self.assertIsNone(lab.link_bytes(lab.b))
        missing = {name for name in dir(Lab) if not name.startswith("_")} - set(dir(LoopbackLab))
        self.assertEqual(missing, set())

    def test_a_signal_while_a_lab_is_cleared_up_takes_effect_afterwards(self):
        program = textwrap.dedent("""
            import os, signal, sys
            from lab.lab import LoopbackLab
            class Slow(LoopbackLab):
                def _end_processes(self):
                    os.kill(os.getpid(), signal.SIGTERM)
                    super()._end_processes()
            with Slow() as lab:
                path = lab.path()
            print(path, os.path.exists(path))
        """)
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 128 + signal.SIGTERM, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr, "")

    def test_an_error_in_another_namespace_reaches_the_caller(self):
        with self.assertRaises(FileNotFoundError):
            in_netns("gwlab-there-is-no-such", lambda: None)


if __name__ == "__main__":
    main(why_no_namespaces())
