#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""paper/nrac_live.py: figures and verdicts out of rows as bench/uplink.py leaves them."""
import shutil
import tempfile
import unittest

import support
import nrac_live
from kit.claim import CONFIRMED, NOT, UNMEASURED, judge
from kit.run import Run
from nrac import CONSERVING, LISTING, PLAIN, VMS

S = 10**9


def row(number, way, seconds, kept=1.0, link="30 Mbit/s", moves="at once", stay=()):
    """All four take so long; those in `stay` do not end."""
    result = {"total_time_ns": int(seconds * S), "downtime_ns": S // 10, "rounds": [{"dirty_pages": 7}] * 3}
    client = {"kept": kept, "latency_ns": {"p50": 2 * 10**6, "p99": 9 * 10**6, "max": S}}
    return {"round": number, "link": link, "moves": moves, "way": way, "begin_ns": 5 * S,
            "end_ns": int((5 + seconds) * S), "before": client, "client": client, "client_own_move": client,
            "vms": {vm: {"begin_ns": 5 * S, "end_ns": int((6 + seconds) * S), "moved": vm not in stay,
                         "result": result} for vm in VMS}}


def rounds(way, seconds, **options):
    return [row(number + 1, way, each, **options) for number, each in enumerate(seconds)]


class Figures(unittest.TestCase):
    def test_medians_and_what_surrounds_them(self):
        seen = nrac_live.figures(rounds("plain", (10, 30, 20)))
        self.assertEqual((seen["least_s"]["cpu"], seen["total_s"]["cpu"], seen["most_s"]["cpu"]), (10, 20, 30))
        self.assertEqual((seen["gone_s"]["idle"], seen["mean_gone_s"], seen["last_s"]), (21, 21, 21))
        self.assertEqual((seen["count"], seen["ended"], seen["dirty"]["idle"]), (3, "12 of 12", 21))

    def test_a_move_that_stayed_has_no_time(self):
        seen = nrac_live.figures(rounds("listing", (10, 10), stay=("memory",)))
        self.assertEqual((seen["total_s"]["memory"], seen["total_s"]["idle"], seen["ended"]), (None, 10, "6 of 8"))
        self.assertEqual((seen["last_s"], seen["mean_gone_s"]), (None, None))

    def test_differences_are_within_rounds(self):
        """Another round's machine is another machine: 20 beside 21, 40 beside 41."""
        more = nrac_live.against_plain(rounds("text", (20, 40)), rounds("plain", (21, 41, 3)))
        self.assertEqual(more["network"], (-1, -1, -1))
        self.assertIsNone(nrac_live.against_plain(rounds("text", (20,), stay=("cpu",)), rounds("plain", (21,)))["cpu"])


    def test_labs_side_by_side(self):
        rows = rounds("plain", (20, 20)) + [{"begin_ns": 30 * S, "end_ns": 40 * S}]
        self.assertEqual(nrac_live.side_by_side(rows), 2)
        self.assertEqual(nrac_live.side_by_side(rows[1:]), 1)


class Verdicts(unittest.TestCase):
    def verdicts(self, rows):
        """{(where, says): verdict}"""
        found = {"live-nrac": nrac_live.evaluate(rows)}
        judged = [judge(claim, found) for claim in nrac_live.CLAIMS]
        return {(each["where"], each["says"].split(",")[0]): each["verdict"] for each in judged}

    def of(self, rows, where):
        (verdict,) = {verdict for (at, _), verdict in self.verdicts(rows).items() if at == where}
        return verdict

    def both(self, seconds, **options):
        return rounds("text", seconds, **options) + rounds("conserving", seconds, **options)

    def test_shorter_is_shorter_in_spite_of_chance(self):
        plain = rounds("plain", (20, 21, 22))
        self.assertEqual(self.of(plain + self.both((10, 11, 12)), "figure 8, live, at once"), CONFIRMED)
        self.assertEqual(self.of(plain + self.both((10, 31, 22)), "figure 8, live, at once"), NOT)

    def test_what_was_not_played_is_not_judged(self):
        rows = rounds("plain", (20,)) + rounds("text", (10,))
        self.assertEqual(self.of(rows, "figure 8, live, at once"), UNMEASURED)
        self.assertEqual(self.of(rows, "figure 7, live, in turn"), UNMEASURED)

    def test_the_client(self):
        def cells(kept):
            return [each for link in ("50 Mbit/s", "30 Mbit/s") for moves in ("in turn", "at once")
                    for each in rounds("plain", (20,), kept=0.5, link=link, moves=moves)
                    + self.both((20,), kept=kept, link=link, moves=moves)]
        says = ("section 5, live", "what the network-intensive VM needs is reserved")
        self.assertEqual(self.verdicts(cells(0.91))[says], CONFIRMED)
        self.assertEqual(self.verdicts(cells(0.89))[says], NOT)

    def test_a_listing_that_does_not_end(self):
        where = "NRAC, lines 10 and 15, live"
        self.assertEqual(self.of(rounds("listing", (25,), stay=VMS), where), NOT)
        self.assertEqual(self.of(rounds("listing", (25,)), where), CONFIRMED)


class Page(unittest.TestCase):
    def test_tables_and_pictures(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        run = Run("godwit", folder, quiet=True)
        nrac_live.tell(run, nrac_live.evaluate(
            rounds("plain", (20, 21)) + rounds("conserving", (10, 11)) + rounds("listing", (25,), stay=VMS)))
        tables = {block["name"]: block for block in run.blocks if block["kind"] == "table"}
        self.assertEqual([each["by"] for each in tables["live-nrac"]["rows"]], [PLAIN, LISTING, CONSERVING])
        self.assertEqual([each["total_s_cpu"] for each in tables["live-nrac"]["rows"]], [20.5, None, 10.5])
        self.assertEqual(len([block for block in run.blocks if block["kind"] == "chart"]), 3)


if __name__ == "__main__":
    support.need_gnuplot()
    unittest.main()
