# SPDX-License-Identifier: MIT
"""S4: the source runs on, and what its copy touches first is sent first."""

import os
from statistics import fmean

from kit.claim import Claim
from kit.numbers import interval
from kit.paper import Paper
from kit.live import bench
from kit.run import Column, PaperError

# A task on one vCPU that never idles: it touches 20,000 pages a second, a fifth of them to write.
RATES = {"write_rate": 4000, "read_rate": 16000, "cpu": 1}
WORKLOADS = {
    "sequential": {"kind": "sequential", "working_set": "64M", **RATES},
    "strided": {"kind": "sequential", "working_set": "64M", "stride": "68K", **RATES},
    "random": {"kind": "random", "working_set": "64M", **RATES},
    "pointers": {"kind": "chase", "working_set": "64M", **RATES},
    "phases": {"kind": "phases", "working_set": "16M", "phases": 8, "phase": "500ms", **RATES},
    "compile": {"kind": "compile", "working_set": "64M", "phase": "500ms", **RATES},
}
ORDERS = {
    "demand": ("order=demand",),
    "linear": ("order=linear",),
    "bubble, 1 pivot": ("order=bubble", "pivots=1"),
    "bubble, 8 pivots": ("order=bubble", "pivots=8"),
    "forecast": ("order=forecast",),
    "queue": ("order=queue",),
}
# What a pure post-copy knows nothing of: nothing was forecast before it.
AT_ONCE = [order for order in ORDERS if order != "forecast"]
BANDWIDTHS = ("100mbit", "400mbit", "1gbit")
LATENCIES = ("100us", "1ms", "5ms")
USUAL = ("400mbit", "1ms")
DIVERGENCES = (0, 0.04, 0.12, 0.25, 0.5, 1)
SHOWN = ("sequential", "random", "pointers", "phases")
MS = 1e6


def scenario(workload, bandwidth, latency, **shadow):
    return {"vm": {"ram": "256M", "vcpus": 1, "shadow": shadow}, "workload": WORKLOADS[workload],
            "link": {"bandwidth": bandwidth, "latency": latency}}


def seeds_of(run):
    return "1-2" if run.quick else "1-10"


def play(run, what, order, seeds, *policy):
    words = [word for setting in ORDERS[order] for word in ("--set", setting)]
    return run.sim(what, "--policy", *policy, *words, "--seed", seeds)


def figures(result):
    guest = result["guest"]
    return {
        "total_s": result["total_time_ns"] / 1e9,
        "downtime_ms": result["downtime_ns"] / MS,
        "stall_ms": result["stall_ns"] / MS,
        "unavailable_ms": result["unavailable_ns"] / MS,
        "faults": result["faults"],
        "progress": 100 - guest["early_stall_ns"] / 1e7,
        "arrived": 100 * guest["arrived_pages"] / max(1, guest["touched_pages"]),
    }


def mean(rows):
    return {key: fmean(row[key] for row in rows) for key in rows[0]}


def less(ours, theirs):
    """By how many per cent ours is below theirs."""
    return 100 * (1 - ours / theirs) if theirs else 0.0


COLUMNS = [Column("workload", "workload"), Column("order", "order"), Column("total_s", "total time, s", 2),
           Column("downtime_ms", "downtime, ms", 1), Column("stall_ms", "stall, ms", 0),
           Column("unavailable_ms", "unavailable, ms", 0), Column("faults", "faults", 0),
           Column("progress", "ran in its first second, %", 1),
           Column("arrived", "there before touched, %", 1)]


# --- every order, one link ---

def measure_orders(run, orders, seeds, *policy):
    """{workload: {order: figures of each seed}}"""
    return {workload: {order: [figures(result) for result in play(run, scenario(workload, *USUAL), order, seeds, *policy)]
                       for order in orders}
            for workload in run.progress(f"orders of {policy[0]}", WORKLOADS)}


