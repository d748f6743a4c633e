"""The threat model: every row names tests that are there."""

from __future__ import annotations

import re

from tests.docs.page import DOCS, ROOT


def test_each_row_names_tests_that_play_it():
    page = (DOCS / "threat-model.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") == 5]
    rows = [row for row in rows if not row.startswith("| …")]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            source = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"
