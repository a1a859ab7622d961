#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/papers.md: it is what the claims say of the figures that are kept beside it."""
import json
import os
import re
import unittest

import support
import docs
from kit.claim import UNMEASURED
from kit.paper import rejudge
from main import names, paper_of

DOCS = os.path.join(support.ROOT, "docs")


def read(*names_):
    with open(os.path.join(DOCS, *names_), encoding="utf-8") as file:
        return file.read()


class Docs(unittest.TestCase):
    def test_every_paper_is_there_and_all_is_measured(self):
        for name in names():
            with self.subTest(paper=name):
                results = rejudge(paper_of(name), json.loads(read("papers", name + ".json")))
                self.assertEqual([claim["where"] for claim in results["claims"]
                                  if claim["verdict"] == UNMEASURED], [])

    def test_the_page_is_what_is_judged_anew(self):
        self.assertEqual(read("papers.md"), docs.page(os.path.join(DOCS, "papers")))

    def test_pictures_are_there_and_shown(self):
        shown = set(re.findall(r"\]\(papers/([^)]+\.svg)\)", read("papers.md")))
        there = {name for name in os.listdir(os.path.join(DOCS, "papers")) if name.endswith(".svg")}
        self.assertEqual(shown, there)
        for name in there:
            self.assertGreaterEqual(support.curves(os.path.join(DOCS, "papers", name)), 1, name)


if __name__ == "__main__":
    unittest.main()
