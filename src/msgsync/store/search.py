"""Searching: the messages that match, newest first, without reading more than is asked for. Source: design 6.

The index knows messages by their keys, which are in order of arrival, and finds all that have a word before it can say
which is the newest. So there are two ways, and the cheaper one is taken:

- the words are in few messages: these are sorted by time and looked at;
- they are in many: messages are looked at from the newest backwards, until enough match. If in as many as the index has
  found too few match, the rest is asked of the index after all, the newest part at a time.

Either way the work is at most about twice that of the better way, and memory holds a bounded number of rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

import apsw

from msgsync.store.database import Database
from msgsync.store.pages import MessageRow, Pages
from msgsync.store.query import Query, Span
from msgsync.store.rows import DELETED

FEW: Final = 8192
"""So many messages are sorted at once."""
LOOKED_AT: Final = 8192
"""So many are looked at, from the newest on, before the index is asked how many it knows."""
_FIRST_ROWS: Final = 16
_MOST_ROWS: Final = 128
"""Rows of one conversation read at a time: few at first, as there may be many conversations."""

Place = tuple[int, int, bytes, str]
"""Milliseconds, order, last 6 bytes of the id, and the conversation: the order of hits."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which messages are searched."""

    conversation: int | None = None
    """The key of its row."""
    author: int | None = None
    """The key of its row."""
    since_ms: int = 0
    until_ms: int | None = None
    """Unix milliseconds; this one no longer."""
    before: Place | None = None

    def end(self) -> Place | None:
        """Only what stands before this place is searched."""
        if self.until_ms is None:
            return self.before
        until = self.until_ms, -1, b"", ""
        return until if self.before is None else min(until, self.before)


class Search:
    """One search; the caller holds the lock, and a consistent view."""

    def __init__(self, database: Database, query: Query, scope: Scope) -> None:
        self._database = database
        self._pages = Pages(database)
        self._query = query
        self._scope = scope
        self.looked_at = 0
        """How many messages were read and compared."""

    def newest(self) -> Iterator[tuple[MessageRow, list[Span]]]:
        """Live messages that match, newest first, and where they match."""
        if not self._query.is_broad and self._candidates(FEW + 1) <= FEW:
            yield from self._known(self._scope.end(), None)
            return
        end = self._scope.end()
        enough = LOOKED_AT
        for place, key, author, deleted, text in self._backwards():
            self.looked_at += 1
            if deleted:
                continue
            end = place
            if self._scope.author in (None, author) and (spans := self._query.spans(text)):
                row = self._pages.by_key(key)
                if row is not None:
                    yield row, spans
            if self.looked_at >= enough:
                enough = max(LOOKED_AT, self._candidates(None))
                if self.looked_at >= enough:
                    yield from self._known(end, FEW)
                    return

    def _candidates(self, limit: int | None) -> int:
        """How many messages the index knows that may match, counted up to a limit."""
        found = self._database.one(
            "select count(*) from (select 1 from search where search match ? limit ?)",
            (self._query.expression, -1 if limit is None else limit),
        )
        return int(found[0])

    # What the index knows.

    def _known(
        self, end: Place | None, at_once: int | None
    ) -> Iterator[tuple[MessageRow, list[Span]]]:
        """Matches before a place that the index knows, or that are too new for it; so many keys at once, then more."""
        while True:
            keys = self._keys(end, at_once)
            for first in range(0, len(keys), _MOST_ROWS):
                for key, text in self._texts(keys[first : first + _MOST_ROWS]):
                    self.looked_at += 1
                    if (spans := self._query.spans(text)) and (row := self._pages.by_key(key)):
                        yield row, spans
            if at_once is None or len(keys) < at_once:
                return
            last = self._pages.by_key(keys[-1])
            if last is None:
                return
            end = *last.position, last.conversation
            at_once *= 4

    def _texts(self, keys: list[int]) -> list[tuple[int, str]]:
        found = self._database.execute(
            "select m.key, m.text from carray(?) k cross join messages m on m.key = k.value",
            (apsw.carray(array("q", keys), flags=apsw.SQLITE_CARRAY_INT64),),
        )
        return [(key, text) for key, text in found]

    def _keys(self, end: Place | None, at_once: int | None) -> list[int]:
        where = ""
        parameters: list[object] = []
        for column, value in (
            ("conversation", self._scope.conversation),
            ("author", self._scope.author),
        ):
            if value is not None:
                where += f"and m.{column} = ? "
                parameters.append(value)
        if end is not None:
            where += "and (m.ms, m.ord, m.tail, c.id) < (?, ?, ?, ?) "
            parameters += end
        found = self._database.execute(
            "select m.key from (select rowid as key from search where search match ? "
            "union all select key from messages where key > (select indexed from state)) s "
            "cross join messages m on m.key = s.key cross join conversations c on c.key = m.conversation "
            f"where not m.flags & {DELETED} and m.ms >= ? {where}"
            "order by m.ms desc, m.ord desc, m.tail desc, c.id desc limit ?",
            (
                self._query.expression, self._scope.since_ms, *parameters, -1 if at_once is None else at_once,
            ),
        )  # fmt: skip
        return [key for (key,) in found]

    # Backwards in time.

    def _backwards(self) -> Iterator[tuple[Place, int, int, int, str]]:
        """Place, key, author, whether deleted, and text of messages, newest first but for deleted ones.

        The index of messages is by conversation. One is opened only when the time of its last live message is reached.
        """
        waiting = self._conversations()
        opened: list[tuple[tuple[int, int, int, int], str, Any, Iterator[Any]]] = []
        while waiting or opened:
            if waiting and (not opened or waiting[-1][0] >= -opened[0][0][0]):
                _, rank, key, name = waiting.pop()
                rows = self._rows(key, name)
            else:
                (*_, rank), name, (key, ms, order, tail, author, deleted, text), rows = heappop(
                    opened
                )
                yield (ms, order, tail, name), key, author, deleted, text
            row = next(rows, None)
            if row is not None:
                place = -row[1], -row[2], -int.from_bytes(row[3], "big"), rank
                heappush(opened, (place, name, row, rows))

    def _conversations(self) -> list[tuple[int, int, int, str]]:
        """Time of the last live message or later, rank, key and id: the one to open first is the last."""
        found = self._database.execute(
            "select activity_ms, key, id from conversations where activity_ms >= ?1 "
            "and (?2 is null or key = ?2) order by id desc",
            (self._scope.since_ms, self._scope.conversation),
        )
        ranked = [(activity, rank, key, name) for rank, (activity, key, name) in enumerate(found)]
        return sorted(ranked)

    def _rows(self, conversation: int, name: str) -> Iterator[Any]:
        """Rows of one conversation, newest first, read a few at a time."""
        end = self._scope.end()
        compared = "<" if end is None or name >= end[3] else "<="
        below: tuple[object, ...] | None = None if end is None else end[:3]
        rows = _FIRST_ROWS
        while True:
            where = "" if below is None else f"and (ms, ord, tail) {compared} (?, ?, ?) "
            found = self._database.execute(
                f"select key, ms, ord, tail, author, flags & {DELETED}, text "
                "from messages indexed by messages_order "
                f"where conversation = ? and ms >= ? {where}"
                "order by ms desc, ord desc, tail desc limit ?",
                (conversation, self._scope.since_ms, *(below or ()), rows),
            ).fetchall()
            yield from found
            if len(found) < rows:
                return
            below, compared = found[-1][1:4], "<"
            rows = min(2 * rows, _MOST_ROWS)
