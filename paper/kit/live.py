# SPDX-License-Identifier: MIT
"""Moves of running guests, for a paper's live part.

    moves = Moves(run)                          a PaperError where this machine cannot
    result = moves.native(1, 65536, {"writes": 3000}, "--policy", "precopy")

A native guest (guest/native) moves between two network namespaces over a limited link, as in bench/.
Each move is kept in moves.jsonl under its key as soon as it is done, and one that is there is not
made again: an interrupted run goes on where it stopped. Another folder measures anew.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys

from kit.run import NotHere, PaperError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RATE = "400mbit"
LATENCY = "30us"               # of the lab's link, one way, as docs/simulator.md has it
PAYLOAD = 1448 / 1514          # of a frame of TCP with timestamps over Ethernet
NATIVE_COSTS = {"stop": "200us", "cont": "200us", "save": "500us", "load": "500us"}


def link_bytes_per_s(rate_mbit=400):
    """What a link of that rate carries of a stream."""
    return rate_mbit * 1e6 / 8 * PAYLOAD


def bench(run, name):
    """bench/NAME.py, which moves real VMs, where this machine can."""
    os.environ["GODWIT_BUILD"] = os.path.dirname(run.godwit_path)
    sys.path[:0] = [ROOT, os.path.join(ROOT, "bench")]
    try:
        module = importlib.import_module(name)
        from lab import guest, lab
    except ImportError:
        raise NotHere("moves of real VMs need the source tree; --sim-only does without") from None
    why = lab.why_no_namespaces() or guest.why_no_qemu()
    if why:
        raise NotHere(f"no live moves here: {why}; --sim-only does without")
    return module


class Moves:
    def __init__(self, run, rate=RATE):
        self.run, self.rate = run, rate
        self.build = os.path.dirname(run.godwit_path)
        self.path = os.path.join(run.folder, "moves.jsonl")
        self._import()
        self.done = self._load()

    def _import(self):
        if not os.path.isdir(os.path.join(ROOT, "bench")):
            raise NotHere("moves of live guests need the source tree; --sim-only does without")
        sys.path[:0] = [ROOT, os.path.join(ROOT, "bench")]
        import engine  # pylint: disable=import-outside-toplevel
        from lab import lab
        self.engine, self.lab = engine, lab
        why = lab.why_no_namespaces()
        if why:
            raise NotHere(f"no live moves here: {why}; --sim-only does without")
        if not os.path.exists(os.path.join(self.build, "guest", "native-guest")):
            raise NotHere(f"{self.build} has no guest/native-guest: build godwit whole")

    def _load(self):
        with contextlib.suppress(FileNotFoundError), open(self.path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
            return {line["key"]: line["result"] for line in lines}
        return {}

    def native(self, key, pages, options, *arguments):
        """The result of one move, "godwit.result/1"; key: which of several that are alike."""
        guest = " ".join(f"{name}={value}" for name, value in options.items())
        key = " ".join(map(str, (key, pages, guest, *arguments)))
        if key not in self.done:
            self.done[key] = self._native(pages, options, arguments)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "result": self.done[key]}) + "\n")
        return self.done[key]

    def traces(self):
        """[(name, path)] of bench/traces.py's held-out guests, recorded where they are not yet."""
        folder = os.path.join(self.build, "traces")
        self.run.say("recorded guests (those that are missing take 40 s each)")
        done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "traces.py"), "--build",
                               self.build, "-o", folder, "--set", "held-out"],
                              capture_output=True, text=True, check=False)
        held = os.path.join(folder, "held-out")
        names = sorted(name for name in os.listdir(held) if name.endswith(".trace"))
        if not names:
            raise PaperError(f"bench/traces.py recorded nothing: {done.stderr.strip()}")
        return [(name.removesuffix(".trace"), os.path.join(held, name)) for name in names]

    def _native(self, pages, options, arguments):
        try:
            with (self.lab.Lab(self.rate) as lab,
                  self.engine.Pair(self.build, lab.a, lab.b, pages, options) as pair):
                return pair.migrate(*arguments)
        except (self.engine.EngineError, self.lab.LabError) as error:
            raise PaperError(str(error)) from None
