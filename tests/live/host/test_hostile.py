# SPDX-License-Identifier: MIT
"""Peers and clients that mean no good, and agents that have nothing to do: nothing spins or dies."""

import fcntl
import glob
import os
import socket
import struct
import time
import unittest

from rig import GODWIT, PATIENCE, Rig, alive, eventually, kill, main, why_not

CONTROL, BULK, URGENT = 1, 2, 3
HELLO, OFFER, REFUSE, STANDING, RESUME, PING = 1, 2, 4, 19, 18, 22
PREPARED_LINE = "Stop-and-Copy -> Commitment"
UNKNOWN = 1


def message(kind, body=b""):
    return struct.pack("<IHH", len(body), kind, 0) + body


def seal(data, number):
    """core/migration/seal.c"""
    mask = (1 << 64) - 1
    value = (number + 1) * 0x9e3779b97f4a7c15 & mask ^ len(data)
    whole = len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:whole]):
        value = (value ^ word) * 0xff51afd7ed558ccd & mask
        value ^= value >> 32
    rest = int.from_bytes(data[whole:], "little")
    value = (value ^ rest) * 0xc4ceb9fe1a85ec53 & mask
    return struct.pack("<I", (value ^ value >> 32) & 0xffffffff)


class Peer:
    """A source that says what the test wants."""

    def __init__(self, address, ident):
        self.socks = {}
        self.said = dict.fromkeys((CONTROL, BULK, URGENT), 0)
        for channel in (BULK, URGENT, CONTROL):
            sock = socket.create_connection(address, PATIENCE)
            self.socks[channel] = sock
            sock.sendall(hello(channel, ident))
            assert len(exactly(sock, 40)) == 40

    def say(self, kind, body=b"", channel=CONTROL):
        data = message(kind, body)
        self.socks[channel].sendall(data + seal(data, self.said[channel]))
        self.said[channel] += 1

    def hear(self):
        """The next message that is no PING: (kind, body); (None, b"") at the end."""
        while True:
            head = exactly(self.socks[CONTROL], 8)
            if len(head) < 8:
                return None, b""
            length, kind, _ = struct.unpack("<IHH", head)
            body = exactly(self.socks[CONTROL], length + 4)[:length]
            if kind != PING:
                return kind, body

    def close(self):
        for sock in self.socks.values():
            sock.close()


def hello(channel, ident):
    return message(HELLO, b"godwit\r\n" + struct.pack("<II", 2, channel) + ident)


def exactly(sock, count):
    got = b""
    while len(got) < count:
        try:
            more = sock.recv(count - len(got))
        except ConnectionError:
            break
        if not more:
            break
        got += more
    return got


def offer(ram_bytes, vcpus=1, name=b"evil", spec=b"{}"):
    return struct.pack("<IIQII", 0, vcpus, ram_bytes, len(name), len(spec)) + name + spec


