"""How long a recording is, from a few of its bytes."""

from __future__ import annotations

import io
import random
import struct
import wave

import pytest

from msgsync import limits
from msgsync.attachment.media import HEAD_BYTES, media_type_of
from msgsync.attachment.recording import duration_of

MONTH_MS = limits.RECORDING_MS


class Source:
    """A file that counts what is read of it."""

    def __init__(self, file: bytes) -> None:
        self.file = file
        self.times = self.bytes = 0

    def read(self, at: int, count: int) -> bytes:
        assert 0 <= at < len(self.file)
        assert 0 < count <= len(self.file) - at
        self.times += 1
        self.bytes += count
        return self.file[at : at + count]


def said(file: bytes) -> int | None:
    source = Source(file)
    ms = duration_of(media_type_of(file[:HEAD_BYTES]), len(file), source.read)
    assert source.times <= 600
    assert source.bytes <= 70_000
    return ms


# Files.


def wav(frames: int = 12_000, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(bytes(4 * frames))
    return file.getvalue()


def chunk(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    said = len(body) if length is None else length
    return kind + struct.pack("<I", said) + body + bytes(len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(chunks)


def form(bytes_a_second: int) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, bytes_a_second, 2, 16))


def flac(samples: int, rate: int = 44_100, kind: int = 0x80) -> bytes:
    bits = rate << 44 | 1 << 41 | 15 << 36 | samples
    info = struct.pack(">HH6sQ16s", 4096, 4096, bytes(6), bits, bytes(16))
    return b"fLaC" + bytes([kind]) + len(info).to_bytes(3, "big") + info


def box(kind: bytes, body: bytes = b"", form: str = "short") -> bytes:
    if form == "long":
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 0 if form == "last" else 8 + len(body), kind) + body


def mvhd(count: int, rate: int = 1000, version: int = 0) -> bytes:
    layout = ">IIIII80x" if version == 0 else ">IQQIQ80x"
    return box(b"mvhd", struct.pack(layout, version << 24, 1, 2, rate, count))


def mp4(*boxes: bytes, brand: bytes = b"isom") -> bytes:
    return box(b"ftyp", brand + bytes(4)) + b"".join(boxes)


def page(body: bytes, granule: int, serial: int = 7) -> bytes:
    """One page, of packets as they come."""
    lacing = [255] * (len(body) // 255) + [len(body) % 255]
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, granule, serial, 0, 0, len(lacing))
    return head + bytes(lacing) + body


OPUS = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 44_100, 0, 0)
VORBIS = b"\1vorbis" + struct.pack("<IBIiiiBB", 0, 2, 22_050, 0, 0, 0, 0xB8, 1)


# What is said.


@pytest.mark.parametrize(
    ("file", "ms"),
    [
        (wav(), 1500),
        (wav(rate=44_100), 272),
        (riff(chunk(b"LIST", b"odd"), form(16_000), chunk(b"fact", bytes(4)), chunk(b"data", bytes(800))), 50),
        (riff(form(16_000), chunk(b"data", bytes(1600), 2**32 - 1)), 100),
        (flac(441_000), 10_000),
        (flac(2**36 - 1, 655_350), 104_859_200),
        (mp4(box(b"moov", mvhd(2500))), 2500),
        (mp4(box(b"moov", mvhd(90_000, 48_000, version=1)), brand=b"M4A "), 1875),
        (mp4(box(b"mdat", bytes(70_000), "long"), box(b"moov", box(b"udta") + mvhd(7), "last"), brand=b"qt  "), 7),
        (mp4(box(b"moov", mvhd(300, 600)), box(b"mdat", bytes(9))[:-4], brand=b"3gp4"), 500),
        (page(OPUS, 0) + page(bytes(999), 48_312), 1000),
        (page(OPUS, 0) + page(bytes(50_000), 9) + page(bytes(30_000), 24_312) + page(b"", -1), 500),
        (page(OPUS, 0) + page(bytes(99), 24_312) + page(b"", 48_312, serial=8), 500),
        (page(VORBIS, 0) + page(b"x OggS\0 y", 11_025), 500),
    ],
)  # fmt: skip
def test_a_recording_says_how_long_it_is(file, ms):
    assert said(file) == ms


@pytest.mark.parametrize(
    "file",
    [
        wav(0),
        riff(chunk(b"data", bytes(100)), form(16_000)),
        riff(form(0), chunk(b"data", bytes(100))),
        riff(form(16_000)),
        riff(form(16_000), *[chunk(b"LIST", b"")] * 300, chunk(b"data", bytes(1600))),
        riff(chunk(b"LIST", b"", 2**32 - 1), form(16_000), chunk(b"data", bytes(1600))),
        flac(0),
        flac(9, rate=0),
        flac(441_000, kind=1),
        flac(2**36 - 1, rate=1),
        mp4(),
        mp4(box(b"moov")),
        mp4(box(b"moov", mvhd(0))),
        mp4(box(b"moov", mvhd(9, rate=0))),
        mp4(box(b"moov", mvhd(2**32 - 1, 90_000))),
        mp4(box(b"moov", mvhd(2**64 - 1, 2**32 - 1, version=1))),
        mp4(box(b"moov", mvhd(MONTH_MS + 1, version=1))),
        mp4(box(b"moov", mvhd(2500, version=2))),
        mp4(*[box(b"free")] * 300, box(b"moov", mvhd(2500))),
        mp4(struct.pack(">I4s", 7, b"free"), box(b"moov", mvhd(2500))),
        mp4(struct.pack(">I4sQ", 1, b"free", 2**64 - 1), box(b"moov", mvhd(2500))),
        mp4(struct.pack(">I4sQ", 1, b"free", 0), box(b"moov", mvhd(2500))),
        page(OPUS, 0) + page(bytes(99), 311),
        page(OPUS, 0) + page(bytes(99), 48_000, serial=8),
        page(OPUS, -1) + page(bytes(99), -1),
        page(OPUS, 0) + page(bytes(99), 2**63 - 1),
        page(b"\x80theora", 0) + page(bytes(99), 48_000),
        page(VORBIS[:14], 0) + page(b"", 48_000)[:9],
        b"ID3\4" + bytes(100),
        b"",
    ],
)
def test_what_does_not_say_it_or_nothing_that_can_be_has_none(file):
    assert said(file) is None


def test_a_month_is_as_long_as_can_be():
    assert said(mp4(box(b"moov", mvhd(MONTH_MS, version=1)))) == MONTH_MS


# Damaged.

FILES = [
    wav(100),
    flac(441_000),
    mp4(box(b"mdat", bytes(9), "long"), box(b"moov", mvhd(2500))),
    page(OPUS, 0) + page(bytes(300), 48_312),
    page(VORBIS, 0) + page(bytes(300), 48_312),
]


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_ends_anywhere_says_something_or_nothing(file):
    whole = said(file)
    assert whole is not None
    for end in range(len(file)):
        assert (said(file[:end]) or 0) <= whole


@pytest.mark.parametrize("file", FILES)
def test_a_file_with_bytes_changed_says_what_can_be_or_nothing(file):
    dice = random.Random(1)
    for at in range(min(len(file), 200)):
        changed = bytearray(file)
        changed[at] = dice.randrange(256)
        changed[dice.randrange(len(file))] = dice.choice((0, 0x7F, 0xFF))
        ms = said(bytes(changed))
        assert ms is None or 0 < ms <= MONTH_MS