def tell_orders(run, name, title, found):
    rows = [{"workload": workload, "order": order, **mean(seen)}
            for workload, by_order in found.items() for order, seen in by_order.items()]
    run.table(name, title, COLUMNS, rows)
    orders = list(next(iter(found.values())))
    wide = [{"workload": workload, **{order: mean(seen)["unavailable_ms"] for order, seen in by_order.items()}}
            for workload, by_order in found.items()]
    run.table(name + "-unavailable", title, [Column("workload", "workload"), *(Column(o, o, 0) for o in orders)],
              wide, shown=False)
    run.chart(name + "-unavailable", title + ": unavailable time",
              {"kind": "bars", "x": "workload", "slant": True, "log": True, "ylabel": "unavailable time, ms",
               "series": [{"column": order, "title": order} for order in orders]})
    run.note(name, {workload: {order: mean(seen) for order, seen in by_order.items()}
                    for workload, by_order in found.items()})


def every_order(run):
    seeds = seeds_of(run)
    run.heading("Every order, over 400 Mbit/s and 1 ms")
    run.text("""A task of one vCPU on a VM of 256 MiB is handed over at once (post-copy); each cell is a mean over ten
        seeds. The order `forecast` knows nothing here and is left out. What counts for the guest is the time that it
        could not run: downtime and stall.""")
    tell_orders(run, "post-copy", "Handed over at once", measure_orders(run, AT_ONCE, seeds, "postcopy"))
    run.text("""After one pass of pre-copy only what was written meanwhile is missing, and the windows of eight seconds
        before the move forecast which of it is needed first (S3).""")
    after = [order for order in ORDERS if order != "demand"]
    tell_orders(run, "one-pass", "After one pass", measure_orders(run, after, seeds, "sdf-hybrid", "--set", "alpha=1", "--set", "first=whole"))


# --- links ---

def over_links(run):
    seeds = seeds_of(run)
    links = [(b, l) for b in BANDWIDTHS for l in LATENCIES]
    if run.quick:
        links = [USUAL]
    cells = []
    for bandwidth, latency in run.progress("links", links):
        for workload in WORKLOADS:
            what = scenario(workload, bandwidth, latency)
            seen = {order: [figures(result) for result in play(run, what, order, seeds, "postcopy")]
                    for order in ("demand", "linear", "queue")}
            against = [ours["unavailable_ms"] - theirs["unavailable_ms"]
                       for ours, theirs in zip(seen["queue"], seen["linear"])]
            _, low, high = interval(against)
            means = {order: mean(rows) for order, rows in seen.items()}
            ours = means["queue"]
            cells.append({
                "link": f"{bandwidth}, {latency}", "workload": workload,
                **{f"{order}_ms": means[order]["unavailable_ms"] for order in means},
                "below_demand": less(ours["unavailable_ms"], means["demand"]["unavailable_ms"]),
                "below_linear": less(ours["unavailable_ms"], means["linear"]["unavailable_ms"]),
                "low_ms": low, "high_ms": high,
                "downtime_more_ms": ours["downtime_ms"] - means["linear"]["downtime_ms"],
                "total_below_demand": less(ours["total_s"], means["demand"]["total_s"]),
                "total_below_linear": less(ours["total_s"], means["linear"]["total_s"]),
                "progress_more": ours["progress"] - means["linear"]["progress"],
            })
    run.heading("Rates and latencies")
    run.text("""Unavailable time of the queue beside demand paging and linear push; the interval is that of the mean
        difference to linear, of runs with the same seed (95 %, bootstrap): above zero the queue is worse.""")
    run.table("links", "Unavailable time", [
        Column("link", "link"), Column("workload", "workload"), Column("demand_ms", "demand, ms", 0),
        Column("linear_ms", "linear, ms", 0), Column("queue_ms", "queue, ms", 0),
        Column("below_demand", "below demand, %", 1), Column("below_linear", "below linear, %", 1),
        Column("low_ms", "difference to linear, ms: from", 1), Column("high_ms", "to", 1)], cells)
    wide = [{"link": link, **{c["workload"]: c["below_linear"] for c in cells if c["link"] == link}}
            for link in dict.fromkeys(c["link"] for c in cells)]
    run.table("links-gain", "Below linear push", [Column("link", "link"), *(Column(w, w, 1) for w in WORKLOADS)],
              wide, shown=False)
    run.chart("links-gain", "How far the queue's unavailable time is below linear push's",
              {"kind": "bars", "x": "link", "slant": True, "bottom": "*", "ylabel": "below linear, %",
               "series": [{"column": workload, "title": workload} for workload in WORKLOADS]})
    run.note("links", cells)


# --- a shadow that does something else ---

