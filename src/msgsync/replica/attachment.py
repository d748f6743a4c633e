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
    AttachmentGone,
    FileExists,
)
from msgsync.records import AttachmentRecord, chunk_name, encode_attachment
from msgsync.store.chunkrows import ChunkSource

if TYPE_CHECKING:
    from msgsync.replica.fetching import Wait

_NAMES_TRIED: Final = 1000
_GONE: Final = "{!r} was erased, or the message that it went with; its bytes are nowhere any more"


class AttachmentState(StrEnum):
    """Where the bytes of an attachment are, as far as this device knows."""

    ONLY_HERE = "only-here"
    """On this device, all of them; nobody else is known to have them."""
    UPLOADING = "uploading"
    """On this device, all of them, and some in a mailbox, where the others follow."""
    HERE = "here"
    """On this device, all of them, and elsewhere too: in a mailbox, or on another device."""
    DOWNLOADING = "downloading"
    """Not all on this device yet; they are fetched when it is connected to who has them."""
    ELSEWHERE = "elsewhere"
    """Not all on this device: they were let go of to make room, or fetching them was stopped by `Attachment.pause`;
    they come when somebody reads them."""
    DAMAGED = "damaged"
    """Some were found to be not what was stored; they are fetched anew from who has them."""
    GONE = "gone"
    """Erased on all devices, while the message stays: see `Conversation.erase_attachment`. Nothing brings it back."""


ProgressListener = Callable[[int, int], object]
"""Called with how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was sent with a message. The bytes may be on this device, or on another one."""

    number: int
    """Its place among those of its message, from 1 on."""
    name: str
    """As its sender called it, for showing; `save` makes a name of it that is safe in a folder."""
    media_type: str
    """By the first bytes, or as its sender said."""
    size: int
    """Bytes."""
    digest: str
    """SHA-256 of the whole, in hexadecimal; empty if it is gone."""
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
    _source: ChunkSource = field(compare=False, repr=False)

    @property
    def record(self) -> bytes:
        """What the message's record says of it, for an export: whoever has this and the chunks can read the file."""
        return encode_attachment(self._record)

    def open(self, *, timeout: float | None = 0) -> io.BufferedReader:
        """A file of its bytes, open for reading and seekable; it decrypts what is read.

        What is not on this device is fetched, before all else, by a session that stays connected, in another thread
        or process of this device: see `ensure_local`.

        Args:
            timeout: how long to wait for what is not here, in seconds; None for ever.

        Raises, when it is read:
            AttachmentElsewhere: what is to be read is not on this device, and did not come within that time.
            AttachmentDamaged: it is not what was stored.
            AttachmentGone: it was erased.
        """
        self._check()
        reader = _Reader(self._record, self._source, timeout)
        return io.BufferedReader(reader, limits.CHUNK_BYTES)

    def ensure_local(
        self, *, timeout: float | None = None, on_progress: ProgressListener | None = None
    ) -> None:
        """Block until all its bytes are on this device.

        Something has to exchange meanwhile: `msgsync.serve`, or `msgsync.sync` with ``watch``, in another thread. It is
        fetched before what nobody waits for. What came stays if this ends early, and is not fetched again.

        Args:
            timeout: how long to wait for the next part of it, in seconds; None for ever.
            on_progress: called with bytes here and of how many, whenever some came; what it raises ends it.

        Raises:
            AttachmentElsewhere: nothing came for so long.
            AttachmentPaused: `pause` was called meanwhile.
            AttachmentGone: it was erased, perhaps meanwhile.
            ReplicaClosed: the replica was closed meanwhile.
        """
        self._check()
        names = self._names()

        def tell() -> None:
            if on_progress is not None:
                on_progress(self._bytes_here(names), self.size)

        tell()
        self._source.fetch(names, timeout, tell)

    def pause(self) -> None:
        """Stop fetching it on this device, from any thread; what came of it is kept.

        Whoever waits for it gets `AttachmentPaused`. It does not come by itself any more; `ensure_local`, or reading it
        with a timeout, goes on from where it was, and so does `resume` without waiting. At most `limits.CHUNKS_ASKED`
        chunks that were asked for already may still come. Nothing happens if all of it is here.

        Raises:
            AttachmentGone: it was erased.
            ReadOnly: the replica was opened for reading.
        """
        self._check()
        self._source.pause(self._names())

    def resume(self) -> None:
        """Have it fetched by itself again, also if it was let go of to make room, as far as a budget allows it.

        Raises:
            AttachmentGone: it was erased.
            ReadOnly: the replica was opened for reading.
        """
        self._check()
        self._source.resume(self._names())

    def _names(self) -> list[bytes]:
        return [*map(chunk_name, self._record.chunk_keys())]

    def _check(self) -> None:
        if self._record.is_gone:
            raise AttachmentGone(_GONE.format(self.name))

    def _bytes_here(self, names: Sequence[bytes]) -> int:
        sizes = map(self._record.chunk_size, range(len(names)))
        return sum(
            size for name, size in zip(names, sizes, strict=True) if self._source.is_here(name)
        )

    def save(
        self,
        path: str | PathLike[str],
        *,
        timeout: float | None = 0,
        on_progress: ProgressListener | None = None,
    ) -> Path:
        """Write it into a new file. Nothing is overwritten.

        Args:
            path: of the file; or a folder, where it gets a name like its own that is safe and not taken yet.
            timeout: how long to wait for what is not on this device, as in `open`.
            on_progress: called after each chunk with bytes done and of how many; what it raises ends it.

        Returns:
            The path of the file.

        Raises:
            FileExists: there is a file at the path.
            AttachmentElsewhere: its bytes are not all on this device; no file stays.
            AttachmentDamaged: they are not what was sent; no file stays.
            AttachmentGone: it was erased; no file stays.
            OSError: the file cannot be written.
        """
        self._check()
        target = Path(path)
        target = _reserved_in(target, self.name) if target.is_dir() else _reserved(target)
        short = target.name.encode()[:200].decode(errors="ignore")
        part = target.with_name(f".{short}.{os.getpid()}.part")
        try:
            with part.open("xb") as file:
                self._copy(file, timeout, on_progress)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            raise
        return target

    def _copy(
        self, file: io.BufferedWriter, timeout: float | None, on_progress: ProgressListener | None
    ) -> None:
        hashed = hashlib.sha256()
        done = 0
        reader = _Reader(self._record, self._source, timeout)
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


