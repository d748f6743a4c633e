"""A device in its account: what it begins with, what it knows, and whether that fits together. Source: design 10.

The store keeps bytes, the account says what they mean; here they meet.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from msgsync import limits
from msgsync.account.admission import take_in
from msgsync.account.device import Device
from msgsync.account.epochs import SECRET_BYTES, Keyring, commitment_of, remnants_in
from msgsync.account.keyobject import Keys
from msgsync.account.keys import SECRET_BYTES as KEYS_BYTES
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.account.recovery import ENTROPY_BYTES, RecoveryPhrase
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Content, Epoch, Genesis, Recovery, Statement
from msgsync.errors import (
    AccountError,
    InvalidValue,
    PassphraseNeeded,
    ReplicaDamaged,
    StorageError,
    WrongPassphrase,
    WrongPhrase,
)
from msgsync.ids import DeviceId
from msgsync.protocol.seam import Relation
from msgsync.replica import forgetting
from msgsync.store.credentials import Credentials, Locker
from msgsync.store.identity import Fresh, Identity
from msgsync.store.store import Store

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
    keyring = Keyring(roster.account, [secret])
    return fresh(keys, roster, keyring, system, phrase=phrase.export())


def add_device(
    member: SecretKeys, roster: Roster, keyring: Keyring, system: System, *, now_ms: int
) -> Fresh:
    """Another device of an account.

    Args:
        member: the keys of the device that adds it.
        roster: as that one knows it.
        keyring: the secrets that it has.
        system: the new device's, which its keys are drawn from.
        now_ms: the clock of the device that adds it, Unix milliseconds.
    """
    keys = _drawn(system)
    device = Device.of(keys, str(keys.device_id), sys.platform)
    roster = roster.say(Add(device), member, now_ms=now_ms, agreed=keys)
    return fresh(keys, roster, keyring, system)


def succeed(
    credentials: Credentials, system: System, *, now_ms: int, phrase: RecoveryPhrase | None
) -> Fresh:
    """Another device, added by the one whose credentials a copied file has, or by the recovery phrase.

    Raises:
        ReplicaDamaged: the credentials are not what they were.
        WrongPhrase: it is not the account's.
    """
    roster = read_roster(credentials.statements.values())
    if phrase is not None and not is_phrase(phrase.export(), roster):
        raise WrongPhrase(
            "these words are not the recovery phrase of this account, as it was when the backup was made"
        )
    member = SecretKeys(credentials.keys) if phrase is None else phrase.keys()
    return add_device(member, roster, _ring(roster, credentials), system, now_ms=now_ms)


def _drawn(system: System) -> SecretKeys:
    return SecretKeys(system.random_bytes(KEYS_BYTES))


def _drawn_phrase(system: System) -> RecoveryPhrase:
    return RecoveryPhrase(system.random_bytes(ENTROPY_BYTES))


def fresh(
    keys: SecretKeys,
    roster: Roster,
    keyring: Keyring,
    system: System,
    *,
    phrase: bytes | None = None,
) -> Fresh:
    """What the file of this device begins with; a store id is drawn for it."""
    identity = Identity(roster.account, keys.device_id, system.random_bytes(_STORE_ID_BYTES))
    credentials = Credentials(
        keys.export(),
        tuple(keyring.export()),
        roster.bodies(),
        phrase,
        tuple(keyring.export_forgotten()),
    )
    return Fresh(identity, credentials)


# What an open replica knows.


class _Known(NamedTuple):
    """What is in the file."""

    roster: Roster
    keyring: Keyring
    credentials: Credentials
    digest: bytes


class Membership:
    """What a replica knows of its account; takes the replica's lock."""

    def __init__(self, replica: Replica, store: Store) -> None:
        """See whose keys these are.

        Raises:
            ReplicaDamaged: what lies there is no keys.
        """
        self._replica = replica
        self._found: _Known | None = None
        self._sure = False
        """Whether that is what the file says: not while it is being written."""
        self._keys = None if store.credentials.locked else _keys(store.credentials.keys())
        store.revoked = self.revoked

    @cached_property
    def keys(self) -> SecretKeys:
        """The device's own. Whether they are is found when they are first needed: who opens it to read need not wait.

        Raises:
            PassphraseNeeded: they are locked, and the replica was opened for reading without the passphrase.
            ReplicaDamaged: they are not those of the device that the file says it is.
        """
        if self._keys is None:
            raise PassphraseNeeded(
                f"the keys in {self._replica.path} are under a passphrase; open it with that"
            )
        return _checked(self._keys, self._replica.device)

    def has(self, secret: bytes) -> bool:
        """Whether the device's keys have these secret bytes."""
        return self._keys is not None and self._keys.export() == secret

    def revoked(self) -> frozenset[bytes]:
        """The devices that are not trusted any more."""
        return frozenset(device.raw for device in self._known().roster.state.revoked)

    def _known(self) -> _Known:
        replica = self._replica
        with replica.lock:
            found = self._found
            if found is not None and self._sure:
                return found
            with replica.reading() as store:
                credentials = store.credentials.read()
                if found is None or credentials != found.credentials:
                    roster = read_roster(credentials.statements.values())
                    found = self._found = _know(roster, credentials)
                self._sure = not (store.database.readonly or store.is_writing)
            return found

    def roster(self) -> Roster:
        """The roster as it is here now.

        Raises:
            ReplicaDamaged: it is not what it was.
        """
        return self._known().roster

    def keyring(self) -> Keyring:
        """The secrets of epochs that are here. Raises ReplicaDamaged, as all of these do."""
        return self._known().keyring

    def moment(self) -> Keys:
        """Roster and keyring as they are together: what is sealed to somebody takes both from here."""
        known = self._known()
        return Keys(known.roster, known.keyring)

    def credentials(self) -> Credentials:
        """All that the file has."""
        return self._known().credentials

    def digest(self) -> bytes:
        """32 bytes: equal where the same statements and epochs are known, forgotten ones included."""
        return self._known().digest

    def add_device(self, system: System) -> Fresh:
        """What the file of a new device begins with, whose system this is; it is not stored here yet.

        Raises:
            ReplicaDamaged: keys or roster are not what they were.
        """
        known = self._known()
        now_ms = self._replica.system.now_ms()
        return add_device(self.keys, known.roster, known.keyring, system, now_ms=now_ms)

    def gather(self) -> None:
        """If the roster has more heads than one statement names, say so little that the next one can.

        Raises:
            StatementRefused: the account has so many statements that no more could be told.
        """
        with self._replica.writing() as store:
            known = self._known()
            roster = known.roster.gathered(self.keys, now_ms=self._replica.system.now_ms())
            if roster is not known.roster:
                self._keep(store, roster, known.credentials)

    def merge(
        self,
        statements: Iterable[Statement],
        secrets: Iterable[bytes] = (),
        forgotten: Mapping[bytes, bytes] | None = None,
    ) -> bool:
        """Take in statements of the account that others have, and secrets of its epochs; return whether any was new.

        Not kept is what cannot count, and what is too much: see `account.admission`. Of epochs that others have
        ``forgotten`` the remnants are kept, if the secrets are not here.

        Raises:
            AccountMismatch: one is of another account; none was taken in.
            ReadOnly: the replica is open for reading.
        """
        told, given = tuple(statements), tuple(secrets)
        kept = False
        while not kept:
            known = self._known()
            roster = take_in(known.roster, told)  # may take a while: not under the lock
            epochs = _with_new(known, roster, given, drawn=())
            remnants = _with_remnants(known, roster, epochs, forgotten or {})
            now = replace(known.credentials, epochs=epochs, forgotten=remnants)
            if roster is known.roster and now == known.credentials:
                return False
            with self._replica.writing() as store:
                kept = self._known() is known  # else another thread was faster
                if kept:
                    self._keep(store, roster, now)
        self._tell()
        return True

    def say(
        self,
        *contents: Content,
        secrets: Iterable[bytes] = (),
        device: SecretKeys | None = None,
        phrase: RecoveryPhrase | None = None,
    ) -> None:
        """Make statements, each knowing of those before, and keep them; and what goes with them, all or nothing.

        Args:
            contents: what they say.
            secrets: those of the epochs that they begin.
            device: the keys of the one that they add.
            phrase: the one that they introduce; it is kept until it is confirmed.

        Raises:
            InvalidValue: something of them is beyond a limit.
            ReadOnly: the replica is open for reading.
            StatementRefused: this device has made as many as it may.
        """
        with self._replica.writing() as store:
            known = self._known()
            roster = known.roster
            now_ms = self._replica.system.now_ms()
            for content in contents:
                agreed = device if isinstance(content, Add) else None
                if phrase is not None and isinstance(content, Recovery):
                    agreed = phrase.keys()
                roster = roster.say(content, self.keys, now_ms=now_ms, agreed=agreed)
            given = tuple(secrets)
            epochs = _with_new(known, roster, given, drawn=given)
            kept = known.credentials.phrase if phrase is None else phrase.export()
            self._keep(store, roster, replace(known.credentials, epochs=epochs, phrase=kept))
        self._tell()

    def forget_phrase(self) -> None:
        """Erase the recovery phrase here: its person has it."""
        with self._replica.writing() as store:
            known = self._known()
            self._keep(store, known.roster, replace(known.credentials, phrase=None))

    def relock(self, locker: Locker | None) -> None:
        """Write the secrets anew, locked by this from now on; not at all if it is None.

        Raises:
            ReadOnly: the replica is open for reading.
        """
        with self._replica.holding() as store:
            known = self._known()
            rows = store.credentials
            before, rows.locker = rows.locker, locker
            try:
                with self._replica.writing():
                    self._keep(store, known.roster, known.credentials)
            except BaseException:
                rows.locker = before
                raise

    def forget_epochs(self, *commitments: bytes) -> None:
        """Erase the secrets of epochs, and take them from nobody again: what was sealed under them is unreadable here.

        Raises:
            InvalidValue: one is that to seal under.
            ReadOnly: the replica is open for reading.
        """
        with self._replica.writing() as store:
            known = self._known()
            if known.roster.state.epoch in commitments:
                raise InvalidValue("the epoch in use cannot be forgotten; begin another one first")
            left = known.keyring.without(*commitments)
            if left == known.keyring:
                return
            now = replace(
                known.credentials,
                epochs=tuple(left.export()),
                forgotten=tuple(left.export_forgotten()),
            )
            self._keep(store, known.roster, now)

    def _keep(self, store: Store, roster: Roster, credentials: Credentials) -> None:
        """Write them, in the transaction of the caller, which may still come to nothing."""
        phrase = credentials.phrase
        if phrase is not None and not is_phrase(phrase, roster):
            phrase = None  # another device has set one since
        credentials = replace(credentials, statements=roster.bodies(), phrase=phrase)
        self._sure = False
        store.keep(credentials)
        self._found = _know(roster, credentials)
        forgetting.say(self._replica, store, Keys(roster, self._found.keyring))

    def _tell(self) -> None:
        replica = self._replica
        with replica.lock:
            seq = replica.store().seq
            replica.watch.news.notify_all()
        replica.watch.listeners.tell(seq)


