"""Epochs that are over: what lies under them is replaced, and their secrets are erased once nothing needs them."""

from __future__ import annotations

import shutil

import pytest

import msgsync
from msgsync import MemoryMailbox, Replica, UnknownEpoch
from msgsync.account.keyobject import key_object_name, read_key_object
from msgsync.account.seal import open_object
from msgsync.replica import devices
from msgsync.testing import assert_converged, assert_sound
from tests.unit import files
from tests.unit.conftest import Opener
from tests.unit.machine import Machine
from tests.unit.protocol.test_courier import objects, texts, visit, visits
from tests.unit.replica import test_history
from tests.unit.replica.test_history import elsewhere

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@pytest.fixture
def box() -> MemoryMailbox:
    return MemoryMailbox()


@pytest.fixture
def other_box() -> MemoryMailbox:
    return MemoryMailbox("memory:other")


trimmed = test_history.trimmed


@pytest.fixture
def laptop(open_replica: Opener, phone: Replica) -> Replica:
    return open_replica("laptop.db", member=phone)


def pass_days(machine: Machine, box: MemoryMailbox, *replicas: Replica, days: int = 10) -> None:
    """Everybody does a round a day, one after the other."""
    for _ in range(days):
        machine.clock_ms += DAY_MS - len(replicas) * HOUR_MS
        for replica in replicas:
            machine.clock_ms += HOUR_MS
            visit(replica, box)


def secret_of(replica: Replica) -> bytes:
    """That of the only epoch that there is."""
    [secret] = replica.membership.keyring().export()
    return secret


def epochs(*replicas: Replica) -> list[int]:
    return [replica.account_status().epochs for replica in replicas]


def family_of(replica: Replica) -> list[str]:
    return [one.text for one in replica.conversation("family").messages(limit=100)]


def names(*replicas: Replica) -> list[str]:
    return [str(replica.device) for replica in replicas]


def kept(box: MemoryMailbox) -> dict[str, bytes]:
    """A copy of all that is in logs."""
    return {name: box.get(name) for name in objects(box)}


def opens(raw: bytes, replica: Replica) -> bool:
    """Whether a device opens an object, with all that it has."""
    membership = replica.membership
    try:
        open_object(raw, keyring=membership.keyring(), roster=membership.roster(), positions={})
    except UnknownEpoch:
        return False
    return True


# That it happens.


def test_what_lies_under_an_old_epoch_is_replaced_and_its_secret_erased_on_all_devices(
    machine: Machine, phone, tablet, family, box
):
    family.send("Hello")
    visits(box, phone, tablet, phone)
    secret, before = secret_of(phone), objects(box)
    phone.rotate()
    family.send("after")
    visits(box, phone, tablet, phone, tablet)
    assert epochs(phone, tablet) == [2, 2]
    assert phone.status().epochs_wait_for == (box.address,)
    pass_days(machine, box, phone, tablet)
    assert not {*before} & {*objects(box)}
    assert epochs(phone, tablet) == [1, 1]
    for replica in (phone, tablet):
        assert replica.status().epochs_wait_for == ()
        assert files.remains(replica.path, secret) == []
        assert replica.check().ok
    before = objects(box)
    assert all(one.complete for one in visits(box, phone, tablet, phone, tablet))
    assert objects(box) == before
    assert_converged(phone, tablet)


def test_a_copy_of_old_objects_and_a_device_that_is_seized_later_open_nothing_of_them(
    machine: Machine, phone, tablet, family, box, tmp_path
):
    family.send("the old secret")
    visits(box, phone, tablet, phone)
    copy = kept(box)
    phone.revoke(tablet.device, even_without_recovery=True)
    assert all(opens(raw, phone) for raw in copy.values())
    pass_days(machine, box, phone)
    phone.close()
    for suffix in ("", "-wal"):
        seized = phone.path.with_name(phone.path.name + suffix)
        if seized.exists():
            shutil.copy(seized, tmp_path / f"seized.db{suffix}")
    with msgsync.open(tmp_path / "seized.db") as phone_later:
        assert texts(phone_later) == ["the old secret"]  # it is here, as it is allowed to be
        assert not any(opens(raw, phone_later) for raw in copy.values())
        assert all(opens(raw, phone_later) for raw in kept(box).values())
        keys = phone_later.membership.keys
        found = read_key_object(box.get(key_object_name(keys.public)), keys)
        assert found.secrets == tuple(phone_later.membership.keyring().export())


