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


def is_sealed(path: Path, size: int) -> bool:
    """Whether a file of so many bytes is a sealed backup, as it was made or damaged since. Raises OSError."""
    if size % LEAST_PAGE_BYTES != SEAL_BYTES:
        return False
    with path.open("rb") as file:
        file.seek(size - SEAL_BYTES)
        return file.read(len(SEAL)) == SEAL


def is_as_it_was_sealed(path: Path) -> bool:
    """Whether every byte of a file that must have a seal is as it was written. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - SEAL_BYTES
        while left > 0 and (read := file.read(min(_READ_BYTES, left))):
            found.update(read)
            left -= len(read)
        return file.read() == SEAL + found.digest()


def must_have_seal(path: Path) -> bool:
    """Whether a file is more than pages, so that its end is a seal or what is left of one. Raises OSError."""
    return path.stat().st_size % LEAST_PAGE_BYTES != 0
