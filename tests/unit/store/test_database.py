"""The file: what is opened, what is refused and left as it was."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    AccountMismatch,
    NotAReplica,
    ReadOnly,
    ReplicaDamaged,
    SchemaTooNew,
    SchemaTooOld,
    StorageError,
    StorageFull,
)
from msgsync.store.schema import TABLES, VERSION
from msgsync.testing import DiskFault, SimulatedDisk, SimulatedSystem
from tests.unit import files


def snapshot(path: Path) -> tuple[bytes, set[str]]:
    """A file, and what lies beside it except for locks and what SQLite needs in order to read at all."""
    beside = {
        one.name
        for one in path.parent.iterdir()
        if not one.name.endswith((".lock", "-shm")) and (one == path or one.stat().st_size)
    }
    return path.read_bytes(), beside


@pytest.fixture
def closed(open_replica, tmp_path) -> Path:
    """A replica with one message, closed."""
    with open_replica("closed.db") as replica:
        replica.create_conversation("Family", id="family").send("hello")
    return Path(tmp_path) / "closed.db"


# What is durable.


def test_what_was_written_is_there_for_others_when_the_call_returns(phone, family, tmp_path):
    for text in ("one", "two"):
        family.send(text)
        [(newest,)] = files.look(
            tmp_path / "phone.db", "select text from messages order by key desc limit 1"
        )
        assert newest == text
        assert files.bodies(tmp_path / "phone.db")


def test_full_durability_is_what_one_gets_unless_told_otherwise(tmp_path):
    with msgsync.open(tmp_path / "a.db") as replica, replica.reading() as store:
        assert store.database.connection.pragma("synchronous") == 2
        assert store.database.connection.pragma("journal_mode") == "wal"
        assert store.database.connection.pragma("secure_delete") == 1
    with (
        msgsync.open(tmp_path / "a.db", durability="relaxed") as replica,
        replica.reading() as store,
    ):
        assert store.database.connection.pragma("synchronous") == 1


def test_a_replica_is_for_its_owner_alone(phone, tmp_path):
    assert (tmp_path / "phone.db").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there modes say nothing")
def test_a_file_that_others_made_room_for_is_for_its_owner_alone(open_replica, tmp_path):
    (tmp_path / "a.db").touch(0o666)
    (tmp_path / "a.db").chmod(0o666)
    with open_replica("a.db") as replica:
        replica.create_conversation("Family").send("hello")
        beside = sorted(one.name for one in tmp_path.iterdir() if one.name != "a.db.lock")
        assert beside == ["a.db", "a.db-shm", "a.db-wal"]
        for name in beside:
            assert (tmp_path / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.skipif(sys.platform == "win32", reason="there modes say nothing")
def test_a_replica_that_was_copied_is_for_its_owner_alone_when_it_is_opened(
    closed, open_replica, tmp_path
):
    closed.chmod(0o644)
    with open_replica("closed.db", readonly=True):
        assert closed.stat().st_mode & 0o777 == 0o644  # not by who only reads
    with open_replica("closed.db"):
        beside = [one for one in tmp_path.iterdir() if not one.name.endswith(".lock")]
        assert len(beside) == 3
        assert {one.stat().st_mode & 0o777 for one in beside} == {0o600}


def test_closing_leaves_one_file_and_the_lock(phone, family, tmp_path):
    family.send("hello")
    phone.close()
    phone.close()
    assert {one.name for one in tmp_path.iterdir()} == {"phone.db", "phone.db.lock"}


def test_a_closed_replica_says_so(phone, family):
    phone.close()
    for verb in (phone.conversations, phone.check, lambda: family.send("x"), lambda: phone.digest):
        with pytest.raises(msgsync.ReplicaClosed):
            verb()


def test_a_forgotten_replica_warns(tmp_path):
    replica = msgsync.open(tmp_path / "a.db")
    with pytest.warns(ResourceWarning, match="was not closed"):
        replica.__del__()
    replica.close()


def test_opening_again_shows_the_same(open_replica):
    with open_replica("a.db") as replica:
        sent = replica.create_conversation("Family", id="family").send("hello")
        state = replica.account, replica.device, replica.digest
    again = open_replica("a.db")
    assert (again.account, again.device, again.digest) == state
    assert again.message(sent.id) == sent


def test_every_opening_writes_under_another_client_id(open_replica):
    clients = set()
    for _ in range(3):
        with open_replica("a.db") as replica, replica.reading() as store:
            clients.add(store.documents.client)
    assert len(clients) == 3
    assert all(0 < client < 2**53 for client in clients)


# What is refused.


def test_a_file_of_a_newer_version_is_refused_and_untouched(closed, open_replica):
    files.change(closed, "pragma user_version = 99")
    before = snapshot(closed)
    for options in ({}, {"readonly": True}):
        with pytest.raises(SchemaTooNew, match="format 99"):
            open_replica("closed.db", **options)
    assert snapshot(closed) == before


def test_a_file_of_an_older_version_is_refused_in_words_and_untouched(closed, open_replica):
    files.change(closed, f"pragma user_version = {VERSION - 1}")
    before = snapshot(closed)
    for options in ({}, {"readonly": True}):
        with pytest.raises(SchemaTooOld, match=f"format {VERSION - 1}, .* run msgsync repair"):
            open_replica("closed.db", **options)
    assert snapshot(closed) == before


def test_other_tables_take_another_version():
    """A file with those before would be opened, and called damaged once something is missing."""
    tables = hashlib.sha256("\n".join(TABLES).encode()).hexdigest()
    assert (VERSION, tables[:16]) == (2, "5b67611b52d4cf7d")


def test_a_database_of_another_program_is_refused_and_untouched(tmp_path, open_replica):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table messages(text)")
    connection.close()
    mode = path.stat().st_mode & 0o777
    before = snapshot(path)
    for options in ({}, {"readonly": True}):
        with pytest.raises(NotAReplica):
            open_replica("other.db", **options)
    assert snapshot(path) == before
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    "content",
    [b"From: ann\n", b"x", b"SQLite format 3\0", b"SQLite format 3\0" + bytes(4080), b"\0" * 8192],
    ids=["a text", "a byte", "a header alone", "a header and nothing", "zeros"],
)
def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path, open_replica, content):
    path = tmp_path / "notes"
    path.write_bytes(content)
    before = snapshot(path)
    for options in ({}, {"readonly": True}):
        with pytest.raises((NotAReplica, ReplicaDamaged)):
            open_replica("notes", **options)
    assert snapshot(path) == before


def test_a_file_that_is_cut_off_is_refused_and_untouched(closed, open_replica):
    whole = closed.read_bytes()
    closed.write_bytes(whole[:4096])
    before = snapshot(closed)
    with pytest.raises((NotAReplica, ReplicaDamaged)):
        open_replica("closed.db")
    assert snapshot(closed) == before


def test_a_damaged_schema_is_refused_and_untouched(closed, open_replica):
    raw = bytearray(closed.read_bytes())
    raw[100:2000] = b"\xa5" * 1900
    closed.write_bytes(raw)
    before = snapshot(closed)
    with pytest.raises((NotAReplica, ReplicaDamaged)):
        open_replica("closed.db")
    assert snapshot(closed) == before


def test_an_empty_file_is_no_replica_to_read_and_one_to_be_made_when_writing(
    tmp_path, open_replica
):
    path = tmp_path / "empty.db"
    path.touch()
    before = snapshot(path)
    with pytest.raises(NotAReplica):
        open_replica("empty.db", readonly=True)
    assert snapshot(path) == before
    assert open_replica("empty.db").conversations() == []


@pytest.mark.parametrize("readonly", [False, True])
def test_a_replica_that_lost_all_its_bytes_is_not_made_anew(
    tmp_path, open_replica, phone, family, readonly
):
    """Else it would be of another account, and nobody would be told."""
    family.send("hello")
    account = phone.account
    phone.close()
    path = tmp_path / "phone.db"
    path.write_bytes(b"")
    before = snapshot(path)
    with pytest.raises(ReplicaDamaged, match="no bytes left"):
        open_replica("phone.db", readonly=readonly)
    with pytest.raises(NotAReplica):
        msgsync.repair(path)
    assert snapshot(path) == before
    path.unlink()
    assert open_replica("phone.db").account != account, "removing it says that it is not wanted"


def test_what_takes_the_place_of_a_removed_replica_may_be_cut_off_while_it_is_made(
    tmp_path, open_replica, phone
):
    phone.close()
    path = tmp_path / "phone.db"
    path.unlink()
    with SimulatedDisk() as disk:
        disk.fail(DiskFault.POWER, after=3)
        with pytest.raises(StorageError):
            open_replica("phone.db", system=SimulatedSystem(1, vfs=disk.vfs))
    path.write_bytes(b"")  # as a power loss may leave it
    assert open_replica("phone.db").check().ok


@pytest.mark.parametrize("readonly", [False, True])
def test_a_folder_is_no_replica_and_is_said_to_be_one(tmp_path, open_replica, readonly):
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotAReplica, match=r"folder is a folder.*file, such as .*phone\.db"):
        open_replica("folder", readonly=readonly)
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_replica_that_is_not_there_cannot_be_read(tmp_path, open_replica):
    with pytest.raises(StorageError, match="no replica at"):
        open_replica("none.db", readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_replica(tmp_path, open_replica):
    (tmp_path / "folder").mkdir()
    for options in ({}, {"readonly": True}):
        with pytest.raises(StorageError):
            open_replica("folder", **options)


def test_a_folder_that_is_not_there_is_said_so(open_replica):
    with pytest.raises(StorageError, match="check the folder"):
        open_replica("nowhere/phone.db")


def test_a_file_of_another_account_is_refused_and_untouched(closed, open_replica, phone):
    before = snapshot(closed)
    with pytest.raises(AccountMismatch, match=str(phone.account)):
        open_replica("closed.db", member=phone)
    assert snapshot(closed) == before
    with pytest.raises(AccountMismatch):
        phone.new_device(closed)
    open_replica("closed.db")  # the lock was let go


# Beside a writer.


def test_a_reader_beside_the_writer_sees_what_is_new(phone, family, open_replica):
    reader = open_replica("phone.db", readonly=True)
    assert reader.digest == phone.digest
    sent = family.send("zero")
    for text in ("one", "two"):
        sent = family.send(text)
        assert [one.text for one in reader.conversation("family").messages(limit=1)] == [text]
        assert reader.message(sent.id) == sent
        assert reader.digest == phone.digest
    family.edit(sent, "three")
    assert [one.text for one in reader.search("three")] == ["three"]
    assert reader.check().ok


def test_a_reader_writes_nothing(phone, family, open_replica, tmp_path):
    sent = family.send("hello")
    reader = open_replica("phone.db", readonly=True)
    before = phone.digest, files.bodies(tmp_path / "phone.db")
    conversation = reader.conversation("family")
    incoming = msgsync.Incoming("family", "ben", "x", 0)
    for verb in (
        lambda: conversation.send("x"),
        lambda: conversation.edit(sent, "x"),
        lambda: conversation.react(sent, "x"),
        lambda: conversation.delete(sent),
        lambda: conversation.erase(sent),
        lambda: conversation.rename("x"),
        lambda: reader.create_conversation("x"),
        lambda: reader.ingest([incoming]),
    ):
        with pytest.raises(ReadOnly):
            verb()
    reader.close()
    assert (phone.digest, files.bodies(tmp_path / "phone.db")) == before
    family.send("the writer goes on")


# What is written later.


@pytest.mark.parametrize("verb", ["execute", "executemany", "each"])
def test_whatever_is_executed_finds_what_was_to_be_written_before_it(phone, verb):
    read, name = "select value from meta where name = ?", ("x",)
    with phone.writing() as store:
        database = store.database
        database.later("insert into meta values(?,?)", [("x", b"old")])
        if verb == "execute":
            assert database.execute(read, name).fetchone() == (b"old",)
        elif verb == "each":
            assert list(database.each(read, [name])) == [(b"old",)]
        else:
            database.executemany("update meta set value = x'00' where name = ?", [name])
            assert database.one(read, name) == (b"\0",)


# A disk that is full.


def test_a_full_disk_loses_nothing_and_the_next_write_works(phone, family):
    kept = family.send("kept")
    before = phone.digest
    with phone.reading() as store:
        connection = store.database.connection
        pages = connection.pragma("page_count")
        connection.pragma("max_page_count", pages)
    with pytest.raises(StorageFull, match="full"):
        family.send("x" * 500_000)
    assert phone.digest == before
    assert [one.id for one in family.messages()] == [kept.id]
    connection.pragma("max_page_count", 2**30)
    family.send("again")
    assert [one.text for one in family.messages()] == ["kept", "again"]
    assert phone.check().ok


def test_ctrl_c_while_rows_are_written_waits_for_them_and_leaves_a_replica_that_works(open_replica):
    phone = open_replica()
    database = phone._store.database
    begun, go_on = threading.Event(), threading.Event()

    def work(connection):
        begun.set()
        assert go_on.wait(10)
        connection.execute("insert into meta values('x', x'00')")

    def write():
        with phone.writing():
            database.start(work)
            assert begun.wait(10)
            threading.Timer(0.2, go_on.set).start()
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        write()
    assert go_on.is_set(), "the connection was used while the other thread had it"
    assert files.look(Path(phone.path), "select 1 from meta where name = 'x'") == []
    phone.create_conversation("it goes on")
    assert phone.check().ok


def test_a_damaged_page_is_said_as_damage_when_reading_beside_a_writer(tmp_path, open_replica):
    phone = open_replica("p.db")
    phone.ingest(msgsync.Incoming("c", "ben", f"text {n}", n, str(n)) for n in range(500))
    phone.close()
    raw = bytearray((tmp_path / "p.db").read_bytes())
    raw[30_000:90_000] = bytes(byte ^ 0xFF for byte in raw[30_000:90_000])
    (tmp_path / "p.db").write_bytes(raw)
    reader = open_replica("p.db", readonly=True)
    for read in (reader.conversations, lambda: reader.conversation("c").messages(), reader.status):
        with pytest.raises(msgsync.StorageError):
            read()
