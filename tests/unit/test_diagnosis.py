"""What the doctor finds, as data; what it prints of real faults is in tests/integration/test_doctor.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

import msgsync
from msgsync import (
    Diagnosis,
    Event,
    Finding,
    InvalidValue,
    MailboxFull,
    MemoryMailbox,
    Reason,
    Replica,
    Verdict,
    aio,
    doctor,
)
from tests.unit.conftest import Opener

DAY_MS = 86_400_000
NOWHERE = "tcp://127.0.0.1:1"


def of(diagnosis: Diagnosis, check: str, place: str | None = None) -> Finding:
    """What this check found there."""
    [found] = [one for one in diagnosis.findings if (one.check, one.place) == (check, place)]
    return found


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    return {one.check: one.verdict for one in findings}


def test_of_a_device_that_is_well_each_check_says_so(phone, family):
    family.send("Hello")
    found = doctor(phone)
    assert found.ok
    assert found.exit_code == 0
    assert [one.check for one in found.findings if one.verdict is Verdict.WELL] == [
        *("file", "room", "keys", "account", "switch", "clock", "version")
    ]
    assert {one.check for one in found.findings if one.verdict is Verdict.NOTE} == {
        "recovery",
        "places",
    }
    assert "1 messages" in of(found, "file").found
    assert of(found, "places").remedy == "name one: msgsync doctor ADDRESS"


def test_a_note_is_not_ill_and_what_is_ill_has_a_reason_and_a_remedy(phone):
    phone.sync.disable()
    found = doctor(phone, [NOWHERE])
    assert not found.ok
    one = of(found, "switch")
    assert (one.verdict, one.reason, one.exit_code) == (Verdict.ILL, Reason.SWITCHED_OFF, 2)
    assert one.remedy == Reason.SWITCHED_OFF.remedy
    assert of(found, "place", NOWHERE).verdict is Verdict.NOTE
    assert found.exit_code == 2


def test_it_says_why_attachments_do_not_come(phone, tablet, family):
    family.send("Look!", attachments=[bytes(1000)])
    tablet.set_attachment_budget(10)
    msgsync.sync(phone, tablet)
    status = tablet.status()
    assert (status.attachment_bytes_here, status.attachment_bytes_missing) == (0, 1000)
    assert (status.attachment_budget, status.attachment_budget_days) == (10, None)
    one = of(doctor(tablet, []), "attachments")
    assert (one.verdict, "a budget" in one.found) == (Verdict.NOTE, True)
    assert "1,000 bytes of them are not here" in one.found
    tablet.set_attachment_budget()
    tablet.sync.pause_attachments()
    one = of(doctor(tablet, []), "attachments")
    assert tablet.status().attachments_paused
    assert (one.verdict, "on --attachments" in one.remedy) == (Verdict.NOTE, True)


def test_a_mailbox_that_is_well_is_synced_with_and_left_without_a_probe(phone, tablet, family, box):
    family.send("Hello")
    events: list[Event] = []
    assert doctor(phone, [box]).ok
    found = doctor(tablet, [box], on_event=events.append)
    assert verdicts(one for one in found.findings if one.place == box.address) == dict.fromkeys(
        ("reach", "account", "round trip", "sync"), Verdict.WELL
    )
    assert len(tablet.conversation("family").messages()) == 1
    assert any(isinstance(one, msgsync.Completed) for one in events)
    assert box.list("probe") == []
    assert of(doctor(tablet), "sync", box.address).verdict is Verdict.WELL, "it is known now"


def test_of_a_device_the_address_where_it_was_met_last_is_looked_at(phone, tablet, machine):
    for _ in range(2):
        machine.clock_ms += 60_000
        with msgsync.Server(tablet) as server:
            msgsync.sync(phone, server.address)
    with msgsync.Server(tablet) as last:
        machine.clock_ms += 60_000
        msgsync.sync(phone, last.address)
        found = doctor(phone)
        assert {one.place for one in found.findings if one.place} == {last.address}
        assert found.ok


def test_a_probe_that_was_left_behind_is_replaced_by_the_next_one(phone, box):
    class Forgetful(MemoryMailbox):
        """Cannot delete."""

        def delete(self, name: str) -> None:
            raise MailboxFull("no room to remove anything; free some space")

    forgetful = Forgetful()
    for _ in range(2):
        one = of(doctor(phone, [forgetful]), "round trip", forgetful.address)
        assert (one.verdict, one.reason) == (Verdict.ILL, Reason.PLACE_FULL)
        assert len(forgetful.list("probe")) == 1


def test_a_probe_that_comes_back_as_another_is_damage(phone):
    class Lying(MemoryMailbox):
        """Gives half of a probe."""

        def get(self, name: str) -> bytes:
            body = super().get(name)
            return body[: len(body) // 2] if name.startswith("probe/") else body

    one = of(doctor(phone, [Lying()]), "round trip", "memory:")
    assert (one.verdict, one.reason) == (Verdict.ILL, Reason.DAMAGED_OBJECT)


def test_a_listing_that_is_late_is_a_note(phone):
    class Late(MemoryMailbox):
        """Lists nothing that is new."""

        def list(self, folder: str) -> list[str]:
            return [] if folder == "probe" else super().list(folder)

    found = doctor(phone, [Late()])
    assert of(found, "round trip", "memory:").verdict is Verdict.NOTE
    assert found.ok


@pytest.mark.parametrize(("ahead_ms", "verdict"), [(9 * 60_000, "well"), (-11 * 60_000, "ill")])
def test_a_storage_whose_clock_differs(phone, machine, ahead_ms, verdict):
    class Dated(MemoryMailbox):
        """Says when an object was written."""

        def written_ms(self, name: str) -> int:
            self.get(name)
            return int(machine.clock_ms + ahead_ms)

    one = of(doctor(phone, [Dated()]), "clock", "memory:")
    assert one.verdict is Verdict(verdict)
    assert one.reason is (Reason.CLOCK if verdict == "ill" else None)


def test_a_mailbox_beside_another_accounts_objects_is_used_and_that_is_said(
    open_replica: Opener, phone, family, box
):
    stranger = open_replica("stranger.db")
    stranger.create_conversation("Theirs").send("Hello")
    msgsync.sync(stranger, box)
    alone = doctor(phone, [box])
    assert of(alone, "account", box.address).reason is Reason.UNREADABLE_OBJECT
    assert alone.exit_code == 5
    before = box.list("log")
    msgsync.sync(phone, box)
    assert box.list("log") != before
    both = doctor(phone, [box])
    notes = [one.verdict for one in both.findings if one.check == "account" and one.place]
    assert notes == [Verdict.NOTE, Verdict.WELL]


def test_a_peer_that_answers_is_synced_with(phone, tablet, family):
    family.send("Hello")
    with msgsync.Server(phone) as server:
        found = doctor(tablet, [server.address])
        assert of(found, "sync", server.address).found.startswith("all is there and here")
        again = doctor(tablet)
        assert of(again, "sync", server.address).verdict is Verdict.WELL, "it is known now"
    assert len(tablet.conversation("family").messages()) == 1


# The device.


def test_the_clock_of_the_last_peer_that_was_days_off(open_replica: Opener, phone, tablet, machine):
    msgsync.sync(phone, tablet)
    with phone.writing() as store:
        store.peers.note_clock_skew(-3 * DAY_MS)
    one = of(doctor(phone, [MemoryMailbox()]), "clock")
    assert one.found == "the clock of the last peer was 72 hours behind this one"
    assert one.reason is Reason.CLOCK


def test_a_message_that_is_dated_far_ahead(phone, family, machine):
    machine.clock_ms += 30 * DAY_MS
    family.send("sent while the clock was wrong")
    machine.clock_ms -= 30 * DAY_MS
    assert "the newest message is dated 2024-03-01" in of(doctor(phone), "clock").found


def test_an_epoch_that_is_due_after_two_were_revoked_at_once(open_replica: Opener, phone, tablet):
    from msgsync.account.statements import Revoke

    laptop = open_replica("laptop.db", member=phone)
    keys = phone.membership.roster().state.members[laptop.device].device.keys
    phone.membership.say(Revoke(keys.signing, ()))
    assert of(doctor(phone), "keys").reason is Reason.ROTATION_DUE
    phone.rotate()
    assert of(doctor(phone), "keys").verdict is Verdict.WELL


def test_devices_that_are_quiet_for_long_or_were_never_heard_of(phone, tablet, machine):
    phone.rename_device("old tablet", device=tablet.device)
    assert of(doctor(phone), "device").found.startswith("old tablet was not heard of yet")
    msgsync.sync(phone, tablet)
    assert of(doctor(phone), "device").verdict is Verdict.WELL
    machine.clock_ms += 31 * DAY_MS
    one = of(doctor(phone), "device")
    assert (one.verdict, one.found) == (
        Verdict.NOTE,
        "old tablet was last heard of 2024-01-31 23:50 UTC",
    )


def test_what_is_damaged_in_the_file_is_found_without_reading_every_entry(phone, family):
    family.send("Hello")
    with phone.writing() as store:
        store.database.execute("update documents set digest = zeroblob(16)")
    one = of(doctor(phone), "file")
    assert (one.verdict, one.reason, one.exit_code) == (Verdict.ILL, Reason.REPLICA_DAMAGED, 3)


def test_a_confirmed_phrase_is_not_spoken_of(phone):
    words = (phone.recovery_phrase() or "").split()
    phone.confirm_recovery({at: words[at - 1] for at in phone.recovery_places()})
    assert "recovery" not in {one.check for one in doctor(phone).findings}


# Asking.


def test_what_is_no_place_is_refused_before_anything_is_looked_at(phone):
    places: tuple[Any, ...] = ("nonsense", "file://", 7)
    for place in places:
        with pytest.raises(InvalidValue):
            doctor(phone, [place])


def test_a_reader_is_looked_at_as_far_as_that_goes(open_replica: Opener, phone, box):
    reader = open_replica("phone.db", readonly=True)
    found = doctor(reader, [box])
    assert of(found, "sync", box.address).verdict is Verdict.NOTE
    assert found.ok


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_either_event_loop(phone: Replica, box, backend):
    async def main() -> Diagnosis:
        return await aio.doctor(phone, [box])

    assert anyio.run(main, backend=backend).ok