def test_what_a_revoked_device_left_unread_goes_and_keeps_no_secret(
    machine: Machine, phone, tablet, laptop, family, box
):
    visits(box, phone, tablet, laptop, phone)
    tablet.conversation("family").send("nobody has read this")
    visit(tablet, box)
    phone.revoke(tablet.device)
    assert not visit(phone, box).complete
    pass_days(machine, box, phone, laptop, days=20)
    assert epochs(phone, laptop) == [1, 1]
    assert all(one.complete for one in visits(box, phone, laptop))
    assert texts(phone) == texts(laptop)


def test_without_mailboxes_an_epoch_is_over_once_all_have_said_so(phone, tablet, laptop, family):
    for one in (tablet, laptop):
        msgsync.sync(phone, one)
    secret = secret_of(phone)
    phone.rotate()
    msgsync.sync(phone, tablet)
    assert epochs(phone, tablet) == [2, 2]
    assert phone.status().epochs_wait_for == (str(laptop.device),)
    msgsync.sync(phone, laptop)
    msgsync.sync(phone, tablet)
    assert epochs(phone, tablet, laptop) == [1, 1, 1]
    for one in (phone, tablet, laptop):
        assert files.remains(one.path, secret) == []


def test_of_two_epochs_that_began_at_once_one_stays(machine: Machine, phone, tablet, family, box):
    visits(box, phone, tablet)
    phone.rotate()
    tablet.rotate()
    visits(box, phone, tablet, phone, tablet)
    pass_days(machine, box, phone, tablet)
    assert epochs(phone, tablet) == [1, 1]
    assert phone.membership.keyring() == tablet.membership.keyring()
    family.send("Hello")
    visits(box, phone, tablet)
    assert_converged(phone, tablet)


def test_an_account_that_never_changed_its_epoch_says_nothing_of_it(phone, tablet, family, box):
    visits(box, phone, tablet)
    msgsync.sync(phone, tablet)
    with phone.reading() as store:
        assert devices.fields(store) == {}


# That it does not happen too early.


def test_a_mailbox_that_was_not_seen_keeps_the_secret(
    machine: Machine, phone, family, box, other_box
):
    family.send("Hello")
    for place in (box, other_box):
        visit(phone, place)
    phone.rotate()
    pass_days(machine, box, phone)
    assert epochs(phone) == [2]
    assert phone.status().epochs_wait_for == (other_box.address,)
    pass_days(machine, other_box, phone)
    assert epochs(phone) == [1]


def test_a_device_that_slept_loses_nothing_that_only_it_can_reach(
    machine: Machine, open_replica: Opener, phone, tablet, laptop, family, box, other_box
):
    desk = open_replica("desk.db", member=phone)
    for one in (desk, laptop, tablet, desk):
        msgsync.sync(phone, one)
    desk.conversation("family").send("only in the other mailbox")
    visits(other_box, desk, laptop, desk)
    desk.conversation("family").send("and nobody has read it")
    visit(desk, other_box)
    phone.rotate()
    visits(box, phone, tablet, phone)
    pass_days(machine, box, phone, tablet)
    assert epochs(phone) == [2]
    assert {*phone.status().epochs_wait_for} == {*names(laptop, desk)}
    phone.retire(desk.device)  # it is lost
    visit(laptop, box)
    pass_days(machine, box, phone, tablet, laptop)
    assert phone.status().epochs_wait_for == (str(desk.device),)  # what it had may lie anywhere
    assert {*laptop.status().epochs_wait_for} == {other_box.address, str(desk.device)}
    visit(laptop, other_box)
    pass_days(machine, other_box, laptop)
    pass_days(machine, box, phone, tablet, laptop)
    phone.revoke(desk.device)
    pass_days(machine, box, phone, tablet, laptop)
    assert epochs(phone, tablet, laptop) == [1, 1, 3]
    pass_days(machine, other_box, laptop)
    assert epochs(phone, tablet, laptop) == [1, 1, 1]
    assert {*texts(phone)} == {"only in the other mailbox", "and nobody has read it"}
    assert_converged(phone, tablet, laptop)


