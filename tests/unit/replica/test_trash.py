"""Recently Deleted, and deleting whole conversations."""

from __future__ import annotations

from pathlib import Path

import pytest

import msgsync
from msgsync import InvalidValue, StalePreview, UnknownConversation
from msgsync.replica.exchange import Exchange
from tests.unit import files
from tests.unit.machine import START_MS, Machine

DAY_MS = 86_400_000


def delete_all(conversation):
    return conversation.delete_all(conversation.preview_deletion().token)


def texts(conversation):
    return [message.text for message in conversation.messages()]


def test_a_preview_says_what_would_go(phone, family):
    family.send("one")
    family.send("zwö")
    preview = family.preview_deletion()
    assert (preview.conversation, preview.title) == ("family", "Family")
    assert (preview.messages, preview.text_bytes, preview.complete) == (2, 7, True)
    assert texts(family) == ["one", "zwö"]


def test_a_deleted_conversation_is_gone_everywhere_and_comes_back_whole(phone, tablet, family):
    kept = family.send("one")
    family.delete(family.send("gone before"))
    msgsync.sync(phone, tablet)
    assert delete_all(family) == 1
    assert phone.conversations() == []
    msgsync.sync(phone, tablet)
    assert tablet.conversations() == []
    [line] = tablet.conversations(include_deleted=True)
    assert (line.id, line.title, line.deleted) == ("family", "Family", True)
    there = tablet.conversation("family")
    assert there.restore_all() == 1
    msgsync.sync(phone, tablet)
    assert texts(family) == texts(there) == ["one"]
    assert [line.title for line in phone.conversations()] == ["Family"]
    assert family.message(kept.id).deleted is False
    assert phone.check().ok
    assert tablet.check().ok


def test_deleting_restoring_and_erasing_much_say_how_far_they_are(phone):
    phone.ingest(
        msgsync.Incoming("family", "ben", f"{n}", START_MS - n * 10 * DAY_MS, f"{n}")
        for n in range(30)
    )
    family = phone.conversation("family")
    heard: list[msgsync.DeletionProgress] = []

    def check_steps() -> None:
        counts = [one.messages for one in heard]
        assert {one.messages_total for one in heard} == {30}
        assert counts == sorted(set(counts))
        assert counts[-1] == 30
        assert len(counts) >= 10, "a step for each month"
        heard.clear()

    token = family.preview_deletion().token
    assert family.delete_all(token, on_progress=heard.append) == 30
    check_steps()
    assert family.restore_all(on_progress=heard.append) == 30
    check_steps()
    delete_all(family)
    assert phone.empty_recently_deleted(on_progress=heard.append) == 30
    check_steps()


def test_what_hearing_of_progress_raises_leaves_everything_as_it_was(phone, family):
    family.send("one")

    def enough(_progress: msgsync.DeletionProgress) -> None:
        raise ZeroDivisionError

    before = phone.digest
    with pytest.raises(ZeroDivisionError):
        family.delete_all(family.preview_deletion().token, on_progress=enough)
    assert phone.digest == before
    delete_all(family)
    before = phone.digest
    for undo in (family.restore_all, phone.empty_recently_deleted):
        with pytest.raises(ZeroDivisionError):
            undo(on_progress=enough)
        assert phone.digest == before
    assert phone.check().ok


def test_a_message_that_arrives_meanwhile_survives_alone(phone, tablet, family):
    family.send("old")
    msgsync.sync(phone, tablet)
    delete_all(family)
    tablet.conversation("family").send("new")
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        [line] = replica.conversations()
        assert (line.id, line.title) == ("family", "Family")
        assert texts(replica.conversation("family")) == ["new"]


def test_a_rename_made_meanwhile_brings_it_back_empty(phone, tablet, family):
    family.send("old")
    msgsync.sync(phone, tablet)
    delete_all(family)
    tablet.conversation("family").rename("Kin")
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert [line.title for line in replica.conversations()] == ["Kin"]
        assert texts(replica.conversation("family")) == []


