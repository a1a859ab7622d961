#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Adds up meson's results of the given build directories and ends with one plain line.

Exit status 1 if a test failed, a directory has no results, or nothing ran at all.
"""
import json
import os
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def results(directory):
    """(name, result) of each test of one build directory; None if there is no log."""
    path = os.path.join(directory, "meson-logs", "testlog.json")
    try:
        with open(path, encoding="utf-8") as log:
            rows = [json.loads(line) for line in log if line.strip()]
    except OSError:
        return None
    return [(row["name"], row["result"]) for row in rows]


def main(directories):
    passed = failed = skipped = 0
    for directory in directories:
        rows = results(directory)
        if rows is None:
            print(f"{directory}: no test results (did it build?)")
            failed += 1
            continue
        for name, result in rows:
            if result in PASSED:
                passed += 1
            elif result in SKIPPED:
                skipped += 1
                print(f"{directory}: {name}: skipped")
            else:
                failed += 1
                print(f"{directory}: {name}: {result}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
