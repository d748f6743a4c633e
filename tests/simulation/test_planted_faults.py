"""Faults that are planted are found, named by their seed, repeated by it, and shrunk to a few lines."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import msgsync
from msgsync.replica import mailing
from msgsync.replica.checkpoints import Checkpoints
from msgsync.store.copies import CopyRows
from msgsync.store.mailboxes import MailboxRows
from msgsync.testing import (
    FaultPlan,
    SimulationFailed,
    assert_survives_power_loss,
    replay,
    simulate,
)
from msgsync.testing.disk import SimulatedFiles
from msgsync.testing.machine import fast_directory
from msgsync.testing.station import open_replica
from tests.simulation.plans import PLANS
from tests.simulation.workloads import attaching, short_first, short_second

pytestmark = pytest.mark.timeout(600)

CALM = replace(FaultPlan.calm(), steps=60)


def first_failure(seeds: range, plan: FaultPlan, opener=open_replica) -> SimulationFailed:
    """Simulate until a seed fails."""
    for seed in seeds:
        try:
            simulate(seed, plan, opener=opener, shrinks=False)
        except SimulationFailed as failed:
            return failed
    raise AssertionError("the planted fault was not found")


def found_within(seeds: int, plan: FaultPlan, opener=open_replica) -> SimulationFailed:
    """A seed that fails does so again, and what is left of it fails by itself."""
    seed = first_failure(range(seeds), plan, opener).seed
    with pytest.raises(SimulationFailed) as raised:
        simulate(seed, plan, opener=opener)
    assert f"Seed {seed}" in str(raised.value)
    assert raised.value.seed == seed
    with pytest.raises(SimulationFailed):
        replay(raised.value.script, seed, plan, opener=opener)
    simulate(seed, plan)  # without the fault it passes
    return raised.value


class Forgetful(msgsync.Replica):
    """Takes one ingested message in ten for granted, and does not keep it."""

    def ingest(self, messages):
        kept = [one for one in messages if one.external_id != "carrier-3"]
        return super().ingest(kept)


class Reviving(msgsync.Replica):
    """Says of what was erased that it is there."""

    def message(self, id):
        try:
            return super().message(id)
        except msgsync.ErasedMessage:
            for line in self.conversations():
                for message in self.conversation(line.id).messages():
                    return replace(message, id=msgsync.MessageId.parse(str(id)))
            raise


def opener(kind, path, system):
    return kind(path, author="ann", system=system)


def msgsync_open(path, system, durability):
    return msgsync.open(path, author="ann", system=system, durability=durability)


def test_a_message_that_is_not_kept_is_found_and_shrunk_to_a_line():
    failed = found_within(20, CALM, partial(opener, Forgetful))
    assert "is lost" in str(failed)
    assert [step.verb for step in failed.script] == ["ingest"]
    assert "ingests" in str(failed)


def test_a_message_that_comes_back_is_found_and_shrunk():
    failed = found_within(20, CALM, partial(opener, Reviving))
    assert "came back" in str(failed)
    assert len(failed.script) <= 4
    assert "erase" in [step.verb for step in failed.script]


def test_a_disk_that_is_not_waited_for_is_found():
    """Without a sync at each commit a power loss takes what was acknowledged."""
    plan = replace(CALM, power_losses_one_in=3, within_operations=40)
    failed = found_within(20, plan, partial(msgsync_open, durability="relaxed"))
    assert re.search("is lost|is not as it was acknowledged", str(failed))
    assert "lose_power" in [step.verb for step in failed.script]


def test_a_power_loss_finds_a_replica_that_does_not_wait_for_its_disk():
    def hasty(replica):
        with replica.reading() as store:
            store.database.execute("pragma synchronous = off")
        short_first(replica)

    with (
        fast_directory() as name,
        pytest.raises(AssertionError, match=r"power loss \d+ of seed 3, at change \d+"),
    ):
        assert_survives_power_loss(Path(name), hasty, short_second, points=300, seed=3)


@pytest.mark.parametrize("which", ["files", "folders"])
def test_a_power_loss_finds_a_chunk_that_is_not_waited_for(monkeypatch, which):
    synced = SimulatedFiles.sync

    def hasty(self, path):
        if path.is_dir() == (which == "files"):
            synced(self, path)

    monkeypatch.setattr(SimulatedFiles, "sync", hasty)
    with (
        fast_directory() as name,
        pytest.raises(AssertionError, match=r"  attachments: chunk|  attachments: .* belongs"),
    ):
        assert_survives_power_loss(Path(name), attaching, points=300)


# Attachments.

ROOM = replace(CALM, devices=3, steps=100, attachments_one_in=1, room_one_in=3)
CONFIRM = CopyRows.confirm
PLANTED_IN_ROOM = {
    "what another has is taken for promised": (
        (CopyRows, "confirm", lambda *args, **_: CONFIRM(*args, promised=True)),
        0,
        ROOM,
    ),
    "what is promised is not written down": (
        (CopyRows, "grant", lambda _self, _device, names: list(names)),
        12,
        ROOM,
    ),
}


@pytest.mark.parametrize(
    ("planted", "first", "plan"), PLANTED_IN_ROOM.values(), ids=PLANTED_IN_ROOM
)
def test_a_fault_that_loses_attachments_is_found(monkeypatch, planted, first, plan):
    """The seed with which it is found is the first one, as long as replicas draw the same numbers."""
    with monkeypatch.context() as patch:
        patch.setattr(*planted)
        failed = first_failure(range(first, first + 20), plan)
    assert re.search("attachment of .* is lost|does not come", str(failed))
    simulate(failed.seed, plan)  # without the fault it passes


# In mailboxes.


PLANTED_IN_MAILBOXES = {
    "what is lost is not put again": (mailing.Mailing, "lost", lambda *_: None),
    "what is erased waits for nothing to go": (MailboxRows, "erased_since", lambda *_: False),
    "what was not read yet is removed": (
        Checkpoints,
        "garbage",
        lambda self: {folder: log.position.sequence for folder, log in self.logs().items()},
    ),
    "what was read is not kept": (mailing.Mailing, "_merge", lambda *_: None),
}


@pytest.mark.parametrize("planted", PLANTED_IN_MAILBOXES.values(), ids=PLANTED_IN_MAILBOXES)
def test_a_fault_in_mailboxes_is_found(monkeypatch, planted):
    plan = replace(
        PLANS["mailboxes that fail"],
        steps=60,
        mailboxes=2,
        damages_one_in=15,
        empties_one_in=10,
        rotations_one_in=None,
        checkpoint_objects=256,  # else there are so many that what is planted is mended by the way
    )
    with monkeypatch.context() as patch:
        patch.setattr(*planted)
        failed = first_failure(range(20), plan)
        with pytest.raises(SimulationFailed, match=f"Seed {failed.seed}"):
            replay(failed.script, failed.seed, plan)
    simulate(failed.seed, plan)  # without the fault it passes
