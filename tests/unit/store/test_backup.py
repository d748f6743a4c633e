"""Files that are made beside their name, copied while they are written, and sealed."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from msgsync import FileExists, ReplicaDamaged, StorageError
from msgsync.store.backup import copy, new_file, unpack
from msgsync.store.database import Database
from msgsync.store.seal import seal
from tests.unit import files


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "new"
    with new_file(path, "mark") as part:
        assert part.parent == tmp_path
        part.write_bytes(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_fails_leaves_nothing(tmp_path):
    half = new_file(tmp_path / "new", "mark")
    part = half.__enter__()
    for suffix in ("", "-wal", "-shm"):
        part.with_name(part.name + suffix).write_bytes(b"half")
    assert half.__exit__(KeyError, KeyError(), None) is not True
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_file_of_which_a_part_lies_beside_it_does_not_take_its_name(tmp_path, suffix):
    half = new_file(tmp_path / "new", "mark")
    part = half.__enter__()
    part.write_bytes(b"a half")
    part.with_name(part.name + suffix).write_bytes(b"the other")
    with pytest.raises(StorageError, match="holds what"):
        half.__exit__(None, None, None)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["new", "new-wal", "new-journal"])
def test_nothing_is_overwritten_and_no_log_of_another_file_is_taken_for_its_own(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(FileExists, match=f"{name} is there"), new_file(tmp_path / "new", "mark"):
        pytest.fail("it was begun")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"mine"]


def test_an_empty_log_of_another_file_does_not_matter(tmp_path):
    (tmp_path / "new-wal").touch()  # programs that only read leave it behind
    with new_file(tmp_path / "new", "mark") as part:
        part.write_bytes(b"all of it")
    assert (tmp_path / "new").read_bytes() == b"all of it"


def test_a_link_that_leads_nowhere_is_something_too(tmp_path):
    (tmp_path / "new").symlink_to("nowhere")
    with pytest.raises(FileExists), new_file(tmp_path / "new", "mark"):
        pytest.fail("it was begun")


@pytest.mark.parametrize("links", [True, False], ids=["with links", "without links"])
def test_who_takes_the_name_meanwhile_keeps_it(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "new"
    with pytest.raises(FileExists), new_file(path, "mark"):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    with new_file(tmp_path / "new", "mark") as part:
        part.write_bytes(b"all of it")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"all of it"]


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_two_of_one_name_at_once_do_not_write_into_each_other(tmp_path):
    path = tmp_path / "new"
    first = new_file(path, "one")
    first.__enter__().write_bytes(b"first")
    with new_file(path, "other") as second:
        second.write_bytes(b"second")
    with pytest.raises(FileExists):
        first.__exit__(None, None, None)
    assert path.read_bytes() == b"second"
    assert [*tmp_path.iterdir()] == [path]


def test_what_a_process_left_that_died_goes_and_what_is_being_made_stays(tmp_path):
    path = tmp_path / "new"
    for name in ("new.0123abcd.part", "new.0123abcd.part-wal", "new.0123abcd.part.claim.lock",
                 "new.89abcdef.part.claim.lock", "new.ffffffff.part.lock"):  # fmt: skip
        (tmp_path / name).write_bytes(b"left")
    others = {
        "new.part",
        "new.0123abcd",
        "new.0123abcd.lock",
        "new.xyz.part",
        "newer.0123abcd.part",
        "new.0123ABCD.part",
    }
    for name in others:
        (tmp_path / name).write_bytes(b"not ours")
    with new_file(path, "00000001") as first:
        first.write_bytes(b"first")
        half = new_file(path, "00000002")
        half.__enter__().write_bytes(b"second")
        assert first.read_bytes() == b"first"
        assert half.__exit__(KeyError, KeyError(), None) is not True
        assert {one.name for one in tmp_path.iterdir()} == {
            first.name,
            f"{first.name}.claim.lock",
            *others,
        }
    assert {one.name for one in tmp_path.iterdir()} == {"new", *others}
    assert path.read_bytes() == b"first"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StorageError, match="cannot be used"), new_file(tmp_path / "no" / "x", "m"):
        pytest.fail("it was begun")


# Copying.


def table(path: Path, rows: int) -> None:
    """Give a replica's file something to copy: about a kilobyte a row."""
    with files.database(path) as connection:
        connection.execute("create table big(key integer primary key, body blob)")
        with connection:
            connection.executemany(
                "insert into big values(?, randomblob(1000))", [(n,) for n in range(rows)]
            )


