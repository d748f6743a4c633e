"""What an app wrote outlives its disk: a power failure at any moment, and any write that fails.

- For **power failures** a workload is recorded once, and cut off at every change of the disk. Each cut leaves other
  files, drawn from a seed (`msgsync.testing.medium`). They are opened by the real code, and must show exactly what was
  acknowledged before the cut, plus perhaps the one write that was being done.
- For **failing disks** a workload is run as often as it has operations, and each time the next one fails. What was
  acknowledged before is there at once, after mending, and after opening it again; nothing else is, with one exception:
  if the disk failed to sync a write, and to do anything until the file was closed, that write may be there afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import msgsync
from msgsync.testing.checks import assert_sound, differences, view
from msgsync.testing.disk import DiskFault, SimulatedDisk
from msgsync.testing.medium import Change, Medium, put
from msgsync.testing.seed import Seeded
from msgsync.testing.system import SimulatedSystem

Workload = Callable[[msgsync.Replica], object]
_AGAIN_ONE_IN: Final = 8
"""So often the power goes a second time, while the files are opened again …"""
_WITHIN_OPERATIONS: Final = 60
"""… at one of so many operations."""
_WRITES_ONE_IN: Final = 8
"""So often something is written afterwards."""
_MOST_DIFFERENCES: Final = 10


@dataclass(frozen=True, slots=True)
class Moment:
    """What was acknowledged, and since when."""

    changes: int
    """How many changes of the disk had been made then."""
    view: dict[str, Any]
    """What the replica showed."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A workload on a disk that remembers everything."""

    path: Path
    """The database, as it was opened."""
    changes: tuple[Change, ...]
    """All that happened to the disk, in order."""
    moments: tuple[Moment, ...]
    """What was acknowledged, in order; the first is nothing."""
    durability: Literal["full", "relaxed"]
    operations: int
    """How many there were that can fail."""

    def allowed(self, cut: int) -> tuple[Moment, ...]:
        """What may be there if the power went while change number `cut` (from 0 on) was being made."""
        last = max(number for number, each in enumerate(self.moments) if each.changes <= cut)
        first = 0 if self.durability == "relaxed" else last
        return self.moments[first : last + 2]


def record(
    path: Path,
    *openings: Workload,
    seed: int | str = 0,
    durability: Literal["full", "relaxed"] = "full",
) -> Recording:
    """Run a workload, each part of it in an opening of its own, and remember what happens to the disk.

    Args:
        path: the file; nothing lies there.
        openings: called with the replica, one after the other; it is closed after each.
        seed: what the replica's random bytes follow from.
        durability: see `msgsync.open`.
    """
    moments = [Moment(0, {})]
    with SimulatedDisk(records=True) as disk:
        changes = disk.changes
        assert changes is not None
        system = SimulatedSystem(seed, vfs=disk.vfs)
        for opening in openings:
            with msgsync.open(path, author="ann", system=system, durability=durability) as replica:

                def committed(_seq: int, replica: msgsync.Replica = replica) -> None:
                    moments.append(Moment(len(changes), view(replica)))

                unsubscribe = replica.on_commit(committed)
                opening(replica)
                unsubscribe()
        operations = disk.operations
    return Recording(path, tuple(changes), tuple(moments), durability, operations)


def assert_survives_power_loss(
    directory: Path,
    *openings: Workload,
    points: int = 200,
    seed: int | str = 0,
    durability: Literal["full", "relaxed"] = "full",
) -> int:
    """Assert that a workload can lose the power at any moment, and nothing that was acknowledged with it.

    It is run once, and then cut off that many times: first at every change of the disk, one after the other, as far
    as the points go; then at drawn ones. With ``durability="relaxed"`` the last writes may be lost, never one before
    another that is kept.

    Args:
        directory: where to put files; they are removed again.
        openings: what to do with a replica, one opening after the other; each write must follow from nothing else.
        points: how many power failures.
        seed: which of them, and what each leaves.
        durability: see `msgsync.open`.

    Returns:
        How many changes of the disk there were to cut at.

    Raises:
        AssertionError: what was left is not sound, or not what was acknowledged; says which cut it was.
    """
    with TemporaryDirectory(dir=directory) as name:
        recording = record(Path(name, "whole.db"), *openings, seed=seed, durability=durability)
    medium = Medium()
    cuts = iter(sorted(_cuts(len(recording.changes), points, Seeded(f"{seed}/cuts"))))
    cut, number = next(cuts, None), 0
    for at, change in enumerate(recording.changes):
        medium.begin(change)
        while cut == at:
            try:
                _assert_survives(recording, medium, cut, directory, f"{seed}/{number}")
            except (AssertionError, msgsync.MsgSyncError) as error:
                raise AssertionError(
                    f"power loss {number} of seed {seed!r}, at change {cut} of {len(recording.changes)} "
                    f"({change}): {error}"
                ) from error
            cut, number = next(cuts, None), number + 1
        medium.finish(change)
    return len(recording.changes)


