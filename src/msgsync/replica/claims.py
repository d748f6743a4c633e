"""Which chunks are on their way from whom: several sources give parts of one file, and none what another one gives.

Source: design 11. A chunk that a session or a round has asked for is **claimed** by it until it is on the disk, or
cannot be had there, or the session ends: then the others look again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable
from itertools import chain

Claimant = Hashable
"""A session or a round that is under way."""


class Claims:
    """Of one replica. Safe to use from several threads; knows neither the store nor its lock."""

    def __init__(self, on_free: Callable[[], object]) -> None:
        """Nobody fetches anything; ``on_free`` is called when something is to be fetched from another source."""
        self._on_free = on_free
        self._guard = threading.Lock()
        self._claims: dict[Claimant, set[bytes]] = {}
        self._left = False

    def of_others(self, claimant: Claimant | None) -> set[bytes]:
        """What all but this one fetch."""
        with self._guard:
            return self._of_others(claimant)

    def _of_others(self, claimant: Claimant | None) -> set[bytes]:
        return set(chain(*(one for other, one in self._claims.items() if other != claimant)))

    def share(self, claimant: Claimant, count: int) -> int:
        """How many of so many chunks this one may take, so that something is left for each of the others."""
        with self._guard:
            return -(-count // len({*self._claims, claimant}))

    def claim(self, claimant: Claimant, names: Collection[bytes]) -> list[bytes]:
        """Those of these chunks that nobody else fetches: from now on this one does."""
        with self._guard:
            others = self._of_others(claimant)
            mine = [name for name in names if name not in others]
            self._claims.setdefault(claimant, set()).update(mine)
        return mine

    def settle(self, claimant: Claimant, names: Collection[bytes]) -> None:
        """These came, or nobody needs them."""
        with self._guard:
            self._claims.get(claimant, set()).difference_update(names)

    def free(self, claimant: Claimant, name: bytes) -> None:
        """This one cannot get a chunk: another one may."""
        self.settle(claimant, (name,))
        self._on_free()

    def end(self, claimant: Claimant) -> None:
        """This one is over. What it took last may be on the disk, or on its way there, and nobody has noted it."""
        with self._guard:
            left = self._claims.pop(claimant, None)
            self._left = self._left or bool(left)
        if left:
            self._on_free()

    def written(self, claimant: Claimant) -> None:
        """Something that this one took is on the disk, whether or not it goes on."""
        with self._guard:
            is_over = claimant not in self._claims
            self._left = self._left or is_over
        if is_over:
            self._on_free()

    def take_left(self) -> bool:
        """Whether something lies on the disk that nobody has noted, since this was asked last."""
        with self._guard:
            left, self._left = self._left, False
        return left
