"""The page for when nothing moves: its programs run, and its table has every reason as the code words it."""

from __future__ import annotations

import re
from typing import Final

import pytest

from msgsync import PlaceState, Reason
from tests.docs.page import DOCS, run

PAGE: Final = DOCS / "stuck.md"


def table(heading: str) -> list[list[str]]:
    """The rows of the table with this heading in its first column, without heading and line."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, heading
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found[1].splitlines()]


def test_each_step_prints_what_stands_below_it(tmp_path):
    outputs = run(PAGE, tmp_path)
    assert len(outputs) == 5
    for output in outputs:
        assert output.printed == output.shown, f"line {output.line}"


def test_the_table_has_every_reason_in_the_order_of_the_code():
    assert [row[0] for row in table("reason")] == [f"`{one.value}`" for one in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_a_row_with_what_it_is_and_what_to_do(reason):
    [row] = [row for row in table("reason") if row[0] == f"`{reason.value}`"]
    state = PlaceState.WAITING if reason.passes else PlaceState.STUCK
    if reason is Reason.SWITCHED_OFF:
        state = PlaceState.OFF
    assert row[1:] == [state.value, reason.what, reason.remedy]


def test_the_table_of_states_has_every_state():
    assert [row[0] for row in table("state")] == [one.value for one in PlaceState]
