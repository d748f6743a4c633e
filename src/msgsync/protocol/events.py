"""What a session tells an app: how far it is, and how it ended. Source: design 7."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from msgsync.errors import MsgSyncError
from msgsync.ids import DeviceId


class Stage(Enum):
    """What a new device reads; the value is how people are told, ``{}`` the oldest month in it."""

    WAITING = "waiting for another device or a mailbox"
    LOGS = "what others left"
    NEWEST = "newest messages"
    LATER = "what was written since"
    HISTORY = "history back to {}"
    DONE = "all is here"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far this side has come as a sink. Totals grow while offers still arrive, and are exact afterwards."""

    documents: int
    total_documents: int
    messages: int
    total_messages: int
    bytes: int
    """Received so far, as on the wire."""


@dataclass(frozen=True, slots=True)
class MailboxLoss:
    """Objects that were in a mailbox and are not there any more, or that somebody could not read there.

    What this device has is put there again in the same round.
    """

    device: DeviceId
    """Who had put them."""
    objects: int
    """How many are gone; 0 if another device could not read some."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What an exchange did, from the side of one of the two replicas."""

    documents_received: int
    """Documents of the peer of which something was taken: a head or a month counts once each time."""
    messages_received: int
    """Messages that were not here before."""
    bytes_received: int
    """Of all frames that came in, with their lengths, before encryption."""
    bytes_sent: int
    """Of all frames that went out, counted in the same way."""
    documents_sent: int
    """Documents of which the peer asked for something, or was told of something as it was written."""
    complete: bool
    """Whether both replicas had equal digests at the end."""
    refused: tuple[str, ...]
    """Documents that were not taken from the peer, and why."""
    reason: str | None = None
    """Why both are not equal, in words, as far as this side knows; None if they are, or if the exchange broke off."""
    codes: tuple[str, ...] = ()
    """Of each of ``refused``, the `code` of its error."""
    attachment_bytes_received: int = 0
    """Of attachments, as they are stored; on a session that stays connected, so far."""
    chunks_refused: tuple[str, ...] = ()
    """Chunks of attachments that the peer did not have or gave damaged, and which of the two."""
    losses: tuple[MailboxLoss, ...] = ()
    """What a mailbox has lost since it was last looked at: emptied, put back to an earlier state, half copied."""


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """An empty replica can show the newest 50 messages of the 10 most recent conversations; the rest follows."""

    documents: int
    messages: int
    bytes: int
    """Received so far, as on the wire."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Both sides stay connected; what either writes from now on is sent at once, after what both have is compared."""

    device: str
    """The device at the other end."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A session that stayed connected has ended, or could not be begun."""

    reason: str
    """In words."""
    retry_in_s: float | None
    """Seconds until the next attempt; None if this side makes none."""


@dataclass(frozen=True, slots=True)
class Completed:
    """Both sides have compared and exchanged everything; a session that stays connected then goes on."""

    report: SyncReport


@dataclass(frozen=True, slots=True)
class Stopped:
    """The session ended before it was complete."""

    error: MsgSyncError


@dataclass(frozen=True, slots=True)
class AttachmentProgress:
    """A part of an attachment has come."""

    bytes: int
    """Of attachments, that came in this session so far."""
    total_bytes: int
    """Those, and what is still to be fetched, from whomever: not what a budget or a pause leaves where it is."""


@dataclass(frozen=True, slots=True)
class AttachmentPutProgress:
    """A part of an attachment was put into a mailbox."""

    bytes: int
    """Of attachments, that were put in this round so far, as they are stored."""
    total_bytes: int
    """About how many there are, with what is still to be put."""


Event = (
    Progress
    | FirstScreen
    | AttachmentProgress
    | AttachmentPutProgress
    | Connected
    | Disconnected
    | Completed
    | Stopped
)
"""What a session tells; more kinds may come, so pass over those you do not know."""
