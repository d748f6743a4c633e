"""What a simulation still promises of attachments when devices go."""

from __future__ import annotations

from dataclasses import replace

import pytest

import msgsync
from msgsync.testing import FaultPlan, holdings
from msgsync.testing.simulation import Simulation


@pytest.mark.parametrize("goes", ["who promised", "to whom it was promised"])
def test_what_may_go_for_a_device_that_is_gone_is_not_promised(tmp_path, goes):
    """Seed 1000595: a device that had promised to keep a file fell back, and the other one let go of it later."""
    run = Simulation(1, replace(FaultPlan.calm(), devices=2), tmp_path)
    phone, tablet = run.stations
    conversation = phone.replica.create_conversation("Family", id="family")
    message = conversation.send("", attachments=[msgsync.Attach(b"photo" * 100)])
    id, files = str(message.id), holdings.files_of(phone.replica, message, [b"photo" * 100])
    run.promises.files[id] = files
    msgsync.sync(phone.replica, tablet.replica)
    phone.replica.free_space()  # asks for promises
    msgsync.sync(phone.replica, tablet.replica)
    holdings.recount(run)
    assert run.promises.files == {id: files}
    run.stations.remove(tablet if goes == "who promised" else phone)
    holdings.recount(run)
    holdings.assert_none_lost(run)
    assert run.promises.files == ({} if goes == "who promised" else {id: files})
    if goes == "who promised":
        assert phone.replica.free_space().bytes_freed
        assert not holdings.lying(run)
    for station in (phone, tablet):
        station.close()
