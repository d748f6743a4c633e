"""Repairs where there is room for a part of the new file alone: `python -m tests.faults.repairs FOLDER`.

FOLDER lies on a small file system. A line of JSON is said of each attempt: the room in pages, and what came of it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgsync
from msgsync import Incoming

PAGE: Final = 4096
MESSAGES: Final = 400
ROOM_PAGES: Final = (*range(0, 400, 8), 2000)


def damaged(path: Path) -> None:
    """A replica of which the first page is lost."""
    with msgsync.open(path, author="ann") as replica:
        replica.ingest(
            Incoming("family", "ben", os.urandom(300).hex(), 1_600_000_000_000 + n, str(n))
            for n in range(MESSAGES)
        )
    with path.open("r+b") as file:
        file.write(bytes(PAGE))


def attempt(path: Path, room_pages: int) -> str:
    """Repair with so much room, and compare what is there with what was said."""
    ballast, before = path.with_name("ballast"), path.read_bytes()
    disk = os.statvfs(path)
    ballast.write_bytes(bytes(max(disk.f_bavail * disk.f_frsize - room_pages * PAGE, 0)))
    try:
        report = msgsync.repair(path)
        assert report.complete
        assert report.messages == MESSAGES
        said = "done"
    except msgsync.StorageError as error:
        said = error.code
    ballast.unlink()
    assert [*path.parent.glob("*.part*")] == []
    if said != "done":
        assert path.read_bytes() == before
        return said
    with msgsync.open(path) as replica:
        assert replica.status().messages == MESSAGES
        assert replica.check().ok
    return said


def main() -> None:
    folder = Path(sys.argv[1])
    with TemporaryDirectory() as elsewhere:
        template = Path(elsewhere) / "phone.db"
        damaged(template)
        for room_pages in ROOM_PAGES:
            for left in folder.iterdir():
                left.unlink()
            path = folder / template.name
            shutil.copy(template, path)
            print(json.dumps([room_pages, attempt(path, room_pages)]), flush=True)


if __name__ == "__main__":
    main()
