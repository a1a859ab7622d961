# SPDX-License-Identifier: MIT
"""
kill -9 of each process of a move, at every record of its journals and in the lasting states.

Afterwards the VM runs in exactly one place, whole; or it is lost because the very process that ran
it was killed; or there is a recorded doubt, with the source's copy of the switch kept.

        phase         who is killed, and where the VM is then
                      source agent   destination agent   source VM   destination VM
        source        a              a                   lost        a
        saved         a              a                   b           a
        handover      b              b                   b           a
        destination   b              b                   b           doubt
        whole         b              b                   b           lost
"""

import unittest

from rig import Rig, alive, eventually, kill, main, state_of, userfaultfds, why_not

PAGES = 768
SLOW = "24mbit"  # a second for all pages
EXPECTED = {
    "source": {"source agent": "a", "destination agent": "a", "session": "a",
               "source VM": "lost", "destination VM": "a"},
    "saved": {"source agent": "a", "destination agent": "a", "session": "a",
              "source VM": "b", "destination VM": "a"},
    "handover": {"source agent": "b", "destination agent": "b", "session": "b",
                 "source VM": "b", "destination VM": "a"},
    "destination": {"source agent": "b", "destination agent": "b", "session": "b",
                    "source VM": "b", "destination VM": "doubt"},
    "whole": {"source agent": "b", "destination agent": "b", "session": "b",
              "source VM": "b", "destination VM": "lost"},
}
# The records, and the phase in which they are written, without and with Pull.
POINTS = [
    ("before-reserved", "source", "source"), ("after-reserved", "source", "source"),
    ("before-handing-over", "source", "source"), ("after-handing-over", "source", "source"),
    ("before-prepared", "source", "source"), ("after-prepared", "source", "source"),
    ("before-committed", "source", "source"), ("after-committed", "handover", "handover"),
    ("before-mine", "handover", "handover"), ("after-mine", "destination", "destination"),
    ("before-gone", "whole", "destination"), ("after-gone", "whole", "destination"),
    ("before-whole", "whole", "whole"), ("after-whole", "whole", "whole"),
    ("before-released", "whole", "whole"), ("after-released", "whole", "whole"),
]
DESTINATION_RECORDS = ("reserved", "prepared", "mine", "whole")
VICTIMS = list(EXPECTED["source"])
# The lasting states, by the line of the source's trace.
LASTING = [("precopy", "first pass over", "source"),
           ("stop-copy", "the device state is saved", "saved"),
           ("postcopy", "-> Pull", "destination")]


