"""What devices know of each other that meet in mailboxes alone."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import MemoryMailbox, limits
from msgsync.account.seal import is_checkpoint_name
from msgsync.protocol.tidings import Tidings, heard_ms, read_tidings, write_tidings
from msgsync.standing import Standing
from msgsync.testing import SimulatedSystem, assert_claims_hold

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


def write_and_sync(replica, box, text):
    """What somebody does who watches nothing: write, then sync."""
    sent = replica.conversation("family").send(text)
    assert msgsync.sync(replica, box).complete
    return sent.id


def names_all(replica, message_id, devices):
    return set(replica.where_is(message_id).devices) == {one.device for one in devices}


def test_who_writes_before_every_round_learns_what_others_have(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    phone.create_conversation("Family", id="family")
    for replica in devices:
        msgsync.sync(replica, box)
    sent = []
    for day in range(4):
        sent += [write_and_sync(replica, box, f"day {day}") for replica in devices]
        pass_days(1, *devices)
        assert not tablet.devices()[1].has_more
        assert tablet.devices()[1].behind <= 2
        for each in sent[: max(2 * day - 1, 0)]:
            assert names_all(phone, each, devices)
            assert names_all(tablet, each, devices)
        for replica in devices:
            assert_claims_hold(replica, devices)
    assert tablet.devices()[1].last_seen_ms is not None
    [reason] = tablet.safe_to_remove(tablet.device).reasons
    assert reason.endswith("sync another device there, and then this one once more")
    for replica in (phone, tablet):
        pass_days(0.01, *devices)  # they do not wait for a message to go with any longer
        msgsync.sync(replica, box)
    assert tablet.safe_to_remove(tablet.device).safe


def test_so_do_three_of_them(devices, tmp_path):
    phone, tablet = devices
    box = MemoryMailbox()
    phone.create_conversation("Family", id="family")
    with phone.new_device(tmp_path / "c.db", system=SimulatedSystem(3)) as laptop:
        three = (phone, tablet, laptop)
        for replica in three:
            msgsync.sync(replica, box)
        first = [write_and_sync(replica, box, "first") for replica in three]
        for _ in range(3):
            for replica in three:
                write_and_sync(replica, box, "again")
        for replica in three:
            assert all(names_all(replica, each, three) for each in first)
            assert_claims_hold(replica, three)


def test_who_lacks_an_object_of_a_log_claims_nothing_of_what_its_device_has(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    phone.create_conversation("Family", id="family")
    for _ in range(2):
        for replica in devices:
            msgsync.sync(replica, box)
    before = {*box.list("log")}
    lost = write_and_sync(phone, box, "is damaged")
    [name] = {*box.list("log")} - before
    raw = box.get(name)
    box.put(name, raw[:-1] + bytes([raw[-1] ^ 1]))
    later = write_and_sync(phone, box, "is read an hour later")
    for hours in range(3):
        tablet.conversation("family").send("here")
        msgsync.sync(tablet, box)
        msgsync.sync(phone, box)
        for replica in devices:
            assert_claims_hold(replica, devices)
        if hours == 0:
            assert not names_all(phone, lost, devices)
            assert not names_all(phone, later, devices)
        pass_days(0.05, *devices)
    assert tablet.message(lost)  # which was put again, once it was missed for an hour


def test_who_lacks_what_a_device_had_from_another_one_claims_nothing(devices, tmp_path):
    phone, tablet = devices
    box = MemoryMailbox()
    phone.create_conversation("Family", id="family")
    with phone.new_device(tmp_path / "c.db", system=SimulatedSystem(3)) as laptop:
        three = (phone, tablet, laptop)
        for _ in range(2):
            for replica in three:
                msgsync.sync(replica, box)
        before = {*box.list("log")}
        lost = write_and_sync(tablet, box, "is damaged once the phone has read it")
        [name] = {*box.list("log")} - before
        later = write_and_sync(phone, box, "and the phone says that it has")
        raw = box.get(name)
        box.put(name, raw[:-1] + bytes([raw[-1] ^ 1]))
        laptop.conversation("family").send("hello")
        assert not msgsync.sync(laptop, box).complete
        assert laptop.message(later)
        write_and_sync(phone, box, "reads what the laptop says")
        for replica in three:
            assert_claims_hold(replica, three)
        assert laptop.device not in phone.where_is(lost).devices


def test_what_a_device_was_told_to_have_since_is_not_what_equal_tidings_say(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    phone.create_conversation("Family", id="family")
    for _ in range(3):
        for replica in devices:
            msgsync.sync(replica, box)
            pass_days(0.01, *devices)
    with phone.reading() as store:
        standings = store.standings()
        told = standings[tablet.device.raw]
        last = told.has[tablet.device.raw]
    rumour = {tablet.device.raw: told._replace(has={**told.has, tablet.device.raw: last + 5})}
    with phone.watch.learning() as store:
        store.peers.hear(store.identity, b"\1" * 8, rumour, phone.system.now_ms())
    msgsync.sync(phone, box)
    assert phone.devices()[1].has_more


def test_who_reads_a_checkpoint_in_place_of_logs_hears_what_its_device_says(devices):
    phone, tablet = devices
    box = MemoryMailbox()
    family = phone.create_conversation("Family", id="family")
    for _ in range(2):
        for replica in devices:
            msgsync.sync(replica, box)
    hello = write_and_sync(tablet, box, "Hello")
    pass_days(2, *devices)
    family.erase(write_and_sync(phone, box, "gone"))
    again = write_and_sync(phone, box, "and a checkpoint is made")
    assert any(is_checkpoint_name(name.split("/")[1]) for name in box.list("log"))
    write_and_sync(tablet, box, "seen")
    assert names_all(tablet, hello, devices)
    write_and_sync(phone, box, "seen, too")
    assert names_all(phone, again, devices)
    for replica in devices:
        assert_claims_hold(replica, devices)


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
