"""A vault: a device's secrets at rest, under a passphrase. Source: docs/spec/crypto.md, "Keys".

The passphrase opens one key, which is dear to guess; that key locks each secret under a key of its own, which is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgsync.account.passphrase import DEAR, SALT_BYTES, unwrap, wrap
from msgsync.account.suite import KEY_BYTES, Unsealable, context, decrypt, derive, encrypt
from msgsync.errors import WrongPassphrase

_SALT_BYTES: Final = 32
_PURPOSE: Final = "at rest"


class Vault:
    """Locks and unlocks secrets by name; `new` makes one, `opened` opens one that is there."""

    def __init__(self, key: bytes, wrapped: bytes, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random
        self.wrapped: Final = wrapped
        """The vault's key under the passphrase: to be stored beside what it locks."""

    @classmethod
    def new(cls, passphrase: str, random: Callable[[int], bytes]) -> Vault:
        """A vault that this passphrase opens.

        Raises:
            InvalidValue: the passphrase is empty.
        """
        key = random(KEY_BYTES)
        return cls(key, wrap(key, passphrase, salt=random(SALT_BYTES), cost=DEAR), random)

    @classmethod
    def opened(cls, wrapped: bytes, passphrase: str, random: Callable[[int], bytes]) -> Vault:
        """The vault whose key is under this passphrase.

        Raises:
            InvalidValue: the passphrase is empty.
            WrongPassphrase: it is another one, or the bytes are damaged.
        """
        return cls(unwrap(wrapped, passphrase), wrapped, random)

    def lock(self, name: str, secret: bytes) -> bytes:
        """A secret as bytes that only this vault opens, under this name only."""
        salt = self._random(_SALT_BYTES)
        return salt + encrypt(self._key_of(name, salt), secret, _bound(name))

    def unlock(self, name: str, locked: bytes) -> bytes:
        """The secret.

        Raises:
            WrongPassphrase: it is of another vault or name, or damaged.
        """
        salt, sealed = locked[:_SALT_BYTES], locked[_SALT_BYTES:]
        try:
            return decrypt(self._key_of(name, salt), sealed, _bound(name))
        except Unsealable as error:
            raise WrongPassphrase("what lies under the passphrase is damaged") from error

    def _key_of(self, name: str, salt: bytes) -> bytes:
        return derive(self._key, _PURPOSE, name.encode("ascii"), salt=salt)

    def __repr__(self) -> str:
        return "Vault(of a device's secrets)"


def _bound(name: str) -> bytes:
    return context(_PURPOSE, name.encode("ascii"))
