"""Rows of heads and of the account document: fields, flags, marks. Source: design 4.

Heads are small, so a change folds the whole head anew and writes what that says: nothing here decides who wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.document.head import HeadState, fold_head
from msgsync.document.schema import Entry
from msgsync.records import Stamp
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow
from msgsync.store.trash import SINCE

FOREVER_MS: Final = -1
"""`muted_ms` of a conversation that is muted without an end."""


class Flags(NamedTuple):
    """What the row of a conversation shows of its head."""

    title: str | None
    created_ms: int | None
    live: int
    pinned: int
    archived: int
    muted_ms: int | None

    @classmethod
    def of(cls, state: HeadState) -> Flags:
        """What a head says; a value of another type than it should have says nothing."""
        created: int | None = state.value("created", int)
        muted: Any = state.fields["muted"][1] if "muted" in state.fields else None
        until = muted if type(muted) is int and 0 <= muted <= limits.MS else None
        return cls(
            title=state.value("title", str),
            created_ms=created if created is not None and 0 <= created <= limits.MS else None,
            live=int(state.live),
            pinned=int(state.value("pinned", bool, False)),
            archived=int(state.value("archived", bool, False)),
            muted_ms=FOREVER_MS if muted is True else until,
        )


class HeadRows:
    """Writes what heads show; the caller's transaction surrounds it."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        """``now_ms``: this device's clock, which says since when a deletion is known here."""
        self._database = database
        self._now_ms = now_ms

    def write(self, row: DocumentRow, entries: Iterable[Entry]) -> bool:
        """Write what a head with these entries shows; return whether anything erased lies there still."""
        state = fold_head(row.id, entries)
        row.digest = state.digest
        row.lamport = max(row.lamport, state.lamport)
        row.superseded = bool(state.irrelevant)
        execute = self._database.execute
        for table in ("fields", "reads", "unreadable"):
            execute(f"delete from {table} where document = ?", (row.key,))
        self._database.later(
            "insert into fields values(?,?,?,?,?)",
            [(row.key, *columns) for columns in field_columns(state)],
        )
        self._database.later(
            "insert into reads values(?,?,?,?,?,?,?,?)",
            [(row.key, *columns) for columns in read_columns(state)],
        )
        self._database.later(
            "insert into unreadable values(?,?,?,?)",
            [(row.key, one.root, one.key, why) for one, why in state.unreadable.items()],
        )
        self._write_deletions(row, state)
        if row.id.is_head:
            execute(
                "update conversations set title = ?, created_ms = ?, live = ?, pinned = ?, archived = ?,"
                " muted_ms = ? where key = ?",
                (*Flags.of(state), row.conversation),
            )
        row.erased = len(state.erased)
        return state.remains

    def _write_deletions(self, row: DocumentRow, state: HeadState) -> None:
        """Keep those that matter, and since when they are known here."""
        known: dict[Stamp, tuple[int, int]] = {
            Stamp(lamport, writer): (stored_ms, confirmed)
            for lamport, writer, stored_ms, confirmed in self._database.execute(
                "select lamport, writer, stored_ms, confirmed from deletions where document = ?",
                (row.key,),
            )
        }
        self._database.execute("delete from deletions where document = ?", (row.key,))
        self._database.later(
            "insert into deletions values(?,?,?,?,?,?,?,?,?,?,?)",
            [
                (
                    row.key,
                    stamp.lamport,
                    stamp.writer,
                    int(record.kind),
                    record.at_ms,
                    record.device,
                    b"",
                    b"",
                    b"",
                    *known.get(stamp, (self._now_ms(), 0)),
                )
                for stamp, record in state.deletions
            ],
        )

    def deleted_since_ms(self, document: int) -> int | None:
        """Since when the retention of a conversation's last deletion runs; None if there is none."""
        found: int | None = self._database.one(
            f"select max({SINCE}) from deletions d where d.document = ? and d.kind = 0", (document,)
        )[0]
        return found

    def has_field(self, document: int, name: str) -> bool:
        """Whether a field was ever set, to nothing even."""
        sql = "select 1 from fields where document = ? and name = ?"
        return self._database.first(sql, (document, name)) is not None

    def field(self, document: int, name: str) -> Any:
        """The value of a field; None if it is not set."""
        found = self._database.first(
            "select value from fields where document = ? and name = ?", (document, name)
        )
        return None if found is None else cbor2.loads(found[0])

    def fields(self, document: int, prefix: str) -> dict[str, Any]:
        """The values of all fields whose names begin so, without that beginning, in order of the names."""
        found = self._database.execute(
            "select name, value from fields where document = ?1 and substr(name, 1, ?2) = ?3 order by name",
            (document, len(prefix), prefix),
        )
        return {str(name)[len(prefix) :]: cbor2.loads(value) for name, value in found}


def field_columns(state: HeadState) -> list[tuple[Any, ...]]:
    """Rows of ``fields`` without the document."""
    return [
        (name, stamp.lamport, stamp.writer, cbor2.dumps(value, canonical=True))
        for name, (stamp, value) in state.fields.items()
    ]


def read_columns(state: HeadState) -> list[tuple[Any, ...]]:
    """Rows of ``reads`` without the document."""
    return [
        (
            stamp.lamport,
            stamp.writer,
            record.ms,
            record.order,
            record.tail,
            record.from_ms,
            b"".join(sorted(record.seen)),
        )
        for stamp, record in state.reads
    ]
