"""One conversation: the verbs an app uses. Source: design 3, 4 and 12."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from msgsync import limits
from msgsync.cbor import load
from msgsync.document.schema import (
    EDITS,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
    segment_of,
)
from msgsync.errors import (
    ErasedMessage,
    FutureTimestamp,
    InvalidValue,
    UnknownMessage,
    UsageError,
)
from msgsync.ids import MessageId, encode_id, encode_text, external_tail
from msgsync.records import (
    DeletionKind,
    EditRecord,
    ReactionRecord,
    encode_author,
    encode_edit,
    encode_external_id,
    encode_extra,
    encode_message_columns,
    encode_message_text,
    encode_reaction,
    encode_rest,
)
from msgsync.replica import deletion
from msgsync.replica.head import Head, check_title, unknown_conversation
from msgsync.replica.times import to_ms
from msgsync.replica.values import AnyId, Cursor, Incoming, IngestReport, Message, Page
from msgsync.store.readmodel import Said, Told
from msgsync.store.rows import DocumentRow

if TYPE_CHECKING:
    from msgsync.replica.found import SearchPage
    from msgsync.replica.replica import Replica
    from msgsync.replica.searching import SearchPlace
    from msgsync.store.store import Store


class Conversation(Head):
    """A conversation of a replica. Cheap to make; holds no state but its id. Safe to use from several threads."""

    def __init__(self, replica: Replica, conversation_id: str) -> None:
        """Made by `Replica.conversation` and `Replica.create_conversation`."""
        self._replica = replica
        self.id = conversation_id

    def __repr__(self) -> str:
        return f"<Conversation {self.id!r}>"

    def create(self, title: str | None) -> None:
        """Write the first fields of the head."""
        if title is not None:
            check_title(title)
        self._set("created", self._replica.system.now_ms())
        if title is not None:
            self.rename(title)

    # Sending and ingesting.

    def send(
        self,
        text: str,
        *,
        author: str | None = None,
        reply_to: AnyId | None = None,
        extra: Mapping[str, Any] | None = None,
        external_id: str | None = None,
        sent: datetime | int | None = None,
    ) -> Message:
        """Send a message from this device; it is durable when this returns.

        Args:
            text: at most 1 MiB of UTF-8.
            author: who sends; the replica's author if not given.
            reply_to: the answered message.
            extra: the app's own mapping, kept with the message.
            external_id: the carrier's id, if it is known already; then ingesting the carrier's echo of this message
                on any device makes the same message. Needs ``sent``, the carrier's time.
            sent: when it was sent (datetime or Unix milliseconds); now if not given.

        Raises:
            InvalidValue: a value of the wrong form or beyond its limit.
            UnknownMessage: the answered message is not here.
            ErasedMessage: this very message was erased.
            FutureTimestamp: ``sent`` is more than 36 hours ahead of this device's clock.
        """
        author = self._author(author)
        if external_id is not None and sent is None:
            raise InvalidValue(
                "with external_id= pass sent= too: the carrier's time, the same on every device"
            )
        now_ms = self._replica.system.now_ms()
        sent_ms = now_ms if sent is None else to_ms(sent)
        if sent_ms > now_ms + limits.FUTURE_MS:
            raise FutureTimestamp(
                "a message cannot be sent more than 36 hours ahead of this device's clock; check the clock"
            )
        packed = None if extra is None else encode_extra(extra)
        with self._replica.writing() as store:
            reply_id = None if reply_to is None else self._known(reply_to)
            if external_id is None:
                tail = self._replica.system.random_bytes(6)
                message_id = MessageId(self._next_ms(store, now_ms).to_bytes(6, "big") + tail)
            else:
                tail = external_tail(self.id, external_id)
                message_id = MessageId(sent_ms.to_bytes(6, "big") + tail)
            row = store.row(DocumentId(self.id, segment_of(message_id.ms)))
            if message_id.raw in store.readmodel.erased_ids(row):
                raise ErasedMessage("this message was erased; it cannot be sent again")
            if external_id is not None and store.readmodel.messages.find(
                row.conversation, message_id.raw
            ):
                return self._shown(message_id)  # the carrier's echo was here first
            rest = encode_rest(
                None if sent_ms == message_id.ms else sent_ms,
                None if reply_id is None else reply_id.raw,
                None,
                packed,
            )
            external = None if external_id is None else encode_external_id(external_id)
            columns = encode_author(author), encode_message_text(text), 0, external, rest
            value = encode_message_columns(columns)
            entry = Entry(MESSAGES, encode_id(message_id.raw), value)
            store.write(row, [entry], Told({message_id.raw: columns}, Said()))
        return Message(
            id=message_id,
            conversation=self.id,
            author=author,
            text=text,
            sent_ms=sent_ms,
            order=0,
            kind="text",
            reply_to=reply_id,
            reply_external=None,
            external_id=external_id,
            original_text=text,
            edits=(),
            reactions=(),
            deleted=False,
            deleted_ms=None,
            extra=None if packed is None else load(packed),
        )

    def _next_ms(self, store: Store, now_ms: int) -> int:
        """A reply sorts after what it answers, unless that is dated absurdly far ahead (design 3)."""
        store.readmodel.messages.flush()
        return max(now_ms, store.pages.newest_ms(self.id, now_ms + limits.FUTURE_MS) + 1)

    @overload
    def ingest(
        self,
        text: str,
        *,
        author: str,
        sent: datetime | int,
        external_id: str | None = None,
        order: int = 0,
        reply_external: str | None = None,
        kind: str = "text",
        extra: Mapping[str, Any] | None = None,
    ) -> Message: ...
    @overload
    def ingest(self, text: Incoming | Iterable[Incoming]) -> IngestReport: ...
    def ingest(
        self,
        text: str | Incoming | Iterable[Incoming],
        *,
        author: str | None = None,
        sent: datetime | int | None = None,
        external_id: str | None = None,
        order: int = 0,
        reply_external: str | None = None,
        kind: str = "text",
        extra: Mapping[str, Any] | None = None,
    ) -> Message | IngestReport:
        """Take a message from a carrier, or `Incoming` values in one transaction.

        The same message ingested on several devices, or again, is one message. See `Incoming` for the arguments.

        Raises:
            InvalidValue, FutureTimestamp: nothing was taken.
            ErasedMessage: the one message was erased, and stays so.
        """
        if isinstance(text, Incoming):
            text = [text]
        if not isinstance(text, str):
            return self._replica.ingest(self._mine(incoming) for incoming in text)
        if author is None or sent is None:
            raise InvalidValue(
                "ingesting a message needs author= and sent=, as its source gives them"
            )
        incoming = Incoming(
            self.id,
            author,
            text,
            to_ms(sent),
            external_id,
            None,
            order,
            kind,
            reply_external,
            extra=extra,
        )
        message_id, report = self._replica.ingest_one(incoming)
        if report.erased:
            raise ErasedMessage("this message was erased; it is not taken again")
        return self._shown(message_id)

    def _mine(self, incoming: Incoming) -> Incoming:
        if not isinstance(incoming, Incoming):
            raise InvalidValue(f"ingest takes Incoming values, not {type(incoming).__name__}")
        if incoming.conversation in ("", self.id):
            if incoming.conversation:
                return incoming
            fields = {name: getattr(incoming, name) for name in Incoming.__slots__}
            return Incoming(**{**fields, "conversation": self.id})
        raise InvalidValue(
            f"a message of conversation {incoming.conversation!r} does not belong here; use Replica.ingest"
        )

    # Saying something about messages.

    def edit(self, message: AnyId, text: str) -> Message:
        """Give a message a new text. The last edit is shown; all are kept until the message is erased.

        Raises:
            UnknownMessage, ErasedMessage, InvalidValue: nothing was changed.
        """
        with self._replica.writing() as store:
            one = self._known(message)
            row = self._document(one)
            record = EditRecord(text, self._replica.system.now_ms(), store.identity.device.raw)
            key = encode_id(one.raw) + b"." + store.next_stamp(row).key()
            store.write(row, [Entry(EDITS, key, encode_edit(record))])
        return self._shown(one)

    def react(self, message: AnyId, emoji: str, *, user: str | None = None) -> Message:
        """React to a message; a user has each emoji at most once on it.

        Raises:
            UnknownMessage, ErasedMessage, InvalidValue: nothing was changed.
        """
        return self._react(message, emoji, user, on=True)

    def unreact(self, message: AnyId, emoji: str, *, user: str | None = None) -> Message:
        """Take a reaction back; nothing happens if there is none.

        Raises:
            UnknownMessage, ErasedMessage, InvalidValue: nothing was changed.
        """
        return self._react(message, emoji, user, on=False)

    def _react(self, message: AnyId, emoji: str, user: str | None, *, on: bool) -> Message:
        user = self._author(user, "user")
        with self._replica.writing() as store:
            one = self._known(message)
            now_ms = self._replica.system.now_ms()
            value = encode_reaction(
                ReactionRecord(user, emoji, on, now_ms, store.identity.device.raw)
            )
            before = self._shown(one)
            if any((r.user, r.emoji) == (user, emoji) for r in before.reactions) == on:
                return before
            row = self._document(one)
            key = encode_id(one.raw) + b"." + store.next_stamp(row).key()
            store.write(row, [Entry(REACTIONS, key, value)])
        return self._shown(one)

    # Deleting.

    def delete(self, *messages: AnyId) -> None:
        """Delete messages on all devices; `restore` brings them back. In one transaction; does not ask.

        Raises:
            UnknownMessage, ErasedMessage: nothing was deleted.
        """
        self._cover(DeletionKind.DELETED, messages)

    def restore(self, *messages: AnyId) -> None:
        """Bring deleted messages back on all devices; wins over a deletion made meanwhile elsewhere.

        Raises:
            UnknownMessage, ErasedMessage: nothing was restored.
        """
        self._cover(DeletionKind.RESTORED, messages)

    def _cover(self, kind: DeletionKind, messages: tuple[AnyId, ...]) -> None:
        with self._replica.writing() as store:
            ids = [self._known(message) for message in messages]
            deletion.cover(store, self.id, kind, ids, self._replica.system.now_ms())

    def erase(self, *messages: AnyId) -> None:
        """Erase messages and all that was said about them, on all devices, for good. Does not ask.

        When this returns their text is in none of the replica's files (if another process reads the file at this
        moment, as soon as it stops: see `Status.erasure_pending`). An id may be erased before it was ever seen.

        Raises:
            InvalidValue: something is not a message id; nothing was erased.
            UnknownMessage: a message belongs to another conversation; nothing was erased.
        """
        with self._replica.writing() as store:
            ids = [_id_of(message) for message in messages]
            for one in ids:
                row = store.pages.by_id(one.raw)
                if row is not None and store.pages.by_id(one.raw, self.id) is None:
                    raise UnknownMessage(
                        f"message {one} is not in {self.id!r} but in {row.conversation!r}; erase it there"
                    )
            deletion.erase(store, self.id, ids)

    # Reading.

    def message(self, message: AnyId) -> Message:
        """One message, as it is shown now; deleted ones too.

        Raises:
            UnknownMessage: it is not here. ErasedMessage: it was erased.
        """
        with self._replica.reading():
            return self._shown(self._known(message))

    def _shown(self, one: MessageId) -> Message:
        with self._replica.reading() as store:
            row = store.pages.by_id(one.raw, self.id)
            if row is None:
                raise _unknown(one)
            return self._replica.shown([row])[0]

    def find(self, external_id: str) -> Message | None:
        """The message that was ingested, or sent, under a carrier's id; None if it is not here."""
        encode_text(external_id, "an external id")
        with self._replica.reading() as store:
            row = store.pages.by_tail(external_tail(self.id, external_id), self.id, external_id)
            return None if row is None else self._replica.shown([row])[0]

    def messages(
        self,
        *,
        before: Cursor | AnyId | None = None,
        after: Cursor | AnyId | None = None,
        limit: int = 50,
        include_deleted: bool = False,
    ) -> Page:
        """A page in ascending order: the newest ``limit``, or those next to ``before`` or ``after``.

        With both, the newest ones between the two. ``page.older`` and ``page.newer`` lead on.

        Raises:
            InvalidValue: the limit is not a whole number from 1 on, or a place is none.
            UnknownConversation: the conversation is not here.
            UnknownMessage, ErasedMessage: a message that names a place is not here.
        """
        check_limit(limit)
        with self._replica.reading() as store:
            conversation = store.pages.conversation(self.id)
            if conversation is None:
                raise unknown_conversation(self.id)
            low, high = self._place(after), self._place(before)
            rows = store.pages.page(
                conversation.key, before=high, after=low, limit=limit + 1, deleted=include_deleted
            )
            forward = low is not None and high is None
            more = len(rows) > limit
            rows = (rows[:limit] if forward else rows[1:]) if more else rows
            messages = self._replica.shown(rows)
            older = newer = None
            if rows:
                first, last = messages[0].cursor, messages[-1].cursor
                older = (
                    first
                    if (
                        more
                        if not forward
                        else self._any(conversation.key, before=first, deleted=include_deleted)
                    )
                    else None
                )
                newer = (
                    last
                    if (
                        more
                        if forward
                        else high is not None
                        and self._any(conversation.key, after=last, deleted=include_deleted)
                    )
                    else None
                )
            return Page(tuple(messages), older, newer)

    def _place(self, place: Cursor | AnyId | None) -> tuple[int, int, bytes] | None:
        if place is None or isinstance(place, Cursor):
            return None if place is None else _tuple(place)
        return _tuple(self._shown(self._known(place)).cursor)

    def _any(
        self, key: int, *, before: Cursor | None = None, after: Cursor | None = None, deleted: bool
    ) -> bool:
        low = None if after is None else _tuple(after)
        high = None if before is None else _tuple(before)
        with self._replica.reading() as store:
            return bool(store.pages.page(key, before=high, after=low, limit=1, deleted=deleted))

    def search(
        self,
        words: str,
        *,
        author: str | None = None,
        since: datetime | int | None = None,
        until: datetime | int | None = None,
        before: SearchPlace | None = None,
        limit: int = 50,
    ) -> SearchPage:
        """Live messages of this conversation in which all words occur, newest first; see `Replica.search`."""
        return self._replica.search(
            words,
            conversation=self.id,
            author=author,
            since=since,
            until=until,
            before=before,
            limit=limit,
        )

    # Small things.

    def _author(self, author: str | None, what: str = "author") -> str:
        chosen = self._replica.author if author is None else author
        if chosen is None:
            raise InvalidValue(f"who is it? pass {what}=, or open the replica with author=")
        return chosen

    def _document(self, one: MessageId) -> DocumentRow:
        with self._replica.writing() as store:
            return store.row(DocumentId(self.id, segment_of(one.ms)))

    def _known(self, message: AnyId) -> MessageId:
        """The id of a message that is here.

        Raises:
            UnknownMessage, ErasedMessage: it is not.
        """
        one = _id_of(message)
        with self._replica.reading() as store:
            row = store.documents.find(DocumentId(self.id, segment_of(one.ms)))
            if row is None:
                raise _unknown(one)
            if store.readmodel.messages.find(row.conversation, one.raw) is None:
                if one.raw in store.readmodel.erased_ids(row):
                    raise ErasedMessage(
                        f"message {one} was erased; nothing more can be said about it"
                    )
                raise _unknown(one)
        return one


def _id_of(message: AnyId) -> MessageId:
    if isinstance(message, Message):
        return message.id
    return message if isinstance(message, MessageId) else MessageId.parse(message)


def check_limit(limit: int) -> None:
    """Check a limit of how much to return. Raises InvalidValue if it is no whole number from 1 on."""
    if type(limit) is not int or not 1 <= limit <= limits.MS:
        raise InvalidValue(f"limit is a whole number from 1 on, not {limit!r}")


def _tuple(cursor: Cursor) -> tuple[int, int, bytes]:
    return cursor.ms, cursor.order, cursor.tail


def _unknown(one: MessageId) -> UsageError:
    return UnknownMessage(f"message {one} is not here; sync first, or check the id")
