"""Transactions: all of a write or nothing, durable before anybody hears of it. Source: design 5 and 6."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import msgsync
from msgsync import Incoming, Replica, limits
from tests.unit import files
from tests.unit.machine import START_MS


class Fault(Exception):
    """What happens to the machine in the middle of something."""


class Faulty:
    """Fails the n-th statement that a replica's connection runs, and none after it."""

    def __init__(self, replica: Replica) -> None:
        with replica.reading() as store:
            self._connection: Any = store.database.connection

    def run(self, verb: Callable[[], object], *, after: int) -> bool:
        """Run something; return whether it got through before the fault."""
        count = 0

        def trace(cursor: object, sql: str, bindings: object) -> bool:
            nonlocal count
            count += 1
            if count == after:
                raise Fault(sql)
            return True

        self._connection.exec_trace = trace
        try:
            verb()
        except Fault:
            return False
        finally:
            self._connection.exec_trace = None
        return True


def failing(*verbs: Callable[[], object]) -> None:
    """Do all of it, and then fail."""
    for verb in verbs:
        verb()
    raise Fault


def client_of(replica: Replica) -> int:
    with replica.reading() as store:
        return store.documents.client


def lamport_of(replica: Replica) -> int:
    [(lamport,)] = files.look(Path(replica.path), "select max(lamport) from documents")
    assert isinstance(lamport, int)
    return lamport


