"""What comes of two devices that say different things while they are apart. Rows of the table in docs/concepts.md."""

from __future__ import annotations

import shutil

import cbor2
import pytest

import msgsync
from msgsync import ErasedMessage, limits
from msgsync.document.codec import Block, compose
from msgsync.document.schema import DocumentId, Entry
from msgsync.ids import MessageId, encode_id
from tests.unit import files
from tests.unit.machine import START_MS, Machine
from tests.unit.parts import never_frozen

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
TEN_YEARS_MS = 3_653 * DAY_MS
WRONG_BY = [-TEN_YEARS_MS, -MONTH_MS, MONTH_MS, TEN_YEARS_MS]


@pytest.fixture
def other_machine():
    """The tablet's own clock and randomness, where the two are to differ."""
    return Machine(seed=2)


@pytest.fixture
def tablet(open_replica, phone, other_machine):
    return open_replica("tablet.db", member=phone, system=other_machine)


@pytest.fixture
def there(phone, tablet, family):
    """The conversation on the tablet; both devices know it."""
    msgsync.sync(phone, tablet)
    return tablet.conversation(family.id)


def texts(conversation):
    return [message.text for message in conversation.messages()]


def meet(one, other):
    assert msgsync.sync(one, other).complete
    assert one.digest == other.digest
    for replica in (one, other):
        assert replica.check().ok


# What is said about one message.


@pytest.mark.parametrize("ahead", [0, 3])
def test_of_two_edits_one_is_shown_everywhere_and_both_are_kept(
    phone, tablet, family, there, ahead
):
    one = family.send("first")
    beside = family.send("beside")
    meet(phone, tablet)
    for number in range(ahead):
        there.edit(beside, f"{number}")
    family.edit(one, "here")
    there.edit(one, "there")
    meet(phone, tablet)
    shown = family.message(one)
    assert shown == there.message(one)
    assert {edit.text for edit in shown.edits} == {"here", "there"}
    assert shown.text == shown.edits[-1].text
    assert shown.original_text == "first"


@pytest.mark.parametrize("wrong_ms", WRONG_BY)
def test_an_edit_that_knew_the_other_wins_whatever_the_clocks_say(
    phone, tablet, family, there, other_machine, wrong_ms
):
    other_machine.clock_ms += wrong_ms
    one = family.send("first")
    meet(phone, tablet)
    there.edit(one, "second")
    meet(phone, tablet)
    family.edit(one, "third")
    meet(phone, tablet)
    there.edit(one, "fourth")
    meet(phone, tablet)
    for shown in (family.message(one), there.message(one)):
        assert [edit.text for edit in shown.edits] == ["second", "third", "fourth"]
        assert shown.text == "fourth"


def test_reactions_of_different_people_or_emoji_do_not_touch_each_other(
    phone, tablet, family, there
):
    one = family.send("first")
    meet(phone, tablet)
    family.react(one, "👍")
    family.react(one, "👍", user="ben")
    there.react(one, "🎉")
    there.react(one, "👍", user="carla")
    meet(phone, tablet)
    said = {("ann", "👍"), ("ben", "👍"), ("ann", "🎉"), ("carla", "👍")}
    for shown in (family.message(one), there.message(one)):
        assert {(reaction.user, reaction.emoji) for reaction in shown.reactions} == said


def test_one_reaction_given_and_taken_back_at_once_is_the_same_everywhere(
    phone, tablet, family, there
):
    one = family.send("first")
    family.react(one, "👍")
    meet(phone, tablet)
    family.unreact(one, "👍")
    there.unreact(one, "👍")
    there.react(one, "👍")
    meet(phone, tablet)
    assert family.message(one) == there.message(one)
    there.unreact(one, "👍")
    meet(phone, tablet)
    assert family.message(one).reactions == (), "who knew the other has the last word"


def test_an_answer_to_what_was_erased_elsewhere_stays(phone, tablet, family, there):
    question = family.send("question")
    meet(phone, tablet)
    answer = there.send("answer", reply_to=question)
    family.erase(question)
    meet(phone, tablet)
    for conversation in (family, there):
        assert texts(conversation) == ["answer"]
        assert conversation.message(answer).reply_to == question.id
        with pytest.raises(ErasedMessage):
            conversation.message(question)


