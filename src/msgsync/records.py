"""Records: the immutable values of entries, to and from deterministic CBOR.

A value is one CBOR map with small integer keys in ascending order (RFC 8949 core deterministic encoding, which for
these maps equals RFC 7049 section 3.9), read strictly: another encoding of the same content is refused, so equal
records have equal bytes. Fields that this version does not know are left in the bytes, which nobody re-encodes.
Source: design 4, docs/specification.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.cbor import argument, decode_map, end_of, head_of, load
from msgsync.errors import InvalidValue
from msgsync.ids import encode_id, encode_text, sort_ids, to_base32

ID_BYTES: Final = 12
PARTICIPANT: Final = "participant:"
"""What the names of fields begin with that say whether somebody takes part."""
DEVICE: Final = "device:"
"""What the names of fields about devices begin with, in the account document."""
APP: Final = "app:"
"""What the names of the app's own fields begin with."""


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


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message as it was sent or ingested: a function of the upstream message alone."""

    author: str
    text: str
    order: int = 0
    external_id: str | None = None
    sent_ms: int | None = None
    """Unix milliseconds; None where they are those of the id."""
    reply_to: bytes | str | None = None
    """The answered message: its 12-byte id, or its external id in an ingested record."""
    kind: str = "text"
    extra: Mapping[str, Any] | None = None


class Rest(NamedTuple):
    """The fields of a message's record that most messages do not have."""

    sent_ms: int | None = None
    reply_to: bytes | str | None = None
    kind: str | None = None
    """None is text."""
    extra: Mapping[str, Any] | None = None


MessageColumns = tuple[bytes, bytes, int, bytes | None, bytes | None]
"""Author, text, order, external id (UTF-8), and a CBOR map of all later fields if there are any (see `Rest`)."""


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


def carrier_stamp(at_ms: int, value: bytes) -> Stamp:
    """The stamp of an edit, reaction or deletion that comes from a carrier or an import.

    The same on every device and at every repetition, ordered by upstream time, below anything a person does here.
    Source: design 4.
    """
    if not 0 <= at_ms <= limits.MS:
        raise InvalidValue(f"a time is Unix milliseconds from 0 to {limits.MS}, not {at_ms}")
    return Stamp(0, at_ms.to_bytes(6, "big") + hashlib.sha256(value).digest()[:4])


_TEXT_HEADS: Final = tuple(head_of(3, size) for size in range(256))


def _number(number: int, what: str, limit: int) -> bytes:
    if type(number) is not int or not 0 <= number <= limit:
        raise InvalidValue(f"{what} is a whole number from 0 to {limit}, not {number!r}")
    return head_of(0, number)


def _bytes(raw: bytes) -> bytes:
    return head_of(2, len(raw)) + raw


def encode_extra(extra: Mapping[str, Any]) -> bytes:
    """The CBOR of the app's extra. Raises InvalidValue if it holds what no record can."""
    if not isinstance(extra, Mapping) or not all(type(key) is str for key in extra):
        raise InvalidValue("extra is a mapping with string keys")
    try:
        raw = cbor2.dumps(dict(extra), canonical=True)
        load(raw)
        end_of(raw, 0)  # not too many items
    except (
        cbor2.CBOREncodeError,
        cbor2.CBORDecodeError,
        UnicodeEncodeError,
        RecursionError,
    ) as error:
        raise InvalidValue(
            "extra holds only None, booleans, numbers, strings, bytes, lists and mappings with string keys, "
            f"at most {limits.EXTRA_DEPTH} deep: {error}"
        ) from error
    return raw


def encode_author(author: str) -> bytes:
    """An author's name in UTF-8. Raises InvalidValue if no message can have it."""
    return _checked(author, "the author", limits.NAME_BYTES)


def encode_external_id(external_id: str) -> bytes:
    """An external id in UTF-8. Raises InvalidValue if no message can have it."""
    return _checked(external_id, "an external id", limits.EXTERNAL_ID_BYTES)


