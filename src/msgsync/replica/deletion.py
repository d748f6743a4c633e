"""Deleting, restoring and erasing: which entries to write for which ids. Source: design 4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgsync import limits
from msgsync.document.reader import Deletion
from msgsync.document.schema import DELETIONS, ERASED, DocumentId, Entry, segment_of
from msgsync.ids import MessageId, sort_ids
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    Stamp,
    encode_deletion,
    encode_erased,
    erased_key,
)
from msgsync.store.rows import DELETED, DocumentRow
from msgsync.store.store import Store


def cover(
    store: Store, conversation: str, kind: DeletionKind, ids: Iterable[MessageId], now_ms: int
) -> None:
    """Delete or restore messages that are here; those that are so already are left out. Within a transaction."""
    for row, members in _by_document(store, conversation, ids):
        wanted = [
            one
            for one in members
            if _is_deleted(store, row, one) == (kind is DeletionKind.RESTORED)
        ]
        for chunk in _chunks(wanted):
            store.write(row, [_deletion(store, row, kind, chunk, now_ms)])


def erase(store: Store, conversation: str, ids: Iterable[MessageId]) -> None:
    """Erase messages, here or not; those that are so already are left out. Within a transaction."""
    for row, members in _by_document(store, conversation, ids):
        gone = store.readmodel.erased_ids(row)
        for chunk in _chunks([one for one in members if one not in gone]):
            value = encode_erased(chunk)
            store.write(row, [Entry(ERASED, erased_key(value), value)])


def _deletion(
    store: Store, row: DocumentRow, kind: DeletionKind, ids: list[bytes], now_ms: int
) -> Entry:
    """An entry that names all earlier ones about its ids, transitively."""
    earlier: dict[Stamp, Deletion] = {}
    for one in ids:
        earlier |= {d.stamp: d for d in store.readmodel.deletions.covering(row, one)}
    named = frozenset(earlier).union(*(d.record.supersedes for d in earlier.values()))
    record = DeletionRecord(kind, now_ms, store.identity.device.raw, tuple(ids), named)
    return Entry(DELETIONS, store.next_stamp(row).key(), encode_deletion(record))


def _is_deleted(store: Store, row: DocumentRow, message_id: bytes) -> bool:
    found = store.readmodel.messages.find(row.conversation, message_id)
    return found is not None and bool(found[1] & DELETED)


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
