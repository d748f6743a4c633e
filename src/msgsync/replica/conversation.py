"""One conversation: the verbs an app uses. Source: design 3, 4 and 12."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from msgsync.document.schema import month_bounds
from msgsync.errors import ErasedMessage, InvalidValue, UnknownMessage
from msgsync.ids import MessageId, encode_text
from msgsync.records import DeletionKind
from msgsync.replica import deletion, paging, remarks, sending
from msgsync.replica.attachment import Attachment
from msgsync.replica.head import Head, check_title
from msgsync.replica.intake import Attachable
from msgsync.replica.names import Named, Names, id_of
from msgsync.replica.times import to_ms
from msgsync.replica.values import AnyId, Cursor, Incoming, IngestReport, Message, Page
from msgsync.replica.wants import older

if TYPE_CHECKING:
    from msgsync.replica.found import SearchPage
    from msgsync.replica.replica import Replica
    from msgsync.replica.searching import SearchPlace


class Conversation(Head):
    """A conversation of a replica. Cheap to make; holds no state but its id. Safe to use from several threads."""

    def __init__(self, replica: Replica, conversation_id: str) -> None:
        """Made by `Replica.conversation` and `Replica.create_conversation`."""
        self._replica = replica
        self._names = Names(replica, conversation_id)
        self.id = conversation_id

    @property
    def replica(self) -> Replica:
        """The replica that it belongs to."""
        return self._replica

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
        attachments: Sequence[Attachable] = (),
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
            attachments: files to send with it: paths, files open for reading bytes, bytes, or `Attach` with more to
                say of one. They are read piece by piece, and on disk when this returns.

        Raises:
            InvalidValue: a value of the wrong form or beyond its limit, or a file that changed while it was read.
            OSError: a file cannot be read.
            StorageError: there is no room for them.
            UnknownMessage: the answered message is not here.
            ErasedMessage: this very message was erased.
            FutureTimestamp: ``sent`` is more than 36 hours ahead of this device's clock.
        """
        outgoing = sending.Outgoing(
            text, reply_to, extra, external_id, sent, reply_external, attachments
        )
        return sending.send(self._names, self._author(author), outgoing)

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
        return self._names.shown(message_id)

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
        return remarks.edit(self._names, (message, external, sent), text)

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
        named: Named,
        emoji: str | None,
        user: str | None,
        *,
        on: bool,
    ) -> Message | None:
        if emoji is None:
            raise InvalidValue("pass the emoji")
        chosen = self._author(user, "user")
        return remarks.react(self._names, named, chosen, emoji, on=on)

    def link(self, message: AnyId, external_id: str, sent: datetime | int) -> Message:
        """Say which id the carrier gave to a message that was sent here: its echo, on any device, is this message.

        The echo may have come already, or come later; what was said about either is said about both. Saying it
        again changes nothing. It cannot be undone: ingest a message that a wrong link hides once more, under another
        external id.

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
        return self._names.link(message, external_id, sent)

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
            ids = [self._names.known(message) for message in messages]
            if external is not None or sent is not None:
                ids.append(self._names.target((None, external, sent))[0])
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
            ids = [id_of(message) for message in messages]
            for one in ids:
                row = store.pages.by_id(one.raw)
                if row is not None and store.pages.by_id(one.raw, self.id) is None:
                    raise UnknownMessage(
                        f"message {one} is not in {self.id!r} but in {row.conversation!r}; erase it there"
                    )
            if external is not None or sent is not None:
                ids.append(self._names.target((None, external, sent), erased=True)[0])
            deletion.erase(store, self.id, ids)

    def erase_attachment(self, message: AnyId, attachment: Attachment) -> Message:
        """Erase one attachment of a message on all devices, for good; the message stays and says so. Does not ask.

        Its bytes go from this device before this returns, and from the others, and from mailboxes, as they hear of it,
        unless another message has the same file. Name, media type, size, pixels and duration stay to be shown; digest,
        preview and what it takes to read the bytes go. To make room on this device alone there is `Replica.free_space`.

        Args:
            message: which one.
            attachment: one of its attachments. An equal file of the same message goes with it.

        Returns:
            The message as it is shown now; the state of the attachment is ``gone``.

        Raises:
            UnknownMessage, ErasedMessage: the message is not here.
            InvalidValue: it has no such attachment. Nothing was erased.
        """
        with self._replica.writing() as store:
            one = self._names.known(message)
            deletion.erase_attachment(store, self.id, one, attachment)
        return self._names.shown(one)

    # Reading.

    def message(self, message: AnyId | None = None, *, external: str | None = None) -> Message:
        """One message, by its id or the carrier's, as it is shown now; deleted ones too.

        Raises:
            UnknownMessage: it is not here. ErasedMessage: it was erased.
        """
        with self._replica.reading():
            return self._names.shown(self._names.target((message, external, None))[0])

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
        paging.check_limit(limit)
        return paging.page(self._names, paging.Around(before, after, limit, include_deleted))

    def older(
        self, before: Cursor | AnyId, *, limit: int = 50, timeout: float | None = None
    ) -> Page:
        """A page before a place; if nothing older is here yet, it is waited for, and comes before all else.

        For a page that says ``elsewhere``. Something else has to exchange meanwhile: a `msgsync.Watcher`, or
        `msgsync.sync` in another thread. `msgsync.aio.older` is the same for event loops. The page is empty, and not
        ``elsewhere``, if it turns out that there is nothing older.

        Args:
            before: of the page, as for `messages`.
            limit: how many messages at most.
            timeout: seconds; None waits for as long as it takes.

        Raises:
            NotThereYet: nothing came within that time.
            ReplicaClosed: the replica was closed meanwhile. What `messages` raises.
        """
        return older(self, before, limit, timeout)

    @property
    def months_elsewhere(self) -> tuple[str, ...]:
        """The months, as ``2024-05``, oldest first, that this device has let go of: `Replica.set_history_budget`."""
        with self._replica.reading() as store:
            return tuple(sorted(store.missing.months_elsewhere(self.id), key=month_bounds))

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
