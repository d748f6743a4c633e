"""What status says of places: what waits, whether it moves, and if not why."""

from __future__ import annotations

from contextlib import suppress

import pytest

import msgsync
from msgsync import (
    InvalidValue,
    MailboxForbidden,
    MailboxFull,
    MemoryMailbox,
    MsgSyncError,
    PlaceState,
    PlaceStatus,
    Reason,
    Replica,
    Waiting,
    limits,
)
from tests.unit.conftest import Opener

NOWHERE = "tcp://127.0.0.1:1"
MINUTE_MS = 60_000


class Failing(MemoryMailbox):
    """A mailbox that raises what it is told to; None lets everything through."""

    error: MsgSyncError | None = None

    def get(self, name: str) -> bytes:
        if self.error is not None:
            raise self.error
        return super().get(name)


@pytest.fixture
def box() -> Failing:
    return Failing()


def place(replica: Replica, what: str | Replica) -> PlaceStatus:
    """How it stands with an address or a device."""
    [found] = [
        one
        for one in replica.status().places
        if (one.address == what if isinstance(what, str) else one.device == what.device)
    ]
    return found


def attempt(replica: Replica, what: str | Replica | MemoryMailbox) -> None:
    with suppress(MsgSyncError):
        msgsync.sync(replica, what)


# Devices.


def test_a_device_alone_has_no_places(phone):
    assert phone.status().places == ()


def test_a_device_that_was_never_met_is_waited_for_with_all_there_is(phone, tablet, family):
    family.send("Hello")
    found = place(phone, tablet)
    assert (found.state, found.reason) == (PlaceState.WAITING, Reason.WAITING_FOR_DEVICE)
    assert found.why.endswith("was not heard of yet")
    assert (found.to_send.messages, found.to_send.documents) == (1, 2)
    assert found.to_send.bytes > 0
    assert (found.last_success_ms, found.last_seen_ms) == (None, None)


def test_after_an_exchange_both_are_up_to_date_and_say_since_when(phone, tablet, family, machine):
    family.send("Hello")
    msgsync.sync(phone, tablet)
    for one, other in ((phone, tablet), (tablet, phone)):
        found = place(one, other)
        assert (found.state, found.reason, found.why, found.remedy) == (
            *(PlaceState.UP_TO_DATE, None),
            *("", ""),
        )
        assert found.caught_up
        assert (found.to_send, found.to_receive) == (Waiting(), Waiting())
        assert found.last_success_ms == found.last_seen_ms == machine.clock_ms


def test_what_is_written_since_waits_and_is_not_called_synced(phone, tablet, family):
    msgsync.sync(phone, tablet)
    family.send("Hello")
    found = place(phone, tablet)
    assert (found.state, found.reason) == (PlaceState.WAITING, Reason.WAITING_FOR_DEVICE)
    assert "was last heard of 2024-01-31 23:50 UTC" in found.why
    assert (found.to_send.messages, found.to_send.documents) == (1, 1)
    assert not found.caught_up


def test_what_a_device_is_known_to_have_and_is_not_here_is_to_come(open_replica, phone, tablet):
    laptop = open_replica("laptop.db", member=phone)
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, laptop)
    msgsync.sync(tablet, laptop)
    tablet.create_conversation("Trip").send("Where?")
    msgsync.sync(tablet, laptop)
    laptop.create_conversation("Other")
    with laptop.reading() as store:
        known = store.standings()
    with phone.watch.learning() as store:
        store.peers.hear(store.identity, laptop.device.raw, known, phone.system.now_ms())
    found = place(phone, tablet)
    assert found.to_receive.more
    assert not found.caught_up


def test_retired_and_revoked_devices_are_not_listed(open_replica, phone, tablet):
    laptop = open_replica("laptop.db", member=phone)
    phone.retire(tablet.device)
    phone.revoke(laptop.device)
    assert phone.status().places == ()


# Addresses.


def test_an_address_where_nobody_answers_is_named_with_what_to_do(phone, machine):
    attempt(phone, NOWHERE)
    found = place(phone, NOWHERE)
    assert (found.state, found.reason) == (PlaceState.WAITING, Reason.UNREACHABLE)
    assert "nobody answers" in found.why
    assert found.remedy == Reason.UNREACHABLE.remedy
    assert (found.last_success_ms, found.last_attempt_ms) == (None, machine.clock_ms)
    assert found.device is None
    assert found.to_receive.more, "nobody knows what is there"


