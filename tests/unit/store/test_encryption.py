"""Encrypted files are recognised and read without an SQLite that can encrypt; to use them one is needed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import apsw
import pytest

import msgsync
from msgsync import EncryptionMissing, InvalidValue, NotAReplica, PassphraseNeeded
from msgsync.account import filekey
from msgsync.account.filekey import FileKey
from msgsync.errors import SchemaTooNew
from msgsync.store.encryption import leave_plain, salt_in, salt_of
from msgsync.store.pagefile import PageFile

GOLDEN: dict[str, str] = json.loads(
    (Path(__file__).parents[2] / "vectors/encrypted-1.json").read_text()
)
WORDS = GOLDEN["passphrase"]
PAGE = 512
without_cipher = pytest.mark.skipif(
    hasattr(apsw, "mc_version"), reason="the SQLite that is installed can encrypt"
)


@pytest.fixture
def path(tmp_path) -> Path:
    """A file that SQLite3 Multiple Ciphers wrote."""
    file = Path(tmp_path, "phone.db")
    file.write_bytes(bytes.fromhex(GOLDEN["file"]))
    return file


@without_cipher
def test_the_error_says_what_to_install(path, tmp_path):
    before = path.read_bytes()
    for readonly in (False, True):
        with pytest.raises(EncryptionMissing, match=r"pip install .* apsw-sqlite3mc"):
            msgsync.open(path, passphrase=WORDS, readonly=readonly)
    assert path.read_bytes() == before
    with pytest.raises(EncryptionMissing, match=r"pip install .* apsw-sqlite3mc"):
        msgsync.restore(path, tmp_path / "other.db", passphrase=WORDS)
    assert not (tmp_path / "other.db").exists()


@without_cipher
def test_nothing_is_written_in_clear_where_it_should_be_encrypted(tmp_path, monkeypatch):
    with pytest.raises(EncryptionMissing):
        msgsync.open(tmp_path / "new.db", passphrase=WORDS, encrypted=True)
    assert not (tmp_path / "new.db").exists() or (tmp_path / "new.db").stat().st_size == 0


def test_the_passphrase_gives_the_key_that_the_page_says(path):
    key = FileKey.opened(salt_of(path), WORDS, os.urandom)
    assert key.secret == bytes.fromhex(GOLDEN["secret"])
    assert key.salt == path.read_bytes()[:16]
    assert key.secret.hex() not in repr(key)


def test_rows_are_read_page_by_page(path):
    key = FileKey.opened(salt_of(path), WORDS, os.urandom)
    found = [row.values[1] for row in PageFile(path, lambda _salt: key).rows() if row.key]
    assert found[-2:] == ["Dinner at eight?", "long " * 200]


def test_a_page_that_was_changed_is_not_read(path):
    raw = path.read_bytes()
    key = FileKey.opened(salt_of(path), WORDS, os.urandom)
    for number in range(1, len(raw) // PAGE + 1):
        page = raw[(number - 1) * PAGE : number * PAGE]
        assert key.page(number, page) is not None
        for at in (0, 20, 100, PAGE - 33, PAGE - 32, PAGE - 17, PAGE - 1):
            changed = page[:at] + bytes([page[at] ^ 1]) + page[at + 1 :]
            assert key.page(number, changed) is None
        assert key.page(number, page[:-1]) is None
        assert key.page(number, b"") is None


def test_a_page_that_is_written_by_itself_is_read_as_any_other(path):
    raw = path.read_bytes()
    key = FileKey.opened(salt_of(path), WORDS, lambda count: b"\xff" * count)
    for number in (1, 2):
        text = key.page(number, raw[(number - 1) * PAGE : number * PAGE])
        assert text is not None
        changed = text[:200] + b"other" + text[205:]
        sealed = key.sealed(number, changed)
        assert len(sealed) == PAGE
        assert key.page(number, sealed) == changed
        assert salt_of(path) == key.salt
        assert sealed.startswith(key.salt) is (number == 1)


def test_the_counter_begins_again_after_the_last_block():
    key, nonce = bytes(32), bytes(16)
    high = filekey._stream(key, 0xFFFFFFFF, nonce, bytes(192))
    assert high[64:] == filekey._stream(key, 0, nonce, bytes(128))
    assert high[:64] == filekey._stream(key, 0xFFFFFFFF, nonce, bytes(64))


def test_a_plain_file_and_another_ones_are_not_taken_for_encrypted(phone, tmp_path):
    phone.close()
    assert salt_of(phone.path) == b""
    for begin in (b"", b"\1", b"\1" * 24, b"\1" + bytes(23), b"SQLite format 3\0" + bytes(8)):
        assert salt_in(begin) == b""
    leave_plain(None)
    leave_plain(b"")
    with pytest.raises(PassphraseNeeded):
        leave_plain(bytes(16))
    (tmp_path / "noise.db").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(NotAReplica):
        msgsync.open(tmp_path / "noise.db", passphrase=WORDS)


def test_a_salt_that_asks_for_too_much_or_is_of_later_is_refused(path):
    salt = salt_of(path)
    for cost in (b"\x1f\1\1", b"\3\xff\1", b"\3\1\xff", b"\0\1\1"):
        with pytest.raises(InvalidValue):
            FileKey.opened(salt[:1] + cost + salt[4:], WORDS, os.urandom)
    with pytest.raises(SchemaTooNew):
        FileKey.opened(b"\2" + salt[1:], WORDS, os.urandom)
