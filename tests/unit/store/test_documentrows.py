"""Rows of documents: found, made, and remembered as far as there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import msgsync
from msgsync import Replica, ReplicaDamaged
from msgsync.document.schema import ACCOUNT, DocumentId, Entry
from msgsync.store import documentrows
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store
from tests.unit import files
from tests.unit.document import said

SETTINGS = DocumentId("", ACCOUNT)
KINDS = [DocumentId("c", f"polls{number}") for number in range(4)]


class Fault(Exception):
    """What ends a transaction."""


def poll(key: str) -> Entry:
    return Entry("polls", key.encode(), b"x")


def write(replica: Replica, *documents: DocumentId, key: str = "a") -> None:
    with replica.writing() as store:
        for document in documents:
            entry = said.field((1, 1), key, "x") if document == SETTINGS else poll(key)
            store.write(store.row(document), [entry])


def row_of(replica: Replica, document: DocumentId) -> DocumentRow | None:
    with replica.reading() as store:
        return store.documents.find(document)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What a connection is asked for."""
    asked: list[str] = []

    def trace(cursor: object, sql: str, bindings: object) -> bool:
        asked.append(sql)
        return True

    connection: Any = store.database.connection
    connection.exec_trace = trace
    try:
        yield asked
    finally:
        connection.exec_trace = None


def test_more_conversations_than_rows_are_remembered(phone, monkeypatch):
    monkeypatch.setattr(documentrows, "_ROWS", 4)
    for _ in range(2):
        phone.ingest(
            msgsync.Incoming(f"c{number % 20}", "ben", "hi", number, str(number))
            for number in range(60)
        )
    for number in range(20):
        phone.conversation(f"c{number}").send("more")
    assert phone.check().ok


# Finding.


def test_a_row_is_found_by_its_document_and_by_its_key_before_and_after_it_is_written(
    phone, open_replica
):
    documents = [SETTINGS, *KINDS, DocumentId("d", "polls0")]
    with phone.writing() as store:
        for document in documents:
            assert store.documents.find(document) is None
            row = store.row(document)
            assert store.documents.find(document) is row
            store.write(
                row, [said.field((1, 1), "a", "x") if not document.conversation else poll("a")]
            )
    phone.close()
    phone = open_replica("phone.db")
    with phone.reading() as store:
        for document in documents:
            row = store.documents.find(document)
            assert row is not None
            assert row.id == document
            assert store.documents.by_key(row.key).id == document
            store.documents.check_name(row)
        assert {row.id for row in store.documents.select("")} == {*documents}
        assert store.documents.find(DocumentId("d", "polls1")) is None
        assert store.documents.find(DocumentId("e", "polls0")) is None
    write(phone, *documents, key="b")
    assert phone.check().problems == ()


def test_keys_are_given_one_after_the_other_also_by_the_next_opening(phone, open_replica):
    """Of documents and of conversations."""

    def keys(replica: Replica, *documents: DocumentId) -> list[tuple[int, int]]:
        write(replica, *documents)
        rows = [row_of(replica, document) for document in documents]
        return [(row.key, row.conversation) for row in rows if row is not None]

    first, second, third = (DocumentId(name, "polls") for name in "abd")
    assert keys(phone, first, second, KINDS[0]) == [(1, 1), (2, 2), (3, 3)]
    assert keys(phone, third) == [(4, 4)]
    phone.close()
    phone = open_replica("phone.db")
    last = DocumentId("f", "polls")
    assert keys(phone, KINDS[1], DocumentId("e", "polls"), last) == [(5, 3), (6, 5), (7, 6)]
    assert phone.check().problems == ()


