"""Files that lie outside, of attachments that messages here have: taken in again, chunk by chunk. Source: design 11.

An export says of a file what its message's record says, keys of chunks included. So the chunks that are made of the
file are those that every device has, under the same names, whatever epoch is in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from msgsync import limits
from msgsync.attachment.sealing import seal_chunk
from msgsync.errors import AttachmentDamaged
from msgsync.records import AttachmentRecord, chunk_name, read_attachments
from msgsync.store.trouble import storage_errors

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


def refill(replica: Replica, record: bytes, path: Path) -> bool:
    """Take the bytes of an attachment from a file, as far as a message here needs them and they are not here.

    What came stays if this ends early. What is here already stays as it is, whatever the file is.

    Args:
        replica: open for writing.
        record: of the attachment, as an export writes it.
        path: of the file.

    Returns:
        Whether there was anything to take. There is nothing if no message here has the very record.

    Raises:
        AttachmentDamaged: the file is not what the record says, or changed while it was read. Nothing of it stays that
            the record does not say.
        OSError: it cannot be read.
        StorageError: it cannot be written here.
    """
    [said] = read_attachments([record])
    if said.is_gone or not _lacking(replica, said):
        return False
    with path.open("rb") as file:
        digest, parts = _digests(file)
        if digest != said.digest:
            raise AttachmentDamaged(f"{path.name} is not the file that was exported")
        file.seek(0)
        _take(replica, said, file, parts)
    replica.fetching.news()
    return True


def _lacking(replica: Replica, record: AttachmentRecord) -> set[bytes]:
    """The chunks that are not here; none if no message here has this record: another one may lie of its keys."""
    names = [chunk_name(key) for key in record.chunk_keys()]
    with replica.reading() as store:
        if not store.attachments.has_file(record):
            return set()
        return store.attachments.states(names).keys() - store.attachments.here(names)


def _take(
    replica: Replica, record: AttachmentRecord, file: IO[bytes], parts: Sequence[bytes]
) -> None:
    """Take what is lacking. ``parts``: the digests of the chunks of the file that has the right digest."""
    lacking = _lacking(replica, record)
    chunks: dict[bytes, bytes] = {}
    for key, part in zip(record.chunk_keys(), parts, strict=True):
        text = file.read(limits.CHUNK_BYTES)
        if hashlib.sha256(text).digest() != part:  # under this key others would take it for whole
            raise AttachmentDamaged("a file beside the export changed while it was read")
        name = chunk_name(key)
        if name in lacking:
            chunks[name] = seal_chunk(key, text)
        if len(chunks) == limits.CHUNKS_TOGETHER:
            _write(replica, chunks)
            chunks = {}
    if chunks:
        _write(replica, chunks)


def _write(replica: Replica, chunks: dict[bytes, bytes]) -> None:
    """Noted before they are written, and as here afterwards: whatever stops this, nothing is left over."""
    with replica.writing() as store:
        store.attachments.loosen(chunks)
        store.attachments.pin([*chunks])
        attachments = store.attachments
    try:
        with storage_errors(replica.path):
            attachments.files.write_all(chunks.items())
        with replica.writing() as store:
            store.attachments.arrive(chunks)
    finally:
        with replica.lock:
            attachments.release([*chunks])


def _digests(file: IO[bytes]) -> tuple[bytes, list[bytes]]:
    """Of the whole, and of each chunk."""
    hashed = hashlib.sha256()
    parts = []
    while text := file.read(limits.CHUNK_BYTES):
        hashed.update(text)
        parts.append(hashlib.sha256(text).digest())
    return hashed.digest(), parts
