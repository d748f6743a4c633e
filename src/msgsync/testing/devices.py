"""Devices of one account: opened, closed, killed, copied and put back, each beside its reference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgsync
from msgsync.testing.checks import view
from msgsync.testing.reference import ReferenceReplica
from msgsync.testing.system import START_MS, SimulatedSystem

_ALL = 10_000
_TWO_MONTHS_MS = 62 * 86_400_000


class Opener(Protocol):
    """How a world opens a replica; `msgsync.open` is one.

    The first is made by opening it. Further devices are added by one that is there, then opened.
    """

    def __call__(self, path: Path, /, *, system: SimulatedSystem) -> msgsync.Replica:
        """Open or make the replica in a file, on this system."""


@dataclass
class Device:
    """A replica, its reference, and the machine it runs on."""

    path: Path
    replica: msgsync.Replica
    reference: ReferenceReplica
    system: SimulatedSystem


@dataclass
class Backup:
    """A backup of a replica, put aside."""

    path: Path
    copied: Path
    """The replica's file as it lay there at that moment, with its write-ahead log: not sealed, as a backup is."""
    reference: ReferenceReplica


@dataclass
class Fleet:
    """Devices of one account in a directory, named by their position; everything follows from the seed."""

    directory: Path
    author: str = "ann"
    seed: int | str = 0
    start_ms: int = START_MS
    compares: bool = True
    """Whether replicas are compared with their references: only if nothing is written but by the verbs below."""
    opener: Opener | None = None
    """Opens replicas; `msgsync.open` with the author and ``durability="relaxed"`` if not given."""
    devices: list[Device] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    ms: dict[str, int] = field(default_factory=dict)
    """Milliseconds of every id that was ever used."""
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """By conversation: ids of messages that a `send` or `ingest` returned for."""
    erased: set[str] = field(default_factory=set)
    """Ids that somebody erased, on any replica."""
    _files: int = 0

    # Replicas.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every replica."""
        for device in self.devices:
            device.replica.close()

    @classmethod
    def with_replicas(cls, directory: Path, count: int = 3) -> Self:
        """A world of that many devices, which know each other and nothing else."""
        world = cls(directory)
        world.add_devices(count)
        return world

    def add_devices(self, count: int) -> None:
        """Add empty devices."""
        for _ in range(count):
            self.add_device()

    def add_device(self) -> int:
        """Add an empty device of the account; return its position."""
        return self._add(self._path(), ReferenceReplica(self.author))

    def _add(self, path: Path, reference: ReferenceReplica) -> int:
        system = SimulatedSystem(f"{self.seed}/{path.name}", now_ms=self.start_ms)
        if self.devices and not path.exists():
            self.devices[0].replica.new_device(path, system=system).close()
        replica = self._open(path, system)
        self.devices.append(Device(path, replica, reference, system))
        return len(self.devices) - 1

    def _open(self, path: Path, system: SimulatedSystem) -> msgsync.Replica:
        if self.opener is not None:
            return self.opener(path, system=system)
        return msgsync.open(path, author=self.author, durability="relaxed", system=system)

    def _path(self) -> Path:
        self._files += 1
        return self.directory / f"{self._files}.db"

    def reopen(self, at: int) -> None:
        """Close a replica and open it again: nothing may change."""
        with self._changing_nothing(at) as device:
            device.replica.close()

    def crash(self, at: int) -> None:
        """Let a device's process die, and open what it left: all that was acknowledged is there.

        What is left is a copy of the database and its write-ahead log as they lie at this moment, unclosed.
        """
        with self._changing_nothing(at) as device:
            path = self._path()
            _copy(device.path, path)
            device.replica.close()
            device.path = path

    def _changing_nothing(self, at: int) -> _Reopening:
        return _Reopening(self.devices[at], self._open)

    def compact(self, at: int) -> None:
        """Freeze all that a device would freeze two months later: nothing may change that anybody sees."""
        device = self.devices[at]
        before = device.replica.digest, everything(device.replica)
        device.system.advance(_TWO_MONTHS_MS)
        report = device.replica.compact()
        device.system.advance(-_TWO_MONTHS_MS)
        assert not report.left, f"not frozen: {report.left}"
        assert before == (device.replica.digest, everything(device.replica)), "freezing changed it"

    def back_up(self, at: int) -> int:
        """Write a backup of a replica that is open; return its position among the backups."""
        device = self.devices[at]
        path = self._path()
        before = device.replica.digest
        report = device.replica.backup(path)
        assert report.digest == before.hex(), "backed up, but not what is here"
        assert device.replica.digest == before, "backing up changed it"
        copied = self._path()
        _copy(device.path, copied)
        self.backups.append(Backup(path, copied, device.reference.copy()))
        return len(self.backups) - 1

    def bring_back(self, backup: int, *, as_new_device: bool = False, copied: bool = False) -> int:
        """Restore a backup beside the device it came from; return the position of what came of it.

        With ``copied`` it is not restored: the file as it lay there is copied, as one should not, so that two have one
        store id.
        """
        kept = self.backups[backup]
        path = self._path()
        if copied:
            _copy(kept.copied, path)
        else:
            system = SimulatedSystem(f"{self.seed}/restoring/{path.name}", now_ms=self.start_ms)
            msgsync.restore(kept.path, path, as_new_device=as_new_device, system=system).close()
        reference = kept.reference.copy()
        reference.open()
        position = self._add(path, reference)
        self._recall_erased()
        return position

    def fall_back(self, at: int, backup: int) -> None:
        """Put an old copy of its file in the place of a device's: what only that device had is gone, and nothing else.

        It is not restored: as if the machine had been rolled back.
        """
        device, kept = self.devices[at], self.backups[backup]
        device.replica.close()
        device.path = self._path()
        _copy(kept.copied, device.path)
        device.reference = kept.reference.copy()
        device.reference.open()
        device.replica = self._open(device.path, device.system)
        for name in self.accepted:
            self.accepted[name] &= set().union(
                *(self.ids(each, name) for each in range(len(self.devices)))
            )
        self._recall_erased()

    def _recall_erased(self) -> None:
        """What is known to be erased depends on who is here: a backup may know of less, or of more."""
        self.erased = {
            id for id in self.ms if any(knows_erased(device, id) for device in self.devices)
        }

    def ids(self, at: int, name: str) -> set[str]:
        """The ids a replica shows in a conversation, those in Recently Deleted too."""
        return {
            id for conversation, id in everything(self.devices[at].replica) if conversation == name
        }


