"""What would be lost with a device, as far as is known: whether one can be wiped. Source: design 9, 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.ids import DeviceId
from msgsync.replica.devices import (
    AnyDevice,
    fields,
    horizons,
    is_gone,
    known_device,
    live_devices,
)
from msgsync.standing import Standings
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_SYNC: Final = "sync it"
_SYNC_BOTH: Final = (
    "all of it lies in a mailbox: sync another device there, and then this one once more"
)
_EXPORT: Final = "it was revoked, so nothing more comes from it: export there what is to be kept"
_ADD: Final = "add another one, or sync one that is retired, which is not any more then"


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


def safe_to_remove(replica: Replica, device: AnyDevice) -> Removal:
    """See `Replica.safe_to_remove`."""
    with replica.reading() as store:
        one = known_device(replica, store, device)
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
            alone = all(is_gone(said, member) for member in members)
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
    if what_to_do is _SYNC and store.mailboxes.is_all_put():
        what_to_do = _SYNC_BOTH
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