def _know(roster: Roster, credentials: Credentials) -> _Known:
    keyring = _ring(roster, credentials)
    words = hashlib.sha256()
    for one in sorted(statement.id for statement in roster.statements):
        words.update(one)
    words.update(bytes(SECRET_BYTES))
    for one in sorted(keyring.remnants()):
        words.update(one)
    return _Known(roster, keyring, credentials, words.digest())


def _ring(roster: Roster, credentials: Credentials) -> Keyring:
    return Keyring(roster.account, credentials.epochs, remnants_in(credentials.forgotten))


def _with_remnants(
    known: _Known, roster: Roster, epochs: Iterable[bytes], told: Mapping[bytes, bytes]
) -> tuple[bytes, ...]:
    """The remnants that are here, and those of these that are of epochs of the roster and whose secrets are not here.

    Whoever lies about one keeps nobody from the epoch to seal under.
    """
    own = known.keyring.forgotten
    here = {commitment_of(secret, roster.account) for secret in epochs}
    here |= {*own, roster.state.epoch or b""}
    begun = roster.begun()
    new = {name: one for name, one in told.items() if name in begun and name not in here}
    if not new:
        return known.credentials.forgotten
    kept = dict([*new.items(), *own.items()][-limits.EPOCHS :])
    return tuple(Keyring(roster.account, (), kept).export_forgotten())


