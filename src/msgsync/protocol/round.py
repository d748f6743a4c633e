"""What one side keeps of a round, apart from what it offers: one comparison and exchange. Source: design 7."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from msgsync import limits
from msgsync.protocol.frames import Offer


@dataclass(slots=True)
class Round:
    """One comparison and exchange."""

    our_bins: bytes | None = None
    their_bins: bytes | None = None
    their_start: bool = False
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
    pieces_count: int = 0
    our_done: tuple[bytes, int] | None = None
    their_done: bytes | None = None


def weight(offer: Offer) -> int:
    """What an offer counts against the window; the peer's word on the size is not enough to bound the number."""
    return min(max(offer.bytes, 256), limits.DOCUMENT_BYTES)
