"""What documents consist of in the store, and what of it is kept in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgsync import Inadmissible, Replica, ReplicaDamaged, limits
from msgsync.document.admission import Admitted, admit
from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts, arrange, base_of, encode_frozen
from msgsync.document.schema import DocumentId, Entry
from msgsync.store import documents as module
from msgsync.store.rewriting import freeze_document, rewrite
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store
from tests.unit import files
from tests.unit.document import said
from tests.unit.parts import freeze, parts_of

MONTH = said.MONTH
POLLS = DocumentId("c", "polls")
PEER, OTHER = object(), object()


class Fault(Exception):
    """What ends a transaction."""


def row_of(store: Store, document: DocumentId) -> DocumentRow:
    row = store.documents.find(document)
    assert row is not None
    return row


def write(replica: Replica, document: DocumentId, *entries: Entry) -> None:
    with replica.writing() as store:
        store.write(store.row(document), entries)


def merge(replica: Replica, document: DocumentId, *updates: bytes) -> int:
    with replica.writing() as store:
        row = store.documents.find(document)
        label = NEVER_FROZEN if row is None else row.label
        return store.merge(document, Parts(label, b"", updates))


def written(client: int, *entries: Entry, clock: int = 0) -> bytes:
    return compose([Block(client, clock, list(entries))])


def poll(key: str, value: str) -> Entry:
    return Entry("polls", key.encode(), value.encode())


def months(count: int) -> list[DocumentId]:
    return [DocumentId("c", f"polls{number}") for number in range(count)]


def noise(number: int) -> Entry:
    """An entry that is stored in a pack: it is long, and does not shrink."""
    value = b"".join(base_of(b"%d %d" % (number, part)) for part in range(100))
    return Entry("polls", b"noise%d" % number, value)


# Clients and clocks.


def test_whoever_draws_anew_begins_to_count_again(phone):
    write(phone, MONTH, said.message(1), said.message(2))
    with phone.writing() as store:
        store.documents.redraw(99)
        assert store.documents.writer == (99).to_bytes(10, "big")
        store.write(row_of(store, MONTH), [said.message(3)])
        store.write(row_of(store, MONTH), [said.message(4)])
    _, *mine = [scan(one)[0] for one in parts_of(phone, MONTH).updates]
    assert [(one.client, one.clock) for one in mine] == [(99, 0), (99, 1)]


def test_drawing_anew_is_due_once(phone):
    write(phone, MONTH, said.message(1))
    freeze(phone, MONTH)
    write(phone, MONTH, said.message(2))
    write(phone, MONTH, said.message(3))
    clients = {scan(one)[0].client for one in parts_of(phone, MONTH).updates}
    assert len(clients) == 1


def test_drawing_anew_is_due_where_something_of_this_opening_was_lost_and_nowhere_else(phone):
    merge(phone, MONTH, written(7, said.message(1)))
    freeze(phone, MONTH)
    with phone.writing() as store:
        assert not store.documents.redraw_due
        store.write(row_of(store, MONTH), [said.message(2)])
        rewrite(store.documents, row_of(store, MONTH))
        assert not store.documents.redraw_due
        freeze_document(store.documents, row_of(store, MONTH))
        assert store.documents.redraw_due


def test_writers_are_counted_once_each_until_their_updates_are_gone(phone):
    def writers() -> int:
        with phone.reading() as store:
            return row_of(store, MONTH).writers

    write(phone, MONTH, said.message(1))
    write(phone, MONTH, said.message(2))
    assert writers() == 1
    merge(phone, MONTH, compose([Block(n, 0, [said.message(n)]) for n in (9, 8)]))
    merge(phone, MONTH, written(8, said.message(7), clock=1))
    assert writers() == 3
    with phone.writing() as store:
        rewrite(store.documents, row_of(store, MONTH))
    assert writers() == 3
    freeze(phone, MONTH)
    assert writers() == 0


def test_the_journal_tells_what_was_written_by_whom_and_from_which_clock_on(phone):
    with phone.reading() as store:
        begin, client = store.seq, store.documents.client
    write(phone, MONTH, said.message(1), said.message(2))
    with phone.writing() as store:
        store.documents.journal.come_from(PEER)
        store.merge(MONTH, Parts(NEVER_FROZEN, b"", (written(9, said.message(3)),)))
        store.write(row_of(store, MONTH), [said.message(4)])
    with phone.reading() as store:
        since = store.documents.journal.since
        assert since(begin, OTHER) == {MONTH: {client: 0, 9: 0}}
        assert since(begin + 1, PEER) == {MONTH: {client: 2}}


@pytest.mark.parametrize("how", ["frozen", "begun frozen"])
def test_what_has_no_clocks_is_not_in_the_journal(phone, how):
    write(phone, MONTH, said.message(1))
    with phone.reading() as store:
        seq = store.seq
    if how == "frozen":
        freeze(phone, MONTH)
    else:
        with phone.writing() as store:
            row = store.documents.make(POLLS)
            content = encode_frozen(arrange(POLLS, [poll("a", "x")]))
            store.documents.put_frozen(row, content, Label(1, base_of(content)))
            row.add_digest(1)
    with phone.reading() as store:
        assert store.documents.journal.since(seq, OTHER) is None


def test_a_transaction_that_fails_is_not_in_the_journal(phone):
    write(phone, MONTH, said.message(1))
    with phone.reading() as store:
        seq = store.seq
    with pytest.raises(Fault), phone.writing() as store:
        fail_after_writing(store)
    with phone.writing() as store:
        store.write(row_of(store, MONTH), [said.message(3)])
        client = store.documents.client
    with phone.reading() as store:
        assert store.documents.journal.since(seq, OTHER) == {MONTH: {client: 0}}


def fail_after_writing(store: Store) -> None:
    store.write(row_of(store, MONTH), [said.message(2)])
    raise Fault


# What is stored.


def test_all_of_a_document_is_read_as_it_was_written(phone):
    updates = [written(7, poll(f"{n}", f"{n}"), clock=n) for n in range(4)]
    for document in months(3):
        for update in updates:
            merge(phone, document, update)
    for document in months(3):
        parts = parts_of(phone, document)
        assert parts == Parts(NEVER_FROZEN, b"", tuple(updates))
        with phone.reading() as store:
            row = row_of(store, document)
            assert (row.log_rows, row.bytes) == (4, parts.size_bytes)


def test_an_update_of_what_is_here_gives_what_is_lacked(phone):
    merge(phone, POLLS, written(7, poll("a", "x"), poll("b", "y")))
    with phone.reading() as store:
        row = row_of(store, POLLS)
        assert store.documents.state(row) == {7: 2}
        lacked = store.documents.update(row, {7: 1})
    assert entries_of(scan(lacked)) == [poll("b", "y")]
    with phone.writing() as store:
        assert store.documents.state(store.row(MONTH)) == {}


def test_a_document_of_which_a_part_is_missing_is_damaged(phone, open_replica):
    merge(phone, POLLS, written(7, poll("a", "x")))
    merge(phone, POLLS, written(8, poll("b", "y")))
    phone.close()
    files.change(Path(phone.path), "delete from log where key = (select max(key) from log)")
    files.change(Path(phone.path), "update documents set log_rows = 2")
    with pytest.raises(ReplicaDamaged, match=r"polls.*not all of it is there"):
        parts_of(open_replica("phone.db"), POLLS)


def test_a_document_of_which_a_part_cannot_be_read_is_damaged_and_says_which(phone, open_replica):
    merge(phone, POLLS, written(7, poll("a", "x")))
    phone.close()
    files.change(Path(phone.path), "update log set body = x'00'")
    with pytest.raises(ReplicaDamaged, match=r"polls.*is damaged"):
        parts_of(open_replica("phone.db"), POLLS)


def test_what_admission_would_refuse_was_not_written_by_us(phone):
    merge(phone, POLLS, written(7, poll("a", "x")))
    with phone.writing() as store:
        store.documents.append(row_of(store, POLLS), b"\xff\xff")
        for read in (store.documents.entries, store.documents.load, store.documents.reread):
            with pytest.raises(ReplicaDamaged):
                read(row_of(store, POLLS))


def test_of_two_items_under_one_key_the_entries_have_one(phone):
    """The one that the CRDT shows, loaded or not."""
    merge(phone, POLLS, written(7, poll("a", "x"), poll("b", "y")))
    merge(phone, POLLS, written(8, poll("a", "z")))
    merge(phone, POLLS, written(9, poll("c", "z")))
    with phone.reading() as store:
        row = row_of(store, POLLS)
        store.documents.drop(row)
        shown = sorted(store.documents.reread(row))
        assert len(shown) == 3
        for _ in range(2):
            assert sorted(store.documents.entries(row)) == shown
            store.documents.load(row)


def test_two_updates_with_one_key_bring_one_entry(phone):
    """As pycrdt decides it, where they come at once."""
    assert merge(phone, POLLS, written(7, poll("a", "x")), written(8, poll("a", "y"))) == 1
    [update] = parts_of(phone, POLLS).updates
    with phone.reading() as store:
        assert store.documents.entries(row_of(store, POLLS)) == entries_of(scan(update))
    assert phone.check().problems == ()


@pytest.mark.parametrize("value", ["", "A", "z"])
def test_an_item_that_says_what_the_frozen_form_says_is_nothing_new(phone, value):
    merge(phone, POLLS, written(7, poll("a", value), poll("b", "x")))
    freeze(phone, POLLS)
    assert merge(phone, POLLS, written(8, poll("a", value), poll("c", "x"))) == 1
    assert phone.status().differing == 0
    assert phone.check().problems == ()


def test_a_document_may_be_left_with_its_frozen_form_alone(phone, open_replica):
    write(phone, POLLS, poll("a", "x"))
    frozen = freeze(phone, POLLS)
    write(phone, POLLS, poll("b", "y"))
    with phone.writing() as store:
        row = row_of(store, POLLS)
        store.documents.replace(row, Parts(row.label, b"", ()))
        assert (row.log_rows, store.documents.parts(row)) == (1, frozen)
    phone.close()
    assert parts_of(open_replica("phone.db"), POLLS) == frozen


def test_what_pycrdt_refuses_all_the_same_leaves_the_document_as_it_was(phone):
    merge(phone, POLLS, written(7, poll("a", "x")))
    admitted = admit(POLLS, [written(8, poll("b", "y"))], {})
    broken = Admitted(admitted.blocks, admitted.entries, False, 1, b"\xff\xff")
    with phone.writing() as store:
        row = row_of(store, POLLS)
        with pytest.raises(Inadmissible):
            store.documents.merge(row, broken)
        assert store.documents.load(row).entries() == [poll("a", "x")]
    assert parts_of(phone, POLLS).updates == (written(7, poll("a", "x")),)


# What is kept in memory.


def loaded(replica: Replica, document: DocumentId) -> object:
    """The loaded document: the same object, as long as it is kept."""
    with replica.reading() as store:
        return store.documents.load(row_of(store, document))


def cost_of(replica: Replica, document: DocumentId) -> int:
    """What a loaded document is thought to take: something for itself, for each entry, and its bytes."""
    with replica.reading() as store:
        row = row_of(store, document)
        return 20_000 + 550 * (row.messages + row.log_rows) + row.bytes


def test_what_is_written_into_a_loaded_document_is_in_it(phone):
    write(phone, MONTH, said.message(1))
    document = loaded(phone, MONTH)
    for number in (2, 3):
        write(phone, MONTH, said.message(number))
    assert loaded(phone, MONTH) is document
    with phone.reading() as store:
        assert len(store.documents.load(row_of(store, MONTH)).entries()) == 3
        assert len(store.documents.entries(row_of(store, MONTH))) == 3


def test_loaded_documents_are_kept_as_far_as_there_is_room_the_latest_ones(phone, monkeypatch):
    first, second, third = (DocumentId(name, MONTH.kind) for name in "abc")
    for document in (first, second, third):
        write(phone, document, *map(said.message, range(3)))
        write(phone, document, said.edit(1, (1, 1), "x" * 500))
    room = cost_of(phone, first) + cost_of(phone, second)
    monkeypatch.setattr(limits, "DOCUMENT_CACHE_BYTES", room)
    kept = [loaded(phone, first), loaded(phone, second)]
    assert [loaded(phone, first), loaded(phone, second)] == kept
    third_kept = loaded(phone, third)
    assert [loaded(phone, third), loaded(phone, second)] == [third_kept, kept[1]]
    assert loaded(phone, first) is not kept[0], "it was the one that was not asked for longest"
    monkeypatch.setattr(limits, "DOCUMENT_CACHE_BYTES", room - 1)
    third_kept, second_kept = loaded(phone, third), loaded(phone, second)
    assert loaded(phone, second) is second_kept
    assert loaded(phone, third) is not third_kept


def test_one_loaded_document_is_kept_however_large_it_is(phone, monkeypatch):
    write(phone, MONTH, said.message(1))
    write(phone, POLLS, poll("a", "x"))
    monkeypatch.setattr(limits, "DOCUMENT_CACHE_BYTES", 0)
    document = loaded(phone, MONTH)
    assert loaded(phone, MONTH) is document
    other = loaded(phone, POLLS)
    assert loaded(phone, POLLS) is other
    assert loaded(phone, MONTH) is not document


@pytest.mark.parametrize("how", ["dropped", "forgotten", "after a failure"])
def test_what_is_not_loaded_any_more_takes_no_room(phone, monkeypatch, how):
    first, second = months(2)
    for document in (first, second):
        write(phone, document, poll("a", "x"))
    write(phone, MONTH, said.message(1))
    monkeypatch.setattr(limits, "DOCUMENT_CACHE_BYTES", 2 * cost_of(phone, first))
    loaded(phone, MONTH)
    if how == "dropped":
        with phone.reading() as store:
            store.documents.drop(row_of(store, MONTH))
    elif how == "forgotten":
        with phone.reading() as store:
            store.documents.forget()
    else:
        with pytest.raises(Fault), phone.writing() as store:
            fail_after_writing(store)
    kept = [loaded(phone, first), loaded(phone, second)]
    assert [loaded(phone, first), loaded(phone, second)] == kept


def test_frozen_forms_are_kept_unpacked_as_far_as_there_is_room(phone, monkeypatch):
    monkeypatch.setattr(module, "_BASE_ENTRIES", 5)
    first, second, third = months(3)

    def kept() -> list[int]:
        with phone.reading() as store:
            return [len(one) for one in store.documents._bases.values()]

    for size, document in enumerate((first, second, third), 2):
        write(phone, document, *(poll(f"{n}", "x") for n in range(size)))
        freeze(phone, document)
    merge(phone, first, written(7, poll("more", "x")))
    merge(phone, second, written(7, poll("more", "x")))
    assert kept() == [2, 3]
    merge(phone, first, written(8, poll("again", "x")))
    assert kept() == [3, 2]
    merge(phone, third, written(7, poll("more", "x")))
    assert kept() == [4], "the latest one, and no more than fit"
    monkeypatch.setattr(module, "_BASE_ENTRIES", 1)
    merge(phone, third, written(8, poll("again", "x")))
    assert kept() == [4], "one in any case"
    merge(phone, first, written(9, poll("last", "x")))
    assert kept() == [2]


def test_a_form_that_was_unpacked_is_forgotten_with_it(phone):
    write(phone, POLLS, poll("a", "x"))
    freeze(phone, POLLS)
    merge(phone, POLLS, written(7, poll("b", "x")))  # unpacks it
    freeze(phone, POLLS)
    assert merge(phone, POLLS, written(8, poll("b", "x"), poll("c", "x"))) == 1
    assert phone.check().problems == ()


def test_after_a_failure_memory_holds_what_the_file_holds(phone):
    write(phone, POLLS, poll("a", "x"))
    before = freeze(phone, POLLS)

    def change(store: Store) -> None:
        row = row_of(store, POLLS)
        store.merge(POLLS, Parts(row.label, b"", (written(7, poll("b", "x")),)))
        freeze_document(store.documents, row)
        store.merge(POLLS, Parts(row.label, b"", (written(8, poll("c", "x")),)))
        store.documents.load(row)
        raise Fault

    with pytest.raises(Fault), phone.writing() as store:
        change(store)
    assert parts_of(phone, POLLS) == before
    assert merge(phone, POLLS, written(9, poll("b", "x"))) == 1
    with phone.reading() as store:
        assert sorted(store.documents.load(row_of(store, POLLS)).entries()) == [poll("b", "x")]
    assert phone.check().problems == ()


def test_who_reads_beside_the_writer_forgets_what_may_have_changed(phone, open_replica):
    """Also where a pack goes and another one gets its number."""
    write(phone, POLLS, noise(1))
    write(phone, MONTH, said.message(1))
    reader = open_replica("phone.db", readonly=True)

    def read(document: DocumentId) -> list[Entry]:
        with reader.reading() as store:
            row = row_of(store, document)
            entries: list[Entry] = store.documents.entries(row)
            assert sorted(store.documents.load(row).entries()) == sorted(entries)
            return entries

    assert read(POLLS) == [noise(1)]
    write(phone, MONTH, said.message(2))
    assert len(read(MONTH)) == 2
    with phone.writing() as store:
        row = row_of(store, POLLS)
        store.documents.replace(row, Parts(NEVER_FROZEN, b"", (written(7, poll("a", "x")),)))
        row.digest = 0
    phone.close()
    phone = open_replica("phone.db")
    with phone.writing() as store:
        row = row_of(store, POLLS)
        store.documents.replace(row, Parts(NEVER_FROZEN, b"", (written(7, noise(2)),)))
    assert read(POLLS) == [noise(2)]
