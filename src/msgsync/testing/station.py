"""One device of a simulation: a replica on a simulated disk and clock, that is switched off, killed and started."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgsync
from msgsync.testing.checks import assert_sound
from msgsync.testing.disk import SimulatedDisk, folders_of
from msgsync.testing.system import SimulatedSystem

OpenReplica = Callable[[Path, SimulatedSystem], msgsync.Replica]
"""Opens or makes the replica in a file, on this system."""


def open_replica(path: Path, system: SimulatedSystem) -> msgsync.Replica:
    """Open a replica as most apps do."""
    return msgsync.open(path, author="ann", system=system)


@dataclass
class Station:
    """A device. Its file gets a new name with each start that is not an ordinary one."""

    name: str
    directory: Path
    system: SimulatedSystem
    member: msgsync.Replica | None = None
    """Who adds it to the account; None if it is the first."""
    opener: OpenReplica = open_replica
    own: set[str] = field(default_factory=set)
    """Ids of messages that were acknowledged here."""
    away_until: int = 0
    """The step at which it is back, if it is away."""
    ill_until: int = 0
    """The step at which its disk is mended, if something is wrong with it."""
    starts: int = 0
    number: int = 0
    """Of the device among all that ever took part; it says which mailboxes are its."""

    def __post_init__(self) -> None:
        self.path = self._next_path()
        self.disk = SimulatedDisk()
        try:
            if self.member is not None:
                self.system.vfs = self.disk.vfs
                self.member.new_device(self.path, system=self.system).close()
            self.start()
        except BaseException:
            self.disk.close()
            raise

    def __repr__(self) -> str:
        return self.name

    def _next_path(self) -> Path:
        self.starts += 1
        return self.directory / f"{self.name}-{self.starts}.db"

    def start(self) -> None:
        """Open the replica."""
        self.system.vfs = self.disk.vfs
        self.replica = self.opener(self.path, self.system)
        self._acknowledge(0)
        self.replica.on_commit(self._acknowledge)

    def _acknowledge(self, _seq: int) -> None:
        self.acknowledged = self.replica.digest
        self.is_certain = True
        """Whether nothing was begun since that may have happened or not."""

    def assert_as_acknowledged(self) -> None:
        """Assert that a call that failed changed nothing."""
        if not self.disk.is_off:
            assert self.replica.digest == self.acknowledged, f"a call failed and changed {self}"

    def close(self) -> None:
        """Close the replica, whatever its disk says, and let go of the disk."""
        with suppress(msgsync.StorageError):
            self.replica.close()
        self.disk.close()

    def reopen(self, *, copying_to: Path | None = None) -> None:
        """Close the replica and open it again, which changes nothing; its file may be copied aside meanwhile.

        If closing or opening fails because of the disk, that is mended, and it is opened. What a call had written that
        failed because of the disk may be there then.

        Raises:
            StorageError: the power is gone.
        """
        certain, before = self.is_certain, self.replica.digest
        try:
            self.replica.close()
            if copying_to is not None:
                self.disk.leave(self.path, copying_to, None)
            self.start()
        except msgsync.StorageError:
            if self.disk.is_off:
                raise
            self.disk.mend()
            self.start()
        assert not certain or self.replica.digest == before, f"reopening changed {self}"

    def fall_back(self, path: Path, *, restores: bool, as_new_device: bool = False) -> None:
        """Put a backup, or a copy of a closed file, in the place of the file.

        Args:
            path: the backup.
            restores: whether it is restored, as one should, or copied: as if the machine had been rolled back.
            as_new_device: whether what is restored is another device.
        """
        self.close()
        self.path = self._next_path()
        self.disk = SimulatedDisk()
        self.own.clear()
        if restores:
            self.system.vfs = self.disk.vfs
            msgsync.restore(
                path, self.path, as_new_device=as_new_device, system=self.system
            ).close()
        else:
            copy_database(path, self.path)
        self.start()

    def crash(self, seed: str | None) -> None:
        """Let the app die, and start what is left.

        Args:
            seed: what a power loss leaves follows from it; None if only the app dies, and all it wrote is there.

        Raises:
            AssertionError: what was acknowledged is not there.
        """
        old, certain, expected = self.path, self.is_certain, self.acknowledged
        self.path = self._next_path()
        disk = self.disk
        disk.leave(old, self.path, seed)
        self.close()
        self.disk = SimulatedDisk()
        remove_database(old)
        self.start()
        assert_sound(self.replica)
        if certain:
            assert self.replica.digest == expected, f"{self} is not as it was acknowledged"


def copy_database(path: Path, other: Path) -> None:
    """Copy a closed database, its log if closing failed, and its attachments."""
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            other.with_name(other.name + suffix).write_bytes(source.read_bytes())
    for folder in folders_of(path):
        suffix = folder.name.removeprefix(path.name)
        shutil.copytree(folder, other.with_name(other.name + suffix))


def remove_database(path: Path) -> None:
    """Remove a database and all that lies beside it."""
    for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for folder in folders_of(path):
        shutil.rmtree(folder)
