"""One conversation: the verbs an app uses. Source: design 3, 4 and 12."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from msgsync import limits
from msgsync.cbor import load
from msgsync.document.columns import Messages
from msgsync.document.schema import (
    ALIASES,
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
from msgsync.ids import MessageId, encode_id, encode_text, external_tail, ingested_id
from msgsync.records import (
    AliasRecord,
    DeletionKind,
    EditRecord,
    ReactionRecord,
    Stamp,
    alias_key,
    encode_alias,
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
from msgsync.store.rows import HIDDEN, DocumentRow

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
        reply_external: str | None = None,
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
            reply_external: the answered message by the carrier's id; it may come later.

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
        if reply_external is not None:
            if reply_to is not None:
                raise InvalidValue("a message answers one; pass reply_to= or reply_external=")
            encode_external_id(reply_external)
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
                reply_external if reply_id is None else reply_id.raw,
                None,
                packed,
            )
            external = None if external_id is None else encode_external_id(external_id)
            columns = encode_author(author), encode_message_text(text), 0, external, rest
            value = encode_message_columns(columns)
            entry = Entry(MESSAGES, encode_id(message_id.raw), value)
            store.write(row, [entry], Told(Messages.of([(message_id.raw, columns)]), Said()))
            if (external_id and row.orphans) or reply_external is not None:
                return self._shown(message_id)  # something may have been said about it already
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

    @overload
    def edit(self, message: AnyId, text: str) -> Message: ...
    @overload
    def edit(
        self, *, text: str, external: str, sent: datetime | int | None = None
    ) -> Message | None: ...
    def edit(
        self,
        message: AnyId | None = None,
        text: str | None = None,
        *,
        external: str | None = None,
        sent: datetime | int | None = None,
    ) -> Message | None:
        """Give a message a new text. The last edit is shown; all are kept until the message is erased.

        Args:
            message: which one; or by ``external``.
            text: at most 1 MiB of UTF-8.
            external: the carrier's id of the message. Together with ``sent`` the message may come later.
            sent: the carrier's time of the message (datetime or Unix milliseconds), not of this edit.

        Returns:
            The message as it is shown now; None if it is not here yet.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: nothing was changed.
        """
        if text is None:
            raise InvalidValue("pass the new text")
        with self._replica.writing() as store:
            one, is_here = self._target(message, external, sent)
            row = self._document(one)
            record = EditRecord(text, self._replica.system.now_ms(), store.identity.device.raw)
            key = encode_id(one.raw) + b"." + self._stamp(store, row, one).key()
            store.write(row, [Entry(EDITS, key, encode_edit(record))])
            return self._shown(one) if is_here else None

    @overload
    def react(self, message: AnyId, emoji: str, *, user: str | None = None) -> Message: ...
    @overload
    def react(
        self,
        *,
        emoji: str,
        external: str,
        sent: datetime | int | None = None,
        user: str | None = None,
    ) -> Message | None: ...
    def react(
        self,
        message: AnyId | None = None,
        emoji: str | None = None,
        *,
        user: str | None = None,
        external: str | None = None,
        sent: datetime | int | None = None,
    ) -> Message | None:
        """React to a message; a user has each emoji at most once on it. See `edit` for ``external`` and ``sent``.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: nothing was changed.
        """
        return self._react((message, external, sent), emoji, user, on=True)

    @overload
    def unreact(self, message: AnyId, emoji: str, *, user: str | None = None) -> Message: ...
    @overload
    def unreact(
        self,
        *,
        emoji: str,
        external: str,
        sent: datetime | int | None = None,
        user: str | None = None,
    ) -> Message | None: ...
    def unreact(
        self,
        message: AnyId | None = None,
        emoji: str | None = None,
        *,
        user: str | None = None,
        external: str | None = None,
        sent: datetime | int | None = None,
    ) -> Message | None:
        """Take a reaction back; nothing happens if there is none. See `edit` for ``external`` and ``sent``.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: nothing was changed.
        """
        return self._react((message, external, sent), emoji, user, on=False)

    def _react(
        self,
        named: tuple[AnyId | None, str | None, datetime | int | None],
        emoji: str | None,
        user: str | None,
        *,
        on: bool,
    ) -> Message | None:
        if emoji is None:
            raise InvalidValue("pass the emoji")
        user = self._author(user, "user")
        with self._replica.writing() as store:
            one, is_here = self._target(*named)
            now_ms = self._replica.system.now_ms()
            value = encode_reaction(
                ReactionRecord(user, emoji, on, now_ms, store.identity.device.raw)
            )
            if is_here:
                before = self._shown(one)
                if any((r.user, r.emoji) == (user, emoji) for r in before.reactions) == on:
                    return before
            row = self._document(one)
            key = encode_id(one.raw) + b"." + self._stamp(store, row, one).key()
            store.write(row, [Entry(REACTIONS, key, value)])
            return self._shown(one) if is_here else None

    def link(self, message: AnyId, external_id: str, sent: datetime | int) -> Message:
        """Say which id the carrier gave to a message that was sent here: its echo, on any device, is this message.

        The echo may have come already, or come later; what was said about either is said about both. Saying it
        again changes nothing.

        Args:
            message: the message that was sent.
            external_id: the carrier's id, at most 255 bytes of UTF-8.
            sent: the carrier's time, the same on every device (datetime or Unix milliseconds).

        Raises:
            UnknownMessage: the message is not here.
            ErasedMessage: it, or the echo, was erased.
            InvalidValue, FutureTimestamp: nothing was changed; so if the carrier's message is here and has both another
                author and another text.
        """
        encode_external_id(external_id)
        sent_ms = self._carriers_ms(sent)
        with self._replica.writing() as store:
            one = self._known(message)
            echo = MessageId(ingested_id(self.id, external_id, sent_ms))
            if echo == one:
                return self._shown(one)
            ours, theirs = self._document(one), self._document(echo)
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
            return self._shown(one)

    def _refuse_another(self, store: Store, one: MessageId, echo: MessageId) -> None:
        """A carrier may have another name for the author, or have changed the text, but hardly both."""
        here, said = (store.pages.by_id(each.raw, self.id) for each in (one, echo))
        if here and said and here.author != said.author and here.text != said.text:
            raise InvalidValue(
                f"the carrier's message {said.external!r} is another one, by {said.author}; a link would hide it "
                "for good. Check the id"
            )

    # Deleting.

    def delete(
        self,
        *messages: AnyId,
        external: str | None = None,
        sent: datetime | int | None = None,
    ) -> None:
        """Delete messages on all devices; `restore` brings them back. In one transaction; does not ask.

        See `edit` for ``external`` and ``sent``, which name one more message.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: nothing was deleted.
        """
        self._cover(DeletionKind.DELETED, messages, external, sent)

    def restore(
        self,
        *messages: AnyId,
        external: str | None = None,
        sent: datetime | int | None = None,
    ) -> None:
        """Bring deleted messages back on all devices; wins over a deletion made meanwhile elsewhere.

        See `edit` for ``external`` and ``sent``, which name one more message.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: nothing was restored.
        """
        self._cover(DeletionKind.RESTORED, messages, external, sent)

    def _cover(
        self,
        kind: DeletionKind,
        messages: tuple[AnyId, ...],
        external: str | None,
        sent: datetime | int | None,
    ) -> None:
        with self._replica.writing() as store:
            ids = [self._known(message) for message in messages]
            if external is not None or sent is not None:
                ids.append(self._target(None, external, sent)[0])
            key = store.documents.conversation(self.id)
            groups = [] if key is None else [store.readmodel.aliases.group(key, i.raw) for i in ids]
            members = [MessageId(member) for group in groups for member in group]
            now_ms = self._replica.system.now_ms()
            deletion.cover(store, self.id, kind, members or ids, now_ms)

    def erase(
        self,
        *messages: AnyId,
        external: str | None = None,
        sent: datetime | int | None = None,
    ) -> None:
        """Erase messages and all that was said about them, on all devices, for good. Does not ask.

        When this returns their text is in none of the replica's files (if another process reads the file at this
        moment, as soon as it stops: see `Status.erasure_pending`). An id may be erased before it was ever seen.
        See `edit` for ``external`` and ``sent``, which name one more message.

        Raises:
            InvalidValue: something is not a message id; nothing was erased.
            UnknownMessage: a message belongs to another conversation, or there is no message of this external id
                here and no ``sent``; nothing was erased.
        """
        with self._replica.writing() as store:
            ids = [_id_of(message) for message in messages]
            for one in ids:
                row = store.pages.by_id(one.raw)
                if row is not None and store.pages.by_id(one.raw, self.id) is None:
                    raise UnknownMessage(
                        f"message {one} is not in {self.id!r} but in {row.conversation!r}; erase it there"
                    )
            if external is not None or sent is not None:
                ids.append(self._target(None, external, sent, erased=True)[0])
            deletion.erase(store, self.id, ids)

    # Reading.

    def message(self, message: AnyId | None = None, *, external: str | None = None) -> Message:
        """One message, by its id or the carrier's, as it is shown now; deleted ones too.

        Raises:
            UnknownMessage: it is not here. ErasedMessage: it was erased.
        """
        with self._replica.reading():
            return self._shown(self._target(message, external, None)[0])

    def _shown(self, one: MessageId) -> Message:
        with self._replica.reading() as store:
            row = store.pages.by_id(one.raw, self.id)
            if row is None:
                raise _unknown(one)
            return self._replica.shown([store.pages.as_shown(row)])[0]

    def find(self, external_id: str) -> Message | None:
        """The message that was ingested, sent or linked under a carrier's id; None if it is not here."""
        encode_text(external_id, "an external id")
        with self._replica.reading() as store:
            row = store.pages.by_external(self.id, external_id)
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
        """The id under which a message that is here is shown.

        Raises:
            UnknownMessage, ErasedMessage: it is not.
        """
        one = _id_of(message)
        with self._replica.reading() as store:
            row = store.documents.find(DocumentId(self.id, segment_of(one.ms)))
            if row is None:
                raise _unknown(one)
            found = store.readmodel.messages.find(row.conversation, one.raw)
            if found is None:
                if store.readmodel.is_erased(row, one.raw):
                    raise _erased(one)
                raise _unknown(one)
            if found[1] & HIDDEN:
                return MessageId(store.pages.aliases.shown(row.conversation, one.raw))
        return one

    def _target(
        self,
        message: AnyId | None,
        external: str | None,
        sent: datetime | int | None,
        *,
        erased: bool = False,
    ) -> tuple[MessageId, bool]:
        """The id of a message that a verb names, and whether it is here. ``erased`` ones may be named, or not.

        Raises:
            UnknownMessage, ErasedMessage, FutureTimestamp, InvalidValue: no message is named that a verb can be about.
        """
        if external is None:
            if message is None or sent is not None:
                raise InvalidValue("name a message: by its id, or by external= (and sent=)")
            return self._known(message), True
        if message is not None:
            raise InvalidValue("name a message by its id or by external=, not by both")
        encode_external_id(external)
        with self._replica.reading() as store:
            found = store.pages.by_external(self.id, external)
            if found is not None:
                return MessageId(found.id), True
            if sent is None:
                raise UnknownMessage(
                    f"no message of external id {external!r} is here; sync first, or pass sent= (the carrier's time)"
                )
            one = MessageId(ingested_id(self.id, external, self._carriers_ms(sent)))
            row = store.documents.find(DocumentId(self.id, segment_of(one.ms)))
            if not erased and row is not None and store.readmodel.is_erased(row, one.raw):
                raise _erased(one)
        return one, False

    def _carriers_ms(self, sent: datetime | int) -> int:
        sent_ms = to_ms(sent)
        if sent_ms > self._replica.system.now_ms() + limits.FUTURE_MS:
            raise FutureTimestamp(
                "a message is dated more than 36 hours ahead of this device's clock; check the clock, "
                "or pass the time at which the carrier's server received it"
            )
        return sent_ms

    def _stamp(self, store: Store, row: DocumentRow, one: MessageId) -> Stamp:
        """A stamp above everything said about a message, in all documents of its group."""
        for member in store.readmodel.aliases.group(row.conversation, one.raw):
            other = self._document(MessageId(member))
            row.lamport = max(row.lamport, other.lamport)
        return store.next_stamp(row)


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


def _erased(one: MessageId) -> UsageError:
    return ErasedMessage(f"message {one} was erased; nothing more can be said about it")
