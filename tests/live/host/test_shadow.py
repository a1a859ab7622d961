# SPDX-License-Identifier: MIT
"""A move with a shadow, whatever befalls the shadow or its parent: the VM notices nothing."""

import contextlib
import os
import random
import signal
import time
import unittest

from rig import Rig, alive, eventually, kill, main, why_not

PAGES = 8192
GUEST = {"pages": PAGES, "vcpus": 1, "populate": PAGES, "zero": 5, "writes": 20000,
         "reads": 20000, "seed": 3}
LINK = "100mbit"  # so slow that the shadow comes to run on a busy machine, too


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    return found


def is_caged(pid):
    """Past all that the cage does to it: it is the VM's program, with one right left."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return "CapEff:\t0000000000000004" in file.read()
    return False


def shadow_of(move, caged=True):
    """The process of a move's shadow; None if it ended without one being seen."""
    found = []

    def look():
        found[:] = [pid for pid in children(move.pid) if not caged or is_caged(pid)]
        return found or move.process.poll() is not None

    eventually(look)
    return found[0] if found else None


class Case(unittest.TestCase):
    rig = None

    def prepare(self):
        if self.rig:
            self.rig.close()  # else its guests would keep the processors busy until the test ends
        self.rig = Rig(self)
        self.rig.b.serve()
        self.rig.a.native("vm", **GUEST)

    verify = True

    def move(self, **options):
        return self.rig.a.migrate("vm", self.rig.b, policy="run-ahead", bandwidth=LINK,
                                  verify=self.verify, **options)

    def arrives(self, move):
        result = move.completes()
        vm = self.rig.b.vm("vm")
        self.assertEqual(result["verified"], {"pages_compared": PAGES, "pages_different": 0})
        self.assertEqual(vm.verify()[1], 0, self.rig.story())
        self.assertTrue(vm.works_on())
        self.assertEqual(vm.status()["errors"], "0")
        self.assertTrue(self.rig.a.is_clean(), self.rig.a.left())
        return result

    def afterwards(self, pid):
        self.assertTrue(pid is None or eventually(lambda: not alive(pid)), self.rig.story())


class Fates(Case):
    """Of the shadow."""

    def test_it_runs_ahead(self):
        self.prepare()
        move = self.move()
        pid = shadow_of(move)
        self.assertIsNotNone(pid)
        self.arrives(move)
        self.assertIn("the shadow runs", move.trace())
        self.afterwards(pid)

    def test_it_is_killed_at_each_step(self):
        steps = (None, "Iterative Pre-Copy", "the VM is stopped", "the device state is saved",
                 "the shadow runs", "Activation -> Pull")
        for step in steps:
            with self.subTest(step=step):
                self.prepare()
                move = self.move()
                pid = shadow_of(move, caged=step is not None)
                if step:
                    self.assertTrue(move.reached(step))
                kill(pid)
                self.arrives(move)
                self.afterwards(pid)

    def test_it_is_killed_at_any_time(self):
        chance = random.Random(5)
        for _ in range(12):
            pause = chance.uniform(0, 0.4)
            with self.subTest(pause=pause):
                self.prepare()
                move = self.move()
                pid = shadow_of(move, caged=False)
                time.sleep(pause)
                kill(pid)
                self.arrives(move)
                self.afterwards(pid)

    def test_it_hangs_at_once(self):
        for caged in (False, True):
            with self.subTest(caged=caged):
                self.prepare()
                move = self.move()
                pid = shadow_of(move, caged)
                os.kill(pid, signal.SIGSTOP)
                self.arrives(move)
                self.afterwards(pid)

    def test_it_hangs_as_it_runs(self):
        self.prepare()
        move = self.move()
        pid = shadow_of(move)
        self.assertTrue(move.reached("the shadow runs"))
        os.kill(pid, signal.SIGSTOP)
        self.arrives(move)
        self.afterwards(pid)


class Parents(Case):
    """Of an agent that is killed with its shadow alive, and of moves that do not take place."""

    verify = False  # who recovers does not ask for it

    def test_the_agent_is_killed_at_each_step(self):
        steps = (None, "Iterative Pre-Copy", "the VM is stopped", "the shadow runs",
                 "Activation -> Pull")
        for step in steps:
            with self.subTest(step=step):
                self.prepare()
                move = self.move()
                pid = shadow_of(move, caged=step is not None)
                if step:
                    move.reached(step)
                kill(move.pid)
                self.afterwards(pid)
                self.rig.settle(self, "vm")

    def test_the_agent_is_killed_at_any_time(self):
        chance = random.Random(7)
        for _ in range(8):
            pause = chance.uniform(0, 0.3)
            with self.subTest(pause=pause):
                self.prepare()
                move = self.move()
                pid = shadow_of(move, caged=False)
                time.sleep(pause)
                kill(move.pid)
                self.afterwards(pid)
                self.rig.settle(self, "vm")

    def test_the_destination_is_killed(self):
        for step in ("Iterative Pre-Copy", "the VM is stopped", "Activation -> Pull"):
            with self.subTest(step=step):
                self.prepare()
                move = self.move(reconnect="1s")
                pid = shadow_of(move)
                move.reached(step)
                self.rig.b.kill_agent()
                move.wait()
                self.afterwards(pid)
                self.rig.settle(self, "vm")

    def test_nobody_takes_the_vm(self):
        self.prepare()
        self.rig.b.native("vm", **GUEST)  # the name is taken there
        move = self.move()
        move.fails()
        self.afterwards((children(move.pid) or [None])[0])
        self.assertTrue(self.rig.a.vm("vm").works_on())
        self.assertEqual(self.rig.a.vm("vm").verify()[1], 0)


if __name__ == "__main__":
    main(why_not())
