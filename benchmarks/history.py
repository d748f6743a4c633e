"""The same history twice, as a replica and as a plain table; making them is the first thing measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import msgsync
from benchmarks.reference import BATCH, Table
from benchmarks.workload import ME, Workload, rows_of

_LEAST: Final = 3
_MOST: Final = 7
_ENOUGH_S: Final = 20.0

SUFFIXES: Final = ("", "-wal", "-shm", ".lock")


@dataclass(frozen=True, slots=True)
class Making:
    """How long one history took to import, with us and without."""

    replica_s: float
    table_s: float


class History:
    """A workload in files of its own directory."""

    def __init__(self, directory: Path, workload: Workload) -> None:
        """Nothing is made before it is needed."""
        self.directory = directory
        self.workload = workload
        directory.mkdir()

    @property
    def messages(self) -> int:
        """How many messages it has."""
        return self.workload.messages

    @cached_property
    def replica_path(self) -> Path:
        """The replica, made if it is not there."""
        path = self.directory / "replica.db"
        if not path.exists():
            self.make()
        return path

    @property
    def table_path(self) -> Path:
        """The plain table."""
        return self.replica_path.with_name("table.db")

    def make(self) -> Making:
        """Make both files anew, a chunk each in turns, and time it."""
        replica_path, table_path = self.directory / "replica.db", self.directory / "table.db"
        remove(replica_path)
        remove(table_path)
        taken_s = [0.0, 0.0]
        added = first_key = 0
        with msgsync.open(replica_path, author=ME) as replica, Table(table_path) as table:
            for number, chunk in enumerate(self.workload.chunks()):
                batches = [
                    rows_of(chunk[start : start + BATCH], first_key + start + 1)
                    for start in range(0, len(chunk), BATCH)
                ]
                first_key += len(chunk)
                for turn in (number % 2, 1 - number % 2):
                    started = time.perf_counter()
                    if turn == 0:
                        added += replica.ingest(chunk).added
                    else:
                        for batch in batches:
                            table.insert(batch)
                    taken_s[turn] += time.perf_counter() - started
            self._must_be_complete(replica, added, table)
        return Making(*taken_s)

    def _must_be_complete(self, replica: msgsync.Replica, added: int, table: Table) -> None:
        counts = added, replica.status().messages, table.count()
        if counts != (self.messages,) * 3:
            raise RuntimeError(f"of {self.messages} messages these arrived: {counts}")
        newest = replica.conversation(self.workload.largest).messages(limit=1)[0]
        words = " ".join(word for word in newest.text.split() if word.isalpha())
        found = replica.conversation(self.workload.largest).search(words, limit=1)
        if not newest.deleted and words and [message.id for message in found] != [newest.id]:
            raise RuntimeError("the newest message is not found by its words")


def turns() -> Iterator[None]:
    """How often to measure something that touches all of a history: as time allows, but never just once."""
    started = time.perf_counter()
    for done in range(_MOST):
        if done >= _LEAST and time.perf_counter() - started > _ENOUGH_S:
            return
        yield


def size_bytes(path: Path) -> int:
    """What a database takes on the disk, with its write-ahead log."""
    files = [path.with_name(path.name + suffix) for suffix in ("", "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def remove(path: Path) -> None:
    """Remove a database and what lies beside it."""
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
