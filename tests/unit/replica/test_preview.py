"""Pictures are sent with their size, and with a small picture of themselves where Pillow is installed."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from msgsync import Attach, limits
from msgsync.attachment.picture import picture_of
from msgsync.replica.preview import preview_of
from tests.unit.attachment.test_picture import FORMATS, SECRET, chunk, drawn, exif, is_like


def png(width: int, height: int, rows: int = 9) -> bytes:
    """A black picture that is said to have this size, and has so many rows."""
    deflate = zlib.compressobj(1)
    row = bytes(1 + width * 4)
    body = b"".join(deflate.compress(row) for _ in range(rows)) + deflate.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def shown(preview: bytes | None) -> Image.Image:
    assert preview is not None
    assert len(preview) <= limits.PREVIEW_MADE_BYTES
    image = Image.open(io.BytesIO(preview))
    assert image.format == "JPEG"
    assert max(image.size) <= limits.PREVIEW_PIXELS
    return image.convert("RGB")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_is_sent_with_its_size_and_a_preview(family, tmp_path, kind):
    path = tmp_path / "photo"
    path.write_bytes(drawn(kind, (600, 400)))
    [one] = family.send("", attachments=[path]).attachments
    assert (one.width, one.height) == (600, 400)
    preview = shown(one.preview)
    assert preview.size == (160, 107)
    assert is_like(preview.getpixel((20, 50)), 0, 0, 255)
    assert is_like(preview.getpixel((140, 50)), 255, 0, 0)


def test_it_is_turned_as_it_is_seen_and_tells_nothing_but_pixels(family):
    file = drawn("JPEG", (600, 400), exif=exif(6), comment=SECRET, icc_profile=SECRET * 3)
    [one] = family.send("", attachments=[file]).attachments
    assert (one.width, one.height) == (400, 600)
    preview = shown(one.preview)
    assert preview.size == (107, 160)
    assert is_like(preview.getpixel((50, 20)), 0, 0, 255)  # what was left is above
    assert SECRET not in one.preview
    assert b"Exif" not in one.preview
    assert one.open().read() == file  # the file itself is as it was


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_way_of_turning_is_that_of_pillow(orientation):
    from PIL import ImageOps

    image = Image.new("RGB", (64, 32), "white")
    image.paste("red", (0, 0, 32, 16))
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif(orientation), quality=95)
    picture = picture_of("image/jpeg", file.getvalue())
    assert picture is not None
    mine, theirs = shown(preview_of(picture)), ImageOps.exif_transpose(Image.open(file))
    assert mine.size == theirs.size
    for x in (5, mine.size[0] - 5):
        for y in (5, mine.size[1] - 5):
            pixel = theirs.getpixel((x, y))
            assert isinstance(pixel, tuple)
            assert is_like(mine.getpixel((x, y)), *map(int, pixel))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_colours_has_a_preview_but_grey_of_16_bits(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    file = io.BytesIO()
    Image.new(mode, (300, 200)).save(file, kind)
    picture = picture_of("image/" + kind.lower(), file.getvalue())
    assert picture is not None
    if mode == "I;16":
        assert preview_of(picture) is None
    else:
        assert shown(preview_of(picture)).size == (160, 107)


def test_what_can_be_seen_through_is_on_white():
    file = io.BytesIO()
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(file, "PNG")
    picture = picture_of("image/png", file.getvalue())
    assert picture is not None
    assert is_like(shown(preview_of(picture)).getpixel((50, 50)), 255, 255, 255)


def test_however_much_there_is_to_see_it_is_small():
    noise = Image.frombytes("RGB", (400, 400), random.Random(1).randbytes(480_000))
    file = io.BytesIO()
    noise.save(file, "PNG")
    picture = picture_of("image/png", file.getvalue())
    assert picture is not None
    shown(preview_of(picture))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_of_odd_sizes_too(size):
    picture = picture_of("image/png", drawn("PNG", size))
    assert picture is not None
    assert min(shown(preview_of(picture)).size) >= 1


def test_what_the_app_says_counts(family):
    file = drawn()
    mine, none = family.send(
        "",
        attachments=[Attach(file, width=1, height=2, preview=b"mine"), Attach(file, preview=b"")],
    ).attachments
    assert (mine.width, mine.height, mine.preview) == (1, 2, b"mine")
    assert (none.width, none.height, none.preview) == (60, 40, None)


def test_it_is_found_where_a_file_stands_and_for_a_file_that_is_here_already(family):
    file = drawn("JPEG")
    source = io.BytesIO(b"before" + file)
    source.seek(6)
    first, second = family.send("", attachments=[source, file]).attachments
    assert (first.size, first.width) == (len(file), 60)
    assert first.preview == second.preview
    assert first.preview is not None


def test_what_cannot_be_read_twice_is_sent_without(family):
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    [one] = family.send("", attachments=[Pipe(drawn())]).attachments
    assert (one.media_type, one.width, one.preview) == ("image/png", None, None)


# What is made to do harm.

HOSTILE = {
    "declared": png(65_000, 65_000),
    "a line of 2 GiB": png(9, 9).replace(bytes([0, 0, 0, 9]), b"\x7f\xff\xff\xff", 1),
    "a little too large": png(4097, 4096),
    "cut off": drawn("JPEG", (600, 400))[:2000],
    "cut off early": drawn("PNG", (600, 400))[:300],
    "no pixels": b"\x89PNG\r\n\x1a\n" + png(9, 9)[8:33] + chunk(b"IEND", b""),
    "no deflate": png(9, 9).replace(b"\x78\1", b"\xff\xff", 1),
    "gif of 65,535": drawn("GIF").replace(struct.pack("<HH", 60, 40), b"\xff\xff\xff\xff"),
    "nothing in it": b"\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0\xff\xd9",
    "longer than is read": drawn("PNG") + bytes(limits.PICTURE_BYTES),
}


@pytest.mark.parametrize("file", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_picture_is_sent_without_a_preview(family, file):
    [one] = family.send("", attachments=[file]).attachments
    assert one.preview is None
    assert one.size == len(file)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_anywhere_it_can_be_sent(kind):
    dice = random.Random(2)
    file = drawn(kind, (16, 16))
    for _ in range(300):
        changed = bytearray(file)
        for _ in range(dice.randrange(1, 4)):
            changed[dice.randrange(len(file))] = dice.randrange(256)
        picture = picture_of("image/" + kind.lower(), bytes(changed))
        if picture is not None:
            preview_of(picture)


def test_a_jpeg_of_thousands_of_passes_is_not_decoded():
    file = drawn("JPEG", (600, 400), progressive=True)
    scan = file[file.rindex(b"\xff\xda") : -2]
    picture = picture_of("image/jpeg", file[:-2] + scan * 10_000 + b"\xff\xd9")
    assert picture is not None
    assert picture.passes > 10_000
    assert preview_of(picture) is None


def test_a_file_that_is_something_else_too_gives_its_picture_alone():
    file = drawn("JPEG", (300, 200)) + b"PK\3\4" + b"<script>alert()</script>"
    picture = picture_of("image/jpeg", file)
    assert picture is not None
    preview = preview_of(picture)
    assert shown(preview).size == (160, 107)
    assert preview is not None
    assert b"script" not in preview


def test_animations_of_thousands_of_frames_cost_one():
    one = drawn("GIF")
    frames = one[: one.rindex(b",")], one[one.rindex(b",") : -1]
    picture = picture_of("image/gif", frames[0] + frames[1] * 5000 + b";")
    assert picture is not None
    assert picture.data == one
    assert shown(preview_of(picture)).size == (60, 40)


# In processes of their own.

MEMORY = """
import sys
from pathlib import Path
from msgsync.attachment.picture import picture_of
from msgsync.replica.preview import preview_of
files = [(name, Path(name).read_bytes()) for name in sys.argv[1:]]
assert preview_of(picture_of("image/png", files[0][1]))
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
for name, file in files[1:]:
    assert preview_of(picture_of("image/" + name.rsplit(".")[-1], file)), name
