"""Frames over a stream, in whatever pieces it gives them. Whole pairings over it: tests/unit/test_pairing.py."""

from __future__ import annotations

import anyio
import pytest

from msgsync.errors import ConnectionLost, ProtocolError
from msgsync.transport.line import Line
from tests.unit.transport.pipes import End, pipe

pytestmark = pytest.mark.anyio
FRAMES = [b"", b"x", b"hello", bytes(1000)]


async def lines() -> tuple[Line, End]:
    near, far = pipe()
    return Line(near, most_bytes=1000), far


async def test_frames_come_out_as_they_went_in():
    near, far = pipe()
    one, other = Line(near, most_bytes=1000), Line(far, most_bytes=1000)
    for frame in FRAMES:
        await one.send(frame, within_s=5)
    for frame in FRAMES:
        assert await other.receive(within_s=5) == frame


@pytest.mark.parametrize("size", [1, 3, 5, 1011])
async def test_pieces_make_no_difference(size):
    line, far = await lines()
    said = b"".join(len(frame).to_bytes(4, "big") + frame for frame in FRAMES)
    for start in range(0, len(said), size):
        await far.send(said[start : start + size])
    for frame in FRAMES:
        assert await line.receive(within_s=5) == frame


async def test_a_frame_that_is_too_long_is_refused_before_it_comes():
    line, far = await lines()
    await far.send((1001).to_bytes(4, "big"))
    with pytest.raises(ProtocolError, match="1001 bytes"):
        await line.receive(within_s=5)


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\x05hel"])
async def test_a_stream_that_ends_or_falls_silent_is_lost(said):
    for ends in (True, False):
        line, far = await lines()
        await far.send(said)
        if ends:
            await far.send_eof()
        with pytest.raises(ConnectionLost):
            await line.receive(within_s=5 if ends else 0.01)


class Full(End):
    """Nobody takes anything from it."""

    async def send(self, item: bytes) -> None:
        del item
        await anyio.sleep_forever()


class Gone(End):
    async def send(self, item: bytes) -> None:
        raise anyio.BrokenResourceError(item)


async def test_who_takes_nothing_and_who_is_gone_are_lost():
    for end in (Full(), Gone()):
        with pytest.raises(ConnectionLost):
            await Line(end, most_bytes=1).send(b"", within_s=0.01)


async def test_parting_waits_for_the_other_and_no_longer(monkeypatch):
    line, far = await lines()
    await far.send(b"still talking")
    await far.send_eof()
    with anyio.fail_after(0.5):
        await line.part()
    assert far._ended
    monkeypatch.setattr("msgsync.transport.line._PART_S", 0.01)
    line, _ = await lines()
    with anyio.fail_after(5):
        await line.part()
