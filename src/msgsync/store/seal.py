"""The seal behind the last page of a backup. Source: decision 21, docs/specification.md.

It is 16 bytes that say what it is, and the SHA-256 of all before them. So any byte that is not as it was written is
noticed, also where neither SQLite nor `store.check` can. SQLite goes by the number of pages in the header, and does not
see the seal.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

SEAL: Final = b"msgsync backup\0\1"
SEAL_BYTES: Final = len(SEAL) + 32
LEAST_PAGE_BYTES: Final = 512
"""Every page, and so every file that is nothing but pages, has a multiple of it."""
_READ_BYTES: Final = 1 << 20


def seal(path: Path) -> None:
    """Write the seal behind the last page. Raises OSError."""
    with path.open("r+b") as file:
        found = hashlib.sha256()
        while read := file.read(_READ_BYTES):
            found.update(read)
        file.write(SEAL + found.digest())


def unseal(path: Path) -> None:
    """Take the seal off a file that is about to be written, if it has one. Raises OSError.

    It is no backup any more: somebody copied one to where a replica is opened. Closed again, it passes for what it is
    then.
    """
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size % LEAST_PAGE_BYTES != SEAL_BYTES:
            return
        file.seek(size - SEAL_BYTES)
        if file.read(len(SEAL)) == SEAL:
            file.truncate(size - SEAL_BYTES)
