"""Snippets and pages of hits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import Snippet
from msgsync.replica.found import SNIPPET_CHARACTERS, snippet


def test_a_short_text_is_its_own_snippet():
    assert snippet("Dinner at eight?", [(10, 15)]) == Snippet("Dinner at eight?", ((10, 15),))


def test_a_snippet_is_one_line_and_steers_no_terminal():
    made = snippet("one\ntwo\r\n\x1b[31mtea\u2028", [(14, 17)])
    assert made.text == "one two   [31mtea "
    assert made.highlighted("<", ">") == "one two   [31m<tea> "


def test_a_long_text_is_cut_between_words_around_the_match():
    text = "before " * 100 + "tea" + " after" * 100
    made = snippet(text, [(700, 703)])
    assert len(made.text) <= SNIPPET_CHARACTERS + 2
    assert made.text.startswith("\N{HORIZONTAL ELLIPSIS}before ")
    assert made.text.endswith(" after\N{HORIZONTAL ELLIPSIS}")
    assert [made.text[start:end] for start, end in made.marks] == ["tea"]


def test_the_snippet_is_where_most_matches_are():
    text = "tea " + "nothing " * 50 + "tea and tea" + " nothing" * 50
    made = snippet(text, [(0, 3), (404, 407), (412, 415)])
    assert made.highlighted("[", "]").count("[tea]") == 2


def test_a_match_longer_than_the_snippet_is_marked_as_far_as_it_is_shown():
    made = snippet("x" * 1000, [(100, 900)])
    assert made.marks
    for start, end in made.marks:
        assert set(made.text[start:end]) == {"x"}


@pytest.mark.parametrize(
    "drawn",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f44d\U0001f3fd",
        "\u2764\ufe0f",
        "e\u0301",
        "\U0001f1e9\U0001f1ea",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("shift", range(6))
def test_what_is_drawn_as_one_is_not_cut(drawn, shift):
    text = "x" * shift + drawn * 300
    made = snippet(text, [(shift + 150 * len(drawn), shift + 151 * len(drawn))])
    inner = made.text.strip("\N{HORIZONTAL ELLIPSIS}")
    assert inner == drawn * (len(inner) // len(drawn))


@given(st.text(max_size=600), st.lists(st.integers(0, 600), min_size=2, max_size=12, unique=True))
def test_marks_are_of_the_matches_and_nothing_else(text, edges):
    edges = sorted(edge for edge in edges if edge <= len(text))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    if not spans:
        return
    made = snippet(text, spans)
    assert len(made.text) <= SNIPPET_CHARACTERS + 2
    assert made.marks
    assert made.text.isprintable() or not {"\n", "\r", "\x1b", "\0"} & set(made.text)
    end = 0
    for start, stop in made.marks:
        assert end <= start < stop <= len(made.text)
        end = stop
    assert "".join(piece for piece, _ in made.parts()) == made.text
    assert sum(is_match for _, is_match in made.parts()) == len(made.marks)
    if len(text) <= SNIPPET_CHARACTERS:
        assert list(made.marks) == spans


@pytest.mark.parametrize("marks", [(), ((0, 3),), ((4, 7),), ((0, 3), (4, 7))])
def test_parts_put_together_are_the_text(marks):
    assert "".join(text for text, _ in Snippet("one two", marks).parts()) == "one two"
