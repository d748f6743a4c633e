"""A disk that is full or fails at any write, and apps that fail in the middle. Source: design 6, security A5 and B.

A fault is real: writes beyond a limit of the process (RLIMIT_FSIZE), and a file system (VFS) that fails the n-th write.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

import msgsync
from msgsync import Incoming, Replica, StorageError, StorageFull
from tests.unit.machine import START_MS

# A file system that fails.


class FaultyFile(apsw.VFSFile):
    def __init__(self, system: FaultySystem, name: Any, flags: list[int]) -> None:
        self._system = system
        super().__init__(system.base, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  SQLite's name
        self._system.count(apsw.FullError("no space"), apsw.IOError("write"))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._system.count(apsw.IOError("sync"), apsw.IOError("sync"))
        super().xSync(flags)


class FaultySystem(apsw.VFS):
    """Every write and sync from the n-th on fails, until it is mended."""

    def __init__(self) -> None:
        self.base = apsw.vfs_names()[0]
        self.writes = 0
        self.fail_at: int | None = None
        self.full = True
        super().__init__("faulty", self.base, makedefault=True)

    def count(self, full: apsw.Error, broken: apsw.Error) -> None:
        self.writes += 1
        if self.fail_at is not None and self.writes >= self.fail_at:
            raise full if self.full else broken

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:  # noqa: N802
        return FaultyFile(self, name, flags)


@pytest.fixture
def disk() -> Iterator[FaultySystem]:
    system = FaultySystem()
    yield system
    system.unregister()


def note(message: int) -> str:
    return f"message {message} " + "x" * (message * 37 % 3000)


def verbs(replica: Replica) -> Iterator[str]:
    """Writes of every kind; each is acknowledged by what it yields."""
    conversation = replica.create_conversation("Family", id="family")
    yield "title"
    for number in range(5):
        message = conversation.send(note(number))
        yield message.text
        conversation.edit(message, f"edited {number}")
        conversation.react(message, "👍")
    many = [Incoming("irc", "ben", note(n), START_MS + n, str(n)) for n in range(300)]
    replica.ingest(many)
    yield "irc"
    last = conversation.messages()[-1]
    conversation.delete(last)
    yield "deleted"
    conversation.erase(last)
    yield "erased"


def state_of(replica: Replica) -> set[str]:
    """What of `verbs` is there."""
    found = {"irc"} if replica.status().conversations > 1 else set()
    if any(one.id == "family" for one in replica.conversations(include_deleted=True)):
        conversation = replica.conversation("family")
        found |= {"title"}
        shown = list(conversation.messages(include_deleted=True))
        found |= {one.original_text for one in shown}
        if any(one.deleted for one in shown):
            found |= {"deleted"}
        if replica.status().erased:
            found |= {"deleted", "erased", note(4)}
    return found


@pytest.mark.parametrize("full", [True, False])
def test_a_write_that_fails_anywhere_loses_nothing_that_was_acknowledged(
    disk, tmp_path, machine, full
):
    """Every n-th write of the disk fails, and all behind it; then there is room again, and all goes on."""
    disk.full = full
    step, fail_at, failures = 5, 1, 0
    while True:
        path = tmp_path / f"{fail_at}.db"
        disk.writes, disk.fail_at = 0, fail_at
        acknowledged: set[str] = set()
        replica = error = None
        try:
            replica = Replica(path, author="ann", system=machine)
            acknowledged.update(verbs(replica))
        except StorageError as found:
            error = found
        if error is not None:
            failures += 1
            assert str(path) in str(error)
            assert any(advice in str(error) for advice in ("free some space", "check the path"))
            if replica is not None:
                assert acknowledged <= state_of(replica), "readable on a full disk"
        disk.fail_at = None
        if replica is not None:
            assert replica.check().ok, replica.check().problems
            replica.conversation("family").send("goes on") if "title" in acknowledged else None
            replica.close()
        with Replica(path, author="ann", system=machine) as again:
            assert acknowledged <= state_of(again)
            assert again.check().ok
            assert not again.status().erasure_pending
        if disk.writes < fail_at:
            break
        step += 1
        fail_at += step  # denser at the start, where files are made
    assert failures > 5


def test_a_disk_that_fails_while_closing_loses_nothing(disk, tmp_path, machine):
    path = tmp_path / "a.db"
    replica = Replica(path, author="ann", system=machine)
    acknowledged = set(verbs(replica))
    disk.fail_at = 0
    with suppress(StorageError):  # it may say so, or not
        replica.close()
    disk.fail_at = None
    with Replica(path, author="ann", system=machine) as again:
        assert acknowledged <= state_of(again)
        assert again.check().ok


def test_an_exchange_on_a_full_disk_keeps_what_it_merged_and_goes_on(disk, tmp_path, machine):
    with (
        Replica(tmp_path / "a.db", author="ann", system=machine) as phone,
        phone.new_device(tmp_path / "b.db") as tablet,
    ):
        list(verbs(phone))
        disk.writes, disk.fail_at = 0, 3
        with pytest.raises(StorageFull, match="full"):
            msgsync.sync(phone, tablet)
        assert phone.check().ok
        assert tablet.check().ok
        disk.fail_at = None
        assert msgsync.sync(phone, tablet).complete
        assert phone.digest == tablet.digest


# A limit of the process, in a process of its own.

SCRIPT = """
import json, resource, signal, sys
import msgsync
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
kept, error = [], None
replica = None
try:
    replica = msgsync.open(path, author="ann")
    conversation = replica.create_conversation("Family", id="family")
    for number in range(200):
        conversation.send(f"message {number} " + "x" * 4000)
        kept.append(number)
