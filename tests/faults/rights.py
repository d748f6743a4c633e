"""Somebody who may not write tries to: `python -m tests.faults.rights PATH [WHAT MODE]`. Says as JSON what came of it.

With WHAT (file or folder) and MODE (octal) these rights are set before; and if root asks, another user tries.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgsync

NOBODY: Final = 65534


def outcome(verb: Callable[[], object]) -> str:
    try:
        return str(verb())
    except msgsync.StorageError as error:
        return str(error)


def write(path: Path) -> object:
    with msgsync.open(path, author="ann") as replica:
        return replica.conversation("family").send("written").text


def read(path: Path) -> object:
    with msgsync.open(path, readonly=True) as replica:
        assert replica.check().ok
        return len(replica.conversation("family").messages())


def main(path: Path, what: str = "", mode: str = "0") -> None:
    if not what:
        print(
            json.dumps({"write": outcome(lambda: write(path)), "read": outcome(lambda: read(path))})
        )
        return
    read(path)  # everything is imported now: the other user may not be allowed to read the programs
    with TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / path.name
        shutil.copy(path, copy)
        if os.getuid() == 0:
            for one in (folder, copy):
                os.chown(one, NOBODY, NOBODY)
            os.setgroups([])
            os.setresuid(NOBODY, NOBODY, 0)  # root again in the end
        (copy if what == "file" else folder).chmod(int(mode, 8))
        found = {"write": outcome(lambda: write(copy)), "read": outcome(lambda: read(copy))}
        folder.chmod(0o700)
        copy.chmod(0o600)
        found["after"] = hashlib.sha256(copy.read_bytes()).hexdigest()
        os.setresuid(*[os.getresuid()[2]] * 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