def _cuts(total: int, points: int, seeded: Seeded) -> list[int]:
    """Every change once and then some again, or some of them if there are not points enough."""
    if points <= total:
        return seeded.shuffled(range(total))[:points]
    return [*range(total), *(seeded.below(total) for _ in range(points - total))]


def _assert_survives(
    recording: Recording, medium: Medium, cut: int, directory: Path, seed: str
) -> None:
    seeded = Seeded(seed)
    with TemporaryDirectory(dir=directory) as name:
        left = Path(name, "left.db")
        put(medium.left(seeded), recording.path, left)
        if not seeded.below(_AGAIN_ONE_IN):
            left = _open_and_fail(left, seeded)
        with msgsync.open(left, author="ann", system=SimulatedSystem(f"{seed}/after")) as replica:
            assert_sound(replica)
            _assert_one_of(view(replica), recording.allowed(cut))
            if not seeded.below(_WRITES_ONE_IN):
                replica.create_conversation(id="afterwards").send("goes on")
                assert_sound(replica)


def _assert_one_of(found: dict[str, Any], allowed: Sequence[Moment]) -> None:
    if found not in [moment.view for moment in allowed]:
        lines = ["there is something else than was acknowledged (left: acknowledged):"]
        lines += islice(differences(allowed[0].view, found), _MOST_DIFFERENCES)
        raise AssertionError("\n  ".join(lines))


def _open_and_fail(path: Path, seeded: Seeded) -> Path:
    """Let the power go again while what was left is opened; return what is left then."""
    other = path.with_name("left-again.db")
    with SimulatedDisk() as disk:
        disk.fail(DiskFault.POWER, after=seeded.below(_WITHIN_OPERATIONS))
        with suppress(msgsync.StorageError):
            system = SimulatedSystem(f"{seeded.seed}/again", vfs=disk.vfs)
            msgsync.open(path, author="ann", system=system).close()
        disk.leave(path, other, f"{seeded.seed}/again")
    return other


def assert_survives_failing_disk(
    directory: Path,
    *openings: Workload,
    fault: DiskFault,
    lasts: bool = False,
    seed: int | str = 0,
    points: int | None = None,
) -> int:
    """Assert that any operation of the disk may fail, and nothing acknowledged is lost, nor half of a write there.

    The workload is run once, and then again for each operation that it had, which fails.

    Args:
        directory: where to put files; they are removed again.
        openings: what to do with a replica, one opening after the other.
        fault: how an operation fails; not `DiskFault.POWER`.
        lasts: whether all further operations fail as well, until the app gives up.
        seed: what the replica's random bytes follow from.
        points: how many operations to try, drawn from all; None for every one.

    Returns:
        How many operations there were.

    Raises:
        AssertionError: something else is there than was acknowledged; says which operation it was.
    """
    with TemporaryDirectory(dir=directory) as name:
        recording = record(Path(name, "whole.db"), *openings, seed=seed)
    total = recording.operations
    tried = range(total) if points is None else _cuts(total, points, Seeded(f"{seed}/{fault}"))
    for number in sorted(tried):
        with TemporaryDirectory(dir=directory) as name, SimulatedDisk() as disk:
            disk.fail(fault, after=number, lasts=lasts)
            allowed = 2 if lasts and fault is DiskFault.BROKEN else 1
            run = _FailingRun(Path(name, "failing.db"), disk, seed, recording.moments, allowed)
            try:
                run.take(openings)
            except (AssertionError, msgsync.MsgSyncError) as error:
                raise AssertionError(f"{fault} at operation {number}: {error}") from error
    return total


class _FailingRun:
    """One run of a workload on a disk that fails, and what must hold afterwards."""

    def __init__(
        self,
        path: Path,
        disk: SimulatedDisk,
        seed: int | str,
        moments: Sequence[Moment],
        allowed: int,
    ) -> None:
        self._path = path
        self._disk = disk
        self._system = SimulatedSystem(seed, vfs=disk.vfs)
        self._moments = moments
        self._allowed = allowed
        self._commits = 0

    def take(self, openings: Sequence[Workload]) -> None:
        """Run the workload until something fails, if it does, and see what is there."""
        with suppress(msgsync.StorageError):
            for opening in openings:
                self._open_and(opening)
        self._disk.mend()
        with self._open() as replica:
            assert_sound(replica)
            self._assert_there(replica, self._allowed)
            assert not replica.status().erasure_pending, "erased text still lies in the log"
            replica.create_conversation(id="afterwards").send("goes on")
            assert_sound(replica)

    def _open(self) -> msgsync.Replica:
        return msgsync.open(self._path, author="ann", system=self._system)

    def _open_and(self, opening: Workload) -> None:
        replica = self._open()
        try:

            def committed(_seq: int) -> None:
                self._commits += 1

            unsubscribe = replica.on_commit(committed)
            try:
                opening(replica)
            finally:
                unsubscribe()
                self._assert_there(replica, 1)
        finally:
            replica.close()

    def _assert_there(self, replica: msgsync.Replica, allowed: int) -> None:
        """Assert that the replica shows what was acknowledged, or one of so many further writes."""
        expected = self._moments[self._commits : self._commits + allowed]
        _assert_one_of(view(replica), expected)
