"""From the attachments of records to what an app sees of them. Source: design 11."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from msgsync.records import AttachmentRecord, chunk_name
from msgsync.replica.attachment import Attachment, AttachmentState
from msgsync.replica.space import trusted
from msgsync.store.chunkrows import AWAY, DAMAGED, HERE, MISSING
from msgsync.store.store import Store


def attachments(store: Store, records: Sequence[AttachmentRecord]) -> tuple[Attachment, ...]:
    """Attachments as they are shown, from their records."""
    return tuple(_shown(store, number, record) for number, record in enumerate(records, 1))


def _shown(store: Store, number: int, record: AttachmentRecord) -> Attachment:
    names = [chunk_name(key) for key in record.chunk_keys()]
    states = store.attachments.states(names)
    sizes = map(record.chunk_size, range(len(names)))
    bytes_here = sum(
        size for name, size in zip(names, sizes, strict=True) if states.get(name) == HERE
    )
    source = store.attachments.source
    assert source is not None
    return Attachment(
        number,
        record.name,
        record.media_type,
        record.size,
        record.digest.hex(),
        record.width,
        record.height,
        record.duration_ms,
        record.preview,
        AttachmentState.GONE if record.is_gone else _state(store, names, set(states.values())),
        bytes_here,
        record,
        source,
    )


def _state(store: Store, names: Sequence[bytes], found: AbstractSet[int]) -> AttachmentState:
    if DAMAGED in found:
        return AttachmentState.DAMAGED
    if MISSING in found:
        return AttachmentState.DOWNLOADING
    if AWAY in found:
        return AttachmentState.ELSEWHERE
    if set(names) <= store.copies.elsewhere(names, trusted(store)):
        return AttachmentState.HERE
    in_mailbox = store.copies.in_mailbox(names)
    return AttachmentState.UPLOADING if in_mailbox else AttachmentState.ONLY_HERE
