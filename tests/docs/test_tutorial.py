"""The tutorial runs from top to bottom in an empty folder and prints what it says it prints."""

from __future__ import annotations

import pytest

from tests.docs.page import DOCS, blocks, run

TUTORIAL = DOCS / "tutorial.md"


@pytest.mark.timeout(120)
def test_each_step_prints_what_stands_below_it(tmp_path):
    for output in run(TUTORIAL, tmp_path):
        assert output.printed == output.shown, f"line {output.line}"


def test_most_steps_show_something():
    languages = [block.language for block in blocks(TUTORIAL)]
    assert languages.count("text") * 2 > languages.count("python") > 10
