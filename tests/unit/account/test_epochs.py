"""Secrets of epochs: that they are what they are said to be, and that they can be forgotten."""

from __future__ import annotations

import pytest

from msgsync import limits
from msgsync.account.epochs import (
    Keyring,
    commitment_of,
    remnant_of,
    remnants_in,
)
from msgsync.errors import InvalidValue, UnknownEpoch
from msgsync.ids import AccountId
from tests.unit.account.accounts import drawn

ACCOUNT, ELSEWHERE = AccountId(bytes(16)), AccountId(b"\1" * 16)
SECRET, OTHER = drawn("secret"), drawn("other")
COMMITMENT = commitment_of(SECRET, ACCOUNT)


def test_commitments_differ_by_secret_and_account():
    known = {
        commitment_of(secret, account)
        for secret in (SECRET, OTHER)
        for account in (ACCOUNT, ELSEWHERE)
    }
    assert len(known) == 4
    assert SECRET not in known


def test_a_keyring_gives_what_it_was_given_and_no_more():
    keyring = Keyring(ACCOUNT, [SECRET])
    assert keyring.secret(COMMITMENT) == SECRET
    more = Keyring(ACCOUNT, [*keyring.export(), OTHER, SECRET])
    assert list(more) == [commitment_of(OTHER, ACCOUNT), COMMITMENT]
    assert Keyring(ACCOUNT, more.export()) == more
    assert len(keyring) == 1


def test_a_forgotten_epoch_is_gone():
    keyring = Keyring(ACCOUNT, [SECRET, OTHER]).without(COMMITMENT)
    assert COMMITMENT not in keyring
    assert SECRET not in keyring.export()
    with pytest.raises(UnknownEpoch):
        keyring.secret(COMMITMENT)


def test_of_a_forgotten_epoch_a_remnant_stays_that_is_not_the_secret():
    before = Keyring(ACCOUNT, [SECRET, OTHER])
    after = before.without(COMMITMENT)
    assert after.remnants() == before.remnants()
    assert after.forgotten == {COMMITMENT: remnant_of(SECRET, ACCOUNT)}
    [kept] = after.export_forgotten()
    assert SECRET not in kept
    assert remnants_in([kept]) == after.forgotten
    assert Keyring(ACCOUNT, after.export(), after.forgotten).without().forgotten == after.forgotten


def test_keyrings_have_limits_and_show_nothing():
    with pytest.raises(InvalidValue, match="32 bytes"):
        Keyring(ACCOUNT, [b"short"])
    with pytest.raises(InvalidValue, match="at most"):
        Keyring(ACCOUNT, [drawn(str(n)) for n in range(limits.EPOCHS + 1)])
    shown = repr(Keyring(ACCOUNT, [SECRET]))
    assert SECRET.hex() not in shown
    assert repr(SECRET)[2:-1] not in shown
