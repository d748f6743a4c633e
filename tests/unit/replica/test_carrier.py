"""Messages that carriers tell: verbs by external id, links, and what is said before its message comes."""

from __future__ import annotations

import pytest

from msgsync import (
    Edit,
    ErasedMessage,
    FutureTimestamp,
    Incoming,
    InvalidValue,
    Reaction,
    UnknownMessage,
    limits,
)
from tests.unit.machine import START_MS

NAMED = {"external": "17", "sent": START_MS}


def told(family, text="Dinner?"):
    return family.ingest(text, author="ben", sent=START_MS, external_id="17")


def test_every_verb_takes_the_carriers_id(family):
    one = told(family)
    edited = family.edit(text="Dinner at eight?", external="17")
    assert edited is not None
    assert (edited.id, edited.text) == (one.id, "Dinner at eight?")
    reacted = family.react(emoji="👍", external="17")
    assert reacted is not None
    assert reacted.reactions[0].user == "ann"
    assert family.unreact(emoji="👍", external="17").reactions == ()
    assert family.message(external="17") == family.message(one)
    answer = family.send("Yes", reply_external="17")
    assert (answer.reply_to, answer.reply_external) == (one.id, "17")
    family.delete(answer, external="17")
    assert not family.messages()
    family.restore(external="17")
    assert [each.id for each in family.messages()] == [one.id]
    family.erase(external="17")
    assert family.find("17") is None
    for verb in (family.delete, family.restore):
        with pytest.raises(ErasedMessage):
            verb(**NAMED)
    with pytest.raises(ErasedMessage):
        told(family)
    family.erase(**NAMED)  # again: nothing


def test_what_is_said_by_the_carriers_id_waits_for_the_message(phone, family):
    assert family.edit(text="edited before", **NAMED) is None
    assert family.react(emoji="👍", **NAMED) is None
    assert family.react(emoji="👎", **NAMED) is None
    assert family.unreact(emoji="👎", **NAMED) is None
    assert not family.messages()
    answer = family.send("Yes", reply_external="17")
    assert answer.reply_to is None
    one = told(family)
    assert (one.text, one.original_text) == ("edited before", "Dinner?")
    assert [each.emoji for each in one.reactions] == ["👍"]
    assert family.message(answer).reply_to == one.id
    assert phone.check().ok


@pytest.mark.parametrize("verb", ["delete", "erase"])
def test_a_deletion_or_an_erasure_may_come_first(phone, family, verb):
    getattr(family, verb)(**NAMED)
    if verb == "erase":
        with pytest.raises(ErasedMessage):
            told(family)
        return
    assert told(family).deleted
    assert not family.messages()
    family.restore(external="17")
    assert len(family.messages()) == 1
    assert phone.check().ok


def test_a_message_that_is_not_here_needs_the_carriers_time(phone, family):
    digest = phone.digest
    for act in (
        lambda: family.edit(text="x", external="17"),
        lambda: family.react(emoji="x", external="17"),
        lambda: family.unreact(emoji="x", external="17"),
        lambda: family.delete(external="17"),
        lambda: family.restore(external="17"),
        lambda: family.erase(external="17"),
        lambda: family.message(external="17"),
    ):
        with pytest.raises(UnknownMessage):
            act()
    late = START_MS + limits.FUTURE_MS + 10_000
    with pytest.raises(FutureTimestamp):
        family.delete(external="17", sent=late)
    one = told(family)
    for act in (
        lambda: family.edit(one, "x", external="17"),
        lambda: family.edit(text="x"),
        lambda: family.edit(one),
        lambda: family.edit(one, "x", sent=START_MS),
        lambda: family.react(one),
        lambda: family.delete(sent=START_MS),
        lambda: family.delete(external="", sent=START_MS),
        lambda: family.send("x", reply_to=one, reply_external="17"),
        lambda: family.send("x", reply_external=""),
        family.message,
    ):
        with pytest.raises(InvalidValue):
            act()
    family.erase(one)
    assert phone.digest != digest


# What the carrier says about messages without telling them.


