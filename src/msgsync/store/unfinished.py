"""Files that are being made beside the name that they take when they are complete.

Each has a mark in its name, and a lock beside it as long as it is being made, which the operating system lets go of if
the process dies. So whoever makes a file of the same name next removes what others left behind, and nothing that is
still being made. Source: design 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from msgsync.errors import ReplicaLocked
from msgsync.store.lock import WriterLock

_BESIDE: Final = ("", "-wal", "-shm", "-journal", ".lock")
"""What SQLite, or a replica that was made there, may leave beside such a file; the file itself first."""
_MARK: Final = re.compile(r"[0-9a-f]{8}(?=\.part)")


@contextmanager
def unfinished(path: Path, mark: str) -> Iterator[Path]:
    """The path of a file that is to be called ``path``; gone when the block ends, unless it took that name.

    What others of that name left that died is removed first. ``mark`` tells it from others that are being made.

    Raises:
        OSError: the folder cannot be read.
        StorageError: nothing can be made there.
    """
    clear(path)
    with closing(WriterLock(_claim(path, mark))):
        part = _part(path, mark)
        try:
            yield part
        finally:
            _remove(path, mark)


def clear(path: Path) -> None:
    """Remove files that were to be called ``path`` and are not being made any more. Raises OSError."""
    start = f"{path.name}."
    with suppress(PermissionError):  # somebody else's folder: what lies there is theirs to remove
        names = [one.name for one in path.parent.iterdir()]
        marks = {
            found[0]
            for name in names
            if name.startswith(start) and (found := _MARK.match(name, len(start)))
        }
        for mark in marks:
            with suppress(ReplicaLocked), closing(WriterLock(_claim(path, mark))):
                _remove(path, mark)


def _claim(path: Path, mark: str) -> Path:
    return path.with_name(f"{path.name}.{mark}.part.claim")


def _part(path: Path, mark: str) -> Path:
    return path.with_name(f"{path.name}.{mark}.part")


def _remove(path: Path, mark: str) -> None:
    part, claim = _part(path, mark), _claim(path, mark)
    for suffix in _BESIDE:
        part.with_name(part.name + suffix).unlink(missing_ok=True)
    # No two processes have the same mark, so nobody takes this lock again; but Windows keeps open files.
    with suppress(PermissionError):
        claim.with_name(f"{claim.name}.lock").unlink(missing_ok=True)
