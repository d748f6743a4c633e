"""Two devices of the same history meet again: with nothing to say, and with a hundred messages each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio

import msgsync
from benchmarks import bare, frame, process, vocabulary
from benchmarks.figure import BYTES, TRIPS, Bar, Figure
from benchmarks.filling import fills
from benchmarks.history import History
from benchmarks.relay import Relay
from benchmarks.workload import ME

_REPETITIONS: Final = 5
_NEW: Final = 100


def measure_idle(history: History) -> Iterator[Figure]:
    """Bytes both ways when there is nothing to do."""
    here, there = fills(history).path, history.replica_path
    _meet(here, there)  # whatever other measurements have added
    meetings = [_meet(here, there) for _ in range(3)]
    yield Figure(
        "idle",
        "nothing to do: bytes, both ways",
        BYTES,
        [meeting.passed_bytes("there") + meeting.passed_bytes("back") for meeting in meetings],
        bar=Bar(200, "at most", "ours"),
    )
    yield Figure(
        "idle",
        "  round trips",
        TRIPS,
        [meeting.round_trips for meeting in meetings],
        bar=Bar(1, "at most", "ours"),
    )


def measure_hundred(history: History) -> Iterator[Figure]:
    """Bytes a side when each has a hundred new messages."""
    here, there = fills(history).path, history.replica_path
    rng = random.Random("hundred")
    _meet(here, there)
    ours: list[float] = []
    reference: list[float] = []
    trips: list[float] = []
    for _ in range(_REPETITIONS):
        packed = [len(frame.pack(_new_records(history, path, rng))) for path in (here, there)]
        meeting = _meet(here, there)
        ours.append((meeting.passed_bytes("there") + meeting.passed_bytes("back")) / 2)
        reference.append(sum(packed) / 2)
        trips.append(meeting.round_trips)
    yield Figure(
        "hundred",
        f"{_NEW} new messages on each side: bytes a side",
        BYTES,
        ours,
        reference,
        Bar(2, "at most"),
    )
    yield Figure("hundred", "  round trips", TRIPS, trips)


def _new_records(history: History, path: Path, rng: random.Random) -> list[list[Any]]:
    """Send new messages, most of them into the lively conversations, and return them as plain records."""
    sizes = history.workload.sizes()
    texts = vocabulary.texts(rng)
    records: list[list[Any]] = []
    with msgsync.open(path, author=ME) as replica:
        for conversation_id in rng.choices(list(sizes), weights=list(sizes.values()), k=_NEW):
            message = replica.conversation(conversation_id).send(next(texts))
            records.append([message.id.raw, conversation_id, ME, message.text, 0, None])
    return records


def _meet(here: Path, there: Path) -> Relay:
    """One exchange through a relay, which has counted what passed. Without a channel: `securing` has what that adds."""
    with process.Child("bare", "serve", str(there)) as server:
        with msgsync.open(here, author=ME) as replica, Relay(server.say()["address"]) as relay:
            report = anyio.run(bare.sync, replica, relay.address)
        server.stop()
    if not report.complete:
        raise RuntimeError(f"the exchange is not complete; refused: {report.refused}")
    return relay
