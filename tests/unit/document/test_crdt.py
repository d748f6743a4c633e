"""A loaded document: a strict skin over pycrdt."""

from __future__ import annotations

import pycrdt
import pytest
from hypothesis import given

from msgsync.document.codec import Block, compose, decode_state, entries_of, scan
from msgsync.document.crdt import Document, resolved
from msgsync.document.schema import Entry
from msgsync.errors import Inadmissible
from tests.unit.document import crdt, yjs

FIRST = Entry("messages", b"0" * 20, b"first")
SECOND = Entry("messages", b"1" * 20, b"second")


def document(*entries: Entry) -> Document:
    return Document([compose([Block(1, 0, list(entries))])])


@given(crdt.steps)
def test_a_document_holds_what_was_written_into_it(history):
    doc = crdt.played(history)
    loaded = Document([doc.get_update()])
    assert set(loaded.entries()) == crdt.shown(doc)
    assert loaded.state() == decode_state(doc.get_state())
    assert Document([loaded.update()]).update() == loaded.update()
    for root, key, value in loaded.entries():
        assert loaded.get(root, key) == value


def test_a_document_without_updates_is_empty():
    empty = Document()
    assert (empty.entries(), empty.state(), empty.update()) == ([], {}, b"\0\0")


def test_roots_of_later_versions_are_entries_too():
    poll = Entry("polls", b"0" * 20, b"yes")
    assert document(poll).entries() == [poll]
    assert document(poll).get("polls", b"0" * 20) == b"yes"


def test_removed_entries_leave_nothing_of_their_value():
    loaded = document(FIRST, SECOND)
    loaded.remove("messages", [FIRST.key])
    assert loaded.entries() == [SECOND]
    assert loaded.get("messages", FIRST.key) is None
    assert b"first" not in loaded.update()
    assert FIRST.key not in loaded.update()
    assert loaded.state() == {1: 2}


def test_a_peer_gets_what_it_lacks_and_no_removals():
    loaded = document(FIRST, SECOND)
    assert entries_of(scan(loaded.update({1: 1}))) == [SECOND]
    assert loaded.blocks({1: 2}) == []
    loaded.remove("messages", [FIRST.key])
    assert loaded.update({1: 2}) == b"\0\0"
    assert scan(loaded.update()) == [Block(1, 0, [1, SECOND])]


def test_applying_twice_is_applying_once():
    loaded = document(FIRST)
    loaded.apply(compose([Block(1, 0, [FIRST])]))
    loaded.apply(compose([Block(1, 0, [FIRST, SECOND])]))
    assert loaded.entries() == [FIRST, SECOND]


def test_what_pycrdt_refuses_is_inadmissible_and_the_document_is_not_read_again():
    loaded = document(FIRST)
    with pytest.raises(Inadmissible):
        loaded.apply(b"\x01\x01\x01\x00")
    with pytest.raises(AttributeError):
        loaded.entries()


@pytest.mark.parametrize("reason", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_fault_of_the_update_is_not_blamed_on_it(monkeypatch, reason):
    def interrupted(_doc: object, _update: bytes) -> None:
        raise reason

    loaded = document(FIRST)
    monkeypatch.setattr(pycrdt.Doc, "apply_update", interrupted)
    with pytest.raises(reason):
        loaded.apply(compose([Block(2, 0, [SECOND])]))
    with pytest.raises(AttributeError):
        loaded.entries()


@pytest.mark.parametrize("higher", [b"a", b"b"])
def test_two_values_under_one_key_are_one_everywhere(higher):
    """The exception that design 3 allows; which one is kept does not depend on who heard what first."""
    lower = b"ab".replace(higher, b"")
    updates = [compose([Block(1, 0, [Entry("messages", yjs.KEY, lower)])])]
    updates.append(compose([Block(2, 0, [Entry("messages", yjs.KEY, higher)])]))
    there, back = Document(updates), Document(updates[::-1])
    assert there.entries() == back.entries() == [Entry("messages", yjs.KEY, higher)]


@pytest.mark.parametrize(("lower_clock", "higher_clock"), [(0, 5), (5, 0), (3, 5), (0, 0)])
def test_of_two_values_under_one_key_in_blocks_the_one_that_pycrdt_keeps_stays(
    lower_clock, higher_clock
):
    """Blocks may go on from anywhere: each stays where it begins, with a removed item in the place of the loser."""
    kept = Entry("messages", yjs.KEY, b"b")
    lower = Block(1, lower_clock, [Entry("messages", yjs.KEY, b"a"), SECOND])
    higher = Block(2, higher_clock, [kept])
    assert resolved([lower, higher]) == [
        Block(2, higher_clock, [kept]),
        Block(1, lower_clock, [1, SECOND]),
    ]
