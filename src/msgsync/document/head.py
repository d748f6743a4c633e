"""The fold of heads and of the account document: fields, marks, deletion of the conversation. Pure. Source: design 4.

- **erased** names fields (by hash) with a stamp each: entries of such a field up to that stamp are irrelevant for good.
- **fields**: the greatest stamp a name wins; the others are irrelevant.
- **deletions**: an entry covers the entries of fields that it lists. It supersedes the ones it names, if its stamp is
  greater. A field is covered if, of the entries that list it and that nobody supersedes, none is `restored`. The
  conversation is deleted if it has fields and each one that wins is covered.
  A deletion is irrelevant once another one names it *and all that it names* and lists all its fields.
- **reads**: of the marks that say *unread* the one with the greatest stamp counts; marks below it are irrelevant. Of
  the others a mark is irrelevant if a later one covers all that it covers, whichever messages there are. A message was
  read if a mark that is left covers it. So reading never goes backwards by itself, only by a person's *unread*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgsync.document.digest import entries_digest
from msgsync.document.reader import EntryReader, HeadDeletion, ReadMark, supersedes
from msgsync.document.schema import DELETIONS, ERASED, FIELDS, READS, DocumentId, Entry
from msgsync.errors import InvalidValue
from msgsync.records import DeletionKind, ErasedFields, ReadKind, Stamp, name_hash

_NEVER = Stamp(-1, b"")


@dataclass(slots=True)
class HeadState:
    """What the entries of a head or of the account document amount to; of an opaque document only the digest."""

    fields: dict[str, tuple[Stamp, Any]] = field(default_factory=dict)
    """Those that win, by name."""
    covered: set[str] = field(default_factory=set)
    """Names of those that a deletion of the conversation covers."""
    deletions: list[HeadDeletion] = field(default_factory=list)
    """Those that matter."""
    reads: list[ReadMark] = field(default_factory=list)
    """Marks that matter: a message was read if one of them covers it."""
    erased: ErasedFields = field(default_factory=dict)
    """By hash of the name: the greatest stamp that is erased."""
    remains: bool = False
    """Whether an erased entry is still among them."""
    irrelevant: list[Entry] = field(default_factory=list)
    unreadable: dict[Entry, str] = field(default_factory=dict)
    digest: int = 0
    lamport: int = 0

    @property
    def live(self) -> bool:
        """Whether the head alone makes the conversation listed: a field is not covered."""
        return len(self.fields) > len(self.covered)

    def value(self, name: str, kind: type[Any], default: Any = None) -> Any:
        """The value of a field, if it is exactly of a type."""
        value = self.fields[name][1] if name in self.fields else default
        return value if type(value) is kind else default


def unsuperseded(entries: Sequence[HeadDeletion]) -> list[HeadDeletion]:
    """Those of the entries that no other one supersedes."""
    return [one for one in entries if not any(supersedes(other, one) for other in entries)]


def _makes_irrelevant(later: HeadDeletion, earlier: HeadDeletion) -> bool:
    return (
        supersedes(later, earlier)
        and earlier.record.supersedes <= later.record.supersedes
        and set(earlier.record.fields) <= set(later.record.fields)
    )


def fold_head(document: DocumentId, entries: Iterable[Entry]) -> HeadState:
    """Fold the entries of a head or of the account document, in any order."""
    state = HeadState()
    by_root: dict[str, list[Entry]] = {}
    for entry in entries:
        by_root.setdefault(entry.root, []).append(entry)
    reader = EntryReader(document)
    matter: list[Entry] = []
    matter += _fold_erasures(state, by_root.pop(ERASED, []), reader)
    matter += _fold_fields(state, by_root.pop(FIELDS, ()), reader)
    matter += _fold_deletions(state, by_root.pop(DELETIONS, ()), reader)
    matter += _fold_reads(state, by_root.pop(READS, ()), reader)
    matter += [entry for members in by_root.values() for entry in members]
    erased = [one + stamp.pack() for one, stamp in state.erased.items()]
    state.digest = entries_digest(matter, erased)
    return state


def _fold_erasures(state: HeadState, entries: list[Entry], reader: EntryReader) -> list[Entry]:
    """Take in what is erased; return the entries that cannot be read."""
    readable: list[tuple[Entry, ErasedFields]] = []
    for entry in entries:
        try:
            readable.append((entry, reader.erased_fields(entry)))
        except InvalidValue as error:
            state.unreadable[entry] = str(error)
    for entry, erased in readable:
        for one, stamp in erased.items():
            state.erased[one] = max(stamp, state.erased.get(one, stamp))
            state.lamport = max(state.lamport, stamp.lamport)
        if any(other != erased and _holds(other, erased) for _, other in readable):
            state.irrelevant.append(entry)
    return [entry for entry in entries if entry in state.unreadable]


def _holds(other: ErasedFields, erased: ErasedFields) -> bool:
    return all(one in other and other[one] >= stamp for one, stamp in erased.items())


def _fold_fields(state: HeadState, entries: Iterable[Entry], reader: EntryReader) -> list[Entry]:
    winners: dict[str, Entry] = {}
    matter: list[Entry] = []
    for entry in entries:
        try:
            stamp, name, value = reader.field(entry)
        except InvalidValue as error:
            state.unreadable[entry] = str(error)
            matter.append(entry)
            continue
        state.lamport = max(state.lamport, stamp.lamport)
        gone = state.erased and stamp <= state.erased.get(name_hash(name), _NEVER)
        state.remains = state.remains or bool(gone)
        if gone or (name in state.fields and state.fields[name][0] > stamp):
            state.irrelevant.append(entry)
            continue
        if name in winners:
            state.irrelevant.append(winners[name])
        state.fields[name] = stamp, value
        winners[name] = entry
    return matter + list(winners.values())


def _fold_deletions(state: HeadState, entries: Iterable[Entry], reader: EntryReader) -> list[Entry]:
    matter: list[Entry] = []
    found: dict[Stamp, tuple[Entry, HeadDeletion]] = {}
    for entry in entries:
        try:
            deletion = reader.head_deletion(entry)
        except InvalidValue as error:
            state.unreadable[entry] = str(error)
            matter.append(entry)
            continue
        found[deletion.stamp] = entry, deletion
        state.lamport = max(state.lamport, deletion.stamp.lamport)
    everyone = [deletion for _, deletion in found.values()]
    for entry, deletion in found.values():
        if any(_makes_irrelevant(other, deletion) for other in everyone):
            state.irrelevant.append(entry)
        else:
            matter.append(entry)
            state.deletions.append(deletion)
    for name, (stamp, _) in state.fields.items():
        about = [one for one in state.deletions if stamp in one.record.fields]
        standing = unsuperseded(about)
        if standing and all(one.record.kind is DeletionKind.DELETED for one in standing):
            state.covered.add(name)
    return matter


def _fold_reads(state: HeadState, entries: Iterable[Entry], reader: EntryReader) -> list[Entry]:
    matter: list[Entry] = []
    marks: list[tuple[Entry, ReadMark]] = []
    for entry in entries:
        try:
            mark = reader.read_mark(entry)
        except InvalidValue as error:
            state.unreadable[entry] = str(error)
            matter.append(entry)
            continue
        marks.append((entry, mark))
        state.lamport = max(state.lamport, mark.stamp.lamport)
    unread = max((m.stamp for _, m in marks if m.record.kind is ReadKind.UNREAD), default=None)
    standing = [(entry, mark) for entry, mark in marks if unread is None or mark.stamp >= unread]
    state.irrelevant += [
        entry for entry, mark in marks if unread is not None and mark.stamp < unread
    ]
    for entry, mark in standing:
        if mark.stamp != unread and any(_outdoes(other, mark) for _, other in standing):
            state.irrelevant.append(entry)
        else:
            matter.append(entry)
            state.reads.append(mark)
    return matter


def _outdoes(other: ReadMark, mark: ReadMark) -> bool:
    # The greater stamp: an *unread* that comes later takes both away, or the lesser alone.
    return other.stamp > mark.stamp and other.record.holds(mark.record)
