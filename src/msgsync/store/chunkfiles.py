"""The folder beside a replica where sealed chunks lie, a file each. Source: design 11, docs/specification.md.

A file is written under another name, brought to the disk and then given its own: whoever finds a chunk finds it whole.
What is in it is sealed, and who holds the keys sees to it when it is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from glob import escape
from itertools import count
from pathlib import Path
from typing import Final

SUFFIX: Final = ".attachments"
_UNFINISHED: Final = ".part"
_WRITERS: Final = 4


class ChunkFiles:
    """Files of chunks by name. Errors of the operating system go to the caller."""

    def __init__(self, replica: str) -> None:
        """Nothing is made before the first chunk is written; ``replica`` is the path of the file."""
        self._replica = replica
        self._parts = count()
        """Two threads may have the same chunk to write."""

    @cached_property
    def folder(self) -> Path:
        """Where they are."""
        return Path(self._replica + SUFFIX)

    def path(self, name: bytes) -> Path:
        """Where a chunk lies, or would."""
        text = name.hex()
        return self.folder / text[:2] / text

    def write_all(self, chunks: Mapping[bytes, bytes]) -> None:
        """Write some chunks at a time: bringing several to the disk takes hardly longer than one."""
        from concurrent.futures import ThreadPoolExecutor  # most openings never need it

        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="msgsync-chunks") as threads:
            for _ in threads.map(self.write, chunks.keys(), chunks.values()):
                pass

    def write(self, name: bytes, sealed: bytes) -> None:
        """Write a chunk so that it is on the disk, and its name as well."""
        path = self.path(name)
        if not path.parent.exists():
            self._make_folders(path.parent)
        part = path.with_name(f"{path.name}.{next(self._parts)}{_UNFINISHED}")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(path.parent)

    def _make_folders(self, folder: Path) -> None:
        for one in (self.folder, folder):
            with suppress(FileExistsError):
                one.mkdir(mode=0o700)
                _sync(one.parent)

    def read(self, name: bytes, start: int = 0, count: int = -1) -> bytes | None:
        """A chunk, or a piece of it; None if there is none."""
        try:
            with self.path(name).open("rb") as file:
                file.seek(start)
                return file.read(count)
        except FileNotFoundError:
            return None

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


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
