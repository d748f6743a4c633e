"""The fold: from the set of a document's entries to what is shown. Every question of who wins is answered here.

Segments are folded here, heads and the account document in `document.head`. It is a pure function of the set:
commutative, associative, idempotent, and unchanged by removing what it calls irrelevant, whatever arrives later.
Source: design 4.

- **erased** is absorbing: every entry about an erased id is irrelevant, in every root.
- **edits**: the greatest stamp is shown; all are kept as history.
- **reactions**: the greatest stamp a (message, user, emoji) wins, an "off" too; the others are irrelevant.
- **gone** is absorbing too: of an attachment that such an entry names the message's record says no more than name,
  kind and size, whatever its value here is; the value without the rest is the one that counts.
- **deletions**: an entry supersedes the ones it names, if its stamp is greater. Of the entries about an id that nobody
  supersedes, `restored` wins. An entry is irrelevant once each of its ids is erased or covered by another entry that
  names it *and all that it names* (so dropping it changes nothing).
- **aliases** all matter. What they join is decided over all documents of a conversation: see `document.aliases`.
- An ``erased`` entry is irrelevant if one other entry holds all its ids and more.
- What cannot be read, or contradicts its key, is kept as it lies and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgsync.document.digest import entries_digest
from msgsync.document.gonefiles import by_text, entry_without, gone_files
from msgsync.document.head import HeadState, fold_head
from msgsync.document.reader import Alias, Deletion, Edit, EntryReader, Reaction, supersedes
from msgsync.document.schema import (
    ALIASES,
    DELETIONS,
    EDITS,
    ERASED,
    GONE,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
    is_about,
)
from msgsync.errors import InvalidValue
from msgsync.ids import encode_ids
from msgsync.records import DeletionKind, MessageRecord, Stamp


@dataclass(slots=True)
class SegmentState:
    """What a segment's entries amount to. Ids are 12 bytes."""

    messages: dict[bytes, MessageRecord] = field(default_factory=dict)
    edits: dict[bytes, list[Edit]] = field(default_factory=dict)
    """Ascending by stamp: the last one is shown."""
    reactions: dict[tuple[bytes, str, str], Reaction] = field(default_factory=dict)
    aliases: dict[bytes, set[Alias]] = field(default_factory=dict)
    deletions: dict[Stamp, Deletion] = field(default_factory=dict)
    """Those that matter."""
    covering: dict[bytes, list[Deletion]] = field(default_factory=dict, compare=False, repr=False)
    """The same by the ids that they cover, without erased ones."""
    erased: set[bytes] = field(default_factory=set)
    gone: dict[bytes, set[int]] = field(default_factory=dict)
    """Attachments that were erased, by the ids of their messages, which are not erased."""
    irrelevant: list[Entry] = field(default_factory=list)
    unreadable: dict[Entry, str] = field(default_factory=dict)
    """Entries kept as they lie, and why."""
    digest: int = 0
    lamport: int = 0
    """The greatest seen in a readable entry."""

    def text(self, message_id: bytes) -> str:
        """The text shown for a message that is here."""
        edits = self.edits.get(message_id)
        return edits[-1].record.text if edits else self.messages[message_id].text

    def deletion(self, message_id: bytes) -> Deletion | None:
        """The deletion in force for a message, or None if it is live."""
        return deletion_in_force(self.covering.get(message_id, ()))


def deletion_in_force(covering: Iterable[Deletion]) -> Deletion | None:
    """Return the deletion in force, given all entries that cover one id; None if it is live.

    Among several unsuperseded `deleted` entries, the one of the greatest stamp is named.
    """
    entries = list(covering)
    standing = [
        entry
        for entry in entries
        if not any(supersedes(other, entry) for other in entries if other is not entry)
    ]
    if any(entry.record.kind is DeletionKind.RESTORED for entry in standing):
        return None
    return max(standing, key=lambda entry: entry.stamp, default=None)


def makes_irrelevant(later: Deletion, earlier: Deletion) -> bool:
    """Whether, for an id both cover, nothing is lost if ``earlier`` is removed."""
    return supersedes(later, earlier) and earlier.record.supersedes <= later.record.supersedes


def irrelevant_deletions(
    deletions: Mapping[Stamp, Deletion], covering: Mapping[bytes, Iterable[Stamp]]
) -> set[Stamp]:
    """Return which of these entries are irrelevant.

    Args:
        deletions: entries by stamp.
        covering: for every id that is not erased, the stamps of all entries that cover it.
    """
    return {
        stamp
        for stamp, deletion in deletions.items()
        if is_irrelevant(
            deletion,
            (covering[one] for one in deletion.record.ids if one in covering),
            deletions.__getitem__,
        )
    }


def is_irrelevant(
    deletion: Deletion,
    covering: Iterable[Iterable[Stamp]],
    find: Callable[[Stamp], Deletion],
) -> bool:
    """Whether an entry is irrelevant.

    Args:
        deletion: the entry.
        covering: for each of its ids that is not erased, the stamps of all entries that cover it. No more of it is
            looked at than is needed.
        find: gives the entry of a stamp; asked once for each.
    """
    known: dict[Stamp, bool] = {}
    for stamps in covering:
        for stamp in stamps:
            if stamp not in known:
                known[stamp] = makes_irrelevant(find(stamp), deletion)
            if known[stamp]:
                break
        else:
            return False
    return True