def ticks(pid):
    """CPU time of a process so far, in clock ticks."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Case(unittest.TestCase):
    def setUp(self):
        self.rig = Rig(self)
        self.rig.b.serve()

    def peer(self, ident=None):
        peer = Peer(self.rig.b.address, ident or os.urandom(16))
        self.addCleanup(peer.close)
        return peer

    def idles(self, *pids):
        """A loop that spins takes a core: far more than a tenth of one."""
        before = [ticks(pid) for pid in pids]
        time.sleep(1)
        for pid, was in zip(pids, before):
            self.assertLess(ticks(pid) - was, os.sysconf("SC_CLK_TCK") // 10,
                            f"pid {pid} spins\n{self.rig.story()}")


class HostilePeers(Case):
    def test_an_offer_larger_than_the_host(self):
        for ram, vcpus in ((1 << 60, 1), (1 << 20, 0xffffffff)):
            with self.subTest(ram=ram, vcpus=vcpus):
                peer = self.peer()
                peer.say(OFFER, offer(ram, vcpus))
                kind, body = peer.hear()
                self.assertEqual(kind, REFUSE, self.rig.story())
                self.assertIn(b"the VM has", body)
                self.assertTrue(eventually(lambda: not self.rig.b.sessions()))

    def test_an_offer_that_is_not_the_first_word(self):
        self.rig.a.native("web", pages=16)
        peer = self.peer()
        peer.say(PING, bytes(8))
        peer.say(OFFER, offer(1 << 20))
        kind, body = peer.hear()
        while kind not in (None, REFUSE):
            kind, body = peer.hear()
        self.assertEqual(kind, REFUSE, self.rig.story())
        self.assertIn(b"first message", body)
        self.assertTrue(self.rig.b.is_clean(), self.rig.b.left())

    def test_a_part_of_a_hello(self):
        sock = socket.create_connection(self.rig.b.address)
        self.addCleanup(sock.close)
        sock.sendall(hello(CONTROL, bytes(16))[:20])
        self.idles(self.rig.b.agent.pid)

    def test_idle_connections_keep_nobody_out(self):
        for _ in range(100):
            self.addCleanup(socket.create_connection(self.rig.b.address).close)
        self.rig.a.native("vm", pages=64, populate=64)
        self.rig.a.migrate("vm", self.rig.b, policy="precopy").completes()


class Journals(Case):
    def test_a_busy_journal_is_not_taken_for_none(self):
        """While another holds the journal nobody may be told that the VM never ran here."""
        self.check(lambda path: None, lock=True)

    def test_an_unreadable_journal_is_not_taken_for_none(self):
        def spoil(path):
            with open(path, "r+b") as file:
                file.write(b"g0dwit")
        self.check(spoil, lock=False)

    def check(self, spoil, lock):
        self.rig.b.stop_agent()
        self.rig.b.serve(fault="before-mine")
        self.rig.a.native("vm", pages=64, populate=64)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy")
        self.assertIsNotNone(self.rig.b.held_session(), self.rig.story())
        kill(move.pid)
        self.rig.b.kill_agent()
        path = glob.glob(os.path.join(self.rig.b.dir, ".journal", "*.destination"))[0]
        spoil(path)
        with open(path, "rb") as holder:
            if lock:
                fcntl.flock(holder, fcntl.LOCK_EX)
            self.rig.b.serve()
            ident = bytes.fromhex(os.path.basename(path).partition(".")[0])
            peer = self.peer(ident)
            peer.say(RESUME)
            peer.socks[CONTROL].settimeout(2)
            try:
                kind, body = peer.hear()
            except TimeoutError:
                kind, body = None, b""
            if kind == STANDING:
                self.assertNotEqual(int.from_bytes(body[:4], "little"), UNKNOWN)
            else:
                self.assertIsNone(kind)


class Quiet(Case):
    def test_waiting_takes_no_time(self):
        """Prepared and paused without a link; the agent beside it; a source that was killed."""
        self.rig.a.native("vm", pages=64, populate=64)
        move = self.rig.a.migrate("vm", self.rig.b, policy="postcopy", fault="before-committed")
        self.assertTrue(move.held(), self.rig.story())
        self.assertTrue(eventually(lambda: PREPARED_LINE in self.rig.b.trace()))
        self.idles(self.rig.b.agent.pid, *self.rig.b.sessions())
        kill(move.pid)
        self.assertTrue(eventually(lambda: "stands paused" in self.rig.b.trace()))
        self.idles(self.rig.b.agent.pid, *self.rig.b.sessions())
        self.assertEqual(self.rig.settle(self, "vm").name, "a")

    def test_a_client_that_says_nothing_holds_nothing_up(self):
        self.rig.a.native("vm", pages=64, populate=64)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy", fault="before-committed")
        self.assertTrue(move.held(), self.rig.story())
        path = glob.glob(os.path.join(self.rig.b.dir, ".journal", "*.sock"))[0]
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(path)
            self.idles(*self.rig.b.sessions())
            self.assertIn("vm", self.rig.b.run("status").stdout)
        kill(move.pid)
        self.rig.settle(self, "vm")

    def test_a_hypervisor_that_is_gone_is_no_crash(self):
        """A session is followed when its VM has died with it: a doubt, and no endless restart."""
        self.rig.b.stop_agent()
        self.rig.b.serve(fault="after-mine")
        self.rig.a.native("vm", pages=64, populate=64)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy", reconnect="2s")
        self.assertIsNotNone(self.rig.b.held_session(), self.rig.story())
        guest = self.rig.b.vm("vm").pid
        kill(guest)
        self.rig.b.kill_agent()
        self.rig.b.serve()
        self.assertTrue(eventually(lambda: "doubt" in self.rig.b.journals().values()),
                        f"{self.rig.b.journals()} {self.rig.story()}")
        self.assertTrue(alive(self.rig.b.agent.pid))
        move.wait()
        self.idles(self.rig.b.agent.pid)


if __name__ == "__main__":
    assert GODWIT
    main(why_not())
