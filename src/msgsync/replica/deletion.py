"""Deleting, restoring and erasing: which entries to write for which ids. Source: design 4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from msgsync import limits
from msgsync.document.gonefiles import gone_entry
from msgsync.document.schema import DELETIONS, DocumentId, Entry, segment_of
from msgsync.errors import InvalidValue
from msgsync.ids import MessageId, sort_ids
from msgsync.records import (
    AttachmentRecord,
    DeletionKind,
    DeletionRecord,
    decode_attachments,
    encode_deletion,
)
from msgsync.replica.attachment import Attachment
from msgsync.store.rows import DELETED, LINKED, DocumentRow
from msgsync.store.store import Store


@dataclass(frozen=True, slots=True)
class DeletionProgress:
    """How far deleting, restoring or erasing many messages has come."""

    messages: int
    """Those that are written; nothing of it is durable before the call returns."""
    messages_total: int


DeletionListener = Callable[[DeletionProgress], object]


class Tally:
    """Counts the messages of one deletion, restoration or erasure, and tells a listener."""

    def __init__(self, total: int, listener: DeletionListener | None) -> None:
        self._total, self._listener = total, listener
        self._count = 0

    def add(self, count: int) -> None:
        """So many more are written."""
        self._count += count
        if self._listener is not None and count:
            self._listener(DeletionProgress(self._count, self._total))


_UNHEARD = Tally(0, None)


def cover(
    store: Store,
    conversation: str,
    kind: DeletionKind,
    ids: Iterable[MessageId],
    now_ms: int,
    tally: Tally = _UNHEARD,
) -> None:
    """Delete or restore messages that are here; those that are so already are left out. Within a transaction."""
    for row, members in _by_document(store, conversation, ids):
        deleted = _deleted(store, row, members)
        wanted = [one for one in members if (one in deleted) == (kind is DeletionKind.RESTORED)]
        tally.add(len(members) - len(wanted))
        for chunk in _chunks(wanted):
            store.write(row, [_deletion(store, row, kind, chunk, now_ms)])
            tally.add(len(chunk))


def erase(
    store: Store, conversation: str, ids: Iterable[MessageId], tally: Tally = _UNHEARD
) -> None:
    """Erase messages and all that aliases join to them, here or not. Within a transaction."""
    named = {one.raw for one in ids}
    wanted = named
    key = store.documents.conversation(conversation)
    if key is not None:
        store.readmodel.messages.flush()
        wanted = store.readmodel.aliases.reached(key, named)
    months: dict[str, list[bytes]] = {}
    for one in wanted:
        months.setdefault(segment_of(MessageId(one).ms), []).append(one)
    for members in months.values():
        store.erase(conversation, members)
        tally.add(len(named.intersection(members)))


def erase_attachment(
    store: Store, conversation: str, one: MessageId, attachment: Attachment
) -> None:
    """Erase one attachment of a message that is here, and the same file of all that aliases join to it.

    Within a transaction.

    Raises:
        InvalidValue: the message has no such attachment.
    """
    number = attachment.number - 1
    records = _records(store, conversation, one.raw)
    if not 0 <= number < len(records) or (attachment.name, attachment.size) != (
        records[number].name,
        records[number].size,
    ):
        raise InvalidValue(
            f"message {one} has no attachment {attachment.number} called {attachment.name!r}; "
            "pass one of its own: message.attachments"
        )
    gone = {one.raw: {number}}
    known = records[number]
    key = store.documents.conversation(conversation)
    group = [one.raw] if key is None else [*store.readmodel.aliases.group(key, one.raw)]
    for member in group:
        for place, record in enumerate(_records(store, conversation, member)):
            if not known.is_gone and (record.digest, record.size) == (known.digest, known.size):
                gone.setdefault(member, set()).add(place)
    for member, places in gone.items():
        row = store.row(DocumentId(conversation, segment_of(MessageId(member).ms)))
        before = store.attachments.gone_files(row, [member]).get(member, ())
        new = sorted(place for place in places if place not in before)
        store.write(row, [gone_entry(member, place) for place in new])


def _records(store: Store, conversation: str, message_id: bytes) -> tuple[AttachmentRecord, ...]:
    row = store.documents.find(DocumentId(conversation, segment_of(MessageId(message_id).ms)))
    if row is None:
        return ()
    store.readmodel.messages.flush()
    return decode_attachments(store.readmodel.messages.rest(row, message_id))


def _deletion(
    store: Store, row: DocumentRow, kind: DeletionKind, ids: list[bytes], now_ms: int
) -> Entry:
    """An entry that names all earlier ones about its ids, transitively."""
    covering = store.readmodel.deletions.covering(row.key, ids)
    earlier = {d.stamp: d for members in covering.values() for d in members}
    named = frozenset(earlier).union(*(d.record.supersedes for d in earlier.values()))
    record = DeletionRecord(kind, now_ms, store.identity.device.raw, tuple(ids), named)
    return Entry(DELETIONS, store.next_stamp(row).key(), encode_deletion(record))


def _deleted(store: Store, row: DocumentRow, ids: list[bytes]) -> set[bytes]:
    """Those of the ids that are deleted."""
    deleted, unsure = set(), []
    for one in ids:
        found = store.readmodel.messages.find(row.conversation, one)
        if found is None or found[1] & LINKED:
            # Not here yet, or one with another: its own deletions decide what has to be written.
            unsure.append(one)
        elif found[1] & DELETED:
            deleted.add(one)
    return deleted | store.readmodel.deletions.in_force(row.key, unsure).keys()


def _by_document(
    store: Store, conversation: str, ids: Iterable[MessageId]
) -> list[tuple[DocumentRow, list[bytes]]]:
    store.readmodel.messages.flush()
    months: dict[str, list[bytes]] = {}
    for one in ids:
        months.setdefault(segment_of(one.ms), []).append(one.raw)
    return [
        (store.row(DocumentId(conversation, month)), sort_ids(members))
        for month, members in months.items()
    ]


def _chunks(ids: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(ids), limits.IDS_PER_ENTRY):
        yield ids[start : start + limits.IDS_PER_ENTRY]
