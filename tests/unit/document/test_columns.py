"""Messages in columns: the same messages as their entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.document.columns import NO_MESSAGES, Messages
from msgsync.records import MessageColumns, encode_message_columns
from msgsync.records.fields import TEXT_HEADS

names = st.binary(min_size=1, max_size=300)
columns = st.tuples(
    names,
    st.binary(max_size=300),
    st.just(0) | st.integers(0, 2**48 - 1),
    st.none() | st.binary(min_size=1, max_size=255),
    st.none() | st.just(b"\xa1\x08\x66action"),
)
histories = st.dictionaries(st.binary(min_size=12, max_size=12), columns, max_size=6)


@given(histories)
def test_values_are_those_that_are_written_one_by_one(history: dict[bytes, MessageColumns]):
    messages = Messages.of(history.items())
    assert list(messages.ids) == list(history)
    assert list(messages.times) == [int.from_bytes(one[:6], "big") for one in history]
    values = [encode_message_columns(one) for one in history.values()]
    assert messages.values() == values
    fronted = messages.values(messages.ids)
    assert fronted == [one + value for one, value in zip(history, values, strict=True)]


@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, 1024, 65_535, 65_536])
def test_texts_of_any_size_are_written_as_one_by_one(size: int):
    name, external = b"a" * min(size, limits.NAME_BYTES), b"x" * min(size, limits.EXTERNAL_ID_BYTES)
    for columns in (
        (name, b"t" * size, 0, external, None),
        (b"a", b"t" * size, 0, None, None),
        (b"a", b"t" * size, 7, external, None),
    ):
        messages = Messages.of([(bytes(12), columns)])
        assert messages.values() == [encode_message_columns(columns)]


def test_texts_of_many_sizes_are_written_together_as_one_by_one():
    history = [
        (number.to_bytes(12, "big"), (b"ann", b"t" * size, 0, b"x", None))
        for number, size in enumerate((1, len(TEXT_HEADS) - 1, len(TEXT_HEADS), 70_000))
    ]
    assert Messages.of(history).values() == [encode_message_columns(one) for _, one in history]


@given(histories, st.data())
def test_some_of_the_messages_are_chosen_in_any_order(
    history: dict[bytes, MessageColumns], data: st.DataObject
):
    places = data.draw(st.permutations(range(len(history))))[: len(history) // 2]
    messages = list(history.items())
    chosen = Messages.of(history.items()).chosen(places)
    assert chosen.values() == Messages.of([messages[place] for place in places]).values()
    assert list(chosen.ids) == [messages[place][0] for place in places]


def test_those_between_two_places_are_cut_out():
    history = [(bytes([n] * 12), (b"ann", b"text %d" % n, 0, None, None)) for n in range(4)]
    assert Messages.of(history).between(1, 3) == Messages.of(history[1:3])


@given(histories)
def test_messages_are_joined_one_behind_the_other(history: dict[bytes, MessageColumns]):
    messages = list(history.items())
    first, second = Messages.of(messages[:3]), Messages.of(messages[3:])
    assert first.joined(second).values() == Messages.of(messages).values()
    assert NO_MESSAGES.joined(first).values() == first.values()
