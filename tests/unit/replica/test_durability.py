"""What a device with ``durability="relaxed"`` let others count on, and what is left of it after a power loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import msgsync
from msgsync import Conversation, Message, Replica
from msgsync.testing import SimulatedDisk, SimulatedSystem
from tests.unit.conftest import Opener
from tests.unit.replica.test_attachments import noise
from tests.unit.replica.test_history import fill, texts

LOSSES = 12
"""Each keeps another part of what was not synced; where nothing was, one in two of them shows it."""


@pytest.fixture
def disk() -> Iterator[SimulatedDisk]:
    with SimulatedDisk() as disk:
        yield disk


@pytest.fixture
def keeper(open_replica: Opener, phone: Replica, disk: SimulatedDisk) -> Iterator[Replica]:
    """Another device of phone's account, on a disk that can lose the power."""
    system = SimulatedSystem(1, vfs=disk.vfs)
    with open_replica("keeper.db", member=phone, system=system) as keeper:
        yield keeper


def left_of(keeper: Replica, disk: SimulatedDisk, folder: Path) -> Iterator[Replica]:
    """What power losses at this moment leave of it."""
    for seed in range(LOSSES):
        left = folder / f"left-{seed}" / "keeper.db"
        left.parent.mkdir()
        disk.leave(keeper.path, left, seed)
        with msgsync.open(left, author="ann", readonly=True) as again:
            yield again


def promised(replica: Replica, table: str) -> int:
    with replica.reading() as store:
        return int(store.database.one(f"select count(*) from {table}")[0])


def photo(family: Conversation) -> Message:
    return family.send("look", attachments=[noise(1000)])


def test_what_was_promised_outlives_a_power_loss(phone, keeper, family, disk, tmp_path):
    sent = photo(family)
    phone.free_space()
    for _ in range(2):
        msgsync.sync(phone, keeper)
    assert phone.free_space().bytes_freed == 1000
    for left in left_of(keeper, disk, tmp_path):
        assert promised(left, "promises") == 1
        assert left.message(sent.id).attachments[0].open().read() == noise(1000)


def test_so_does_the_message_for_which_it_was_promised_again(phone, keeper, family, disk, tmp_path):
    photo(family)
    phone.free_space()
    for _ in range(2):
        msgsync.sync(phone, keeper)
    again = photo(family)
    for _ in range(2):
        msgsync.sync(phone, keeper)
    assert phone.free_space().bytes_freed == 1000
    for left in left_of(keeper, disk, tmp_path):
        assert left.message(again.id).attachments[0].open().read() == noise(1000)


def test_so_do_months(phone, keeper, family, disk, tmp_path):
    fill(family)
    phone.set_history_budget(3)
    for _ in range(2):
        msgsync.sync(phone, keeper)
    assert phone.free_space().months_freed == 3
    for left in left_of(keeper, disk, tmp_path):
        assert promised(left, "kept") == 3
        assert len(texts(left.conversation("family"))) == 15


def test_what_nobody_counts_on_is_written_without_waiting_for_the_disk(keeper):
    with keeper.reading() as store:
        database = store.database
        with database.synced():
            assert database.connection.pragma("synchronous") == 2
        assert database.connection.pragma("synchronous") == 1
