"""What is made of an encrypted replica, and of what one is made: backups, other devices, repaired files."""

from __future__ import annotations

import anyio
import pytest

import msgsync
from msgsync import PassphraseNeeded, ReadOnly, ReplicaDamaged, WrongPassphrase, aio
from msgsync.store.encryption import salt_of
from tests.encrypted.conftest import WORDS
from tests.encrypted.test_files import PAGE, damage, found, traces
from tests.unit.transport.pipes import pipe


def texts(replica: msgsync.Replica) -> list[str]:
    return [one.text for one in replica.conversation("family-of-ann").messages(limit=1000)]


def test_a_backup_is_encrypted_and_made_a_replica_under_the_same_passphrase(
    phone, family, tmp_path
):
    what = traces(phone)
    family.send("hello")
    phone.backup(tmp_path / "phone.backup")
    phrase = phone.recovery_phrase()
    phone.close()
    assert salt_of(tmp_path / "phone.backup")
    assert found(tmp_path, what) == []
    for words, error in ((None, PassphraseNeeded), ("wrong", WrongPassphrase)):
        with pytest.raises(error):
            msgsync.restore(tmp_path / "phone.backup", tmp_path / "none.db", passphrase=words)
    for as_new_device in (False, True):
        path = tmp_path / f"{as_new_device}.db"
        with msgsync.restore(
            tmp_path / "phone.backup", path, as_new_device=as_new_device, passphrase=WORDS
        ) as again:
            assert again.encrypted
            assert texts(again) == ["hello"]
            assert (again.device != phone.device) is as_new_device
            assert again.check().ok
    with msgsync.recover(
        tmp_path / "new.db", phrase, backup=tmp_path / "phone.backup", passphrase=WORDS
    ) as again:
        assert again.encrypted
        assert again.device != phone.device
    assert found(tmp_path, what) == []


def test_a_backup_is_read_as_it_lies(phone, family, tmp_path):
    family.send("hello")
    phone.backup(tmp_path / "phone.backup")
    with msgsync.open(tmp_path / "phone.backup", readonly=True, passphrase=WORDS) as reader:
        assert texts(reader) == ["hello"]
        assert reader.check().ok
    with pytest.raises(ReadOnly, match="is a backup"):
        msgsync.open(tmp_path / "phone.backup", passphrase=WORDS)


def test_a_backup_that_was_changed_is_noticed_without_the_passphrase(phone, family, tmp_path):
    family.send("hello")
    phone.backup(tmp_path / "phone.backup")
    damage(tmp_path / "phone.backup", 3)
    with pytest.raises(ReplicaDamaged, match="not as it was when it was made"):
        msgsync.restore(tmp_path / "phone.backup", tmp_path / "new.db")


@pytest.mark.parametrize("locked", [False, True], ids=["plain", "keys under the passphrase"])
def test_a_plain_backup_becomes_an_encrypted_replica(open_replica, tmp_path, locked):
    plain = open_replica("plain.db", passphrase=None, encrypted=False)
    what = traces(plain)
    plain.create_conversation("Family", id="family-of-ann").send("hello")
    if locked:
        plain.set_passphrase(WORDS)
    plain.backup(tmp_path / "plain.backup")
    plain.close()
    folder = tmp_path / "new"
    folder.mkdir()
    with msgsync.restore(
        tmp_path / "plain.backup", folder / "phone.db", passphrase=WORDS, encrypted=True
    ) as again:
        assert again.encrypted
        assert again.device == plain.device
        assert texts(again) == ["hello"]
        assert again.check().ok
        assert again.store().credentials.wrapped() == b""
    assert found(folder, what) == []
    with msgsync.open(folder / "phone.db", passphrase=WORDS) as again:
        assert texts(again) == ["hello"]


def test_another_device_is_encrypted_by_itself(phone, family, tmp_path):
    family.send("hello")
    with (
        phone.new_device(tmp_path / "a.db", passphrase="mine", encrypted=True) as tablet,
        phone.new_device(tmp_path / "b.db") as plain,
    ):
        assert tablet.encrypted
        assert not plain.encrypted
        msgsync.sync(phone, tablet)
        msgsync.sync(tablet, plain)
        assert texts(plain) == ["hello"]
    with pytest.raises(WrongPassphrase):
        msgsync.open(tmp_path / "a.db", passphrase=WORDS)


@pytest.mark.anyio
async def test_a_device_joins_with_an_encrypted_file(phone, tmp_path):
    what = traces(phone)
    host_end, joiner_end = pipe()
    invitations = []
    shown = anyio.Event()

    def show(one):
        invitations.append(one)
        shown.set()

    async def invite():
        await aio.invite(
            phone, host_end, on_code=show, on_request=lambda _request: True, scanned=True
        )

    folder = tmp_path / "tablet"
    folder.mkdir()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(invite)
        await shown.wait()
        tablet = await aio.join(
            folder / "tablet.db", invitations[0].code, joiner_end, passphrase="mine", encrypted=True
        )
    with tablet:
        assert tablet.encrypted
        assert tablet.account == phone.account
        what += [tablet.device.raw, tablet.membership.credentials().keys[:32]]
    assert found(folder, what) == []
    with msgsync.open(folder / "tablet.db", passphrase="mine"):
        pass


@pytest.mark.parametrize("number", [1, 2, 5, 9])
def test_a_damaged_file_is_repaired_of_the_pages_that_are_whole(phone, family, tmp_path, number):
    what = traces(phone)
    for one in range(60):
        family.send(f"hello {one}")
    phone.backup(tmp_path / "phone.backup")
    phone.close()
    damage(phone.path, number)
    with pytest.raises(PassphraseNeeded):
        msgsync.repair(phone.path)
    with pytest.raises(WrongPassphrase):
        msgsync.repair(phone.path, passphrase="wrong")
    report = msgsync.repair(phone.path, passphrase=WORDS)
    assert report.damaged
    assert report.new_device is None
    assert found(tmp_path, what) == []
    with msgsync.open(phone.path, passphrase=WORDS) as again:
        assert again.encrypted
        assert again.check().ok
        assert again.device == phone.device
        assert len(texts(again)) == 60
        assert report.complete


def test_a_replica_repairs_itself_with_a_log_beside_it(phone, family):
    for one in range(60):
        family.send(f"hello {one}")
    log = phone.path.with_name(f"{phone.path.name}-wal")
    assert log.stat().st_size > 60 * PAGE
    phone.store().database.connection.execute("update documents set digest = zeroblob(16)")
    report = phone.repair()
    assert report.damaged
    assert len(texts(phone)) == 60
    assert phone.encrypted
    assert phone.check().ok


def test_none_of_it_is_left_when_it_is_wiped(phone, tmp_path):
    phone.wipe()
    assert list(tmp_path.iterdir()) == []
