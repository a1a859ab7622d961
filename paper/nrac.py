# SPDX-License-Identifier: MIT
"""S2's second half: NRAC, which divides a link between migrations and the traffic of the VMs that move."""

from statistics import median

from kit.claim import Claim
from kit.run import Column

LINKS = {"free": "1gbit", "50 Mbit/s": "50mbit", "30 Mbit/s": "30mbit"}
NARROW = ("50 Mbit/s", "30 Mbit/s")
ABOVE = "3mbit"  # Th_r: who sends more is network-intensive
PLAIN, LISTING, TEXT, CONSERVING = "plain pre-copy", "NRAC, listing", "NRAC, text", "NRAC, work-conserving"
DIVISIONS = {
    PLAIN: {"policy": "fair"},
    LISTING: {"policy": "nrac", "settings": {"reading": "listing", "network_above": ABOVE}},
    TEXT: {"policy": "nrac", "settings": {"reading": "text", "network_above": ABOVE}},
    CONSERVING: {"policy": "nrac-wc", "settings": {"network_above": ABOVE}},
}
USABLE = (TEXT, CONSERVING)
JUDGED = {PLAIN: "plain", TEXT: "text", CONSERVING: "conserving"}  # and how their columns are called
ALONE, IN_TURN, AT_ONCE = MOVES = ("alone", "in turn", "at once")
ONE_BY_ONE = (ALONE, IN_TURN)

# What writes a lot has a small working set, so that plain pre-copy converges over the narrowest link, too.
VMS = {
    "idle": {"kind": "idle"},
    "memory": {"kind": "locality", "write_rate": 300, "read_rate": 1000, "working_set": "16M"},
    "cpu": {"kind": "locality", "write_rate": 60, "read_rate": 1000, "cpu": 0.9, "working_set": "16M"},
    "network": {"kind": "server", "write_rate": 200, "working_set": "16M"},
}
RESERVED = 15             # Mbit/s that the network-intensive VM's client wants
WANTED = (5, 10, 15, 20, 25)
LIMIT_MINUTES = 10
NEAR = 5                  # per cent that are no difference
KEPT = 90                 # per cent of its rate that the client is to keep


def vms_of(wanted):
    return [{"name": name, "ram": "256M", "populated": 0.5,
             "workload": {**workload, **({"network": f"{wanted}mbit"} if name == "network" else {})}}
            for name, workload in VMS.items()]


def scenario(rate, division, moves, wanted=RESERVED):
    made = {"deadline": f"{LIMIT_MINUTES}m", "downtime": "300ms", "sharing": division, "vms": vms_of(wanted)}
    if moves == ALONE:
        for vm in made["vms"]:
            vm["over"] = [vm["name"]]
        return {**made, "links": [{"name": name, "bandwidth": rate} for name in VMS]}
    if moves == IN_TURN:
        made["at_once"] = 1
    return {**made, "link": {"bandwidth": rate}}


# --- figures ---

def middle(results, figure):
    """The median of moves; None where one has not ended."""
    ended = all(result["outcome"] == "completed" for result in results)
    return median(map(figure, results)) if ended else None


def kept_share(result):
    """What the VM's own traffic got of what it wanted while it moved, %."""
    traffic = result["guest"]["traffic"]
    return 100 * traffic["bytes"] / traffic["wanted_bytes"]


def gone_after(results):
    """How long after the order to move the last VM was gone, s."""
    ends = {}
    for result in results:
        ends[result["seed"]] = max(ends.get(result["seed"], 0), result["end_ns"])
    return median(ends.values()) / 1e9


def figures(results):
    of = {name: [result for result in results if result["vm"]["name"] == name] for name in VMS}
    ended = sum(result["outcome"] == "completed" for result in results)
    return {
        "total_s": {name: middle(moves, lambda r: r["total_time_ns"] / 1e9) for name, moves in of.items()},
        "dirty": {name: middle(moves, lambda r: sum(row["dirty_pages"] for row in r["rounds"]))
                  for name, moves in of.items()},
        "rounds": {name: middle(moves, lambda r: len(r["rounds"])) for name, moves in of.items()},
        "downtime_ms": {name: middle(moves, lambda r: r["downtime_ns"] / 1e6) for name, moves in of.items()},
        "ended": f"{ended} of {len(results)}",
        "gone_s": gone_after(results) if ended == len(results) else None,
        "kept": median(map(kept_share, of["network"])),
    }