def test_reading_made_meanwhile_does_not_bring_it_back(phone, tablet, family):
    phone.ingest(msgsync.Incoming("family", "ben", "old", START_MS, "1"))
    msgsync.sync(phone, tablet)
    delete_all(family)
    tablet.conversation("family").mark_read()
    msgsync.sync(phone, tablet)
    assert phone.conversations() == tablet.conversations() == []


def test_a_token_covers_what_its_preview_showed(phone, family):
    family.send("seen")
    token = family.preview_deletion().token
    family.send("not seen")
    assert family.delete_all(token) == 1
    assert texts(family) == ["not seen"]
    [line] = phone.conversations()
    assert not line.deleted


def test_a_token_of_something_else_deletes_nothing(phone, family):
    family.send("one")
    other = phone.create_conversation("Other", id="other")
    other.send("two")
    stale = family.preview_deletion().token
    family.rename("Kin")
    for token in (stale, other.preview_deletion().token, "", "0", "9" * 30, "1.x"):
        with pytest.raises(StalePreview):
            family.delete_all(token)
    with pytest.raises(InvalidValue):
        family.delete_all(None)
    assert texts(family) == ["one"]


def test_a_conversation_of_messages_alone_can_be_deleted_and_restored(phone):
    phone.ingest(msgsync.Incoming("sms", "ben", "hi", START_MS, "1"))
    sms = phone.conversation("sms")
    delete_all(sms)
    assert phone.conversations() == []
    assert sms.restore_all() == 1
    assert [line.id for line in phone.conversations()] == ["sms"]
    assert sms.restore_all() == 0


def test_recently_deleted_says_until_when(phone, family, machine):
    one, two = family.send("one"), family.send("two")
    family.delete(one)
    machine.clock_ms += 5
    family.delete(two)
    newest, oldest = phone.recently_deleted()
    assert (newest.message.id, oldest.message.id) == (two.id, one.id)
    assert oldest.deleted_ms == START_MS
    assert oldest.erased_from_ms == START_MS + 30 * DAY_MS
    assert phone.recently_deleted(limit=1) == [newest]
    phone.set_setting("retention_days", 1)
    assert phone.recently_deleted()[1].erased_from_ms == START_MS + DAY_MS
    family.restore(one)
    assert [deleted.message.id for deleted in phone.recently_deleted()] == [two.id]


def test_emptying_leaves_no_trace_and_nothing_else_goes(phone, family):
    family.send("kept words")
    family.delete(family.send("vanishing words"))
    secret = phone.create_conversation("Hush", id="hush")
    secret.add_participant("Zebulon")
    secret.send("whispered words")
    delete_all(secret)
    assert phone.empty_recently_deleted() == 2
    assert phone.recently_deleted() == []
    path = Path(phone.path)
    assert files.remains(path, b"vanishing", b"whispered", b"Hush", b"Zebulon") == []
    assert texts(family) == ["kept words"]
    assert phone.check().ok
    with pytest.raises(UnknownConversation):
        phone.conversation("hush")


def test_an_erased_name_does_not_come_back_from_a_device_that_was_away(phone, tablet, family):
    msgsync.sync(phone, tablet)
    family.rename("Secret name")
    delete_all(family)
    phone.empty_recently_deleted()
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    for replica in (phone, tablet):
        assert replica.conversations(include_deleted=True) == []
        assert replica.check().ok


def test_what_expired_is_erased_and_what_did_not_is_not(phone, family, machine):
    old, new = family.send("old"), family.send("new")
    family.delete(old)
    machine.clock_ms += 29 * DAY_MS
    family.delete(new)
    assert phone.erase_expired() == 0
    machine.clock_ms += DAY_MS
    assert phone.erase_expired() == 1
    assert [deleted.message.id for deleted in phone.recently_deleted()] == [new.id]


def test_expiry_runs_from_when_this_device_heard_of_it(phone, tablet, family, machine):
    one = family.send("one")
    msgsync.sync(phone, tablet)
    family.delete(one)
    machine.clock_ms += 40 * DAY_MS
    msgsync.sync(phone, tablet)
    assert tablet.erase_expired() == 0
    assert tablet.recently_deleted()[0].erased_from_ms == machine.clock_ms + 30 * DAY_MS


