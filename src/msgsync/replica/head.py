"""What a person says about a conversation as a whole: its name, its people, its flags, how far it was read.

Source: design 4. A head is small; each verb writes one entry of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgsync import limits
from msgsync.document.schema import FIELDS, HEAD, READS, DocumentId, Entry
from msgsync.errors import InvalidValue, UnknownConversation, UsageError
from msgsync.ids import encode_text
from msgsync.records import (
    APP,
    PARTICIPANT,
    FieldRecord,
    ReadKind,
    ReadRecord,
    encode_field,
    encode_read,
)
from msgsync.replica import trash
from msgsync.replica.deletion import DeletionListener
from msgsync.replica.times import to_ms
from msgsync.replica.trash import DeletionPreview
from msgsync.replica.values import AnyId, ConversationSummary, Message
from msgsync.store.pages import ConversationRow
from msgsync.store.reading import Place
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


class Head:
    """The verbs of a conversation that concern all of it. `Conversation` has them, and those about messages."""

    _replica: Replica
    id: str

    # What it is called and who takes part.

    @property
    def title(self) -> str | None:
        """The title, or None if it has none."""
        with self._replica.reading() as store:
            row = store.pages.conversation(self.id)
            return None if row is None else row.title

    def rename(self, title: str | None) -> None:
        """Set the title. The last rename wins; None removes it."""
        if title is not None:
            check_title(title)
        self._set("title", title)

    @property
    def participants(self) -> tuple[str, ...]:
        """Who takes part, by name, sorted."""
        fields = self._fields(PARTICIPANT)
        return tuple(name for name, takes_part in fields.items() if takes_part is True)

    def add_participant(self, name: str) -> None:
        """Say that somebody takes part; each name is decided by itself, so two devices add two people."""
        self._set(PARTICIPANT + checked_name(name, PARTICIPANT), True)

    def remove_participant(self, name: str) -> None:
        """Say that somebody does not take part any more."""
        self._set(PARTICIPANT + checked_name(name, PARTICIPANT), False)

    @property
    def metadata(self) -> dict[str, Any]:
        """The app's own values by name."""
        return {name: value for name, value in self._fields(APP).items() if value is not None}

    def set_metadata(self, name: str, value: Any) -> None:
        """Set one of the app's own values; None removes it. The last one written wins, for each name.

        Raises:
            InvalidValue: the name has no 1 to 1,000 bytes, or the value is none that CBOR can hold.
        """
        self._set(APP + checked_name(name, APP), value)

    def suggest(self, fields: Mapping[str, Any]) -> None:
        """Set what was never said, as an import does: by the names of the specification (`title`, `pinned`, …).

        Raises:
            InvalidValue: a name or a value that no field can have; nothing was set.
        """
        with self._replica.writing() as store:
            head = store.row(DocumentId(self.id, HEAD))
            for name, value in fields.items():
                if not store.heads.has_field(head.key, name):
                    self._set(name, value)

    # Flags.

    def info(self) -> ConversationSummary:
        """The line that `Replica.conversations` has for it.

        Raises:
            UnknownConversation: it is not here.
        """
        with self._replica.reading() as store:
            return self._replica.summaries([self._row(store)])[0]

    def pin(self) -> None:
        """Keep it on top, where the app does so."""
        self._set("pinned", True)

    def unpin(self) -> None:
        """Undo `pin`."""
        self._set("pinned", False)

    def archive(self) -> None:
        """Put it away without deleting anything."""
        self._set("archived", True)

    def unarchive(self) -> None:
        """Undo `archive`."""
        self._set("archived", False)

    def mute(self, until: datetime | int | None = None) -> None:
        """Say that it should not disturb: until a time (datetime or Unix milliseconds), or for good."""
        self._set("muted", True if until is None else to_ms(until))

    def unmute(self) -> None:
        """Undo `mute`."""
        self._set("muted", False)

    # Deleting all of it.

    def preview_deletion(self) -> DeletionPreview:
        """What deleting the conversation would concern; nothing is deleted.

        Raises:
            UnknownConversation: it is not here.
        """
        with self._replica.reading() as store:
            return trash.preview(store, self._row(store))

    def delete_all(self, token: str, *, on_progress: DeletionListener | None = None) -> int:
        """Delete the conversation on all devices: what a preview showed, given its token.

        It is in Recently Deleted then, and `restore_all` brings it back. A message that nobody had seen yet when it was
        deleted brings the conversation back with that message alone.

        Args:
            token: of `DeletionPreview`.
            on_progress: called as it is written, in this thread, while other threads wait for the replica: it should
                return soon. What it raises ends it, and nothing was done.

        Returns:
            How many messages were deleted.

        Raises:
            UnknownConversation: it is not here.
            StalePreview: the conversation's name or the like changed since the preview; nothing was deleted.
        """
        with self._replica.writing() as store:
            now_ms = self._replica.system.now_ms()
            return trash.delete_all(store, self._row(store), token, now_ms, on_progress)

    def restore_all(self, *, on_progress: DeletionListener | None = None) -> int:
        """Restore the conversation with exactly the messages that were deleted with it; return how many.

        Args:
            on_progress: see `delete_all`.

        Raises:
            UnknownConversation: it is not here.
        """
        with self._replica.writing() as store:
            now_ms = self._replica.system.now_ms()
            return trash.restore_all(store, self._row(store), now_ms, on_progress)

    # How far it was read.

    @property
    def unread(self) -> int:
        """How many live messages of others were not read, on any device.

        A message that arrives late counts, unless it is more than 7 days (or 256 messages) older than the last one
        that was read: importing old history makes nothing unread. Months that this device has let go of count; what
        never came here does not.
        """
        with self._replica.reading() as store:
            return store.reading.count(self._row(store).key, self._replica.author)

    def first_unread(self) -> Message | None:
        """The first message that is here and was not read; None if all were."""
        with self._replica.reading() as store:
            key = store.reading.first(self._row(store).key, self._replica.author)
            row = None if key is None else store.pages.by_key(key)
            return None if row is None else self._replica.shown([row])[0]

    def mark_read(self, up_to: AnyId | None = None) -> None:
        """Mark messages as read on all devices: up to one, or all that are here. Never makes one unread again.

        Raises:
            UnknownConversation, UnknownMessage, ErasedMessage: nothing was marked.
        """
        with self._replica.writing() as store:
            key = self._row(store).key
            reading = store.reading
            place = self._place_of(up_to) if up_to is not None else reading.newest(key)
            marks = reading.marks(key)
            if place is None:
                return
            furthest = max([place, *(mark.place for mark in marks)])
            from_ms, seen = reading.seen(key, furthest, place)
            self._mark(store, ReadKind.READ, furthest, from_ms, seen)

    def mark_unread(self, since: AnyId | None = None) -> None:
        """Mark messages as unread on all devices: from one on, or the newest of somebody else.

        Raises:
            UnknownConversation, UnknownMessage, ErasedMessage: nothing was marked.
            InvalidValue: the message is one's own, which is never unread.
        """
        with self._replica.writing() as store:
            key = self._row(store).key
            reading, me = store.reading, self._replica.author
            if since is None:
                place = reading.newest(key, not_by=me)
                if place is None:
                    return
            else:
                message = self._replica.conversation(self.id).message(since)
                if me is not None and message.author == me:
                    raise InvalidValue("one's own messages are never unread; name one of others")
                place = message.id.ms, message.order, message.id.raw[6:]
            before = reading.before(key, place)
            from_ms, seen = reading.seen(key, before, (-1, 0, b""))
            self._mark(store, ReadKind.UNREAD, before, from_ms, seen)

    def _mark(
        self, store: Store, kind: ReadKind, place: Place, from_ms: int, seen: frozenset[bytes]
    ) -> None:
        now_ms, device = self._replica.system.now_ms(), store.identity.device.raw
        record = ReadRecord(kind, now_ms, device, *place, from_ms, seen)
        marks = store.reading.marks(self._row(store).key)
        if kind is ReadKind.READ and any(mark.holds(record) for mark in marks):
            return  # was said already
        head = store.row(DocumentId(self.id, HEAD))
        store.write(head, [Entry(READS, store.next_stamp(head).key(), encode_read(record))])

    # Entries.

    def _set(self, name: str, value: Any) -> None:
        with self._replica.writing() as store:
            row = store.row(DocumentId(self.id, HEAD))
            stamp = store.next_stamp(row)
            store.write(row, [Entry(FIELDS, stamp.key(), encode_field(FieldRecord(name, value)))])

    def _fields(self, prefix: str) -> dict[str, Any]:
        with self._replica.reading() as store:
            head = store.documents.find(DocumentId(self.id, HEAD))
            return {} if head is None else store.heads.fields(head.key, prefix)

    def _row(self, store: Store) -> ConversationRow:
        row = store.pages.conversation(self.id)
        if row is None:
            raise unknown_conversation(self.id)
        return row

    def _place_of(self, message: AnyId) -> Place:
        found = self._replica.conversation(self.id).message(message)
        return found.id.ms, found.order, found.id.raw[6:]


def check_title(title: str) -> None:
    """Check a title: a string of 1 to 1,024 bytes of UTF-8.

    Raises:
        InvalidValue: it is none.
    """
    if not isinstance(title, str):
        raise InvalidValue("a title is a string, or None")
    if not 1 <= len(encode_text(title, "a title")) <= limits.NAME_BYTES:
        raise InvalidValue(
            f"a title has 1 to {limits.NAME_BYTES} bytes of UTF-8; None stands for no title"
        )


def checked_name(name: str, prefix: str) -> str:
    """Check what follows a prefix in the name of a field. Raises InvalidValue if it has no place there."""
    if not isinstance(name, str):
        raise InvalidValue(f"a name is a string, not {type(name).__name__}")
    room = limits.NAME_BYTES - len(prefix)
    if not 1 <= len(encode_text(name, "a name")) <= room:
        raise InvalidValue(f"a name has 1 to {room} bytes of UTF-8")
    return name


def unknown_conversation(conversation_id: str) -> UsageError:
    """The error for a conversation that is not here."""
    return UnknownConversation(
        f"conversation {conversation_id!r} is not here; create it, import it or sync first"
    )
