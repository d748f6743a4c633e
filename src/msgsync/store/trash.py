"""Recently Deleted: which messages are in it, since when, and what deleting a conversation covers. Source: design 4."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import apsw

from msgsync.document.schema import HEAD, segment_of
from msgsync.store.aliases import AliasRows
from msgsync.store.database import Database
from msgsync.store.deletions import split_ids
from msgsync.store.rows import DELETED, HIDDEN

SINCE: Final = "case d.confirmed when 0 then max(d.at, d.stored_ms) else d.stored_ms end"
"""SQL for when the retention of a deletion began: when it was stored here by a clock that a peer's confirmed.

Until then by its wall time or this clock's, the later one.
"""
# A deletion of many messages is a long row, of which the end is read: once, and not for each message.
_DELETED: Final = (
    f"with known as materialized (select d.document, d.lamport, d.writer, {SINCE} as since from deletions d "
    "where d.kind = 0), s as materialized (select c.document, c.id, max(k.since) as since from covered c "
    "join known k on k.document = c.document and k.lamport = c.lamport and k.writer = c.writer "
    "group by c.document, c.id) "
    "select o.conversation, n.id, s.id, s.since, m.ms, m.flags from s join documents o on o.key = s.document "
    "join conversations n on n.key = o.conversation cross join messages m indexed by messages_tail "
    f"on m.tail = substr(s.id, 7) and m.conversation = o.conversation where m.flags & {DELETED}"
)
_ANY_KEY = 1 << 62


class Deleted(NamedTuple):
    """One message in Recently Deleted."""

    conversation: str
    id: bytes
    since_ms: int
    """From when its retention runs: when it was deleted or when this device heard of it, whichever is later."""


class Weight(NamedTuple):
    """What deleting a conversation concerns."""

    messages: int
    text_bytes: int
    last_key: int
    """Key of the message that arrived last; 0 if there is none."""
    last_id: bytes
    """And its id."""


class Trash:
    """Questions about deleted messages; the caller holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._aliases = AliasRows(database)

    def deleted(self, *, until_ms: int | None = None, limit: int | None = None) -> list[Deleted]:
        """Deleted messages, the last deleted first; with ``until_ms`` only those deleted until then."""
        found: Any = self._database.execute(_DELETED)
        since_ms: dict[tuple[str, bytes], int] = {}
        for conversation, name, one, at_ms, ms, flags in found.fetchall():
            if int.from_bytes(one[:6], "big") != ms:
                continue  # another message of the conversation has an id with the same tail
            shown = one
            if flags & HIDDEN:  # it is one with another message, under whose id it is shown
                shown = self._aliases.shown(conversation, one)
                if not self._is_deleted(conversation, shown):
                    continue
            place = name, shown
            since_ms[place] = max(at_ms, since_ms.get(place, 0))
        deleted = [
            Deleted(name, one, at_ms)
            for (name, one), at_ms in since_ms.items()
            if until_ms is None or at_ms <= until_ms
        ]
        deleted.sort(key=lambda one: (one.since_ms, one.id), reverse=True)
        return deleted[:limit]

    def _is_deleted(self, conversation: int, one: bytes) -> bool:
        found = self._database.first(
            "select flags from messages indexed by messages_tail where tail = ? and ms = ? and conversation = ?",
            (one[6:], int.from_bytes(one[:6], "big"), conversation),
        )
        return found is not None and bool(found[0] & DELETED)

    def first_ms(self) -> int | None:
        """When the first deletion that is known here was stored, whatever came of it; None if there is none."""
        found: int | None = self._database.one(
            "select min(stored_ms) from deletions where kind = 0"
        )[0]
        return found

    def deleted_heads(self) -> list[int]:
        """Keys of the heads that hold a deletion, whatever came of it."""
        found = self._database.execute(
            "select distinct d.document from deletions d join documents o on o.key = d.document "
            "where d.kind = 0 and o.kind = ?",
            (HEAD,),
        )
        return [key for (key,) in found]

    def has_unconfirmed(self) -> bool:
        """Whether a deletion was stored since a peer's clock last agreed with ours."""
        return self._database.first("select 1 from deletions where confirmed = 0") is not None

    def confirm(self, now_ms: int) -> None:
        """A peer's clock agrees with ours now: what was stored since one last did is known from now on.

        Whatever ours said meanwhile. Within a transaction.
        """
        self._database.execute(
            "update deletions set stored_ms = ?, confirmed = 1 where confirmed = 0", (now_ms,)
        )

    def doubt(self, from_ms: int, to_ms: int, now_ms: int) -> None:
        """Let the retention of what was not stored between two times begin now: clocks have leapt.

        Within a transaction.
        """
        self._database.execute(
            "update deletions set stored_ms = ?, confirmed = 1 where kind = 0 and not stored_ms between ? and ?",
            (now_ms, from_ms, to_ms),
        )

    def weight(self, conversation: int) -> Weight:
        """How much is live in a conversation, and how far it reaches in order of arrival."""
        count, size = self._database.one(
            "select count(*), total(octet_length(text)) from messages "
            f"where conversation = ? and not flags & {DELETED}",
            (conversation,),
        )
        last: int | None = self._database.one(
            "select max(key) from messages indexed by messages_order where conversation = ?",
            (conversation,),
        )[0]
        if last is None:
            return Weight(0, 0, 0, b"")
        return Weight(count, int(size), last, self.id_of(conversation, last))

    def id_of(self, conversation: int, key: int) -> bytes:
        """The id of the message with a key; empty if there is none."""
        found = self._database.first(
            "select ms, tail from messages where key = ? and conversation = ?", (key, conversation)
        )
        return b"" if found is None else found[0].to_bytes(6, "big") + found[1]

    def live(self, conversation: int, up_to_key: int) -> list[bytes]:
        """The ids of live messages that had arrived by then."""
        found = self._database.execute(
            f"select ms, tail from messages where conversation = ? and key <= ? and not flags & {DELETED}",
            (conversation, up_to_key),
        )
        rows: list[Any] = found.fetchall()
        return [ms.to_bytes(6, "big") + tail for ms, tail in rows]

    def newest_id(self, conversation: int) -> bytes:
        """The greatest id of a message of a conversation; empty if there is none."""
        found = self._database.first(
            "select ms, tail from messages indexed by messages_order where conversation = ? "
            "order by ms desc, tail desc limit 1",
            (conversation,),
        )
        return b"" if found is None else found[0].to_bytes(6, "big") + found[1]

    def live_of_month(self, conversation: int, kind: str, up_to: bytes) -> list[bytes]:
        """The ids of live messages of one segment up to an id."""
        ids = (
            one
            for one in self.live(conversation, _ANY_KEY)
            if one <= up_to and segment_of(int.from_bytes(one[:6], "big")) == kind
        )
        return list(ids)

    def free_ms(self, conversation: int, device: bytes, now_ms: int) -> int:
        """The first millisecond from now on in which a device deleted nothing of a conversation."""
        last: int | None = self._database.one(
            "select max(d.at) from documents o join deletions d on d.document = o.key "
            "where o.conversation = ? and d.device = ? and d.at >= ?",
            (conversation, device, now_ms),
        )[0]
        return now_ms if last is None else last + 1

    def deleted_with(self, conversation: int, marks: set[tuple[int, bytes | None]]) -> set[bytes]:
        """The ids that deletions of these times and devices name: what went with a conversation, erased or not."""
        at = tuple(str(one) for one, _ in marks)
        found = self._database.execute(
            "select d.ids, d.at, d.device from documents o join deletions d on d.document = o.key "
            "where o.conversation = ? and d.kind = 0 and d.at in (select cast(value as integer) from carray(?))",
            (conversation, apsw.carray(at)),
        )
        return {
            one
            for ids, at_ms, device in found
            if (at_ms, device) in marks
            for one in split_ids(ids)
        }
