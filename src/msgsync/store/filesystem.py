"""Files beside the database, one operation at a time: the seam under which a disk can be simulated."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, Protocol


class FileSystem(Protocol):
    """What a replica needs of the file system under the folder of its chunks. Everything may raise OSError."""

    @property
    def writers(self) -> int:
        """How many files to bring to the disk at a time."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, if it is not there; its name is safe once the folder above is synced."""

    def write(self, path: Path, data: bytes) -> None:
        """Put bytes into a file, in place of what it held; safe once the file and its folder are synced."""

    def sync(self, path: Path) -> None:
        """Bring to the disk what a file holds, or which names a folder has."""

    def rename(self, path: Path, other: Path) -> None:
        """Give a file another name, in place of what had it; safe once the folder is synced."""

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; gone for good once the folder is synced."""

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""

    def read(self, path: Path, start: int, count: int) -> bytes | None:
        """A piece of a file, or from there on all of it (-1); None if there is none."""

    def size(self, path: Path) -> int | None:
        """How many bytes a file has; None if there is none."""

    def names(self, folder: Path) -> list[str]:
        """What lies in a folder; nothing if there is no such folder."""


class _RealFiles:
    """Those of this machine."""

    writers: Final = 4

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)

    def sync(self, path: Path) -> None:
        if sys.platform == "win32" and path.is_dir():
            return  # a folder cannot be opened there, and need not be
        handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, path: Path, other: Path) -> None:
        path.replace(other)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        path.rmdir()

    def read(self, path: Path, start: int, count: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(count)
        except FileNotFoundError:
            return None

    def size(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def names(self, folder: Path) -> list[str]:
        try:
            return sorted(one.name for one in folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []


REAL_FILES: Final[FileSystem] = _RealFiles()
"""The file system of this machine."""
