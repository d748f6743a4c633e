"""Another passphrase for an encrypted replica: its file is written anew under another key. Source: decision 33.

The key comes of the passphrase, so every page is encrypted under the new one. That is done in a copy, which is checked
as a whole and then takes the name: cut off anywhere, the file is whole, under one passphrase or the other.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Final

from msgsync.account.filekey import FileKey
from msgsync.replica.backup import Copying
from msgsync.replica.system import System
from msgsync.store.backup import check_complete, copy, sync, sync_folder
from msgsync.store.database import Database
from msgsync.store.encryption import Encrypt
from msgsync.store.lock import WriterLock
from msgsync.store.trouble import storage_errors
from msgsync.store.unfinished import unfinished

_MARK_BYTES: Final = 4
_BESIDE: Final = ("-wal", "-shm")


def rekey(path: Path, system: System, encrypt: Encrypt, new: FileKey) -> None:
    """Have a file whose write-ahead log is empty, and which nobody has open for writing, encrypted under a new key.

    Args:
        path: of the file.
        system: what the name of the copy is drawn from.
        encrypt: asked for the key that it is encrypted under.
        new: the other one.

    Raises:
        ReplicaLocked: somebody has it open for writing.
        ReplicaDamaged: it is not whole; it is as it was.
        StorageError: the copy cannot be written; the file is as it was.
    """
    path = path.resolve()  # a link to a replica stays one
    mark = system.random_bytes(_MARK_BYTES).hex()
    with closing(WriterLock(path)), storage_errors(path), unfinished(path, mark) as part:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            closing(Database(path, readonly=True, durability="full", encrypt=encrypt)) as source,
            closing(copy(source, part, new)) as steps,
        ):
            for _ in steps:
                pass
        Copying(path, system, None, lambda _salt: new).verify(
            part, "the passphrase is the one before; run repair, then set it"
        )
        check_complete(part)
        sync(part, os.O_RDWR)
        for suffix in _BESIDE:  # it would be taken for the log of the new file
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        part.replace(path)
        sync_folder(path)
