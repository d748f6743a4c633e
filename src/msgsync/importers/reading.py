"""From a line of JSON Lines to the value it says. Source: docs/jsonlines.md.

Reading is strict, and a function of the line and of the lines of the same conversation just before it (for lines
without ``order`` or ``id``), never of what a replica holds: so a file reads the same anywhere, any number of times.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgsync import limits
from msgsync.cbor import decode_map
from msgsync.errors import InvalidValue
from msgsync.ids import MessageId, check_conversation_id, encode_text, made_up_external_id
from msgsync.records import (
    APP,
    PARTICIPANT,
    FieldRecord,
    MessageRecord,
    encode_field,
    encode_message,
    read_attachments,
)
from msgsync.replica.values import Edit, Incoming, Reaction

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
SHORT_LINE_BYTES: Final = limits.EXTERNAL_ID_BYTES
"""In a line of at most this many bytes every string is short enough (escapes are longer than what they say), but for
conversation ids and emoji, which are checked always."""
_COMMON_FIELDS: Final = 5
_EXTRA_FIELD: Final = b"\xa1\x09"
"""A CBOR map of one field, number 9, whose value follows."""
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class ConversationLine:
    """What a line says about a conversation rather than a message."""

    id: str
    fields: Mapping[str, Any]
    """What it says, by the names of the fields of a head."""


@dataclass(slots=True)
class _Run:
    """Lines of one conversation in a row that say the same ``sent``."""

    sent_ms: int
    count: int = 0
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    """Of lines without ids: author and text, and how many there were."""

    def external_id(self, author: str, text: str) -> str:
        """Return an id for a message whose source has none.

        The same that ingesting the run in one call makes; made here, as a transaction may end within the run.
        Source: design 3.
        """
        repetition = self.seen.get((author, text), 0)
        self.seen[author, text] = repetition + 1
        return made_up_external_id(author, self.sent_ms, text, repetition)


class LineReader:
    """Reads the lines of one file in turn. Memory: a few hundred bytes for each conversation."""

    def __init__(self, latest_ms: int) -> None:
        """Refuse what claims to be sent after ``latest_ms`` (Unix milliseconds)."""
        self._latest_ms = latest_ms
        self._runs: dict[str, _Run] = {}
        self._sent: str | None = None
        self._sent_ms = 0
        self.files: tuple[str | None, ...] = ()
        """Of the last line that is no plain message: the names of its files beside, None of those not there."""

    def read(self, raw: bytes) -> Incoming | ConversationLine | None:
        """Return what a line says; None for a blank one.

        Raises:
            InvalidValue: why it says nothing; the message is the reason to report.
        """
        record = _load(raw)
        if record is None:
            return None
        get = record.get
        kind = get("type")
        if kind is not None and kind != "message":
            if kind == "conversation":
                return _conversation_line(record)
            raise InvalidValue("unknown type: `type` is message (or absent) or conversation")
        conversation, author, text = get("conversation"), get("author"), get("text")
        external_id, sent = get("id"), get("sent")
        if not (type(conversation) is str and type(author) is str and type(text) is str):
            raise _missing(record, ("conversation", "author", "text"))
        if type(sent) is not str or sent != self._sent:
            self._read_sent(sent)
        sent_ms = self._sent_ms
        run = self._runs.get(conversation)
        if run is None or run.sent_ms != sent_ms:
            run = self._begin_run(conversation, sent_ms)
        ordinal = run.count
        run.count += 1
        if not author:
            raise InvalidValue("`author` is empty")
        if external_id is not None:
            _check_name(external_id, "id", limits.EXTERNAL_ID_BYTES)
        if len(raw) > SHORT_LINE_BYTES:
            _check_bytes(author, "author", limits.NAME_BYTES)
            _check_bytes(text, "text", limits.TEXT_BYTES)
        if len(record) == _COMMON_FIELDS and external_id is not None:
            self._check_time(sent_ms, "sent")
            return Incoming(conversation, author, text, sent_ms, external_id, None, ordinal)
        message_id = get("message_id")
        if message_id is None:
            self._check_time(sent_ms, "sent")
        else:
            message_id = _message_id(message_id)
            self._check_time(message_id.ms, "message_id")
        message = _message(record, message_id, sent_ms, ordinal, run)
        self.files = _read_files(get("attachment_files"), len(message.attachments))
        return message

    def _read_sent(self, sent: object) -> None:
        """Read a time and remember it: in most histories many lines in a row say the same."""
        self._sent_ms = read_time(sent, "sent")
        self._sent = sent if type(sent) is str else None

    def _begin_run(self, conversation: str, sent_ms: int) -> _Run:
        if conversation not in self._runs:
            check_conversation_id(conversation)
        run = self._runs[conversation] = _Run(sent_ms)
        return run

    def _check_time(self, ms: int, name: str) -> None:
        """Refuse what the replica would refuse (design 3), before it takes a transaction with it."""
        if ms > self._latest_ms:
            hours = limits.FUTURE_MS // 3_600_000
            raise InvalidValue(
                f"`{name}` is more than {hours} hours ahead of this device's clock: set the clock, or mend the line"
            )


def _message(
    record: dict[str, Any], message_id: MessageId | None, sent_ms: int, ordinal: int, run: _Run
) -> Incoming:
    """Return the message of a line that says more, or less, than the five common fields."""
    get = record.get
    author, text, external_id = record["author"], record["text"], get("id")
    if external_id is None and message_id is None:
        external_id = run.external_id(author, text)
    order = get("order")
    if order is None:
        order = ordinal
    elif type(order) is not int or not 0 <= order <= limits.MS:
        raise InvalidValue(f"`order` is a whole number from 0 to {limits.MS}")
    kind = get("kind")
    if kind is None:
        kind = "text"
    else:
        _check_name(kind, "kind", limits.NAME_BYTES)
    reply_to, reply_external = _read_reply(record)
    extra = _read_extra(record)
    attachments = () if get("attachments") is None else _read_attachments(record["attachments"])
    if extra is not None or attachments:
        reply = reply_external if reply_to is None else reply_to.raw
        said = author, text, order, external_id, sent_ms, reply, kind, extra
        encode_message(
            MessageRecord(*said, read_attachments([*attachments]) if attachments else ())
        )
    return Incoming(
        record["conversation"],
        author,
        text,
        sent_ms,
        external_id,
        message_id,
        order,
        kind,
        reply_external,
        reply_to,
        () if get("edits") is None else _read_edits(record["edits"]),
        () if get("reactions") is None else _read_reactions(record["reactions"]),
        _read_deleted(get("deleted"), sent_ms),
        extra,
        attachments=attachments,
    )


def _load(raw: bytes) -> dict[str, Any] | None:
    """Return the object on a line; None if the line is blank."""
    try:
        record = _decode_json(raw.decode("utf-8"))
        if b"\\u" in raw and _SURROGATE.search(raw):
            encode_text(json.dumps(record, ensure_ascii=False), "the line")
    except UnicodeDecodeError as error:
        raise InvalidValue(
            f"not UTF-8 at byte {error.start + 1} of the line: {error.reason}"
        ) from error
    except RecursionError as error:
        raise InvalidValue("not readable: lists or objects are nested too deeply") from error
    except json.JSONDecodeError as error:
        if not raw.strip():
            return None
        raise InvalidValue(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:  # a number with thousands of digits
        raise InvalidValue("not readable: a number with too many digits") from error
    if type(record) is not dict:
        raise InvalidValue("not a JSON object")
    return record


def _refuse_constant(name: str) -> None:
    raise InvalidValue(f"not JSON: {name} is not a number there")


_decode_json: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _missing(record: dict[str, Any], names: tuple[str, ...]) -> InvalidValue:
    """Return what is wrong with the first of these fields that is not a string."""
    name = next(name for name in names if type(record.get(name)) is not str)
    if record.get(name) is None:
        return InvalidValue(f"`{name}` is missing")
    return InvalidValue(f"`{name}` is a string")


def _check_bytes(text: str, name: str, limit_bytes: int) -> None:
    if len(text) * 4 > limit_bytes:
        size_bytes = len(text.encode())
        if size_bytes > limit_bytes:
            raise InvalidValue(
                f"`{name}` has {size_bytes} bytes of UTF-8; at most {limit_bytes} are allowed"
            )


def _check_name(value: object, name: str, limit_bytes: int) -> str:
    """Return a label: a string that is not empty and not too long."""
    if type(value) is not str:
        raise InvalidValue(f"`{name}` is a string")
    if not value:
        raise InvalidValue(f"`{name}` is empty")
    _check_bytes(value, name, limit_bytes)
    return value


def read_time(value: object, name: str) -> int:
    """Return Unix milliseconds from ISO 8601 text (UTC unless it says otherwise) or from such a number.

    Fractions of a millisecond are cut off.

    Raises:
        InvalidValue: it is neither, or lies before 1970 or after the year 10889.
    """
    if type(value) is str:
        # Python would take any character between date and time, so also a number of milliseconds in quotes.
        if len(value) > 10 and "T" not in value and " " not in value:
            raise InvalidValue(
                f"`{name}` is not a time: write ISO 8601, or Unix milliseconds without quotes"
            )
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidValue(
                f"`{name}` is not a time: write ISO 8601 or Unix milliseconds"
            ) from error
        ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND
    elif type(value) is int:
        ms = value
    elif value is None:
        raise InvalidValue(f"`{name}` is missing")
    else:
        raise InvalidValue(f"`{name}` is a string (ISO 8601) or a whole number (Unix milliseconds)")
    if not 0 <= ms <= limits.MS:
        raise InvalidValue(f"`{name}` lies before 1970 or after the year 10889")
    return ms


def _message_id(value: object) -> MessageId:
    try:
        return MessageId.parse(value)  # type: ignore[arg-type] # it checks
    except InvalidValue as error:
        raise InvalidValue(f"`message_id`: {error}") from error


def _read_reply(record: dict[str, Any]) -> tuple[MessageId | None, str | None]:
    """Return the answered message as a msgsync id, or as its source's id."""
    external = record.get("reply_external")
    if external is not None:
        return None, _check_name(external, "reply_external", limits.EXTERNAL_ID_BYTES)
    reply = record.get("reply_to")
    if reply is None:
        return None, None
    _check_name(reply, "reply_to", limits.EXTERNAL_ID_BYTES)
    if record.get("message_id") is not None and is_message_id(reply):
        return MessageId.parse(reply), None
    return None, reply


