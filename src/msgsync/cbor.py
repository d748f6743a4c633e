"""Deterministic CBOR: the heads we write, and strict reading of what others wrote.

Core deterministic encoding of RFC 8949, section 4.2.1; for maps with small integer keys it equals the canonical CBOR
of RFC 7049, section 3.9. Reading refuses every other encoding of the same content, tags, and deep nesting.
"""

from __future__ import annotations

from typing import Any, Final

import cbor2

from msgsync import limits
from msgsync.errors import InvalidValue


def head_of(major: int, number: int) -> bytes:
    """The shortest CBOR head of a major type and its argument."""
    if number < 24:
        return bytes((major << 5 | number,))
    if number < 0x100:
        return bytes((major << 5 | 24, number))
    if number < 0x10000:
        return bytes((major << 5 | 25,)) + number.to_bytes(2, "big")
    if number < 0x100000000:
        return bytes((major << 5 | 26,)) + number.to_bytes(4, "big")
    return bytes((major << 5 | 27,)) + number.to_bytes(8, "big")


def load(raw: bytes) -> Any:
    """Read one CBOR value strictly; raise CBORDecodeError for anything but its deterministic form."""
    value = cbor2.loads(
        raw,
        max_depth=limits.EXTRA_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
        tag_hook=refuse_tag,
        semantic_decoders=NO_TAGS,
    )
    if cbor2.dumps(value, canonical=True) != raw:
        raise cbor2.CBORDecodeError("not in deterministic form")
    return value


def refuse_tag(*_: object) -> Any:
    """A decoder of CBOR tags that refuses every one."""
    raise cbor2.CBORDecodeError("tags are not allowed")


_TAGS: Final = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43000, 55799),
)
"""The tags that cbor2 would otherwise turn into objects."""
NO_TAGS: Final = dict.fromkeys(_TAGS, refuse_tag)
"""For cbor2: refuse the tags that it knows."""


def argument(raw: bytes, pos: int) -> tuple[int, int]:
    """Return the argument of the head at ``pos`` and the position behind it; only shortest forms."""
    low = raw[pos] & 31
    if low < 24:
        return low, pos + 1
    if low > 27:
        raise InvalidValue("a CBOR length that is reserved or indefinite")
    size = 1 << (low - 24)
    number = int.from_bytes(raw[pos + 1 : pos + 1 + size], "big")
    if pos + 1 + size > len(raw) or number < _SHORTEST[low]:
        raise InvalidValue("a CBOR number that is cut off or not in its shortest form")
    return number, pos + 1 + size


_SHORTEST: Final = {24: 24, 25: 0x100, 26: 0x10000, 27: 0x100000000}


def end_of(raw: bytes, pos: int) -> int:
    """Return where the CBOR item at ``pos`` ends, without building it and without recursion.

    Raises:
        InvalidValue: it is cut off, or of more than `limits.ITEMS` items.
    """
    return _walk(raw, pos, limits.ITEMS)[0]


def _walk(raw: bytes, pos: int, budget: int) -> tuple[int, int]:
    """Where an item ends, and how many more may follow it."""
    open_items = 1
    while open_items:
        open_items -= 1
        budget -= 1
        if budget < 0:
            raise InvalidValue(f"a value of more than {limits.ITEMS} items")
        major = raw[pos] >> 5
        if major == 7:
            low = raw[pos] & 31
            pos += 1 + (0 if low < 24 else 1 << (low - 24) if low < 28 else len(raw))
            continue
        number, pos = argument(raw, pos)
        if major in (2, 3):
            pos += number
        elif major == 4:
            open_items += number
        elif major == 5:
            open_items += 2 * number
        elif major == 6:
            open_items += 1
        if pos + open_items > len(raw):
            raise InvalidValue("a CBOR item that is cut off")
    return pos, budget


def decode_map(raw: bytes) -> dict[int, Any]:
    """Read a value: one CBOR map with ascending integer keys. Unknown keys are in the result too.

    Raises:
        InvalidValue: anything but the deterministic form of such a map, or more than `limits.FIELDS` fields.
    """
    try:
        return _decode_map(raw)
    except (IndexError, UnicodeDecodeError, cbor2.CBORDecodeError, cbor2.CBOREncodeError) as error:
        raise InvalidValue(f"not a CBOR map of a record: {type(error).__name__}") from error


def _decode_map(raw: bytes) -> dict[int, Any]:  # noqa: C901  one pass over each value of every document
    head = raw[0]
    if head >> 5 != 5:
        raise InvalidValue("a record is a CBOR map")
    count, pos = (head & 31, 1) if head < 0xB8 else argument(raw, 0)
    if count > limits.FIELDS:
        raise InvalidValue(f"a record has at most {limits.FIELDS} fields")
    fields: dict[int, Any] = {}
    last = -1
    size = len(raw)
    budget = limits.ITEMS
    for _ in range(count):
        key = raw[pos]
        if key < 24:
            pos += 1
        elif key < 0x20:
            key, pos = argument(raw, pos)
        else:
            raise InvalidValue("the fields of a record have numbers from 0")
        if key <= last:
            raise InvalidValue("the fields of a record are sorted and distinct")
        last = key
        head = raw[pos]
        major = head >> 5
        if major in (2, 3):
            low = head & 31
            if low < 24:
                number = low
                pos += 1
            else:
                number, pos = argument(raw, pos)
            end = pos + number
            if end > size:
                raise InvalidValue("a record is cut off")
            fields[key] = raw[pos:end].decode() if major == 3 else raw[pos:end]
            pos = end
        elif major == 0:
            fields[key], pos = argument(raw, pos)
        elif head in (0xF4, 0xF5):
            fields[key] = head == 0xF5
            pos += 1
        else:
            end, budget = _walk(raw, pos, budget)
            fields[key] = load(raw[pos:end])
            pos = end
    if pos != size:
        raise InvalidValue("a record with bytes behind its end")
    return fields
