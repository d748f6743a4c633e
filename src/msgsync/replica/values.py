"""What an app gets and gives: frozen values. Source: design 12."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from msgsync.ids import DeviceId, MessageId
from msgsync.replica.attachment import Attachment
from msgsync.replica.reasons import PlaceState, Reason
from msgsync.replica.times import to_datetime


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in a conversation, between messages as it were: for ``before=`` and ``after=``."""

    ms: int
    order: int
    tail: bytes

    START: ClassVar[Cursor]
    """Before the first message: ``messages(after=Cursor.START)`` reads from the beginning."""


Cursor.START = Cursor(-1, 0, b"")


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a message."""

    text: str
    at_ms: int
    """Wall time of the device or the source that made it, Unix milliseconds; says nothing about order."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """One user's reaction."""

    user: str
    emoji: str
    at_ms: int
    """Wall time, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is shown now."""

    id: MessageId
    conversation: str
    author: str
    text: str
    sent_ms: int
    """When it was sent, by the sender's or the source's clock, Unix milliseconds."""
    order: int
    """The source's position among messages of one millisecond; 0 for messages sent here."""
    kind: str
    reply_to: MessageId | None
    """The answered message, if its id is known here."""
    reply_external: str | None
    external_id: str | None
    original_text: str
    edits: tuple[Edit, ...]
    """Oldest first; the last one is shown."""
    reactions: tuple[Reaction, ...]
    deleted: bool
    deleted_ms: int | None
    extra: Mapping[str, Any] | None
    attachments: tuple[Attachment, ...] = ()

    @property
    def sent(self) -> datetime:
        """When it was sent, in UTC; years after 9999 are shown as the end of it."""
        return to_datetime(self.sent_ms)

    @property
    def cursor(self) -> Cursor:
        """Its place in the conversation."""
        return Cursor(self.id.ms, self.order, self.id.raw[6:])


if TYPE_CHECKING:
    message_of = Message
else:

    class _Draft:
        __slots__ = Message.__slots__

    def message_of(*values: Any) -> Message:
        """A message of all its values: a page has many, and a frozen class sets each attribute the long way round.

        Four times as fast: what has the same slots, and is not frozen, becomes one.
        """
        made = _Draft()
        (
            made.id, made.conversation, made.author, made.text, made.sent_ms, made.order, made.kind, made.reply_to,
            made.reply_external, made.external_id, made.original_text, made.edits, made.reactions, made.deleted,
            made.deleted_ms, made.extra, made.attachments,
        ) = values  # fmt: skip
        made.__class__ = Message
        return made


AnyId = MessageId | Message | str
"""A message's id, its text form, or the message itself."""


@dataclass(frozen=True, slots=True)
class Page(Sequence[Message]):
    """Messages in ascending order, and the way on."""

    messages: tuple[Message, ...]
    older: Cursor | None
    """Pass it as ``before=``; None if nothing older is here."""
    newer: Cursor | None
    """Pass it as ``after=``; None if nothing newer is here."""
    elsewhere: bool = False
    """Whether something older may be elsewhere, and nothing older that goes on from here is here: this device still
    fills, refused a document of the conversation, or has let go of old months (`Replica.set_history_budget`).
    `Conversation.older` has it come. A page that goes forward has it where it may have passed over something."""

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        return self.messages[index]

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)


