"""A file that is encrypted as a whole: nothing of it can be read, and all of it works. Source: decision 33."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    InvalidValue,
    PassphraseNeeded,
    ReplicaDamaged,
    SchemaTooNew,
    StorageError,
    WrongPassphrase,
)
from msgsync.account.filekey import FileKey
from msgsync.store.encryption import salt_of
from tests.encrypted.conftest import WORDS

PAGE = 4096


def traces(replica: msgsync.Replica) -> list[bytes]:
    """What must not stand in any file, as bytes."""
    credentials = replica.membership.credentials()
    assert credentials.phrase is not None
    return [
        b"SQLite format 3",
        b"Dinner at eight",
        b"Family",
        b"family-of-ann",
        b"CREATE TABLE messages",
        replica.account.raw,
        str(replica.account).encode(),
        replica.device.raw,
        credentials.keys[:32],
        credentials.keys[32:],
        credentials.phrase,
        *credentials.epochs,
    ]


def found(folder: Path, what: list[bytes]) -> list[tuple[str, bytes]]:
    files = {one.name: one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    return [(name, trace) for name, raw in files.items() for trace in what if trace in raw]


def damage(path: Path, *numbers: int) -> None:
    """Flip a bit in each of these pages."""
    raw = bytearray(path.read_bytes())
    for number in numbers:
        raw[(number - 1) * PAGE + 1234] ^= 1
    path.write_bytes(raw)


def test_no_file_has_anything_in_clear(phone, family, tmp_path):
    what = traces(phone)
    for number in range(200):
        family.send(f"Dinner at eight? {number} " * 20)
    family.send("a file", attachments=[b"Dinner at eight? " * 1000])
    names = {one.name for one in tmp_path.iterdir()}
    assert {"phone.db", "phone.db-wal", "phone.db-shm"} <= names
    assert (tmp_path / "phone.db-wal").stat().st_size > 200 * PAGE
    assert found(tmp_path, what) == []
    phone.backup(tmp_path / "phone.backup")
    phone.compact()
    assert found(tmp_path, what) == []
    phone.close()
    assert found(tmp_path, what) == []
    assert phone.path.stat().st_mode & 0o077 == 0


def test_what_a_plain_file_shows_is_looked_for_rightly(open_replica, tmp_path):
    plain = open_replica("plain.db", passphrase=None, encrypted=False)
    what = traces(plain)
    plain.create_conversation("Family", id="family-of-ann").send("Dinner at eight?")
    seen = {trace for _, trace in found(tmp_path, what)}
    assert seen == set(what) - {str(plain.account).encode()}  # it is stored as bytes


def test_it_is_recognised_and_opened_by_its_passphrase_alone(phone, family, tmp_path):
    assert phone.encrypted
    sent = family.send("hello")
    phone.close()
    for readonly in (False, True):
        with pytest.raises(PassphraseNeeded, match="is encrypted"):
            msgsync.open(phone.path, readonly=readonly)
        with pytest.raises(WrongPassphrase, match="does not open"):
            msgsync.open(phone.path, readonly=readonly, passphrase="wrong")
        with msgsync.open(phone.path, readonly=readonly, passphrase=WORDS) as again:
            assert again.encrypted
            assert again.conversation("family-of-ann").message(sent.id).text == "hello"
            assert again.check().ok


def test_a_reader_stands_beside_the_writer(phone, family):
    family.send("first")
    with msgsync.open(phone.path, readonly=True, passphrase=WORDS) as reader:
        family.send("second")
        shown = reader.conversation("family-of-ann").messages()
        assert [one.text for one in shown] == ["first", "second"]


def test_to_be_encrypted_takes_a_passphrase_and_a_new_file(open_replica, tmp_path):
    for words in (None, ""):
        with pytest.raises(InvalidValue, match="passphrase"):
            msgsync.open(tmp_path / "new.db", passphrase=words, encrypted=True)
    assert not (tmp_path / "new.db").exists()
    open_replica("plain.db", passphrase=None, encrypted=False).close()
    with pytest.raises(InvalidValue, match="is not encrypted"):
        msgsync.open(tmp_path / "plain.db", passphrase=WORDS, encrypted=True)
    with pytest.raises(WrongPassphrase, match="not under a passphrase"):
        msgsync.open(tmp_path / "plain.db", passphrase=WORDS)


def test_the_keys_need_no_passphrase_of_their_own(phone):
    assert phone.store().credentials.wrapped() == b""
    assert phone.membership.credentials().keys


def test_damage_and_a_wrong_passphrase_are_told_apart(phone, family):
    for number in range(100):
        family.send(f"hello {number}")
    phone.close()
    whole = phone.path.read_bytes()
    damage(phone.path, 1)
    with pytest.raises(ReplicaDamaged, match="at its beginning"):
        msgsync.open(phone.path, passphrase=WORDS)
    with pytest.raises(WrongPassphrase):
        msgsync.open(phone.path, passphrase="wrong")
    phone.path.write_bytes(whole)
    damage(phone.path, *range(2, len(whole) // PAGE + 1))
    with pytest.raises(ReplicaDamaged):
        msgsync.open(phone.path, passphrase=WORDS)
    phone.path.write_bytes(whole[:8] + b"\0" + whole[9:])  # the salt
    with pytest.raises(WrongPassphrase, match="first bytes"):
        msgsync.open(phone.path, passphrase=WORDS)
    phone.path.write_bytes(b"\1\xff\xff\xff" + whole[4:])
    with pytest.raises(InvalidValue, match="cost"):
        msgsync.open(phone.path, passphrase=WORDS)


def test_a_newer_way_of_encrypting_is_refused_and_not_touched(phone):
    phone.close()
    newer = b"\2" + phone.path.read_bytes()[1:]
    phone.path.write_bytes(newer)
    with pytest.raises(SchemaTooNew, match="update msgsync"):
        msgsync.open(phone.path, passphrase=WORDS)
    assert phone.path.read_bytes() == newer


def test_every_page_is_read_without_sqlite_as_it_reads_them(phone, family):
    for number in range(300):
        family.send(f"hello {number} " * 30)
    phone.close()
    key = FileKey.opened(salt_of(phone.path), WORDS, os.urandom)
    other = FileKey.opened(salt_of(phone.path), "another", os.urandom)
    raw = phone.path.read_bytes()
    pages = [raw[start : start + PAGE] for start in range(0, len(raw), PAGE)]
    assert len(pages) > 20
    for number, page in enumerate(pages, start=1):
        text = key.page(number, page)
        assert text is not None
        assert len(text) == PAGE - 32
        assert other.page(number, page) is None
        assert key.page(number + 1, page) is None  # a page belongs where it is
    first = key.page(1, pages[0])
    assert first is not None
    assert first.startswith(b"SQLite format 3\0\x10\0")
    assert b"CREATE TABLE messages" in b"".join(
        key.page(number, page) or b"" for number, page in enumerate(pages, start=1)
    )


def test_another_passphrase_makes_another_file(phone, family, tmp_path):
    sent = family.send("hello")
    before = salt_of(phone.path)
    shutil.copy(phone.path, tmp_path / "stolen.db")
    phone.set_passphrase("another")
    assert salt_of(phone.path) != before
    family.send("and it goes on")
    phone.close()
    with pytest.raises(WrongPassphrase):
        msgsync.open(phone.path, passphrase=WORDS)
    with msgsync.open(phone.path, passphrase="another") as again:
        assert again.device == phone.device
        assert again.conversation("family-of-ann").message(sent.id).text == "hello"
        assert again.status().messages == 2
        assert again.check().ok
    assert {one.name for one in tmp_path.iterdir()} == {"phone.db", "phone.db.lock", "stolen.db"}


def test_an_encrypted_file_keeps_some_passphrase(phone):
    for words in (None, ""):
        with pytest.raises(InvalidValue, match="passphrase"):
            phone.set_passphrase(words)
    phone.close()
    with msgsync.open(phone.path, passphrase=WORDS) as again:
        assert again.encrypted


def test_while_it_is_read_elsewhere_the_passphrase_stays(phone, family):
    family.send("hello")
    with msgsync.open(phone.path, readonly=True, passphrase=WORDS) as reader, reader.reading():
        family.send("more")
        with pytest.raises(StorageError, match="being read"):
            phone.set_passphrase("another")
    family.send("it goes on")
    phone.close()
    with msgsync.open(phone.path, passphrase=WORDS) as again:
        assert again.status().messages == 3


def test_a_change_that_is_cut_off_leaves_the_file_as_it_was(phone, family, monkeypatch):
    family.send("hello")

    def fails(_self: Path, _target: Path) -> Path:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(StorageError, match="the disk is gone"):
            phone.set_passphrase("another")
    family.send("it goes on")
    phone.close()
    with msgsync.open(phone.path, passphrase=WORDS) as again:
        assert again.status().messages == 2
        assert again.check().ok


def test_the_keyring_does_not_take_the_passphrase_of_a_file_that_does_not_say_whose_it_is(phone):
    with pytest.raises(InvalidValue, match="a name of your own"):
        msgsync.keyring.protect(phone)
    phone.close()
    with pytest.raises(PassphraseNeeded):
        msgsync.keyring.passphrase_for(phone.path)
