# SPDX-License-Identifier: MIT
"""Peers and clients that mean no good, and agents that have nothing to do: nothing spins or dies."""

import fcntl
import glob
import os
import shutil
import signal
import socket
import struct
import time
import unittest

from rig import GODWIT, PATIENCE, Rig, alive, eventually, kill, main, why_not
from tests.wire import message, seal, sealed

CONTROL, BULK, URGENT = 1, 2, 3
HELLO, OFFER, ACCEPT, REFUSE, SWITCH, STATE, STATE_END = 1, 2, 3, 4, 6, 8, 9
ABORTED, RESUME, STANDING, PING = 16, 18, 19, 22
SWITCH_MARK = b"GMPF" + struct.pack("<HHII", 4, 0, 0, 0)
PREPARED_LINE = "Stop-and-Copy -> Commitment"
UNKNOWN = 1


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
        self.socks[channel].sendall(sealed(message(kind, body), self.said[channel]))
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


def overhear(rig, name):
    """The body of the OFFER that a source makes: who answers its HELLOs hears it, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        move = rig.a.migrate(name, listener.getsockname(), policy="stop-copy")
        socks = []
        for _ in range(3):
            sock, _ = listener.accept()
            socks.append(sock)
            sock.sendall(exactly(sock, 40))  # what it says of itself is said back
        length, kind, _ = struct.unpack("<IHH", exactly(socks[-1], 8))
        assert kind == OFFER
        body = exactly(socks[-1], length)
        for sock in socks:
            sock.close()
    move.fails()
    return body


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
        # At once: what is not read when the agent hangs up would take its answer with it.
        words = message(PING, bytes(8)), message(OFFER, offer(1 << 20))
        peer.socks[CONTROL].sendall(b"".join(sealed(word, number)
                                             for number, word in enumerate(words)))
        kind, body = peer.hear()
        while kind not in (None, REFUSE):
            kind, body = peer.hear()
        self.assertEqual(kind, REFUSE, self.rig.story())
        self.assertIn(b"first message", body)
        self.assertTrue(self.rig.b.is_clean(), self.rig.b.left())

    def test_half_a_device_state_is_none(self):
        """A source's VM that dies while it saves: nobody waits for the rest of its state."""
        self.rig.a.native("vm", pages=64, populate=64)
        offered = overhear(self.rig, "vm")
        peer = self.peer()
        peer.say(OFFER, offered)
        kind, _ = peer.hear()
        self.assertEqual(kind, ACCEPT, self.rig.story())
        peer.say(SWITCH, bytes(9))
        peer.socks[BULK].sendall(sealed(SWITCH_MARK))
        peer.say(STATE, b"GWNATIV1")
        peer.say(STATE_END)
        peer.socks[CONTROL].settimeout(20)  # a silent source is given up after 30 s
        kind, _ = peer.hear()
        self.assertEqual(kind, ABORTED, self.rig.story())
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
                self.assertNotEqual(body[0], UNKNOWN)
            else:
                self.assertIsNone(kind)


