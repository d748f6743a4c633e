"""Devices of the account: what is known and said of them, and what peers may say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import InvalidValue, Replica, limits
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.standing import Standing
from tests.unit.machine import START_MS, Machine
from tests.unit.protocol.line import Line
from tests.unit.replica.known import devices_of, summary

DAY_MS = 86_400_000
NOBODY = "0" * 14


def texts(replica: Replica) -> list[str]:
    return [each.text for each in replica.conversation("family").messages()]


# What is known of them.


def test_who_is_behind_and_by_how_much_and_who_has_more(phone, tablet, laptop, family):
    for replica in (tablet, laptop):
        msgsync.sync(phone, replica)
    msgsync.sync(phone, tablet)
    family.send("two")
    family.send("three")
    laptop.conversation("family").send("elsewhere")
    msgsync.sync(laptop, tablet)
    assert summary(phone, tablet).behind == summary(phone, laptop).behind == 2
    msgsync.sync(phone, tablet)
    assert (summary(phone, tablet).behind, summary(phone, laptop).behind) == (0, 3)
    family.edit(family.messages()[-1], "changed")
    assert summary(phone, tablet).behind == 1


# Files that are put back.


class Spot:
    """A device that is put back from copies of its file."""

    def __init__(self, open_replica, replica: Replica) -> None:
        self._open = open_replica
        self.replica = replica
        self._copies = 0

    def copy(self) -> Path:
        path = self.replica.path
        self.replica.close()
        self._copies += 1
        copy = path.with_name(f"copy {self._copies}.db")
        shutil.copyfile(path, copy)
        self.replica = self._open(path.name)
        return copy

    def put_back(self, copy: Path, store_id: bytes | None = None) -> Replica:
        """As `msgsync.restore` does, with a new store id; without one as somebody who copies files."""
        self.replica.close()
        self._copies += 1
        path = copy.with_name(f"put back {self._copies}.db")
        shutil.copyfile(copy, path)
        if store_id is not None:
            with self._open(path.name) as restored, restored.writing() as store:
                sql = "update meta set value = ? where name = 'store_id'"
                store.database.execute(sql, (store_id,))
        self.replica = self._open(path.name)
        return self.replica


@pytest.fixture
def spot(open_replica, phone, tablet) -> Spot:
    return Spot(open_replica, tablet)


def test_of_a_restored_device_nothing_is_claimed_that_it_lost(phone, spot, laptop, family):
    first = family.send("one")
    msgsync.sync(phone, spot.replica)
    copy = spot.copy()
    second = family.send("two")
    msgsync.sync(phone, spot.replica)
    assert devices_of(phone, second) == {phone.device, spot.replica.device}
    tablet = spot.put_back(copy, b"x" * 16)
    assert devices_of(tablet, first) == {phone.device, tablet.device}, "that was so, and is"
    msgsync.sync(tablet, laptop)
    msgsync.sync(laptop, phone)
    assert devices_of(phone, first) == {phone.device, tablet.device, laptop.device}
    assert devices_of(phone, second) == {phone.device, laptop.device}
    msgsync.sync(phone, tablet)
    assert devices_of(phone, second) == {phone.device, tablet.device, laptop.device}
    assert not tablet.status().cloned


@pytest.mark.parametrize("store_id", [bytes(16), b"\xff" * 16])
def test_of_two_stores_that_a_device_was_put_back_as_the_one_that_takes_part_counts_at_once(
    phone, spot, family, store_id
):
    first = family.send("one")
    msgsync.sync(phone, spot.replica)
    copy = spot.copy()
    msgsync.sync(phone, spot.put_back(copy, b"x" * 16))
    second = family.send("two")
    msgsync.sync(phone, spot.replica)
    tablet = spot.put_back(copy, store_id)
    assert devices_of(phone, second) == {phone.device, tablet.device}, "nobody can know yet"
    msgsync.sync(phone, tablet)
    with phone.reading() as store:
        assert store.standings()[tablet.device.raw].store_id == store_id
    assert devices_of(phone, first) == {phone.device, tablet.device}
    third = family.send("three")
    msgsync.sync(phone, tablet)
    assert devices_of(phone, third) == devices_of(tablet, third) == {phone.device, tablet.device}


def test_a_file_that_was_put_back_by_hand_is_found_out_and_begins_anew(phone, spot, family):
    spot.replica.create_conversation("Work", id="work")
    msgsync.sync(phone, spot.replica)
    copy = spot.copy()
    spot.replica.conversation("work").send("lost on the tablet")
    msgsync.sync(phone, spot.replica)
    last = family.send("more")
    msgsync.sync(phone, spot.replica)
    tablet = spot.put_back(copy)
    with tablet.reading() as store:
        before = store.identity.store_id
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    with tablet.reading() as store:
        assert store.identity.store_id != before
    assert tablet.status().cloned
    assert phone.digest == tablet.digest
    assert devices_of(phone, last) == devices_of(tablet, last) == {phone.device, tablet.device}


def test_two_that_take_part_under_one_id_do_not_count_for_each_other(phone, spot, family):
    first = family.send("one")
    msgsync.sync(phone, spot.replica)
    copy = spot.copy()
    with spot._open(copy.name) as twin, twin.writing() as store:
        sql = "update meta set value = ? where name = 'store_id'"
        store.database.execute(sql, (b"x" * 16,))
    with spot._open(copy.name) as twin:
        last = family.send("two")
        msgsync.sync(phone, twin)
        assert devices_of(phone, last) == {phone.device, twin.device}
        msgsync.sync(phone, spot.replica)
        msgsync.sync(phone, spot.replica)
        assert devices_of(phone, first) == {phone.device, twin.device}
        for _ in range(3):
            assert msgsync.sync(phone, twin).complete
            assert msgsync.sync(phone, spot.replica).complete
        assert phone.digest == twin.digest == spot.replica.digest


# Retiring, names.


def test_names_and_retirement_are_the_same_everywhere(phone, tablet, laptop, family):
    for replica in (tablet, laptop):
        msgsync.sync(phone, replica)
    phone.rename_device("Phone")
    phone.rename_device("Old laptop", device=str(laptop.device))
    phone.retire(laptop.device)
    msgsync.sync(phone, tablet)
    assert summary(tablet, phone).name == "Phone"
    assert summary(tablet, laptop).name == "Old laptop"
    assert summary(tablet, laptop).retired
    assert not summary(tablet, tablet).retired
    tablet.rename_device("My phone", device=phone.device)
    msgsync.sync(phone, tablet)
    assert summary(phone, phone).name == "My phone"
    assert phone.settings() == {}


def test_a_retired_device_that_takes_part_again_is_not_retired_any_more(phone, tablet, family):
    msgsync.sync(phone, tablet)
    phone.retire(tablet.device)
    phone.retire(tablet.device)
    assert msgsync.sync(phone, tablet).complete, (
        "it hears of it, and says in the same exchange that it is there"
    )
    assert not summary(phone, tablet).retired
    assert not summary(tablet, tablet).retired
    assert phone.digest == tablet.digest


def test_a_device_that_heard_of_its_retirement_from_another_one_returns_with_its_next_exchange(
    phone, tablet, laptop, family
):
    for replica in (tablet, laptop, tablet):
        msgsync.sync(phone, replica)
    phone.retire(laptop.device)
    msgsync.sync(phone, tablet)
    msgsync.sync(tablet, laptop)
    assert not summary(tablet, laptop).retired
    msgsync.sync(tablet, phone)
    assert not summary(phone, laptop).retired


def test_a_device_that_is_retired_while_it_is_connected_stays_so_until_it_connects_again(
    phone, tablet, family
):
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet), live=True))
    line.carry()
    phone.retire(tablet.device)
    line.first.changed()
    line.carry()
    assert summary(tablet, tablet).retired
    assert summary(phone, tablet).retired
    msgsync.sync(phone, tablet)
    assert not summary(phone, tablet).retired


def test_what_cannot_be_named_or_retired_is_refused(phone, tablet):
    with pytest.raises(msgsync.UnknownDevice):
        phone.retire(NOBODY)
    with pytest.raises(msgsync.UnknownDevice):
        phone.safe_to_remove(NOBODY)
    with pytest.raises(msgsync.UnknownDevice):
        phone.rename_device("Nobody", device=NOBODY)
    with pytest.raises(InvalidValue):
        phone.retire(phone.device)
    with pytest.raises(InvalidValue):
        phone.retire("no id")
    for name in ("", "x" * 129, 7, "a\nb"):
        with pytest.raises(InvalidValue):
            phone.rename_device(name)
    assert phone.devices()[0].name == str(phone.device)


def test_fields_of_later_versions_about_devices_are_passed_over(phone, tablet, family):
    from msgsync.document.schema import FIELDS, Entry
    from msgsync.records import FieldRecord, encode_field
    from msgsync.replica.devices import ACCOUNT_DOCUMENT

    with phone.writing() as store:
        row = store.row(ACCOUNT_DOCUMENT)
        for name in ("device:x:name", f"device:{tablet.device}:colour", "device:"):
            value = encode_field(FieldRecord(name, 1))
            store.write(row, [Entry(FIELDS, store.next_stamp(row).key(), value)])
    assert {each.id for each in phone.devices()} == {phone.device, tablet.device}
    assert summary(phone, tablet).last_seen_ms is None


# More devices than account is kept of.


def test_one_device_more_than_account_is_kept_of_takes_part(phone, tablet, family, machine):
    msgsync.sync(phone, tablet)
    many = {
        number.to_bytes(8, "big"): Standing(b"s" * 16, 0, START_MS - 1, {})
        for number in range(limits.DEVICES)
    }
    say(phone, many)
    say(tablet, many)
    message = family.send("one")
    laptop = phone.new_device(phone.path.with_name("laptop.db"))
    with laptop:
        for replica in (phone, tablet, phone):
            assert msgsync.sync(replica, laptop).complete
        everybody = {phone.device, tablet.device, laptop.device}
        assert devices_of(phone, message) == devices_of(laptop, message) == everybody
        assert len(phone.devices()) == len(laptop.devices()) == limits.DEVICES
    with phone.reading() as store:
        count = store.database.one("select count(*) from peers")[0]
    assert count <= limits.DEVICES


def test_live_sessions_come_to_rest_although_nobody_can_keep_account_of_all(phone, open_replica):
    ahead = Machine(7)
    ahead.clock_ms = START_MS + 2 * DAY_MS  # so that neither is ever heard of
    tablet = open_replica("tablet.db", member=phone, system=ahead)
    for number, replica in enumerate((phone, tablet)):
        say(
            replica,
            {
                bytes([number, each, *bytes(6)]): Standing(b"s" * 16, 0, START_MS, {})
                for each in range(limits.DEVICES)
            },
        )
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet), live=True))
    for replica, session in ((phone, line.first), (tablet, line.second)):
        for subscribe in (replica.on_commit, replica.on_known):
            subscribe(lambda _seq, session=session: session.changed())
    line.carry(frames=100)
    phone.create_conversation("Family", id="family").send("one")
    line.carry(frames=100)
    assert line.first.next_frame() is None
    assert line.second.next_frame() is None
    assert phone.digest == tablet.digest


# What peers may say.


def say(replica: Replica, known: dict[bytes, Standing], of: bytes = bytes(8)) -> None:
    """A peer says so: by default one that is not known."""
    Exchange(replica).hear(of, known)


def test_a_peer_that_lies_of_this_device_changes_only_what_is_known_of_others(
    phone, tablet, family
):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    with phone.reading() as store:
        known = store.standings()
        store_id = store.identity.store_id
    ours, theirs = phone.device.raw, tablet.device.raw
    lie = {**known[theirs].has, ours: 10**9}
    say(phone, {**known, theirs: known[theirs]._replace(has=lie)}, of=theirs)
    with phone.reading() as store:
        assert store.identity.store_id != store_id, (
            "that could only be a past that it does not know"
        )
        assert store.standings()[ours].has[ours] < 10**9
    assert devices_of(phone, message) == {phone.device}
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    assert devices_of(phone, message) == {phone.device, tablet.device}


def store_id_of(replica: Replica) -> bytes:
    with replica.reading() as store:
        return store.identity.store_id


def test_nobody_is_believed_about_what_others_have_of_this_device(phone, tablet, laptop, family):
    message = family.send("one")
    for replica in (tablet, laptop, tablet):
        msgsync.sync(phone, replica)
    before = store_id_of(phone)
    with phone.reading() as store:
        known = store.standings()
    ours = phone.device.raw
    for about in (ours, laptop.device.raw):
        lie = known[about]._replace(has={**known[about].has, ours: limits.MS})
        say(phone, {**known, about: lie}, of=tablet.device.raw)
    assert store_id_of(phone) == before
    later = family.send("two")
    assert devices_of(phone, later) == {phone.device}
    msgsync.sync(phone, tablet)
    assert devices_of(phone, message) == {phone.device, tablet.device, laptop.device}
    assert devices_of(phone, later) == {phone.device, tablet.device}


def test_a_peer_makes_this_device_begin_anew_once_a_session(phone, tablet, family):
    msgsync.sync(phone, tablet)
    before = store_id_of(phone)
    exchange = Exchange(phone)
    seen = set()
    for _ in range(3):
        with phone.reading() as store:
            known = store.standings()
        theirs = known[tablet.device.raw]
        lie = theirs._replace(has={**theirs.has, phone.device.raw: limits.MS})
        exchange.hear(tablet.device.raw, {**known, tablet.device.raw: lie})
        seen.add(store_id_of(phone))
    assert len(seen) == 1
    assert before not in seen


@pytest.mark.parametrize("store_id", [bytes(16), b"\xff" * 16])
def test_renewals_without_end_shut_nobody_out(phone, tablet, family, store_id):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        say(replica, {phone.device.raw: Standing(store_id, limits.RENEWALS, 0, {})})
    family.send("two")
    for _ in range(3):
        assert msgsync.sync(phone, tablet).complete
    assert texts(tablet) == ["one", "two"]
    with phone.reading() as store:
        standing = store.standings()[phone.device.raw]
        assert standing.store_id == store.identity.store_id
        assert standing.renewals == limits.RENEWALS
    assert devices_of(phone, message) >= {phone.device}


def test_times_that_lie_ahead_are_not_believed(phone, tablet, family, machine):
    msgsync.sync(phone, tablet)
    with phone.reading() as store:
        known = store.standings()
    late = known[tablet.device.raw]._replace(heard_ms=START_MS + 1000 * DAY_MS)
    say(phone, {**known, tablet.device.raw: late})
    assert summary(phone, tablet).last_seen_ms is None
    machine.clock_ms += 1000 * DAY_MS
    assert summary(phone, tablet).last_seen_ms == START_MS + 1000 * DAY_MS


def test_clocks_that_disagree_make_nobody_seen(phone, open_replica, family):
    ahead = Machine(7)
    ahead.clock_ms = START_MS + 2 * DAY_MS
    tablet = open_replica("tablet.db", member=phone, system=ahead)
    msgsync.sync(phone, tablet)
    assert summary(phone, tablet).last_seen_ms is None
    assert summary(phone, tablet).behind == 0
    ahead.clock_ms = START_MS + DAY_MS // 2
    msgsync.sync(phone, tablet)
    assert summary(phone, tablet).last_seen_ms == summary(tablet, phone).last_seen_ms == START_MS


def test_word_of_the_day_goes_round_although_nothing_else_does(
    phone, tablet, laptop, family, machine
):
    for replica in (tablet, laptop, tablet):
        msgsync.sync(phone, replica)
    machine.clock_ms += 3 * DAY_MS
    msgsync.sync(phone, laptop)
    msgsync.sync(phone, tablet)
    assert summary(tablet, laptop).last_seen_ms == machine.clock_ms


def test_status_says_who_is_waited_for(phone, tablet, family, machine):
    family.delete(family.send("one"))
    msgsync.sync(phone, tablet)
    assert phone.status().expiry_waits_for == ()
    machine.clock_ms += 31 * DAY_MS
    assert phone.status().expiry_waits_for == (str(tablet.device),)
    phone.retire(tablet.device)
    assert phone.status().expiry_waits_for == ()
    with phone.new_device(phone.path.with_name("laptop.db")) as laptop:
        msgsync.sync(phone, laptop)
    assert phone.recently_deleted() == [], "nothing waits for a retired device"