def measure(run, seeds):
    """{link: {moves: {division: figures}}}"""
    return {link: {moves: {name: figures(run.sim(scenario(rate, division, moves), "--seed", seeds))
                           for name, division in DIVISIONS.items()}
                   for moves in MOVES}
            for link, rate in run.progress("links that are divided", LINKS.items())}


# --- pages ---

BY_VM = ("total_s", "dirty", "rounds", "downtime_ms")


def row_of(link, moves, name, seen):
    flat = {f"{figure}_{vm}": seen[figure][vm] for figure in BY_VM for vm in VMS}
    return {"link": link, "moves": moves, "by": name, **flat,
            **{figure: seen[figure] for figure in ("ended", "gone_s", "kept")}}


def of_vms(figure, head, digits):
    return [Column(f"{figure}_{vm}", f"{vm}: {head}", digits) for vm in VMS]


def tell(run, found):
    rows = [row_of(link, moves, name, seen) for link, by_moves in found.items()
            for moves, by_name in by_moves.items() for name, seen in by_name.items()]
    where = [Column("link", "link"), Column("moves", "moves"), Column("by", "by")]
    run.table("nrac", "Total time, and the network-intensive VM's own traffic while it moves", [
        *where, *of_vms("total_s", "total time, s", 1), Column("ended", "moves that ended"),
        Column("gone_s", "all gone after, s", 1), Column("kept", "kept of its own rate, %", 0)], rows)
    run.table("nrac-pages", "Dirty pages, rounds, downtime", [
        *where, *of_vms("dirty", "dirty pages", 0), *of_vms("rounds", "rounds", 0),
        *of_vms("downtime_ms", "downtime, ms", 0)], [row for row in rows if row["by"] != LISTING])
    draw(run, found)


def draw(run, found):
    for moves in (IN_TURN, AT_ONCE):
        name = f"nrac-total-{moves.replace(' ', '-')}"
        title = f"Total time, moves {moves}"
        rows = [{"vm": f"{vm}, {link.split()[0]}", **{by: found[link][moves][by]["total_s"][vm] for by in JUDGED}}
                for link in NARROW for vm in VMS]
        run.table(name, title, [Column("vm", "VM"), *(Column(by, by, 1) for by in JUDGED)], rows, shown=False)
        run.chart(name, f"{title}, over 50 and 30 Mbit/s", {
            "kind": "bars", "x": "vm", "slant": True, "ylabel": "total time, s",
            "series": [{"column": by, "title": by} for by in JUDGED]})
    rows = [{"where": f"{link}, {moves}", **{by: found[link][moves][by]["kept"] * RESERVED / 100 for by in DIVISIONS}}
            for link in NARROW for moves in MOVES]
    run.table("nrac-throughput", "Throughput of the network-intensive VM", [
        Column("where", "link, moves"), *(Column(by, by, 1) for by in DIVISIONS)], rows, shown=False)
    title = f"Throughput of the network-intensive VM while it moves; its client wants {RESERVED} Mbit/s"
    run.chart("nrac-throughput", title, {
        "kind": "bars", "x": "where", "slant": True, "ylabel": "Mbit/s",
        "series": [{"column": by, "title": by} for by in DIVISIONS]})


def by_wanted(run, seeds):
    """What a client keeps that wants more, or less, than its share of the narrowest link; moves in turn."""
    rows = []
    for wanted in run.progress("clients", WANTED):
        row = {"wanted": wanted}
        for by, key in JUDGED.items():
            made = scenario(LINKS["30 Mbit/s"], DIVISIONS[by], IN_TURN, wanted)
            seen = figures(run.sim(made, "--seed", seeds))
            row.update({f"{key}_mbit": seen["kept"] * wanted / 100, f"{key}_s": seen["total_s"]["network"]})
        rows.append(row)
    title = "The network-intensive VM over 30 Mbit/s, moves in turn, by what its client wants"
    run.table("nrac-wanted", title, [
        Column("wanted", "wanted, Mbit/s", 0),
        *(Column(f"{key}_mbit", f"{by}: got, Mbit/s", 1) for by, key in JUDGED.items()),
        *(Column(f"{key}_s", f"{by}: total time, s", 1) for by, key in JUDGED.items())], rows)
    run.chart("nrac-wanted", title, {
        "kind": "lines", "x": "wanted", "xlabel": "what the client wants, Mbit/s", "ylabel": "what it gets, Mbit/s",
        "series": [{"column": f"{key}_mbit", "title": by} for by, key in JUDGED.items()]})
    run.note("nrac.wanted", rows)