def test_a_carrier_may_speak_of_a_message_before_it_tells_it(phone, family):
    said = Incoming.said_about(
        "17",
        START_MS,
        edits=(Edit("Dinner at eight?", START_MS + 10),),
        reactions=(Reaction("cleo", "👍", START_MS + 20), Reaction("dora", "👍", START_MS + 21)),
        taken_back=(Reaction("cleo", "👍", START_MS + 30),),
        deleted_ms=START_MS + 40,
    )
    assert family.ingest(said).waiting == 1
    assert not family.messages(include_deleted=True)
    one = told(family)
    assert (one.text, one.deleted_ms) == ("Dinner at eight?", START_MS + 40)
    assert [each.user for each in one.reactions] == ["dora"]
    digest = phone.digest
    report = family.ingest([said, said])
    assert (report.present, report.waiting) == (2, 0)
    assert phone.digest == digest
    assert phone.check().ok
    family.erase(one)
    assert family.ingest(said).erased == 1


def test_what_the_carrier_says_stands_below_what_a_person_does(family):
    one = told(family)
    family.edit(one, "as a person has it")
    family.react(one, "👍", user="cleo")
    family.delete(one)
    family.restore(one)
    family.ingest(
        Incoming.said_about(
            "17",
            START_MS,
            edits=(Edit("later", START_MS + 10**6),),
            taken_back=(Reaction("cleo", "👍", START_MS + 10**6),),
        )
    )
    shown = family.message(one)
    assert shown.text == "as a person has it"
    assert [each.user for each in shown.reactions] == ["cleo"]
    assert not shown.deleted


# Links.


@pytest.mark.parametrize("echo_first", [True, False])
def test_a_linked_message_and_its_echo_are_one(phone, family, echo_first):
    own = family.send("hello")
    if echo_first:
        told(family, "hello")
    shown = family.link(own, "17", START_MS)
    if not echo_first:
        assert family.find("17") == shown
        assert family.send("ok", reply_external="17").reply_to == own.id
        assert told(family, "hello").id == own.id
    assert family.messages(include_deleted=True)[0].id == own.id
    assert len(family.search("hello")) == 1
    assert family.find("17").external_id == "17"
    assert len(family.search("hello")) == 1
    answer = family.send("hi", reply_external="17")
    assert answer.reply_to == own.id
    assert phone.conversations()[0].last_message == answer
    assert phone.check().ok


def test_linking_again_changes_nothing_and_twice_joins_all(phone, family):
    first, second = family.send("hello"), family.send("hello")
    family.link(first, "17", START_MS)
    digest = phone.digest
    family.link(first, "17", START_MS)
    assert phone.digest == digest
    family.react(second, "👍")
    family.link(second, "17", START_MS)
    [one] = family.messages()
    assert one.id == first.id
    assert len(one.reactions) == 1
    echo = told(family)
    assert echo.id == first.id
    assert family.link(first, "17", START_MS).id == first.id
    assert phone.check().ok


def test_a_message_sent_with_the_carriers_id_needs_no_link(phone, family):
    own = family.send("hello", external_id="17", sent=START_MS)
    digest = phone.digest
    assert family.link(own, "17", START_MS) == own
    assert phone.digest == digest


def test_a_link_that_cannot_be_is_refused(phone, tablet, family):
    own = family.send("hello")
    with pytest.raises(FutureTimestamp):
        family.link(own, "17", START_MS + limits.FUTURE_MS + 10_000)
    with pytest.raises(InvalidValue):
        family.link(own, "", START_MS)
    with pytest.raises(UnknownMessage):
        tablet.create_conversation(id="family").link(own, "17", START_MS)
    family.erase(**NAMED)
    with pytest.raises(ErasedMessage):
        family.link(own, "17", START_MS)
    assert family.messages()[0] == own


def test_deleting_either_hides_both_and_erasing_either_erases_both(phone, family):
    own = family.send("hello")
    echo_id = told(family, "hello").id
    family.link(own, "17", START_MS)
    for one in (own.id, echo_id):
        family.delete(one)
        assert not family.messages()
        assert family.message(one).deleted_ms is not None
        family.restore(one)
        assert len(family.messages()) == 1
    family.erase(echo_id)
    assert phone.status().erased == 2
    for one in (own.id, echo_id):
        with pytest.raises(ErasedMessage):
            family.edit(one, "x")
    assert phone.check().ok


def test_somebody_elses_message_is_not_linked_by_mistake(phone, family):
    theirs = told(family, "something else")
    mine = family.send("mine")
    with pytest.raises(InvalidValue, match="another one, by ben"):
        family.link(mine, "17", START_MS)
    assert {message.id for message in family.messages()} == {theirs.id, mine.id}
