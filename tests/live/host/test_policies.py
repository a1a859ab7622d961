# SPDX-License-Identifier: MIT
"""A native guest moves there and back, under everything that can be chosen."""

import itertools
import unittest

from rig import PAGE, Rig, eventually, main, userfaultfds, why_not

PRECOPY = {"max_rounds": 4}
DEMAND = {"idle": "20ms", "limit": "200ms"}
POLICIES = [("stop-copy", None, {})]
POLICIES += [("precopy", None, {"stop": stop, **PRECOPY}) for stop in ("qemu", "clark", "xen")]
POLICIES += [("deferred", None, {"predictor": predictor, "threshold": threshold, "max_rounds": 6})
             for predictor, threshold in (("markov", "fixed"), ("gilbert-elliott", "auto"))]
POLICIES += [("sdf-hybrid", "forecast", {"alpha": alpha, "observe": "100ms"})
             for alpha in (0, 0.3)]
POLICIES += [("sdf-hybrid", "forecast", {"alpha": "auto", "first": "whole", "observe": "100ms"}),
             ("split", "forecast", {"background_share": 0.5, "observe": "200ms"}),
             ("wws-hybrid", "forecast", {"observe": "200ms"}),
             ("wws-hybrid", "linear", {"stop_share": 0, "worth": 1000, "observe": "200ms"})]
POLICIES += [(policy, order, DEMAND if order == "demand" else {})
             for policy in ("postcopy", "hybrid") for order in ("demand", "linear", "bubble")]
PAGES = 2048


