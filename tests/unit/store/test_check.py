"""A check sees what somebody changed behind the replica's back."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgsync import Edit, Incoming, Reaction, limits
from tests.unit import files
from tests.unit.machine import START_MS


@pytest.fixture
def path(phone, family) -> Path:
    """A closed replica in which a little of everything lies, and which is in order."""
    first = family.send("first")
    second = family.send("second", reply_to=first)
    family.edit(first, "edited")
    family.react(second, "👍")
    family.delete(first)
    family.erase(family.send("erased"))
    phone.ingest(
        [
            Incoming(
                "irc",
                "ben",
                "hello",
                START_MS,
                "1",
                edits=(Edit("hi", START_MS),),
                reactions=(Reaction("ann", "x", START_MS),),
                deleted_ms=START_MS,
                extra={"a": 1},
            )
        ]
    )
    report = phone.check()
    assert report.ok
    assert report.documents == 3
    assert report.entries > 8
    phone.close()
    return Path(phone.path)


@pytest.mark.parametrize(
    "sql",
    [
        "update messages set text = 'forged' where text = 'second'",
        "update messages set author = (select min(key) from authors where name = 'ben') where text = 'second'",
        "update messages set ord = 7 where text = 'second'",
        "update messages set flags = 0 where text = 'edited'",
        "update messages set flags = 1 where text = 'second'",
        "update messages set rest = null where text = 'second'",
        "update messages set rest = x'a0' where text = 'hi'",
        "update messages set external = '2' where text = 'hi'",
        "update messages set conversation = 2 where text = 'second'",
        "delete from messages where text = 'second'",
        "insert into messages select 99, conversation, ms + 1, ord, tail, flags, author, text,"  # noqa: ISC004
        " external, rest, changed_seq from messages where text = 'second'",
        "update edits set text = 'forged' where lamport > 0",
        "delete from edits where lamport > 0",
        "delete from edits where lamport < 0",
        "update reactions set shown = 0",
        "delete from reactions",
        "update deletions set at = 0",
        "delete from deletions",
        "delete from covered",
        "delete from erased",
        "insert into erased select document, x'000000000000000000000001', 0 from erased",
        "delete from fields where name = 'title'",
        "update fields set value = x'01'",
        "insert into unreadable select max(key), 'messages', x'00', '' from documents",
        "update documents set digest = zeroblob(16) where kind = 'head'",
        "update documents set digest = zeroblob(16) where kind != 'head'",
        "update documents set lamport = 0 where kind != 'head'",
        "update documents set messages = messages + 1",
        "update documents set erased = erased + 1 where kind != 'head'",
        "update state set root = zeroblob(16)",
        "update conversations set last_message = null",
        "update conversations set title = 'forged' where id = 'family'",
        "update conversations set activity_ms = 0 where id = 'family'",
        "delete from log where key = (select min(key) from log)",
        "delete from log where key = (select max(key) from log)",
        "update log set key = key << 20 where key = (select max(key) from log)",
        "update log set body = (select body from log order by key limit 1)",
    ],
)
def test_a_row_that_was_changed_added_or_removed_is_noticed(path, open_replica, sql):
    files.change(path, sql)
    report = open_replica(path.name).check()
    assert not report.ok
    assert all(report.problems)


TEXTS = [
    "Dinner at eight, at the usual place?",
    "\u4eca\u5929\u4e0b\u96e8 and d\u00e9j\u00e0 vu \U0001f469\u200d\U0001f680",
    "",
    "x\0y \u0300",  # a mark alone is filed under nothing at all
    "\u10d0"
    * 20_000,  # a word longer than what the index files of it, which ends within a character
    "x" * 40_000 + " " + "y" * 40_000,
]


@pytest.fixture
def indexed(phone, monkeypatch) -> Path:
    """A closed replica of which every message but the last one is in the search index."""
    monkeypatch.setattr(limits, "UNINDEXED_MESSAGES", 0)
    family = phone.create_conversation("Family", id="family")
    sent = [family.send(text) for text in TEXTS]
    family.edit(sent[0], "Dinner at nine?")
    family.delete(sent[1])
    family.erase(family.send("erased"))
    monkeypatch.undo()
    family.send("waits")
    assert phone.check().problems == ()
    phone.close()
    return Path(phone.path)


ROW = "from messages where text like 'Dinner%'"


@pytest.mark.parametrize(
    "sql",
    [
        f"insert into search(search, rowid, text) select 'delete', key, 'dinner' {ROW}",
        f"insert into search(search, rowid, text) select 'delete', key, text {ROW}",
        f"insert into search(rowid, text) select key, 'lunch' {ROW}",
        "insert into search(rowid, text) values(99, 'lunch')",
        "insert into search(rowid, text) select key, text from messages where text = 'waits'",
        "insert into search(search) values('delete-all')",
        "delete from search_data where id > 10",
    ],
)
def test_a_search_index_that_is_not_what_the_texts_say_is_noticed(indexed, open_replica, sql):
    files.change(indexed, sql)
    for readonly in (False, True):
        with open_replica(indexed.name, readonly=readonly) as replica:
            problems = replica.check().problems
            assert "the search index" in problems[-1]
            assert replica.check().problems == problems


def test_every_flipped_bit_of_a_stored_update_is_noticed(path, open_replica):
    [(key, body)] = files.look(path, "select key, body from log order by length(body) desc limit 1")
    assert isinstance(body, bytes)
    for bit in range(3, 8 * len(body), 37):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        files.change(path, "update log set body = ? where key = ?", bytes(flipped), key)
        with open_replica(path.name) as replica:
            report = replica.check()
        assert not report.ok, f"bit {bit}"


def test_a_damaged_document_is_named_and_the_others_are_checked(path, open_replica):
    files.change(path, "update log set body = x'00' where key = (select min(key) from log)")
    report = open_replica(path.name).check()
    assert any("family" in problem and "damaged" in problem for problem in report.problems)
    assert report.documents == 3
    assert report.entries > 0


def test_a_check_changes_nothing(phone, family):
    family.send("hello")
    before = phone.digest, files.bodies(Path(phone.path))
    assert phone.check() == phone.check()
    assert (phone.digest, files.bodies(Path(phone.path))) == before


def test_a_check_says_where_and_never_what(path, open_replica):
    files.change(path, "update messages set text = 'forged' where text = 'second'")
    files.change(path, "update edits set text = 'forged' where lamport > 0")
    problems = " ".join(open_replica(path.name).check().problems)
    assert "family 2024-0" in problems
    for text in ("second", "forged", "edited"):
        assert text not in problems
