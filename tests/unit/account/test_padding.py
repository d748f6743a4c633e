"""Padding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync.account.padding import pad, padded_size, unpad
from msgsync.errors import InvalidValue


@given(size=st.integers(0, 2**32))
def test_padding_costs_at_most_an_eighth_and_is_done_once(size):
    padded = padded_size(size)
    assert size <= padded <= size * 1.12 + 1
    assert padded_size(padded) == padded


def test_few_lengths_remain():
    assert len({padded_size(size) for size in range(1, 2**20)}) < 500
    assert [padded_size(size) for size in (0, 1, 9, 100, 1_000, 1_000_000)] == [
        0, 1, 10, 104, 1_024, 1_015_808,
    ]  # fmt: skip


@given(text=st.binary(max_size=600), least=st.integers(0, 300))
def test_a_text_is_found_again(text, least):
    padded = pad(text, least=least)
    assert unpad(padded) == text
    assert len(padded) >= max(least, len(text) + 4)


@pytest.mark.parametrize(
    "padded",
    [b"", b"\0\0\0", b"\0\0\0\5abc", b"\xff\xff\xff\xff", b"\0\0\0\1a" + b"\1" * 3, bytes(9)],
)
def test_what_is_padded_otherwise_is_refused(padded):
    with pytest.raises(InvalidValue):
        unpad(padded)
