"""Documents in the store: what they consist of, and the cache of loaded ones. Source: design 4, 5 and 6."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.document.admission import Admitted
from msgsync.document.codec import Block, compose, entries_of, join, scan
from msgsync.document.frozen import Frozen, Label, Parts, decode_frozen
from msgsync.document.schema import Entry
from msgsync.errors import Inadmissible, ReplicaDamaged
from msgsync.store.database import Database
from msgsync.store.documentrows import DocumentRows
from msgsync.store.journal import Journal
from msgsync.store.rows import DocumentRow
from msgsync.store.updates import KEYS_PER_DOCUMENT, Updates, damaged

if TYPE_CHECKING:
    from msgsync.document.crdt import Document

_LOADED_BYTES_PER_ENTRY: Final = 550
_BASE_ENTRIES: Final = 10_000
"""Entries of frozen forms that are kept unpacked."""


@contextmanager
def as_written() -> Iterator[None]:
    """Around what reads our own bytes: if admission would refuse them they are not what was written."""
    try:
        yield
    except Inadmissible as error:
        raise ReplicaDamaged(damaged(str(error))) from error


def _range(row: DocumentRow) -> tuple[int, int]:
    return row.key * KEYS_PER_DOCUMENT, (row.key + 1) * KEYS_PER_DOCUMENT


class Documents(DocumentRows):
    """Rows and bytes of documents, within the caller's transaction. Nothing here decides who wins."""

    def __init__(self, database: Database) -> None:
        """Nothing is loaded yet, and nothing can be written before `reset`."""
        super().__init__(database)
        self._stored = Updates(database)
        self._loaded: OrderedDict[int, tuple[Document, list[bytes]]] = OrderedDict()
        """With the updates written since, which are applied when it is asked for."""
        self._loaded_bytes: dict[int, int] = {}
        self._clocks: dict[int, int] = {}
        self._bases: OrderedDict[int, dict[tuple[str, bytes], bytes]] = OrderedDict()
        self.journal = Journal()
        self.client: int
        self.writer: bytes
        self.redraw_due: bool
        """Whether a document lost what this opening wrote in it, so that its clocks must not count on."""

    def reset(self, client: int) -> None:
        """Forget what is cached and write under a fresh client id: at opening and after a failed transaction.

        A client id must never count the same clock twice (design 5).
        """
        self._reset_rows()
        self._stored.reset()
        self._loaded.clear()
        self._loaded_bytes.clear()
        self._bases.clear()
        self.journal.forget()
        self.redraw(client)

    def redraw(self, client: int) -> None:
        """Write under a fresh client id from now on."""
        self._clocks.clear()
        self.redraw_due = False
        self.client = client
        self.writer = client.to_bytes(10, "big")

    def forget(self) -> None:
        """Forget what is cached and may have been written by another process; in a replica that only reads."""
        self._forget_places()
        self._loaded.clear()
        self._loaded_bytes.clear()
        self._stored.forget()

    def flush(self, seq: int, now_ms: int) -> int:
        """See `DocumentRows.flush`; what waits to be stored is stored first."""
        self._stored.finish()
        return super().flush(seq, now_ms)

    # Writing.

    def next_lamport(self, row: DocumentRow) -> int:
        """One above the greatest ever seen in the document, or the greatest there is."""
        return min(row.lamport + 1, limits.LAMPORT)

    def clock(self, row: DocumentRow) -> int:
        """How many entries of a document the present writer has written."""
        return self._clocks.get(row.key, 0)

    def write(self, row: DocumentRow, entries: Sequence[Entry]) -> None:
        """Store entries of this device. Their keys must be new to the document: then no item has an origin."""
        clock = self._clocks.get(row.key, 0)
        if not clock:
            row.writers += 1
        update = compose([Block(self.client, clock, list(entries))])
        self._clocks[row.key] = clock + len(entries)
        self.journal.wrote(row.id, self.client, clock, by_us=True)
        if row.key in self._loaded:
            self._loaded[row.key][1].append(update)
        self.append(row, update)

    def append(self, row: DocumentRow, update: bytes) -> None:
        """Add an update in normal form to what a document consists of."""
        self._stored.append(row.key * KEYS_PER_DOCUMENT + row.log_rows, update)
        row.log_rows += 1
        row.bytes += len(update)
        self.touch(row)

    def put_frozen(self, row: DocumentRow, content: bytes, label: Label) -> None:
        """Begin a document, of which nothing is stored, with a frozen form."""
        row.label = label
        self.append(row, content)
        self.journal.wrote_frozen()

    # Reading.

    def parts(self, row: DocumentRow) -> Parts:
        """What a document consists of.

        Raises:
            ReplicaDamaged: a stored part is not what was written.
        """
        place = row.id.place
        try:
            stored = self._stored.read(*_range(row))
        except ReplicaDamaged as error:
            raise ReplicaDamaged(f"{place}: {error}") from error
        if len(stored) != row.log_rows:
            raise ReplicaDamaged(f"{place}: {damaged('not all of it is there')}")
        if not row.is_frozen:
            return Parts(row.label, b"", tuple(stored))
        return Parts(row.label, stored[0], tuple(stored[1:]))

    def entries(self, row: DocumentRow) -> list[Entry]:
        """All entries that are stored of a document, in no order; without pycrdt where that is sure to say the same.

        Raises:
            ReplicaDamaged: a stored part is not what was written.
        """
        with as_written():
            parts = None
            if row.key in self._loaded:
                entries = self.load(row).entries()
            else:
                parts = self.parts(row)
                entries = entries_of(join(map(scan, parts.updates)))
                if len({entry[:2] for entry in entries}) < len(entries):
                    entries = self.load(row).entries()
            if row.is_frozen:
                return joined(self.frozen(row, parts).entries(), entries)
        return entries

    def frozen(self, row: DocumentRow, parts: Parts | None = None) -> Frozen:
        """The frozen form of a document that has one. Raises Inadmissible where it is damaged."""
        return decode_frozen(row.id, (parts or self.parts(row)).frozen)

    def reread(self, row: DocumentRow) -> list[Entry]:
        """`entries`, from the file alone and as the CRDT says: for checking."""
        from msgsync.document.crdt import Document

        with as_written():
            parts = self.parts(row)
            entries = Document(parts.updates).entries()
            return joined(self.frozen(row, parts).entries(), entries) if row.is_frozen else entries

    def _beside(self, row: DocumentRow) -> dict[tuple[str, bytes], bytes]:
        """The entries of the frozen form by root and key, if there is one."""
        known = self._bases.pop(row.key, None)
        if known is None:
            known = {entry[:2]: entry.value for entry in self.frozen(row).entries()}
        self._bases[row.key] = known
        while len(self._bases) > 1 and sum(map(len, self._bases.values())) > _BASE_ENTRIES:
            self._bases.popitem(last=False)
        return known

    def load(self, row: DocumentRow) -> Document:
        """The loaded document, from the cache or from the store."""
        from msgsync.document.crdt import Document  # pycrdt is loaded with the first document

        known = self._loaded.pop(row.key, None)
        with as_written():
            document, behind = known or (Document(self.parts(row).updates), [])
            for update in behind:
                document.apply(update)
        self._loaded[row.key] = document, []
        entries = row.messages + row.log_rows
        self._loaded_bytes[row.key] = 20_000 + _LOADED_BYTES_PER_ENTRY * entries + row.bytes
        while (
            len(self._loaded) > 1 and sum(self._loaded_bytes.values()) > limits.DOCUMENT_CACHE_BYTES
        ):
            oldest, _ = self._loaded.popitem(last=False)
            del self._loaded_bytes[oldest]
        return document

    def drop(self, row: DocumentRow) -> None:
        """Drop a loaded document, as after any exception from it."""
        self._loaded.pop(row.key, None)
        self._loaded_bytes.pop(row.key, None)
        self._bases.pop(row.key, None)

    def merge(
        self, row: DocumentRow, admitted: Admitted, frozen: Sequence[Entry] | None = None
    ) -> tuple[list[Entry], list[Entry]]:
        """Apply an admitted update; ``frozen``: the entries of the frozen form, if that is all that is here.

        Returns:
            The entries gained; and those, as received, of which another value was here under the same key.
        """
        from msgsync.document.crdt import resolved

        update, entries = admitted.update(), admitted.entries
        if admitted.ambiguous:  # one item a key, as admission asks of every single update
            blocks = resolved(admitted.blocks)
            update, entries = compose(blocks), entries_of(blocks)
        row.writers += admitted.writers
        for block in admitted.blocks:
            self.journal.wrote(row.id, block.client, block.clock)
        if row.is_new:
            self.append(row, update)
            return entries, []
        if frozen is not None:  # there is nothing to apply it to
            self.append(row, update)
            here = {entry[:2]: entry.value for entry in frozen}
            gained = [entry for entry in entries if entry[:2] not in here]
            differing = [
                entry for entry in entries if here.get(entry[:2], entry.value) != entry.value
            ]
            return gained, differing
        document = self.load(row)
        beside = self._beside(row) if row.is_frozen else {}
        before = {entry[:2]: _value(document, beside, entry[:2]) for entry in entries}
        try:
            document.apply(update)
        except BaseException:
            self.drop(row)
            raise
        gained = [
            Entry(*slot, _value(document, beside, slot) or b"")
            for slot, old in before.items()
            if old is None
        ]
        differing = [
            entry
            for entry in entries
            if before[entry[:2]] is not None and before[entry[:2]] != entry.value
        ]
        self.append(row, update)
        return gained, differing

    def state(self, row: DocumentRow) -> dict[int, int]:
        """The state vector of a document; empty if nothing of it is here."""
        with as_written():
            return {} if row.is_new else self.load(row).state()

    def update(self, row: DocumentRow, state: dict[int, int]) -> bytes:
        """What a peer with this state vector lacks of a document. Raises ReplicaDamaged."""
        with as_written():
            return self.load(row).update(state)

    def replace(self, row: DocumentRow, parts: Parts, *, ours: bool = False) -> None:
        """Let a document consist of other parts; of the same label without a frozen form, that stays as it is.

        ``ours`` says that what this opening wrote is still in the updates, under the same clocks. Else this opening
        must write under another client id from now on (design 5).
        """
        self.drop(row)
        first, behind = _range(row)
        keeps = row.is_frozen and parts.label == row.label and not parts.frozen
        self._stored.remove(first + keeps, behind)
        if keeps:
            row.log_rows, row.bytes = 1, self._stored.size(first)
        else:
            row.log_rows = row.bytes = 0
        if parts.label != row.label:
            row.label = parts.label
            self.journal.wrote_frozen()  # what the last commits wrote cannot be told by clocks any more
        if parts.frozen:
            self.append(row, parts.frozen)
        for update in parts.updates:
            self.append(row, update)
        row.writers = sum(len(scan(update)) for update in parts.updates)
        self.touch(row)
        if not ours and self._clocks.pop(row.key, 0):
            self.redraw_due = True


def joined(frozen: Sequence[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a frozen form and of the updates beside it; of two values under one key the greater one."""
    if not entries:
        return list(frozen)
    values = {entry[:2]: entry.value for entry in frozen}
    for entry in entries:
        slot = entry[:2]
        values[slot] = max(entry.value, values.get(slot, entry.value))
    return [Entry(*slot, value) for slot, value in values.items()]


def _value(
    document: Document, beside: dict[tuple[str, bytes], bytes], slot: tuple[str, bytes]
) -> bytes | None:
    value, frozen = document.get(*slot), beside.get(slot)
    return value if frozen is None else max(frozen, value or b"")
