"""The SQLite file: opening, pragmas, transactions. Source: design 6, security A5."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from msgsync.errors import (
    NotAReplica,
    ReadOnly,
    ReplicaDamaged,
    SchemaTooNew,
    SchemaTooOld,
    StorageError,
)
from msgsync.store.encryption import (
    Encrypt,
    check_encrypted,
    cipher_for,
    leave_plain,
    raise_unreadable,
    unlock,
    vfs_below,
    vfs_for,
)
from msgsync.store.residue import overwrite, pages_in_log
from msgsync.store.schema import APPLICATION_ID, TABLES, VERSION
from msgsync.store.seal import is_sealed
from msgsync.store.sweep import Sweep
from msgsync.store.trouble import raise_storage_error, storage_errors
from msgsync.store.worker import Worker

Durability = Literal["full", "relaxed"]

_CACHE_KIB: Final = 16 * 1024
_CHECKPOINT_PAGES: Final = 4096
"""So long the write-ahead log gets before it is moved into the file."""
_BUSY_MS: Final = 10_000
_FREE_SHARE: Final = 20
"""The twentieth part of a file in free pages is worth copying it for."""
_COPY_IN_MEMORY_BYTES: Final = 64 * 1024 * 1024


def check_kind(path: Path) -> None:
    """Check that what lies at a path, if anything, can be a replica's file.

    Raises:
        NotAReplica: it is a folder or a device.
        StorageError: it cannot be looked at.
    """
    with storage_errors(path):
        found = look_at(path)
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise NotAReplica(
                f"{path} is a folder or a device; pass the path of a file, such as {path / 'phone.db'}"
            )


def _keep_from_others(file: str) -> None:
    """Have a replica's file, and what lies beside it, be its owner's alone: keys are in it. Raises OSError."""
    for suffix in ("", "-wal", "-shm"):
        one = file + suffix
        found = look_at(one)
        if found is None:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077 and sys.platform != "win32":  # there its mode says nothing of others
            try:
                Path(one).chmod(mode & 0o700)
            except PermissionError:
                warnings.warn(
                    f"{one} can be opened by others than its owner (mode {mode:04o}), and it cannot be changed: "
                    "who reads it can be this device",
                    RuntimeWarning,
                    stacklevel=2,
                )


class Database:
    """One connection. The caller holds the replica's lock around every use.

    Two kinds of writing do not happen at once, and everything that is executed afterwards finds them done: rows that
    `later` collects for one call, and work that `start` does in a second thread while this one goes on.
    """

    def __init__(
        self,
        path: Path,
        *,
        readonly: bool,
        durability: Durability,
        vfs: str | None = None,
        encrypt: Encrypt = leave_plain,
    ) -> None:
        """Open the file, or make it; ``vfs`` names what SQLite reaches it through, if not its default.

        ``encrypt`` is asked for what encrypts it.

        Raises:
            NotAReplica, SchemaTooNew, SchemaTooOld, ReplicaDamaged, StorageError: as their names say; the file is
                untouched.
            ReadOnly: it is a sealed backup.
            WrongPassphrase: it is encrypted under another key.
        """
        self.path = path
        self.readonly = readonly
        with storage_errors(path):
            found = look_at(path)
            size = 0 if found is None else found.st_size
            name = str(path)
            if readonly:
                if found is None:
                    raise StorageError(
                        f"there is no replica at {path}; create it first, or check the path"
                    )
                flags = apsw.SQLITE_OPEN_READONLY
                if _is_on_a_readonly_disk(path) and not _has_content(f"{path.resolve()}-wal"):
                    # No log can be made there, which SQLite asks for to read; and nobody writes.
                    name = path.absolute().as_uri() + "?immutable=1"
                    flags |= apsw.SQLITE_OPEN_URI
            else:
                flags = apsw.SQLITE_OPEN_READWRITE
                if found is None:
                    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                _refuse_sealed(path, size)
            self.cipher = cipher_for(path, size, encrypt)
            """What encrypts the file; None if nothing does."""
            self.connection = apsw.Connection(name, flags=flags, vfs=vfs_for(vfs, self.cipher))
            # It lies beside the file itself, not beside a link to it.
            self._log_path = self.connection.filename_wal
            self._sweep: Sweep | None = None
            if self.cipher is not None and not readonly:
                below = vfs_below(self.connection, vfs)
                self._sweep = Sweep(self.connection, self.cipher, below)
            self._collected: dict[str, list[Sequence[Any]]] = {}
            self._worker = Worker()
            self._log_is_long = False
            self._is_relaxed = durability == "relaxed" and not readonly
            try:
                is_made = self._is_made(size)
                if not readonly:
                    _keep_from_others(self.connection.filename)
                self._configure(durability)
                if size == 0 and self.cipher is not None:
                    check_encrypted(path, self.cipher)
                self._file = file_of(path)
                self._log_file: tuple[int, int] | None = None
                self._data_version = self.connection.pragma("data_version")
                if not is_made:
                    self._make()
                if self._sweep is not None:
                    self._sweep.read()
            except BaseException:
                self.connection.close()
                raise

    def _is_made(self, size: int) -> bool:
        """Whether the file, of so many bytes, has its tables; nothing was read of it before."""
        if self.cipher is not None:
            unlock(self.connection, self.cipher)
        self.connection.set_busy_timeout(_BUSY_MS)
        if size:
            self._check_key()
            return self._has_identity()
        if self.readonly:
            raise NotAReplica(
                f"{self.path} is empty; open it once for writing to make a replica of it"
            )
        return False

    def _configure(self, durability: Durability) -> None:
        connection = self.connection
        # Without this SQLite prepares a join anew for each value it is given: four times the cost of a short query.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        pragmas = {
            "secure_delete": "on",
            "temp_store": "memory",
            "trusted_schema": "off",
            "cell_size_check": "on",
            "cache_size": -_CACHE_KIB,
        }
        if not self.readonly:
            # One pragma a call: a statement that returns a row stops a script.
            pragmas |= {
                "journal_mode": "wal",
                "synchronous": "full" if durability == "full" else "normal",
                "journal_size_limit": 0,
            }
        for name, value in pragmas.items():
            for _ in connection.execute(f"pragma {name} = {value}"):
                pass
        connection.set_wal_hook(self._committed)  # in place of SQLite's own, which moves the log

    def _check_key(self) -> None:
        try:
            self.connection.pragma("application_id")
        except apsw.NotADBError as error:
            if self.cipher is None:
                raise
            raise_unreadable(self.path, self.cipher, error)

    def _has_identity(self) -> bool:
        """Whether it is a replica's file; False if making it was cut off before the first commit."""
        application = self.connection.pragma("application_id")
        version = self.connection.pragma("user_version")
        if application != APPLICATION_ID:
            with self.path.open(
                "rb"
            ) as file:  # empty: SQLite has just rolled back the first of all writes
                begun = file.read(16) in (b"", b"SQLite format 3\0")
            if (
                (begun or self.cipher is not None)
                and application == 0
                and self.first("select 1 from sqlite_schema") is None
            ):
                return False
            raise NotAReplica(f"{self.path} is a database of another program; choose another path")
        if version > VERSION:
            raise SchemaTooNew(
                f"{self.path} has format {version}, this msgsync reads up to {VERSION}; update msgsync"
            )
        if version < VERSION:
            raise SchemaTooOld(
                f"{self.path} has format {version}, of an older msgsync, and this one reads format {VERSION}; "
                "run msgsync repair, which makes a replica in this format of it, and keeps the file"
            )
        return True

    def _make(self) -> None:
        with self.transaction():
            for statement in TABLES:
                self.execute(statement)
            self.execute(f"pragma application_id = {APPLICATION_ID}")
            self.execute(f"pragma user_version = {VERSION}")

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> apsw.Cursor:
        """Run a statement after all that was begun before it."""
        if self._worker.busy or self._collected:
            self.settle()
        return self.connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row after all that was begun before."""
        if self._worker.busy or self._collected:
            self.settle()
        self.connection.executemany(sql, rows)

    def each(self, sql: str, rows: Iterable[Sequence[Any]]) -> apsw.Cursor:
        """What a query finds for each row of parameters, one after the other, after all that was begun before."""
        if self._worker.busy or self._collected:
            self.settle()
        return self.connection.executemany(sql, rows)

    def later(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert, or delete, rows before anything else is executed; the order of different statements is left open."""
        self._collected.setdefault(sql, []).extend(rows)

    def start(self, work: Callable[[apsw.Connection], None]) -> None:
        """Write in a second thread, after what was started before; rows that were collected are written afterwards.

        For long statements and for compressing: neither holds the interpreter's lock.
        """
        self._worker.start(partial(self._work, work))

    def _work(self, work: Callable[[apsw.Connection], None]) -> None:
        # SQLite rolls back by itself when the disk is full; outside a transaction each statement would commit.
        if work == self._checkpoint or self.connection.in_transaction:
            work(self.connection)

    def settle(self) -> None:
        """Wait for what was started, insert what was collected. Raises what SQLite says about either."""
        self._worker.settle()
        if self._collected:
            collected, self._collected = self._collected, {}
            for sql, rows in collected.items():
                self.connection.executemany(sql, rows)

    def _committed(self, _: apsw.Connection, __: str, pages: int) -> int:
        self._log_is_long = pages >= _CHECKPOINT_PAGES
        return apsw.SQLITE_OK

    def first(self, sql: str, parameters: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        return self.execute(sql, parameters).fetchone()

    def one(self, sql: str, parameters: tuple[object, ...] = ()) -> tuple[Any, ...]:
        """The only row of a query that always has one."""
        for row in self.execute(sql, parameters):
            return tuple(row)
        raise ReplicaDamaged(f"{self.path} lacks a row that every replica has; run repair")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction: all of it or nothing. Durable when the block ends (design 6).

        Errors of SQLite become storage errors; what else goes wrong inside is the caller's and passes through.
        """
        with storage_errors(self.path):
            self._check_presence()
            self.execute("begin immediate")
        try:
            self._check_alone()
            yield
            self.execute("commit")
            if self._log_file is None:
                self._log_file = file_of(self._log_path)
        except BaseException as error:
            interrupt = self._abandon()
            # SQLite rolls back by itself when the disk is full. If rolling back fails the first error says why.
            if self.connection.in_transaction:
                with suppress(apsw.Error):
                    self.connection.execute("rollback")
            if interrupt is not None:
                raise interrupt from error
            if isinstance(error, (apsw.Error, UnicodeDecodeError)):
                raise_storage_error(self.path, error)
            raise
        if self._log_is_long:
            self._log_is_long = False
            self.start(self._checkpoint)  # nobody waits for it but who comes next

    @contextmanager
    def synced(self) -> Iterator[None]:
        """A block of transactions that are on the disk when they end, with all before them, whatever the durability.

        Not within a transaction: SQLite refuses that.
        """
        if not self._is_relaxed:
            yield
            return
        self._sync_commits("full")
        try:
            yield
        finally:
            self._sync_commits("normal")

    def _sync_commits(self, level: str) -> None:
        with storage_errors(self.path):
            self.execute(f"pragma synchronous = {level}")

    def _check_presence(self) -> None:
        """Write into files of these names only: SQLite goes on in one that has none any more, and nobody finds it."""
        for path, file in ((self.path, self._file), (self._log_path, self._log_file)):
            if file is not None and file_of(path) != file:
                raise StorageError(
                    f"{path} is gone, or another file took its place while it was in use: nothing is written any "
                    "more; close the replica, see to its files, and open it again"
                )

    def _check_alone(self) -> None:
        """See that nobody else wrote: what this process remembers of the file would not be so. In a transaction."""
        if self.connection.pragma("data_version") != self._data_version:
            raise StorageError(
                f"another program wrote into {self.path} while it was open here (was its .lock file deleted?); "
                "close one of the two, and open it again"
            )

    def _abandon(self) -> KeyboardInterrupt | None:
        """Forget what was begun, once it has ended: nobody may use the connection before. Ctrl-C waits as well."""
        self._collected.clear()
        return self._worker.abandon()

    def has_log(self) -> bool:
        """Whether anything lies in the write-ahead log."""
        return _has_content(self._log_path)

    def truncate_log(self) -> bool:
        """Empty the write-ahead log into the file; False if a reader stands in the way, who is not waited for.

        Afterwards nothing that was deleted is in the file, in what is cached of it, or in the log.
        """
        self.settle()
        self.connection.set_busy_timeout(0)
        try:
            if self._sweep is not None:
                self._sweep.catch_up()
            if self.has_log():
                self._move_log(sync=True)
            busy = self.one("pragma wal_checkpoint(truncate)")[0]
        finally:
            self.connection.set_busy_timeout(_BUSY_MS)
        # Cached pages hold what was overwritten in the file, and would carry it into the log again.
        self.connection.pragma("shrink_memory")
        return not (busy or (self._sweep is not None and self._sweep.is_behind))

    @property
    def erasure_waits(self) -> bool:
        """Whether what an opening before erased may still be in an encrypted file."""
        return self._sweep is not None and self._sweep.erasure_waits

    def empty_log(self) -> None:
        """Move all that was written into the file, on disk: before a new file is given a name without its log.

        Raises:
            StorageFull, StorageError: some of it lies in the log alone.
        """
        with storage_errors(self.path):
            if not self.truncate_log() and self.has_log():
                raise StorageError(
                    f"{self.path} is being read by another program; close it there, and try again"
                )

    def give_back_space(self) -> bool:
        """Make the file as small as its content, if that is worth it; return whether it was. Outside transactions."""
        pages, free = self.one("pragma page_count")[0], self.one("pragma freelist_count")[0]
        if free * _FREE_SHARE < pages:
            return False
        # The copy that SQLite makes meanwhile: a large one should not be in memory.
        if pages * self.one("pragma page_size")[0] > _COPY_IN_MEMORY_BYTES:
            self.execute("pragma temp_store = file")
        try:
            self.execute("vacuum")
        finally:
            self.execute("pragma temp_store = memory")
        return True

    def close(self, *, moves_log: bool = True) -> None:
        """Close the connection; the last one empties the write-ahead log, unless that is to stay beside the file."""
        self._worker.stop()
        if not moves_log:
            self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        elif not self.readonly and self.has_log():
            self._checkpoint(self.connection)
        with storage_errors(self.path):
            self.connection.close()

    def _checkpoint(self, _: apsw.Connection) -> None:
        """Move the write-ahead log into the file. If that fails nothing is lost: the next one tries again."""
        with suppress(apsw.Error):
            self._move_log(sync=False)

    def _move_log(self, *, sync: bool) -> None:
        """Move pages into the file and overwrite what they do not use; they stay in the log until that is done."""
        if self._sweep is not None:
            self._sweep.move_log()
            return
        numbers = pages_in_log(self.connection)
        self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        overwrite(self.connection, numbers, sync=sync)


def look_at(path: Path | str) -> os.stat_result | None:
    """What lies at a path; None if nothing does. Raises OSError."""
    try:
        return os.stat(path)  # noqa: PTH116  half the time of Path.stat, which opening and writing would wait for
    except (FileNotFoundError, NotADirectoryError):
        return None


def _has_content(path: str) -> bool:
    found = look_at(path)
    return found is not None and found.st_size > 0


def _refuse_sealed(path: Path, size: int) -> None:
    if is_sealed(path, size):
        raise ReadOnly(
            f"{path} is a backup, and stays as it was sealed: make a replica of it with msgsync.restore "
            "(msgsync restore-backup), or open it for reading only"
        )


def _is_on_a_readonly_disk(path: Path) -> bool:
    if sys.platform == "win32" or not path.exists():
        return False
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def file_of(path: Path | str) -> tuple[int, int] | None:
    """Which file of the disk has this name; None if there is none. Raises OSError."""
    found = look_at(path)
    return None if found is None else (found.st_dev, found.st_ino)


def integers(numbers: Iterable[int]) -> Any:
    """Numbers as one parameter, for SQL's ``carray``; at least one."""
    return apsw.carray(array("q", numbers), flags=apsw.SQLITE_CARRAY_INT64)