class Policies(unittest.TestCase):
    """One guest a write rate, moved to and fro."""

    def every(self, writes, reads):
        rig = Rig(self)
        here, there = rig.a.serve(), rig.b.serve()
        here.native("vm", pages=PAGES, vcpus=2, populate=PAGES * 3 // 4, zero=10, writes=writes,
                    reads=reads, seed=7)
        choices = itertools.product(POLICIES, ("pagemap", "digest"), (None, "400mbit"))
        for (policy, order, settings), tracker, bandwidth in choices:
            with self.subTest(policy=policy, order=order, settings=settings, tracker=tracker,
                              bandwidth=bandwidth):
                self.move(rig, here, there, policy, order, settings, tracker, bandwidth)
            here, there = there, here

    def move(self, rig, here, there, policy, order, settings, tracker, bandwidth):
        pid = here.vm("vm").pid
        errors = here.vm("vm").status()["errors"]
        more = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        result = here.migrate("vm", there, policy=policy, order=order, tracker=tracker,
                              bandwidth=bandwidth, verify=True, more=more).completes()
        vm = there.vm("vm")
        self.assertEqual(errors, "0")
        self.assertEqual(vm.verify()[1], 0, rig.story())
        self.assertTrue(vm.works_on())
        self.assertEqual(vm.status()["errors"], "0")
        self.assertNotEqual(vm.pid, pid)
        self.assertTrue(here.is_clean(), here.left())
        self.assertTrue(there.no_open_question(), there.left())
        self.assertEqual(userfaultfds(vm.pid), 0)
        self.result_is_whole(result, policy, order, settings, tracker)

    def result_is_whole(self, result, policy, order, settings, tracker):
        self.assertEqual(result["schema"], "godwit.result/1")
        self.assertEqual(result["world"], "live")
        self.assertEqual(result["policy"], policy)
        for key, value in settings.items():
            self.assertEqual(result["settings"][key], value)
        self.assertEqual(result["vm"], {"name": "vm", "ram_bytes": PAGES * PAGE,
                                        "page_bytes": PAGE, "vcpus": 2})
        self.assertEqual(result["verified"], {"pages_compared": PAGES, "pages_different": 0})
        self.assertGreater(result["link"]["latency_ns"], 0)
        self.assertEqual(result["unavailable_ns"], result["downtime_ns"] + result["stall_ns"])
        self.assertGreaterEqual(result["total_time_ns"], result["downtime_ns"])
        self.assertGreater(result["downtime_ns"], 0)
        self.assertGreater(result["state_bytes"], 0)
        self.assertLessEqual(result["pages_resent"], result["pages_sent"])
        self.assertLessEqual(result["zero_pages"], result["pages_sent"])
        full = result["pages_sent"] - result["zero_pages"]
        self.assertGreaterEqual(result["bytes_on_link"], full * PAGE + result["state_bytes"])
        rounds = result["rounds"]
        self.assertEqual([row["round"] for row in rounds], list(range(1, len(rounds) + 1)))
        self.assertLessEqual(sum(row["sent_pages"] for row in rounds), result["pages_sent"])
        pulls = policy in ("postcopy", "hybrid", "sdf-hybrid", "split", "wws-hybrid")
        # `split` pulls all of a VM that writes nothing.
        tracks = policy not in ("stop-copy", "postcopy") and (policy != "split" or bool(rounds))
        self.assertEqual("faults" in result, pulls)
        self.assertEqual(result.get("order"), order)
        self.assertEqual(result.get("tracker"), tracker if tracks else None)
        self.assertEqual(bool(rounds), tracks)
        if policy == "postcopy":
            # Only what lay in bulk's queue when a vCPU asked for it goes twice.
            self.assertLessEqual(result["pages_resent"], result["faults"])
        if rounds:
            self.assertEqual(rounds[-1]["decision"],
                             "post-copy" if pulls else "stop-and-copy")
            self.assertTrue(all(row["decision"] == "continue" for row in rounds[:-1]))
            self.assertTrue(all(row["reason"] for row in rounds))
        self.leaves_out(rounds, policy)

    def leaves_out(self, rounds, policy):
        pairs = list(zip(rounds, rounds[1:]))
        if policy == "sdf-hybrid":
            self.assertTrue(all(after["deferred_pages"] == before["dirty_pages"] // 2
                                for before, after in pairs))
        elif policy in ("split", "wws-hybrid"):
            self.assertTrue(all(row["deferred_pages"] <= PAGES for row in rounds))
        elif policy != "deferred":
            self.assertFalse(any(row["deferred_pages"] for row in rounds))
        for before, after in pairs:
            self.assertIn("predicted_dirty_pages", after)
            self.assertLessEqual(after["deferred_pages"] + after["sent_pages"],
                                 before["dirty_pages"])
            self.assertLessEqual(after["sdf"], 1)

    def test_a_calm_guest(self):
        self.every(writes=0, reads=2000)

    def test_a_working_guest(self):
        self.every(writes=2000, reads=2000)

    def test_a_guest_that_writes_as_fast_as_it_can(self):
        self.every(writes="max", reads=1000)


class Bytes(unittest.TestCase):
    """What the result says went over the link is what the link carried."""

    def test_counted_by_a_relay(self):
        for policy in ("stop-copy", "precopy", "postcopy", "hybrid", "deferred",
                       "sdf-hybrid", "split", "wws-hybrid"):
            with self.subTest(policy=policy):
                rig = Rig(self)
                rig.b.serve()
                relay = rig.relay(rig.b)
                rig.a.native("vm", pages=PAGES, populate=PAGES, writes=2000)
                result = rig.a.migrate("vm", relay.address, policy=policy,
                                       observe="0", verify=True).completes()
                self.assertEqual(relay.connections, 3)
                self.assertTrue(eventually(lambda: not relay._pairs))
                self.assertEqual(result["bytes_on_link"], sum(relay.bytes.values()))


class Limit(unittest.TestCase):
    def test_it_is_of_urgent_pages_too(self):
        """However much the guest asks for while it is pulled; a slow machine only sends less."""
        rig = Rig(self)
        rig.b.serve()
        rig.a.native("vm", vcpus=4, pages=PAGES, populate=PAGES, writes="max", set=PAGES)
        result = rig.a.migrate("vm", rig.b, policy="postcopy", bandwidth="40mbit").completes()
        self.assertGreater(result["faults"], 100)
        rate = result["bytes_on_link"] * 10**9 / result["total_time_ns"]
        self.assertLess(rate, 1.15 * 5000000)


if __name__ == "__main__":
    main(why_not())