def _with_new(
    known: _Known, roster: Roster, secrets: Iterable[bytes], *, drawn: Sequence[bytes]
) -> tuple[bytes, ...]:
    """The secrets that are here, and those of these that are of epochs of the roster and were not forgotten.

    Of too many, those go first whose epochs do not count, then the earliest of who began most; never that of the epoch
    to seal under, nor one that was just ``drawn``.
    """
    epochs = {commitment_of(secret, roster.account): secret for secret in known.credentials.epochs}
    begun, forgotten = roster.begun(), known.keyring.forgotten
    for secret in secrets:
        name = commitment_of(secret, roster.account)
        if name in begun and name not in forgotten:
            epochs.setdefault(name, secret)
    if len(epochs) > limits.EPOCHS:
        kept = {commitment_of(secret, roster.account) for secret in drawn}
        if roster.state.epoch is not None:
            kept.add(roster.state.epoch)
        for name in _dispensable(roster, epochs.keys() - kept, len(epochs) - limits.EPOCHS):
            del epochs[name]
    return tuple(epochs.values())


def _dispensable(roster: Roster, names: AbstractSet[bytes], count: int) -> list[bytes]:
    """So many epochs among these, that may go."""
    state = roster.state
    begun = {
        one.content.commitment: one
        for one in reversed(roster.statements)
        if isinstance(one.content, Epoch) and one.content.commitment in names
    }
    gone = [name for name, one in begun.items() if one.id in state.fallen][-count:]
    by_signer: defaultdict[bytes, list[bytes]] = defaultdict(list)  # the earliest last
    for name, one in begun.items():
        if name not in gone:
            by_signer[one.signer].append(name)
    while len(gone) < count and by_signer:
        most = max(by_signer, key=lambda signer: (len(by_signer[signer]), signer))
        gone.append(by_signer[most].pop())
        if not by_signer[most]:
            del by_signer[most]
    return gone


