"""When the secrets of epochs that are over are erased. Source: docs/spec/crypto.md (Epochs), decision 46.

Rules
-----
- Each device decides for itself, by what it has seen and heard; none erases a secret because another one has.
- In an account that has begun more than one epoch each device says, in the account's own document, under which one it
  seals by now, and which commit of it was the last one before: whatever it has sealed under another one, wherever, it
  had by then. One that leaves says so of all epochs.
- The secrets of all epochs but the one in force are erased here once
  - every other device that was not revoked, retired or not, has said that it seals under this one, and what it had by
    then is here;
  - the last listing of each mailbox that this device has used showed only logs under this one, read to their end; and
  - of each month that this device has let go of it is known who has it: a mailbox that was taken off may have it alone.
- So nothing is lost, whatever lies in places that nobody here knows: from a device that was revoked nothing is taken
  any more, and all else that was ever sealed under those epochs is here. Who is waited for is told in `Replica.status`.
- What is left under older epochs makes a checkpoint due, which takes its place; see `replica.checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgsync.account.epochs import COMMITMENT_BYTES, Keyring
from msgsync.account.keyobject import Keys
from msgsync.account.roster import Roster
from msgsync.account.seal import checkpoint_name, is_checkpoint_name, log_name
from msgsync.ids import DeviceId
from msgsync.replica import devices
from msgsync.replica.space import trusted
from msgsync.store.history import kept_by_nobody
from msgsync.store.mailboxes import LogRow
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_EPOCH: Final = "epoch"
"""A field of a device: the epoch under which it seals by now, and what it had when it said so first."""
_SAID: Final = re.compile(r"([0-9a-f]{64}):([0-9a-f]{32}):([0-9]{1,15})")
_NONE: Final = bytes(COMMITMENT_BYTES)
"""What a device says that leaves: it seals nothing more."""
_Logs = Mapping[str, LogRow]
_Listed = Mapping[str, Sequence[int]]


class _Said(NamedTuple):
    """What a device says of itself."""

    epoch: bytes
    """The commitment of the one that it seals under; zeros for none."""
    store_id: bytes
    """Whose commits are counted."""
    seq: int
    """The last commit before it said so."""


def _read(value: Any) -> _Said | None:
    found = _SAID.fullmatch(value) if type(value) is str else None
    if found is None:
        return None
    return _Said(bytes.fromhex(found[1]), bytes.fromhex(found[2]), int(found[3]))


def in_force(roster: Roster, keyring: Keyring) -> bytes | None:
    """The commitment of the epoch to seal under; None if there is none, or its secret has not come here."""
    epoch = roster.state.epoch
    return epoch if epoch is not None and epoch in keyring else None


# What a device says.


def say(replica: Replica, store: Store, known: Keys) -> None:
    """Have the account document say under which epoch this device seals, if it does not yet; within a transaction."""
    if _is_to_be_said(replica, store, known):
        epoch = in_force(*known)
        assert epoch is not None
        _write(store, epoch)


def say_if_due(replica: Replica) -> None:
    """The same, in a transaction of its own: at the beginning of an exchange."""
    known = replica.membership.moment()
    with replica.reading() as store:
        if store.database.readonly or not _is_to_be_said(replica, store, known):
            return
    with replica.writing() as store:
        say(replica, store, replica.membership.moment())


def say_farewell(store: Store) -> None:
    """Have it say that this device, which leaves, seals nothing more; within a transaction."""
    _write(store, _NONE)


def _is_to_be_said(replica: Replica, store: Store, known: Keys) -> bool:
    """Once by each store: two copies of a device would contradict each other for ever."""
    epoch, before = in_force(*known), store.mailboxes.said_epoch()
    if epoch is None or replica.leaving or replica.device not in known.roster.state.members:
        return False
    if not before:
        return len(known.roster.begun()) > 1  # else, as mostly, there is nothing to forget
    return before != epoch + store.identity.store_id


def _write(store: Store, epoch: bytes) -> None:
    identity = store.identity
    said = f"{epoch.hex()}:{identity.store_id.hex()}:{store.seq}"
    devices.set_field(store, identity.device.raw, _EPOCH, said)
    store.mailboxes.note_said_epoch(epoch + identity.store_id)


# What is seen in mailboxes.


def is_old(known: Keys, folder: str, log: LogRow) -> bool:
    """Whether a log is of another epoch than the one in force."""
    epoch = in_force(*known)
    if epoch is None:
        return False
    name_for = checkpoint_name if is_checkpoint_name(folder) else log_name
    secret, account = known.keyring.secret(epoch), known.roster.account
    return name_for(secret, account, DeviceId(log.device), log.incarnation) != folder


def is_left(known: Keys, logs: _Logs, listed: _Listed) -> bool:
    """Whether a log of another epoch lies in a mailbox that no checkpoint has replaced and that one could."""
    if len(known.roster.begun()) == 1:
        return False
    return any(
        is_old(known, folder, log)
        for folder, log in logs.items()
        if log.waits or min(max(listed.get(folder, ()), default=0), log.sequence) > log.covered
    )


def epoch_there(known: Keys, logs: _Logs, listed: _Listed) -> bytes:
    """The epoch in force, if by a listing nothing but logs of it lies in a mailbox, all read; nothing if not.

    Logs that should be there count as if they were listed.
    """
    epoch = in_force(*known)
    if epoch is None:
        return b""
    for folder in {*listed, *(folder for folder, log in logs.items() if log.waits)}:
        log = logs.get(folder)
        last = max(listed.get(folder, ()), default=0)
        if log is None or last > log.sequence or is_old(known, folder, log):
            return b""
    return epoch


# Forgetting.


def waits_for(replica: Replica, store: Store) -> Iterator[str]:
    """Without what the secrets of epochs that are over are not erased here.

    Addresses of mailboxes in which something may lie under one, ids of conversations with months that this device let
    go of and nobody is known to have, and ids of devices that may have sealed under one what is not here. Nothing if
    none is over.
    """
    known = replica.membership.moment()
    epoch = in_force(*known)
    if epoch is None or len(known.keyring) == 1:
        return
    for row in store.mailboxes.all():
        is_used = row.keys or store.mailboxes.logs(row.key)
        if is_used and row.epoch != epoch:
            yield row.address
    yield from kept_by_nobody(store, trusted(store))
    own, members = store.identity.device.raw, {one.raw for one in known.roster.state.members}
    said, standings = devices.fields(store), store.standings()
    told = members | standings.keys() | {device for device, _ in said}
    has = standings[own].has
    for device in sorted(told - store.revoked() - {own}):
        word, standing = _read(said.get((device, _EPOCH))), standings.get(device)
        is_here = (
            word is not None
            and standing is not None
            and word.epoch in (epoch, _NONE)
            and word.store_id == standing.store_id
            and word.seq <= has.get(device, 0)
        )
        if not is_here:
            yield str(DeviceId(device))


def forget(replica: Replica) -> None:
    """Erase the secrets of epochs that are over, once nothing needs them any more; at the end of an exchange."""
    with replica.reading() as store:
        known = replica.membership.moment()
        epoch = in_force(*known)
        if epoch is None or len(known.keyring) == 1 or store.database.readonly:
            return
        if any(waits_for(replica, store)):
            return
    replica.membership.forget_epochs(*(name for name in known.keyring if name != epoch))
