"""What entries say about messages: who says what about which, and what of it counts in the digest at once."""

from __future__ import annotations

import pytest

from msgsync.document.digest import entry_digest
from msgsync.document.gonefiles import gone_entry
from msgsync.document.reader import EntryReader
from msgsync.document.said import Said
from msgsync.document.schema import ALIASES, EDITS, GONE, Entry
from msgsync.ids import encode_id, ingested_id
from msgsync.records import AliasRecord, alias_key, encode_alias
from tests.unit.document.said import MONTH, delete, edit, erase, id_of, message, react

ALIAS_VALUE = encode_alias(AliasRecord(ingested_id("c", "17", 5), "17", 5))
ALIAS = Entry(ALIASES, alias_key(id_of(4), ALIAS_VALUE), ALIAS_VALUE)
POLL = Entry("polls", b"k", b"x")
UNREADABLE = [Entry(EDITS, b"k", b"x"), Entry(GONE, encode_id(id_of(1)) + b".77", b"\xa0")]


def said(*entries: Entry) -> Said:
    return Said.of(entries, EntryReader(MONTH))


def test_messages_and_erasures_say_nothing():
    nothing = said(message(1), erase(2))
    assert (nothing.lamport, nothing.digest, nothing.ids()) == (0, 0, set())
    assert (nothing.deletions, nothing.unreadable) == ([], [])


@pytest.mark.parametrize("counting", [edit(1, (1, 1), "a"), ALIAS, gone_entry(id_of(1), 3), POLL])
def test_what_stays_for_good_counts_in_the_digest_at_once(counting):
    assert said(counting).digest == entry_digest(counting)
    assert said(counting).unreadable == []


@pytest.mark.parametrize("entry", [react(1, (1, 1)), delete((1, 1), 1), *UNREADABLE])
def test_what_may_lose_or_cannot_be_read_does_not_count_yet(entry):
    assert said(entry).digest == 0


def test_each_thing_is_said_about_its_messages():
    first, second, reaction = edit(1, (7, 1), "a"), edit(1, (2, 1), "b"), react(2, (3, 1))
    deletion = delete((4, 1), 3)
    found = said(first, *UNREADABLE, second, reaction, deletion, ALIAS, POLL)
    assert {one: [edit.record.text for edit in edits] for one, edits in found.edits.items()} == {
        id_of(1): ["a", "b"]
    }
    [(about, [(_, kept)])] = found.reactions.items()
    assert (about, kept) == (id_of(2), reaction)
    [(_, kept)] = found.deletions
    assert kept == deletion
    [(about, [(alias, kept)])] = found.aliases.items()
    assert (about, kept, alias.own) == (id_of(4), ALIAS, True)
    assert [entry for entry, _ in found.unreadable] == UNREADABLE
    assert found.ids() == {id_of(1), id_of(2), id_of(3), id_of(4)}


@pytest.mark.parametrize(
    "of", [lambda at: edit(1, at, "a"), lambda at: react(1, at), lambda at: delete(at, 1)]
)
def test_the_greatest_lamport_number_counts(of):
    assert said(of((7, 1)), of((2, 1))).lamport == 7
