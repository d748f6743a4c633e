"""Key objects: how a device, or a phrase, finds roster and epochs in a mailbox. Source: docs/spec/crypto.md.

One lies there for each member and each phrase, under a name that follows from the recipient's key, sealed to that key
alone: so neither the phrase alone nor a device that slept through a change of epoch is locked out. It is written anew
with every statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.account import suite
from msgsync.account.admission import take_in
from msgsync.account.epochs import (
    COMMITMENT_BYTES,
    REMNANT_BYTES,
    Keyring,
    commitment_of,
    remnants_in,
)
from msgsync.account.keys import PublicKeys, SecretKeys, device_id
from msgsync.account.padding import pad, unpad
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Genesis, Recovery, Revoke
from msgsync.account.suite import Unsealable, context, derive, is_signed, seal_to
from msgsync.cbor import decode_map
from msgsync.errors import (
    AccountMismatch,
    InvalidValue,
    NotAMember,
    ObjectDamaged,
    WrongPhrase,
)
from msgsync.ids import DeviceId

_PURPOSE: Final = "key object"


class Keys(NamedTuple):
    """What a key object gives."""

    roster: Roster
    keyring: Keyring


class KeyObject(NamedTuple):
    """What a key object holds: who signed it is known, and nothing of it is believed yet."""

    signer: bytes
    """The signing key of who made it."""
    roster: Roster
    """As they know it, and nothing else."""
    secrets: tuple[bytes, ...]
    forgotten: tuple[bytes, ...] = ()
    """Of epochs that the maker has forgotten: see `epochs.remnants_in`."""


def key_object_name(recipient: PublicKeys) -> str:
    """Where the key object of this member or phrase lies in a mailbox."""
    return f"keys/{derive(recipient.hpke, 'key object name')[:16].hex()}"


def seal_key_object(
    recipient: PublicKeys, *, keys: SecretKeys, roster: Roster, keyring: Keyring
) -> bytes:
    """The roster and the secrets of the epochs that it tells of, for one recipient.

    A secret of any other epoch stays here: whoever ended it for the recipient may have begun it.

    Raises:
        InvalidValue: nothing can be sealed to this key, or it would be too long.
        NotAMember: the recipient is neither a member nor a phrase in force.
    """
    if recipient.recipient not in roster.state.recipients():
        raise NotAMember("keys are sealed to members and to phrases in force, and to nobody else")
    begun = roster.begun()
    secrets = [
        secret for secret in keyring.export() if commitment_of(secret, roster.account) in begun
    ]
    forgotten = [
        one for one in keyring.export_forgotten() if not begun.isdisjoint(remnants_in([one]))
    ]
    return _seal(recipient, keys, roster, secrets, forgotten)


def seal_notice(device: DeviceId, *, keys: SecretKeys, roster: Roster) -> bytes:
    """What a revoked device may know: that it was revoked and who says so, with the past of that, and no secret.

    Raises:
        InvalidValue: it would be too long.
        NotAMember: the device was not revoked.
    """
    gone = roster.state.revoked.get(device)
    if gone is None:
        raise NotAMember("a notice goes to a device that was revoked, and to nobody else")
    target = gone.device.keys
    telling = [
        one.id
        for one in roster.statements
        if (isinstance(one.content, Revoke) and one.content.target == target.signing)
        or (isinstance(one.content, Add) and one.content.device.keys == keys.public)
    ]
    return _seal(target, keys, roster.before(telling), [])


def seal_replaced(phrase: PublicKeys, *, keys: SecretKeys, roster: Roster) -> bytes:
    """What whoever has a replaced phrase may know: that it was replaced, with the past of that, and no secret.

    Raises:
        InvalidValue: it would be too long.
        NotAMember: the phrase was not replaced.
    """
    replaced = next(
        (
            one.id
            for one in roster.statements
            if isinstance(one.content, Recovery)
            and phrase in _phrases(past := roster.before([one.id]))
            and phrase not in past.state.recovery
        ),
        None,
    )
    if replaced is None or phrase in roster.state.recovery:
        raise NotAMember("a notice goes to a phrase that was replaced, and to no other")
    added = [
        one.id
        for one in roster.statements
        if isinstance(one.content, Add) and one.content.device.keys == keys.public
    ]
    return _seal(phrase, keys, roster.before([replaced, *added]), [])


def replaced_phrases(roster: Roster) -> list[PublicKeys]:
    """The phrases that were in force and are not any more, as far as it is worth telling: the latest ones."""
    begun = [one for one in _phrases(roster) if one not in roster.state.recovery]
    return begun[-limits.PHRASES_TOLD :]


def _phrases(roster: Roster) -> list[PublicKeys]:
    """All that statements which count have introduced, in causal order."""
    fallen = roster.state.fallen
    return [
        one.content.recovery
        for one in roster.statements
        if isinstance(one.content, Genesis | Recovery) and one.id not in fallen
    ]


def _seal(
    recipient: PublicKeys,
    keys: SecretKeys,
    roster: Roster,
    secrets: Sequence[bytes],
    forgotten: Sequence[bytes] = (),
) -> bytes:
    fields: dict[int, object] = {0: keys.public.signing, 1: roster.raws(), 2: list(secrets)}
    if forgotten:
        fields[3] = list(forgotten)
    payload = cbor2.dumps(fields, canonical=True)
    signature = keys.sign(_PURPOSE, roster.account.raw, recipient.recipient, payload)
    padded = pad(signature + payload, least=limits.OBJECT_FILL_BYTES)
    if len(padded) > limits.KEY_OBJECT_BYTES:
        raise InvalidValue(f"a key object has at most {limits.KEY_OBJECT_BYTES} bytes")
    bound = context(_PURPOSE, recipient.recipient)
    return bytes((suite.SUITE,)) + seal_to(recipient.hpke, padded, bound)


def open_key_object(raw: bytes, keys: SecretKeys, *, known: Roster | None = None) -> Keys:
    """Read a key object that lies under the name of these keys.

    Args:
        raw: as it came.
        keys: of this device, or of the phrase.
        known: the roster as far as it is here: an old key object takes nothing from it.

    Raises:
        AccountMismatch: it is of another account than ``known``.
        NotAMember: it was made by somebody who is not in the account, or these keys are not.
        ObjectDamaged: it was changed, cut off, or is not for these keys.
        StatementRefused: a statement in it is none.
    """
    found = believe(read_key_object(raw, keys), known)
    if keys.public.recipient not in found.roster.state.recipients():
        raise NotAMember("these keys are not in the account any more")
    return found


def read_key_object(raw: bytes, keys: SecretKeys, *, maker: DeviceId | None = None) -> KeyObject:
    """What a key object for these keys holds.

    Args:
        raw: as it came.
        keys: of this device, or of the phrase.
        maker: who has to have made it, if that is known; that is looked at before anything in it costs time.

    Raises:
        AccountMismatch: there are statements of several accounts in it.
        NotAMember: another one made it.
        ObjectDamaged: it was changed, cut off, or is not for these keys.
        StatementRefused: a statement in it is none.
    """
    signer, signature, payload, raws, secrets, forgotten = _read(raw, keys)
    if maker is not None and device_id(signer) != maker:
        raise NotAMember("what a device tells of the account was signed by another one")
    roster = Roster.read(raws)
    own = keys.public.recipient
    if not is_signed(signer, signature, _PURPOSE, roster.account.raw, own, payload):
        raise ObjectDamaged("a key object that its maker did not sign")
    return KeyObject(signer, roster, tuple(secrets), tuple(forgotten))


def open_as_phrase(raw: bytes, keys: SecretKeys) -> Keys:
    """Read a key object that lies under the name of a phrase, by the phrase alone.

    What it says cannot be compared with anything: an old one shows the account as it was.

    Args:
        raw: as it came.
        keys: of the phrase.

    Raises:
        ObjectDamaged: it was changed, cut off, is not for this phrase, or was made by somebody who is not in the
            account.
        StatementRefused: a statement in it is none.
        WrongPhrase: the phrase was replaced.
    """
    try:
        found = believe(read_key_object(raw, keys), None)
    except NotAMember as error:
        raise ObjectDamaged("a key object by somebody who is not in the account") from error
    if keys.public not in found.roster.state.recovery:
        raise WrongPhrase("this recovery phrase was replaced by another one; look for that one")
    return found


def believe(found: KeyObject, known: Roster | None) -> Keys:
    """What a key object gives, together with what is known.

    Raises:
        AccountMismatch: it is of another account than ``known``.
        NotAMember: by all that both know, who made it is not in the account.
        ObjectDamaged: there is a secret in it of an epoch that nobody began.
    """
    roster = found.roster
    if known is not None:
        if known.account != roster.account:
            raise AccountMismatch("a key object of another account")
        roster = take_in(known, roster.statements)
    if roster.state.member_of(found.signer) is None:
        raise NotAMember("a key object by a device that is not in the account")
    begun = roster.begun() | found.roster.begun()
    if any(commitment_of(secret, roster.account) not in begun for secret in found.secrets):
        raise ObjectDamaged("a key object with the secret of an epoch that nobody began")
    kept = roster.begun()
    secrets = [one for one in found.secrets if commitment_of(one, roster.account) in kept]
    here = {commitment_of(one, roster.account) for one in secrets}
    forgotten = {
        name: remnant
        for name, remnant in remnants_in(found.forgotten).items()
        if name in kept - here and name != roster.state.epoch
    }
    return Keys(roster, Keyring(roster.account, secrets, forgotten))


def _read(
    raw: bytes, keys: SecretKeys
) -> tuple[bytes, bytes, bytes, list[bytes], list[bytes], list[bytes]]:
    """Signer, signature, what is signed, statements, secrets, what is left of forgotten epochs."""
    if len(raw) > limits.KEY_OBJECT_BYTES + 1 + suite.HPKE_OVERHEAD_BYTES or not raw:
        raise ObjectDamaged("not a key object: empty or too long")
    if raw[0] != suite.SUITE:
        raise ObjectDamaged("a key object of another version than this one knows")
    try:
        inside = unpad(keys.unseal(raw[1:], context(_PURPOSE, keys.public.recipient)))
        payload = inside[suite.SIGNATURE_BYTES :]
        fields = decode_map(payload)
        signer, raws, secrets = fields[0], fields[1], fields[2]
        forgotten = fields.get(3, [])
        if (
            not fields.keys() <= {0, 1, 2, 3}
            or any(type(one) is not bytes for one in (signer, *raws, *secrets, *forgotten))
            or any(len(one) != suite.KEY_BYTES for one in (signer, *secrets))
            or any(len(one) != COMMITMENT_BYTES + REMNANT_BYTES for one in forgotten)
            or len(raws) > limits.KEY_STATEMENTS
            or max(len(secrets), len(forgotten)) > limits.EPOCHS
        ):
            raise InvalidValue("other fields than a key object has")
    except Unsealable as error:
        raise ObjectDamaged(
            "a key object that is not sealed to these keys, or was changed"
        ) from error
    except (InvalidValue, KeyError, TypeError, ValueError) as error:
        raise ObjectDamaged("a key object that cannot be read") from error
    return signer, inside[: suite.SIGNATURE_BYTES], payload, raws, secrets, forgotten
