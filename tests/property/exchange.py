"""A connection between two replicas that delivers frames when it likes and can break between any two of them."""

from __future__ import annotations

from collections.abc import Callable

import msgsync
from msgsync.replica.exchange import Exchange
from msgsync.testing import SimulatedNetwork


def exchange(
    first: msgsync.Replica,
    second: msgsync.Replica,
    *,
    frames: int | None = None,
    seed: int = 0,
    meanwhile: Callable[[int], None] | None = None,
) -> bool:
    """Let two replicas talk until both are finished, or until the line breaks.

    Args:
        first: one replica.
        second: the other.
        frames: how many frames are delivered before the line breaks; what is on its way then is lost.
        seed: decides which side sends or hears next; frames of one direction stay in order.
        meanwhile: called before each frame is delivered, with how many were.

    Returns:
        Whether both sides finished, which they do only if both have everything.
    """
    network = SimulatedNetwork(seed)
    link = network.connect(first, second, frames=frames)
    told = -1
    while not (link.finished or link.broken):
        if meanwhile is not None and link.delivered > told:
            told = link.delivered
            meanwhile(told)
        assert network.step(), "both sides wait for each other"
    assert link.error is None
    assert link.complete or link.broken
    return not link.broken


def stored_bytes(replica: msgsync.Replica) -> int:
    """Return how much a replica's documents take: what it would serve to a new device."""
    served = Exchange(replica)
    return sum(offer.bytes for offer in served.offers(served.all_documents()))
