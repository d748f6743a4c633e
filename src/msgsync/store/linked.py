"""What was said about messages that are one by aliases: gathered from all of their documents. Source: decision 18."""

from __future__ import annotations

from typing import Any, Final

from msgsync.document.aliases import carriers_name
from msgsync.store.aliases import AliasRows
from msgsync.store.database import Database
from msgsync.store.deletions import DeletionRows
from msgsync.store.rows import DELETED
from msgsync.store.said import ORIGINAL, Remarks

_PLACES: Final = "select document from aliases where conversation = ? and id = ? limit 1"
_EDITS: Final = "select lamport, writer, text, at from edits where document = ? and id = ?"
_REACTIONS: Final = (
    "select r.lamport, r.writer, a.name, r.emoji, r.shown, r.at from reactions r "
    "join authors a on a.key = r.user where r.document = ? and r.id = ?"
)


class LinkedRows:
    """Reads about few messages at a time; the caller holds the lock."""

    def __init__(self, database: Database, aliases: AliasRows) -> None:
        self._database = database
        self._aliases = aliases
        self._deletions = DeletionRows(database, lambda: 0)  # only read here: no time is asked for

    def said(self, conversation: int, message_id: bytes, flags: int) -> Remarks:
        """What was said about all of a message's group; the original text is its own."""
        group = self._aliases.group(conversation, message_id)
        places = {one: self._database.one(_PLACES, (conversation, one))[0] for one in sorted(group)}
        original, edits = self._edits(places, message_id)
        deleted_ms = self._deleted_ms(places) if flags & DELETED else None
        return Remarks(
            original,
            edits,
            self._reactions(places),
            deleted_ms,
            carriers_name(group, message_id),
        )

    def _edits(
        self, places: dict[bytes, int], message_id: bytes
    ) -> tuple[str | None, tuple[tuple[str, int], ...]]:
        original: str | None = None
        found: list[Any] = []
        for one, document in places.items():
            for edit in self._database.execute(_EDITS, (document, one)):
                if edit[0] != ORIGINAL:
                    found.append(edit)
                elif one == message_id:
                    original = edit[2]
        edits: dict[tuple[str, int], None] = {}
        for _, _, text, at in sorted(found):
            edits.pop((text, at), None)  # the same edit twice: the later one counts
            edits[text, at] = None
        return original, tuple(edits)

    def _reactions(self, places: dict[bytes, int]) -> tuple[tuple[str, str, int], ...]:
        standing: dict[tuple[str, str], Any] = {}
        for one, document in places.items():
            for found in self._database.execute(_REACTIONS, (document, one)):
                slot = found[2], found[3]
                if slot not in standing or found[:2] > standing[slot][:2]:
                    standing[slot] = found
        return tuple(
            (user, emoji, at)
            for at, user, emoji in sorted(
                (at, user, emoji) for _, _, user, emoji, on, at in standing.values() if on
            )
        )

    def _deleted_ms(self, places: dict[bytes, int]) -> int | None:
        in_force = (
            deletion
            for one, document in places.items()
            for deletion in self._deletions.in_force(document, [one]).values()
        )
        return max((deletion.record.at_ms for deletion in in_force), default=None)