def test_expiry_waits_for_devices_but_not_for_ever(phone, tablet, family, machine):
    one = family.send("one")
    family.delete(one)
    msgsync.sync(phone, tablet)
    machine.clock_ms += 31 * DAY_MS
    assert phone.erase_expired() == 0, "the other device may have restored it meanwhile"
    machine.clock_ms += 29 * DAY_MS
    assert phone.erase_expired() == 0, "twice the time has passed, if this clock is right"
    with phone.new_device(phone.path.with_name("laptop.db")) as laptop:
        msgsync.sync(phone, laptop)
    assert phone.recently_deleted() == [], "another clock says so too; nobody waits for the tablet"
    assert tablet.recently_deleted() != []


def test_word_from_all_devices_lets_it_go(phone, tablet, family, machine):
    one = family.send("one")
    family.delete(one)
    msgsync.sync(phone, tablet)
    machine.clock_ms += 31 * DAY_MS
    family.send("something to tell")
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert replica.recently_deleted() == []
        with pytest.raises(msgsync.ErasedMessage):
            replica.message(one.id)
    assert phone.digest == tablet.digest


def test_clocks_that_all_leap_by_years_erase_nothing(phone, tablet, family, machine):
    family.delete(family.send("one"))
    msgsync.sync(phone, tablet)
    for leap_ms in (3650 * DAY_MS, -3650 * DAY_MS):
        machine.clock_ms += leap_ms
        msgsync.sync(phone, tablet)
        for replica in (phone, tablet):
            assert replica.erase_expired() == 0
            [deleted] = replica.recently_deleted()
            assert deleted.erased_from_ms == machine.clock_ms + 30 * DAY_MS, "it begins anew"


def test_a_device_alone_believes_its_clock_but_not_a_leap_of_years(phone, family, machine):
    family.delete(family.send("one"))
    machine.clock_ms += 3650 * DAY_MS
    assert phone.erase_expired() == 0
    family.delete(family.send("two"))
    machine.clock_ms -= 3650 * DAY_MS
    assert phone.erase_expired() == 0
    machine.clock_ms += 30 * DAY_MS
    assert phone.erase_expired() == 2


def test_what_was_deleted_by_a_clock_far_behind_is_kept_as_long(phone, tablet, family, machine):
    msgsync.sync(phone, tablet)
    machine.clock_ms -= 70 * DAY_MS
    family.delete(family.send("one"))
    machine.clock_ms += 70 * DAY_MS
    assert phone.erase_expired() == 0, "nothing is known yet of when that was"
    msgsync.sync(phone, tablet)
    assert len(phone.recently_deleted()) == 1
    machine.clock_ms += 29 * DAY_MS
    msgsync.sync(phone, tablet)
    assert len(phone.recently_deleted()) == 1
    machine.clock_ms += DAY_MS
    msgsync.sync(phone, tablet)
    assert phone.recently_deleted() == tablet.recently_deleted() == []


def partly(phone, tablet):
    """Fill a tablet until the line breaks: the newest month is there, the older one is not."""
    from msgsync.protocol.session import Session
    from msgsync.replica.exchange import Exchange

    source, sink = Session(Exchange(phone)), Session(Exchange(tablet))
    while not tablet.status().messages:
        for one, other in ((source, sink), (sink, source)):
            while (raw := one.next_frame()) is not None and not tablet.status().messages:
                other.receive(raw[4:])


@pytest.fixture
def two_months(phone, family, monkeypatch):
    for name in ("FRAME_FILL_BYTES", "UPDATES_FILL_BYTES", "FIRST_FILL_BYTES"):
        monkeypatch.setattr(msgsync.limits, name, 1)
    phone.ingest(
        msgsync.Incoming("family", "ben", name, START_MS - days * DAY_MS, name)
        for name, days in (("new", 0), ("old", 40), ("older", 80))
    )
    return family


