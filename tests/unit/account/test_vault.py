"""Vaults: secrets at rest under a passphrase open by that alone, each under its own name."""

from __future__ import annotations

import pytest

from msgsync.account import vault as module
from msgsync.account.vault import Vault
from msgsync.errors import InvalidValue, WrongPassphrase
from tests.unit.account.accounts import CHEAP, drawn

SECRET = drawn("secret", 64)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(module, "DEAR", CHEAP)


class Random:
    """Bytes that look random, others each time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        return drawn(f"drawn {self.calls}", count)


def test_what_is_locked_is_unlocked_by_the_same_passphrase():
    random = Random()
    made = Vault.new("correct horse", random)
    locked = made.lock("keys", SECRET)
    assert SECRET not in locked
    assert Vault.opened(made.wrapped, "correct horse", random).unlock("keys", locked) == SECRET
    assert made.lock("keys", SECRET) != locked, "under another key each time"


def test_another_passphrase_opens_nothing():
    made = Vault.new("correct horse", Random())
    for other in ("correct  horse", "Correct horse", "x"):
        with pytest.raises(WrongPassphrase):
            Vault.opened(made.wrapped, other, Random())
    with pytest.raises(InvalidValue):
        Vault.opened(made.wrapped, "", Random())
    with pytest.raises(InvalidValue):
        Vault.new("", Random())


def test_a_secret_is_unlocked_under_its_own_name_and_whole_alone():
    made = Vault.new("correct horse", Random())
    locked = made.lock("keys", SECRET)
    with pytest.raises(WrongPassphrase):
        made.unlock("epochs", locked)
    for at in range(0, len(locked), 7):
        for damaged in (locked[:at], locked[:at] + bytes((locked[at] ^ 1,)) + locked[at + 1 :]):
            with pytest.raises(WrongPassphrase):
                made.unlock("keys", damaged)


def test_two_vaults_of_one_passphrase_have_nothing_in_common():
    random = Random()
    one, other = Vault.new("same", random), Vault.new("same", random)
    assert one.wrapped != other.wrapped
    with pytest.raises(WrongPassphrase):
        other.unlock("keys", one.lock("keys", SECRET))
    assert "same" not in repr(one)
