"""Rows that the store keeps in memory while it works with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from msgsync.document.digest import MODULUS
from msgsync.document.frozen import NEVER_FROZEN, Label
from msgsync.document.schema import DocumentId

# Flags of a message's row.
DELETED: Final = 1
EDITED: Final = 2
REACTED: Final = 4
LINKED: Final = 8
"""It is one message with another by an alias; what was said about either is shown."""
HIDDEN: Final = 16
"""Another message of its group is shown instead. `DELETED` is set as well, so that nothing counts it as live."""


class Wanted(IntEnum):
    """Whether a month that was let go of is to come back."""

    NO = 0
    WHILE_WAITED_FOR = 1
    """Somebody waits for a page of it."""
    YES = 2


class Lack(NamedTuple):
    """What is known of a document that was let go of: see `store.history`."""

    digest: bytes
    """16 bytes: of the document as it was."""
    kept: bytes
    """16 bytes: of what was kept of it, which is the ids of erased messages."""
    seq: int
    """The commit that changed it last, as it was."""
    wanted: Wanted = Wanted.NO

    def pack(self) -> bytes:
        """The bytes in the row of the document."""
        return self.digest + self.kept + self.seq.to_bytes(8, "big") + bytes([self.wanted])

    @classmethod
    def unpack(cls, raw: bytes) -> Lack | None:
        """What `pack` wrote; None for nothing."""
        if not raw:
            return None
        wanted = Wanted(min(raw[40], Wanted.YES))
        return cls(raw[:16], raw[16:32], int.from_bytes(raw[32:40], "big"), wanted)

    @staticmethod
    def is_packed(raw: bytes) -> bool:
        """Whether these are bytes that `pack` or nothing writes."""
        return len(raw) in (0, 41)


@dataclass(slots=True)
class DocumentRow:
    """A row of ``documents``, changed in place and written when the transaction commits."""

    key: int
    id: DocumentId
    conversation: int
    digest: int = 0
    lamport: int = 0
    """The greatest ever seen in this document; never lowered (design 4)."""
    changed_seq: int = 0
    newest_ms: int = -1
    """Milliseconds of the newest message id ever seen here; -1 if none."""
    messages: int = 0
    erased: int = 0
    """How many ids are erased."""
    orphans: bool = False
    """Whether something may be said here about messages that are not here."""
    superseded: bool = False
    """Whether entries that the fold calls irrelevant may still lie in the stored form."""
    log_rows: int = 0
    """How many stored parts it consists of: the frozen form, if there is one, and updates."""
    merged: bytes = b""
    """The device of a peer, and the digest there, of all of which is part of what is here though this has more."""
    bytes: int = 0
    label: Label = NEVER_FROZEN
    writers: int = 0
    """How many writers its updates have: each stays in every state vector until the document is frozen."""
    changed_ms: int = 0
    """When this device last changed it, Unix milliseconds."""
    lacks: Lack | None = None
    """What is known to be elsewhere of it; None if all of it that was ever here is."""
    stored_digest: int = 0
    """`known_digest` as the last commit left it."""

    def add_digest(self, amount: int) -> None:
        """Add the digest of an entry that matters now, or subtract that of one that no longer does."""
        self.digest = (self.digest + amount) % MODULUS

    @property
    def known_digest(self) -> int:
        """What stands for it in the digest of the replica: its digest, or that of what is known to be elsewhere.

        Where more is here than was kept of what was let go of, nobody can tell what both are together. Then it is a
        number that is no document's digest, so that no other replica is found equal to this one.
        """
        lacks = self.lacks
        if lacks is None:
            return self.digest
        if self.is_away:
            return int.from_bytes(lacks.digest, "big")
        told = b"lacks" + lacks.digest + self.digest.to_bytes(16, "big")
        return int.from_bytes(hashlib.sha256(told).digest()[:16], "big")

    @property
    def is_away(self) -> bool:
        """Whether it was let go of, nothing came since, and nobody waits for it."""
        lacks = self.lacks
        return (
            lacks is not None
            and not lacks.wanted
            and self.digest == int.from_bytes(lacks.kept, "big")
        )

    @property
    def is_whole_again(self) -> bool:
        """Whether it was let go of, and is here as it was then: whoever it came from."""
        return self.lacks is not None and self.digest == int.from_bytes(self.lacks.digest, "big")

    @property
    def is_frozen(self) -> bool:
        """Whether the first of its parts is a frozen form."""
        return self.label.generation > 0

    @property
    def is_new(self) -> bool:
        """Whether nothing of the document is stored yet."""
        return self.log_rows == 0
