"""A peer that lies: about clocks, numbers, times, sizes. What is here stays, and the honest converge. Source: A4."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import ProtocolError, limits
from msgsync.document.codec import Block, compose
from msgsync.document.frozen import NEVER_FROZEN
from msgsync.document.schema import DocumentId, Entry, segment_of
from msgsync.ids import encode_id
from msgsync.protocol.frames import Offer, Offers, Part, Want
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    EditRecord,
    FieldRecord,
    MessageRecord,
    Stamp,
    encode_deletion,
    encode_edit,
    encode_field,
    encode_message,
)
from tests.hostile.peer import LIE, Liar, greeting, said, session_of, update_of
from tests.unit.machine import START_MS

MONTH = DocumentId("family", segment_of(START_MS))
DAY_MS = 86_400_000


def texts(replica: msgsync.Replica) -> list[str]:
    return [one.text for one in replica.conversation("family").messages(limit=10_000)]


def client_of(replica: msgsync.Replica) -> int:
    with replica.reading() as store:
        return store.documents.client


def clock_of(replica: msgsync.Replica, client: int) -> int:
    with replica.reading() as store:
        row = store.documents.find(MONTH)
        assert row is not None
        return store.documents.state(row).get(client, 0)


def converge(*replicas: msgsync.Replica) -> None:
    for _ in range(2):
        for first in replicas:
            for second in replicas:
                if first is not second:
                    msgsync.sync(first, second)
    assert len({replica.digest for replica in replicas}) == 1
    assert all(replica.check().ok for replica in replicas)


# Clocks: a writer that somebody mutes. Source: security A4, decision 15.


def test_what_a_muted_writer_says_reaches_everybody_all_the_same(phone, tablet, family):
    """A peer claims the clocks that the phone will use next; the tablet then takes the phone's words for known."""
    family.send("before")
    msgsync.sync(phone, tablet)
    phones = client_of(phone)
    known = clock_of(tablet, phones)
    Liar(tablet).push_one(MONTH, update_of(1000, client=phones, clock=known))
    family.send("said by the one who was muted")
    family.react(family.send("and answered"), "👍")
    assert clock_of(tablet, phones) == known + 1000
    assert msgsync.sync(phone, tablet).complete
    assert (
        texts(tablet) == texts(phone) == ["before", "said by the one who was muted", "and answered"]
    )
    assert phone.digest == tablet.digest
    assert phone.status().cloned
    assert client_of(phone) != phones
    family.send("after")
    converge(phone, tablet)
    assert texts(tablet)[-1] == "after"


def test_a_third_device_that_had_heard_the_muted_one_agrees_as_well(
    phone, tablet, family, open_replica
):
    third = open_replica("third.db", member=phone)
    family.send("before")
    converge(phone, tablet, third)
    phones = client_of(phone)
    Liar(tablet).push_one(MONTH, update_of(7, client=phones, clock=clock_of(tablet, phones)))
    family.edit(family.send("first"), "edited")
    msgsync.sync(phone, third)
    assert msgsync.sync(third, tablet).complete
    converge(phone, tablet, third)
    assert texts(tablet) == ["before", "edited"]


def test_a_writer_that_was_muted_in_pieces_is_heard(phone, tablet, family):
    family.send("before")
    msgsync.sync(phone, tablet)
    phones = client_of(phone)
    known = clock_of(tablet, phones)
    piece = (limits.CLOCK - known) // 4
    for number in range(4):
        clock = known + number * piece
        assert (
            not Liar(tablet).push_one(MONTH, update_of(piece, client=phones, clock=clock)).refused
        )
    report = Liar(tablet).push_one(MONTH, update_of(piece, client=phones, clock=known + 4 * piece))
    assert "clock beyond its limit" in report.refused[0]
    assert clock_of(tablet, phones) == known + 4 * piece
    family.send("heard")
    converge(phone, tablet)
    assert texts(tablet) == ["before", "heard"]