class _Reopening:
    """Opens a device's replica again at the end, and asserts that it shows what it showed before."""

    def __init__(
        self, device: Device, open: Callable[[Path, SimulatedSystem], msgsync.Replica]
    ) -> None:
        self._device = device
        self._open = open
        self._before = view(device.replica), device.replica.digest

    def __enter__(self) -> Device:
        return self._device

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        device = self._device
        device.replica = self._open(device.path, device.system)
        device.reference.open()
        assert (view(device.replica), device.replica.digest) == self._before, "reopening changed it"


def _copy(path: Path, to: Path) -> None:
    """Copy the file of a replica, which may be open, with its write-ahead log."""
    for suffix in ("", "-wal"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            shutil.copyfile(left, to.with_name(to.name + suffix))


def knows_erased(device: Device, id: str) -> bool:
    """Whether a device has been told that a message was erased."""
    try:
        device.replica.message(id)
    except msgsync.ErasedMessage:
        return True
    except msgsync.UnknownMessage:
        return False
    return False


def everything(replica: msgsync.Replica) -> set[tuple[str, str]]:
    """Every message a replica shows, by conversation and id, those in Recently Deleted too."""
    return {
        (summary.id, str(message.id))
        for summary in replica.conversations(include_deleted=True)
        for message in replica.conversation(summary.id).messages(limit=_ALL, include_deleted=True)
    }