ChangeKind = Literal["message", "merged", "erased", "conversation"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not as it was, in its present state."""

    kind: ChangeKind
    """``message``: new, or shown otherwise than before; deleted and restored ones too. ``merged``: it is shown under
    another id from now on. ``erased``: gone for good. ``conversation``: its title, its last message or the like."""
    conversation: str
    id: MessageId | None
    """The message; None for a conversation."""
    message: Message | None
    """The message as it is now; for ``merged`` the one under the other id; None for the other kinds."""
    seq: int
    """The number of the commit that changed it last."""


@dataclass(frozen=True, slots=True)
class ChangePage(Sequence[Change]):
    """Changes in order of commit, and where to go on."""

    changes: tuple[Change, ...]
    cursor: str
    """Pass it as ``after=``. Opaque; belongs to this file alone."""
    more: bool
    """Whether more is here already."""

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, index: int | slice) -> Change | tuple[Change, ...]:
        return self.changes[index]

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A line of the list of conversations."""

    id: str
    title: str | None
    activity_ms: int
    """When the newest live message was sent or the conversation was made, Unix milliseconds."""
    last_message: Message | None
    unread: int
    """Live messages of others that were not read, on any device: see `Conversation.unread`."""
    pinned: bool
    archived: bool
    muted: bool
    """Whether it is muted now."""
    muted_until_ms: int | None
    """Until when, Unix milliseconds; None if it is not, or for good."""
    deleted: bool
    """Whether nothing of it is left but deleted messages."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from a carrier, a bridge or an import. Nothing in it may depend on the device that receives it."""

    conversation: str
    author: str
    text: str
    sent_ms: int
    """The source's time of the message, Unix milliseconds, the same on every device."""
    external_id: str | None = None
    """The source's own id, at most 255 bytes of UTF-8. None: one is made of author, time, text and repetition."""
    message_id: MessageId | None = None
    """A msgsync id, as an export writes it; wins over ``external_id``."""
    order: int = 0
    """Position among messages of one millisecond: the source's sequence number, or 0."""
    kind: str = "text"
    reply_external: str | None = None
    """The external id of the answered message."""
    reply_to: MessageId | None = None
    """The msgsync id of the answered message; only with ``message_id``."""
    edits: tuple[Edit, ...] = ()
    """In order."""
    reactions: tuple[Reaction, ...] = ()
    deleted_ms: int | None = None
    extra: Mapping[str, Any] | None = None
    taken_back: tuple[Reaction, ...] = ()
    """Reactions that are there no more, each with the time at which it was taken back."""
    attachments: tuple[bytes, ...] = ()
    """Records of files, as an export writes them: what they are and how to read them, without their bytes."""
    is_message: bool = True
    """False: author, text and order do not count; it is only what is said about a message (see `said_about`)."""

    @classmethod
    def said_about(
        cls,
        external_id: str,
        sent_ms: int,
        *,
        conversation: str = "",
        edits: tuple[Edit, ...] = (),
        reactions: tuple[Reaction, ...] = (),
        taken_back: tuple[Reaction, ...] = (),
        deleted_ms: int | None = None,
    ) -> Incoming:
        """What a carrier says about a message without telling the message: it may be here, or come later.

        Args:
            external_id: the source's id of the message.
            sent_ms: the source's time of the message, Unix milliseconds: the two make its id.
            conversation: may be left out with `Conversation.ingest`.
            edits: new texts, in order.
            reactions: reactions that were put there.
            taken_back: reactions that are there no more, with the times at which they were taken back.
            deleted_ms: when it was deleted.
        """
        return cls(
            conversation,
            "-",
            "",
            sent_ms,
            external_id,
            edits=edits,
            reactions=reactions,
            taken_back=taken_back,
            deleted_ms=deleted_ms,
            is_message=False,
        )


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of ingested messages."""

    added: int = 0
    present: int = 0
    """Were here already."""
    erased: int = 0
    """Were erased here and stay erased."""
    waiting: int = 0
    """Are not here yet; what is said about them waits for them (see `Incoming.said_about`)."""

    def __add__(self, other: IngestReport) -> IngestReport:
        return IngestReport(
            self.added + other.added,
            self.present + other.present,
            self.erased + other.erased,
            self.waiting + other.waiting,
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one direction, as far as is known. False if nothing does."""

    messages: int = 0
    """Messages, deleted and erased ones included."""
    documents: int = 0
    """Heads and months of which something waits."""
    chunks: int = 0
    """Pieces of attachments."""
    bytes: int = 0
    """What these documents and chunks have here: at most about so much has to move."""
    objects: int = 0
    """Objects that lie in a mailbox and were not taken."""
    more: bool = False
    """Whether something waits of which it is not known how much it is."""

    def __bool__(self) -> bool:
        return bool(self.messages or self.documents or self.chunks or self.objects or self.more)


@dataclass(frozen=True, slots=True)
class PlaceStatus:
    """How it stands with one place where this replica syncs: a mailbox, or another device."""

    address: str | None
    """Of the mailbox, or where the device was last reached; None for a device that was never reached by an address."""
    device: DeviceId | None
    """The device; None for a mailbox, and where nobody was met yet."""
    name: str | None
    """What the device is called."""
    state: PlaceState
    reason: Reason | None
    """Why nothing moves; None if it is up to date, or moving."""
    why: str
    """The same in words, with what the last error said; empty if there is no reason."""
    remedy: str
    """What to do, in words; empty if there is no reason."""
    last_success_ms: int | None
    """When both sides last had everything, Unix milliseconds by this clock; None if never."""
    last_attempt_ms: int | None
    """When it was last tried, by this clock; None if never. Written once a minute where all goes well."""
    last_seen_ms: int | None
    """When the device was last heard of by any device; None for a mailbox, or if it never was."""
    to_send: Waiting
    """What is here, and not confirmed to be there."""
    to_receive: Waiting
    """What is known to be there, and is not here."""
    is_mailbox: bool

    @property
    def caught_up(self) -> bool:
        """Whether the last attempt went well and nothing is known to wait in either direction."""
        return self.state is PlaceState.UP_TO_DATE


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a replica in figures."""

    account: str
    device: str
    path: str
    conversations: int
    documents: int
    messages: int
    """Live and deleted ones, without erased ones; those that are here."""
    months_elsewhere: int
    """Months of conversations that this device has let go of; see `Replica.set_history_budget`."""
    history_months: int | None
    """How many months are kept here besides the present one; None for all."""
    erased: int
    file_bytes: int
    digest: str
    """Hexadecimal; equal on two replicas in the same state."""
    differing: int
    """Messages of which two devices had different records under one id; one was kept, the same everywhere."""
    unreadable: int
    """Entries that this version cannot read; they are kept and passed on."""
    refused: tuple[str, ...]
    """Documents of peers that admission refused, and why."""
    erasure_pending: bool
    """Whether erased text waits in the write-ahead log for another process to stop reading."""
    cloned: bool
    """Whether this opening's client id was seen elsewhere: the file or the machine was rolled back or copied."""
    only_here: int
    """Messages and erasures that no other device is known to have."""
    bytes_only_here: int
    """Of attachments: in no mailbox, and with no other device that is bound to have them, as far as is known."""
    attachment_bytes_here: int
    """What attachments take on this device."""
    attachment_bytes_missing: int
    """Of those that come by themselves, what is not here yet: it waits while they are paused, or for want of room in
    a budget."""
    attachment_budget: int | None
    """How many bytes of them may be here; None for however many. See `Replica.set_attachment_budget`."""
    attachment_budget_days: int | None
    """For how many days what was sent or read stays; None for ever."""
    attachments_paused: bool
    """Whether attachments stay where they are; see `Switch.pause_attachments`."""
    expiry_waits_for: tuple[str, ...]
    """Devices that were not heard of since something in Recently Deleted expired; see `Replica.retire`."""
    epochs_wait_for: tuple[str, ...]
    """While the secrets of epochs that are over are kept here: the addresses of mailboxes in which something may lie
    under one (`Switch.forget` takes off one that is not used any more), the ids of conversations with months that this
    device has let go of and nobody is known to have, and the devices that have not said that they seal under the one in
    force, or of which something is not here. A device that is lost for good is waited for until it is revoked."""
    clock_skew_ms: int | None
    """By how much the clock of the last peer was ahead of this device's, if more than a day; else None."""
    lost: tuple[str, ...]
    """What repairs could not save, and what had not come back after the last exchange, in words; see
    `Replica.accept_loss`."""
    sync_off_ms: int | None
    """When sync was switched off on this device, Unix milliseconds; None if it is on; see `Replica.sync`."""
    places: tuple[PlaceStatus, ...]
    """How it stands with each mailbox and each other device: what waits, and if nothing moves, why."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check of the whole replica found."""

    documents: int
    entries: int
    problems: tuple[str, ...]
    """In words; empty if all is well."""
    lost: tuple[str, ...] = ()
    """What repairs could not save and what has not come back since, in words; see `Replica.accept_loss`."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems
