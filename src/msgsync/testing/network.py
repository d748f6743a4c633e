"""A network in one process: the real sessions, and a seed that decides which frame arrives when.

Simulated
---------
- Delay and reordering between connections: with each step one frame of one direction of one connection moves, drawn
  from the seed. So a short exchange may take longer than a long one that began earlier, and what several replicas
  learn from each other interleaves in every way.
- Back-pressure: a direction holds `BUFFER_FRAMES`; then its sender waits.
- Cuts: a connection may break between any two frames or within one, by `Link.cut`, after a number of frames, or with a
  chance at each frame. What is on its way then is lost, and each side is told only by the silence.
- Stalls: `Link.hold` keeps frames on their way until `Link.release`.
- Partitions: connections between groups break, and new ones fail, until `SimulatedNetwork.heal`.
- Connections that stay (``live``): what either side writes is pushed while they last.
- Streams that do what no stream does: frames that are lost, repeated or overtaken *within* a connection. The sessions
  need not get anywhere then, and may wait for ever; but they must not do any harm.

Not simulated
-------------
Frames that were damaged, hostile peers, threads, and the time that carrying takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from msgsync.errors import ConnectionLost, InvalidValue, MsgSyncError
from msgsync.protocol.events import SyncReport
from msgsync.protocol.session import Session
from msgsync.protocol.wire import FrameReader
from msgsync.replica.exchange import Exchange
from msgsync.replica.replica import Replica
from msgsync.testing.seed import Seeded

BUFFER_FRAMES: Final = 8
"""Frames on their way in one direction; then the sender waits, as it does for a full socket."""


class Link:
    """One connection between two replicas. Made by `SimulatedNetwork.connect`; both sides have begun to talk."""

    def __init__(
        self, first: Replica, second: Replica, *, frames: int | None, live: bool = False
    ) -> None:
        self.replicas = first, second
        self.delivered = 0
        """Frames that arrived, of both directions together."""
        self.broken = False
        """Whether it was cut before both sides were finished."""
        self.held = False
        self.spoiled = False
        """Whether frames were lost, repeated or overtaken, so that nothing need come of it."""
        self._frames = frames
        self._sessions = tuple(Session(Exchange(each), live=live) for each in self.replicas)
        self._readers = FrameReader(), FrameReader()
        self._on_their_way: tuple[deque[bytes], deque[bytes]] = deque(), deque()
        self._unsubscribe = [
            replica.on_commit(partial(_tell, session))
            for replica, session in zip(self.replicas, self._sessions, strict=True)
            if live
        ]

    def __repr__(self) -> str:
        first, second = (replica.path.name for replica in self.replicas)
        state = "broken" if self.broken else "finished" if self.finished else "open"
        return f"<Link {first} - {second}, {state} after {self.delivered} frames>"

    @property
    def finished(self) -> bool:
        """Whether both sides have said and heard everything."""
        return all(session.finished for session in self._sessions)

    @property
    def idle(self) -> bool:
        """Whether both sides stay connected and have nothing to say until something happens."""
        return all(session.idle for session in self._sessions) and not any(self._on_their_way)

    @property
    def on_their_way_bytes(self) -> int:
        """What is on its way in both directions together, in bytes."""
        return sum(len(raw) for frames in self._on_their_way for raw in frames)

    @property
    def complete(self) -> bool:
        """Whether both sides found that they have equal digests."""
        return all(session.complete for session in self._sessions)

    @property
    def error(self) -> MsgSyncError | None:
        """Why the exchange was refused, if it was; a cut is none."""
        return next((each.error for each in self._sessions if each.error is not None), None)

    def report(self) -> SyncReport:
        """What the exchange did so far, as the first replica sees it."""
        return self._sessions[0].report()

    def cut(self) -> None:
        """Break the connection, unless both sides are finished: what is on its way is lost."""
        if not self.finished:
            self.broken = True
            for frames in self._on_their_way:
                frames.clear()
        self.forget()

    def tear(self, side: int, part: int) -> None:
        """Break the connection within the next frame to a side (0 or 1): only so many of its bytes arrive, not all."""
        raw = self._on_their_way[side][0]
        for frame in self._readers[side].feed(raw[: part % len(raw)]):
            raise AssertionError(f"a part of a frame was taken for one of {len(frame)} bytes")
        self.cut()

    def lose(self, side: int) -> None:
        """Lose the next frame to a side (0 or 1), which no stream does."""
        self.spoiled = True
        self._on_their_way[side].popleft()

    def repeat(self, side: int) -> None:
        """Let the next frame to a side (0 or 1) come twice, which no stream does."""
        self.spoiled = True
        self._on_their_way[side].appendleft(self._on_their_way[side][0])

    def overtake(self, side: int) -> None:
        """Let the next frame to a side (0 or 1) wait until all others on their way are there, which no stream does."""
        self.spoiled = True
        self._on_their_way[side].rotate(-1)

    def keep_alive(self) -> None:
        """Let both sides of a connection that stays say that they are there."""
        for session in self._sessions:
            session.keep_alive()

    def forget(self) -> None:
        """Hear of no more writes of the two replicas: the connection is over."""
        while self._unsubscribe:
            self._unsubscribe.pop()()

    def hold(self) -> None:
        """Keep frames on their way until `release`."""
        self.held = True

    def release(self) -> None:
        """Deliver again."""
        self.held = False

    @property
    def is_open(self) -> bool:
        """Whether more may move: it is neither broken nor finished."""
        return not self.broken and not self.finished

    def send(self, side: int) -> bool:
        """Let a side (0 or 1) send a frame; return whether it had one, and room for it. `step` calls it."""
        towards = self._on_their_way[1 - side]
        if len(towards) >= BUFFER_FRAMES:
            return False
        with self._breaking():
            raw = self._sessions[side].next_frame()
        if raw is not None:
            towards.append(raw)
        return raw is not None

    def is_waiting(self, side: int) -> bool:
        """Whether a frame is on its way to a side (0 or 1) and may arrive."""
        return not self.held and bool(self._on_their_way[side])

    def deliver(self, side: int) -> None:
        """Let the next frame arrive at a side (0 or 1), or break if it was one too many. `step` calls it."""
        if self.delivered == self._frames:
            self.cut()
        else:
            self.delivered += 1
            with self._breaking():
                for frame in self._readers[side].feed(self._on_their_way[side].popleft()):
                    self._sessions[side].receive(frame)

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """A replica that cannot store ends the connection, and nothing else."""
        try:
            yield
        except MsgSyncError:
            self.cut()
            raise


def _tell(session: Session, _seq: int) -> None:
    session.changed()


class SimulatedNetwork:
    """Connections between replicas of this process; every step follows from the seed.

    With replicas opened on a `SimulatedSystem` each, a run is the same every time, to the byte.

    Args:
        seed: decides which frame moves next, and where connections break.
        breaks_one_in: each frame that is delivered breaks its connection with a chance of one in this many; None
            for connections that break only when told. Half of them break within that frame, half before it.
        loses_one_in: each frame is lost within its connection with such a chance, although no stream does that.
        repeats_one_in: each frame comes twice with such a chance, although no stream does that.
        overtakes_one_in: each frame is overtaken by all behind it with such a chance, although no stream does that.
    """

    def __init__(
        self,
        seed: int | str = 0,
        *,
        breaks_one_in: int | None = None,
        loses_one_in: int | None = None,
        repeats_one_in: int | None = None,
        overtakes_one_in: int | None = None,
    ) -> None:
        chances = (breaks_one_in, loses_one_in, repeats_one_in, overtakes_one_in)
        if any(chance is not None and chance < 1 for chance in chances):
            raise InvalidValue("a chance is one in a whole number from 1 on, or None for never")
        self.breaks_one_in = breaks_one_in
        self._spoils = (
            (loses_one_in, Link.lose),
            (repeats_one_in, Link.repeat),
            (overtakes_one_in, Link.overtake),
        )
        self._seeded = Seeded(seed)
        self._links: list[Link] = []
        self._groups: tuple[frozenset[int], ...] = ()

    @property
    def links(self) -> tuple[Link, ...]:
        """The connections that are neither broken nor finished, oldest first."""
        return tuple(link for link in self._links if link.is_open)

    def connect(
        self, first: Replica, second: Replica, *, frames: int | None = None, live: bool = False
    ) -> Link:
        """Connect two replicas; nothing moves before `step` or `run`.

        Args:
            first: one replica.
            second: the other.
            frames: how many frames are delivered before the connection breaks; None for no such break.
            live: whether both stay connected, and push what they write.

        Raises:
            ConnectionLost: a partition lies between them.
        """
        if self._apart(first, second):
            raise ConnectionLost(
                f"{first.path.name} does not reach {second.path.name}: the network is partitioned; heal() it"
            )
        link = Link(first, second, frames=frames, live=live)
        self._links.append(link)
        return link

    def step(self) -> bool:
        """Let one frame move, drawn from the seed; return whether any could.

        Raises:
            StorageError: a replica could not store what came; its connection is broken.
        """
        moves = [
            (link, delivers, side)
            for link in self.links
            for delivers in (False, True)
            for side in (0, 1)
        ]
        while moves:
            link, delivers, side = self._seeded.pop(moves)
            if not delivers:
                moved = link.send(side)
            elif moved := link.is_waiting(side):
                self._deliver(link, side)
            if moved:
                return True
        for link in self._links:
            if not link.is_open:
                link.forget()
        self._links = list(self.links)
        return False

    def reseed(self, seed: int | str) -> None:
        """Let all that follows be drawn from another seed."""
        self._seeded = Seeded(seed)

    def _deliver(self, link: Link, side: int) -> None:
        if self._happens(self.breaks_one_in):
            if self._seeded.below(2):
                link.cut()
            else:
                link.tear(side, self._seeded.below(1 << 32))
            return
        for chance, spoil in self._spoils:
            if self._happens(chance) and link.is_waiting(side):
                spoil(link, side)
        if link.is_waiting(side):
            link.deliver(side)

    def _happens(self, one_in: int | None) -> bool:
        return one_in is not None and not self._seeded.below(one_in)

    def run(self) -> None:
        """Let frames move until none can: every connection is finished, broken, held or has nothing to say.

        Connections that were spoiled, and come to nothing, are cut.

        Raises:
            AssertionError: two sides wait for each other for ever; that is a bug in msgsync.
            StorageError: a replica could not store what came; its connection is broken, the others can go on.
        """
        while self.step():
            pass
        for link in self.links:
            if link.spoiled and not link.held:
                link.cut()
        waiting = [link for link in self.links if not link.held and not link.idle]
        assert not waiting, f"both sides wait for each other: {waiting}"

    def sync(self, first: Replica, second: Replica, *, frames: int | None = None) -> Link:
        """Connect two replicas and run until nothing moves any more, on other connections too.

        Returns:
            The connection: ``complete``, or ``broken``.

        Raises:
            AccountMismatch, PeerError: one side refused the other.
            ConnectionLost: a partition lies between them.
        """
        link = self.connect(first, second, frames=frames)
        self.run()
        if link.error is not None:
            raise link.error
        return link

    def partition(self, *groups: Iterable[Replica]) -> None:
        """Break every connection between two groups, and let new ones fail. Who is in no group reaches nobody.

        A further partition replaces the one before.
        """
        self._groups = tuple(frozenset(id(replica) for replica in group) for group in groups)
        for link in self.links:
            if self._apart(*link.replicas):
                link.cut()

    def heal(self) -> None:
        """End the partition. Broken connections stay broken; connect again."""
        self._groups = ()

    def _apart(self, first: Replica, second: Replica) -> bool:
        together = any(id(first) in group and id(second) in group for group in self._groups)
        return bool(self._groups) and not together
