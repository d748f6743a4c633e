"""The page on attachments: its programs run one after the other and print what it says they print."""

from __future__ import annotations

import re

import pytest

import msgsync
from tests.docs.page import DOCS, ROOT, run

PAGE = DOCS / "attachments.md"


@pytest.mark.filterwarnings("ignore:a session ended")  # the page ends one when it has what it wants
def test_each_step_prints_what_stands_below_it(tmp_path):
    outputs = run(PAGE, tmp_path)
    assert len(outputs) == 4
    for output in outputs:
        assert output.printed == output.shown, f"line {output.line}"


def test_each_thing_that_may_go_wrong_names_tests_that_play_it():
    lines = (
        PAGE.read_text(encoding="utf-8").partition("## When something goes wrong")[2].splitlines()
    )
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| what")]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            source = (ROOT / file).read_text(encoding="utf-8")
            found = re.search(rf"^(async )?(def|class) {test}\b|^{test} =", source, re.MULTILINE)
            assert found, f"{file}::{test}"


def test_every_state_is_explained():
    text = PAGE.read_text(encoding="utf-8")
    for state in msgsync.AttachmentState:
        assert f"| `{state}` |" in text
