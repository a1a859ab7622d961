# SPDX-License-Identifier: MIT
"""Until Commitment whatever goes wrong leaves the VM at the source, and nothing there behind."""

import os
import signal
import time
import unittest

from rig import UNFINISHED, Rig, eventually, main, tracer, userfaultfds, why_not

PAGES = 2048  # 8 MiB: at SLOW a good second
SLOW = "60mbit"
# How a move is made to stay in a state, and the line of the trace from which it is there.
LASTING = {
    "Iterative Pre-Copy": ("precopy", "first pass over"),
    "Stop-and-Copy": ("stop-copy", "pages are left at the switch"),
}


class Case(unittest.TestCase):
    def prepare(self, relay=False, **config):
        self.rig = Rig(self)
        self.rig.b.serve()
        self.to = self.rig.b
        self.relay = None
        if relay:
            self.relay = self.rig.relay(self.rig.b)
            self.to = self.relay.address
        self.vm = self.rig.a.native("vm", pages=PAGES, populate=PAGES, writes=500,
                                    seed=3, **config)
        self.pid = self.vm.pid

    def as_it_was(self):
        """The VM is at the source, nothing is anywhere else."""
        story = self.rig.story
        self.assertEqual(self.vm.state(), "running", story())
        self.assertEqual(self.vm.pid, self.pid)
        self.assertTrue(self.vm.works_on())
        self.assertEqual(self.vm.verify()[1], 0)
        self.assertEqual(userfaultfds(self.pid), 0)
        self.assertEqual(tracer(self.pid), 0)
        self.assertTrue(self.rig.b.is_clean(), f"{self.rig.b.left()} {story()}")
        self.assertTrue(self.rig.a.no_open_question(), f"{self.rig.a.left()} {story()}")

    def is_there(self):
        """The VM is at the destination, nothing is left at the source, no question is open."""
        story = self.rig.story
        vm = self.rig.b.vm("vm")
        self.assertTrue(eventually(lambda: vm.state() == "running"), story())
        self.assertEqual(vm.verify()[1], 0, story())
        self.assertTrue(vm.works_on())
        self.assertEqual(vm.status()["errors"], "0", story())
        self.assertTrue(self.rig.a.is_clean(), f"{self.rig.a.left()} {story()}")
        self.assertTrue(self.rig.b.no_open_question(), f"{self.rig.b.left()} {story()}")
        self.assertEqual(userfaultfds(vm.pid), 0)

    def can_still_move(self):
        self.rig.a.migrate("vm", self.rig.b, verify=True).completes()
        self.is_there()


class UserAborts(Case):
    def test_in_every_state_before_commitment(self):
        for state, (policy, line) in LASTING.items():
            for how in ("SIGINT", "SIGTERM"):
                with self.subTest(state=state, how=how):
                    self.prepare()
                    move = self.rig.a.migrate("vm", self.to, policy=policy, bandwidth=SLOW)
                    self.assertTrue(move.reached(line), self.rig.story())
                    os.kill(move.pid, getattr(signal, how))
                    self.assertIn("stopped by the user", move.fails())
                    self.as_it_was()
                    self.can_still_move()

    def test_while_the_destination_reserves(self):
        self.prepare()
        self.rig.b.stop_agent()
        self.rig.b.serve(fault="before-reserved")
        move = self.rig.a.migrate("vm", self.rig.b, policy="precopy")
        self.assertIsNotNone(self.rig.b.held_session())
        os.kill(move.pid, signal.SIGINT)
        self.assertEqual(self.vm.state(), "running")
        self.rig.thaw()
        self.assertIn("stopped by the user", move.fails())
        self.as_it_was()

    def test_a_vm_that_is_busy_with_something_else_is_resumed_after_that(self):
        """`cont` is refused while another client's save is under way: the VM must not stay so."""
        self.prepare()
        move = self.rig.a.migrate("vm", self.to, policy="stop-copy", bandwidth=SLOW)
        self.assertTrue(move.reached("pages are left at the switch"), self.rig.story())
        with self.vm.unread_save() as stream:
            os.kill(move.pid, signal.SIGINT)
            self.assertTrue(move.reached("-> Cancelled"), self.rig.story())
            time.sleep(0.5)  # for refusals; the VM's state says whether there were any
            self.assertEqual(self.vm.state(), "stopped")
            while stream.recv(1 << 16):
                pass
        self.assertIn("stopped by the user", move.fails())
        self.as_it_was()
        self.can_still_move()

    def test_after_commitment_it_is_refused(self):
        self.prepare()
        move = self.rig.a.migrate("vm", self.to, policy="postcopy", bandwidth=SLOW, verify=True)
        self.assertTrue(move.reached("-> Pull"), self.rig.story())
        os.kill(move.pid, signal.SIGINT)
        move.completes()
        self.assertIn("abort is refused in Pull", move.trace())
        self.is_there()


