"""A folder as a mailbox: on a disk, a USB stick, a network drive, or kept the same on all devices by another program.

Each object is a file. It is written beside its place and renamed, so nobody sees half of one that this machine writes;
what a program that syncs the folder shows of its own, half-copied files included, has other names or is found out by
whoever opens the object.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgsync import limits
from msgsync.errors import InvalidValue, MailboxDamaged, MailboxUnreachable
from msgsync.mailbox.mailbox import check_body, check_name, is_name, no_such_object, too_long
from msgsync.mailbox.trouble import file_error

_NO_SYNC: Final = {errno.EINVAL, errno.EBADF, errno.ENOTSUP}
"""What file systems say that cannot bring a directory to the disk by itself."""
_TRIES: Final = 3
"""To put an object into a folder that somebody removes as empty."""


class FolderMailbox:
    """A mailbox in a folder, which has to be there: a stick that is not plugged in is not made anew beside it.

    Args:
        path: the folder. Other files in it are left alone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = self.path = Path(path).absolute()
        if "\0" in str(self._path):
            raise InvalidValue(f"{str(path)!r} is no path")
        self.address = self._path.as_uri()

    def put(self, name: str, body: bytes) -> None:
        """See `Mailbox.put`."""
        place = self._path / check_name(name)
        check_body(body)
        with self._errors(name):
            self._look()
            handle, part = tempfile.mkstemp(".part", ".msgsync-", self._path)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                self._rename(Path(part), place)
            except BaseException:
                with suppress(OSError):  # the first error says why
                    Path(part).unlink()
                raise
            _sync_folder(place.parent)

    def _rename(self, part: Path, place: Path) -> None:
        for tries_left in reversed(range(_TRIES)):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.replace(place)
            except FileNotFoundError:
                if not tries_left:
                    raise
            else:
                return

    def get(self, name: str) -> bytes:
        """See `Mailbox.get`."""
        place = self._path / check_name(name)
        with self._errors(name):
            try:
                # Nothing but a file is read: a link or a pipe in a shared folder could lead anywhere, or nowhere.
                handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except (FileNotFoundError, NotADirectoryError):
                self._look()
                raise no_such_object(name, self.address) from None
            try:
                self._check_file(os.fstat(handle), name)
                with os.fdopen(handle, "rb", closefd=False) as file:
                    return file.read(limits.MAILBOX_OBJECT_BYTES)
            finally:
                os.close(handle)

    def _check_file(self, found: os.stat_result, name: str) -> None:
        if stat.S_ISDIR(found.st_mode):
            raise no_such_object(name, self.address)
        if not stat.S_ISREG(found.st_mode):
            raise MailboxDamaged(f"{name} in {self._path} is not a file; remove it")
        if found.st_size > limits.MAILBOX_OBJECT_BYTES:
            raise too_long(name, self.address)

    def list(self, folder: str) -> list[str]:
        """See `Mailbox.list`."""
        check_name(folder)
        with self._errors(folder):
            self._look()
            return sorted(self._files(folder))

    def _files(self, folder: str) -> Iterator[str]:
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            try:
                with os.scandir(self._path / here) as entries:
                    found = [(f"{here}/{entry.name}", entry) for entry in entries]
            except (FileNotFoundError, NotADirectoryError):
                continue
            for name, entry in found:
                if not is_name(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif entry.is_file(follow_symlinks=False):
                    yield name

    def delete(self, name: str) -> None:
        """See `Mailbox.delete`. A folder that is empty by that goes, too."""
        place = self._path / check_name(name)
        with self._errors(name):
            try:
                place.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._look()
                return
            with suppress(OSError):  # it is not empty, or gone
                if place.parent != self._path:
                    place.parent.rmdir()

    def written_ms(self, name: str) -> int:
        """See `mailbox.Dated`: the file system's time."""
        place = self._path / check_name(name)
        with self._errors(name):
            try:
                return place.stat().st_mtime_ns // 1_000_000
            except FileNotFoundError:
                raise no_such_object(name, self.address) from None

    def _look(self) -> None:
        if not self._path.is_dir():
            raise MailboxUnreachable(
                f"there is no folder {self._path}; plug in or mount what it is on, or make it"
            )

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise file_error(error, f"{name} in {self._path}") from error

    def __repr__(self) -> str:
        return f"FolderMailbox({str(self._path)!r})"


def _sync_folder(folder: Path) -> None:
    """Bring to the disk that a file has its name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)
