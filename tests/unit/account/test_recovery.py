"""The recovery phrase."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync.account.recovery import RecoveryPhrase, places_to_ask
from msgsync.errors import InvalidValue, WrongPhrase
from tests.unit.account.accounts import drawn

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bip39.json").read_text())["vectors"]
PHRASE = RecoveryPhrase(drawn("phrase"))
TEXT = " ".join(PHRASE.words)


@pytest.mark.parametrize(("entropy", "words"), VECTORS)
def test_words_are_those_of_bip_39(entropy, words):
    phrase = RecoveryPhrase(bytes.fromhex(entropy))
    assert " ".join(phrase.words) == words
    assert RecoveryPhrase.parse(words) == phrase


def test_keys_follow_from_the_phrase():
    keys = RecoveryPhrase.parse(TEXT).keys()
    assert keys == PHRASE.keys()
    assert keys != RecoveryPhrase(drawn("another")).keys()
    assert keys.export()[:32] != keys.export()[32:]
    assert PHRASE.export() not in keys.export()


@pytest.mark.parametrize(
    "text",
    [
        TEXT.upper(),
        "  " + TEXT.replace(" ", "\n ") + "\t",
        " ".join(word[:4] for word in PHRASE.words),
    ],
)
def test_a_phrase_is_read_as_people_type_it(text):
    assert RecoveryPhrase.parse(text) == PHRASE


def test_wrong_words_are_named_by_their_place_and_not_repeated():
    words = list(PHRASE.words)
    for text, place in (("x", "24 words; these are 1"), (TEXT + " abandon", "these are 25")):
        with pytest.raises(WrongPhrase, match=place):
            RecoveryPhrase.parse(text)
    with pytest.raises(WrongPhrase, match="word 7 is not") as raised:
        RecoveryPhrase.parse(" ".join([*words[:6], "zzzz", *words[7:]]))
    assert "zzzz" not in str(raised.value)
    with pytest.raises(WrongPhrase, match="no phrase") as raised:
        RecoveryPhrase.parse(" ".join([words[1], words[0], *words[2:]]))
    assert not [word for word in words if f" {word} " in f" {raised.value} "]


@given(at=st.integers(0, 23), word=st.sampled_from(VECTORS[4][1].split() + VECTORS[6][1].split()))
def test_one_wrong_word_is_noticed_almost_always(at, word):
    words = list(PHRASE.words)
    if words[at] == word:
        return
    words[at] = word
    try:
        other = RecoveryPhrase.parse(" ".join(words))
    except WrongPhrase:
        return
    assert other.keys() != PHRASE.keys()  # one of 256 passes the check, and opens nothing


def test_three_words_typed_back_confirm_the_phrase():
    words = PHRASE.words
    asked = places_to_ask(drawn("places", 8))
    assert not PHRASE.wrong({place: f" {words[place - 1].upper()} " for place in asked})
    assert PHRASE.wrong({place: words[place % 24] for place in asked}) == tuple(sorted(asked))
    first, *rest = sorted(asked)
    assert PHRASE.wrong({place: words[place - 1] for place in rest} | {first: "zoo"}) == (first,)
    with pytest.raises(InvalidValue):
        PHRASE.wrong({1: words[0]})
    with pytest.raises(InvalidValue):
        PHRASE.wrong({0: "a", 1: "b", 25: "c"})


@given(random=st.binary(min_size=8, max_size=8))
def test_three_different_places_are_asked_for(random):
    places = places_to_ask(random)
    assert len(set(places)) == 3
    assert list(places) == sorted(places)
    assert all(1 <= place <= 24 for place in places)


def test_a_phrase_does_not_show():
    shown = repr(PHRASE) + str(PHRASE)
    assert not [word for word in PHRASE.words if f" {word} " in shown]
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(PHRASE)
    with pytest.raises(InvalidValue):
        RecoveryPhrase(b"short")
