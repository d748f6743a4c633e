"""What lies on a disk, and what is left of it when the power goes.

Rules
-----
- What was written before the last sync of a file is there. Of what was written since, each sector has by itself any
  of the contents it had meanwhile: so writes are dropped, reordered and torn.
- A sector that was being written may hold garbage, but only where it was being written: what lies beside it in the
  sector is safe (SQLite takes that for granted too, and calls it powersafe overwrite).
- A file has any of the sizes it had since its last sync; where nothing was written yet there are zeros. What a
  truncation took away is there if the size is one from before it, else gone: a truncation changes no sector.
- A name leads to any of the files it led to since its folder was last synced, or to none if there was none. What lies
  in a folder whose own name leads to none is gone with it.

Not simulated: disks that say they have synced and have not, sectors that rot, a sync that fails and loses what it
should have kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from msgsync.testing.seed import Seeded

SECTOR_BYTES: Final = 512
"""What a disk writes in one piece."""
_GARBAGE_ONE_IN: Final = 16


@dataclass
class File:
    """The bytes of one file: those that are safe, and what was done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes, as offset and bytes; and truncations, as size and None."""
    is_folder: bool = False
    """Then there are no bytes: what lies in it has names of its own."""

    def sync(self) -> None:
        """Make everything safe."""
        for offset, data in self.pending:
            _apply(self.safe, offset, data)
        self.pending.clear()

    def written(self) -> bytes:
        """The content as programs see it while the power is there."""
        content = bytearray(self.safe)
        for offset, data in self.pending:
            _apply(content, offset, data)
        return bytes(content)

    def left(self, seeded: Seeded) -> bytes:
        """The content after a power loss, drawn sector by sector."""
        content = bytearray(self.safe)
        sizes = [len(content)]
        for offset, data in self.pending:
            sizes.append(offset if data is None else max(sizes[-1], offset + len(data)))
        last = seeded.below(len(sizes))
        pieces: dict[int, list[_Piece]] = {}
        for number, (offset, data) in enumerate(self.pending, 1):
            if data is not None:
                _collect(pieces, offset, data)
            elif number <= last:
                del content[offset:]
                pieces = _before(pieces, offset)
        draws = iter(seeded.bytes(3 * len(pieces)))
        for versions in pieces.values():
            kept = int.from_bytes((next(draws), next(draws))) % (len(versions) + 1)
            for piece in versions[:kept]:
                _apply(content, piece.offset, piece.data)
            if next(draws) % _GARBAGE_ONE_IN == 0 and kept < len(versions):
                piece = versions[kept]
                _apply(content, piece.offset, seeded.bytes(len(piece.data)))
        size = sizes[last]
        return bytes(content[:size]) + bytes(size - min(len(content), size))


class _Piece(NamedTuple):
    """What a write does to one sector."""

    offset: int
    data: bytes


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
        return
    content[offset : offset + len(data)] = data


def _collect(pieces: dict[int, list[_Piece]], offset: int, data: bytes) -> None:
    """Cut a write at the sectors."""
    start = 0
    while start < len(data):
        sector, within = divmod(offset + start, SECTOR_BYTES)
        end = start + SECTOR_BYTES - within
        pieces.setdefault(sector, []).append(_Piece(offset + start, data[start:end]))
        start = end


def _before(pieces: dict[int, list[_Piece]], size: int) -> dict[int, list[_Piece]]:
    """What is left of pieces where a file was cut to a size."""
    cut: dict[int, list[_Piece]] = {}
    for sector, versions in pieces.items():
        left = [
            one._replace(data=one.data[: size - one.offset])
            for one in versions
            if one.offset < size
        ]
        if left:
            cut[sector] = left
    return cut


class Verb(Enum):
    """What can be done to a medium."""

    PUT = "put"
    """A file lies there safely, with these bytes."""
    CREATE = "create"
    """An empty file is made, whose name is not safe yet."""
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    """A name is removed; the file may come back until the folder is synced."""
    RENAME = "rename"
    """A file gets another name; both names are open until their folder is synced."""
    FOLDER = "folder"
    """A folder is made, whose name is not safe yet."""
    SYNC_NAMES = "sync names"
    """The names in a folder are made safe."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is done to a medium."""

    verb: Verb
    name: str
    """The file."""
    offset: int = 0
    """Bytes: where a write begins, or the size after a truncation."""
    data: bytes = b""
    """What is written, or put."""
    syncs_names: bool = False
    """Whether a sync or deletion syncs the folder as well."""
    other: str = ""
    """The name that a file gets."""


