"""What one side gives in a round: offers, and what of them the peer wants. Source: design 7."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgsync import limits
from msgsync.document.codec import decode_state
from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.errors import Inadmissible, ProtocolError
from msgsync.protocol.frames import Frame, Offers, Part, Push, Updates, Want
from msgsync.protocol.seam import Peerable

_WHOLE_BYTES: Final = limits.FRAME_BYTES // 2
"""A document up to this size goes in one frame with others; a larger one in parts."""
ROOM_BYTES: Final = 64
"""What surrounds a document in a frame, at most."""


class Source:
    """Offers documents page by page and reads one when it is its turn to go."""

    def __init__(self, replica: Peerable) -> None:
        """Nothing is offered before `begin`."""
        self._replica = replica
        self._fill = limits.FIRST_FILL_BYTES
        self.documents_sent = 0
        self.begin([])

    def begin(self, keys: list[int]) -> None:
        """Offer these documents in a new round."""
        self._keys = keys
        self._announced = 0
        self._announced_all = False
        self._asked: set[int] = set()
        self._served: deque[tuple[int, Label, bytes]] = deque()
        self._held: tuple[int, Parts] | None = None
        self._parts: deque[Part] = deque()

    def want(self, want: Want) -> None:
        """Take what the peer asks for.

        Raises:
            ProtocolError: it was not offered, or asked for before, or the state vector is none.
        """
        for number, label, state in want.wanted:
            if number >= self._announced or number in self._asked:
                raise ProtocolError("the peer wants what was not offered, or wants it twice")
            self._asked.add(number)
            try:
                decode_state(state or b"\0")
            except Inadmissible as error:
                raise ProtocolError(f"the peer sent {error}") from error
            self._served.append((number, label, state))

    def next(self) -> Frame | None:
        """The next frame to send, if it is this side's turn: pieces first, then updates, then offers."""
        return self._next_part() or self._next_updates() or self._next_offers()

    def _next_part(self) -> Frame | None:
        return self._parts.popleft() if self._parts else None

    def _next_updates(self) -> Frame | None:
        filled = 0
        documents = []
        while (self._held or self._served) and filled < self._fill:
            if self._held is None:
                number, label, state = self._served.popleft()
                self._held = number, self._replica.read(self._keys[number], label, state)
            number, parts = self._held
            size = parts.size_bytes + ROOM_BYTES * (1 + len(parts.updates))
            if filled and filled + size > limits.FRAME_BYTES - ROOM_BYTES:
                break
            self._held = None
            self.documents_sent += 1
            if size > _WHOLE_BYTES:
                self._parts.extend(_pieces(number, parts))
                break
            documents.append((number, parts))
            filled += size
        if documents:
            self._fill = min(2 * self._fill, limits.UPDATES_FILL_BYTES)
            return Updates(tuple(documents))
        return self._next_part()

    def _next_offers(self) -> Frame | None:
        if self._announced_all:
            return None
        keys = self._keys[self._announced : self._announced + limits.OFFERS_PER_FRAME]
        offers = self._replica.offers(keys)
        self._announced += len(keys)
        self._announced_all = self._announced == len(self._keys)
        return Offers(tuple(offers), self._announced_all)


def _pieces(number: int, parts: Parts) -> list[Part]:
    """A document too large for a frame of updates, in pieces."""
    pieces = []
    members = (parts.frozen, *parts.updates)
    for index, member in enumerate(members):
        for start in range(0, len(member) or 1, limits.FRAME_FILL_BYTES):
            end = start + limits.FRAME_FILL_BYTES
            last = end >= len(member)
            final = last and index == len(members) - 1
            pieces.append(Part(number, parts.label, member[start:end], last, final))
    return pieces


def screen_frames(documents: Sequence[tuple[DocumentId, Parts]]) -> list[Push]:
    """The frames of a first screen: each holds as many documents as fit the first frame of updates."""
    frames: list[Push] = []
    page: list[tuple[DocumentId, Parts]] = []
    filled = 0
    for number, document in enumerate(documents, 1):
        page.append(document)
        filled += document[1].size_bytes + ROOM_BYTES
        if filled >= limits.FIRST_FILL_BYTES or number == len(documents):
            frames.append(Push(tuple(page), number == len(documents)))
            page, filled = [], 0
    return frames
