"""Records of what is said about messages: edits, reactions, deletions, aliases, erasures. Source: design 4."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from msgsync import limits
from msgsync.cbor import argument, decode_map, head_of
from msgsync.errors import InvalidValue
from msgsync.ids import encode_id, sort_ids, to_base32
from msgsync.records.fields import (
    ID_BYTES,
    DeletionKind,
    Stamp,
    bytes_of,
    device_field,
    device_of,
    external_of,
    field,
    ids_field,
    number_of,
    record_of,
    stamps_field,
    stamps_of,
    text_of,
)


class EditRecord(NamedTuple):
    """The new text of a message."""

    text: str
    at_ms: int
    device: bytes | None = None


class ReactionRecord(NamedTuple):
    """One user's reaction with one emoji, switched on or off."""

    user: str
    emoji: str
    on: bool
    at_ms: int
    device: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeletionRecord:
    """Deleting or restoring the ids it lists."""

    kind: DeletionKind
    at_ms: int
    device: bytes | None
    ids: tuple[bytes, ...]
    supersedes: frozenset[Stamp]
    """All earlier deletion entries about these ids that the writer knew, transitively."""


class AliasRecord(NamedTuple):
    """The message that the key names and another one are one: an own message, and the carrier's echo of it."""

    other: bytes
    """The other id, 12 bytes."""
    external_id: str
    sent_ms: int
    """The carrier's time, Unix milliseconds: with the external id it makes the carrier's id of the two."""


def carrier_stamp(at_ms: int, value: bytes) -> Stamp:
    """The stamp of an edit, reaction or deletion that comes from a carrier or an import.

    The same on every device and at every repetition, ordered by upstream time, below anything a person does here.
    Source: design 4.
    """
    if not 0 <= at_ms <= limits.MS:
        raise InvalidValue(f"a time is Unix milliseconds from 0 to {limits.MS}, not {at_ms}")
    return Stamp(0, at_ms.to_bytes(6, "big") + hashlib.sha256(value).digest()[:4])


def encode_edit(record: EditRecord) -> bytes:
    """Return the value of an edit's entry. Raises InvalidValue as `encode_message` does."""
    text = text_of(record.text, "the text", limits.TEXT_BYTES)
    at_ms = number_of(record.at_ms, "the time of the edit", limits.MS)
    if record.device is None:
        return b"\xa2\x01%b\x02%b" % (text, at_ms)
    return b"\xa3\x01%b\x02%b\x03%b" % (text, at_ms, bytes_of(record.device))


def encode_reaction(record: ReactionRecord) -> bytes:
    """Return the value of a reaction's entry. Raises InvalidValue as `encode_message` does."""
    user = text_of(record.user, "the user", limits.NAME_BYTES, at_least=1)
    emoji = text_of(record.emoji, "the emoji", limits.EMOJI_BYTES, at_least=1)
    on = b"\xf5" if record.on else b"\xf4"
    at_ms = number_of(record.at_ms, "the time of the reaction", limits.MS)
    if record.device is None:
        return b"\xa4\x01%b\x02%b\x03%b\x04%b" % (user, emoji, on, at_ms)
    return b"\xa5\x01%b\x02%b\x03%b\x04%b\x05%b" % (user, emoji, on, at_ms, bytes_of(record.device))


def encode_deletion(record: DeletionRecord) -> bytes:
    """Return the value of a deletion's entry: ids and superseded stamps sorted and joined."""
    return record_of(
        {
            1: head_of(0, record.kind),
            2: number_of(record.at_ms, "the time of the deletion", limits.MS),
            3: device_of(record.device),
            4: bytes_of(b"".join(sort_ids(record.ids))),
            5: stamps_of(record.supersedes),
        }
    )


def encode_erased(ids: list[bytes]) -> bytes:
    """Return the value of an ``erased`` entry: the sorted ids, nothing else."""
    return bytes_of(b"".join(sort_ids(ids)))


def encode_alias(record: AliasRecord) -> bytes:
    """Return the value of an alias. Raises InvalidValue as `encode_message` does."""
    external = external_of(record.external_id)
    sent_ms = number_of(record.sent_ms, "the time of sending", limits.MS)
    return b"\xa3\x01%b\x02%b\x03%b" % (bytes_of(record.other), external, sent_ms)


def alias_key(message_id: bytes, value: bytes) -> bytes:
    """The key of an alias: the id it is about and the hash of its value, so equal aliases are one entry."""
    return encode_id(message_id) + b"." + erased_key(value)


def erased_key(value: bytes) -> bytes:
    """The key of an ``erased`` entry: the hash of its value, so equal erasures are one entry."""
    return to_base32(int.from_bytes(hashlib.sha256(value).digest()[:16], "big"), 26).encode("ascii")


