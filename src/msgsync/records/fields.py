"""What records are made of: numbers, texts, ids and stamps, to and from CBOR. Source: docs/specification.md."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

from msgsync import limits
from msgsync.cbor import head_of
from msgsync.errors import InvalidValue
from msgsync.ids import encode_text, to_base32

ID_BYTES: Final = 12


class DeletionKind(IntEnum):
    """What a deletion entry does to the ids it covers."""

    DELETED = 0
    RESTORED = 1


class Stamp(NamedTuple):
    """When and by whom an entry was written: compares by Lamport number, then by writer."""

    lamport: int
    """0 for entries from a carrier or an import; else one above every number its writer had seen."""
    writer: bytes
    """10 bytes: the client id of one opening of a replica, or for Lamport 0 see `carrier_stamp`."""

    def key(self) -> bytes:
        """The text form in keys: 10 and 16 base32 characters joined by a dot."""
        lamport = to_base32(self.lamport, 10) if self.lamport else "0000000000"
        writer = int.from_bytes(self.writer, "big")
        return f"{lamport}.{to_base32(writer, 16)}".encode("ascii")

    def pack(self) -> bytes:
        """16 bytes: big-endian Lamport number, then the writer."""
        return self.lamport.to_bytes(6, "big") + self.writer

    @classmethod
    def unpack(cls, packed: bytes) -> Stamp:
        """The inverse of `pack`."""
        return cls(int.from_bytes(packed[:6], "big"), packed[6:])


TEXT_HEADS: Final = tuple(head_of(3, size) for size in range(256))
"""The heads of short texts in CBOR, by size."""


def number_of(number: int, what: str, limit: int) -> bytes:
    """A whole number as CBOR. Raises InvalidValue if it is none from 0 to the limit."""
    if type(number) is not int or not 0 <= number <= limit:
        raise InvalidValue(f"{what} is a whole number from 0 to {limit}, not {number!r}")
    return head_of(0, number)


def bytes_of(raw: bytes) -> bytes:
    """A byte string as CBOR."""
    return head_of(2, len(raw)) + raw


def checked(text: object, what: str, limit_bytes: int, *, at_least: int = 1) -> bytes:
    """A text in UTF-8. Raises InvalidValue, which says what it is, if it is none or too long or short, in bytes."""
    if not isinstance(text, str):
        raise InvalidValue(f"{what} is a string, not {type(text).__name__}")
    raw = encode_text(text, what)
    size = len(raw)
    if size > limit_bytes:
        raise InvalidValue(f"{what} has {size} bytes of UTF-8; at most {limit_bytes} are allowed")
    if size < at_least:
        raise InvalidValue(f"{what} is empty")
    return raw


def text_of(text: object, what: str, limit_bytes: int, *, at_least: int = 0) -> bytes:
    """A text as CBOR. Raises InvalidValue as `checked` does."""
    try:
        raw = text.encode() if type(text) is str else b""
    except UnicodeEncodeError:
        raw = b""
    size = len(raw)
    if not 0 < size <= limit_bytes:
        raw = checked(
            text, what, limit_bytes, at_least=at_least
        )  # says what is wrong, if anything is
        size = len(raw)
    return (TEXT_HEADS[size] if size < 256 else head_of(3, size)) + raw


def external_of(external_id: object) -> bytes:
    """An external id as CBOR. Raises InvalidValue if no message can have it."""
    return text_of(external_id, "an external id", limits.EXTERNAL_ID_BYTES, at_least=1)


def stamps_of(stamps: Iterable[Stamp]) -> bytes | None:
    """Stamps as CBOR, sorted, in one byte string; None if there are none."""
    packed = b"".join(sorted(stamp.pack() for stamp in stamps))
    return bytes_of(packed) if packed else None


def device_of(device: bytes | None) -> bytes | None:
    """A device id as CBOR, if there is one."""
    return None if device is None else bytes_of(device)


def record_of(fields: dict[int, bytes | None]) -> bytes:
    """A record of its fields as CBOR, without those that are None. Raises InvalidValue if it is too long."""
    present = {key: value for key, value in fields.items() if value is not None}
    value = head_of(5, len(present)) + b"".join(
        head_of(0, key) + present[key] for key in sorted(present)
    )
    if len(value) > limits.VALUE_BYTES:
        raise InvalidValue(
            f"the entry takes {len(value)} bytes; at most {limits.VALUE_BYTES} are allowed"
        )
    return value


def field(fields: dict[int, Any], key: int, kind: type, limit: int) -> Any:
    """A field of a record that was read. Raises InvalidValue if it is missing, of another type or beyond its limit."""
    value: Any = fields.get(key)
    found: object = type(value)  # exactly: a bool is no number here
    if found is not kind:
        raise InvalidValue(f"field {key} of a record is missing or of the wrong type")
    if kind is int:
        if not 0 <= value <= limit:
            raise InvalidValue(f"field {key} of a record is beyond its limit")
    elif len(value) > limit or (
        kind is str and len(value) * 4 > limit and len(value.encode()) > limit
    ):
        raise InvalidValue(f"field {key} of a record is beyond its limit")
    return value


def optional_field(fields: dict[int, Any], key: int, kind: type, limit: int) -> Any:
    """A field that may be missing. Raises InvalidValue as `field` does."""
    return None if key not in fields else field(fields, key, kind, limit)


def device_field(fields: dict[int, Any], key: int) -> bytes | None:
    """A device id, if there is one. Raises InvalidValue if it is none."""
    device: bytes | None = optional_field(fields, key, bytes, 8)
    if device is not None and len(device) != 8:
        raise InvalidValue("a device id has 8 bytes")
    return device


def ids_field(raw: bytes) -> tuple[bytes, ...]:
    """Ids that lie one behind the other. Raises InvalidValue if they are not sorted and distinct, or too many."""
    ids = tuple(raw[i : i + ID_BYTES] for i in range(0, len(raw), ID_BYTES))
    if not 1 <= len(ids) <= limits.IDS_PER_ENTRY or len(raw) % ID_BYTES:
        raise InvalidValue(f"an entry lists 1 to {limits.IDS_PER_ENTRY} ids of 12 bytes")
    if any(a >= b for a, b in pairwise(ids)):
        raise InvalidValue("the ids of an entry are sorted and distinct")
    return ids


def stamps_field(fields: dict[int, Any], key: int) -> tuple[Stamp, ...]:
    """Stamps that lie one behind the other. Raises InvalidValue if something is cut off."""
    packed: bytes = optional_field(fields, key, bytes, limits.VALUE_BYTES) or b""
    if len(packed) % 16:
        raise InvalidValue("stamps have 16 bytes each")
    return tuple(Stamp.unpack(packed[i : i + 16]) for i in range(0, len(packed), 16))
