# SPDX-License-Identifier: MIT
"""S2's second half on real VMs: bench/uplink.py's four, and the client of the one that serves."""

import os
from itertools import accumulate
from statistics import fmean, median

from kit.claim import Claim, Found
from kit.live import bench
from kit.numbers import interval
from kit.run import Column, PaperError
from nrac import AT_ONCE, CONSERVING, IN_TURN, KEPT, LINKS, LISTING, NARROW, NEAR, PLAIN, TEXT, USABLE, VMS

WAYS = {"plain": PLAIN, "listing": LISTING, "text": TEXT, "conserving": CONSERVING}
MOVES = (IN_TURN, AT_ONCE)
ROUNDS = 1  # the cells of a round take 20 minutes together
MS = 1e6


# --- figures ---

def total_s(row, vm):
    """None: it stayed."""
    move = row["vms"][vm]
    return move["result"]["total_time_ns"] / 1e9 if move["moved"] else None


def gone_s(row, vm):
    """From the order to move to the VM's end at the source."""
    move = row["vms"][vm]
    return (move["end_ns"] - row["begin_ns"]) / 1e9 if move["moved"] else None


def of_result(figure):
    return lambda row, vm: figure(row["vms"][vm]["result"]) if row["vms"][vm]["moved"] else None


BY_VM = {
    "total_s": total_s,
    "gone_s": gone_s,
    "dirty": of_result(lambda result: sum(each["dirty_pages"] for each in result["rounds"])),
    "rounds": of_result(lambda result: len(result["rounds"])),
    "downtime_ms": of_result(lambda result: result["downtime_ns"] / MS),
}


def summed(values, how=median):
    return how(values) if values and None not in values else None


def figures(rows):
    """Medians of one cell; rows: its rounds."""
    moved = sum(vm["moved"] for row in rows for vm in row["vms"].values())
    found = {name: {vm: summed([figure(row, vm) for row in rows]) for vm in VMS}
             for name, figure in BY_VM.items()}
    for name, how in (("least_s", min), ("most_s", max)):
        found[name] = {vm: summed([total_s(row, vm) for row in rows], how) for vm in VMS}
    clients = [row["client"] for row in rows]
    last = [summed([gone_s(row, vm) for vm in VMS], max) for row in rows]
    return {
        **found,
        "count": len(rows),
        "ended": f"{moved} of {len(rows) * len(VMS)}",
        "last_s": summed(last),
        "mean_gone_s": summed(list(found["gone_s"].values()), fmean),
        "before": median(100 * row["before"]["kept"] for row in rows),
        "kept": median(100 * client["kept"] for client in clients),
        "least_kept": min(100 * client["kept"] for client in clients),
        "kept_own": median(100 * row["client_own_move"]["kept"] for row in rows),
        "p50_ms": median(client["latency_ns"]["p50"] / MS for client in clients),
        "p99_ms": median(client["latency_ns"]["p99"] / MS for client in clients),
    }


def against_plain(ours, plain):
    """{vm: what a move takes more, s, with its interval}: differences within rounds."""
    by_round = {row["round"]: row for row in plain}
    pairs = [(row, by_round[row["round"]]) for row in ours if row["round"] in by_round]
    more = {vm: [(total_s(a, vm), total_s(b, vm)) for a, b in pairs] for vm in VMS}
    return {vm: interval(a - b for a, b in times) if times and all(None not in pair for pair in times)
            else None for vm, times in more.items()}


def evaluate(rows):
    """{link: {moves: {way: figures}}}, of what there is."""
    found = {}
    for link in LINKS:
        for moves in MOVES:
            cell = {way: [row for row in rows if (row["link"], row["moves"], row["way"]) == (link, moves, way)]
                    for way in WAYS}
            seen = {WAYS[way]: figures(of) for way, of in cell.items() if of}
            for way, of in cell.items():
                if of and way != "plain":
                    seen[WAYS[way]]["more_s"] = against_plain(of, cell["plain"])
            if seen:
                found.setdefault(link, {})[moves] = seen
    return found


