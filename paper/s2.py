# SPDX-License-Identifier: MIT
"""S2: grey prediction GM(1,N) of the pages that a round leaves dirty, beside what the paper names; and NRAC."""

import random
import tempfile
from statistics import median

import nrac
import nrac_live
from kit.claim import Claim
from kit.live import Moves
from kit.paper import Paper
from kit.run import Column

def by(forecast):
    return ("--policy", "precopy", "--set", f"forecast={forecast}")


# Name on the page: how a move is told to forecast by it. "probability" is S1's, as in the text.
PREDICTORS = {
    "last value": by("last"),
    "mean": by("mean"),
    "weighted mean": by("weighted-mean"),
    "EWMA": by("ewma"),
    "probability (S1)": ("--policy", "deferred"),
    "GM(1,N), whitening": by("grey-whitening-plain"),
    "GM(1,N), whitening, corrected": by("grey-whitening"),
    "GM(1,N), difference": by("grey-plain"),
    "GM(1,N), difference, corrected": by("grey"),
    "whitening, corrected, with windows": by("grey-whitening"),
    "difference, corrected, with windows": by("grey"),
    "footprint (ours)": by("footprint"),
}
OBSERVED = ("whitening, corrected, with windows", "difference, corrected, with windows")
UNSEEN = {"observe": "0s"}  # nothing is seen before the move
NAMED = ("mean", "weighted mean", "probability (S1)")  # by the paper, as what others do
THEIRS = "GM(1,N), whitening, corrected"               # equation 11
STABLE = "GM(1,N), difference, corrected"
OURS = "footprint (ours)"
ROUNDS = "max_rounds=24"


# --- a worked fit ---

def generated(rows):
    """A system that obeys equation 3 with a = 0.5, b2 = 1.5, b3 = 0.4, and one driver that it ignores."""
    chance = random.Random(3)
    drivers = [[100 + 20 * chance.random() + 8 * k, 400 * 0.8 ** k + 30 * chance.random(),
                50 * chance.random()] for k in range(rows)]
    sums, total, series = [0.0] * 3, 0.0, []
    for k, row in enumerate(drivers):
        sums = [total_ + value for total_, value in zip(sums, row)]
        driven = 1.5 * sums[0] + 0.4 * sums[1]
        value = 300.0 if k == 0 else (driven - 0.5 * total) / 1.25
        total += value
        series.append([value, *row])
    return series


