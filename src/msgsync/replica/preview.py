"""Small pictures that go within messages, made with Pillow where that is installed. Source: decision 40.

What Pillow gets was cut down to one picture by `attachment.picture`; how much memory and time it takes follows from
the number of its pixels, and that is looked at before.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.attachment.picture import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

_PLUGINS: Final = {"JPEG": "Jpeg", "PNG": "Png", "GIF": "Gif", "WEBP": "WebP"}
_COPIES: Final = {"JPEG": 1, "PNG": 1, "GIF": 1, "WEBP": 4}
"""How many copies of all pixels a decoder holds."""
_STREAMED: Final = 4
"""Times as many pixels may be in a JPEG that is read once, as it is made smaller while it is read."""
_AVERAGED: Final = frozenset({"L", "RGB"})
"""Modes in which pixels can be averaged as they are; others are copied for it, which large ones had better not be."""
_COARSE: Final = 4 * limits.PREVIEW_PIXELS
_QUALITIES: Final = (70, 50, 30)


def preview_of(picture: Picture) -> bytes | None:
    """A small JPEG of a picture, turned as it is to be seen, with nothing in it but pixels.

    Returns:
        None if Pillow is not installed, or the picture is too large, damaged, or what Pillow does not decode. What a
        decoder raises is no error here: a file can be sent without a preview.
    """
    try:
        import_module("PIL.Image")
    except ImportError:
        return None
    if not _is_bounded(picture):
        return None
    try:
        small = _small(picture)
        return None if small is None else _encoded(_turned(_flat(small), picture.orientation))
    except Exception:  # noqa: BLE001 - a decoder raises whatever it likes about what somebody else has made
        return None


def _is_bounded(picture: Picture) -> bool:
    pixels = picture.stored_width * picture.stored_height * _COPIES[picture.format]
    if picture.format == "JPEG" and picture.passes == 1:
        return pixels <= limits.PICTURE_PIXELS * _STREAMED
    return pixels <= limits.PICTURE_PIXELS and picture.passes <= limits.PICTURE_PASSES


def _small(picture: Picture) -> Image | None:
    """At most as large as a preview; None if it would be too large on the way."""
    from PIL import Image

    import_module(f"PIL.{_PLUGINS[picture.format]}ImagePlugin")  # this one alone
    side = limits.PREVIEW_PIXELS
    image: Image.Image = Image.open(io.BytesIO(picture.data), formats=[picture.format])
    image.draft("RGB", (2 * side, 2 * side))
    if image.size[0] * image.size[1] > limits.PICTURE_PIXELS or image.mode.startswith("I"):
        return None  # too large, or of more than 8 bits, which nothing but a measuring device makes
    if image.mode not in _AVERAGED or "transparency" in image.info:
        step = max(1, min(image.size) // _COARSE)
        sides = (image.size[0] // step, image.size[1] // step)
        image = image.resize(sides, Image.Resampling.NEAREST)
        image = image.convert("RGBA")
    image.thumbnail((side, side), reducing_gap=2.0)
    return image


def _flat(image: Image) -> Image:
    """On white, and with nothing of the file that it came from."""
    from PIL import Image

    flat = Image.new("RGB", image.size, "white")
    flat.paste(image.convert("RGB"), mask=image if image.mode == "RGBA" else None)
    return flat


def _turned(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    return image if orientation == 1 else image.transpose(turns[orientation - 2])


def _encoded(image: Image) -> bytes | None:
    """As a JPEG that is small enough: less exact where there is much to see, and at last smaller."""
    for _ in range(2):
        for quality in _QUALITIES:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= limits.PREVIEW_MADE_BYTES:
                return file.getvalue()
        image = image.resize((max(1, image.size[0] // 2), max(1, image.size[1] // 2)))
    return None
