"""What a session sees of a replica's attachments: behind the seam `protocol.chunks.Attachable`. Source: design 11."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from msgsync.attachment.sealing import open_chunk
from msgsync.store.database import storage_errors

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


class ChunkHolder:
    """Implements `protocol.chunks.Attachable`; takes the replica's lock for each step."""

    def __init__(self, replica: Replica) -> None:
        """Nothing is looked at yet."""
        self._replica = replica

    def lacks_any(self) -> bool:
        """See `Attachable.lacks_any`."""
        with self._replica.reading() as store:
            return not store.database.readonly and store.attachments.lacks_any()

    def lacking(self, without: Collection[bytes], limit: int) -> list[bytes]:
        """See `Attachable.lacking`."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return []
            return [one.name for one in store.attachments.lacking(without, limit)]

    def read(self, name: bytes, start: int, count: int) -> tuple[int, bytes] | None:
        """See `Attachable.read`."""
        with self._replica.reading() as store:
            if not store.attachments.here([name]):
                return None
            files = store.attachments.files
        with storage_errors(self._replica.path):
            size = files.size(name)
            piece = files.read(name, start, count)
        return None if size is None or piece is None else (size, piece)

    def take(self, name: bytes, sealed: bytes) -> bool:
        """See `Attachable.take`."""
        with self._replica.reading() as store:
            wanted = store.attachments.find(name)
        if wanted is None:
            return False
        open_chunk(wanted.key, sealed, wanted.size)
        with self._replica.writing() as store:
            store.attachments.loosen([name])
            files = store.attachments.files
        with storage_errors(self._replica.path):
            files.write(name, sealed)
            files.settle({name})
        with self._replica.writing() as store:
            store.attachments.arrive([name])
            return bool(store.attachments.here([name]))

    def confirmed(self, device: bytes, names: Sequence[bytes]) -> None:
        """See `Attachable.confirmed`."""
