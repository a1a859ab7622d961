#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page of `godwit report` in a real browser, headless: it is drawn without network and script,
in light and dark; no label is cut off, and a narrow window scrolls no more than its tables.

    report_browser_test.py GODWIT
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(os.path.dirname(HERE))]
from tests import keeper  # noqa: E402
from report_test import GODWIT, HOSTILE, Report, result  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--hide-scrollbars")
# What a page cannot say of itself without script: measured in a copy that is allowed one.
MEASURE = """<script>
document.querySelectorAll("details").forEach(d => d.open = true);
const cut = [];
document.querySelectorAll("svg.chart text").forEach(t => {
	const r = t.getBoundingClientRect(), f = t.ownerSVGElement.getBoundingClientRect();
	if (r.left < f.left - 1 || r.right > f.right + 1 || r.top < f.top - 1 || r.bottom > f.bottom + 1)
		cut.push(t.textContent);
});
document.body.setAttribute("data-measured", JSON.stringify({
	cut, width: document.documentElement.scrollWidth, window: innerWidth,
	ground: getComputedStyle(document.body).backgroundColor,
	texts: document.querySelectorAll("svg.chart text").length,
	drawn: [...document.querySelectorAll("svg.chart")].every(s => s.getBoundingClientRect().height > 20),
}));
</script>"""


def colours(path):
    """How many colours a PNG (8 bits, RGB or RGBA) has, and the brightness of its first pixel."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", data[at + 8:at + 18])
        elif kind == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += length + 12
    pixel = {2: 3, 6: 4}[colour]
    raw, line = zlib.decompress(packed), width * pixel + 1
    assert len(raw) == height * line
    # A line of filter 0 or 1 begins with the pixel itself; the first line always does.
    return len(set(raw)), sum(raw[1:4]) / 3


class Browser(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        keeper.keep(self.folder)

    def browse(self, page, *flags):
        done = subprocess.run([CHROMIUM, *FLAGS, f"--user-data-dir={self.folder}/profile", *flags,
                               "file://" + page], capture_output=True, text=True, timeout=120,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done.stdout

    def report(self, *values):
        path, page = os.path.join(self.folder, "r.jsonl"), os.path.join(self.folder, "page.html")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(value) + "\n" for value in values)
        subprocess.run([GODWIT, "report", path, "-o", page], check=True, timeout=60)
        return page

    def measure(self, page, *flags):
        with open(page, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("</body>", text)
        text = re.sub(r"<meta http-equiv=[^>]*>", "", text).replace("</body>", MEASURE + "</body>")
        copy = os.path.join(self.folder, "measured.html")
        with open(copy, "w", encoding="utf-8") as file:
            file.write(text)
        found = re.search(r'data-measured="([^"]*)"', self.browse(copy, "--dump-dom", *flags))
        return json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")
                          .replace("&lt;", "<").replace("&gt;", ">"))

    def everything(self):
        rounds = [{"duration_ns": 10**9 // (i + 1), "sent_pages": 40000 // (i + 1) ** 3 + 1,
                   "dirty_pages": 9000 // (i + 1) ** 2, "deferred_pages": 100 * i,
                   "predicted_dirty_pages": 8000, "bandwidth_bytes_per_s": 4 * 10**7,
                   "link_bytes_per_s": 5 * 10**7, "cpu_permille": 900, "memory_pages": 1000 * i,
                   "network_bytes_per_s": 10**6, "decision": "continue", "reason": "more"}
                  for i in range(60)]
        interval = {"low": 1, "middle": 2 * 10**9, "high": 4 * 10**9}
        moves = [result(policy=f"{name}-{number}"[:40], total_time_ns=10**9 * (number + 1),
                        rounds=rounds, stopped_after_ns=9 * 10**9, world=("sim", "live")[number % 2],
                        announced={"total_time_ns": interval})
                 for number, name in enumerate(HOSTILE)]
        vms = [{"name": name[:200], "outcome": "moved", "begin_ns": 10**9 * number,
                "end_ns": 10**9 * (number + 3), "host": "b", "result": moves[number],
                "planned": {"begin_ns": 0, "end_ns": 10**10}} for number, name in enumerate(HOSTILE)]
        evacuation = {"schema": "godwit.evacuation/1", "vms": vms, "deadline_ns": 10**10,
                      "link_bytes_per_s": 6 * 10**7, "total_time_ns": 13 * 10**9,
                      "plan": {"end_ns": 10**10}}
        return [*moves, evacuation]

    def test_no_label_is_cut_off(self):
        measured = self.measure(self.report(*self.everything()), "--window-size=1100,900")
        self.assertEqual(measured["cut"], [])
        self.assertTrue(measured["drawn"])
        self.assertGreater(measured["texts"], 100)
        self.assertLessEqual(measured["width"], measured["window"])

    def test_narrow_window(self):
        measured = self.measure(self.report(*self.everything()), "--window-size=500,900")
        self.assertLessEqual(measured["width"], measured["window"])

    def test_hostile_words_do_nothing(self):
        page = self.report(*self.everything())
        dom = self.browse(page, "--dump-dom")
        self.assertNotIn("<img", dom)
        self.assertNotIn("<script", dom)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", dom)

    def test_light_and_dark(self):
        page = self.report(result())
        brightness = []
        for scheme in "1", "0":  # of Blink: light, dark
            picture = os.path.join(self.folder, f"{scheme}.png")
            self.browse(page, f"--screenshot={picture}", "--window-size=900,1200",
                        f"--blink-settings=preferredColorScheme={scheme}")
            many, bright = colours(picture)
            self.assertGreater(many, 32)
            brightness.append(bright)
        self.assertGreater(brightness[0], 240)
        self.assertLess(brightness[1], 40)


del Report  # its tests are another program's

if __name__ == "__main__":
    if not CHROMIUM:
        print("skipped: there is no chromium")
        sys.exit(77)
    unittest.main()
