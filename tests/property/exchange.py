"""A connection between two replicas that delivers frames when it likes and can break between any two of them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial

import msgsync
from msgsync.protocol.session import Session
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


class LiveLine:
    """A line between two replicas that stay connected: what either writes goes to the other until it breaks."""

    def __init__(self, first: msgsync.Replica, second: msgsync.Replica) -> None:
        """Both sides have said nothing yet."""
        self._replicas = first, second
        self._sessions = tuple(Session(Exchange(replica), live=True) for replica in self._replicas)
        self._told = [
            subscribe(partial(_tell, session))
            for replica, session in zip(self._replicas, self._sessions, strict=True)
            for subscribe in (replica.on_commit, replica.on_known)
        ]
        self._on_their_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.frames = 0

    def step(self, pace: random.Random) -> bool:
        """Let one side say or hear one frame; return whether there was anything to say or to hear."""
        turns = [0, 1, 2, 3]
        pace.shuffle(turns)
        for turn in turns:
            side = turn % 2
            if turn < 2 and self._on_their_way[side]:
                self._sessions[side].receive(self._on_their_way[side].popleft()[4:])
                self.frames += 1
            elif turn >= 2 and (raw := self._sessions[side].next_frame()) is not None:
                self._on_their_way[1 - side].append(raw)
            else:
                continue
            assert [session.error for session in self._sessions] == [None, None]
            return True
        return False

    def keep_alive(self) -> None:
        """Let both sides say that they are there, if they have nothing else to say."""
        for session in self._sessions:
            session.keep_alive()

    @property
    def complete(self) -> bool:
        """Whether both sides wait for something to happen."""
        return all(session.idle for session in self._sessions)

    def close(self) -> None:
        """Break: what is on its way is lost."""
        for unsubscribe in self._told:
            unsubscribe()


def _tell(session: Session, _seq: int) -> None:
    session.changed()


def settle(lines: list[LiveLine], pace: random.Random) -> None:
    """Let all lines carry frames until nobody has anything to say."""
    frames = 0
    while any(line.step(pace) for line in lines):
        frames += 1
        assert frames < 5000, "they go on for ever"
    assert all(line.complete for line in lines)
