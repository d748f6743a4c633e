"""What a device writes into documents: under which stamp, under which client, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgsync import Incoming, Replica, limits
from msgsync.document.codec import entries_of, scan
from msgsync.document.frozen import Label, base_of, decode_frozen
from msgsync.document.schema import ACCOUNT, DocumentId, Entry
from msgsync.records import Stamp
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store
from tests.unit.document import said
from tests.unit.document.test_head import erase as erase_field
from tests.unit.machine import START_MS
from tests.unit.parts import freeze, parts_of

POLLS = DocumentId("c", "polls")
SETTINGS = DocumentId("", ACCOUNT)
DAY_MS = 86_400_000
GREATEST = limits.LAMPORT


def write(replica: Replica, document: DocumentId, *entries: Entry) -> None:
    with replica.writing() as store:
        store.write(store.row(document), entries)


def row_of(store: Store, document: DocumentId) -> DocumentRow:
    row = store.documents.find(document)
    assert row is not None
    return row


def log_rows(replica: Replica, document: DocumentId) -> int:
    with replica.reading() as store:
        return row_of(store, document).log_rows


def log_bytes(replica: Replica) -> int:
    """What waits in the write-ahead log."""
    return Path(f"{replica.path}-wal").stat().st_size


# Rows and fields.


def test_a_document_has_one_row_from_its_first_entry_on(phone):
    with phone.writing() as store:
        row = store.row(said.MONTH)
        assert row.is_new
        assert store.row(said.MONTH) is row
        store.write(row, [])
        assert row.is_new
        store.write(row, [said.message(1)])
        assert store.row(said.MONTH) is row
    assert phone.check().problems == ()


def test_a_head_says_what_was_written_into_it_and_nothing_before(phone):
    with phone.writing() as store:
        row = store.row(said.HEAD)
        assert store.head(row).fields == {}
        store.write(row, [said.field((1, 1), "title", "Family")])
        assert store.head(row).value("title", str) == "Family"


def test_a_setting_is_a_field_of_the_account_document(phone):
    with phone.writing() as store:
        assert store.setting("theme") is None
        store.write(store.row(SETTINGS), [said.field((1, 1), "theme", "dark")])
        assert store.setting("theme") == "dark"
        assert store.setting("font") is None


def test_what_was_changed_in_a_row_is_written_with_the_transaction(phone, open_replica):
    write(phone, said.MONTH, said.message(1))
    with phone.writing() as store:
        row = row_of(store, said.MONTH)
        row.merged = b"what is noted there"
        store.touch(row)
    phone.close()
    with open_replica("phone.db").reading() as store:
        assert row_of(store, said.MONTH).merged == b"what is noted there"


# Stamps.


def stamps(replica: Replica, count: int) -> list[Stamp]:
    """So many, each of an entry that is not written."""
    with replica.writing() as store:
        return [store.next_stamp(row_of(store, said.MONTH)) for _ in range(count)]


def times(replica: Replica, count: int = 1) -> list[int]:
    """What stands for the writer in stamps under the greatest number: when they were made."""
    found = stamps(replica, count)
    assert {one.lamport for one in found} == {GREATEST}
    assert {len(one.writer) for one in found} == {10}
    return [int.from_bytes(one.writer[:6], "big") for one in found]


def edit_at(number: int, ms: int) -> Entry:
    """An edit under the greatest number, of this time."""
    return said.edit(number, (GREATEST, (ms << 32) + 5), f"{ms}")


def test_a_stamp_is_one_above_the_greatest_number_and_names_the_writer(phone):
    write(phone, said.MONTH, said.message(1), said.edit(1, (7, 1), "x"))
    with phone.writing() as store:
        row, writer = row_of(store, said.MONTH), store.documents.writer
        assert store.next_stamp(row) == Stamp(8, writer)
        store.write(row, [said.edit(1, (GREATEST - 1, 1), "y")])
        assert store.next_stamp(row) == Stamp(GREATEST, writer), "the last one that there is"


def test_above_the_greatest_number_stamps_take_the_time_and_then_count_on(phone, machine):
    write(phone, said.MONTH, said.message(1), edit_at(1, 0))
    assert times(phone, 3) == [START_MS, START_MS + 1, START_MS + 2]
    machine.clock_ms += 1000
    assert times(phone, 2) == [START_MS + 1000, START_MS + 1001]
    machine.clock_ms -= 5000
    assert times(phone) == [START_MS + 1002], "a clock that goes back takes nothing back"


def test_such_stamps_differ_in_what_is_drawn(phone):
    write(phone, said.MONTH, said.message(1), edit_at(1, 0))
    drawn = [one.writer[6:] for one in stamps(phone, 8)]
    assert len({*drawn}) == 8
    assert all(len({one[place] for one in drawn}) > 1 for place in range(4))


@pytest.mark.parametrize("ahead_ms", [1, limits.FUTURE_MS - 1])
def test_what_stands_there_is_outdone_even_if_its_clock_is_ahead(phone, ahead_ms):
    write(phone, said.MONTH, said.message(1), edit_at(1, START_MS + ahead_ms))
    assert times(phone, 2) == [START_MS + ahead_ms + 1, START_MS + ahead_ms + 2]
    write(phone, said.MONTH, edit_at(1, START_MS + ahead_ms - 1))
    assert times(phone) == [START_MS + ahead_ms + 3]


def test_a_time_that_no_clock_shows_is_not_believed(phone):
    write(phone, said.MONTH, said.message(1), edit_at(1, START_MS + limits.FUTURE_MS))
    assert times(phone) == [START_MS]


def test_at_the_end_of_time_stamps_are_still_made(phone, machine):
    write(phone, said.MONTH, said.message(1), edit_at(1, 0))
    machine.clock_ms = limits.MS
    assert times(phone, 2) == [limits.MS] * 2


# Clients.


def test_a_client_writes_as_many_entries_into_a_document_as_its_clocks_reach(phone, monkeypatch):
    monkeypatch.setattr(limits, "CLOCK", 5)
    with phone.reading() as store:
        client = store.documents.client
    write(phone, POLLS, *(Entry("polls", b"%d" % n, b"x") for n in range(5)))
    with phone.reading() as store:
        assert store.documents.client == client, "it reaches so far"

    def clients() -> list[int]:
        updates = parts_of(phone, said.MONTH).updates
        return [block.client for update in updates for block in scan(update)]

    write(phone, said.MONTH, *map(said.message, (1, 2, 3)))
    write(phone, said.MONTH, *map(said.message, (4, 5)))
    assert len({*clients()}) == 1
    write(phone, said.MONTH, said.message(6))
    first, second, third = clients()
    assert first == second != third
    write(phone, said.MONTH, *map(said.message, range(7, 12)))
    assert len({*clients()}) == 3
    assert phone.check().problems == ()


def test_a_document_that_lost_what_was_written_in_it_has_the_next_written_by_another(phone):
    write(phone, said.MONTH, said.message(1))
    with phone.reading() as store:
        client = store.documents.client
    freeze(phone, said.MONTH)
    write(phone, said.MONTH, said.message(2))
    with phone.reading() as store:
        assert store.documents.client != client


# Logs.


@pytest.mark.parametrize("document", [said.MONTH, said.HEAD, SETTINGS, POLLS])
def test_a_log_is_folded_when_it_is_longer_than_its_limit(phone, document, monkeypatch):
    monkeypatch.setattr(limits, "LOG_ROWS", 4)
    lengths = []
    for number in range(1, 7):
        if document == POLLS:
            entry = Entry("polls", b"%d" % number, b"x")
        elif document.has_fields:
            entry = said.field((number, 1), f"meta.{number}", "x")
        else:
            entry = said.message(number)
        write(phone, document, entry)
        lengths.append(log_rows(phone, document))
    assert lengths == [1, 2, 3, 4, 1, 2]
    assert phone.check().problems == ()


def test_the_log_of_a_long_document_is_folded_less_often(phone, monkeypatch):
    """One part more for sixteen messages each."""
    monkeypatch.setattr(limits, "LOG_ROWS", 4)
    write(phone, said.MONTH, *map(said.message, range(96)))
    lengths = []
    for number in range(1, 7):
        write(phone, said.MONTH, said.react(1, (number, 1), f"user {number}"))
        lengths.append(log_rows(phone, said.MONTH))
    assert lengths == [2, 3, 4, 5, 6, 1]
    assert phone.check().problems == ()


# What is gone.


def test_the_write_ahead_log_is_emptied_when_something_was_erased_and_only_then(phone):
    for document in (said.MONTH, said.HEAD, POLLS):
        entry = said.field((1, 1), "title", "x") if document.has_fields else said.message(1)
        write(phone, document, entry)
        assert log_bytes(phone)
    with phone.writing() as store:
        store.write(row_of(store, said.MONTH), [said.erase(1)])
        store.write(row_of(store, said.HEAD), [said.field((2, 1), "color", "green")])
    assert not log_bytes(phone)
    write(phone, said.HEAD, said.field((3, 1), "sound", "bell"))
    assert log_bytes(phone)
    write(phone, said.HEAD, erase_field({"title": (1, 1)}))
    assert not log_bytes(phone)
    assert phone.check().problems == ()


def test_what_is_erased_leaves_a_document_at_once_and_nothing_else_does(phone):
    write(phone, said.MONTH, said.message(1), said.message(2))
    write(phone, said.MONTH, said.edit(1, (1, 1), "x"))
    assert log_rows(phone, said.MONTH) == 2
    write(phone, said.MONTH, said.erase(1))
    [update] = parts_of(phone, said.MONTH).updates
    assert sorted(entries_of(scan(update))) == sorted([said.erase(1), said.message(2)])


def test_a_field_that_is_erased_leaves_its_head_at_once(phone):
    write(phone, said.HEAD, said.field((1, 1), "title", "x"), said.field((2, 1), "color", "y"))
    write(phone, said.HEAD, erase_field({"title": (1, 1)}))
    [update] = parts_of(phone, said.HEAD).updates
    assert sorted(entries_of(scan(update))) == sorted(
        [erase_field({"title": (1, 1)}), said.field((2, 1), "color", "y")]
    )
    assert phone.check().problems == ()


def test_a_conversation_begins_with_its_head(phone):
    write(phone, said.HEAD, said.field((1, 1), "title", "x"), said.field((2, 1), "created", 5))
    [line] = phone.conversations()
    assert (line.title, line.activity_ms) == ("x", 5)


# A month that has long been over.


def test_a_month_that_is_over_is_written_frozen_and_says_what_it_would_otherwise(phone):
    old_ms = START_MS - 400 * DAY_MS
    phone.ingest(Incoming("c", "ben", f"m{n}", old_ms + n, str(n)) for n in range(3))
    assert log_bytes(phone), "nothing was erased"
    document = DocumentId("c", "2022-12")
    parts = parts_of(phone, document)
    assert parts.label == Label(1, base_of(parts.frozen))
    assert parts.updates == ()
    assert len(decode_frozen(document, parts.frozen).ids) == 3
    assert [one.text for one in phone.conversation("c").messages()] == ["m0", "m1", "m2"]
    assert phone.check().problems == ()


@pytest.mark.parametrize("how", ["written", "written frozen"])
def test_closing_sees_to_what_is_due_if_anything_was_written(phone, machine, open_replica, how):
    """A month that has been quiet is frozen by whoever writes next."""
    write(phone, said.MONTH, said.message(1))
    phone.close()
    machine.clock_ms += 40 * DAY_MS
    replica = open_replica("phone.db")
    assert parts_of(replica, said.MONTH).label == Label()
    sent_ms = machine.clock_ms - (400 * DAY_MS if how == "written frozen" else 0)
    replica.ingest([Incoming("d", "ben", "old", sent_ms, "1")])
    replica.close()
    assert parts_of(open_replica("phone.db"), said.MONTH).label.generation == 1