def test_word_of_a_device_counts_only_with_all_that_it_had_by_then(phone, tablet, family):
    """Else what it has sealed before, in a place that nobody else knows, would be read by nobody."""
    phone.rotate()
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    assert epochs(phone) == [1]
    phone.rotate()
    msgsync.sync(phone, tablet)
    current = phone.membership.roster().state.sealing_epoch()
    with phone.reading() as store:
        said = devices.fields(store)[tablet.device.raw, "epoch"]
        assert said.startswith(current.hex())
        standings = store.standings()
        has = standings[phone.device.raw].has[tablet.device.raw]
    phone.rotate()
    current = phone.membership.roster().state.sealing_epoch()
    for store_id, seq, waits in (
        (standings[tablet.device.raw].store_id, has + 1, True),
        (bytes(16), has, True),
        (standings[tablet.device.raw].store_id, has, False),
    ):
        with phone.writing() as store:
            word = f"{current.hex()}:{store_id.hex()}:{seq}"
            devices.set_field(store, tablet.device.raw, "epoch", word)
        expected = (str(tablet.device),) if waits else ()
        assert phone.status().epochs_wait_for == expected


@pytest.mark.parametrize("leaves", [False, True])
def test_what_was_only_in_a_mailbox_is_read_before_its_secret_goes(
    machine: Machine, phone, tablet, laptop, family, box, leaves
):
    """A checkpoint under the old epoch is the only copy, in a place that nobody has looked into but who is gone."""
    for number in range(70):
        family.send(f"number {number}")
        visit(phone, box)
    gone = phone.device
    if leaves:
        msgsync.sync(phone, box)
        phone.leave(wipe=True, even_if_only_copy=True)
    else:
        tablet.retire(gone)
    tablet.rotate()
    msgsync.sync(tablet, laptop)
    assert not tablet.conversations()
    pass_days(machine, box, tablet, laptop, days=12)
    assert len(family_of(tablet)) == 70
    assert_converged(tablet, laptop)
    # Who left said what it had at last, and what it put last is found to be all of that.
    assert tablet.status().epochs_wait_for == (() if leaves else (str(gone),))
    tablet.revoke(gone)
    pass_days(machine, box, tablet, laptop, days=12)
    assert epochs(tablet, laptop) == [1, 1]
    assert len(family_of(tablet)) == 70


def test_who_left_in_good_order_is_not_waited_for(phone, tablet, laptop, family, box):
    for one in (tablet, laptop):
        msgsync.sync(phone, one)
    laptop.sync.enable()
    msgsync.sync(laptop, box)
    msgsync.sync(phone, box)
    gone = laptop.device
    laptop.leave(wipe=True)
    msgsync.sync(phone, box)
    msgsync.sync(phone, tablet)
    tablet.rotate()
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    assert str(gone) not in tablet.status().epochs_wait_for
    assert epochs(tablet) == [1]
    assert_sound(tablet)


def test_a_mailbox_that_is_not_used_any_more_can_be_taken_off(
    machine: Machine, phone, family, box, other_box
):
    for place in (box, other_box):
        visit(phone, place)
    phone.rotate()
    pass_days(machine, box, phone)
    assert epochs(phone) == [2]
    phone.sync.forget(other_box.address)
    visit(phone, box)
    assert epochs(phone) == [1]


@pytest.mark.usefixtures("trimmed")
def test_months_that_may_lie_in_a_mailbox_alone_keep_the_secret(machine: Machine, phone, tablet):
    """What the phone has let go of the tablet has; once that is out, nobody is known to have it."""
    assert elsewhere(phone)
    phone.rotate()
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    assert epochs(phone, tablet) == [1, 1]
    phone.revoke(tablet.device, even_without_recovery=True)
    machine.clock_ms += DAY_MS
    visit(phone, MemoryMailbox())
    assert phone.status().epochs_wait_for == ("family",)
    assert epochs(phone) == [2]


