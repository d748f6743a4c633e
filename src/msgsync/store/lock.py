"""The writer's lock: one writing process a replica, and a second learns who holds it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from msgsync.errors import ReplicaLocked, StorageError

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(
            handle, 1 << 20, os.SEEK_SET
        )  # locked bytes are unreadable there: lock one behind the text
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """Holds ``<replica>.lock`` until closed; the operating system lets go of it if the process dies."""

    def __init__(self, replica: Path) -> None:
        """Take the lock at once.

        Raises:
            ReplicaLocked: somebody else has it; the message names the process.
            StorageError: the lock file cannot be made.
        """
        # A link to a replica has no lock of its own.
        file = os.path.realpath(replica) if replica.is_symlink() else str(replica)
        path = f"{file}.lock"
        try:
            self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(
                f"cannot make the lock file {path}: {error.strerror}; check the folder"
            ) from error
        try:
            _lock(self._handle)
        except OSError as error:
            holder = (
                os.pread(self._handle, 64, 0).decode("ascii", "replace")
                if hasattr(os, "pread")
                else ""
            )
            os.close(self._handle)
            self._handle = None
            raise ReplicaLocked(
                f"{file} is open for writing in process {holder.strip() or 'unknown'}; "
                "end that, or open it here with readonly=True"
            ) from error
        with suppress(OSError):  # a full disk: others are told of an unknown process then
            os.write(self._handle, f"{os.getpid():<10}\n".encode("ascii"))

    def close(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of one name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