class LinkLost(Case):
    def test_in_every_state_before_commitment(self):
        for state, (policy, line) in LASTING.items():
            for how in ("reset", "close"):
                with self.subTest(state=state, how=how):
                    self.prepare(relay=True)
                    move = self.rig.a.migrate("vm", self.to, policy=policy, bandwidth=SLOW,
                                              reconnect="2s")
                    self.assertTrue(move.reached(line), self.rig.story())
                    self.assertEqual(self.relay.cut(how), 3)
                    self.assertIn("link to the destination was lost", move.fails())
                    self.as_it_was()

    def test_while_the_destination_reserves(self):
        self.prepare(relay=True)
        self.rig.b.stop_agent()
        self.rig.b.serve(fault="before-reserved", port=self.relay.target[1])
        move = self.rig.a.migrate("vm", self.to, policy="precopy", reconnect="2s")
        self.assertIsNotNone(self.rig.b.held_session())
        self.relay.cut()
        self.assertIn("link to the destination was lost", move.fails())
        self.rig.thaw()
        self.as_it_was()

    def test_in_pull_the_guest_waits_and_all_goes_on_by_itself(self):
        for policy in ("postcopy", "hybrid"):
            for how in ("reset", "close"):
                with self.subTest(policy=policy, how=how):
                    self.prepare(relay=True)
                    move = self.rig.a.migrate("vm", self.to, policy=policy, bandwidth=SLOW,
                                              verify=True)
                    self.assertTrue(move.reached("-> Pull"), self.rig.story())
                    self.relay.cut(how)
                    result = move.completes()
                    self.assertEqual(result["verified"],
                                     {"pages_compared": PAGES, "pages_different": 0})
                    self.assertEqual(self.relay.connections, 6)
                    self.is_there()

    def test_in_pull_recover_goes_on_after_the_agent_gave_up(self):
        self.prepare(relay=True)
        move = self.rig.a.migrate("vm", self.to, policy="postcopy", bandwidth=SLOW,
                                  reconnect="300ms")
        self.assertTrue(move.reached("-> Pull"), self.rig.story())
        self.relay.cut(refuse=True)
        self.assertIn("recover", move.fails())
        self.assertEqual(move.outcome(), UNFINISHED)
        there = self.rig.b.vm("vm")
        self.assertEqual(there.state(), "running")
        self.assertEqual(userfaultfds(there.pid), 1)  # what is missing waits, it does not read 0
        self.assertEqual(list(self.rig.a.journals().values()), ["gone"])
        again = self.rig.a.migrate("vm", self.to)
        self.assertIn("recover", again.fails())
        self.relay.allow()
        self.rig.a.recover("vm").completes()
        self.is_there()

    def test_cut_after_every_so_many_bytes(self):
        """Wherever the link breaks: the VM is at one side, whole, or recover makes it so."""
        for policy in ("precopy", "postcopy", "stop-copy"):
            whole = self.bytes_of(policy)
            for direction, marks in (("up", 5), ("down", 4)):
                for number in range(marks):
                    count = max(1, whole[direction] * number // (marks - 1))
                    with self.subTest(policy=policy, direction=direction, bytes=count):
                        self.cut_after(policy, direction, count)

    def bytes_of(self, policy):
        self.prepare(relay=True)
        self.rig.a.migrate("vm", self.to, policy=policy, verify=True).completes()
        self.assertTrue(eventually(lambda: not self.relay._pairs))
        return dict(self.relay.bytes)

    def cut_after(self, policy, direction, count):
        self.prepare(relay=True)
        self.relay.cut_after(count, direction)
        move = self.rig.a.migrate("vm", self.to, policy=policy, verify=True, reconnect="3s")
        move.wait()
        self.rig.settle(self, "vm")

    def test_a_silent_link(self):
        """Nobody is told of it: the agents notice by themselves, before Commitment and in Pull."""
        both = []
        for policy, line in (("precopy", "first pass over"), ("postcopy", "-> Pull")):
            self.prepare(relay=True)
            move = self.rig.a.migrate("vm", self.to, policy=policy, bandwidth=SLOW,
                                      reconnect="60s")
            self.assertTrue(move.reached(line), self.rig.story())
            self.relay.stall()
            both.append((policy, self.rig, self.vm, self.pid, self.relay, move))
        for policy, self.rig, self.vm, self.pid, self.relay, move in both:
            with self.subTest(policy=policy):
                self.assertTrue(move.reached("the link is lost"), self.rig.story())
                self.relay.cut()  # what stalled is gone; new connections pass
                move.wait(120)
                if policy == "precopy":
                    self.as_it_was()
                else:
                    self.is_there()


if __name__ == "__main__":
    main(why_not())