def test_who_forgets_first_and_who_needs_more_time_leave_key_objects_alone(
    machine: Machine, phone, tablet, family, box, other_box
):
    visits(box, phone, tablet)
    visit(tablet, other_box)
    phone.rotate()
    pass_days(machine, box, phone, tablet, days=12)
    assert epochs(phone, tablet) == [1, 2]
    put: list[str] = []
    real = box.put

    def counting(name: str, body: bytes) -> None:
        put.append(name)
        real(name, body)

    box.put = counting
    visits(box, *[phone, tablet] * 4)
    assert not [name for name in put if name.startswith("keys/")]


# Who comes later, or back.


def test_who_joins_later_or_by_the_phrase_gets_everything(
    machine: Machine, open_replica: Opener, phone, tablet, family, box, tmp_path
):
    family.send("Hello")
    phrase = phone.recovery_phrase()
    assert phrase is not None
    visits(box, phone, tablet, phone)
    phone.rotate()
    pass_days(machine, box, phone, tablet)
    assert epochs(phone, tablet) == [1, 1]
    laptop = open_replica("laptop.db", member=phone)
    visits(box, laptop, phone, laptop)
    assert_converged(phone, laptop)
    with msgsync.recover(tmp_path / "again.db", phrase, via=box, author="ann") as again:
        visits(box, again, phone, again)
        assert texts(again) == ["Hello"]
        assert epochs(again) == [1]
        assert again.membership.keyring().forgotten == phone.membership.keyring().forgotten


@pytest.mark.parametrize("as_new_device", [False, True])
@pytest.mark.parametrize("by_mailbox", [False, True])
def test_a_backup_from_before_comes_back_though_nobody_knows_who_made_it(
    machine: Machine, phone, tablet, family, box, tmp_path, as_new_device, by_mailbox
):
    """It knows the old epoch alone, and of it the others know no more than that they had it."""
    family.send("Hello")
    msgsync.sync(phone, tablet)
    tablet.backup(tmp_path / "kept")
    with phone.new_device(tmp_path / "laptop.db", author="ann") as laptop:
        visits(box, phone, laptop, tablet, phone)
        phone.rotate()
        pass_days(machine, box, phone, laptop, tablet)
        assert epochs(phone, laptop, tablet) == [1, 1, 1]
        phone.close()
        tablet.close()
        with msgsync.restore(
            tmp_path / "kept",
            tmp_path / "back.db",
            as_new_device=as_new_device,
            author="ann",
            system=machine,
        ) as back:
            back.conversation("family").send("and after it")
            if by_mailbox:
                pass_days(machine, box, back, laptop, days=15)
                assert all(one.complete for one in visits(box, back, laptop))
            else:
                assert msgsync.sync(back, laptop).complete
                assert msgsync.sync(back, laptop).complete
            assert texts(laptop) == ["Hello", "and after it"]
            assert_converged(back, laptop)


@pytest.mark.parametrize("remembered", [False, True])
def test_a_mailbox_put_back_from_before_is_mended_or_named_and_emptied(
    machine: Machine, phone, tablet, laptop, family, box, remembered
):
    """Each device remembers the logs that it made; those of one that is gone nobody does."""
    visits(box, phone, laptop, tablet)
    laptop.create_conversation("Home", id="home").send("of the laptop")
    family.send("Hello")
    visits(box, laptop, phone, tablet, phone, laptop)
    copy = {name: box.get(name) for name in [*objects(box), *box.list("keys")]}
    if remembered:
        phone.rotate()
        pass_days(machine, box, phone, tablet, laptop)
    else:
        phone.revoke(laptop.device)
        pass_days(machine, box, phone, tablet)
        phone.rotate()
        pass_days(machine, box, phone, tablet)
    assert epochs(phone, tablet) == [1, 1]
    family.send("later")
    for name in [*objects(box), *box.list("keys")]:
        box.delete(name)
    for name, raw in copy.items():
        box.put(name, raw)
    reports = visits(box, phone, tablet, phone, tablet)
    assert_converged(phone, tablet)
    assert secret_of(phone) == secret_of(tablet)
    if remembered:
        pass_days(machine, box, phone, tablet, laptop)
    else:
        named = [line for one in reports for line in one.refused]
        assert any("of an epoch that was forgotten" in one for one in named)
        for name in [*objects(box), *box.list("keys")]:
            box.delete(name)
        visits(box, phone, tablet)
    assert all(one.complete for one in visits(box, phone, tablet))
    assert texts(tablet) == ["Hello", "later"]
