# SPDX-License-Identifier: MIT
"""S5: the analytic model of hybrid migration, its figures, and the model beside both worlds."""

import math
import re
from statistics import median

from kit.claim import Claim
from kit.live import LATENCY, NATIVE_COSTS, RATE, Moves, link_bytes_per_s
from kit.numbers import error, spread
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


def seconds(value):
    return math.inf if value == "infinite" else value


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


# --- the model beside both worlds ---

PAGE = 4096
RAM_PAGES = 65536               # 256 MiB: live, V is memory alone
RAM = RAM_PAGES * PAGE / 1e6    # MB
MU = link_bytes_per_s() / 1e6   # MB/s
STOP = LIMIT * RAM / VOLUME     # MB: the same share of V
POLICIES = {                    # of the three approaches; godwit's pull takes all of the link, so η = 1
    "precopy": ("--policy", "precopy", "--set", "settle=0"),
    "postcopy": ("--policy", "postcopy"),
    "hybrid": ("--policy", "split", "--set", f"stop_limit={STOP * 1e6:.0f}"),
}
VARIED = ("write_rate", "read_rate", "both")
SIMULATED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
LIVE = (1, 3, 6, 9)
DEADLINE = "90s"
FIELDS = {"total_s": "total_time_ns", "unavailable_s": "unavailable_ns"}


def rates_of(varied, rate):
    """(λw, λr) in the paper's MB/s; a link of µ there is one of MU here."""
    return {"write_rate": (rate, OTHER), "read_rate": (OTHER, rate), "both": (rate, rate)}[varied]


def pages_per_s(rate):
    return rate * MU / LINK * 1e6 / PAGE


def downtime():
    return f"{STOP / MU * 1e9:.0f}ns"


def expected(run, kind, varied, rate):
    writes, reads = (value * MU / LINK for value in rates_of(varied, rate))
    return model(run, kind, writes, reads, RAM, MU, STOP, 1)


def scenario(pattern, writes, reads):
    return {"vm": {"ram": RAM_PAGES * PAGE},
            "workload": {"kind": pattern, "write_rate": pages_per_s(writes),
                         "read_rate": pages_per_s(reads)},
            "link": {"bandwidth": RATE, "latency": LATENCY}, "costs": NATIVE_COSTS,
            "downtime": downtime(), "deadline": DEADLINE}


def simulated(run, kind, varied, rate, pattern):
    seeds = "1-2" if run.quick else "1-10"
    return run.sim(scenario(pattern, *rates_of(varied, rate)), *POLICIES[kind], "--seed", seeds)


def row_of(run, kind, varied, rate, results):
    """One point: the model's times, the measured ones with their spread, and how far it is off."""
    times = expected(run, kind, varied, rate)
    row = {"approach": NAMES[kind], "varied": varied, "rate": rate,
           "completed": sum(r["outcome"] == "completed" for r in results), "runs": len(results)}
    for figure, field in FIELDS.items():
        values = [r.get(field, 0) / 1e9 for r in results if r["outcome"] == "completed"]
        row[f"{figure}_model"] = times[figure]
        if not values or row["completed"] < row["runs"]:
            continue
        row[figure], row[f"{figure}_low"], row[f"{figure}_high"] = spread(values)
        row[f"{figure}_error"] = error(seconds(times[figure]), row[figure])
    return row


POINT_COLUMNS = [
    Column("approach", "approach"), Column("varied", "varied"), Column("rate", "rate, MB/s", 0),
    Column("completed", "completed", 0), Column("runs", "of", 0),
    *(Column(f"{figure}{part}", f"{short}{head}", digits)
      for figure, short in (("total_s", "Tm"), ("unavailable_s", "Td"))
      for part, head, digits in (("_model", ", model, s", 2), ("", ", s", 2), ("_low", ", lower quartile", 2),
                                 ("_high", ", upper quartile", 2), ("_error", ", model's error", 3)))]


