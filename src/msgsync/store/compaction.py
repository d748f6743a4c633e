"""Which documents are due to be frozen, and freezing them in steps. Source: design 8.

A document is due if it has more than its frozen form, and either more writers than `limits.FREEZE_WRITERS`, or has
been quiet: its month is over, and nothing in it changed for `limits.QUIET_MS`. A clock that is wrong makes it due early
or late, which changes nothing that anybody sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.document.schema import month_bounds
from msgsync.errors import Inadmissible, ReplicaDamaged
from msgsync.store.rewriting import freeze_document
from msgsync.store.rows import DocumentRow

if TYPE_CHECKING:
    from msgsync.store.store import Store

_LOOSE: Final = (
    "where d.digest != zeroblob(16) and d.lacks = x'' "
    "and (d.generation = 0 or d.log_rows > 1 or d.superseded)"
)


class Compaction:
    """The documents that are due, chosen once, and frozen step by step; the caller holds the lock."""

    def __init__(
        self, store: Store, now_ms: int, *, eager: bool = False, up_to_bytes: int | None = None
    ) -> None:
        """Choose them.

        Args:
            store: of the replica.
            now_ms: this device's clock.
            up_to_bytes: how large documents may be, if not as large as they come.
            eager: whether months that were over long ago are due even if something in them changed lately.
        """
        self._store = store
        self._due = [
            row.key
            for row in store.documents.select(_LOOSE)
            if (up_to_bytes is None or row.bytes <= up_to_bytes)
            and (is_crowded(row) or is_quiet(row, now_ms, eager=eager))
        ]
        self.total = len(self._due)
        """Documents that were due at first."""
        self.frozen = 0
        """Documents frozen so far."""
        self.left: list[str] = []
        """Documents that stay as they are, and why: they cannot be read, or are too large."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._due

    def step(self) -> None:
        """Freeze the next documents, about a frame of them. Within a transaction."""
        documents = self._store.documents
        filled = 0
        while self._due and filled < limits.FRAME_FILL_BYTES:
            row = self._store.row(documents.by_key(self._due.pop()).id)
            filled += row.bytes + 1
            try:
                freeze_document(documents, row)
            except (Inadmissible, ReplicaDamaged) as error:
                self.left.append(f"{row.id.conversation} {row.id.kind}: {error}")
            else:
                self.frozen += 1


def is_crowded(row: DocumentRow) -> bool:
    """Whether a document has more writers than it should have."""
    return row.writers > limits.FREEZE_WRITERS


def is_quiet(row: DocumentRow, now_ms: int, *, eager: bool = False) -> bool:
    """Whether a document is hardly written to any more; ``eager``: if its month alone says so."""
    if row.id.is_segment:
        over_for_ms = now_ms - month_bounds(row.id.kind)[1]
        if over_for_ms < 0:
            return False
        if eager and over_for_ms >= limits.QUIET_MS:
            return True
    return (
        abs(now_ms - row.changed_ms) >= limits.QUIET_MS
    )  # a clock far ahead must not hold it up for years
