"""A disk that fails: it lies under SQLite (a VFS) and attachments, passes everything on, and knows what was synced.

Simulated
---------
- **Power loss**, at any write, sync, truncation or deletion: what had not been synced is dropped, reordered or torn,
  as `msgsync.testing.medium` says. Everything after it fails, until `SimulatedDisk.leave` has put what was left of the
  files somewhere else, to be opened again.
- **A full disk, an input/output error, a short write**: at the n-th operation, once or until `mend`.

The files themselves lie in a folder of the real file system, and so does the lock. Locks and shared memory are the
real ones.

Not simulated: slow disks, damage while the power is there, errors while reading. That SQLite syncs a folder with the
first sync of a log that it made there is taken from its source (os_unix.c); a VFS does not see it.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from enum import Enum
from glob import escape
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import apsw

from msgsync.store.filesystem import REAL_FILES, FileSystem
from msgsync.testing.medium import Change, Medium, Verb, put
from msgsync.testing.seed import Seeded

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NUMBERS = count(1)
_TAKES_ROOM: Final = frozenset({Verb.WRITE, Verb.CREATE, Verb.FOLDER})
_LOGS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


class DiskFault(Enum):
    """What goes wrong."""

    FULL = "full"
    """There is no room: nothing of a write happens. What takes no room goes on."""
    BROKEN = "broken"
    """An input/output error: nothing of the operation happens."""
    SHORT = "short"
    """Half of the bytes are written, then there is no room. Of what is not a write, nothing happens."""
    POWER = "power"
    """The power goes: whether anything of the operation happens is open, and everything after it fails."""


class SimulatedDisk:
    """The disk of one device: pass its `vfs` to `SimulatedSystem`. Close it when the replica is closed.

    Args:
        records: whether to remember every change, for `changes`; else only what a power loss needs is kept.
    """

    def __init__(self, *, records: bool = False) -> None:
        self.operations = 0
        """Writes, syncs, truncations and deletions so far."""
        self.is_off = False
        """Whether the power went."""
        self.changes: list[Change] | None = [] if records else None
        """All that was done to the medium, in order; None if it is not recorded."""
        self._medium = Medium()
        self._fault: DiskFault | None = None
        self._fails_at = 0
        self._lasts = False
        self._vfs = _Vfs(self, f"msgsync-simulated-{next(_NUMBERS)}")
        _FILES[self.vfs] = SimulatedFiles(self)

    @property
    def vfs(self) -> str:
        """The name by which SQLite knows this disk."""
        return self._vfs.name

    @property
    def files(self) -> FileSystem:
        """What else than SQLite's files lies on this disk."""
        return _FILES[self.vfs]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let SQLite forget this disk; nothing may be open on it."""
        self._vfs.unregister()
        _FILES.pop(self.vfs, None)

    # Faults.

    def fail(self, fault: DiskFault, *, after: int = 0, lasts: bool = False) -> None:
        """Let an operation fail; a further call replaces the one before.

        Args:
            fault: how.
            after: how many operations succeed before.
            lasts: whether all further ones fail, too, until `mend`.
        """
        self._fault, self._lasts = fault, lasts
        self._fails_at = self.operations + after

    def mend(self) -> None:
        """Let everything succeed again; power that went stays away."""
        self._fault = None

    def leave(self, path: Path, other: Path, seed: int | str | None) -> None:
        """Put what a power loss now leaves of a database, log, attachments and all, under another name.

        Args:
            path: the database, as it was opened.
            other: where to put what is left of it, beside nothing.
            seed: what decides about every sector that was not synced; None if all that was written is there, as
                after a program was killed.
        """
        for folder in folders_of(path):
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    self.finds(str(file))
        medium = self._medium
        put(medium.written() if seed is None else medium.left(Seeded(seed)), path, other)

    # For the VFS.

    def finds(self, name: str) -> bool:
        """Whether there is such a file; one that lay there before this disk was made is safe."""
        file = Path(name)
        if not file.exists():
            return False
        if not self._medium.knows(name) and (content := file.read_bytes()):
            self.change(Change(Verb.PUT, name, data=content))
        return self._medium.knows(name)

    def change(self, change: Change) -> None:
        """Note a change of the medium."""
        self._medium.do(change)
        if self.changes is not None:
            self.changes.append(change)

    def operate(self, change: Change) -> Change:
        """Count an operation; return what of it is done.

        Raises:
            apsw.FullError, apsw.IOError: it fails, and nothing of it is done.
        """
        if self.is_off:
            raise apsw.IOError("the power is gone")
        fault = self._due()
        self.operations += 1
        if fault is DiskFault.POWER:
            self.is_off = True
            self._medium.begin(change)
            raise apsw.IOError("the power is gone")
        takes_room = change.verb in _TAKES_ROOM
        if fault is DiskFault.FULL and takes_room:
            raise apsw.FullError("no space left")
        if fault is DiskFault.SHORT and change.verb is Verb.WRITE:
            change = replace(change, data=change.data[: len(change.data) // 2])
        elif fault is DiskFault.BROKEN or fault is DiskFault.SHORT:
            raise apsw.IOError("the disk failed")
        self.change(change)
        return change

    def _due(self) -> DiskFault | None:
        if self._fault is None or self.operations < self._fails_at:
            return None
        fault = self._fault
        if not self._lasts:
            self._fault = None
        return fault


def folders_of(path: Path) -> list[Path]:
    """Folders beside a database that are called like it, and more: of its attachments."""
    return sorted(one for one in path.parent.glob(f"{escape(path.name)}.*") if one.is_dir())


class SimulatedFiles:
    """Implements `msgsync.replica.system.FileSystem` on a simulated disk."""

    beside: Final = False  # in one order, whoever runs

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def make_folder(self, path: Path) -> None:
        """See `FileSystem.make_folder`."""
        if not path.exists():
            self._operate(Change(Verb.FOLDER, str(path)))
        REAL_FILES.make_folder(path)

    def write(self, path: Path, data: ReadableBuffer) -> None:
        """See `FileSystem.write`."""
        data = bytes(data)
        self._operate(Change(Verb.CREATE, str(path)))
        REAL_FILES.write(path, b"")
        done = self._operate(Change(Verb.WRITE, str(path), data=data)).data
        REAL_FILES.write(path, done)
        if len(done) < len(data):
            raise OSError(errno.ENOSPC, "no space left")

    def sync(self, path: Path) -> None:
        """See `FileSystem.sync`."""
        self._operate(Change(Verb.SYNC_NAMES if path.is_dir() else Verb.SYNC, str(path)))

    def rename(self, path: Path, other: Path) -> None:
        """See `FileSystem.rename`."""
        self._disk.finds(str(path))
        self._operate(Change(Verb.RENAME, str(path), other=str(other)))
        REAL_FILES.rename(path, other)

    def remove(self, path: Path) -> None:
        """See `FileSystem.remove`."""
        if self._disk.finds(str(path)):
            self._operate(Change(Verb.DELETE, str(path)))
        REAL_FILES.remove(path)

    def remove_folder(self, path: Path) -> None:
        """See `FileSystem.remove_folder`."""
        REAL_FILES.remove_folder(path)

    def read(self, path: Path, start: int, count: int) -> tuple[int, bytes] | None:
        """See `FileSystem.read`."""
        return REAL_FILES.read(path, start, count)

    def size(self, path: Path) -> int | None:
        """See `FileSystem.size`."""
        return REAL_FILES.size(path)

    def names(self, folder: Path) -> list[str]:
        """See `FileSystem.names`."""
        return REAL_FILES.names(folder)

    def _operate(self, change: Change) -> Change:
        try:
            return self._disk.operate(change)
        except apsw.FullError as error:
            raise OSError(errno.ENOSPC, str(error)) from error
        except apsw.IOError as error:
            raise OSError(errno.EIO, str(error)) from error


_FILES: Final[dict[str, SimulatedFiles]] = {}
"""By the names of their disks."""


def files_on(vfs: str | None) -> FileSystem:
    """The file system on the disk that SQLite knows by a name; the real one if it is no simulated one."""
    return REAL_FILES if vfs is None else _FILES.get(vfs, REAL_FILES)


class _Vfs(apsw.VFS):
    def __init__(self, disk: SimulatedDisk, name: str) -> None:
        self.name = name
        self.disk = disk
        self.base = apsw.vfs_names()[0]
        super().__init__(name, self.base)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:  # a temporary file, which nobody looks for after a power loss
            return apsw.VFSFile(self.base, name, flags)
        return _File(self, path, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        if self.disk.finds(name):
            self.disk.operate(Change(Verb.DELETE, name, syncs_names=bool(sync)))
        super().xDelete(name, sync)


class _File(apsw.VFSFile):
    def __init__(self, vfs: _Vfs, path: str, name: Any, flags: list[int]) -> None:
        self._disk = vfs.disk
        self._path = path
        self._syncs_names = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _LOGS)
        is_new = not self._disk.finds(path)
        super().__init__(vfs.base, name, flags)
        if is_new:  # a database is made empty before SQLite opens it
            self._disk.change(Change(Verb.CREATE, path))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        done = self._disk.operate(Change(Verb.WRITE, self._path, offset, data))
        super().xWrite(done.data, offset)
        if len(done.data) < len(data):
            raise apsw.FullError("no space left")

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.operate(Change(Verb.TRUNCATE, self._path, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.operate(Change(Verb.SYNC, self._path, syncs_names=self._syncs_names))
        self._syncs_names = False
        super().xSync(flags)
