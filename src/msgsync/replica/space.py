"""How much room attachments take on a device, and letting go of them. Source: design 11, decision 34."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from msgsync.document.schema import DAY_MS
from msgsync.errors import InvalidValue
from msgsync.replica.devices import live_devices
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.chunkrows import Wanted

_BUDGET: Final = "attachments_bytes"
_DAYS: Final = "attachments_days"
_MOST_DAYS: Final = 365 * 1000
_ASKS: Final = "attachments_asked"
_PAUSED: Final = "attachments_paused"


@dataclass(frozen=True, slots=True)
class Space:
    """What attachments take on this device, in bytes of the files; and which months of messages are here."""

    bytes_here: int
    bytes_free: int
    """Of those, what may go: it is in a mailbox, or a device has promised to keep it."""
    bytes_freed: int
    """What went; of a preview, what would."""
    months_elsewhere: int = 0
    """Months of conversations that this device has let go of; see `Replica.set_history_budget`."""
    months_free: int = 0
    """Of those that are here, how many are beyond the budget and may go: somebody is bound to keep them."""
    months_freed: int = 0
    """How many went; of a preview, how many would."""
    months_stay: int = 0
    """How many are beyond the budget and nobody is known to be bound to keep: no device, no checkpoint in a mailbox."""
    months_wait_for: tuple[str, ...] = ()
    """Devices that are not known to have heard that months go from here: none goes before. See `Replica.retire`."""


def trusted(store: Store) -> dict[bytes, bytes]:
    """The devices whose word on copies counts, by id, and the stores they are."""
    own = store.identity.device.raw
    alive = live_devices(store) - {own}
    known = store.standings()
    return {device: one.store_id for device, one in known.items() if device in alive}


@dataclass(frozen=True, slots=True)
class Budget:
    """What attachments may be on a device: at least one of both is said."""

    size: int | None
    """Of so many bytes."""
    days: int | None
    """Sent or read in so many days."""

    def since_ms(self, now_ms: int) -> int:
        """From when on what was sent or read stays: by this device's clock, which may be wrong.

        One that is fast has things go too early, and somebody else keeps them; one that is slow, too late.
        """
        return 0 if self.days is None else max(0, now_ms - self.days * DAY_MS)


def budget(store: Store) -> Budget | None:
    """What attachments may be here; None for all there are."""
    found: dict[str, int] = dict(
        store.database.execute("select name, value from meta where name in (?,?)", (_BUDGET, _DAYS))
    )
    return Budget(found.get(_BUDGET), found.get(_DAYS)) if found else None


def set_budget(store: Store, size: int | None, days: int | None) -> None:
    """Set it, in place of the one before. Within a transaction. Raises InvalidValue."""
    if size is not None:
        _check(size)
    if days is not None and (type(days) is not int or not 1 <= days <= _MOST_DAYS):
        raise InvalidValue(
            f"a number of days is a whole number from 1 to {_MOST_DAYS:,}, not {days!r}"
        )
    for name, value in ((_BUDGET, size), (_DAYS, days)):
        if value is None:
            store.database.execute("delete from meta where name = ?", (name,))
        else:
            store.database.execute("insert or replace into meta values(?,?)", (name, value))


def keep_to_budget(replica: Replica) -> None:
    """Let go of what is beyond the budget and may go: when something came, after exchanges, and when idle."""
    now_ms = replica.system.now_ms()
    with replica.reading() as store:
        allowed = budget(store)
        if allowed is None or store.database.readonly or not store.attachments.any:
            return
        since_ms = allowed.since_ms(now_ms)
        if not store.copies.may_evict(allowed.size, trusted(store), since_ms=since_ms):
            return
    with replica.writing() as store:
        replica.fetching.note_use(store)
        store.copies.evict(allowed.size, trusted(store), since_ms=since_ms)


def with_room(store: Store, wanted: Sequence[Wanted], room: int) -> list[Wanted]:
    """Those of these chunks, from the first on, that a budget allows to be fetched.

    What is here makes room for what was sent later than it was sent or read, and for nothing else: so one chunk does
    not go for another that then goes for the first.

    Args:
        store: this side.
        wanted: chunks, the newest first.
        room: how many bytes are left of the budget; less than 0 if more is here already.
    """
    if sum(one.size for one in wanted) <= room:
        return [*wanted]
    ages = store.copies.ages(trusted(store))
    older = [0, *accumulate(size for _, size in ages)]
    allowed = []
    for one in wanted:
        room -= one.size
        if room + older[bisect_left(ages, (one.used_ms, 0))] < 0:
            break
        allowed.append(one)
    return allowed


def is_paused(store: Store) -> bool:
    """Whether attachments stay where they are: see `Switch.pause_attachments`."""
    found = store.database.first("select 1 from meta where name = ?", (_PAUSED,))
    return found is not None


def pause(store: Store, *, paused: bool) -> None:
    """Have them stay, or go on. Within a transaction."""
    sql = (
        "insert or replace into meta values(?, 1)" if paused else "delete from meta where name = ?"
    )
    store.database.execute(sql, (_PAUSED,))


def wants_promises(store: Store) -> bool:
    """Whether others are to be asked to keep what is here."""
    asks = store.database.first("select 1 from meta where name in (?,?,?)", (_BUDGET, _DAYS, _ASKS))
    return asks is not None


def free(store: Store, keep_bytes: int, *, preview: bool) -> Space:
    """See `Replica.free_space`. Within a transaction, unless it is a preview."""
    _check(keep_bytes)
    devices = trusted(store)
    before = store.copies.space(devices)
    if preview:
        freed = min(before.free, max(0, before.here - keep_bytes))
        return Space(before.here, before.free, freed)
    store.database.execute("insert or replace into meta values(?, 1)", (_ASKS,))
    _, freed = store.copies.evict(keep_bytes, devices)
    after = store.copies.space(devices)
    return Space(after.here, after.free, freed)


def _check(size: int) -> None:
    if type(size) is not int or size < 0:
        raise InvalidValue(f"a number of bytes is a whole number from 0 on, not {size!r}")
