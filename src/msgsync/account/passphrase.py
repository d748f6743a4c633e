"""A secret under a passphrase: Argon2id makes the key, and how it did is written beside it. Source: RFC 9106."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from msgsync import limits
from msgsync.account import suite
from msgsync.account.suite import Unsealable, context, decrypt, encrypt, stretch
from msgsync.cbor import load
from msgsync.errors import InvalidValue, WrongPassphrase
from msgsync.ids import encode_text

SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """How dear one guess is.

    Raises:
        InvalidValue: less than Argon2id can do, or more than a device should be made to do.
    """

    memory_kib: int = 256 * 1024
    iterations: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        if not (
            1 <= self.lanes <= limits.STRETCH_LANES
            and 8 * self.lanes <= self.memory_kib <= limits.STRETCH_MEMORY_KIB
            and 1 <= self.iterations <= limits.STRETCH_ITERATIONS
        ):
            raise InvalidValue("a cost of Argon2id beyond its limits")


DEAR: Final = Cost()
"""256 MiB and about two seconds: RFC 9106's second choice with four times the memory."""


def wrap(secret: bytes, passphrase: str, *, salt: bytes, cost: Cost = DEAR) -> bytes:
    """``secret`` as bytes that only the passphrase opens.

    Args:
        secret: what to wrap.
        passphrase: any text but none; its Unicode form does not matter (NFKC).
        salt: 16 random bytes, drawn for this call.
        cost: how dear a guess is.

    Raises:
        InvalidValue: an empty passphrase, or a salt of another length.
    """
    if len(salt) != SALT_BYTES:
        raise InvalidValue(f"a salt has {SALT_BYTES} bytes")
    head = [suite.SUITE, cost.memory_kib, cost.iterations, cost.lanes, salt]
    sealed = encrypt(stretched(passphrase, salt, cost), secret, _bound(head))
    return cbor2.dumps([*head, sealed], canonical=True)


def unwrap(wrapped: bytes, passphrase: str) -> bytes:
    """The secret.

    Raises:
        InvalidValue: an empty passphrase.
        WrongPassphrase: it is another, or the bytes are damaged.
    """
    head, sealed, cost = _read(wrapped)
    try:
        return decrypt(stretched(passphrase, head[4], cost), sealed, _bound(head))
    except Unsealable as error:
        raise WrongPassphrase(
            "the passphrase is wrong, or the keys are damaged; try another, or pair this device anew with one of yours"
        ) from error


def _read(wrapped: bytes) -> tuple[list[Any], bytes, Cost]:
    try:
        if len(wrapped) > limits.WRAPPED_BYTES:
            raise InvalidValue("too long")
        number, memory_kib, iterations, lanes, salt, sealed = load(wrapped)
        head = [number, memory_kib, iterations, lanes, salt]
        if (
            number != suite.SUITE
            or any(type(part) is not int for part in head[:4])
            or type(salt) is not bytes
            or len(salt) != SALT_BYTES
            or type(sealed) is not bytes
        ):
            raise InvalidValue("another form")
        return head, sealed, Cost(memory_kib, iterations, lanes)
    except (InvalidValue, cbor2.CBORDecodeError, ValueError, TypeError) as error:
        raise WrongPassphrase("the wrapped keys are damaged: use a backup of them") from error


def stretched(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """The 32 bytes that a passphrase gives with a salt.

    Raises:
        InvalidValue: an empty passphrase.
    """
    if not passphrase:
        raise InvalidValue("a passphrase has at least one character")
    text = encode_text(unicodedata.normalize("NFKC", passphrase), "a passphrase")
    return stretch(
        text, salt, memory_kib=cost.memory_kib, iterations=cost.iterations, lanes=cost.lanes
    )


def _bound(head: list[Any]) -> bytes:
    return context("wrapped keys", cbor2.dumps(head, canonical=True))
