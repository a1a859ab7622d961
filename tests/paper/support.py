# SPDX-License-Identifier: MIT
"""Where paper/ is, and what an SVG must be."""
import os
import shutil
import sys
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "paper"))
SVG = "{http://www.w3.org/2000/svg}"


def curves(path):
    """How many of the series' colours are in a well-formed SVG."""
    from kit.chart import COLOURS
    root = xml.etree.ElementTree.parse(path).getroot()
    assert root.tag == SVG + "svg", root.tag
    text = xml.etree.ElementTree.tostring(root, encoding="unicode").replace(" ", "")
    return sum("rgb({},{},{})".format(*bytes.fromhex(colour[1:])) in text for colour in COLOURS[:6])


def need_gnuplot():
    if not shutil.which("gnuplot"):
        print("skipped: gnuplot is not installed")
        sys.exit(77)
