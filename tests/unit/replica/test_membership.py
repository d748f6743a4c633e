"""A device in its account: what a file begins with, what it knows, and whether that fits together."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

import msgsync
from msgsync import AccountMismatch, ReadOnly, Replica, ReplicaDamaged
from msgsync.account.device import Device
from msgsync.account.keys import SecretKeys
from msgsync.account.recovery import RecoveryPhrase
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Genesis
from msgsync.testing import SimulatedSystem
from tests.unit import files


def members(replica: Replica) -> set[msgsync.DeviceId]:
    return {*replica.membership.roster().state.members}


def test_a_new_file_is_a_device_and_an_account_of_its_own(phone):
    roster = phone.membership.roster()
    keys = phone.membership.keys
    genesis = roster.statements[0]
    assert isinstance(genesis.content, Genesis)
    assert genesis.content.device.keys == keys.public
    assert (phone.account, phone.device) == (roster.account, keys.device_id)
    assert members(phone) == {phone.device}
    credentials = phone.membership.credentials()
    assert credentials.phrase is not None
    assert roster.state.recovery == (RecoveryPhrase(credentials.phrase).keys().public,)
    assert roster.state.sealing_epoch() is not None
    assert len(credentials.epochs) == 1
    assert phone.check().ok


def test_no_two_accounts_are_the_same(open_replica):
    one, other = open_replica("one.db"), open_replica("other.db")
    assert one.account != other.account
    assert one.device != other.device


def test_everything_that_is_drawn_comes_from_the_system(tmp_path):
    made = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        first, second = SimulatedSystem("first"), SimulatedSystem("second")
        with (
            msgsync.open(tmp_path / folder / "phone.db", system=first) as phone,
            phone.new_device(tmp_path / folder / "tablet.db", system=second) as tablet,
        ):
            made.append((phone.membership.credentials(), tablet.membership.credentials()))
    assert made[0] == made[1]


def test_keys_and_account_stay_when_a_replica_is_closed_and_opened(phone, open_replica):
    before = phone.membership.credentials(), phone.device, phone.account
    phone.close()
    again = open_replica()
    assert (again.membership.credentials(), again.device, again.account) == before


def test_a_new_device_is_added_by_the_one_that_makes_it_and_both_know(phone, tablet):
    assert members(phone) == members(tablet) == {phone.device, tablet.device}
    roster = tablet.membership.roster()
    assert roster == phone.membership.roster()
    assert roster.state.members[tablet.device].added_by == phone.membership.keys.public.signing
    mine, theirs = tablet.membership.credentials(), phone.membership.credentials()
    assert mine.keys != theirs.keys
    assert mine.epochs == theirs.epochs, "it reads what was sealed before"
    assert mine.phrase is None, "the phrase is shown once, where it was made"


def test_a_device_of_a_new_device_is_one_of_the_account(phone, tablet, tmp_path):
    with tablet.new_device(tmp_path / "laptop.db") as laptop:
        assert members(laptop) == members(tablet) == {phone.device, tablet.device, laptop.device}
        assert members(phone) < members(laptop), "it has not heard of it"
        phone.new_device(laptop.path.with_name("watch.db")).close()
        assert len(members(phone)) == 3


def test_making_a_device_that_is_there_tells_each_what_the_other_knows(phone, tablet, tmp_path):
    """As when the process died between writing the new file and writing the old one."""
    phone.close()
    with files.database(phone.path) as connection:
        for table in ("statements", "statements_copy"):
            connection.execute(
                f"delete from {table} where id not in (select id from {table} order by length(body) desc limit 1)"
            )
    tablet.close()
    with msgsync.open(phone.path) as again:
        assert members(again) == {again.device}
        with again.new_device(tablet.path) as same:
            assert same.device == tablet.device
            assert members(again) == members(same) == {phone.device, tablet.device}


def test_a_device_of_another_account_is_not_taken_in(phone, open_replica):
    stranger = open_replica("stranger.db")
    stranger.close()
    before = stranger.path.read_bytes()
    with pytest.raises(AccountMismatch, match=str(phone.account)):
        phone.new_device(stranger.path)
    assert stranger.path.read_bytes() == before
    assert members(phone) == {phone.device}


def test_who_reads_adds_nobody(phone, tmp_path):
    with (
        msgsync.open(phone.path, readonly=True) as reader,
        pytest.raises(ReadOnly),
    ):
        reader.new_device(tmp_path / "tablet.db")
    assert not (tmp_path / "tablet.db").exists()
    assert members(phone) == {phone.device}


def test_who_reads_sees_the_devices_that_the_writer_adds(phone, tmp_path):
    with msgsync.open(phone.path, readonly=True) as reader:
        assert members(reader) == {phone.device}
        phone.new_device(tmp_path / "tablet.db").close()
        assert members(reader) == members(phone)
        assert len(members(reader)) == 2


def test_statements_of_others_are_taken_in_once_and_kept(phone, open_replica):
    keys = SecretKeys(os.urandom(64))
    added = phone.membership.roster().say(
        Add(Device.of(keys, "Ann's watch", "watchOS")),
        phone.membership.keys,
        now_ms=phone.system.now_ms(),
        agreed=keys,
    )
    assert phone.membership.merge(added.statements)
    assert not phone.membership.merge(added.statements)
    phone.close()
    again = open_replica()
    assert again.membership.roster() == added
    assert again.membership.roster().state.members[keys.device_id].name == "Ann's watch"
    assert again.check().ok


def test_statements_of_another_account_are_not_taken_in(phone, open_replica):
    stranger = open_replica("stranger.db")
    with pytest.raises(AccountMismatch):
        phone.membership.merge(stranger.membership.roster().statements)
    assert members(phone) == {phone.device}


# At rest.


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes of files")
def test_nobody_but_the_owner_reads_the_file_with_the_keys(phone, tablet, tmp_path):
    phone.backup(tmp_path / "backup")
    for path in (phone.path, tablet.path, tmp_path / "backup"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_not_shown(phone):
    credentials = phone.membership.credentials()
    assert credentials.phrase is not None
    secrets = (credentials.keys, credentials.phrase, *credentials.epochs)
    shown = f"{credentials!r} {phone!r} {phone.membership.keys!r} {phone.status()!r} {phone.changes()!r}"
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


@pytest.mark.parametrize("change", [
    "delete from {} where name = 'keys'",
    "update {} set value = x'00' where name = 'keys'",
    "update {} set value = 'text' where name = 'keys'",
])  # fmt: skip
def test_a_file_without_keys_is_not_opened(phone, open_replica, change):
    phone.close()
    for table in ("secrets", "secrets_copy"):
        files.change(phone.path, change.format(table))
    with pytest.raises(ReplicaDamaged, match="run repair"):
        open_replica()


def test_other_keys_than_the_devices_are_not_used(phone, tablet, open_replica):
    phone.close()
    for table in ("secrets", "secrets_copy"):
        files.change(phone.path, f"update {table} set value = zeroblob(64) where name = 'keys'")
    phone = open_replica()
    with pytest.raises(ReplicaDamaged, match="run repair"):
        msgsync.sync(phone, tablet)
    with pytest.raises(ReplicaDamaged, match="run repair"):
        phone.revoke(tablet.device, even_without_recovery=True)
    assert any("not those of its device" in one for one in phone.check().problems)


@pytest.mark.parametrize("change", [
    "delete from secrets where name = 'epochs'",
    "update secrets_copy set value = zeroblob(32) where name = 'phrase'",
    "update statements set body = x'00'",
    "delete from statements_copy",
])  # fmt: skip
def test_checking_says_that_the_two_copies_differ(phone, open_replica, change):
    phone.close()
    files.change(phone.path, change)
    problems = open_replica().check().problems
    assert any("not what they were" in one for one in problems)


@pytest.mark.parametrize(("change", "said"), [
    ("update secrets{} set value = zeroblob(32) where name = 'epochs'", "epochs that nobody began"),
    ("update secrets{} set value = zeroblob(33) where name = 'epochs'", "not what they were"),
    ("update secrets{} set value = zeroblob(32) where name = 'phrase'", "recovery phrase"),
    (
        "update secrets{} set value = cast(substr(value, 1, 32) || zeroblob(32) as blob) where name = 'keys'",
        "does not know the keys",
    ),
    ("update statements{} set body = zeroblob(9)", "roster of the account"),
    ("update statements{} set id = zeroblob(32) where length(body) < 300", "under other ids"),
    ("update meta set value = zeroblob(16) where name = 'account'", "another account"),
])  # fmt: skip
def test_checking_says_what_does_not_fit_together(phone, open_replica, change, said):
    phone.close()
    for copy in ("", "_copy"):
        files.change(phone.path, change.format(copy))
    problems = open_replica().check().problems
    assert any(said in one for one in problems), problems


# Copies.


def test_a_backup_is_restored_as_the_same_device(phone, tablet, tmp_path):
    phone.backup(tmp_path / "backup")
    device, credentials = phone.device, phone.membership.credentials()
    phone.close()
    with msgsync.restore(tmp_path / "backup", tmp_path / "restored.db") as restored:
        assert restored.device == device
        assert restored.membership.credentials() == credentials
        assert restored.check().ok


def test_a_backup_that_becomes_a_new_device_is_added_by_the_one_it_is_of(phone, tablet, tmp_path):
    phone.backup(tmp_path / "backup")
    with msgsync.restore(
        tmp_path / "backup", tmp_path / "restored.db", as_new_device=True
    ) as restored:
        assert restored.account == phone.account
        assert members(restored) == {phone.device, tablet.device, restored.device}
        member = restored.membership.roster().state.members[restored.device]
        assert member.added_by == phone.membership.keys.public.signing
        mine = restored.membership.credentials()
        assert mine.epochs == phone.membership.credentials().epochs
        assert mine.phrase is None
        assert restored.check().ok
        phone.new_device(restored.path.with_name("watch.db")).close()


def test_the_roster_that_is_stored_is_the_one_that_is_read(phone, tablet):
    raws = [row[0] for row in files.look(phone.path, "select body from statements")]
    assert Roster.read(raws) == phone.membership.roster()  # type: ignore[arg-type]
    assert raws == [
        row[0] for row in files.look(Path(phone.path), "select body from statements_copy")
    ]