def test_a_writer_at_the_end_of_its_clock_is_followed_by_another(
    phone, tablet, family, monkeypatch
):
    monkeypatch.setattr(limits, "CLOCK", 5)
    first = client_of(phone)
    for number in range(12):
        family.send(str(number))
    assert client_of(phone) != first
    converge(phone, tablet)
    assert texts(tablet) == [str(number) for number in range(12)]


def test_two_machines_rolled_back_to_one_snapshot_lose_nothing(phone, tablet, family, open_replica):
    """The same clocks of one writer, used twice for different messages: both are shown everywhere."""
    family.send("before")
    msgsync.sync(phone, tablet)
    phone.close()
    path = Path(phone.path)
    shutil.copy(path, path.with_name("twin.db"))
    client = 7
    twins = [open_replica(name) for name in ("phone.db", "twin.db")]
    for number, twin in enumerate(twins):
        with twin.writing() as store:
            store.documents.redraw(client)
        twin.conversation("family").send(f"by twin {number}")
    msgsync.sync(twins[0], tablet)
    msgsync.sync(twins[1], tablet)
    converge(tablet, *twins)
    assert sorted(texts(tablet)) == ["before", "by twin 0", "by twin 1"]


def test_healing_brings_back_neither_what_was_erased_nor_what_lost(phone, tablet, family):
    secret, kept = family.send("zyxwvut"), family.send("kept")
    family.rename("one")
    msgsync.sync(phone, tablet)
    tablet.conversation("family").erase(secret.id)
    phones = client_of(phone)
    Liar(tablet).push_one(MONTH, update_of(9, client=phones, clock=clock_of(tablet, phones)))
    family.edit(kept.id, "edited")
    converge(phone, tablet)
    assert texts(tablet) == texts(phone) == ["edited"]


# Numbers.


def entry_of(message: msgsync.Message, stamp: Stamp, text: str) -> Entry:
    key = encode_id(message.id.raw) + b"." + stamp.key()
    return Entry("edits", key, encode_edit(EditRecord(text, 0)))


GREATEST = limits.LAMPORT


def test_the_greatest_lamport_number_freezes_nothing(phone, tablet, family):
    """From there on the clock decides; only what the peer itself touched with the last stamp stays with it."""
    first, second = family.send("first"), family.send("second")
    hostile = Stamp(GREATEST, b"\0" * 3 + b"\xff" * 7)
    report = Liar(phone).push_one(MONTH, update_of(entry_of(first, hostile, "forged")))
    assert not report.refused
    assert family.message(first.id).text == "forged"
    for number in range(3):
        family.edit(first.id, f"mended {number}")
        family.edit(second.id, f"edited {number}")
    assert texts(phone) == ["mended 2", "edited 2"]
    family.react(second.id, "👍")
    family.unreact(second.id, "👍")
    assert family.message(second.id).reactions == ()
    family.delete(second.id)
    family.restore(second.id)
    converge(phone, tablet)
    tablet.conversation("family").edit(second.id, "there")
    converge(phone, tablet)
    assert texts(phone) == texts(tablet) == ["mended 2", "there"]
    assert len(family.message(second.id).edits) == 4


def test_the_last_stamp_of_all_takes_what_it_names_and_no_more(phone, tablet, family):
    first, second = family.send("first"), family.send("second")
    last = Stamp(GREATEST, b"\xff" * 10)
    Liar(phone).push_one(MONTH, update_of(entry_of(first, last, "forged")))
    family.edit(first.id, "lost, and kept in the history")
    family.edit(second.id, "edited")
    assert texts(phone) == ["forged", "edited"]
    family.erase(first.id)
    converge(phone, tablet)
    assert texts(tablet) == ["edited"]


def test_a_title_under_the_greatest_number_can_be_changed(phone, tablet, family):
    head = DocumentId("family", "head")
    stamp = Stamp(GREATEST, bytes(10))
    value = encode_field(FieldRecord("title", "forged"))
    Liar(phone).push_one(head, update_of(Entry("fields", stamp.key(), value)))
    assert family.title == "forged"
    family.rename("ours")
    family.rename("ours again")
    converge(phone, tablet)
    assert tablet.conversation("family").title == "ours again"


