"""Recordings are sent with how long they are, if a few bytes of them say so."""

from __future__ import annotations

import io

import pytest

import msgsync
from msgsync import Attach
from tests.unit.attachment.test_recording import box, mp4, mvhd, wav


@pytest.fixture
def note(tmp_path):
    path = tmp_path / "note.wav"
    path.write_bytes(wav())
    return path


def test_a_recording_is_sent_with_its_duration_and_the_others_are_told(phone, tablet, family, note):
    sent = family.send("", attachments=[note])
    assert [one.duration_ms for one in sent.attachments] == [1500]
    msgsync.sync(phone, tablet)
    [one] = tablet.message(sent.id).attachments
    assert (one.media_type, one.duration_ms, one.width) == ("audio/wav", 1500, None)
    assert one.open().read() == wav()


def test_it_is_found_where_a_file_stands_and_for_a_file_that_is_here_already(family, note):
    clip = mp4(box(b"mdat", bytes(300_000)), box(b"moov", mvhd(2500)))
    source = io.BytesIO(b"before" + clip)
    source.seek(6)
    with note.open("rb") as file:
        sent = family.send("", attachments=[source, clip, file, wav()])
    assert [one.duration_ms for one in sent.attachments] == [2500, 2500, 1500, 1500]
    assert [one.size for one in sent.attachments] == [len(clip)] * 2 + [len(wav())] * 2


@pytest.mark.parametrize("ms", [0, 7, 10**10])
def test_what_the_app_says_counts(family, note, ms):
    [one] = family.send("", attachments=[Attach(note, duration_ms=ms)]).attachments
    assert one.duration_ms == ms


def test_it_goes_by_what_the_file_is_and_not_by_what_it_is_called(family, note):
    sent = family.send("", attachments=[Attach(note, "a.txt", "text/plain"), Attach(b"x", "a.wav")])
    assert [one.duration_ms for one in sent.attachments] == [1500, None]


def test_what_cannot_be_read_twice_is_sent_without(family):
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    [one] = family.send("", attachments=[Pipe(wav())]).attachments
    assert (one.media_type, one.duration_ms) == ("audio/wav", None)
