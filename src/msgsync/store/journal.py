"""Which entries the latest commits wrote: by document and writer, from which clock on. In memory. Source: design 7.

Sessions that stay connected send what is written as it is written. What they send is the difference between a
document and the document as it was, and that is told by the clocks at which each writer's new entries begin.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from msgsync.document.schema import DocumentId

Starts = dict[DocumentId, dict[int, int]]
"""By document and writer: the clock of the first new entry."""

_COMMITS: Final = 256
_DOCUMENTS: Final = 64
"""A commit of more documents is not worth pushing; they are offered instead."""


class _Commit(NamedTuple):
    seq: int
    origin: object | None
    starts: Starts | None
    """None if it wrote too much to tell."""
    ours: Starts | None
    """What of it this replica wrote itself, if it has an origin: that one does not know it. None likewise."""


class Journal:
    """The latest commits of one opening; within the caller's lock."""

    def __init__(self) -> None:
        self._begin = 0
        self._commits: deque[_Commit] = deque()
        self._starts: Starts | None = {}
        self._ours: Starts | None = {}
        self._origin: object | None = None

    def begin(self, seq: int) -> None:
        """Know nothing of this commit and those before it."""
        self._begin = seq

    def come_from(self, origin: object) -> None:
        """Say who causes what this transaction writes."""
        self._origin = origin

    def wrote(self, document: DocumentId, client: int, clock: int, *, by_us: bool = False) -> None:
        """Note that a writer's entries from this clock on are being written.

        ``by_us`` says that this replica makes them up, whatever the origin of the rest.
        """
        self._starts = _with(self._starts, document, client, clock)
        if by_us and self._origin is not None:
            self._ours = _with(self._ours, document, client, clock)

    def wrote_frozen(self) -> None:
        """Note that entries are being written that have no clocks: they cannot be pushed, only offered."""
        self._starts = None

    def commit(self, seq: int) -> bool:
        """Note that the transaction was committed under this number; return whether it wrote any entry."""
        commit = _Commit(seq, self._origin, self._starts, self._ours)
        self.forget()
        if commit.starts == {}:
            return False
        self._commits.append(commit)
        if len(self._commits) > _COMMITS:
            self._begin = self._commits.popleft().seq
        return True

    def forget(self) -> None:
        """Forget what is not committed: the transaction failed."""
        self._starts = {}
        self._ours = {}
        self._origin = None

    def since(self, seq: int, but_from: object) -> Starts | None:
        """What was written after that commit, except by one origin; None if that is not known any more.

        What this replica wrote itself as that origin's entries came in, such as a wish that they fulfilled, is in it.
        """
        if seq < self._begin:
            return None
        joined: Starts | None = {}
        for commit in reversed(self._commits):
            if commit.seq <= seq:
                break
            starts = commit.ours if commit.origin is but_from else commit.starts
            if starts is None:
                return None
            for document, clocks in starts.items():
                for client, clock in clocks.items():
                    joined = _with(joined, document, client, clock)
        return joined


def _with(starts: Starts | None, document: DocumentId, client: int, clock: int) -> Starts | None:
    """The same with one more clock; None if that is of too many documents."""
    if starts is None or (document not in starts and len(starts) >= _DOCUMENTS):
        return None
    clocks = starts.setdefault(document, {})
    clocks[client] = min(clock, clocks.get(client, clock))
    return starts
