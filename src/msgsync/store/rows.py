"""Rows that the store keeps in memory while it works with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    stored_digest: int = 0
    """The digest as the last commit left it."""

    def add_digest(self, amount: int) -> None:
        """Add the digest of an entry that matters now, or subtract that of one that no longer does."""
        self.digest = (self.digest + amount) % MODULUS

    @property
    def is_frozen(self) -> bool:
        """Whether the first of its parts is a frozen form."""
        return self.label.generation > 0

    @property
    def is_new(self) -> bool:
        """Whether nothing of the document is stored yet."""
        return self.log_rows == 0