def astray(run):
    seeds = seeds_of(run)
    rows = []
    for divergence in run.progress("divergence", DIVERGENCES[::5] if run.quick else DIVERGENCES):
        row = {"divergence": divergence}
        for workload in SHOWN:
            results = play(run, scenario(workload, *USUAL, divergence=divergence), "queue", seeds, "postcopy")
            linear = play(run, scenario(workload, *USUAL), "linear", seeds, "postcopy")
            row[workload] = less(fmean(r["unavailable_ns"] for r in results),
                                 fmean(r["unavailable_ns"] for r in linear))
            row[workload + "_foretold"] = 100 * (sum(r["shadow"]["foretold"] for r in results)
                                                 / max(1, sum(r["shadow"]["faults"] for r in results)))
        rows.append(row)
    run.heading("A shadow that does something else")
    run.text("""Interrupts, time and input are the shadow's own: a share of its touches goes to any other page. Pages
        that come in time do not fault, so that the share of faults on pages that the shadow had touched falls with the
        first few strays; its pages lose their priority when it is worthless, and it wins it back when it is not.""")
    run.table("divergence", "Below linear push, by the share of touches that go elsewhere", [
        Column("divergence", "divergence", 2), *(Column(w, f"{w}, %", 1) for w in SHOWN),
        *(Column(w + "_foretold", f"{w}: faults foretold, %", 1) for w in SHOWN)], rows)
    run.chart("divergence", "Below linear push, by the share of touches that go elsewhere",
              {"kind": "lines", "x": "divergence", "xlabel": "share of touches that go elsewhere",
               "ylabel": "below linear, %", "bottom": "*",
               "series": [{"column": workload, "title": workload} for workload in SHOWN]})
    run.note("divergence", rows)


def simulate(run):
    every_order(run)
    over_links(run)
    astray(run)


# --- real VMs ---

LIVE_WORKLOADS = ("sequential", "strided", "random", "chase", "phases", "compile")
LIVE_ORDERS = ("demand", "linear", "bubble", "queue")
LIVE_LINKS = ("200mbit:2ms", "400mbit:1ms")
LIVE_ROUNDS = 3


def live_cell(rows, workload, link):
    by_order = {order: {row["round"]: row for row in rows if (row["workload"], row["link_name"], row["bench_order"])
                        == (workload, link, order)} for order in LIVE_ORDERS}
    rounds = sorted(set.intersection(*map(set, by_order.values())))
    seen = {order: [by_round[number] for number in rounds] for order, by_round in by_order.items()}

    def average(order, key, unit):
        return fmean(row[key] for row in seen[order]) / unit

    def more(key):
        return [(ours[key] - theirs[key]) / MS for ours, theirs in zip(seen["queue"], seen["linear"])]

    ours = average("queue", "unavailable_ns", MS)
    _, low, high = interval(more("unavailable_ns"))
    downtime, down_low, down_high = interval(more("downtime_ns"))
    foretold = [row["shadow"] for row in seen["queue"] if row.get("shadow")]
    return {
        "link": link.replace(":", ", "), "workload": workload, "rounds": len(rounds),
        **{f"{order}_ms": average(order, "unavailable_ns", MS) for order in LIVE_ORDERS},
        **{f"{order}_faults": average(order, "faults", 1) for order in LIVE_ORDERS},
        **{f"{order}_s": average(order, "total_time_ns", 1e9) for order in LIVE_ORDERS},
        "below_demand": less(ours, average("demand", "unavailable_ns", MS)),
        "below_linear": less(ours, average("linear", "unavailable_ns", MS)),
        "low_ms": low, "high_ms": high,
        "downtime_ms": average("linear", "downtime_ns", MS), "downtime_more_ms": downtime,
        "down_low_ms": down_low, "down_high_ms": down_high,
        "total_below_demand": less(average("queue", "total_time_ns", 1), average("demand", "total_time_ns", 1)),
        "total_below_linear": less(average("queue", "total_time_ns", 1), average("linear", "total_time_ns", 1)),
        "foretold": 100 * sum(s["foretold"] for s in foretold) / max(1, sum(s["faults"] for s in foretold)),
    }