def decode_edit(raw: bytes) -> EditRecord:
    """Read the value of an edit's entry. Raises InvalidValue as `decode_message` does."""
    common = _common_edit(raw)
    if common is not None:
        return common
    fields = decode_map(raw)
    return EditRecord(
        text=field(fields, 1, str, limits.TEXT_BYTES),
        at_ms=field(fields, 2, int, limits.MS),
        device=device_field(fields, 3),
    )


def _common_edit(raw: bytes) -> EditRecord | None:
    """A short edit that a carrier told: a third of the time. None if it is any other."""
    size = len(raw) - 13  # of the text, if its head has one byte
    if size < 0 or raw[:2] != b"\xa2\x01" or raw[-10:-8] != b"\x02\x1b":
        return None
    start = 3
    if raw[2] != 0x60 + size or size >= 24:
        start = 4
        if raw[2] != 0x78 or raw[3] != size - 1 or raw[3] < 24:
            return None
    at_ms = int.from_bytes(raw[-8:], "big")
    if not 1 << 32 <= at_ms <= limits.MS:
        return None
    try:
        return EditRecord(raw[start:-10].decode(), at_ms)
    except UnicodeDecodeError:
        return None


def decode_reaction(raw: bytes) -> ReactionRecord:
    """Read the value of a reaction's entry. Raises InvalidValue as `decode_message` does."""
    common = _common_reaction(raw)
    if common is not None:
        return common
    fields = decode_map(raw)
    return ReactionRecord(
        user=field(fields, 1, str, limits.NAME_BYTES),
        emoji=field(fields, 2, str, limits.EMOJI_BYTES),
        on=field(fields, 3, bool, 1) if type(fields.get(3)) is not bool else fields[3],
        at_ms=field(fields, 4, int, limits.MS),
        device=device_field(fields, 5),
    )


def _common_reaction(raw: bytes) -> ReactionRecord | None:
    """A reaction that a carrier told, by a short name: a fifth of the time. None if it is any other."""
    if len(raw) < 19 or raw[:2] != b"\xa4\x01" or not 0x60 < raw[2] < 0x78:
        return None
    user_end = raw[2] - 0x5D
    rest = len(raw) - user_end
    if rest < 15 or raw[user_end] != 2 or raw[user_end + 1] != 0x60 + rest - 14:
        return None  # the emoji takes all that is left
    on, at_ms = raw[-11], int.from_bytes(raw[-8:], "big")
    framed = raw[-12] == 3 and on in (0xF4, 0xF5) and raw[-10:-8] == b"\x04\x1b"
    if not framed or not 1 << 32 <= at_ms <= limits.MS or rest - 14 >= 24:
        return None
    try:
        user, emoji = raw[3:user_end].decode(), raw[user_end + 2 : -12].decode()
    except UnicodeDecodeError:
        return None
    return ReactionRecord(user, emoji, on == 0xF5, at_ms)


def decode_deletion(raw: bytes) -> DeletionRecord:
    """Read the value of a deletion's entry. Raises InvalidValue as `decode_message` does."""
    if len(raw) == 27 and raw[:5] == b"\xa3\x01\0\x02\x1b" and raw[13:15] == b"\x04\x4c":
        at_ms = int.from_bytes(raw[5:13], "big")
        if 1 << 32 <= at_ms <= limits.MS:  # of one message, as a carrier tells it
            return DeletionRecord(DeletionKind.DELETED, at_ms, None, (raw[15:],), frozenset())
    fields = decode_map(raw)
    kind = field(fields, 1, int, max(DeletionKind))
    return DeletionRecord(
        kind=DeletionKind(kind),
        at_ms=field(fields, 2, int, limits.MS),
        device=device_field(fields, 3),
        ids=ids_field(field(fields, 4, bytes, limits.VALUE_BYTES)),
        supersedes=frozenset(stamps_field(fields, 5)),
    )


def decode_alias(raw: bytes) -> AliasRecord:
    """Read the value of an alias. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    other: bytes = field(fields, 1, bytes, ID_BYTES)
    external_id: str = field(fields, 2, str, limits.EXTERNAL_ID_BYTES)
    if len(other) != ID_BYTES or not external_id:
        raise InvalidValue("an alias names another id of 12 bytes and an external id")
    return AliasRecord(other, external_id, field(fields, 3, int, limits.MS))


def decode_erased(raw: bytes) -> tuple[bytes, ...]:
    """Read the value of an ``erased`` entry: its ids. Raises InvalidValue if it is not one."""
    if not raw or raw[0] >> 5 != 2:
        raise InvalidValue("an erasure is a byte string of ids")
    size, pos = argument(raw, 0)
    if size != len(raw) - pos:
        raise InvalidValue("an erasure is a byte string of ids")
    return ids_field(raw[pos:])
