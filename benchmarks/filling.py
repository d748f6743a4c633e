"""Fill an empty device over TCP, in two processes; the plain table's copy beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgsync.aio
from benchmarks import bare, process
from benchmarks.figure import BYTES, RATE, Bar, Figure
from benchmarks.history import History, remove, turns
from benchmarks.workload import ME


@dataclass(frozen=True, slots=True)
class Fill:
    """One device filled from another."""

    seconds: float
    wire_bytes: int
    """Both directions."""
    client_peak_bytes: int | None
    server_peak_bytes: int | None
    processor_s: float
    """Of both sides; 0 where nobody measured it."""


@dataclass(frozen=True, slots=True)
class Fills:
    """Several fills, each with a copy of the plain table made right after it."""

    replicas: list[Fill]
    tables: list[Fill]
    path: Path
    """The replica that was filled last, in the same state as the history's."""


@cache
def fills(history: History) -> Fills:
    """Fill and copy in turns, several times."""
    replicas, tables = [], []
    copy = history.directory / "copied.db"
    for _ in turns():
        replicas.append(fill_once(history, "filling"))
        remove(copy)
        tables.append(_fill("copying", history.table_path, copy, history.messages))
        remove(copy)
    return Fills(replicas, tables, _filled(history))


def _filled(history: History) -> Path:
    return history.directory / "filled.db"


def fill_once(history: History, module: str) -> Fill:
    """Fill an empty device by a module: ``filling`` through a channel, ``bare`` without."""
    path = _filled(history)
    remove(path)
    with msgsync.open(history.replica_path) as replica:
        replica.new_device(path, author=ME).close()
    return _fill(module, history.replica_path, path, history.messages)


def _fill(module: str, source: Path, target: Path, messages: int) -> Fill:
    with process.Child(module, "serve", str(source)) as server:
        address = server.say()["address"]
        said = process.run(module, "fill", str(target), address)
        last_words = server.stop()
    if said["messages"] < messages:
        raise RuntimeError(f"of {messages} messages {said['messages']} arrived")
    processor_s = said.get("processor_s", 0) + last_words.get("processor_s", 0)
    return Fill(
        said["seconds"], said["bytes"], said["peak_bytes"], last_words["peak_bytes"], processor_s
    )


def measure_rate(history: History) -> Iterator[Figure]:
    """Messages a second, from an empty file to durable and searchable."""
    made = fills(history)
    yield Figure(
        "fill",
        "fill an empty replica over TCP",
        RATE,
        [history.messages / fill.seconds for fill in made.replicas],
        [history.messages / fill.seconds for fill in made.tables],
        Bar(0.5, "at least", from_messages=100_000),
    )


def measure_wire(history: History) -> Iterator[Figure]:
    """Bytes a message on the wire while filling."""
    made = fills(history)
    yield Figure(
        "wire",
        "bytes on the wire a message, filling",
        BYTES,
        [fill.wire_bytes / history.messages for fill in made.replicas],
        [fill.wire_bytes / history.messages for fill in made.tables],
        Bar(1.5, "at most", from_messages=100_000),
    )


async def _sync(replica: msgsync.Replica, address: str) -> msgsync.SyncReport:
    return await msgsync.aio.sync(replica, address)


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    if verb == "serve":
        bare.give(msgsync.aio.serve, *arguments)
    else:
        bare.take(_sync, *arguments)
