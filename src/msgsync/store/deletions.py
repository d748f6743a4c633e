"""Rows of deletion entries: which cover an id, and which have become irrelevant. Source: design 4."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from msgsync.document.digest import entry_digest
from msgsync.document.fold import irrelevant_deletions
from msgsync.document.reader import Deletion
from msgsync.document.schema import Entry
from msgsync.records import DeletionKind, DeletionRecord, Stamp
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow

_COLUMNS = "d.lamport, d.writer, d.kind, d.at, d.device, d.ids, d.supersedes"
_WHERE = "where document = ? and lamport = ? and writer = ?"
_INSERT = "insert or replace into deletions values(?,?,?,?,?,?,?,?,?,?,0)"
_COVER = "insert or ignore into covered values(?,?,?,?)"


class DeletionRows:
    """Keeps the deletion entries that matter; the caller's transaction surrounds it."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def add(
        self,
        row: DocumentRow,
        entries: Iterable[tuple[Deletion, Entry]],
        erased: Collection[bytes],
        untold: Collection[bytes],
    ) -> dict[bytes, list[Deletion]]:
        """Store entries, drop those that are irrelevant now; return by id what was added.

        Nothing is stored yet about the ``untold`` ids, none of which is erased.
        """
        covering: dict[bytes, list[Deletion]] = {}
        for deletion, entry in entries:
            live = [one for one in deletion.record.ids if one not in erased]
            self._insert(row, deletion, entry, live)
            for one in live:
                covering.setdefault(one, []).append(deletion)
            if not live:
                self._drop(row, {deletion.stamp})
        self.drop_superseded(
            row, [one for one, ours in covering.items() if len(ours) > 1 or one not in untold]
        )
        return covering

    def _insert(
        self, row: DocumentRow, deletion: Deletion, entry: Entry, live: list[bytes]
    ) -> None:
        stamp, record = deletion.stamp, deletion.record
        digest = entry_digest(entry)
        row.add_digest(digest)
        columns = (
            row.key,
            stamp.lamport,
            stamp.writer,
            int(record.kind),
            record.at_ms,
            record.device,
            b"".join(record.ids),
            b"".join(sorted(other.pack() for other in record.supersedes)),
            digest.to_bytes(16, "big"),
            self._now_ms(),
        )
        self._database.later(_INSERT, [columns])
        self._database.later(_COVER, [(row.key, one, stamp.lamport, stamp.writer) for one in live])

    def covering(self, row: DocumentRow, message_id: bytes) -> list[Deletion]:
        """The entries that matter and cover an id."""
        return self.covering_in(row.key, message_id)

    def covering_in(self, document: int, message_id: bytes) -> list[Deletion]:
        """`covering`, by the key of the document's row."""
        found = self._database.execute(
            f"select {_COLUMNS} from covered c join deletions d on d.document = c.document "
            "and d.lamport = c.lamport and d.writer = c.writer where c.document = ? and c.id = ?",
            (document, message_id),
        )
        return [_deletion(*columns) for columns in found]

    def drop_superseded(self, row: DocumentRow, ids: Iterable[bytes]) -> None:
        """Drop the entries about these ids that the fold calls irrelevant."""
        covering = {one: self.covering(row, one) for one in ids}
        suspects = {
            d.stamp: d for members in covering.values() if len(members) > 1 for d in members
        }
        if not suspects:
            return
        for one in {one for deletion in suspects.values() for one in deletion.record.ids}:
            if one not in covering:
                covering[one] = self.covering(row, one)
        everyone = {d.stamp: d for members in covering.values() for d in members}
        stamps = {one: [d.stamp for d in members] for one, members in covering.items() if members}
        self._drop(row, irrelevant_deletions(everyone, stamps) & suspects.keys())

    def _drop(self, row: DocumentRow, stamps: Iterable[Stamp]) -> None:
        for stamp in stamps:
            where = (row.key, stamp.lamport, stamp.writer)
            digest, ids = self._database.one(f"select digest, ids from deletions {_WHERE}", where)
            row.add_digest(-int.from_bytes(digest, "big"))
            self._database.execute(f"delete from deletions {_WHERE}", where)
            self._database.executemany(
                "delete from covered where document = ? and id = ? and lamport = ? and writer = ?",
                [(row.key, one, stamp.lamport, stamp.writer) for one in _split(ids)],
            )
            row.superseded = True

    def forget(self, row: DocumentRow, erased: Collection[bytes]) -> None:
        """Take erased ids out; entries that cover nothing else go with them."""
        covering = [d for one in erased for d in self.covering(row, one)]
        self._database.executemany(
            "delete from covered where document = ? and id = ?",
            [(row.key, one) for one in erased],
        )
        for deletion in {d.stamp: d for d in covering}.values():
            if not set(deletion.record.ids).isdisjoint(self._live(row, deletion)):
                continue
            self._drop(row, {deletion.stamp})
        self.drop_superseded(row, {one for d in covering for one in d.record.ids} - set(erased))

    def _live(self, row: DocumentRow, deletion: Deletion) -> set[bytes]:
        stamp = deletion.stamp
        return {
            one
            for (one,) in self._database.execute(
                "select id from covered where document = ?1 and lamport = ?2 and writer = ?3",
                (row.key, stamp.lamport, stamp.writer),
            )
        }


def _split(ids: bytes) -> tuple[bytes, ...]:
    return tuple(ids[i : i + 12] for i in range(0, len(ids), 12))


def _deletion(
    lamport: int,
    writer: bytes,
    kind: int,
    at_ms: int,
    device: bytes | None,
    ids: bytes,
    supersedes: bytes,
) -> Deletion:
    stamps = (Stamp.unpack(supersedes[i : i + 16]) for i in range(0, len(supersedes), 16))
    record = DeletionRecord(DeletionKind(kind), at_ms, device, _split(ids), frozenset(stamps))
    return Deletion(Stamp(lamport, writer), record)
