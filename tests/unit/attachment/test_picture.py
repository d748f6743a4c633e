"""The one picture that a preview is made of, taken out of its file."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from msgsync.attachment.media import media_type_of
from msgsync.attachment.picture import PICTURES, Picture, picture_of

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
SECRET = b"GPS 48.137154 N"


def drawn(kind: str = "PNG", size: tuple[int, int] = (60, 40), **options: Any) -> bytes:
    """A picture of which one half is red and the other one blue."""
    image = Image.new(options.pop("mode", "RGB"), size, "red")
    image.paste("blue", (0, 0, size[0] // 2, size[1]))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int, order: str = "<") -> bytes:
    """As cameras write it, with a place in it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    field = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + struct.pack(order + "H", 1) + field + bytes(4) + SECRET


def taken(file: bytes) -> Picture | None:
    return picture_of(media_type_of(file[:512]), file)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def is_like(pixel: object, *colour: int) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(have - want) < 60 for have, want in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("kind", FORMATS)
def test_it_has_the_size_and_the_pixels_of_the_file(kind):
    file = drawn(kind)
    picture = taken(file)
    assert picture is not None
    assert (picture.format, picture.size, picture.orientation) == (kind, (60, 40), 1)
    with Image.open(io.BytesIO(picture.data)) as one, Image.open(io.BytesIO(file)) as other:
        assert one.convert("RGB").tobytes() == other.convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_it_is_as_wide_and_as_high_as_it_is_seen(orientation, order):
    picture = taken(drawn("JPEG", exif=exif(orientation, order)))
    assert picture is not None
    assert picture.orientation == orientation
    assert picture.size == ((60, 40) if orientation < 5 else (40, 60))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_else_of_the_file_is_left(kind):
    file = drawn(kind, exif=exif(6), icc_profile=SECRET * 9, comment=SECRET, xmp=SECRET)
    picture = taken(file)
    assert picture is not None
    assert SECRET in file
    assert SECRET not in picture.data
    assert picture.orientation == 6


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_of_an_animation_the_first_picture_is_left(kind):
    others = [Image.new("RGB", (60, 40), (n, n, n)) for n in range(50)]
    file = drawn(kind, save_all=True, append_images=others, loop=0)
    picture = taken(file)
    assert picture is not None
    assert len(picture.data) < len(file)
    with Image.open(io.BytesIO(picture.data)) as image:
        assert getattr(image, "n_frames", 1) == 1
        assert is_like(image.convert("RGB").getpixel((5, 5)), 0, 0, 255)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_what_can_be_seen_through_stays_so(kind):
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 5, 10))
    file = io.BytesIO()
    image.save(file, kind)
    picture = taken(file.getvalue())
    assert picture is not None
    with Image.open(io.BytesIO(picture.data)) as one:
        alpha = one.convert("RGBA").getchannel("A")
        assert [alpha.getpixel((x, 5)) for x in (2, 7)] == [255, 0]


def test_a_jpeg_that_comes_in_several_passes_says_so():
    passes = [taken(drawn("JPEG", progressive=one)) for one in (False, True)]
    assert [one.passes for one in passes if one] == [1, 10]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_ends_anywhere_is_a_picture_or_none(kind):
    file = drawn(kind, (16, 16))
    for end in range(len(file)):
        found = picture_of("image/" + kind.lower(), file[:end])
        assert found is None or found.size == (16, 16)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_with_any_byte_changed_is_a_picture_or_none(kind):
    dice = random.Random(1)
    file = drawn(kind, (16, 16))
    for at in range(len(file)):
        changed = bytearray(file)
        changed[at] = dice.randrange(256)
        found = picture_of("image/" + kind.lower(), bytes(changed))
        assert found is None or min(found.size) > 0


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        exif(0),
        exif(9),
        exif(65535, ">"),
    ],
)
def test_what_is_not_sound_of_how_it_is_turned_counts_for_nothing(said):
    picture = taken(drawn("JPEG", exif=said or b"x"))
    assert picture is not None
    assert picture.orientation == 1


def test_a_picture_without_pixels_is_none():
    empty = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(8) + b"\x08\x02\0\0\0") + chunk(b"IEND", b"")
    )
    assert taken(empty) is None


def test_what_is_no_picture_is_none():
    assert picture_of("text/plain", b"hello") is None
    assert "image/svg+xml" not in PICTURES  # a program, so to say


@pytest.mark.parametrize(
    "file",
    [
        b"\xff\xd8" + b"\xff\xfe\0\2" * 4_000_000,
        b"\xff\xd8" + b"\xff" * 16_000_000,
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">II", 9, 9) + b"\x08\x02\0\0\0")
        + chunk(b"IDAT", b"") * 1_300_000,
        b"GIF89a\x09\0\x09\0\0\0\0" + b"\x21\xfe" + b"\1x" * 8_000_000,
        b"GIF89a\x09\0\x09\0\0\0\0" + b"\x21\xfe\0" * 5_000_000,
        b"RIFF\0\0\0\0WEBP" + b"JUNK\0\0\0\0" * 2_000_000,
    ],
    ids=["comments", "fill", "chunks", "blocks", "extensions", "riff"],
)
def test_millions_of_tiny_pieces_are_given_up(file):
    assert taken(file) is None  # within the time of a test, by far
