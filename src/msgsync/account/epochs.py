"""Epochs: the secrets that the devices of an account share, and how they forget them. Source: docs/spec/crypto.md.

An epoch has a secret of 32 random bytes. A statement names it by its commitment, which no other secret gives; so
nobody can hand different devices different secrets under one name. The secret itself goes to each member and phrase
sealed to its key, beside the statement and not in it: a roster is kept for ever, and an epoch must be forgettable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgsync import limits
from msgsync.account import suite
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.account.suite import Unsealable, context, derive, seal_to
from msgsync.errors import InvalidValue, ObjectDamaged, UnknownEpoch
from msgsync.ids import AccountId

SECRET_BYTES: Final = 32
COMMITMENT_BYTES: Final = 32


def commitment_of(secret: bytes, account: AccountId) -> bytes:
    """32 bytes that name the epoch with this secret, and say nothing else about it."""
    return derive(secret, "epoch commitment", account.raw)


def wrap_secret(secret: bytes, recipient: PublicKeys, account: AccountId) -> bytes:
    """The secret of an epoch, sealed to one member or phrase.

    Raises:
        InvalidValue: nothing can be sealed to this key.
    """
    bound = _bound(commitment_of(secret, account), recipient, account)
    return seal_to(recipient.hpke, secret, bound)


def wrap_for_all(
    secret: bytes, recipients: Mapping[bytes, PublicKeys], account: AccountId
) -> dict[bytes, bytes]:
    """The secret sealed to each of `State.recipients`, by `PublicKeys.recipient`."""
    return {name: wrap_secret(secret, keys, account) for name, keys in recipients.items()}


def unwrap_secret(wrapped: bytes, commitment: bytes, keys: SecretKeys, account: AccountId) -> bytes:
    """The secret of the epoch that a statement names, sealed to these keys.

    Raises:
        ObjectDamaged: it is sealed to others, or is the secret of another epoch or account.
    """
    try:
        secret = keys.unseal(wrapped, _bound(commitment, keys.public, account))
    except Unsealable as error:
        raise ObjectDamaged("a secret that is not sealed to this device") from error
    if len(secret) != SECRET_BYTES or commitment_of(secret, account) != commitment:
        raise ObjectDamaged("a secret of another epoch than it is said to be")
    return secret


def _bound(commitment: bytes, recipient: PublicKeys, account: AccountId) -> bytes:
    return context("epoch secret", account.raw, commitment, recipient.recipient)


class Keyring:
    """The secrets of epochs that a device has, by commitment. Immutable: `with_secret` and `without` give another.

    Args:
        account: whose epochs they are.
        secrets: the secrets, in any order.

    Raises:
        InvalidValue: one has another length, or they are too many.
    """

    def __init__(self, account: AccountId, secrets: Iterable[bytes] = ()) -> None:
        self.account = account
        self._secrets: dict[bytes, bytes] = {}
        for secret in secrets:
            if type(secret) is not bytes or len(secret) != SECRET_BYTES:
                raise InvalidValue(f"the secret of an epoch has {SECRET_BYTES} bytes")
            self._secrets[commitment_of(secret, account)] = secret
        if len(self._secrets) > limits.EPOCHS:
            raise InvalidValue(
                f"at most {limits.EPOCHS} epochs: forget those whose objects have been replaced"
            )

    def with_secret(self, *secrets: bytes) -> Keyring:
        """This keyring and these secrets."""
        return Keyring(self.account, [*self._secrets.values(), *secrets])

    def without(self, *commitments: bytes) -> Keyring:
        """This keyring without some epochs: nothing that was sealed under them can be read any more.

        It holds on this device once the store has erased the old keyring's bytes.
        """
        return Keyring(
            self.account,
            [secret for name, secret in self._secrets.items() if name not in commitments],
        )

    def secret(self, commitment: bytes) -> bytes:
        """The secret of an epoch.

        Raises:
            UnknownEpoch: it is not here.
        """
        try:
            return self._secrets[commitment]
        except KeyError:
            raise UnknownEpoch("the secret of this epoch is not here") from None

    def export(self) -> list[bytes]:
        """The secrets, to be stored where nobody else reads, or sealed to another device."""
        return list(self._secrets.values())

    def __contains__(self, commitment: object) -> bool:
        return commitment in self._secrets

    def __iter__(self) -> Iterator[bytes]:
        """The commitments, the latest that came in first."""
        return reversed(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Keyring)
            and self.account == other.account
            and self._secrets.keys() == other._secrets.keys()
        )

    def __hash__(self) -> int:
        return hash((self.account, frozenset(self._secrets)))

    def __repr__(self) -> str:
        return f"Keyring(of account {self.account}, {len(self)} epochs)"


WRAPPED_BYTES: Final = SECRET_BYTES + suite.HPKE_OVERHEAD_BYTES
"""Of one secret, sealed."""
