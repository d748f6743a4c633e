"""The record of a message. Source: design 4, docs/specification.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.cbor import argument, decode_map, end_of, head_of, load
from msgsync.errors import InvalidValue
from msgsync.records.attachment import (
    AttachmentRecord,
    encode_attachments,
    read_attachments,
    without_content,
)
from msgsync.records.fields import (
    ID_BYTES,
    TEXT_HEADS,
    bytes_of,
    checked,
    external_of,
    field,
    number_of,
    optional_field,
    text_of,
)


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
    attachments: tuple[AttachmentRecord, ...] = ()


class Rest(NamedTuple):
    """The fields of a message's record that most messages do not have."""

    sent_ms: int | None = None
    reply_to: bytes | str | None = None
    kind: str | None = None
    """None is text."""
    extra: Mapping[str, Any] | None = None
    attachments: tuple[AttachmentRecord, ...] | None = None


MessageColumns = tuple[bytes, bytes, int, bytes | None, bytes | None]
"""Author, text, order, external id (UTF-8), and a CBOR map of all later fields if there are any (see `Rest`)."""


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
    return checked(author, "the author", limits.NAME_BYTES)


def encode_external_id(external_id: str) -> bytes:
    """An external id in UTF-8. Raises InvalidValue if no message can have it."""
    return checked(external_id, "an external id", limits.EXTERNAL_ID_BYTES)


def encode_message_text(text: str) -> bytes:
    """A message's text in UTF-8. Raises InvalidValue if no message can have it."""
    return checked(text, "the text", limits.TEXT_BYTES, at_least=0)


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
        encode_attachments(record.attachments) if record.attachments else None,
    )
    external_id = None if record.external_id is None else encode_external_id(record.external_id)
    author, text = encode_author(record.author), encode_message_text(record.text)
    return encode_message_columns((author, text, record.order, external_id, rest))


def encode_rest(
    sent_ms: int | None,
    reply: bytes | str | None,
    kind: str | None,
    extra: bytes | None,
    attachments: bytes | None = None,
) -> bytes | None:
    """The CBOR map of what a record says beyond the common fields; None if that is nothing.

    ``extra`` and ``attachments`` are encoded already.
    """
    count = 0
    parts: list[bytes] = []
    if sent_ms is not None:
        count += 1
        parts += b"\x05", number_of(sent_ms, "the sent time", limits.MS)
    if reply is not None:
        count += 1
        if type(reply) is bytes and len(reply) != ID_BYTES:
            raise InvalidValue(f"an answered id has {ID_BYTES} bytes")
        parts += b"\x06", bytes_of(reply) if type(reply) is bytes else external_of(reply)
    if attachments is not None:
        count += 1
        parts += b"\x07", attachments
    if kind is not None:
        count += 1
        parts += b"\x08", text_of(kind, "the kind", limits.NAME_BYTES, at_least=1)
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
    heads = TEXT_HEADS
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
        parts += b"\x03", number_of(order, "the order", limits.MS)
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


def decode_message(raw: bytes) -> MessageRecord:
    """Read the value of a message's entry.

    Raises:
        InvalidValue: it is not one, or a field is beyond its limit.
    """
    author, text, order, external_id, rest = decode_message_columns(raw)
    sent_ms, reply_to, kind, extra, attachments = decode_rest(rest)
    return MessageRecord(
        author.decode(),
        text.decode(),
        order,
        None if external_id is None else external_id.decode(),
        sent_ms,
        reply_to,
        kind or "text",
        extra,
        attachments or (),
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
    external_id: str | None = optional_field(fields, 4, str, limits.EXTERNAL_ID_BYTES)
    if external_id == "":
        raise InvalidValue("an external id has at least one byte")
    author_name: str = field(fields, 1, str, limits.NAME_BYTES)
    message_text: str = field(fields, 2, str, limits.TEXT_BYTES)
    return (
        author_name.encode(),
        message_text.encode(),
        field(fields, 3, int, limits.MS) if 3 in fields else 0,
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
            reply = field(fields, 6, str, limits.EXTERNAL_ID_BYTES)
    return Rest(
        optional_field(fields, 5, int, limits.MS),
        reply,
        optional_field(fields, 8, str, limits.NAME_BYTES),
        optional_field(fields, 9, dict, limits.VALUE_BYTES),
        read_attachments(fields[7]) if 7 in fields else None,
    )


def decode_attachments(rest: bytes | None) -> tuple[AttachmentRecord, ...]:
    """The attachments in what `MessageColumns` keeps together; cheap where there are none."""
    if not rest:
        return ()
    count, pos = argument(rest, 0)
    while count:
        key, behind = argument(rest, pos)
        if key >= 7:
            return decode_rest(rest).attachments or () if key == 7 else ()
        pos = end_of(rest, behind)
        count -= 1
    return ()


def without_files(raw: bytes, numbers: Collection[int]) -> bytes:
    """A message's value, or what `MessageColumns` keeps together of it, without what was in some of its attachments.

    Every other byte stays. One that cannot be read stays as it is.

    Args:
        raw: the map.
        numbers: which attachments, from 0 on; those that it does not have are passed over.
    """
    try:
        fields = decode_map(raw)
        if 7 not in fields:
            return raw
        read_attachments(fields[7])
    except InvalidValue:
        return raw
    count, pos = argument(raw, 0)
    while count:
        key, behind = argument(raw, pos)
        pos = end_of(raw, behind)
        if key == 7:
            return raw[:behind] + without_content(fields[7], numbers) + raw[pos:]
        count -= 1
    raise AssertionError("a field that is there is not there")


_NOTHING: Final = Rest()
