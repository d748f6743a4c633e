"""What is unread: messages of others that no mark covers. Source: design 4.

Months that were let go of count as they were then, by who wrote how many messages (decision 42). That is right as long
as no mark ends within one: see `Reading.divides`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgsync import limits
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
_ELSEWHERE: Final = (
    "from documents d indexed by documents_lacks join elsewhere e on e.document = d.key "
    "where d.lacks != x'' and d.conversation = ?1 "
)
_HERE: Final = (
    "select count(*) from messages m indexed by messages_order where m.conversation = ?1 "
    f"and m.ms >= e.from_ms and m.ms < e.behind_ms and m.author = e.author and not m.flags & {DELETED}"
)
"""Of a month that was let go of part may have come since: that is counted with what is here."""
DIVIDES: Final = (
    "select 1 from documents h join reads r on r.document = h.key where h.conversation = {conversation} "
    f"and h.kind = '{HEAD}' and r.ms >= {{from_ms}} and min(r.from_ms, r.ms) < {{behind_ms}}"
)
"""Whether marks tell messages of a time apart, so that it takes the messages to say which of them are unread."""


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
        late = len(self._late(conversation, mine, marks))
        return int(after) - read + late + self._elsewhere(conversation, mine, marks)

    def _elsewhere(self, conversation: int, mine: int, marks: list[ReadRecord]) -> int:
        """How many messages of others are in months that were let go of and begin behind the furthest mark."""
        after_ms = marks[0].ms if marks else -1
        [count] = self._database.one(
            f"select total(max(0, e.messages - ({_HERE}))) {_ELSEWHERE}and e.author != ?2 and e.from_ms > ?3",
            (conversation, mine, after_ms),
        )
        return int(count)

    def divides(self, conversation: int, from_ms: int, behind_ms: int) -> bool:
        """Whether some messages of a time may be read and others not."""
        sql = DIVIDES.format(conversation="?", from_ms="?", behind_ms="?")
        return self._database.first(sql, (conversation, from_ms, behind_ms)) is not None

    def first(self, conversation: int, me: str | None) -> int | None:
        """The key of the first unread message that is here; None if there is none."""
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

        What was let go of before it counts as read, for nothing can be told apart there.

        Returns:
            From which millisecond on it tells them apart, and the beginnings of the ids of those that are read.
        """
        marks = self.marks(conversation)
        from_ms = max(place[0] - WINDOW_MS, 0, self._behind_elsewhere(conversation, place[0] + 1))
        rows: list[Any] = self._database.execute(
            "select ms, ord, tail from messages m indexed by messages_order where conversation = ? "
            "and (ms, ord, tail) <= (?, ?, ?) and ms >= ? "
            f"order by ms desc, ord desc, tail desc limit {SEEN + 1}",
            (conversation, *place, from_ms),
        ).fetchall()
        if len(rows) > SEEN:
            from_ms = rows[SEEN - 1][0] + 1
        seen = {
            ms.to_bytes(6, "big") + tail[:2]
            for ms, order, tail in rows
            if (ms, order, tail) <= up_to or any(one.covers(ms, order, tail) for one in marks)
        }
        return from_ms, frozenset(seen)

    def before(self, conversation: int, place: Place) -> Place:
        """The place of the message before a place; one before all if there is none.

        That of a message that was let go of is the last one that it can have had.
        """
        found = self._database.first(
            "select ms, ord, tail from messages indexed by messages_order where conversation = ? "
            "and (ms, ord, tail) < (?, ?, ?) order by ms desc, ord desc, tail desc limit 1",
            (conversation, *place),
        )
        here = (0, 0, bytes(6)) if found is None else (found[0], found[1], found[2])
        behind_ms = self._behind_elsewhere(conversation, place[0])
        return max(here, (behind_ms - 1, limits.MS, b"\xff" * 6)) if behind_ms else here

    def _behind_elsewhere(self, conversation: int, at_ms: int) -> int:
        """Where the last of the months ends that are over by a time and were let go of; 0 if there is none."""
        [behind_ms] = self._database.one(
            f"select max(e.behind_ms) {_ELSEWHERE}and e.behind_ms <= ?2", (conversation, at_ms)
        )
        return 0 if behind_ms is None else int(behind_ms)

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
