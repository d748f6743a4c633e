"""Sending a message from this device. Source: design 3 and 12."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgsync import limits
from msgsync.cbor import load
from msgsync.document.columns import Messages
from msgsync.document.said import Said
from msgsync.document.schema import MESSAGES, DocumentId, Entry, segment_of
from msgsync.errors import ErasedMessage, FutureTimestamp, InvalidValue
from msgsync.ids import MessageId, encode_id, external_tail
from msgsync.records import (
    encode_attachments,
    encode_author,
    encode_external_id,
    encode_extra,
    encode_message_columns,
    encode_message_text,
    encode_rest,
)
from msgsync.replica.intake import Attachable, Intake
from msgsync.replica.names import Names
from msgsync.replica.times import to_ms
from msgsync.replica.values import AnyId, Message
from msgsync.store.readmodel import Told

if TYPE_CHECKING:
    from msgsync.store.store import Store


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message about to be sent, as the app gives it: see `Conversation.send`."""

    text: str
    reply_to: AnyId | None
    extra: Mapping[str, Any] | None
    external_id: str | None
    sent: datetime | int | None
    reply_external: str | None
    attachments: Sequence[Attachable] = ()

    def check(self) -> None:
        """Check what does not depend on the replica. Raises InvalidValue."""
        if self.external_id is not None and self.sent is None:
            raise InvalidValue(
                "with external_id= pass sent= too: the carrier's time, the same on every device"
            )
        if self.reply_external is not None:
            if self.reply_to is not None:
                raise InvalidValue("a message answers one; pass reply_to= or reply_external=")
            encode_external_id(self.reply_external)


def send(names: Names, author: str, outgoing: Outgoing) -> Message:
    """See `Conversation.send`."""
    outgoing.check()
    if not outgoing.attachments:
        return _send(names, author, outgoing, None)
    with Intake(names.replica) as intake:
        intake.take_all(outgoing.attachments)
        return _send(names, author, outgoing, intake)


def _send(names: Names, author: str, outgoing: Outgoing, intake: Intake | None) -> Message:
    external_id = outgoing.external_id
    now_ms = names.replica.system.now_ms()
    sent_ms = now_ms if outgoing.sent is None else to_ms(outgoing.sent)
    if sent_ms > now_ms + limits.FUTURE_MS:
        raise FutureTimestamp(
            "a message cannot be sent more than 36 hours ahead of this device's clock; check the clock"
        )
    packed = None if outgoing.extra is None else encode_extra(outgoing.extra)
    with names.replica.writing() as store:
        reply_id = None if outgoing.reply_to is None else names.known(outgoing.reply_to)
        if external_id is None:
            tail = names.replica.system.random_bytes(6)
            message_id = MessageId(_next_ms(store, names, now_ms).to_bytes(6, "big") + tail)
        else:
            tail = external_tail(names.conversation, external_id)
            message_id = MessageId(sent_ms.to_bytes(6, "big") + tail)
        row = store.row(DocumentId(names.conversation, segment_of(message_id.ms)))
        if message_id.raw in store.readmodel.erased_ids(row):
            raise ErasedMessage("this message was erased; it cannot be sent again")
        if external_id is not None and store.readmodel.messages.find(
            row.conversation, message_id.raw
        ):
            return names.shown(message_id)  # the carrier's echo was here first
        rest = encode_rest(
            None if sent_ms == message_id.ms else sent_ms,
            outgoing.reply_external if reply_id is None else reply_id.raw,
            None,
            packed,
            None if intake is None else encode_attachments(intake.records),
        )
        external = None if external_id is None else encode_external_id(external_id)
        text = encode_message_text(outgoing.text)
        columns = encode_author(author), text, 0, external, rest
        entry = Entry(MESSAGES, encode_id(message_id.raw), encode_message_columns(columns))
        store.write(row, [entry], Told(Messages.of([(message_id.raw, columns)]), Said()))
        if intake is not None:
            intake.referred(store)
        if (
            intake is not None
            or (external_id and row.orphans)
            or outgoing.reply_external is not None
        ):
            return names.shown(message_id)  # something may have been said about it already
    return _as_sent(names, author, outgoing, message_id, sent_ms, reply_id, packed)


def _as_sent(
    names: Names,
    author: str,
    outgoing: Outgoing,
    message_id: MessageId,
    sent_ms: int,
    reply_id: MessageId | None,
    packed: bytes | None,
) -> Message:
    """What reading it would give, nothing having been said about it yet."""
    return Message(
        id=message_id,
        conversation=names.conversation,
        author=author,
        text=outgoing.text,
        sent_ms=sent_ms,
        order=0,
        kind="text",
        reply_to=reply_id,
        reply_external=None,
        external_id=outgoing.external_id,
        original_text=outgoing.text,
        edits=(),
        reactions=(),
        deleted=False,
        deleted_ms=None,
        extra=None if packed is None else load(packed),
    )


def _next_ms(store: Store, names: Names, now_ms: int) -> int:
    """A reply sorts after what it answers, unless that is dated absurdly far ahead (design 3)."""
    store.readmodel.messages.flush()
    return max(now_ms, store.pages.newest_ms(names.conversation, now_ms + limits.FUTURE_MS) + 1)
