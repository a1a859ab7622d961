#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a script sees of the program: exit status, help of every verb, one sentence per error.

    surface_test.py GODWIT
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

GODWIT = os.path.abspath(sys.argv.pop(1))


def run(*words, **environment):
    return subprocess.run([GODWIT, *words], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, **environment})


def verbs():
    """The names that `godwit --help` lists."""
    return re.findall(r"^  ([a-z]+) +\S", run("--help").stdout, re.MULTILINE)


class Surface(unittest.TestCase):
    def assert_usage(self, result, *parts):
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(result.stdout, "")
        self.assert_sentence(result, *parts)

    def assert_sentence(self, result, *parts):
        self.assertRegex(result.stderr, r"\Agodwit: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_help(self):
        for word in ("--help", "-h", "help"):
            result = run(word)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("usage: godwit VERB", result.stdout)

    def test_version(self):
        result = run("--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\Agodwit \d+\.\d+\.\d+\n\Z")

    def test_no_verb(self):
        self.assert_usage(run(), "a verb is needed")

    def test_unknown_verb(self):
        self.assert_usage(run("frobnicate"), "frobnicate: no such verb")
        self.assert_usage(run("--frobnicate"), "--frobnicate: no such option")
        self.assert_usage(run(""), "no such verb")
        self.assert_usage(run("a\033[2J\nb\x7f"), "a?[2J?b?: no such verb")

    def test_full_disk_is_a_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([GODWIT, "--help"], stdout=full, stderr=subprocess.PIPE,
                                    text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 1)
        self.assert_sentence(result, "standard output")

    def test_there_are_verbs(self):
        self.assertLessEqual({"list", "run"}, set(verbs()))

    def test_every_verb(self):
        for verb in verbs():
            with self.subTest(verb=verb):
                result = run(verb, "--help")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertTrue(result.stdout.startswith(f"usage: godwit {verb}"))
                self.assertIn("--help", result.stdout)
                self.assert_usage(run(verb, "--no-such-option"), "--no-such-option", verb)

    def test_help_fits_a_terminal(self):
        for verb in [None, *verbs()]:
            for line in run(*([verb] if verb else []), "--help").stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_policies_and_orders(self):
        """What the tables have, as a wrong name lists it."""
        for option in "policy", "order":
            said = run("migrate", "vm", "--to", "127.0.0.1", "--" + option, "none")
            self.assert_usage(said, "there are")
            names = [name for name in said.stderr.partition("there are")[2].split()
                     if name != "auto"]
            self.assertGreater(len(names), 3)
            for verb in "migrate", "sim":
                told = run(verb, "--help").stdout
                for name in names:
                    self.assertRegex(told, rf"(?m)^  {name} +\S")
                self.assertIn("alpha=0.5", told)

    def test_value_of_an_option(self):
        self.assert_usage(run("list", "--json"), "--json needs a value")
        self.assert_usage(run("list", "x"), "'x' is too much for list")

    def test_run_wants_all_of_it(self):
        self.assert_usage(run("run"), "run needs more")
        self.assert_usage(run("run", "web"), "behind --")
        for name in ("a/b", "..", ".hidden", "", "x" * 64, "a b", "a\nb"):
            with self.subTest(name=name):
                self.assert_usage(run("run", name, "--", "-m", "64"))

    def test_results_that_cannot_be_written(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run("list", "--json", os.path.join(folder, "no", "file"), GODWIT_DIR=folder)
            self.assertEqual(result.returncode, 1)
            self.assert_sentence(result, "cannot write results")

    def test_empty_list(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run("list", "--json", "-", GODWIT_DIR=folder)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(json.loads(result.stdout), {"schema": "godwit.list/1", "vms": []})


if __name__ == "__main__":
    unittest.main()
