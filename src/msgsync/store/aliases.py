"""Rows of aliases: which messages of a conversation are one. Source: design 3, decision 18."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import apsw

from msgsync import limits
from msgsync.document.aliases import Group, chosen, joined
from msgsync.document.reader import Alias
from msgsync.document.schema import Entry
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow

_INSERT: Final = "insert or replace into aliases values(?,?,?,?,?,?,?,?)"
_HERE: Final = (
    "select 1 from messages indexed by messages_tail where tail = ? and ms = ? and conversation = ?"
)


class AliasRows:
    """Keeps aliases; the caller's transaction surrounds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: DocumentRow, aliases: Mapping[bytes, list[tuple[Alias, Entry]]]) -> None:
        """Store aliases, by message id."""
        if not aliases:
            return
        self._database.later(
            _INSERT,
            [
                (
                    row.conversation,
                    one,
                    entry.key[21:],
                    alias.other,
                    alias.external_id,
                    alias.sent_ms,
                    int(alias.own),
                    row.key,
                )
                for one, members in aliases.items()
                for alias, entry in members
            ],
        )

    def has(self, row: DocumentRow, message_id: bytes, key: bytes) -> bool:
        """Whether an alias is stored under this key, which begins with the message's id."""
        found = self._database.first(
            "select 1 from aliases where conversation = ? and id = ? and key = ?",
            (row.conversation, message_id, key[21:]),
        )
        return found is not None

    def about(self, conversation: int, message_id: bytes) -> list[Alias]:
        """The aliases about an id."""
        found = self._database.execute(
            "select other, external, sent, own from aliases where conversation = ? and id = ?",
            (conversation, message_id),
        )
        return [Alias(other, external, sent, bool(own)) for other, external, sent, own in found]

    def group(self, conversation: int, message_id: bytes) -> Group:
        """The ids that are one message with this one, itself included."""
        return joined(message_id, lambda one: self.about(conversation, one))

    def lead_out(self, conversation: int, from_ms: int, behind_ms: int) -> bool:
        """Whether an alias about a message of a time names one of another time."""
        found = self._database.first(
            "select 1 from aliases where conversation = ?1 and id between ?2 and ?3 "
            "and not other between ?2 and ?3 limit 1",
            (conversation, from_ms.to_bytes(6, "big"), _last_id(behind_ms)),
        )
        return found is not None

    def here(self, conversation: int, group: Iterable[bytes]) -> list[bytes]:
        """Those ids of a group whose messages are here."""
        return [
            one
            for one in group
            if self._database.first(_HERE, (one[6:], int.from_bytes(one[:6], "big"), conversation))
        ]

    def shown(self, conversation: int, message_id: bytes) -> bytes:
        """The id under which a message is shown; its own if nothing of its group is here."""
        group = self.group(conversation, message_id)
        if len(group) == 1:
            return message_id
        here = self.here(conversation, group)
        return chosen(group, here) if here else message_id

    def told(self, conversation: int, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that aliases are about."""
        found = self._database.execute(
            "select distinct a.id from carray(?2) i cross join aliases a "
            "on a.conversation = ?1 and a.id = i.value",
            (conversation, apsw.carray(tuple(ids))),
        )
        return {one for (one,) in found}

    def naming(self, conversation: int, ids: Iterable[bytes]) -> set[bytes]:
        """The ids about which an alias names one of these."""
        found: set[bytes] = set()
        for one in ids:
            rows = self._database.execute(
                "select id from aliases where substr(other, 7) = ? and other = ? and conversation = ?",
                (one[6:], one, conversation),
            )
            found.update(about for (about,) in rows)
        return found

    def reached(self, conversation: int, ids: Iterable[bytes]) -> set[bytes]:
        """The ids and all that any alias joins to them, in either direction: what erasing them erases."""
        reached = set(ids)
        waiting = list(reached)
        while waiting:
            current = waiting.pop()
            near = self.naming(conversation, [current])
            near.update(alias.other for alias in self.about(conversation, current))
            waiting += near - reached
            reached |= near
        return reached

    def by_external(self, conversation: int, tail: bytes, external_id: str) -> bytes | None:
        """The least id that an alias joins to a message of this external id."""
        found = self._database.one(
            "select min(id) from aliases "
            "where substr(other, 7) = ? and external = ? and conversation = ? and own",
            (tail, external_id, conversation),
        )
        return None if found[0] is None else bytes(found[0])

    def forget(self, row: DocumentRow, ids: Collection[bytes]) -> None:
        """Remove the aliases about erased ids."""
        self._database.executemany(
            "delete from aliases where conversation = ? and id = ?",
            [(row.conversation, one) for one in ids],
        )

    def clear(self, row: DocumentRow) -> None:
        """Remove the aliases that lie in a document."""
        self._database.execute(
            "delete from aliases where conversation = ? and document = ?",
            (row.conversation, row.key),
        )


def _last_id(behind_ms: int) -> bytes:
    """The last id before a time."""
    return min(behind_ms - 1, limits.MS).to_bytes(6, "big") + b"\xff" * 6
