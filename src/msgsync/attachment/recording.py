"""How long a recording is, from a few of its bytes. Pure. Source: the formats' own specifications.

Only formats that say it themselves in a place that can be sought. What they say is taken if it can be: it is shown
beside the file, and nothing depends on it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from msgsync import limits

Read = Callable[[int, int], bytes]
"""Gives so many bytes from a place on, or as many as are there."""

_PIECES: Final = 256
"""Chunks or boxes that are looked at: files have some ten before the one that is looked for."""
_MOVIES: Final = {b"\0": (">12xII", 2**32 - 1), b"\1": (">20xIQ", 2**64 - 1)}
_OPUS_RATE: Final = 48_000
_PAGE: Final = b"OggS\0"
"""How each page of Ogg begins, with the version."""
_PAGE_HEAD: Final = 27
_TAIL_BYTES: Final = 64 * 1024
"""Where the last page of Ogg begins: none is longer."""


def duration_of(media_type: str, size: int, read: Read) -> int | None:
    """The milliseconds of a recording; None if it does not say, or is of no format that is known here.

    Args:
        media_type: by its first bytes, see `attachment.media`.
        size: of the whole, in bytes.
        read: is asked for less than 64 KiB at a time, some hundred times at most, and never behind the end.
    """
    look = _FORMATS.get(media_type)
    if look is None:
        return None

    def within(at: int, count: int) -> bytes:
        return read(at, min(count, size - at)) if at < size else b""

    try:
        count, rate = look(within, size)
    except struct.error:  # it ends where something is due
        return None
    if rate == 0:
        return None
    ms = (count * 1000 + rate // 2) // rate
    return ms if 0 < ms <= limits.RECORDING_MS else None


# Each of these returns how many, and how many of them a second has; (0, 0) if it does not say.


def _wav(read: Read, size: int) -> tuple[int, int]:
    """Bytes. RIFF: Multimedia Programming Interface and Data Specifications 1.0."""
    at, bytes_a_second = 12, 0
    for _ in range(_PIECES):
        kind, length = struct.unpack("<4sI", read(at, 8))
        at += 8
        if kind == b"fmt ":
            [bytes_a_second] = struct.unpack("<8xI", read(at, 12))
        elif kind == b"data":  # what was written to a pipe says more than there is
            return min(length, size - at), bytes_a_second
        at += length + length % 2
    return 0, 0


def _flac(read: Read, _size: int) -> tuple[int, int]:
    """Samples. RFC 9639, section 8.2; none if whoever wrote it did not know."""
    magic, kind, bits = struct.unpack(">4sB13xQ", read(0, 26))
    if magic != b"fLaC" or kind & 0x7F:
        return 0, 0
    return bits & 2**36 - 1, bits >> 44


def _mp4(read: Read, size: int) -> tuple[int, int]:
    """Units of its own. ISO/IEC 14496-12, section 8.2.2; none if it is written piece by piece."""
    for kind, at, end in _boxes(read, 0, size):
        if kind == b"moov":
            for its_kind, its_at, _ in _boxes(read, at, end):
                if its_kind == b"mvhd":
                    return _movie(read(its_at, 32))
            break
    return 0, 0


def _movie(head: bytes) -> tuple[int, int]:
    """By its version; all ones if whoever wrote it did not know."""
    if head[:1] not in _MOVIES:
        return 0, 0
    layout, unknown = _MOVIES[head[:1]]
    rate, count = struct.unpack_from(layout, head)
    return (0, 0) if count == unknown else (count, rate)


def _boxes(read: Read, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type of each, where what is in it begins, and where it ends; up to the first that is cut off."""
    for _ in range(_PIECES):
        if at + 8 > end:
            return
        length, kind = struct.unpack(">I4s", read(at, 8))
        within = at + 8
        if length == 1:
            [length] = struct.unpack(">Q", read(within, 8))
            within += 8
        elif length == 0:  # the last one
            length = end - at
        if not within <= at + length <= end:
            return
        yield kind, within, at + length
        at += length


def _ogg(read: Read, size: int) -> tuple[int, int]:
    """Samples. RFC 3533, section 6; RFC 7845, section 5.1; Vorbis I, section 4.2.2. The last page counts them all."""
    page = read(0, _PAGE_HEAD + 255 + 32)
    serial, segments = struct.unpack_from("<14x4s8xB", page)
    head = page[_PAGE_HEAD + segments :]
    if head.startswith(b"OpusHead"):
        [unheard], rate = struct.unpack_from("<10xH", head), _OPUS_RATE
    elif head.startswith(b"\1vorbis"):
        unheard, [rate] = 0, struct.unpack_from("<12xI", head)
    else:
        return 0, 0
    start = max(0, size - _TAIL_BYTES)
    tail = read(start, _TAIL_BYTES)
    at = len(tail)
    while (at := tail.rfind(_PAGE, 0, at)) >= 0:
        last = tail[at : at + _PAGE_HEAD]
        if len(last) == _PAGE_HEAD and last[14:18] == serial:
            [count] = struct.unpack_from("<6xq", last)
            if count >= 0:  # else nothing ends in it
                return count - unheard, rate
    return 0, 0


_FORMATS: Final[dict[str, Callable[[Read, int], tuple[int, int]]]] = {
    "audio/wav": _wav,
    "audio/flac": _flac,
    "audio/ogg": _ogg,
    "audio/mp4": _mp4,
    "video/mp4": _mp4,
    "video/quicktime": _mp4,
    "video/3gpp": _mp4,
}
