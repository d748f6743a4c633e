"""An attachment of a message, as an app sees it. Source: design 11 and 12."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgsync import limits
from msgsync.attachment.filename import numbered, safe_name
from msgsync.attachment.sealing import open_chunk
from msgsync.errors import (
    AttachmentDamaged,
    AttachmentElsewhere,
    FileExists,
)
from msgsync.records import AttachmentRecord, chunk_name

if TYPE_CHECKING:
    from msgsync.store.chunkfiles import ChunkFiles
    from msgsync.store.store import Store

_NAMES_TRIED: Final = 1000


class AttachmentState(StrEnum):
    """Where the bytes of an attachment are, as far as this device knows."""

    HERE = "here"
    """On this device, all of them."""
    ELSEWHERE = "elsewhere"
    """Not on this device, or not all of them."""


ProgressListener = Callable[[int, int], object]
"""Called with how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was sent with a message. The bytes may be on this device, or on another one."""

    name: str
    """As its sender called it, for showing; `save` makes a name of it that is safe in a folder."""
    media_type: str
    """By the first bytes, or as its sender said."""
    size: int
    """Bytes."""
    digest: str
    """SHA-256 of the whole, in hexadecimal."""
    width: int | None
    """Pixels."""
    height: int | None
    duration_ms: int | None
    preview: bytes | None = field(repr=False)
    """A small picture from its sender, which nobody here has looked at: decode it with care."""
    state: AttachmentState = field(compare=False)
    """When the message was read."""
    bytes_here: int = field(compare=False)
    """Of its size, when the message was read."""
    _record: AttachmentRecord = field(compare=False, repr=False)
    _files: ChunkFiles = field(compare=False, repr=False)

    def open(self) -> io.BufferedReader:
        """A file of its bytes, open for reading and seekable; it decrypts what is read.

        Raises, when it is read:
            AttachmentElsewhere: what is to be read is not on this device.
            AttachmentDamaged: it is not what was stored.
        """
        return io.BufferedReader(_Reader(self._record, self._files), limits.CHUNK_BYTES)

    def save(
        self, path: str | PathLike[str], *, on_progress: ProgressListener | None = None
    ) -> Path:
        """Write it into a new file. Nothing is overwritten.

        Args:
            path: of the file; or a folder, where it gets a name like its own that is safe and not taken yet.
            on_progress: called after each chunk with bytes done and of how many; what it raises ends it.

        Returns:
            The path of the file.

        Raises:
            FileExists: there is a file at the path.
            AttachmentElsewhere: its bytes are not all on this device; no file stays.
            AttachmentDamaged: they are not what was sent; no file stays.
            OSError: the file cannot be written.
        """
        target = Path(path)
        target = _reserved_in(target, self.name) if target.is_dir() else _reserved(target)
        part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
        try:
            with part.open("xb") as file:
                self._copy(file, on_progress)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            raise
        return target

    def _copy(self, file: io.BufferedWriter, on_progress: ProgressListener | None) -> None:
        hashed = hashlib.sha256()
        done = 0
        reader = _Reader(self._record, self._files)
        for number in range(len(self._record.keys) // 32):
            text = reader.chunk(number)
            hashed.update(text)
            file.write(text)
            done += len(text)
            if on_progress is not None:
                on_progress(done, self.size)
        if hashed.digest() != self._record.digest:
            raise AttachmentDamaged(
                f"the bytes of {self.name!r} are not what its sender says they are"
            )


def attachments(store: Store, records: Sequence[AttachmentRecord]) -> tuple[Attachment, ...]:
    """Attachments as they are shown, from their records."""
    return tuple(_shown(store, record) for record in records)


def _shown(store: Store, record: AttachmentRecord) -> Attachment:
    keys = record.chunk_keys()
    here = store.attachments.here([chunk_name(key) for key in keys])
    is_here = [chunk_name(key) in here for key in keys]
    bytes_here = sum(record.chunk_size(number) for number, is_one in enumerate(is_here) if is_one)
    return Attachment(
        record.name,
        record.media_type,
        record.size,
        record.digest.hex(),
        record.width,
        record.height,
        record.duration_ms,
        record.preview,
        AttachmentState.HERE if all(is_here) else AttachmentState.ELSEWHERE,
        bytes_here,
        record,
        store.attachments.files,
    )


class _Reader(io.RawIOBase):
    """Reads an attachment chunk by chunk."""

    def __init__(self, record: AttachmentRecord, files: ChunkFiles) -> None:
        self._record = record
        self._files = files
        self._keys = record.chunk_keys()
        self._at = 0
        self._number, self._chunk = -1, b""

    def chunk(self, number: int) -> bytes:
        """The text of a chunk; the last one read is kept."""
        if number != self._number:
            key = self._keys[number]
            sealed = self._files.read(chunk_name(key))
            if sealed is None:
                raise AttachmentElsewhere(
                    f"{self._record.name!r} is not on this device, or not all of it; sync with one that has it"
                )
            self._chunk = open_chunk(key, sealed, self._record.chunk_size(number))
            self._number = number
        return self._chunk

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._record.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._at >= self._record.size or not view:
            return 0
        number, within = divmod(self._at, limits.CHUNK_BYTES)
        piece = self.chunk(number)[within : within + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _reserved(path: Path) -> Path:
    """Take a name that nothing has. Raises FileExists."""
    try:
        path.open("xb").close()
    except FileExistsError as error:
        raise FileExists(f"{path} exists; nothing is overwritten, choose another name") from error
    return path


def _reserved_in(folder: Path, name: str) -> Path:
    """Take a name like this one in a folder."""
    safe = safe_name(name)
    for number in range(1, _NAMES_TRIED):
        path = folder / (safe if number == 1 else numbered(safe, number))
        try:
            return _reserved(path)
        except FileExists:
            continue
    raise FileExists(f"{folder} has a thousand files called like {safe!r}; choose another folder")
