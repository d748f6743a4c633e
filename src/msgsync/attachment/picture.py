"""The one picture that a preview is made of, taken out of its file. Pure. Source: the formats' own specifications.

Decoders of pictures read far more of a file than what is seen: EXIF, texts, colour profiles, indexes of frames, a
picture in the picture. Each of these can be made to cost minutes or gigabytes. So a file is walked through here first,
in time that grows with its length, and what a decoder gets is a file of the same format with one picture and nothing
else in it. How large the picture is, and how it is turned, is known before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

_PIECES: Final = 2**17
"""Blocks or chunks of a file: what real ones have is far below; a loop over millions takes seconds."""
_PNG_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_JPEG_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive, with Huffman codes: what cameras and programs write."""
_PROGRESSIVE: Final = 0xC2
_JPEG_KEPT: Final = dict.fromkeys((*_JPEG_FRAMES, 0xC4, 0xDB, 0xDD), b"") | {
    0xE0: b"JFIF\0",
    0xEE: b"Adobe",
}
"""Frames, tables, and what says in which colours it is: markers, and how these begin."""
_SCAN: Final = 0xDA
_EXIF: Final = 0xE1
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_FIELDS: Final = 512
"""Of EXIF that are looked at: cameras write some ten in the first list."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, in a file that has nothing else."""

    format: str
    """As Pillow calls it."""
    stored_width: int
    """Pixels, before it is turned."""
    stored_height: int
    orientation: int
    """How it is to be turned to be seen, as EXIF counts: 1 (not at all) to 8."""
    passes: int
    """How often a decoder goes over it; 1 if it gives the pixels as it reads."""
    data: bytes = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as it is seen."""
        stored = self.stored_width, self.stored_height
        return stored[::-1] if self.orientation > 4 else stored


def picture_of(media_type: str, file: bytes) -> Picture | None:
    """The first picture of a file; None if there is none, or if it is of no format that is known here.

    Args:
        media_type: by its first bytes, see `attachment.media`.
        file: the whole.
    """
    take = _FORMATS.get(media_type)
    if take is None:
        return None
    try:
        picture = take(file)
    except (struct.error, IndexError):  # it ends where something is due
        return None
    return picture if picture and min(picture.size) > 0 else None


# JPEG: ITU T.81, annex B.


def _jpeg(file: bytes) -> Picture | None:
    kept, size, orientation = [file[:2]], (0, 0), 1
    components, passes = 0, 1
    for marker, at, end in _segments(file):
        body = file[at + 4 : end]
        if marker in _JPEG_FRAMES:
            precision, height, width, found = struct.unpack_from(">BHHB", body)
            if components or precision != 8:
                return None
            size, components, passes = (width, height), found, 2 if marker == _PROGRESSIVE else 1
        elif marker == _EXIF and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body)
        elif marker == _SCAN and components:
            if passes > 1 or body[0] != components:  # else one scan gives all
                passes = max(2, 1 + file.count(b"\xff\xda", end))
            return Picture("JPEG", *size, orientation, passes, b"".join([*kept, file[at:]]))
        if marker in _JPEG_KEPT and body.startswith(_JPEG_KEPT[marker]):
            kept.append(file[at:end])
    return None


def _segments(file: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, beginning and end of each, up to the first scan."""
    at, marker = 2, 0
    for _ in range(_PIECES):
        if file[at] != 0xFF or marker == _SCAN:
            return
        marker = file[at + 1]
        if marker == 0xFF:  # it may be filled up
            at += 1
            continue
        end = at + 2 + struct.unpack_from(">H", file, at + 2)[0]
        if end > len(file):
            return
        yield marker, at, end
        at = end


# PNG: W3C, third edition, section 5.


