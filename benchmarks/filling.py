"""Fill an empty device over TCP, in two processes; the plain table's copy beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anyio

import msgsync.aio
from benchmarks import process
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
    path, copy = history.directory / "filled.db", history.directory / "copied.db"
    for _ in turns():
        remove(path)
        with msgsync.open(history.replica_path) as replica:
            replica.new_device(path, author=ME).close()
        replicas.append(_fill("filling", history.replica_path, path, history.messages))
        remove(copy)
        tables.append(_fill("copying", history.table_path, copy, history.messages))
        remove(copy)
    return Fills(replicas, tables, path)


def _fill(module: str, source: Path, target: Path, messages: int) -> Fill:
    with process.Child(module, "serve", str(source)) as server:
        address = server.say()["address"]
        said = process.run(module, "fill", str(target), address)
        last_words = server.stop()
    if said["messages"] < messages:
        raise RuntimeError(f"of {messages} messages {said['messages']} arrived")
    return Fill(said["seconds"], said["bytes"], said["peak_bytes"], last_words["peak_bytes"])


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


def serve(path: str) -> None:
    """In a process of its own: give what there is to whoever comes, until interrupted."""
    process.listen_to_interrupts()
    with msgsync.open(Path(path)) as replica, suppress(KeyboardInterrupt):
        msgsync.serve(replica, on_listening=lambda address: process.tell(address=address))
    process.tell(peak_bytes=process.peak_bytes())


def fill(path: str, address: str) -> None:
    """In a process of its own: take what there is."""
    anyio.run(
        anyio.sleep, 0
    )  # the event loop is loaded before the clock starts, as sockets are in `copying`
    with msgsync.open(Path(path)) as replica:
        started = time.perf_counter()
        report = msgsync.sync(replica, address)
        taken_s = time.perf_counter() - started
        if not report.complete:
            raise RuntimeError(f"the exchange is not complete; refused: {report.refused}")
        process.tell(
            seconds=taken_s,
            messages=replica.status().messages,
            bytes=report.bytes_received + report.bytes_sent,
            peak_bytes=process.peak_bytes(),
        )


def main(verb: str, *arguments: str) -> None:
    """Be one of the two processes."""
    if verb == "serve":
        serve(*arguments)
    else:
        fill(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
