"""How text is cut for the index, and what a query asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync.store.words import parse_query, segmented


@given(st.text(st.characters(codec="ascii")))
def test_text_with_spaces_between_its_words_is_indexed_as_it_is(text):
    assert segmented(text) == text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("東京", ["東京", "京"]),
        ("東京都", ["東京", "京都", "都"]),
        ("go東京now", ["go", "東京", "京", "now"]),
        ("ok👍👍", ["ok", "👍", "👍"]),
        ("สวัสดี"[:3], ["สว", "วั", "ั"]),
        ("café", ["café"]),
    ],
)
def test_scripts_without_spaces_are_cut_into_pairs_and_emoji_stand_alone(text, tokens):
    assert segmented(text).split() == tokens


@pytest.mark.parametrize("words", ["", "   ", "...", "+-*/", '"', "\u200d", "()"])
def test_a_query_without_a_word_asks_nothing(words):
    assert parse_query(words) is None


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_a_query_or_none(words):
    query = parse_query(words)
    if query is not None:
        assert query.expression.startswith('"')
        assert query.matches(words)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_text_matches_what_was_cut_from_it(before, after):
    query = parse_query("foo-bar")
    assert query is not None
    assert query.matches(f"{before} FOO-Bar {after}")