def _png(file: bytes) -> Picture | None:
    kept, orientation, at = [file[:8]], 1, 8
    width, height = struct.unpack_from(">II", file, 16)
    for _ in range(_PIECES):
        [length] = struct.unpack_from(">I", file, at)
        kind, end = file[at + 4 : at + 8], at + 12 + length
        if end > len(file) or (kind == b"IHDR") != (at == 8):
            return None
        if kind in _PNG_CHUNKS:
            kept.append(file[at:end])
        if kind == b"eXIf":
            orientation = _orientation(file[at + 8 : end - 4])
        if kind == b"IEND":
            return Picture("PNG", width, height, orientation, 1, b"".join(kept))
        at = end
    return None


# GIF: version 89a.


def _gif(file: bytes) -> Picture | None:
    width, height, flags = struct.unpack_from("<HHB", file, 6)
    at = 13 + _colours(flags)
    head, control = file[:at], b""
    for _ in range(_PIECES):
        if file[at] == 0x2C:
            left, top, its_width, its_height, flags = struct.unpack_from("<HHHHB", file, at + 1)
            end = _blocks_end(file, at + 11 + _colours(flags))
            if end is None or left + its_width > width or top + its_height > height:
                return None
            data = head + control + file[at:end] + b";"
            return Picture("GIF", width, height, 1, 1, data)
        end = _blocks_end(file, at + 2)
        if file[at] != 0x21 or end is None:
            return None
        if file[at + 1] == 0xF9 and end - at == 8:  # what is transparent
            control = file[at:end]
        at = end
    return None


def _colours(flags: int) -> int:
    """How many bytes a table of colours takes."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks_end(file: bytes, at: int) -> int | None:
    """Where a row of blocks ends, each with its length in front; None if there are too many."""
    for _ in range(_PIECES):
        length = file[at]
        at += 1 + length
        if not length:
            return at
    return None


# WebP: RFC 9649.


def _webp(file: bytes) -> Picture | None:
    chunks: dict[bytes, bytes] = {}
    for found in _riff(file, 12):
        chunks.setdefault(*found)
    canvas = None
    if b"VP8X" in chunks:
        canvas = tuple(1 + int.from_bytes(chunks[b"VP8X"][at : at + 3], "little") for at in (4, 7))
    orientation = _orientation(chunks.get(b"EXIF", b""))
    if b"ANMF" in chunks:
        chunks = dict(_riff(chunks[b"ANMF"], 16))
    if b"VP8L" in chunks:
        kind, body = b"VP8L", chunks[b"VP8L"]
        [bits] = struct.unpack_from("<I", body, 1)
        size = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    elif b"VP8 " in chunks:
        kind, body = b"VP8 ", chunks[b"VP8 "]
        width, height = struct.unpack_from("<HH", body, 6)
        size = (width & 0x3FFF, height & 0x3FFF)
    else:
        return None
    if canvas not in (None, size):
        return None
    parts = _chunk(kind, body)
    if kind == b"VP8 " and b"ALPH" in chunks:
        corner = b"".join((side - 1).to_bytes(3, "little") for side in size)
        extended = _chunk(b"VP8X", b"\x10\0\0\0" + corner)
        parts = extended + _chunk(b"ALPH", chunks[b"ALPH"]) + parts
    data = b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts
    return Picture("WEBP", *size, orientation, 1, data)


def _riff(file: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The chunks from there on, up to the end or the first that is cut off."""
    for _ in range(_PIECES):
        if at + 8 > len(file):
            return
        [length] = struct.unpack_from("<I", file, at + 4)
        if at + 8 + length > len(file):
            return
        yield file[at : at + 4], file[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


# EXIF: CIPA DC-008, a list of fields as in TIFF 6.


def _orientation(exif: bytes) -> int:
    """How a picture is to be turned, 1 if nothing sound is said of it."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    [start] = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return 1
    [count] = struct.unpack_from(order + "H", exif, start)
    for at in range(start + 2, start + 2 + 12 * min(count, _FIELDS), 12):
        if at + 12 > len(exif):
            break
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, at)
        if tag == _ORIENTATION:
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1


_FORMATS: Final[dict[str, Callable[[bytes], Picture | None]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
}
PICTURES: Final = frozenset(_FORMATS)
"""The media types of which a picture is taken."""
