"""An attempt to become a device of an account: its keys, until there is a replica. Source: design 10.

The keys are drawn once and lie beside the path, readable by its owner alone, until the replica is there. So an attempt
that was cut off after the account had added the device ends, when it is made again, with that very device and not with
another one.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from msgsync.account.epochs import Keyring
from msgsync.account.keys import SECRET_BYTES, SecretKeys
from msgsync.account.roster import Roster
from msgsync.errors import FileExists
from msgsync.replica.key import Key
from msgsync.replica.membership import fresh
from msgsync.replica.system import System, draw_client
from msgsync.store.backup import new_file, sync, sync_folder
from msgsync.store.identity import Fresh
from msgsync.store.store import Store
from msgsync.store.trouble import storage_errors

_MARK_BYTES: Final = 4
_AS_IT_IS: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
"""No link is followed, no pipe waited for, nothing translated; systems lack one or another."""


_SUFFIX: Final = ".joining"


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _read(kept: Path) -> bytes | None:
    """What is kept; nothing if it is not there, None if others could have put it there. Raises OSError."""
    if not os.path.lexists(kept):
        return b""
    try:
        handle = os.open(kept, os.O_RDONLY | _AS_IT_IS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EACCES, errno.EPERM):
            return None
        raise
    try:
        found = os.fstat(handle)
        mine = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        if sys.platform != "win32":  # there a mode says nothing of others
            mine = mine and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        return os.read(handle, SECRET_BYTES + 1) if mine else None
    finally:
        os.close(handle)


def forget(path: Path) -> None:
    """Erase what was kept for attempts to make a replica at this path. Raises StorageError."""
    kept = _beside(path)
    with storage_errors(kept):
        secret = _read(kept)
        if secret:
            with kept.open(
                "r+b"
            ) as file:  # over the bytes: a name that is removed leaves them on the disk
                file.write(bytes(len(secret)))
                file.flush()
                os.fsync(file.fileno())
        if os.path.lexists(kept):
            kept.unlink()
            sync_folder(kept)


def finish(path: Path, is_ours: Callable[[bytes], bool]) -> None:
    """Erase what was kept for an attempt if it has become this replica, by its secret keys. Raises StorageError."""
    with storage_errors(path):
        kept = _read(_beside(path)) if os.access(f"{path}{_SUFFIX}", os.F_OK) else None
    if kept and is_ours(kept):
        forget(path)


class Attempt:
    """The keys of the device that a file is to become."""

    def __init__(self, path: Path, system: System, key: Key | None = None) -> None:
        """Take up the attempt that was interrupted, or begin one; ``key`` is what the file is to be locked by.

        Raises:
            FileExists: something else is there, or others could have put keys beside it; it is left as it is.
            PassphraseNeeded, WrongPassphrase: the replica is there, under a passphrase.
            StorageError: the keys cannot be kept beside it.
        """
        self.path = path
        """Of the replica."""
        self._system = system
        self._key = key or Key(path, system, None)
        self._kept = _beside(path)
        with storage_errors(path):
            kept = _read(self._kept)
            if kept is None:
                raise FileExists(
                    f"{self._kept} is a link, another user's, or open to others, who may know the keys in it: see who "
                    "made it, then remove it or choose another name"
                )
            self.done = os.path.lexists(path)
            """Whether the replica is there: the attempt was cut off just before it was known to be complete."""
            if self.done and not self._is_ours(kept):
                raise FileExists(
                    f"{path} is there, and nothing is overwritten; choose another name, or move it away first"
                )
            self.is_new = len(kept) != SECRET_BYTES
            """Whether the keys were drawn now: then no account can have added them before."""
            if self.is_new:
                kept = self._keep(system.random_bytes(SECRET_BYTES))
        self.keys = SecretKeys(kept)
        """The device's own."""

    def _is_ours(self, kept: bytes) -> bool:
        if len(kept) != SECRET_BYTES:
            return False
        with closing(self._store(self.path, None, readonly=True)) as store:
            return store.credentials.keys() == kept

    def _keep(self, secret: bytes) -> bytes:
        self._kept.unlink(missing_ok=True)  # one that was cut off while it was written
        handle = os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, secret)
        finally:
            os.close(handle)
        sync(self._kept, os.O_RDWR)
        sync_folder(self._kept)
        return secret

    def become(self, roster: Roster, keyring: Keyring) -> None:
        """Make the replica: the account has added the device, and this is what it knows. Durable when this returns.

        Raises:
            FileExists: something of that name is there now.
            StorageError: the file cannot be made; the attempt can be made again.
        """
        mark = self._system.random_bytes(_MARK_BYTES).hex()
        with new_file(self.path, mark) as part:
            self._store(part, (roster, keyring), readonly=False).close()
        self.done = True

    def end(self) -> None:
        """There will be no other attempt: what was kept for it goes. Raises StorageError."""
        forget(self.path)

    def _store(self, path: Path, begins: tuple[Roster, Keyring] | None, *, readonly: bool) -> Store:
        def first() -> Fresh:
            assert begins is not None  # a file that is there has begun
            return fresh(self.keys, *begins, self._system)

        return Store(
            path,
            fresh=first,
            draw_client=lambda: draw_client(self._system),
            now_ms=self._system.now_ms,
            readonly=readonly,
            durability="full",
            unlock=self._key,
            encrypt=self._key.cipher,
        )
