"""The rows that the read model should have of a month, by its fold: what a check compares with those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgsync.document.fold import SegmentState
from msgsync.document.reader import EntryReader
from msgsync.document.schema import ALIASES, MESSAGES, DocumentId, Entry
from msgsync.records import decode_message_columns
from msgsync.store.rows import DELETED, EDITED, REACTED
from msgsync.store.said import ORIGINAL

Joined = tuple[int, str | None]
"""What a message shows that is one with others: its flags, and the text of the last edit if there is any."""


def expected_rows(
    document: DocumentId,
    state: SegmentState,
    entries: list[Entry],
    joined: Mapping[bytes, Joined],
) -> dict[str, set[object]]:
    """Rows by their table, without the keys of others that they name.

    Args:
        document: the month.
        state: its fold.
        entries: all that it has.
        joined: what messages show that are one with others, by id.
    """
    reader = EntryReader(document)
    counting = [
        entry
        for entry in entries
        if entry.root in (MESSAGES, ALIASES)
        and entry not in state.unreadable
        and entry not in state.irrelevant
    ]
    messages = {
        reader.message_id(entry): entry.value for entry in counting if entry.root == MESSAGES
    }
    aliases = (entry for entry in counting if entry.root == ALIASES)
    return {
        **_messages(messages, state, joined),
        **_deletions(state),
        "reactions": set(_reactions(state)),
        "aliases": set(_aliases(reader, aliases)),
        "erased": {(one,) for one in state.erased},
        "gone": {
            (one + bytes((number,)),) for one, numbers in state.gone.items() for number in numbers
        },
        "unreadable": {(entry.root, entry.key) for entry in state.unreadable},
    }


def _messages(
    values: Mapping[bytes, bytes], state: SegmentState, joined: Mapping[bytes, Joined]
) -> dict[str, set[object]]:
    """Messages and their edits: of one that was edited the text that was sent is a row among those."""
    reacted = {one for one, _, _ in state.reactions}
    messages: set[object] = set()
    edits: set[object] = set(_edits(state))
    for one, value in values.items():
        author, original, order, external_id, rest = decode_message_columns(value)
        external = None if external_id is None else external_id.decode()
        text = original.decode()
        flags = (REACTED if one in reacted else 0) | (EDITED if one in state.edits else 0)
        if state.deletion(one):
            flags |= DELETED
        shown = state.text(one)
        if one in joined:
            flags, last = joined[one]
            shown = text if last is None else last
        if flags & EDITED:
            edits.add((one, ORIGINAL, b"", text, None, None))
        messages.add((one, order, flags, author.decode(), shown, external, rest))
    return {"messages": messages, "edits": edits}


def _edits(state: SegmentState) -> Iterator[object]:
    for one, members in state.edits.items():
        for stamp, record in members:
            yield one, stamp.lamport, stamp.writer, record.text, record.at_ms, record.device


def _reactions(state: SegmentState) -> Iterator[object]:
    for (one, user, emoji), (stamp, record) in state.reactions.items():
        shown = int(record.on)
        yield one, user, emoji, stamp.lamport, stamp.writer, shown, record.at_ms, record.device


def _deletions(state: SegmentState) -> dict[str, set[object]]:
    deletions: set[object] = set()
    covered: set[object] = set()
    for stamp, deletion in state.deletions.items():
        record = deletion.record
        ids = b"".join(record.ids)
        supersedes = b"".join(sorted(other.pack() for other in record.supersedes))
        said = int(record.kind), record.at_ms, record.device
        deletions.add((stamp.lamport, stamp.writer, *said, ids, supersedes))
        covered |= {
            (one, stamp.lamport, stamp.writer) for one in record.ids if one not in state.erased
        }
    return {"deletions": deletions, "covered": covered}


def _aliases(reader: EntryReader, entries: Iterable[Entry]) -> Iterator[object]:
    for entry in entries:
        one, alias = reader.alias(entry)
        yield one, entry.key[21:], alias.other, alias.external_id, alias.sent_ms, int(alias.own)
