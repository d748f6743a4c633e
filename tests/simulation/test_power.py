"""The power goes at any write, or any write fails; `make soak` cuts a hundred thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgsync.testing import DiskFault, assert_survives_failing_disk, assert_survives_power_loss
from msgsync.testing.machine import fast_directory
from tests.simulation.workloads import (
    attaching,
    detaching,
    filling,
    long_first,
    long_second,
    short_first,
    short_second,
)

pytestmark = pytest.mark.timeout(600)

POINTS = 2_000
CHUNK = 250
failing = pytest.mark.parametrize(
    ("fault", "lasts"),
    [
        (DiskFault.FULL, True),
        (DiskFault.BROKEN, False),
        (DiskFault.BROKEN, True),
        (DiskFault.SHORT, False),
    ],
    ids=str,
)


@pytest.fixture
def directory():
    with fast_directory() as name:
        yield Path(name)


@pytest.mark.parametrize("chunk", range(POINTS // CHUNK))
def test_a_power_loss_loses_nothing_that_was_acknowledged_and_leaves_nothing_half(directory, chunk):
    openings = ((long_first, long_second), (filling,))[chunk % 2]
    changes = assert_survives_power_loss(directory, *openings, points=CHUNK, seed=chunk)
    assert changes > CHUNK  # else the same points again and again


def test_a_power_loss_leaves_no_attachment_half_and_none_behind(directory):
    """Each chunk is on the disk before its message is, its name too; what went does not come back."""
    changes = assert_survives_power_loss(
        directory, attaching, detaching, points=CHUNK, seed="attachments"
    )
    assert changes > 2 * CHUNK


def test_with_relaxed_durability_a_power_loss_takes_the_last_writes_alone(directory):
    assert_survives_power_loss(
        directory, long_first, long_second, points=CHUNK, durability="relaxed"
    )


@failing
def test_whichever_write_fails_nothing_acknowledged_is_lost_and_all_goes_on(
    directory, fault, lasts
):
    operations = assert_survives_failing_disk(
        directory, short_first, short_second, fault=fault, lasts=lasts
    )
    assert operations > 300


@failing
def test_so_it_is_with_attachments(directory, fault, lasts):
    operations = assert_survives_failing_disk(
        directory, attaching, detaching, fault=fault, lasts=lasts, points=20
    )
    assert operations > 200
