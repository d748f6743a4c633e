"""Rows of edits and reactions, about messages that are here or not. Source: design 4."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from msgsync.document.digest import entry_digest
from msgsync.document.reader import Edit, Reaction
from msgsync.document.schema import Entry
from msgsync.records import EditRecord, Stamp
from msgsync.store.database import Database
from msgsync.store.messages import MessageRows
from msgsync.store.rows import DocumentRow

ORIGINAL: Final = -1
"""The lamport under which the text is kept that an edited message was sent with."""

_INSERT_EDIT: Final = "insert or replace into edits values(?,?,?,?,?,?,?)"
_KEEP: Final = "insert or ignore into edits values(?,?,?,?,?,null,null)"
_INSERT_REACTION: Final = "insert or replace into reactions values(?,?,?,?,?,?,?,?,?,?)"


class Remarks(NamedTuple):
    """What was said about one message."""

    original: str | None
    """The text that it was sent with; None if it was not edited."""
    edits: tuple[tuple[str, int], ...]
    """Text and wall time (ms), oldest first."""
    reactions: tuple[tuple[str, str, int], ...]
    """User, emoji and wall time (ms) of those that are on, oldest first."""
    deleted_ms: int | None
    external: str | None = None
    """The external id that the message has by an alias."""


class SaidRows:
    """Keeps edits and winning reactions; the caller's transaction surrounds it."""

    def __init__(self, database: Database, messages: MessageRows) -> None:
        self._database = database
        self._messages = messages

    def add_edits(self, row: DocumentRow, edits: Mapping[bytes, list[Edit]]) -> None:
        """Store edits, by message id."""
        if not edits:
            return
        self._database.later(
            _INSERT_EDIT,
            [
                (
                    row.key,
                    one,
                    edit.stamp.lamport,
                    edit.stamp.writer,
                    edit.record.text,
                    edit.record.at_ms,
                    edit.record.device,
                )
                for one, members in edits.items()
                for edit in members
            ],
        )

    def keep_original(self, row: DocumentRow, message_id: bytes, text: str) -> None:
        """Keep the text that a message was sent with, before the first edit replaces it."""
        self._database.later(_KEEP, [(row.key, message_id, ORIGINAL, b"", text)])

    def shown_edit(self, row: DocumentRow, message_id: bytes) -> tuple[Stamp, str] | None:
        """The stamp and the text of the edit that is shown, or None if there is none."""
        found = self._database.first(
            "select lamport, writer, text from edits where document = ? and id = ? "
            "order by lamport desc, writer desc limit 1",
            (row.key, message_id),
        )
        if found is None or found[0] == ORIGINAL:
            return None
        return Stamp(found[0], found[1]), found[2]

    def has_edit(self, row: DocumentRow, message_id: bytes, record: EditRecord) -> bool:
        """Whether the same edit is stored already, whoever wrote it: an export may come back to where it was made."""
        found = self._database.first(
            "select 1 from edits where document = ? and id = ? and text = ? and at = ?",
            (row.key, message_id, record.text, record.at_ms),
        )
        return found is not None

    def add_reactions(
        self,
        row: DocumentRow,
        reactions: Mapping[bytes, list[tuple[Reaction, Entry]]],
        untold: Collection[bytes],
    ) -> None:
        """Store the reactions that win, by message id; nothing is stored yet about the ``untold`` ones."""
        winners = []
        for one, members in reactions.items():
            standing: dict[tuple[str, str], tuple[Stamp, int]] = {}
            for reaction, entry in members:
                record = reaction.record
                slot = record.user, record.emoji
                before = standing.get(slot)
                if before is None and one not in untold:
                    before = self._standing(row, one, *slot)
                if before is not None:
                    row.superseded = True
                    if before[0] >= reaction.stamp:
                        standing[slot] = before
                        continue
                    row.add_digest(-before[1])
                digest = entry_digest(entry)
                row.add_digest(digest)
                standing[slot] = reaction.stamp, digest
                winners.append(self._columns(row, one, reaction, digest))
        if winners:
            self._database.later(_INSERT_REACTION, winners)

    def _columns(
        self, row: DocumentRow, message_id: bytes, reaction: Reaction, digest: int
    ) -> tuple[object, ...]:
        record = reaction.record
        return (
            row.key,
            message_id,
            self._messages.author(record.user),
            record.emoji,
            reaction.stamp.lamport,
            reaction.stamp.writer,
            int(record.on),
            record.at_ms,
            record.device,
            digest.to_bytes(16, "big"),
        )

    def _standing(
        self, row: DocumentRow, message_id: bytes, user: str, emoji: str
    ) -> tuple[Stamp, int] | None:
        found = self._database.first(
            "select lamport, writer, digest from reactions "
            "where document = ? and id = ? and user = ? and emoji = ?",
            (row.key, message_id, self._messages.author(user), emoji),
        )
        if found is None:
            return None
        return Stamp(found[0], found[1]), int.from_bytes(found[2], "big")

    def outranks(self, row: DocumentRow, message_id: bytes, reaction: Reaction) -> bool:
        """Whether a stored reaction in the same place is this one or a greater one."""
        standing = self._standing(row, message_id, reaction.record.user, reaction.record.emoji)
        return standing is not None and standing[0] >= reaction.stamp

    def has_reactions(self, row: DocumentRow, message_id: bytes) -> bool:
        """Whether any reaction, on or off, stands on a message."""
        found = self._database.first(
            "select 1 from reactions where document = ? and id = ? limit 1", (row.key, message_id)
        )
        return found is not None

    def forget(self, row: DocumentRow, ids: Collection[bytes]) -> None:
        """Remove all that was said about erased ids."""
        where = [(row.key, one) for one in ids]
        self._database.executemany("delete from edits where document = ? and id = ?", where)
        self._database.executemany("delete from reactions where document = ? and id = ?", where)
