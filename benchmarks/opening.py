"""Open a history in a process that has just started, and read what a screen shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from benchmarks import process
from benchmarks.figure import MILLISECONDS, Bar, Figure
from benchmarks.history import History

_REPETITIONS: Final = 15


def measure(history: History) -> Iterator[Figure]:
    """From opening the file to 50 messages in hand; and the same with the whole process around it."""
    sides = {"replica": history.replica_path, "table": history.table_path}
    inner_ms: dict[str, list[float]] = {side: [] for side in sides}
    whole_ms: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(_REPETITIONS):
        for side, path in sides.items():
            started = time.perf_counter()
            said = process.run("cold", side, str(path), history.workload.largest)
            whole_ms[side].append(1_000 * (time.perf_counter() - started))
            inner_ms[side].append(1_000 * said["seconds"])
    yield Figure(
        "open",
        "open, read the newest 50, cold process",
        MILLISECONDS,
        inner_ms["replica"],
        inner_ms["table"],
        Bar(2.5, "at most", from_messages=100_000),
    )
    yield Figure(
        "open",
        "  the whole process, imports and all",
        MILLISECONDS,
        whole_ms["replica"],
        whole_ms["table"],
    )