def share_rosters(one: Replica, other: Replica) -> None:
    """Have two replicas of an account know of the same devices.

    Raises:
        AccountMismatch: they are of different accounts.
    """
    for giver, taker in ((one, other), (other, one)):
        taker.membership.merge(giver.membership.roster().statements)


def relation_in(roster: Roster, device: DeviceId) -> Relation:
    """What a device is, by a roster."""
    if device in roster.state.members:
        return Relation.MEMBER
    return Relation.REVOKED if device in roster.state.revoked else Relation.STRANGER


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
        keys = None
        if not store.credentials.locked:
            keys = _checked(_keys(store.credentials.keys()), store.identity.device)
    except (StorageError, WrongPassphrase) as error:
        return [str(error)]
    found = []
    if roster.bodies() != credentials.statements:
        found.append("statements of the roster are stored under other ids than theirs")
    if roster.account != store.identity.account:
        found.append("the roster is of another account than the replica")
    if keys is not None and keys.public not in introduced(roster):
        found.append("the roster does not know the keys of this device")
    if not are_of(roster, credentials.epochs):
        found.append("there are secrets of epochs that nobody began")
    if credentials.phrase is not None and not is_phrase(credentials.phrase, roster):
        found.append("the recovery phrase is not the account's")
    return found


def _keys(secret: bytes) -> SecretKeys:
    try:
        return SecretKeys(secret)
    except InvalidValue as error:
        raise ReplicaDamaged(
            "the keys of this device are not what they were; run repair"
        ) from error


def _checked(keys: SecretKeys, device: DeviceId) -> SecretKeys:
    if keys.device_id != device:
        raise ReplicaDamaged("the keys in the file are not those of its device; run repair")
    return keys


def introduced(roster: Roster) -> set[PublicKeys]:
    """The keys of all devices that were ever added, whoever did."""
    contents = (one.content for one in roster.statements)
    return {content.device.keys for content in contents if isinstance(content, Genesis | Add)}


def are_of(roster: Roster, secrets: Iterable[bytes]) -> bool:
    """Whether these are secrets of epochs that the roster names."""
    begun = roster.begun()
    return all(commitment_of(secret, roster.account) in begun for secret in secrets)


def is_phrase(entropy: bytes, roster: Roster) -> bool:
    """Whether this is a recovery phrase of the account."""
    return len(entropy) == ENTROPY_BYTES and (
        RecoveryPhrase(entropy).keys().public in roster.state.recovery
    )
