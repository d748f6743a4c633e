"""Keys under a passphrase: who has the file alone is not the device. Source: design 10, "At rest"."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import InvalidValue, PassphraseNeeded, ReadOnly, Replica, WrongPassphrase
from msgsync.account import vault
from tests.unit import files
from tests.unit.account.accounts import CHEAP

WORDS = "correct horse battery staple"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(vault, "DEAR", CHEAP)


def secrets_of(replica: Replica) -> list[bytes]:
    """Everything of a device that nobody else may have."""
    credentials = replica.membership.credentials()
    assert credentials.phrase is not None
    return [credentials.keys[:32], credentials.keys[32:], credentials.phrase, *credentials.epochs]


def remains(path: Path, secrets: list[bytes]) -> list[bytes]:
    return [secret for secret in secrets if files.remains(path, secret)]


def test_a_stolen_file_opens_nothing_without_the_passphrase(phone, family, tmp_path):
    family.send("hello")
    secrets = secrets_of(phone)
    assert remains(phone.path, secrets) == secrets
    phone.set_passphrase(WORDS)
    assert remains(phone.path, secrets) == []
    phone.close()
    assert remains(phone.path, secrets) == []
    stolen = tmp_path / "stolen.db"
    shutil.copy(phone.path, stolen)
    with pytest.raises(PassphraseNeeded, match="open it with that"):
        msgsync.open(stolen)
    for other in ("", "wrong"):
        with pytest.raises((WrongPassphrase, InvalidValue)):
            msgsync.open(stolen, passphrase=other)
    with msgsync.open(stolen, passphrase=WORDS) as same:
        assert secrets_of(same) == secrets
        assert same.check().ok


def test_without_it_the_file_can_be_read_and_not_be_the_device(phone, tablet, family):
    family.send("hello")
    phone.set_passphrase(WORDS)
    with msgsync.open(phone.path, readonly=True) as reader:
        assert [one.text for one in reader.conversation("family").messages()] == ["hello"]
        assert {one.id for one in reader.devices()} == {phone.device, tablet.device}
        assert reader.check().ok
        with pytest.raises(PassphraseNeeded):
            msgsync.sync(tablet, reader)
        with pytest.raises(ReadOnly):
            reader.set_passphrase("mine")
    with msgsync.open(phone.path, readonly=True, passphrase=WORDS) as reader:
        msgsync.sync(tablet, reader)
    assert tablet.digest == phone.digest


def test_a_new_file_is_under_it_from_the_first_byte(tmp_path):
    path = tmp_path / "phone.db"
    with msgsync.open(path, passphrase=WORDS) as phone:
        secrets = secrets_of(phone)
        assert remains(path, secrets) == []
        with phone.new_device(tmp_path / "tablet.db", passphrase="another") as tablet:
            assert msgsync.sync(phone, tablet).complete
    with pytest.raises(WrongPassphrase):
        msgsync.open(tmp_path / "tablet.db", passphrase=WORDS)


def test_it_is_changed_and_taken_away(phone, open_replica):
    secrets = secrets_of(phone)
    phone.set_passphrase("one")
    phone.set_passphrase("two")
    phone.close()
    with pytest.raises(WrongPassphrase):
        open_replica("phone.db", passphrase="one")
    again = open_replica("phone.db", passphrase="two")
    again.set_passphrase(None)
    again.close()
    last = open_replica("phone.db")
    assert secrets_of(last) == secrets
    with pytest.raises(InvalidValue):
        last.set_passphrase("")
    last.close()
    with pytest.raises(WrongPassphrase, match="not under a passphrase"):
        open_replica("phone.db", passphrase="two")


def test_what_is_learned_later_is_under_it_too(phone, tablet, open_replica):
    open_replica("laptop.db", member=phone)  # it sleeps: the epochs are needed
    phone.set_passphrase(WORDS)
    tablet.rotate()
    msgsync.sync(phone, tablet)
    phone.rotate()
    epochs = list(phone.membership.credentials().epochs)
    assert len(epochs) == 3
    assert remains(phone.path, epochs) == []
    phone.close()
    again = open_replica("phone.db", passphrase=WORDS)
    assert list(again.membership.credentials().epochs) == epochs


def test_a_backup_is_under_the_passphrase_of_its_time(phone, family, tmp_path):
    family.send("hello")
    secrets = secrets_of(phone)
    phone.set_passphrase(WORDS)
    phone.backup(tmp_path / "phone.backup")
    assert remains(tmp_path / "phone.backup", secrets) == []
    with pytest.raises(PassphraseNeeded):
        msgsync.restore(tmp_path / "phone.backup", tmp_path / "again.db")
    assert not (tmp_path / "again.db").exists()
    for as_new_device in (False, True):
        path = tmp_path / f"again-{as_new_device}.db"
        with msgsync.restore(
            tmp_path / "phone.backup", path, as_new_device=as_new_device, passphrase=WORDS
        ) as again:
            assert (again.device == phone.device) is not as_new_device
            assert again.check().ok
        assert remains(path, secrets) == []
    phrase = phone.recovery_phrase()
    assert phrase is not None
    with msgsync.recover(
        tmp_path / "new.db", phrase, backup=tmp_path / "phone.backup", passphrase=WORDS
    ) as new:
        assert new.check().ok


def damage(path: Path) -> None:
    """Lose a document, so that there is something to repair."""
    with files.database(path) as connection:
        connection.execute("delete from documents")


def test_a_repaired_file_is_under_it_still(phone, family, open_replica):
    family.send("hello")
    secrets = secrets_of(phone)
    phone.set_passphrase(WORDS)
    phone.close()
    damage(phone.path)
    with pytest.raises(PassphraseNeeded):
        msgsync.repair(phone.path)
    report = msgsync.repair(phone.path, passphrase=WORDS)
    assert report.damaged
    assert remains(phone.path, secrets) == []
    again = open_replica("phone.db", passphrase=WORDS)
    assert again.device == phone.device
    assert secrets_of(again) == secrets


def test_an_open_replica_is_repaired_under_it(phone, family):
    family.send("hello")
    phone.set_passphrase(WORDS)
    secrets = secrets_of(phone)
    with phone.writing() as store:
        store.database.execute("update documents set digest = zeroblob(16)")
    assert phone.repair().damaged
    assert secrets_of(phone) == secrets
    assert remains(phone.path, secrets) == []
    assert phone.check().ok
