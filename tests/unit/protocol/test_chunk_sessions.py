"""Sessions that go on to chunks of attachments: when their frames are due, what is told, and how they end."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import (
    AttachmentProgress,
    AttachmentState,
    Completed,
    Conversation,
    Message,
    ProtocolError,
    Replica,
)
from msgsync.protocol.frames import Ask, Enough, Frame, Keep, Kept, Piece, Refuse, Start, Stored
from msgsync.protocol.session import Session
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.replica.exchange import Exchange
from tests.unit.protocol.line import Line
from tests.unit.protocol.test_session import hello_of, session_in
from tests.unit.replica.test_attachments import files_of, mine, noise

NAME = b"n" * 16
OF_CHUNKS: list[Frame] = [
    Ask((NAME,)),
    Piece(NAME, 1, b"x"),
    Stored((NAME,)),
    Keep((NAME,)),
    Kept(()),
]


@pytest.fixture
def picture(phone: Replica, tablet: Replica, family: Conversation) -> Message:
    """Of two chunks; the tablet has neither the message nor the file."""
    return family.send("look", attachments=[noise(msgsync.limits.CHUNK_BYTES + 5)])


def feed(session: Session, frame: Frame) -> list[msgsync.Event]:
    return session.receive(encode_frame(frame)[4:])


def next_of(session: Session) -> Frame | None:
    raw = session.next_frame()
    return None if raw is None else decode_frame(raw[4:])


@pytest.mark.parametrize("state", ["START", "EXCHANGE"])
@pytest.mark.parametrize("frame", OF_CHUNKS, ids=lambda frame: type(frame).__name__)
def test_chunks_are_not_due_before_both_have_each_others_documents(phone, family, state, frame):
    session = session_in(state, phone)
    feed(session, frame)
    assert isinstance(session.error, ProtocolError)
    assert f"sent {type(frame).__name__} while {state} was due" in str(session.error)


@pytest.mark.parametrize("frame", OF_CHUNKS, ids=lambda frame: type(frame).__name__)
def test_chunks_still_come_while_a_round_of_a_session_that_stays_begins(phone, family, frame):
    """They were on their way. What nobody asked for is refused as in every other state."""
    session = session_in("LIVE", phone)
    feed(session, Start(bytes(4096)))
    feed(session, frame)
    assert "was due" not in str(session.error)
    asked_for_nothing = isinstance(frame, Piece | Kept)
    assert isinstance(session.error, ProtocolError) is asked_for_nothing


def test_a_session_ends_once_both_have_all_they_can_get(phone, tablet, picture):
    line = Line.between(tablet, phone)
    assert line.carry()
    kinds = [(side, type(frame)) for side, frame in line.frames]
    assert kinds.count((0, Enough)) == kinds.count((1, Enough)) == 1
    assert kinds[-1][1] is Enough
    assert line.first.complete
    assert line.second.complete
    assert mine(phone, picture).attachments[0].state is AttachmentState.HERE, "not only here"
    came = [one for one in line.events[0] if isinstance(one, AttachmentProgress)]
    size = picture.attachments[0].size
    assert max(one.bytes for one in came) == size
    assert {one.total_bytes for one in came} == {size}
    assert tablet.message(picture.id).attachments[0].bytes_here == size


def test_it_says_that_it_is_complete_once_and_at_the_end(phone, tablet, picture):
    line = Line.between(tablet, phone)
    assert line.carry()
    for session, events in zip((line.first, line.second), line.events, strict=True):
        told = [*events, *session.take_events()]
        assert [one for one in told if isinstance(one, Completed)] == [told[-1]]


def in_chunks(phone: Replica, tablet: Replica) -> tuple[Session, Line]:
    """The session of a phone that has said that it had enough, and waits for the tablet to say so."""
    line = Line.between(phone, tablet)
    while not line.sent(Enough, 0):
        assert not line.carry(frames=1)
    return line.first, line


def test_enough_is_said_once(phone, tablet, picture):
    session, line = in_chunks(phone, tablet)
    feed(session, OF_CHUNKS[2])
    assert session.error is None
    assert not line.sent(Enough, 1)
    assert [type(one) for one in feed(session, Enough())] == [Completed]
    assert session.finished
    assert session.complete
    feed(session, Enough())
    assert session.error is None


def test_a_second_enough_is_refused(phone, tablet, picture):
    line = Line.between(tablet, phone)
    while not line.sent(Piece, 1):
        assert not line.carry(frames=1)
    feed(line.first, Enough())
    feed(line.first, Enough())
    assert isinstance(line.first.error, ProtocolError)
    assert "enough twice" in str(line.first.error)
    frame = None
    while (said := next_of(line.first)) is not None:
        frame = said
    assert isinstance(frame, Refuse)


def test_who_had_enough_asks_for_nothing_more_whatever_comes_from_elsewhere(
    phone, tablet, laptop, picture
):
    session, line = in_chunks(phone, tablet)
    msgsync.sync(phone, laptop)
    laptop.conversation("family").send("another", attachments=[noise(9, seed=2)])
    elsewhere = Line.between(laptop, phone)
    while not phone.status().attachment_bytes_missing:
        assert not elsewhere.carry(frames=1)
    session.changed()
    assert line.carry()
    assert not line.sent(Ask, 0)
    assert line.first.complete


def test_what_is_here_is_promised_to_who_asks_for_that(phone, family):
    family.send("look", attachments=[noise(9)])
    names = tuple(bytes.fromhex(path.name) for path in files_of(phone))
    session = session_in("LIVE", phone)
    feed(session, Keep((*names, NAME)))
    said = [next_of(session) for _ in range(4)]
    assert [frame for frame in said if isinstance(frame, Kept)] == [Kept(names)]


def test_what_came_from_elsewhere_without_its_file_is_asked_for_too(phone, tablet, laptop, picture):
    line = Line(Session(Exchange(tablet), live=True), Session(Exchange(phone), live=True))
    line.carry()
    msgsync.sync(phone, laptop)
    sent = laptop.conversation("family").send("another", attachments=[noise(9, seed=2)])
    msgsync.sync(phone, laptop)
    elsewhere = Line.between(tablet, laptop)
    while not tablet.status().attachment_bytes_missing:
        assert not elsewhere.carry(frames=1)
    asked = len(line.sent(Ask, 0))
    line.first.changed()
    line.carry()
    assert len(line.sent(Ask, 0)) == asked + 1
    assert tablet.message(sent.id).attachments[0].bytes_here == 9


def test_who_lacks_nothing_of_files_says_no_word_of_them(phone, tablet, family):
    family.send("no file")
    line = Line.between(tablet, phone)
    assert line.carry()
    assert not line.sent(Enough)
    assert not hello_of(phone).asks
