"""One writer at a time. Across processes: tests/integration/test_processes.py."""

from __future__ import annotations

import os

import pytest

from msgsync import ReplicaLocked, StorageError
from msgsync.store.lock import WriterLock


def test_a_second_writer_in_this_process_is_told_who_holds_the_replica(phone, open_replica):
    with pytest.raises(ReplicaLocked, match=rf"process {os.getpid()}\b.*readonly=True"):
        open_replica("phone.db")
    phone.create_conversation("the first goes on")


def test_closing_lets_the_next_one_in(open_replica):
    for _ in range(3):
        open_replica("a.db").close()


def test_an_opening_that_fails_lets_go(tmp_path, open_replica):
    (tmp_path / "a.db").write_bytes(b"no database at all")
    with pytest.raises(StorageError):
        open_replica("a.db")
    (tmp_path / "a.db").unlink()
    open_replica("a.db")


def test_a_lock_that_nobody_holds_is_taken_whatever_it_says(tmp_path):
    path = tmp_path / "a.db"
    (tmp_path / "a.db.lock").write_text("4194304\n")
    lock = WriterLock(path)
    with pytest.raises(ReplicaLocked, match=rf"process {os.getpid()}\s*;"):
        WriterLock(path)
    lock.close()
    lock.close()
    WriterLock(path).close()


def test_a_holder_that_has_not_said_its_name_is_unknown(tmp_path):
    lock = WriterLock(tmp_path / "a.db")
    (tmp_path / "a.db.lock").write_text("")
    with pytest.raises(ReplicaLocked, match="process unknown"):
        WriterLock(tmp_path / "a.db")
    lock.close()