def encode_message_text(text: str) -> bytes:
    """A message's text in UTF-8. Raises InvalidValue if no message can have it."""
    return _checked(text, "the text", limits.TEXT_BYTES, at_least=0)


def _checked(text: object, what: str, limit_bytes: int, *, at_least: int = 1) -> bytes:
    if not isinstance(text, str):
        raise InvalidValue(f"{what} is a string, not {type(text).__name__}")
    raw = encode_text(text, what)
    size = len(raw)
    if size > limit_bytes:
        raise InvalidValue(f"{what} has {size} bytes of UTF-8; at most {limit_bytes} are allowed")
    if size < at_least:
        raise InvalidValue(f"{what} is empty")
    return raw


def _text(text: object, what: str, limit_bytes: int, *, at_least: int = 0) -> bytes:
    try:
        raw = text.encode() if type(text) is str else b""
    except UnicodeEncodeError:
        raw = b""
    size = len(raw)
    if not 0 < size <= limit_bytes:
        raw = _checked(
            text, what, limit_bytes, at_least=at_least
        )  # says what is wrong, if anything is
        size = len(raw)
    return (_TEXT_HEADS[size] if size < 256 else head_of(3, size)) + raw


def encode_message(record: MessageRecord) -> bytes:
    """Return the value of a message's entry.

    Raises:
        InvalidValue: a field is of the wrong type or beyond its limit.
    """
    rest = encode_rest(
        record.sent_ms,
        record.reply_to,
        None if record.kind == "text" else record.kind,
        None if record.extra is None else encode_extra(record.extra),
    )
    external_id = None if record.external_id is None else encode_external_id(record.external_id)
    author, text = encode_author(record.author), encode_message_text(record.text)
    return encode_message_columns((author, text, record.order, external_id, rest))


def encode_rest(
    sent_ms: int | None, reply: bytes | str | None, kind: str | None, extra: bytes | None
) -> bytes | None:
    """The CBOR map of what a record says beyond the common fields, ``extra`` encoded; None if that is nothing."""
    count = 0
    parts: list[bytes] = []
    if sent_ms is not None:
        count += 1
        parts += b"\x05", _number(sent_ms, "the sent time", limits.MS)
    if reply is not None:
        count += 1
        if type(reply) is bytes and len(reply) != ID_BYTES:
            raise InvalidValue(f"an answered id has {ID_BYTES} bytes")
        parts += b"\x06", _bytes(reply) if type(reply) is bytes else _external(reply)
    if kind is not None:
        count += 1
        parts += b"\x08", _text(kind, "the kind", limits.NAME_BYTES, at_least=1)
    if extra is not None:
        count += 1
        parts += b"\x09", extra
    return bytes((0xA0 | count,)) + b"".join(parts) if count else None


def encode_message_columns(columns: MessageColumns) -> bytes:
    """`encode_message` for a record as columns, each checked before: what an import does for every message.

    Raises:
        InvalidValue: the order is none, or all together is too much.
    """
    author, text, order, external_id, rest = columns
    heads = _TEXT_HEADS
    size, author_size = len(text), len(author)
    text_head = heads[size] if size < 256 else head_of(3, size)
    author_head = heads[author_size] if author_size < 256 else head_of(3, author_size)
    if rest is None and type(order) is int and order == 0:
        if external_id is None:
            return b"\xa2\x01%b%b\x02%b%b" % (author_head, author, text_head, text)
        return b"\xa3\x01%b%b\x02%b%b\x04%b%b" % (
            author_head, author, text_head, text, heads[len(external_id)], external_id,
        )  # fmt: skip
    count = 2
    parts = [b"\x01", author_head, author, b"\x02", text_head, text]
    if type(order) is not int or order:
        count += 1
        parts += b"\x03", _number(order, "the order", limits.MS)
    if external_id is not None:
        count += 1
        parts += b"\x04", heads[len(external_id)], external_id
    if rest is not None:
        more, pos = argument(rest, 0)
        count += more
        parts.append(rest[pos:])
    value = head_of(5, count) + b"".join(parts)
    if len(value) > limits.VALUE_BYTES:
        raise InvalidValue(
            f"the message takes {len(value)} bytes; at most {limits.VALUE_BYTES} are allowed"
        )
    return value


