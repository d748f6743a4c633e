"""The keys of an attempt to join, and the file that it becomes. Whole pairings: tests/unit/test_pairing.py."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from msgsync.account.device import Device
from msgsync.account.statements import Add
from msgsync.errors import FileExists, StorageError
from msgsync.replica.attempt import Attempt
from msgsync.replica.replica import Replica
from tests.unit.account.accounts import NOW_MS, keyring_of, keys_of, roster_of
from tests.unit.machine import Machine


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tablet.db"


def become(attempt: Attempt) -> None:
    device = Device.of(attempt.keys, "Tablet", "test")
    roster = roster_of("phone").say(
        Add(device), keys_of("phone"), now_ms=NOW_MS, agreed=attempt.keys
    )
    attempt.become(roster, keyring_of(roster))


def test_keys_are_kept_for_the_owner_alone_until_the_end(path, machine: Machine):
    attempt = Attempt(path, machine)
    assert attempt.is_new
    assert not attempt.done
    [kept] = path.parent.iterdir()
    assert kept.name == "tablet.db.joining"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    again = Attempt(path, machine)
    assert again.keys == attempt.keys
    assert not again.is_new
    again.end()
    assert list(path.parent.iterdir()) == []
    assert Attempt(path, machine).keys != attempt.keys


def test_it_becomes_a_replica_of_the_account(path, machine):
    attempt = Attempt(path, machine)
    become(attempt)
    attempt.end()
    assert [one.name for one in path.parent.iterdir()] == ["tablet.db"]
    with Replica(path, system=machine) as replica:
        assert replica.device == attempt.keys.device_id
        assert replica.account == roster_of("phone").account
        assert replica.check().ok


def test_what_was_complete_but_not_ended_is_known_again(path, machine):
    become(Attempt(path, machine))
    assert Attempt(path, machine).done


@pytest.mark.parametrize("kept", [None, b"", b"half", bytes(64)])
def test_another_file_is_never_replaced(path, machine, kept):
    with Replica(path, system=machine):
        pass
    before = path.read_bytes()
    if kept is not None:
        path.with_name("tablet.db.joining").write_bytes(kept)
    with pytest.raises(FileExists):
        Attempt(path, machine)
    assert path.read_bytes() == before


def test_one_that_appears_meanwhile_is_not_replaced_either(path, machine):
    attempt = Attempt(path, machine)
    path.write_bytes(b"somebody was faster")
    with pytest.raises(FileExists):
        become(attempt)
    assert path.read_bytes() == b"somebody was faster"


def test_a_folder_that_is_not_there_is_said(path, machine):
    with pytest.raises(StorageError):
        Attempt(path.parent / "nowhere" / "tablet.db", machine)


def kept_of(path):
    return path.with_name("tablet.db.joining")


def test_an_app_that_opens_what_was_complete_ends_the_attempt(path, machine):
    become(Attempt(path, machine))
    with Replica(path, readonly=True, system=machine):
        assert kept_of(path).exists()
    with Replica(path, system=machine):
        assert not kept_of(path).exists()


def test_wiping_leaves_no_keys_of_an_attempt_and_nothing_half_made(path, machine):
    with Replica(path, system=machine) as replica:
        kept_of(path).write_bytes(bytes(range(64)))  # of another attempt: opening leaves it
        kept_of(path).chmod(0o600)
        (path.parent / "tablet.db.0123abcd.part").write_bytes(b"half a replica")
        replica.wipe()
    assert list(path.parent.iterdir()) == []


def test_kept_keys_are_overwritten_before_their_name_goes(path, machine, monkeypatch):
    from pathlib import Path

    attempt = Attempt(path, machine)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    attempt.end()
    assert kept_of(path).read_bytes() == bytes(64)


@pytest.mark.skipif(
    sys.platform == "win32", reason="there modes say nothing, and links need rights"
)
@pytest.mark.parametrize("how", ["link", "second name", "open to others", "pipe", "folder"])
def test_keys_that_somebody_else_may_have_put_there_are_not_taken(path, machine, how):
    planted, kept = path.parent / "planted", kept_of(path)
    planted.write_bytes(bytes(range(64)))
    planted.chmod(0o600)
    if how == "link":
        kept.symlink_to(planted)
    elif how == "second name":
        os.link(planted, kept)
    elif how == "pipe":
        os.mkfifo(kept, 0o600)
    elif how == "folder":
        kept.mkdir(0o700)
    else:
        kept.write_bytes(bytes(range(64)))
        kept.chmod(0o640)
    with pytest.raises(FileExists, match="joining"):
        Attempt(path, machine)
    assert os.path.lexists(kept)
    assert planted.read_bytes() == bytes(range(64))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no users by number")
def test_keys_of_another_user_are_not_taken(path, machine, monkeypatch):
    Attempt(path, machine)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(FileExists, match="another user"):
        Attempt(path, machine)
