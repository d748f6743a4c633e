"""One message at a time into a long history."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgsync
from benchmarks import vocabulary
from benchmarks.figure import MILLISECONDS, Bar, Figure
from benchmarks.history import History
from benchmarks.reference import Table
from benchmarks.workload import ME

_WARM_UP: Final = 20
_REPETITIONS: Final = 400


def measure(history: History, short: History) -> Iterator[Figure]:
    """A durable send, beside a bare insert into as long a table and a send into the ``short`` history."""
    ours_ms, table_ms, short_ms = _samples(history, short)
    yield Figure(
        "append",
        "one durable append, p50",
        MILLISECONDS,
        ours_ms,
        table_ms,
        Bar(1.6, "at most", from_messages=100_000),
    )
    yield Figure(
        "append",
        "  p99",
        MILLISECONDS,
        [_p99(ours_ms)],
        [_p99(table_ms)],
    )
    if short is not history:
        yield Figure(
            "append",
            f"  p50 beside that into {short.messages:,}",
            MILLISECONDS,
            ours_ms,
            short_ms,
            Bar(1.2, "at most"),
        )


def _samples(history: History, short: History) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of each append, the three taken in turns."""
    texts = vocabulary.texts(random.Random("append"))
    conversation_id = history.workload.largest
    taken_ms: tuple[list[float], ...] = ([], [], [])
    with (
        msgsync.open(history.replica_path, author=ME) as replica,
        Table(history.table_path) as table,
    ):
        sends: list[Callable[[str], object]] = [replica.conversation(conversation_id).send]
        sends.append(lambda text: _insert(table, conversation_id, text))
        if short is not history:
            with msgsync.open(short.replica_path, author=ME) as other:
                sends.append(other.conversation(conversation_id).send)
                take_turns(sends, texts, taken_ms)
        else:
            take_turns(sends, texts, taken_ms)
    return taken_ms[0], taken_ms[1], taken_ms[2]


def take_turns(
    sends: Sequence[Callable[[str], object]], texts: Iterator[str], taken_ms: Sequence[list[float]]
) -> None:
    """Add to each the milliseconds that one of its sends took, again and again."""
    for number in range(_WARM_UP + _REPETITIONS):
        text = next(texts)
        for turn in range(len(sends)):
            chosen = (number + turn) % len(sends)
            started = time.perf_counter()
            sends[chosen](text)
            took_ms = 1_000 * (time.perf_counter() - started)
            if number >= _WARM_UP:
                taken_ms[chosen].append(took_ms)


def _insert(table: Table, conversation: str, text: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    table.append((conversation, now_ms, 0, now_ms.to_bytes(6, "big") + os.urandom(6), ME, text))


def _p99(samples: Sequence[float]) -> float:
    return statistics.quantiles(samples, n=100)[98]
