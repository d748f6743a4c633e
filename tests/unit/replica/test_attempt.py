"""The keys of an attempt to join, and the file that it becomes. Whole pairings: tests/unit/test_pairing.py."""

from __future__ import annotations

import stat

import pytest

from msgsync.account.device import Device
from msgsync.account.statements import Add
from msgsync.errors import FileExists, StorageError
from msgsync.replica.attempt import Attempt
from msgsync.replica.replica import Replica
from tests.unit.account.accounts import NOW_MS, drawn, keys_of, roster_of
from tests.unit.machine import Machine


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tablet.db"


def become(attempt: Attempt) -> None:
    device = Device.of(attempt.keys, "Tablet", "test")
    roster = roster_of("phone").say(
        Add(device), keys_of("phone"), now_ms=NOW_MS, agreed=attempt.keys
    )
    attempt.become(roster, [drawn("epoch 1")])


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
