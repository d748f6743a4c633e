"""A replica of the model: its documents as sets, its verbs as entries added to them. Source: design 3 and 4."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from msgsync.testing.reference.entries import (
    Alias,
    Deletion,
    Edit,
    Entry,
    Erasure,
    Field,
    Gone,
    Reaction,
    Record,
    Stamp,
)
from msgsync.testing.reference.fold import (
    State,
    doomed,
    fold,
    is_deleted,
    matter,
    one_message,
    reached,
    standing,
)

HEAD = "head"


@dataclass(frozen=True, slots=True)
class Document:
    """Names a document: the head of a conversation, or one month of it."""

    conversation: str
    part: str


def segment(conversation: str, ms: int) -> Document:
    """Return the document of a message: the calendar month of its id, in UTC."""
    return Document(conversation, datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m"))


@dataclass
class Held:
    """What one replica has of one document."""

    entries: set[Entry] = field(default_factory=set)
    least: int = 0
    """The greatest Lamport number this replica has seen here for certain …"""
    greatest: int = 0
    """… and the greatest it can have seen."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries written here or received in full."""
        for entry in entries:
            self.entries.add(entry)
            stamp = getattr(entry, "stamp", None)
            if stamp is not None:
                self.least = max(self.least, stamp.least)
                self.greatest = max(self.greatest, stamp.greatest)


