"""The devices of the account: what each is known to have, and which of them anything waits for. Source: design 4, 9.

Names, and which devices are retired, are fields of the account document, so they are the same everywhere. What a
device has is told in sessions (`msgsync.standing`), never written into a document: it would grow for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgsync import limits
from msgsync.account.keys import device_id
from msgsync.account.roster import Member, Revoked, State
from msgsync.document.schema import (
    ACCOUNT,
    FIELDS,
    SEGMENT,
    DocumentId,
    Entry,
    month_bounds,
)
from msgsync.errors import (
    ErasedMessage,
    InvalidValue,
    NotThereYet,
    ReadOnly,
    UnknownDevice,
    UnknownMessage,
)
from msgsync.ids import DeviceId, MessageId
from msgsync.protocol.keys import revoked
from msgsync.records import DEVICE, FieldRecord, encode_field
from msgsync.replica.listeners import Listeners, OnCommit
from msgsync.replica.values import AnyId, Message
from msgsync.standing import Standings, tell_the_same
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

AnyDevice = DeviceId | str
"""A device's id, or its text form."""

_RETIRED: Final = "retired"
_LEFT: Final = "left"
"""Of a device that said itself that it leaves: when, by its clock; 0 if it came back."""
HORIZON: Final = "history"
"""Of a device that does not keep all: the first month that it keeps."""
_SYNC: Final = "sync it"
_EXPORT: Final = "it was revoked, so nothing more comes from it: export there what is to be kept"
_ADD: Final = "add another one, or sync one that is retired, which is not any more then"
ACCOUNT_DOCUMENT: Final = DocumentId("", ACCOUNT)


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """What this device knows of one device of the account."""

    id: DeviceId
    name: str | None
    """None if nothing is known of it but that it took part in exchanges."""
    platform: str | None
    is_this: bool
    added_ms: int | None
    """When it was added, by the clock of who added it; Unix milliseconds."""
    added_by: DeviceId | None
    """The device that added it, itself if it made the account; None if the recovery phrase did, or it is not known."""
    revoked_ms: int | None
    """When it was revoked, by the clock of who revoked it; None if it was not."""
    revoked_by: tuple[DeviceId, ...]
    """Who revoked it, as far as it was done by devices."""
    retired: bool
    """Whether nothing waits for it."""
    left_ms: int | None
    """When it said that it leaves the account, by its clock, Unix milliseconds; None if it did not. It is retired by
    that; revoke it as well, which ends what its keys can do."""
    last_seen_ms: int | None
    """When it last exchanged with any device, Unix milliseconds, by two clocks that agreed within a day; None if it is
    not known that it ever did."""
    behind: int
    """Messages and erasures here that it is not known to have as they are here."""
    has_more: bool
    """Whether it is known to have something that is not here."""
    keeps_from_ms: int | None = None
    """From when on it keeps all messages, Unix milliseconds, by what it said itself: what is older it may let go of.
    None if it keeps all. See `Replica.set_history_budget`."""

    @property
    def revoked(self) -> bool:
        """Whether it is not trusted any more."""
        return self.revoked_ms is not None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Which devices are known to have a message as it is here, or to have erased it."""

    message_id: MessageId
    devices: tuple[DeviceId, ...]
    """Those that have it, this one included; what one of them deleted or erased since it was last heard of is not
    known yet."""
    erased_on: tuple[DeviceId, ...]
    """Those that have erased it, this one included; empty if it was not erased here."""
    unknown: tuple[DeviceId, ...]
    """Those of which neither is known; retired ones are not listed."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Whether a device can be wiped without losing anything that is known of."""

    device: DeviceId
    safe: bool
    reasons: tuple[str, ...]
    """Why not, in words; empty if it is safe."""
    as_of_ms: int | None = None
    """When the device was last heard of, Unix milliseconds: what was done on it since is not known. None for this
    device, of which it is known what is the case, and for one that was never heard of."""