print((peak() - before) // 1024)
"""


def test_the_largest_that_are_decoded_take_bounded_memory(tmp_path):
    (tmp_path / "a.png").write_bytes(drawn())
    (tmp_path / "b.png").write_bytes(png(4096, 4096, rows=4096))
    (tmp_path / "c.webp").write_bytes(drawn("WEBP", (2048, 2048)))
    names = sorted(str(path) for path in tmp_path.iterdir())
    took = subprocess.run(
        [sys.executable, "-c", MEMORY, *names], capture_output=True, check=True, text=True
    )
    assert int(took.stdout) < 128, took.stdout  # MiB


WITHOUT = """
import sys
sys.modules["PIL"] = None  # importing it fails
import msgsync
with msgsync.open(sys.argv[1], author="ann") as phone:
    family = phone.create_conversation("Family")
    [one] = family.send("Look!", attachments=[sys.argv[2]]).attachments
    print(one.name, one.width, one.height, one.preview, one.size)
"""


def test_without_pillow_a_picture_is_sent_with_its_size_and_without_a_preview(tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(drawn())
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT, tmp_path / "phone.db", photo],
        capture_output=True,
        check=True,
        text=True,
    )
    assert said.stdout.split() == ["photo.png", "60", "40", "None", str(photo.stat().st_size)]
    assert said.stderr == ""