@pytest.mark.parametrize("conversation", [said.MONTH.conversation, ""])
def test_what_is_known_is_not_looked_for_again(phone, open_replica, conversation):
    documents = [DocumentId(conversation, one.kind) for one in KINDS]
    with phone.writing() as store:
        for document in documents:
            store.write(store.row(document), [poll("a")])
    phone.close()
    with open_replica("phone.db").reading() as store:
        find = store.documents.find
        known = find(documents[0])
        assert find(DocumentId(conversation, "other")) is None
        assert find(DocumentId("elsewhere", "other")) is None
        with statements(store) as asked:
            assert find(documents[0]) is known
            assert find(DocumentId(conversation, "other")) is None
            assert find(DocumentId("elsewhere", "other")) is None
            assert find(DocumentId("elsewhere", "another")) is None
            assert not asked
            assert find(documents[1]) is not None
            assert len(asked) == 1
        known.merged = b"changed, and not written yet"
        store.documents.remember(conversation)
        with statements(store) as asked:
            assert find(documents[0]) is known
            for document in documents:
                row = find(document)
                assert row is not None
                assert row.id == document
            assert find(DocumentId(conversation, "yet another")) is None
            store.documents.remember(conversation)
            assert not asked


def test_of_a_conversation_that_is_not_here_nothing_is_remembered(phone, open_replica):
    with phone.reading() as store:
        store.documents.remember("c")
        assert store.documents.find(KINDS[0]) is None
    write(phone, KINDS[0])
    with phone.reading() as store, statements(store) as asked:
        assert store.documents.find(KINDS[0]) is not None
        assert store.documents.find(KINDS[1]) is None, "it was made here, so all of it is known"
        assert not asked


def test_what_is_not_here_is_remembered_as_far_as_there_is_room(phone, monkeypatch):
    monkeypatch.setattr(documentrows, "_ABSENT", 3)
    with phone.reading() as store:
        for number in range(10):
            assert store.documents.find(DocumentId(f"c{number}", "head")) is None
            assert len(store.documents._absent) <= 3
            assert len(store.documents._conversations) <= 3
        with statements(store) as asked:
            assert store.documents.find(DocumentId("c9", "head")) is None
            assert not asked


def test_rows_are_remembered_as_far_as_there_is_room_between_transactions(phone, monkeypatch):
    monkeypatch.setattr(documentrows, "_ROWS", 2)
    write(phone, *KINDS[:2])
    known = row_of(phone, KINDS[0])
    write(phone, KINDS[0], key="b")
    assert row_of(phone, KINDS[0]) is known
    write(phone, KINDS[2])
    write(phone, KINDS[2], key="b")
    assert row_of(phone, KINDS[0]) is not known


def test_who_reads_beside_the_writer_finds_what_is_new(phone, open_replica):
    write(phone, KINDS[0])
    reader = open_replica("phone.db", readonly=True)
    new = [KINDS[1], DocumentId("d", "polls")]
    with reader.reading() as store:
        row = store.documents.find(KINDS[0])
        assert row is not None
        assert row.log_rows == 1
        store.documents.remember("c")
        assert [store.documents.find(document) for document in new] == [None, None]
    write(phone, KINDS[0], *new, key="b")
    with reader.reading() as store:
        row = store.documents.find(KINDS[0])
        assert row is not None
        assert row.log_rows == 2
        for document in new:
            assert store.documents.find(document) is not None


# Writing.


def test_a_row_says_when_what_the_document_holds_has_changed(phone):
    def touch(change: Callable[[DocumentRow], None]) -> int:
        with phone.writing() as store:
            row = store.row(KINDS[0])
            change(row)
            store.touch(row)
        return seq()

    def seq() -> int:
        row = row_of(phone, KINDS[0])
        assert row is not None
        return row.changed_seq

    write(phone, KINDS[0])
    with phone.reading() as store:
        assert seq() == store.seq == 1
    assert touch(lambda row: None) == 1, "another form of the same is no change"
    write(phone, KINDS[0], key="b")
    assert seq() == 3
    assert touch(lambda row: None) == 3

    def show_other_rows(row: DocumentRow) -> None:
        row.changed_seq = 0

    assert touch(show_other_rows) == 5
    assert phone.check().problems == ()


