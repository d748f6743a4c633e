"""The world: the only module that reads the clock and draws random numbers. Source: house rules, design 2."""

from __future__ import annotations

import os
import time
from typing import Final, Protocol

from msgsync.store.filesystem import REAL_FILES, FileSystem


class System(Protocol):
    """What a replica needs of the machine; `msgsync.testing.SimulatedSystem` is another."""

    @property
    def vfs(self) -> str | None:
        """The file system under the database: the name of a VFS that SQLite knows; None for its default."""

    @property
    def files(self) -> FileSystem:
        """The file system under the folder of attachments: `REAL_FILES`, unless that is simulated too."""

    def now_ms(self) -> int:
        """The wall clock, Unix milliseconds."""

    def random_bytes(self, count: int) -> bytes:
        """Bytes that nobody can guess."""


class RealSystem:
    """This machine."""

    vfs: Final = None
    files: Final = REAL_FILES

    def now_ms(self) -> int:
        """The wall clock, Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def random_bytes(self, count: int) -> bytes:
        """Bytes from the operating system."""
        return os.urandom(count)


def draw_client(system: System) -> int:
    """A fresh 53-bit client id (design 5); 0 is never drawn."""
    return int.from_bytes(system.random_bytes(7), "big") >> 3 or 1
