"""Files that vanish, are exchanged or cannot be written while a replica is in use: said in words, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import msgsync
from msgsync import Replica, StorageError
from tests.faults import small

SENT = 3


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    folder = tmp_path / "replica"
    folder.mkdir()
    with msgsync.open(folder / "a.db", author="ann") as replica:
        family = replica.create_conversation("Family", id="family")
        for number in range(SENT):
            family.send(f"text {number}")
        yield replica


def texts(path: Path) -> list[str]:
    with msgsync.open(path, author="ann") as again:
        assert again.check().ok
        return [one.text for one in again.conversation("family").messages()]


EVERYTHING = [f"text {number}" for number in range(SENT)]


def refuses(replica: Replica, words: str) -> None:
    """Nothing is acknowledged any more, and nothing crashes."""
    family = replica.conversation("family")
    for _ in range(2):
        with pytest.raises(StorageError, match=words):
            family.send("lost")
        with pytest.raises(StorageError, match=words):
            family.erase(family.messages()[0])
    assert [one.text for one in family.messages()] == EVERYTHING, "readable to the end"


def test_a_replica_that_was_moved_away_takes_nothing_more_and_is_whole_where_it_is(replica):
    moved = replica.path.with_name("moved.db")
    for name in ("", "-wal", "-shm"):
        replica.path.with_name(replica.path.name + name).rename(moved.with_name(moved.name + name))
    refuses(replica, "is gone")
    replica.close()
    assert texts(moved) == EVERYTHING


def test_a_replica_that_was_deleted_takes_nothing_more(replica):
    replica.path.unlink()
    refuses(replica, "is gone")
    replica.close()
    assert not replica.path.exists()


def test_a_backup_that_is_put_in_the_place_of_a_replica_in_use_is_not_written_into(replica):
    older = replica.path.with_name("older.db")
    with msgsync.open(older, author="ann") as other:
        other.create_conversation("Family", id="family").send("of the backup")
    shutil.move(older, replica.path)
    before = replica.path.read_bytes()
    refuses(replica, "another file took its place")
    assert replica.path.read_bytes() == before


def test_a_log_that_was_deleted_is_noticed_and_closing_keeps_what_was_in_it(replica):
    log = replica.path.with_name(replica.path.name + "-wal")
    assert log.stat().st_size > 0
    log.unlink()
    refuses(replica, "-wal is gone")
    replica.close()
    assert texts(replica.path) == EVERYTHING


def test_two_writers_whose_lock_file_was_deleted_do_not_write_into_one_another(replica):
    replica.path.with_name(replica.path.name + ".lock").unlink()
    with msgsync.open(replica.path, author="ann") as second:
        second.conversation("family").send("of the second")
        with pytest.raises(StorageError, match=r"another program wrote into .*a\.db"):
            replica.conversation("family").send("of the first")
        second.conversation("family").send("goes on")
        assert second.check().ok
    replica.close()
    assert texts(replica.path) == [*EVERYTHING, "of the second", "goes on"]


def test_an_exchange_whose_file_vanishes_ends_in_words_and_the_peer_is_whole(replica, tmp_path):
    with replica.new_device(tmp_path / "peer.db") as peer:
        peer.create_conversation("Other", id="other").send("of the peer")
        replica.path.unlink()
        with pytest.raises(StorageError, match="is gone"):
            msgsync.sync(replica, peer)
        assert peer.check().ok
        peer.conversation("other").send("goes on")


def test_an_import_whose_source_vanishes_or_is_a_folder_is_an_error_of_the_system(
    replica, tmp_path
):
    for source in (tmp_path / "nothing.jsonl", tmp_path):
        with pytest.raises(OSError, match=str(source)):
            msgsync.import_jsonlines(replica, source)
    assert texts_of(replica) == EVERYTHING


def texts_of(replica: Replica) -> list[str]:
    return [one.text for one in replica.conversation("family").messages()]


# Without the right to write. Root may write everything, so another user tries, if it is root who runs the tests.


@pytest.mark.skipif(os.name != "posix", reason="rights are of another kind there")
@pytest.mark.parametrize(
    ("what", "mode", "reads"), [("file", 0o444, True), ("folder", 0o555, False), ("file", 0o000, False)]
)  # fmt: skip
def test_a_file_or_folder_without_the_right_to_write_is_said_so_and_left(
    replica, what, mode, reads
):
    replica.close()
    before = replica.path.read_bytes()
    done = small.python("tests.faults.rights", replica.path, what, f"{mode:o}")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert re.search(r"a\.db(\.lock)?( cannot be used)?: .*; check the", outcome["write"])
    assert (outcome["read"] == str(SENT)) is reads
    assert reads or "a.db cannot be used" in outcome["read"]
    assert outcome["after"] == hashlib.sha256(before).hexdigest()


def test_a_replica_on_a_disk_that_cannot_be_written_can_be_read(replica, tmp_path):
    if small.way() is None:
        pytest.skip(small.WITHOUT)
    replica.close()
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts = (
        f"mount -t tmpfs -o size=4m tmpfs '{disk}'; cp '{replica.path}' '{disk}/a.db'; "
        f"mount -o remount,ro '{disk}'"
    )
    done = small.python("tests.faults.rights", disk / "a.db", mounts=mounts)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert "cannot make the lock file" in outcome["write"]
    assert outcome["read"] == str(SENT)
