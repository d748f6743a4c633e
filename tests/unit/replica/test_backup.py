"""Backups of a replica in use, and replicas made of them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    BackupProgress,
    Conversation,
    FileExists,
    Incoming,
    InvalidValue,
    MessageId,
    NotAReplica,
    ReadOnly,
    Replica,
    ReplicaClosed,
    ReplicaDamaged,
    SchemaTooNew,
    SchemaTooOld,
    StaleCursor,
    StorageError,
)
from msgsync.store.schema import VERSION
from msgsync.store.seal import seal
from msgsync.testing import assert_converged, view
from tests.unit import files
from tests.unit.machine import START_MS, Machine

DAY_MS = 86_400_000
SECRET = "zyxwvutsrq0987"
TRACE = SECRET[-9:].encode()
"""Index pages leave out what words begin with alike, so the end of the word is looked for."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the backup is to be: in a folder of its own, in which nothing else may appear."""
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept" / "phone.backup"


@pytest.fixture
def restore(tmp_path, path, open_replica):
    """Restore the backup, or another file, under a name; the replica is closed when the test ends."""

    def restored(name: str = "restored.db", *, backup: Path = path, seed: int = 7, **options):
        clock = options.pop("system", Machine(seed))
        made = msgsync.restore(backup, tmp_path / name, system=clock, **options)
        made.close()
        return open_replica(name, system=clock)

    return restored


@pytest.fixture
def history(phone: Replica, family: Conversation) -> MessageId:
    """A little of everything: messages of many months and conversations, edited, deleted, erased; the id of one."""
    phone.ingest(
        [
            Incoming(f"c{n % 17}", "ben", f"hello {n}", START_MS - n * DAY_MS, external_id=str(n))
            for n in range(300)
        ]
    )
    one = family.send("Dinner at eight?")
    family.edit(one, "Dinner at nine?")
    family.react(one, "👍")
    family.delete(family.send("deleted"))
    family.erase(family.send("erased"))
    family.link(family.send("echoed").id, "carrier-1", START_MS)
    return one.id


# Backing up.


def test_a_backup_is_what_is_here(phone, history, path, restore):
    report = phone.backup(path)
    assert report.digest == phone.digest.hex()
    assert report.documents == phone.status().documents
    assert report.messages == phone.status().messages
    assert report.file_bytes == path.stat().st_size
    restored = restore()
    assert restored.digest == phone.digest
    assert view(restored) == view(phone)
    assert restored.check().ok
    assert [hit.id for hit in restored.search("dinner nine")] == [history]


def test_a_backup_is_one_file_that_only_its_owner_reads(phone, family, path):
    phone.backup(path)
    assert [*path.parent.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backup_does_not_change_when_the_replica_does(phone, family, path, restore):
    family.send("before")
    phone.backup(path)
    raw = path.read_bytes()
    family.send("after")
    phone.close()
    assert path.read_bytes() == raw
    restored = restore()
    assert [one.text for one in restored.conversation("family").messages()] == ["before"]
    assert path.read_bytes() == raw
    assert [*path.parent.iterdir()] == [path]


def test_an_empty_replica_is_backed_up_too(phone, path, restore):
    assert phone.backup(path).messages == 0
    assert restore().account == phone.account


def test_a_reader_backs_up_what_it_sees_beside_the_writer(
    phone, family, path, restore, open_replica
):
    family.send("written")
    reader = open_replica("phone.db", readonly=True)
    family.send("and more")
    assert reader.backup(path).digest == phone.digest.hex()
    assert view(restore()) == view(phone)


def test_the_replica_is_found_wherever_the_app_has_gone(tmp_path, path, monkeypatch, machine):
    monkeypatch.chdir(tmp_path)
    with msgsync.open("here.db", system=machine) as replica:
        monkeypatch.chdir(path.parent)
        assert replica.backup("phone.backup").digest == replica.digest.hex()
    assert path.exists()


def test_progress_is_told_and_ends_with_everything(phone, history, path, tmp_path):
    told: list[BackupProgress] = []
    report = phone.backup(path, on_progress=told.append)
    assert told[0].documents_total is None
    assert told[-1].bytes_copied == told[-1].bytes_total == report.file_bytes - 48
    assert told[-1].documents_verified == told[-1].documents_total == report.documents
    numbers = [(one.bytes_copied, one.documents_verified) for one in told]
    assert numbers == sorted(numbers)
    again: list[BackupProgress] = []
    msgsync.restore(path, tmp_path / "new.db", on_progress=again.append).close()
    assert again == told


@pytest.mark.parametrize("phase", ["copying", "verifying"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("mine")])
def test_what_the_callback_raises_ends_it_and_no_file_stays(
    phone, history, path, tmp_path, phase, error
):
    def stop(progress: BackupProgress) -> None:
        if (progress.documents_total is None) == (phase == "copying"):
            raise error

    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind) as raised:
        phone.backup(path, on_progress=stop)
    assert not isinstance(raised.value, StorageError)
    assert [*path.parent.iterdir()] == []
    phone.backup(path)
    with pytest.raises(kind):
        msgsync.restore(path, path.with_name("new.db"), on_progress=stop)
    assert [*path.parent.iterdir()] == [path]


