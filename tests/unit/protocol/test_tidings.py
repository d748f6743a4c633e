"""What devices know of each other that meet in mailboxes alone."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import MemoryMailbox, limits
from msgsync.protocol.tidings import Tidings, heard_ms, read_tidings, write_tidings
from msgsync.standing import Standing
from msgsync.testing import SimulatedSystem

DAY_MS = 86_400_000
OWN, OTHER = b"\1" * 8, b"\2" * 8
SAID = Tidings(
    bytes(range(16)),
    5 * DAY_MS,
    {OWN: Standing(bytes(16), 0, 7, {OWN: 3}), OTHER: Standing(b"\1" * 16, 1, 0, {OWN: 2})},
    {OWN: 4 * DAY_MS},
    ("a" * 32,),
)


@pytest.fixture
def devices(tmp_path):
    with (
        msgsync.open(tmp_path / "a.db", author="ann", system=SimulatedSystem(1)) as phone,
        phone.new_device(tmp_path / "b.db", system=SimulatedSystem(2)) as tablet,
    ):
        yield phone, tablet


def pass_days(days, *replicas):
    for replica in replicas:
        replica.system.advance(int(days * DAY_MS))


def test_tidings_are_read_as_they_were_written():
    assert read_tidings(write_tidings(SAID)) == SAID


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x83\x41\x00\xa0\x80", b"\xff", b"\x00\x00"])
def test_what_are_no_tidings_says_nothing(raw):
    assert read_tidings(raw) is None
    assert read_tidings(write_tidings(SAID) + b"\0") is None


@pytest.mark.parametrize(
    ("told_day", "said_day", "now_day", "expected"),
    [
        (10, 10, 10, 10),
        (10, 12, 20, 10),  # it was there after it had read this
        (10, 9, 20, 9),
        (10, 8, 20, 0),  # its clock lags behind
        (10, 22, 20, 0),  # its clock is ahead
        (0, 10, 10, 0),  # it has read nothing of this device
    ],
)
def test_when_a_device_was_there_is_told_by_two_clocks(told_day, said_day, now_day, expected):
    said = SAID._replace(time_ms=said_day * DAY_MS, read_ms={OWN: told_day * DAY_MS})
    assert heard_ms(said, OWN, now_day * DAY_MS) == expected * DAY_MS


def test_a_device_learns_through_a_mailbox_that_another_has_its_message(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    hello = phone.create_conversation("Family").send("Hello")
    msgsync.sync(phone, box)
    assert phone.where_is(hello.id).devices == (phone.device,)
    msgsync.sync(tablet, box)
    assert set(tablet.where_is(hello.id).devices) == {phone.device, tablet.device}
    pass_days(0.01, phone, tablet)  # it does not wait for a message to go with any longer
    msgsync.sync(tablet, box)
    msgsync.sync(phone, box)
    assert set(phone.where_is(hello.id).devices) == {phone.device, tablet.device}
    assert phone.wait_for(hello.id, devices=1, timeout=0).unknown == ()
    assert phone.safe_to_remove(phone.device).safe
    pass_days(0.01, phone, tablet)
    msgsync.sync(tablet, box)
    msgsync.sync(phone, box)
    [summary] = [one for one in phone.devices() if one.id == tablet.device]
    assert summary.behind == 0
    assert summary.last_seen_ms is not None


def test_that_a_message_was_erased_is_known_through_a_mailbox(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    family = phone.create_conversation("Family")
    hello = family.send("Hello")
    for replica in (phone, tablet, phone):
        msgsync.sync(replica, box)
    family.erase(hello.id)
    for replica in (phone, tablet, tablet, phone):
        msgsync.sync(replica, box)
        pass_days(0.01, phone, tablet)
    assert set(phone.where_is(hello.id).erased_on) == {phone.device, tablet.device}


def test_when_all_is_told_nothing_more_is_put(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    phone.create_conversation("Family").send("Hello")
    for _ in range(6):
        for replica in devices:
            msgsync.sync(replica, box)
            pass_days(0.01, phone, tablet)
    before = box.list("log")
    for replica in devices:
        msgsync.sync(replica, box)
    assert box.list("log") == before

    pass_days(1.1, phone, tablet)
    msgsync.sync(phone, box)
    assert len(box.list("log")) == len(before) + 1  # a sign of life


def test_what_was_deleted_goes_by_itself_where_devices_meet_in_a_mailbox_alone(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    family = phone.create_conversation("Family")
    hello = family.send("Hello")
    for _ in range(2):
        for replica in devices:
            msgsync.sync(replica, box)
    family.delete(hello.id)
    for day in range(limits.RETENTION_DAYS + 4):
        pass_days(1, phone, tablet)
        if day == limits.RETENTION_DAYS - 3:
            assert phone.recently_deleted()
        for replica in (phone, tablet, phone, tablet):
            msgsync.sync(replica, box)
            pass_days(0.01, phone, tablet)
    assert not phone.recently_deleted()
    assert set(phone.where_is(hello.id).erased_on) == {phone.device, tablet.device}


def test_nothing_goes_by_itself_while_a_device_keeps_silent(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    family = phone.create_conversation("Family")
    hello = family.send("Hello")
    for _ in range(2):
        for replica in devices:
            msgsync.sync(replica, box)
    family.delete(hello.id)
    for _ in range(limits.RETENTION_DAYS + 4):
        pass_days(1, phone, tablet)
        msgsync.sync(phone, box)
    assert phone.recently_deleted()


def test_devices_that_come_minutes_after_each_other_once_a_day_hear_of_each_other(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    hello = phone.create_conversation("Family").send("Hello")
    for _ in range(4):
        msgsync.sync(phone, box)
        pass_days(limits.TIDINGS_MS / 2 / DAY_MS, phone, tablet)
        msgsync.sync(tablet, box)
        pass_days(1, phone, tablet)
    for replica in devices:
        assert set(replica.where_is(hello.id).devices) == {phone.device, tablet.device}
        assert all(one.behind == 0 for one in replica.devices())
        assert replica.safe_to_remove(replica.device).safe
    [summary] = [one for one in phone.devices() if one.id == tablet.device]
    assert summary.last_seen_ms is not None
    assert phone.system.now_ms() - summary.last_seen_ms < 2.1 * DAY_MS
