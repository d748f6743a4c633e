"""Which message is meant: by its id, by the carrier's, or by either of two that are one. Source: design 3."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgsync import limits
from msgsync.document.schema import ALIASES, DocumentId, Entry, segment_of
from msgsync.errors import (
    ErasedMessage,
    FutureTimestamp,
    InvalidValue,
    UnknownMessage,
    UsageError,
)
from msgsync.ids import MessageId, ingested_id
from msgsync.records import AliasRecord, Stamp, alias_key, encode_alias, encode_external_id
from msgsync.replica.times import to_ms
from msgsync.replica.values import AnyId, Message
from msgsync.store.rows import HIDDEN, DocumentRow

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.store import Store

Named = tuple[AnyId | None, str | None, datetime | int | None]
"""How a verb names a message: by its id; or by the carrier's id, and the carrier's time."""


class Names:
    """The messages of one conversation, by name."""

    __slots__ = ("conversation", "replica")

    def __init__(self, replica: Replica, conversation: str) -> None:
        """``conversation`` is an id; it need not be here."""
        self.replica = replica
        self.conversation = conversation

    def document(self, one: MessageId) -> DocumentRow:
        """The row of the month that a message belongs to, made if it is not here; within a transaction."""
        with self.replica.writing() as store:
            return store.row(DocumentId(self.conversation, segment_of(one.ms)))

    def known(self, message: AnyId) -> MessageId:
        """The id under which a message that is here is shown.

        Raises:
            UnknownMessage, ErasedMessage: it is not.
        """
        one = id_of(message)
        with self.replica.reading() as store:
            row = store.documents.find(DocumentId(self.conversation, segment_of(one.ms)))
            if row is None:
                raise unknown(store, one)
            found = store.readmodel.messages.find(row.conversation, one.raw)
            if found is None:
                if store.readmodel.is_erased(row, one.raw):
                    raise _erased(one)
                raise unknown(store, one)
            if found[1] & HIDDEN:
                return MessageId(store.pages.aliases.shown(row.conversation, one.raw))
        return one

    def target(self, named: Named, *, erased: bool = False) -> tuple[MessageId, bool]:
        """The id of a message that a verb names, and whether it is here. ``erased`` ones may be named, or not.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: no message is named that a verb can be about.
        """
        message, external, sent = named
        if external is None:
            if message is None or sent is not None:
                raise InvalidValue("name a message: by its id, or by external= (and sent=)")
            return self.known(message), True
        if message is not None:
            raise InvalidValue("name a message by its id or by external=, not by both")
        encode_external_id(external)
        with self.replica.reading() as store:
            found = store.pages.by_external(self.conversation, external)
            if found is not None:
                return MessageId(found.id), True
            if sent is None:
                raise UnknownMessage(
                    f"no message of external id {external!r} is here; sync first, or pass sent= (the carrier's time)"
                )
            one = MessageId(ingested_id(self.conversation, external, self._carriers_ms(sent)))
            row = store.documents.find(DocumentId(self.conversation, segment_of(one.ms)))
            if not erased and row is not None and store.readmodel.is_erased(row, one.raw):
                raise _erased(one)
        return one, False

    def _carriers_ms(self, sent: datetime | int) -> int:
        sent_ms = to_ms(sent)
        if sent_ms > self.replica.system.now_ms() + limits.FUTURE_MS:
            raise FutureTimestamp(
                "a message is dated more than 36 hours ahead of this device's clock; check the clock, "
                "or pass the time at which the carrier's server received it"
            )
        return sent_ms

    def shown(self, one: MessageId) -> Message:
        """A message as it is shown now. Raises UnknownMessage."""
        with self.replica.reading() as store:
            row = store.pages.by_id(one.raw, self.conversation)
            if row is None:
                raise unknown(store, one)
            return self.replica.shown([store.pages.as_shown(row)])[0]

    def stamp(self, store: Store, row: DocumentRow, one: MessageId) -> Stamp:
        """A stamp above everything said about a message, in all documents of its group."""
        for member in store.readmodel.aliases.group(row.conversation, one.raw):
            other = self.document(MessageId(member))
            row.lamport = max(row.lamport, other.lamport)
        return store.next_stamp(row)

    def link(self, message: AnyId, external_id: str, sent: datetime | int) -> Message:
        """See `Conversation.link`."""
        encode_external_id(external_id)
        sent_ms = self._carriers_ms(sent)
        with self.replica.writing() as store:
            one = self.known(message)
            echo = MessageId(ingested_id(self.conversation, external_id, sent_ms))
            if echo == one:
                return self.shown(one)
            ours, theirs = self.document(one), self.document(echo)
            if store.readmodel.is_erased(theirs, echo.raw):
                raise ErasedMessage(
                    "the carrier's message was erased; erase this one too, or leave it unlinked"
                )
            if echo.raw not in store.readmodel.aliases.group(ours.conversation, one.raw):
                self._refuse_another(store, one, echo)
            for row, about, other in (ours, one, echo), (theirs, echo, one):
                value = encode_alias(AliasRecord(other.raw, external_id, sent_ms))
                key = alias_key(about.raw, value)
                if not store.readmodel.aliases.has(row, about.raw, key):
                    store.write(row, [Entry(ALIASES, key, value)])
            return self.shown(one)

    def _refuse_another(self, store: Store, one: MessageId, echo: MessageId) -> None:
        """A carrier may have another name for the author, or have changed the text, but hardly both."""
        here, said = (store.pages.by_id(each.raw, self.conversation) for each in (one, echo))
        if here and said and here.author != said.author and here.text != said.text:
            raise InvalidValue(
                f"the carrier's message {said.external!r} is another one, by {said.author}; a link would hide it "
                "for good. Check the id"
            )


def id_of(message: AnyId) -> MessageId:
    """The id that a caller means. Raises InvalidValue."""
    if isinstance(message, Message):
        return message.id
    return message if isinstance(message, MessageId) else MessageId.parse(message)


def unknown(store: Store, one: MessageId) -> UsageError:
    """What is raised where a message is not here."""
    if segment_of(one.ms) in store.missing.kinds_elsewhere():
        return UnknownMessage(
            f"message {one} is not here; if it was, it went with its month: fetch_history(...) has it come back"
        )
    return UnknownMessage(f"message {one} is not here; sync first, or check the id")


def _erased(one: MessageId) -> UsageError:
    return ErasedMessage(f"message {one} was erased; nothing more can be said about it")
