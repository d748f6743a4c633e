"""Introductions: how two members that have not heard of each other show that they are. Source: docs/spec/crypto.md.

A key object is sealed to a device that its maker knows. Where neither knows the other, because each was added by a
device that the other did not meet since, one of them sends its roster under the epoch that it seals under, if the other
has that epoch, or has had it. In a mailbox it leaves it there, under a name that follows from the epoch. Whoever was
removed before that epoch cannot read it.
"""

from __future__ import annotations

from typing import Final

import cbor2

from msgsync import limits
from msgsync.account import suite
from msgsync.account.epochs import Keyring, remnant_of
from msgsync.account.padding import pad, unpad
from msgsync.account.roster import Roster
from msgsync.account.suite import Unsealable, context, decrypt, derive, encrypt
from msgsync.cbor import load
from msgsync.errors import InvalidValue, ObjectDamaged
from msgsync.ids import AccountId

SALT_BYTES: Final = 32
_PURPOSE: Final = "introduction"
_HEAD_BYTES: Final = 1 + SALT_BYTES


def introduction_name(remnant: bytes, account: AccountId) -> str:
    """Where the introduction under the epoch with this remnant lies in a mailbox."""
    return f"keys/{derive(remnant, 'introduction name', account.raw)[:16].hex()}"


def seal_introduction(roster: Roster, keyring: Keyring, *, salt: bytes) -> bytes:
    """The roster, for whoever has the secret of the epoch to seal under.

    Args:
        roster: as this device knows it.
        keyring: the secrets that it has.
        salt: 32 random bytes, drawn for this call.

    Raises:
        InvalidValue: it would be too long.
        RotationDue, UnknownEpoch: there is no epoch to seal under, or its secret is not here.
    """
    epoch = roster.state.sealing_epoch()
    remnant = remnant_of(keyring.secret(epoch), roster.account)
    padded = pad(cbor2.dumps(roster.raws(), canonical=True), least=limits.OBJECT_FILL_BYTES)
    if len(padded) > limits.KEY_OBJECT_BYTES:
        raise InvalidValue(f"an introduction has at most {limits.KEY_OBJECT_BYTES} bytes")
    head = bytes((suite.SUITE,)) + salt
    key, bound = _key_and_bound(epoch, remnant, roster.account, head)
    return head + encrypt(key, padded, bound)


def open_introduction(raw: bytes, known: Roster, keyring: Keyring) -> Roster:
    """The roster in an introduction, not merged with the one that is here.

    Args:
        raw: as it came.
        known: the roster as far as it is here.
        keyring: the secrets that are here, and what is left of others.

    Raises:
        AccountMismatch: it is of another account.
        ObjectDamaged: it was changed, cut off, or made by somebody who has no epoch that is or was here.
        StatementRefused: a statement in it is none, or they are too many.
    """
    if not _HEAD_BYTES < len(raw) <= limits.KEY_OBJECT_BYTES + _HEAD_BYTES + suite.TAG_BYTES:
        raise ObjectDamaged("not an introduction: empty or too long")
    if raw[0] != suite.SUITE:
        raise ObjectDamaged("an introduction of another version than this one knows")
    for epoch, remnant in keyring.remnants().items():
        key, bound = _key_and_bound(epoch, remnant, known.account, raw[:_HEAD_BYTES])
        try:
            padded = decrypt(key, raw[_HEAD_BYTES:], bound)
        except Unsealable:
            continue
        return Roster.read(_statements(padded))
    raise ObjectDamaged("an introduction under no epoch that is here, or one that was changed")


def _key_and_bound(
    epoch: bytes, remnant: bytes, account: AccountId, head: bytes
) -> tuple[bytes, bytes]:
    key = derive(remnant, _PURPOSE, account.raw, salt=head[1:])
    return key, context(_PURPOSE, account.raw, epoch, head)


def _statements(padded: bytes) -> list[bytes]:
    try:
        raws = load(unpad(padded))
        if type(raws) is not list or any(type(one) is not bytes for one in raws):
            raise InvalidValue("not a list of statements")
        if len(raws) > limits.KEY_STATEMENTS:
            raise InvalidValue("too many statements")
    except (InvalidValue, cbor2.CBORDecodeError, ValueError, TypeError) as error:
        raise ObjectDamaged("an introduction that cannot be read") from error
    return raws
