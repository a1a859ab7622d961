# SPDX-License-Identifier: MIT
"""S5: the analytic model of hybrid migration, its figures, and the model beside both worlds."""

import math

from kit.claim import Claim
from kit.paper import Paper
from kit.run import Column

VOLUME, LINK, LIMIT, SHARE = 11264, 12.5, 1000, 0.3  # MB, MB/s, MB, of the link
OTHER = 3          # MB/s: the rate that a figure holds still
HIGHEST = 20       # MB/s
TOP_SECONDS = 6000
KINDS = ("precopy", "postcopy", "hybrid")
NAMES = {"precopy": "pre-copy", "postcopy": "post-copy", "hybrid": "hybrid"}
BY_HAND = {"n": 2, "t1_s": 584.65, "t2_s": 80, "t3_s": 962.74, "total_s": 1627.38,
           "unavailable_s": 311.06}


def model(run, kind, writes, reads, volume=VOLUME, link=LINK, limit=LIMIT, share=SHARE):
    return run.json("model", kind, "--volume", volume, "--bandwidth", link, "--write-rate", writes,
                    "--read-rate", reads, "--stop-limit", limit, "--background-share", share)


# --- the figures of the text ---

FIGURES = (
    ("figure-2a", "write_rate", "total_s", "Total time Tm by the rate of writes, reads at 3 MB/s"),
    ("figure-2b", "read_rate", "total_s", "Total time Tm by the rate of reads, writes at 3 MB/s"),
    ("figure-3a", "write_rate", "unavailable_s",
     "Unavailable time Td by the rate of writes, reads at 3 MB/s"),
    ("figure-3b", "read_rate", "unavailable_s",
     "Unavailable time Td by the rate of reads, writes at 3 MB/s"),
)


def curves(run):
    """{(kind, varied): [(rate, times)]}, by the model alone."""
    step = 2 if run.quick else 0.25
    rates = [step * k for k in range(int(HIGHEST / step) + 1)]
    found = {}
    for varied in ("write_rate", "read_rate"):
        for kind in run.progress(f"the model by {varied}", KINDS):
            pairs = [(rate, OTHER) if varied == "write_rate" else (OTHER, rate) for rate in rates]
            found[kind, varied] = [(rate, model(run, kind, *pair))
                                   for rate, pair in zip(rates, pairs)]
    return rates, found


def draw(run, rates, found):
    for name, varied, figure, title in FIGURES:
        rows = [{varied: rate, **{kind: found[kind, varied][k][1][figure] for kind in KINDS}}
                for k, rate in enumerate(rates)]
        run.table(name, title, [Column(varied, varied, 2), *(Column(k, NAMES[k], 1) for k in KINDS)],
                  rows, shown=False)
        run.chart(name, f"{name.replace('-', ' ').capitalize()}: {title}", {
            "kind": "lines", "x": varied,
            "series": [{"column": kind, "title": NAMES[kind]} for kind in KINDS],
            "xlabel": f"{varied.replace('_', ' ')}, MB/s", "top": TOP_SECONDS if name == "figure-2a" else "*",
            "ylabel": ("total time" if figure == "total_s" else "unavailable time") + ", s"})
    for (kind, varied), curve in found.items():
        for figure in ("total_s", "unavailable_s"):
            run.note(f"{kind}.{varied}.{figure}", [times[figure] for _, times in curve])
    run.note("rates", rates)


def check_by_hand(run):
    times = model(run, "hybrid", OTHER, OTHER)
    for key in BY_HAND:
        run.note(f"hand.{key}", times[key])
    names = {"n": "iterations n", "t1_s": "T1, s", "t2_s": "T2, s", "t3_s": "T3, s",
             "total_s": "Tm, s", "unavailable_s": "Td, s"}
    run.table("by-hand", "V = 11264 MB, µ = 12.5 MB/s, l = 1000 MB, η = 0.3, both rates 3 MB/s",
              [Column("figure", "figure"), Column("by_hand", "by hand", 2), Column("ours", "ours", 2)],
              [{"figure": names[key], "by_hand": value, "ours": times[key]}
               for key, value in BY_HAND.items()])


def equal_rates(run):
    """Hybrid beside the two others where both rates are alike."""
    rows = []
    for rate in range(1, 13):
        row = {"rate": rate}
        for kind in KINDS:
            times = model(run, kind, rate, rate)
            row[kind + "_total"], row[kind + "_unavailable"] = times["total_s"], times["unavailable_s"]
        rows.append(row)
    run.table("equal-rates", "Both rates alike: total time and unavailable time, s",
              [Column("rate", "both rates, MB/s", 0),
               *(Column(f"{kind}_{what}", f"{NAMES[kind]} {short}", 0)
                 for what, short in (("total", "Tm"), ("unavailable", "Td")) for kind in KINDS)], rows)
    run.note("equal", rows)


def simulate(run):
    run.heading("The model")
    check_by_hand(run)
    draw(run, *curves(run))
    equal_rates(run)


# --- what the text claims ---

def seconds(value):
    return math.inf if value == "infinite" else value


def curve(found, kind, varied, figure):
    return [seconds(value) for value in found[f"{kind}.{varied}.{figure}"]]


def at(found, kind, varied, figure, rate):
    return curve(found, kind, varied, figure)[found["rates"].index(rate)]


def flat(values):
    finite = [value for value in values if value != math.inf]
    return len(finite) == len(values) and max(finite) - min(finite) < 1e-6


def rises(values):
    return all(later >= earlier for earlier, later in zip(values, values[1:])) and values[-1] > values[0]


