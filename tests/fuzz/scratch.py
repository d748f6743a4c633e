"""Replicas that inputs are tried on. Each input meets the same ones, so that its number brings back what it did."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgsync import Replica
from msgsync.replica.system import System
from msgsync.testing.machine import fast_directory
from tests.unit.machine import Machine

Make = Callable[[Path, Machine], tuple[Replica, ...]]


class Scratch:
    """Replicas that are made once, and copied for each input."""

    def __init__(self, make: Make) -> None:
        self._directory = fast_directory()
        self._made = Path(self._directory.name, "made")
        self._made.mkdir()
        made = make(self._made, Machine(1))
        self._names = [replica.path.name for replica in made]
        for replica in made:
            replica.close()

    @contextmanager
    def replicas(self) -> Iterator[list[Replica]]:
        """Copies, which must be sound in the end."""
        folder = self._made.with_name("copies")
        shutil.copytree(self._made, folder)
        machine = Machine(2)
        copies: list[Replica] = []
        try:
            copies.extend(_open(folder / name, machine) for name in self._names)
            yield copies
            for replica in copies:
                assert replica.check().problems == ()
        finally:
            for replica in copies:
                replica.close()
            shutil.rmtree(folder)


def reopen(replicas: list[Replica]) -> None:
    """Close them and open them again, each in its place."""
    for at, replica in enumerate(replicas):
        replica.close()
        replicas[at] = _open(replica.path, replica.system)


def _open(path: Path, system: System) -> Replica:
    return Replica(path, author="ann", durability="relaxed", system=system)
