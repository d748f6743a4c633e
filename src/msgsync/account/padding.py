"""Padding that hides all but the order of magnitude of a length. Source: Padmé, PURBs (PETS 2019), section 4."""

from __future__ import annotations

from msgsync.errors import InvalidValue


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
    size = 4 + len(text)
    return len(text).to_bytes(4, "big") + text + bytes(padded_size(max(size, least)) - size)


def unpad(padded: bytes) -> bytes:
    """The text.

    Raises:
        InvalidValue: this was not padded so.
    """
    size = int.from_bytes(padded[:4], "big")
    if len(padded) < 4 + size or padded_size(len(padded)) != len(padded):
        raise InvalidValue("a padding of another length")
    if any(padded[4 + size :]):
        raise InvalidValue("a padding that is not zeros")
    return padded[4 : 4 + size]
