"""What lies in a mailbox of a pairing: names, form, and what is left of it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync import MailboxDamaged, MemoryMailbox
from msgsync.mailbox.carrying import carry
from msgsync.protocol.meeting import (
    Note,
    announced,
    announcement_of,
    attempt_by,
    folder_of,
    knocking,
    read_note,
    remove_leftovers,
    write_note,
)

DAY_MS = 86_400_000
NOTE = Note(1_714_579_320_000, b"frame")
GOOD = "ab" * 16


@pytest.mark.parametrize(
    "raw",
    [
        write_note(NOTE)[:-1],
        write_note(NOTE)[1:],
        b"",
        bytes(40),
        b"\2" + write_note(NOTE)[1:],
        write_note(NOTE)[:-1] + b"x",
    ],
)
def test_what_is_not_whole_says_nothing(raw):
    assert read_note(write_note(NOTE)) == NOTE
    assert read_note(raw) is None


@given(st.binary(max_size=80))
@example(write_note(NOTE))
def test_any_bytes_are_a_note_or_say_nothing(raw):
    note = read_note(raw)
    assert note is None or write_note(note) == raw


@given(st.integers(0, 2**64 - 1), st.binary(max_size=80))
def test_a_note_is_read_as_it_was_written(until_ms, frame):
    note = Note(until_ms, frame)
    assert read_note(write_note(note)) == note


def test_names_that_are_none_are_passed_over():
    names = [announcement_of(GOOD), "pairing/xyz/0", f"pairing/{GOOD}/1", "pairing/0"]
    assert announced(names) == [GOOD]
    folder = folder_of(GOOD)
    names = [f"{folder}/{GOOD}/1", f"{folder}/{GOOD}/3", f"{folder}/q/1"]
    assert knocking(names) == [GOOD]


def test_leftovers_go_a_day_after_their_end_and_what_is_no_note_stays():
    box = MemoryMailbox()
    old, new = announcement_of("aa" * 16), announcement_of("bb" * 16)
    knock = f"{folder_of('aa' * 16)}/{attempt_by(b'knock')}/1"
    for name, frame, until_ms in (old, b"", 1000), (knock, b"knock", 1000), (new, b"", 1001):
        box.put(name, write_note(Note(until_ms, frame)))
    box.put("pairing/dd/0", b"something else")
    carry(remove_leftovers(1001 + DAY_MS), box)
    assert box.list("pairing") == [new, "pairing/dd/0"]


def test_a_file_that_is_no_object_keeps_no_leftovers_from_going():
    class Odd(MemoryMailbox):
        def get(self, name: str) -> bytes:
            if name == announcement_of("00" * 16):
                raise MailboxDamaged(f"{name} is longer than any object")
            return super().get(name)

    box = Odd()
    for meeting in ("00" * 16, "aa" * 16):
        box.put(announcement_of(meeting), write_note(Note(0, b"")))
    carry(remove_leftovers(DAY_MS + 1), box)
    assert box.list("pairing") == [announcement_of("00" * 16)]