def is_message_id(text: str) -> bool:
    """Whether this is the text form of a msgsync id."""
    if len(text) != MessageId.CHARACTERS:
        return False
    try:
        MessageId.parse(text)
    except InvalidValue:
        return False
    return True


def _objects(value: object, name: str) -> list[dict[str, Any]]:
    if type(value) is not list or not all(type(item) is dict for item in value):
        raise InvalidValue(f"`{name}` is a list of objects")
    return value


def _read_edits(value: object) -> tuple[Edit, ...]:
    edits = []
    for item in _objects(value, "edits"):
        text = item.get("text")
        if type(text) is not str:
            raise InvalidValue("`edits`: `text` is a string")
        _check_bytes(text, "text` of an edit `", limits.TEXT_BYTES)
        edits.append(Edit(text, read_time(item.get("at"), "at")))
    return tuple(edits)


def _read_reactions(value: object) -> tuple[Reaction, ...]:
    return tuple(
        Reaction(
            _check_name(item.get("user"), "user", limits.NAME_BYTES),
            _check_name(item.get("emoji"), "emoji", limits.EMOJI_BYTES),
            read_time(item.get("at"), "at"),
        )
        for item in _objects(value, "reactions")
    )


def _read_deleted(value: object, sent_ms: int) -> int | None:
    if value is None or value is False:
        return None
    return sent_ms if value is True else read_time(value, "deleted")