def compare(run, world, rows):
    """Tables, charts and figures of one world's points."""
    run.table(f"{world}-points", f"Every point, {world}", POINT_COLUMNS, rows, shown=False)
    for varied in VARIED:
        for kind in KINDS:
            run.table(f"{world}-{varied}-{kind}", "", POINT_COLUMNS,
                      [r for r in rows if (r["varied"], r["approach"]) == (varied, NAMES[kind])], shown=False)
        for figure, what in (("total_s", "Total time"), ("unavailable_s", "Unavailable time")):
            draw_points(run, world, varied, figure, what)
    errors = [errors_of(NAMES[kind], [r for r in rows if r["approach"] == NAMES[kind]]) for kind in KINDS]
    errors.append(errors_of("all", rows))
    run.table(f"{world}-errors", f"How far the model is off, {WORLDS[world]}", error_columns("approach"), errors)
    run.note(f"{world}.errors", errors[-1])
    run.note(f"{world}.points", [{key: row.get(key) for key in
                                  ("approach", "varied", "rate", *FIELDS)} for row in rows])


def error_columns(head):
    return [Column("approach", head), Column("points", "points", 0), Column("completed", "completed", 0),
            *(Column(f"{figure}_{part}_{unit}", f"{short}, {part}, {unit_head}", digits)
              for figure, short in (("total_s", "Tm"), ("unavailable_s", "Td"))
              for part in ("median", "most") for unit, unit_head, digits in (("share", "%", 0), ("s", "s", 2)))]


def errors_of(name, rows):
    """Of points that ended: the error as a share of what was measured, and in seconds."""
    ended = [row for row in rows if row.get("total_s") is not None]
    found = {"approach": name, "points": len(rows), "completed": len(ended)}
    for figure in FIELDS:
        off = [abs(seconds(row[f"{figure}_model"]) - row[figure]) for row in ended]
        shares = [100 * abs(row[f"{figure}_error"]) for row in ended]
        for part, of in (("median", median), ("most", max)):
            found[f"{figure}_{part}_s"], found[f"{figure}_{part}_share"] = of(off), of(shares)
    return found


def draw_points(run, world, varied, figure, what):
    said = {"write_rate": "rate of writes, reads at 3 MB/s", "read_rate": "rate of reads, writes at 3 MB/s",
            "both": "rate of both writes and reads"}[varied]
    series = []
    for number, kind in enumerate(KINDS):
        here = {"colour": number, "table": f"{world}-{varied}-{kind}"}
        series += [{**here, "column": f"{figure}_model", "title": f"{NAMES[kind]}, model"},
                   {**here, "column": figure, "low": f"{figure}_low", "high": f"{figure}_high",
                    "mark": "points", "title": f"{NAMES[kind]}, {WORLDS[world]}"}]
    run.chart(f"{world}-{varied}-{figure.removesuffix('_s')}", f"{what} by the {said}: model and {WORLDS[world]}",
              {"kind": "lines", "x": "rate", "table": f"{world}-{varied}-precopy", "series": series,
               "xlabel": "rate at a link of 12.5 MB/s, MB/s", "ylabel": f"{what.lower()}, s",
               "top": 30 if figure == "total_s" else 6})


WORLDS = {"sim": "simulated", "live": "live"}


def beside_the_simulator(run):
    run.heading("The model beside the simulator")
    run.text(f"""Scaled down: V = {RAM:.0f} MB (256 MiB of memory), a link of 400 Mbit/s that
        carries {MU:.1f} MB/s of payload, l the same share of V, and all rates by the same factor,
        so that each point has the paper's λ/µ. The guest touches all of its memory at random. η =
        1, because godwit's pull takes what faults leave of the link. Ten seeds a point; bars are
        quartiles; a point without a mark did not converge within 90 s.""")
    rates = SIMULATED[::4] if run.quick else SIMULATED
    points = [(kind, varied, rate) for varied in VARIED for kind in KINDS for rate in rates]
    rows = [row_of(run, kind, varied, rate, simulated(run, kind, varied, rate, "random"))
            for kind, varied, rate in run.progress("simulated moves", points)]
    compare(run, "sim", rows)
    run.text("""What the difference is made of: the model takes every write for a page not written
        before in the round, every read for a page not there yet, and no write for a fault; and it
        adds l/µ to the total time although what is left, at most l, has been counted as the last
        iteration. The same pre-copy with writes that sweep over memory, where the first of these is
        true, so that what stays is l/µ; and, for writes at random, our correction: a round that
        lasts t leaves V (1 - exp(-λw t / V)) dirty, and Td is the last round.""")
    correct(run, rates, [r for r in rows if (r["approach"], r["varied"]) == (NAMES["precopy"], "write_rate")])
    announcements(run, rates)


