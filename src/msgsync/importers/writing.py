"""From a message to a line of JSON Lines that reads back as the same message. Source: docs/jsonlines.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import cbor2

from msgsync.importers.reading import is_message_id
from msgsync.replica.conversation import Conversation
from msgsync.replica.values import Message

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO_END_MS: Final = 253_402_300_800_000
"""The year 10000: from there on ISO 8601 as everybody reads it has no form."""

_encode_json: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def write_time(ms: int) -> str | int:
    """Return Unix milliseconds as ISO 8601 in UTC, or as they are from the year 10000 on."""
    if ms >= _ISO_END_MS:
        return ms
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")[:-6] + "Z"


def conversation_line(conversation: Conversation) -> bytes:
    """Return the line that makes a conversation, with its line end."""
    about = conversation.info()
    fields: dict[str, Any] = {"type": "conversation", "conversation": about.id}
    if about.title is not None:
        fields["title"] = about.title
    for name, on in (("pinned", about.pinned), ("archived", about.archived)):
        if on:
            fields[name] = True
    if about.muted:
        until_ms = about.muted_until_ms
        fields["muted"] = True if until_ms is None else write_time(until_ms)
    if conversation.participants:
        fields["participants"] = conversation.participants
    if conversation.metadata:
        fields["metadata"] = conversation.metadata
    return _encode_json(fields).encode() + b"\n"


def message_line(message: Message, files: Sequence[str | None] = ()) -> bytes:
    """Return the line of a message, with its line end: its original text, and all that was said about it.

    Args:
        message: the message.
        files: the names of its attachments in the folder beside the export, if there is one.
    """
    fields: dict[str, Any] = {
        "conversation": message.conversation,
        "message_id": str(message.id),
        "author": message.author,
        "text": message.original_text,
        "sent": write_time(message.sent_ms),
        "order": message.order,
    }
    if message.external_id is not None:
        fields["id"] = message.external_id
    if message.kind != "text":
        fields["kind"] = message.kind
    if message.reply_external is not None:
        misread = is_message_id(message.reply_external)
        fields["reply_external" if misread else "reply_to"] = message.reply_external
    elif message.reply_to is not None:
        fields["reply_to"] = str(message.reply_to)
    if message.edits:
        fields["edits"] = [{"text": e.text, "at": write_time(e.at_ms)} for e in message.edits]
    if message.reactions:
        fields["reactions"] = [
            {"user": r.user, "emoji": r.emoji, "at": write_time(r.at_ms)} for r in message.reactions
        ]
    if message.deleted:
        fields["deleted"] = True if message.deleted_ms is None else write_time(message.deleted_ms)
    if message.extra is not None:
        fields.update(_extra_fields(message.extra))
    if message.attachments:
        fields["attachments"] = [
            base64.b64encode(one.record).decode("ascii") for one in message.attachments
        ]
    if any(files):
        fields["attachment_files"] = list(files)
    return _encode_json(fields).encode() + b"\n"


def _extra_fields(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``extra``; or ``extra_cbor`` if JSON cannot say it: bytes, NaN, keys that are no strings."""
    plain = dict(extra)
    try:
        if json.loads(_encode_json(plain)) == plain:
            return {"extra": plain}
    except (TypeError, ValueError):
        pass  # not JSON
    packed = cbor2.dumps(plain, canonical=True)
    return {"extra_cbor": base64.b64encode(packed).decode("ascii")}
