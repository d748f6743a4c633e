"""Two sessions in one process, frame by frame, without a socket. Source: design 7."""

from __future__ import annotations

from collections.abc import Callable

from msgsync.protocol.events import Event
from msgsync.protocol.session import Session


def exchange(
    first: Session,
    second: Session,
    *,
    on_event: Callable[[Event], None] | None = None,
    frames: int | None = None,
) -> bool:
    """Carry frames between two sessions until both are finished, or at most ``frames`` of them.

    Args:
        first: the side whose events are reported.
        second: the other side.
        on_event: called with each event of the first side.
        frames: cut the line after this many frames, as a fault would.

    Returns:
        Whether both sides finished.
    """
    carried = 0
    while not (first.finished and second.finished):
        moved = False
        for sender, receiver in ((first, second), (second, first)):
            if frames is not None and carried >= frames:
                return False
            raw = sender.next_frame()
            if raw is None:
                continue
            moved = True
            carried += 1
            for event in receiver.receive(raw[4:]):
                if receiver is first and on_event is not None:
                    on_event(event)
        if not moved:
            return False
    return True
