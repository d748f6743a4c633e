"""Aliases in the store: documents that come one by one, erasing, checking. Over histories: tests/property."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import msgsync
from msgsync import Incoming, Replica
from msgsync.document.schema import DocumentId
from tests.unit.machine import START_MS
from tests.unit.parts import parts_of

FEBRUARY_MS = START_MS + 40 * 86_400_000


def give(source: Replica, target: Replica, document: DocumentId) -> None:
    """Hand over one document, and nothing the other way."""
    parts = parts_of(source, document)
    with target.writing() as store:
        store.merge(document, parts)


def linked(phone: Replica, machine) -> tuple[msgsync.Message, msgsync.MessageId, list[DocumentId]]:
    """An own message of January and its echo of February, linked on a phone."""
    family = phone.create_conversation(id="family")
    own = family.send("hello")
    machine.clock_ms = FEBRUARY_MS
    echo = family.ingest("hello", author="ann", sent=FEBRUARY_MS, external_id="17")
    family.edit(echo, "hello, all")
    family.link(own, "17", FEBRUARY_MS)
    return own, echo.id, [DocumentId("family", kind) for kind in ("2024-01", "2024-03")]


def test_two_months_may_come_in_any_order_and_grouping(phone, open_replica, machine):
    own, echo, documents = linked(phone, machine)
    assert [document.kind for document in documents] == [
        row.id.kind for row in phone.store().documents.select("where kind <> 'head' order by kind")
    ]
    for number, order in enumerate(itertools.permutations([*documents, documents[0]])):
        other = open_replica(f"other {number}.db", member=phone)
        for document in order:
            give(phone, other, document)
            assert other.check().ok, other.check()
        [message] = other.conversation("family").messages(include_deleted=True)
        assert (message.id, message.text, message.external_id) == (own.id, "hello, all", "17")
        assert other.conversation("family").message(echo) == message
        [summary] = other.conversations()
        assert summary.last_message == message


@pytest.mark.parametrize("erases_own", [True, False])
def test_who_has_the_alias_erases_the_other_when_one_is_erased_elsewhere(
    phone, tablet, machine, erases_own
):
    own, echo, documents = linked(phone, machine)
    with tablet.writing() as store:
        for document in documents:
            store.row(document)
    family = tablet.create_conversation(id="family")
    family.erase(own.id if erases_own else echo)
    give(tablet, phone, documents[0] if erases_own else documents[1])
    assert phone.status().erased == 2
    assert not phone.conversation("family").messages(include_deleted=True)
    assert phone.check().ok
    assert phone.store().database.one("select count(*) from aliases") == (0,)
    for one in (own.id, echo):
        with pytest.raises(msgsync.ErasedMessage):
            phone.conversation("family").message(one)


@pytest.mark.parametrize("erases_own", [True, False])
def test_who_has_erased_one_erases_the_other_when_the_alias_comes(
    phone, tablet, machine, erases_own
):
    own, echo, documents = linked(phone, machine)
    family = tablet.create_conversation(id="family")
    family.erase(own.id if erases_own else echo)
    give(phone, tablet, documents[1] if erases_own else documents[0])
    assert tablet.status().erased == 2
    assert not family.messages(include_deleted=True)
    assert tablet.check().ok
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert phone.status().erased == 2


def test_erased_text_of_both_is_in_no_file(open_replica, tmp_path: Path, machine):
    phone = open_replica("a.db")
    own, _, _ = linked(phone, machine)
    phone.conversation("family").erase(own)
    phone.close()
    assert b"hello" not in b"".join(path.read_bytes() for path in tmp_path.glob("a.db*"))


@pytest.mark.parametrize(
    "sql",
    [
        "delete from aliases where own",
        "update aliases set external = '18'",
        "update aliases set own = not own",
        "update messages set flags = flags & ~16 where flags & 16",
        "update messages set flags = flags & ~8",
        "update messages set text = 'other' where not flags & 16",
        "insert into aliases select conversation, id, x'00', other, external, sent, own, 1 from aliases",
    ],
)
def test_a_row_that_was_changed_is_noticed(open_replica, tmp_path, machine, sql):
    phone = open_replica("a.db")
    linked(phone, machine)
    assert phone.check().ok
    phone.close()
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        connection.execute(sql)
    assert not open_replica("a.db", readonly=True).check().ok


def test_a_link_before_the_echo_costs_the_messages_after_it_nothing(phone, family, machine):
    """A month in which something waits for its message asks about new messages, not about all that waits."""
    own = family.send("hello")
    family.link(own, "17", START_MS + 5)
    family.ingest([Incoming("family", "ben", f"x {n}", START_MS, str(100 + n)) for n in range(200)])
    family.ingest("hello", author="ann", sent=START_MS + 5, external_id="17")
    assert len(family.messages(limit=1000)) == 201
    assert phone.check().ok


def test_an_edit_outdoes_those_of_the_other_month(phone, machine):
    own, echo, _ = linked(phone, machine)
    family = phone.conversation("family")
    second = family.send("hello")  # its echo is edited more often than anything in January
    family.ingest("hello", author="ann", sent=FEBRUARY_MS + 1, external_id="18")
    for number in range(5):
        family.edit(text=f"edit {number}", external="18")
        family.react(emoji="👍", external="18")
        family.unreact(emoji="👍", external="18")
    family.react(emoji="👍", external="18")
    family.link(own, "18", FEBRUARY_MS + 1)
    assert family.edit(echo, "the last word").text == "the last word"
    assert family.unreact(own, "👍").reactions == ()
    assert family.messages()[-1].id == second.id
    assert phone.check().ok


def test_what_is_said_about_the_echo_changes_the_own_message_of_another_month(
    phone, open_replica, machine
):
    own, echo, _ = linked(phone, machine)
    cursor = phone.cursor()
    reaction = msgsync.Reaction("ben", "👍", FEBRUARY_MS + 5)
    said = Incoming.said_about("17", FEBRUARY_MS, reactions=(reaction,))
    phone.conversation("family").ingest(said)
    reader = open_replica("phone.db", readonly=True)  # remembers nothing of what was written
    page = reader.changes(after=cursor)
    assert {(each.kind, each.id) for each in page} == {
        ("message", own.id),
        ("merged", echo),
        ("conversation", None),
    }
    assert all(each.message.reactions == (reaction,) for each in page if each.message)
