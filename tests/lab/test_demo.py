# SPDX-License-Identifier: MIT
"""The demo: what it shows is what happened, it fails when something is wrong, nothing stays."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

from support import ROOT, main
from lab import guest
from lab.lab import MARK, NETNS, why_no_namespaces
from lab.show import duration
from tests import keeper

BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(ROOT, "build")
DEMO = [sys.executable, os.path.join(ROOT, "lab", "demo.py"), "--build", BUILD]
FORBID = [sys.executable, os.path.join(ROOT, "tests", "lab", "forbid.py")]
WHY_NO_LINUX = guest.why_no_qemu() or why_no_namespaces()


def environments():
    """(pid, environment, command line) of every process that can be seen."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ, \
                    open(f"/proc/{pid}/cmdline", "rb") as command:
                yield int(pid), environ.read().split(b"\0"), command.read().split(b"\0")
        except OSError:
            continue


class _Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="gwdemo-")
        self.addCleanup(folder.cleanup)
        self.output = folder.name
        keeper.keep(self.output)

    def start(self, *arguments, before=()):
        demo = subprocess.Popen([*before, *DEMO, "--output", self.output, *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        return demo

    def finish(self, demo, status):
        """What it wrote, with the spaces of folded lines made one."""
        text, _ = demo.communicate(timeout=240)
        self.assertEqual(demo.returncode, status, text)
        self.assert_nothing_left(demo.pid)
        return text

    def assert_nothing_left(self, pid):
        own = f"gwlab-{pid}-"
        for folder in (tempfile.gettempdir(), "/dev/shm", NETNS):
            entries = os.listdir(folder) if os.path.isdir(folder) else []
            self.assertEqual([entry for entry in entries if entry.startswith(own)], [])
        mark = f"{MARK}={own}".encode()
        self.assertEqual([command for _, environ, command in environments()
                          if any(word.startswith(mark) for word in environ)], [])

    def run_until_move(self, *arguments):
        """A demo of the native guest whose first move is under way."""
        demo = self.start("--guest", "native", "--rate", "100mbit", *arguments)
        for line in demo.stdout:
            if re.match(r" +(Iterative Pre-Copy|Stop-and-Copy|Pull) ", line):
                return demo
        self.fail(f"the demo ended with status {demo.wait()} before its first move")

    def read(self):
        with open(os.path.join(self.output, "demo.json"), encoding="utf-8") as file:
            return json.load(file)

    def check_moves(self, summary, policy, tracker):
        """There and back, verified to the last page, and each with its own file."""
        self.assertEqual(summary["schema"], "godwit.demo/1")
        self.assertIs(summary["ok"], True, summary["problems"])
        self.assertEqual([(m["from"], m["to"]) for m in summary["moves"]], [("a", "b"), ("b", "a")])
        writes = 0
        for move in summary["moves"]:
            result, client = move["result"], move["client"]
            with open(os.path.join(self.output, move["file"]), encoding="utf-8") as file:
                self.assertEqual(json.load(file), result)
            self.assertEqual(result["schema"], "godwit.result/1")
            self.assertEqual((result["policy"], result["tracker"]), (policy, tracker))
            self.assertEqual(result["outcome"], "completed")
            self.assertEqual(result["verified"], {
                "pages_compared": result["vm"]["ram_bytes"] // 4096, "pages_different": 0})
            self.assertGreater(result["pages_sent"], 0)
            full = result["pages_sent"] - result["zero_pages"]
            self.assertGreater(result["bytes_on_link"], full * 4096)
            self.assertGreater(result["downtime_ns"], 0)
            self.assertGreaterEqual(result["total_time_ns"], result["downtime_ns"])
            self.assertGreater(client["pings"], 0)
            # Nobody can answer while no vCPU runs.
            self.assertGreaterEqual(client["longest_silence_ns"], result["downtime_ns"] // 2)
            self.assertEqual(client["guest"]["errors"], 0)
            self.assertGreater(client["guest"]["writes"], writes)
            writes = client["guest"]["writes"]
        whole = summary["client"]
        self.assertGreaterEqual(whole["pings"], sum(m["client"]["pings"] for m in summary["moves"]))
        self.assertGreaterEqual(whole["longest_silence_ns"],
                                max(m["client"]["longest_silence_ns"] for m in summary["moves"]))
        self.assertIs(whole["lost"], False)
        with open(os.path.join(self.output, "report.html"), encoding="utf-8") as file:
            self.assertIn(f"{len(summary['moves'])} moves of virtual machines", file.read())


class LinuxDemoTest(_Case):
    def test_a_linux_guest_moves_there_and_back_and_its_client_stays_connected(self):
        text = self.finish(self.start("--policy", "precopy", "--guest", "linux"), 0)
        summary = self.read()
        self.check_moves(summary, "precopy", summary["moves"][0]["result"]["tracker"])
        self.assertEqual((summary["lab"], summary["guest"]), ("namespaces", "linux"))
        self.assertIs(summary["same_connection"], True)
        self.assertEqual(summary["client"]["connections"], 1)
        self.assertEqual(summary["client"]["to"], "10.77.0.2:7070")
        self.assertIn("TCP connection survived", text)
        rows = re.findall(r"^  [ab](?:→|->)[ab] +precopy  .*", text, re.M)
        self.assertEqual(len(rows), 2, text)
        for row, move in zip(rows, summary["moves"]):
            for figure in (move["result"]["total_time_ns"], move["result"]["downtime_ns"],
                           move["client"]["longest_silence_ns"]):
                self.assertIn(f" {duration(figure)} ", row)


class NativeDemoTest(_Case):
    def test_without_ptrace_and_userfaultfd_a_native_guest_moves_by_digest(self):
        container = [*FORBID, "ptrace", "userfaultfd", "--"]
        native = ["--guest", "native", "--loopback", "--policy"]
        text = self.finish(self.start(*native, "precopy", before=container), 0)
        summary = self.read()
        self.check_moves(summary, "precopy", "digest")
        self.assertEqual((summary["lab"], summary["guest"]), ("loopback", "native"))
        self.assertIs(summary["same_connection"], False)
        self.assertEqual(summary["client"]["connections"], 3)
        said = " ".join(text.split())
        self.assertNotIn("TCP connection", said)
        for sentence in summary["differences"]:
            self.assertIn(sentence, said)
        for word in ("native guest", "loopback", "digest"):
            self.assertTrue(any(word in sentence for sentence in summary["differences"]), word)
        refused = self.finish(self.start(*native, "postcopy", before=container), 1)
        self.assertIn("postcopy cannot be shown here", refused)

    def test_it_fails_when_the_vm_dies(self):
        demo = self.run_until_move("--policy", "precopy")
        mark = f"{MARK}=gwlab-{demo.pid}-".encode()
        for pid, environ, command in environments():
            if (any(word.startswith(mark) for word in environ)
                    and command[0].endswith(b"/native-guest") and b"--incoming" not in command):
                os.kill(pid, signal.SIGKILL)
        text = self.finish(demo, 1)
        self.assertIn("NOT RIGHT", text)
        self.assertIs(self.read()["ok"], False)

    def test_a_signal_in_the_middle_of_a_move_leaves_nothing(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number):
                demo = self.run_until_move("--policy", "precopy")
                demo.send_signal(number)
                self.finish(demo, status)
                self.assertFalse(os.path.exists(os.path.join(self.output, "demo.json")))


if __name__ == "__main__":
    main(WHY_NO_LINUX if "NativeDemoTest" not in sys.argv else None)
