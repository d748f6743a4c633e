"""The folder with files that an export of lines refers to: written, and read again. Source: docs/jsonlines.md.

A line names a file in the folder, by one name and no path. What comes from somebody else may name anything: nothing
outside the folder is ever read for it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from msgsync.attachment.filename import safe_name, with_digest
from msgsync.errors import (
    AttachmentDamaged,
    AttachmentElsewhere,
    AttachmentGone,
    FileExists,
    InvalidValue,
)
from msgsync.replica.attachment import Attachment, AttachmentState
from msgsync.replica.refilling import refill
from msgsync.replica.replica import Replica

_BLOCK: Final = 1024 * 1024


class FolderBeside:
    """One run of an export or an import."""

    def __init__(self, folder: Path) -> None:
        """It is made when the first file is written."""
        self._folder = folder
        self._written: set[str] = set()
        self.left_count = 0
        """Files whose bytes are not on this device, or damaged."""

    @property
    def count(self) -> int:
        """Files that were written, or were there already."""
        return len(self._written)

    def write(self, attachment: Attachment) -> str | None:
        """Write a file once, however often it was sent.

        Returns:
            Its name in the folder; None if its bytes are not here.

        Raises:
            FileExists: another file has that name.
            OSError: it cannot be written.
        """
        if attachment.state is AttachmentState.GONE:
            return None
        name = with_digest(attachment.name, attachment.digest)
        if name in self._written:
            return name
        path = self._folder / name
        if not _is_there(path, attachment):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                attachment.save(path)
            except AttachmentGone:
                return None
            except (AttachmentElsewhere, AttachmentDamaged):
                self.left_count += 1
                return None
        self._written.add(name)
        return name

    def read(self, replica: Replica, record: bytes, name: str) -> bool:
        """Take a file in, for a message that is here; return whether there was anything to take.

        Raises:
            InvalidValue: it is no name of a file in the folder, or there is none.
            AttachmentDamaged, OSError, StorageError: see `refill`.
        """
        path = self._folder / name
        if name != safe_name(name) or path.is_symlink() or not path.is_file():
            raise InvalidValue(f"there is no file {safe_name(name)!r} in the folder")
        return refill(replica, record, path)


def _is_there(path: Path, attachment: Attachment) -> bool:
    """Whether an earlier export has written it. Raises FileExists if it is another file."""
    if not path.exists():
        return False
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
    if hashed.hexdigest() != attachment.digest:
        raise FileExists(f"{path} is there and is another file; choose another folder")
    return True