class Case(unittest.TestCase):
    def prepare(self, point=None):
        self.rig = Rig(self)
        self.a, self.b = self.rig.a, self.rig.b
        at_destination = point and point.partition("-")[2] in DESTINATION_RECORDS
        self.b.serve(fault=point if at_destination else None)
        self.vm = self.a.native("vm", pages=PAGES, populate=PAGES, writes=500, seed=11)
        self.pid = self.vm.pid

    def strike(self, victim, move):
        there = self.b.guests()
        if victim == "source agent":
            kill(move.pid)
        elif victim == "destination agent":
            self.b.kill_agent()
        elif victim == "session":
            for pid in self.b.sessions():
                kill(pid)
        elif victim == "source VM":
            kill(self.pid)
        else:
            self.assertTrue(there, "no VM is at the destination yet")
            for pid in there:
                kill(pid)

    def follow(self, move, expected):
        """Lets everyone go on, does what a person would, and looks who runs the VM."""
        story = self.rig.story
        self.assertLessEqual(len(self.rig.running("vm")), 1, story())
        if expected == "b" or (expected == "a" and alive(self.pid)):
            self.rig.thaw()
            if not self.b.agent:
                self.b.serve(port=self.b.address[1])
            self.thaw_until(lambda: move.process.poll() is not None)
            move.wait()
            host = self.rig.settle(self, "vm")
            self.assertEqual(host.name, expected, story())
            if expected == "a":
                self.assertEqual(self.vm.pid, self.pid)
            return
        self.thaw_until(lambda: move.process.poll() is not None)
        move.wait()
        self.assertEqual(self.rig.running("vm"), [], story())
        if expected == "lost":
            self.assertTrue(self.b.whole(), f"{self.b.left()} {story()}")
            self.assertTrue(eventually(lambda: not self.a.journals()),
                            f"{self.a.left()} {story()}")
        else:
            self.assertEqual(set(self.a.journals().values()), {"doubt"}, story())
            self.assertEqual(self.a.ram_files(), ["godwit-vm.ram"])
            self.assertTrue(alive(self.pid))
            self.assertEqual(self.vm.state(), "stopped")

    def thaw_until(self, condition):
        def look():
            self.rig.thaw()
            return condition()
        self.assertTrue(eventually(look), self.rig.story())

    def at_point(self, policy, point, phase, victim):
        self.prepare(point)
        at_destination = point.partition("-")[2] in DESTINATION_RECORDS
        move = self.a.migrate("vm", self.b, policy=policy, fault=None if at_destination else point)
        held = self.b.held_session() if at_destination else move.held()
        self.assertTrue(held, self.rig.story())
        self.strike(victim, move)
        self.follow(move, EXPECTED[phase][victim])

    def every_point(self, policy, victim):
        for point, plain, pulled in POINTS:
            phase = pulled if policy == "postcopy" else plain
            if point == "before-committed" and victim != "source agent":
                phase = "handover"  # the agent lives, and is decided
            if point in ("before-prepared", "after-prepared") and victim == "source VM":
                phase = "saved"
            if point == "after-mine" and victim == "destination VM":
                phase = "handover"  # it never ran there: `cont` was not taken
            with self.subTest(policy=policy, point=point, victim=victim):
                self.at_point(policy, point, phase, victim)


class Precopy(Case):
    def test_source_agent(self):
        self.every_point("precopy", "source agent")

    def test_destination_agent(self):
        self.every_point("precopy", "destination agent")

    def test_source_vm(self):
        self.every_point("precopy", "source VM")

    def test_destination_vm(self):
        self.every_point("precopy", "destination VM")


class Postcopy(Case):
    def test_source_agent(self):
        self.every_point("postcopy", "source agent")

    def test_destination_agent(self):
        self.every_point("postcopy", "destination agent")

    def test_session(self):
        self.every_point("postcopy", "session")

    def test_source_vm(self):
        self.every_point("postcopy", "source VM")

    def test_destination_vm(self):
        self.every_point("postcopy", "destination VM")


class Lasting(Case):
    def test_every_victim(self):
        for policy, line, phase in LASTING:
            for victim in VICTIMS:
                with self.subTest(policy=policy, victim=victim):
                    self.prepare()
                    move = self.a.migrate("vm", self.b, policy=policy, bandwidth=SLOW)
                    self.assertTrue(move.reached(line), self.rig.story())
                    self.strike(victim, move)
                    self.follow(move, EXPECTED[phase][victim])

    def test_missing_pages_wait_while_no_agent_lives(self):
        """Both agents are killed in Pull: the guest's faults wait, no page reads as zeros."""
        self.prepare()
        move = self.a.migrate("vm", self.b, policy="postcopy", bandwidth=SLOW)
        self.assertTrue(move.reached("-> Pull"), self.rig.story())
        kill(move.pid)
        move.wait()
        self.b.kill_agent()
        there = self.b.guests()
        self.assertEqual(len(there), 1)
        self.assertEqual(userfaultfds(there[0]), 1)
        self.assertTrue(eventually(lambda: state_of(there[0]) == "S"))
        self.b.serve()
        self.a.recover("vm", self.b).completes()
        self.assertEqual(self.rig.settle(self, "vm").name, "b")

    def test_digests_that_were_promised_come(self):
        """The destination waits for them, whoever takes the move up."""
        self.prepare()
        move = self.a.migrate("vm", self.b, policy="postcopy", bandwidth=SLOW, verify=True)
        self.assertTrue(move.reached("-> Pull"), self.rig.story())
        kill(move.pid)
        move.wait()
        result = self.a.recover("vm", self.b).completes()
        self.assertEqual(result["verified"], {"pages_compared": PAGES, "pages_different": 0})


if __name__ == "__main__":
    main(why_not())
