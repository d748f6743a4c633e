"""Draws that follow from a seed, the same on every machine and with every version of Python.

The standard library's generator would do, but what it makes of a seed may change with Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Seeded:
    """An endless run of draws; two of one seed draw the same."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._drawn = 0

    def __repr__(self) -> str:
        return f"Seeded({self.seed!r})"

    def bytes(self, count: int) -> bytes:
        """That many bytes."""
        self._drawn += 1
        return hashlib.shake_256(f"{self.seed}\0{self._drawn}".encode()).digest(count)

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count - 1``."""
        return int.from_bytes(self.bytes(8), "big") % count

    def pop(self, values: list[T]) -> T:
        """Take one of some values out of their list."""
        return values.pop(self.below(len(values)))

    def choice(self, values: Sequence[T]) -> T:
        """One of some values."""
        return values[self.below(len(values))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in another order."""
        left = list(values)
        return [self.pop(left) for _ in values]
