#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/papers.md: its verdicts are those that the claims give of the figures kept beside it."""
import json
import os
import re
import unittest

import support
from kit.claim import UNMEASURED
from kit.document import Markdown, claim_rows
from kit.paper import rejudge
from main import names, paper_of

DOCS = os.path.join(support.ROOT, "docs")


def read(*names_):
    with open(os.path.join(DOCS, *names_), encoding="utf-8") as file:
        return file.read()


class Docs(unittest.TestCase):
    def test_verdicts_are_judged_anew(self):
        page = read("papers.md")
        kept = {name.removesuffix(".json") for name in os.listdir(os.path.join(DOCS, "papers"))
                if name.endswith(".json")}
        self.assertEqual(kept, set(names()))
        for name in names():
            with self.subTest(paper=name):
                results = rejudge(paper_of(name), json.loads(read("papers", name + ".json")))
                claims = results["claims"]
                self.assertEqual([c["where"] for c in claims if c["verdict"] == UNMEASURED], [])
                expected = Markdown("papers")
                expected.claims(claim_rows(claims))
                self.assertIn(expected.page(), page)

    def test_pictures_are_there_and_shown(self):
        shown = set(re.findall(r"\]\(papers/([^)]+\.svg)\)", read("papers.md")))
        there = {name for name in os.listdir(os.path.join(DOCS, "papers")) if name.endswith(".svg")}
        self.assertEqual(shown, there)
        for name in there:
            self.assertGreaterEqual(support.curves(os.path.join(DOCS, "papers", name)), 1, name)


if __name__ == "__main__":
    unittest.main()
