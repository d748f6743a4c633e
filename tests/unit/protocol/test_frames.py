"""Frames: the numbers that are on the wire, what is said where nothing is, and what is not shown."""

from __future__ import annotations

from typing import get_args

import pytest

from msgsync.protocol.frames import (
    ACCOUNT_BYTES,
    VERSION,
    Alive,
    Done,
    Frame,
    Hello,
    Keys,
    Piece,
    Reason,
)


def test_the_numbers_of_frames_and_reasons_are_those_of_the_specification():
    assert {kind.__name__: kind.TYPE for kind in get_args(Frame)} == {
        "Hello": 0,
        "Refuse": 1,
        "Start": 2,
        "Offers": 3,
        "Want": 4,
        "Updates": 5,
        "Part": 6,
        "Done": 7,
        "Push": 8,
        "Alive": 9,
        "Bye": 10,
        "Known": 11,
        "Keys": 12,
        "Stranger": 13,
        "Ask": 14,
        "Piece": 15,
        "Stored": 16,
        "Enough": 17,
        "Keep": 18,
        "Kept": 19,
    }
    assert {reason.name: reason.value for reason in Reason} == {
        "VERSION": 1,
        "ACCOUNT": 2,
        "PROTOCOL": 3,
        "MEMBER": 4,
    }
    assert (VERSION, ACCOUNT_BYTES) == (1, 8)


def test_who_says_no_more_does_not_stay_knows_nothing_and_asks_for_nothing():
    hello = Hello(1, bytes(8), bytes(8), 0, bytes(16), bytes(16), 0, 0)
    assert (hello.live, hello.asks, hello.known, hello.keys) == (False, False, bytes(6), bytes(6))
    done = Done(bytes(16))
    assert (done.known, done.asks) == ({}, False)
    assert Alive(bytes(16)).time_ms == 0


@pytest.mark.parametrize("frame", [Keys(b"sealed", True, False), Piece(bytes(16), 6, b"sealed")])
def test_what_is_sealed_does_not_get_into_logs(frame):
    assert "sealed" not in repr(frame)
