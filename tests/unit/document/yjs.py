"""Yjs updates (v1) written by hand: honest shapes and every other one. Source: the format as yjs and yrs write it."""

from __future__ import annotations

from collections.abc import Iterable

KEY = b"0" * 20
VALUE = b"value"


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def long_varint(number: int) -> bytes:
    """The same number with a byte more than it needs."""
    short = varint(number)
    return short[:-1] + bytes((short[-1] | 128, 0))


def string(raw: bytes) -> bytes:
    return varint(len(raw)) + raw


def value(raw: bytes = VALUE) -> bytes:
    """The content of an entry: one value (Any) that is a byte string."""
    return b"\x01\x74" + string(raw)


def item(
    key: bytes = KEY,
    content: bytes | None = None,
    *,
    root: bytes = b"messages",
    info: int = 0x28,
    parent: bytes | None = None,
) -> bytes:
    """An item in a root map with a key."""
    place = b"\x01" + string(root) if parent is None else parent
    return bytes((info,)) + place + string(key) + (value() if content is None else content)


def dead(length: int = 1) -> bytes:
    """A run of garbage-collected items."""
    return b"\0" + varint(length)


def deleted(key: bytes = KEY, length: int = 1) -> bytes:
    """A removed item that still has its key."""
    return item(key, varint(length), info=0x21)


def section(client: int, clock: int, *structs: bytes, count: int | None = None) -> bytes:
    return (
        varint(len(structs) if count is None else count)
        + varint(client)
        + varint(clock)
        + b"".join(structs)
    )


def update(*sections: bytes, deletions: bytes = b"\0", count: int | None = None) -> bytes:
    return varint(len(sections) if count is None else count) + b"".join(sections) + deletions


def one(*structs: bytes) -> bytes:
    """An update of one client from clock 0."""
    return update(section(1, 0, *structs))


def delete_set(*ranges: tuple[int, Iterable[tuple[int, int]]]) -> bytes:
    out = varint(len(ranges))
    for client, found in ranges:
        members = list(found)
        out += varint(client) + varint(len(members))
        out += b"".join(varint(clock) + varint(length) for clock, length in members)
    return out