def test_the_next_opening_goes_on_from_what_a_row_says(phone, open_replica):
    for number in range(3):
        replica = phone if not number else open_replica("phone.db")
        write(replica, SETTINGS, *KINDS, key=f"{number}")
        write(replica, SETTINGS, *KINDS, key=f"{number}.again")
        assert replica.check().problems == ()
        replica.close()


def test_only_rows_that_were_changed_are_written(phone):
    write(phone, *KINDS)
    with phone.reading() as store, statements(store) as asked:
        write(phone, KINDS[0], key="b")
    assert sum(sql.startswith("update documents") for sql in asked) == 1
    assert sum(sql.startswith("insert into documents") for sql in asked) == 0
    with phone.reading() as store, statements(store) as asked:
        write(phone, DocumentId("c", "new"))
    assert sum(sql.startswith("update documents") for sql in asked) == 0
    assert sum(sql.startswith("insert into documents") for sql in asked) == 1


def test_of_a_transaction_that_fails_no_row_is_left(phone):
    write(phone, KINDS[0])

    def fail(store: Store) -> None:
        store.write(store.row(KINDS[0]), [poll("b")])
        store.write(store.row(KINDS[1]), [poll("b")])
        store.write(store.row(DocumentId("d", "polls")), [poll("b")])
        raise Fault

    with pytest.raises(Fault), phone.writing() as store:
        fail(store)
    row = row_of(phone, KINDS[0])
    assert row is not None
    assert row.log_rows == 1
    assert row_of(phone, KINDS[1]) is None
    write(phone, KINDS[2], DocumentId("d", "polls"))
    with phone.reading() as store:
        assert {row.id for row in store.documents.select("")} == {
            KINDS[0],
            KINDS[2],
            DocumentId("d", "polls"),
        }
    assert phone.check().problems == ()


# Damage.


@pytest.mark.parametrize(
    "damage",
    [
        *(
            f"{column} = -1"
            for column in (
                *("lamport", "changed_seq", "messages", "erased"),
                *("log_rows", "bytes", "generation"),
            )
        ),
        "digest = zeroblob(15)",
        "digest = zeroblob(17)",
        "lacks = x'01'",
        "lamport = 'text'",
        "writers = 'text'",
    ],
)
def test_a_row_that_nobody_wrote_is_damaged(phone, open_replica, damage):
    write(phone, KINDS[0])
    phone.close()
    files.change(Path(phone.path), f"update documents set {damage}")
    phone = open_replica("phone.db")
    with pytest.raises(ReplicaDamaged, match=r"row of a document .* run repair"):
        row_of(phone, KINDS[0])
    with phone.reading() as store, pytest.raises(ReplicaDamaged):
        store.documents.by_key(1)


@pytest.mark.parametrize("damage", ["conversation = 77", "kind = x'00'"])
def test_a_row_of_no_document_is_damaged(phone, open_replica, damage):
    write(phone, KINDS[0])
    phone.close()
    files.change(Path(phone.path), f"update documents set {damage}")
    with (
        open_replica("phone.db").reading() as store,
        pytest.raises(ReplicaDamaged, match="belongs to no conversation"),
    ):
        list(store.documents.select(""))


def test_a_document_that_is_another_by_the_indexes_is_not_given_away(phone):
    write(phone, SETTINGS, *KINDS)
    with phone.reading() as store:
        row, other, settings = map(store.documents.find, (KINDS[0], KINDS[1], SETTINGS))
        assert row is not None
        assert other is not None
        assert settings is not None
        for one in (row, other, settings):
            store.documents.check_name(one)
        for key, document in (
            (row.key, KINDS[1]),
            (row.key, DocumentId("d", KINDS[0].kind)),
            (row.key, SETTINGS),
            (settings.key, DocumentId("c", ACCOUNT)),
        ):
            with pytest.raises(ReplicaDamaged, match="run repair"):
                store.documents.check_name(DocumentRow(key, document, row.conversation))