def live(run):
    run_ahead = bench(run, "run_ahead")
    workloads = LIVE_WORKLOADS[2:3] if run.quick else LIVE_WORKLOADS
    run.say("moves of real VMs over a link with a latency (a quarter of an hour; kept, so it may be interrupted)")
    try:
        rows = run_ahead.collect(os.path.join(run.folder, "moves.jsonl"), workloads, LIVE_LINKS, list(LIVE_ORDERS),
                                 2 if run.quick else LIVE_ROUNDS)
    except (RuntimeError, OSError) as error:
        raise PaperError(str(error)) from None
    cells = [live_cell(rows, workload, link) for link in LIVE_LINKS for workload in workloads]
    run.heading("Real VMs")
    run.text(f"""A QEMU guest of one vCPU and {run_ahead.USUAL_MEMORY} (the compiler: 256M) works through {run_ahead.TOUCHED_MIB} MiB, or runs a C
        compiler again and again. Each host is bound to one processor, and frames between them are delayed by a relay
        of taps (`bench/run_ahead.py`). Each round moves the same guest once by each order, in turn; intervals are of
        differences within rounds (95 %, bootstrap).""")
    run.table("live-links", "Unavailable time", [
        Column("link", "link"), Column("workload", "workload"), Column("rounds", "rounds"),
        *(Column(f"{order}_ms", f"{order}, ms", 0) for order in LIVE_ORDERS),
        Column("below_demand", "below demand, %", 1), Column("below_linear", "below linear, %", 1),
        Column("low_ms", "difference to linear, ms: from", 0), Column("high_ms", "to", 0)], cells)
    run.table("live-rest", "Downtime, faults, total time", [
        Column("link", "link"), Column("workload", "workload"), Column("downtime_ms", "downtime of linear, ms", 1),
        Column("downtime_more_ms", "of queue: more, ms", 1), Column("down_low_ms", "from", 1),
        Column("down_high_ms", "to", 1),
        *(Column(f"{order}_faults", f"faults, {order}", 0) for order in LIVE_ORDERS),
        *(Column(f"{order}_s", f"total of {order}, s", 2) for order in ("demand", "linear", "queue")),
        Column("foretold", "faults foretold, %", 0)], cells)
    run.chart("live-links", "Unavailable time of real VMs",
              {"kind": "bars", "x": "workload", "slant": True, "log": True, "ylabel": "unavailable time, ms",
               "series": [{"column": f"{order}_ms", "title": order} for order in LIVE_ORDERS]})
    run.note("live-links", cells)


# --- what the poster claims, and what was to be reached ---

def best(cells, key):
    cell = max(cells, key=lambda c: c[key])
    return f"{cell[key]:.0f} % ({cell['workload']}, {cell['link']})", cell[key]


def best_case(least, links="links"):
    def judged(found):
        told, value = zip(*(best(found[links], f"below_{other}") for other in ("demand", "linear")))
        return (f"in the best case unavailable time is {told[0]} below demand paging, {told[1]} below linear push",
                [v >= least for v in value])
    return judged


def total_time(found):
    told, value = zip(*(best(found["links"], f"total_below_{other}") for other in ("demand", "linear")))
    worst = min(c["total_below_linear"] for c in found["links"])
    return (f"in the best case {told[0]} below demand paging, {told[1]} below linear push, which keeps the link full"
            f" as the queue does; at worst {-worst:.1f} % above it", [v >= 38 for v in value])


def never_worse(links="links"):
    def judged(found):
        cells = found[links]
        worse = [c for c in cells if c["low_ms"] > 0]
        told = "; ".join(f"{c['workload']} over {c['link']}: {c['low_ms']:.1f} to {c['high_ms']:.1f} ms" for c in worse)
        return (f"of {len(cells)} cells the queue is better in {sum(c['high_ms'] < 0 for c in cells)}, worse in"
                f" {len(worse)}" + (f" ({told})" if worse else ""), [not worse])
    return judged


def no_longer_down_live(found):
    cells = found["live-links"]
    longer = [c for c in cells if c["down_low_ms"] > 0]
    told = ", ".join(f"{c['workload']} {c['downtime_more_ms']:+.1f} ({c['down_low_ms']:.1f} to {c['down_high_ms']:.1f})"
                     for c in cells)
    return f"difference to linear push, ms: {told}", [not longer]


def no_longer_down(found):
    more = max(c["downtime_more_ms"] for c in found["links"])
    return f"at most {max(more, 0):.2f} ms longer than under linear push", [more <= 0.5]


