"""The page on damage is a program that prints what it says."""

from __future__ import annotations

from tests.docs.page import DOCS, run


def test_the_page_prints_what_it_says(tmp_path):
    outputs = run(DOCS / "damage.md", tmp_path)
    assert len(outputs) == 4
    for output in outputs:
        assert output.printed == output.shown, f"line {output.line}"
