"""Passphrases in the system's keyring: kept there, found again, and not lost when something fails."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import PasswordDeleteError

import msgsync
from msgsync import InvalidValue, PassphraseNeeded, StorageError
from msgsync import keyring as ours
from msgsync.account import vault
from tests.unit.account.accounts import CHEAP


class Memory(KeyringBackend):
    """A keyring of this process."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("none")
        del self.kept[service, username]


@pytest.fixture
def system(monkeypatch) -> Iterator[Memory]:
    monkeypatch.setattr(vault, "DEAR", CHEAP)
    before = keyring.get_keyring()
    memory = Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def test_a_protected_replica_is_opened_by_the_keyring(phone, open_replica, system):
    ours.protect(phone)
    assert [*system.kept] == [("msgsync", str(phone.device))]
    phone.close()
    with pytest.raises(PassphraseNeeded):
        open_replica("phone.db")
    again = open_replica("phone.db", passphrase=ours.passphrase_for(phone.path))
    assert again.check().ok
    with pytest.raises(InvalidValue, match="already"):
        ours.protect(again)
    again.set_passphrase(None)
    ours.forget(again.device)
    assert system.kept == {}
    with pytest.raises(StorageError):
        ours.forget(again.device)


def test_a_keyring_without_it_says_so(phone, system):
    with pytest.raises(PassphraseNeeded, match="has no passphrase"):
        ours.passphrase_for(phone.path)


def test_what_cannot_be_protected_leaves_nothing_in_the_keyring(phone, system):
    with msgsync.open(phone.path, readonly=True) as reader, pytest.raises(msgsync.ReadOnly):
        ours.protect(reader)
    assert system.kept == {}


def test_a_machine_without_a_keyring_is_told_so(phone, system):
    keyring.set_keyring(NoKeyring())
    with pytest.raises(StorageError, match="keyring cannot be used"):
        ours.protect(phone)
    with pytest.raises(StorageError):
        ours.passphrase_for(phone.path)
