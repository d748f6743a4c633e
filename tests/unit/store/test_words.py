"""How text is cut for the index, and into what a query is compared with."""

from __future__ import annotations

import unicodedata

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync.store.messages import _words_of
from msgsync.store.schema import WORDS
from msgsync.store.words import (
    Kind,
    Origin,
    Tokenizer,
    emoji_within,
    index_tokens,
    normal,
    segmented,
)

# Any character, and often those that compose, reorder or join.
characters = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from(
        "a\u0301\u0323\u0344\ufe0f\u200d\u2068\u2069\u061c\u1112\u1161\u11ab\ud55c\u304b\u3099\u1025\u102e\u0f73"
        "\u0f71\u0f72\u09c7\u09be\u0627\u0653\u05e9\u05bc\u05c1\u6771\u4eac\u0e01\u0e31\u0e48\ufb1d\u212b\u00a9"
        "\U0001f44d\U0001f3fd\U0001f1e9\U0001f1ea\U0001f3f4\U000e0067\U000e007f1\u20e3#\u203c"
    ),
)
texts = st.one_of(
    st.text(characters),
    # Long ones are composed piece by piece.
    st.builds(
        lambda letters, marks, more: letters + marks * 30 + more * 20,
        st.text(characters),
        st.text(st.sampled_from("\u0301\u0323\ufe0f\u05bc"), min_size=9, max_size=12),
        st.text(characters, max_size=5),
    ),
)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(apsw.Connection(":memory:"))


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
        ("สวั", ["สว", "วั", "ั"]),
        ("café", ["café"]),
        ("cafe\u0301", ["café"]),
        ("\u1112\u1161\u11ab", ["한"]),
        ("\u2764\ufe0f", ["\u2764"]),
        ("\U0001f468\u200d\U0001f467!", ["\U0001f468", "\U0001f467", "!"]),
        (
            "\U0001f1e9\U0001f1ea\U0001f1ea\U0001f1f8",
            ["\U0001f1e9\U0001f1ea", "\U0001f1ea\U0001f1f8"],
        ),
        ("\u2068Bob\u2069", ["Bob"]),
    ],
)
def test_scripts_without_spaces_are_cut_into_pairs_and_emoji_stand_alone(text, tokens):
    assert segmented(text).split() == tokens


@given(st.lists(texts))
@example(["\u0e01\u0e48\u0e38"])
@example(["a", "\0", "🙂"])
@example(["e" + "\u0323\u0344" * 40, "ä"])
def test_the_bytes_that_are_indexed_are_those_of_the_cut_texts(members):
    assert _words_of([text.encode() for text in members]) == tuple(
        segmented(text).encode() for text in members
    )


@given(texts)
@example("\u0f71\u0f73")
@example("a\u0323\u0344b")
def test_every_character_of_the_normal_form_comes_from_a_place_in_the_text(text):
    origin = Origin(text)
    length = len(origin.normal)
    assert origin.normal == normal(text)
    places = [origin.span(place, place + 1) for place in range(length)]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)
    for place in range(length):
        piece = normal(text[slice(*places[place])])
        assert origin.normal[place] in piece
    if length:
        start, end = origin.span(0, length)
        assert normal(text[start:end]) == origin.normal


@given(st.text(characters, max_size=200))
def test_what_is_normal_stays_as_it_is(text):
    once = normal(text)
    assert normal(once) == once
    assert unicodedata.normalize("NFC", text) == text or once != text


def test_a_text_of_marks_alone_is_taken_in_its_stride():
    """Else a peer's message could keep a device busy for an hour: the time limit of tests is the measure."""
    text = "a" + "\u0301\u0323" * 250_000
    assert len(Origin(text).normal) >= len(text) - 1
    assert segmented(text) == normal(text)


@given(texts, st.data())
def test_the_index_has_what_it_is_asked_for_an_element_of_the_text(text, data):
    """Else a message that matches would not be found."""
    connection = apsw.Connection(":memory:")
    connection.execute(f"create virtual table search using {WORDS}")
    connection.execute("insert into search(rowid, text) values(1, ?)", (segmented(text),))
    elements = Tokenizer(connection).elements(normal(text))
    if not elements:
        return
    element = data.draw(st.sampled_from(elements))
    for token, whole in index_tokens(element, normal(text)):
        asked = f'"{token}"' if whole else f'"{token}" *'
        found = connection.execute("select rowid from search where search match ?", (asked,))
        assert found.fetchall() == [(1,)]


@given(texts)
def test_elements_stand_in_order_and_apart(text):
    end = 0
    for element in Tokenizer(apsw.Connection(":memory:")).elements(normal(text)):
        assert element.text
        assert end <= element.start < element.end
        end = element.end
    assert end <= len(normal(text))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Foo-bar 8pm", [(Kind.WORD, "foo"), (Kind.WORD, "bar"), (Kind.WORD, "8pm")]),
        ("Tiếng", [(Kind.WORD, "tieng")]),
        ("ア・イ", [(Kind.DENSE, "ア"), (Kind.DENSE, "イ")]),
        ("東京8", [(Kind.DENSE, "東京"), (Kind.WORD, "8")]),
        (
            "\U0001f44d\U0001f3fd\U0001f44d",
            [(Kind.EMOJI, "\U0001f44d\U0001f3fd"), (Kind.EMOJI, "\U0001f44d")],
        ),
        ("1\ufe0f\u20e3", [(Kind.EMOJI, "1\u20e3")]),
        ("\u21d2 ... \u0e3f", []),
        ("a\0b", [(Kind.WORD, "a"), (Kind.WORD, "b")]),
    ],
)
def test_a_text_consists_of_words_runs_and_emoji(tokenizer, text, kinds):
    assert [(one.kind, one.text) for one in tokenizer.elements(normal(text))] == kinds


@pytest.mark.parametrize(
    ("asked", "said", "found"),
    [
        ("\U0001f44d", "\U0001f44d\U0001f3fd", True),
        ("\U0001f44d\U0001f3fd", "\U0001f44d", False),
        ("\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3ff", False),
        ("\U0001f469", "\U0001f468\u200d\U0001f469\u200d\U0001f467", True),
        ("\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467", True),
        ("\U0001f468\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467", False),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\U0001f3fd\u200d\U0001f680", True),
        ("\U0001f1ea", "\U0001f1e9\U0001f1ea", False),
        ("\U0001f3fd", "\U0001f3fd", True),
        ("\U0001f3fd", "\U0001f44d\U0001f3fd", False),
    ],
)
def test_an_emoji_is_found_in_what_is_made_of_it(asked, said, found):
    assert emoji_within(asked, said) is found
