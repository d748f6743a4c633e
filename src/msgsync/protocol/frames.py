"""Frames: what the sides of a session say to each other. Source: design 7, docs/specification.md.

Their bytes are the business of `msgsync.protocol.wire`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final

from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.standing import DIGEST_BYTES, Standings

VERSION: Final = 1
ACCOUNT_BYTES: Final = 8
"""Of a hello."""


class Reason(IntEnum):
    """Why a side refuses to talk; the numbers are on the wire."""

    VERSION = 1
    ACCOUNT = 2
    PROTOCOL = 3
    MEMBER = 4


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of each side."""

    TYPE: ClassVar[int] = 0
    version: int
    account: bytes
    """8 bytes: the first half of its id tells another account."""
    device: bytes
    """8 bytes."""
    time_ms: int
    root: bytes
    """16 bytes: the digest of the replica."""
    store_id: bytes
    """16 bytes; another one means that what was remembered of this peer is void."""
    documents: int
    messages: int
    live: bool = False
    """Whether this side wants to stay connected and be told of changes."""
    known: bytes = bytes(DIGEST_BYTES)
    """6 bytes: a digest of what this side knows of devices; where it is equal there is nothing to tell."""
    keys: bytes = bytes(DIGEST_BYTES)
    """6 bytes: `greeting.keys_digest` of the roster and the epochs that this side has."""
    asks: bool = False
    """Whether this side has something to ask about attachments: for chunks, or whether the other one keeps some."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The last frame of a side that will not talk, in words."""

    TYPE: ClassVar[int] = 1
    reason: int
    words: str


@dataclass(frozen=True, slots=True)
class Start:
    """How this side finds out what differs: empty for "since our last exchange", or the bins of its digest tree."""

    TYPE: ClassVar[int] = 2
    bins: bytes
    """256 digests of 16 bytes, or nothing."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A document the other side may lack."""

    document: DocumentId
    digest: bytes
    newest_ms: int
    messages: int
    bytes: int
    """About how much fetching all of it takes."""
    label: Label = NEVER_FROZEN
    """Who has a lesser form of the same entries takes this one, so that both can go on with differences alone."""


@dataclass(frozen=True, slots=True)
class Offers:
    """A page of offers, newest activity first; they are numbered from 0 in each round."""

    TYPE: ClassVar[int] = 3
    offers: tuple[Offer, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Want:
    """Offers by number, each with the asker's label and state vector (empty if nothing of the document is there)."""

    TYPE: ClassVar[int] = 4
    wanted: tuple[tuple[int, Label, bytes], ...]


@dataclass(frozen=True, slots=True)
class Updates:
    """Offered documents, by number: each as all that the asker lacks of it."""

    TYPE: ClassVar[int] = 5
    documents: tuple[tuple[int, Parts], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a document that is larger than a frame: first of its frozen form, then of each update.

    ``last`` ends the form or the update, ``final`` the document.
    """

    TYPE: ClassVar[int] = 6
    number: int
    label: Label
    piece: bytes
    last: bool
    final: bool


@dataclass(frozen=True, slots=True)
class Done:
    """This side has all it asked for; its digest now, and what it knows of devices then."""

    TYPE: ClassVar[int] = 7
    root: bytes
    known: Standings = field(default_factory=dict)
    asks: bool = False
    """As in the hello, now that it has the documents."""


@dataclass(frozen=True, slots=True)
class Push:
    """What nobody asked for: the first screen of an empty replica, or what has just changed."""

    TYPE: ClassVar[int] = 8
    documents: tuple[tuple[DocumentId, Parts], ...]
    screen: bool
    """Whether the first screen is whole with this."""


@dataclass(frozen=True, slots=True)
class Alive:
    """This side is still there, and has sent all that it had to say; its digest now, and its clock."""

    TYPE: ClassVar[int] = 9
    root: bytes
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Bye:
    """This side leaves."""

    TYPE: ClassVar[int] = 10


@dataclass(frozen=True, slots=True)
class Known:
    """Staying connected: what this side knows of devices now, its digest and its clock."""

    TYPE: ClassVar[int] = 11
    root: bytes
    time_ms: int
    known: Standings
    same: frozenset[bytes] = frozenset()
    """Devices, none of them in ``known``, of which it knows what its last such frame said."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A piece of what this side tells of the account: a key object, a notice or an introduction."""

    TYPE: ClassVar[int] = 12
    piece: bytes = field(repr=False)
    last: bool
    introduces: bool
    """Whether it is an introduction, to a side that does not know this device."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """This side does not know the device at the other end; it has these epochs, by their commitments."""

    TYPE: ClassVar[int] = 13
    epochs: tuple[bytes, ...]
    current: bytes
    """The one that it seals under; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Chunks of attachments that this side lacks, by name; each is answered in turn."""

    TYPE: ClassVar[int] = 14
    names: tuple[bytes, ...]
    """16 bytes each."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a chunk that was asked for: the next one, until there are as many bytes as the chunk has."""

    TYPE: ClassVar[int] = 15
    name: bytes
    size: int
    """Of the whole chunk, as it is stored; 0 if it is not there."""
    piece: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """Chunks of attachments that this side has now, on its disk."""

    TYPE: ClassVar[int] = 16
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Enough:
    """This side asks for no more chunks; once both have said so the session ends."""

    TYPE: ClassVar[int] = 17


@dataclass(frozen=True, slots=True)
class Keep:
    """Chunks that this side would let go of if the other one promised to keep them."""

    TYPE: ClassVar[int] = 18
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer: those that this side keeps, from now on and on its disk, until no message needs them."""

    TYPE: ClassVar[int] = 19
    names: tuple[bytes, ...]


Frame = (
    Hello
    | Refuse
    | Start
    | Offers
    | Want
    | Updates
    | Part
    | Done
    | Push
    | Alive
    | Bye
    | Known
    | Keys
    | Stranger
    | Ask
    | Piece
    | Stored
    | Enough
    | Keep
    | Kept
)
