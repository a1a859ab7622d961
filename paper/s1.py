# SPDX-License-Identifier: MIT
"""S1: per-page prediction by Markov chain and Gilbert-Elliott, and pre-copy that defers by it."""

import random
import tempfile
from statistics import fmean

from kit.claim import Claim
from kit.live import LATENCY, RATE, Moves
from kit.numbers import error, interval, spread
from kit.paper import Paper
from kit.run import Column

FIGURE_5 = "1101001000"  # ten samples; of four transitions that leave 1, one goes to 1
ROUNDS = 9               # U1 to U9; U10 is what is predicted
PAGES = 10               # of a table that is shown
FORMS = ("dirty_only", "chain", "gilbert")
FORM_NAMES = {"dirty_only": "dirty-only, P11", "chain": "full chain, πP", "gilbert": "Gilbert-Elliott"}
# As `godwit predict pages` calls them; the last two are plain ones beside the paper's.
PREDICTORS = {"dirty-only": "dirty_only", "markov": "chain", "gilbert-elliott": "gilbert", "rate": "rate",
              "last": "last"}
SCORED = {**FORM_NAMES, "rate": "share of its rounds", "last": "as in the last round"}


# --- worked examples ---

def worked_examples(run):
    markov = run.json("predict", "markov", "--bits", FIGURE_5)
    gilbert = run.json("predict", "gilbert-elliott", "--b", 0.6, "--g", 0.9)
    run.note("p11", markov["p11"])
    run.note("gilbert", gilbert["expected"])
    run.heading("Worked examples")
    run.table("worked", "Section 3's two examples", [
        Column("what", "figure"), Column("published", "published, %", 0), Column("ours", "ours, %", 2)], [
        {"what": "P11 of figure 5's history", "published": 25, "ours": 100 * markov["p11"]},
        {"what": "Gilbert-Elliott, b = 0.6, g = 0.9", "published": 42, "ours": 100 * gilbert["expected"]}])


# --- figures 7 to 12 ---

def random_history(chance):
    """Each page is modified in each round with one half."""
    return lambda page, count: [int(chance.random() < 0.5) for _ in range(count)]