def by_hand(found):
    ours = {key: found[f"hand.{key}"] for key in BY_HAND}
    return (", ".join(f"{key.removesuffix('_s')} {value:.2f}".replace(".00", "") for key, value in ours.items()),
            [round(ours[key], 2) == value for key, value in BY_HAND.items()])


def writes_and_total(found):
    pre, post, hybrid = (curve(found, kind, "write_rate", "total_s") for kind in KINDS)
    before, after = (at(found, kind, "write_rate", "total_s", 10) for kind in ("precopy", "hybrid"))
    least = min(hybrid)
    return (f"at 10 MB/s of writes pre-copy {before:.0f} s, hybrid {after:.0f} s, from 12.5 MB/s on both"
            f" infinite; post-copy {post[0]:.0f} s throughout; but hybrid first falls, from {hybrid[0]:.0f} to"
            f" {least:.0f} s at {found['rates'][hybrid.index(least)]:g} MB/s",
            [rises(pre) and pre[-1] == math.inf, rises(hybrid) and hybrid[-1] == math.inf, after < before,
             flat(post)])


def reads_and_total(found):
    pre, post, hybrid = (curve(found, kind, "read_rate", "total_s") for kind in KINDS)
    falls = [list(reversed(values)) for values in (post, hybrid)]
    drops = [values[-1] - values[0] for values in falls]
    most = max(hybrid)
    return (f"post-copy {post[0]:.0f} to {post[-1]:.0f} s, hybrid {hybrid[0]:.0f} to {hybrid[-1]:.0f} s,"
            f" pre-copy {pre[0]:.0f} s throughout; but hybrid first rises, to {most:.0f} s at"
            f" {found['rates'][hybrid.index(most)]:g} MB/s",
            [rises(falls[0]), rises(falls[1]), drops[1] < drops[0], flat(pre)])


def writes_and_unavailable(found):
    pre, post, hybrid = (curve(found, kind, "write_rate", "unavailable_s") for kind in KINDS)
    finite = [value for value in hybrid if value != math.inf]
    return (f"pre-copy {pre[0]:.0f} s and post-copy {post[0]:.0f} s throughout; hybrid falls from"
            f" {max(finite):.0f} to {min(finite):.0f} s, because V3 = V λr/(λw+λr) shrinks as λw grows",
            [flat(pre), flat(post), flat(hybrid)])


def reads_and_unavailable(found):
    pre, post, hybrid = (curve(found, kind, "read_rate", "unavailable_s") for kind in KINDS)
    growth = [values[-1] - values[0] for values in (post, hybrid)]
    total = at(found, "postcopy", "read_rate", "total_s", HIGHEST)
    return (f"post-copy {post[0]:.0f} to {post[-1]:.0f} s and there equal to Tm ({total:.0f} s); hybrid"
            f" {hybrid[0]:.0f} to {hybrid[-1]:.0f} s; pre-copy {pre[0]:.0f} s throughout",
            [rises(post), rises(hybrid), growth[1] < growth[0], abs(post[-1] - total) < 1e-6, flat(pre)])


def equally_high(found):
    least = {"total": 0, "unavailable": 0}
    rows = [row for row in found["equal"] if row["rate"] >= 5]
    for row in rows:
        for what in least:
            values = [seconds(row[f"{kind}_{what}"]) for kind in KINDS]
            least[what] += values[2] < min(values[:2])
    five = next(row for row in rows if row["rate"] == 5)
    return (f"of {len(rows)} equal rates from 5 to 12 MB/s hybrid has the least Tm at {least['total']} and"
            f" the least Td at {least['unavailable']}; at 5 MB/s Tm is "
            + ", ".join(f"{five[kind + '_total']:.0f}" for kind in KINDS)
            + " s (pre-copy, post-copy, hybrid), Td "
            + ", ".join(f"{five[kind + '_unavailable']:.0f}" for kind in KINDS)
            + " s: it lies between the two in one time or in both",
            [least["total"] == len(rows), least["unavailable"] == len(rows)])


CLAIMS = [
    Claim("equations 1 to 12", "with its inputs and both rates at 3 MB/s the equations give",
          "n = 2, T1 = 584.65, T2 = 80, T3 = 962.74, Tm = 1627.38, Td = 311.06 s (worked by hand)",
          "each to two decimals", by_hand),
    Claim("figure 2a", "with the rate of writes pre-copy's and hybrid's total time grow without bound,"
          " hybrid's more slowly; post-copy's does not change", "",
          "each of the three curves, and their order at 10 MB/s", writes_and_total),
    Claim("figure 2b", "with the rate of reads post-copy's and hybrid's total time fall, hybrid's more"
          " slowly; pre-copy's does not change", "", "each of the three curves, and the two falls",
          reads_and_total),
    Claim("figure 3a", "unavailable time does not depend on the rate of writes, under any approach", "",
          "each of the three curves is flat", writes_and_unavailable),
    Claim("figure 3b", "with the rate of reads post-copy's and hybrid's unavailable time grow, hybrid's more"
          " slowly, up to where all is asked for and post-copy's equals its total time; pre-copy's does not"
          " change", "", "each of the three curves, the two growths, and the end of post-copy's",
          reads_and_unavailable),
    Claim("results and conclusion", "at equally high rates hybrid minimises both times", "",
          "least Tm, least Td at every equal rate from 5 to 12 MB/s", equally_high),
]

PAPER = Paper(
    "s5", "An analytic model of hybrid migration",
    "Model of dynamic migration of virtual machines with the hybrid approach, Scientific and Technical"
    " Journal of Information Technologies, Mechanics and Optics, 17(4), 2017. Figures 2 and 3 are lost in"
    " the text; they are drawn from its equations.",
    CLAIMS, simulate)
