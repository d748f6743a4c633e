"""The folder beside a replica where sealed chunks lie, a file each. Source: design 11, docs/specification.md.

A file is written under another name and brought to the disk; then it is given its own, and that is brought to the disk:
whoever finds a chunk finds it whole, and what is committed afterwards may say that it is here, whenever the power goes.
What is in it is sealed, and who holds the keys sees to it when it is read.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgsync.errors import ReplicaClosed
from msgsync.store.filesystem import REAL_FILES, FileSystem

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SUFFIX: Final = ".attachments"
_UNFINISHED: Final = ".part"


class ChunkFiles:
    """Files of chunks by name. Errors of the operating system go to the caller. Safe to use from several threads."""

    def __init__(self, replica: Path | str, system: FileSystem = REAL_FILES) -> None:
        """Nothing is made before the first chunk is written."""
        self._replica = replica
        self._system = system
        self._parts = count()
        """Two threads may have the same chunk to write."""
        self._guard = threading.Lock()
        """Held while a batch is written: there is one disk."""
        self._closed = False
        self._safe: set[Path] = set()
        """Folders whose names are on the disk: of others that may not be so, whoever made them."""
        self._news = threading.Condition()
        self._coming: Counter[bytes] = Counter()
        """How many are about to write a chunk."""

    # Who writes.

    @property
    def beside(self) -> bool:
        """See `FileSystem.beside`."""
        return self._system.beside

    def expect(self, names: list[bytes]) -> None:
        """These are about to be written: what lies under their names before is not to be judged."""
        with self._news:
            self._coming.update(names)

    def forget(self, names: list[bytes]) -> None:
        """Those were written, or will not be."""
        with self._news:
            self._coming.subtract(names)
            self._coming += Counter()  # those that nobody writes
            self._news.notify_all()

    def expected(self) -> set[bytes]:
        """What somebody is about to write."""
        with self._news:
            return set(self._coming)

    def settle(self) -> None:
        """Wait until what is about to be written at this moment is."""
        with self._news:
            names = [*self._coming]
            self._news.wait_for(lambda: self._coming.keys().isdisjoint(names))

    def close(self) -> None:
        """Wait for what is being written; nothing is written any more: another process may look after the folder."""
        with self._guard:
            self._closed = True

    @cached_property
    def folder(self) -> Path:
        """Where they are."""
        return Path(f"{self._replica}{SUFFIX}")

    def path(self, name: bytes) -> Path:
        """Where a chunk lies, or would."""
        text = name.hex()
        return self.folder / text[:2] / text

    # Files.

    def write_all(self, chunks: Iterable[tuple[bytes, ReadableBuffer]]) -> None:
        """Write some chunks so that they are on the disk, and their names as well.

        Bringing something to the disk takes long, and many things at a time hardly longer than one: all of them are
        on their way there before the first is waited for, and so with their names.

        Raises:
            ReplicaClosed: the replica was closed meanwhile.
        """
        with self._guard:
            if self._closed:
                raise ReplicaClosed(f"{self.folder} belongs to a replica that was closed meanwhile")
            self._write_all([(self.path(name), sealed) for name, sealed in chunks])

    def _write_all(self, chunks: Sequence[tuple[Path, ReadableBuffer]]) -> None:
        folders = sorted({path.parent for path, _ in chunks})
        self._make_folders(folders)
        parts: list[tuple[Path, Path]] = []
        try:
            for path, sealed in chunks:
                part = path.with_name(f"{path.name}.{next(self._parts)}{_UNFINISHED}")
                parts.append((part, path))
                try:
                    self._system.write(part, sealed)
                except FileNotFoundError:  # somebody has removed the folder meanwhile
                    self._safe.clear()
                    self._make_folders(folders)
                    self._system.write(part, sealed)
            for part, _ in parts:
                self._system.sync(part)
            for part, path in parts:
                self._system.rename(part, path)
        except OSError:
            self._give_up(parts)
            raise
        for folder in folders:
            self._system.sync(folder)

    def _give_up(self, parts: Sequence[tuple[Path, Path]]) -> None:
        """Make room at once: on a disk that got full by them nothing else could be written, no message either."""
        with suppress(OSError):  # what stays is noted, and removed later
            for part, _ in parts:
                self._system.remove(part)

    def _make_folders(self, folders: Sequence[Path]) -> None:
        """Make folders for chunks, where there are none, so that their names are on the disk."""
        if self.folder not in self._safe:
            self._system.make_folder(self.folder)
            self._system.sync(self.folder.parent)
            here = self._system.names(self.folder)
            self._system.sync(self.folder)
            self._safe.update((self.folder, *(self.folder / one for one in here)))
        new = [folder for folder in folders if folder not in self._safe]
        try:
            for folder in new:
                self._system.make_folder(folder)
        except FileNotFoundError:  # somebody has removed the folder they lie in
            self._safe.clear()
            self._make_folders(folders)
            return
        if new:
            self._system.sync(self.folder)
            self._safe.update(new)

    def read(self, name: bytes) -> bytes | None:
        """A chunk; None if there is none."""
        found = self._system.read(self.path(name), 0, -1)
        return None if found is None else found[1]

    def read_piece(self, name: bytes, start: int, count: int) -> tuple[int, bytes] | None:
        """The size of a chunk, and so many bytes of it from there on; None if there is none."""
        return self._system.read(self.path(name), start, count)

    def size(self, name: bytes) -> int | None:
        """How many bytes it takes; None if there is none."""
        return self._system.size(self.path(name))

    def remove(self, name: bytes) -> None:
        """Remove a chunk; see `sync_names`."""
        self._system.remove(self.path(name))

    def remove_parts(self, name: bytes) -> None:
        """Remove what was left of writing it; see `sync_names`."""
        path = self.path(name)
        for one in self._system.names(path.parent):
            if one.startswith(f"{path.name}."):
                self._system.remove(path.with_name(one))

    def sync_names(self, names: Iterable[bytes]) -> None:
        """Have on the disk which of these chunks there are: until then a power loss may undo names and removals."""
        folders = {self.path(name).parent for name in names}
        here = set(self._system.names(self.folder))
        for folder in sorted(folders):
            if folder.name in here:
                self._system.sync(folder)

    def names(self) -> list[str]:
        """What lies in the folder, whatever it is: the names of the files."""
        return sorted(
            one
            for folder in self._system.names(self.folder)
            for one in self._system.names(self.folder / folder)
        )

    def remove_file(self, text: str) -> None:
        """Remove a file by one of `names`."""
        for folder in self._system.names(self.folder):
            if text in self._system.names(self.folder / folder):
                self._system.remove(self.folder / folder / text)

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        for folder in self._system.names(self.folder):
            for file in self._system.names(self.folder / folder):
                self._system.remove(self.folder / folder / file)
            self._system.remove_folder(self.folder / folder)
        if self._system.size(self.folder) is not None:
            self._system.remove_folder(self.folder)