def waiting(attachment: Attachment, on_news: Callable[[], object]) -> Wait:
    """Begin to wait for an attachment: what `msgsync.aio.ensure_local` goes by. Raises AttachmentGone."""
    from msgsync.replica.fetching import (  # which knows of messages, that have attachments
        Fetching,
        Wait,
    )

    attachment._check()  # noqa: SLF001 - of this module
    source = attachment._source  # noqa: SLF001
    assert isinstance(source, Fetching)
    return Wait(source, attachment._names(), on_news)  # noqa: SLF001


def bytes_here(attachment: Attachment) -> int:
    """How many of its bytes are on this device now."""
    return attachment._bytes_here(attachment._names())  # noqa: SLF001


class _Reader(io.RawIOBase):
    """Reads an attachment chunk by chunk."""

    def __init__(
        self, record: AttachmentRecord, source: ChunkSource, timeout: float | None
    ) -> None:
        self._record = record
        self._source = source
        self._timeout = timeout
        self._keys = record.chunk_keys()
        self._at = 0
        self._number, self._chunk = -1, b""

    def chunk(self, number: int) -> bytes:
        """The text of a chunk; the last one read is kept."""
        if number != self._number:
            key = self._keys[number]
            name = chunk_name(key)
            sealed = self._sealed(name)
            try:
                self._chunk = open_chunk(key, sealed, self._record.chunk_size(number))
            except AttachmentDamaged:
                self._source.damaged(name)
                raise
            self._number = number
        return self._chunk

    def _sealed(self, name: bytes) -> bytes:
        sealed = self._source.read(name)
        if sealed is None:
            self._source.missing(name)
            if self._timeout != 0:
                self._source.fetch([name], self._timeout)
                sealed = self._source.read(name)
        if sealed is None:
            if not self._source.is_needed(name):
                raise AttachmentGone(_GONE.format(self._record.name))
            raise AttachmentElsewhere(
                f"{self._record.name!r} is not on this device, or not all of it; sync with one that has it"
            )
        return sealed

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