def test_the_same_message_deleted_twice_is_restored_once(phone, tablet, family, there):
    one = family.send("first")
    meet(phone, tablet)
    family.delete(one)
    there.delete(one)
    meet(phone, tablet)
    there.restore(one)
    meet(phone, tablet)
    assert texts(family) == texts(there) == ["first"]


def test_two_readings_of_one_message_become_one_and_are_counted(phone, tablet, family, there):
    phone.ingest(msgsync.Incoming("family", "ben", "Grüße", START_MS, "1"))
    tablet.ingest(msgsync.Incoming("family", "ben", "GrÃ¼Ã\u009fe", START_MS, "1"))
    meet(phone, tablet)
    assert texts(family) == texts(there)
    assert phone.status().differing == tablet.status().differing == 1


# What is said about a conversation.


def test_one_id_chosen_on_two_devices_is_one_conversation(phone, tablet):
    here = phone.create_conversation("Ours", id="+4912345")
    there = tablet.create_conversation("Theirs", id="+4912345")
    here.send("one")
    there.send("two")
    meet(phone, tablet)
    assert sorted(texts(here)) == sorted(texts(there)) == ["one", "two"]
    assert here.title == there.title
    assert here.title in ("Ours", "Theirs")
    assert len(phone.conversations()) == 1


def test_of_two_titles_one_is_shown_and_the_other_fields_are_not_touched(
    phone, tablet, family, there
):
    family.rename("Kin")
    family.pin()
    family.set_metadata("color", "green")
    there.rename("Clan")
    there.archive()
    there.set_metadata("sound", "bell")
    meet(phone, tablet)
    assert family.info() == there.info()
    assert family.title in ("Kin", "Clan")
    assert (family.info().pinned, family.info().archived) == (True, True)
    assert family.metadata == there.metadata == {"color": "green", "sound": "bell"}


@pytest.mark.parametrize("wrong_ms", WRONG_BY)
def test_a_title_that_knew_the_other_wins_whatever_the_clocks_say(
    phone, tablet, family, there, other_machine, wrong_ms
):
    other_machine.clock_ms += wrong_ms
    there.rename("second")
    meet(phone, tablet)
    family.rename("third")
    meet(phone, tablet)
    assert family.title == there.title == "third"


def test_one_person_added_and_removed_at_once_is_decided_the_same_everywhere(
    phone, tablet, family, there
):
    family.add_participant("ben")
    meet(phone, tablet)
    family.remove_participant("ben")
    there.remove_participant("ben")
    there.add_participant("ben")
    there.add_participant("carla")
    meet(phone, tablet)
    assert family.participants == there.participants
    assert "carla" in family.participants


def test_read_and_unread_at_once_are_decided_the_same_everywhere(phone, tablet, family, there):
    for number in range(3):
        sent_ms = START_MS + number
        phone.ingest(msgsync.Incoming("family", "ben", f"{number}", sent_ms, f"{number}"))
    meet(phone, tablet)
    family.mark_read()
    there.mark_unread()
    meet(phone, tablet)
    assert family.unread == there.unread
    there.mark_read()
    meet(phone, tablet)
    assert family.unread == there.unread == 0


def test_two_devices_that_read_different_parts_have_read_both(phone, tablet, family, there):
    for number in range(4):
        sent_ms = START_MS + number
        phone.ingest(msgsync.Incoming("family", "ben", f"{number}", sent_ms, f"{number}"))
    meet(phone, tablet)
    family.mark_read(family.find("1"))
    there.mark_read(there.find("2"))
    meet(phone, tablet)
    for conversation in (family, there):
        assert conversation.first_unread().text == "3"
        assert conversation.unread == 1


def test_a_conversation_restored_and_deleted_at_once_is_there(phone, tablet, family, there):
    family.send("one")
    family.delete_all(family.preview_deletion().token)
    meet(phone, tablet)
    there.restore_all()
    there.delete_all(there.preview_deletion().token)
    family.restore_all()
    meet(phone, tablet)
    assert texts(family) == texts(there) == ["one"]
    assert [line.id for line in phone.conversations()] == ["family"]


def test_a_conversation_erased_while_a_message_arrives_has_that_message_alone(
    phone, tablet, family, there
):
    family.send("old")
    meet(phone, tablet)
    family.delete_all(family.preview_deletion().token)
    phone.empty_recently_deleted()
    there.send("new")
    meet(phone, tablet)
    for replica in (phone, tablet):
        assert texts(replica.conversation("family")) == ["new"]
        assert replica.conversation("family").title is None


