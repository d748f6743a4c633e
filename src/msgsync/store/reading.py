"""What is unread: messages of others that no mark covers. Source: design 4."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgsync.document.schema import DAY_MS, HEAD
from msgsync.records import ReadKind, ReadRecord
from msgsync.store.aliases import AliasRows
from msgsync.store.database import Database
from msgsync.store.rows import DELETED, LINKED

WINDOW_MS: Final = 7 * DAY_MS
"""How far back from its place a mark tells read messages from late ones; what is older counts as read."""
SEEN: Final = 256
"""And how many messages that may be."""

Place = tuple[int, int, bytes]
"""Milliseconds, order and tail of the id: where a message stands."""

_LIVE: Final = f"from messages m indexed by messages_order where m.conversation = ? and not m.flags & {DELETED} "


class Reading:
    """Questions about what was read; the caller holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._aliases = AliasRows(database)

    def marks(self, conversation: int) -> list[ReadRecord]:
        """The marks that matter, the one furthest on first."""
        found = self._database.execute(
            "select r.ms, r.ord, r.tail, r.from_ms, r.seen from documents d "
            "join reads r on r.document = d.key where d.conversation = ? and d.kind = ? "
            "order by r.ms desc, r.ord desc, r.tail desc",
            (conversation, HEAD),
        )
        rows: list[Any] = found.fetchall()
        return [
            ReadRecord(ReadKind.READ, 0, None, ms, order, tail, from_ms, _eights(seen))
            for ms, order, tail, from_ms, seen in rows
        ]

    def count(self, conversation: int, me: str | None) -> int:
        """How many live messages of others were not read."""
        marks = self.marks(conversation)
        mine = self._author(me)
        where, parameters = self._behind(conversation, mine, marks)
        after = self._database.one(f"select count(*) {_LIVE}{where}", parameters)[0]
        linked = f"select m.key, m.ms, m.ord, m.tail, m.flags {_LIVE}{where}and m.flags & {LINKED}"
        joined = self._database.execute(linked, parameters).fetchall() if marks else []
        read = len(joined) - len(self._unread(conversation, marks, joined))
        return int(after) - read + len(self._late(conversation, mine, marks))

    def first(self, conversation: int, me: str | None) -> int | None:
        """The key of the first unread message; None if there is none."""
        marks = self.marks(conversation)
        mine = self._author(me)
        late = self._late(conversation, mine, marks)
        if late:
            return late[0]
        where, parameters = self._behind(conversation, mine, marks)
        rows = self._database.execute(
            f"select m.key, m.ms, m.ord, m.tail, m.flags {_LIVE}{where}order by m.ms, m.ord, m.tail",
            parameters,
        )
        for row in rows:
            if unread := self._unread(conversation, marks, [row]):
                return unread[0]
        return None

    def _behind(
        self, conversation: int, mine: int, marks: list[ReadRecord]
    ) -> tuple[str, tuple[Any, ...]]:
        """What selects messages of others behind the furthest mark."""
        if not marks:
            return "and m.author != ? ", (conversation, mine)
        where = "and m.author != ? and (m.ms, m.ord, m.tail) > (?, ?, ?) "
        return where, (conversation, mine, *marks[0].place)

    def _unread(self, conversation: int, marks: list[ReadRecord], rows: Iterable[Any]) -> list[int]:
        """The keys of those rows that no mark covers, under none of the ids that are one with theirs."""
        unread = []
        for key, ms, order, tail, flags in list(rows):
            places = [(ms, order, tail)]
            if flags & LINKED:
                group = self._aliases.group(conversation, ms.to_bytes(6, "big") + tail)
                places += self._places(conversation, group)
            if not any(mark.covers(*place) for mark in marks for place in places):
                unread.append(key)
        return unread

    def _places(self, conversation: int, ids: Iterable[bytes]) -> list[Place]:
        found = (
            self._database.first(
                "select ms, ord, tail from messages indexed by messages_tail "
                "where tail = ? and ms = ? and conversation = ?",
                (one[6:], int.from_bytes(one[:6], "big"), conversation),
            )
            for one in ids
        )
        return [(row[0], row[1], row[2]) for row in found if row is not None]

    def seen(self, conversation: int, place: Place, up_to: Place) -> tuple[int, frozenset[bytes]]:
        """What a mark at ``place`` says of the messages before it, if those up to ``up_to`` are read now as well.

        Returns:
            From which millisecond on it tells them apart, and the beginnings of the ids of those that are read.
        """
        marks = self.marks(conversation)
        rows: list[Any] = self._database.execute(
            "select ms, ord, tail from messages m indexed by messages_order where conversation = ? "
            "and (ms, ord, tail) <= (?, ?, ?) and ms >= ? "
            f"order by ms desc, ord desc, tail desc limit {SEEN + 1}",
            (conversation, *place, max(place[0] - WINDOW_MS, 0)),
        ).fetchall()
        from_ms = max(place[0] - WINDOW_MS, 0)
        if len(rows) > SEEN:
            from_ms = rows[SEEN - 1][0] + 1
        seen = {
            ms.to_bytes(6, "big") + tail[:2]
            for ms, order, tail in rows
            if (ms, order, tail) <= up_to or any(one.covers(ms, order, tail) for one in marks)
        }
        return from_ms, frozenset(seen)

    def before(self, conversation: int, place: Place) -> Place:
        """The place of the message before a place; one before all if there is none."""
        found = self._database.first(
            "select ms, ord, tail from messages indexed by messages_order where conversation = ? "
            "and (ms, ord, tail) < (?, ?, ?) order by ms desc, ord desc, tail desc limit 1",
            (conversation, *place),
        )
        return (0, 0, bytes(6)) if found is None else (found[0], found[1], found[2])

    def newest(self, conversation: int, *, not_by: str | None = None) -> Place | None:
        """The place of the newest live message, of others than somebody if wanted."""
        found = self._database.first(
            f"select m.ms, m.ord, m.tail {_LIVE}and m.author != ? "
            "order by m.ms desc, m.ord desc, m.tail desc limit 1",
            (conversation, self._author(not_by)),
        )
        return None if found is None else (found[0], found[1], found[2])

    def _author(self, name: str | None) -> int:
        if name is None:
            return 0
        found = self._database.first("select key from authors where name = ?", (name,))
        return 0 if found is None else int(found[0])

    def _late(self, conversation: int, mine: int, marks: list[ReadRecord]) -> list[int]:
        """Keys of messages before the furthest mark that no mark covers, in order."""
        if not marks:
            return []
        rows = self._database.execute(
            f"select m.key, m.ms, m.ord, m.tail, m.flags {_LIVE}and m.author != ? and m.ms >= ? "
            "and (m.ms, m.ord, m.tail) <= (?, ?, ?) order by m.ms, m.ord, m.tail",
            (conversation, mine, marks[0].from_ms, *marks[0].place),
        )
        return self._unread(conversation, marks, rows)


def _eights(seen: bytes) -> frozenset[bytes]:
    return frozenset(seen[i : i + 8] for i in range(0, len(seen), 8))