def _read_attachments(value: Any) -> tuple[bytes, ...]:
    """Return records of files."""
    try:
        return tuple(base64.b64decode(one, validate=True) for one in value)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidValue("`attachments` is a list of records in base64") from error


def _read_files(value: Any, count: int) -> tuple[str | None, ...]:
    """Return the names of files beside, one for each attachment."""
    if value is None:
        return (None,) * count
    if type(value) is not list or len(value) != count or {*map(type, value)} - {str, type(None)}:
        raise InvalidValue("`attachment_files` is a list of names or null, one for each attachment")
    return tuple(value)


def _read_extra(record: dict[str, Any]) -> Mapping[str, Any] | None:
    """Return the app's object: from ``extra``, or from ``extra_cbor`` where JSON cannot say it."""
    extra = record.get("extra")
    packed = record.get("extra_cbor")
    if packed is not None:
        try:
            extra = decode_map(_EXTRA_FIELD + base64.b64decode(packed, validate=True))[9]
        except (InvalidValue, TypeError, ValueError, binascii.Error) as error:
            raise InvalidValue("`extra_cbor` is deterministic CBOR in base64") from error
    if extra is None or type(extra) is dict:
        return extra
    raise InvalidValue("`extra` is an object")


def _conversation_line(record: dict[str, Any]) -> ConversationLine:
    conversation, title = record.get("conversation"), record.get("title")
    if type(conversation) is not str:
        raise _missing(record, ("conversation",))
    check_conversation_id(conversation)
    fields: dict[str, Any] = {}
    if title is not None:
        _check_name(title, "title", limits.NAME_BYTES)
        fields["title"] = title
    for name in ("pinned", "archived"):
        if record.get(name) is not None:
            if type(record[name]) is not bool:
                raise InvalidValue(f"`{name}` is true or false")
            fields[name] = record[name]
    if record.get("muted") is not None:
        muted = record["muted"]
        fields["muted"] = muted if type(muted) is bool else read_time(muted, "muted")
    people = record.get("participants")
    if people is not None and type(people) is not list:
        raise InvalidValue("`participants` is a list of strings")
    for name in people or ():
        _check_name(name, "participants", limits.NAME_BYTES - len(PARTICIPANT))
        fields[PARTICIPANT + name] = True
    metadata = record.get("metadata")
    if metadata is not None:
        if type(metadata) is not dict:
            raise InvalidValue("`metadata` is an object")
        for name, value in metadata.items():
            _check_name(name, "metadata", limits.NAME_BYTES - len(APP))
            fields[APP + name] = value
            encode_field(FieldRecord(name, value))  # says what it cannot hold
    return ConversationLine(conversation, fields)