def fit(run, series, *words):
    """What `predict grey` makes of it; the last row's x1 is what is forecast."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="ascii") as file:
        file.write(",".join(f"x{i + 1}" for i in range(len(series[0]))) + "\n")
        for k, row in enumerate(series):
            cells = [repr(float(value)) for value in row]
            file.write(",".join(["", *cells[1:]] if k == len(series) - 1 else cells) + "\n")
        file.flush()
        return run.json("predict", "grey", "--input", file.name, *words)


def worked_fit(run):
    series = generated(9)
    forms = {"difference": ("--form", "difference", "--residual", "off"),
             "whitening": ("--form", "whitening", "--residual", "off"),
             "corrected": ("--form", "whitening", "--residual", "on")}
    fits = {form: fit(run, series, *words) for form, words in forms.items()}
    rows = [{"k": k + 1, "x1": row[0], **{form: (found["fitted"] + [found["forecast"]])[k]
                                          for form, found in fits.items()}} for k, row in enumerate(series)]
    run.heading("A worked fit")
    run.text("""A series made by equation 3 itself, a = 0.5, b2 = 1.5, b3 = 0.4, with a fourth
        series that has no part in it; the last row is forecast. The difference form gives the
        system back; the whitening form (equation 7) treats the drivers as if they stood still, and
        is off on its own system; equation 11 corrects it.""")
    found = fits["difference"]
    run.table("fit", "Given, and fitted by both forms", [
        Column("k", "k", 0), Column("x1", "x1", 2), Column("difference", "difference form", 2),
        Column("whitening", "whitening form", 2), Column("corrected", "whitening, residuals corrected", 2)], rows)
    run.table("coefficients", "Coefficients, and how closely each driver goes with x1", [
        Column("name", "series"), Column("given", "given", 2), Column("found", "found", 6),
        Column("grade", "grey relational grade", 3)],
        [{"name": "a", "given": 0.5, "found": found["a"]},
         *({"name": f"x{i + 2}, b{i + 2}", "given": given, "found": found["b"][i], "grade": found["grades"][i]}
           for i, given in enumerate((1.5, 0.4, 0)))])
    run.note("fit.off", [abs(found["a"] - 0.5), abs(found["b"][0] - 1.5), abs(found["b"][1] - 0.4)])
    run.note("fit.forecast", {"given": series[-1][0], **{form: f["forecast"] for form, f in fits.items()}})


# --- errors by round ---

def forecast_rounds(results):
    """[(round, forecast, what came)] of moves, from the round on that has a forecast."""
    return [(row["round"], row["predicted_dirty_pages"], row["dirty_pages"])
            for result in results for row in result["rounds"] if "predicted_dirty_pages" in row]


def share_off(rounds):
    """All that was forecast wrongly, as a share of what came."""
    came = sum(dirty for _, _, dirty in rounds)
    return 100 * sum(abs(forecast - dirty) for _, forecast, dirty in rounds) / came if came else None


def measure(run, scenarios, seeds):
    """{(name, predictor): rounds}."""
    found = {}
    for name, scenario in run.progress("moves with forecasts", scenarios.items()):
        for predictor, words in PREDICTORS.items():
            move = scenario if predictor in OBSERVED else {**scenario, **UNSEEN}
            found[name, predictor] = forecast_rounds(run.sim(move, *words, "--set", ROUNDS, "--seed", seeds))
    return found


def show(run, key, title, found):
    names = list(dict.fromkeys(name for name, _ in found))
    rows = []
    for predictor in PREDICTORS:
        shares = {name: share_off(found[name, predictor]) for name in names}
        known = [share for share in shares.values() if share is not None]
        rows.append({"predictor": predictor, **shares, "median": median(known)})
    run.table(key, f"{title}: pages forecast wrongly, % of those that came",
              [Column("predictor", "predictor"), *(Column(name, name, 0) for name in names),
               Column("median", "median", 0)], rows)
    run.note(f"{key}.median", {row["predictor"]: row["median"] for row in rows})
    run.note(f"{key}.of", {row["predictor"]: [row[name] for name in names] for row in rows})
    draw_rounds(run, key, title, found)


def draw_rounds(run, key, title, found):
    """The median error of all moves by the round, as a share of what came."""
    shown = ("last value", "mean", "weighted mean", "probability (S1)", THEIRS, STABLE, OURS,
             "difference, corrected, with windows")
    by_round = {}
    for (_, predictor), rounds in found.items():
        for number, forecast, dirty in rounds:
            if dirty and number <= 10:
                by_round.setdefault(number, {}).setdefault(predictor, []).append(
                    100 * abs(forecast - dirty) / dirty)
    columns = {predictor: f"p{number}" for number, predictor in enumerate(PREDICTORS)}
    rows = [{"round": number, **{columns[predictor]: median(errors) for predictor, errors in of.items()}}
            for number, of in sorted(by_round.items())]
    run.table(f"{key}-rounds", title, [Column("round", "round", 0), *(
        Column(column, predictor, 1) for predictor, column in columns.items())], rows, shown=False)
    run.chart(f"{key}-rounds", f"{title}: median error of a round's forecast", {
        "kind": "lines", "x": "round", "xlabel": "round", "ylabel": "error, % of what came", "log": True,
        "series": [{"column": columns[predictor], "title": predictor} for predictor in shown]})


# The text's four VMs, with a quarter of their memory; what each does is ours, the text does not say.
VMS = {
    "idle": {"kind": "idle", "write_rate": 150},
    "memory": {"kind": "locality", "working_set": "256M", "write_rate": 1500, "read_rate": 3000, "cpu": 0.3},
    "cpu": {"kind": "compile", "working_set": "64M", "write_rate": 300, "read_rate": 1000, "cpu": 0.95,
            "phase": "2s"},
    "network": {"kind": "server", "working_set": "128M", "write_rate": 600, "read_rate": 2000, "cpu": 0.3,
                "network": "8mbit"},
}
LINKS = ("50mbit", "30mbit")


def link(bandwidth):
    return {"link": {"bandwidth": bandwidth, "latency": "100us"}, "deadline": "1h"}


def simulate(run):
    worked_fit(run)
    run.heading("Error by round, modelled VMs")
    run.text(f"""Four VMs like the paper's (1 GiB, 4 vCPUs: idle, memory-, CPU-, network-intensive)
        over links of 50 and 30 Mbit/s; each round but the first is forecast at its beginning.
        GM(1,N) takes the rounds of the move alone, with fewer drivers while there are fewer rounds
        than unknowns; "with windows" eight seconds of windows before the move stand in for rounds,
        so that N = 6 from the first round on. Probability is S1's forecast, in its own moves.""")
    names = list(VMS)[1:2] if run.quick else VMS
    scenarios = {f"{name}, {rate}": {"vm": {"ram": "1G", "vcpus": 4}, "workload": VMS[name], **link(rate)}
                 for name in names for rate in LINKS}
    show(run, "modelled", "Modelled VMs", measure(run, scenarios, "1-2" if run.quick else "1-10"))
    nrac.simulate(run)


