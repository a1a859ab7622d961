#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The last line of `make check` counts what happened, and nothing that did not run passes."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

SUMMARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "summary.py")


class Summary(unittest.TestCase):
    def run_on(self, *logs):
        """Exit status and last line for one build directory a log; None: without a log."""
        with tempfile.TemporaryDirectory() as top:
            directories = []
            for number, log in enumerate(logs):
                directory = os.path.join(top, str(number))
                os.makedirs(os.path.join(directory, "meson-logs"))
                directories.append(directory)
                if log is None:
                    continue
                with open(os.path.join(directory, "meson-logs", "testlog.json"), "w",
                          encoding="utf-8") as out:
                    for result in log:
                        out.write(json.dumps({"name": "t", "result": result}) + "\n")
            done = subprocess.run([sys.executable, SUMMARY, *directories], capture_output=True,
                                  text=True, timeout=30, check=False)
            return done.returncode, done.stdout.splitlines()[-1]

    def test_adds_up(self):
        self.assertEqual(self.run_on(["OK", "SKIP"], ["OK"]), (0, "2 passed, 0 failed, 1 skipped"))

    def test_every_kind_of_failure(self):
        for result in ("FAIL", "TIMEOUT", "ERROR", "INTERRUPT", "UNEXPECTEDPASS"):
            self.assertEqual(self.run_on(["OK", result]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_nothing_ran(self):
        self.assertEqual(self.run_on(), (1, "0 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.run_on([]), (1, "0 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.run_on(["SKIP"]), (1, "0 passed, 0 failed, 1 skipped"))

    def test_no_log(self):
        self.assertEqual(self.run_on(["OK"], None), (1, "1 passed, 1 failed, 0 skipped"))


if __name__ == "__main__":
    unittest.main()
