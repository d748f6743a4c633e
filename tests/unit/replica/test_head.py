"""What a person says about a conversation as a whole, on one device and on two."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import Incoming, InvalidValue, UnknownConversation
from tests.unit.machine import START_MS

DAY_MS = 86_400_000


def from_ben(replica, text, sent_ms, conversation="family"):
    incoming = Incoming(conversation, "ben", text, sent_ms, external_id=text)
    message_id, _ = replica.ingest_one(incoming)
    return message_id


def test_flags_are_set_and_taken_back(family):
    line = family.info()
    assert (line.pinned, line.archived, line.muted, line.muted_until_ms) == (False,) * 3 + (None,)
    family.pin()
    family.archive()
    family.mute()
    line = family.info()
    assert (line.pinned, line.archived, line.muted, line.muted_until_ms) == (True,) * 3 + (None,)
    family.unpin()
    family.unarchive()
    family.unmute()
    line = family.info()
    assert (line.pinned, line.archived, line.muted) == (False,) * 3


def test_muting_ends_by_itself(family, machine):
    family.mute(START_MS + 1000)
    assert family.info().muted
    assert family.info().muted_until_ms == START_MS + 1000
    machine.clock_ms += 1000
    assert not family.info().muted


def test_each_participant_is_decided_alone(phone, tablet, family):
    family.add_participant("ben")
    msgsync.sync(phone, tablet)
    there = tablet.conversation("family")
    family.add_participant("carla")
    there.add_participant("dora")
    there.remove_participant("ben")
    msgsync.sync(phone, tablet)
    assert family.participants == there.participants == ("carla", "dora")


def test_the_apps_own_values_of_any_kind(phone, tablet, family):
    family.set_metadata("colour", "blue")
    family.set_metadata("layout", {"columns": [1, 2], "wide": True})
    family.set_metadata("old", 1)
    family.set_metadata("old", None)
    msgsync.sync(phone, tablet)
    assert tablet.conversation("family").metadata == family.metadata
    assert family.metadata == {"colour": "blue", "layout": {"columns": [1, 2], "wide": True}}


@pytest.mark.parametrize("name", ["", "x" * 1025, 7, "\ud800"])
def test_a_name_that_cannot_be_is_refused(family, name):
    before = family._replica.digest
    for say in (family.add_participant, lambda name: family.set_metadata(name, 1)):
        with pytest.raises(InvalidValue):
            say(name)
    assert family._replica.digest == before


def test_settings_belong_to_the_account(phone, tablet):
    phone.set_setting("theme", "dark")
    phone.set_setting("retention_days", 7)
    msgsync.sync(phone, tablet)
    assert tablet.settings() == {"theme": "dark", "retention_days": 7}
    assert tablet.check().ok
    for days in (0, 3651, "7", True, 1.5):
        with pytest.raises(InvalidValue):
            phone.set_setting("retention_days", days)


# Reading.


def test_what_others_say_is_unread_until_it_was_read(phone, family):
    family.send("mine")
    first = from_ben(phone, "one", START_MS)
    from_ben(phone, "two", START_MS + 1)
    assert family.unread == family.info().unread == 2
    assert family.first_unread().id == first
    family.mark_read(first)
    assert family.unread == 1
    assert family.first_unread().text == "two"
    family.mark_read()
    assert family.unread == 0
    assert family.first_unread() is None
    assert phone.check().ok


def test_reading_is_known_on_all_devices_and_never_goes_backwards(phone, tablet, family):
    first = from_ben(phone, "one", START_MS)
    from_ben(phone, "two", START_MS + 1)
    msgsync.sync(phone, tablet)
    there = tablet.conversation("family")
    family.mark_read()
    there.mark_read(first)
    msgsync.sync(phone, tablet)
    assert family.unread == there.unread == 0
    there.mark_read(first)
    assert there.unread == 0


def test_reading_again_writes_nothing(phone, family):
    from_ben(phone, "one", START_MS)
    family.mark_read()
    before = phone.digest
    family.mark_read()
    assert phone.digest == before


def test_a_late_older_message_is_unread(phone, tablet, family):
    msgsync.sync(phone, tablet)
    from_ben(phone, "read", START_MS)
    family.mark_read()
    late = from_ben(tablet, "late", START_MS - DAY_MS)
    msgsync.sync(phone, tablet)
    assert family.unread == tablet.conversation("family").unread == 1
    assert family.first_unread().id == late
    family.mark_read(late)
    msgsync.sync(phone, tablet)
    assert family.unread == tablet.conversation("family").unread == 0


def test_importing_old_history_makes_nothing_unread(phone, family):
    from_ben(phone, "today", START_MS)
    family.mark_read()
    for number in range(20):
        from_ben(phone, f"old {number}", START_MS - (8 + number) * DAY_MS)
    assert family.unread == 0


def test_very_many_messages_a_week_are_read_too(phone, family):
    phone.ingest(
        Incoming("family", "ben", "hi", START_MS - 1000 + number, str(number))
        for number in range(1000)
    )
    family.mark_read()
    assert family.unread == 0
    from_ben(phone, "late", START_MS - 5)
    assert family.unread == 1


def test_marking_as_unread_wins_over_what_was_read_before(phone, tablet, family):
    first = from_ben(phone, "one", START_MS)
    from_ben(phone, "two", START_MS + 1)
    family.mark_read()
    msgsync.sync(phone, tablet)
    there = tablet.conversation("family")
    there.mark_unread()
    assert there.unread == 1
    msgsync.sync(phone, tablet)
    assert family.unread == 1
    family.mark_unread(first)
    assert family.unread == 2
    family.mark_read()
    msgsync.sync(phone, tablet)
    assert there.unread == family.unread == 0


def test_ones_own_message_is_never_unread(family):
    mine = family.send("mine")
    with pytest.raises(InvalidValue, match="never unread"):
        family.mark_unread(mine)
    family.mark_unread()
    assert family.unread == 0


def test_deleted_messages_are_not_unread(phone, family):
    one = from_ben(phone, "one", START_MS)
    family.delete(one)
    assert family.unread == 0
    family.restore(one)
    assert family.unread == 1


def test_a_head_of_many_marks_stays_small(phone, family):
    sizes = []
    for number in range(600):
        from_ben(phone, str(number), START_MS + number)
        family.mark_read()
        if number % 300 == 299:
            with phone.reading() as store:
                row = store.documents.find(msgsync.document.schema.DocumentId("family", "head"))
                sizes.append(len(store.head(row).reads))
    assert sizes == [1, 1]
    assert phone.check().ok


def test_a_conversation_that_is_not_here(phone, family):
    gone = msgsync.Conversation(phone, "elsewhere")
    for verb in (gone.info, gone.mark_read, gone.mark_unread, gone.preview_deletion):
        with pytest.raises(UnknownConversation):
            verb()


def test_what_was_read_stays_read_when_it_turns_out_to_be_another_message(phone, tablet, family):
    own = family.send("once", author="carla")
    phone_only = own.id
    tablet.ingest(Incoming("family", "carla", "once", START_MS + 5, "7"))
    there = tablet.conversation("family")
    there.mark_read()
    assert there.unread == 0
    family.link(own, "7", START_MS + 5)
    msgsync.sync(phone, tablet)
    assert [message.id for message in there.messages()] == [phone_only]
    assert there.unread == family.unread == 0
