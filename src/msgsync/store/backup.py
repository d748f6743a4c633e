"""Copies of a replica's file: made while it is in use, and made to a new replica. Source: design 6 and 7.

A copy is taken page by page within one transaction that reads (decision 21): it is what one commit left, whoever writes
meanwhile, and writers do not wait for it. It is one file, without a write-ahead log, that can be read from a medium
that cannot be written. It takes its name when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from msgsync.errors import FileExists, ReplicaDamaged, StorageError
from msgsync.store.credentials import CredentialRows, Credentials, Unlock, leave_locked
from msgsync.store.database import Database
from msgsync.store.encryption import (
    Encrypt,
    FileCipher,
    check_encrypted,
    leave_plain,
    new_cipher,
    salt_in,
    salt_of,
    vfs_below,
)
from msgsync.store.encryption import encrypt as encrypt_in_place
from msgsync.store.encryption import unlock as unlock_file
from msgsync.store.identity import Fresh
from msgsync.store.places import OFF
from msgsync.store.residue import overwrite, rewrite
from msgsync.store.seal import LEAST_PAGE_BYTES, SEAL, SEAL_BYTES
from msgsync.store.trouble import storage_errors
from msgsync.store.unfinished import unfinished

_STEP_PAGES: Final = 256
"""A megabyte: often enough for a bar of progress."""
_SQLITE: Final = b"SQLite format 3\0"
_READ_BYTES: Final = 1 << 20


class Copied(NamedTuple):
    """How far copying is."""

    done_bytes: int
    total_bytes: int


@contextmanager
def new_file(path: Path, mark: str) -> Iterator[Path]:
    """Give the path of an empty file beside ``path``, which takes that name when the block ends well.

    Only its owner can read it. It is on disk when it takes its name; nothing is ever replaced. ``mark``, 8 hexadecimal
    digits, tells it from others that are being made; what is left of a process that died goes (`store.unfinished`).

    Raises:
        FileExists: something of that name is there, before or at the end.
        StorageError: the file cannot be made.
    """
    _refuse_taken(path)
    with ExitStack() as stack:
        with storage_errors(path):
            part = stack.enter_context(unfinished(path, mark))
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        check_complete(part)
        with storage_errors(path):
            sync(part, os.O_RDWR)
            _name(part, path)
            sync_folder(path)


def _refuse_taken(path: Path) -> None:
    for taken in [path] if os.path.lexists(path) else _rest_of(path):
        raise FileExists(
            f"{taken} is there, and nothing is overwritten; choose another name, or move it away first"
        )


def _rest_of(path: Path) -> list[Path]:
    """What SQLite would take for the rest of a file of this name; empty ones are nothing to it."""
    beside = (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal"))
    return [one for one in beside if one.exists() and one.stat().st_size]


def check_complete(part: Path) -> None:
    """Check that all of a new file is in it, and nothing in a log that would be left behind. Raises StorageError."""
    for rest in _rest_of(part):
        raise StorageError(f"{rest} holds what {part} lacks; free some space and try again")


def sync(path: Path, flags: int) -> None:
    """Wait until a file or a folder is on disk. Raises OSError."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Wait until the name of a file is on disk. Raises OSError."""
    if sys.platform != "win32":  # there a folder cannot be opened, and need not be
        sync(path.parent, os.O_RDONLY)


def _name(part: Path, path: Path) -> None:
    try:
        os.link(part, path)  # unlike a rename it never replaces
    except OSError:
        # Somebody took the name meanwhile, or the file system has no links (FAT).
        _refuse_taken(path)
        part.rename(path)


def copy(
    source: Database, target: Path, cipher: FileCipher | None = None
) -> Generator[Copied, None, None]:
    """Copy what the last commit left into an empty file; yields after each megabyte, and writers go on meanwhile.

    The caller closes the iterator. The source is read by this iterator alone. ``cipher`` encrypts the copy;
    the one of the source if it is not given.

    Raises:
        StorageError: it cannot be read, or the copy not be written.
    """
    cipher = cipher or source.cipher
    with (
        storage_errors(target),
        closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)) as connection,
    ):
        if cipher is not None:
            unlock_file(connection, cipher)
        connection.pragma("journal_mode", "off")  # if this fails the copy is thrown away
        connection.pragma("synchronous", "off")  # it is synced once, at the end
        source.execute("begin")
        source.one("select seq from state")  # from here on one commit is seen
        page_bytes = source.connection.pragma("page_size")
        with connection.backup("main", source.connection, "main") as backup:
            while not backup.done:
                backup.step(_STEP_PAGES)
                total = backup.page_count
                yield Copied((total - backup.remaining) * page_bytes, total * page_bytes)
        connection.pragma("journal_mode", "delete")  # what is copied says "wal"
        # In the source that happens when its log is moved into the file; pages were copied before.
        numbers = range(1, connection.pragma("page_count") + 1)
        if cipher is None:
            overwrite(connection, numbers, sync=False)
        else:
            rewrite(connection, cipher, numbers, vfs_below(connection, None))


