"""Wiping a replica: its keys are erased from the file, then the file is deleted with all that lies beside it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgsync.errors import StorageError
from msgsync.replica.attempt import forget
from msgsync.store.chunkfiles import ChunkFiles
from msgsync.store.store import read_only
from msgsync.store.trouble import storage_errors
from msgsync.store.unfinished import clear

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_BESIDE: Final = ("-wal", "-shm", "-journal", ".lock")


def wipe(replica: Replica) -> None:
    """See `Replica.wipe`."""
    with replica.holding() as store:
        if store.database.readonly:
            raise read_only()
        path = Path(store.database.connection.filename)
        with suppress(StorageError), replica.writing():
            store.erase_secrets()  # a damaged file may not take it, and goes all the same
    with suppress(StorageError):  # what closing tidies up is deleted now
        replica.close()
    with storage_errors(path):
        for suffix in (*_BESIDE, ""):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        ChunkFiles(path, replica.system.files).clear()
        clear(path)
    forget(replica.path)