def test_what_was_noted_is_known_after_a_restart_and_in_another_process(
    open_replica, phone, machine
):
    attempt(phone, NOWHERE)
    reader = open_replica("phone.db", readonly=True)
    assert place(reader, NOWHERE).reason is Reason.UNREACHABLE
    phone.close()
    again = open_replica("phone.db")
    assert place(again, NOWHERE).last_attempt_ms == machine.clock_ms


# Mailboxes.


def test_a_mailbox_is_up_to_date_once_all_is_put_and_read(phone, family, box, machine):
    family.send("Hello")
    msgsync.sync(phone, box)
    found = place(phone, box.address)
    assert (found.state, found.is_mailbox) == (PlaceState.UP_TO_DATE, True)
    assert found.last_success_ms == machine.clock_ms
    family.send("Again")
    found = place(phone, box.address)
    assert (found.state, found.reason) == (PlaceState.WAITING, Reason.NEXT_SYNC)
    assert (found.to_send.messages, found.to_send.documents) == (1, 1)


def test_what_came_from_a_mailbox_does_not_wait_to_go_there(phone, tablet, family, box):
    family.send("Hello")
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    assert place(tablet, box.address).to_send == Waiting()


@pytest.mark.parametrize(
    ("error", "reason", "state"),
    [
        (MailboxForbidden("403; check keys"), Reason.CREDENTIALS, PlaceState.STUCK),
        (MailboxFull("507; free some space"), Reason.PLACE_FULL, PlaceState.STUCK),
        (msgsync.MailboxBusy("503; later"), Reason.BUSY, PlaceState.WAITING),
        (msgsync.MailboxUnreachable("no answer"), Reason.UNREACHABLE, PlaceState.WAITING),
        (msgsync.MailboxClockWrong("skewed"), Reason.CLOCK, PlaceState.STUCK),
    ],
)
def test_a_round_that_fails_says_why_and_one_that_goes_well_clears_it(
    phone, family, box, error, reason, state
):
    box.error = error
    attempt(phone, box)
    found = place(phone, box.address)
    assert (found.state, found.reason, found.why) == (state, reason, str(error))
    box.error = None
    msgsync.sync(phone, box)
    assert place(phone, box.address).caught_up


def test_a_damaged_object_of_another_device_is_named_and_counted(phone, tablet, family, box):
    family.send("Hello")
    msgsync.sync(phone, box)
    [name] = box.list("log")
    box.put(name, box.get(name)[:-1] + b"\0")
    report = msgsync.sync(tablet, box)
    found = place(tablet, box.address)
    assert report.codes == ("object-damaged",)
    assert (found.state, found.reason) == (PlaceState.STUCK, Reason.DAMAGED_OBJECT)
    assert name in found.why
    assert found.to_receive == Waiting(objects=1)


def test_the_device_that_put_a_damaged_object_is_named_where_its_log_is_known(
    phone, tablet, family, box
):
    phone.rename_device("Ann's phone")
    for text in ("one", "two"):
        family.send(text)
        msgsync.sync(phone, box)
        msgsync.sync(tablet, box)
    family.send("three")
    msgsync.sync(phone, box)
    with tablet.reading() as store:
        row = store.mailboxes.find(box.address)
        assert row is not None
        read = {folder: log.sequence for folder, log in store.mailboxes.logs(row.key).items()}
    [name] = [one for one in box.list("log") if int(one[-16:], 16) > read.get(one[4:36], 0)]
    box.put(name, box.get(name)[:-1] + b"\0")
    msgsync.sync(tablet, box)
    found = place(tablet, box.address)
    assert found.why.endswith(f"; put by device {phone.device} (Ann's phone)")
    assert found.to_receive.objects == 1


def test_what_was_seen_and_not_taken_is_counted_where_a_round_broke_off(phone, tablet, family, box):
    family.send("Hello")
    msgsync.sync(phone, box)

    class Breaking(MemoryMailbox):
        """Lists everything, and gives no object of a log."""

        def get(self, name: str) -> bytes:
            if name.startswith("log/"):
                raise msgsync.MailboxBusy("503; later")
            return super().get(name)

    broken = Breaking(box.address)
    broken._objects = box._objects
    attempt(tablet, broken)
    found = place(tablet, box.address)
    assert (found.reason, found.to_receive) == (Reason.BUSY, Waiting(objects=1))
    attempt(tablet, Failing(box.address))
    assert place(tablet, box.address).to_receive == Waiting(), "nothing is seen in another one"