def announcements(run, rates):
    """What the policy split said after its first round, by its own measured rates, and what came."""
    rows = []
    for rate in rates:
        result = simulated(run, "hybrid", "both", rate, "random")[0]
        said = re.search(r"Tm ([0-9.]+) s, Td ([0-9.]+) s", " ".join(r["reason"] for r in result["rounds"]))
        if said:
            rows.append({"rate": rate, "said": float(said[1]), "came": result["total_time_ns"] / 1e9,
                         "said_td": float(said[2]), "came_td": result["unavailable_ns"] / 1e9})
    run.text("""The policy split measures the rates itself and tells both times by the model; here
        what it said after its first round, both rates alike, beside what came.""")
    run.table("sim-announced", "What split announced, and what came", [
        Column("rate", "both rates, MB/s", 0), Column("said", "Tm, announced, s", 2), Column("came", "Tm, s", 2),
        Column("said_td", "Td, announced, s", 2), Column("came_td", "Td, s", 2)], rows)


def rewriting(writes):
    """(Tm, Td) of pre-copy whose writes fall at random, so that some fall on pages that are dirty already."""
    left, total = RAM, 0
    for _ in range(1000):
        last = left / MU
        total += last
        if left <= STOP:
            return total, last
        left = RAM * (1 - math.exp(-writes * MU / LINK * last / RAM))
    return math.inf, math.inf


def correct(run, rates, rows):
    table = []
    for rate, row in zip(rates, rows):
        sweeping = row_of(run, "precopy", "write_rate", rate,
                          simulated(run, "precopy", "write_rate", rate, "sequential"))
        total, stopped = rewriting(rate)
        table.append({"rate": rate, "model": row["total_s_model"], "sweeping": sweeping.get("total_s"),
                      "corrected": total, "random": row.get("total_s"), "corrected_td": stopped,
                      "random_td": row.get("unavailable_s")})
    run.table("sim-precopy", "Pre-copy: the model, and what it leaves out", [
        Column("rate", "writes, MB/s", 0), Column("model", "Tm, model, s", 2),
        Column("sweeping", "Tm, writes that sweep, s", 2), Column("corrected", "Tm, corrected, s", 2),
        Column("random", "Tm, writes at random, s", 2), Column("corrected_td", "Td, corrected, s", 2),
        Column("random_td", "Td, writes at random, s", 2)], table)
    run.chart("sim-precopy", "Total time of pre-copy: the model with rewrites counted", {
        "kind": "lines", "x": "rate", "xlabel": "rate of writes at a link of 12.5 MB/s, MB/s", "top": 45,
        "ylabel": "total time, s", "series": [
            {"column": "model", "title": "model"},
            {"column": "sweeping", "title": "simulated, writes that sweep", "mark": "points", "colour": 0},
            {"column": "corrected", "title": "model, rewrites counted", "colour": 1},
            {"column": "random", "title": "simulated, writes at random", "mark": "points", "colour": 1}]})
    run.note("sim.corrected", [error(row["corrected"], row["random"]) for row in table if row["random"]])


