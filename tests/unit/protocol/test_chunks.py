"""Chunks of one file from several sources at a time, and behind what people write."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import msgsync
from msgsync import Conversation, MemoryMailbox, Message, Replica, limits
from msgsync.protocol.chunkcourier import ChunkCourier, object_name
from msgsync.protocol.errand import Get, Round
from msgsync.protocol.frames import Ask, Piece, Push, Stored
from msgsync.protocol.session import Session
from msgsync.replica.chunkmailing import ChunkMailing
from msgsync.replica.exchange import Exchange
from msgsync.store.filesystem import REAL_FILES
from tests.unit.protocol.line import Line
from tests.unit.replica.test_attachments import files_of, is_tidy, noise

CHUNK = limits.CHUNK_BYTES
CHUNKS = 8


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNKS_ASKED", 4)
    monkeypatch.setattr(limits, "CHUNKS_TOGETHER", 2)


@pytest.fixture
def film(phone: Replica, laptop: Replica, tablet: Replica, family: Conversation) -> Message:
    """A file of many chunks, which phone and laptop have; tablet has its message."""
    sent = family.send("look", attachments=[noise(CHUNKS * CHUNK)])
    msgsync.sync(phone, laptop)
    cut = Line.between(tablet, phone)
    while not is_known(tablet):
        assert not cut.carry(1)
    return sent


def is_known(replica: Replica) -> bool:
    """Whether a message with a file is here."""
    with replica.reading() as store:
        return store.database.first("select 1 from attached") is not None


@pytest.fixture
def visits() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def line(visits: ExitStack, replica: Replica, source: Replica) -> Line:
    """A session that stays, as one that is carried is: others know what it fetches."""
    visit = visits.enter_context(replica.places.visit(str(source.device)))
    ours = Session(Exchange(replica, visit), live=True)
    return Line(ours, Session(Exchange(source), live=True))


def asked(one: Line) -> list[bytes]:
    return [name for ask in one.sent(Ask, 0) for name in ask.names]


def come_from(one: Line) -> set[bytes]:
    return {piece.name for piece in one.sent(Piece, 1) if piece.size}


def carry(*lines: Line, frames: int | None = None) -> None:
    """Carry a frame of each in turn until none has anything to say, or so many frames."""
    while frames is None or frames > 0:
        before = sum(len(one.frames) for one in lines)
        for one in lines:
            one.carry(1)
            one.first.changed()
        after = sum(len(one.frames) for one in lines)
        if before == after:
            return
        frames = None if frames is None else frames - (after - before)


def bytes_here(replica: Replica) -> int:
    return replica.free_space(preview=True).bytes_here


def test_two_sources_give_parts_of_one_file_and_none_gives_what_the_other_one_does(
    phone, laptop, tablet, film, visits
):
    lines = [line(visits, tablet, source) for source in (phone, laptop)]
    carry(*lines)
    assert bytes_here(tablet) == CHUNKS * CHUNK
    names = [name for one in lines for name in asked(one)]
    assert len(names) == len(set(names)) == CHUNKS
    assert all(len(asked(one)) >= 2 for one in lines)
    assert tablet.message(film.id).attachments[0].open().read() == noise(CHUNKS * CHUNK)


def test_the_source_is_told_many_at_a_time_what_is_here_and_of_the_last_ones_at_once(
    phone, tablet, film, visits, monkeypatch
):
    monkeypatch.setattr(limits, "CHUNKS_TOLD", 3)
    one = line(visits, tablet, phone)
    carry(one)
    told = one.sent(Stored, 0)
    assert [len(stored.names) for stored in told] == [4, 4]
    with phone.reading() as store:
        noted = store.database.one(
            "select count(*) from copies where place = ?", (tablet.device.raw,)
        )
    assert noted == (CHUNKS,)


def test_of_the_last_few_each_gives_its_share(phone, laptop, tablet, film, visits, monkeypatch):
    monkeypatch.setattr(limits, "CHUNKS_ASKED", 16)
    lines = [line(visits, tablet, source) for source in (phone, laptop)]
    claims = tablet.fetching.claims
    with tablet.places.visit("another") as another:
        claims.claim(another, [b"n" * 16])
        carry(lines[0])
        assert len(lines[0].sent(Ask, 0)[0].names) == CHUNKS // 2
    carry(*lines)
    assert bytes_here(tablet) == CHUNKS * CHUNK


@pytest.mark.parametrize("frames", [20, 30, 40])
def test_when_one_disappears_the_other_one_gives_the_rest(
    phone, laptop, tablet, film, visits, frames
):
    kept = line(visits, tablet, phone)
    with ExitStack() as ends:
        cut = line(ends, tablet, laptop)
        carry(kept, cut, frames=frames)
        assert asked(cut)
        assert bytes_here(tablet) < CHUNKS * CHUNK
    with tablet.reading() as store:
        store.attachments.files.settle()  # what it had given is on the disk
    carry(kept)
    assert bytes_here(tablet) == CHUNKS * CHUNK
    assert len(asked(kept)) == len(set(asked(kept)))
    assert is_tidy(tablet)


class Failing:
    """The files of this machine; the first sync of a folder of chunks fails."""

    def __init__(self):
        self.failed = 0
        self.synced = set()

    def __getattr__(self, name):
        return getattr(REAL_FILES, name)

    def sync(self, path):
        if path.is_dir() and len(path.name) == 2:
            if not self.failed:
                self.failed += 1
                raise OSError(errno.EIO, "the disk failed")
            self.synced.add(path.name)
        REAL_FILES.sync(path)


def test_what_it_had_brought_is_not_here_before_its_name_is_on_the_disk(
    phone, tablet, film, monkeypatch
):
    """The last sync of writing it fails, and the session ends before anybody hears of that."""
    disk, others = Failing(), set(threading.enumerate())
    with tablet.reading() as store:
        monkeypatch.setattr(store.attachments.files, "_system", disk)
    with ExitStack() as ends:
        cut = line(ends, tablet, phone)
        while not disk.failed:
            carry(cut, frames=1)
            with tablet.reading() as store:
                store.attachments.files.settle()
    for thread in set(threading.enumerate()) - others:
        thread.join(30)
    with tablet.reading() as store:
        here = {path.name for path in files_of(tablet)}
        noted = {one.hex() for one in store.attachments.here([*map(bytes.fromhex, here)])}
    assert noted
    assert {name[:2] for name in noted} <= disk.synced


def test_what_a_session_that_broke_off_had_brought_is_here_though_it_is_paused_at_once(
    phone, tablet, film, visits
):
    others = set(threading.enumerate())
    with ExitStack() as ends:
        cut = line(ends, tablet, phone)
        while not files_of(tablet):
            carry(cut, frames=1)
            with tablet.reading() as store:
                store.attachments.files.settle()
        assert bytes_here(tablet) == 0
    paused = tablet.message(film.id).attachments[0]
    paused.pause()
    for thread in set(threading.enumerate()) - others:
        thread.join(30)
        assert not thread.is_alive()
    came = {bytes.fromhex(path.name) for path in files_of(tablet)}
    assert bytes_here(tablet) == len(came) * CHUNK
    kept = line(visits, tablet, phone)
    carry(kept)
    assert not asked(kept)
    paused.resume()
    carry(kept)
    assert bytes_here(tablet) == CHUNKS * CHUNK
    assert came.isdisjoint(asked(kept))


def test_who_gave_a_damaged_chunk_is_not_asked_for_it_again_and_the_other_one_is(
    phone, laptop, tablet, film, visits
):
    damaged = files_of(laptop)
    for path in damaged:
        path.write_bytes(bytes(path.stat().st_size))
    lines = [line(visits, tablet, source) for source in (laptop, phone)]
    carry(*lines)
    assert bytes_here(tablet) == CHUNKS * CHUNK
    by_laptop, by_phone = map(asked, lines)
    assert by_laptop
    assert len(by_laptop) == len(set(by_laptop))
    assert len(by_phone) == len(set(by_phone)) == CHUNKS
    assert tablet.message(film.id).attachments[0].open().read() == noise(CHUNKS * CHUNK)


def test_a_session_and_a_mailbox_give_parts_of_one_file(phone, tablet, film, visits):
    box = MemoryMailbox()
    msgsync.sync(phone, box)
    session = line(visits, tablet, phone)
    carry(session, frames=12)
    from_session = asked(session)
    assert len(from_session) >= 2
    visit = visits.enter_context(tablet.places.visit(box.address))
    courier = ChunkCourier(ChunkMailing(tablet, box.address, visit), Round(), most=None)
    errand = courier.run(all_put=False)
    fetched: list[Get] = []
    answer: Any = None
    try:
        while True:
            request = errand.send(answer)
            if isinstance(request, Get):
                fetched.append(request)
                answer = box.get(request.name)
            else:
                answer = box.list("chunk")
    except StopIteration:
        pass
    from_box = {request.name for request in fetched}
    assert len(from_box) == len(fetched)
    assert from_box.isdisjoint(map(object_name, from_session))
    assert any(request.ahead for request in fetched)
    carry(session)
    assert bytes_here(tablet) == CHUNKS * CHUNK
    assert from_box.isdisjoint(map(object_name, asked(session)))


def test_a_message_goes_before_the_next_piece_of_a_file(phone, tablet, family, film, visits):
    one = line(visits, tablet, phone)
    carry(one, frames=14)
    assert one.sent(Piece, 1)
    assert bytes_here(tablet) < CHUNKS * CHUNK
    before = len(one.frames)
    family.send("now")
    one.second.changed()
    while not one.sent(Push, 1):
        assert one.carry(1) is False
    since = [frame for side, frame in one.frames[before:] if side == 1]
    assert [type(frame) for frame in since] == [Push]
    assert tablet.conversation("family").messages(limit=1)[0].text == "now"
    carry(one)
    assert bytes_here(tablet) == CHUNKS * CHUNK