def _external(external_id: object) -> bytes:
    return _text(external_id, "an external id", limits.EXTERNAL_ID_BYTES, at_least=1)


def encode_edit(record: EditRecord) -> bytes:
    """Return the value of an edit's entry. Raises InvalidValue as `encode_message` does."""
    text = _text(record.text, "the text", limits.TEXT_BYTES)
    at_ms = _number(record.at_ms, "the time of the edit", limits.MS)
    if record.device is None:
        return b"\xa2\x01%b\x02%b" % (text, at_ms)
    return b"\xa3\x01%b\x02%b\x03%b" % (text, at_ms, _bytes(record.device))


def encode_reaction(record: ReactionRecord) -> bytes:
    """Return the value of a reaction's entry. Raises InvalidValue as `encode_message` does."""
    user = _text(record.user, "the user", limits.NAME_BYTES, at_least=1)
    emoji = _text(record.emoji, "the emoji", limits.EMOJI_BYTES, at_least=1)
    on = b"\xf5" if record.on else b"\xf4"
    at_ms = _number(record.at_ms, "the time of the reaction", limits.MS)
    if record.device is None:
        return b"\xa4\x01%b\x02%b\x03%b\x04%b" % (user, emoji, on, at_ms)
    return b"\xa5\x01%b\x02%b\x03%b\x04%b\x05%b" % (user, emoji, on, at_ms, _bytes(record.device))


def encode_deletion(record: DeletionRecord) -> bytes:
    """Return the value of a deletion's entry: ids and superseded stamps sorted and joined."""
    return _map(
        {
            1: head_of(0, record.kind),
            2: _number(record.at_ms, "the time of the deletion", limits.MS),
            3: _device(record.device),
            4: _bytes(b"".join(sort_ids(record.ids))),
            5: _stamps(record.supersedes),
        }
    )


def encode_erased(ids: list[bytes]) -> bytes:
    """Return the value of an ``erased`` entry: the sorted ids, nothing else."""
    return _bytes(b"".join(sort_ids(ids)))


def encode_alias(record: AliasRecord) -> bytes:
    """Return the value of an alias. Raises InvalidValue as `encode_message` does."""
    sent_ms = _number(record.sent_ms, "the time of sending", limits.MS)
    return b"\xa3\x01%b\x02%b\x03%b" % (
        _bytes(record.other), _external(record.external_id), sent_ms,
    )  # fmt: skip


def alias_key(message_id: bytes, value: bytes) -> bytes:
    """The key of an alias: the id it is about and the hash of its value, so equal aliases are one entry."""
    return encode_id(message_id) + b"." + erased_key(value)


def erased_key(value: bytes) -> bytes:
    """The key of an ``erased`` entry: the hash of its value, so equal erasures are one entry."""
    return to_base32(int.from_bytes(hashlib.sha256(value).digest()[:16], "big"), 26).encode("ascii")


def encode_head_deletion(record: HeadDeletionRecord) -> bytes:
    """Return the value of a head's deletion entry: stamps sorted and joined."""
    return _map(
        {
            1: head_of(0, record.kind),
            2: _number(record.at_ms, "the time of the deletion", limits.MS),
            3: _device(record.device),
            5: _stamps(record.supersedes),
            6: _stamps(record.fields),
        }
    )


