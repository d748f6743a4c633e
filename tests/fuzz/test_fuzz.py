"""Some thousand inputs of every kind, new ones each time; `make fuzz` tries a million. What breaks is noticed."""

from __future__ import annotations

import os
import secrets
import signal
import sys

import pytest

from tests.fuzz import campaign, worker
from tests.fuzz.campaign import shares, trial
from tests.fuzz.kind import Kind
from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import draw_of

pytestmark = pytest.mark.timeout(600)

INPUTS = 8_000


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_every_kind_are_taken_or_refused_within_bounds(kind):
    count = shares(INPUTS, list(KINDS))[kind]
    tally = trial(kind, secrets.randbelow(2**31), 0, count)
    assert tally.findings == [], "\n".join(map(str, tally.findings))
    assert tally.inputs == count
    assert tally.slowest_s < worker.SECONDS
    assert 0 < tally.taken < count or count < 100, "honest inputs and broken ones"


def test_a_million_inputs_are_shared_by_all_kinds():
    assert sum(shares(1_000_000, list(KINDS)).values()) == 1_000_000


@pytest.mark.parametrize("kind", ["records", "updates", "frozen forms", "lines"])
def test_an_input_follows_from_its_number(kind):
    draw = KINDS[kind].prepare().draw
    assert [draw(draw_of(3, n)) for n in range(50)] == [draw(draw_of(3, n)) for n in range(50)]
    assert draw(draw_of(3, 1)) != draw(draw_of(4, 1))


# That what breaks is noticed: a kind whose inputs do what must not happen, at number 7.


def broken() -> None:
    """The program of `tests.fuzz.test_fuzz` in place of the worker: its seed says what happens."""

    def check(raw: bytes) -> bool:
        if raw == b"7":
            BREAKS[int(sys.argv[2])][1]()
        return True

    worker.SECONDS = 1  # type: ignore[misc]
    numbers = iter(range(int(sys.argv[3]), 10**6))
    KINDS["records"] = KINDS["records"]._replace(
        prepare=lambda: Kind(lambda _: str(next(numbers)).encode(), check)
    )
    worker.main(*sys.argv[1:6])


def spin() -> None:
    while True:
        pass


BREAKS = [
    ("died of SIGSEGV", lambda: os.kill(os.getpid(), signal.SIGSEGV)),
    ("s of the processor for one input", spin),
    ("an error", lambda: bytearray(2 * worker.MEMORY_BYTES)),
    ("no end of one input", signal.pause),
]


@pytest.mark.parametrize("number", range(3))
def test_a_crash_a_hang_and_too_much_memory_are_named_and_the_others_go_on(number):
    tally = trial("records", number, 0, 20, program="tests.fuzz.test_fuzz")
    [finding] = tally.findings
    assert BREAKS[number][0] in finding.how
    assert (finding.number, tally.inputs, tally.taken) == (7, 20, 12)
    assert "--number 7" in str(finding)
    assert number != 2 or "MemoryError" in finding.output


def test_an_input_that_waits_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(campaign, "STALL_S", 5)
    tally = trial("records", 3, 0, 20, program="tests.fuzz.test_fuzz")
    assert [one.how for one in tally.findings] == ["no end of one input within 5 s"]


if __name__ == "__main__":
    broken()
