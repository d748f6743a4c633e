"""One file as a mailbox, for carrying by hand: objects one behind the other. Source: docs/specification.md.

What is put is written behind the rest and brought to the disk; what it replaces stays in the file until that is more
than half of it. A file of which the end is missing, half copied or torn by a power failure, ends with its last whole
object. Processes take turns by a lock on the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from msgsync import limits
from msgsync.errors import InvalidValue, MailboxDamaged, MailboxUnreachable
from msgsync.mailbox.mailbox import check_body, check_name, is_name, no_such_object
from msgsync.mailbox.trouble import file_error

_MAGIC: Final = b"msgsync-bundle-1"
_PUT: Final = 1
_DELETED: Final = 2
_FRONT_BYTES: Final = 6
"""Kind, length of the name, length of the body."""
_CHECK_BYTES: Final = 16
_HASH_BYTES: Final = 32
_WORTH_REWRITING_BYTES: Final = limits.MIB


class _Place(NamedTuple):
    """Where the body of an object lies in the file."""

    start: int
    size: int


class BundleMailbox:
    """A mailbox in a file. The folder has to be there; the file is made with the first object.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        if "\0" in str(self._path) or not self._path.name:
            raise InvalidValue(f"{str(path)!r} is no path of a file")
        self.address = "bundle" + self._path.as_uri().removeprefix("file")
        self._lock = threading.Lock()
        self._objects: dict[str, _Place] = {}
        self._file: tuple[int, int] | None = None
        """Which file was read: device and inode."""
        self._end = 0
        """How far it was read: behind its last whole record."""

    # The verbs.

    def put(self, name: str, body: bytes) -> None:
        """See `Mailbox.put`."""
        check_name(name)
        with self._open(writes=True) as file:
            assert file is not None
            self._append(file, _PUT, name, check_body(body))
            self._shrink(file)

    def get(self, name: str) -> bytes:
        """See `Mailbox.get`."""
        check_name(name)
        with self._open(writes=False) as file:
            place = self._objects.get(name)
            if file is None or place is None:
                raise no_such_object(name, self.address)
            file.seek(place.start)
            body, expected = file.read(place.size), file.read(_HASH_BYTES)
        if _hash(name, body) != expected:
            raise MailboxDamaged(f"{name} in {self._path} is not as it was put; it is left out")
        return body

    def list(self, folder: str) -> list[str]:
        """See `Mailbox.list`."""
        prefix = f"{check_name(folder)}/"
        with self._open(writes=False):
            names = (name for name in self._objects if name.startswith(prefix))
            return sorted(filter(is_name, names))

    def delete(self, name: str) -> None:
        """See `Mailbox.delete`."""
        check_name(name)
        with self._open(writes=False):
            if name not in self._objects:
                return
        with self._open(writes=True) as file:
            assert file is not None
            self._append(file, _DELETED, name, b"")
            self._shrink(file)

    # The file.

    @contextmanager
    def _open(self, *, writes: bool) -> Iterator[BinaryIO | None]:
        """The file, locked, and read as far as it goes; None if there is none."""
        with self._lock:
            try:
                handle = self._locked(writes=writes)
                if handle is None:
                    self._forget()
                    yield None
                    return
                with os.fdopen(handle, "r+b" if writes else "rb", buffering=0) as raw:
                    self._read(raw)
                    yield raw
            except OSError as error:
                self._forget()
                raise file_error(error, str(self._path)) from error

    def _locked(self, *, writes: bool) -> int | None:
        flags = os.O_NOFOLLOW | os.O_NONBLOCK
        flags |= os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY
        while True:
            try:
                handle = os.open(self._path, flags, 0o600)
            except FileNotFoundError:
                if not self._path.parent.is_dir():
                    raise MailboxUnreachable(
                        f"there is no folder {self._path.parent}; plug in or mount what it is on"
                    ) from None
                return None
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if writes else fcntl.LOCK_SH)
                if self._is_current(handle):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # somebody has rewritten it meanwhile

    def _is_current(self, handle: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(handle), self._path.stat())
        return False

    def _forget(self) -> None:
        self._objects.clear()
        self._file, self._end = None, 0

    def _read(self, file: BinaryIO) -> None:
        """Read what was written since it was read last."""
        found = os.fstat(file.fileno())
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._end:
            self._forget()
            self._file = found.st_dev, found.st_ino
        if not self._end:
            file.seek(0)
            front = file.read(len(_MAGIC))
            if front != _MAGIC[: len(front)]:
                raise MailboxDamaged(f"{self._path} is no bundle of msgsync; choose another file")
            self._end = len(front) if front == _MAGIC else 0
        while self._end and self._read_record(file, found.st_size):
            pass

    def _read_record(self, file: BinaryIO, size: int) -> bool:
        """Read a record at the end of what was read; return whether one is there, and whole."""
        file.seek(self._end)
        front = file.read(_FRONT_BYTES + _CHECK_BYTES)
        if len(front) < _FRONT_BYTES + _CHECK_BYTES:
            return False
        head, check = front[:_FRONT_BYTES], front[_FRONT_BYTES:]
        if _check(head) != check or head[0] not in (_PUT, _DELETED):
            raise MailboxDamaged(
                f"{self._path} is damaged from byte {self._end} on; delete it, and sync again to make it anew"
            )
        name = file.read(head[1]).decode("ascii", "replace")
        place = _Place(file.tell(), int.from_bytes(head[2:], "big"))
        end = place.start + place.size + _HASH_BYTES
        if end > size:
            return False
        if head[0] == _PUT:
            self._objects[name] = place
        else:
            self._objects.pop(name, None)
        self._end = end
        return True

    def _append(self, file: BinaryIO, kind: int, name: str, body: bytes) -> None:
        record = _record(kind, name, body)
        if not self._end:
            record = _MAGIC + record
        file.truncate(self._end)  # what is torn goes
        file.seek(self._end)
        try:
            written = file.write(record)
            while written < len(record):
                written += file.write(record[written:])
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):  # the first error says why
                file.truncate(self._end)
            raise
        self._read(file)

    def _shrink(self, file: BinaryIO) -> None:
        """Write the file anew if more than half of it is of no use."""
        used = sum(place.size for place in self._objects.values())
        if self._end < 2 * used + _WORTH_REWRITING_BYTES:
            return
        handle, part = tempfile.mkstemp(".part", ".msgsync-", self._path.parent)
        try:
            with os.fdopen(handle, "wb") as anew:
                anew.write(_MAGIC)
                for name, place in self._objects.items():
                    file.seek(place.start)  # with the hash as it was: what is damaged stays so
                    anew.write(_front(_PUT, name, place.size) + file.read(place.size + _HASH_BYTES))
                anew.flush()
                os.fsync(anew.fileno())
            Path(part).replace(self._path)
        except BaseException:
            with suppress(OSError):  # the first error says why
                Path(part).unlink()
            raise
        self._forget()

    def __repr__(self) -> str:
        return f"BundleMailbox({str(self._path)!r})"


def _check(head: bytes) -> bytes:
    return hashlib.sha256(head).digest()[:_CHECK_BYTES]


def _hash(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + body).digest()


def _front(kind: int, name: str, size: int) -> bytes:
    head = bytes((kind, len(name))) + size.to_bytes(4, "big")
    return head + _check(head) + name.encode("ascii", "replace")


def _record(kind: int, name: str, body: bytes) -> bytes:
    return _front(kind, name, len(body)) + body + _hash(name, body)
