"""Rows of messages, their words in the search index, and the conversations they belong to. Source: design 3 and 6."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgsync import limits
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow
from msgsync.store.words import segmented

_INSERT: Final = "insert into messages values(?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INDEX: Final = "insert into search(rowid, text) values(?,?)"
_INDEX_FROM: Final = (
    "insert into search(rowid, text) select key, text from messages where key >= ? "
    "and key not in (select value from json_each('[' || ? || ']'))"
)
_UNINDEX: Final = "insert into search(search, rowid, text) values('delete', ?, ?)"
_AUTHORS_CACHED: Final = 50_000

FLAGS: Final = 5
TEXT: Final = 7
"""Where a queued row of a message has its flags and its text."""


class MessageRows:
    """Writes rows of messages, many at a time; the caller's transaction surrounds it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reset()

    def reset(self) -> None:
        """Forget what is queued and cached, as after a transaction that was rolled back."""
        self._authors: dict[str, int] = {}
        self._next: int | None = None
        self._indexed: int | None = None
        self._waiting: int | None = None
        self._queue: list[list[Any]] = []
        self._touched: set[int] = set()

    def conversation(self, conversation_id: str) -> int:
        """The key of a conversation's row, made if there is none; 0 for the account's own documents."""
        if not conversation_id:
            return 0
        found = self._database.first(
            "select key from conversations where id = ?", (conversation_id,)
        )
        if found is not None:
            return int(found[0])
        self._database.execute("insert into conversations(id) values(?)", (conversation_id,))
        return self._database.connection.last_insert_rowid()

    def author(self, name: str) -> int:
        """The key of an author's row, made if there is none."""
        key = self._authors.get(name)
        if key is None:
            found = self._database.first("select key from authors where name = ?", (name,))
            if found is None:
                self._database.execute("insert into authors(name) values(?)", (name,))
                key = self._database.connection.last_insert_rowid()
            else:
                key = int(found[0])
            if len(self._authors) >= _AUTHORS_CACHED:
                self._authors.clear()
            self._authors[name] = key
        return key

    def next_key(self) -> int:
        """The key that the next message gets: the order of arrival."""
        if self._next is None:
            newest = self._database.one("select max(key) from messages")[0]
            self._next = 1 if newest is None else newest + 1
        return self._next

    def queue(self, rows: Iterable[list[Any]], next_key: int) -> None:
        """Have rows written with the next `flush`; until then their flags and texts may be changed in place."""
        self._queue += rows
        self._next = next_key

    def flush(self) -> None:
        """Write queued rows; index their words once enough are waiting."""
        if not self._queue:
            return
        rows, self._queue = self._queue, []
        self._database.executemany(_INSERT, rows)
        if self._waiting is None:
            waiting = "select coalesce(sum(length(text)), 0) from messages where key > ?"
            self._waiting = int(self._database.one(waiting, (self.indexed(),))[0])
        else:
            self._waiting += sum(len(row[TEXT]) for row in rows)
        if (
            rows[-1][0] - self.indexed() > limits.UNINDEXED_MESSAGES
            or self._waiting > limits.UNINDEXED_CHARACTERS
        ):
            self._index(rows)

    def indexed(self) -> int:
        """The key up to which messages are in the search index; a search reads the few behind it itself.

        Indexing one message at a time would cost more than all the rest of sending it.
        """
        if self._indexed is None:
            self._indexed = self._database.one("select indexed from state")[0]
        return self._indexed

    def _index(self, rows: list[list[Any]]) -> None:
        first = self.indexed() + 1
        waiting = self._database.execute(
            "select key, text from messages where key >= ? and key < ?", (first, rows[0][0])
        )
        texts = [*waiting, *((row[0], row[TEXT]) for row in rows)]
        cut = [
            (key, words)
            for key, text in texts
            if not text.isascii() and (words := segmented(text)) is not text
        ]
        # One statement for all that need no cutting: half the cost of one a row.
        self._database.execute(_INDEX_FROM, (first, ",".join(str(key) for key, _ in cut)))
        self._database.executemany(_INDEX, cut)
        self._indexed = rows[-1][0]
        self._waiting = 0

    def find(self, conversation: int, message_id: bytes) -> tuple[int, int, str] | None:
        """The key, flags and text of a message's row."""
        found = self._database.first(
            "select key, flags, text from messages indexed by messages_tail "
            "where tail = ? and ms = ? and conversation = ?",
            (message_id[6:], int.from_bytes(message_id[:6], "big"), conversation),
        )
        return None if found is None else (found[0], found[1], found[2])

    def known(self, conversation: int, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that have a row."""
        ids = list(ids)
        if ids:
            self.flush()
        return {one for one in ids if self.find(conversation, one) is not None}

    def show(self, row: DocumentRow, key: int, old: tuple[int, str], new: tuple[int, str]) -> None:
        """Change the flags and the text that a message shows."""
        if old == new:
            return
        if old[1] != new[1] and key <= self.indexed():
            self._database.execute(_UNINDEX, (key, segmented(old[1])))
            self._database.execute(_INDEX, (key, segmented(new[1])))
        self._database.execute("update messages set flags = ?, text = ? where key = ?", (*new, key))
        self.touch(row)

    def drop(self, row: DocumentRow, message_id: bytes) -> None:
        """Remove a message's row and its words, if it is here."""
        found = self.find(row.conversation, message_id)
        if found is None:
            return
        key, _, text = found
        if key <= self.indexed():
            self._database.execute(_UNINDEX, (key, segmented(text)))
        self._database.execute("delete from messages where key = ?", (key,))
        row.messages -= 1
        self.touch(row)

    def touch(self, row: DocumentRow) -> None:
        """Have the conversation's last message found anew when the transaction ends."""
        self._touched.add(row.conversation)

    def finish(self) -> None:
        """Write what is queued, and each touched conversation's last message and activity."""
        self.flush()
        for key in self._touched - {0}:
            newest = self._database.first(
                "select key, ms from messages indexed by messages_order "
                "where conversation = ? and not flags & 1 "
                "order by ms desc, ord desc, tail desc limit 1",
                (key,),
            )
            if newest is None:
                self._database.execute(
                    "update conversations set last_message = null,"
                    " activity_ms = coalesce(created_ms, iif(title is null, null, 0)) where key = ?",
                    (key,),
                )
            else:
                self._database.execute(
                    "update conversations set last_message = ?,"
                    " activity_ms = max(?, coalesce(created_ms, 0)) where key = ?",
                    (*newest, key),
                )
        self._touched.clear()
