"""The verbs of a conversation, on one device. Between devices: tests/property."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from msgsync import (
    ConversationExists,
    Cursor,
    ErasedMessage,
    FutureTimestamp,
    Incoming,
    InvalidValue,
    Message,
    MessageId,
    UnknownConversation,
    UnknownMessage,
    limits,
)
from msgsync.replica.times import to_ms
from tests.unit.machine import START_MS

NOBODY = MessageId(bytes(12))


def texts(page) -> list[str]:
    return [message.text for message in page]


# Sending.


def test_a_message_is_as_it_was_sent(phone, family):
    first = family.send("Dinner?")
    sent = family.send("At eight", author="ben", reply_to=first, extra={"mood": [1, None, "x"]})
    assert (sent.author, sent.text, sent.original_text) == ("ben", "At eight", "At eight")
    assert (sent.conversation, sent.kind, sent.order) == ("family", "text", 0)
    assert sent.reply_to == first.id
    assert sent.extra == {"mood": [1, None, "x"]}
    assert (sent.edits, sent.reactions, sent.deleted, sent.deleted_ms) == ((), (), False, None)
    assert phone.message(sent.id) == phone.message(str(sent.id)) == family.message(sent) == sent
    assert first.author == "ann"


def test_a_reply_sorts_after_what_it_answers_whatever_the_clock_does(family, machine):
    sent = []
    for step in (0, 0, -5000, -(10**8), 7, 0):
        machine.clock_ms = START_MS + step
        sent.append(family.send(f"at {step}"))
        assert sent[-1].sent_ms == machine.clock_ms
    assert list(family.messages()) == sent
    assert len({one.id for one in sent}) == len(sent)


def test_one_absurd_date_does_not_drag_the_others_along(family, machine):
    machine.clock_ms = START_MS + limits.FUTURE_MS + 1000
    absurd = family.send("from the future")
    machine.clock_ms = START_MS
    sent = family.send("now")
    assert sent.id.ms == START_MS
    assert list(family.messages()) == [sent, absurd]


def test_a_message_goes_into_the_month_of_its_id(phone, family, machine):
    family.send("january")
    machine.clock_ms += 3_600_000
    family.send("february")
    assert texts(family.messages()) == ["january", "february"]
    assert phone.status().documents == 3
    assert phone.check().ok


def test_without_an_author_nobody_speaks(open_replica):
    conversation = open_replica("a.db", author=None).create_conversation()
    with pytest.raises(InvalidValue, match="author="):
        conversation.send("x")
    with pytest.raises(InvalidValue, match="user="):
        conversation.react(conversation.send("x", author="ben"), "👍")


@pytest.mark.parametrize(
    "options",
    [
        {"text": "x" * (limits.TEXT_BYTES + 1)},
        {"text": "\ud800"},
        {"text": None},
        {"author": ""},
        {"extra": {"x": object()}},
        {"extra": {1: 2}},
        {"sent": -1},
        {"sent": "yesterday"},
        {"sent": True},
        {"external_id": "1"},
        {"external_id": "", "sent": 0},
        {"external_id": "x" * 256, "sent": 0},
        {"reply_to": "nonsense"},
    ],
)
def test_what_cannot_be_sent_is_refused_and_nothing_is_written(phone, family, options):
    before = phone.digest
    with pytest.raises(InvalidValue):
        family.send(**({"text": "x"} | options))
    assert phone.digest == before
    assert phone.check().ok
    family.send("the next one works")


def test_an_answer_needs_something_to_answer(phone, family):
    work = phone.create_conversation(id="work").send("elsewhere")
    for other in (NOBODY, work):
        with pytest.raises(UnknownMessage):
            family.send("x", reply_to=other)


# Ingesting.


def test_an_ingested_message_is_one_however_often_it_comes(phone, family):
    first = family.ingest(
        "hello", author="ben", sent=START_MS, external_id="1", kind="action", order=3
    )
    again = family.ingest(
        "hello", author="ben", sent=START_MS, external_id="1", kind="action", order=3
    )
    assert again == first
    assert (first.kind, first.order, first.external_id) == ("action", 3, "1")
    assert family.find("1") == first
    assert family.find("2") is None
    assert len(family.messages()) == 1
    report = phone.ingest([Incoming("family", "ben", "hello", START_MS, external_id="1")])
    assert (report.added, report.present, report.erased) == (0, 1, 0)


def test_messages_of_one_millisecond_stand_in_the_order_of_their_source(family):
    for order in (2, 0, 1):
        family.ingest(
            f"line {order}", author="ben", sent=START_MS, external_id=f"e{order}", order=order
        )
    assert texts(family.messages()) == ["line 0", "line 1", "line 2"]


def test_an_answer_that_names_an_external_id_is_resolved_once_it_is_here(family):
    answer = family.ingest(
        "yes", author="ann", sent=START_MS + 1, external_id="2", reply_external="1"
    )
    assert (answer.reply_to, answer.reply_external) == (None, "1")
    question = family.ingest("well?", author="ben", sent=START_MS, external_id="1")
    assert family.message(answer).reply_to == question.id


def test_a_date_in_the_future_is_refused(phone, family, machine):
    family.ingest("soon", author="ben", sent=START_MS + limits.FUTURE_MS, external_id="1")
    with pytest.raises(FutureTimestamp):
        family.ingest("later", author="ben", sent=START_MS + limits.FUTURE_MS + 1, external_id="2")
    assert len(family.messages()) == 1


def test_an_erased_message_is_not_taken_again(phone, family):
    message = family.ingest("hello", author="ben", sent=START_MS, external_id="1")
    family.erase(message)
    with pytest.raises(ErasedMessage):
        family.ingest("hello", author="ben", sent=START_MS, external_id="1")
    with pytest.raises(ErasedMessage):
        family.send("hello", external_id="1", sent=START_MS)
    report = family.ingest([Incoming("", "ben", "hello", START_MS, external_id="1")])
    assert (report.added, report.present, report.erased) == (0, 0, 1)
    assert len(family.messages()) == 0


def test_messages_of_another_conversation_do_not_belong_here(phone, family):
    before = phone.digest
    with pytest.raises(InvalidValue, match=r"Replica\.ingest"):
        family.ingest([Incoming("", "ben", "x", START_MS), Incoming("work", "ben", "x", START_MS)])
    assert phone.digest == before


def test_a_message_needs_an_author_and_a_time(family):
    with pytest.raises(InvalidValue, match="author= and sent="):
        family.ingest("hello")


# Saying something about messages.


def test_edits_are_kept_and_the_last_is_shown(family, machine):
    sent = family.send("one")
    shown = sent
    for text in ("two", "three"):
        machine.clock_ms += 1000
        shown = family.edit(sent, text)
        assert shown.text == text
    assert shown.original_text == "one"
    assert [(edit.text, edit.at_ms) for edit in shown.edits] == [
        ("two", START_MS + 1000),
        ("three", START_MS + 2000),
    ]


def test_a_user_has_each_emoji_once(phone, family):
    sent = family.send("hello")
    family.react(sent, "👍")
    digest = phone.digest
    assert len(family.react(sent, "👍").reactions) == 1
    assert phone.digest == digest
    both = family.react(sent, "👍", user="ben")
    assert {(one.user, one.emoji) for one in both.reactions} == {("ann", "👍"), ("ben", "👍")}
    assert [one.user for one in family.unreact(sent, "👍").reactions] == ["ben"]
    digest = phone.digest
    family.unreact(sent, "👍")
    family.unreact(sent, "❤️")
    assert phone.digest == digest


def test_deleted_messages_are_hidden_and_come_back(phone, family, machine):
    first, second = family.send("one"), family.send("two")
    machine.clock_ms += 5000
    family.delete(first)
    assert texts(family.messages()) == ["two"]
    hidden = family.messages(include_deleted=True)[0]
    assert (hidden.text, hidden.deleted, hidden.deleted_ms) == ("one", True, START_MS + 5000)
    family.delete(second, str(first.id))
    assert texts(family.messages()) == []
    family.restore(first, second.id)
    assert list(family.messages()) == [first, second]
    digest = phone.digest
    family.restore(first)
    assert phone.digest == digest


def test_deleting_takes_all_or_none(phone, family):
    sent = family.send("one")
    with pytest.raises(UnknownMessage):
        family.delete(sent, NOBODY)
    assert texts(family.messages()) == ["one"]


def test_more_than_an_entry_holds_is_deleted_at_once(phone, family, monkeypatch):
    monkeypatch.setattr(limits, "IDS_PER_ENTRY", 3)
    sent = [family.send(str(number)) for number in range(8)]
    family.delete(*sent)
    assert len(family.messages()) == 0
    family.restore(*sent[:4])
    family.erase(*sent[2:])
    assert list(family.messages()) == sent[:2]
    assert phone.check().ok


def test_nothing_more_can_be_said_about_an_erased_message(family):
    sent = family.send("one")
    family.erase(sent)
    for verb in (
        lambda: family.edit(sent, "x"),
        lambda: family.react(sent, "x"),
        lambda: family.unreact(sent, "x"),
        lambda: family.delete(sent),
        lambda: family.restore(sent),
        lambda: family.message(sent),
        lambda: family.send("x", reply_to=sent),
    ):
        with pytest.raises(ErasedMessage):
            verb()
    family.erase(sent)


def test_nothing_can_be_said_about_a_message_that_is_not_here(phone, family):
    for verb in (
        lambda: family.edit(NOBODY, "x"),
        lambda: family.react(NOBODY, "x"),
        lambda: family.delete(NOBODY),
        lambda: family.restore(NOBODY),
        lambda: family.message(NOBODY),
        lambda: phone.message(NOBODY),
    ):
        with pytest.raises(UnknownMessage):
            verb()
    for verb in (
        lambda: family.edit("x", "x"),
        lambda: family.erase("x"),
        lambda: phone.message("x"),
    ):
        with pytest.raises(InvalidValue):
            verb()


def test_a_message_may_be_erased_before_it_is_seen(phone, family):
    family.erase(NOBODY)
    assert phone.status().erased == 1
    report = phone.ingest([Incoming("family", "ben", "x", 0, message_id=NOBODY)])
    assert report.erased == 1
    assert phone.check().ok


# Pages.


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 10, 11])
def test_pages_lead_through_all_messages_in_both_directions(family, limit):
    sent = [family.send(str(number)) for number in range(10)]
    family.delete(sent[4])
    shown = [one for one in sent if one != sent[4]]
    backwards: list[Message] = []
    page = family.messages(limit=limit)
    assert page.newer is None
    while True:
        backwards = [*page, *backwards]
        if page.older is None:
            break
        page = family.messages(before=page.older, limit=limit)
        assert len(page) <= limit
    assert backwards == shown
    forwards: list[Message] = []
    page = family.messages(after=Cursor.START, limit=limit)
    assert page.older is None
    while True:
        forwards += page
        if page.newer is None:
            break
        page = family.messages(after=page.newer, limit=limit)
    assert forwards == shown


def test_a_page_between_two_messages_and_next_to_one(family):
    sent = [family.send(str(number)) for number in range(6)]
    assert texts(family.messages(after=sent[0], before=sent[4])) == ["1", "2", "3"]
    assert texts(family.messages(after=sent[0], before=sent[4], limit=2)) == ["2", "3"]
    assert texts(family.messages(after=sent[3])) == ["4", "5"]
    assert texts(family.messages(before=sent[2].cursor)) == ["0", "1"]
    page = family.messages(before=sent[3], limit=2)
    assert (page[0].text, page[-1].text, texts(page[:1]), len(page)) == ("1", "2", ["1"], 2)
    assert family.messages(before=page.older).newer is not None


@pytest.mark.parametrize("limit", [0, -1, 2.0, None, True])
def test_a_limit_is_a_number_from_one_on(family, limit):
    with pytest.raises(InvalidValue):
        family.messages(limit=limit)


# Conversations.


def test_conversations_are_listed_by_their_newest_activity(phone, machine):
    for name in ("a", "b", "c"):
        machine.clock_ms += 1000
        phone.create_conversation(name.upper(), id=name)
    assert [one.id for one in phone.conversations()] == ["c", "b", "a"]
    machine.clock_ms += 1000
    sent = phone.conversation("a").send("hello")
    listed = phone.conversations()
    assert [(one.id, one.title) for one in listed] == [("a", "A"), ("c", "C"), ("b", "B")]
    assert [one.last_message for one in listed] == [sent, None, None]
    assert [one.id for one in phone.conversations(limit=1)] == ["a"]
    phone.conversation("a").delete(sent)
    assert phone.conversations()[0].last_message is None or phone.conversations()[0].id != "a"


def test_a_conversation_is_made_once(phone, family):
    with pytest.raises(ConversationExists):
        phone.create_conversation("Again", id="family")
    assert family.title == "Family"
    assert phone.create_conversation().id != phone.create_conversation().id


def test_titles_change_and_go(phone, family):
    family.rename("Us")
    assert (family.title, phone.conversations()[0].title) == ("Us", "Us")
    family.rename(None)
    assert family.title is None
    for title in (7, "x\ud800"):
        with pytest.raises(InvalidValue):
            family.rename(title)


def test_a_conversation_that_is_not_here_is_said_so(phone):
    with pytest.raises(UnknownConversation):
        phone.conversation("nowhere")
    for id in ("", "a\0b", "x" * 201):
        with pytest.raises(InvalidValue):
            phone.create_conversation(id=id)


def test_a_conversation_whose_messages_are_all_deleted_can_be_reached(phone):
    phone.ingest([Incoming("irc", "ben", "hello", START_MS, external_id="1")])
    message = phone.conversation("irc").find("1")
    phone.conversation("irc").delete(message)
    assert phone.conversations() == []
    phone.conversation("irc").restore(message)
    assert [one.id for one in phone.conversations()] == ["irc"]


# Times.


@pytest.mark.parametrize(
    ("moment", "ms"),
    [
        (0, 0),
        (limits.MS, limits.MS),
        (datetime(1970, 1, 1), 0),  # noqa: DTZ001
        (datetime(2024, 1, 31, 23, 50, tzinfo=UTC), START_MS),
        (datetime(2024, 2, 1, 0, 50, 0, 1999, tzinfo=timezone(timedelta(hours=1))), START_MS + 1),
    ],
)
def test_a_time_is_milliseconds_or_a_datetime(moment, ms):
    assert to_ms(moment) == ms


@pytest.mark.parametrize(
    "moment", [-1, limits.MS + 1, 1.5, "x", None, True, datetime(1969, 12, 31, tzinfo=UTC)]
)
def test_nothing_else_is_a_time(moment):
    with pytest.raises(InvalidValue):
        to_ms(moment)


@pytest.mark.parametrize("deleted", [False, True])
def test_pages_that_end_among_messages_of_one_place_miss_none(phone, family, deleted):
    phone.ingest(
        Incoming("family", "ben", f"{number}", START_MS + number // 4, external_id=f"{number}")
        for number in range(11)
    )
    everything = sorted(family.messages(), key=lambda one: (one.id.ms, one.order, one.id.raw[6:]))
    for limit in range(1, 12):
        back: list[Message] = []
        forth: list[Message] = []
        page = family.messages(limit=limit, include_deleted=deleted)
        back[:0] = page
        while page.older is not None:
            page = family.messages(before=page.older, limit=limit, include_deleted=deleted)
            back[:0] = page
        page = family.messages(after=Cursor.START, limit=limit, include_deleted=deleted)
        forth += page
        while page.newer is not None:
            page = family.messages(after=page.newer, limit=limit, include_deleted=deleted)
            forth += page
        assert back == forth == everything
