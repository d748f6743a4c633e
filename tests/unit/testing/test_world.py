"""The world: what devices do by themselves is no difference, and no loss."""

from __future__ import annotations

import pytest

import msgsync
from msgsync.testing import Device
from msgsync.testing.devices import knows_erased
from msgsync.testing.world import World

SENT_MS = 1_711_360_418_036
YEAR_MS = 366 * 86_400_000


@pytest.fixture(params=[False, True], ids=["alone", "beside the reference"])
def world(request, tmp_path):
    """Two of three devices have clocks that are a year ahead; one of them has had a deleted message all the year."""
    gone = msgsync.Incoming("family", "ben", "gone", SENT_MS, external_id="1", deleted_ms=SENT_MS)
    with World(tmp_path, compares=request.param) as world:
        world.add_devices(3)
        world.create(0, "family", "Family")
        world.ingest(0, [gone])
        world.send(0, "family", "here")
        world.sync(0, 1)
        for device in world.devices[1:]:
            device.system.advance(YEAR_MS)
        yield world


def deleted(device: Device) -> list[str]:
    page = device.replica.conversation("family").messages(include_deleted=True)
    return [str(message.id) for message in page if message.deleted]


def test_what_expires_at_the_end_of_an_exchange_goes_round_once_more(world):
    (id,) = deleted(world.devices[0])
    world.sync(1, 2)
    assert knows_erased(world.devices[1], id)
    assert knows_erased(world.devices[2], id)
    world.sync_all()
    world.assert_converged()


def test_so_it_is_if_the_line_breaks_behind_it(world):
    (id,) = deleted(world.devices[0])
    for frames in range(1, 30):
        if world.sync_interrupted(1, 2, frames, frames):
            break
        world.assert_as_modelled(1)
        world.assert_as_modelled(2)
    assert knows_erased(world.devices[1], id)
    world.sync_all()
    world.assert_converged()


def test_a_difference_that_nothing_explains_fails(world, monkeypatch):
    world.sync_all()
    nothing = msgsync.SyncReport(0, 0, 0, 0, 0, complete=True, refused=())
    monkeypatch.setattr(msgsync, "sync", lambda one, other: nothing)
    world.rename(1, "family", "Kin")
    with pytest.raises(AssertionError, match="digests differ"):
        world.sync(1, 2)
