"""Files that are encrypted as a whole: how they are recognised and opened. Source: decision 33, docs/spec/crypto.md.

The work is done by SQLite3 Multiple Ciphers, which `apsw-sqlite3mc` has and `apsw` has not: each page is encrypted as
it is written, into the file, its write-ahead log and what ``vacuum`` keeps aside. What cannot be encrypted so is not
written: temporary tables stay in memory, and the index of the log holds numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import apsw

from msgsync.errors import (
    EncryptionMissing,
    PassphraseNeeded,
    ReplicaDamaged,
    StorageError,
    WrongPassphrase,
)

_BEGIN_BYTES: Final = 24
"""What is not encrypted of a file."""
_SALT_BYTES: Final = 16
CIPHER_BYTES: Final = 32
"""So much of the end of each page is the cipher's."""
_RESERVED: Final = bytes((CIPHER_BYTES, 64, 32, 32))
"""What says so, and what SQLite has behind it always."""
_LAST_VERSION: Final = b"\x1f"
"""A file that begins so may be encrypted in a way that is not known yet; no other begins with so low a byte."""
_CIPHER: Final = "chacha20"
_TRIED_PAGES: Final = 64
_VFS: Final = "multipleciphers-"
"""Before the name of a file system: the one that encrypts, above it. Without it the log would be in clear."""


class FileCipher(Protocol):
    """The key of one file; `account.filekey.FileKey` is one."""

    @property
    def salt(self) -> bytes:
        """The first 16 bytes of the file."""

    @property
    def secret(self) -> bytes:
        """32 bytes."""

    def page(self, number: int, raw: bytes) -> bytes | None:
        """What SQLite uses of a page, counted from 1; None if this key does not open it, or it is damaged."""

    def sealed(self, number: int, text: bytes) -> bytes:
        """A page as it stands in the file, of what SQLite uses of it; another one each time."""


Encrypt = Callable[[bytes | None], FileCipher | None]
"""Asked for what encrypts a file: with its first 16 bytes, which are none if it is not encrypted, or with None for a
new file, which is not encrypted if there is no answer."""


def leave_plain(salt: bytes | None) -> None:
    """Make files that are not encrypted, and open no others. Raises PassphraseNeeded."""
    if salt:
        raise PassphraseNeeded("the file is encrypted; open it with its passphrase")


def salt_in(begin: bytes) -> bytes:
    """The salt of an encrypted file of which these are the first bytes; nothing if it is none."""
    is_one = b"\1" <= begin[:1] <= _LAST_VERSION and begin[20:_BEGIN_BYTES] == _RESERVED
    return begin[:_SALT_BYTES] if is_one else b""


def salt_of(path: Path) -> bytes:
    """The salt of a file; nothing if it is not encrypted. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return salt_in(os.read(handle, _BEGIN_BYTES))
    finally:
        os.close(handle)


def cipher_for(path: Path, size: int, encrypt: Encrypt) -> FileCipher | None:
    """What encrypts the file, of so many bytes. Raises EncryptionMissing, OSError, what is asked."""
    if size == 0:
        return new_cipher(path, encrypt)
    salt = salt_of(path)
    if salt:
        _check_can(path, "is encrypted")  # before two seconds are spent on the passphrase
    return encrypt(salt)


def new_cipher(path: Path, encrypt: Encrypt) -> FileCipher | None:
    """What is to encrypt a file that is new. Raises EncryptionMissing, and what ``encrypt`` does."""
    cipher = encrypt(None)
    if cipher is not None:
        _check_can(path, "is to be encrypted")
    return cipher


def _check_can(path: Path, what: str) -> None:
    if not hasattr(apsw, "mc_version"):
        raise EncryptionMissing(
            f"{path} {what}, and the SQLite that is installed cannot do that; put another in its place: "
            "pip install --force-reinstall --no-deps apsw-sqlite3mc"
        )


def vfs_for(vfs: str | None, cipher: FileCipher | None) -> str | None:
    """The name of the file system that SQLite has to use."""
    return vfs if vfs is None or cipher is None else _VFS + vfs


def vfs_below(connection: apsw.Connection, vfs: str | None) -> str:
    """The name of the file system below the cipher, where the bytes are those of the file."""
    return vfs or connection.open_vfs.removeprefix(_VFS)


def unlock(connection: apsw.Connection, cipher: FileCipher) -> None:
    """Have a connection that was just opened read and write under a key. Raises apsw.Error."""
    connection.pragma("cipher", _CIPHER)
    connection.pragma("key", _words(cipher))


def encrypt(connection: apsw.Connection, cipher: FileCipher) -> None:
    """Encrypt a file that is not, where it lies; broken off, nothing of it is any good. Raises apsw.Error."""
    connection.pragma("journal_mode", "off")
    connection.pragma("cipher", _CIPHER)
    connection.pragma("rekey", _words(cipher))


def _words(cipher: FileCipher) -> str:
    return f"raw:{cipher.secret.hex()}{cipher.salt.hex()}"


def check_encrypted(path: Path, cipher: FileCipher) -> None:
    """See that what was written first is encrypted, before anything else is. Raises StorageError, OSError."""
    if salt_of(path) != cipher.salt:
        raise StorageError(
            f"{path} should be encrypted, and the SQLite that is installed did not do it; nothing was written into it"
        )


def raise_unreadable(path: Path, cipher: FileCipher, error: apsw.Error) -> None:
    """Say why the first page cannot be read: another key would open none of the pages.

    Raises:
        ReplicaDamaged, WrongPassphrase: one of the two.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(_BEGIN_BYTES)
        page_bytes = int.from_bytes(begin[16:18], "big") or 65536
        count = path.stat().st_size // page_bytes
        for number in range(1, count + 1, max(count // _TRIED_PAGES, 1)):
            file.seek((number - 1) * page_bytes)
            if cipher.page(number, file.read(page_bytes)) is not None:
                raise ReplicaDamaged(
                    f"{path} is damaged at its beginning; run repair, restore a backup or fill a new replica"
                ) from error
    raise WrongPassphrase(
        f"the passphrase does not open {path}; if it is the right one, the file is damaged in its first bytes: restore "
        "a backup or fill a new replica"
    ) from error