def test_nothing_is_overwritten(phone, family, path):
    path.write_bytes(b"mine")
    with pytest.raises(FileExists, match="nothing is overwritten"):
        phone.backup(path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(FileExists):
        phone.backup(phone.path)
    assert phone.check().ok


def test_what_names_no_file_is_refused(phone, path):
    for wrong in ("", ".", "a\0b"):
        with pytest.raises(InvalidValue):
            phone.backup(wrong)
        with pytest.raises(InvalidValue):
            msgsync.restore(path, wrong)


def test_a_folder_that_is_not_there_is_said(phone, path):
    with pytest.raises(StorageError, match="cannot be used"):
        phone.backup(path.parent / "no" / "such")


def test_a_closed_replica_is_not_backed_up(phone, path):
    phone.close()
    with pytest.raises(ReplicaClosed):
        phone.backup(path)
    assert [*path.parent.iterdir()] == []


@pytest.mark.parametrize(
    "damage",
    [
        "update packs set body = zeroblob(length(body))",
        "update messages set text = 'other' where key = 1",
        "update state set root = zeroblob(16)",
        "delete from state",
        "drop table packs",
        "drop table documents",
    ],
)
def test_what_is_damaged_is_not_backed_up(phone, history, path, open_replica, damage):
    phone.close()
    replica = open_replica("phone.db")
    files.change(Path(phone.path), damage)
    with pytest.raises(
        ReplicaDamaged, match=r"phone.db (is damaged: .*; no backup was made|lacks)"
    ):
        replica.backup(path)
    assert [*path.parent.iterdir()] == []


# Erased text.


def test_erased_text_is_not_in_a_backup(phone, family, history, path):
    secret = family.send(f"the word is {SECRET}")
    for number in range(50):
        family.send(f"nothing {number}")
    phone.backup(path.with_name("before"))
    assert files.remains(path.with_name("before"), TRACE)
    family.erase(secret)
    phone.backup(path)
    assert files.remains(path, TRACE) == []


def test_a_backup_brings_no_copies_that_nothing_uses(phone, family, path, restore):
    """Rows leave copies behind where pages are split; what is erased afterwards would stay in them."""
    for turn in range(40):
        phone.ingest(
            msgsync.Incoming(
                f"c{n % 9}", "ben", f"{SECRET} " + "x" * (n % 97), START_MS - n, f"{n}"
            )
            for n in range(turn, 1600, 40)
        )
    phone.backup(path)
    with restore() as restored:
        there = restored.conversation("c1")
        there.erase(there.messages()[0].id)
        assert restored.verify_erased().found == ()


def test_erased_text_that_waits_in_the_log_for_a_reader_is_not_in_a_backup(
    phone, family, path, open_replica
):
    secret = family.send(f"the word is {SECRET}")
    reader = open_replica("phone.db", readonly=True)
    with reader.reading() as store:
        store.database.one("select count(*) from messages")
        family.erase(secret)
        assert phone.status().erasure_pending
        phone.backup(path)
        assert phone.status().erasure_pending
    assert files.remains(path, TRACE) == []
    phone.backup(path.with_name("another"))  # what waited is tried again
    assert not phone.status().erasure_pending
    assert files.remains(Path(phone.path), TRACE) == []


def test_what_is_erased_while_a_backup_is_made_is_gone_when_the_call_returns(
    phone, family, path, restore
):
    secret = family.send(f"the word is {SECRET}")
    pending: list[bool] = []

    def erase(progress: BackupProgress) -> None:
        if progress.documents_total is None and not pending:
            family.erase(secret)
            pending.append(phone.status().erasure_pending)

    phone.backup(path, on_progress=erase)
    assert pending == [True], "copying stands in the way"
    assert not phone.status().erasure_pending
    assert files.remains(Path(phone.path), TRACE) == []
    restored = restore()
    assert restored.message(secret.id).text == secret.text  # it was copied before
    msgsync.sync(restored, phone)
    assert_converged(restored, phone)
    assert files.remains(Path(restored.path), TRACE) == []


def test_what_is_erased_meanwhile_is_gone_also_if_the_backup_comes_to_nothing(phone, family, path):
    secret = family.send(f"the word is {SECRET}")

    def erase(_: BackupProgress) -> None:
        family.erase(secret)
        assert phone.status().erasure_pending
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        phone.backup(path, on_progress=erase)
    assert not phone.status().erasure_pending
    assert files.remains(Path(phone.path), TRACE) == []


# Restoring.


def test_a_restored_replica_is_the_same_device_in_another_file(phone, history, path, restore):
    phone.backup(path)
    restored = restore()
    assert (restored.account, restored.device) == (phone.account, phone.device)
    with restored.reading() as here, phone.reading() as there:
        assert here.identity.store_id != there.identity.store_id
    assert restore("other.db", seed=8).device == phone.device


def test_a_restored_replica_is_another_device_if_asked(phone, history, path, restore):
    phone.backup(path)
    restored = restore(as_new_device=True)
    assert restored.account == phone.account
    assert restored.device != phone.device
    assert view(restored) == view(phone)


def test_cursors_of_the_change_feed_do_not_hold_for_a_restored_replica(
    phone, history, path, restore
):
    cursor = phone.cursor()
    phone.backup(path)
    with pytest.raises(StaleCursor, match="after=None"):
        restore().changes(after=cursor)


def test_what_peers_remember_of_the_old_file_does_not_count(phone, family, tablet, path, restore):
    """Commits are counted on from the backup's: by their numbers the tablet would believe to have told everything."""
    family.send("known to both")
    msgsync.sync(phone, tablet)
    phone.backup(path)
    there = tablet.conversation("family")
    for number in range(5):
        there.send(f"told to the lost file {number}")
    msgsync.sync(phone, tablet)
    phone.close()
    restored = restore()
    restored.conversation("family").send("written into the restored file")
    assert msgsync.sync(restored, tablet).complete
    assert_converged(restored, tablet)
    assert len(there.messages()) == 7


def test_the_original_may_go_on_beside_what_was_restored(phone, family, tablet, path, restore):
    family.send("before")
    phone.backup(path)
    restored = [restore("one.db", seed=8), restore("two.db", seed=9, as_new_device=True)]
    for replica in (phone, *restored):
        replica.conversation("family").send(f"after, in {replica.path.name}")
    for one, other in ((phone, tablet), *((one, tablet) for one in restored), (phone, restored[0])):
        assert msgsync.sync(one, other).complete
    for one in (phone, *restored):
        assert msgsync.sync(one, tablet).complete
    assert_converged(phone, tablet, *restored)
    assert len(family.messages()) == 4
    assert not any(one.status().cloned for one in (phone, tablet, *restored))


def test_erasing_what_expired_waits_for_word_from_the_others_after_restoring(
    phone, family, tablet, path, restore, machine
):
    """Else an old backup, brought back, would erase what was restored elsewhere meanwhile."""
    sent = family.send("deleted, backed up, and restored on the tablet")
    family.delete(sent)
    msgsync.sync(phone, tablet)
    phone.backup(path)
    tablet.conversation("family").restore(sent)
    machine.clock_ms += 100 * DAY_MS
    phone.close()
    restored = restore(system=machine)
    [kept] = restored.recently_deleted()
    assert kept.erased_from_ms == machine.clock_ms + 30 * DAY_MS
    assert restored.erase_expired() == 0
    msgsync.sync(restored, tablet)
    assert [one.text for one in restored.conversation("family").messages()] == [sent.text]


def test_what_was_refused_before_is_asked_for_again(phone, family, path, restore):
    with phone.writing() as store:
        store.missing.refuse(
            b"8 bytes!", next(iter(store.documents.select(""))).id, bytes(16), "because"
        )
    phone.backup(path)
    assert phone.status().refused
    assert not restore().status().refused


def test_the_copy_of_a_closed_replica_is_restored_too(phone, history, path, restore):
    before = view(phone)
    phone.close()
    shutil.copyfile(phone.path, path)
    assert view(restore()) == before


def test_a_backup_is_not_opened_for_writing_and_stays_sealed(phone, history, path, open_replica):
    phone.backup(path)
    raw = path.read_bytes()
    for name in (path, path.with_name("copied.db")):
        if name != path:
            shutil.copyfile(path, name)
        with pytest.raises(
            ReadOnly, match=r"is a backup.* \(msgsync restore-backup\).* for reading only"
        ):
            open_replica(str(name))
        assert name.read_bytes() == raw
    with open_replica(str(path), readonly=True) as kept:
        assert kept.digest == phone.digest
        assert kept.check().ok
        assert kept.verify_erased().ok
    assert path.read_bytes() == raw


def test_check_compares_the_seal(phone, history, path, open_replica):
    phone.backup(path)
    raw = path.read_bytes()
    for at in (len(raw) - 1, len(raw) - 40, 97):  # the seal, its name, and what SQLite passes over
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with open_replica(str(path), readonly=True) as kept:
            assert kept.check().problems == (
                "the backup is not as it was sealed: take another one",
            )
    path.write_bytes(raw)
    with open_replica(str(path), readonly=True) as kept:
        assert kept.check().ok


def test_a_replica_that_was_not_closed_is_no_backup(phone, family, path):
    with pytest.raises(StorageError, match="in use or was not closed; open it, and back it up"):
        msgsync.restore(phone.path, path)
    assert [*path.parent.iterdir()] == []


@pytest.mark.parametrize("name", ["new.db", "new.db-wal"])
def test_restoring_overwrites_nothing(phone, family, path, name):
    phone.backup(path)
    taken = path.with_name(name)
    taken.write_bytes(b"mine")
    with pytest.raises(FileExists, match=name):
        msgsync.restore(path, path.with_name("new.db"))
    assert taken.read_bytes() == b"mine"
    assert {*path.parent.iterdir()} == {path, taken}


@pytest.mark.parametrize("options", [{"author": ""}, {"durability": "much"}])
def test_options_that_are_wrong_make_no_file(phone, path, options):
    phone.backup(path)
    with pytest.raises(InvalidValue):
        msgsync.restore(path, path.with_name("new.db"), **options)
    assert [*path.parent.iterdir()] == [path]


# What is no backup, or no whole one.


def refused(path: Path, kind: type[msgsync.MsgSyncError], words: str = "phone.backup") -> None:
    raw = path.read_bytes()
    with pytest.raises(kind, match=words):
        msgsync.restore(path, path.with_name("new.db"))
    assert path.read_bytes() == raw
    assert [*path.parent.iterdir()] == [path]


def test_a_backup_in_which_any_byte_is_another_is_refused(phone, history, path):
    phone.backup(path)
    raw = path.read_bytes()
    draw = random.Random(3)
    for at in [*range(0, 120, 7), *(draw.randrange(len(raw)) for _ in range(60)), len(raw) - 1]:
        path.write_bytes(raw[:at] + bytes([raw[at] ^ (1 << at % 8)]) + raw[at + 1 :])
        refused(path, StorageError)
    path.write_bytes(raw)
    msgsync.restore(path, path.with_name("new.db")).close()


@pytest.mark.parametrize("part", [0.001, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("unit", [1, 4096])
def test_a_backup_that_is_cut_off_is_refused(phone, history, path, part, unit):
    phone.backup(path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * part) // unit * unit])
    refused(path, StorageError)


def test_a_backup_without_a_seal_is_looked_through(phone, history, path):
    phone.close()
    files.change(Path(phone.path), "update messages set text = 'other' where key = 1")
    shutil.copyfile(phone.path, path)
    refused(path, ReplicaDamaged, "phone.backup is damaged: .* nothing was restored")


def test_other_files_are_no_backups(tmp_path, path, phone):
    path.write_bytes(b"Dear Ben, " * 500)
    refused(path, NotAReplica)
    path.write_bytes(b"")
    refused(path, NotAReplica)
    path.unlink()
    files.change(path, "create table other(x)")
    refused(path, NotAReplica)
    with pytest.raises(StorageError, match=r"cannot be used: .*no such file"):
        msgsync.restore(tmp_path / "no such file", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_backup_of_a_newer_version_is_left_alone(phone, path):
    phone.backup(path)
    files.change(path, f"pragma user_version = {VERSION + 1}")
    path.write_bytes(path.read_bytes()[:-48])
    seal(path)
    refused(path, SchemaTooNew, "update msgsync")


def test_a_backup_of_an_older_version_is_restored_by_that_one(phone, path):
    phone.backup(path)
    files.change(path, f"pragma user_version = {VERSION - 1}")
    path.write_bytes(path.read_bytes()[:-48])
    seal(path)
    refused(
        path, SchemaTooOld, "phone.backup was written by an older msgsync; restore it with that"
    )
