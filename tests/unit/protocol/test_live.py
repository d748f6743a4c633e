"""Sessions that stay, and first screens: what is sent, what is believed, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import msgsync
from msgsync import (
    Completed,
    Connected,
    ConnectionLost,
    FirstScreen,
    Incoming,
    ProtocolError,
    Replica,
    limits,
)
from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import (
    Alive,
    Bye,
    Frame,
    Hello,
    Known,
    Offer,
    Offers,
    Push,
    Start,
    Updates,
)
from msgsync.protocol.session import Session
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.replica import screen
from msgsync.replica.exchange import Exchange
from msgsync.store import journal
from tests.unit.conftest import Opener
from tests.unit.document import said
from tests.unit.machine import START_MS
from tests.unit.parts import never_frozen
from tests.unit.protocol.line import Line
from tests.unit.work import Work, work_of


def live_line(first: Replica, second: Replica) -> Line:
    """Two sessions that stay, told of each commit."""
    line = Line(Session(Exchange(first), live=True), Session(Exchange(second), live=True))
    first.on_commit(told(line.first))
    second.on_commit(told(line.second))
    return line


def told(side: Session) -> Callable[[int], None]:
    return lambda _seq: side.changed()


def since(line: Line, count: int) -> list[tuple[int, str]]:
    """The frames behind the first ones: side and type."""
    return [(side, type(frame).__name__) for side, frame in line.frames[count:]]


def pushed(side: int) -> list[tuple[int, str]]:
    """What is said when a side has written something."""
    return [(side, "Push"), (side, "Known"), (1 - side, "Known")]


@pytest.fixture
def met(phone: Replica, tablet: Replica) -> Line:
    """Two devices in step that stay connected."""
    phone.create_conversation("Family", id="family").send("hello")
    line = live_line(phone, tablet)
    assert not line.carry()  # they wait, and are not finished
    assert line.first.idle
    assert line.second.idle
    assert line.first.complete
    assert phone.digest == tablet.digest
    return line


def test_both_sides_say_that_they_are_connected_and_complete(met, phone, tablet):
    for number, other in enumerate((tablet, phone)):
        kinds = [type(event) for event in met.events[number]]
        assert kinds[0] is Connected
        assert kinds.count(Completed) == 1
        assert met.events[number][0].device == str(other.device)


def test_a_side_that_does_not_stay_ends_it_for_both(phone, tablet):
    phone.create_conversation("Family", id="family")
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet)))
    assert line.carry()
    assert line.first.complete
    assert not line.first.live
    assert phone.digest == tablet.digest


def test_what_is_written_is_one_push_and_a_word_of_each_side_on_what_it_has(met, phone, tablet):
    for writer, side in ((phone, 0), (tablet, 1), (phone, 0)):
        count = len(met.frames)
        writer.conversation("family").send("news")
        assert not met.carry()
        assert since(met, count) == pushed(side)
        assert phone.digest == tablet.digest
    assert [side.report().documents_sent for side in (met.first, met.second)] == [2, 1]


def test_what_is_written_as_a_push_comes_in_is_pushed_at_once(phone, tablet):
    line = live_line(phone, tablet)
    assert not line.carry()
    family = phone.create_conversation("Family", id="family")
    family.send("hello")
    assert not line.carry()
    # All that there was has come, but the tablet does not know that yet: it has never completed an exchange.
    there = tablet.conversation("family")
    there.delete_all(there.preview_deletion().token)
    assert not line.carry()
    phone.ingest(Incoming("family", "ben", "older", START_MS - 1000, "older"))
    count = len(line.frames)
    assert not line.carry()
    news = [frame for frame in since(line, count) if frame[1] != "Known"]
    assert news == [(0, "Push"), (1, "Push")]
    assert phone.digest == tablet.digest
    assert family.messages().messages == ()
    assert [one.message.text for one in phone.recently_deleted()] == ["hello", "older"]


def test_writes_that_come_together_go_together(met, phone, tablet):
    count = len(met.frames)
    for number in range(50):
        phone.conversation("family").send(f"number {number}")
    assert not met.carry()
    assert since(met, count) == pushed(0)
    assert len(tablet.conversation("family").messages(limit=100)) == 51


def test_more_than_a_frame_is_offered_in_a_round(met, phone, tablet, monkeypatch):
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", 2000)
    count = len(met.frames)
    phone.conversation("family").send("long " * 1000)
    assert not met.carry()
    frames = since(met, count)
    assert (0, "Push") not in frames
    assert frames[:2] == [(0, "Start"), (1, "Start")]
    assert [start.bins for start in met.sent(Start)] == [b"", b""], "both remember the first one"
    assert phone.digest == tablet.digest
    assert met.first.idle
    assert met.second.idle


def test_many_documents_at_once_are_offered_in_a_round(met, phone, tablet):
    phone.ingest(Incoming(f"c{n}", "ben", "x", START_MS, str(n)) for n in range(100))
    count = len(met.frames)
    assert not met.carry()
    assert (0, "Push") not in since(met, count)
    assert phone.digest == tablet.digest


def test_an_update_behind_a_gap_is_asked_for(phone, tablet):
    """Both have the same message under other numbers; what follows one of them is a gap for the other."""
    same = [Incoming("family", "ben", "hello", START_MS, "1")]
    phone.ingest(same)
    tablet.ingest(same)
    assert phone.digest == tablet.digest
    line = live_line(phone, tablet)
    assert not line.carry()
    # Equal, and learn only of each other.
    assert since(line, 0) == [(0, "Hello"), (1, "Hello"), (0, "Done"), (1, "Done")]
    phone.conversation("family").send("and more")
    assert not line.carry()
    news = [frame for frame in since(line, 4) if frame[1] != "Known"]
    assert news[:3] == [(0, "Push"), (1, "Start"), (0, "Start")]
    assert phone.digest == tablet.digest
    count = len(line.frames)
    phone.conversation("family").send("and still more")
    assert not line.carry()
    assert since(line, count) == pushed(0)
    assert phone.digest == tablet.digest


def test_signs_of_life_are_remembered_as_a_completed_exchange(met, phone, tablet):
    phone.conversation("family").send("news")
    assert not met.carry()
    met.first.keep_alive()
    met.second.keep_alive()
    count = len(met.frames)
    assert not met.carry()
    assert sorted(since(met, count)) == [(0, "Alive"), (1, "Alive")]
    phone.conversation("family").send("after that")
    again = Line.between(phone, tablet)
    assert again.carry()
    offered = [offer for page in again.sent(Offers) for offer in page.offers]
    assert len(offered) == 1  # what was pushed before is not offered again


def test_a_digest_that_differs_for_no_reason_is_looked_into_once(met, phone):
    feed = encode_frame(Alive(b"\xaa" * 16))[4:]
    met.first.receive(feed)
    assert isinstance(decode_frame((met.first.next_frame() or b"")[4:]), Start)
    met.first.receive(encode_frame(Start(bytes(4096)))[4:])
    met.first.receive(encode_frame(Offers((), True))[4:])
    met.first.receive(encode_frame(msgsync.protocol.frames.Done(phone.digest))[4:])
    while met.first.next_frame() is not None:
        pass
    assert met.first.idle
    met.first.receive(feed)
    assert met.first.next_frame() is None
    assert met.first.error is None


def test_a_goodbye_ends_a_live_session_well_and_any_other_with_an_error(met, phone, tablet):
    met.first.stop()
    assert met.carry()
    assert met.first.error is met.second.error is None
    phone.conversation("family").send("not exchanged")
    early = Line.between(tablet, phone)
    early.carry(frames=1)
    early.second.receive(encode_frame(Bye())[4:])
    assert isinstance(early.second.error, ConnectionLost)
    assert str(early.second.error) == "the peer left early; sync again to go on from there"


def test_who_has_left_says_nothing_more(met):
    met.first.stop()
    assert met.first.next_frame() is not None
    met.first.stop()
    assert met.first.next_frame() is None
    assert met.first.finished


class Idling(Exchange):
    """A side that counts how often nothing happened for a while."""

    idled = 0

    def idle(self) -> None:
        self.idled += 1
        super().idle()


def test_while_nothing_happens_a_side_tidies_up_and_not_while_there_is_something_to_push(
    phone, tablet
):
    exchange = Idling(phone)
    line = Line(Session(exchange, live=True), Session(Exchange(tablet), live=True))
    line.carry()
    line.first.keep_alive()
    line.carry()
    assert exchange.idled == 1
    line.first.changed()
    line.first.keep_alive()
    line.carry()
    assert exchange.idled == 1
    assert len(line.sent(Alive, 0)) == 1


def test_with_a_sign_of_life_goes_what_was_heard_of_devices_elsewhere(phone, tablet, laptop):
    for one in (tablet, laptop, tablet):
        msgsync.sync(phone, one)
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet), live=True))
    line.carry()
    laptop.create_conversation(id="work")
    msgsync.sync(laptop, phone)
    msgsync.sync(laptop, tablet)
    count = len(line.frames)
    line.first.keep_alive()
    line.carry()
    assert since(line, count)[:2] == [(0, "Alive"), (0, "Known")]


@pytest.mark.parametrize(
    "document",
    [
        (DocumentId("a\0b", "head"), never_frozen(b"\0\0")),
        (DocumentId("family", "UPPER"), never_frozen(b"\0\0")),
        (DocumentId("family", "head"), never_frozen(b"\xff\xff")),
        (DocumentId("family", "head"), never_frozen(b"\x01\x01\x01\x00\x27\x01\x01a\x01b\x01\x00")),
        (DocumentId("family", "head"), Parts(Label(1, bytes(16)), b"\x80", ())),
        (DocumentId("new", "head"), Parts(Label(1, bytes(16)), b"\x80", (b"\0\0",))),
    ],
)
def test_what_admission_refuses_is_named_and_the_session_goes_on(met, phone, document):
    before = phone.digest
    met.first.receive(encode_frame(Push((document,), False))[4:])
    assert met.first.error is None
    assert len(met.first.report().refused) == 1
    assert phone.digest == before
    assert phone.check().ok


def hello_of(replica: Replica, *, live: bool = False) -> Hello:
    raw = Session(Exchange(replica), live=live).next_frame()
    assert raw is not None
    hello = decode_frame(raw[4:])
    assert isinstance(hello, Hello)
    return hello


def test_nobody_pushes_to_a_side_that_has_documents_and_does_not_stay(phone, tablet):
    phone.create_conversation("Family", id="family")
    tablet.create_conversation("Work", id="work")
    session = Session(Exchange(phone))
    session.receive(encode_frame(hello_of(tablet))[4:])
    session.receive(encode_frame(Start(bytes(4096)))[4:])
    session.receive(encode_frame(Push((), True))[4:])
    assert isinstance(session.error, ProtocolError)


def empty_session(phone: Replica, tablet: Replica) -> Session:
    phone.create_conversation("Family", id="family")
    session = Session(Exchange(tablet))
    session.receive(encode_frame(hello_of(phone))[4:])
    return session


def test_a_first_screen_without_end_is_refused(phone, tablet):
    session = empty_session(phone, tablet)
    frame = encode_frame(Push(((DocumentId("x", "head"), never_frozen(bytes(400_000))),), False))[
        4:
    ]
    for _ in range(3):
        session.receive(frame)
    assert isinstance(session.error, ProtocolError)


def test_a_first_screen_comes_once(phone, tablet):
    session = empty_session(phone, tablet)
    frame = encode_frame(Push((), True))[4:]
    session.receive(frame)
    assert session.error is None
    session.receive(frame)
    assert isinstance(session.error, ProtocolError)


def test_offers_without_end_are_refused(phone, tablet, monkeypatch):
    monkeypatch.setattr(limits, "OFFERS_BEYOND", 10)
    session = empty_session(phone, tablet)
    offers = [
        Offer(DocumentId(f"c{number}", "head"), b"\xcc" * 16, 0, 0, 100) for number in range(8)
    ]
    frame: Frame = Offers(tuple(offers), False)
    session.receive(encode_frame(frame)[4:])
    assert not session.finished
    session.receive(encode_frame(frame)[4:])
    assert isinstance(session.error, ProtocolError)
    assert "offered more than 11" in str(session.error)


# First screens.


def until_screen(source: Replica, target: Replica) -> tuple[Line, FirstScreen]:
    line = Line.between(target, source)
    while not line.carry(frames=1):
        screens = [event for event in line.events[0] if isinstance(event, FirstScreen)]
        if screens:
            return line, screens[0]
    raise AssertionError("no first screen")


def history(conversations: int, messages: int) -> list[Incoming]:
    return [
        Incoming(
            f"c{conversation}",
            "ben",
            f"message {number} of some length, as people write them",
            START_MS + 1000 * number - conversation * 1_000_000,
            str(number),
        )
        for conversation in range(conversations)
        for number in range(messages)
    ]


@pytest.mark.parametrize(("conversations", "messages"), [(3, 4), (12, 60), (12, 900)])
def test_the_first_screen_shows_the_newest_messages_of_the_most_recent_conversations(
    phone, tablet, conversations, messages
):
    phone.ingest(history(conversations, messages))
    newest = phone.conversation("c0").messages()
    phone.conversation("c0").edit(newest[-1], "edited")
    phone.conversation("c0").react(newest[-2], "👍")
    phone.conversation("c0").delete(newest[-3])
    phone.conversation("c0").delete(newest[-4])
    phone.conversation("c0").restore(newest[-4])
    phone.conversation("c0").rename("The first")
    line, screen = until_screen(phone, tablet)
    shown = phone.conversations(limit=10)
    # What is unread is counted among what is here.
    there = [replace(one, unread=0) for one in tablet.conversations(limit=10)]
    assert there == [replace(one, unread=0) for one in shown]
    for one in shown:
        page = list(phone.conversation(one.id).messages(limit=50))
        assert list(tablet.conversation(one.id).messages(limit=50)) == page
    assert screen.messages <= 10 * 110  # a document of up to 16 KiB comes whole
    assert tablet.check().ok
    assert line.carry()
    assert tablet.digest == phone.digest
    assert tablet.check().ok
    assert tablet.status().messages == phone.status().messages


def test_the_first_screen_is_the_same_size_in_a_long_history(phone, tablet, open_replica):
    """Counted in bytes until it is readable."""
    sizes = []
    for number, messages in enumerate((300, 3000)):
        source = open_replica(f"source{number}.db")
        source.ingest(history(3, messages))
        with source.new_device(source.path.with_name(f"target{number}.db")) as target:
            _, screen = until_screen(source, target)
            sizes.append(screen.bytes)
    assert sizes[1] < 1.3 * sizes[0]


def test_the_documents_of_a_long_history_are_counted_once_before_the_first_screen(phone):
    phone.ingest(
        Incoming("club", "bob", "hi", 1_400_000_000_000 + number * 40 * 86_400_000, str(number))
        for number in range(60)
    )
    exchange = Exchange(phone)
    first = work_of(phone, exchange.first_screen)
    again = work_of(phone, exchange.first_screen)
    assert again.steps < first.steps - 60
    phone.conversation("club").send("still there?")
    assert work_of(phone, exchange.first_screen).steps > again.steps + 60


def test_broken_off_after_the_first_screen_the_rest_comes_next_time(phone, tablet):
    phone.ingest(history(2, 900))
    until_screen(phone, tablet)
    assert tablet.status().messages < 300
    tablet.conversation("c0").send("written before the rest is here")
    assert msgsync.sync(tablet, phone).complete
    assert tablet.digest == phone.digest
    assert tablet.status().messages == phone.status().messages == 1801
    assert tablet.check().ok


def test_long_texts_leave_room_for_fewer_messages(phone, tablet):
    phone.ingest(Incoming("c0", "ben", f"{n} " * 10_000, START_MS + n, str(n)) for n in range(20))
    line, screen = until_screen(phone, tablet)
    assert 1 <= screen.messages < 20
    assert (
        sum(len(update) for frame in line.sent(Push) for _, us in frame.documents for update in us)
        < 70_000
    )
    assert line.carry()
    assert tablet.digest == phone.digest


def test_what_came_whole_with_the_first_screen_is_not_sent_again(phone, tablet):
    phone.ingest(history(3, 4))
    line = Line.between(tablet, phone)
    assert line.carry()
    assert line.sent(Updates) == []
    assert tablet.digest == phone.digest


def test_what_the_stream_does_not_take_waits_in_the_replica_and_not_in_the_session(
    met, phone, tablet, monkeypatch
):
    """Nothing is read before it can be sent; after too many commits it is offered, not pushed."""
    monkeypatch.setattr(journal, "_COMMITS", 20)
    reads: list[int] = []
    changes = Exchange.changes

    def counted(self: Exchange, seq: int) -> object:
        reads.append(seq)
        return changes(self, seq)

    monkeypatch.setattr(Exchange, "changes", counted)
    for number in range(30):
        phone.conversation("family").send(f"number {number}")
    assert reads == []
    assert len(met.first._out) == 0
    count = len(met.frames)
    assert not met.carry()
    assert len(reads) >= 1
    assert since(met, count)[0] == (0, "Start")
    assert phone.digest == tablet.digest


def test_a_message_comes_with_all_that_deletes_or_restores_it_or_not_at_all():
    entries = [
        said.message(1),
        said.message(2),
        said.delete((1, 1), 1),
        said.restore((2, 1), 1, names=((1, 1),)),
        said.delete((3, 1), *range(2, 4000)),
        said.restore((4, 1), *range(2, 4000), names=((3, 1),)),
    ]
    wanted = {said.message(number).key: said.id_of(number) for number in (2, 1)}
    chosen = screen._of_messages(wanted, entries)
    assert {entry[:2] for entry in chosen} == {
        entry[:2] for entry in (entries[0], entries[2], entries[3])
    }


def test_a_large_head_is_on_the_first_screen_by_name(phone, tablet):
    phone.ingest(history(3, 60))
    first = phone.conversation("c0")
    first.rename("The first")
    for number in range(300):
        first.set_metadata(f"note {number}", "x" * 100)
    until_screen(phone, tablet)
    assert tablet.conversation("c0").title == "The first"


# What a pushed message costs.


def push_one(line: Line, replica: Replica, text: str) -> Callable[[], None]:
    """Send a message over a live line, and all that follows."""

    def push() -> None:
        replica.conversation("family").send(text)
        line.carry()

    return push


def account_of(open_replica: Opener, prefix: str, devices: int) -> list[Replica]:
    """Two devices that are connected, and others that both know of."""
    phone = open_replica(f"{prefix} 0.db")
    phone.create_conversation("Family", id="family")
    others = [open_replica(f"{prefix} {n}.db", member=phone) for n in range(1, devices)]
    for other in (*others, others[0]):
        msgsync.sync(phone, other)
    return [phone, others[0]]


def test_a_pushed_message_costs_the_same_however_many_documents_are_here(open_replica):
    found: list[Work] = []
    for count in (1, 200):
        phone, tablet = account_of(open_replica, f"{count}", 2)
        for number in range(count):
            phone.create_conversation(id=f"c{number}")
        line = live_line(phone, tablet)
        line.carry()
        push_one(line, phone, "warm up")()
        found.append(work_of(phone, push_one(line, phone, "measured")))
    few, many = found
    assert many.statements <= few.statements + 2
    assert many.steps < 1.2 * few.steps
    assert many.calls < 1.2 * few.calls


def test_of_a_pushed_message_only_news_of_devices_is_said(open_replica):
    phone, tablet = account_of(open_replica, "many", 12)
    line = live_line(phone, tablet)
    line.carry()
    for number in range(3):
        push_one(line, phone, f"warm up {number}")()
    count = len(line.frames)
    push_one(line, phone, "measured")()
    said = [frame for _, frame in line.frames[count:] if isinstance(frame, Known)]
    assert said
    for frame in said:
        assert len(frame.known) <= 2, "the two that met"
        assert len(frame.known) + len(frame.same) == 12
    last = phone.conversation("family").messages()[-1]
    for replica in (phone, tablet):
        assert set(replica.where_is(last).devices) == {phone.device, tablet.device}


def test_work_for_a_pushed_message_does_not_grow_with_the_square_of_the_devices(open_replica):
    found: list[Work] = []
    for count in (4, 32):
        phone, tablet = account_of(open_replica, f"{count} devices", count)
        line = live_line(phone, tablet)
        line.carry()
        push_one(line, phone, "warm up")()
        found.append(work_of(phone, push_one(line, phone, "measured")))
    few, many = found
    assert many.calls < 8 * few.calls
    assert many.statements < 8 * few.statements


def test_what_was_never_said_cannot_be_the_same(phone, tablet, family):
    line = live_line(phone, tablet)
    line.carry()
    line.second.receive(
        encode_frame(Known(bytes(16), START_MS, {}, frozenset({phone.device.raw})))[4:]
    )
    assert isinstance(line.second.error, ProtocolError)
