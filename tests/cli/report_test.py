#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page that `godwit report` makes: well-formed, with the numbers of its results, and nothing of
what it is given as markup.

    report_test.py GODWIT
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

GODWIT = os.path.abspath(sys.argv.pop(1))
HTML = "{http://www.w3.org/1999/xhtml}"
SCENARIO = {"vm": {"name": "small", "ram": "64M", "vcpus": 2},
            "workload": {"kind": "locality", "write_rate": 3000, "read_rate": 9000},
            "link": {"bandwidth": "400mbit", "latency": "100us"}, "policy": "precopy"}
FIGURES = ("total_time_ns", "downtime_ns", "unavailable_ns", "bytes_on_link", "faults",
           "pages_resent")
HOSTILE = ("<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "&lt;b&amp;", "]]>",
           "\u202egnp.exe", "a\x01b\x1b[2J\x7f\ufffe", "ÄÖ 漢字 \U0001f426", "x" * 5000,
           "</title></style></svg>", "%s%n%d")


class Strict(HTMLParser):
    """What a browser would do something about."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def run(*words, **more):
    return subprocess.run([GODWIT, *words], capture_output=True, text=True, timeout=300,
                          check=False, **more)


def result(**fields):
    """A result that could have come of a live move."""
    return {"schema": "godwit.result/1", "world": "live", "policy": "hybrid", "settings": {},
            "vm": {"name": "web", "ram_bytes": 1 << 29, "page_bytes": 4096, "vcpus": 2},
            "outcome": "completed", "reason": "the VM runs at the destination",
            "total_time_ns": 3927290994, "stopped_after_ns": 3344123456, "downtime_ns": 13901611,
            "stall_ns": 33409864, "unavailable_ns": 47311475, "pages_sent": 42780,
            "pages_resent": 5712, "bytes_on_link": 175990825, "order": "linear", "faults": 233,
            "fault_latency_ns": {"p50": 106495, "p99": 622591, "max": 747914},
            "rounds": [{"round": 1, "dirty_pages": 5629, "sent_pages": 37068, "sdf": 0.848,
                        "duration_ns": 3327290275, "bandwidth_bytes_per_s": 45548568,
                        "cpu_permille": 236, "decision": "post-copy", "reason": "1 of 1"}],
            "verified": {"pages_compared": 131072, "pages_different": 0}, **fields}


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.page = os.path.join(self.folder, "page.html")

    def write(self, name, *values, text=None):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text if text is not None else "".join(json.dumps(v) + "\n" for v in values))
        return path

    def simulate(self, *words):
        path = os.path.join(self.folder, "sim.jsonl")
        done = run("sim", self.write("small.json", SCENARIO), "--json", path, "-q", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, encoding="utf-8") as file:
            return path, [json.loads(line) for line in file]

    def report(self, *results):
        done = run("report", *results, "-q", "-o", self.page)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        with open(self.page, encoding="utf-8") as file:
            text = file.read()
        strict = Strict()
        strict.feed(text)
        self.assertFalse(strict.tags & {"script", "img", "iframe", "link", "object", "base"})
        self.assertFalse([a for a in strict.attributes if a.startswith("on") or a == "src"])
        self.assertNotIn("url(", text)
        self.assertFalse(re.findall(r'href="(?!#)', text))
        return ET.fromstring(text), text

    def values(self, tree):
        return {float(data.get("value")) for data in tree.iter(HTML + "data")}

    def fails(self, status, *words):
        done = run("report", *words)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done)
        self.assertRegex(done.stderr, r"\Agodwit: [^\n]+\n\Z")
        return done.stderr

    # --- what is on it

    def test_one_move(self):
        one = result()
        tree, text = self.report(self.write("one.json", one))
        self.assertEqual(tree.find(f"{HTML}head/{HTML}title").text, "web has moved")
        self.assertLessEqual({float(one[key]) for key in FIGURES}, self.values(tree))
        self.assertLessEqual({37068.0, 5629.0, 45548568.0, 236.0, 3327290275.0},
                             self.values(tree))
        self.assertLessEqual({float(v) for v in one["fault_latency_ns"].values()},
                             self.values(tree))
        for words in "131,072 pages compared, 0 different", "post-copy", "1 of 1", "13.9 ms":
            self.assertIn(words, text)
        # Of its phases what is told and what follows from it.
        begin = 3344123456 - 3327290275
        end = 3344123456 + 13901611
        self.assertLessEqual({float(begin), float(end), float(3927290994 - end), 5712.0},
                             self.values(tree))

    def test_phases_are_to_scale(self):
        tree, _ = self.report(self.write("one.json", result(downtime_ns=1963645497,
                                                            stopped_after_ns=0, rounds=[])))
        boxes = {}
        for box in tree.iter(HTML + "rect"):
            title = box.find(HTML + "title")
            if title is not None:
                boxes[title.text.partition(":")[0]] = float(box.get("width"))
        self.assertAlmostEqual(boxes["downtime"], boxes["pull"], delta=0.1)

    def test_pictures_have_words(self):
        tree, text = self.report(self.write("one.json", result()))
        charts = [svg for svg in tree.iter(HTML + "svg") if svg.get("role") == "img"]
        self.assertGreaterEqual(len(charts), 2)
        ids = {e.get("id"): e for e in tree.iter() if e.get("id")}
        for chart in charts:
            for name in chart.get("aria-labelledby").split():
                self.assertTrue(ids[name].text)
        for table in tree.iter(HTML + "table"):
            self.assertTrue(table.find(HTML + "caption").text)
            self.assertTrue(all(th.get("scope") for th in table.iter(HTML + "th")))
        self.assertIn("prefers-color-scheme:dark", text)
        self.assertIn("@media print", text)

    def test_announced(self):
        announced = {"total_time_ns": {"low": 3000000001, "middle": 3500000002, "high": 3600000003},
                     "unavailable_ns": {"low": 40000001, "middle": 45000002, "high": 50000003}}
        tree, text = self.report(self.write("one.json", result(
            announced=announced, chosen={"policy": "hybrid", "reason": "take hybrid"})))
        for interval in announced.values():
            self.assertLessEqual({float(v) for v in interval.values()}, self.values(tree))
        self.assertIn("take hybrid", text)
        self.assertIn("came: outside", text)
        self.assertIn("came: within", text)

    def test_not_moved(self):
        one = result(outcome="stayed", reason="the guest dirties more than the link carries")
        for key in "downtime_ns", "stall_ns", "unavailable_ns", "stopped_after_ns", "faults":
            del one[key]
        tree, text = self.report(self.write("one.json", one))
        self.assertIn("stayed: the guest dirties more", text)
        self.assertIn("web stayed where it was", text)
        self.assertNotIn(">downtime<", text.partition('id="words"')[0])
        self.assertIsNotNone(tree)

    def test_medians_of_a_sweep(self):
        path, lines = self.simulate("-p", "precopy,postcopy,hybrid", "--seed", "1-8")
        tree, text = self.report(path)
        self.assertIn("24 moves", text)
        rows = {row.find(f"{HTML}th/{HTML}bdi").text: row for row in tree.iter(HTML + "tr")
                if row.find(f"{HTML}th/{HTML}bdi") is not None and len(row) == 9}
        self.assertEqual(set(rows), {"precopy", "postcopy", "hybrid"})
        for policy, row in rows.items():
            mine = [line for line in lines if line["policy"] == policy]
            for cell, key in zip(list(row)[3:], FIGURES):
                told = sorted(line[key] for line in mine if key in line)
                shown = [float(data.get("value")) for data in cell.iter(HTML + "data")]
                wanted = [told[3]] if told else []
                if told and told[0] < told[-1]:
                    wanted += [told[0], told[-1]]
                self.assertEqual(shown, wanted, (policy, key))

    def test_settings_and_orders_are_groups(self):
        path, _ = self.simulate("-p", "hybrid", "-s", "order=linear,bubble", "-s", "rounds=1,2")
        _, text = self.report(path)
        self.assertIn("in 4 groups", text)
        lines = [result(order="linear"), result(order="bubble")]
        _, text = self.report(self.write("orders.jsonl", *lines))
        self.assertIn("hybrid, order bubble", text)

    def test_a_setting_with_many_values(self):
        path, lines = self.simulate("-p", "hybrid", "-s", "rounds=1,2,3,4", "--seed", "1-3")
        tree, text = self.report(path)
        self.assertIn("What rounds does under hybrid", text)
        svg = next(s for s in tree.iter(HTML + "svg")
                   if s.findtext(HTML + "title") == "Figures over the values of one setting")
        told = {t.text for t in svg.iter(HTML + "title") if ": " in t.text}
        for rounds in 1, 2, 3, 4:
            sent = sorted(line["bytes_on_link"] for line in lines
                          if line["settings"]["rounds"] == rounds)[1]
            self.assertIn(f"{rounds}: {sent / 1e6:.1f} MB", told)
        path, _ = self.simulate("-p", "hybrid", "-s", "rounds=1,2", "--seed", "1-3")
        self.assertNotIn("What rounds does", self.report(path)[1])

    def test_both_worlds(self):
        path, _ = self.simulate("--seed", "1-3")
        tree, text = self.report(path, self.write("live.json", result()))
        styles = {e.get("class") for e in tree.iter(HTML + "circle")}
        self.assertLessEqual({"f-sim", "f-live"}, styles)
        self.assertIn("4 moves", text)

    def evacuation(self):
        vms = [{"name": f"vm{i}", "outcome": "moved", "ram_bytes": 1 << 27, "host": "b:4910",
                "begin_ns": i * 1000000000, "end_ns": i * 1000000000 + 4000000000,
                "planned": {"policy": "hybrid", "begin_ns": i * 900000000,
                            "end_ns": i * 900000000 + 4100000000, "problem": ""},
                "result": result()} for i in range(5)]
        vms.append({"name": "left", "outcome": "failed", "reason": "no room", "ram_bytes": 1 << 27})
        return {"schema": "godwit.evacuation/1", "sharing": "deadline", "vms": vms,
                "deadline_ns": 7500000000, "link_bytes_per_s": 50000000,
                "plan": {"end_ns": 7700000000}, "total_time_ns": 8000000000}

    def test_evacuation(self):
        tree, text = self.report(self.write("evacuation.json", self.evacuation()))
        self.assertIn("5 of 6 VMs left in 8.00 s", text)
        self.assertIn("1 of 6 VMs moved after the deadline: vm4.", text)
        self.assertIn("failed: no room", text)
        outlines = [e for e in tree.iter(HTML + "rect") if e.get("class") == "f-plan"]
        self.assertEqual(len(outlines), 5 + 1)  # and in the legend
        self.assertLessEqual({4000000000.0, 900000000.0, 8000000000.0, 7500000000.0},
                             self.values(tree))

    def test_several_evacuations(self):
        other = dict(self.evacuation(), total_time_ns=9123456789, sharing="fair")
        tree, text = self.report(self.write("one.json", self.evacuation()),
                                 self.write("other.json", other))
        table = next(s for s in tree.iter(HTML + "section") if s.get("id") == "evacuations")
        rows = [["".join(cell.itertext()) for cell in row] for row in table.iter(HTML + "tr")][1:]
        self.assertEqual([row[1:4] for row in rows],
                         [["deadline", "5 of 6", "1"], ["fair", "5 of 6", "1"]])
        self.assertIn(9123456789.0, self.values(table))
        self.assertIn("Who moved when: ", text)

    def test_plan_alone(self):
        plan = self.evacuation()
        del plan["total_time_ns"]
        for vm in plan["vms"]:
            for key in "begin_ns", "end_ns", "result":
                vm.pop(key, None)
            vm["outcome"] = "waits"
        _, text = self.report(self.write("plan.json", plan))
        self.assertIn("A plan by which 6 VMs leave", text)

    def test_vms_of_one_run(self):
        scenario = {"links": [{"name": "l", "bandwidth": "400mbit"}], "policy": "precopy",
                    "vms": [{"name": "web", "count": 3, "ram": "32M", "over": "l",
                             "workload": {"kind": "idle"}}]}
        path = os.path.join(self.folder, "run.jsonl")
        run("sim", self.write("three.json", scenario), "--json", path, "-q")
        _, text = self.report(path)
        self.assertIn("3 VMs of one run", text)

    def test_estimate(self):
        interval = {"low": 5000000001, "middle": 6000000001, "high": 7000000001}
        estimate = {"schema": "godwit.estimate/1", "vm": {"name": "db", "ram_bytes": 1 << 30},
                    "link": {"bandwidth_bytes_per_s": 50000000}, "observation_ns": 8000000000,
                    "written_bytes_per_s": 1e6, "policies": [
                        {"policy": "hybrid", "settings": {}, "samples": 8, "completed": 8,
                         "total_time_ns": interval},
                        {"policy": "precopy", "settings": {}, "samples": 8, "completed": 0,
                         "obstacle": "it never ends"}],
                    "recommendation": {"policy": "hybrid", "settings": {}, "reason": "take it"}}
        tree, text = self.report(self.write("estimate.json", estimate))
        self.assertLessEqual({float(v) for v in interval.values()}, self.values(tree))
        self.assertIn("precopy completed in 0 of 8 simulated moves: it never ends", text)

    def test_bench(self):
        moves = [{"engine": engine, "mode": "hybrid", "workload": "calm", "outcome": "completed",
                  "total_time_ns": 3000000000 + i, "downtime_ns": 20000000 + i}
                 for i, engine in enumerate(("qemu", "godwit"))]
        bench = {"schema": "godwit.bench/1", "kind": "side-by-side", "results": moves}
        tree, text = self.report(self.write("bench.json", bench))
        self.assertIn("qemu hybrid", text)
        self.assertLessEqual({20000000.0, 20000001.0, 3000000001.0}, self.values(tree))

    # --- what it is given

    def test_hostile_words(self):
        for number, word in enumerate(HOSTILE):
            with self.subTest(word=word[:30]):
                one = result(policy=word, reason=word, tracker=word, order=word, world=word,
                             scenario=word, settings={word: word})
                one["vm"]["name"] = word
                one["rounds"][0].update(decision=word, reason=word)
                evacuation = self.evacuation()
                for vm in evacuation["vms"]:
                    vm.update(name=word, host=word, outcome=word, reason=word)
                path = self.write(f"{number}.json", one)
                tree, text = self.report(path)
                self.assertEqual(re.findall(r">[^<]*[\"'][^<]*<", text.partition("<body>")[2]
                                            .partition('id="words"')[0]), [])
                printable = re.sub("[\x00-\x08\x0b-\x1f\x7f\ufffe]", "\ufffd", word)
                self.assertTrue(printable in "".join(tree.itertext()))
                self.report(path, self.write("evacuation.json", evacuation))

    def test_absurd_numbers(self):
        for value in 0, 1, 1e-300, 0.5, 2**63 - 1:
            numbers = {key: value for key in (*FIGURES, "stopped_after_ns", "stall_ns")}
            one = result(**numbers)
            one["rounds"] = [{"duration_ns": value, "sent_pages": value, "dirty_pages": value,
                              "bandwidth_bytes_per_s": value}] * 3
            one["fault_latency_ns"] = {"p50": value, "p99": value, "max": value}
            evacuation = self.evacuation()
            evacuation["vms"][0].update(begin_ns=value, end_ns=value, result=one)
            with self.subTest(value=value):
                _, text = self.report(self.write("one.json", one))
                self.assertNotRegex(text, r'"-?(nan|inf)"')
                self.report(self.write("two.jsonl", one, result(), result(policy="x")),
                            self.write("evacuation.json", evacuation))

    def test_a_big_sweep_stays_small(self):
        path = os.path.join(self.folder, "big.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for number in range(100000):
                file.write(json.dumps(result(policy=f"p{number % 50}",
                                             total_time_ns=1000000000 + number)) + "\n")
        tree, text = self.report(path)
        self.assertIn("100000 moves", text)
        self.assertIn("2000 of 2000", text)
        self.assertIn(1000000000.0 + 49999, self.values(tree))  # p49's median of 2000
        self.assertLess(len(text), 1 << 20)

    def test_many_vms_and_many_names(self):
        evacuation = self.evacuation()
        evacuation["vms"] = [dict(evacuation["vms"][0], name=f"vm{i}") for i in range(10000)]
        _, text = self.report(self.write("evacuation.json", evacuation))
        self.assertLess(len(text), 2 << 20)
        lines = []
        for number in range(5000):
            one = result()
            one["vm"]["name"] = f"vm{number}"
            lines.append(one)
        _, text = self.report(self.write("names.jsonl", *lines))
        self.assertIn("4976 more scenarios or VMs are left out", text)
        self.assertLess(len(text), 1 << 20)

    # --- what it refuses

    def test_wrong_usage(self):
        one = self.write("one.json", result())
        self.assertIn("-o FILE.html", self.fails(2, one))
        self.assertIn("report needs more", self.fails(2, "-o", self.page))
        self.assertIn("is one of the results", self.fails(2, one, "-o", one))
        link = os.path.join(self.folder, "link.html")
        os.symlink(one, link)
        self.assertIn("is one of the results", self.fails(2, one, "-o", link))
        with open(one, encoding="utf-8") as file:
            self.assertEqual(json.load(file), result())

    def test_what_is_no_result(self):
        good = json.dumps(result()) + "\n"
        wrong_round = result(rounds=[{"duration_ns": "long"}])
        cases = {
            good + good + "{\"schema\": \n": ":4: this is no JSON",
            good + "nonsense\n": ":2: this is no JSON",
            "": "is empty",
            " \n\n": "is empty",
            "[]": ":1: this is no result",
            "{}": ":1: this is no result",
            "\n\n{\"schema\": \"godwit.list/1\"}": ":3: this is godwit.list/1",
            good + json.dumps(result(downtime_ns=-1)): ":2: downtime_ns is no number",
            good + json.dumps(result(faults="many")): ":2: faults is no number",
            good + json.dumps(result(faults=1e300)): ":2: faults is no number",
            json.dumps(wrong_round): ":1: duration_ns is no number",
            json.dumps(result(rounds={})): ":1: rounds is no list",
            json.dumps(result(policy=7)): ":1: policy is missing, or no text",
            json.dumps({"schema": "godwit.evacuation/1"}): ":1: vms is missing",
            json.dumps({"schema": "godwit.bench/1"}): ":1: results are no moves side by side",
            "\0\1\2": ":1: this is no JSON",
        }
        for number, (text, part) in enumerate(cases.items()):
            with self.subTest(text=text[-60:]):
                said = self.fails(1, self.write(f"{number}.json", text=text), "-o", self.page)
                self.assertIn(f"{number}.json", said)
                self.assertIn(part, said)
        self.assertFalse(os.path.exists(self.page))
        self.assertIn("cannot read", self.fails(1, self.folder + "/none", "-o", self.page))
        self.assertIn("cannot read", self.fails(1, self.folder, "-o", self.page))

    def test_nothing_half_written(self):
        one = self.write("one.json", result())
        bad = self.write("bad.json", text="{")
        self.write("page.html", text="as it was")
        self.fails(1, one, bad, "-o", self.page)
        with open(self.page, encoding="utf-8") as file:
            self.assertEqual(file.read(), "as it was")
        self.assertIn("cannot write the page",
                      self.fails(1, one, "-o", os.path.join(self.folder, "no", "page.html")))
        os.mkdir(os.path.join(self.folder, "sub"))
        self.assertIn("cannot write the page",
                      self.fails(1, one, "-o", os.path.join(self.folder, "sub")))
        self.assertIn("cannot write the page", self.fails(1, one, "-o", "/dev/full"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["bad.json", "one.json", "page.html", "sub"])

    def test_streams(self):
        one = self.write("one.json", result())
        with open(one, encoding="utf-8") as file:
            done = run("report", "-", "-o", "-", stdin=file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("<!DOCTYPE html>"))
        self.assertTrue(done.stdout.endswith("</html>\n"))


if __name__ == "__main__":
    unittest.main()
