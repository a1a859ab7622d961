# SPDX-License-Identifier: MIT
"""lab/relay.py - a TCP relay that misbehaves on command: latency, stalls, lost connections.

    with Relay(("10.78.0.2", 0), ("10.78.0.2", 7000), netns=lab.b.netns, delay=0.01) as relay:
        ... connect to relay.address ...
        relay.cut()

Each direction of each connection has a reader and a writer thread with a queue between them. A
chunk carries the moment at which it is due, so that latency costs no throughput. "up" is from the
connecting side to the target, "down" the way back.
"""

import collections
import ctypes
import fcntl
import socket
import struct
import termios
import threading
import time

try:
    from .lab import in_netns
except ImportError:
    from lab import in_netns

CHUNK = 1 << 18
PATIENCE = 60.0  # for threads that are about to end
QUEUE_BYTES = 1 << 26  # most bytes under way in one direction: 1 Gbit/s for half a second


class _Pipe:
    """One direction of one connection."""

    def __init__(self, relay, pair, name, source, sink):
        self.relay = relay
        self.pair = pair
        self.name = name
        self.source = source
        self.sink = sink
        self.queue = collections.deque()
        self.queued = 0
        self.ended = False
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=work, daemon=True)
                        for work in (self._read, self._write)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def _read(self):
        try:
            while True:
                try:
                    data = self.source.recv(CHUNK)
                except socket.timeout:
                    continue  # kill() ends the socket; nothing to look at here
                with self.changed:
                    while self.queued > QUEUE_BYTES and not self.pair.dead:
                        self.changed.wait(0.1)
                    if not data or self.pair.dead:
                        break
                    self.queue.append((time.monotonic() + self.relay.delay, data))
                    self.queued += len(data)
                    self.changed.notify_all()
        except OSError:
            self.pair.kill()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _next(self):
        """The next chunk once it is due; None at the end."""
        with self.changed:
            while not self.queue:
                if self.ended or self.pair.dead:
                    return None
                self.changed.wait(0.1)
            due, data = self.queue.popleft()
            self.queued -= len(data)
            self.changed.notify_all()
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self.relay._running.wait()
        return None if self.pair.dead else data

    def _send(self, data):
        view = memoryview(data)
        while view:
            try:
                view = view[self.sink.send(view):]
            except socket.timeout:
                continue

    def _drain(self):
        """Waits until the other side has everything that was sent, at most a second."""
        end = time.monotonic() + 1.0
        left = bytearray(4)
        while time.monotonic() < end:
            fcntl.ioctl(self.sink, termios.TIOCOUTQ, left)
            if not any(left):
                return
            time.sleep(0.001)

    def _write(self):
        try:
            while (data := self._next()) is not None:
                allowed, cut = self.relay._account(self.name, len(data))
                self._send(data[:allowed] if cut else data)
                if cut:
                    self._drain()
                    self.relay.cut(self.relay.cut_how)
                    return
            if not self.pair.dead:
                self.sink.shutdown(socket.SHUT_WR)  # half-closed, as the other side is
        except OSError:
            self.pair.kill()
        finally:
            self.pair.end()


class _Pair:
    """One connection: two sockets, two directions."""

    def __init__(self, relay, near, far):
        self.sockets = (near, far)
        self.dead = False
        self.relay = relay
        self.open_directions = 2
        self.lock = threading.Lock()
        self.pipes = (_Pipe(relay, self, "up", near, far), _Pipe(relay, self, "down", far, near))

    def start(self):
        for pipe in self.pipes:
            pipe.start()

    def end(self):
        """One direction is over; with the second, the connection."""
        with self.lock:
            self.open_directions -= 1
            last = self.open_directions == 0
            if last:
                for sock in self.sockets:
                    sock.close()
        if last:
            self.relay._forget(self)

    def _threads(self):
        return [thread for pipe in self.pipes for thread in pipe.threads]

    def works(self):
        return any(thread.is_alive() for thread in self._threads())

    def join(self):
        for thread in self._threads():
            thread.join(PATIENCE)

    def kill(self, how="reset"):
        """Now. 'reset': both sides get RST; 'close': both sides get an early end of file."""
        with self.lock:
            if self.dead:
                return
            self.dead = True
            for sock in self.sockets:  # under the lock: a closed one's number is another's
                try:
                    if how == "reset":
                        _disconnect(sock)
                    else:
                        sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for pipe in self.pipes:
            with pipe.changed:
                pipe.changed.notify_all()


def _disconnect(sock):
    """Connecting to "nothing" is how Linux sends RST while another thread still holds a socket."""
    address = struct.pack("H14x", socket.AF_UNSPEC)
    ctypes.CDLL(None).connect(sock.fileno(), address, len(address))


class Relay:
    """Listens at `listen` and forwards to `target`, both (address, port), in one namespace."""

    def __init__(self, listen, target, netns=None, delay=0.0):
        self.target = target
        self.netns = netns
        self.delay = delay  # seconds, each way; may be changed at any time
        self.cut_how = "reset"
        self.bytes = {"up": 0, "down": 0}
        self.connections = 0  # ever made
        self._limit = {}
        self._pairs = set()
        self._ended = []  # whose threads may still be about to end
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._running.set()
        self._refuse = False
        self._closed = False
        self._listener = in_netns(netns, lambda: socket.create_server(listen, backlog=16))
        self.address = self._listener.getsockname()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    # -- what may be done to it --

    def cut(self, how="reset", refuse=False):
        """Ends all connections. refuse: new ones are turned away, too, until allow()."""
        self._refuse = self._refuse or refuse
        self._running.set()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.kill(how)
        return len(pairs)

    def cut_after(self, count, direction="up", how="reset"):
        """Cuts after `count` more bytes in this direction; the last of them still arrives."""
        with self._lock:
            self.cut_how = how
            self._limit[direction] = self.bytes[direction] + count

    def allow(self):
        self._refuse = False

    def stall(self):
        """Nothing goes any more, and nobody is told: a link that lost its carrier."""
        self._running.clear()

    def resume(self):
        self._running.set()

    def close(self):
        self._closed = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._acceptor.join(PATIENCE)
        self._listener.close()
        self.cut()
        with self._lock:
            pairs = [*self._pairs, *self._ended]
        for pair in pairs:
            pair.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- inside --

    def _accept(self):
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._refuse:
                near.close()
                continue
            try:
                far = in_netns(self.netns, lambda: socket.create_connection(self.target, 5))
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                # With a timeout Python waits in poll(), where a disconnect is always allowed.
                sock.settimeout(0.2)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(self, near, far)
            with self._lock:
                self._pairs.add(pair)
                self.connections += 1
            pair.start()

    def _forget(self, pair):
        with self._lock:
            self._pairs.discard(pair)
            self._ended = [*(one for one in self._ended if one.works()), pair]

    def _account(self, direction, count):
        """How much of `count` bytes may go, and whether the connection ends with it."""
        with self._lock:
            left = self._limit.get(direction, float("inf")) - self.bytes[direction]
            cut = count >= left
            if cut:
                count = left
                del self._limit[direction]
            self.bytes[direction] += count
            return count, cut
