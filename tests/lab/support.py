# SPDX-License-Identifier: MIT
"""What the lab's tests share. The exit status of a test that cannot run here is 77."""

import json
import os
import socket
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)


def eventually(condition, patience=60.0):
    """Waits for something that will be true; whether it became true."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Qmp:
    """QEMU's control socket, as much of it as these tests need."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rw")
        self.execute("qmp_capabilities")

    def execute(self, name, **arguments):
        self.lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise OSError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.lines.close()
        self.socket.close()


def main(why_not=None):
    if why_not:
        print(f"skipped: {why_not}")
        sys.exit(77)
    unittest.main(verbosity=2)
