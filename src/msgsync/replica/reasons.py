"""Why nothing moves between this replica and a place, and what to do about it: one table. Source: docs/stuck.md.

An attempt that failed is kept as the code of its error. What that means is looked up here, by the class of the error
and its bases, when somebody asks; no message is read for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from msgsync import errors


class PlaceState(Enum):
    """How it stands with a place where a replica syncs."""

    UP_TO_DATE = "up to date"
    """The last attempt went well, and nothing is known to wait in either direction."""
    MOVING = "moving"
    """Something is on its way now, by this process."""
    WAITING = "waiting"
    """It goes on by itself, or with the next sync; the reason says what for."""
    STUCK = "stuck"
    """It does not go on before somebody does something; the reason says what."""
    OFF = "off"
    """Sync is switched off on this device."""


class Reason(Enum):
    """Why nothing moves. The values are stable."""

    NO_NETWORK = "no-network"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    PLACE_FULL = "place-full"
    PLACE_READ_ONLY = "place-read-only"
    PLACE_REFUSES = "place-refuses"
    DAMAGED_OBJECT = "damaged-object"
    MISSING_OBJECT = "missing-object"
    UNREADABLE_OBJECT = "unreadable-object"
    COPIED_DEVICE = "copied-device"
    ROTATION_DUE = "rotation-due"
    REFUSED = "refused"
    NOT_EQUAL = "not-equal"
    WRONG_ACCOUNT = "wrong-account"
    REVOKED = "revoked"
    VERSION = "version"
    PEER_FAULT = "peer-fault"
    KEYS_LOCKED = "keys-locked"
    ACCOUNT_FAULT = "account-fault"
    DISK_FULL = "disk-full"
    REPLICA_DAMAGED = "replica-damaged"
    REPLICA_IN_USE = "replica-in-use"
    REPLICA_READ_ONLY = "replica-read-only"
    STORAGE = "storage"
    SWITCHED_OFF = "switched-off"
    WAITING_FOR_DEVICE = "waiting-for-device"
    NEXT_SYNC = "next-sync"
    OTHER = "other"

    @property
    def what(self) -> str:
        """What it is, in words."""
        return _WORDS[self].what

    @property
    def remedy(self) -> str:
        """What to do, in words."""
        return _WORDS[self].remedy

    @property
    def passes(self) -> bool:
        """Whether it passes by itself, or with the next sync, so that nobody needs to do anything now."""
        return _WORDS[self].passes


@dataclass(frozen=True, slots=True)
class _Words:
    what: str
    remedy: str
    passes: bool = False


_WORDS: Final = {
    Reason.NO_NETWORK: _Words(
        "this machine is in no network, or the name of the host cannot be looked up",
        "connect to a network; it goes on by itself where it is watched, else with the next sync",
        passes=True,
    ),
    Reason.UNREACHABLE: _Words(
        "nobody answers there: no network, another address, a device that is off, a stick that is not plugged in",
        "plug in, mount or connect it; have the other device serve; check the address; "
        "if it is not used any more: msgsync forget ADDRESS",
        passes=True,
    ),
    Reason.BUSY: _Words(
        "the storage has too many requests, or fails for now", "wait; nothing is lost", passes=True
    ),
    Reason.CREDENTIALS: _Words(
        "the storage does not let this user in, or does not accept its keys",
        "check who may read, write, list and delete there; of a bucket also the keys, and that they have not expired",
    ),
    Reason.CLOCK: _Words(
        "the clock of this device is wrong, or the other one's",
        "set date, time and time zone by the network on all devices",
    ),
    Reason.PLACE_FULL: _Words(
        "the storage has no room left, or its quota is used up",
        "free some space there, or raise the quota",
    ),
    Reason.PLACE_READ_ONLY: _Words(
        "the storage can be read and not written", "mount it writable; mend a stick's lock"
    ),
    Reason.PLACE_REFUSES: _Words(
        "the storage refuses what was asked", "read its answer, which the message has"
    ),
    Reason.DAMAGED_OBJECT: _Words(
        "an object there is damaged; what its device put after it cannot be read",
        "sync the device that put it, then sync again; remove what stays damaged: it is put anew",
    ),
    Reason.MISSING_OBJECT: _Words(
        "objects there are missing, or have not come yet; what follows on them waits",
        "wait until the folder is the same everywhere, then sync the device that put them",
        passes=True,
    ),
    Reason.UNREADABLE_OBJECT: _Words(
        "an object there cannot be opened with the keys of this device: of another account, or of an epoch that has "
        "not come here, or is over",
        "use a folder for this account alone, and make a device that should be in it with msgsync join, not init; "
        "sync a device that has been in use lately with the same place; empty a folder that was put back from an old "
        "copy: the devices fill it again",
    ),
    Reason.COPIED_DEVICE: _Words(
        "the file of a device was copied, or put back from a backup, and both are in use",
        "keep one of the two; make a device of its own of the other: msgsync restore-backup --new-device",
    ),
    Reason.ROTATION_DUE: _Words(
        "a device was revoked and no new epoch has begun, so nothing can be sealed",
        "begin one: Replica.rotate, or sync with a device that has",
    ),
    Reason.REFUSED: _Words(
        "something that came from there is no admissible document, and was not taken",
        "update msgsync on all devices; run msgsync check on the device that it came from",
    ),
    Reason.NOT_EQUAL: _Words(
        "the exchange went well, but both sides do not hold the same yet", "sync again", passes=True
    ),
    Reason.WRONG_ACCOUNT: _Words(
        "the device there is of another account, or does not know this one",
        "compare what msgsync status calls the account on both; to join, use msgsync invite and msgsync join",
    ),
    Reason.REVOKED: _Words(
        "this device was revoked: it takes part in nothing any more",
        "keep the file, or wipe it; to come back, join again by msgsync invite on another device",
    ),
    Reason.VERSION: _Words(
        "one of the two has a version of msgsync that is too old", "update msgsync on all devices"
    ),
    Reason.PEER_FAULT: _Words(
        "the other side broke a rule of the protocol, or is not msgsync",
        "check the address; update msgsync on both; sync again",
    ),
    Reason.KEYS_LOCKED: _Words(
        "the keys of this device are under a passphrase", "open the replica with its passphrase"
    ),
    Reason.ACCOUNT_FAULT: _Words(
        "something that was said of the account is not to be believed",
        "sync with another device of the account; look at msgsync devices for one that nobody knows",
    ),
    Reason.DISK_FULL: _Words(
        "the disk of this device is full", "free some space here; nothing is lost"
    ),
    Reason.REPLICA_DAMAGED: _Words(
        "the replica's file is damaged", "run msgsync repair; other devices have what is lost"
    ),
    Reason.REPLICA_IN_USE: _Words(
        "another process has the replica open for writing", "end that first"
    ),
    Reason.REPLICA_READ_ONLY: _Words(
        "the replica was opened for reading", "open it for writing to sync"
    ),
    Reason.STORAGE: _Words(
        "the replica's file cannot be used", "read the message; run msgsync check"
    ),
    Reason.SWITCHED_OFF: _Words(
        "sync is switched off on this device", "switch it on: msgsync on, or replica.sync.enable()"
    ),
    Reason.WAITING_FOR_DEVICE: _Words(
        "the other device has not been heard of since",
        "open the app on it, where it reaches this one or a mailbox of both; retire it if it will not come back",
        passes=True,
    ),
    Reason.NEXT_SYNC: _Words(
        "something has changed since it was last synced, or it never was",
        "sync, or keep it in sync: msgsync sync --watch; if it is not used any more, as the old address of a folder "
        "that moved: msgsync forget ADDRESS, or replica.sync.forget",
        passes=True,
    ),
    Reason.OTHER: _Words("something that has no name of its own", "read the message"),
}

_MEANINGS: Final[dict[type[errors.MsgSyncError], Reason]] = {
    errors.NoNetwork: Reason.NO_NETWORK,
    errors.ConnectionLost: Reason.UNREACHABLE,
    errors.MailboxUnreachable: Reason.UNREACHABLE,
    errors.MailboxBusy: Reason.BUSY,
    errors.MailboxForbidden: Reason.CREDENTIALS,
    errors.MailboxClockWrong: Reason.CLOCK,
    errors.FutureTimestamp: Reason.CLOCK,
    errors.MailboxFull: Reason.PLACE_FULL,
    errors.MailboxReadOnly: Reason.PLACE_READ_ONLY,
    errors.MailboxError: Reason.PLACE_REFUSES,
    errors.MailboxDamaged: Reason.DAMAGED_OBJECT,
    errors.ObjectRefused: Reason.DAMAGED_OBJECT,
    errors.ObjectMissing: Reason.MISSING_OBJECT,
    errors.NoSuchObject: Reason.MISSING_OBJECT,
    errors.UnknownRoster: Reason.MISSING_OBJECT,
    errors.UnknownEpoch: Reason.UNREADABLE_OBJECT,
    errors.LogForked: Reason.COPIED_DEVICE,
    errors.RotationDue: Reason.ROTATION_DUE,
    errors.Inadmissible: Reason.REFUSED,
    errors.NotCaughtUp: Reason.NOT_EQUAL,
    errors.NotThereYet: Reason.NOT_EQUAL,
    errors.AccountMismatch: Reason.WRONG_ACCOUNT,
    errors.NotAMember: Reason.WRONG_ACCOUNT,
    errors.DeviceRevoked: Reason.REVOKED,
    errors.VersionMismatch: Reason.VERSION,
    errors.SchemaTooNew: Reason.VERSION,
    errors.SchemaTooOld: Reason.VERSION,
    errors.PeerError: Reason.PEER_FAULT,
    errors.PassphraseNeeded: Reason.KEYS_LOCKED,
    errors.WrongPassphrase: Reason.KEYS_LOCKED,
    errors.AccountError: Reason.ACCOUNT_FAULT,
    errors.StorageFull: Reason.DISK_FULL,
    errors.ReplicaDamaged: Reason.REPLICA_DAMAGED,
    errors.NotAReplica: Reason.REPLICA_DAMAGED,
    errors.ReplicaLocked: Reason.REPLICA_IN_USE,
    errors.ReadOnly: Reason.REPLICA_READ_ONLY,
    errors.StorageError: Reason.STORAGE,
    errors.SyncOff: Reason.SWITCHED_OFF,
    errors.MsgSyncError: Reason.OTHER,
}


def _tree(kind: type[errors.MsgSyncError]) -> Iterator[type[errors.MsgSyncError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _tree(one)


_BY_CODE: Final = {one.code: one for one in _tree(errors.MsgSyncError)}


def reason_for(kind: type[errors.MsgSyncError]) -> Reason:
    """What an error of this class means: the entry of its nearest base."""
    return next(_MEANINGS[one] for one in kind.__mro__ if one in _MEANINGS)


def reason_of_code(code: str) -> Reason:
    """What an error of this `code` means; of a later version's, that it has no name here."""
    found = _BY_CODE.get(code)
    return Reason.OTHER if found is None else reason_for(found)
