"""The page on small devices: its programs run one after the other and print what it says they print."""

from __future__ import annotations

import pytest

from tests.docs.page import DOCS, run


@pytest.mark.filterwarnings("ignore:a session ended")  # the page ends one when it has what it wants
def test_each_step_prints_what_stands_below_it(tmp_path):
    outputs = run(DOCS / "small-devices.md", tmp_path)
    assert len(outputs) == 4
    for output in outputs:
        assert output.printed == output.shown, f"line {output.line}"
