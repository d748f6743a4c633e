"""The head of a sealed object: whose it is, and where in that device's log it belongs. Source: docs/spec/crypto.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.account import suite
from msgsync.account.padding import padded_size
from msgsync.account.statements import INCARNATION_BYTES, Position, read_position
from msgsync.cbor import decode_map
from msgsync.errors import InvalidValue
from msgsync.ids import DeviceId

NOTHING: Final = bytes(suite.HASH_BYTES)
"""The hash of the object before a device's first one."""


class Kind(IntEnum):
    """What a body is. Others may come: who reads an object decides what to do with one it does not know."""

    BATCH = 1
    """Changes of documents, in a device's log."""
    MANIFEST = 2
    """The list of the packs of a checkpoint, in a device's log."""
    PACK = 3
    """Frozen documents."""
    CHUNK = 4
    """A piece of an attachment."""
    SCREEN = 5
    """The newest messages of the most recent conversations, for whoever has none of them: begins a checkpoint."""
    INDEX = 6
    """Which object of a checkpoint has which document."""


class LogEnd(NamedTuple):
    """How far a device has read the log of one incarnation of another."""

    device: DeviceId
    position: Position


@dataclass(frozen=True, slots=True)
class Head:
    """What an object says about itself, to those who can open it.

    Raises:
        InvalidValue: a field is out of range.
    """

    kind: int
    """A `Kind`, or a later one; 1 to 255."""
    epoch: bytes = field(repr=False)
    """The commitment of the epoch it is sealed under."""
    device: DeviceId
    incarnation: bytes = field(repr=False)
    """16 bytes, drawn when the device opened its replica."""
    sequence: int
    """Its place among all that the device sealed, from 1 on; 0 for one that is in no log, but listed in one."""
    previous: bytes = field(repr=False)
    """The hash of the device's object before it in sequence; `NOTHING` for the first, and for those in no log."""
    roster: tuple[bytes, ...] = field(repr=False)
    """The heads of the roster as the device knew it; sorted."""
    size_bytes: int
    """Of the body, padded."""
    ends: tuple[LogEnd, ...] = field(default=(), repr=False)
    """How far the device had read others' logs, sorted; said once a day and in manifests."""

    def __post_init__(self) -> None:
        hashes = (self.epoch, self.previous, *self.roster)
        if any(type(one) is not bytes or len(one) != suite.HASH_BYTES for one in hashes):
            raise InvalidValue("hashes in the head of an object have 32 bytes")
        if not 1 <= self.kind <= 255 or not 0 <= self.sequence < 2**64:
            raise InvalidValue("the kind or the sequence of an object is out of range")
        if type(self.incarnation) is not bytes or len(self.incarnation) != INCARNATION_BYTES:
            raise InvalidValue(f"an incarnation has {INCARNATION_BYTES} bytes")
        if not self.sequence and self.previous != NOTHING:
            raise InvalidValue("an object in no log has none before it")
        if not 1 <= len(self.roster) <= limits.PARENTS or not _ascends(self.roster):
            raise InvalidValue(f"an object cites 1 to {limits.PARENTS} statements, sorted")
        if len(self.ends) > limits.POSITIONS or not _ascends(
            [(device, position.incarnation) for device, position in self.ends]
        ):
            raise InvalidValue(f"log positions are sorted and at most {limits.POSITIONS}")


def write_head(head: Head) -> bytes:
    """The bytes of a head."""
    fields: dict[int, Any] = {
        0: head.kind,
        1: head.epoch,
        2: head.device.raw,
        3: head.incarnation,
        4: head.sequence,
        5: head.previous,
        6: list(head.roster),
        7: head.size_bytes,
    }
    if head.ends:
        fields[8] = [[device.raw, *position] for device, position in head.ends]
    return cbor2.dumps(fields, canonical=True)


def read_head(written: bytes) -> Head:
    """The head that these bytes write.

    Raises:
        InvalidValue: they write none.
    """
    fields = decode_map(written)
    try:
        number = [fields[0], fields[4], fields[7]]
        if any(type(one) is not int for one in number) or fields.keys() - set(range(9)):
            raise InvalidValue("other fields than a head has")
        ends = tuple(
            LogEnd(DeviceId(device), read_position(position))
            for device, *position in fields.get(8, ())
        )
        head = Head(
            fields[0],
            fields[1],
            DeviceId(fields[2]),
            fields[3],
            fields[4],
            fields[5],
            tuple(fields[6]),
            fields[7],
            ends,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValue("not the head of an object") from error
    if 8 in fields and not ends:
        raise InvalidValue("an empty field in the head of an object")
    if head.size_bytes > limits.OBJECT_BYTES or padded_size(head.size_bytes) != head.size_bytes:
        raise InvalidValue("a size that no body has")
    return head


def _ascends(values: Sequence[Any]) -> bool:
    return list(values) == sorted(set(values))