def test_deletions_under_the_greatest_number_can_be_restored(phone, tablet, family):
    first = family.send("first")
    record = DeletionRecord(DeletionKind.DELETED, 0, None, (first.id.raw,), frozenset())
    entry = Entry("deletions", Stamp(GREATEST, bytes(10)).key(), encode_deletion(record))
    Liar(phone).push_one(MONTH, update_of(entry))
    assert texts(phone) == []
    family.restore(first.id)
    assert texts(phone) == ["first"]
    converge(phone, tablet)
    assert texts(tablet) == ["first"]


def test_writers_are_counted_over_all_updates_of_a_document(phone, tablet, family, monkeypatch):
    monkeypatch.setattr(limits, "WRITERS", 50)
    family.send("kept")
    reports = [
        Liar(phone).push_one(MONTH, compose([Block(1000 * part + n, 0, [1]) for n in range(1, 21)]))
        for part in range(1, 4)
    ]
    assert [bool(report.refused) for report in reports] == [False, False, True]
    assert "more than 50 writers" in reports[-1].refused[0]
    # Those who are known go on, and so does this device.
    assert not Liar(phone).push_one(MONTH, update_of(1, client=1001, clock=1)).refused
    family.send("and this one")
    assert phone.check().ok
    converge(phone, tablet)
    assert texts(tablet) == ["kept", "and this one"]


def test_a_document_of_as_many_writers_as_peers_may_bring_works(phone, tablet, family):
    family.send("kept")
    crowd = compose([Block(n, 0, [1]) for n in range(1, limits.WRITERS - 3)])
    assert not Liar(phone).push_one(MONTH, crowd).refused
    for replica in (phone, tablet):
        msgsync.sync(phone, tablet)
        replica.conversation("family").send(f"by {replica.device}")
    assert phone.check().ok
    phone.conversation("family").erase(phone.conversation("family").messages()[0].id)
    converge(phone, tablet)


def test_wants_of_documents_with_many_writers_fit_their_frames(phone):
    """State vectors of half a megabyte each: one frame for each, none beyond its limit."""
    crowd = compose([Block(limits.CLIENT_ID - n, 0, [1]) for n in range(limits.WRITERS - 1)])
    names = [DocumentId("c", f"20{year}-01") for year in range(10, 14)]
    Liar(phone).push({name: lambda _: [crowd] for name in names})
    liar = Liar(phone)
    offers = [Offer(name, LIE, 0, 1, 100) for name in names]
    liar.session.receive(encode_frame(Offers(tuple(offers), True))[4:])
    wanted = 0
    while (raw := liar.session.next_frame()) is not None:
        frame = decode_frame(raw[4:])  # says so if it is too large
        wanted += len(frame.wanted) if isinstance(frame, Want) else 0
    assert wanted == len(names)


# Without end.


def test_pages_of_nothing_end_the_session(phone):
    liar = Liar(phone)
    liar.feed(Offers((), False))
    assert isinstance(liar.session.error, ProtocolError)


def test_offers_without_end_end_the_session(phone, monkeypatch):
    monkeypatch.setattr(limits, "OFFERS_BEYOND", 2500)
    liar = Liar(phone)
    for page in range(3):
        assert liar.session.error is None
        offers = [Offer(DocumentId(f"c{page}-{n}", "head"), LIE, 0, 0, 0) for n in range(1000)]
        liar.feed(Offers(tuple(offers), False))
    assert isinstance(liar.session.error, ProtocolError)
    assert "2500 documents" in str(liar.session.error)


def test_names_without_end_end_the_session(phone):
    liar = Liar(phone)
    liar.feed(Offers((Offer(DocumentId("c" * 2000, "head"), LIE, 0, 0, 0),), True))
    assert isinstance(liar.session.error, ProtocolError)


