"""Records of heads and of the account document: fields, read marks, deletions. Source: design 4."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

import cbor2

from msgsync import limits
from msgsync.cbor import argument, decode_map, end_of, head_of, load
from msgsync.errors import InvalidValue
from msgsync.records.fields import (
    DeletionKind,
    Stamp,
    bytes_of,
    device_field,
    device_of,
    field,
    number_of,
    optional_field,
    record_of,
    stamps_field,
    stamps_of,
    text_of,
)

PARTICIPANT: Final = "participant:"
"""What the names of fields begin with that say whether somebody takes part."""


DEVICE: Final = "device:"
"""What the names of fields about devices begin with, in the account document."""


APP: Final = "app:"
"""What the names of the app's own fields begin with."""


@dataclass(frozen=True, slots=True)
class HeadDeletionRecord:
    """Deleting or restoring a conversation: the entries of its fields that the writer knew."""

    kind: DeletionKind
    at_ms: int
    device: bytes | None
    fields: tuple[Stamp, ...]
    supersedes: frozenset[Stamp]
    """All earlier deletion entries of the head that the writer knew, transitively."""


class ReadKind(IntEnum):
    """What a person said about reading."""

    READ = 0
    UNREAD = 1


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """How far a conversation was read: a place, and which messages shortly before it the reader had."""

    kind: ReadKind
    at_ms: int
    device: bytes | None
    ms: int
    order: int
    tail: bytes
    """Place of the last message that was read."""
    from_ms: int
    """Messages of this millisecond and later are read only if they are among ``seen``; earlier ones are."""
    seen: frozenset[bytes]
    """The first 8 bytes of the ids: the millisecond, and enough to tell messages of one apart."""

    @property
    def place(self) -> tuple[int, int, bytes]:
        """Where the last message stands that was read."""
        return self.ms, self.order, self.tail

    def covers(self, ms: int, order: int, tail: bytes) -> bool:
        """Whether a message in this place was read."""
        if (ms, order, tail) > self.place:
            return False
        return ms < self.from_ms or ms.to_bytes(6, "big") + tail[:2] in self.seen

    def holds(self, other: ReadRecord) -> bool:
        """Whether this certainly covers every message that the other one covers, whichever there may be."""
        if self.place < other.place or self.from_ms < other.from_ms:
            return False
        from_ms = self.from_ms.to_bytes(6, "big")
        return all(one[:6] < from_ms or one in self.seen for one in other.seen)


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """One named field of a head or of the account document."""

    name: str
    value: Any


def encode_head_deletion(record: HeadDeletionRecord) -> bytes:
    """Return the value of a head's deletion entry: stamps sorted and joined."""
    return record_of(
        {
            1: head_of(0, record.kind),
            2: number_of(record.at_ms, "the time of the deletion", limits.MS),
            3: device_of(record.device),
            5: stamps_of(record.supersedes),
            6: stamps_of(record.fields),
        }
    )


def encode_read(record: ReadRecord) -> bytes:
    """Return the value of a mark's entry."""
    place = record.ms.to_bytes(6, "big") + record.order.to_bytes(6, "big") + record.tail
    return record_of(
        {
            1: head_of(0, record.kind),
            2: number_of(record.at_ms, "the time of the mark", limits.MS),
            3: device_of(record.device),
            4: bytes_of(place),
            5: number_of(record.from_ms, "the beginning of what was seen", limits.MS),
            6: bytes_of(b"".join(sorted(record.seen))) if record.seen else None,
        }
    )


def encode_field(record: FieldRecord) -> bytes:
    """Return the value of a field's entry; a value is anything that `MessageRecord.extra` may hold."""
    try:
        value = cbor2.dumps(record.value, canonical=True)
        load(value)
        end_of(value, 0)  # not too many items
    except (
        cbor2.CBOREncodeError,
        cbor2.CBORDecodeError,
        UnicodeEncodeError,
        RecursionError,
    ) as error:
        raise InvalidValue(f"a field cannot hold this value: {error}") from error
    return record_of(
        {1: text_of(record.name, "a field's name", limits.NAME_BYTES, at_least=1), 2: value}
    )


def decode_head_deletion(raw: bytes) -> HeadDeletionRecord:
    """Read the value of a head's deletion entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    covered = stamps_field(fields, 6)
    if any(a >= b for a, b in pairwise(covered)):
        raise InvalidValue("the stamps of an entry are sorted and distinct")
    return HeadDeletionRecord(
        kind=DeletionKind(field(fields, 1, int, max(DeletionKind))),
        at_ms=field(fields, 2, int, limits.MS),
        device=device_field(fields, 3),
        fields=covered,
        supersedes=frozenset(stamps_field(fields, 5)),
    )


def decode_read(raw: bytes) -> ReadRecord:
    """Read the value of a mark's entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    place: bytes = field(fields, 4, bytes, 18)
    seen: bytes = optional_field(fields, 6, bytes, limits.VALUE_BYTES) or b""
    if len(place) != 18 or len(seen) % 8:
        raise InvalidValue("a place has 18 bytes, and what was seen 8 bytes each")
    return ReadRecord(
        kind=ReadKind(field(fields, 1, int, max(ReadKind))),
        at_ms=field(fields, 2, int, limits.MS),
        device=device_field(fields, 3),
        ms=int.from_bytes(place[:6], "big"),
        order=int.from_bytes(place[6:12], "big"),
        tail=place[12:],
        from_ms=field(fields, 5, int, limits.MS),
        seen=frozenset(seen[i : i + 8] for i in range(0, len(seen), 8)),
    )


ErasedFields = dict[bytes, Stamp]
"""By `name_hash`: every entry of a field of that name up to this stamp is erased."""


def name_hash(name: str) -> bytes:
    """8 bytes that stand for the name of a field where it was erased."""
    return hashlib.sha256(b"field\0" + name.encode()).digest()[:8]


def encode_erased_fields(erased: ErasedFields) -> bytes:
    """Return the value of a head's ``erased`` entry: sorted pairs of hash and stamp, nothing else."""
    return bytes_of(b"".join(one + erased[one].pack() for one in sorted(erased)))


def decode_erased_fields(raw: bytes) -> ErasedFields:
    """Read the value of a head's ``erased`` entry. Raises InvalidValue if it is not one."""
    if not raw or raw[0] >> 5 != 2:
        raise InvalidValue("an erasure is a byte string")
    size, pos = argument(raw, 0)
    if size != len(raw) - pos or not size or size % 24 or size // 24 > limits.IDS_PER_ENTRY:
        raise InvalidValue(f"an erasure in a head has 1 to {limits.IDS_PER_ENTRY} times 24 bytes")
    starts = range(pos, len(raw), 24)
    if any(raw[i : i + 8] >= raw[i + 24 : i + 32] for i in starts[:-1]):
        raise InvalidValue("the names of an erasure are sorted and distinct")
    return {raw[i : i + 8]: Stamp.unpack(raw[i + 8 : i + 24]) for i in starts}


def decode_field(raw: bytes) -> FieldRecord:
    """Read the value of a field's entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    if 2 not in fields:
        raise InvalidValue("a field has a value")
    return FieldRecord(field(fields, 1, str, limits.NAME_BYTES), fields[2])
