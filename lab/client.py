# SPDX-License-Identifier: MIT
"""lab/client.py - the guest's client: one TCP connection, one ping line at a time, all the time.

It asks every 10 ms (the next ping waits for the answer to the one before), so the longest time
without an answer is what a user of the VM would have noticed, measured outside the guest, whose
own clock stands while it is paused. The guest's answers say how long it stood by its own clock and
how many memory errors it has found. The connection is never made anew: if it breaks, it is lost.

As a module:

    with Client(*host.guest_address(), netns=lab.client.netns) as client:
        client.mark()            # a window begins
        ...
        report = client.mark()   # and ends, and the next one begins

As a program, python3 lab/client.py ADDRESS PORT [--seconds N] [--json FILE]: lines on stdin are
commands to the guest, except `mark`, which prints a window's report; it ends after N seconds, at
the end of stdin, on SIGINT or SIGTERM, or when the connection is lost, and prints the whole report.
"""

import argparse
import collections
import json
import signal
import socket
import sys
import threading
import time

try:
    from .lab import in_netns
except ImportError:
    from lab import in_netns

PING_SECONDS = 0.01


class _Window:
    """What was seen between two marks."""

    def __init__(self, now_ns):
        self.start_ns = now_ns
        self.pings = 0
        self.silence_ns = 0
        self.silence_at_ns = now_ns
        self.answer_ns = []

    def silence(self, since_ns, now_ns):
        if now_ns - since_ns > self.silence_ns:
            self.silence_ns = now_ns - since_ns
            self.silence_at_ns = since_ns


class Client:
    """Connects at once (OSError if it cannot) and then pings in a thread of its own."""

    def __init__(self, address, port, netns=None, interval=PING_SECONDS, timeout=10.0):
        self.interval = interval
        self.lost = None  # or why, in a few words
        self.last = {}  # the guest's latest answer
        self._socket = in_netns(netns, lambda: socket.create_connection((address, port), timeout))
        self._socket.settimeout(0.2)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local, self.peer = ("%s:%d" % name[:2] for name in (self._socket.getsockname(),
                                                                 self._socket.getpeername()))
        self._buffer = b""
        self._expected = 1
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._commands = collections.deque()
        self._start_ns = self._heard_ns = time.monotonic_ns()
        self._window = _Window(self._start_ns)
        self._whole = _Window(self._start_ns)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # -- for the user --

    def command(self, line, timeout=60.0):
        """Sends a command in place of a ping; the guest's answer, or None if it did not come."""
        done = threading.Event()
        box = {}
        self._commands.append((line, box, done))
        end = time.monotonic() + timeout
        while not done.wait(0.05) and self._thread.is_alive() and time.monotonic() < end:
            pass
        return box.get("answer")

    def mark(self, timeout=60.0):
        """Ends the window and begins the next one; the ended window's report.

        The guest's own longest gap is counted anew from here, too; guest.gap_us is of the window.
        """
        answer = self.command("clear", timeout)
        with self._lock:
            now = time.monotonic_ns()
            if self.lost is None:
                self._window.silence(self._heard_ns, now)  # the silence that still lasts counts
            report = self._report(self._window, now)
            if answer:
                report["guest"] = _guest(answer)
            self._window = _Window(now)
        return report

    def report(self):
        """The report on everything since the connection was made."""
        with self._lock:
            now = time.monotonic_ns()
            if self.lost is None:
                self._whole.silence(self._heard_ns, now)
            return self._report(self._whole, now)

    def silence_ns(self):
        """How long the guest has not answered, up to now."""
        return time.monotonic_ns() - self._heard_ns

    def was_silent_since(self, heard_ns):
        """For a connection that takes another one's place: the silence began back then."""
        with self._lock:
            for window in (self._window, self._whole):
                window.silence(heard_ns, window.start_ns)

    def wait_lost(self, timeout):
        """True if the connection was lost by then."""
        self._thread.join(timeout)
        return self.lost is not None

    def close(self):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- inside --

    def _report(self, window, now):
        answers = sorted(window.answer_ns)
        report = {
            "duration_ns": now - window.start_ns,
            "pings": window.pings,
            "longest_silence_ns": window.silence_ns,
            "longest_silence_at_ns": window.silence_at_ns - window.start_ns,
            "lost": self.lost is not None,
            "guest": _guest(self.last),
        }
        if answers:
            report["answer_ns"] = {"p50": answers[len(answers) // 2],
                                   "p99": answers[len(answers) * 99 // 100], "max": answers[-1]}
        if self.lost is not None:
            report["reason"] = self.lost
        return report

    def _read_line(self):
        """One line of the guest's; raises OSError when there will be none."""
        while b"\n" not in self._buffer:
            if self._stop.is_set():
                raise OSError("closed by us")
            try:
                data = self._socket.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise OSError("the guest closed the connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _exchange(self, line):
        sent_ns = time.monotonic_ns()
        self._socket.sendall(line.encode() + b"\n")
        answer = json.loads(self._read_line())
        now = time.monotonic_ns()
        if answer["seq"] != self._expected:
            raise OSError(f"answer {answer['seq']} came in place of answer {self._expected}")
        with self._lock:
            self._expected += 1
            self.last = answer
            for window in (self._window, self._whole):
                window.silence(max(self._heard_ns, window.start_ns), now)
                window.pings += 1
                window.answer_ns.append(now - sent_ns)
            self._heard_ns = now
        return answer

    def _run(self):
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                line, box, done = "ping", {}, None
                if self._commands:
                    line, box, done = self._commands.popleft()
                box["answer"] = self._exchange(line)
                if done:
                    done.set()
                self._stop.wait(max(0.0, started + self.interval - time.monotonic()))
        except (OSError, ValueError, KeyError) as error:
            if not self._stop.is_set():
                with self._lock:
                    now = time.monotonic_ns()
                    for window in (self._window, self._whole):
                        window.silence(max(self._heard_ns, window.start_ns), now)
                self.lost = str(error) or type(error).__name__


def _guest(answer):
    return {key: value for key, value in answer.items() if key not in ("seq", "command", "error")}


def wait_for_guest(address, port, netns=None, patience=120.0):
    """The Client, as soon as the guest takes a connection and answers."""
    end = time.monotonic() + patience
    while True:
        try:
            client = Client(address, port, netns, timeout=2.0)
        except OSError:
            client = None
        if client:
            if client.command("ping", 5.0):
                return client
            client.close()
        if time.monotonic() > end:
            raise TimeoutError(f"the guest did not answer at {address}:{port} in {patience:.0f} s")
        time.sleep(0.1)


def _obey_stdin(client, ended):
    for line in sys.stdin:
        command = line.strip()
        if command == "mark":
            print(json.dumps(client.mark()), flush=True)
        elif command:
            print(json.dumps(client.command(command)), flush=True)
    ended.set()


def main():
    parser = argparse.ArgumentParser(description="Talks to the small guest without a pause.")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--json", metavar="FILE", help="writes the report there, not to stdout")
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        client = Client(arguments.address, arguments.port)
    except OSError as error:
        sys.exit(f"client: cannot reach {arguments.address}:{arguments.port}: {error}")
    with client:
        if arguments.seconds is None:
            threading.Thread(target=_obey_stdin, args=(client, ended), daemon=True).start()
        end = time.monotonic() + (arguments.seconds or float("inf"))
        while not ended.wait(0.05) and not client.lost and time.monotonic() < end:
            pass
        text = json.dumps(client.report()) + "\n"
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    sys.exit(1 if client.lost else 0)


if __name__ == "__main__":
    main()
