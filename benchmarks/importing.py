"""Import, and what the file takes afterwards."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgsync
from benchmarks import process
from benchmarks.figure import BYTES, RATE, Bar, Figure
from benchmarks.history import History, remove, size_bytes, turns
from benchmarks.reference import Table
from benchmarks.workload import ME, Workload


def measure_rate(history: History) -> Iterator[Figure]:
    """Messages a second, from values in memory to durable and searchable."""
    makings = [history.make() for _ in turns()]
    yield Figure(
        "import",
        "import, durable and searchable",
        RATE,
        [history.messages / making.replica_s for making in makings],
        [history.messages / making.table_s for making in makings],
        Bar(0.25, "at least", from_messages=100_000),
    )


def measure_size(history: History) -> Iterator[Figure]:
    """Bytes a message in the closed file."""
    ours = size_bytes(history.replica_path) / history.messages
    copy = history.directory / "indexed.db"
    shutil.copyfile(history.table_path, copy)
    with Table(copy) as table:
        table.index_words()
    reference = size_bytes(copy) / history.messages
    remove(copy)
    yield Figure(
        "size",
        "file size a message",
        BYTES,
        [ours],
        [reference],
        Bar(1.1, "at most", from_messages=100_000),
        {"plain_table_without_words": size_bytes(history.table_path) / history.messages},
    )


@cache
def peak_bytes(history: History) -> int | None:
    """The most memory a process needs that imports the history."""
    path = history.directory / "imported.db"
    workload = history.workload
    said = process.run("importing", str(path), str(workload.messages), str(workload.end_ms))
    remove(path)
    peak: int | None = said["peak_bytes"]
    return peak


def main(path: str, messages: str, end_ms: str) -> None:
    """In a process of its own: import a history."""
    with msgsync.open(Path(path), author=ME) as replica:
        for chunk in Workload(int(messages), int(end_ms)).chunks():
            replica.ingest(chunk)
    process.tell(peak_bytes=process.peak_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