def side_by_side(rows):
    """How many labs there were at a time: cells that overlap, by the machine's clock."""
    edges = sorted([(row["begin_ns"], 1) for row in rows] + [(row["end_ns"], -1) for row in rows])
    return max(accumulate(step for _, step in edges))


# --- pages ---

def each_cell(found):
    for link, by_moves in found.items():
        for moves, by_way in by_moves.items():
            for way, seen in by_way.items():
                yield link, moves, way, seen


def flat(link, moves, way, seen):
    by_vm = {f"{name}_{vm}": value for name, of in seen.items() if isinstance(of, dict) and name != "more_s"
             for vm, value in of.items()}
    return {"link": link, "moves": moves, "by": way, **by_vm,
            **{name: value for name, value in seen.items() if not isinstance(value, dict)}}


def of_vms(figure, head, digits):
    return [Column(f"{figure}_{vm}", f"{vm}: {head}", digits) for vm in VMS]


def tell(run, found):
    rows = [flat(*cell) for cell in each_cell(found)]
    where = [Column("link", "link"), Column("moves", "moves"), Column("by", "by")]
    run.table("live-nrac", "Real VMs: total time, and how the client of the fourth was served meanwhile", [
        *where, Column("count", "rounds", 0), *of_vms("total_s", "total time, s", 1),
        Column("ended", "moves that ended"), Column("kept", "client kept of its rate, %", 0),
        Column("least_kept", "least of a round, %", 0), Column("kept_own", "while its own VM moved, %", 0),
        Column("before", "before any move, %", 0), Column("p50_ms", "an answer took, median, ms", 1),
        Column("p99_ms", "99th percentile, ms", 0)], rows)
    run.table("live-nrac-spread", "Real VMs: least and most of the total times", [
        *where, *(Column(f"{figure}_{vm}", f"{vm}: {head}, s", 1) for vm in VMS
                  for figure, head in (("least_s", "least"), ("most_s", "most")))], rows)
    run.table("live-nrac-gone", "Real VMs: from the order to move until it was gone, waiting counted", [
        *where, *of_vms("gone_s", "gone after, s", 1), Column("mean_gone_s", "mean of the four, s", 1),
        Column("last_s", "all gone after, s", 1)], rows)
    run.table("live-nrac-pages", "Real VMs: dirty pages, rounds, downtime", [
        *where, *of_vms("dirty", "dirty pages", 0), *of_vms("rounds", "rounds", 0),
        *of_vms("downtime_ms", "downtime, ms", 0)], [row for row in rows if row["by"] != LISTING])
    draw(run, found)


def draw(run, found):
    played = {way for _, _, way, _ in each_cell(found)}
    shown = [way for way in (PLAIN, TEXT, CONSERVING) if way in played]
    for moves in MOVES:
        name, title = f"live-nrac-total-{moves.replace(' ', '-')}", f"Total time of real VMs, moves {moves}"
        cells = {link: found[link][moves] for link in NARROW if moves in found.get(link, {})}
        if not cells:
            continue
        rows = [{"vm": f"{vm}, {link.split()[0]}",
                 **{way: by_way[way]["total_s"][vm] for way in shown if way in by_way}}
                for link, by_way in cells.items() for vm in VMS]
        run.table(name, title, [Column("vm", "VM"), *(Column(way, way, 1) for way in shown)], rows, shown=False)
        run.chart(name, f"{title}, over 50 and 30 Mbit/s", {
            "kind": "bars", "x": "vm", "slant": True, "ylabel": "total time, s",
            "series": [{"column": way, "title": way} for way in shown]})
    for name, figure, label in (("live-nrac-kept", "kept", "of its rate, %"),
                                ("live-nrac-latency", "p99_ms", "99th percentile of answers, ms")):
        title = f"The client of the network-intensive VM while VMs move: {label}"
        rows = [{"where": f"{link}, {moves}",
                 **{way: seen[figure] for way, seen in by_way.items() if way in shown}}
                for link in found for moves, by_way in found[link].items()]
        run.table(name, title, [Column("where", "link, moves"), *(Column(way, way, 0) for way in shown)], rows,
                  shown=False)
        run.chart(name, title, {"kind": "bars", "x": "where", "slant": True, "ylabel": label,
                                "series": [{"column": way, "title": way} for way in shown]})