def encode_read(record: ReadRecord) -> bytes:
    """Return the value of a mark's entry."""
    place = record.ms.to_bytes(6, "big") + record.order.to_bytes(6, "big") + record.tail
    return _map(
        {
            1: head_of(0, record.kind),
            2: _number(record.at_ms, "the time of the mark", limits.MS),
            3: _device(record.device),
            4: _bytes(place),
            5: _number(record.from_ms, "the beginning of what was seen", limits.MS),
            6: _bytes(b"".join(sorted(record.seen))) if record.seen else None,
        }
    )


def _stamps(stamps: Iterable[Stamp]) -> bytes | None:
    packed = b"".join(sorted(stamp.pack() for stamp in stamps))
    return _bytes(packed) if packed else None


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
    return _map({1: _text(record.name, "a field's name", limits.NAME_BYTES, at_least=1), 2: value})


def _device(device: bytes | None) -> bytes | None:
    return None if device is None else _bytes(device)


def _map(fields: dict[int, bytes | None]) -> bytes:
    present = {key: value for key, value in fields.items() if value is not None}
    value = head_of(5, len(present)) + b"".join(
        head_of(0, key) + present[key] for key in sorted(present)
    )
    if len(value) > limits.VALUE_BYTES:
        raise InvalidValue(
            f"the entry takes {len(value)} bytes; at most {limits.VALUE_BYTES} are allowed"
        )
    return value


def _field(fields: dict[int, Any], key: int, kind: type, limit: int) -> Any:
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


def _optional(fields: dict[int, Any], key: int, kind: type, limit: int) -> Any:
    return None if key not in fields else _field(fields, key, kind, limit)


def _device_field(fields: dict[int, Any], key: int) -> bytes | None:
    device: bytes | None = _optional(fields, key, bytes, 8)
    if device is not None and len(device) != 8:
        raise InvalidValue("a device id has 8 bytes")
    return device


def decode_message(raw: bytes) -> MessageRecord:
    """Read the value of a message's entry.

    Raises:
        InvalidValue: it is not one, or a field is beyond its limit.
    """
    author, text, order, external_id, rest = decode_message_columns(raw)
    sent_ms, reply_to, kind, extra = decode_rest(rest)
    return MessageRecord(
        author.decode(),
        text.decode(),
        order,
        None if external_id is None else external_id.decode(),
        sent_ms,
        reply_to,
        kind or "text",
        extra,
    )


def decode_message_columns(raw: bytes) -> MessageColumns:  # noqa: C901, PLR0915  one pass
    """Read a message's value as plain columns: what filling a replica does for every message.

    The common record (author, text, small order, short external id) is read in one pass; every other goes the general
    way. Both accept the same bytes.

    Raises:
        InvalidValue: as `decode_message`.
    """
    size = len(raw)
    if 8 < size < 256 and raw[1] == 1:
        try:
            count = raw[0]
            low = raw[2]
            if 0x60 < low < 0x78:
                pos = low - 0x5D
                author = raw[3:pos]
                if raw[pos] == 2:
                    low = raw[pos + 1]
                    start = pos + 2
                    if low == 0x78:
                        low = raw[start] + 0x60
                        start += 1
                        pos = start + low - 0x60 if low >= 0x78 else size + 1
                    else:
                        pos = start + low - 0x60 if 0x60 <= low < 0x78 else size + 1
                    text = raw[start:pos]
                    order = 0
                    name: bytes | None = None
                    if pos < size:
                        if count == 0xA4 and raw[pos] == 3 and raw[pos + 1] < 24:
                            order = raw[pos + 1]
                            pos += 2
                            count = 0xA3
                        if count == 0xA3 and raw[pos] == 4:
                            low = raw[pos + 1]
                            start = pos + 2
                            if low == 0x78 and raw[start] >= 24:
                                low = raw[start] + 0x60
                                start += 1
                            elif not 0x60 < low < 0x78:
                                low = 0
                            pos = start + low - 0x60
                            name = raw[start:pos]
                            count = 0xA2
                    if pos == size and count == 0xA2:
                        if not raw[1:].isascii():
                            author.decode()
                            text.decode()
                            if name is not None:
                                name.decode()
                        return author, text, order, name, None
        except (IndexError, UnicodeDecodeError):
            pass  # the general way says what is wrong
    fields = decode_map(raw)
    _rest_of(fields)
    external_id: str | None = _optional(fields, 4, str, limits.EXTERNAL_ID_BYTES)
    if external_id == "":
        raise InvalidValue("an external id has at least one byte")
    author_name: str = _field(fields, 1, str, limits.NAME_BYTES)
    message_text: str = _field(fields, 2, str, limits.TEXT_BYTES)
    return (
        author_name.encode(),
        message_text.encode(),
        _field(fields, 3, int, limits.MS) if 3 in fields else 0,
        None if external_id is None else external_id.encode(),
        _cut_rest(raw),
    )