def simulate(run):
    seeds = "1" if run.quick else "1-10"
    run.heading("NRAC: four VMs leave over one link")
    run.text(f"""An idle, a memory-, a CPU- and a network-intensive VM of 256 MiB, half of it data, medians of ten
        seeds. The link has 1 Gbit/s ("free"), 50 or 30 Mbit/s; the client of the network-intensive VM wants
        {RESERVED} Mbit/s. The text does not say what its VMs do; these are ours. Plain pre-copy shares the link max-min
        fairly between all migrations and the client. "Alone", each VM has the link to itself; "in turn", all four
        share it and move one after the other; "at once" they may all move together. A move's total time begins when
        it begins, so that those that NRAC makes wait are not yet counted; "all gone" counts from the order to move.
        A move that has not converged after {LIMIT_MINUTES} minutes stays, and its figures are "-".""")
    found = measure(run, seeds)
    tell(run, found)
    run.note("nrac", found)
    by_wanted(run, seeds)


# --- what the text claims ---

def changes(found, link, moves, by):
    """{vm: total time against plain pre-copy's, %}"""
    ours, plain = (found["nrac"][link][moves][name]["total_s"] for name in (by, PLAIN))
    return {vm: 100 * (ours[vm] / plain[vm] - 1) for vm in VMS}


def compared(link, moves_, check):
    """The judge of a claim about total times; check: changes -> its checks."""
    def judge(found):
        told, checks = [], []
        for moves in moves_:
            for by in USABLE:
                seen = changes(found, link, moves, by)
                told.append(f"{moves}, {by}: " + ", ".join(f"{vm} {value:+.0f} %" for vm, value in seen.items()))
                checks += check(seen)
        return "; ".join(told), checks
    return judge


def no_difference(seen):
    return [abs(value) <= NEAR for value in seen.values()]


def no_loss(seen):
    return [value <= NEAR for value in seen.values()]


def loaded_shorter(seen):
    return [seen[vm] < -NEAR for vm in ("memory", "network")]


def only_loaded_shorter(seen):
    return loaded_shorter(seen) + [abs(seen[vm]) <= NEAR for vm in ("idle", "cpu")]


def all_shorter(seen):
    return [value < -NEAR for value in seen.values()]


def orderings(links, first, second):
    """The judge of: under plain pre-copy, `first` has more dirty pages than `second`, and takes longer."""
    def judge(found):
        told, checks = [], []
        for moves in ONE_BY_ONE:
            for link in links:
                seen = found["nrac"][link][moves][PLAIN]
                told.append(f"{moves}, {link}: " + ", ".join(
                    f"{vm} {seen['dirty'][vm]:,.0f} pages, {seen['total_s'][vm]:.1f} s" for vm in (first, second)))
                checks += [seen[figure][first] > seen[figure][second] for figure in ("dirty", "total_s")]
        return "; ".join(told), checks
    return judge


def listing_ends(found):
    cells = [found["nrac"][link][moves][LISTING]["ended"].split(" of ") for link in LINKS for moves in MOVES]
    return (f"{sum(int(ended) for ended, _ in cells)} of {sum(int(count) for _, count in cells)} moves ended",
            [ended == count for ended, count in cells])


def client_keeps(found):
    told, checks = [], []
    for link in NARROW:
        for moves in MOVES:
            seen = found["nrac"][link][moves]
            told.append(f"{link}, {moves}: " + ", ".join(f"{by} {seen[by]['kept']:.0f} %" for by in JUDGED))
            checks += [seen[by]["kept"] >= KEPT for by in USABLE]
    return "; ".join(told), checks


