"""Codes to type and to scan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync.account.code import Code
from msgsync.errors import InvalidValue
from tests.unit.account.accounts import CHEAP, drawn

TYPED, SCANNED = Code.to_type(drawn("code", 8)), Code.to_scan(drawn("code", 16))


@given(random=st.binary(min_size=8, max_size=8))
def test_a_typed_code_has_three_groups_of_four(random):
    code = Code.to_type(random)
    groups = code.text().split("-")
    assert [len(group) for group in groups] == [4, 4, 4]
    assert not set("ILOU") & set(code.text())
    assert Code.parse(code.text()) == code


@given(random=st.binary(min_size=16, max_size=16))
def test_a_scanned_code_is_read_back(random):
    assert Code.parse(Code.to_scan(random).text()) == Code.to_scan(random)


def test_codes_are_read_as_people_type_them():
    code = Code.parse("0123-4567-89AB")
    for text in (
        " 0123 4567 89ab",
        "o123456789ab",
        "O1234567-89ab\n",
        "0i23-4567-89ab",
        "0l234567 89AB",
    ):
        assert Code.parse(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0123-4567-89a",
        "0123-4567-89abc",
        "0123-4567-89au",
        "msgsync:1:zz",
        "msgsync:1:" + "z" * 26,
    ],
)
def test_what_is_no_code_is_not_repeated(text):
    with pytest.raises(InvalidValue) as raised:
        Code.parse(text)
    assert not text or text not in str(raised.value)


@pytest.mark.parametrize("make", [Code.to_type, Code.to_scan])
def test_codes_take_as_many_bytes_as_they_are_made_of(make):
    with pytest.raises(InvalidValue):
        make(b"short")


def test_both_sides_derive_the_same_and_nothing_shows():
    for code in (TYPED, SCANNED):
        secrets = Code.parse(code.text()).secrets(cost=CHEAP)
        assert secrets == code.secrets(cost=CHEAP)
        assert secrets.root.hex()[:32] != secrets.rendezvous
        shown = repr(code) + repr(secrets)
        assert code.text() not in shown
        assert repr(secrets.root)[2:-1] not in shown
    assert TYPED.secrets(cost=CHEAP) != SCANNED.secrets(cost=CHEAP)
    assert Code.to_type(drawn("x", 8)).secrets(cost=CHEAP) != TYPED.secrets(cost=CHEAP)


def test_stretching_is_dear_unless_a_test_says_otherwise():
    assert TYPED.secrets() != TYPED.secrets(cost=CHEAP)
