"""The page on attachments: its programs run one after the other and print what it says they print."""

from __future__ import annotations

import pytest

import msgsync
from tests.docs.page import DOCS, run

PAGE = DOCS / "attachments.md"


@pytest.mark.filterwarnings("ignore:a session ended")  # the page ends one when it has what it wants
def test_each_step_prints_what_stands_below_it(tmp_path):
    outputs = run(PAGE, tmp_path)
    assert len(outputs) == 3
    for output in outputs:
        assert output.printed == output.shown, f"line {output.line}"


def test_every_state_is_explained():
    text = PAGE.read_text(encoding="utf-8")
    for state in msgsync.AttachmentState:
        assert f"| `{state}` |" in text
