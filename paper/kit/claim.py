# SPDX-License-Identifier: MIT
"""A paper's claims as data: what it says, and by what criterion our figures agree.

A verdict is never written by hand. A claim's judge looks at the figures that were found and gives a
sentence with them and a list of checks: the claim is confirmed if all of them hold, confirmed in
part if some do, not confirmed if none does. A judge that asks for a figure that this run did not
take ends in "not measured".
"""

import collections

CONFIRMED, IN_PART, NOT, UNMEASURED = (
    "confirmed", "confirmed in part", "not confirmed", "not measured")

# where: section, figure or equation; says: in our own words; published: the paper's own figures,
# "" if it gives none; criterion: what the checks are; judge: found -> (ours, checks).
Claim = collections.namedtuple("Claim", "where says published criterion judge")


class Missing(Exception):
    """A figure that was not taken."""


class Found(dict):
    """Figures by name."""

    def __missing__(self, key):
        raise Missing(key)


def verdict_of(checks):
    checks = [bool(check) for check in checks]
    if not checks:
        raise ValueError("a judge without checks")
    return CONFIRMED if all(checks) else IN_PART if any(checks) else NOT


def judge(claim, found):
    """The claim as a row of the report."""
    try:
        ours, checks = claim.judge(Found(found))
        verdict = verdict_of(checks)
    except Missing:
        ours, verdict = "", UNMEASURED
    return {"where": claim.where, "says": claim.says, "published": claim.published,
            "criterion": claim.criterion, "ours": ours, "verdict": verdict}
