"""The account as an app sees it: who is in it, who is not any more, and the phrase. Source: design 10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.account.epochs import SECRET_BYTES, commitment_of
from msgsync.account.recovery import ENTROPY_BYTES, RecoveryPhrase, places_to_ask
from msgsync.account.roster import Member, Revoked, State
from msgsync.account.statements import Epoch, Position, Recovery, Rename, Revoke
from msgsync.errors import (
    InvalidValue,
    RecoveryUnconfirmed,
    UnknownDevice,
    WrongPhrase,
)
from msgsync.ids import AccountId, DeviceId
from msgsync.protocol.keys import revoked
from msgsync.replica import devices
from msgsync.replica.feed import read_changes, write_cursor
from msgsync.replica.values import Change
from msgsync.store.changes import END, Place

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_PLACES_BYTES: Final = 8
_PAGE: Final = 1000
_CONFIRMED: Final = "phrase"
"""A field of a device: which phrase its person has shown to have."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The state of the account, as this device knows it."""

    id: AccountId
    begun_ms: int
    """When it was made, by the clock of its first device; Unix milliseconds."""
    devices: int
    """How many devices are in it."""
    revoked: int
    """How many devices were in it and are not trusted any more."""
    recovery_confirmed: bool
    """Whether somebody has shown, on any device, that they wrote the recovery phrase down."""
    phrases: int
    """How many recovery phrases are in force: more than one if devices that did not know of each other set one."""
    epochs: int
    """How many epochs' secrets this device has."""
    rotation_due: bool
    """Whether somebody who was revoked may know the newest secret: `Replica.rotate` begins another."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What revoking a device did."""

    device: DeviceId
    name: str
    added: tuple[DeviceId, ...]
    """Devices that it added and that are still in the account: if it was in wrong hands then, revoke them too."""


def status(replica: Replica) -> AccountStatus:
    """See `Replica.account_status`."""
    roster = replica.membership.roster()
    state = roster.state
    return AccountStatus(
        id=state.account,
        begun_ms=roster.statements[0].time_ms,
        devices=len(state.members),
        revoked=len(state.revoked),
        recovery_confirmed=_is_confirmed(replica, state),
        phrases=len(state.recovery),
        epochs=len(replica.membership.keyring()),
        rotation_due=state.epoch is None,
    )


# Devices.


def check_trusted(replica: Replica) -> None:
    """See that what this device says of the account counts with the others.

    Raises:
        DeviceRevoked: it was revoked, as far as it has heard.
    """
    if replica.revoked:
        raise revoked()


def rename(replica: Replica, name: str, device: devices.AnyDevice | None) -> None:
    """See `Replica.rename_device`."""
    check_trusted(replica)
    one = replica.device if device is None else _parsed(device)
    member = replica.membership.roster().state.members.get(one)
    if member is None:
        raise _unknown(one)
    if member.name != name:
        replica.membership.say(Rename(member.device.keys.signing, name))


def revoke(
    replica: Replica, device: devices.AnyDevice, *, even_without_recovery: bool
) -> Revocation:
    """See `Replica.revoke`."""
    check_trusted(replica)
    one = _parsed(device)
    before = replica.membership.roster().state
    member = before.members.get(one)
    if one == replica.device:
        raise InvalidValue("a device cannot revoke itself; do it on another one, or wipe this one")
    if member is None:
        if one in before.revoked:
            return _revocation(before, one, before.revoked[one])
        raise _unknown(one)
    if len(before.members) == 2 and not (even_without_recovery or _is_confirmed(replica, before)):
        raise RecoveryUnconfirmed(
            "nobody has confirmed the recovery phrase, and if the two devices of the account revoke each other it is "
            "all that is left: confirm it first; that is confirm_recovery() where it is shown, or, if that device is "
            "lost, after replace_recovery_phrase() here. Or do without it: even_without_recovery=True"
        )
    begin, secret = _drawn_epoch(replica)
    with replica.reading() as store:
        read = [Position(*log) for log in store.mailboxes.logs_of(one.raw)[-limits.POSITIONS :]]
    revoke = Revoke(member.device.keys.signing, tuple(read))
    replica.membership.say(revoke, begin, secrets=[secret])
    return _revocation(replica.membership.roster().state, one, member)


