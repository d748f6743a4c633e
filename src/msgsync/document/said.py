"""What entries say about messages, read once and by message. Pure; source: design 4 and 8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from msgsync.document.digest import entry_digest
from msgsync.document.reader import Alias, Deletion, Edit, EntryReader, Reaction
from msgsync.document.schema import (
    ALIASES,
    DELETIONS,
    EDITS,
    ERASED,
    GONE,
    MESSAGES,
    REACTIONS,
    Entry,
)
from msgsync.errors import InvalidValue


class Said:
    """What a batch of entries says about messages, by id, and the digest of those entries that stay for good."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self.edits: dict[bytes, list[Edit]] = {}
        self.reactions: dict[bytes, list[tuple[Reaction, Entry]]] = {}
        self.deletions: list[tuple[Deletion, Entry]] = []
        self.aliases: dict[bytes, list[tuple[Alias, Entry]]] = {}
        self.unreadable: list[tuple[Entry, InvalidValue]] = []
        """Entries that cannot be read, and why; not in the digest."""
        self.lamport = 0
        self.digest = 0

    @classmethod
    def of(cls, entries: Iterable[Entry], reader: EntryReader) -> Self:
        """What entries of one document say; messages and erasures among them are left out."""
        said = cls()
        for entry in entries:
            if entry.root not in (ERASED, MESSAGES):
                try:
                    said._read(entry, reader)
                except InvalidValue as error:
                    said.unreadable.append((entry, error))
        return said

    def _read(self, entry: Entry, reader: EntryReader) -> None:
        if entry.root == EDITS:
            self.add_edit(*reader.edit(entry), entry)
        elif entry.root == REACTIONS:
            self.add_reaction(*reader.reaction(entry), entry)
        elif entry.root == DELETIONS:
            self.add_deletion(reader.deletion(entry), entry)
        elif entry.root == ALIASES:
            self.add_alias(*reader.alias(entry), entry)
        elif entry.root == GONE:
            reader.gone(entry)
            self.digest += entry_digest(entry)
        else:  # a root of a later version: kept as it lies
            self.digest += entry_digest(entry)

    def add_edit(self, message_id: bytes, edit: Edit, entry: Entry) -> None:
        """Add an edit."""
        self.edits.setdefault(message_id, []).append(edit)
        self.lamport = max(self.lamport, edit.stamp.lamport)
        self.digest += entry_digest(entry)

    def add_reaction(self, message_id: bytes, reaction: Reaction, entry: Entry) -> None:
        """Add a reaction; it counts only while it wins."""
        self.reactions.setdefault(message_id, []).append((reaction, entry))
        self.lamport = max(self.lamport, reaction.stamp.lamport)

    def add_deletion(self, deletion: Deletion, entry: Entry) -> None:
        """Add a deletion; it counts only while it matters."""
        self.deletions.append((deletion, entry))
        self.lamport = max(self.lamport, deletion.stamp.lamport)

    def add_alias(self, message_id: bytes, alias: Alias, entry: Entry) -> None:
        """Add an alias."""
        self.aliases.setdefault(message_id, []).append((alias, entry))
        self.digest += entry_digest(entry)

    def ids(self) -> set[bytes]:
        """Every id that something is said about."""
        covered = {one for deletion, _ in self.deletions for one in deletion.record.ids}
        return self.edits.keys() | self.reactions.keys() | self.aliases.keys() | covered