class Strangers(Case):
    """Who answers at the destination's address need not be the destination."""

    def lose_the_link(self, how):
        """Everything up to `mine` is written there, and then `how` befalls the destination."""
        self.rig.b.stop_agent()
        self.rig.b.serve(fault="after-mine")
        self.vm = self.rig.a.native("vm", pages=64, populate=64)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy", reconnect="20s")
        session = self.rig.b.held_session()
        self.assertIsNotNone(session, self.rig.story())
        port = self.rig.b.address[1]
        # The record says `mine`; the word `cont` is said for it here.
        self.assertEqual(self.rig.b.vm("vm").ask("cont"), "running")
        self.rig.b.kill_agent()
        how(port)
        return move

    def is_a_doubt(self, move):
        self.assertEqual(move.outcome(), "doubt", self.rig.story())
        self.assertIn("another host answers", move.fails())
        self.assertEqual(self.rig.running("vm"), [self.rig.b], self.rig.story())
        self.assertEqual(set(self.rig.a.journals().values()), {"doubt"})

    def test_a_host_that_lost_its_directory_gives_nothing_back(self):
        def lose(port):
            shutil.rmtree(os.path.join(self.rig.b.dir, ".journal"))
            self.rig.b.serve(port=port)
        move = self.lose_the_link(lose)
        self.is_a_doubt(move)
        again = self.rig.a.recover("vm", self.rig.b)
        self.is_a_doubt(again)

    def test_another_host_at_the_address_gives_nothing_back(self):
        move = self.lose_the_link(lambda port: self.rig.a.serve(port=port))
        self.is_a_doubt(move)
        self.rig.a.stop_agent()
        self.rig.b.serve()
        self.assertEqual(self.rig.settle(self, "vm"), self.rig.b)

    def test_the_same_host_at_another_address_is_known_again(self):
        vm = self.rig.a.native("vm", pages=64, populate=64)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy", fault="after-committed")
        self.assertTrue(move.held(), self.rig.story())
        kill(move.pid)
        self.rig.b.stop_agent()
        self.rig.b.serve()
        self.assertTrue(eventually(
            lambda: not self.rig.b.run("resolve", "vm", "--gone").returncode))
        self.assertTrue(self.rig.b.is_clean(), self.rig.b.left())
        again = self.rig.a.recover("vm", self.rig.b)
        again.wait()
        self.assertEqual(again.process.returncode, 0, again.said)
        self.assertEqual(vm.state(), "running", self.rig.story())


class SomebodyElse(Case):
    def test_a_vm_that_is_resumed_before_commit_stays(self):
        """The agent is held when it happens; it hears of PREPARED and of this at once."""
        self.rig.b.stop_agent()
        self.rig.b.serve(fault="before-prepared")
        vm = self.rig.a.native("vm", pages=64, populate=64, writes=500)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy")
        session = self.rig.b.held_session()
        self.assertIsNotNone(session, self.rig.story())
        self.assertTrue(move.reached("the device state is saved"), self.rig.story())
        os.kill(move.pid, signal.SIGSTOP)
        os.kill(session, signal.SIGCONT)
        self.assertTrue(eventually(lambda: PREPARED_LINE in self.rig.b.trace()))
        self.assertEqual(vm.ask("cont"), "running")
        os.kill(move.pid, signal.SIGCONT)
        self.assertIn("somebody else resumed the VM", move.fails())
        self.assertEqual(vm.state(), "running", self.rig.story())
        self.assertTrue(vm.works_on())
        self.assertTrue(self.rig.b.is_clean(), self.rig.b.left())
        self.assertTrue(self.rig.a.no_open_question(), self.rig.a.left())

    def test_a_vm_that_is_resumed_after_commit_is_stopped_again(self):
        vm = self.rig.a.native("vm", pages=768, populate=768, writes=10)
        move = self.rig.a.migrate("vm", self.rig.b, policy="postcopy", bandwidth="2mbit")
        self.assertTrue(move.reached("-> Pull"), self.rig.story())
        self.assertEqual(vm.ask("cont"), "running")
        self.assertTrue(move.reached("it is stopped again"), self.rig.story())
        self.assertTrue(eventually(lambda: vm.state() != "running"), self.rig.story())
        self.assertEqual(self.rig.running("vm"), [self.rig.b], self.rig.story())

    def test_a_vm_that_is_resumed_while_no_agent_looks_stays(self):
        vm = self.rig.a.native("vm", pages=64, populate=64, writes=500)
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy", fault="after-committed")
        self.assertTrue(move.held(), self.rig.story())
        kill(move.pid)
        self.assertEqual(vm.ask("cont"), "running")
        again = self.rig.a.recover("vm", self.rig.b)
        again.wait()
        self.assertEqual(again.process.returncode, 0, again.said)
        self.assertIn("somebody else resumed the VM", again.said)
        self.assertEqual(self.rig.running("vm"), [self.rig.a], self.rig.story())
        self.assertTrue(self.rig.b.is_clean(), self.rig.b.left())


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