class Watch:
    """Tells who waits for news of devices; under the replica's lock."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.news = threading.Condition(replica.lock)
        self.listeners = Listeners()

    @contextmanager
    def learning(self) -> Iterator[Store]:
        """The store under the lock, for what changes only what is known of devices."""
        replica = self._replica
        with replica.reading() as store:
            before = store.standings()
            yield store
            after = store.standings()
            changed = after is not before and not tell_the_same(after, before)
            seq = store.seq
            rolled_back = store.peers.was_rolled_back and not store.database.readonly
            if changed:
                self.news.notify_all()
        if rolled_back:
            with replica.writing() as store:
                store.begin_anew(replica.system.random_bytes(16))
        if changed:
            self.listeners.tell(seq)

    def add(self, callback: OnCommit) -> Callable[[], None]:
        """Have a callback called after news; return a function that ends that."""
        return self.listeners.add(callback)

    def end(self) -> None:
        """Wake everybody who waits: the replica was closed."""
        with self._replica.lock:
            self.news.notify_all()


# Settings of devices.


def fields(store: Store) -> dict[tuple[bytes, str], Any]:
    """What the account document says of devices, by device and name of the field."""
    row = store.documents.find(ACCOUNT_DOCUMENT)
    found: dict[tuple[bytes, str], Any] = {}
    if row is None:
        return found
    for name, value in store.heads.fields(row.key, DEVICE).items():
        text, _, what = name.partition(":")
        try:
            found[DeviceId.parse(text).raw, what] = value
        except InvalidValue:
            continue  # a later version's
    return found


def set_field(store: Store, device: bytes, what: str, value: object) -> None:
    """Have the account document say something else of a device; within a transaction."""
    row = store.row(ACCOUNT_DOCUMENT)
    record = FieldRecord(f"{DEVICE}{DeviceId(device)}:{what}", value)
    store.write(row, [Entry(FIELDS, store.next_stamp(row).key(), encode_field(record))])


def live_devices(store: Store) -> set[bytes]:
    """Those that are known of and neither retired nor revoked, this one included."""
    said = fields(store)
    known = store.standings().keys() | {device for device, _ in said}
    return {device for device in known - store.revoked() if not _is_gone(said, device)}


def _is_gone(said: Mapping[tuple[bytes, str], Any], device: bytes) -> bool:
    """Whether it was retired, or said that it leaves."""
    return said.get((device, _RETIRED)) is True or bool(_left_ms(said, device))


def _left_ms(said: Mapping[tuple[bytes, str], Any], device: bytes) -> int | None:
    found = said.get((device, _LEFT))
    return found if type(found) is int and 0 < found <= limits.MS else None


def _known(replica: Replica, store: Store, device: AnyDevice) -> bytes:
    one = device if isinstance(device, DeviceId) else DeviceId.parse(device)
    state = replica.membership.roster().state
    told = {at for at, _ in fields(store)} | store.standings().keys()
    if one.raw not in told and one not in state.members and one not in state.revoked:
        raise UnknownDevice(
            f"device {one} is not known here; sync first, or look at devices() for those that are"
        )
    return one.raw


def retire(replica: Replica, device: AnyDevice) -> None:
    """See `Replica.retire`."""
    with replica.writing() as store:
        one = _known(replica, store, device)
        if one == replica.device.raw:
            raise InvalidValue("a device that is in use cannot retire itself; do it on another one")
        if fields(store).get((one, _RETIRED)) is not True:
            set_field(store, one, _RETIRED, True)


def is_retired(store: Store) -> bool:
    """Whether nothing waits for this device: it was retired on another one, or said that it leaves."""
    return _is_gone(fields(store), store.identity.device.raw)


def return_from_retirement(store: Store) -> None:
    """A retired device that takes part in an exchange is not lost, and says so. Within a transaction."""
    own, said = store.identity.device.raw, fields(store)
    if said.get((own, _RETIRED)) is True:
        set_field(store, own, _RETIRED, False)
    if _left_ms(said, own):
        set_field(store, own, _LEFT, 0)


def say_farewell(store: Store, now_ms: int) -> None:
    """Have the account document say that this device leaves. Within a transaction."""
    set_field(store, store.identity.device.raw, _LEFT, now_ms)


def horizons(said: Mapping[tuple[bytes, str], Any]) -> dict[bytes, int]:
    """From when on devices keep all messages, by id, those that do not keep all; Unix milliseconds."""
    return {
        device: month_bounds(value)[0]
        for (device, what), value in said.items()
        if what == HORIZON and type(value) is str and SEGMENT.match(value)
    }


# What is known of them.


def summaries(replica: Replica) -> list[DeviceSummary]:
    """See `Replica.devices`."""
    with replica.reading() as store:
        state = replica.membership.roster().state
        standings, said = store.standings(), fields(store)
        own = replica.device
        ours = standings[own.raw].has
        listed = {DeviceId(at) for at in (*standings, *(at for at, _ in said))}
        listed |= state.members.keys() | state.revoked.keys()
        found = []
        for one in sorted(listed, key=lambda one: (one != own, one)):
            standing = standings.get(one.raw)
            has = {} if standing is None else standing.has
            member, gone = state.members.get(one), state.revoked.get(one)
            device = member.device if member else gone.device if gone else None
            found.append(
                DeviceSummary(
                    id=one,
                    name=member.name if member else gone.name if gone else None,
                    platform=device.platform if device else None,
                    is_this=one == own,
                    added_ms=member.added_ms if member else gone.added_ms if gone else None,
                    added_by=_device_of(state, member or gone),
                    revoked_ms=gone.revoked_ms if gone else None,
                    revoked_by=_revokers(state, gone),
                    retired=_is_gone(said, one.raw),
                    left_ms=_left_ms(said, one.raw),
                    last_seen_ms=None if standing is None else standing.heard_ms or None,
                    behind=store.changes.count(has.get(own.raw, 0)),
                    has_more=has.get(one.raw, 0) > ours.get(one.raw, 0),
                    keeps_from_ms=horizons(said).get(one.raw),
                )
            )
        return found


def _device_of(state: State, one: Member | Revoked | None) -> DeviceId | None:
    """The device that added this one; None if a phrase did."""
    if one is None:
        return None
    return _known_as(state, one.added_by)


def _revokers(state: State, gone: Revoked | None) -> tuple[DeviceId, ...]:
    if gone is None:
        return ()
    found = [_known_as(state, signer) for signer in gone.revoked_by]
    return tuple(one for one in found if one is not None)


def _known_as(state: State, signer: bytes) -> DeviceId | None:
    """The device with this signing key; None if it is that of a phrase."""
    one = device_id(signer)
    return one if one in state.members or one in state.revoked else None


def where_is(replica: Replica, message: AnyId) -> Whereabouts:
    """See `Replica.where_is`."""
    one = id_of(message)
    with replica.reading() as store:
        seq = store.changes.of_message(one.raw)
        erased = seq is None
        if seq is None:
            seq = store.changes.of_erasure(one.raw)
        if seq is None:
            raise UnknownMessage(f"message {one} is not here; sync first, or check the id")
        own = replica.device.raw
        standings = store.standings()
        keeps_from_ms = {} if erased else horizons(fields(store))
        there = [
            at
            for at, standing in standings.items()
            if standing.has.get(own, 0) >= seq
            and at not in store.revoked()
            and (at == own or one.ms >= keeps_from_ms.get(at, 0))
        ]
        unknown = sorted(live_devices(store).difference(there))
    devices = tuple(map(DeviceId, there))
    return Whereabouts(
        message_id=one,
        devices=() if erased else devices,
        erased_on=devices if erased else (),
        unknown=tuple(map(DeviceId, unknown)),
    )


def safe_to_remove(replica: Replica, device: AnyDevice) -> Removal:
    """See `Replica.safe_to_remove`."""
    with replica.reading() as store:
        one = _known(replica, store, device)
        standings = store.standings()
        live = live_devices(store) & standings.keys() - {one}
        in_part = live & horizons(fields(store)).keys()
        others = {at: standings[at] for at in live - in_part}
        what_to_do = _EXPORT if one in store.revoked() else _SYNC
        reasons = []
        if not others and in_part:
            reasons.append(
                "all other devices keep the last months of messages only, and let go of what is older; "
                "have one of them keep all of it again, and sync"
            )
        elif not others:
            said = fields(store)
            members = {member.raw for member in replica.membership.roster().state.members} - {one}
            alone = all(_is_gone(said, member) for member in members)
            reasons.append(
                f"it is the only device of the account that is not retired; {_ADD}"
                if alone
                else "it has not synced with any other device yet, as far as is known here; "
                + what_to_do
            )
        elif one == replica.device.raw:
            reasons += _only_here(store, one, others, what_to_do)
        elif one in standings:
            reasons += _only_there(standings, one, others, replica.system.now_ms(), what_to_do)
        else:
            first = "sync first" if what_to_do is _SYNC else what_to_do
            reasons.append(f"nothing is known yet of what it has; {first}")
        if others:
            reasons += _files_only_there(store, one, others, what_to_do)
        is_this = one == replica.device.raw or one not in standings
        as_of_ms = None if is_this else standings[one].heard_ms or None
        return Removal(DeviceId(one), not reasons, tuple(reasons), as_of_ms)


def _only_here(store: Store, own: bytes, others: Standings, what_to_do: str) -> list[str]:
    if store.missing.filling:
        return [
            f"it is still being filled, and may be the only one that has what it has; {what_to_do}"
        ]
    best = max(standing.has.get(own, 0) for standing in others.values())
    if best >= store.standings()[own].has[own]:
        return []
    count = store.changes.count(best)
    what = (
        f"{count:,} messages or erasures on it are"
        if count > 1
        else "what was changed last on it is"
    )
    return [f"{what} not known to be on any other device that is not retired; {what_to_do}"]


def _only_there(
    standings: Standings, one: bytes, others: Standings, now_ms: int, what_to_do: str
) -> list[str]:
    standing = standings[one]
    last = standing.has.get(one, 0)
    reasons = []
    if all(other.has.get(one, 0) < last for other in others.values()):
        reasons.append(f"something on it is not known to be on any other device; {what_to_do}")
    if standing.heard_ms < now_ms - limits.CLOCKS_AGREE_MS:
        reasons.append(
            f"it was not heard of for more than a day, and may have something new since; {what_to_do}"
        )
    return reasons


def _files_only_there(store: Store, one: bytes, others: Standings, what_to_do: str) -> list[str]:
    """Of files of messages, what may be lost with a device."""
    trusted = {device: standing.store_id for device, standing in others.items()}
    if one == store.identity.device.raw:
        alone_bytes = store.copies.only_here(trusted)
        what = "are on it and, as far as is known, nobody else is bound to have them"
    else:
        alone_bytes = store.copies.not_here(trusted)
        what = "are not on this device, and not known to be in a mailbox or with another one that keeps them"
    return [f"{alone_bytes:,} bytes of files {what}; {what_to_do}"] if alone_bytes else []


def bytes_only_here(store: Store) -> int:
    """How many bytes of files nobody else is bound to have, as far as is known."""
    known = store.standings()
    own = store.identity.device.raw
    others = {device: known[device].store_id for device in live_devices(store) & known.keys()}
    others.pop(own, None)
    return store.copies.only_here(others)


def only_here(store: Store) -> int:
    """How many messages and erasures no other device is known to have.

    Where the devices that have most keep the last months only, what is older counts by months that changed.
    """
    own = store.identity.device.raw
    keeps_from_ms = horizons(fields(store))
    has = {
        device: standing.has.get(own, 0)
        for device, standing in store.standings().items()
        if device != own and device not in store.revoked()
    }
    whole = max((has[one] for one in has if one not in keeps_from_ms), default=0)
    best = max(has.values(), default=0)
    count = store.changes.count(best)
    if best > whole:
        horizon_ms = min(keeps_from_ms[one] for one in has if has[one] == best)
        count += store.changes.count_in_months(whole, best, horizon_ms)
    return count


# Waiting.


def wait_for(
    replica: Replica, message: AnyId, *, devices: int, timeout: float | None
) -> Whereabouts:
    """See `Replica.wait_for`."""
    one = id_of(message)
    check_timeout(timeout)
    with replica.lock:
        if not replica.watch.news.wait_for(
            lambda: is_there(replica, one, devices) is not None, timeout
        ):
            raise NotThereYet(
                f"message {one} is not known to be on {devices} other device(s) after {timeout} s; "
                "it stays here, and goes there with the next exchange"
            )
        found = is_there(replica, one, devices)
        assert found is not None
        return found


def check_timeout(timeout: object) -> None:
    """Raise InvalidValue for what is no time to wait, in seconds."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidValue(f"timeout is a number of seconds or None, not {timeout!r}")
    if not 0 <= timeout <= threading.TIMEOUT_MAX:  # what is no number is in no range
        raise InvalidValue(
            f"timeout is from 0 to {threading.TIMEOUT_MAX:.0f} seconds, or None for ever; not {timeout!r}"
        )


def is_there(replica: Replica, message: AnyId, devices: int) -> Whereabouts | None:
    """Where a message is, if that many devices besides this one have it.

    Raises:
        InvalidValue: it is no number from 1 on.
        UnknownMessage, ErasedMessage, DeviceRevoked: nobody can wait for it.
    """
    if type(devices) is not int or devices < 1:
        raise InvalidValue(f"devices is a whole number from 1 on, not {devices!r}")
    with replica.reading() as store:
        if store.database.readonly:
            raise ReadOnly("a replica that was opened with readonly=True hears of no device")
        found = where_is(replica, message)
    if found.erased_on:
        raise ErasedMessage(f"message {found.message_id} was erased")
    if len(found.devices) > devices:
        return found
    if replica.revoked:
        raise revoked()
    return None


def id_of(message: AnyId) -> MessageId:
    """The id of a message that a caller named. Raises InvalidValue."""
    if isinstance(message, Message):
        return message.id
    return message if isinstance(message, MessageId) else MessageId.parse(message)