def _revocation(state: State, device: DeviceId, known: Member | Revoked) -> Revocation:
    signer = known.device.keys.signing
    added = [one for one, member in state.members.items() if member.added_by == signer]
    return Revocation(device, known.name, tuple(added))


def accepted(replica: Replica, device: devices.AnyDevice) -> tuple[Change, ...]:
    """See `Replica.accepted_from`."""
    one = _parsed(device)
    with replica.reading() as store:
        commits = set(store.arrivals.of(one.raw))
        if not commits:
            return ()
        found: list[Change] = []
        cursor = write_cursor(store, Place(min(commits) - 1, END, 0))
        while True:
            page = read_changes(store, cursor, _PAGE, replica.shown)
            found += [change for change in page if change.seq in commits]
            if not page.more:
                return tuple(found)
            cursor = page.cursor


def rotate(replica: Replica) -> None:
    """See `Replica.rotate`."""
    check_trusted(replica)
    begin, secret = _drawn_epoch(replica)
    replica.membership.say(begin, secrets=[secret])


def _drawn_epoch(replica: Replica) -> tuple[Epoch, bytes]:
    """What begins another epoch, and its secret."""
    secret = replica.system.random_bytes(SECRET_BYTES)
    return Epoch(commitment_of(secret, replica.account)), secret


def _parsed(device: devices.AnyDevice) -> DeviceId:
    return device if isinstance(device, DeviceId) else DeviceId.parse(device)


def _unknown(device: DeviceId) -> UnknownDevice:
    return UnknownDevice(
        f"device {device} is not in the account, or not any more, as far as is known here; "
        "look at devices() for those that are"
    )


# The recovery phrase.


def phrase(replica: Replica) -> str | None:
    """See `Replica.recovery_phrase`."""
    entropy = replica.membership.credentials().phrase
    return None if entropy is None else " ".join(RecoveryPhrase(entropy).words)


def places(replica: Replica) -> tuple[int, ...]:
    """See `Replica.recovery_places`."""
    return places_to_ask(replica.system.random_bytes(_PLACES_BYTES))


def confirm(replica: Replica, answers: Mapping[int, str]) -> None:
    """See `Replica.confirm_recovery`."""
    with replica.writing():
        entropy = replica.membership.credentials().phrase
        if entropy is None:
            raise InvalidValue(
                "there is no phrase to be confirmed on this device: it was confirmed already, or another device made "
                "it; a new one takes its place with replace_recovery_phrase()"
            )
        known = RecoveryPhrase(entropy)
        wrong = known.wrong(answers)
        if wrong:
            places = ", ".join(map(str, wrong))
            raise WrongPhrase(
                f"what was given is not the recovery phrase's word at place {places}; look at what was written down, "
                "and at the phrase"
            )
        keep_confirmed(replica, known)
        replica.membership.forget_phrase()


def keep_confirmed(replica: Replica, known: RecoveryPhrase) -> None:
    """Somebody has shown that they have this phrase: all devices are to know."""
    with replica.writing() as store:
        said = known.keys().public.recipient.hex()
        devices.set_field(store, replica.device.raw, _CONFIRMED, said)


def replace_phrase(replica: Replica) -> str:
    """See `Replica.replace_recovery_phrase`."""
    check_trusted(replica)
    drawn = RecoveryPhrase(replica.system.random_bytes(ENTROPY_BYTES))
    begin, secret = _drawn_epoch(replica)
    replica.membership.say(Recovery(drawn.keys().public), begin, secrets=[secret], phrase=drawn)
    return " ".join(drawn.words)


def _is_confirmed(replica: Replica, state: State) -> bool:
    with replica.reading() as store:
        said = {value for (_, what), value in devices.fields(store).items() if what == _CONFIRMED}
    return any(keys.recipient.hex() in said for keys in state.recovery)
