"""What may be wiped: a device is safe to remove only if nothing would be lost with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import msgsync
from msgsync import Replica, limits
from msgsync.document.schema import ACCOUNT, DocumentId
from msgsync.mailbox.carrying import carry
from msgsync.protocol.chunkcourier import ChunkCourier
from msgsync.protocol.errand import Round
from msgsync.replica import devices
from msgsync.replica.chunkmailing import ChunkMailing
from msgsync.standing import Standing
from tests.unit.conftest import Opener
from tests.unit.machine import START_MS, Machine
from tests.unit.replica.test_attachments import noise

DAY_MS = 86_400_000
SIZE = 1000


def test_a_device_is_safe_to_remove_once_another_has_what_it_has(phone, tablet, family):
    removal = phone.safe_to_remove(phone.device)
    assert not removal.safe
    assert "has not synced with any other device" in removal.reasons[0]
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        heard_ms = None if replica is phone else START_MS
        found = replica.safe_to_remove(phone.device)
        assert found == msgsync.Removal(phone.device, True, (), heard_ms)
    family.send("one")
    family.send("two")
    [reason] = phone.safe_to_remove(phone.device).reasons
    assert "2 messages" in reason
    phone.set_setting("theme", "dark")
    msgsync.sync(phone, tablet)
    assert phone.safe_to_remove(phone.device).safe
    phone.set_setting("theme", "light")
    assert not phone.safe_to_remove(phone.device).safe


def test_what_only_a_retired_device_has_too_is_not_safe(phone, tablet, laptop, family):
    msgsync.sync(phone, laptop)
    family.send("one")
    msgsync.sync(phone, tablet)
    assert phone.safe_to_remove(phone.device).safe
    phone.retire(tablet.device)
    assert not phone.safe_to_remove(phone.device).safe


def test_of_another_device_what_was_heard_last_counts(phone, tablet, laptop, family, machine):
    for replica in (tablet, laptop):
        msgsync.sync(phone, replica)
    tablet.conversation("family").send("from the tablet")
    msgsync.sync(tablet, laptop)
    assert laptop.safe_to_remove(tablet.device).safe
    machine.clock_ms += 2 * DAY_MS
    [reason] = laptop.safe_to_remove(tablet.device).reasons
    assert "not heard of" in reason


def test_of_a_device_of_which_only_something_was_said_nothing_is_safe(
    phone, tablet, laptop, family
):
    msgsync.sync(phone, tablet)
    with phone.writing() as store:
        devices.set_field(store, phone.device.raw, "retired", False)
    msgsync.sync(phone, tablet)
    with laptop.writing() as store, phone.reading() as named:  # filled no further than that
        document = DocumentId("", ACCOUNT)
        store.merge(document, named.documents.parts(named.row(document)))
    with laptop.writing() as store:
        other = Standing(b"s" * 16, 0, START_MS, {})
        store.peers.hear(store.identity, tablet.device.raw, {tablet.device.raw: other}, START_MS)
    removal = laptop.safe_to_remove(phone.device)
    assert not removal.safe
    assert removal.reasons == ("nothing is known yet of what it has; sync first",)
    msgsync.sync(laptop, phone)
    assert laptop.safe_to_remove(phone.device).safe


def test_nobody_is_told_to_sync_a_device_that_was_revoked(phone, tablet, family, machine):
    msgsync.sync(phone, tablet)
    phone.revoke(tablet.device, even_without_recovery=True)
    with pytest.raises(msgsync.DeviceRevoked):
        msgsync.sync(tablet, phone)
    message = tablet.conversation("family").send("written by a device that is out")
    machine.clock_ms += 2 * DAY_MS
    for replica in (phone, tablet):
        [reason] = replica.safe_to_remove(tablet.device).reasons
        assert "revoked" in reason
        assert "export" in reason
        assert "sync" not in reason
    with pytest.raises(msgsync.DeviceRevoked):
        tablet.wait_for(message, timeout=60)


def test_of_a_revoked_device_of_which_nothing_is_known_nobody_is_told_to_sync_it(
    phone, tablet, laptop, family
):
    phone.revoke(laptop.device, even_without_recovery=True)
    [reason] = phone.safe_to_remove(laptop.device).reasons
    assert reason.startswith("nothing is known yet of what it has; it was revoked")


def test_whether_a_device_can_go_is_said_as_of_when_it_was_heard_of(phone, tablet, family, machine):
    assert phone.safe_to_remove(phone.device).as_of_ms is None
    msgsync.sync(phone, tablet)
    heard_ms = machine.clock_ms
    machine.clock_ms += 3_600_000
    assert phone.safe_to_remove(tablet.device) == msgsync.Removal(tablet.device, True, (), heard_ms)
    assert tablet.safe_to_remove(tablet.device).as_of_ms is None, "it knows what it has"


def test_two_that_have_not_met_are_not_said_to_be_one(open_replica, phone):
    [reason] = phone.safe_to_remove(phone.device).reasons
    assert "only device" in reason
    other = open_replica("other.db", member=phone)
    for replica in (phone, other):
        [reason] = replica.safe_to_remove(replica.device).reasons
        assert "has not synced with any other device" in reason
    phone.retire(other.device)
    [reason] = phone.safe_to_remove(phone.device).reasons
    assert "only device" in reason


# Files.


def reasons(asked: Replica, device: Replica) -> list[str]:
    """Those that speak of files."""
    return [one for one in asked.safe_to_remove(device.device).reasons if "bytes of files" in one]


def test_a_file_that_only_this_device_has_makes_it_unsafe(phone, tablet, family):
    msgsync.sync(phone, tablet)
    family.send("look", attachments=[noise(SIZE)])
    assert phone.status().bytes_only_here == SIZE
    [reason] = reasons(phone, phone)
    assert reason.startswith("1,000 bytes of files are on it")
    assert reason.endswith("sync it")
    msgsync.sync(phone, tablet)
    assert reasons(phone, phone) == []
    assert phone.status().bytes_only_here == 0


def test_so_does_one_whose_bytes_have_not_come_yet(phone, tablet, family):
    msgsync.sync(phone, tablet)
    phone.set_attachment_budget(0)  # no room
    other = tablet.conversation("family")
    other.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    [reason] = reasons(phone, tablet)
    assert "are not on this device" in reason
    phone.set_attachment_budget(None)
    msgsync.sync(phone, tablet)
    assert reasons(phone, tablet) == []


def test_who_keeps_a_file_for_another_one_is_not_safe(phone, tablet, family):
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    phone.free_space()
    msgsync.sync(phone, tablet)
    assert phone.free_space().bytes_freed == SIZE
    assert len(reasons(phone, tablet)) == 1  # it has promised, and alone has it
    assert len(reasons(tablet, tablet)) == 1  # and knows that others may rely on that
    assert tablet.status().bytes_only_here == SIZE
    assert reasons(phone, phone) == []


def test_in_a_mailbox_it_is_safe(phone, tablet, family, tmp_path: Path):
    (tmp_path / "box").mkdir()
    box = (tmp_path / "box").as_uri()
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    phone.free_space()
    msgsync.sync(phone, tablet)
    phone.free_space()
    assert reasons(tablet, tablet)
    msgsync.sync(tablet, box)
    assert reasons(tablet, tablet) == []
    msgsync.sync(phone, box)
    assert reasons(phone, tablet) == []


def test_a_third_one_that_promised_makes_it_safe(
    open_replica: Opener, phone: Replica, tablet: Replica, family: msgsync.Conversation
):
    laptop = open_replica("laptop.db", member=phone)
    family.send("look", attachments=[noise(SIZE)])
    for other in (tablet, laptop):
        msgsync.sync(phone, other)
    phone.free_space()
    for other in (tablet, laptop):
        msgsync.sync(phone, other)
    msgsync.sync(tablet, laptop)
    phone.free_space()
    kept_by = [one for one in (tablet, laptop) if not reasons(phone, one)]
    assert kept_by  # one of them can go, as the other one has promised
    assert len(kept_by) < 2


def test_an_erased_file_is_in_nobodys_way(phone, tablet, family):
    msgsync.sync(phone, tablet)
    sent = family.send("look", attachments=[noise(SIZE)])
    family.erase(sent)
    assert reasons(phone, phone) == []
    assert phone.status().bytes_only_here == 0


def test_who_reads_beside_the_writer_knows_of_the_first_file(phone, tablet, family, open_replica):
    """That there were no files once was taken for true for ever."""
    msgsync.sync(phone, tablet)
    reader = open_replica("phone.db", readonly=True)
    assert reader.safe_to_remove(phone.device).safe
    family.send("look", attachments=[noise(SIZE, 1)])
    reasons = phone.safe_to_remove(phone.device).reasons
    assert any("bytes of files" in one for one in reasons)
    assert reader.safe_to_remove(phone.device).reasons == reasons


def look_again(machine: Machine, replica: Replica, box: msgsync.MemoryMailbox) -> None:
    msgsync.sync(replica, box)  # by then it is certain that the message is there
    machine.clock_ms += limits.CONFIRM_MS
    msgsync.sync(replica, box)


def test_what_lay_in_a_mailbox_before_it_was_sent_again_may_go_from_there(
    machine: Machine,
    phone: Replica,
    tablet: Replica,
    family: msgsync.Conversation,
    box: msgsync.MemoryMailbox,
):
    first = family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    assert tablet.status().bytes_only_here == 0
    tablet.conversation("family").send("look at it again", attachments=[noise(SIZE)])
    assert tablet.status().bytes_only_here == SIZE
    assert reasons(tablet, tablet)
    family.erase(first)  # without having heard of the second
    msgsync.sync(phone, box)
    assert not box.list("chunk")
    msgsync.sync(tablet, box)
    assert tablet.status().bytes_only_here == SIZE
    machine.clock_ms += limits.CONFIRM_MS
    msgsync.sync(tablet, box)  # it looks, and puts it there again
    assert box.list("chunk")
    assert tablet.status().bytes_only_here == 0, "the only message that needs it is there too"


def test_once_it_was_seen_there_after_that_message_it_is_safe(
    machine: Machine,
    phone: Replica,
    tablet: Replica,
    family: msgsync.Conversation,
    box: msgsync.MemoryMailbox,
):
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, box)
    family.send("look at it again", attachments=[noise(SIZE)])
    for _ in range(2):
        assert phone.status().bytes_only_here == SIZE
        msgsync.sync(phone, box)
    machine.clock_ms += limits.CONFIRM_MS
    msgsync.sync(phone, box)
    assert phone.status().bytes_only_here == 0


def test_another_device_is_needed_until_it_was_seen_there_again(
    machine: Machine,
    phone: Replica,
    tablet: Replica,
    family: msgsync.Conversation,
    box: msgsync.MemoryMailbox,
):
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    phone.free_space()
    look_again(machine, phone, box)
    assert phone.free_space().bytes_freed == SIZE
    assert reasons(phone, tablet) == []
    tablet.conversation("family").send("look at it again", attachments=[noise(SIZE)])
    msgsync.sync(tablet, phone)
    assert reasons(phone, tablet)
    look_again(machine, phone, box)
    assert reasons(phone, tablet) == []


def test_what_was_found_in_a_mailbox_that_the_message_is_not_in_may_go_from_there(
    machine: Machine,
    phone: Replica,
    tablet: Replica,
    family: msgsync.Conversation,
    box: msgsync.MemoryMailbox,
):
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    msgsync.sync(tablet, box)
    phone.retire(tablet.device)
    courier = ChunkCourier(ChunkMailing(phone, box.address), Round(None))
    carry(courier.run(all_put=False), box)
    assert box.list("chunk")
    assert phone.status().bytes_only_here == SIZE
    look_again(machine, phone, box)
    assert phone.status().bytes_only_here == 0