def irrelevant_erasures(packs: Mapping[bytes, frozenset[bytes]]) -> set[bytes]:
    """Return the keys of ``erased`` entries whose ids one other entry holds, and more."""
    gone = set()
    holders: dict[bytes, set[bytes]] = {}
    for key, ids in packs.items():
        for one in ids:
            holders.setdefault(one, set()).add(key)
    for key, ids in packs.items():
        candidates = set.intersection(*(holders[one] for one in ids)) - {key}
        if candidates:  # equal sets share a key, so a candidate is larger
            gone.add(key)
    return gone


def fold(document: DocumentId, entries: Iterable[Entry]) -> SegmentState | HeadState:
    """Fold the entries of a document, in any order; of a kind that is not known every entry matters as it lies."""
    if document.is_segment:
        return fold_segment(document, entries)
    if document.has_fields:
        return fold_head(document, entries)
    return HeadState(digest=entries_digest(entries))


def fold_segment(document: DocumentId, entries: Iterable[Entry]) -> SegmentState:
    """Fold the entries of a segment, in any order."""
    state = SegmentState()
    reader = EntryReader(document)
    by_root: dict[str, list[Entry]] = {}
    for entry in entries:
        by_root.setdefault(entry.root, []).append(entry)
    matter: list[Entry] = []

    matter += _fold_erasures(state, by_root.pop(ERASED, []), reader)
    erased_texts = set(encode_ids(list(state.erased)))
    gone = gone_files(document, by_root.get(GONE, ()))
    state.gone = {one: numbers for one, numbers in gone.items() if one not in state.erased}
    gone_texts = by_text(gone)

    winners: dict[tuple[bytes, str, str], Entry] = {}
    deletions: dict[Stamp, tuple[Entry, Deletion]] = {}
    for root, members in by_root.items():
        for said in members:
            if is_about(said, erased_texts):
                state.irrelevant.append(said)
                continue
            entry = entry_without(said, gone_texts) if gone_texts else said
            try:
                if root == REACTIONS:
                    _fold_reaction(state, winners, *reader.reaction(entry), entry)
                    continue
                if root == DELETIONS:
                    deletion = reader.deletion(entry)
                    deletions[deletion.stamp] = entry, deletion
                    state.lamport = max(state.lamport, deletion.stamp.lamport)
                    continue
                _fold_lasting(state, reader, entry)
            except InvalidValue as error:
                state.unreadable[entry] = str(error)
            matter.append(entry)

    for edits in state.edits.values():
        edits.sort(key=lambda edit: edit.stamp)
    matter += winners.values()
    matter += _fold_deletions(state, deletions)
    state.digest = entries_digest(matter, state.erased)
    return state


def _fold_lasting(state: SegmentState, reader: EntryReader, entry: Entry) -> None:
    """Take in an entry that matters as long as its message is not erased. Raises InvalidValue if it cannot be read."""
    if entry.root == MESSAGES:
        message_id, record = reader.message(entry)
        state.messages[message_id] = record
    elif entry.root == EDITS:
        message_id, edit = reader.edit(entry)
        state.edits.setdefault(message_id, []).append(edit)
        state.lamport = max(state.lamport, edit.stamp.lamport)
    elif entry.root == ALIASES:
        message_id, alias = reader.alias(entry)
        state.aliases.setdefault(message_id, set()).add(alias)
    elif entry.root == GONE:
        reader.gone(entry)


def _fold_erasures(state: SegmentState, entries: list[Entry], reader: EntryReader) -> list[Entry]:
    """Take in the erased ids; return the entries that cannot be read."""
    packs: dict[bytes, frozenset[bytes]] = {}
    readable: dict[bytes, Entry] = {}
    for entry in entries:
        try:
            packs[entry.key] = frozenset(reader.erased(entry))
        except InvalidValue as error:
            state.unreadable[entry] = str(error)
            continue
        readable[entry.key] = entry
        state.erased |= packs[entry.key]
    state.irrelevant += [readable[key] for key in irrelevant_erasures(packs)]
    return [entry for entry in entries if entry in state.unreadable]


def _fold_reaction(
    state: SegmentState,
    winners: dict[tuple[bytes, str, str], Entry],
    message_id: bytes,
    reaction: Reaction,
    entry: Entry,
) -> None:
    state.lamport = max(state.lamport, reaction.stamp.lamport)
    slot = message_id, reaction.record.user, reaction.record.emoji
    standing = state.reactions.get(slot)
    if standing is None or reaction.stamp > standing.stamp:
        if standing is not None:
            state.irrelevant.append(winners[slot])
        state.reactions[slot] = reaction
        winners[slot] = entry
    else:
        state.irrelevant.append(entry)


def _fold_deletions(
    state: SegmentState, deletions: dict[Stamp, tuple[Entry, Deletion]]
) -> list[Entry]:
    covering: dict[bytes, list[Stamp]] = {}
    for stamp, (_, deletion) in deletions.items():
        for one in deletion.record.ids:
            if one not in state.erased:
                covering.setdefault(one, []).append(stamp)
    by_stamp = {stamp: deletion for stamp, (_, deletion) in deletions.items()}
    gone = irrelevant_deletions(by_stamp, covering)
    state.deletions = {stamp: deletion for stamp, deletion in by_stamp.items() if stamp not in gone}
    state.covering = {
        one: [by_stamp[stamp] for stamp in stamps if stamp not in gone]
        for one, stamps in covering.items()
    }
    state.irrelevant += [deletions[stamp][0] for stamp in gone]
    return [entry for stamp, (entry, _) in deletions.items() if stamp not in gone]
