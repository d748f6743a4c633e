"""What devices sign about their account: bytes of a roster. Source: docs/spec/crypto.md, "Statements".

A statement is a CBOR array of a body and one signature or two: by the signer, and by the keys that the statement
introduces, which shows that their holder agrees. Each names the statements it was made in knowledge of, by hash; so a
roster is a graph without cycles, and nobody can put something into another's past. Reading checks form and signatures,
which need nothing but the bytes; whether a statement counts is the roster's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.account import suite
from msgsync.account.device import Device, check_device_name
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.cbor import decode_map, load
from msgsync.errors import InvalidValue, StatementRefused
from msgsync.ids import AccountId

INCARNATION_BYTES: Final = 16
_SIGNED: Final = "statement"
_AGREED: Final = "statement agreed to"


class Position(NamedTuple):
    """How far somebody has read, or written, in the log of one incarnation of a device."""

    incarnation: bytes
    """16 bytes, drawn at every opening."""
    sequence: int
    """Of the last object; the first has 1."""
    hash: bytes
    """Of that object, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """The account begins with this device and this recovery phrase, which both sign."""

    KIND: ClassVar[int] = 1
    device: Device
    recovery: PublicKeys


@dataclass(frozen=True, slots=True)
class Add:
    """This device belongs to the account; it signs too. One that was revoked comes back like this."""

    KIND: ClassVar[int] = 2
    device: Device


@dataclass(frozen=True, slots=True)
class Revoke:
    """This device is not trusted any more."""

    KIND: ClassVar[int] = 3
    target: bytes = field(repr=False)
    """Its signing key."""
    positions: tuple[Position, ...]
    """What had been accepted of its logs; nothing behind that is. Sorted, one for each incarnation."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A new secret is in use."""

    KIND: ClassVar[int] = 4
    commitment: bytes = field(repr=False)
    """32 bytes that only this secret gives: see `epochs`. They name the epoch too."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """This recovery phrase takes the place of the one before; its keys sign too."""

    KIND: ClassVar[int] = 5
    recovery: PublicKeys


@dataclass(frozen=True, slots=True)
class Rename:
    """This device is called something else."""

    KIND: ClassVar[int] = 6
    target: bytes = field(repr=False)
    """Its signing key."""
    name: str


Content = Genesis | Add | Revoke | Epoch | Recovery | Rename


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, its form and signatures checked."""

    raw: bytes = field(repr=False)
    """As it was signed; what is stored, sent and hashed."""
    id: bytes
    """32 bytes: a hash of `raw`."""
    account: AccountId
    parents: tuple[bytes, ...] = field(repr=False)
    """The ids of the statements that this one builds on directly, sorted; none for the genesis."""
    signer: bytes = field(repr=False)
    """The signing key of a device or of a recovery phrase."""
    time_ms: int
    """What the signer's clock said, Unix milliseconds: to be shown, never to decide anything."""
    content: Content


def agreeing(content: Content) -> bytes | None:
    """The signing key that has to sign as well, if one has."""
    if isinstance(content, Genesis | Recovery):
        return content.recovery.signing
    if isinstance(content, Add):
        return content.device.keys.signing
    return None


# Writing.


def compose(
    content: Content,
    *,
    signer: PublicKeys,
    account: AccountId | None,
    parents: Sequence[bytes],
    time_ms: int,
) -> bytes:
    """The body of a statement, to be signed.

    Args:
        content: what it says.
        signer: whose statement it is.
        account: the account; None for its genesis.
        parents: the `heads` of the roster; none for the genesis.
        time_ms: the clock, Unix milliseconds.

    Raises:
        InvalidValue: something of it is beyond a limit.
    """
    fields: dict[int, Any] = {0: suite.SUITE, 1: content.KIND, 4: signer.signing, 5: time_ms}
    if account is not None:
        fields |= {2: account.raw, 3: sorted(parents)}
    match content:
        case Genesis(device, recovery):
            fields |= {6: device.plain(), 7: [recovery.signing, recovery.hpke]}
        case Add(device):
            fields[6] = device.plain()
        case Revoke(target, positions):
            fields |= {8: target, 9: [list(position) for position in positions]}
        case Epoch(commitment):
            fields[10] = commitment
        case Recovery(recovery):
            fields[7] = [recovery.signing, recovery.hpke]
        case Rename(target, name):
            fields |= {8: target, 11: name}
    body = cbor2.dumps(fields, canonical=True)
    _read_body(body)
    return body


