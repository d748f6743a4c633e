"""A device that leaves its account."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import DeviceRevoked, MemoryMailbox, OnlyCopy, ReadOnly, Replica, SyncOff
from msgsync.replica.devices import say_farewell
from msgsync.testing import assert_converged
from tests.unit.conftest import Opener


@pytest.fixture
def box() -> MemoryMailbox:
    return MemoryMailbox()


def left_ms(replica: Replica, device: msgsync.DeviceId) -> int | None:
    [one] = [one for one in replica.devices() if one.id == device]
    return one.left_ms


def test_it_brings_what_it_has_says_that_it_goes_and_stays_to_be_read(
    phone, tablet, family, machine
):
    msgsync.sync(phone, tablet)
    device = tablet.device
    with msgsync.Server(phone) as server:
        msgsync.sync(tablet, server.address)
        tablet.conversation("family").send("the last words")
        done = tablet.leave(wipe=False)
    assert done.told == (server.address,)
    assert (done.not_told, done.only_here, done.wiped) == ((), (), False)
    assert [one.text for one in family.messages()] == ["the last words"]
    assert left_ms(phone, device) == machine.clock_ms
    [one] = [one for one in phone.devices() if one.id == device]
    assert one.retired
    assert phone.status().places == (), "nothing waits for it"
    assert len(tablet.conversation("family").messages()) == 1
    assert tablet.revoked
    with pytest.raises(DeviceRevoked):
        msgsync.sync(tablet, phone)


def test_with_wipe_nothing_is_left_of_it(phone, tablet, family):
    msgsync.sync(phone, tablet)
    path, device = tablet.path, tablet.device
    with msgsync.Server(phone) as server:
        msgsync.sync(tablet, server.address)
        assert tablet.leave(wipe=True).wiped
    assert tablet.closed
    assert [one.name for one in path.parent.glob(f"{path.name}*")] == []
    assert left_ms(phone, device)


def test_others_can_revoke_it_and_go_on(open_replica: Opener, phone, tablet, family):
    laptop = open_replica("laptop.db", member=phone)
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, laptop)
    with msgsync.Server(phone) as server:
        tablet.leave(wipe=True, places=[server.address])
    assert phone.revoke(tablet.device).device == tablet.device
    family.send("among ourselves")
    assert msgsync.sync(phone, laptop).complete
    assert_converged(phone, laptop)


def test_the_only_copy_of_something_is_warned_of_and_nothing_is_said(phone, tablet, family):
    msgsync.sync(phone, tablet)
    tablet.conversation("family").send("nobody else has this")
    with pytest.raises(OnlyCopy, match="not known to be on any other device"):
        tablet.leave(wipe=True)
    assert not tablet.closed
    assert left_ms(tablet, tablet.device) is None
    assert msgsync.sync(tablet, phone).complete
    assert left_ms(phone, tablet.device) is None


def test_attachments_that_were_paused_are_so_again_if_it_stays(phone, tablet, family):
    msgsync.sync(phone, tablet)
    tablet.conversation("family").send("nobody else has this")
    for paused in (True, False):
        if paused:
            tablet.sync.pause_attachments()
        else:
            tablet.sync.resume_attachments()
        with pytest.raises(OnlyCopy):
            tablet.leave(wipe=True)
        assert tablet.sync.attachments_paused is paused


def test_a_device_alone_is_the_only_one_that_has_anything(phone, family):
    with pytest.raises(OnlyCopy, match="only device of the account"):
        phone.leave(wipe=False)
    assert not phone.revoked


def test_a_mailbox_that_has_it_is_named_and_is_no_device(phone, tablet, family, box):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    tablet.conversation("family").send("the phone sleeps")
    with pytest.raises(OnlyCopy, match="memory: has it, but no device is known to have read it"):
        tablet.leave(wipe=False)
    assert not tablet.revoked


def test_it_can_be_done_all_the_same_and_what_was_lost_is_returned(phone, tablet, family, box):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    tablet.conversation("family").send("the phone sleeps")
    device = tablet.device
    done = tablet.leave(wipe=True, even_if_only_copy=True)
    assert done.told == ("memory:",)
    assert done.only_here
    msgsync.sync(phone, box)
    assert left_ms(phone, device), "it was told through the mailbox"


def test_where_nobody_is_reached_it_leaves_and_says_so(phone, tablet, family):
    msgsync.sync(phone, tablet)
    done = tablet.leave(wipe=False, places=["tcp://127.0.0.1:1"])
    assert done.told == ()
    [why] = done.not_told
    assert why.startswith("tcp://127.0.0.1:1: nobody answers")
    assert tablet.revoked


def test_one_that_broke_off_while_leaving_is_back_with_the_next_exchange(phone, tablet, family):
    msgsync.sync(phone, tablet)
    with tablet.writing() as store:
        say_farewell(store, 1)
    assert msgsync.sync(tablet, phone).complete
    assert left_ms(phone, tablet.device) is None


def test_one_that_is_off_revoked_or_read_only_does_not_leave(open_replica: Opener, phone, tablet):
    msgsync.sync(phone, tablet)
    tablet.sync.disable()
    with pytest.raises(SyncOff):
        tablet.leave(wipe=False)
    tablet.sync.enable()
    with pytest.raises(ReadOnly):
        open_replica("tablet.db", readonly=True).leave(wipe=False)
    phone.revoke(tablet.device, even_without_recovery=True)
    with pytest.raises(DeviceRevoked):
        msgsync.sync(tablet, phone)
    with pytest.raises(DeviceRevoked):
        tablet.leave(wipe=False)