@pytest.mark.parametrize("last", [False, True])
def test_pieces_of_nothing_end_the_session(phone, last, monkeypatch):
    monkeypatch.setattr(limits, "PIECES", 100)
    liar = Liar(phone)
    liar.feed(Offers((Offer(MONTH, LIE, 0, 1, 100),), True))
    for _ in range(100):
        liar.feed(Part(0, NEVER_FROZEN, b"", last, False))
    assert (liar.session.error is None) == last
    liar.feed(Part(0, NEVER_FROZEN, b"", last, False))
    assert isinstance(liar.session.error, ProtocolError)


# Times.


@pytest.mark.parametrize(("days", "said_so"), [(0, False), (1, False), (2, True), (-40_000, True)])
def test_a_clock_that_disagrees_is_said(phone, tablet, machine, open_replica, days, said_so):
    class Ahead:
        vfs = None
        files = machine.files
        random_bytes = staticmethod(machine.random_bytes)

        @staticmethod
        def now_ms() -> int:
            return START_MS + days * DAY_MS if days > -30_000 else 0

    other = open_replica("other.db", member=phone, system=Ahead())
    phone.create_conversation("Family", id="family").send("hello")
    msgsync.sync(phone, other)
    difference = Ahead.now_ms() - START_MS
    expected = pytest.approx(difference, abs=3_600_000) if said_so else None
    assert phone.status().clock_skew_ms == expected
    assert other.status().clock_skew_ms == (
        pytest.approx(-difference, abs=3_600_000) if said_so else None
    )
    assert phone.digest == other.digest
    msgsync.sync(phone, tablet)
    assert phone.status().clock_skew_ms is None
    assert phone.check().ok


def test_a_message_of_a_peer_dated_beyond_all_calendars_is_shown_and_can_be_erased(
    phone, tablet, family, machine
):
    family.send("now")
    for ms in (253_402_300_800_000, limits.MS):  # the year 10000, and the last one
        one = ms.to_bytes(6, "big") + bytes(6)
        entry = Entry("messages", encode_id(one), encode_message(MessageRecord("eve", "far")))
        report = Liar(phone).push_one(DocumentId("family", segment_of(ms)), update_of(entry))
        assert not report.refused
    assert texts(phone) == ["now", "far", "far"]
    machine.clock_ms += 1000
    sent = family.send("still now")
    assert sent.sent_ms < START_MS + DAY_MS
    for message in family.messages():
        assert repr(message)
        if message.text == "far":
            family.erase(message.id)
    converge(phone, tablet)
    assert texts(tablet) == ["now", "still now"]


# Reading only.


def test_a_replica_that_is_only_read_is_a_source(phone, tablet, family, open_replica):
    family.send("hello")
    reader = open_replica("phone.db", readonly=True)
    before = Path(phone.path).read_bytes()
    assert msgsync.sync(tablet, reader).complete
    assert texts(tablet) == ["hello"]
    tablet.conversation("family").send("from the tablet")
    report = msgsync.sync(reader, tablet)
    assert not report.complete
    assert report.documents_received == 0
    assert texts(reader) == ["hello"]
    assert Path(phone.path).read_bytes() == before
    converge(phone, tablet)
    assert texts(reader) == ["hello", "from the tablet"]


def test_what_a_peer_claims_to_be_is_no_matter(phone, family):
    """Counts that nobody has, a device that is ours, a time at the end of all times."""
    family.send("hello")
    before = phone.digest
    own = phone.device.raw
    for changes in (
        {"documents": limits.MS, "messages": limits.MS},
        {"device": own, "store_id": bytes(16)},
        {"time_ms": limits.MS},
        {"time_ms": 0},
    ):
        session = session_of(phone)
        session.receive(encode_frame(greeting(session, **changes))[4:])
        said(session)
        session.receive(encode_frame(Offers((), True))[4:])
        said(session)
        assert session.error is None or isinstance(session.error, ProtocolError)
    assert phone.digest == before
    assert phone.check().ok
