"""Files that are about to be sent: read, cut, sealed and on the disk before the message is. Source: design 11.

Three things go on at once: reading and sealing, hashing the whole, and writing, a batch of chunks at a time. All of
them leave the interpreter to others meanwhile. What is written is noted first, so that whatever stops this, nothing of
it stays in the folder; and it is pinned until the message refers to it.

The buffers are made once. Memory that is new to a process is cleared for it page by page, and that takes longer than
encrypting what is put there.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from mmap import mmap
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Self

from msgsync import limits
from msgsync.account.padding import LENGTH_BYTES
from msgsync.attachment.filename import FALLBACK, safe_name
from msgsync.attachment.media import HEAD_BYTES, media_type_of
from msgsync.attachment.picture import PICTURES, Picture, picture_of
from msgsync.attachment.recording import duration_of
from msgsync.attachment.sealing import (
    BUFFER_BYTES,
    attachments_key,
    key_of,
    open_chunk,
    seal_within,
)
from msgsync.errors import AttachmentDamaged, InvalidValue
from msgsync.records import AttachmentRecord, chunk_name
from msgsync.replica.preview import preview_of
from msgsync.store.trouble import storage_errors
from msgsync.store.worker import Worker

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.chunkrows import Wanted
    from msgsync.store.store import Store

_BATCH: Final = 16
"""Chunks that are noted, and then written, together: so many megabytes, twice, and one commit for them all."""
_TEXTS: Final = 3
"""Chunks that are read and hashed at a time."""
_HASHED: Final = 1024 * 1024
_LARGE: Final = 4 * limits.CHUNK_BYTES
"""Of a larger file the beginning is looked at before all of it is hashed, to find out whether an equal one is here."""
_GLANCES: Final = 8
"""If more files of its size are here it is hashed."""


@dataclass(frozen=True, slots=True)
class Attach:
    """A file to send, with what is said of it."""

    source: str | PathLike[str] | IO[bytes] | bytes
    """A path, a file open for reading bytes, or the bytes."""
    name: str | None = None
    """What it is called; by default the last part of the path."""
    media_type: str | None = None
    """By default what its first bytes show."""
    width: int | None = None
    """Pixels; with ``height`` or not at all. By default what the file says, if it is a picture."""
    height: int | None = None
    duration_ms: int | None = None
    """By default what the file says, if it is a recording that says it."""
    preview: bytes | None = None
    """A small picture to be shown before the file is there, at most 16 KiB; ``b""`` for none. By default one is made of
    pictures, where Pillow is installed (``msgsync[images]``)."""


Attachable = Attach | str | PathLike[str] | IO[bytes] | bytes
"""What `Conversation.send` takes as an attachment."""


class _Read(NamedTuple):
    """A file as it was read."""

    size: int
    digest: bytes
    keys: list[bytes]
    head: bytes


class _Buffers:
    """Memory for chunks: texts that are hashed while more is read, and sealed ones that are written meanwhile.

    Of memory that is mapped only what is written to is there: a small file takes little of it.
    """

    def __init__(self) -> None:
        self.texts = [memoryview(mmap(-1, BUFFER_BYTES)) for _ in range(_TEXTS)]
        self.sealed = [memoryview(mmap(-1, limits.SEALED_CHUNK_BYTES)) for _ in range(2 * _BATCH)]


class Intake:
    """The attachments of one message about to be sent; a context. One thread uses it."""

    def __init__(self, replica: Replica) -> None:
        """Nothing is read before `take_all`."""
        self._replica = replica
        self._names: list[bytes] = []
        self._written: set[bytes] = set()
        self._referred = False
        self._hashing, self._writing = Worker(), Worker()
        self._waiting: list[tuple[bytes, memoryview]] = []
        self._sealed = 0
        """How many chunks."""
        self.records: list[AttachmentRecord] = []

    def __enter__(self) -> Self:
        self._key = self._attachments_key()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hashing.stop()
        self._writing.stop()
        with self._replica.lock:
            store = self._replica.store()
            if self._referred:
                store.attachments.release(self._names)
                return
            with self._replica.writing():
                store.attachments.unpin(self._names)
                store.attachments.sweep()

    def _attachments_key(self) -> bytes:
        """What chunks are hashed with: of the epoch in force; if there is none, one for this message alone."""
        known = self._replica.membership.moment()
        epoch = known.roster.state.epoch
        if epoch is None or epoch not in known.keyring:
            return self._replica.system.random_bytes(32)
        return attachments_key(known.keyring.secret(epoch), known.roster.account)

    def take_all(self, attachments: Sequence[Attachable]) -> None:
        """Take in what a message is to be sent with.

        Raises:
            InvalidValue: too many, or nothing that can be attached, or a file that changed while it was read.
            OSError: a file cannot be read.
            StorageError: it cannot be written here.
        """
        if isinstance(attachments, str | bytes | PathLike) or not isinstance(attachments, Sequence):
            raise InvalidValue("attachments is a list of paths, files, bytes or Attach")
        if len(attachments) > limits.ATTACHMENTS:
            raise InvalidValue(f"a message has at most {limits.ATTACHMENTS} attachments")
        for one in attachments:
            self.records.append(self._take(one if isinstance(one, Attach) else Attach(one)))
        self._flush()
        self._settle()

    def _take(self, attach: Attach) -> AttachmentRecord:
        with _opened(attach.source) as (file, name):
            start = file.tell() if file.seekable() else None
            found = self._equal(file) or self._cut(file)
            media_type = media_type_of(found.head)
            picture, duration_ms = None, attach.duration_ms
            if start is not None:
                picture = _picture(file, start, found.size, media_type)
                if duration_ms is None:
                    duration_ms = _duration_ms(file, start, found.size, media_type)
        width, height, preview = attach.width, attach.height, attach.preview
        if picture is not None:
            if width is None and height is None:
                width, height = picture.size
            if preview is None:
                preview = preview_of(picture)
        return AttachmentRecord(
            safe_name(attach.name or name),
            attach.media_type or media_type,
            found.size,
            found.digest,
            b"".join(found.keys),
            width,
            height,
            duration_ms,
            preview or None,
        )

    # A file that is here already.

    def _equal(self, file: IO[bytes]) -> _Read | None:
        """Look whether an equal file is here, whatever epoch it was sealed in, if one of its size is known."""
        if not file.seekable():
            return None
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        with self._replica.reading() as store:
            if not store.attachments.has_size(size):
                return None
        if size > _LARGE and not self._begins_like_one(file, size):
            return None
        head = file.read(HEAD_BYTES)
        hashed = hashlib.sha256(head)
        while block := file.read(_HASHED):
            hashed.update(block)
        file.seek(start)
        return self._reused(size, hashed.digest(), head)

    def _begins_like_one(self, file: IO[bytes], size: int) -> bool:
        """Whether one of the files of this size that are here may begin as this one does; that is looked at first."""
        with self._replica.reading() as store:
            known = store.attachments.beginnings(size, _GLANCES)
        if len(known) == _GLANCES:
            return True
        start = file.tell()
        room = self._buffers.texts[0][LENGTH_BYTES:]
        begins = room[: _fill(file, room)]
        file.seek(start)
        return any(text == begins for text in self._texts_of(known))

    def _texts_of(self, chunks: Sequence[Wanted]) -> Iterator[bytes]:
        for one in chunks:
            sealed = self._replica.fetching.read(one.name)
            with suppress(AttachmentDamaged):
                if sealed is not None:
                    yield open_chunk(one.key, sealed, one.size)

    def _reused(self, size: int, digest: bytes, head: bytes) -> _Read | None:
        with self._replica.reading() as store:
            keys = store.attachments.equal_file(digest, size)
            if keys is None:
                return None
            names = [chunk_name(key) for key in keys]
            store.attachments.pin(names)
            self._names += names
        # What is acknowledged must be readable; and if one is not, its text is at hand.
        if not all(map(self._replica.fetching.is_whole, names)):
            return None
        return _Read(size, digest, keys, head)

    # A new one.

    @cached_property
    def _buffers(self) -> _Buffers:
        return _Buffers()

    def _cut(self, file: IO[bytes]) -> _Read:
        hashed, size, head = hashlib.sha256(), 0, b""
        keys: list[bytes] = []
        texts = self._buffers.texts
        while True:
            if len(keys) % _TEXTS == 0:
                self._hashing.settle()
            buffer = texts[len(keys) % _TEXTS]
            text = buffer[LENGTH_BYTES:]
            text = text[: _fill(file, text)]
            if not text:
                break
            self._hashing.start(partial(hashed.update, text))
            head = head or bytes(text[:HEAD_BYTES])
            size += len(text)
            if len(keys) == limits.CHUNKS:
                raise InvalidValue(
                    f"an attachment has at most {limits.CHUNKS * limits.CHUNK_BYTES} bytes"
                )
            keys.append(self._store_chunk(buffer, text))
        self._hashing.settle()
        return _Read(size, hashed.digest(), keys, head)

    def _store_chunk(self, buffer: memoryview, text: memoryview) -> bytes:
        """Have a chunk written, if it is not here already; return its key."""
        key = key_of(self._key, text)
        name = chunk_name(key)
        with self._replica.reading() as store:
            store.attachments.pin([name])
            self._names.append(name)
        if name not in self._written and not self._replica.fetching.is_whole(name):
            self._written.add(name)
            sealed = self._buffers.sealed[self._sealed % (2 * _BATCH)]
            self._sealed += 1
            self._waiting.append((name, seal_within(key, buffer, len(text), sealed)))
            if len(self._waiting) == _BATCH:
                self._flush()
        return key

    def _flush(self) -> None:
        """Note what waits to be written, and have it written while more is read."""
        self._settle()
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        with self._replica.writing() as store:
            store.attachments.loosen([name for name, _ in batch])
            files = store.attachments.files
        self._writing.start(partial(files.write_all, batch))

    def _settle(self) -> None:
        with storage_errors(self._replica.path):
            self._writing.settle()

    def referred(self, store: Store) -> None:
        """The message refers to them; within its transaction."""
        store.attachments.arrive(self._written)
        self._referred = True


@contextmanager
def _opened(source: Any) -> Iterator[tuple[IO[bytes], str]]:
    """What is to be read, and how it is called; a path is looked at again when it was read."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), FALLBACK
    elif isinstance(source, str | PathLike):
        path = Path(source)
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            yield file, path.name
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InvalidValue(
                f"{path} changed while it was read; send it again when it is finished"
            )
    elif hasattr(source, "read"):
        name = getattr(source, "name", None)
        yield source, Path(name).name if isinstance(name, str) else FALLBACK
    else:
        raise InvalidValue(
            f"an attachment is a path, a file open for reading bytes, bytes or Attach, not {type(source).__name__}"
        )