def _cut_rest(raw: bytes) -> bytes | None:
    """The fields behind the external id, as a map of their own: unknown ones too."""
    count, pos = argument(raw, 0)
    while count:
        key, behind = argument(raw, pos)
        if key > 4:
            return head_of(5, count) + raw[pos:]
        pos = end_of(raw, behind)
        count -= 1
    return None


def decode_rest(raw: bytes | None) -> Rest:
    """Read what `MessageColumns` keeps together. Raises InvalidValue as `decode_message` does."""
    return _NOTHING if raw is None else _rest_of(decode_map(raw))


def _rest_of(fields: dict[int, Any]) -> Rest:
    reply = fields.get(6)
    if reply is not None:
        if type(reply) is bytes:
            if len(reply) != ID_BYTES:
                raise InvalidValue("an answered id has 12 bytes")
        else:
            reply = _field(fields, 6, str, limits.EXTERNAL_ID_BYTES)
    return Rest(
        _optional(fields, 5, int, limits.MS),
        reply,
        _optional(fields, 8, str, limits.NAME_BYTES),
        _optional(fields, 9, dict, limits.VALUE_BYTES),
    )


_NOTHING: Final = Rest()


def decode_edit(raw: bytes) -> EditRecord:
    """Read the value of an edit's entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    return EditRecord(
        text=_field(fields, 1, str, limits.TEXT_BYTES),
        at_ms=_field(fields, 2, int, limits.MS),
        device=_device_field(fields, 3),
    )


def decode_reaction(raw: bytes) -> ReactionRecord:
    """Read the value of a reaction's entry. Raises InvalidValue as `decode_message` does."""
    common = _common_reaction(raw)
    if common is not None:
        return common
    fields = decode_map(raw)
    return ReactionRecord(
        user=_field(fields, 1, str, limits.NAME_BYTES),
        emoji=_field(fields, 2, str, limits.EMOJI_BYTES),
        on=_field(fields, 3, bool, 1) if type(fields.get(3)) is not bool else fields[3],
        at_ms=_field(fields, 4, int, limits.MS),
        device=_device_field(fields, 5),
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


def _ids(raw: bytes) -> tuple[bytes, ...]:
    ids = tuple(raw[i : i + ID_BYTES] for i in range(0, len(raw), ID_BYTES))
    if not 1 <= len(ids) <= limits.IDS_PER_ENTRY or len(raw) % ID_BYTES:
        raise InvalidValue(f"an entry lists 1 to {limits.IDS_PER_ENTRY} ids of 12 bytes")
    if any(a >= b for a, b in pairwise(ids)):
        raise InvalidValue("the ids of an entry are sorted and distinct")
    return ids


def decode_deletion(raw: bytes) -> DeletionRecord:
    """Read the value of a deletion's entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    kind = _field(fields, 1, int, max(DeletionKind))
    return DeletionRecord(
        kind=DeletionKind(kind),
        at_ms=_field(fields, 2, int, limits.MS),
        device=_device_field(fields, 3),
        ids=_ids(_field(fields, 4, bytes, limits.VALUE_BYTES)),
        supersedes=frozenset(_stamps_field(fields, 5)),
    )


def _stamps_field(fields: dict[int, Any], key: int) -> tuple[Stamp, ...]:
    packed: bytes = _optional(fields, key, bytes, limits.VALUE_BYTES) or b""
    if len(packed) % 16:
        raise InvalidValue("stamps have 16 bytes each")
    return tuple(Stamp.unpack(packed[i : i + 16]) for i in range(0, len(packed), 16))


def decode_head_deletion(raw: bytes) -> HeadDeletionRecord:
    """Read the value of a head's deletion entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    covered = _stamps_field(fields, 6)
    if any(a >= b for a, b in pairwise(covered)):
        raise InvalidValue("the stamps of an entry are sorted and distinct")
    return HeadDeletionRecord(
        kind=DeletionKind(_field(fields, 1, int, max(DeletionKind))),
        at_ms=_field(fields, 2, int, limits.MS),
        device=_device_field(fields, 3),
        fields=covered,
        supersedes=frozenset(_stamps_field(fields, 5)),
    )


def decode_read(raw: bytes) -> ReadRecord:
    """Read the value of a mark's entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    place: bytes = _field(fields, 4, bytes, 18)
    seen: bytes = _optional(fields, 6, bytes, limits.VALUE_BYTES) or b""
    if len(place) != 18 or len(seen) % 8:
        raise InvalidValue("a place has 18 bytes, and what was seen 8 bytes each")
    return ReadRecord(
        kind=ReadKind(_field(fields, 1, int, max(ReadKind))),
        at_ms=_field(fields, 2, int, limits.MS),
        device=_device_field(fields, 3),
        ms=int.from_bytes(place[:6], "big"),
        order=int.from_bytes(place[6:12], "big"),
        tail=place[12:],
        from_ms=_field(fields, 5, int, limits.MS),
        seen=frozenset(seen[i : i + 8] for i in range(0, len(seen), 8)),
    )


ErasedFields = dict[bytes, Stamp]
"""By `name_hash`: every entry of a field of that name up to this stamp is erased."""


def name_hash(name: str) -> bytes:
    """8 bytes that stand for the name of a field where it was erased."""
    return hashlib.sha256(b"field\0" + name.encode()).digest()[:8]


def encode_erased_fields(erased: ErasedFields) -> bytes:
    """Return the value of a head's ``erased`` entry: sorted pairs of hash and stamp, nothing else."""
    return _bytes(b"".join(one + erased[one].pack() for one in sorted(erased)))


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


def decode_alias(raw: bytes) -> AliasRecord:
    """Read the value of an alias. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    other: bytes = _field(fields, 1, bytes, ID_BYTES)
    external_id: str = _field(fields, 2, str, limits.EXTERNAL_ID_BYTES)
    if len(other) != ID_BYTES or not external_id:
        raise InvalidValue("an alias names another id of 12 bytes and an external id")
    return AliasRecord(other, external_id, _field(fields, 3, int, limits.MS))


def decode_erased(raw: bytes) -> tuple[bytes, ...]:
    """Read the value of an ``erased`` entry: its ids. Raises InvalidValue if it is not one."""
    if not raw or raw[0] >> 5 != 2:
        raise InvalidValue("an erasure is a byte string of ids")
    size, pos = argument(raw, 0)
    if size != len(raw) - pos:
        raise InvalidValue("an erasure is a byte string of ids")
    return _ids(raw[pos:])


def decode_field(raw: bytes) -> FieldRecord:
    """Read the value of a field's entry. Raises InvalidValue as `decode_message` does."""
    fields = decode_map(raw)
    if 2 not in fields:
        raise InvalidValue("a field has a value")
    return FieldRecord(_field(fields, 1, str, limits.NAME_BYTES), fields[2])
