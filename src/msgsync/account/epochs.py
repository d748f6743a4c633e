"""Epochs: the secrets that the devices of an account share, and how they forget them. Source: docs/spec/crypto.md.

An epoch has a secret of 32 random bytes. A statement names it by its commitment, which no other secret gives; so
nobody can hand different devices different secrets under one name. The secret itself goes to each member and phrase in
its key object, beside the statement and not in it: a roster is kept for ever, and an epoch must be forgettable.

Of a forgotten epoch a device keeps the **remnant**, which follows from the secret and not the other way round. It opens
no object. By it members show each other that both had the epoch: who comes back from an old backup is not locked out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgsync import limits
from msgsync.account.suite import derive
from msgsync.errors import InvalidValue, UnknownEpoch
from msgsync.ids import AccountId

SECRET_BYTES: Final = 32
COMMITMENT_BYTES: Final = 32
REMNANT_BYTES: Final = 32


def commitment_of(secret: bytes, account: AccountId) -> bytes:
    """32 bytes that name the epoch with this secret, and say nothing else about it."""
    return derive(secret, "epoch commitment", account.raw)


def remnant_of(secret: bytes, account: AccountId) -> bytes:
    """32 secret bytes that are kept of an epoch: members know each other by them, and open nothing."""
    return derive(secret, "channel", account.raw)


def remnants_in(kept: Iterable[bytes]) -> dict[bytes, bytes]:
    """Remnants by commitment, as a device keeps and tells them: 64 bytes each, the commitment first."""
    return {one[:COMMITMENT_BYTES]: one[COMMITMENT_BYTES:] for one in kept}


class Keyring:
    """The secrets of epochs that a device has, by commitment. Immutable: `without` gives another.

    Args:
        account: whose epochs they are.
        secrets: the secrets, in any order.
        forgotten: the remnants of epochs whose secrets were erased, by commitment, in the order in which they were.

    Raises:
        InvalidValue: one has another length, or they are too many.
    """

    def __init__(
        self,
        account: AccountId,
        secrets: Iterable[bytes] = (),
        forgotten: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.account = account
        self.forgotten: Final = dict(forgotten or {})
        self._secrets: dict[bytes, bytes] = {}
        for secret in secrets:
            if type(secret) is not bytes or len(secret) != SECRET_BYTES:
                raise InvalidValue(f"the secret of an epoch has {SECRET_BYTES} bytes")
            self._secrets[commitment_of(secret, account)] = secret
        if max(len(self._secrets), len(self.forgotten)) > limits.EPOCHS:
            raise InvalidValue(
                f"at most {limits.EPOCHS} epochs: forget those whose objects have been replaced"
            )

    def without(self, *commitments: bytes) -> Keyring:
        """This keyring without some epochs: nothing that was sealed under them can be read any more.

        It holds on this device once the store has erased the old keyring's bytes.
        """
        gone = {
            name: remnant_of(secret, self.account)
            for name, secret in self._secrets.items()
            if name in commitments
        }
        kept = [secret for name, secret in self._secrets.items() if name not in gone]
        forgotten = [*(self.forgotten | gone).items()][-limits.EPOCHS :]
        return Keyring(self.account, kept, dict(forgotten))

    def secret(self, commitment: bytes) -> bytes:
        """The secret of an epoch.

        Raises:
            UnknownEpoch: it is not here.
        """
        try:
            return self._secrets[commitment]
        except KeyError:
            raise UnknownEpoch("the secret of this epoch is not here") from None

    def remnants(self) -> dict[bytes, bytes]:
        """Those of all epochs, forgotten ones too, by commitment, the latest that came in last."""
        return self.forgotten | {
            name: remnant_of(secret, self.account) for name, secret in self._secrets.items()
        }

    def export_forgotten(self) -> list[bytes]:
        """What is left of forgotten epochs, to be stored or told like secrets: see `remnants_in`."""
        return [name + remnant for name, remnant in self.forgotten.items()]

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
