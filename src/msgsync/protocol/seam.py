"""What a session needs of a replica: the seam between the protocol and the store. Source: house rules, design 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.protocol.chunks import Attachable
from msgsync.protocol.frames import Offer
from msgsync.standing import Standings


@dataclass(frozen=True, slots=True)
class Facts:
    """A replica at one moment."""

    account: bytes
    device: bytes
    store_id: bytes
    root: bytes
    seq: int
    """The number of the last commit: everything changed later has a greater one."""
    now_ms: int
    known: Standings
    """What is known of devices; of this one, its last commit."""
    takes: bool
    """Whether it takes anything: not if it is open for reading only."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a replica makes of an offer."""

    wanted: bool
    messages: int
    """How many of its messages are here already."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that was not merged, and why."""

    document: DocumentId
    reason: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What was written since a commit, as far as it fits a frame."""

    facts: Facts
    """This replica at the last commit that is in it."""
    documents: tuple[tuple[DocumentId, Parts], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of documents that a peer sent."""

    documents: int
    """Those that brought something new."""
    messages: int
    refused: tuple[Refused, ...]
    gaps: bool
    """Whether something before an update that was pushed is missing here, so that it has to be asked for."""


class Relation(Enum):
    """What a device is to the account, as far as is known."""

    MEMBER = auto()
    REVOKED = auto()
    STRANGER = auto()
    """It is not known, or who added it was removed before it did."""


class Keyholder(Protocol):
    """What a device knows of its account, as a session sees it. Every method is one consistent step."""

    def digest(self) -> bytes:
        """32 bytes: equal where the same statements and the same epochs are known. Cheap to ask."""

    def relation(self, device: bytes) -> Relation:
        """What a device is, this one included."""

    def sealed_for(self, device: bytes) -> bytes:
        """A key object for a member, or a notice for a device that was revoked.

        Raises:
            NotAMember: it is neither.
        """

    def take(self, device: bytes, raw: bytes) -> None:
        """Take a key object or a notice from that device: all of it or nothing.

        Raises:
            AccountError: it is not to be believed.
        """

    def epochs(self) -> tuple[tuple[bytes, ...], bytes]:
        """The commitments of the epochs whose secrets are or were here, and of the one to seal under, or nothing."""

    def introduction(self, epochs: Sequence[bytes]) -> bytes | None:
        """The roster, for a stranger that has the epoch to seal under among these; None if it has not."""

    def take_introduction(self, device: bytes, raw: bytes) -> None:
        """Take the roster of a stranger, that device: all of it or nothing.

        Raises:
            AccountError: it is not to be believed.
        """


class Peerable(Protocol):
    """A replica as a session sees it. Every method is one consistent step; merging is one transaction."""

    @property
    def keys(self) -> Keyholder:
        """What its device knows of the account."""

    @property
    def attachments(self) -> Attachable:
        """What it has and lacks of attachments."""

    def facts(self) -> Facts:
        """Who and in what state this replica is."""

    def counts(self) -> tuple[int, int]:
        """How many documents and messages are here."""

    def wanted(self) -> Sequence[str]:
        """Conversations of which somebody waits for older messages."""

    def expect(self, messages: int) -> None:
        """The peer has so many messages, all of which may come."""

    def recall(self, device: bytes, store_id: bytes) -> int | None:
        """Up to which of our commits that store of that device is known to have everything."""

    def heard(self, ahead_ms: int) -> None:
        """By how much the clock of a device of this account is ahead of ours."""

    def met(self, device: bytes, ours: Standings, theirs: Standings, at_ms: int) -> Standings:
        """Both sides were found equal, as they were when they knew these; return what both know by that.

        ``at_ms``: when, if their clocks agreed, else 0.
        """

    def hear(self, device: bytes, theirs: Standings) -> None:
        """A peer, that device, knows this of devices."""

    def complete(self, device: bytes) -> None:
        """An exchange was completed: all that is known now is kept, and what waited for that is done."""

    def filled(self, device: bytes) -> None:
        """An exchange with that device ended, not complete, and nothing is left that this replica could take."""

    def bins(self) -> bytes:
        """The 256 digests of the digest tree, 16 bytes each."""

    def all_documents(self) -> list[int]:
        """Keys of all documents: heads with their newest segments first, then newest activity first."""

    def documents_since(self, seq: int) -> list[int]:
        """Those changed after a commit, in the same order."""

    def documents_in(self, bins: frozenset[int]) -> list[int]:
        """Those of conversations in these bins, in the same order."""

    def offers(self, keys: Sequence[int]) -> list[Offer]:
        """Offers of documents by key."""

    def compare(self, device: bytes, offers: Sequence[Offer]) -> list[Comparison]:
        """Which of the offers of a peer to ask for."""

    def state(self, document: DocumentId) -> tuple[Label, bytes]:
        """Our label and state vector of a document; the vector is empty if nothing of it is here."""

    def read(self, key: int, label: Label, state: bytes) -> Parts:
        """What a peer with this state lacks of a document: all of it, as stored, unless it has the same form of it."""

    def merge(self, device: bytes, documents: Sequence[tuple[Offer, Parts | None]]) -> Taken:
        """Take in what a peer sent, in one transaction.

        None stands for a document that was too large to be collected; it is refused.

        Raises:
            NotAMember: the peer is not in the account any more; nothing was taken.
        """

    def idle(self) -> None:
        """Nothing happens for a while: a good time to tidy up."""

    def first_screen(self) -> list[tuple[DocumentId, Parts]]:
        """Documents with which an empty replica can show the newest messages of the most recent conversations."""

    def changes(self, seq: int) -> Changes | None:
        """What was written since that commit, but for what came from this peer.

        None if it is too much for a frame, or too long ago to be told apart.
        """

    def take(self, device: bytes, documents: Sequence[tuple[DocumentId, Parts]]) -> Taken:
        """Take in what a peer, that device, pushed, in one transaction; nothing is written if nothing of it is new.

        Raises:
            NotAMember: the peer is not in the account any more; nothing was taken.
        """
