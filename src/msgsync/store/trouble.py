"""What SQLite and the operating system say of a replica's file, as a `StorageError` that says what to do."""

from __future__ import annotations

import errno
from pathlib import Path
from types import TracebackType
from typing import Final

import apsw

from msgsync.errors import NotAReplica, ReplicaDamaged, StorageError, StorageFull

_NO_ROOM: Final = (apsw.SQLITE_IOERR_SHMSIZE,)
"""What SQLite says of a full disk where it makes room for shared memory."""
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says of one, and of what a person or a process may have on it."""
_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], type[StorageError], str], ...]] = (
    (
        (apsw.FullError,),
        StorageFull,
        "the disk of {path} is full; free some space and try again",
    ),
    (
        (apsw.NotADBError,),
        NotAReplica,
        "{path} is not a msgsync replica (not a SQLite file); choose another path",
    ),
    (
        # Tables that are not there, rows that cannot be, text that is none: something else wrote into the file.
        (
            apsw.CorruptError,
            apsw.SQLError,
            apsw.ConstraintError,
            apsw.MismatchError,
            UnicodeDecodeError,
        ),
        ReplicaDamaged,
        "{path} is damaged: {error}; run repair, restore a backup or fill a new replica",
    ),
    (
        (apsw.BusyError, apsw.LockedError),
        StorageError,
        "{path} is in use by another program: {error}; close it there",
    ),
    (
        (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, OSError),
        StorageError,
        "{path} cannot be used: {error}; check the path, the disk and the permissions",
    ),
)


class _StorageErrors:
    """What `storage_errors` gives: a class, since opening and writing would wait for a generator of contextlib."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (apsw.Error, OSError, UnicodeDecodeError)):
            raise_storage_error(self._path, error)


def storage_errors(path: Path) -> _StorageErrors:
    """A block in which what SQLite and the operating system say becomes errors a person can act on."""
    return _StorageErrors(path)


def raise_storage_error(path: Path, error: BaseException | None) -> None:
    """Raise what an error of SQLite or the operating system means here; return if it means nothing."""
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) in _NO_ROOM:
        error = apsw.FullError(str(error))
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        raise StorageFull(f"the disk of {path} is full; free some space and try again") from error
    for kinds, ours, words in _MEANINGS:
        if isinstance(error, kinds):
            raise ours(words.format(path=path, error=error)) from error
    if isinstance(error, apsw.Error):
        raise error