def test_a_copy_is_one_commit_whatever_is_written_meanwhile(tmp_path, phone):
    phone.close()
    path, target = Path(phone.path), tmp_path / "copy"
    table(path, 8000)
    target.touch()
    seen = []
    with (
        closing(Database(path, readonly=True, durability="full")) as source,
        closing(copy(source, target)) as steps,
        files.database(path) as writer,
    ):
        for step in steps:
            seen.append(step)
            # Each step finds the pages that were copied, and those that are to be, changed.
            writer.execute("update big set body = zeroblob(1000)")
            writer.pragma("wal_checkpoint")
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert seen[-1].done_bytes == seen[-1].total_bytes == target.stat().st_size
    zeros = "select count(*) from big where body = zeroblob(1000)"
    assert files.look(target, zeros) == [(0,)]
    assert files.look(target, "pragma integrity_check") == [("ok",)]
    assert files.look(path, zeros) == [(8000,)]


def test_a_copy_is_a_single_file_that_needs_no_log(tmp_path, phone):
    target = tmp_path / "copy" / "it"
    target.parent.mkdir()
    target.touch()
    with (
        closing(Database(Path(phone.path), readonly=True, durability="full")) as source,
        closing(copy(source, target)) as steps,
    ):
        assert [*steps]
    assert target.read_bytes()[18:20] == b"\1\1", "it is not in the mode that needs a log"
    assert files.look(target, "select count(*) from meta") == [(3,)]
    assert [*target.parent.iterdir()] == [target]


# Seals.


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "sealed"
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 4 + bytes(496))
    assert unpacked(path) == path.read_bytes()  # nothing says that it should have a seal
    seal(path)
    return path


def unpacked(path: Path) -> bytes:
    target = path.with_name("unpacked")
    target.write_bytes(b"")
    with closing(unpack(path, target)) as steps:
        last = [*steps][-1]
    raw = target.read_bytes()
    assert last == (len(raw), len(raw))
    return raw


def test_a_sealed_file_is_as_it_was(sealed):
    raw = sealed.read_bytes()
    assert len(raw) == 3 * 512 + 48
    assert unpacked(sealed) == raw[:-48]
    assert sealed.read_bytes() == raw


def test_every_byte_counts_but_those_that_say_what_it_is(sealed):
    raw = sealed.read_bytes()
    for at in range(16, len(raw)):
        sealed.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(ReplicaDamaged, match="not as it was"):
            unpacked(sealed)


def test_a_sealed_file_is_neither_longer_nor_shorter(sealed):
    raw = sealed.read_bytes()
    for other in (raw[:-1], raw + b"\0", raw[:600], raw[:20], raw[:-48] + bytes(512) + raw[-48:]):
        sealed.write_bytes(other)
        with pytest.raises((ReplicaDamaged, IndexError)):
            unpacked(sealed)


def test_what_is_no_database_is_left_to_who_opens_it(tmp_path):
    path = tmp_path / "letter"
    path.write_bytes(b"Dear Ben, " * 10)
    assert unpacked(path) == path.read_bytes()[:-48]


def test_a_long_file_is_read_in_parts(tmp_path):
    path = tmp_path / "long"
    path.write_bytes(b"SQLite format 3\0" + os.urandom(3 * (1 << 20) - 16 + 512))
    raw = path.read_bytes()
    seal(path)
    assert unpacked(path) == raw
    target = tmp_path / "part"
    target.touch()
    with closing(unpack(path, target)) as steps:
        assert [one.done_bytes for one in steps] == [1 << 20, 2 << 20, 3 << 20, len(raw)]