VERBS: dict[str, Callable[[msgsync.Conversation, msgsync.Message], object]] = {
    "send": lambda family, _: family.send("more"),
    "edit": lambda family, first: family.edit(first, "edited"),
    "react": lambda family, first: family.react(first, "👍"),
    "delete": lambda family, first: family.delete(first),
    "erase": lambda family, first: family.erase(first),
    "rename": lambda family, _: family.rename("renamed"),
    "ingest": lambda family, _: family.ingest(
        [Incoming("", "ben", str(n), START_MS - n * 10**9, external_id=str(n)) for n in range(3)]
    ),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_write_that_fails_anywhere_leaves_nothing_and_the_next_one_works(
    name, phone, tablet, family
):
    """Statement by statement; the next write is under a new client id, so no clock is ever used twice."""
    first = family.send("first")
    msgsync.sync(phone, tablet)
    faulty = Faulty(phone)
    before, shown = phone.digest, list(family.messages(include_deleted=True))
    stored = files.bodies(Path(phone.path))
    after = 1
    while not faulty.run(lambda: VERBS[name](family, first), after=after):
        after += 1
        assert after < 200
        if phone.digest != before:
            break  # it failed behind the commit: then all of it is there
        assert list(family.messages(include_deleted=True)) == shown
        assert files.bodies(Path(phone.path)) == stored
    assert after > 3
    family.send("the next one works")
    assert phone.check().ok
    msgsync.sync(phone, tablet)
    assert tablet.digest == phone.digest
    assert tablet.check().ok


def test_after_a_failed_write_the_client_id_is_another_one(phone, family):
    client = client_of(phone)
    with pytest.raises(Fault), phone.writing():
        failing(lambda: family.send("never"))
    assert client_of(phone) != client
    assert list(family.messages()) == []
    lamport = lamport_of(phone)
    family.rename("renamed")
    assert lamport_of(phone) == lamport + 1
    assert phone.check().ok


def test_what_a_peer_sent_is_taken_whole_or_not_at_all(phone, tablet, family):
    for number in range(3):
        family.send(f"message {number}")
    faulty = Faulty(tablet)
    after, complete = 0, False
    while not complete:
        after += 3
        assert after < 600
        complete = faulty.run(lambda: msgsync.sync(phone, tablet), after=after)
        assert tablet.check().ok
    assert tablet.digest == phone.digest


def test_writes_in_one_transaction_stand_or_fall_together(phone, family):
    with phone.writing():
        family.send("one")
        family.send("two")
    with pytest.raises(Fault), phone.writing():
        failing(lambda: family.send("three"), lambda: family.rename("four"))
    assert [one.text for one in family.messages()] == ["one", "two"]


def test_a_bad_value_among_good_ones_takes_none_of_them(phone):
    good = Incoming("irc", "ben", "hello", START_MS, external_id="1")
    bad = Incoming("irc", "ben", "x" * (limits.TEXT_BYTES + 1), START_MS, external_id="2")
    before = phone.digest
    with pytest.raises(msgsync.InvalidValue):
        phone.ingest([good, bad])
    assert phone.digest == before
    assert phone.conversations() == []
    assert phone.ingest([good]).added == 1


# Logs of updates.


def test_a_long_log_folds_and_nothing_changes(phone, family, open_replica):
    sent = [family.send(f"message {number}") for number in range(3)]
    family.react(sent[0], "👍")
    family.unreact(sent[0], "👍")
    longest = 0
    for number in range(limits.LOG_ROWS + 5):
        digest = phone.digest
        family.edit(sent[1], f"edit {number}")
        assert phone.digest != digest
        longest = max(longest, len(files.bodies(Path(phone.path))))
    assert longest <= limits.LOG_ROWS + 5
    assert len(files.bodies(Path(phone.path))) < 100
    assert phone.check().ok
    state = phone.digest, list(family.messages())
    phone.close()
    again = open_replica("phone.db")
    assert (again.digest, list(again.conversation("family").messages())) == state
    assert again.check().ok


def test_closing_folds_what_was_written_since_opening(phone, family, open_replica):
    for number in range(60):
        family.send(f"message {number}")
    digest = phone.digest
    assert len(files.bodies(Path(phone.path))) > 60
    phone.close()
    assert len(files.bodies(Path(phone.path))) <= 3
    again = open_replica("phone.db")
    assert again.digest == digest
    assert again.check().ok


def test_a_folded_document_drops_what_is_irrelevant(phone, family):
    sent = family.send("hello")
    for _ in range(limits.LOG_ROWS // 2 + 2):
        family.react(sent, "👍")
        family.unreact(sent, "👍")
    entries = phone.check().entries
    assert entries < 40
    assert phone.check().ok


# Sums kept up to date.


def test_the_digest_is_the_same_whatever_way_led_there(phone, tablet, family):
    sent = family.send("hello")
    digest = phone.digest
    family.react(sent, "👍")
    assert phone.digest != digest
    msgsync.sync(phone, tablet)
    assert tablet.digest == phone.digest


def test_a_clone_is_noticed_and_takes_another_client_id(
    phone, family, open_replica, tmp_path, machine
):
    """Two machines that go on from one snapshot write under one client id until they meet."""
    family.send("before")
    with phone.writing() as store:
        client = store.documents.client
    twin = open_replica("twin.db", member=phone)
    with twin.writing() as store:
        store.documents.redraw(client)
    twin.create_conversation("Twin", id="twin").send("from the twin")
    msgsync.sync(phone, twin)
    assert phone.status().cloned
    assert twin.status().cloned
    assert client != client_of(phone) != client_of(twin)
    assert phone.digest == twin.digest
    for replica in (phone, twin):
        replica.conversation("twin").send("after")
        assert replica.check().ok
    msgsync.sync(phone, twin)
    assert phone.digest == twin.digest


def test_a_replica_whose_beginning_anew_fails_is_what_its_file_says(phone):
    with phone.reading() as store:
        before = store.identity
        store.peers.was_rolled_back = True

    def begin_anew(store_id: bytes) -> None:
        with phone.writing() as store:
            store.begin_anew(store_id)

    with pytest.raises(Fault), phone.writing() as store:
        failing(partial(store.begin_anew, b"x" * 16))
    for _ in range(2):
        with phone.reading() as store:
            assert store.identity == before
            assert store.peers.was_rolled_back, "it is still to be done"
        assert not phone.status().cloned
        phone.create_conversation("what is written now has nothing to do with it")
    begin_anew(b"y" * 16)
    with phone.reading() as store:
        assert store.identity.store_id == b"y" * 16
        assert not store.peers.was_rolled_back
    assert phone.status().cloned


def test_what_was_committed_although_an_error_came_behind_it_is_gone_by(phone, family):
    """Whoever wrote hears of the error; what the file says from then on is what the replica is."""

    def fail(*_: object) -> int:
        raise Fault

    def write() -> None:
        with phone.writing() as store:
            store.begin_anew(b"x" * 16)
            family.send("it is there")

    with phone.reading() as store:
        connection, before, seq = store.database.connection, phone.digest, store.seq
        committed = store.database._committed
    connection.set_wal_hook(fail)
    with pytest.raises(Fault):
        write()
    connection.set_wal_hook(committed)
    assert [one.text for one in family.messages()] == ["it is there"]
    with phone.reading() as store:
        assert store.identity.store_id == b"x" * 16
        assert store.seq == seq + 1
    assert phone.digest != before
    assert phone.status().cloned
    family.send("and it goes on")
    assert phone.check().ok


@pytest.mark.parametrize("damage", ["root = 'text'", "seq = 'text'"])
def test_a_file_that_does_not_say_what_it_holds_is_damaged(phone, open_replica, tmp_path, damage):
    phone.close()
    files.change(tmp_path / "phone.db", f"update state set {damage}")
    for options in ({}, {"readonly": True}):
        with pytest.raises(msgsync.ReplicaDamaged, match="what it holds; run repair"):
            open_replica("phone.db", **options)


def test_a_key_that_is_indexed_is_never_given_again(open_replica, monkeypatch):
    monkeypatch.setattr(limits, "UNINDEXED_MESSAGES", 0)
    phone = open_replica()
    family = phone.create_conversation("Family", id="family")
    gone = family.send("first words")
    family.erase(gone)
    phone.close()
    monkeypatch.undo()
    phone = open_replica()
    phone.conversation("family").send("second words")
    assert [one.text for one in phone.search("second")] == ["second words"]


def test_nothing_that_was_started_is_written_once_sqlite_has_rolled_back(phone):
    """As it does by itself when the disk is full: outside the transaction each statement would commit."""
    database = phone._store.database

    def write_on() -> None:
        with phone.writing():
            for sql in ("rollback", "insert into meta values('x', x'00')"):
                database.start(lambda connection, sql=sql: connection.execute(sql))

    with pytest.raises(msgsync.StorageError):
        write_on()
    assert files.look(Path(phone.path), "select 1 from meta where name = 'x'") == []
    phone.create_conversation("it goes on")
    assert phone.check().ok
