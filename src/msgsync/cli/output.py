"""Answers: in JSON for programs, in lines for people."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from rich.cells import cell_len

import msgsync

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
_CONTROLS: Final = dict.fromkeys(
    (*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}"
) | {ord("\t"): " "}
"""Characters that would steer a terminal rather than be shown."""


def say_json(value: object) -> None:
    """Print a value as one line of JSON: ASCII, so that any terminal and any locale takes it."""
    print(json.dumps(plain(value)))


def say_json_now(value: object) -> None:
    """Print a value as `say_json` does, for somebody who waits for it."""
    say_json(value)
    sys.stdout.flush()


def plain(value: object) -> Any:
    """Return a value of msgsync as JSON has it: ids as text, bytes as base64, dataclasses as objects."""
    if isinstance(value, msgsync.MessageId | msgsync.AccountId | msgsync.DeviceId):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def message_fields(message: msgsync.Message) -> dict[str, Any]:
    """Return what ``--json`` says of a message.

    The names are those of the JSON Lines format, but that ``text`` is what is shown now; what was sent first is
    ``original_text``.
    """
    return {
        "conversation": message.conversation,
        "message_id": str(message.id),
        "id": message.external_id,
        "author": message.author,
        "text": message.text,
        "original_text": message.original_text,
        "sent": time(message.sent_ms),
        "order": message.order,
        "kind": message.kind,
        "reply_to": None if message.reply_to is None else str(message.reply_to),
        "reply_external": message.reply_external,
        "edits": [{"text": edit.text, "at": time(edit.at_ms)} for edit in message.edits],
        "reactions": [
            {"user": one.user, "emoji": one.emoji, "at": time(one.at_ms)}
            for one in message.reactions
        ],
        "deleted": None if message.deleted_ms is None else time(message.deleted_ms),
        "extra": message.extra,
        "attachments": [attachment_fields(one) for one in message.attachments],
    }


def attachment_fields(one: msgsync.Attachment) -> dict[str, Any]:
    """Return what ``--json`` says of a file."""
    return {
        "name": one.name,
        "media_type": one.media_type,
        "size": one.size,
        "digest": one.digest,
        "width": one.width,
        "height": one.height,
        "duration_ms": one.duration_ms,
        "state": one.state.value,
        "bytes_here": one.bytes_here,
    }


def message_line(message: msgsync.Message, *, conversation: bool = False) -> str:
    """Return a message as people read it: id, time, who, what, and what was said about it."""
    place = f"{shown(message.conversation)}  " if conversation else ""
    author = shown(message.author)
    who = f"{author}:" if message.kind == "text" else f"{author} ({shown(message.kind)}):"
    notes = []
    if message.deleted:
        notes.append("deleted")
    if message.edits:
        notes.append("edited")
    if message.reply_to is not None:
        notes.append(f"in reply to {message.reply_to}")
    notes += [
        f"file: {shown(one.name)}{' (gone)' if one.state.value == 'gone' else ''}"
        for one in message.attachments
    ]
    notes += [f"{shown(one.emoji)} {shown(one.user)}" for one in message.reactions]
    note = f"  [{', '.join(notes)}]" if notes else ""
    text = "\n    ".join(shown(line) for line in message.text.split("\n"))
    return f"{message.id}  {place}{time(message.sent_ms)}  {who} {text}{note}"


def say_messages(
    messages: Iterable[msgsync.Message], *, as_json: bool, conversation: bool = False
) -> None:
    """Print messages, a line each; with their conversation where it is not the same for all."""
    for message in messages:
        if as_json:
            say_json(message_fields(message))
        else:
            print(message_line(message, conversation=conversation))


def shown(text: str) -> str:
    """Return text for one line of a terminal: what a peer wrote must not steer it."""
    return text.translate(_CONTROLS)


def time(ms: int) -> str:
    """Return Unix milliseconds as ISO 8601 in UTC; years after 9999 as the end of it."""
    moment = _EPOCH + timedelta(milliseconds=min(ms, _LAST_MS))
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")[:-6] + "Z"


def columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield rows as lines in which all columns but the last are aligned, by the cells that characters take."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        padded = [
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=False)
        ]
        yield "  ".join([*padded, row[-1]]).rstrip()


def timed(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return fields with times, ``NAME_ms``, as ISO 8601 under ``NAME``, or null."""
    given = {name: fields.pop(f"{name}_ms") for name in names}
    return fields | {name: None if ms is None else time(ms) for name, ms in given.items()}


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 message, 2 messages."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def note(text: str) -> None:
    """Print a remark for people on standard error."""
    print(text, file=sys.stderr)