except msgsync.StorageError as found:
    error = [found.code, str(found)]
shown = 0
if replica is not None:
    shown = sum(1 for _ in replica.conversation("family").messages(limit=1000)) if kept else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if kept:
        conversation.send("there is room again")
    replica.close()
print(json.dumps([len(kept), shown, error]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
@pytest.mark.parametrize("kib", [1, 4, 40, 64, 100, 300, 700])
def test_a_file_that_may_not_grow_is_said_and_loses_nothing(tmp_path, kib):
    path = tmp_path / "a.db"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(kib * 1024)],
        capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    kept, shown, error = json.loads(done.stdout)
    assert kept < 200
    assert shown == kept
    code, words = error
    assert code in ("storage-full", "storage")
    assert "check" in words or "free some space" in words
    with msgsync.open(path, author="ann") as again:
        assert again.check().ok
        if kept:
            messages = again.conversation("family").messages(limit=1000)
            assert len(list(messages)) == kept + 1


# Apps that fail in the middle of an ingest.


def failing(error: BaseException, after: int) -> Iterator[Incoming]:
    for number in range(after):
        yield Incoming("irc", "ben", f"message {number}", START_MS + number, str(number))
    raise error


@pytest.mark.parametrize("after", [0, 1, 10_000])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "the app's own disk"),
        FileNotFoundError(errno.ENOENT, "the app's own file"),
        apsw.BusyError("the app's own database"),
        apsw.CorruptError("the app's own database"),
        KeyboardInterrupt(),
        GeneratorExit(),
        ValueError("the app's own value"),
        MemoryError(),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_app_comes_out_as_it_went_in_and_nothing_is_written(
    phone, family, error, after
):
    family.send("kept")
    before = phone.digest, phone.status().messages
    with pytest.raises(type(error)) as raised:
        phone.ingest(failing(error, after))
    assert raised.value is error
    assert (phone.digest, phone.status().messages) == before
    family.send("goes on")
    assert phone.check().ok


def test_an_error_of_the_app_inside_a_write_of_its_own_passes_through(phone, family):
    before = phone.digest
    with pytest.raises(IsADirectoryError), phone.writing():
        Path(phone.path).with_name(family.send("..").text).read_bytes()
    assert phone.digest == before
    assert phone.check().ok


def test_a_write_that_is_interrupted_behind_its_commit_is_there(phone, tablet, family):
    """Ctrl-C may come after the last statement: what was committed counts, here and for peers."""
    with phone.reading() as store:
        database: Any = store.database
    commit = database.execute

    def interrupted(sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        found = commit(sql, parameters)
        if sql == "commit":
            raise KeyboardInterrupt
        return found

    database.execute = interrupted
    with pytest.raises(KeyboardInterrupt):
        family.send("committed")
    database.execute = commit
    assert [one.text for one in family.messages()] == ["committed"]
    family.send("the next")
    assert phone.check().ok
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert tablet.check().ok
