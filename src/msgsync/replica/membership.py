"""A device in its account: what it begins with, what it knows, and whether that fits together. Source: design 10.

The store keeps bytes, the account says what they mean; here they meet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgsync.account.device import Device
from msgsync.account.epochs import SECRET_BYTES, Keyring, commitment_of
from msgsync.account.keys import SECRET_BYTES as KEYS_BYTES
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.account.recovery import ENTROPY_BYTES, RecoveryPhrase
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Epoch, Genesis, Statement
from msgsync.errors import AccountError, InvalidValue, ReplicaDamaged, StorageError
from msgsync.store.credentials import Credentials
from msgsync.store.store import Fresh, Identity, Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.replica.system import System

_STORE_ID_BYTES: Final = 16


# What a file begins with.


def begin(system: System) -> Fresh:
    """A device, and an account of its own: keys, a recovery phrase, the first epoch."""
    keys, phrase, secret = _drawn(system), _drawn_phrase(system), system.random_bytes(SECRET_BYTES)
    now_ms = system.now_ms()
    roster = Roster.begin(
        keys, phrase.keys(), name=str(keys.device_id), platform=sys.platform, now_ms=now_ms
    )
    roster = roster.say(Epoch(commitment_of(secret, roster.account)), keys, now_ms=now_ms)
    return fresh(keys, roster, (secret,), system, phrase=phrase.export())


def add_device(
    member: SecretKeys, roster: Roster, epochs: Sequence[bytes], system: System, *, now_ms: int
) -> Fresh:
    """Another device of an account.

    Args:
        member: the keys of the device that adds it.
        roster: as that one knows it.
        epochs: the secrets that it has.
        system: the new device's, which its keys are drawn from.
        now_ms: the clock of the device that adds it, Unix milliseconds.
    """
    keys = _drawn(system)
    device = Device.of(keys, str(keys.device_id), sys.platform)
    roster = roster.say(Add(device), member, now_ms=now_ms, agreed=keys)
    return fresh(keys, roster, epochs, system)


def succeed(credentials: Credentials, system: System, *, now_ms: int) -> Fresh:
    """Another device, added by the one whose credentials a copied file has.

    Raises:
        ReplicaDamaged: the credentials are not what they were.
    """
    roster = read_roster(credentials.statements.values())
    member = SecretKeys(credentials.keys)
    return add_device(member, roster, credentials.epochs, system, now_ms=now_ms)


def _drawn(system: System) -> SecretKeys:
    return SecretKeys(system.random_bytes(KEYS_BYTES))


def _drawn_phrase(system: System) -> RecoveryPhrase:
    return RecoveryPhrase(system.random_bytes(ENTROPY_BYTES))


def fresh(
    keys: SecretKeys,
    roster: Roster,
    epochs: Sequence[bytes],
    system: System,
    *,
    phrase: bytes | None = None,
) -> Fresh:
    """What the file of this device begins with; a store id is drawn for it."""
    identity = Identity(roster.account, keys.device_id, system.random_bytes(_STORE_ID_BYTES))
    return Fresh(identity, Credentials(keys.export(), tuple(epochs), roster.bodies(), phrase))


# What an open replica knows.


class Membership:
    """What a replica knows of its account; takes the replica's lock."""

    def __init__(self, replica: Replica, store: Store) -> None:
        """See whose keys these are.

        Raises:
            ReplicaDamaged: they are not those of the device that the file says it is.
        """
        self._replica = replica
        self._roster: Roster | None = None
        self.keys = _keys_of(store)
        """The device's own."""

    def roster(self) -> Roster:
        """The roster as it is here now.

        Raises:
            ReplicaDamaged: it is not what it was.
        """
        with self._replica.reading() as store:
            if self._roster is None or len(self._roster) != store.credentials.count():
                self._roster = read_roster(store.credentials.read().statements.values())
            return self._roster

    def credentials(self) -> Credentials:
        """All that the file has.

        Raises:
            ReplicaDamaged: it is not what it was.
        """
        with self._replica.reading() as store:
            return store.credentials.read()

    def add_device(self, system: System) -> Fresh:
        """What the file of a new device begins with, whose system this is; it is not stored here yet.

        Raises:
            ReplicaDamaged: keys or roster are not what they were.
        """
        with self._replica.reading():
            epochs = self.credentials().epochs
            now_ms = self._replica.system.now_ms()
            return add_device(self.keys, self.roster(), epochs, system, now_ms=now_ms)

    def keyring(self) -> Keyring:
        """The secrets of epochs that are here. Raises ReplicaDamaged."""
        return Keyring(self.roster().account, self.credentials().epochs)

    def merge(self, statements: Iterable[Statement], secrets: Iterable[bytes] = ()) -> bool:
        """Take in statements of the account that others have, and secrets of its epochs; return whether any was new.

        Raises:
            AccountMismatch: one is of another account; none was taken in.
            StatementRefused: those of one device would be too many; none was taken in.
            ReadOnly: the replica is open for reading.
        """
        with self._replica.lock:
            known, credentials = self.roster(), self.credentials()
            merged = known.merge(statements)
            epochs = tuple(Keyring(known.account, (*credentials.epochs, *secrets)).export())
            if merged is known and epochs == credentials.epochs:
                return False
            with self._replica.writing() as store:
                statements_now = merged.bodies()
                store.credentials.write(
                    replace(credentials, epochs=epochs, statements=statements_now)
                )
            self._roster = merged
            return True


