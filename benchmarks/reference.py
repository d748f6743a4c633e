"""The plain table: what an app would write without us, in the same SQLite with the same promises.

One row a message, one index for the order shown, edits and reactions clustered under their message; WAL, an fsync
a commit, deleted text overwritten. It cannot merge, and nothing in it can be searched unless `index_words` is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import apsw

BATCH: Final = 4_096  # messages a transaction, and a frame on the wire

# Those of a replica's file (src/msgsync/store/database.py), one pragma a call.
_PRAGMAS: Final = {
    "secure_delete": "on",
    "temp_store": "memory",
    "trusted_schema": "off",
    "cell_size_check": "on",
    "cache_size": "-16384",
    "journal_mode": "wal",
    "synchronous": "full",
    "wal_autocheckpoint": "4096",
    "journal_size_limit": "0",
}

_TABLES: Final = (
    """create table messages(
        key integer primary key, conversation text not null, ms integer not null, ord integer not null,
        id blob not null, author text not null, text text not null, external text, deleted integer)""",
    "create index messages_order on messages(conversation, ms, ord)",
    """create table edits(
        message integer, number integer, text text not null, at integer not null,
        primary key(message, number)) without rowid""",
    """create table reactions(
        message integer, number integer, user text not null, emoji text not null, at integer not null,
        primary key(message, number)) without rowid""",
)

MessageRow = tuple[int, str, int, int, bytes, str, str, str | None, int | None]
"""Key, conversation, ms, order, id, author, text as shown, external id, deleted (ms)."""
EditRow = tuple[int, int, str, int]
"""Key of the message, number, the text before, at (ms)."""
ReactionRow = tuple[int, int, str, str, int]
"""Key of the message, number, user, emoji, at (ms)."""

_INSERT_MESSAGE: Final = "insert into messages values(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_EDIT: Final = "insert into edits values(?, ?, ?, ?)"
_INSERT_REACTION: Final = "insert into reactions values(?, ?, ?, ?, ?)"


class Rows(NamedTuple):
    """A run of messages in order of their keys, with what was said about them."""

    messages: list[MessageRow]
    edits: list[EditRow]
    reactions: list[ReactionRow]


class Table:
    """One open file of the plain table."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        is_new = not path.exists()
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(10_000)
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for name, value in _PRAGMAS.items():
            self._connection.execute(f"pragma {name} = {value}").fetchall()
        if is_new:
            for statement in _TABLES:
                self._connection.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; its write-ahead log is emptied."""
        self._connection.close()

    def insert(self, rows: Rows) -> None:
        """Store a batch: one transaction."""
        connection = self._connection
        connection.execute("begin immediate")
        connection.executemany(_INSERT_MESSAGE, rows.messages)
        connection.executemany(_INSERT_EDIT, rows.edits)
        connection.executemany(_INSERT_REACTION, rows.reactions)
        connection.execute("commit")

    def append(self, row: tuple[str, int, int, bytes, str, str]) -> None:
        """Store one message: one bare statement that commits by itself."""
        self._connection.execute(
            "insert into messages(conversation, ms, ord, id, author, text) values(?, ?, ?, ?, ?, ?)",
            row,
        )

    def newest(self, conversation: str, limit: int) -> list[tuple[apsw.SQLiteValue, ...]]:
        """The newest messages of a conversation, without what was said about them."""
        return self._connection.execute(
            "select * from messages where conversation = ? order by ms desc, ord desc limit ?",
            (conversation, limit),
        ).fetchall()

    def batches(self) -> Iterator[Rows]:
        """Everything, `BATCH` messages at a time."""
        execute = self._connection.execute
        first = 0
        while True:
            page = "select * from messages where key > ? order by key limit ?"
            messages: list[Any] = execute(page, (first, BATCH)).fetchall()
            if not messages:
                return
            last: int = messages[-1][0]
            said = "where message > ? and message <= ? order by message, number"
            edits: list[Any] = execute(f"select * from edits {said}", (first, last)).fetchall()
            reactions: list[Any] = execute(
                f"select * from reactions {said}", (first, last)
            ).fetchall()
            yield Rows(messages, edits, reactions)
            first = last

    def count(self) -> int:
        """Messages in the table."""
        [[count]] = self._connection.execute("select count(*) from messages")
        return int(count)

    def index_words(self) -> None:
        """Make the texts searchable, in the plain way: an FTS5 index over the table."""
        self._connection.execute(
            "create virtual table words using fts5(text, content='messages', content_rowid='key')"
        )
        self._connection.execute("insert into words(words) values('rebuild')")