def goes_on(found):
    rows = {workload: {order: row["progress"] for order, row in by_order.items()}
            for workload, by_order in found["post-copy"].items()}
    first = [workload for workload, by_order in rows.items() if by_order["queue"] >= max(by_order.values()) - 0.5]
    told = ", ".join(f"{workload} {by['queue']:.0f} % (linear {by['linear']:.0f}, demand {by['demand']:.0f})"
                     for workload, by in rows.items())
    return f"of its first second the guest ran: {told}", [workload in first for workload in rows]


def seldom_waits(found):
    rows = {workload: {order: row["stall_ms"] for order, row in by_order.items()}
            for workload, by_order in found["post-copy"].items()}
    told = ", ".join(f"{workload} {by['queue']:.0f} ms (next best {min(v for o, v in by.items() if o != 'queue'):.0f})"
                     for workload, by in rows.items())
    return f"stall {told}", [by["queue"] <= min(by.values()) for by in rows.values()]


def foretells(found):
    rows = {row["divergence"]: row for row in found["divergence"]}
    told = ", ".join(f"{workload} {rows[0][workload]:.0f} / {rows[1][workload]:.0f} %" for workload in SHOWN)
    return (f"below linear push when it does the same / all else: {told}",
            [rows[0][w] > rows[1][w] for w in SHOWN] + [rows[1][w] > -10 for w in SHOWN])


def after_a_pass(found):
    rows = {workload: {order: row["unavailable_ms"] for order, row in by_order.items()}
            for workload, by_order in found["one-pass"].items()}
    told = ", ".join(f"{workload} {by['queue']:.0f} ms (forecast {by['forecast']:.0f}, linear {by['linear']:.0f})"
                     for workload, by in rows.items())
    return f"unavailable {told}", [by["queue"] <= by["forecast"] * 1.02 for by in rows.values()]


CLAIMS = [
    Claim("evaluation, figures 6 and 7, simulated", "the queue is better than post-copy, in the best case by up to",
          "38 %", "unavailable time, best case: at least 38 % below demand paging, and below linear push",
          best_case(38)),
    Claim("title, simulated", "it reduces migration time", "up to 38 %",
          "total time, best case: at least 38 % below demand paging, and below linear push", total_time),
    Claim("ours to reach, simulated", "in the best case half of the unavailable time is saved", "",
          "unavailable time, best case: at least 50 % below demand paging, and below linear push", best_case(50)),
    Claim("ours to reach, simulated", "on no workload is the queue worse than linear push", "",
          "no interval of the paired differences lies above zero", never_worse()),
    Claim("ours to reach, simulated", "downtime is not longer than plain post-copy's", "",
          "at most half a millisecond longer anywhere", no_longer_down),
    Claim("design, simulated", "the next page is known, so the guest seldom waits", "",
          "the least stall of all orders, for each workload", seldom_waits),
    Claim("abstract, simulated", "service continues while the VM moves", "",
          "of the first second after the switch the guest runs as much as under the best order, or more",
          goes_on),
    Claim("ours to reach, simulated", "a shadow that leads astray is found out", "",
          "the less it diverges the better; at worst 10 % above linear push", foretells),
    Claim("ours to reach, simulated", "after a pass of pre-copy it shows what a forecast shows, or more", "",
          "unavailable time at most 2 % above order forecast's, for each workload", after_a_pass),
    Claim("evaluation, live", "the queue is better than post-copy, in the best case by up to", "38 %",
          "real VMs, unavailable time, best case: at least 38 % below demand paging, and below linear push",
          best_case(38, "live-links")),
    Claim("ours to reach, live", "in the best case half of the unavailable time is saved", "",
          "real VMs, unavailable time, best case: at least 50 % below demand paging, and below linear push",
          best_case(50, "live-links")),
    Claim("ours to reach, live", "on no workload is the queue worse than linear push", "",
          "no interval of the paired differences lies above zero", never_worse("live-links")),
    Claim("ours to reach, live", "downtime is not longer than plain post-copy's", "",
          "no interval of the paired differences lies above zero", no_longer_down_live),
]

PAPER = Paper(
    "s4", "Run-ahead: the same task on both hosts, pages in a queue",
    "A new way to reduce virtual machine migration time, poster, National Chung Cheng University. Its figures are"
    " lost in the text; it compares with post-copy by \"efficiency\", in its own simulation.",
    CLAIMS, simulate, live)
