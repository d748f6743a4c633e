"""Secrets of epochs: who gets them, that they are what they are said to be, and that they can be forgotten."""

from __future__ import annotations

import pytest

from msgsync import limits
from msgsync.account.epochs import (
    WRAPPED_BYTES,
    Keyring,
    commitment_of,
    unwrap_secret,
    wrap_for_all,
    wrap_secret,
)
from msgsync.account.suite import context, seal_to
from msgsync.errors import InvalidValue, ObjectDamaged, UnknownEpoch
from msgsync.ids import AccountId
from tests.unit.account.accounts import drawn, keys_of

ACCOUNT, ELSEWHERE = AccountId(bytes(16)), AccountId(b"\1" * 16)
SECRET, OTHER = drawn("secret"), drawn("other")
COMMITMENT = commitment_of(SECRET, ACCOUNT)
PHONE, TABLET = keys_of("phone"), keys_of("tablet")


def test_each_recipient_gets_the_secret_and_nobody_else():
    recipients = {keys.public.recipient: keys.public for keys in (PHONE, TABLET)}
    wrapped = wrap_for_all(SECRET, recipients, ACCOUNT)
    assert {len(one) for one in wrapped.values()} == {WRAPPED_BYTES}
    for keys in (PHONE, TABLET):
        one = wrapped[keys.public.recipient]
        assert unwrap_secret(one, COMMITMENT, keys, ACCOUNT) == SECRET
        with pytest.raises(ObjectDamaged, match="not sealed to this device"):
            unwrap_secret(one, COMMITMENT, keys_of("stranger"), ACCOUNT)


def test_a_secret_is_good_for_its_epoch_and_account_only():
    wrapped = wrap_secret(SECRET, PHONE.public, ACCOUNT)
    for commitment, account in (
        (commitment_of(OTHER, ACCOUNT), ACCOUNT),
        (COMMITMENT, ELSEWHERE),
        (commitment_of(SECRET, ELSEWHERE), ELSEWHERE),
    ):
        with pytest.raises(ObjectDamaged):
            unwrap_secret(wrapped, commitment, PHONE, account)


def test_a_member_cannot_give_two_devices_different_secrets_of_one_epoch():
    bound = context("epoch secret", ACCOUNT.raw, COMMITMENT, TABLET.public.recipient)
    for text in (OTHER, b"", SECRET + b"x"):
        with pytest.raises(ObjectDamaged, match="another epoch"):
            unwrap_secret(seal_to(TABLET.public.hpke, text, bound), COMMITMENT, TABLET, ACCOUNT)


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
    more = keyring.with_secret(OTHER, SECRET)
    assert list(more) == [commitment_of(OTHER, ACCOUNT), COMMITMENT]
    assert Keyring(ACCOUNT, more.export()) == more
    assert len(keyring) == 1


def test_a_forgotten_epoch_is_gone():
    keyring = Keyring(ACCOUNT, [SECRET, OTHER]).without(COMMITMENT)
    assert COMMITMENT not in keyring
    assert SECRET not in keyring.export()
    with pytest.raises(UnknownEpoch):
        keyring.secret(COMMITMENT)


def test_keyrings_have_limits_and_show_nothing():
    with pytest.raises(InvalidValue, match="32 bytes"):
        Keyring(ACCOUNT, [b"short"])
    with pytest.raises(InvalidValue, match="at most"):
        Keyring(ACCOUNT, [drawn(str(n)) for n in range(limits.EPOCHS + 1)])
    shown = repr(Keyring(ACCOUNT, [SECRET]))
    assert SECRET.hex() not in shown
    assert repr(SECRET)[2:-1] not in shown