def test_what_is_not_here_yet_is_deleted_as_it_comes(phone, tablet, two_months):
    partly(phone, tablet)
    there = tablet.conversation("family")
    assert texts(there) == ["new"]
    assert not there.preview_deletion().complete
    assert delete_all(there) == 1
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert replica.conversations() == []
        assert len(replica.recently_deleted()) == 3
        assert replica.check().ok
    assert phone.digest == tablet.digest


def test_newer_ones_that_were_not_known_survive_it(phone, tablet, two_months, machine):
    partly(phone, tablet)
    delete_all(tablet.conversation("family"))
    machine.clock_ms += 1000
    two_months.send("after it")
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    assert texts(two_months) == texts(tablet.conversation("family")) == ["after it"]


def test_a_filled_device_deletes_only_what_it_has_seen(phone, tablet, two_months):
    msgsync.sync(phone, tablet)
    there = tablet.conversation("family")
    assert there.preview_deletion().complete
    phone.ingest(msgsync.Incoming("family", "ben", "late", START_MS - 100 * DAY_MS, "late"))
    delete_all(there)
    msgsync.sync(phone, tablet)
    assert texts(there) == ["late"]


def refuse_a_month(phone, tablet, monkeypatch):
    """Fill a tablet that finds a month too large; then it could be taken, and has changed."""
    with monkeypatch.context() as small:
        small.setattr(msgsync.limits, "DOCUMENT_BYTES", 1500)
        phone.ingest(msgsync.Incoming("family", "ben", "old " * 600, START_MS - 41 * DAY_MS, "big"))
        assert not msgsync.sync(tablet, phone).complete
    [refused] = tablet.status().refused
    assert refused.startswith("family 2023-12: ")


def test_a_refused_document_does_not_keep_a_device_filling(phone, tablet, two_months, monkeypatch):
    phone.create_conversation("Others", id="others").send("one")
    refuse_a_month(phone, tablet, monkeypatch)
    assert tablet.conversation("others").preview_deletion().complete
    assert not tablet.conversation("family").preview_deletion().complete
    phone.ingest(msgsync.Incoming("others", "ben", "late", START_MS - 100 * DAY_MS, "late"))
    delete_all(tablet.conversation("others"))
    msgsync.sync(tablet, phone)
    assert texts(tablet.conversation("others")) == ["late"]


def test_what_was_refused_is_deleted_as_it_comes_even_when_all_else_is_here(
    phone, tablet, two_months, monkeypatch
):
    refuse_a_month(phone, tablet, monkeypatch)
    there = tablet.conversation("family")
    assert texts(there) == ["older", "new"]
    assert delete_all(there) == 2
    phone.ingest(
        msgsync.Incoming("family", "ben", name, START_MS - days * DAY_MS, name)
        for name, days in (("late, in what was refused", 42), ("late, elsewhere", 81))
    )
    assert msgsync.sync(tablet, phone).complete
    assert texts(there) == ["late, elsewhere"]
    assert len(tablet.recently_deleted()) == 5
    phone.ingest(msgsync.Incoming("family", "ben", "later", START_MS - 42 * DAY_MS, "later"))
    assert msgsync.sync(tablet, phone).complete
    assert texts(there) == texts(two_months) == ["late, elsewhere", "later"]
    assert tablet.check().ok


def test_a_device_that_others_do_not_take_everything_from_is_filled_too(
    phone, open_replica, two_months, machine
):
    """A reader is a source: the two differ in the end, though all that it had was taken."""
    tablet = open_replica("tablet.db", member=phone)
    phone.close()
    with msgsync.open(phone.path, readonly=True, system=machine) as reader:
        partly(reader, tablet)
        tablet.conversation("family").send("mine")
        assert not tablet.conversation("family").preview_deletion().complete
        assert not msgsync.sync(tablet, reader).complete
    assert tablet.conversation("family").preview_deletion().complete


def test_a_restored_conversation_is_not_deleted_as_it_comes(phone, tablet, two_months):
    partly(phone, tablet)
    there = tablet.conversation("family")
    delete_all(there)
    there.restore_all()
    msgsync.sync(phone, tablet)
    assert texts(there) == ["older", "old", "new"]


