# SPDX-License-Identifier: MIT
"""The relay carries bytes unchanged, and breaks exactly as it is told."""

import os
import socket
import threading
import time
import unittest

from support import eventually, main
from lab.relay import Relay


class RelayTest(unittest.TestCase):
    def setUp(self):
        before = threading.active_count()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(20)
        self.relay = Relay(("127.0.0.1", 0), self.server.getsockname())
        self.addCleanup(lambda: self.assertEqual(threading.active_count(), before))
        self.addCleanup(self.relay.close)
        self.addCleanup(self.server.close)

    def connect(self):
        near = socket.create_connection(self.relay.address, 20)
        far, _ = self.server.accept()
        far.settimeout(20)
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return near, far

    def read_all(self, sock):
        parts = []
        while data := sock.recv(1 << 16):
            parts.append(data)
        return b"".join(parts)

    def test_bytes_arrive_unchanged_both_ways_and_half_closed(self):
        near, far = self.connect()
        up, down = os.urandom(3 << 20), os.urandom(1 << 20)
        sender = threading.Thread(target=lambda: (near.sendall(up), near.shutdown(socket.SHUT_WR)))
        sender.start()
        self.assertEqual(self.read_all(far), up)
        sender.join()
        # The way back is still open.
        far.sendall(down)
        far.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read_all(near), down)
        self.assertEqual(self.relay.bytes, {"up": len(up), "down": len(down)})

    def test_cut_resets_both_sides(self):
        near, far = self.connect()
        near.sendall(b"x")
        self.assertEqual(far.recv(1), b"x")
        self.assertEqual(self.relay.cut(), 1)
        for sock in (near, far):
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)

    def test_cut_can_look_like_an_early_end_of_file(self):
        near, far = self.connect()
        self.assertTrue(eventually(lambda: self.relay.connections == 1))
        self.relay.cut("close")
        self.assertEqual((near.recv(1), far.recv(1)), (b"", b""))

    def test_cut_after_lets_exactly_so_many_bytes_through(self):
        data = os.urandom(2 << 20)
        for count in (1, 4096, 1_000_003):
            with self.subTest(count=count):
                near, far = self.connect()
                self.relay.cut_after(count, how="close")
                try:
                    near.sendall(data)
                except OSError:
                    pass  # the cut came while we were still sending
                self.assertEqual(self.read_all(far), data[:count])

    def test_cut_after_counts_the_way_back_too(self):
        near, far = self.connect()
        self.relay.cut_after(10, "down")
        near.sendall(bytes(100))
        self.assertEqual(len(far.recv(100, socket.MSG_WAITALL)), 100)
        far.sendall(bytes(100))
        got = b""
        with self.assertRaises(ConnectionResetError):
            while data := near.recv(100):
                got += data
        self.assertLessEqual(len(got), 10)

    def test_a_stall_holds_everything_until_resume(self):
        near, far = self.connect()
        self.relay.stall()
        near.sendall(b"late")
        far.settimeout(0.3)
        with self.assertRaises(socket.timeout):
            far.recv(4)
        self.relay.resume()
        far.settimeout(20)
        self.assertEqual(far.recv(4, socket.MSG_WAITALL), b"late")

    def test_a_refused_connection_ends_at_once_and_may_come_back(self):
        self.relay.cut(refuse=True)
        with socket.create_connection(self.relay.address, 20) as turned_away:
            self.assertEqual(turned_away.recv(1), b"")
        self.relay.allow()
        near, far = self.connect()
        near.sendall(b"y")
        self.assertEqual(far.recv(1), b"y")

    def test_nothing_arrives_before_its_delay(self):
        self.relay.delay = 0.1
        near, far = self.connect()
        start = time.monotonic()
        near.sendall(b"a")
        far.sendall(far.recv(1))
        self.assertEqual(near.recv(1), b"a")
        self.assertGreaterEqual(time.monotonic() - start, 0.2)


if __name__ == "__main__":
    main()
