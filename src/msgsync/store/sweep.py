"""What SQLite leaves in the unused parts of the pages of an encrypted file, and how it is removed. Source: decision 33.

`store.residue` says what that is. In a plain file only bytes that mean nothing are overwritten, so it makes no
difference who reads meanwhile, or whether half of it reaches the disk. An encrypted page that is written again is
another one from its first byte to its last. So that is done while nobody else has the file open, and before the log,
which holds the page as well, is emptied. If somebody has it open, that is noted in the file: the next erasure is
complete when the whole file went through the log anew.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import apsw

from msgsync.store.encryption import FileCipher
from msgsync.store.residue import pages_in_log, rewrite

_NOTE: Final = "unswept"
_LEFT: Final = b"\0"
_ERASURE_WAITS: Final = b"\1"


class Sweep:
    """Of one connection that writes; nobody uses that meanwhile. Errors are SQLite's."""

    def __init__(self, connection: apsw.Connection, cipher: FileCipher, vfs: str | None) -> None:
        """``vfs``: what the file is reached through, below the cipher; SQLite's own if None."""
        self._connection = connection
        self._cipher = cipher
        self._vfs = vfs
        self._note: bytes | None = None
        """What is noted in the file."""

    def read(self) -> None:
        """Read what is noted, once the tables are there."""
        found = self._connection.execute("select value from meta where name = ?", (_NOTE,))
        row = found.fetchone()
        self._note = None if row is None else bytes(row[0])

    @property
    def is_behind(self) -> bool:
        """Whether something may be left."""
        return self._note is not None

    @property
    def erasure_waits(self) -> bool:
        """Whether that includes what was erased."""
        return self._note == _ERASURE_WAITS

    def move_log(self) -> None:
        """Move the pages in the log into the file, and overwrite what they do not use. They stay in the log."""
        numbers = pages_in_log(self._connection, self._vfs)
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        done = False
        try:
            done = self._alone(numbers)
        finally:
            if not done and not self.is_behind:
                self._write(_LEFT)

    def catch_up(self) -> bool:
        """Have no old page in the file, if something may be left: all go through the log. Return whether that is so."""
        if not self.is_behind:
            return True
        if not self._alone(()):
            self._write(_ERASURE_WAITS)
            return False
        self._connection.execute("vacuum")
        self._write(None)
        return True

    def _alone(self, numbers: Collection[int]) -> bool:
        """Rewrite pages while nobody else has the file open; False if somebody has."""
        connection = self._connection
        waits_ms = connection.pragma("busy_timeout")
        connection.set_busy_timeout(0)
        try:
            connection.pragma("locking_mode", "exclusive")
            connection.execute("begin exclusive")
        except apsw.Error as error:
            connection.pragma("locking_mode", "normal")
            connection.execute("select 1 from meta").fetchone()  # gives back what was taken
            if isinstance(error, apsw.BusyError):
                return False
            raise
        finally:
            connection.set_busy_timeout(waits_ms)
        connection.pragma("locking_mode", "normal")  # from the end of the transaction on
        try:
            rewrite(connection, self._cipher, numbers, self._vfs)
        finally:
            connection.execute("rollback")
        return True

    def _write(self, note: bytes | None) -> None:
        if note is None:
            self._connection.execute("delete from meta where name = ?", (_NOTE,))
        else:
            self._connection.execute("insert or replace into meta values(?,?)", (_NOTE, note))
        self._note = note