def test_attachments_wait_to_go_to_a_mailbox_as_well(phone, family, box):
    msgsync.sync(phone, box)
    family.send("Look", attachments=[b"x" * 1000])
    found = place(phone, box.address)
    assert found.to_send.chunks == 1
    msgsync.sync(phone, box)
    assert place(phone, box.address).to_send == Waiting()


def test_a_revoked_device_is_stuck_everywhere_and_says_so(phone, tablet, family, box):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    phone.revoke(tablet.device, even_without_recovery=True)
    msgsync.sync(phone, box)
    attempt(tablet, box)
    found = place(tablet, box.address)
    assert (found.state, found.reason) == (PlaceState.STUCK, Reason.REVOKED)


# What it costs.


def test_quiet_rounds_write_once_a_minute_and_what_changes_at_once(phone, box, machine):
    msgsync.sync(phone, box)
    with phone.reading() as store:
        before = store.seq
    msgsync.sync(phone, box)
    with phone.reading() as store:
        assert store.seq == before
    box.error = MailboxFull("full")
    attempt(phone, box)
    with phone.reading() as store:
        assert store.seq == before + 1
    machine.clock_ms += MINUTE_MS
    attempt(phone, box)
    with phone.reading() as store:
        assert store.seq == before + 2


def test_what_the_caller_did_wrong_is_none_of_the_places(phone):
    attempt(phone, "tcp://nonsense")
    assert phone.status().places == ()


def test_of_many_addresses_the_latest_are_remembered(phone, machine):
    for number in range(300):
        machine.clock_ms += 1
        phone.places.failed(f"tcp://10.0.0.1:{number}", msgsync.ConnectionLost("gone"))
    with phone.reading() as store:
        names = store.places.all()
    assert len(names) == 256
    assert "tcp://10.0.0.1:299" in names
    assert "tcp://10.0.0.1:0" not in names


def test_a_restored_replica_knows_of_no_success(open_replica: Opener, phone, box, tmp_path):
    msgsync.sync(phone, box)
    phone.backup(tmp_path / "it.backup")
    with msgsync.restore(tmp_path / "it.backup", tmp_path / "again.db") as again:
        assert all(one.last_attempt_ms is None for one in again.status().places)


def test_a_mailbox_that_is_forgotten_is_known_again_with_the_next_sync(
    phone, tablet, family, box, machine
):
    sent = family.send("Look!", attachments=[bytes(1000)])
    family.erase(family.send("secret").id)
    phone.free_space()
    for _ in range(3):
        msgsync.sync(phone, box)
        machine.clock_ms += limits.CONFIRM_MS
    msgsync.sync(tablet, box)
    assert phone.free_space(preview=True).bytes_free == 1000
    assert phone.verify_erased().mailboxes

    phone.sync.forget(box.address)
    assert [one.address for one in phone.status().places] == [None]
    assert phone.free_space().bytes_freed == 0
    assert not phone.verify_erased().mailboxes
    with pytest.raises(InvalidValue, match="no place that is known"):
        phone.sync.forget(box.address)
    assert phone.check().ok

    before = box.list("chunk")
    assert msgsync.sync(phone, box).complete
    assert box.list("chunk") == before
    assert msgsync.sync(tablet, box).complete
    assert tablet.digest == phone.digest
    assert tablet.message(sent.id).attachments[0].state is msgsync.AttachmentState.HERE


def test_an_address_where_nobody_answered_is_forgotten_and_one_in_use_is_not(phone, tablet):
    with pytest.raises(msgsync.ConnectionLost):
        msgsync.sync(phone, NOWHERE)
    phone.sync.forget(NOWHERE)
    assert NOWHERE not in [one.address for one in phone.status().places]
    with msgsync.Server(tablet) as server, msgsync.Watcher(phone, server.address):
        phone.caught_up(timeout=30)
        with pytest.raises(InvalidValue, match="end that first"):
            phone.sync.forget(server.address)
    phone.sync.forget(server.address)
