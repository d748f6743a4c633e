"""The folder beside a replica where sealed chunks lie, a file each. Source: design 11, docs/specification.md.

A file is written under another name and brought to the disk; then it is given its own, and that is brought to the disk:
whoever finds a chunk finds it whole, and what is committed afterwards may say that it is here, whenever the power goes.
What is in it is sealed, and who holds the keys sees to it when it is read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Final

from msgsync.store.filesystem import REAL_FILES, FileSystem

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
        self._safe: set[Path] = set()
        """Folders whose names are on the disk: of others that may not be so, whoever made them."""
        self._making = threading.Lock()

    @cached_property
    def folder(self) -> Path:
        """Where they are."""
        return Path(f"{self._replica}{SUFFIX}")

    def path(self, name: bytes) -> Path:
        """Where a chunk lies, or would."""
        text = name.hex()
        return self.folder / text[:2] / text

    def write_all(self, chunks: Mapping[bytes, bytes]) -> None:
        """Write some chunks at a time: bringing several to the disk takes hardly longer than one."""
        writers = min(self._system.writers, len(chunks))
        if writers <= 1:
            for name, sealed in chunks.items():
                self.write(name, sealed)
            return
        from concurrent.futures import ThreadPoolExecutor  # most openings never need it

        with ThreadPoolExecutor(writers, thread_name_prefix="msgsync-chunks") as threads:
            for _ in threads.map(self.write, chunks.keys(), chunks.values()):
                pass

    def write(self, name: bytes, sealed: bytes) -> None:
        """Write a chunk so that it is on the disk, and its name as well."""
        path = self.path(name)
        part = path.with_name(f"{path.name}.{next(self._parts)}{_UNFINISHED}")
        self._make_folder(path.parent)
        try:
            self._system.write(part, sealed)
        except FileNotFoundError:  # somebody has removed the folder meanwhile
            self._safe.clear()
            self._make_folder(path.parent)
            self._system.write(part, sealed)
        self._system.sync(part)
        self._system.rename(part, path)
        self._system.sync(path.parent)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder for chunks, if it is not there, so that its name is on the disk."""
        if folder in self._safe:
            return
        with self._making:
            if self.folder not in self._safe:
                self._system.make_folder(self.folder)
                self._system.sync(self.folder.parent)
                here = self._system.names(self.folder)
                self._system.sync(self.folder)
                self._safe.update((self.folder, *(self.folder / one for one in here)))
            if folder not in self._safe:
                self._system.make_folder(folder)
                self._system.sync(self.folder)
                self._safe.add(folder)

    def read(self, name: bytes, start: int = 0, count: int = -1) -> bytes | None:
        """A chunk, or a piece of it; None if there is none."""
        return self._system.read(self.path(name), start, count)

    def size(self, name: bytes) -> int | None:
        """How many bytes it takes; None if there is none."""
        return self._system.size(self.path(name))

    def remove(self, name: bytes) -> None:
        """Remove a chunk; see `sync_removals`."""
        self._system.remove(self.path(name))

    def remove_parts(self, name: bytes) -> None:
        """Remove what was left of writing it; see `sync_removals`."""
        path = self.path(name)
        for one in self._system.names(path.parent):
            if one.startswith(f"{path.name}."):
                self._system.remove(path.with_name(one))

    def sync_removals(self, names: Iterable[bytes]) -> None:
        """Have on the disk that chunks were removed: until then a power loss may bring them back."""
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
