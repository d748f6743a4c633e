"""Sealed objects: what a device leaves in places that nobody trusts. Source: docs/spec/crypto.md, "Sealed objects".

To whoever keeps it an object is a version, 32 random bytes and noise of a padded length. Inside lies a head, which
says whose it is and where in that device's log it belongs, with a signature; and a body, compressed and padded. Every
object has keys of its own, derived from its epoch's secret and its random bytes: a machine that was rolled back may
seal twice under one sequence, but never two texts under one key.

Opening checks what is cheapest first, and takes nothing before all of it is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgsync import limits
from msgsync.account import suite
from msgsync.account.epochs import Keyring
from msgsync.account.head import NOTHING, Head, LogEnd, read_head, write_head
from msgsync.account.keys import SecretKeys
from msgsync.account.padding import pad, unpad
from msgsync.account.roster import Member, Roster
from msgsync.account.statements import Position
from msgsync.account.suite import Unsealable, context, decrypt, derive, digest, encrypt, is_signed
from msgsync.errors import (
    InvalidValue,
    LogForked,
    NotAMember,
    ObjectDamaged,
    ObjectMissing,
    ObjectReplayed,
    UnknownEpoch,
)
from msgsync.ids import AccountId, DeviceId

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SALT_BYTES: Final = 32
_FRONT_BYTES: Final = 1 + SALT_BYTES + 4
"""In the clear: version, salt, length of the sealed head."""
_PLAIN, _ZSTD = 0, 1
_LEVEL: Final = 3


class Sealed(NamedTuple):
    """An object, ready to be put somewhere."""

    raw: bytes
    head: Head
    position: Position
    """What the next one of this log follows on."""


class Opened(NamedTuple):
    """An object, checked."""

    head: Head
    body: bytes
    member: Member | None
    """Who sealed it, if that device is still in the account."""
    position: Position
    """What the next one of this log has to follow on: store it with what the body did."""


def object_hash(raw: bytes) -> bytes:
    """32 bytes that name an object in the next one, in manifests and positions."""
    return digest("object", raw)


@dataclass(frozen=True, slots=True)
class Sealer:
    """A device that seals: what it needs besides the object."""

    keys: SecretKeys
    keyring: Keyring
    roster: Roster
    """As the device knows it."""
    incarnation: bytes = field(repr=False)
    """Of this opening of the replica, 16 bytes."""

    def seal(
        self,
        body: bytes,
        kind: int,
        *,
        after: Position | None,
        salt: bytes,
        listed: bool = False,
        ends: Sequence[LogEnd] = (),
    ) -> Sealed:
        """Seal an object under the epoch in force.

        Args:
            body: what to seal.
            kind: what it is.
            after: of the device's last object in a log, whatever its incarnation; None if this is its first.
            salt: 32 bytes, drawn for this object alone.
            listed: whether it goes into no log, because one that does lists its hash.
            ends: how far this device has read other logs, if that is to be said.

        Raises:
            InvalidValue: something is beyond its limits.
            NotAMember: this device is not in the account.
            RotationDue: somebody was removed, and there is no epoch since.
            UnknownEpoch: the secret of the epoch in force has not come here yet.
        """
        if len(salt) != SALT_BYTES:
            raise InvalidValue(f"a salt has {SALT_BYTES} bytes")
        padded = pad(_compressed(body), least=limits.OBJECT_FILL_BYTES)
        if len(body) > limits.OBJECT_BYTES or len(padded) > limits.OBJECT_BYTES:
            raise InvalidValue(f"an object has at most {limits.OBJECT_BYTES} bytes: seal several")
        state = self.roster.state
        if state.member_of(self.keys.public.signing) is None:
            raise NotAMember("this device is not in the account: nobody would open what it seals")
        head = Head(
            kind,
            state.sealing_epoch(),
            self.keys.device_id,
            self.incarnation,
            0 if listed else 1 if after is None else after.sequence + 1,
            NOTHING if listed or after is None else after.hash,
            self.roster.heads[: limits.PARENTS],
            len(padded),
            tuple(sorted(ends)),
        )
        secret = self.keyring.secret(head.epoch)
        raw = _sealed(head, padded, self.keys, secret, self.roster.account, salt)
        return Sealed(raw, head, Position(self.incarnation, head.sequence, object_hash(raw)))


def _sealed(
    head: Head, padded: bytes, keys: SecretKeys, secret: bytes, account: AccountId, salt: bytes
) -> bytes:
    """The bytes of an object: front, sealed head, sealed body."""
    written = write_head(head)
    key = derive(secret, "object body", account.raw, written, salt=salt)
    sealed_body = encrypt(key, padded, context("object body", account.raw, written))
    signature = keys.sign("object", account.raw, written, digest("object body", sealed_body))
    inside = pad(signature + written, least=limits.OBJECT_FILL_BYTES)
    size = len(inside) + suite.TAG_BYTES
    front = bytes((suite.SUITE,)) + salt + size.to_bytes(4, "big")
    key = derive(secret, "object head", account.raw, salt=salt)
    return front + encrypt(key, inside, context("object head", account.raw, front)) + sealed_body


def open_object(
    raw: bytes,
    *,
    keyring: Keyring,
    roster: Roster,
    positions: Mapping[tuple[DeviceId, bytes], Position],
    listed: Container[bytes] = (),
) -> Opened:
    """Check an object and read it.

    Args:
        raw: as it came.
        keyring: the secrets this device has.
        roster: as this device knows it.
        positions: how far each log has been read, by device and incarnation; one that is not there may begin
            anywhere, since what a checkpoint covers is deleted.
        listed: the hashes that manifests taken before list.

    Raises:
        ObjectDamaged: it was changed, cut off, or made by somebody without the keys.
        UnknownEpoch: no secret here opens it.
        UnknownRoster: it cites statements that are not here: fetch them, then try again.
        NotAMember: its device was not in the account as it knew it, or was revoked before.
        ObjectReplayed: its place is taken by one that was read before.
        ObjectMissing: others come before it.
        LogForked: its device says that its log was another.
    """
    if not _FRONT_BYTES < len(raw) <= limits.OBJECT_BYTES + limits.HEAD_BYTES:
        raise ObjectDamaged("not a sealed object: too short or too long")
    if raw[0] != suite.SUITE:
        raise ObjectDamaged("an object of another version than this one knows")
    at = _FRONT_BYTES + int.from_bytes(raw[_FRONT_BYTES - 4 : _FRONT_BYTES], "big")
    if at > min(len(raw), _FRONT_BYTES + limits.HEAD_BYTES):
        raise ObjectDamaged("an object that is cut off")
    head, written, signature, secret = _open_head(raw[:at], keyring, roster.account)
    sealed_body = raw[at:]
    if len(sealed_body) != head.size_bytes + suite.TAG_BYTES:
        raise ObjectDamaged("an object whose body is of another size")
    signing = _signing_key(head, roster, object_hash(raw) in listed)
    position = Position(head.incarnation, head.sequence, object_hash(raw))
    known = positions.get((head.device, head.incarnation)) if head.sequence else None
    _check_sequence(position, known)
    hashed = digest("object body", sealed_body)
    if not is_signed(signing, signature, "object", roster.account.raw, written, hashed):
        raise ObjectDamaged("an object that its device did not sign")
    _check_previous(head, position, known)
    salt = raw[1 : 1 + SALT_BYTES]
    key = derive(secret, "object body", roster.account.raw, written, salt=salt)
    try:
        bound = context("object body", roster.account.raw, written)
        body = _expanded(unpad(decrypt(key, sealed_body, bound)))
    except (Unsealable, InvalidValue, zstd.ZstdError) as error:
        raise ObjectDamaged("an object whose body cannot be read") from error
    return Opened(head, body, roster.state.member_of(signing), position)


class _Inside(NamedTuple):
    head: Head
    written: bytes
    signature: bytes
    secret: bytes
    """Of the epoch."""


def _open_head(front: bytes, keyring: Keyring, account: AccountId) -> _Inside:
    salt = front[1 : 1 + SALT_BYTES]
    bound = context("object head", account.raw, front[:_FRONT_BYTES])
    for epoch in keyring:
        secret = keyring.secret(epoch)
        key = derive(secret, "object head", account.raw, salt=salt)
        try:
            inside = unpad(decrypt(key, front[_FRONT_BYTES:], bound))
            signature = inside[: suite.SIGNATURE_BYTES]
            written = inside[suite.SIGNATURE_BYTES :]
            head = read_head(written)
        except Unsealable:
            continue
        except InvalidValue as error:
            raise ObjectDamaged("an object whose head cannot be read") from error
        if head.epoch != epoch:
            raise ObjectDamaged("an object that says it is of another epoch")
        return _Inside(head, written, signature, secret)
    raise UnknownEpoch(
        "no key here opens this object: it is of another account, of an epoch that was forgotten or has not come yet, "
        "or it was changed"
    )


def _signing_key(head: Head, roster: Roster, listed: bool) -> bytes:
    """The key of the device that the head names, if it may say this."""
    then = roster.state_at(head.roster).members.get(head.device)
    if then is None:
        raise NotAMember(f"device {head.device} was not in the account when it sealed this object")
    if not listed and not roster.state.accepts(head.device, head.incarnation, head.sequence):
        raise NotAMember(
            f"device {head.device} is not in the account any more, and nobody had accepted this object before"
        )
    return then.device.keys.signing


def _check_sequence(position: Position, known: Position | None) -> None:
    """See that an object is the next one of its log, or may be another one of the last place."""
    if known is None or position.sequence == known.sequence + 1:
        return
    if position.sequence > known.sequence:
        raise ObjectMissing(
            f"objects {known.sequence + 1} to {position.sequence - 1} of this log come before this one"
        )
    if position.sequence < known.sequence or position.hash == known.hash:
        raise ObjectReplayed(f"object {position.sequence} of this log was read before")


def _check_previous(head: Head, position: Position, known: Position | None) -> None:
    """See that a signed object goes on where its log was left."""
    if known is None:
        return
    if position.sequence == known.sequence or head.previous != known.hash:
        raise LogForked(
            f"device {head.device} signed two different objects for one place in its log: it was copied, or somebody "
            "holds its keys"
        )


def is_clone(head: Head, own: DeviceId, incarnations: Container[bytes], sequence: int) -> bool:
    """Whether an object shows that this device's replica was copied, or restored from a backup.

    Args:
        head: of an object that was opened.
        own: this device.
        incarnations: those this replica remembers to have had.
        sequence: of the last object it sealed.
    """
    return (
        head.device == own
        and head.incarnation not in incarnations
        and 1 <= head.sequence <= sequence
    )


def log_name(secret: bytes, account: AccountId, device: DeviceId, incarnation: bytes) -> str:
    """The folder of a log in a mailbox, 32 hexadecimal digits: only devices of the account can tell whose it is.

    The secret is that of the epoch in which the log began; heads say whose a log is, names need not.
    """
    return derive(secret, "log name", account.raw, device.raw, incarnation)[:16].hex()


def checkpoint_name(secret: bytes, account: AccountId, device: DeviceId, incarnation: bytes) -> str:
    """The folder of a log that is a checkpoint: 32 digits as for another, but others, and a ``p`` behind.

    A listing then shows a new device where to begin. Nobody makes the one into the other: the digits would be wrong.
    """
    return derive(secret, "checkpoint name", account.raw, device.raw, incarnation)[:16].hex() + "p"


def is_checkpoint_name(folder: str) -> bool:
    """Whether a log lies where checkpoints do."""
    return folder.endswith("p")


# The body as bytes.


def _compressed(body: bytes) -> bytes:
    packed = zstd.compress(body, _LEVEL)
    return bytes((_ZSTD,)) + packed if len(packed) < len(body) else bytes((_PLAIN,)) + body


def _expanded(text: bytes) -> bytes:
    form, content = text[:1], text[1:]
    if form == bytes((_PLAIN,)):
        return content
    if form != bytes((_ZSTD,)):
        raise InvalidValue("a body of an unknown form")
    size = zstd.get_frame_info(content).decompressed_size
    if size is None or size > limits.OBJECT_BYTES:
        raise InvalidValue("a body that grows beyond its limit")
    decompressor = zstd.ZstdDecompressor()
    body = decompressor.decompress(content, max_length=limits.OBJECT_BYTES)
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidValue("a body with bytes behind its end")
    return body