def share_rosters(one: Replica, other: Replica) -> None:
    """Have two replicas of an account know of the same devices.

    Raises:
        AccountMismatch: they are of different accounts.
        StatementRefused: the statements of one device would be too many.
    """
    for giver, taker in ((one, other), (other, one)):
        taker.membership.merge(giver.membership.roster().statements)


# Whether it fits together.


def read_roster(raws: Iterable[bytes]) -> Roster:
    """The roster of stored statements.

    Raises:
        ReplicaDamaged: they are not what they were.
    """
    try:
        return Roster.read(raws)
    except AccountError as error:
        raise ReplicaDamaged(
            f"the roster of the account is not what it was ({error}); run repair"
        ) from error


def problems(store: Store) -> list[str]:
    """What is wrong with a replica's keys, epochs and roster, in words; nothing if all fit each other."""
    try:
        credentials = store.credentials.read()
        roster = read_roster(credentials.statements.values())
        keys = _keys_of(store)
    except StorageError as error:
        return [str(error)]
    found = []
    if roster.bodies() != credentials.statements:
        found.append("statements of the roster are stored under other ids than theirs")
    if roster.account != store.identity.account:
        found.append("the roster is of another account than the replica")
    if keys.public not in introduced(roster):
        found.append("the roster does not know the keys of this device")
    if not are_of(roster, credentials.epochs):
        found.append("there are secrets of epochs that nobody began")
    if credentials.phrase is not None and not is_phrase(credentials.phrase, roster):
        found.append("the recovery phrase is not the account's")
    return found


def _keys_of(store: Store) -> SecretKeys:
    try:
        keys = SecretKeys(store.credentials.keys())
    except InvalidValue as error:
        raise ReplicaDamaged(
            "the keys of this device are not what they were; run repair"
        ) from error
    if keys.device_id != store.identity.device:
        raise ReplicaDamaged("the keys in the file are not those of its device; run repair")
    return keys


def introduced(roster: Roster) -> set[PublicKeys]:
    """The keys of all devices that were ever added, whoever did."""
    contents = (one.content for one in roster.statements)
    return {content.device.keys for content in contents if isinstance(content, Genesis | Add)}


def are_of(roster: Roster, secrets: Iterable[bytes]) -> bool:
    """Whether these are secrets of epochs that the roster names."""
    contents = (one.content for one in roster.statements)
    begun = {content.commitment for content in contents if isinstance(content, Epoch)}
    return all(commitment_of(secret, roster.account) in begun for secret in secrets)


def is_phrase(entropy: bytes, roster: Roster) -> bool:
    """Whether this is a recovery phrase of the account."""
    return len(entropy) == ENTROPY_BYTES and (
        RecoveryPhrase(entropy).keys().public in roster.state.recovery
    )
