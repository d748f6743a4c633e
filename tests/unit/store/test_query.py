"""What a query asks, and where a text matches it."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import InvalidValue, limits
from msgsync.store.query import parse_query
from msgsync.store.schema import WORDS
from msgsync.store.words import Tokenizer

CONNECTION = apsw.Connection(":memory:")
CONNECTION.execute(f"create virtual table search using {WORDS}")
TOKENIZER = Tokenizer(CONNECTION)


def matched(words: str, text: str) -> list[str]:
    """The pieces of a text that match."""
    query = parse_query(words, TOKENIZER)
    assert query is not None
    return [text[start:end] for start, end in query.spans(text)]


@pytest.mark.parametrize(
    "words", ["", "   ", "...", "+-*/", '"', '""', '"" *', "*", "\u200d", "()", "\0"]
)
def test_a_query_without_a_word_asks_nothing(words):
    assert parse_query(words, TOKENIZER) is None


@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from('"*ab \u6771\U0001f44d'))))
def test_any_text_is_a_query_or_none_and_finds_itself(words):
    query = parse_query(words, TOKENIZER)
    if query is not None:
        CONNECTION.execute("select rowid from search where search match ?", (query.expression,))
        assert query.spans(words)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_text_matches_what_was_cut_from_it(before, after):
    assert "FOO-Bar" in matched("foo-bar", f"{before} FOO-Bar {after}")


@pytest.mark.parametrize(
    ("words", "text", "pieces"),
    [
        ("dinner", "Dinner, DINNER and dinners", ["Dinner", "DINNER"]),
        ("din*", "Dinner, DINNER and adinner", ["Dinner", "DINNER"]),
        ("C++*", "C, C++", ["C", "C"]),
        ('"dinner at eight"', "Dinner at nine, dinner -- at eight!", ["dinner -- at eight"]),
        ('"dinner at ei"*', "dinner at eight", ["dinner at eight"]),
        ('"dinner at ei*"', "dinner at ei", ["dinner at ei"]),
        ("\u201cat eight\u201d", "eight at eight", ["at eight"]),
        ('"at eight', "at eight", ["at eight"]),
        ("foo-bar foo", "foo bar, foo", ["foo bar", "foo"]),
        ("creme", "Cre\u0300me cr\u00e8me", ["Cre\u0300me", "cr\u00e8me"]),
        ("tieng viet", "Ti\u1ebfng Vi\u1ec7t", ["Ti\u1ebfng", "Vi\u1ec7t"]),
        ("东京", "去东京。东京", ["东京", "东京"]),
        ("哈哈", "哈哈哈", ["哈哈哈"]),
        ("\ud55c", "\u1112\u1161\u11ab\uad6d", ["\u1112\u1161\u11ab"]),
        ('"我们 寿司"', "是我们 寿司店", ["我们 寿司"]),
        ("go东京", "lets go东京都", ["go东京"]),
        ("\u2764", "\u2764\ufe0f!", ["\u2764\ufe0f"]),
        ("\u2764\ufe0f", "\u2764!", ["\u2764"]),
        ("\U0001f44d", "\U0001f44d\U0001f3fd\U0001f44d", ["\U0001f44d\U0001f3fd", "\U0001f44d"]),
        (
            "\U0001f1ea\U0001f1f8",
            "\U0001f1e9\U0001f1ea\U0001f1ea\U0001f1f8",
            ["\U0001f1ea\U0001f1f8"],
        ),
    ],
)
def test_the_marks_are_what_matched(words, text, pieces):
    assert matched(words, text) == pieces


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("dinner", "dinners"),
        ("inner*", "dinner"),
        ('"dinner eight"', "dinner at eight"),
        ('"eight dinner"', "dinner eight"),
        ('"din at"*', "dinner at"),
        ("foo-bar", "bar foo"),
        ("东京", "东 京"),
        ('"我们 寿司"', "我们去 寿司"),
        ("\U0001f1ea\U0001f1ea", "\U0001f1e9\U0001f1ea\U0001f1ea\U0001f1f8"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469"),
        ("ab cd", "ab"),
    ],
)
def test_what_is_not_said_does_not_match(words, text):
    assert matched(words, text) == []


def test_a_query_may_have_ten_thousand_words():
    words = " ".join(f"word{number}" for number in range(10_000))
    query = parse_query(words, TOKENIZER)
    assert query is not None
    CONNECTION.execute("select rowid from search where search match ?", (query.expression,))
    assert len(query.spans(words)) == 10_000
    assert query.spans(words.replace("word77 ", "")) == []


@pytest.mark.parametrize("words", [None, b"a", 5, "\ud800", "a" * (limits.TEXT_BYTES + 1)])
def test_what_is_no_query_is_refused(words):
    with pytest.raises(InvalidValue):
        parse_query(words, TOKENIZER)