class Medium:
    """The files of one disk, by name."""

    def __init__(self) -> None:
        self._names: dict[str, list[File | None]] = {}
        """By name: what it leads to safely, and everything it was made to lead to since. The last one counts."""

    def knows(self, name: str) -> bool:
        """Whether there was ever a file of that name."""
        return name in self._names

    def do(self, change: Change) -> None:
        """Let a change happen."""
        self.begin(change)
        self.finish(change)

    def finish(self, change: Change) -> None:
        """Let a change that was begun come to its end."""
        if change.verb is Verb.SYNC:
            self._file(change.name).sync()
        if change.verb is Verb.SYNC_NAMES:
            self._sync_names(change.name)
        elif change.syncs_names:
            self._sync_names(_folder(change.name))

    def _sync_names(self, folder: str) -> None:
        for name, files in self._names.items():
            if _folder(name) == folder:
                del files[:-1]

    def begin(self, change: Change) -> None:
        """Let a change begin; a power loss in the middle of it finds nothing safe that was not before."""
        match change.verb:
            case Verb.PUT:
                self._names[change.name] = [File(bytearray(change.data))]
            case Verb.CREATE:
                self._names.setdefault(change.name, [None]).append(File())
            case Verb.WRITE:
                self._file(change.name).pending.append((change.offset, change.data))
            case Verb.TRUNCATE:
                self._file(change.name).pending.append((change.offset, None))
            case Verb.DELETE:
                self._names[change.name].append(None)
            case Verb.RENAME:
                file = self._file(change.name)
                self._names.setdefault(change.other, [None]).append(file)
                self._names[change.name].append(None)
            case Verb.FOLDER:
                self._names.setdefault(change.name, [None]).append(File(is_folder=True))

    def _file(self, name: str) -> File:
        file = self._names[name][-1]
        assert file is not None, f"{name} was deleted"
        return file

    def written(self) -> dict[str, bytes]:
        """What is there while the power is: what a process that is killed leaves."""
        return {
            name: file.written()
            for name, files in self._names.items()
            if (file := files[-1]) is not None and not file.is_folder
        }

    def left(self, seeded: Seeded) -> dict[str, bytes]:
        """What is there after a power loss: drawn, or now and then all that was written, or just what was safe."""
        way = seeded.below(8)
        if way == 0:
            return self.written()
        found: dict[str, bytes] = {}
        lost: set[str] = set()
        """Folders."""
        for name, files in self._names.items():
            file = files[0 if way == 1 else seeded.below(len(files))]
            if any(each is not None and each.is_folder for each in files):
                lost |= set() if file else {name}
            elif file is not None:
                found[name] = bytes(file.safe) if way == 1 else file.left(seeded)
        return {name: content for name, content in found.items() if not _lies_in(name, lost)}


def _folder(name: str) -> str:
    return str(Path(name).parent)


def _lies_in(name: str, folders: Collection[str]) -> bool:
    return bool(folders) and any(str(one) in folders for one in Path(name).parents)


def put(files: dict[str, bytes], path: Path, other: Path) -> None:
    """Write a database that was found on a medium, log, attachments and all, under another name.

    Args:
        files: what was found, by name.
        path: the database, as it was opened.
        other: where to put it; nothing may lie there.
    """
    for name, content in files.items():
        if name.startswith(str(path)):
            target = Path(f"{other}{name.removeprefix(str(path))}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
