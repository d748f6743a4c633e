"""Padding that hides all but the order of magnitude of a length. Source: Padmé, PURBs (PETS 2019), section 4."""

from __future__ import annotations

from typing import Final

from msgsync.errors import InvalidValue

LENGTH_BYTES: Final = 4


def padded_size(size: int) -> int:
    """The next length that padded things have: at most 12 % more, and log log of the length is all it tells."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    free = exponent - exponent.bit_length()
    mask = (1 << free) - 1
    return size + mask & ~mask


def pad(text: bytes, *, least: int) -> bytes:
    """A text with its length in front and zeros behind, of a length that padded things have, ``least`` or more."""
    size = LENGTH_BYTES + len(text)
    padding = bytes(padded_size(max(size, least)) - size)
    return b"".join((len(text).to_bytes(LENGTH_BYTES, "big"), text, padding))


def pad_within(buffer: memoryview, size: int, *, least: int) -> memoryview:
    """The same of a text of so many bytes that lies in a buffer, behind room for its length."""
    end = LENGTH_BYTES + size
    padded = buffer[: padded_size(max(end, least))]
    padded[:LENGTH_BYTES] = size.to_bytes(LENGTH_BYTES, "big")
    padded[end:] = bytes(len(padded) - end)
    return padded


def unpad(padded: bytes) -> bytes:
    """The text.

    Raises:
        InvalidValue: this was not padded so.
    """
    return padded[LENGTH_BYTES : LENGTH_BYTES + unpadded_size(memoryview(padded))]


def unpadded_size(padded: memoryview) -> int:
    """How many bytes the text has; it begins behind its length.

    Raises:
        InvalidValue: this was not padded so.
    """
    size = int.from_bytes(padded[:LENGTH_BYTES], "big")
    end = LENGTH_BYTES + size
    if len(padded) < end or padded_size(len(padded)) != len(padded):
        raise InvalidValue("a padding of another length")
    if bytes(padded[end:]).strip(b"\0"):
        raise InvalidValue("a padding that is not zeros")
    return size
