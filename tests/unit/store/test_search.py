"""Word search, as a person sees it: in the newest messages and in the index alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import Conversation, Incoming, Replica, limits
from tests.unit.machine import START_MS

FILLERS = [
    Incoming(
        "filler", "ben", f"nothing at all {number}x", START_MS + number, external_id=str(number)
    )
    for number in range(2 * limits.UNINDEXED_MESSAGES)
]


@pytest.fixture(params=["newest", "indexed"])
def settle(request, phone: Replica):
    """Make what was written so far old, or leave it the newest: searching may not know the difference."""

    def settled() -> None:
        if request.param == "indexed":
            phone.ingest(FILLERS)

    return settled


@pytest.fixture
def said(family: Conversation):
    """Send texts; return by which of them words are found."""

    def send(*texts: str) -> dict[str, msgsync.Message]:
        return {text: family.send(text) for text in texts}

    return send


def found(replica: Replica, words: str, **options: Any) -> list[str]:
    return [message.text for message in replica.search(words, **options)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dinner at eight?", ["dinner", "EIGHT", "at dinner", "eight?", "Dinner at eight?"]),
        (
            "I write C++ and foo-bar today",
            ["C++", "c++", "foo-bar", "foo bar", "FOO-BAR", "today C++"],
        ),
        ("see https://example.org/a?b=c&d", ["example.org", "https://example.org/a?b=c&d", "b=c"]),
        ("it's 50% off @ 3:30pm #sale", ["it's", "50%", "3:30pm", "#sale", "@ 3:30pm"]),
        (
            "我们明天去东京吃寿司",
            ["东京", "寿司", "明天", "京", "我", "东京吃", "我们 寿司", "东京吃寿司"],
        ),
        ("今夜は寿司を食べよう", ["寿司", "食べ", "を", "よう", "今夜"]),
        ("저녁 먹었어요", ["저녁", "먹었", "요", "먹었어요"]),
        ("พรุ่งนี้เจอกันที่สยาม", ["สยาม", "เจอกัน", "พรุ่งนี้"]),
        ("happy birthday 🎂🎉", ["🎂", "🎉", "🎂🎉", "birthday 🎉"]),
        ("the family 👨‍👩‍👧‍👦 is here", ["👨‍👩‍👧‍👦", "👩", "family"]),
        ("flags 🇩🇪 and 👍🏽 and ❤️", ["🇩🇪", "👍🏽", "👍", "❤️", "❤", "flags ❤️"]),
        ("Crème brûlée à la façon", ["creme", "brulee", "CRÈME", "facon", "à", "brûlée façon"]),
        ("cafe\u0301 decomposed", ["café", "cafe", "cafe\u0301"]),
        ("Straße nach Malmö", ["malmo", "Malmö", "straße"]),
        ("Привет, как дела?", ["привет", "ДЕЛА", "как дела"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("Καλημέρα κόσμε", ["καλημέρα", "ΚΌΣΜΕ"]),
        ("x₁² + ½ = ٣", ["x₁²", "½"]),
        (
            "quoted \"words\" and 'more' NEAR(a b) OR* AND",
            ['"words"', "NEAR(a b)", "OR", "and OR*"],
        ),
        ("under_score and dash—dash", ["under_score", "score", "dash"]),
        ("tabs\tand\nlines", ["tabs lines", "and"]),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_words_are_found(phone, said, settle, text, words):
    said(text, "nothing of the kind")
    settle()
    for one in words:
        assert found(phone, one) == [text], one


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dinner at eight?", ["dinne", "inner", "dinner lunch", "eight nine"]),
        ("foo and bar", ["foo-bar", "foobar"]),
        ("bar foo", ["foo-bar"]),
        ("东边有京城", ["东京"]),
        ("东京 和 京都", ["东京都"]),
        ("happy 🎂", ["🎉", "🎂🎉"]),
        ("text", ["", "   ", "...", "*", '"']),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_what_is_not_said_is_not_found(phone, said, settle, text, words):
    said(text)
    settle()
    for one in words:
        assert found(phone, one) == [], one


def test_the_newest_are_found_first_and_no_more_than_asked_for(phone, said, settle):
    said(*(f"note {number}" for number in range(5)))
    settle()
    assert found(phone, "note") == [f"note {number}" for number in (4, 3, 2, 1, 0)]
    assert found(phone, "note", limit=2) == ["note 4", "note 3"]


def test_old_and_new_messages_are_found_together(phone, said):
    said("note 1")
    phone.ingest(FILLERS)
    said("note 2")
    assert found(phone, "note") == ["note 2", "note 1"]
    assert found(phone, "note", limit=1) == ["note 2"]


def test_a_conversation_can_be_searched_alone(phone, said, settle):
    said("hello family")
    phone.create_conversation("Work", id="work").send("hello work")
    settle()
    assert sorted(found(phone, "hello")) == ["hello family", "hello work"]
    assert found(phone, "hello", conversation="work") == ["hello work"]
    assert [one.text for one in phone.conversation("family").search("hello")] == ["hello family"]
    assert found(phone, "hello", conversation="none") == []


@pytest.mark.parametrize("limit", [0, -1, 1.5, None])
def test_a_limit_is_a_number_from_one_on(phone, limit):
    with pytest.raises(msgsync.InvalidValue):
        phone.search("x", limit=limit)


def test_an_edited_message_is_found_by_its_new_words_only(phone, family, said, settle):
    sent = said("before 東京")["before 東京"]
    settle()
    family.edit(sent, "after 大阪")
    for words in ("after", "大阪", "阪"):
        assert found(phone, words) == ["after 大阪"]
    for words in ("before", "東京", "東"):
        assert found(phone, words) == []
    family.edit(sent, "before again")
    assert found(phone, "before") == ["before again"]
    assert found(phone, "after") == []


def test_deleted_messages_are_not_found_until_they_are_restored(phone, family, said, settle):
    sent = said("hello")["hello"]
    settle()
    family.delete(sent)
    assert found(phone, "hello") == []
    family.restore(sent)
    assert found(phone, "hello") == ["hello"]


def test_erased_messages_are_never_found(phone, family, said, settle):
    sent = said("hello", "hello again")["hello"]
    settle()
    family.erase(sent)
    assert found(phone, "hello") == ["hello again"]
    assert phone.check().ok


def test_what_comes_by_ingest_and_by_sync_is_found(phone, tablet, settle):
    phone.ingest([Incoming("irc", "ben", "どこへ行くの", START_MS, external_id="1")])
    settle()
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert found(replica, "行く") == ["どこへ行くの"]
        assert found(replica, "行") == ["どこへ行くの"]


words = st.sampled_from(["tea", "Tea", "té", "茶", "茶館", "館", "🍵", "C++", "a-b", "b"])
texts = st.lists(words, min_size=1, max_size=4)
verbs = st.sampled_from(["send", "send", "send", "edit", "delete", "restore", "erase", "fill"])


@settings(max_examples=25)
@given(steps=st.lists(st.tuples(verbs, st.integers(0, 9), texts), max_size=14), query=texts)
def test_what_is_found_does_not_depend_on_what_is_indexed(tmp_path_factory, steps, query):
    """A replica whose every message is indexed finds what one finds that reads its newest messages itself."""
    folder = tmp_path_factory.mktemp("search")
    with (
        msgsync.open(folder / "a.db", author="ann", durability="relaxed") as some,
        some.new_device(folder / "b.db") as indexed,
    ):
        family = some.create_conversation(id="family")
        sent: list[msgsync.MessageId] = []
        for verb, pick, text in steps:
            if verb == "send":
                sent.append(family.send(" ".join(text)).id)
            elif verb == "fill":
                some.ingest(FILLERS)
            elif sent:
                one = sent[pick % len(sent)]
                if verb == "edit":
                    family.edit(one, " ".join(text))
                elif verb == "erase":
                    family.erase(sent.pop(pick % len(sent)))
                else:
                    getattr(family, verb)(one)
        msgsync.sync(some, indexed)
        indexed.ingest(FILLERS)
        asked = " ".join(query)
        assert found(some, asked) == found(indexed, asked)
