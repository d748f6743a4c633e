"""How long an empty device waits for its first screen, in process; and how much has come by then.

The reference is the same on a short history: what a screen shows does not grow, so neither should the wait. Measured is
the time of this process's CPU from the first frame to the screen, both sides together, and reading what it shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import msgsync
from benchmarks.figure import BYTES, MILLISECONDS, Bar, Figure
from benchmarks.history import History, remove, turns
from benchmarks.workload import ME
from msgsync.protocol.events import FirstScreen
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange

_CONVERSATIONS: Final = 10
_MESSAGES: Final = 50


def measure(history: History, short: History) -> Iterator[Figure]:
    """The wait, and the bytes, of this history beside a short one."""
    ours: list[float] = []
    reference: list[float] = []
    screens: list[FirstScreen] = []
    for _ in turns():
        for source, milliseconds in ((history, ours), (short, reference)):
            elapsed_ms, screen = _wait(source)
            milliseconds.append(elapsed_ms)
            if source is history:
                screens.append(screen)
    yield Figure(
        "screen",
        f"first screen of an empty device (beside {short.messages:,} messages)",
        MILLISECONDS,
        ours,
        reference,
        Bar(2, "at most"),
    )
    yield Figure("screen", "  bytes until then", BYTES, [screen.bytes for screen in screens])
    yield Figure("screen", "  documents until then", "", [screen.documents for screen in screens])


def _wait(history: History) -> tuple[float, FirstScreen]:
    path = history.directory / "screen.db"
    remove(path)
    with msgsync.open(history.replica_path, author=ME) as source:
        source.conversations(limit=_CONVERSATIONS)  # it has been running for a while
        with source.new_device(path, author=ME) as target:
            started = time.process_time()
            screen = _until_screen(target, source)
            shown = [
                target.conversation(one.id).messages(limit=_MESSAGES)
                for one in target.conversations(limit=_CONVERSATIONS)
            ]
            elapsed_ms = 1000 * (time.process_time() - started)
            wanted = [
                source.conversation(one.id).messages(limit=_MESSAGES)
                for one in source.conversations(limit=_CONVERSATIONS)
            ]
    remove(path)
    if [[one.id for one in page] for page in shown] != [
        [one.id for one in page] for page in wanted
    ]:
        raise RuntimeError("the first screen does not show what it should")
    return elapsed_ms, screen


def _until_screen(target: msgsync.Replica, source: msgsync.Replica) -> FirstScreen:
    sides = Session(Exchange(target)), Session(Exchange(source))
    while True:
        moved = False
        for sender, receiver in (sides, sides[::-1]):
            raw = sender.next_frame()
            if raw is None:
                continue
            moved = True
            for event in receiver.receive(raw[4:]):
                if isinstance(event, FirstScreen):
                    return event
        if not moved:
            raise RuntimeError("the exchange ended without a first screen")
