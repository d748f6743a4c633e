"""Files of lines: read them plain or gzipped, however long a line is; write them whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from msgsync import limits
from msgsync.errors import InvalidValue

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LINE_BYTES: Final = limits.DOCUMENT_BYTES
"""One line. All that is said about a message fits in one document, so whatever is exported can be read."""

BUFFER_BYTES: Final = 256 * limits.KIB
GZIP_MAGIC: Final = b"\x1f\x8b"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

PathOrFile: TypeAlias = str | os.PathLike[str] | BinaryIO


class CutOff(Exception):
    """The compressed data is damaged or ends too early; what came before it was read."""


class _Pieces(io.RawIOBase):
    """A binary file read in pieces as they come, and counted; it leaves closing to the file's owner.

    Pieces matter for gzip: whoever asks it for a full buffer gets nothing of the last one before the damage.
    """

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        super().__init__()
        self._read = getattr(file, "read1", file.read)
        self.count_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self._read(len(view))
        if self.count_bytes == 0 and len(piece) == 1:  # two bytes tell whether it is gzipped
            piece += self._read(len(view) - 1)
        view[: len(piece)] = piece
        self.count_bytes += len(piece)
        return len(piece)


class LineSource:
    """The lines of a file, one pass: memory is bounded by `LINE_BYTES` whatever the file holds."""

    def __init__(self, file: BinaryIO) -> None:
        """Read ``file`` from where it stands; its first two bytes say whether it is gzipped."""
        self.total_bytes = _remaining_bytes(file)
        """Bytes from there to the end of the file as it lies on disk; None if it cannot know (a pipe)."""
        self._pieces = _Pieces(file)
        stream = io.BufferedReader(self._pieces, BUFFER_BYTES)
        if stream.peek(2)[:2] == GZIP_MAGIC:
            packed = gzip.GzipFile(fileobj=stream, mode="rb")
            stream = io.BufferedReader(_Pieces(packed), BUFFER_BYTES)
        self._stream = stream

    @property
    def bytes_read(self) -> int:
        """Bytes of the file read so far: of the compressed form if it is gzipped."""
        return self._pieces.count_bytes

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield each line with its line end; None for a line longer than `LINE_BYTES`.

        Raises:
            CutOff: the rest of a gzipped file cannot be read.
        """
        try:
            line = self._stream.readline(LINE_BYTES)
            line = line.removeprefix(BYTE_ORDER_MARK)
            while line:
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    yield self._skip(line)
                else:
                    yield line
                line = self._stream.readline(LINE_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CutOff(
                "the gzipped file is damaged or cut off here; what follows is lost"
            ) from error

    def _skip(self, line: bytes) -> bytes | None:
        """Read on to the end of a line that is too long; return it if nothing but its end was missing."""
        rest = self._stream.readline(BUFFER_BYTES)
        if rest in (b"", b"\n"):
            return line
        while rest and not rest.endswith(b"\n"):
            rest = self._stream.readline(BUFFER_BYTES)
        return None


def _remaining_bytes(file: BinaryIO) -> int | None:
    if not file.seekable():
        return None
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


@contextmanager
def open_source(source: PathOrFile) -> Iterator[LineSource]:
    """Open a path or take a binary file (which stays open) as lines.

    Raises:
        OSError: the path cannot be opened or read.
    """
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb", buffering=0) as file:
            yield LineSource(file)
    else:
        yield LineSource(source)


@contextmanager
def open_target(target: PathOrFile) -> Iterator[BinaryIO]:
    """Open a path for writing, or take a binary file as it is.

    A regular file appears under its name only when all of it is written and on disk; until then, and if anything
    is raised, what had that name stays untouched. A name that ends in ``.gz`` is gzipped, with no time inside, so
    equal content makes equal bytes.

    Raises:
        InvalidValue: a file of that name holds something else than an export; it is not touched.
        OSError: it cannot be written.
    """
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    path = Path(target).resolve()  # through links: the file they name is replaced, not the link
    _refuse_other(path)
    if path.exists() and not path.is_file():  # a pipe or a device
        with path.open("wb") as file, _packed(file, path) as out:
            yield out
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            with _packed(file, path) as out:
                yield out
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _refuse_other(path: Path) -> None:
    """Refuse to replace what is no export: a replica above all, or the files beside it."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(2)
    if path.name.endswith(("-wal", "-shm", ".lock")) or not (
        start in (b"", b"\x1f\x8b") or start.startswith(b"{")
    ):
        raise InvalidValue(
            f"{path.name} is there and holds no export; choose another name, or remove it first"
        )


@contextmanager
def _packed(file: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    if path.suffix != ".gz":
        yield file
        return
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        yield packed  # type: ignore[misc]
