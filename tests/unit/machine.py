"""A machine for replicas of tests: its clock stands still until told, its random bytes come from a seed."""

from __future__ import annotations

import random

from msgsync.store.filesystem import REAL_FILES

START_MS = 1_706_745_000_000  # 2024-01-31T23:50:00Z: the next month is near


class Machine:
    """What a replica needs of the machine. Source: `msgsync.replica.system.System`."""

    vfs = None
    files = REAL_FILES

    def __init__(self, seed: int = 1) -> None:
        self.clock_ms = START_MS
        self._random = random.Random(seed)

    def now_ms(self) -> int:
        return self.clock_ms

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
