"""Round by round: how many there are, what of them is remembered, and what is learned of clocks. Source: design 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, repeat
from typing import Any

import pytest

import msgsync
from msgsync import (
    AttachmentState,
    Completed,
    Conversation,
    Message,
    Progress,
    ProtocolError,
    Replica,
    limits,
)
from msgsync.document.codec import Block, compose
from msgsync.document.frozen import NEVER_FROZEN
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import (
    Alive,
    Done,
    Enough,
    Frame,
    Hello,
    Known,
    Offer,
    Offers,
    Part,
    Push,
    Start,
)
from msgsync.protocol.session import Session
from msgsync.protocol.wire import encode_frame
from msgsync.replica.exchange import Exchange
from msgsync.standing import Standing
from tests.unit.document import said
from tests.unit.machine import START_MS, Machine
from tests.unit.members import enrolled
from tests.unit.protocol.line import Line
from tests.unit.protocol.test_session import drain, feed, hello_of
from tests.unit.replica.test_attachments import noise

OTHER = b"\xaa" * 16
THIRD = b"\xee" * 8
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BINS = bytes(4096)


def differing() -> Iterator[bytes]:
    """Digests, each another one."""
    return (number.to_bytes(16, "big") for number in count(1))


def begun(replica: Replica, *, live: bool = False, **changes: Any) -> Session:
    """A session with a device that was never met before, and is in another state."""
    device = enrolled(replica)
    session = Session(Exchange(replica), live=live)
    drain(session)
    feed(session, hello_of(replica, root=OTHER, device=device, live=live, **changes))
    return session


def rounds(
    session: Session, roots: Iterable[bytes], known: dict[bytes, Standing] | None = None
) -> int:
    """How many rounds it takes with a peer that lacks nothing, and at the end of each has the next of these digests."""
    for number, root in enumerate(roots):
        if not any(isinstance(frame, Start) for frame in drain(session)):
            return number
        feed(session, Start(BINS), Offers((), True), Done(root, known or {}))
    raise AssertionError("more rounds than digests")


def place_of(replica: Replica, device: bytes) -> msgsync.PlaceStatus:
    [place] = [one for one in replica.status().places if one.device and one.device.raw == device]
    return place


# How many there are.


def test_after_eight_rounds_that_each_end_differently_a_session_gives_up(phone, family):
    session = begun(phone)
    assert rounds(session, differing()) == 8
    assert session.finished
    assert session.error is None
    assert not session.complete


def test_the_same_difference_is_looked_into_twice(phone, family):
    """The first time it may be that something was written meanwhile."""
    session = begun(phone)
    assert rounds(session, repeat(OTHER)) == 2
    assert session.finished
    assert not session.complete


@pytest.mark.parametrize(("roots", "wanted"), [(differing, 8), (lambda: repeat(OTHER), 2)])
def test_a_session_that_stays_begins_to_count_anew_once_something_else_differs(
    phone, family, roots: Callable[[], Iterator[bytes]], wanted
):
    session = begun(phone, live=True)
    assert rounds(session, roots()) == wanted
    assert session.idle
    feed(session, Alive(b"\xbb" * 16))
    assert rounds(session, roots()) == wanted
    assert session.idle
    assert session.error is None


def test_a_session_that_stays_becomes_complete_once_both_are_equal(phone, family):
    session = begun(phone, live=True)
    rounds(session, repeat(OTHER))
    for root, complete in ((b"\xbb" * 16, False), (phone.digest, True), (OTHER, True)):
        feed(session, Alive(root, START_MS))
        assert session.complete == complete
        assert session.report().complete == complete
        if not complete:
            rounds(session, repeat(root))
    assert rounds(session, repeat(OTHER)) == 2
    assert not session.complete


def test_what_was_offered_in_vain_is_not_pushed_after_that(phone, family):
    """What is written later is, and what is said of devices was said."""
    device = enrolled(phone)
    session = Session(Exchange(phone), live=True)
    drain(session)
    family.send("written after the session began, and before its round")
    feed(session, hello_of(phone, root=OTHER, device=device, live=True))
    for _ in range(2):
        drain(session)
        feed(session, Start(BINS), Offers((), True), Done(OTHER))
    assert [type(frame) for frame in drain(session)] == [Done]
    assert session.idle
    other = phone.create_conversation("Other", id="other")
    session.changed()
    [push, known] = drain(session)
    assert isinstance(push, Push)
    assert isinstance(known, Known)
    assert {document.conversation for document, _ in push.documents} == {other.id}


# What is learned.


@pytest.mark.parametrize(
    "word",
    [
        lambda phone, time_ms: Alive(phone.digest, time_ms),
        lambda phone, time_ms: Known(phone.digest, time_ms, {}),
        lambda phone, time_ms: Known(OTHER, time_ms, {}),
    ],
)
@pytest.mark.parametrize("ahead_ms", [3 * DAY_MS, -3 * DAY_MS])
def test_a_clock_that_is_wrong_is_noted_with_each_word_that_has_a_time(
    phone, family, word: Callable[[Replica, int], Frame], ahead_ms
):
    session = begun(phone, live=True)
    rounds(session, repeat(OTHER))
    assert phone.status().clock_skew_ms is None
    feed(session, word(phone, START_MS + ahead_ms))
    assert phone.status().clock_skew_ms == ahead_ms
    feed(session, word(phone, START_MS + HOUR_MS))
    assert phone.status().clock_skew_ms is None


@pytest.mark.parametrize("ahead_ms", [3 * DAY_MS, -3 * DAY_MS])
def test_a_clock_that_is_wrong_is_noted_with_the_hello(phone, family, ahead_ms):
    begun(phone, time_ms=START_MS + ahead_ms)
    assert phone.status().clock_skew_ms == ahead_ms
    begun(phone)
    assert phone.status().clock_skew_ms is None


@pytest.mark.parametrize(
    "word",
    [
        lambda _root, known: Done(OTHER, known),
        lambda _root, known: Known(OTHER, START_MS, known),
        lambda root, known: Known(root, START_MS, known),
    ],
)
def test_what_a_peer_knows_of_others_is_learned_whether_or_not_both_are_equal(
    phone, family, word: Callable[[bytes, dict[bytes, Standing]], Frame]
):
    session = begun(phone, live=True)
    theirs = {
        device: Standing(bytes(16), 0, START_MS, {device: 7}) for device in (THIRD, enrolled(phone))
    }
    frame = word(phone.digest, theirs)
    if isinstance(frame, Done):
        drain(session)
        feed(session, Start(BINS), Offers((), True))
    else:
        rounds(session, repeat(OTHER))
    assert THIRD not in Exchange(phone).facts().known
    feed(session, frame)
    assert session.error is None
    assert Exchange(phone).facts().known[THIRD].has[THIRD] == 7


def test_that_both_are_still_different_is_noted_of_the_peer(phone, family):
    session = begun(phone)
    device = enrolled(phone)
    assert place_of(phone, device).last_attempt_ms is None
    rounds(session, repeat(OTHER))
    place = place_of(phone, device)
    assert place.last_attempt_ms == START_MS
    assert place.last_success_ms is None
    assert "both do not hold the same yet" in place.why


def test_a_sign_of_life_of_who_is_equal_is_noted_as_a_success(phone, family, machine: Machine):
    session = begun(phone, live=True)
    rounds(session, repeat(OTHER))
    device = enrolled(phone)
    for number in (1, 2):
        machine.clock_ms = START_MS + number * HOUR_MS
        feed(session, Alive(phone.digest, machine.clock_ms))
        assert place_of(phone, device).last_success_ms == machine.clock_ms


@pytest.mark.parametrize(
    "frame",
    [Push((), False), Alive(OTHER), Known(OTHER, START_MS, {})],
    ids=lambda one: type(one).__name__,
)
def test_what_a_session_that_stays_says_is_not_due_before_both_have_compared_everything(
    phone, family, frame: Frame
):
    session = begun(phone)
    drain(session)
    feed(session, Start(BINS))
    assert session.error is None
    session = begun(phone)
    feed(session, frame)
    assert isinstance(session.error, ProtocolError)
    assert type(frame).__name__ in str(session.error)


# What a peer says while this side is busy.


def kinds(line: Line) -> list[tuple[int, str]]:
    return [(side, type(frame).__name__) for side, frame in line.frames]


def names(frames: list[Frame]) -> list[str]:
    return [type(frame).__name__ for frame in frames]


def test_a_sign_of_life_is_not_looked_at_while_a_round_goes_on(phone, family):
    session = begun(phone, live=True)
    rounds(session, repeat(OTHER))
    feed(session, Alive(b"\xbb" * 16), Alive(b"\xcc" * 16))
    assert names(drain(session)) == ["Start"]
    assert session.error is None


def test_a_sign_of_life_is_not_looked_at_before_what_was_written_is_pushed(phone, family):
    session = begun(phone, live=True)
    rounds(session, repeat(OTHER))
    family.send("news")
    session.changed()
    feed(session, Alive(b"\xbb" * 16))
    assert names(drain(session)) == ["Push", "Known"]


def test_what_differs_for_no_reason_is_looked_for_in_the_trees(phone, tablet, family):
    """Though both remember that they were equal."""
    assert msgsync.sync(phone, tablet).complete
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet), live=True))
    assert not line.carry()
    feed(line.first, Alive(b"\xbb" * 16))
    [start] = drain(line.first)
    assert isinstance(start, Start)
    assert len(start.bins) == 4096


def test_a_side_is_done_once_the_last_part_of_a_document_has_come(phone, family):
    session = begun(phone)
    document = DocumentId("x", "2024-01")
    feed(session, Start(BINS), Offers((Offer(document, OTHER, 0, 1, 100),), True))
    assert names(drain(session)) == ["Start", "Want", "Offers"]
    parts = [(b"", False), (compose([Block(9, 0, [said.message(1)])]), True)]
    came = [
        session.receive(encode_frame(Part(0, NEVER_FROZEN, piece, True, final))[4:])
        for piece, final in parts
    ]
    assert [[type(event) for event in events] for events in came] == [[], [Progress]]
    assert names(drain(session)) == ["Done"]


def test_an_exchange_that_is_complete_is_noted_on_both_sides(phone, tablet, family, machine):
    for hour in (1, 2):
        machine.clock_ms = START_MS + hour * HOUR_MS
        assert Line.between(phone, tablet).carry()
        for one, other in ((phone, tablet), (tablet, phone)):
            place = place_of(one, other.device.raw)
            assert place.last_success_ms == machine.clock_ms


# Chunks of attachments.


CHUNKS = [(0, "Ask"), (1, "Enough"), (1, "Piece"), (0, "Stored"), (0, "Enough")]


@pytest.fixture
def photo(phone: Replica, family: Conversation) -> Message:
    return family.send("look", attachments=[noise(1000)])


def is_here(replica: Replica, photo: Message) -> bool:
    return replica.message(photo.id).attachments[0].state is AttachmentState.HERE


def test_who_learns_of_a_file_in_a_round_asks_for_it_at_its_end(phone, tablet, photo):
    line = Line.between(tablet, phone)
    assert line.carry()
    assert [done.asks for done in line.sent(Done, 0)] == [True]
    assert [done.asks for done in line.sent(Done, 1)] == [False]
    assert sorted(kinds(line)[-5:]) == sorted(CHUNKS)
    assert is_here(tablet, photo)
    for session, events in zip((line.first, line.second), line.events, strict=True):
        all_of_them = [*events, *session.take_events()]
        assert [type(event) for event in all_of_them].count(Completed) == 1


def test_who_lacks_a_file_and_no_document_asks_at_once(phone, tablet, photo):
    cut = Line.between(tablet, phone)
    while len(cut.sent(Done)) < 2:
        assert not cut.carry(1)
    line = Line.between(tablet, phone)
    assert line.carry()
    assert [(hello.asks, hello.root) for hello in line.sent(Hello)] == [
        (True, phone.digest),
        (False, phone.digest),
    ]
    assert sorted(kinds(line)[2:]) == sorted(CHUNKS)
    assert is_here(tablet, photo)


def test_where_nothing_lacks_nobody_says_that_it_is_enough(phone, tablet, photo):
    assert msgsync.sync(tablet, phone).complete
    for number in range(2):
        phone.conversation("family").send(f"without a file {number}")
        line = Line.between(tablet, phone)
        assert line.carry()
        assert not any(done.asks for done in line.sent(Done))
        assert not line.sent(Enough)


@pytest.mark.parametrize("size", [limits.FRAME_FILL_BYTES, 100])
def test_a_session_that_stays_asks_for_a_file_as_its_message_comes(
    phone, tablet, family, monkeypatch, size
):
    """Whether it is pushed, or offered in a round since it is too much."""
    line = Line(Session(Exchange(tablet), live=True), Session(Exchange(phone), live=True))
    tablet.on_commit(lambda _seq: line.first.changed())
    phone.on_commit(lambda _seq: line.second.changed())
    assert not line.carry()
    count = len(line.frames)
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", size)
    photo = family.send("look " * 20, attachments=[noise(90)])
    assert not line.carry()
    assert line.first.idle
    assert line.second.idle
    said = kinds(line)[count:]
    assert said[0] == (1, "Push") if size > 100 else (1, "Start")
    assert (0, "Ask") in said
    assert is_here(tablet, photo)
