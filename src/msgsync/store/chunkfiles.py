"""The folder beside a replica where sealed chunks lie, a file each. Source: design 11, docs/specification.md.

A file is written under another name, brought to the disk and then given its own: whoever finds a chunk finds it whole.
What is in it is sealed, and who holds the keys sees to it when it is read.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgsync.errors import ReplicaClosed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SUFFIX: Final = ".attachments"
_UNFINISHED: Final = ".part"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class ChunkFiles:
    """Files of chunks by name. Errors of the operating system go to the caller."""

    def __init__(self, replica: Path) -> None:
        """Nothing is made before the first chunk is written."""
        self.folder = replica.with_name(replica.name + SUFFIX)
        self._parts = count()
        """Two threads may have the same chunk to write."""
        self._guard = threading.Lock()
        """Held while a batch is written: there is one disk."""
        self._closed = False
        self._news = threading.Condition()
        self._coming: Counter[bytes] = Counter()
        """How many are about to write a chunk."""

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

    def is_expected(self, name: bytes) -> bool:
        """Whether somebody is about to write a chunk."""
        with self._news:
            return name in self._coming

    def settle(self) -> None:
        """Wait until what is about to be written at this moment is."""
        with self._news:
            names = [*self._coming]
            self._news.wait_for(lambda: self._coming.keys().isdisjoint(names))

    def close(self) -> None:
        """Wait for what is being written; nothing is written any more: another process may look after the folder."""
        with self._guard:
            self._closed = True

    def path(self, name: bytes) -> Path:
        """Where a chunk lies, or would."""
        text = name.hex()
        return self.folder / text[:2] / text

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
            self._write_all(chunks)

    def _write_all(self, chunks: Iterable[tuple[bytes, ReadableBuffer]]) -> None:
        written: list[tuple[int, Path, Path]] = []
        folders: set[Path] = set()
        try:
            for name, sealed in chunks:
                path = self.path(name)
                if not path.parent.exists():
                    folders.update(self._make_folders(path.parent))
                part = path.with_name(f"{path.name}.{next(self._parts)}{_UNFINISHED}")
                handle = os.open(part, _NEW, 0o600)
                written.append((handle, part, path))
                _write(handle, sealed)
            for handle, _, _ in written:
                os.fsync(handle)
        finally:
            for handle, _, _ in written:
                os.close(handle)
        for _, part, path in written:
            part.replace(path)
            folders.add(path.parent)
        for folder in sorted(folders):
            _sync(folder)

    def _make_folders(self, folder: Path) -> Iterator[Path]:
        """Make what is missing, and tell what is to be brought to the disk by that."""
        for one in (self.folder, folder):
            with suppress(FileExistsError):
                one.mkdir(mode=0o700)
                yield one.parent

    def read(self, name: bytes) -> bytes | None:
        """A chunk; None if there is none."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def read_piece(self, name: bytes, start: int, count: int) -> tuple[int, bytes] | None:
        """The size of a chunk, and so many bytes of it from there on; None if there is none."""
        try:
            handle = os.open(self.path(name), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.fstat(handle).st_size, os.pread(handle, count, start)
        finally:
            os.close(handle)

    def size(self, name: bytes) -> int | None:
        """How many bytes it takes; None if there is none."""
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, name: bytes) -> None:
        """Remove a chunk."""
        self.path(name).unlink(missing_ok=True)

    def remove_parts(self, name: bytes) -> None:
        """Remove what was left of writing it."""
        path = self.path(name)
        for one in path.parent.glob(f"{path.name}.*"):
            one.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """What lies in the folder, whatever it is: the names of the files."""
        if not self.folder.exists():
            return []
        return sorted(
            file.name
            for folder in self.folder.iterdir()
            if folder.is_dir()
            for file in folder.iterdir()
        )

    def remove_file(self, text: str) -> None:
        """Remove a file by one of `names`."""
        for file in self.folder.glob(f"*/{escape(text)}"):
            file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        if not self.folder.exists():
            return
        for folder in list(self.folder.iterdir()):
            for file in list(folder.iterdir()):
                file.unlink()
            folder.rmdir()
        self.folder.rmdir()


def _write(handle: int, data: ReadableBuffer) -> None:
    """Write all of it, and have it begin its way to the disk, where a system can be told so."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