FEATURES = (  # X2 to X6 as a round reports them; X5 is the round before
    ("memory_pages", "X2 memory use"), ("cpu_permille", "X3 CPU use"), ("network_bytes_per_s", "X4 VM's network use"),
    ("duration_ns", "X5 duration of the round before"), ("link_bytes_per_s", "X6 host's network use"))


def grades_of(run, rounds):
    """{feature, seen in the round before: its grey relational grade with the dirty pages}; {}: too few rounds."""
    known = [key for key, _ in FEATURES if all(key in row for row in rounds)]
    series = [[after["dirty_pages"], *(before[key] for key in known)] for before, after in zip(rounds, rounds[1:])]
    return dict(zip(known, fit(run, series)["grades"])) if len(series) >= 4 else {}


def grades(run, scenarios):
    rows = []
    for name, scenario in scenarios.items():
        (result,) = run.sim({**scenario, **UNSEEN}, *PREDICTORS["last value"], "--set", ROUNDS, "--seed", "1")
        found = grades_of(run, result["rounds"])
        if found:
            rows.append({"name": name, "rounds": len(result["rounds"]), **found})
    run.table("grades", "Grey relational grades of the features with the dirty pages (moves of five rounds or more)",
              [Column("name", "VM"), Column("rounds", "rounds", 0),
               *(Column(key, head, 2) for key, head in FEATURES)], rows)


def live(run):
    moves = Moves(run)
    scenarios = {name: {"vm": {}, "trace": path, **link("100mbit")} for name, path in moves.traces()}
    found = measure(run, scenarios, "1-3" if run.quick else "1-10")
    run.heading("Error by round, recorded VMs")
    run.text("""Moves of guests recorded by `bench/traces.py` (the held-out set) over 100 Mbit/s;
        nothing of what is compared was tuned on them.""")
    show(run, "recorded", "Recorded VMs", found)
    grades(run, scenarios)
    nrac_live.live(run)


# --- what the text claims ---

def listed(values):
    return ", ".join(f"{name} {value:.0f} %" for name, value in values.items())


WORLDS = ("modelled", "recorded")


def beats_named(found):
    told, checks = [], []
    for world in WORLDS:
        errors = found[f"{world}.median"]
        told.append(f"{world}: {listed({name: errors[name] for name in (THEIRS, STABLE, *NAMED)})}")
        checks += [errors[form] < errors[name] for form in (THEIRS, STABLE) for name in NAMED]
    return "; ".join(told), checks


def correction_helps(found):
    told, checks = [], []
    for world in WORLDS:
        errors = found[f"{world}.median"]
        for form in ("whitening", "difference"):
            plain, corrected = errors[f"GM(1,N), {form}"], errors[f"GM(1,N), {form}, corrected"]
            told.append(f"{world}, {form} {plain:.1f} % to {corrected:.1f} %")
            checks.append(corrected < 0.99 * plain)
    return "; ".join(told), checks


def few_samples(found):
    told, checks = [], []
    for world in WORLDS:
        errors = found[f"{world}.median"]
        told.append(f"{world}: {listed({name: errors[name] for name in ('last value', THEIRS, STABLE, OURS)})}")
        checks += [errors[form] < errors["last value"] for form in (THEIRS, STABLE)]
    return "; ".join(told), checks


CLAIMS = [
    Claim("equations 1 to 8", "GM(1,N) finds the law behind a series and its drivers", "",
          "a, b2 and b3 of a system made by equation 3, to six digits",
          lambda found: (f"off by {max(found['fit.off']):.1e}", [off < 1e-6 for off in found["fit.off"]])),
    Claim("section 2 and 4", "looking at what the VM does, grey prediction tells a round's dirty pages better than"
          " mean, weighted mean and probability do", "",
          "a smaller median error than each of the three, as printed and in the difference form, on modelled and on"
          " recorded VMs", beats_named),
    Claim("step 7", "correcting residuals makes the prediction more reliable", "",
          "a median error smaller by a hundredth or more, both forms, modelled and recorded", correction_helps),
    Claim("section 4", "grey prediction does well with the few samples that a move gives", "",
          "a smaller median error than the last value's, both forms, modelled and recorded", few_samples),
    *nrac.CLAIMS,
    *nrac_live.CLAIMS,
]

PAPER = Paper(
    "s2", "Grey prediction of dirty pages, GM(1,N), and bandwidth reserved by NRAC",
    "Li, Chen, Yang, Li: Optimization strategy of virtual machine online migration with awareness of application"
    " characteristics and network bandwidth, 2017. Its prediction (section 4) and its division of the link (section 5);"
    " the text gives no figures for either.", CLAIMS, simulate, live)
