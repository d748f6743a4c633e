"""What a source says about messages becomes entries: edits, reactions, deletions. Source: design 4."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgsync.document.reader import Deletion, Edit, Reaction, supersedes
from msgsync.document.said import Said
from msgsync.document.schema import DELETIONS, EDITS, REACTIONS, Entry, new
from msgsync.ids import encode_ids
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    EditRecord,
    ReactionRecord,
    Stamp,
    carrier_stamp,
    encode_deletion,
    encode_edit,
    encode_reaction,
)
from msgsync.replica.values import Incoming
from msgsync.store.readmodel import ReadModel
from msgsync.store.rows import DocumentRow

_Record = EditRecord | ReactionRecord | DeletionRecord
_Told = tuple[str, bytes, Stamp, _Record, bytes]
"""Root, the message's id, stamp, record, and the record as a value."""


class Saying(NamedTuple):
    """What a message says about itself: one entry."""

    id: bytes
    """The message's, 12 bytes."""
    number: int
    """Counts the messages that say something."""
    stamp: Stamp
    record: _Record
    entry: Entry


_LAMPORT: Final = b".0000000000."
"""Of all that a source says, between the id and the writer."""


def sayings_of(telling: Sequence[tuple[bytes, Incoming]]) -> list[Saying]:
    """What messages, of any documents, say about themselves: Lamport 0, the same on every device and every time.

    ``telling``: ids and messages.

    Raises:
        InvalidValue: something cannot be said.
    """
    told = [
        (number, *one)
        for number, (message_id, incoming) in enumerate(telling)
        for one in _told(message_id, incoming)
    ]
    # All keys at once: a tenth of what writing one after the other takes.
    ids = encode_ids([one for _, _, one, *_ in told])
    writers = encode_ids([b"\0\0" + stamp.writer for *_, stamp, _, _ in told])
    sayings = []
    for (number, root, one, stamp, record, value), text, writer in zip(
        told, ids, writers, strict=True
    ):
        key = _LAMPORT[1:] + writer[4:] if root == DELETIONS else text + _LAMPORT + writer[4:]
        entry = new(Entry, (root, key, value))
        sayings.append(new(Saying, (one, number, stamp, record, entry)))
    return sayings


def said_upstream(
    model: ReadModel, row: DocumentRow, sayings: Iterable[Saying], known: Collection[bytes]
) -> tuple[Said, list[Entry]]:
    """What is new of what messages say about themselves.

    Args:
        model: asked about messages of which something may be stored.
        row: the document's.
        sayings: those about its messages.
        known: the ids of messages that are here.
    """
    said = Said()
    about: dict[tuple[str, bytes], Entry] = {}
    edits: dict[tuple[bytes, str, int], int] = {}  # who tells of each first
    for one, number, stamp, record, entry in sayings:
        slot = entry[:2]
        if slot in about:
            continue
        ask = row.orphans or one in known
        if isinstance(record, EditRecord):
            if edits.setdefault((one, record.text, record.at_ms), number) != number:
                continue  # as if the other had been stored before
            if ask and model.said.has_edit(row, one, record):
                continue
            said.add_edit(one, new(Edit, (stamp, record)), entry)
        elif isinstance(record, ReactionRecord):
            reaction = new(Reaction, (stamp, record))
            if ask and model.said.outranks(row, one, reaction):
                continue
            said.add_reaction(one, reaction, entry)
        else:
            deletion = Deletion(stamp, record)
            covering = model.deletions.covering(row.key, [one]) if ask else {}
            if _is_old(deletion, covering.get(one, ())):
                continue
            said.add_deletion(deletion, entry)
        about[slot] = entry
    return said, list(about.values())


def _told(one: bytes, incoming: Incoming) -> Iterator[_Told]:
    stamp_ms = -1
    for edit in incoming.edits:
        record = EditRecord(edit.text, edit.at_ms)
        value = encode_edit(record)
        stamp_ms = max(edit.at_ms, stamp_ms + 1)  # keeps the source's order whatever its clock did
        yield EDITS, one, carrier_stamp(stamp_ms, value), record, value
    for on, reactions in ((True, incoming.reactions), (False, incoming.taken_back)):
        for reaction in reactions:
            standing = ReactionRecord(reaction.user, reaction.emoji, on, reaction.at_ms)
            value = encode_reaction(standing)
            yield REACTIONS, one, carrier_stamp(reaction.at_ms, value), standing, value
    if incoming.deleted_ms is not None:
        deletion = DeletionRecord(
            DeletionKind.DELETED, incoming.deleted_ms, None, (one,), frozenset()
        )
        value = encode_deletion(deletion)
        yield DELETIONS, one, carrier_stamp(incoming.deleted_ms, value), deletion, value


def _is_old(deletion: Deletion, covering: Iterable[Deletion]) -> bool:
    """Whether the same deletion is there already, or the fold calls it irrelevant."""
    return any(
        supersedes(other, deletion)
        or (other.record.kind, other.record.at_ms) == (deletion.record.kind, deletion.record.at_ms)
        for other in covering
    )
