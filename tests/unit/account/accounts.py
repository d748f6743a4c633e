"""Keys of invented devices, the same every time."""

from __future__ import annotations

import hashlib
from functools import cache

from msgsync.account.keys import SecretKeys
from msgsync.account.passphrase import Cost

CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)
"""What a guess costs in tests: nothing."""


def drawn(name: str, count: int = 32) -> bytes:
    """Bytes that look random, one piece for each name."""
    return hashlib.shake_256(name.encode()).digest(count)


@cache
def keys_of(name: str) -> SecretKeys:
    """The keys of a device called ``name``."""
    return SecretKeys(drawn(f"keys of {name}", 64))