class ReferenceReplica:
    """What a replica has to know and show after what was done on it."""

    _openings = count(1)

    def __init__(self, author: str) -> None:
        self.author = author
        self.documents: dict[Document, Held] = defaultdict(Held)
        self.open()

    def open(self) -> None:
        """Write under a name never used before, as every opening does."""
        self.writer = f"w{next(self._openings)}"

    def copy(self) -> ReferenceReplica:
        """Return what a copy of the closed file holds."""
        other = copy.copy(self)
        other.documents = defaultdict(Held)
        for name, held in self.documents.items():
            other.documents[name] = Held(set(held.entries), held.least, held.greatest)
        return other

    # What is shown.

    def conversations(self) -> set[str]:
        """Return the names of conversations that anything was ever said about."""
        return {name.conversation for name, held in self.documents.items() if held.entries}

    def entries(self, conversation: str) -> set[Entry]:
        """Return every entry of a conversation."""
        return {
            entry
            for name, held in self.documents.items()
            if name.conversation == conversation
            for entry in held.entries
        }

    def state(self, conversation: str) -> State:
        """Return what may be seen of a conversation."""
        return fold(self.entries(conversation))

    def parts(self) -> frozenset[tuple[Document, frozenset[Entry]]] | None:
        """Return what a digest counts, a document each; None where that depends on a tie."""
        parts = set()
        for name, held in self.documents.items():
            counted = matter(held.entries)
            if counted is None:
                return None
            if counted:
                parts.add((name, counted))
        return frozenset(parts)

    # What a person does.

    def create(self, conversation: str, title: str) -> None:
        """Make a conversation: what it is called, and that it was made."""
        self.set_field(conversation, "created", "")
        self.set_field(conversation, "title", title)

    def set_field(self, conversation: str, name: str, value: str) -> None:
        """Give a conversation a title or the like."""
        document = Document(conversation, HEAD)
        rivals = [
            entry
            for entry in self.documents[document].entries
            if isinstance(entry, Field) and entry.name == name
        ]
        self._write(document, Field(name, value, self._stamp(document, rivals)))

    def send(self, conversation: str, record: Record) -> None:
        """Write a message here, under the id the replica gave it."""
        self._write(segment(conversation, record.ms), record)

    def edit(self, conversation: str, id: str, ms: int, text: str) -> None:
        """Give a message another text."""
        document = segment(conversation, ms)
        group = self._group(conversation, id, document)
        rivals = [
            entry
            for entry in self.entries(conversation)
            if isinstance(entry, Edit) and entry.id in group
        ]
        self._write(document, Edit(id, text, self._stamp(document, rivals)))

    def react(
        self, conversation: str, id: str, ms: int, *, user: str, emoji: str, on: bool
    ) -> None:
        """Put an emoji on a message or take it away."""
        document = segment(conversation, ms)
        group = self._group(conversation, id, document)
        rivals = [
            entry
            for entry in self.entries(conversation)
            if isinstance(entry, Reaction)
            and entry.id in group
            and (entry.user, entry.emoji) == (user, emoji)
        ]
        self._write(document, Reaction(id, user, emoji, on, self._stamp(document, rivals)))

    def delete(self, conversation: str, ids: dict[str, int], *, restored: bool = False) -> None:
        """Put messages (ids with their milliseconds) into Recently Deleted, or bring them back."""
        by_segment: dict[Document, set[str]] = defaultdict(set)
        everything = self.entries(conversation)
        ms_of = {a.other: a.other_ms for a in everything if isinstance(a, Alias)} | ids
        for id in {each for one in ids for each in one_message(one, everything)}:
            document = segment(conversation, ms_of[id])
            before = [e for e in self.documents[document].entries if isinstance(e, Deletion)]
            if is_deleted(id, before) == restored:
                by_segment[document].add(id)
        for document, covered in by_segment.items():
            earlier = [
                entry
                for entry in self.documents[document].entries
                if isinstance(entry, Deletion) and entry.ids & covered
            ]
            named = {entry.key for entry in earlier}
            named |= {key for entry in earlier for key in entry.superseded}
            stamp = self._stamp(document, earlier)
            self._write(document, Deletion(frozenset(covered), restored, stamp, frozenset(named)))

    def erase(self, conversation: str, ids: dict[str, int]) -> None:
        """Erase messages for good, known here or not."""
        for one, one_ms in ids.items():
            for id, ms in reached(one, one_ms, self.entries(conversation)).items():
                self._write(segment(conversation, ms), Erasure(id))
        self._settle(conversation)

    def erase_attachment(self, conversation: str, id: str, ms: int, number: int) -> None:
        """Erase an attachment for good; its message stays."""
        self._write(segment(conversation, ms), Gone(id, number))

    def link(
        self, conversation: str, own: tuple[str, int], echo: tuple[str, int], name: str
    ) -> None:
        """Say that an own message and a carrier's (ids with their milliseconds) are one."""
        for (id, ms), (other, other_ms) in ((own, echo), (echo, own)):
            alias = Alias(id, other, ms, other_ms, name, own=other == echo[0])
            self._write(segment(conversation, ms), alias)
        self._settle(conversation)

    def named(self, conversation: str, name: str) -> str | None:
        """Return the id under which the message of an external id is shown, if it is here."""
        entries = self.entries(conversation)
        state = fold(entries)
        here = state.messages.keys() | state.merged.keys()
        records = {e.id for e in entries if isinstance(e, Record) and e.external_id == name}
        joined = {
            e.id
            for e in entries
            if isinstance(e, Alias) and e.own and e.external_id == name and e.id not in state.erased
        }
        found = min(records & here, default=None) or min(joined, default=None)
        return state.merged.get(found, found) if found in here else None

    # What a carrier says. All of it is a function of what was said upstream.

    def ingest(
        self,
        conversation: str,
        record: Record,
        *,
        edits: Iterable[tuple[str, int]] = (),
        reactions: Iterable[tuple[str, str, int]] = (),
        deleted_ms: int | None = None,
    ) -> str:
        """Take over a message and what its carrier says about it.

        Returns:
            ``"added"``, ``"present"`` or ``"erased"``: what became of the message itself.
        """
        document = segment(conversation, record.ms)
        entries = self.documents[document].entries
        if Erasure(record.id) in entries:
            return "erased"
        present = any(isinstance(entry, Record) and entry.id == record.id for entry in entries)
        if not present:
            self._write(document, record)
        for text, at_ms in edits:
            self._write(document, Edit(record.id, text, Stamp(0, 0, "", at_ms)))
        for user, emoji, at_ms in reactions:
            said = Reaction(record.id, user, emoji, True, Stamp(0, 0, "", at_ms))
            self._write(document, said)
        if deleted_ms is not None:
            covered = frozenset({record.id})
            self._write(document, Deletion(covered, False, Stamp(0, 0, "", deleted_ms)))
        return "present" if present else "added"

    # Exchanges.

    def merge(self, other: ReferenceReplica, documents: Iterable[Document] | None = None) -> None:
        """Receive what another replica has, of all documents or of those named."""
        for name in list(other.documents) if documents is None else documents:
            theirs, ours = other.documents[name], self.documents[name]
            ours.entries |= theirs.entries
            # What still matters to both is certainly sent; of the rest a replica may never have heard.
            ours.greatest = max(ours.greatest, theirs.greatest)
            for entry in standing(ours.entries):
                if not isinstance(entry, Record | Erasure | Gone | Alias):
                    ours.least = max(ours.least, entry.stamp.least)

        for conversation in {name.conversation for name in self.documents}:
            self._settle(conversation)

    def _settle(self, conversation: str) -> None:
        """Erase what is one message with something erased."""
        while more := doomed(self.entries(conversation)):
            for id, ms in more:
                self._write(segment(conversation, ms), Erasure(id))

    def _group(self, conversation: str, id: str, document: Document) -> set[str]:
        """Return the ids of one message; whoever writes about it counts on from all of their documents."""
        entries = self.entries(conversation)
        group = one_message(id, entries)
        for alias in [e for e in entries if isinstance(e, Alias) and e.id in group - {id}]:
            other = self.documents[segment(conversation, alias.ms)]
            held = self.documents[document]
            held.least = max(held.least, other.least)
            held.greatest = max(held.greatest, other.greatest)
        return group

    def _stamp(self, document: Document, known: Iterable[Entry]) -> Stamp:
        held = self.documents[document]
        seen = frozenset(
            entry.stamp for entry in known if not isinstance(entry, Record | Erasure | Gone | Alias)
        )
        return Stamp(held.least + 1, held.greatest + 1, self.writer, seen=seen)

    def _write(self, document: Document, entry: Entry) -> None:
        self.documents[document].add([entry])