def told_time(seconds):
    return "does not end" if seconds is None else f"{seconds:.0f} s"


def greedy_client_keeps(found):
    told, checks = [], []
    for row in found["nrac.wanted"]:
        if row["wanted"] > RESERVED:
            told.append(f"wants {row['wanted']} Mbit/s: " + ", ".join(
                f"{by} {row[key + '_mbit']:.1f}, the move {told_time(row[key + '_s'])}" for by, key in JUDGED.items()))
            checks += [100 * row[JUDGED[by] + "_mbit"] / row["wanted"] >= KEPT for by in USABLE]
    return "; ".join(told), checks


def gone_as_soon(found):
    told, checks = [], []
    for link in LINKS:
        seen = found["nrac"][link][AT_ONCE]
        told.append(f"{link}: " + ", ".join(f"{by} {seen[by]['gone_s']:.1f} s" for by in JUDGED))
        checks += [seen[by]["gone_s"] <= seen[PLAIN]["gone_s"] * (1 + NEAR / 100) for by in USABLE]
    return "; ".join(told), checks


SAME = f"within {NEAR} %"
SHORTER = f"shorter by more than {NEAR} %"
BOTH = "one VM after the other (alone, in turn), the text's reading and work-conserving"
TOGETHER = "all at once, the text's reading and work-conserving, waiting not counted"

CLAIMS = [
    Claim("figures 1 and 2", "pre-copy: without a limit and at 50 Mbit/s the memory-intensive VM has more dirty pages,"
          " and takes longer, than the network-intensive one", "", "both figures, alone and in turn",
          orderings(("free", "50 Mbit/s"), "memory", "network")),
    Claim("figures 1 and 2", "pre-copy: at 30 Mbit/s the network-intensive VM overtakes the memory-intensive one"
          " in both", "", "both figures, alone and in turn", orderings(("30 Mbit/s",), "network", "memory")),
    Claim("figure 6", "on a free link NRAC makes no difference", "", f"{BOTH}: total time {SAME}",
          compared("free", ONE_BY_ONE, no_difference)),
    Claim("figure 7", "at 50 Mbit/s NRAC shortens the moves of the memory- and the network-intensive VM; idle and"
          " CPU are alike", "", f"{BOTH}: total time {SHORTER}, or {SAME}",
          compared("50 Mbit/s", ONE_BY_ONE, only_loaded_shorter)),
    Claim("figure 8", "at 30 Mbit/s NRAC shortens all four", "", f"{BOTH}: total time {SHORTER}",
          compared("30 Mbit/s", ONE_BY_ONE, all_shorter)),
    Claim("figure 6, concurrent", "on a free link nothing is lost", "", f"{TOGETHER}: no total time longer by more than"
          f" {NEAR} %", compared("free", (AT_ONCE,), no_loss)),
    Claim("figure 7, concurrent", "at 50 Mbit/s NRAC shortens the moves of the memory- and the network-intensive VM",
          "", f"{TOGETHER}: total time {SHORTER}", compared("50 Mbit/s", (AT_ONCE,), loaded_shorter)),
    Claim("figure 8, concurrent", "at 30 Mbit/s NRAC shortens all four", "", f"{TOGETHER}: total time {SHORTER}",
          compared("30 Mbit/s", (AT_ONCE,), all_shorter)),
    Claim("NRAC, lines 10 and 15", "a migration that gets the rate at which its VM dirties pages comes to an end", "",
          f"the listing's reading: every move converges within {LIMIT_MINUTES} minutes, on each link", listing_ends),
    Claim("section 5", "what the network-intensive VM needs is reserved", "",
          f"its client keeps {KEPT} % of its rate or more at 50 and 30 Mbit/s, the text's reading and work-conserving",
          client_keeps),
    Claim("section 5, beyond half", "that holds where it needs more than half of the link, too", "",
          f"over 30 Mbit/s, moves in turn, clients of 20 and 25 Mbit/s keep {KEPT} % or more", greedy_client_keeps),
    Claim("ours to reach, simulated", "counted from the order to move, what is reserved delays nobody's end", "",
          f"all at once: the last VM is gone at most {NEAR} % later than by plain pre-copy", gone_as_soon),
]