def live(run):
    uplink = bench(run, "uplink")
    path = os.path.join(run.folder, "uplink.jsonl")
    links, ways = (("30 Mbit/s",), ("plain", "conserving")) if run.quick else (tuple(uplink.LINKS), tuple(WAYS))
    run.say("four real VMs leave over one link, with a client (20 minutes; kept, so it may be interrupted)")
    try:
        rows = uplink.collect(path, ROUNDS, os.path.dirname(run.godwit_path), links=links,
                              moves=MOVES[1:] if run.quick else MOVES, ways=ways,
                              told=lambda row: run.say(uplink.told_line(row)))
    except (uplink.CellFailed, RuntimeError, OSError) as error:
        raise PaperError(str(error)) from None
    wanted = f"{uplink.WANTED * 8 / 1e6:.0f}"
    run.heading("NRAC: four real VMs leave over one link")
    run.text(f"""An idle, a memory-, a CPU- and a network-intensive VM (QEMU, Debian's kernel, {uplink.MEMORY},
        about half of it data) with taps on their host's bridge, whose one port carries both what they send and their
        moves. The cable behind it is limited by a TBF. A client in a namespace of its own takes {wanted} Mbit/s from
        the fourth VM and asks it for an answer every 20 ms, from the order to move until that VM is gone. Plain
        pre-copy is `godwit migrate` of each; NRAC is `godwit evacuate --sharing nrac` or `nrac-wc`, with classes of
        traffic (HTB) on the host's device. "In turn" they go in the paper's order, `--at-once 1`. A VM may stand for
        {uplink.DOWNTIME}: over 5 Mbit/s device state alone takes half a second. The listing's reading is stopped after
        {uplink.LISTING_SECONDS:.0f} s. Medians; total time begins when the move does. Rounds beyond the first are added
        by `bench/uplink.py DIR/s2/uplink.jsonl --rounds 5`; of these, up to {side_by_side(rows)} at a time in labs of
        their own.""")
    found = evaluate(rows)
    tell(run, found)
    run.note("live-nrac", found)


# --- what the text claims ---

def cell_of(found, link, moves):
    """A way that was not played is missing from it."""
    return Found(found["live-nrac"].get(link, {}).get(moves, {}))


def rounds_of(seen):
    return f"{seen['count']} rounds" if seen["count"] > 1 else "1 round, so without an interval"


def told_more(seen, plain):
    return ", ".join(
        f"{vm} does not end" if more is None else
        f"{vm} {100 * more[0] / plain['total_s'][vm]:+.0f} % ({more[1]:+.1f} to {more[2]:+.1f} s)"
        for vm, more in seen["more_s"].items())


def compared(link, moves, check):
    """check: the interval of a VM's paired difference to plain pre-copy -> bool, or None: not asked of it."""
    def judge(found):
        told, checks = [], []
        cell = cell_of(found, link, moves)
        for way in USABLE:
            told.append(f"{way}, {rounds_of(cell[way])}: {told_more(cell[way], cell[PLAIN])}")
            checks += [verdict for vm, more in cell[way]["more_s"].items()
                       if (verdict := check(vm, more)) is not None]
        return "; ".join(told), checks
    return judge


def no_loss(_vm, more):
    return more is not None and more[1] <= 0


