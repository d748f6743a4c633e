"""The writer's lock: one writing process a replica, and a second learns who holds it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgsync.errors import ReplicaLocked, StorageError

_MADE: Final = b"made\n"
_MADE_AT: Final = 11
"""Behind the number of the process."""

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(
            handle, 1 << 20, os.SEEK_SET
        )  # locked bytes are unreadable there: lock one behind the text
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """Holds ``<replica>.lock`` until closed; the operating system lets go of it if the process dies.

    The file says also whether the replica was ever made, so that one which lost all its bytes is told from one whose
    making was cut off.
    """

    def __init__(self, replica: Path) -> None:
        """Take the lock at once.

        Raises:
            ReplicaLocked: somebody else has it; the message names the process.
            StorageError: the lock file cannot be made.
        """
        path = _path(replica)
        try:
            self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(
                f"cannot make the lock file {path}: {error.strerror}; check the folder"
            ) from error
        try:
            _lock(self._handle)
        except OSError as error:
            holder = os.read(self._handle, _MADE_AT).decode("ascii", "replace").strip()
            os.close(self._handle)
            self._handle = None
            raise ReplicaLocked(
                f"{path.removesuffix('.lock')} is open for writing in process {holder or 'unknown'}; "
                "end that, or open it here with readonly=True"
            ) from error
        with suppress(OSError):  # a full disk: others are told of an unknown process then
            os.write(self._handle, f"{os.getpid():<10}\n".encode("ascii"))

    def note(self, *, made: bool) -> None:
        """Note whether a replica was made, if the file does not say so yet; not if there is no room for that."""
        assert self._handle is not None
        said = _MADE if made else b""
        with suppress(OSError):
            os.lseek(self._handle, _MADE_AT, os.SEEK_SET)
            if os.read(self._handle, len(_MADE) + 1) != said:
                os.ftruncate(self._handle, _MADE_AT)
                os.lseek(self._handle, _MADE_AT, os.SEEK_SET)
                os.write(self._handle, said)

    def close(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of one name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def is_emptied(replica: Path) -> bool:
    """Whether a file has no bytes, and was a replica once, as the lock beside it says."""
    try:
        return replica.stat().st_size == 0 and Path(_path(replica)).read_bytes()[_MADE_AT:] == _MADE
    except OSError:
        return False


def _path(replica: Path) -> str:
    # A link to a replica has no lock of its own.
    file = os.path.realpath(replica) if replica.is_symlink() else str(replica)
    return f"{file}.lock"
