"""A line between two sessions that remembers what it carried and can break."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from msgsync import Replica
from msgsync.document.codec import entries_of, scan
from msgsync.document.schema import DocumentId
from msgsync.protocol.events import Event
from msgsync.protocol.frames import Frame, Offers, Updates
from msgsync.protocol.session import Session
from msgsync.protocol.wire import decode_frame
from msgsync.replica.exchange import Exchange

F = TypeVar("F")


def session_of(replica: Replica) -> Session:
    return Session(Exchange(replica))


@dataclass
class Line:
    """Carries frames between the sessions of two replicas, one frame of each side in turn."""

    first: Session
    second: Session
    frames: list[tuple[int, Frame]] = field(default_factory=list)
    """Side (0 or 1) and frame, in order."""
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    """Sent by each side."""
    events: tuple[list[Event], list[Event]] = field(default_factory=lambda: ([], []))

    @classmethod
    def between(cls, first: Replica, second: Replica) -> Line:
        return cls(session_of(first), session_of(second))

    def carry(self, frames: int | None = None) -> bool:
        """Carry at most so many frames more; return whether both sides finished."""
        sides = (self.first, self.second)
        while not all(side.finished for side in sides):
            moved = False
            for number, side in enumerate(sides):
                if frames is not None and frames <= 0:
                    return False
                raw = side.next_frame()
                if raw is not None:
                    moved = True
                    frames = None if frames is None else frames - 1
                    self.bytes[number] += len(raw)
                    self.frames.append((number, decode_frame(raw[4:])))
                    self.events[1 - number].extend(sides[1 - number].receive(raw[4:]))
            if not moved:
                return False
        return True

    def sent(self, kind: type[F], side: int | None = None) -> list[F]:
        """The frames of a kind, of one side or of both."""
        return [
            frame
            for number, frame in self.frames
            if isinstance(frame, kind) and side in (None, number)
        ]

    def delivered(self, side: int) -> set[DocumentId]:
        """Documents of which this side sent anything that was not there."""
        offered = [offer.document for page in self.sent(Offers, side) for offer in page.offers]
        return {
            offered[number]
            for frame in self.sent(Updates, side)
            for number, parts in frame.documents
            if parts.frozen or any(entries_of(scan(update)) for update in parts.updates)
        }
