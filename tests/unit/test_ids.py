"""Ids: bytes, text, order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync.errors import InvalidValue
from msgsync.ids import (
    ALPHABET,
    AccountId,
    DeviceId,
    MessageId,
    check_conversation_id,
    decode_ids,
    encode_id,
    encode_ids,
    external_tail,
    from_base32,
    sort_ids,
    to_base32,
)

TYPES = (MessageId, DeviceId, AccountId)
raw_ids = st.binary(min_size=12, max_size=12)
extremes = st.sampled_from([bytes(12), b"\xff" * 12, bytes(11) + b"\1", b"\x80" + bytes(11)])
characters = st.sampled_from(ALPHABET.decode())
anything = st.text(max_size=24) | st.text(characters, max_size=24)


@pytest.mark.parametrize("kind", TYPES)
def test_text_and_bytes_say_the_same(kind):
    @given(st.binary(min_size=kind.BYTES, max_size=kind.BYTES))
    def round_trip(raw: bytes) -> None:
        one = kind(raw)
        assert len(str(one)) == kind.CHARACTERS
        assert kind.parse(str(one)) == one
        assert kind.parse(str(one)).raw == raw
        assert str(one) in repr(one)

    round_trip()


@pytest.mark.parametrize("kind", TYPES)
def test_text_sorts_as_bytes_do(kind):
    raws = st.binary(min_size=kind.BYTES, max_size=kind.BYTES)

    @given(raws, raws)
    def same_order(first: bytes, second: bytes) -> None:
        assert (first < second) == (str(kind(first)) < str(kind(second)))
        assert (first < second) == (kind(first) < kind(second))

    same_order()


@pytest.mark.parametrize("kind", TYPES)
def test_an_id_of_another_size_or_type_is_refused(kind):
    for raw in (b"", bytes(kind.BYTES - 1), bytes(kind.BYTES + 1), bytearray(kind.BYTES), None):
        with pytest.raises(InvalidValue, match=kind.__name__):
            kind(raw)


@pytest.mark.parametrize("kind", TYPES)
def test_a_text_is_an_id_or_refused(kind):
    canonical = re.compile(f"[{ALPHABET.decode()}]{{{kind.CHARACTERS}}}")

    @given(anything | st.text(characters, min_size=kind.CHARACTERS, max_size=kind.CHARACTERS))
    def parse(text: str) -> None:
        try:
            one = kind.parse(text)
        except InvalidValue:
            fits = canonical.fullmatch(text) and from_base32(text) < 1 << (8 * kind.BYTES)
            assert not fits
        else:
            assert str(one) == text

    parse()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0" * 19, "20 characters"),
        ("0" * 21, "20 characters"),
        (None, "20 characters"),
        ("o" * 20, "not base32"),
        ("A" * 20, "not base32"),
        ("é" * 20, "not base32"),
        ("2" + "0" * 19, "larger than any"),
        ("z" * 20, "larger than any"),
    ],
)
def test_parsing_says_what_is_wrong_with_a_text(text, reason):
    with pytest.raises(InvalidValue, match=reason):
        MessageId.parse(text)


def test_ids_of_different_types_are_never_equal():
    class Other(MessageId):
        __slots__ = ()

    assert MessageId(bytes(12)) != Other(bytes(12))


@given(st.integers(0, 2**48 - 1), st.binary(min_size=6, max_size=6))
def test_a_message_id_begins_with_its_milliseconds(ms, tail):
    assert MessageId(ms.to_bytes(6, "big") + tail).ms == ms


@given(st.integers(0, 2**80 - 1))
def test_numbers_round_trip_through_base32(number):
    text = to_base32(number, 16)
    assert len(text) == 16
    assert from_base32(text) == number


@given(st.lists(raw_ids | extremes, max_size=40))
def test_many_ids_at_once_are_as_one_at_a_time(raws):
    texts = encode_ids(raws)
    assert texts == [encode_id(raw) for raw in raws]
    assert texts == [str(MessageId(raw)).encode() for raw in raws]
    assert decode_ids(texts) == raws


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 2049])
def test_bulk_conversion_has_no_seams(count):
    raws = [
        (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**96).to_bytes(12, "big")
        for number in range(count)
    ]
    assert encode_ids(raws) == [encode_id(raw) for raw in raws]
    assert decode_ids(encode_ids(raws)) == raws


@given(
    st.lists(raw_ids, min_size=1, max_size=8),
    st.integers(0, 7),
    st.binary(max_size=24) | st.text(characters, min_size=20, max_size=20).map(str.encode),
)
def test_one_bad_text_among_many_is_refused_as_it_is_alone(raws, place, bad):
    texts = encode_ids(raws)
    texts.insert(place % (len(texts) + 1), bad)
    try:
        alone = [MessageId.parse(bad.decode("latin-1")).raw]
    except InvalidValue:
        with pytest.raises(InvalidValue):
            decode_ids(texts)
    else:
        assert decode_ids([bad]) == alone
        assert set(decode_ids(texts)) == {*raws, *alone}


def test_texts_of_other_lengths_do_not_make_up_for_each_other():
    with pytest.raises(InvalidValue):
        decode_ids([b"0" * 19, b"0" * 21])


def test_the_id_of_an_ingested_message_depends_on_conversation_and_external_id_alone():
    tail = external_tail("family", "1")
    assert tail == external_tail("family", "1")
    assert len({tail, external_tail("family", "2"), external_tail("work", "1")}) == 3
    assert len(tail) == 6


def test_sorted_ids_are_distinct():
    assert sort_ids([b"b", b"a", b"b"]) == [b"a", b"b"]


@pytest.mark.parametrize("id", ["x", "+44 7700 900142", "家族", "a" * 200, "é" * 100, "\n"])
def test_a_conversation_id_is_what_the_app_likes(id):
    assert check_conversation_id(id) == id


@pytest.mark.parametrize("id", ["", "a" * 201, "é" * 101, "a\0b", "\ud800", None, 7])
def test_a_conversation_id_is_a_short_text(id):
    with pytest.raises(InvalidValue):
        check_conversation_id(id)
