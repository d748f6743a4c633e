"""What changed since a commit: found in the rows, not kept in a log that grows. Source: design 6 and 12.

Every row that is shown has the number of the commit that changed it last. A document knows the last commit of all its
rows, and has an index on it; so only the months that changed are read. What the last commits of this opening wrote is
remembered as well, so that following one's own writes reads nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from msgsync.document.schema import SEGMENT, month_bounds
from msgsync.store.database import Database, integers

MESSAGE: Final = 0
ERASED: Final = 1
CONVERSATION: Final = 2
END: Final = 3
"""Behind all that a commit changed."""

_AHEAD: Final = 8192
"""So many changes are found at once, whatever is asked for: a long feed reads a month once for several pages."""
_REMEMBERED: Final = 8192
"""Rows of the last commits, together, that are remembered."""

_IN_MONTH: Final = (
    "select changed_seq, key from messages indexed by messages_order where conversation = ? "
    "and ms >= ? and ms < ? and (changed_seq, key) > (?, ?) and changed_seq <= ? "
    "order by changed_seq, key limit ?"
)
_COUNT_IN_MONTHS: Final = (
    "select count(*) from carray(?2) i cross join messages m indexed by messages_order "
    "on m.conversation = substr(i.value, 1, 15) + 0 and m.ms >= substr(i.value, 16, 15) + 0 "
    "and m.ms < substr(i.value, 31, 15) + 0 where m.changed_seq > ?1"
)
_COUNT_ERASED: Final = (
    "select count(*) from documents d cross join erased e on e.document = d.key "
    "where d.changed_seq > ?1 and d.erased and e.changed_seq > ?1"
)
_BY_KEY: Final = (
    "select m.changed_seq, m.key from carray(?1) i cross join messages m on m.key = i.value "
    "where m.changed_seq between ?2 and ?3"
)
_LAST: Final = 1 << 62


class Place(NamedTuple):
    """One change, and its place in the order of all: by commit, then messages by arrival, erasures, conversations."""

    seq: int
    rank: int
    key: int
    """Of the message's row or of the conversation's; for an erasure see `erasure`."""


class Changes:
    """Finds changes in one consistent view; the caller holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits: deque[tuple[int, list[range]]] = deque()
        self._remembered = 0
        self._floor = _LAST
        """Commits above this one are remembered."""
        self._found: tuple[int, Place, list[Place], bool] | None = None

    def committed(self, seq: int, written: list[range]) -> None:
        """Remember which rows of messages a commit wrote."""
        if self._floor == _LAST:
            self._floor = seq - 1
        self._commits.append((seq, written))
        self._remembered += 1 + sum(map(len, written))
        while self._remembered > _REMEMBERED:
            self._floor, forgotten = self._commits.popleft()
            self._remembered -= 1 + sum(map(len, forgotten))

    def after(self, place: Place, seq: int, limit: int) -> tuple[list[Place], bool]:
        """The first changes behind a place, and whether there are more; ``seq`` is the last commit."""
        if (place.seq, place.rank) >= (seq, END):
            return [], False
        known = self._found
        if known is None or known[0] != seq or known[1] > place or self._is_beyond(place):
            found, complete = self._find(place, max(limit, _AHEAD))
            known = seq, place, found, complete
        self._found = None if known[3] and len(known[2]) <= limit else known
        _, _, found, complete = known
        start = bisect_right(found, place)
        page = found[start : start + limit]
        return page, not complete or start + len(page) < len(found)

    def of_message(self, message_id: bytes) -> int | None:
        """The commit that changed what is here of a message last; None if it is not here."""
        found: int | None = self._database.one(
            "select max(changed_seq) from messages indexed by messages_tail "
            "where conversation in (select key from conversations) and tail = ? and ms = ?",
            (message_id[6:], int.from_bytes(message_id[:6], "big")),
        )[0]
        return found

    def of_erasure(self, message_id: bytes) -> int | None:
        """The commit that erased an id; None if it is not erased."""
        found: int | None = self._database.one(
            "select max(changed_seq) from erased where id = ?", (message_id,)
        )[0]
        return found

    def count(self, seq: int) -> int:
        """How many messages were changed or erased after a commit."""
        if seq <= 0:  # all of them, and that is known of each document
            found = self._database.one("select total(messages) + total(erased) from documents")
            return int(found[0])
        documents = self._database.execute(
            "select conversation, kind from documents where changed_seq > ? and messages", (seq,)
        )
        months = tuple(
            b"%015d%015d%015d" % (conversation, *month_bounds(kind))
            for conversation, kind in documents
            if SEGMENT.match(kind)
        )
        total: int = self._database.one(_COUNT_ERASED, (seq,))[0]
        if months:
            total += self._database.one(_COUNT_IN_MONTHS, (seq, apsw.carray(months)))[0]
        return total

    def count_in_months(self, seq: int, until_seq: int, before_ms: int) -> int:
        """How many messages are here of months that are over by a time and changed after one commit, up to another."""
        documents = self._database.execute(
            "select kind, messages from documents where changed_seq > ? and changed_seq <= ? and messages",
            (seq, until_seq),
        )
        return sum(
            messages
            for kind, messages in documents
            if SEGMENT.match(kind) and month_bounds(kind)[1] <= before_ms
        )

    def _is_beyond(self, place: Place) -> bool:
        """Whether what was found last ends before what is behind a place."""
        if self._found is None:
            return True
        _, _, found, complete = self._found
        return not complete and (not found or place >= found[-1])

    def _find(self, place: Place, limit: int) -> tuple[list[Place], bool]:
        found: list[Place] = []
        complete = True
        most = _LAST

        def add(places: Iterable[Place]) -> None:
            nonlocal complete, most
            found.extend(one for one in places if one > place)
            if len(found) > 2 * limit:
                found.sort()
                del found[limit:]
                complete = False
                most = found[-1].seq

        first = place.seq + (place.rank == END)
        last = place.key if place.rank == MESSAGE else _LAST
        conversations: dict[int, None] = {}
        remembered = first > self._floor
        if remembered:
            add(self._remembered_since(first))
        documents: list[Any] = self._database.execute(
            "select key, conversation, kind, messages, erased from documents "
            "where changed_seq >= ? order by changed_seq",
            (first,),
        ).fetchall()
        for key, conversation, kind, messages, erased in documents:
            conversations[conversation] = None
            if not SEGMENT.match(kind):
                continue
            if messages and not remembered:
                bounds = month_bounds(kind)
                rows = self._database.execute(
                    _IN_MONTH, (conversation, *bounds, place.seq, last, most, limit + 1)
                )
                add(Place(seq, MESSAGE, row) for seq, row in rows)
            if erased:
                ids: list[Any] = self._database.execute(
                    "select changed_seq, id from erased where document = ? "
                    "and changed_seq between ? and ?",
                    (key, first, most),
                ).fetchall()
                add([erasure(seq, key, one) for seq, one in ids])
        if conversations:
            found_rows = self._database.execute(
                "select c.changed_seq, c.key from carray(?1) i cross join conversations c "
                "on c.key = i.value where c.changed_seq between ?2 and ?3",
                (integers(conversations), first, most),
            )
            add(Place(seq, CONVERSATION, key) for seq, key in found_rows)
        found.sort()
        if len(found) > limit:
            del found[limit:]
            complete = False
        return found, complete

    def _remembered_since(self, seq: int) -> Iterable[Place]:
        keys = {
            key
            for commit, written in self._commits
            if commit >= seq
            for some in written
            for key in some
        }
        if not keys:
            return
        for changed, key in self._database.execute(_BY_KEY, (integers(keys), seq, _LAST)):
            yield Place(changed, MESSAGE, key)


def erasure(seq: int, document: int, message_id: bytes) -> Place:
    """The place of an erasure: by id, then by document."""
    return Place(seq, ERASED, int.from_bytes(message_id, "big") << 64 | document)


def erased_message(place: Place) -> tuple[int, bytes]:
    """The key of the document, and the id, of an erasure."""
    return place.key & ((1 << 64) - 1), (place.key >> 64).to_bytes(12, "big")


def conversation_names(
    database: Database, places: Sequence[Place]
) -> tuple[dict[int, str], dict[int, str]]:
    """The ids of the conversations of erasures, by document, and of changed conversations, by their keys."""
    documents = {erased_message(one)[0] for one in places if one.rank == ERASED}
    keys = {one.key for one in places if one.rank == CONVERSATION}
    of_documents = (
        "select d.key, c.id from carray(?) i cross join documents d on d.key = i.value "
        "join conversations c on c.key = d.conversation"
    )
    of_keys = "select c.key, c.id from carray(?) i cross join conversations c on c.key = i.value"
    return (
        dict(database.execute(of_documents, (integers(documents),))) if documents else {},
        dict(database.execute(of_keys, (integers(keys),))) if keys else {},
    )