def encrypt_copy(part: Path, encrypt: Encrypt) -> None:
    """Encrypt a copy that nobody else knows, unless it is. Raises StorageError, and what ``encrypt`` does."""
    with storage_errors(part):
        if salt_of(part) or (cipher := new_cipher(part, encrypt)) is None:
            return
        with closing(apsw.Connection(str(part), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            encrypt_in_place(connection, cipher)
            numbers = range(1, connection.pragma("page_count") + 1)
            rewrite(connection, cipher, numbers, vfs_below(connection, None))
        check_encrypted(part, cipher)


def unpack(backup: Path, target: Path) -> Generator[Copied, None, None]:
    """Copy the pages of a backup into an empty file; yields after each megabyte.

    The copy of a closed replica has no seal, and is taken as it is. SQLite does not open the backup, so nothing is
    written beside it.

    Raises:
        ReplicaDamaged: it is not as it was when it was sealed.
        StorageError: it cannot be read, or the copy not be written; or it is a replica that was not closed.
    """
    for rest in _rest_of(backup):
        raise StorageError(
            f"{rest} belongs to {backup}, so that is no backup but a replica that is in use or was not closed; "
            "open it, and back it up"
        )
    with storage_errors(backup):
        file = backup.open("rb")
    with file, storage_errors(target), target.open("r+b") as copied:
        size = os.fstat(file.fileno()).st_size
        is_sealed = size % LEAST_PAGE_BYTES != 0
        total = max(size - SEAL_BYTES, 0) if is_sealed else size
        found = hashlib.sha256()
        is_database = True
        for start in range(0, total, _READ_BYTES):
            read = file.read(min(_READ_BYTES, total - start))
            is_database = is_database and (
                start > 0 or read.startswith(_SQLITE) or bool(salt_in(read))
            )
            found.update(read)
            copied.write(read)
            yield Copied(start + len(read), total)
        if is_sealed and is_database and file.read() != SEAL + found.digest():
            raise ReplicaDamaged(
                f"{backup} is not as it was when it was made: it was damaged, cut off or changed; take another backup"
            )


def renew(
    path: Path,
    *,
    now_ms: int,
    store_id: bytes,
    become: Callable[[Credentials], Fresh] | None = None,
    unlock: Unlock = leave_locked,
    encrypt: Encrypt = leave_plain,
) -> None:
    """Make a copy a replica of its own: what peers learned of the file since it was copied is void.

    Commits are counted on from the copy's, so a number means another commit than it did to peers and to cursors of the
    change feed: a new store id says so to them. What the copy knows of peers was true when it was made, and is
    (`msgsync.standing`). Recently Deleted begins its retention anew: it must not erase what was restored elsewhere
    meanwhile.

    Args:
        path: the copy.
        now_ms: the time, Unix milliseconds.
        store_id: 16 fresh random bytes.
        become: makes another device of what the copied one keeps of its account; None to stay the same.
        unlock: see `Store`, as is ``encrypt``. The secrets in an encrypted file are not locked once more.
        encrypt: what encrypts the file.

    Raises:
        StorageError: it cannot be written.
        ReplicaDamaged: what it keeps of its account is not what it was.
    """
    database = Database(path, readonly=False, durability="full", encrypt=encrypt)
    try:
        with database.transaction():
            set_meta = "update meta set value = ? where name = ?"
            rows = CredentialRows(database)
            rows.locker = unlock(rows.wrapped())
            if database.cipher is not None and rows.locker is not None:
                credentials = rows.read()
                rows.locker = None
                rows.write_secrets(credentials)
            if become is not None:
                identity, credentials = become(rows.read())
                rows.write(credentials)
                database.execute(set_meta, (identity.device.raw, "device"))
                database.execute("delete from meta where name = ?", (OFF,))
            database.execute(set_meta, (store_id, "store_id"))
            database.execute("delete from refused")
            database.execute("delete from places")
            database.execute("delete from meta where name = 'clock_skew_ms'")
            database.execute(
                "update deletions set stored_ms = max(stored_ms, ?), confirmed = 0", (now_ms,)
            )
        database.empty_log()
    finally:
        with storage_errors(path):
            database.close()
