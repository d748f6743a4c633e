"""What one side keeps of a round: one comparison and exchange. Source: design 7."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from msgsync import limits
from msgsync.protocol.frames import Offer, Part


@dataclass(slots=True)
class Round:
    """One comparison and exchange."""

    our_bins: bytes | None = None
    their_bins: bytes | None = None
    their_start: bool = False
    # As a source: what we offer, what of it is announced, what the peer wants of it.
    keys: list[int] = field(default_factory=list)
    announced: int = 0
    announced_all: bool = False
    asked: set[int] = field(default_factory=set)
    served: deque[tuple[int, bytes]] = field(default_factory=deque)
    held: tuple[int, tuple[bytes, ...]] | None = None
    parts: deque[Part] = field(default_factory=deque)
    # As a sink: what the peer offers that we want, what is on its way.
    offered: int = 0
    offered_all: bool = False
    queue: deque[tuple[int, Offer, int]] = field(default_factory=deque)
    coming: dict[int, tuple[Offer, int]] = field(default_factory=dict)
    coming_bytes: int = 0
    pieces: list[bytes] = field(default_factory=list)
    whole: list[bytes] = field(default_factory=list)
    pieces_of: int | None = None
    pieces_bytes: int = 0
    our_done: tuple[bytes, int] | None = None
    their_done: bytes | None = None


def weight(offer: Offer) -> int:
    """What an offer counts against the window; the peer's word on the size is not enough to bound the number."""
    return min(max(offer.bytes, 256), limits.DOCUMENT_BYTES)


def parts_of(number: int, updates: tuple[bytes, ...]) -> list[Part]:
    """An update too large for a frame of updates, in pieces."""
    parts = []
    for index, update in enumerate(updates):
        for start in range(0, len(update), limits.FRAME_FILL_BYTES):
            end = start + limits.FRAME_FILL_BYTES
            last = end >= len(update)
            final = last and index == len(updates) - 1
            parts.append(Part(number, update[start:end], last, final))
    return parts