def test_a_clock_that_disagrees_erases_nothing(phone, open_replica, family):
    family.delete(family.send("one"))
    ahead = Machine(7)
    ahead.clock_ms = START_MS + 60 * DAY_MS
    tablet = open_replica("tablet.db", member=phone, system=ahead)
    msgsync.sync(tablet, phone)
    assert tablet.status().clock_skew_ms is not None
    ahead.clock_ms += 120 * DAY_MS
    assert tablet.erase_expired() == 0
    assert len(tablet.recently_deleted()) == 1


def test_a_deleted_message_that_is_one_with_another_is_listed_and_erased(phone, tablet, family):
    own = family.send("once")
    msgsync.sync(phone, tablet)
    there = tablet.conversation("family")
    tablet.ingest(msgsync.Incoming("family", "ann", "once", START_MS + 5, "7"))
    there.delete(there.find("7"))
    family.link(own, "7", START_MS + 5)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        [deleted] = replica.recently_deleted()
        assert deleted.message.text == "once"
    assert phone.empty_recently_deleted() == 1
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert replica.recently_deleted() == []
        assert files.remains(Path(replica.path), b"once") == []


def test_a_name_is_kept_as_long_as_messages_by_this_devices_clock(phone, open_replica, family):
    behind = Machine(7)
    behind.clock_ms = START_MS - 366 * DAY_MS
    tablet = open_replica("tablet.db", member=phone, system=behind)
    family.send("one")
    msgsync.sync(phone, tablet)
    delete_all(tablet.conversation("family"))
    msgsync.sync(phone, tablet)
    with phone.writing() as store:
        store.peers.note_clock_skew(0)
    phone.erase_expired()
    family.restore_all()
    assert family.title == "Family"


def test_what_was_restored_after_deleting_is_not_deleted_again_as_more_comes(
    phone, tablet, two_months
):
    partly(phone, tablet)
    there = tablet.conversation("family")
    [here] = there.messages()
    delete_all(there)
    there.restore(here)
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    assert texts(there) == texts(two_months) == ["new"]


def test_a_restoration_that_is_known_of_and_not_here_is_waited_for(
    phone, tablet, open_replica, family, machine
):
    laptop = open_replica("laptop.db", member=phone)
    one = family.send("precious")
    for replica in (tablet, laptop, tablet):
        msgsync.sync(phone, replica)
    family.delete(one)
    for replica in (tablet, laptop, tablet):
        msgsync.sync(phone, replica)
    tablet.conversation("family").restore(one.id)
    machine.clock_ms += 31 * DAY_MS
    msgsync.sync(tablet, laptop)
    with laptop.reading() as store:
        known = store.standings()
    Exchange(phone).hear(
        laptop.device.raw, known
    )  # and the connection breaks before the restoration is here
    Exchange(phone).heard(0)
    waits_for = set(phone.status().expiry_waits_for)
    assert waits_for == {str(tablet.device), str(laptop.device)}
    assert phone.erase_expired() == 0, "what was heard of the tablet is not here"
    msgsync.sync(phone, laptop)
    assert [each.text for each in family.messages()] == ["precious"]


def commits_of(replica):
    with replica.reading() as store:
        return store.seq


def test_what_expired_and_can_never_be_erased_makes_no_exchange_write(
    phone, tablet, family, machine
):
    kept = family.send("kept")
    family.send("gone")
    delete_all(family)
    family.restore(kept)
    family.rename("Relatives")
    other = phone.create_conversation("Other", id="other")
    other.send("gone too")
    delete_all(other)
    msgsync.sync(phone, tablet)
    machine.clock_ms += 31 * DAY_MS
    for _ in range(3):
        msgsync.sync(phone, tablet)
    assert phone.recently_deleted() == tablet.recently_deleted() == []
    assert texts(family) == ["kept"]
    assert phone.status().expiry_waits_for == ()
    before = commits_of(phone), commits_of(tablet)
    msgsync.sync(phone, tablet)
    assert (commits_of(phone), commits_of(tablet)) == before
