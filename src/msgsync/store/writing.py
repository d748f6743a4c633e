"""What documents gain, and what has to follow it: rows that show it, the digest, the log. Source: design 4 and 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgsync import limits
from msgsync.document.digest import entries_digest, messages_digest
from msgsync.document.frozen import (
    Frozen,
    Label,
    base_of,
    encode_frozen,
)
from msgsync.document.head import HeadState, fold_head
from msgsync.document.said import Said
from msgsync.document.schema import (
    ACCOUNT,
    DocumentId,
    Entry,
)
from msgsync.records import Stamp
from msgsync.store.documents import Documents
from msgsync.store.heads import HeadRows
from msgsync.store.readmodel import ReadModel, Told
from msgsync.store.rewriting import rewrite
from msgsync.store.rows import DocumentRow

_ENTRIES_PER_LOG_ROW: Final = 16
"""A long document folds its log less often, so that all its folding together costs no more than its length."""


class Writing:
    """Writes into documents, within a transaction of `Store`, which has this."""

    documents: Documents
    readmodel: ReadModel
    heads: HeadRows
    cloned: bool
    _draw_client: Callable[[], int]
    _now_ms: Callable[[], int]
    _last_writer_ms: int
    _touched: set[DocumentId]
    _erased: bool

    def row(self, document: DocumentId) -> DocumentRow:
        """The row of a document, made if it is not here; within a transaction."""
        row = self.documents.find(document)
        if row is None:
            row = self.documents.make(document)
        return row

    def head(self, row: DocumentRow) -> HeadState:
        """What a head, or the account document, says now."""
        return fold_head(row.id, [] if row.is_new else self.documents.entries(row))

    def setting(self, name: str) -> Any:
        """A field of the account document; None if it is not set."""
        row = self.documents.find(DocumentId("", ACCOUNT))
        return None if row is None else self.heads.field(row.key, name)

    def next_stamp(self, row: DocumentRow) -> Stamp:
        """The stamp of an entry about to be written: greater than every one ever seen in the document.

        Unless somebody has written the greatest Lamport number there: from then on the clock decides (decision 14).
        """
        lamport = self.documents.next_lamport(row)
        if lamport <= row.lamport:
            now_ms = self._now_ms()
            believed_ms = min(now_ms + limits.FUTURE_MS, limits.MS)
            standing_ms = self.readmodel.greatest_writer_ms(row, lamport, believed_ms)
            latest_ms = max(now_ms, standing_ms + 1, self._last_writer_ms + 1)
            self._last_writer_ms = min(latest_ms, limits.MS)
            tail = (self._draw_client() & 0xFFFFFFFF).to_bytes(4, "big")
            return Stamp(lamport, self._last_writer_ms.to_bytes(6, "big") + tail)
        return Stamp(lamport, self.documents.writer)

    def write(
        self,
        row: DocumentRow,
        entries: Sequence[Entry],
        told: Told | None = None,
    ) -> None:
        """Store entries of this device, whose keys must be new to the document; within a transaction."""
        if not entries:
            return
        was_new = row.is_new
        self.compose(row, entries)
        self.apply(row, entries, was_new=was_new, told=told)

    def compose(self, row: DocumentRow, entries: Sequence[Entry]) -> None:
        """Store entries of this device beside those that are there, and nothing else: the caller sees to the rows."""
        if self.documents.redraw_due or self.documents.clock(row) + len(entries) > limits.CLOCK:
            self.documents.redraw(self._draw_client())
        self.documents.write(row, entries)

    def write_frozen(self, row: DocumentRow, frozen: Frozen, said: Said) -> None:
        """Store a month of which nothing is here in frozen form at once, and what it says; within a transaction."""
        content = encode_frozen(frozen)
        self.documents.put_frozen(row, content, Label(1, base_of(content)))
        digest = messages_digest(frozen.messages)
        self.readmodel.take_told(row, Told(frozen.messages, said), digest)
        self.touch(row)

    def apply(
        self,
        row: DocumentRow,
        entries: Sequence[Entry],
        *,
        was_new: bool,
        told: Told | None = None,
    ) -> None:
        """Bring everything up to date with entries that a document gained; within a transaction."""
        if not row.id.is_segment:
            self.apply_head(row, entries, was_new=was_new)
            return
        removed = self.readmodel.apply(row, entries, told)
        gone = any(removed) and not was_new  # in a new document admission has left nothing of it
        if gone:
            rewrite(self.documents, row, *removed)
        elif row.log_rows > max(limits.LOG_ROWS, row.messages // _ENTRIES_PER_LOG_ROW):
            rewrite(self.documents, row)
        self.touch(row, erased=gone)

    def apply_head(self, row: DocumentRow, entries: Sequence[Entry], *, was_new: bool) -> None:
        """`apply` for a head, the account document, or a document of a kind that this version does not know."""
        gone = False
        if row.id.has_fields:
            everything = entries if was_new else self.documents.entries(row)
            gone = self.heads.write(row, everything)
            self.readmodel.messages.touch(row)
        else:  # of a later version: every entry matters as it lies
            row.add_digest(entries_digest(entries))
        if gone or row.log_rows > limits.LOG_ROWS:
            rewrite(self.documents, row)
        self.touch(row, erased=gone)

    def touch(self, row: DocumentRow, *, erased: bool = False) -> None:
        """Have a document's row written; ``erased``: text that was stored is gone with this transaction."""
        self.documents.touch(row)
        self._touched.add(row.id)
        self._erased = self._erased or erased

    def note_clone(self) -> None:
        """A peer knows more of this opening than this replica: write under another client from now on."""
        self.cloned = True
        self.documents.redraw(self._draw_client())
