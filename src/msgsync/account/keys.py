"""The keys of a device, or of a recovery phrase: one to sign with, one to be sealed to. Source: docs/spec/crypto.md.

Secrets are kept as the seeds that were drawn, and never shown: not by `repr`, not in an error.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from msgsync.account import suite
from msgsync.errors import InvalidValue
from msgsync.ids import DeviceId

SECRET_BYTES: Final = 64
"""Two seeds of 32 bytes: for signing, then for HPKE."""


def device_id(signing: bytes) -> DeviceId:
    """The id of the device with this signing key: the first 64 bits of its SHA-256."""
    return DeviceId(hashlib.sha256(signing).digest()[: DeviceId.BYTES])


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What others know of a device or a phrase.

    Raises:
        InvalidValue: these bytes are no keys.
    """

    signing: bytes = field(repr=False)
    """Ed25519, 32 bytes."""
    hpke: bytes = field(repr=False)
    """ML-KEM-768 and X25519, 1,216 bytes."""

    def __post_init__(self) -> None:
        if type(self.signing) is not bytes or len(self.signing) != suite.KEY_BYTES:
            raise InvalidValue(f"a signing key has {suite.KEY_BYTES} bytes")
        if type(self.hpke) is not bytes:
            raise InvalidValue("an HPKE key is bytes")
        suite.read_hpke_public(self.hpke)

    @property
    def device_id(self) -> DeviceId:
        """The id of the device that signs with this key."""
        return device_id(self.signing)

    @property
    def recipient(self) -> bytes:
        """16 bytes that name the HPKE key among those something is sealed to."""
        return suite.digest("recipient", self.hpke)[:16]


class SecretKeys:
    """The secret halves. Two are equal if their seeds are.

    Args:
        secret: 64 bytes that nobody else knows: drawn for a device, derived for a phrase.

    Raises:
        InvalidValue: another length.
    """

    def __init__(self, secret: bytes) -> None:
        if type(secret) is not bytes or len(secret) != SECRET_BYTES:
            raise InvalidValue(f"secret keys have {SECRET_BYTES} bytes")
        self._signing = secret[: suite.KEY_BYTES]
        self._hpke = secret[suite.KEY_BYTES :]

    @cached_property
    def public(self) -> PublicKeys:
        """What others may know."""
        return PublicKeys(suite.signing_public(self._signing), suite.hpke_public(self._hpke))

    @property
    def device_id(self) -> DeviceId:
        """The id of the device with these keys. Takes the signing key alone: deriving the other is what takes time."""
        return device_id(suite.signing_public(self._signing))

    def sign(self, purpose: str, *parts: bytes) -> bytes:
        """64 bytes: a signature of these parts for this purpose, and of nothing else."""
        return suite.sign(self._signing, purpose, *parts)

    def unseal(self, sealed: bytes, bound: bytes) -> bytes:
        """Read what was sealed to these keys.

        Raises:
            suite.Unsealable: it was not, or has been changed.
        """
        return suite.unseal(self._hpke, sealed, bound)

    def signing_seed(self) -> bytes:
        """The 32 secret bytes of the signing key, for the certificate and the channel."""
        return self._signing

    def export(self) -> bytes:
        """The 64 secret bytes, to be stored where nobody else reads, or under a passphrase."""
        return self._signing + self._hpke

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretKeys) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"SecretKeys(of device {self.device_id})"

    def __reduce__(self) -> Any:
        raise TypeError("secret keys are not pickled: store what export() gives")