def live(run):
    moves = Moves(run)
    run.heading("The model beside live moves")
    run.text("""A native guest of 256 MiB over a link of 400 Mbit/s between two network namespaces,
        touching all of its memory at random; the same rates as simulated. Three moves a point; bars
        are their quartiles.""")
    points = [(kind, varied, rate) for varied in VARIED for kind in KINDS for rate in LIVE]
    pairs = dict.fromkeys((kind, rates_of(varied, rate)) for kind, varied, rate in points)
    found = {pair: [] for pair in pairs}
    rounds = range(1 if run.quick else 3)
    for number, (kind, rates) in run.progress("live moves", [(n, pair) for n in rounds for pair in pairs]):
        writes, reads = (round(pages_per_s(rate)) for rate in rates)
        found[kind, rates].append(moves.native(
            number, RAM_PAGES, {"pattern": "random", "writes": writes, "reads": reads}, *POLICIES[kind],
            "--downtime", downtime(), "--deadline", DEADLINE))
    rows = [row_of(run, kind, varied, rate, found[kind, rates_of(varied, rate)])
            for kind, varied, rate in points]
    compare(run, "live", rows)
    beside_live(run, rows, points)


def beside_live(run, rows, points):
    """The model and the simulator, by how far each is off the same live moves."""
    told = {"the model": rows, "the simulator": []}
    for row, point in zip(rows, points):
        seen = row_of(run, *point, simulated(run, *point, "random"))
        told["the simulator"].append({**row, **{key + part: value for key in FIELDS for part, value in (
            ("_model", seen[key]), ("_error", error(seen[key], row[key])))}})
    errors = [errors_of(name, rows_) for name, rows_ in told.items()]
    run.table("live-both", "How far each is off the live moves", error_columns("what tells it"), errors)
    run.note("live.simulator", errors[-1])


def simulate(run):
    run.heading("The model")
    check_by_hand(run)
    draw(run, *curves(run))
    equal_rates(run)
    beside_the_simulator(run)


# --- what the text claims ---

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


def foretells(found):
    worlds = [(WORLDS[world], found[f"{world}.errors"]) for world in ("sim", "live")]
    return ("; ".join(f"{name}: Tm {e['total_s_median_share']:.0f} %, Td {e['unavailable_s_median_share']:.0f} %"
                      f" (median over {e['completed']} points)" for name, e in worlds),
            [e[f"{figure}_median_share"] <= 10 for _, e in worlds for figure in FIELDS])


def equally_high_in(world):
    def judged(found):
        points = {(p["approach"], p["rate"]): p for p in found[f"{world}.points"] if p["varied"] == "both"}
        rates = sorted({rate for _, rate in points if rate >= 5})
        won, told = [], []
        for figure, short in (("total_s", "Tm"), ("unavailable_s", "Td")):
            values = [[points[NAMES[kind], rate][figure] for kind in KINDS] for rate in rates]
            won.append(sum(v[2] is not None and v[2] < min(x or math.inf for x in v[:2]) for v in values))
            told.append(f"{short} {', '.join('-' if v is None else f'{v:.2f}' for v in values[0])} s")
        return (f"of {len(rates)} equal rates from {rates[0]} to {rates[-1]} MB/s hybrid has the least Tm at {won[0]}"
                f" and the least Td at {won[1]}; at {rates[0]} MB/s {' and '.join(told)} (pre-copy, post-copy, hybrid)",
                [count == len(rates) for count in won])
    return judged


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
          "by the model: least Tm, least Td at every equal rate from 5 to 12 MB/s", equally_high),
    Claim("the same, simulated", "at equally high rates hybrid minimises both times", "",
          "simulated: least Tm, least Td at every equal rate from 5 MB/s on", equally_high_in("sim")),
    Claim("the same, live", "at equally high rates hybrid minimises both times", "",
          "live: least Tm, least Td at every equal rate from 5 MB/s on", equally_high_in("live")),
    Claim("title and conclusion", "the model tells total and unavailable time beforehand", "",
          "median error of Tm and of Td at most 10 %, simulated and live", foretells),
]

PAPER = Paper(
    "s5", "An analytic model of hybrid migration",
    "Model of dynamic migration of virtual machines with the hybrid approach, Scientific and Technical"
    " Journal of Information Technologies, Mechanics and Optics, 17(4), 2017. Figures 2 and 3 are lost in"
    " the text; they are drawn from its equations.",
    CLAIMS, simulate, live)