def sign_body(body: bytes, keys: SecretKeys) -> bytes:
    """The signer's signature of a body."""
    return keys.sign(_SIGNED, body)


def agree_to_body(body: bytes, keys: SecretKeys) -> bytes:
    """The signature of the keys that a body introduces."""
    return keys.sign(_AGREED, body)


def assemble(body: bytes, *signatures: bytes) -> Statement:
    """The statement of a body and its signatures.

    Raises:
        StatementRefused: they do not fit each other.
    """
    return read_statement(cbor2.dumps([body, *signatures], canonical=True))


def make(
    content: Content,
    keys: SecretKeys,
    *,
    account: AccountId | None,
    parents: Sequence[bytes],
    time_ms: int,
    agreed: SecretKeys | None = None,
) -> Statement:
    """Compose and sign a statement where all keys that sign it are at hand; ``agreed`` are those it introduces.

    Raises:
        InvalidValue: something of it is beyond a limit.
        StatementRefused: the keys are not those that have to sign.
    """
    body = compose(content, signer=keys.public, account=account, parents=parents, time_ms=time_ms)
    second = [] if agreed is None else [agree_to_body(body, agreed)]
    return assemble(body, sign_body(body, keys), *second)


# Reading.

_REMEMBERED: Final = 128
"""Statements: those of an account or two, in half a megabyte; a liar can make it 16 with the longest there are."""


@lru_cache(maxsize=_REMEMBERED)
def read_statement(raw: bytes) -> Statement:
    """Read and check one statement: form, limits, signatures.

    What was read once is remembered: every device of an account shows the same statements at every meeting, and
    signatures and certificates take most of the time of reading them.

    Raises:
        StatementRefused: it is none.
    """
    try:
        if len(raw) > limits.STATEMENT_BYTES:
            raise InvalidValue(f"more than {limits.STATEMENT_BYTES} bytes")
        body, *signatures = _list(load(raw), "a statement")
        _sized(body, None, "a body")
        body_fields = _read_body(body)
    except _UNREADABLE as error:
        raise StatementRefused(f"a statement that cannot be read: {error}") from error
    signer, content = body_fields.signer, body_fields.content
    wanted = [(signer, _SIGNED)]
    second = agreeing(content)
    if second is not None:
        wanted.append((second, _AGREED))
    if len(signatures) != len(wanted) or not all(
        type(signature) is bytes
        and len(signature) == suite.SIGNATURE_BYTES
        and suite.is_signed(key, signature, purpose, body)
        for signature, (key, purpose) in zip(signatures, wanted, strict=True)
    ):
        raise StatementRefused("a statement that its signers did not sign")
    account = body_fields.account or AccountId(suite.digest("account", raw)[: AccountId.BYTES])
    return Statement(
        raw,
        suite.digest("statement", raw),
        account,
        body_fields.parents,
        signer,
        body_fields.time_ms,
        content,
    )


_UNREADABLE: Final = (
    InvalidValue,
    cbor2.CBORDecodeError,
    cbor2.CBOREncodeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)
_KINDS: Final = {
    Genesis.KIND: {6, 7},
    Add.KIND: {6},
    Revoke.KIND: {8, 9},
    Epoch.KIND: {10},
    Recovery.KIND: {7},
    Rename.KIND: {8, 11},
}
"""The fields of each kind, besides those that all have."""


class _Body(NamedTuple):
    account: AccountId | None
    parents: tuple[bytes, ...]
    signer: bytes
    time_ms: int
    content: Content


