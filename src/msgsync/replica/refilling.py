"""Files that lie outside, of attachments that messages here have: taken in again, chunk by chunk. Source: design 11.

An export says of a file what its message's record says, keys of chunks included. So the chunks that are made of the
file are those that every device has, under the same names, whatever epoch is in force.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from msgsync import limits
from msgsync.attachment.sealing import seal_chunk
from msgsync.errors import AttachmentDamaged
from msgsync.records import AttachmentRecord, chunk_name, read_attachments
from msgsync.store.database import storage_errors

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_BLOCK: Final = 1024 * 1024


def refill(replica: Replica, record: bytes, path: Path) -> bool:
    """Take the bytes of an attachment from a file, as far as a message here needs them and they are not here.

    What came stays if this ends early.

    Args:
        replica: open for writing.
        record: of the attachment, as an export writes it.
        path: of the file.

    Returns:
        Whether there was anything to take.

    Raises:
        AttachmentDamaged: the file is not what the record says. Nothing of it stays.
        OSError: it cannot be read.
        StorageError: it cannot be written here.
    """
    [said] = read_attachments([record])
    if said.is_gone or not _lacking(replica, said):
        return False
    with path.open("rb") as file:
        if _digest(file) != said.digest:
            raise AttachmentDamaged(f"{path.name} is not the file that was exported")
        file.seek(0)
        _take(replica, said, file)
        file.seek(0)
        if _digest(file) != said.digest:  # changed in between
            with replica.writing() as store:
                for key in said.chunk_keys():
                    store.attachments.vanish(chunk_name(key), damaged=True)
            raise AttachmentDamaged(f"{path.name} changed while it was read")
    replica.fetching.news()
    return True


def _lacking(replica: Replica, record: AttachmentRecord) -> set[bytes]:
    names = [chunk_name(key) for key in record.chunk_keys()]
    with replica.reading() as store:
        return store.attachments.states(names).keys() - store.attachments.here(names)


def _take(replica: Replica, record: AttachmentRecord, file: IO[bytes]) -> None:
    lacking = _lacking(replica, record)
    chunks: dict[bytes, bytes] = {}
    for key in record.chunk_keys():
        text = file.read(limits.CHUNK_BYTES)
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


def _digest(file: IO[bytes]) -> bytes:
    hashed = hashlib.sha256()
    while block := file.read(_BLOCK):
        hashed.update(block)
    return hashed.digest()