def local_history(chance, pages):
    """A window of a fifth of the pages, modified nine times of ten, that moves on every third round."""
    start, window = chance.randrange(pages), max(2, pages // 5)

    def history(page, count):
        inside = [(page - start - k // 3) % pages < window for k in range(count)]
        return [int(chance.random() < (0.9 if here else 0.05)) for here in inside]
    return history


def forecasts(run, bits):
    """Each form's probability that the page is modified next."""
    markov = run.json("predict", "markov", "--bits", bits)
    gilbert = run.json("predict", "gilbert-elliott", "--bits", bits)
    return {"dirty_only": markov["p11"], "chain": markov["forecast"][0], "gilbert": gilbert["expected"]}


def page_table(run, name, title, history):
    rows = []
    for page in range(PAGES):
        bits = history(page, ROUNDS + 1)
        shown = "".join(map(str, bits[:ROUNDS]))
        rows.append({"page": f"P{page + 1}", "history": " ".join(shown), **forecasts(run, shown),
                     "happened": bits[ROUNDS]})
    run.table(name, title, [Column("page", "page"), Column("history", "U1 to U9"),
                            *(Column(form, FORM_NAMES[form], 2) for form in FORMS),
                            Column("happened", "U10", 0)], rows)
    run.chart(name, title, {"kind": "bars", "x": "page", "ylabel": "probability of a change in U10", "top": 1,
                            "series": [*({"column": form, "title": FORM_NAMES[form]} for form in FORMS),
                                       {"column": "happened", "title": "what happened", "colour": 7}]})
    run.note(f"{name}.brier", {form: fmean((row[form] - row["happened"]) ** 2 for row in rows)
                               for form in FORMS})


def page_tables(run):
    run.heading("Tables like figures 7 to 12")
    run.text("""The paper's tables are lost; these are drawn by the same two rules, random and
        local, with a fixed seed. Dirty-only is P11 whatever the page's last state (section 4.1),
        the full chain is πP from that state, Gilbert-Elliott is its stationary mean, with b and g
        counted in the page's own history. A page whose history has no such transition gets the
        prior's one half.""")
    chance = random.Random(7)
    page_table(run, "random-table", "Random changes (figures 7, 8, 11)", random_history(chance))
    page_table(run, "locality-table", "Changes with locality (figures 9, 10, 12)",
               local_history(chance, PAGES))


# --- how good they are ---

SCORE_COLUMNS = [
    Column("pages", "changes of pages"), Column("predictor", "predictor"), Column("brier", "Brier score", 4),
    Column("brier_dirty", "of dirty pages", 4), Column("deferred", "deferred", 0),
    Column("saved", "of these saved", 0), Column("wrong", "of these wrongly", 0),
    Column("in_vain", "sent in vain", 0)]
COUNTS = ("deferred", "saved", "wrong", "in_vain")


def score(run, path, *words):
    """{form: scores} of every forecast over the rounds of a file of windows or a trace."""
    rows = run.json("predict", "pages", path, *words)["predictors"]
    return {PREDICTORS[row["name"]]: row for row in rows if row["name"] in PREDICTORS}


def synthetic(run, make, seed):
    """The scores over one table of a thousand pages and thirty rounds."""
    pages, rounds, chance = 1000, 30, random.Random(seed)
    history = make(chance, pages)
    columns = [history(page, rounds) for page in range(pages)]
    with tempfile.NamedTemporaryFile("w", suffix=".windows", encoding="ascii") as file:
        for k in range(rounds):
            file.write(" ".join(str(page) for page in range(pages) if columns[page][k]) + "\n")
        file.flush()
        return score(run, file.name)


def score_rows(name, scores):
    """One row a predictor out of several tables' scores."""
    rows = []
    for form, said in SCORED.items():
        row = {"pages": name, "form": form, "predictor": said}
        for key in ("brier", "brier_dirty"):
            row[key], row[key + "_low"], row[key + "_high"] = interval([one[form][key] for one in scores])
        rows.append({**row, **{key: sum(one[form][key] for one in scores) for key in COUNTS}})
    return rows


def note_scores(run, key, groups):
    """Means and sums over the groups' rows."""
    run.note(key, {form: {**{k: fmean(row[k] for rows in groups for row in rows if row["form"] == form)
                             for k in ("brier", "brier_dirty")},
                          **{k: sum(row[k] for rows in groups for row in rows if row["form"] == form)
                             for k in COUNTS}} for form in SCORED})


def show_scores(run, name, title, groups):
    """groups: {name: rows, one a predictor}."""
    run.table(name, title, SCORE_COLUMNS, [row for rows in groups.values() for row in rows])
    run.table(name + "-brier", title, [
        Column("pages", "pages"),
        *(Column(form + part, form + part, 4) for form in SCORED for part in ("", "_low", "_high"))],
        [{"pages": group, **{row["form"] + part: row["brier" + part] for row in rows
                             for part in ("", "_low", "_high")}} for group, rows in groups.items()], shown=False)
    bars = {} if len(groups) > 3 else {"low": "_low", "high": "_high"}
    run.chart(name + "-brier", f"{title}: Brier score over all pages, less is better", {
        "kind": "bars", "x": "pages", "ylabel": "Brier score", "slant": len(groups) > 3,
        "series": [{"column": form, "title": said, **{key: form + part for key, part in bars.items()}}
                   for form, said in SCORED.items()]})


def measure_predictors(run):
    seeds = range(1, 4 if run.quick else 21)
    makers = {"random": lambda chance, _pages: random_history(chance), "locality": local_history}
    groups = {}
    for name, make in makers.items():
        scores = [synthetic(run, make, seed) for seed in run.progress(f"forecasts, {name}", seeds)]
        groups[name] = score_rows(name, scores)
        note_scores(run, f"scores.{name}", [groups[name]])
    run.heading("Which prediction is better")
    run.text(f"""A thousand pages over thirty rounds, {len(seeds)} tables of each kind; in every
        round from the third on each page is forecast from its own rounds so far. Brier score: mean
        squared difference between the probability and what happened, over all pages, and over those
        that are dirty, about which alone there is something to decide; there the full chain is P11,
        too. A dirty page is deferred where its probability and its modification rate exceed one
        half: saved, if it was modified again, wrongly, if not.""")
    show_scores(run, "synthetic", "Random and local changes", groups)


def measure_recorded(run, moves):
    groups = {}
    for name, path in moves.traces():
        groups[name] = score_rows(name, [score(run, path, "--round", "1s")])
    note_scores(run, "scores.recorded", list(groups.values()))
    run.heading("Recorded traces")
    run.text("""Guests recorded for 40 s by `bench/traces.py` (the held-out set), windows joined to
        rounds of a second.""")
    show_scores(run, "recorded", "Recorded guests", groups)


# --- the policy ---

WORKLOADS = {
    "random": {"kind": "random", "working_set": "64M", "write_rate": 6000, "read_rate": 6000},
    "locality": {"kind": "locality", "working_set": "128M", "write_rate": 20000, "read_rate": 12000,
                 "skew": 0.8},
    "phases": {"kind": "phases", "working_set": "32M", "write_rate": 20000, "read_rate": 6000,
               "phase": "2s"},
}
WAYS = {
    "plain pre-copy": ("--policy", "precopy"),
    "Markov, PT = RT = 0.5": ("--policy", "deferred"),
    "Gilbert-Elliott, PT = RT = 0.5": ("--policy", "deferred", "--set", "predictor=gilbert-elliott"),
    "Markov, threshold=auto": ("--policy", "deferred", "--set", "threshold=auto"),
    "Gilbert-Elliott, threshold=auto": ("--policy", "deferred", "--set", "threshold=auto", "--set",
                                        "predictor=gilbert-elliott"),
}
PLAIN = next(iter(WAYS))
MEASURES = (("pages_sent", 1, "pages sent", 0), ("rounds", 1, "rounds", 1),
            ("total_time_ns", 1e9, "total time, s", 2), ("downtime_ns", 1e6, "downtime, ms", 0))


def scenario(workload):
    return {"vm": {"ram": "512M", "vcpus": 2}, "workload": workload, "deadline": "2min",
            "link": {"bandwidth": RATE, "latency": LATENCY}}


def figure(result, key):
    return len(result["rounds"]) if key == "rounds" else result[key]


def change(key, ours, plain):
    """In %; of downtime, which may be next to nothing, in ms."""
    if key == "downtime_ns":
        return (ours[key] - plain[key]) / 1e6
    return 100 * error(figure(ours, key), figure(plain, key))


def way_row(workload, way, results):
    row = {"workload": workload, "way": way}
    for key, scale, _, _ in MEASURES:
        row[key], row[key + "_low"], row[key + "_high"] = spread(figure(r, key) / scale for r in results)
    return row


WAY_COLUMNS = [Column("workload", "workload"), Column("way", "policy"),
               *(Column(key, head, digits) for key, _, head, digits in MEASURES)]


def show_ways(run, world, found):
    """found: {(workload, way): results}, alike in number and, one by one, in what they moved."""
    rows = [way_row(*key, results) for key, results in found.items()]
    run.table(f"{world}-policy", "Medians", WAY_COLUMNS, rows)
    workloads = list(dict.fromkeys(workload for workload, _ in found))
    gains = []
    for workload in workloads:
        plain = found[workload, PLAIN]
        for way in list(WAYS)[1:]:
            row = {"workload": workload, "way": way}
            for key, *_ in MEASURES:
                changes = [change(key, ours, theirs) for ours, theirs in zip(found[workload, way], plain)]
                row[key], row[key + "_low"], row[key + "_high"] = interval(changes)
            gains.append(row)
    run.table(f"{world}-gain", "Change against plain pre-copy of the same VM, % (downtime: ms), mean and its 95 %"
              " interval",
              [Column("workload", "workload"), Column("way", "policy"),
               *(Column(key + part, head.split(",")[0] + said, 1) for key, _, head, _ in MEASURES
                 for part, said in (("", ""), ("_low", ", from"), ("_high", ", to")))], gains)
    run.note(f"{world}.gain", [{key: row[key] for key in ("workload", "way", *(m[0] for m in MEASURES))}
                               for row in gains])
    for key, _, head, _ in (MEASURES[0], MEASURES[3]):
        draw_gains(run, world, workloads, gains, key, head.split(",")[0])


def draw_gains(run, world, workloads, rows, key, head):
    name = f"{world}-{key.removesuffix('_ns').replace('_', '-')}"
    short = {way: f"way{number}" for number, way in enumerate(WAYS) if way != PLAIN}
    table = [{"workload": workload, **{short[row["way"]] + part: row[key + part] for row in rows
                                       if row["workload"] == workload for part in ("", "_low", "_high")}}
             for workload in workloads]
    run.table(name, head, [Column("workload", "workload"), *(
        Column(column + part, column + part, 3) for column in short.values() for part in ("", "_low", "_high"))],
        table, shown=False)
    run.chart(name, f"{head.capitalize()}: change against plain pre-copy, with 95 % intervals", {
        "kind": "bars", "x": "workload", "bottom": "*",
        "ylabel": f"{head}, {'ms' if key == 'downtime_ns' else '%'} more than plain", "series": [
            {"column": column, "low": column + "_low", "high": column + "_high", "title": way}
            for way, column in short.items()]})


def simulate_policy(run):
    seeds = "1-3" if run.quick else "1-20"
    found = {(name, way): run.sim(scenario(workload), *words, "--seed", seeds)
             for name, workload in WORKLOADS.items() for way, words in WAYS.items()}
    run.heading("The policy, simulated")
    run.text(f"""A VM of 512 MiB and two vCPUs over {RATE}, seeds {seeds}; a pair is one seed under
        two policies.""")
    show_ways(run, "sim", found)
    sweep_thresholds(run)


def sweep_thresholds(run):
    """PT by RT on the workload with locality."""
    steps = ("0.3", "0.7") if run.quick else ("0.1", "0.3", "0.5", "0.7", "0.9")
    seeds = "1-2" if run.quick else "1-10"
    rows = []
    for predictor in ("markov", "gilbert-elliott"):
        results = run.sim(scenario(WORKLOADS["locality"]), "--policy", "deferred", "--set",
                          f"predictor={predictor}", "--set", "pt=" + ",".join(steps), "--set",
                          "rt=" + ",".join(steps), "--seed", seeds)
        groups = {}
        for result in results:
            settings = result["settings"]
            groups.setdefault((settings["pt"], settings["rt"]), []).append(result)
        rows += [{"predictor": predictor, "pt": float(pt), "rt": float(rt),
                  **way_row("locality", "", group)} for (pt, rt), group in groups.items()]
    columns = [Column("predictor", "predictor"), Column("pt", "PT", 1), Column("rt", "RT", 1),
               *(Column(key, head, digits) for key, _, head, digits in MEASURES)]
    run.table("thresholds", "Thresholds on the workload with locality, medians", columns, rows, shown=False)
    for predictor in ("markov", "gilbert-elliott"):
        series = []
        for number, rt in enumerate(steps):
            name = f"thresholds-{predictor}-{rt}"
            run.table(name, "", columns, [row for row in rows if (row["predictor"], row["rt"]) == (
                predictor, float(rt))], shown=False)
            series.append({"table": name, "column": "pages_sent", "title": f"RT = {rt}", "colour": number})
        run.chart(f"thresholds-{predictor}", f"Pages sent by the thresholds, {predictor}, workload with locality",
                  {"kind": "lines", "x": "pt", "table": series[0]["table"], "xlabel": "PT", "bottom": "*",
                   "ylabel": "pages sent", "series": series})
    run.note("thresholds", [{key: row[key] for key in ("predictor", "pt", "rt", *(m[0] for m in MEASURES))}
                            for row in rows])


def simulate(run):
    worked_examples(run)
    page_tables(run)
    measure_predictors(run)
    simulate_policy(run)


# --- live ---

# Fewer writes than the link carries pages, 11,700 a second, so that plain pre-copy ends.
GUESTS = {
    "random": {"vcpus": 2, "pattern": "random", "set": 16384, "writes": 4000, "reads": 4000},
    "locality": {"vcpus": 2, "pattern": "locality", "set": 32768, "skew": 90, "writes": 9000, "reads": 6000},
    "phases": {"vcpus": 2, "pattern": "phases", "set": 8192, "phase_ms": 2000, "writes": 6000, "reads": 6000},
}
GUEST_PAGES = 65536


def live(run):
    moves = Moves(run)
    measure_recorded(run, moves)
    rounds = 1 if run.quick else 3
    found = {(name, way): [] for name in GUESTS for way in WAYS}
    for number, (name, way) in run.progress("live moves", [(n, key) for n in range(rounds) for key in found]):
        found[name, way].append(moves.native(number, GUEST_PAGES, GUESTS[name], *WAYS[way],
                                             "--deadline", "2min"))
    run.heading("The policy, live")
    run.text(f"""Native guests of 256 MiB over {RATE}, {rounds} moves of each; a pair is two moves
        in the same turn.""")
    show_ways(run, "live", found)


# --- what the text claims ---

CHANGES = ("random", "locality", "recorded")
MARGIN = 0.99  # what differs by less than a hundredth is no better


def precise(key):
    def judged(found):
        told, checks = [], []
        for name in CHANGES:
            scores = {form: found[f"scores.{name}"][form][key] for form in SCORED}
            told.append(f"{name} " + ", ".join(f"{value:.3f}" for value in scores.values()))
            checks.append(scores["gilbert"] < MARGIN * scores["dirty_only"])
        return f"Brier score of {', '.join(SCORED.values())}: " + "; ".join(told), checks
    return judged


def better_deferred(found):
    """Deferred wrongly, as a share of what was deferred."""
    told, checks = [], []
    for name in CHANGES:
        scores = found[f"scores.{name}"]
        shares = {form: 100 * scores[form]["wrong"] / max(1, scores[form]["deferred"]) for form in FORMS}
        told.append(f"{name} {shares['dirty_only']:.1f} % of {scores['dirty_only']['deferred']} and"
                    f" {shares['gilbert']:.1f} % of {scores['gilbert']['deferred']}")
        checks.append(shares["gilbert"] < MARGIN * shares["dirty_only"])
    return "of what dirty-only and Gilbert-Elliott defer, wrongly: " + "; ".join(told), checks


def span(values, unit="%"):
    return f"{min(values):+.1f} to {max(values):+.1f} {unit}"


def fewer(found):
    told, checks = [], []
    for world in ("sim", "live"):
        rows = found[f"{world}.gain"]
        pages, times = [row["pages_sent"] for row in rows], [row["total_time_ns"] for row in rows]
        told.append(f"{world}: pages sent {span(pages)}, total time {span(times)}")
        for values in (pages, times):
            checks += [sum(value < 0 for value in values) > len(values) / 2]
    return "; ".join(told) + " against plain pre-copy", checks


def downtime(found):
    told, checks = [], []
    for world in ("sim", "live"):
        values = [row["downtime_ns"] for row in found[f"{world}.gain"]]
        told.append(f"{world}: {span(values, 'ms')}")
        checks.append(all(value <= 0 for value in values))
    return "downtime against plain pre-copy, " + "; ".join(told), checks


CLAIMS = [
    Claim("equations 4 and 5", "the history of figure 5 gives P11, and with it the next round's probability",
          "25 %", "to the digit", lambda found: (f"{100 * found['p11']:.0f} %", [found["p11"] == 0.25])),
    Claim("equation 14", "b = 0.6 and g = 0.9 give a mean probability of modification", "42 %", "to the digit",
          lambda found: (f"{100 * found['gilbert']:.0f} %", [abs(found["gilbert"] - 0.42) < 1e-12])),
    Claim("conclusion", "the model that looks at the clean state, too, predicts more precisely than the one"
          " that looks at dirty pages only", "",
          "over all pages: Gilbert-Elliott's Brier score at least a hundredth below dirty-only's on random, on local"
          " and on recorded changes", precise("brier")),
    Claim("the same, dirty pages", "the same of the pages that are dirty, which are those to decide about", "",
          "over dirty pages: likewise", precise("brier_dirty")),
    Claim("the same, as decisions", "and so it decides better which pages to leave to stop-and-copy", "",
          "the share deferred wrongly is smaller than dirty-only's, likewise by a hundredth", better_deferred),
    Claim("section 1", "leaving pages to stop-and-copy reduces transfers in vain, and total time with them", "",
          "fewer pages sent, and a shorter total time, in most cases, simulated and live", fewer),
    Claim("conclusion, future work", "such a prediction can shorten downtime", "",
          "downtime no longer than plain pre-copy's in every case, simulated and live", downtime),
]

PAPER = Paper(
    "s1", "Per-page prediction: Markov chain and Gilbert-Elliott",
    "A paper of the 2013 Conference on Network and Information Security on predicting, page by page, what will be"
    " modified, so that it is left to stop-and-copy. Its figures 7 to 12 are lost in the text.",
    CLAIMS, simulate, live)
