"""Sessions: the machine state by state, what travels and what does not, and that cuts do no harm. Source: design 7."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import msgsync
from msgsync import (
    AccountMismatch,
    Completed,
    Incoming,
    NotAMember,
    Progress,
    ProtocolError,
    Replica,
    Stopped,
    VersionMismatch,
    limits,
)
from msgsync.document.frozen import NEVER_FROZEN
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import (
    VERSION,
    Alive,
    Done,
    Frame,
    Hello,
    Offer,
    Offers,
    Part,
    Push,
    Reason,
    Refuse,
    Start,
    Stranger,
    Updates,
    Want,
)
from msgsync.protocol.session import Session
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.records import MessageRecord, encode_message
from msgsync.replica.exchange import Exchange
from msgsync.transport import memory
from tests.unit.document import yjs
from tests.unit.machine import START_MS
from tests.unit.members import changed, enrolled
from tests.unit.parts import never_frozen
from tests.unit.protocol.line import Line, session_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MONTH_MS = 31 * 86_400_000
WORDS = [f"{random.Random(number).getrandbits(30):x}" for number in range(2000)]


def history(conversations: int = 3, months: int = 3, each: int = 4) -> list[Incoming]:
    """So many documents of messages: a head is none until somebody names the conversation."""
    return [
        Incoming(
            f"c{conversation}",
            "ben",
            f"message {number} of month {month}",
            START_MS - month * MONTH_MS - number * 1000,
            external_id=f"{month}-{number}",
        )
        for conversation in range(conversations)
        for month in range(months)
        for number in range(each)
    ]


def sentence(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=12))


def feed(session: Session, *frames: Frame) -> None:
    for frame in frames:
        session.receive(encode_frame(frame)[4:])


def drain(session: Session, limit: int = 50) -> list[Frame]:
    """Everything a side has to say now."""
    said = []
    while (raw := session.next_frame()) is not None:
        said.append(decode_frame(raw[4:]))
        assert len(said) < limit
    return said


@pytest.fixture
def full(phone: Replica) -> Replica:
    phone.ingest(history())
    return phone


@pytest.fixture
def met(full: Replica, tablet: Replica) -> Replica:
    """The tablet, after a completed exchange with the phone."""
    assert msgsync.sync(full, tablet).complete
    assert full.digest == tablet.digest
    return tablet


def in_sync(*replicas: Replica) -> bool:
    assert all(replica.check().ok for replica in replicas)
    return len({replica.digest for replica in replicas}) == 1


# The machine.


def hello_of(replica: Replica, **changes: Any) -> Hello:
    [hello] = drain(session_of(replica))
    assert isinstance(hello, Hello)
    return changed(hello, replica.membership.digest(), **changes)


OTHER = b"\xaa" * 16
FRAMES: dict[str, Frame] = {
    "Hello": Hello(VERSION, bytes(8), b"\xbb" * 8, 0, OTHER, OTHER, 1, 1),
    "Start": Start(b""),
    "Offers": Offers((), True),
    "Want": Want(()),
    "Updates": Updates(()),
    "Part": Part(0, NEVER_FROZEN, b"", True, True),
    "Done": Done(OTHER),
    "Push": Push((), False),
    "Alive": Alive(OTHER),
    "Stranger": Stranger((), b""),
}
DUE = {
    "HELLO": {"Hello"},
    "START": {"Start"},
    "EXCHANGE": {"Offers", "Want", "Updates", "Part", "Done"},
    "LIVE": {"Start", "Push", "Alive"},
}


def session_in(state: str, replica: Replica) -> Session:
    device = enrolled(replica)
    session = Session(Exchange(replica), live=state == "LIVE")
    drain(session)
    if state == "LIVE":
        feed(session, hello_of(replica, live=True, device=device))
    if state == "START":
        feed(session, hello_of(replica, root=OTHER, device=device))
    if state == "EXCHANGE":
        feed(session, hello_of(replica, root=OTHER, documents=0, device=device))
        drain(session)
    return session


@pytest.mark.parametrize("state", DUE)
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_is_not_due_ends_the_session(full, state, name):
    if name in DUE[state]:
        return
    session = session_in(state, full)
    drain(session)
    events = session.receive(encode_frame(FRAMES[name])[4:])
    assert isinstance(session.error, ProtocolError)
    assert name in str(session.error)
    assert [type(event) for event in events] == [Stopped]
    last = drain(session)[-1]
    assert isinstance(last, Refuse)
    assert last.reason == Reason.PROTOCOL
    assert session.finished
    assert not session.complete


@pytest.mark.parametrize("state", DUE)
@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\xff", b"\5xxx", b"\1" + bytes(99)])
def test_bytes_that_are_no_frame_end_the_session_in_any_state(full, state, raw):
    session = session_in(state, full)
    session.receive(raw)
    assert isinstance(session.error, ProtocolError)
    assert isinstance(drain(session)[-1], Refuse)
    assert session.finished


@pytest.mark.parametrize("state", DUE)
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.VERSION, VersionMismatch),
        (Reason.ACCOUNT, AccountMismatch),
        (Reason.PROTOCOL, ProtocolError),
        (Reason.MEMBER, NotAMember),
        (77, ProtocolError),
    ],
)
def test_a_refusal_ends_the_session_in_any_state_in_the_words_of_the_peer(
    full, state, reason, kind
):
    session = session_in(state, full)
    drain(session)
    feed(session, Refuse(reason, "for this reason"))
    assert type(session.error) is kind
    assert "for this reason" in str(session.error)
    assert drain(session) == []
    assert session.finished


@pytest.mark.parametrize("name", [*FRAMES, "Refuse"])
def test_nothing_is_heard_after_the_end(full, name):
    session = session_in("HELLO", full)
    feed(session, hello_of(full))
    assert session.finished
    assert session.complete
    frame = FRAMES.get(name, Refuse(Reason.PROTOCOL, "x"))
    assert session.receive(encode_frame(frame)[4:]) == []
    assert session.error is None
    assert session.finished


BOGUS = Offer(DocumentId("x", "2024-01"), b"\xcc" * 16, 0, 1, 100)


@pytest.mark.parametrize(
    "frames",
    [
        [Offers((), True), Offers((), True)],
        [Want(((99, NEVER_FROZEN, b""),))],
        [Updates(((0, never_frozen(b"\0\0")),))],
        [Part(0, NEVER_FROZEN, b"x", True, True)],
        [Done(OTHER), Done(OTHER)],
        [Start(b"")],
        [FRAMES["Hello"]],
        [Offers((BOGUS,), True), Updates(((1, never_frozen(b"\0\0")),))],
    ],
    ids=lambda frames: " ".join(type(frame).__name__ for frame in frames),
)
def test_a_frame_that_asks_or_says_what_it_cannot_ends_the_session(full, frames):
    session = session_in("EXCHANGE", full)
    feed(session, *frames)
    assert isinstance(session.error, ProtocolError)
    assert isinstance(drain(session)[-1], Refuse)


@pytest.mark.parametrize(
    "frames",
    [
        [Part(1, NEVER_FROZEN, b"x", False, False)],
        [Part(0, NEVER_FROZEN, b"x", False, False), Part(1, NEVER_FROZEN, b"x", False, False)],
        [Part(0, NEVER_FROZEN, b"x", False, False), Updates(((0, never_frozen(b"\0\0")),))],
        [Updates(((0, never_frozen(b"\0\0")),)), Updates(((0, never_frozen(b"\0\0")),))],
        [Updates(((0, never_frozen(b"\0\0")), (0, never_frozen(b"\0\0"))))],
    ],
)
def test_documents_come_one_by_one_and_only_those_that_were_asked_for(full, frames):
    session = session_in("EXCHANGE", full)
    feed(session, Offers((BOGUS,), True))
    assert [type(frame) for frame in drain(session)] == [Want]
    feed(session, *frames)
    assert isinstance(session.error, ProtocolError)
    assert full.check().ok


def test_a_round_is_started_once(full):
    session = session_in("START", full)
    feed(session, Start(bytes(4096)), Start(bytes(4096)))
    assert isinstance(session.error, ProtocolError)


@pytest.mark.parametrize("state", [b"\xff", b"\x01\x01", b"\x02\x01\x01\x01\x01", b"\xff" * 30])
def test_a_state_vector_that_is_none_ends_the_session_in_words(full, state):
    session = session_in("EXCHANGE", full)
    feed(session, Offers((), True), Want(((0, NEVER_FROZEN, state),)))
    said = drain(session)
    assert isinstance(session.error, msgsync.PeerError)
    assert isinstance(said[-1], Refuse)
    assert session.finished


def test_odd_offers_are_refused_one_by_one_and_the_rest_goes_on(full):
    """Names of documents that are none, and updates that are none: kept out and named."""
    odd = [
        Offer(DocumentId(conversation, kind), bytes([number]) * 16, 0, 1, 100)
        for number, (conversation, kind) in enumerate(
            [
                ("a\0b", "head"),
                ("x" * 201, "head"),
                ("c", ""),
                ("c", "UPPER"),
                ("c", "x" * 33),
                ("c", "a/b"),
            ],
            start=1,
        )
    ]
    session = session_in("EXCHANGE", full)
    before = full.digest
    feed(session, Offers((*odd, BOGUS), True))
    drain(session)
    good = yjs.update(yjs.section(9, 0, yjs.item(b"k", root=b"polls")))
    feed(session, Updates(tuple((number, never_frozen(good)) for number in range(len(odd)))))
    feed(session, Updates(((len(odd), never_frozen(yjs.one(yjs.item(info=0x27)))),)))
    assert session.error is None
    assert len(session.report().refused) == len(odd) + 1
    assert full.digest == before
    assert full.check().ok


def test_a_piece_too_many_is_not_collected_for_ever(full, monkeypatch):
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", 1000)
    session = session_in("EXCHANGE", full)
    feed(session, Offers((BOGUS,), True))
    drain(session)
    feed(session, *[Part(0, NEVER_FROZEN, bytes(300), False, False)] * 4)
    assert session._sink._pieces == []
    feed(session, Part(0, NEVER_FROZEN, b"", True, True))
    assert session.error is None
    [refused] = session.report().refused
    assert "bytes" in refused


# Who talks to whom.


def test_another_account_is_refused_in_words_on_both_sides(full, open_replica):
    stranger = open_replica("stranger.db")
    stranger.create_conversation("Mine", id="mine").send("secret")
    line = Line.between(full, stranger)
    assert line.carry()
    for session in (line.first, line.second):
        assert isinstance(session.error, AccountMismatch)
        assert "another account" in str(session.error)
    assert [type(frame) for _, frame in line.frames if not isinstance(frame, Refuse)] == [
        Hello,
        Hello,
    ]
    with pytest.raises(AccountMismatch):
        msgsync.sync(full, stranger)
    assert not stranger.search("message")


def test_another_account_is_refused_even_if_it_is_empty(full, open_replica):
    with pytest.raises(AccountMismatch):
        msgsync.sync(open_replica("empty.db"), full)


def test_another_version_is_refused_in_words(full):
    session = session_in("HELLO", full)
    feed(session, hello_of(full, version=VERSION + 1))
    assert isinstance(session.error, VersionMismatch)
    assert "update the older" in str(session.error)
    [refusal] = drain(session)
    assert isinstance(refusal, Refuse)
    assert refusal.reason == Reason.VERSION


# Nothing to do.


@pytest.mark.parametrize("documents", [0, 1, 400])
def test_equal_replicas_part_after_one_round_trip_of_200_bytes(phone, tablet, documents):
    if documents:
        phone.ingest(history(conversations=(documents + 2) // 3, months=3, each=1))
    msgsync.sync(phone, tablet)
    line = Line.between(phone, tablet)
    assert line.carry()
    assert [type(frame) for _, frame in line.frames] == [Hello, Hello]
    assert sum(line.bytes) <= 200
    assert line.first.complete
    assert line.second.complete
    assert (line.first.bytes_sent, line.first.bytes_received) == tuple(line.bytes)
    assert (line.second.bytes_received, line.second.bytes_sent) == tuple(line.bytes)


# What is exchanged, and how it is found.


def test_an_empty_replica_fills_newest_first(full, tablet):
    full.conversation("c1").rename("One")
    line = Line.between(tablet, full)
    assert line.carry()
    assert in_sync(full, tablet)
    assert line.sent(Start) == []
    [offers] = line.sent(Offers, side=1)
    places = [
        (offer.document.conversation, offer.document.kind, offer.newest_ms)
        for offer in offers.offers
    ]
    months = [newest for _, kind, newest in places if kind != "head"]
    assert len(months) == 9
    assert months == sorted(months, reverse=True)
    head = [conversation for conversation, kind, _ in places if kind == "head"]
    assert head == ["c1"]
    heads_and_newest = places[:4]
    assert {conversation for conversation, _, _ in heads_and_newest} == {"c0", "c1", "c2"}


def test_after_a_completed_exchange_only_what_changed_is_offered(full, met):
    sent = full.conversation("c0").messages()[0]
    full.conversation("c0").react(sent, "👍")
    met.conversation("c1").send("hello")
    line = Line.between(full, met)
    assert line.carry()
    assert [start.bins for start in line.sent(Start)] == [b"", b""]
    assert [len(offers.offers) for offers in line.sent(Offers)] == [1, 1]
    assert in_sync(full, met)


def test_without_a_memory_of_each_other_the_digest_tree_finds_what_differs(full, met):
    full.conversation("c0").send("hello")
    for replica in (full, met):
        with replica.writing() as store:
            store.database.execute("delete from peers")
    line = Line.between(full, met)
    assert line.carry()
    assert [len(start.bins) for start in line.sent(Start)] == [4096, 4096]
    assert {offer.document.conversation for page in line.sent(Offers) for offer in page.offers} == {
        "c0"
    }
    assert len(line.sent(Updates)) == 1
    assert in_sync(full, met)


@pytest.mark.parametrize("forgetful", [0, 1])
def test_if_one_side_remembers_and_the_other_does_not_trees_are_compared(full, met, forgetful):
    full.conversation("c0").send("hello")
    met.conversation("c2").send("hello")
    with (full, met)[forgetful].writing() as store:
        store.database.execute("delete from peers")
    line = Line.between(full, met)
    assert line.carry()
    assert {len(start.bins) for start in line.sent(Start)} >= {4096}
    assert in_sync(full, met)


def test_a_restored_file_with_another_store_id_is_not_remembered(full, met):
    full.conversation("c0").send("hello")
    met.close()
    import apsw

    connection = apsw.Connection(str(met.path))
    connection.execute("update meta set value = randomblob(16) where name = 'store_id'")
    connection.close()
    with Replica(met.path) as restored:
        line = Line.between(full, restored)
        assert line.carry()
        assert 4096 in {len(start.bins) for start in line.sent(Start, side=0)}
        assert in_sync(full, restored)


def test_what_one_device_heard_it_passes_on(full, met, open_replica):
    desktop = open_replica("desktop.db", member=full)
    msgsync.sync(met, desktop)
    desktop.conversation("c0").send("from the desktop")
    msgsync.sync(desktop, met)
    line = Line.between(met, full)
    assert line.carry()
    assert [start.bins for start in line.sent(Start)] == [b"", b""]
    assert in_sync(full, met, desktop)


@pytest.mark.parametrize("documents", [1, 300])
def test_a_hundred_new_messages_on_each_side_cost_twice_their_own_size(phone, tablet, documents):
    draw = random.Random(7)
    phone.ingest(history(conversations=documents, months=1, each=3))
    msgsync.sync(phone, tablet)
    size = []
    for replica in (phone, tablet):
        sent = [replica.conversation("c0").send(sentence(draw)) for _ in range(100)]
        records = [encode_message(MessageRecord(one.author, one.text)) for one in sent]
        size.append(len(zstd.compress(b"".join(records))))
    line = Line.between(phone, tablet)
    assert line.carry()
    assert in_sync(phone, tablet)
    for side in (0, 1):
        assert line.bytes[side] <= 2 * size[side], f"{line.bytes[side]} for {size[side]}"


# Cuts.


def lively(phone: Replica, tablet: Replica) -> None:
    """Both have something that the other lacks, in documents of their own and in common ones."""
    phone.ingest(history())
    msgsync.sync(phone, tablet)
    for replica, names in ((phone, ("c0", "c1")), (tablet, ("c1", "c2"))):
        for name in names:
            conversation = replica.conversation(name)
            conversation.send(f"from {replica.path.name}")
            conversation.edit(conversation.messages()[0], f"by {replica.path.name}")
    tablet.ingest(history(conversations=4, months=2))


def test_cut_after_any_frame_what_was_merged_stays_and_the_next_session_goes_on(
    open_replica, monkeypatch
):
    """Small frames make many cuts; nothing that was merged travels again."""
    small_frames(monkeypatch)
    cut, complete = 0, False
    while not complete:
        cut += 1
        phone = open_replica(f"phone-{cut}.db")
        tablet = open_replica(f"tablet-{cut}.db", member=phone)
        lively(phone, tablet)
        first = Line.between(phone, tablet)
        complete = first.carry(frames=cut)
        second = Line.between(phone, tablet)
        assert second.carry()
        assert second.first.complete
        assert in_sync(phone, tablet)
        assert len(first.delivered(0)) + len(second.delivered(0)) == 4
        assert len(first.delivered(1)) + len(second.delivered(1)) == 6
        for side in (0, 1):
            assert first.delivered(side).isdisjoint(second.delivered(side))
        phone.close()
        tablet.close()
    assert cut > 12


def test_filling_goes_on_where_it_was_cut(full, tablet, monkeypatch):
    small_frames(monkeypatch)  # about a document a frame
    received = 0
    for _ in range(30):
        line = Line.between(tablet, full)
        complete = line.carry(frames=14)
        received += line.first.report().documents_received
        if complete:
            break
    assert in_sync(full, tablet)
    assert received == 9


def test_an_interrupted_exchange_is_not_remembered(full, met):
    for name in ("c0", "c1"):
        full.conversation(name).send("hello")
    Line.between(full, met).carry(frames=5)
    full.conversation("c2").send("hello")
    line = Line.between(full, met)
    assert line.carry()
    assert in_sync(full, met)


def test_what_is_written_during_an_exchange_is_exchanged_too(full, met):
    full.conversation("c0").send("hello")
    line = Line.between(full, met)
    line.carry(frames=4)
    met.conversation("c1").send("meanwhile")
    full.conversation("c2").send("meanwhile")
    assert line.carry()
    assert msgsync.sync(full, met).complete
    assert in_sync(full, met)


# Large documents.


def heavy(replica: Replica) -> None:
    """One month whose only update is larger than a frame, and does not shrink."""
    draw = random.Random(3)
    replica.ingest(
        [
            Incoming(
                "heavy", "ben", draw.randbytes(200_000).hex(), START_MS + n, external_id=str(n)
            )
            for n in range(6)
        ]
    )


def test_a_document_larger_than_a_frame_goes_in_parts(full, tablet):
    heavy(full)
    line = Line.between(tablet, full)
    assert line.carry()
    parts = line.sent(Part, side=1)
    assert len(parts) > 4
    assert all(len(part.piece) <= limits.FRAME_FILL_BYTES for part in parts)
    assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
    assert in_sync(full, tablet)
    heaviest = tablet.conversation("heavy").messages()
    assert len(heaviest) == 6


def test_a_large_difference_goes_in_parts_too(full, met):
    met.ingest([Incoming("heavy", "ben", "small", START_MS, external_id="small")])
    heavy(full)
    line = Line.between(full, met)
    assert line.carry()
    assert len(line.sent(Part)) > 4
    assert in_sync(full, met)


def test_cut_between_parts_nothing_is_merged_and_all_comes_again(full, tablet):
    heavy(full)
    line = Line.between(tablet, full)
    while len(line.sent(Part)) < 3:
        line.carry(frames=1)
    assert tablet.check().ok
    with pytest.raises(msgsync.UnknownConversation):
        tablet.conversation("heavy")
    assert Line.between(tablet, full).carry()
    assert in_sync(full, tablet)


# What is refused.


def poison(replica: Replica, mark: int) -> None:
    """A document that a broken or hostile device would offer: not of the shape that is admitted."""
    with replica.writing() as store:
        row = store.row(DocumentId("poisoned", "2024-01"))
        store.documents.append(row, yjs.one(yjs.item(content=b"\x01", info=0x27)))
        row.add_digest(mark)


def test_a_refused_document_is_named_asked_for_twice_and_then_not_until_it_changes(full, tablet):
    poison(full, 1)
    line = Line.between(tablet, full)
    assert line.carry()
    report = line.first.report()
    assert not report.complete
    assert line.first.error is None
    assert (
        [one for one in report.refused if "poisoned 2024-01" in one] == list(report.refused) != []
    )
    assert any("poisoned 2024-01" in one for one in tablet.status().refused)
    assert len(tablet.search("message", limit=100)) == len(history())
    assert tablet.check().ok

    second = Line.between(tablet, full)
    assert second.carry()
    [asked] = second.sent(Want)
    assert len(asked.wanted) == 1
    assert len(second.sent(Updates)) == 1
    assert not second.first.complete

    again = Line.between(tablet, full)
    assert again.carry()
    assert again.sent(Want) == []
    assert again.first.report().documents_received == 0
    assert not again.first.complete

    full.conversation("c0").send("others go on")
    third = Line.between(tablet, full)
    assert third.carry()
    assert tablet.search("others")

    poison(full, 2)
    changed = Line.between(tablet, full)
    assert changed.carry()
    assert len(changed.sent(Want)) == 1
    assert len(tablet.status().refused) == 1
    for asked_for in (1, 0):
        last = Line.between(tablet, full)
        assert last.carry()
        assert len(last.sent(Want)) == asked_for


def test_a_refusal_is_forgotten_once_the_replicas_are_equal(full, tablet):
    poison(full, 1)
    msgsync.sync(tablet, full)
    assert tablet.status().refused
    with full.writing() as store:
        row = store.row(DocumentId("poisoned", "2024-01"))
        row.add_digest(-1)
        store.documents.touch(row)
    assert msgsync.sync(tablet, full).complete
    assert tablet.status().refused == ()


# Copies.


@pytest.mark.parametrize("wrote", [False, True])
def test_a_replica_restored_from_an_older_copy_heals(full, met, open_replica, tmp_path, wrote):
    sent = met.conversation("c0").send("before the copy")
    msgsync.sync(full, met)
    met.close()
    shutil.copyfile(met.path, tmp_path / "copy")
    with Replica(met.path, author="ann") as later:
        later.conversation("c0").edit(sent, "after the copy")
        later.conversation("c1").send("after the copy")
        full.conversation("c2").send("from the phone")
        msgsync.sync(full, later)
    for beside in Path(tmp_path).glob("tablet.db-*"):
        beside.unlink()
    shutil.copyfile(tmp_path / "copy", met.path)
    restored = open_replica("tablet.db")
    if wrote:
        restored.conversation("c0").edit(sent, "after the restore")
    assert msgsync.sync(full, restored).complete
    assert in_sync(full, restored)
    edits = {edit.text for edit in restored.message(sent.id).edits}
    assert edits == {"after the copy"} | ({"after the restore"} if wrote else set())
    restored.conversation("c0").send("on it goes")
    assert msgsync.sync(restored, full).complete
    assert in_sync(full, restored)


# Events and reports.


def small_frames(monkeypatch):
    for name in ("FRAME_FILL_BYTES", "UPDATES_FILL_BYTES", "FIRST_FILL_BYTES"):
        monkeypatch.setattr(limits, name, 300)


def test_progress_counts_up_to_a_known_total(full, tablet, monkeypatch):
    small_frames(monkeypatch)
    line = Line.between(tablet, full)
    assert line.carry()
    events = line.events[0]
    assert isinstance(events[-1], Completed)
    progress = [event for event in events if isinstance(event, Progress)]
    assert len(progress) > 3
    assert [one.documents for one in progress] == sorted(one.documents for one in progress)
    last = progress[-1]
    assert (last.documents, last.messages) == (last.total_documents, last.total_messages) == (9, 36)
    assert all(one.total_messages == 36 for one in progress)
    report = events[-1].report
    assert (report.documents_received, report.messages_received) == (9, 36)
    assert line.first.report().bytes_sent == line.bytes[0]
    assert report.complete


def test_messages_that_are_here_already_are_not_counted_again(full, met):
    for number in range(5):
        full.conversation("c0").send(f"new {number}")
    line = Line.between(met, full)
    assert line.carry()
    assert line.first.report().messages_received == 5


def test_a_report_counts_what_came_where_both_have_written(full, met):
    for replica, number in ((full, 2), (met, 3)):
        for _ in range(number):
            replica.conversation("c0").send("only here yet")
    line = Line.between(full, met)
    assert line.carry()
    assert line.first.report().messages_received == 3
    assert line.second.report().messages_received == 2


def test_a_line_in_one_process_reports_the_first_side(full, tablet):
    events: list[msgsync.Event] = []
    report = msgsync.sync(tablet, full, on_event=events.append)
    assert isinstance(events[-1], Completed)
    assert events[-1].report.documents_received == report.documents_received == 9
    first, second = session_of(tablet), session_of(full)
    assert memory.exchange(first, second)
    assert not memory.exchange(session_of(tablet), session_of(full), frames=1)


def test_what_is_not_asked_for_yet_is_bounded(full, tablet, monkeypatch):
    """However much is offered, no more is on its way than the window holds."""
    monkeypatch.setattr(limits, "WINDOW_BYTES", 600)
    monkeypatch.setattr(limits, "SCREEN_CONVERSATIONS", 0)
    line = Line.between(tablet, full)
    assert line.carry()
    assert len(line.sent(Want, side=0)) > 2
    assert in_sync(full, tablet)


def test_many_documents_are_offered_in_pages(phone, tablet, monkeypatch):
    monkeypatch.setattr(limits, "OFFERS_PER_FRAME", 4)
    phone.ingest(history())
    line = Line.between(tablet, phone)
    assert line.carry()
    assert [(len(page.offers), page.last) for page in line.sent(Offers, side=1)] == [
        (4, False),
        (4, False),
        (1, True),
    ]
    assert in_sync(phone, tablet)


# Why an exchange is not complete.


def test_a_side_that_may_only_be_read_says_so(phone, family, tablet, open_replica):
    family.send("one")
    msgsync.sync(phone, tablet)
    family.send("two")
    tablet.close()
    with open_replica("tablet.db", readonly=True) as reader:
        line = Line.between(reader, phone)
        line.carry()
        ours, theirs = line.first.report(), line.second.report()
        assert (ours.complete, theirs.complete) == (False, False)
        assert ours.reason is not None
        assert "open for reading only" in ours.reason
        assert theirs.reason is not None
        assert "the peer did not take everything" in theirs.reason


def test_what_is_complete_has_no_reason(phone, family, tablet):
    family.send("one")
    assert msgsync.sync(phone, tablet).reason is None
