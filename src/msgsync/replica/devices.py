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
    InvalidValue,
    UnknownDevice,
)
from msgsync.ids import DeviceId
from msgsync.records import DEVICE, FieldRecord, encode_field
from msgsync.replica.listeners import Listeners, OnCommit
from msgsync.standing import tell_the_same
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
    return {device for device in known - store.revoked() if not is_gone(said, device)}


def is_gone(said: Mapping[tuple[bytes, str], Any], device: bytes) -> bool:
    """Whether it was retired, or said that it leaves."""
    return said.get((device, _RETIRED)) is True or bool(_left_ms(said, device))


def _left_ms(said: Mapping[tuple[bytes, str], Any], device: bytes) -> int | None:
    found = said.get((device, _LEFT))
    return found if type(found) is int and 0 < found <= limits.MS else None


def known_device(replica: Replica, store: Store, device: AnyDevice) -> bytes:
    """The id of a device that a caller named. Raises InvalidValue, UnknownDevice."""
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
        one = known_device(replica, store, device)
        if one == replica.device.raw:
            raise InvalidValue("a device that is in use cannot retire itself; do it on another one")
        if fields(store).get((one, _RETIRED)) is not True:
            set_field(store, one, _RETIRED, True)


def is_retired(store: Store) -> bool:
    """Whether nothing waits for this device: it was retired on another one, or said that it leaves."""
    return is_gone(fields(store), store.identity.device.raw)


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
        keeps_from_ms = horizons(said)
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
                    retired=is_gone(said, one.raw),
                    left_ms=_left_ms(said, one.raw),
                    last_seen_ms=None if standing is None else standing.heard_ms or None,
                    behind=store.changes.count(has.get(own.raw, 0)),
                    has_more=has.get(one.raw, 0) > ours.get(one.raw, 0),
                    keeps_from_ms=keeps_from_ms.get(one.raw),
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
