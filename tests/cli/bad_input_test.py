# SPDX-License-Identifier: MIT
"""Bad input to migrate, serve, recover, abort, resolve and status: one clear sentence, the right
exit status, and the VM as it was.

    bad_input_test.py GODWIT NATIVE-GUEST
"""
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

from hosts import PATIENCE, Host, eventually, gone, kill

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 2))
from tests import wire  # noqa: E402
from tests.wire import sealed  # noqa: E402

PROGRAMS = tuple(os.path.abspath(path) for path in sys.argv[1:3])
QEMU = "qemu-system-x86_64"
HELLO_BYTES, VERSION_AT, CHANNEL_AT, ID_AT = 40, 16, 20, 24
CONTROL, BULK, URGENT = 1, 2, 3
OFFER, ACCEPT, COMMIT, STATE, MAP = 2, 3, 11, 8, 7


def message(kind, body=b"", length=None, number=0):
    return sealed(wire.message(kind, body, length), number)


def receive(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


class Peer:
    """Something at the other end of a connection that is no godwit, or a broken one."""

    def __init__(self, test, answer):
        self.answer, self.open, self.hello = answer, [], None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        test.addCleanup(self.close)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError):
            self.answer(self, connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            connection.close()


def says(what):
    def answer(_peer, connection):
        connection.sendall(what)
        receive(connection, 1 << 20)
    return answer


def after_hello(what, then_close=False):
    """HELLO as it should be on all three; then `what` on control."""
    def answer(peer, connection):
        hello = receive(connection, HELLO_BYTES)
        peer.hello = hello
        connection.sendall(hello)
        if hello[CHANNEL_AT] == CONTROL:
            connection.sendall(what)
            if then_close:
                connection.close()
                return
        receive(connection, 1 << 20)
    return answer


def wrong_version(_peer, connection):
    hello = bytearray(receive(connection, HELLO_BYTES))
    hello[VERSION_AT:VERSION_AT + 4] = struct.pack("<I", 77)
    connection.sendall(hello)


def other_migration(_peer, connection):
    hello = bytearray(receive(connection, HELLO_BYTES))
    hello[ID_AT] ^= 1
    connection.sendall(hello)


def slow_drip(_peer, connection):
    for byte in receive(connection, HELLO_BYTES):
        connection.sendall(bytes([byte]))
        time.sleep(0.2)


def closes_at_once(_peer, connection):
    connection.close()


class Case(unittest.TestCase):
    maxDiff = None

    def hosts(self, serve=True, **config):
        """Host a with the VM web, host b with an agent."""
        self.a = Host(self, PROGRAMS, "a")
        self.b = Host(self, PROGRAMS, "b")
        self.pid = self.a.native("web", **config)
        if serve:
            self.b.serve()

    def assert_sentence(self, text, *parts):
        self.assertRegex(text, r"\Agodwit: [^\n]+\n\Z")
        self.assertLess(len(text), 420, text)
        for part in parts:
            self.assertIn(part, text)

    def assert_fails(self, result, *parts, status=1):
        self.assertEqual(result.returncode, status, (result.stdout, result.stderr))
        self.assert_sentence(result.stderr, *parts)

    def assert_here(self, host, vm="web", state="running"):
        with host.guest(vm) as guest:
            before = guest.status()
            self.assertEqual(before["state"], state)
            compared, different = guest.verify()
            self.assertGreater(compared, 0)
            self.assertEqual(different, 0)
            after = guest.status()
            self.assertEqual((after["state"], after["errors"]), (state, "0"))
        if state == "running":
            with host.guest(vm) as guest:
                self.assertTrue(eventually(
                    lambda: int(guest.status()["writes"]) > int(after["writes"])))

    def nothing(self, host):
        folders = [name for name in os.listdir(host.folder) if name not in (".journal", "trace")]
        return host.left_behind() == ([], [], []) and not folders

    def assert_nothing(self, host):
        self.assertTrue(eventually(lambda: self.nothing(host)),
                        (host.left_behind(), os.listdir(host.folder)))

    def assert_as_it_was(self, state="running"):
        self.assertEqual(self.a.journals(), [])
        self.assert_here(self.a, state=state)
        self.assert_nothing(self.b)

    def migrate(self, *words, to=None, name="web", **more):
        return self.a.run("migrate", name, "--to", to or self.b.address, "--quiet", *words, **more)

    def assert_moves(self, *words):
        result = self.migrate("--verify", *words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_here(self.b)
        self.assert_nothing(self.a)

    def slow_migration(self, *words):
        """One that is under way and will not end by itself for a while."""
        moving = self.a.begin("migrate", "web", "--to", self.b.address, "--quiet",
                              "--bandwidth", "4mbit", *words)
        self.assertTrue(eventually(lambda: self.b.vms() and self.state() == "Iterative Pre-Copy"))
        return moving

    def state(self, host=None):
        rows = json.loads((host or self.a).run("status", "--json", "-").stdout)["migrations"]
        return rows[0]["state"] if rows else None


class Words(Case):
    """What is wrong as it is written."""

    def test_names(self):
        host = Host(self, PROGRAMS, "a")
        for name in ("a/b", "../web", "..", ".web", "", "x" * 64, "a b", "a\nb", "ä"):
            for words in (("migrate", name, "--to", "127.0.0.1:1"), ("recover", name),
                          ("abort", name), ("resolve", name, "--gone"), ("status", name)):
                with self.subTest(words=words):
                    self.assert_fails(host.run(*words), "is no name for a VM", status=2)
        self.assert_nothing(host)

    def test_unknown_vm(self):
        host = Host(self, PROGRAMS, "a")
        for words in (("migrate", "web", "--to", "127.0.0.1:1"), ("recover", "web"),
                      ("abort", "web"), ("resolve", "web", "--gone"), ("status", "web"),
                      ("migrate", "--pid", "2147483647", "--to", "127.0.0.1:1"),
                      ("migrate", "--pid", str(os.getpid()), "--to", "127.0.0.1:1")):
            with self.subTest(words=words):
                self.assert_fails(host.run(*words))
        self.assert_nothing(host)

    def test_usage(self):
        self.hosts(serve=False)
        to = ["--to", "127.0.0.1:1"]
        for words in (["migrate"], ["migrate", "web"], ["migrate", *to],
                      ["migrate", "web", "--to", "127.0.0.1:99999"],
                      ["migrate", "web", "--to", ""], ["migrate", "web", "--to", "[::1"],
                      ["migrate", "web", *to, "--policy", "best"],
                      ["migrate", "web", *to, "--order", "random"],
                      ["migrate", "web", *to, "--set", "order=random"],
                      ["migrate", "web", *to, "--set", "speed=3"],
                      ["migrate", "web", *to, "--set", "speed"],
                      ["migrate", "web", *to, "--set", "stop=never"],
                      ["migrate", "web", *to, "--tracker", "magic"],
                      ["migrate", "web", *to, "--bandwidth", "fast"],
                      ["migrate", "web", *to, "--bandwidth", "0mbit"],
                      ["migrate", "web", *to, "--bandwidth", "-3mbit"],
                      ["migrate", "web", *to, "--bandwidth", "99999999999999gbit"],
                      ["migrate", "web", *to, "--downtime", "3"],
                      ["migrate", "web", *to, "--deadline", "soon"],
                      ["migrate", "--pid", "99999999999", *to], ["migrate", "--pid", "x", *to],
                      ["migrate", "web", "x", *to], ["recover"], ["abort"], ["resolve", "web"],
                      ["resolve", "web", "--gone", "--run-here"], ["abort", "web", "x"],
                      ["serve", "x"], ["serve", "--map", "x"], ["status", "a", "b"]):
            with self.subTest(words=words):
                self.assert_fails(self.a.run(*words), status=2)
        self.assertEqual(self.a.journals(), [])
        self.assert_here(self.a)

    def test_serve(self):
        host = Host(self, PROGRAMS, "a")
        host.serve()
        other = Host(self, PROGRAMS, "b")
        self.assert_fails(self.without_qemu(other, "--listen", host.address), "is taken")
        self.assert_fails(self.without_qemu(other, "--listen", "0.0.0.0:0"), "--insecure")
        self.assert_fails(self.without_qemu(other, "--listen", "192.0.2.77:0"))
        self.assert_fails(other.run("serve", "--trace", "/no/such/folder/trace"), "--trace")

    @staticmethod
    def without_qemu(host, *words):
        return host.run("serve", *words)


class Peers(Case):
    """What answers is not what should."""

    def test_not_there(self):
        self.hosts(serve=False)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.assert_fails(self.migrate(to=f"127.0.0.1:{port}"), "nobody listens")
        self.assert_fails(self.migrate(to="no-such-host.invalid"))
        self.assert_as_it_was()

    def test_garbage(self):
        self.hosts(serve=False)
        client_hello = bytes.fromhex("16030100c5010000c10303") + os.urandom(190)
        peers = {
            "http": says(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"),
            "tls": says(client_hello),
            "ssh": says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
            "random": says(os.urandom(5000)),
            "zeros": says(bytes(5000)),
            "huge length": says(struct.pack("<IHH", 0xffffffff, 1, 0) + bytes(100)),
            "zero length": says(struct.pack("<IHH", 0, 1, 0) + bytes(100)),
            "half a hello": says(struct.pack("<IHH", 32, 1, 0) + b"god"),
            "silence": says(b""),
            "drip": slow_drip,
            "closes": closes_at_once,
            "version": wrong_version,
            "other migration": other_migration,
        }
        for name, answer in peers.items():
            with self.subTest(peer=name):
                result = self.migrate(to=Peer(self, answer).address)
                self.assert_fails(result, *(["version 77"] if name == "version" else []))
                self.assertEqual(self.a.journals(), [])
        self.assert_as_it_was()

    def test_garbage_after_hello(self):
        self.hosts(serve=False)
        accepts = struct.pack("<I", 0) + os.urandom(16)
        accept = message(ACCEPT, accepts)
        peers = {
            "text": after_hello(b"220 mail.example.com ESMTP\r\n" * 9),
            "random": after_hello(os.urandom(9000)),
            "huge length": after_hello(message(ACCEPT, b"", 0xffffffff)),
            "too long": after_hello(message(ACCEPT, b"", 1 << 21)),
            "zero length": after_hello(message(ACCEPT, b"")),
            "no such kind": after_hello(message(200, bytes(8))),
            "out of turn": after_hello(message(COMMIT)),
            "state": after_hello(message(STATE, b"x" * 100)),
            "map": after_hello(message(MAP, b"\0" * 100)),
            "closes": after_hello(b"", True),
            "accepts, then closes": after_hello(accept, True),
            "accepts, then garbage": after_hello(accept + os.urandom(900)),
            "accepts twice": after_hello(accept + message(ACCEPT, accepts, number=1)),
            "half a message": after_hello(accept[:-1], True),
            "refuses with control bytes": after_hello(
                message(4, b"no\nroom\x1b[2J here\0" + b"\xff\xfe" * 3)),
            "a long refusal": after_hello(message(4, b"no " * 200)),
        }
        for name, answer in peers.items():
            with self.subTest(peer=name):
                result = self.migrate(to=Peer(self, answer).address)
                self.assertEqual(result.returncode, 1, (result.stdout, result.stderr))
                self.assertRegex(result.stderr, r"\Agodwit: [^\n]+\n\Z")
                self.assertNotIn("\x1b", result.stdout + result.stderr)
                self.assertEqual(self.a.journals(), [])
        self.assert_as_it_was()

    def test_accepts_then_silence(self):
        """The user need not wait for the time limit."""
        self.hosts(serve=False)
        peer = Peer(self, after_hello(b""))
        moving = self.a.begin("migrate", "web", "--to", peer.address, "--quiet")
        self.assertTrue(eventually(lambda: self.state() == "Reservation"))
        result = self.a.run("abort", "web")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(moving.wait(PATIENCE), 1)
        self.assert_sentence(moving.stderr.read(), "stopped by the user")
        self.assert_as_it_was()


class Places(Case):
    """What stands in the way at either side."""

    def test_two_at_once(self):
        self.hosts()
        moving = self.slow_migration()
        self.assert_fails(self.migrate(), "another migration of web is under way")
        self.assert_fails(self.a.run("recover", "web"), "already")
        self.assert_fails(self.a.run("resolve", "web", "--run-here"), "agent")
        self.assert_fails(self.a.run("run", "web", "--", "-m", "64"), "web")
        row, = json.loads(self.a.run("status", "web", "--json", "-").stdout)["migrations"]
        self.assertEqual((row["side"], row["owner"], row["agent"], row["peer"]),
                         ("source", "this host", True, self.b.address))
        self.assertIn("this host", self.a.run("list").stdout)
        self.assertIn("the source", self.b.run("status").stdout)
        self.assertEqual(self.a.run("abort", "web").returncode, 0)
        self.assertEqual(moving.wait(PATIENCE), 1)
        self.assert_as_it_was()
        self.assert_fails(self.a.run("abort", "web"), "no migration of web")
        self.assert_fails(self.a.run("recover", "web"), "web")
        self.assert_fails(self.a.run("resolve", "web", "--gone"), "no migration of web")
        self.assert_moves()

    def test_memory_is_held(self):
        """However the VM was found, by name or pid: its memory leaves once at a time."""
        self.hosts()
        with open(os.path.join(self.a.ram, "godwit-web-test.ram"), "rb") as memory:
            fcntl.flock(memory, fcntl.LOCK_EX)
            self.assert_fails(self.migrate(), "another migration of web is under way")
        self.assert_as_it_was()

    def test_abort_at_the_destination(self):
        self.hosts()
        moving = self.slow_migration()
        result = self.b.run("abort", "web")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(moving.wait(PATIENCE), 1)
        self.assert_sentence(moving.stderr.read(), "destination's user")
        self.assert_as_it_was()

    def test_name_is_taken(self):
        self.hosts()
        self.b.native("web", seed=7)
        self.assert_fails(self.migrate(), "runs on the destination already")
        self.assert_here(self.b)
        self.assert_here(self.a)
        self.assertEqual((self.a.journals(), self.b.journals()), ([], []))

    def test_paused_stays_paused(self):
        self.hosts(paused=True)
        self.assert_fails(self.migrate(to="127.0.0.1:1"), "nobody listens")
        self.assert_as_it_was("stopped")
        result = self.migrate("--verify")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_here(self.b, state="stopped")
        self.assert_nothing(self.a)

    def tiny(self, size):
        if os.geteuid() != 0:
            self.skipTest("mounting a small tmpfs needs root")
        folder = tempfile.mkdtemp(prefix="gw-tiny-", dir="/tmp")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={size}".encode()):
            os.rmdir(folder)
            self.skipTest("this host lets nobody mount a tmpfs")
        self.addCleanup(shutil.rmtree, folder, True)
        self.addCleanup(libc.umount2, folder.encode(), 2)
        return folder

    def small_destination(self, size):
        self.a = Host(self, PROGRAMS, "a")
        self.b = Host(self, PROGRAMS, "b", ram_dir=self.tiny(size))
        self.pid = self.a.native("web")
        self.b.serve()

    def test_no_room(self):
        self.small_destination("4m")
        self.assert_fails(self.migrate(), "free")
        self.assert_as_it_was()

    def test_room_runs_out(self):
        self.small_destination("9m")
        filler = os.path.join(self.b.ram, "filler")
        moving = self.slow_migration()
        with open(filler, "wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
                file.flush()
        self.assertEqual(moving.wait(PATIENCE), 1)
        self.assert_sentence(moving.stderr.read(), "no room left")
        os.unlink(filler)
        self.assert_as_it_was()
        self.assert_moves()

    def test_hypervisor_dies_at_the_source(self):
        self.hosts()
        moving = self.slow_migration()
        kill(self.pid)
        self.assertEqual(moving.wait(PATIENCE), 1)
        self.assert_sentence(moving.stderr.read(), "the VM ended at the source")
        self.assert_nothing(self.b)
        self.assertEqual(self.a.journals(), [])
        self.assert_fails(self.migrate())

    def test_hypervisor_dies_at_the_destination(self):
        self.hosts()
        moving = self.slow_migration()
        kill(self.b.vms()["web"]["pid"])
        self.assertEqual(moving.wait(PATIENCE), 1)
        self.assert_sentence(moving.stderr.read(), "destination")
        self.assert_as_it_was()
        self.assert_moves()

    def test_signal(self):
        self.hosts()
        for number in (signal.SIGINT, signal.SIGTERM):
            moving = self.slow_migration()
            moving.send_signal(number)
            self.assertEqual(moving.wait(PATIENCE), 1)
            self.assert_sentence(moving.stderr.read(), "stopped by the user")
            self.assert_as_it_was()

    def test_agent_dies_at_the_source(self):
        self.hosts()
        moving = self.slow_migration()
        moving.kill()
        moving.wait(PATIENCE)
        self.assert_nothing(self.b)
        self.assert_fails(self.a.run("abort", "web"), "recover")
        self.assert_fails(self.a.run("resolve", "web", "--run-here"), "no doubt")
        self.assert_fails(self.a.run("resolve", "web", "--gone"), "no doubt")
        self.assert_fails(self.migrate(), "recover")
        self.assert_fails(self.a.run("run", "web", "--", "-m", "64"), "status")
        self.assertEqual(self.state(), "no agent")
        self.assertEqual(self.a.run("recover", "web", "-q").returncode, 0)
        self.assert_as_it_was()


class Doubt(Case):
    """The destination is lost in the moment of the handover: what `resolve` does then."""

    def doubt(self, record="committed", **config):
        """A journal as an agent leaves it that died in that moment; the VM is stopped."""
        self.hosts(**config)
        moving = self.slow_migration()
        path = os.path.join(self.a.folder, ".journal",
                            next(name for name in self.a.journals() if name.endswith(".source")))
        moving.send_signal(signal.SIGSTOP)
        with open(path, encoding="ascii") as file:
            text = file.read()
        moving.kill()
        moving.wait(PATIENCE)
        self.assert_nothing(self.b)
        if os.path.exists(path + ".sock"):
            os.unlink(path + ".sock")
        identity = os.path.basename(path).split(".")[0]
        with open(path, "a", encoding="ascii") as file:
            file.write(f"record {record} {check(f'{identity} {record}'):08x}\n")
        self.assertIn("record leaving", text)
        with self.a.guest("web") as guest:
            guest.ask("stop", "stopped")

    def test_run_here(self):
        for record in ("committed", "doubt", "gone"):
            with self.subTest(record=record):
                self.doubt(record)
                row, = json.loads(self.a.run("status", "--json", "-").stdout)["migrations"]
                self.assertEqual((row["record"], row["agent"]), (record, False))
                self.assert_fails(self.a.run("abort", "web"), "recover")
                result = self.a.run("resolve", "web", "--run-here")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn("runs here again", result.stdout)
                self.assert_as_it_was()
                self.assert_fails(self.a.run("resolve", "web", "--run-here"))

    def test_gone(self):
        self.doubt()
        result = self.a.run("resolve", "web", "--gone")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(gone(self.pid))
        self.assert_nothing(self.a)

    def test_gone_without_its_hypervisor(self):
        self.doubt()
        kill(self.pid)
        self.assert_fails(self.a.run("resolve", "web", "--run-here"), "--gone")
        self.assertNotEqual(self.a.journals(), [])
        self.assertEqual(self.a.run("resolve", "web", "--gone").returncode, 0)
        self.assert_nothing(self.a)

    def test_name_is_kept(self):
        """No VM may take the name, from here or from elsewhere, while the question is open."""
        self.doubt()
        self.assert_fails(self.a.run("run", "web", "--", "-m", "64"), "status")
        kill(self.pid)
        shutil.rmtree(os.path.join(self.a.folder, "web"))
        self.a.serve()
        self.b.native("web")
        result = self.b.run("migrate", "web", "--to", self.a.address, "--quiet")
        self.assert_fails(result, "unfinished")
        self.assert_here(self.b)
        self.assertEqual(len(os.listdir(self.a.ram)), 1)


def check(text):
    """XXH32 of at most a few hundred bytes, seed 0: what ends each record of a journal."""
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    data, mask, at = text.encode(), 0xffffffff, 0

    def rotate(value, by):
        return (value << by | value >> (32 - by)) & mask

    if len(data) >= 16:
        lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        while at + 16 <= len(data):
            for i, word in enumerate(struct.unpack_from("<4I", data, at)):
                lanes[i] = rotate((lanes[i] + word * p2) & mask, 13) * p1 & mask
            at += 16
        value = sum(rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & mask
    else:
        value = p5
    value = (value + len(data)) & mask
    while at + 4 <= len(data):
        value = rotate((value + struct.unpack_from("<I", data, at)[0] * p3) & mask, 17) * p4 & mask
        at += 4
    for byte in data[at:]:
        value = rotate((value + byte * p5) & mask, 11) * p1 & mask
    value = (value ^ value >> 15) * p2 & mask
    value = (value ^ value >> 13) * p3 & mask
    return value ^ value >> 16


class Clients(Case):
    """Hostile clients of `serve`: it stays, and a good migration goes through."""

    def connect(self, what=b""):
        host, port = self.b.address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), 10)
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            connection.sendall(what)
        return connection

    def learn_hello(self):
        """A HELLO as this version says it."""
        peer = Peer(self, after_hello(b"", True))
        self.assert_fails(self.migrate(to=peer.address))
        return peer.hello

    @staticmethod
    def hello(good, channel, identity):
        return good[:CHANNEL_AT] + struct.pack("<I", channel) + identity

    def triple(self, good, first=b"", bulk=b"", urgent=b""):
        identity = os.urandom(16)
        result = []
        for channel, what in ((BULK, bulk), (URGENT, urgent), (CONTROL, first)):
            connection = self.connect(self.hello(good, channel, identity))
            receive(connection, HELLO_BYTES)
            with contextlib.suppress(OSError):
                connection.sendall(what)
            result.append(connection)
        return result

    def still_serves(self):
        self.assertIsNone(self.b.agent.poll())
        self.assert_nothing(self.b)
        self.assert_moves()

    def test_garbage(self):
        self.hosts()
        good = self.learn_hello()
        for what in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4, os.urandom(4000), bytes(4000),
                     struct.pack("<IHH", 0xffffffff, 1, 0) + bytes(64),
                     struct.pack("<IHH", 0, 1, 0) + bytes(64), good[:20],
                     self.hello(good, 9, bytes(16)), self.hello(good, CONTROL, bytes(16)),
                     good[:VERSION_AT] + b"\x4d\0\0\0" + good[CHANNEL_AT:]):
            self.connect(what)
            self.connect(what).close()
        self.still_serves()

    def test_crowd(self):
        self.hosts()
        good = self.learn_hello()
        for _ in range(300):
            self.connect()
        for i in range(100):
            self.connect(self.hello(good, BULK, i.to_bytes(16, "little")))
        self.assert_moves()
        self.assertIsNone(self.b.agent.poll())

    @staticmethod
    def offer(spec=b"{}", name=b"evil", ram=8 << 20, vcpus=1, flags=0, **lies):
        body = struct.pack("<IIQII", flags, vcpus, ram, lies.get("name_bytes", len(name)),
                           lies.get("spec_bytes", len(spec))) + name + spec
        return message(OFFER, body, lies.get("length"))

    def test_offers(self):
        self.hosts()
        good = self.learn_hello()
        native = {"schema": "godwit.vm/1", "kind": "native", "name": "evil"}
        keys = {"pages": 2048, "vcpus": 1, "pattern": "random", "writes": 10, "reads": 10, "set": 0,
                "offset": 0, "skew": 90, "drift": 0, "phase_ms": 1000, "zero": 0, "fill": 100,
                "populate": 0, "seed": 1}
        spec = json.dumps({**native, **keys}).encode()
        qemu = json.dumps({"schema": "godwit.vm/1", "name": "evil", "qemu": [7, 2, 22],
                           "machine": "pc-q35-7.2", "argv": ["/bin/sh", "-c", "touch /tmp/evil"],
                           "ram": {"bytes": 8 << 20, "backend": "ram0"}, "vcpus": 1,
                           "cpu": "qemu64", "accel": "tcg", "direct_io": False, "disks": [],
                           "nets": []}).encode()
        offers = [
            self.offer(), self.offer(b"\xff" * 5000), self.offer(b"[" * 100000),
            self.offer(b'{"kind": "native"}'), self.offer(spec, ram=1 << 62),
            self.offer(spec, ram=4096), self.offer(spec, vcpus=0xffffffff),
            self.offer(spec, ram=0), self.offer(spec, ram=4097), self.offer(spec, vcpus=0),
            self.offer(spec, flags=0xffff), self.offer(spec, name=b"../evil"),
            self.offer(spec, name=b"a b"), self.offer(spec, name=b""),
            self.offer(spec, name=b"x" * 200), self.offer(spec, name_bytes=0xffffffff),
            self.offer(spec, spec_bytes=0xffffffff), self.offer(spec, spec_bytes=3),
            self.offer(spec, length=0xffffffff), self.offer(spec, length=10),
            self.offer(qemu), self.offer(spec.replace(b'"seed"', b'"ram"')),
            self.offer(json.dumps({**native, **keys, "pages": 1 << 40}).encode()),
            message(COMMIT), message(STATE, b"x"), message(13), os.urandom(500),
        ]
        for offer in offers:
            connections = self.triple(good, offer)
            for connection in connections:
                connection.shutdown(socket.SHUT_WR)
        self.still_serves()
        self.assertFalse(os.path.exists("/tmp/evil"))

    def test_garbage_after_acceptance(self):
        self.hosts()
        good = self.learn_hello()
        keys = {"pages": 2048, "vcpus": 1, "pattern": "random", "writes": 10, "reads": 10, "set": 0,
                "offset": 0, "skew": 90, "drift": 0, "phase_ms": 1000, "zero": 0, "fill": 100,
                "populate": 0, "seed": 1}
        frame = struct.pack("<IHHII", 0x46504d47, 1, 1, 1, 0)
        for i, (control, bulk) in enumerate((
                (os.urandom(100), b""), (message(COMMIT, number=1), b""),
                (message(MAP, os.urandom(60), number=1), b""),
                (message(STATE, b"\0" * 100000, number=1), b""), (b"", os.urandom(5000)),
                (b"", sealed(frame + struct.pack("<QI", 1 << 60, 1)) + bytes(4096)),
                (b"", sealed(frame + struct.pack("<QI", 2047, 2)) + bytes(4096)),
                (b"", sealed(frame[:8] + struct.pack("<II", 0xffffffff, 0))))):
            name = f"evil-{i}"
            spec = json.dumps({"schema": "godwit.vm/1", "kind": "native", "name": name, **keys})
            with self.subTest(i=i):
                to_bulk, _, to_control = self.triple(
                    good, self.offer(spec.encode(), name=name.encode()))
                answer = receive(to_control, 8)
                self.assertEqual(answer[4], ACCEPT, answer)
                to_bulk.sendall(bulk)
                to_control.sendall(control)
                for connection in (to_bulk, to_control):
                    connection.close()
        self.still_serves()

    def test_silence(self):
        """A session that never hears an offer ends by itself; others do not wait for it."""
        self.hosts()
        good = self.learn_hello()
        for _ in range(5):
            self.triple(good)
            self.triple(good, self.offer()[:11])
        self.still_serves()


class Qemu(Case):
    """The same with QEMUs that have nothing in them."""

    def qemu_hosts(self):
        if not shutil.which(QEMU):
            self.skipTest(f"{QEMU} is not installed")
        self.a = Host(self, PROGRAMS, "a")
        self.b = Host(self, PROGRAMS, "b")
        self.b.serve()
        result = self.a.run("run", "web", "--json", "-", "--", "-m", "64", "-nodefaults",
                            "-display", "none")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.pid = json.loads(result.stdout)["pid"]

    def assert_qemu_here(self):
        self.assertFalse(gone(self.pid))
        self.assertEqual(self.a.journals(), [])
        self.assertEqual(self.a.vms()["web"]["process"], "running")
        self.assert_nothing(self.b)

    def test_refused_and_moved(self):
        self.qemu_hosts()
        self.assert_fails(self.migrate(to="127.0.0.1:1"), "nobody listens")
        self.assert_fails(self.migrate(to=Peer(self, says(os.urandom(999))).address))
        self.assert_qemu_here()
        self.assert_fails(self.a.run("run", "web", "--", "-m", "64"), "already")
        result = self.migrate("--verify")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_nothing(self.a)
        self.assertEqual(self.b.vms()["web"]["process"], "running")
        self.assert_fails(self.b.run("run", "web", "--", "-m", "64"), "already")

    def test_killed_at_the_source(self):
        self.qemu_hosts()
        kill(self.pid)
        self.assert_fails(self.migrate(), "does not run any more")
        self.assert_nothing(self.b)

    def test_by_pid_and_by_name(self):
        self.qemu_hosts()
        socket_path = os.path.join(self.a.folder, "web", "qmp.sock")
        self.assert_fails(self.a.run("migrate", "--pid", str(self.pid), "--qmp", "/no/such.sock",
                                     "--to", self.b.address, "-q"))
        self.assert_fails(self.a.run("migrate", "--pid", str(self.pid), "--qmp", socket_path,
                                     "--to", "127.0.0.1:1", "-q"), "nobody listens")
        self.assert_qemu_here()


if __name__ == "__main__":
    del sys.argv[1:3]
    unittest.main()