def shorter(_vm, more):
    return more is not None and more[2] < 0


def loaded_shorter(vm, more):
    return shorter(vm, more) if vm in ("memory", "network") else None


def client_keeps(found):
    told, checks = [], []
    for link in NARROW:
        for moves in MOVES:
            seen = cell_of(found, link, moves)
            told.append(f"{link}, {moves}: " + ", ".join(
                f"{way} {seen[way]['kept']:.0f} %" for way in (PLAIN, *USABLE)))
            checks += [seen[way]["kept"] >= KEPT for way in USABLE]
    return "; ".join(told), checks


def answers_sooner(found):
    told, checks = [], []
    for link in NARROW:
        for moves in MOVES:
            seen = cell_of(found, link, moves)
            told.append(f"{link}, {moves}: " + ", ".join(
                f"{way} {seen[way]['p50_ms']:.0f} and {seen[way]['p99_ms']:.0f} ms" for way in (PLAIN, *USABLE)))
            checks += [seen[way][figure] <= seen[PLAIN][figure] for way in USABLE for figure in ("p50_ms", "p99_ms")]
    return "; ".join(told), checks


def listing_ends(found):
    cells = [cell_of(found, link, AT_ONCE)[LISTING]["ended"].split(" of ") for link in found["live-nrac"]]
    return (f"{sum(int(ended) for ended, _ in cells)} of {sum(int(count) for _, count in cells)} moves ended",
            [ended == count for ended, count in cells])


def gone_as_soon(figure):
    def judge(found):
        told, checks = [], []
        for link in NARROW:
            seen = cell_of(found, link, AT_ONCE)
            told.append(f"{link}: " + ", ".join(f"{way} {seen[way][figure]:.1f} s" for way in (PLAIN, *USABLE)))
            checks += [seen[way][figure] <= seen[PLAIN][figure] * (1 + NEAR / 100) for way in USABLE]
        return "; ".join(told), checks
    return judge


LONGER = "the text's reading and work-conserving, differences within rounds: no interval (95 %) lies above zero"
BELOW = "the text's reading and work-conserving, differences within rounds: the interval (95 %) lies below zero"

CLAIMS = [
    *(Claim(f"figure 6, live, {moves}", "on a free link nothing is lost", "", f"{LONGER}, for any VM",
            compared("free", moves, no_loss)) for moves in MOVES),
    *(Claim(f"figure 7, live, {moves}", "at 50 Mbit/s NRAC shortens the moves of the memory- and the"
            " network-intensive VM", "", f"{BELOW}, for both", compared("50 Mbit/s", moves, loaded_shorter))
      for moves in MOVES),
    *(Claim(f"figure 8, live, {moves}", "at 30 Mbit/s NRAC shortens all four", "", f"{BELOW}, for each",
            compared("30 Mbit/s", moves, shorter)) for moves in MOVES),
    Claim("section 5, live", "what the network-intensive VM needs is reserved", "",
          f"its client keeps {KEPT} % of its rate or more at 50 and 30 Mbit/s, the text's reading and work-conserving",
          client_keeps),
    Claim("section 5, live", "NRAC reduces the competition for the link", "", "answers to the client, median and 99th"
          " percentile: no later than under plain pre-copy, the text's reading and work-conserving", answers_sooner),
    Claim("NRAC, lines 10 and 15, live", "a migration that gets the rate at which its VM dirties pages comes to an end",
          "", "the listing's reading: every move ends, on each link", listing_ends),
    Claim("ours to reach, live", "counted from the order to move, VMs are gone as soon", "",
          f"all at once: the mean of the four at most {NEAR} % later than by plain pre-copy",
          gone_as_soon("mean_gone_s")),
    Claim("ours to reach, live", "counted from the order to move, what is reserved delays nobody's end", "",
          f"all at once: the last VM is gone at most {NEAR} % later than by plain pre-copy", gone_as_soon("last_s")),
]
