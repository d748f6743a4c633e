"""Files beside the database, one operation at a time: the seam under which a disk can be simulated."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class FileSystem(Protocol):
    """What a replica needs of the file system under the folder of its chunks. Everything may raise OSError."""

    @property
    def beside(self) -> bool:
        """Whether files may be written in a thread while another one goes on: then in no order that repeats itself."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, if it is not there; its name is safe once the folder above is synced."""

    def write(self, path: Path, data: ReadableBuffer) -> None:
        """Put bytes into a file, in place of what it held; safe once the file and its folder are synced."""

    def sync(self, path: Path) -> None:
        """Bring to the disk what a file holds, or which names a folder has."""

    def rename(self, path: Path, other: Path) -> None:
        """Give a file another name, in place of what had it; safe once the folder is synced."""

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; gone for good once the folder is synced."""

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""

    def read(self, path: Path, start: int, count: int) -> tuple[int, bytes] | None:
        """The size of a file, and a piece of it, or from there on all of it (-1); None if there is none."""

    def size(self, path: Path) -> int | None:
        """How many bytes a file has; None if there is none."""

    def names(self, folder: Path) -> list[str]:
        """What lies in a folder; nothing if there is no such folder."""


class _RealFiles:
    """Those of this machine."""

    beside: Final = True

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    def write(self, path: Path, data: ReadableBuffer) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        handle = os.open(path, flags, 0o600)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            if hasattr(os, "posix_fadvise"):  # have it begin its way to the disk
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)

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

    def read(self, path: Path, start: int, count: int) -> tuple[int, bytes] | None:
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                return os.fstat(file.fileno()).st_size, file.read(count)
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