def test_of_two_settings_under_one_name_one_stands(phone, tablet, family, there):
    phone.set_setting("theme", "dark")
    phone.set_setting("font", "large")
    tablet.set_setting("theme", "light")
    meet(phone, tablet)
    assert phone.settings() == tablet.settings()
    assert phone.settings()["font"] == "large"
    assert phone.settings()["theme"] in ("dark", "light")


# Clocks.


@pytest.mark.parametrize("wrong_ms", [-limits.FUTURE_MS, -1, 1, limits.FUTURE_MS])
def test_an_answer_stands_below_its_question_if_clocks_differ_by_up_to_36_hours(
    phone, tablet, family, there, other_machine, wrong_ms
):
    other_machine.clock_ms += wrong_ms
    for number in range(3):
        here = family if number % 2 == 0 else there
        page = here.messages()
        here.send(f"{number}", reply_to=page[-1] if page else None)
        meet(phone, tablet)
    assert texts(family) == texts(there) == ["0", "1", "2"]


@pytest.mark.parametrize("wrong_ms", WRONG_BY)
def test_a_clock_far_off_takes_its_own_messages_along_and_no_others(
    phone, tablet, family, there, other_machine, wrong_ms
):
    other_machine.clock_ms += wrong_ms
    for number in range(3):
        family.send(f"here {number}")
        meet(phone, tablet)
        there.send(f"there {number}")
        meet(phone, tablet)
    right = [f"here {number}" for number in range(3)]
    wrong = [f"there {number}" for number in range(3)]
    assert texts(family) == texts(there) == (right + wrong if wrong_ms > 0 else wrong + right)


@pytest.mark.parametrize("wrong_ms", WRONG_BY)
def test_deleting_and_restoring_follow_what_was_known_whatever_the_clocks_say(
    phone, tablet, family, there, other_machine, wrong_ms
):
    other_machine.clock_ms += wrong_ms
    one = family.send("first")
    meet(phone, tablet)
    there.delete(one)
    meet(phone, tablet)
    family.restore(one)
    meet(phone, tablet)
    assert texts(there) == ["first"]
    there.delete(one)
    meet(phone, tablet)
    assert texts(family) == []


# Files that were copied, and versions that know more.


def test_a_backup_that_is_written_to_again_merges_with_what_went_on(
    phone, family, tmp_path, open_replica
):
    one = family.send("first")
    phone.close()
    shutil.copyfile(tmp_path / "phone.db", tmp_path / "backup.db")
    later = open_replica("phone.db", system=Machine(seed=3))
    later.conversation("family").send("went on")
    later.conversation("family").edit(one, "edited")
    backup = open_replica("backup.db", system=Machine(seed=4))
    backup.conversation("family").send("from the backup")
    backup.conversation("family").react(one, "👍")
    meet(later, backup)
    for replica in (later, backup):
        [first, *others] = replica.conversation("family").messages()
        assert (first.text, len(first.reactions)) == ("edited", 1)
        assert {message.text for message in others} == {"went on", "from the backup"}


def test_what_later_versions_say_survives_this_one_and_erasing_reaches_it(
    phone, tablet, family, open_replica, tmp_path
):
    """A field and a root that this version does not know, on their way from a device to another through this one."""
    one = MessageId(START_MS.to_bytes(6, "big") + b"later!")
    document = DocumentId("family", "2024-01")
    said = Entry(
        "messages",
        encode_id(one.raw),
        cbor2.dumps({1: "ann", 2: "hi", 99: "field of later"}, canonical=True),
    )
    poll = Entry(
        "polls", encode_id(one.raw) + b".1", cbor2.dumps({1: "root of later"}, canonical=True)
    )
    with phone.writing() as store:
        store.merge(document, never_frozen(compose([Block(7, 0, [said, poll])])))
    meet(phone, tablet)
    tablet.conversation("family").edit(one, "edited")
    third = open_replica("third.db", member=phone, system=Machine(seed=5))
    meet(tablet, third)
    assert third.conversation("family").message(one).text == "edited"
    later = (b"field of later", b"root of later")
    third.close()
    left = {trace for _, trace in files.remains(tmp_path / "third.db", *later)}
    assert left == set(later), "kept and passed on"

    tablet.conversation("family").erase(one)
    meet(phone, tablet)
    for name in ("phone.db", "tablet.db"):
        assert files.remains(tmp_path / name, *later) == []
