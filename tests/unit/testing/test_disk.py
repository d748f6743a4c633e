"""The simulated disk under a real replica: what fails, how, until when, and what is left."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import StorageError, StorageFull
from msgsync.testing import DiskFault, SimulatedDisk, SimulatedSystem


@pytest.fixture
def disk():
    with SimulatedDisk() as disk:
        yield disk


@pytest.fixture
def replica(tmp_path, disk):
    with msgsync.open(
        tmp_path / "a.db", author="ann", system=SimulatedSystem(1, vfs=disk.vfs)
    ) as replica:
        replica.create_conversation(id="family")
        yield replica


def texts(replica: msgsync.Replica) -> list[str]:
    return [message.text for message in replica.conversation("family").messages()]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (DiskFault.FULL, StorageFull),
        (DiskFault.SHORT, StorageFull),
        (DiskFault.BROKEN, StorageError),
    ],
)
def test_one_operation_fails_and_the_next_succeeds(replica, disk, fault, error):
    disk.fail(fault)
    with pytest.raises(error):
        replica.conversation("family").send("lost")
    replica.conversation("family").send("kept")
    assert texts(replica) == ["kept"]
    assert replica.check().ok


def test_a_lasting_fault_lasts_until_it_is_mended(replica, disk):
    disk.fail(DiskFault.FULL, after=5, lasts=True)
    for _ in range(3):
        with pytest.raises(StorageFull):
            replica.conversation("family").send("lost")
    assert texts(replica) == []  # reading goes on
    disk.mend()
    replica.conversation("family").send("kept")
    assert texts(replica) == ["kept"]


def test_when_the_power_is_gone_nothing_works_and_what_was_acknowledged_is_left(
    tmp_path, replica, disk
):
    replica.conversation("family").send("kept")
    disk.fail(DiskFault.POWER, after=1)
    for _ in range(2):
        with pytest.raises(StorageError):
            replica.conversation("family").send("lost, or not")
    assert disk.is_off
    found = set()
    for seed in range(40):
        left = tmp_path / f"left-{seed}.db"
        disk.leave(replica.path, left, seed)
        with msgsync.open(left, author="ann") as again:
            assert again.check().ok
            found.add(tuple(texts(again)))
    assert found == {("kept",)}  # one operation is not enough for a commit
    with pytest.raises(StorageError):
        replica.close()


def test_a_killed_process_leaves_all_that_it_wrote(tmp_path, replica, disk):
    replica.conversation("family").send("kept")
    disk.leave(replica.path, tmp_path / "left.db", None)
    for suffix in ("", "-wal"):
        real = replica.path.with_name(replica.path.name + suffix).read_bytes()
        assert (tmp_path / f"left.db{suffix}").read_bytes() == real


def test_two_disks_know_nothing_of_each_other(tmp_path, replica, disk):
    with SimulatedDisk() as other:
        other.fail(DiskFault.BROKEN, lasts=True)
        with pytest.raises(StorageError):
            msgsync.open(tmp_path / "b.db", system=SimulatedSystem(2, vfs=other.vfs))
        before = disk.operations
        replica.conversation("family").send("kept")
        assert disk.operations > before


def test_a_disk_that_nobody_made_is_an_error_in_words(tmp_path):
    with pytest.raises(StorageError, match="no such vfs"):
        msgsync.open(tmp_path / "a.db", system=SimulatedSystem(1, vfs="nowhere"))
