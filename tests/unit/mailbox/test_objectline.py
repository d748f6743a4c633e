"""The frames of a pairing as objects: what a line does with a mailbox, by itself."""

from __future__ import annotations

import anyio
import pytest

from msgsync import (
    ConnectionLost,
    MailboxBusy,
    MailboxForbidden,
    MemoryMailbox,
    ProtocolError,
)
from msgsync.mailbox import objectline
from msgsync.mailbox.objectline import ObjectLine
from msgsync.protocol.meeting import announcement_of, attempt_by, folder_of

pytestmark = pytest.mark.anyio
MEETING = "ab" * 16
KNOCK = b"knock"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objectline, "_FIRST_S", 0.005)
    monkeypatch.setattr(objectline, "_MOST_S", 0.02)
    monkeypatch.setattr(objectline, "_TAKEN_S", 0.1)


@pytest.fixture
def box() -> MemoryMailbox:
    mailbox = MemoryMailbox()
    mailbox.put(announcement_of(MEETING), b"")
    return mailbox


def line(box: MemoryMailbox, attempt: str | None = None, most_bytes: int = 100) -> ObjectLine:
    """The joiner's side; the host's with the name of an attempt."""
    folder = folder_of(MEETING)
    return ObjectLine(
        box,
        folder,
        presence=announcement_of(MEETING) if attempt is None else f"{folder}/{attempt}/1",
        attempt=attempt,
        until_ms=1000,
        most_bytes=most_bytes,
    )


async def test_frames_go_both_ways_by_their_numbers_and_nothing_is_left(box):
    async with line(box) as joiner, line(box, attempt_by(KNOCK)) as host:
        await joiner.send(KNOCK, within_s=5)
        assert await host.receive(within_s=5) == KNOCK
        for number in range(3):
            frame = bytes((number,))
            await host.send(frame, within_s=5)
            assert await joiner.receive(within_s=5) == frame
            await joiner.send(frame + b"!", within_s=5)
            assert await host.receive(within_s=5) == frame + b"!"
        await host.part()
    assert box.list("pairing") == [announcement_of(MEETING)]


async def test_the_last_word_stays_until_the_other_side_has_read_it(box):
    async with line(box) as joiner:
        await joiner.send(KNOCK, within_s=5)
        await joiner.part()
    knock = f"{folder_of(MEETING)}/{attempt_by(KNOCK)}/1"
    assert knock in box.list("pairing")
    async with line(box, attempt_by(KNOCK)) as host:
        assert await host.receive(within_s=5) == KNOCK
    assert knock not in box.list("pairing")


async def test_who_breaks_off_takes_away_all_but_what_it_said_last(box):
    async with line(box, attempt_by(KNOCK)) as host, line(box) as joiner:
        await joiner.send(KNOCK, within_s=5)
        assert await host.receive(within_s=5) == KNOCK
        await host.send(b"answer", within_s=5)
        assert await joiner.receive(within_s=5) == b"answer"
        await joiner.send(b"confirm", within_s=5)
        await joiner.__aexit__(None, None, None)
        assert box.list(f"{folder_of(MEETING)}/{attempt_by(KNOCK)}") == [
            f"{folder_of(MEETING)}/{attempt_by(KNOCK)}/3"
        ]


async def test_a_side_that_says_nothing_is_given_up(box):
    async with line(box) as joiner:
        await joiner.send(KNOCK, within_s=5)
        with pytest.raises(ConnectionLost, match="says nothing"):
            await joiner.receive(within_s=0.1)


async def test_a_side_that_is_gone_is_noticed_before(box):
    async with line(box) as joiner:
        await joiner.send(KNOCK, within_s=5)
        box.delete(announcement_of(MEETING))
        with anyio.fail_after(5), pytest.raises(ConnectionLost, match="has ended"):
            await joiner.receive(within_s=60)


async def test_a_frame_that_is_too_long_breaks_the_protocol(box):
    async with line(box) as joiner, line(box, attempt_by(KNOCK * 30), most_bytes=10) as host:
        await joiner.send(KNOCK * 30, within_s=5)
        with pytest.raises(ProtocolError, match="150 bytes"):
            await host.receive(within_s=5)


class Failing(MemoryMailbox):
    """Puts nothing, and says why."""

    error: Exception = MailboxBusy("too many requests")

    def put(self, name: str, body: bytes) -> None:
        if name != announcement_of(MEETING):
            raise self.error
        super().put(name, body)


async def test_a_mailbox_that_is_busy_is_asked_again_until_it_is_too_late():
    box = Failing()
    async with line(box) as joiner:
        with pytest.raises(ConnectionLost, match="does not answer"):
            await joiner.send(KNOCK, within_s=0.1)


async def test_a_mailbox_that_refuses_is_not_asked_again():
    box = Failing()
    box.error = MailboxForbidden("these credentials are refused")
    async with line(box) as joiner:
        with pytest.raises(MailboxForbidden):
            await joiner.send(KNOCK, within_s=60)
