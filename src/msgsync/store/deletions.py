"""Rows of deletion entries: which cover an id, and which have become irrelevant. Source: design 4."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import apsw

from msgsync.document.digest import entry_digest
from msgsync.document.fold import deletion_in_force, is_irrelevant
from msgsync.document.reader import Deletion
from msgsync.document.schema import Entry
from msgsync.records import DeletionKind, DeletionRecord, Stamp
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow

_COLUMNS = "kind, at, device, ids, supersedes"
_WHERE = "where document = ? and lamport = ? and writer = ?"
_COVERING = (
    "select c.id, c.lamport, c.writer from carray(?2) i "
    "cross join covered c on c.document = ?1 and c.id = i.value"
)
_INSERT = "insert or replace into deletions values(?,?,?,?,?,?,?,?,?,?,0)"
_COVER = "insert or ignore into covered values(?,?,?,?)"

_FIRST_LOOK = 4
"""So many ids of an entry are looked at first when it may have become irrelevant."""


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

    def covering(self, document: int, ids: Collection[bytes]) -> dict[bytes, list[Deletion]]:
        """The entries that matter and cover ids, by id; ids that nothing covers are left out.

        ``document``: the key of the document's row.
        """
        read = _Read(self._database, document)
        return {
            one: [read.deletion(stamp) for stamp in stamps]
            for one, stamps in self._stamps(document, ids).items()
        }

    def in_force(self, document: int, ids: Collection[bytes]) -> dict[bytes, Deletion]:
        """The deletions in force for those of the ids that are deleted; ``document``: the key of its row."""
        read = _Read(self._database, document)
        decided: dict[tuple[Stamp, ...], Deletion | None] = {}  # most ids share their entries
        found = {}
        for one, stamps in self._stamps(document, ids).items():
            key = tuple(stamps)
            if key not in decided:
                decided[key] = deletion_in_force(map(read.deletion, stamps))
            deletion = decided[key]
            if deletion is not None:
                found[one] = deletion
        return found

    def _stamps(self, document: int, ids: Collection[bytes]) -> dict[bytes, list[Stamp]]:
        """The stamps of what covers ids; what is erased is covered by nothing."""
        found: dict[bytes, list[Stamp]] = {}
        if ids:
            rows = self._database.execute(_COVERING, (document, apsw.carray(tuple(ids))))
            for one, lamport, writer in rows:
                found.setdefault(one, []).append(Stamp(lamport, writer))
        return found

    def drop_superseded(self, row: DocumentRow, ids: Collection[bytes]) -> None:
        """Drop the entries about these ids that the fold calls irrelevant."""
        stamps = self._stamps(row.key, ids).values()
        suspects = {one for members in stamps if len(members) > 1 for one in members}
        self._drop_irrelevant(row, suspects)

    def _drop_irrelevant(self, row: DocumentRow, suspects: Iterable[Stamp]) -> None:
        read = _Read(self._database, row.key)
        gone = [
            stamp
            for stamp in suspects
            if is_irrelevant(
                read.deletion(stamp), self._each(row, read.deletion(stamp)), read.deletion
            )
        ]
        self._drop(row, gone)

    def _each(self, row: DocumentRow, deletion: Deletion) -> Iterator[list[Stamp]]:
        """For each id of an entry that is not erased, the stamps of all that cover it; ever more at a time.

        Most often one id decides. In the order of the random part of ids, so that in whatever order the messages of
        a long entry are restored one by one, or erased, the first ids tell soon that some are left.
        """
        ids = sorted(deletion.record.ids, key=_random_part)
        start, count = 0, _FIRST_LOOK
        while start < len(ids):
            yield from self._stamps(row.key, ids[start : start + count]).values()
            start, count = start + count, count * 4

    def _drop(self, row: DocumentRow, stamps: Iterable[Stamp]) -> None:
        for stamp in stamps:
            where = (row.key, stamp.lamport, stamp.writer)
            digest, ids = self._database.one(f"select digest, ids from deletions {_WHERE}", where)
            row.add_digest(-int.from_bytes(digest, "big"))
            self._database.execute(f"delete from deletions {_WHERE}", where)
            self._database.executemany(
                "delete from covered where document = ? and id = ? and lamport = ? and writer = ?",
                [(row.key, one, stamp.lamport, stamp.writer) for one in split_ids(ids)],
            )
            row.superseded = True

    def forget(self, row: DocumentRow, erased: Collection[bytes]) -> None:
        """Take erased ids out; entries that cover nothing else go with them, or that matter for these alone."""
        suspects = {one for members in self._stamps(row.key, erased).values() for one in members}
        self._database.executemany(
            "delete from covered where document = ? and id = ?",
            [(row.key, one) for one in erased],
        )
        self._drop_irrelevant(row, suspects)


class _Read:
    """Reads the entries of a document, each once."""

    def __init__(self, database: Database, document: int) -> None:
        self._database = database
        self._document = document
        self._read: dict[Stamp, Deletion] = {}

    def deletion(self, stamp: Stamp) -> Deletion:
        if stamp not in self._read:
            where = (self._document, stamp.lamport, stamp.writer)
            found = self._database.one(f"select {_COLUMNS} from deletions {_WHERE}", where)
            self._read[stamp] = _deletion(stamp, *found)
        return self._read[stamp]


def _random_part(one: bytes) -> bytes:
    return one[6:]


def split_ids(ids: bytes) -> tuple[bytes, ...]:
    """The ids of a row's column."""
    return tuple(ids[i : i + 12] for i in range(0, len(ids), 12))


def _deletion(
    stamp: Stamp, kind: int, at_ms: int, device: bytes | None, ids: bytes, supersedes: bytes
) -> Deletion:
    named = frozenset(Stamp.unpack(supersedes[i : i + 16]) for i in range(0, len(supersedes), 16))
    return Deletion(stamp, DeletionRecord(DeletionKind(kind), at_ms, device, split_ids(ids), named))
