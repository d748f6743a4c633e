"""The page on losing a device: its programs run in an empty folder and print what it says they print."""

from __future__ import annotations

from tests.docs.page import DOCS, run


def test_each_step_prints_what_stands_below_it(tmp_path):
    outputs = run(DOCS / "devices.md", tmp_path)
    assert len(outputs) == 6
    for output in outputs:
        assert output.printed == output.shown, f"line {output.line}"