def _picture(file: IO[bytes], start: int, size: int, media_type: str) -> Picture | None:
    """What there is to see in a file that was read, if it is a picture of a bounded length."""
    if media_type not in PICTURES or size > limits.PICTURE_BYTES:
        return None
    return picture_of(media_type, _piece(file, start, size))


def _duration_ms(file: IO[bytes], start: int, size: int, media_type: str) -> int | None:
    """How long a file that was read plays, if it says so."""
    return duration_of(media_type, size, lambda at, count: _piece(file, start + at, count))


def _piece(file: IO[bytes], at: int, count: int) -> bytes:
    file.seek(at)
    data = memoryview(bytearray(count))
    return bytes(data[: _fill(file, data)])


def _fill(file: IO[bytes], buffer: memoryview) -> int:
    """Read as much as there is room for, or is left; return how much. A pipe gives what it has."""
    at = 0
    while at < len(buffer):
        if isinstance(file, io.FileIO | io.BufferedReader | io.BytesIO):
            got: int | None = file.readinto(buffer[at:])
        else:
            block = file.read(len(buffer) - at)
            if not isinstance(block, bytes):
                raise InvalidValue("a file to be attached has to be open for reading bytes")
            got = len(block)
            buffer[at : at + got] = block
        if got is None:
            raise InvalidValue(
                "a file to be attached has to wait for its bytes: it is non-blocking"
            )
        if not got:
            break
        at += got
    return at