def read_body(body: bytes) -> Content:
    """What a body says that somebody asks to agree to.

    Raises:
        StatementRefused: it is none.
    """
    try:
        return _read_body(body).content
    except _UNREADABLE as error:
        raise StatementRefused(f"a statement that cannot be read: {error}") from error


def _read_body(body: bytes) -> _Body:
    fields = decode_map(body)
    if type(fields.get(0)) is not int or fields[0] != suite.SUITE:
        raise InvalidValue("another suite than this version knows")
    kind = fields.get(1)
    if type(kind) is not int or kind not in _KINDS:
        raise InvalidValue("another kind than this version knows")
    common = {0, 1, 4, 5} if kind == Genesis.KIND else {0, 1, 2, 3, 4, 5}
    if fields.keys() != common | _KINDS[kind]:
        raise InvalidValue("other fields than its kind has")
    time_ms = fields[5]
    if type(time_ms) is not int or not 0 <= time_ms <= limits.MS:
        raise InvalidValue("a time out of range")
    signer = _sized(fields[4], suite.KEY_BYTES, "a signer")
    content = _read_content(kind, fields)
    if isinstance(content, Genesis):
        if content.device.keys.signing != signer:
            raise InvalidValue("an account begun by another device than its first")
        return _Body(None, (), signer, time_ms, content)
    parents = tuple(
        _sized(one, suite.HASH_BYTES, "a parent") for one in _list(fields[3], "parents")
    )
    if not 1 <= len(parents) <= limits.PARENTS or list(parents) != sorted(set(parents)):
        raise InvalidValue(f"parents are sorted, distinct, and 1 to {limits.PARENTS}")
    return _Body(AccountId(fields[2]), parents, signer, time_ms, content)


def _read_content(kind: int, fields: dict[int, Any]) -> Content:
    if kind == Genesis.KIND:
        return Genesis(Device.read(fields[6]), _keys(fields[7]))
    if kind == Add.KIND:
        return Add(Device.read(fields[6]))
    if kind == Epoch.KIND:
        return Epoch(_sized(fields[10], suite.HASH_BYTES, "a commitment"))
    if kind == Recovery.KIND:
        return Recovery(_keys(fields[7]))
    target = _sized(fields[8], suite.KEY_BYTES, "a target")
    if kind == Rename.KIND:
        return Rename(target, check_device_name(fields[11]))
    return Revoke(target, read_positions(fields[9]))


def _keys(plain: Any) -> PublicKeys:
    signing, hpke = _list(plain, "keys")
    return PublicKeys(signing, hpke)


def read_positions(plain: Any) -> tuple[Position, ...]:
    """Positions as CBOR writes them: sorted lists of three, one for each incarnation.

    Raises:
        InvalidValue: they are not.
    """
    rows = _list(plain, "positions")
    if len(rows) > limits.POSITIONS:
        raise InvalidValue(f"at most {limits.POSITIONS} positions")
    found = tuple(read_position(row) for row in rows)
    names = [position.incarnation for position in found]
    if names != sorted(set(names)):
        raise InvalidValue("positions are sorted, one for each incarnation")
    return found


def read_position(plain: Any) -> Position:
    """A position as CBOR writes it: incarnation, sequence, hash.

    Raises:
        InvalidValue: it is none.
    """
    row = _list(plain, "a position")
    if len(row) != 3 or type(row[1]) is not int or not 1 <= row[1] < 2**64:
        raise InvalidValue("a position is an incarnation, a sequence from 1 on, and a hash")
    incarnation = _sized(row[0], INCARNATION_BYTES, "an incarnation")
    return Position(incarnation, row[1], _sized(row[2], suite.HASH_BYTES, "a hash"))


def _list(value: Any, what: str) -> list[Any]:
    if type(value) is not list:
        raise InvalidValue(f"{what} is not a list")
    return value


def _sized(value: Any, size: int | None, what: str) -> bytes:
    if type(value) is not bytes or (size is not None and len(value) != size):
        raise InvalidValue(f"{what} of another size")
    return value
