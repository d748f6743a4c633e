"""Which entries the latest commits wrote: by document and writer, from which clock on. In memory. Source: design 7.

Sessions that stay connected send what is written as it is written. What they send is the difference between a
document and the document as it was, and that is told by the clocks at which each writer's new entries begin.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgsync.document.schema import DocumentId

Starts = dict[DocumentId, dict[int, int]]
"""By document and writer: the clock of the first new entry."""

_COMMITS: Final = 256
_DOCUMENTS: Final = 64
"""A commit of more documents is not worth pushing; they are offered instead."""


class Journal:
    """The latest commits of one opening; within the caller's lock."""

    def __init__(self) -> None:
        self._begin = 0
        self._commits: deque[tuple[int, object | None, Starts | None]] = deque()
        self._starts: Starts | None = {}
        self._origin: object | None = None

    def begin(self, seq: int) -> None:
        """Know nothing of this commit and those before it."""
        self._begin = seq

    def come_from(self, origin: object) -> None:
        """Say who causes what this transaction writes."""
        self._origin = origin

    def wrote(self, document: DocumentId, client: int, clock: int) -> None:
        """Note that a writer's entries from this clock on are being written."""
        if self._starts is None:
            return
        clocks = self._starts.get(document)
        if clocks is None:
            if len(self._starts) >= _DOCUMENTS:
                self._starts = None
                return
            clocks = self._starts[document] = {}
        if clock < clocks.get(client, clock + 1):
            clocks[client] = clock

    def wrote_frozen(self) -> None:
        """Note that entries are being written that have no clocks: they cannot be pushed, only offered."""
        self._starts = None

    def commit(self, seq: int) -> bool:
        """Note that the transaction was committed under this number; return whether it wrote any entry."""
        starts, origin = self._starts, self._origin
        self.forget()
        if starts == {}:
            return False
        self._commits.append((seq, origin, starts))
        if len(self._commits) > _COMMITS:
            self._begin = self._commits.popleft()[0]
        return True

    def forget(self) -> None:
        """Forget what is not committed: the transaction failed."""
        self._starts = {}
        self._origin = None

    def since(self, seq: int, but_from: object) -> Starts | None:
        """What was written after that commit, except by one origin; None if that is not known any more."""
        if seq < self._begin:
            return None
        joined: Starts = {}
        for number, origin, starts in self._commits:
            if number <= seq or origin is but_from:
                continue
            if starts is None or len(joined) > _DOCUMENTS:
                return None
            for document, clocks in starts.items():
                known = joined.setdefault(document, {})
                for client, clock in clocks.items():
                    known[client] = min(clock, known.get(client, clock))
        return joined
