"""Keeping the last months of messages on a device, and fetching older ones when somebody asks. Source: decision 42.

A device says in the account document from which month on it keeps everything: its **horizon**. Others do not count it
among those that have what is older. It lets go of nothing before every live device is known to have read that.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from msgsync import limits
from msgsync.document.schema import DAY_MS, month_bounds, segment_of
from msgsync.errors import InvalidValue, ReplicaClosed
from msgsync.ids import DeviceId
from msgsync.replica.devices import (
    ACCOUNT_DOCUMENT,
    HORIZON,
    fields,
    horizons,
    live_devices,
    set_field,
)
from msgsync.replica.head import unknown_conversation
from msgsync.replica.space import Space, trusted
from msgsync.store import history
from msgsync.store.rows import DocumentRow, Wanted
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_MOST_MONTHS: Final = 12 * 1000
_STAYS_MS: Final = DAY_MS
"""What came or changed since stays, unless somebody asks for room: who has fetched a page will read on."""
_MESSAGES_AT_ONCE: Final = 2_000
"""Of months that one transaction lets go of, unless one month has more: others wait for it."""


# The setting.


def set_budget(store: Store, months: int | None, now_ms: int) -> None:
    """See `Replica.set_history_budget`. Within a transaction. Raises InvalidValue."""
    if months is not None and (type(months) is not int or not 1 <= months <= _MOST_MONTHS):
        raise InvalidValue(
            f"a number of months is a whole number from 1 to {_MOST_MONTHS:,}, not {months!r}"
        )
    store.missing.keep_months(months)
    due = {row.key for row in _news(store, now_ms).due}
    others = [row for row in history.elsewhere(store) if row.key not in due]
    history.want(store, others, Wanted.NO)
    announce(store, now_ms)


def _target(now_ms: int, months: int) -> str:
    """The first month that is kept: the present one and so many before it are."""
    month = segment_of(max(now_ms, 0))
    for _ in range(months):
        month = segment_of(max(month_bounds(month)[0] - 1, 0))
    return month


# Horizons.


def keeps_all(store: Store) -> bool:
    """Whether this device lets go of nothing, and nothing is away that it has let go of."""
    own = store.identity.device.raw
    return store.missing.history_months() is None and own not in horizons(fields(store))


class _News(NamedTuple):
    """What others are to be told of what is kept, and what is to be kept again."""

    due: list[DocumentRow]
    """Months that were let go of and are to be here."""
    horizon: str | None
    is_said: bool
    """Whether others know of the horizon, or must not yet."""

    @property
    def is_any(self) -> bool:
        """Whether anything is to be written."""
        return not self.is_said or any(not _is_wanted(row, Wanted.YES) for row in self.due)


def _news(store: Store, now_ms: int) -> _News:
    own = store.identity.device.raw
    months = store.missing.history_months()
    said = fields(store).get((own, HORIZON))
    if months is None and said is None:
        return _News([], None, is_said=True)
    target = None if months is None else _target(now_ms, months)
    target_ms = 0 if target is None else month_bounds(target)[0]
    due = history.due(store, target_ms)
    rises = target is not None and horizons(fields(store)).get(own, 0) < target_ms
    return _News(due, target, is_said=said == target or bool(due and not rises))


def announce(store: Store, now_ms: int) -> None:
    """Have others know what is kept, and what is to be kept again come back. Within a transaction."""
    news = _news(store, now_ms)
    history.want(store, news.due, Wanted.YES)
    if not news.is_said:
        set_field(store, store.identity.device.raw, HORIZON, news.horizon)


def say_if_due(replica: Replica) -> None:
    """Have others know of what is not here before they hear what this device has: at the beginning of an exchange.

    A device that was made of another one's backup has never said it.
    """
    now_ms = replica.system.now_ms()
    with replica.reading() as store:
        is_said = store.identity.device.raw in horizons(fields(store))
        months = store.missing.history_months()
        if is_said or months is None or store.database.readonly:
            return
        if not store.missing.count_months_elsewhere():
            return
    with replica.writing() as store:
        announce(store, now_ms)


def _horizon(store: Store, now_ms: int) -> int:
    """From when on everything is kept here, as others are told; 0 if everything is."""
    months = store.missing.history_months()
    horizon_ms = horizons(fields(store)).get(store.identity.device.raw)
    if months is None or horizon_ms is None:
        return 0
    return min(horizon_ms, month_bounds(_target(now_ms, months))[0])


def waits_for(store: Store) -> tuple[str, ...]:
    """Live devices that are not known to have read what this one says of its horizon: no month goes before."""
    if store.missing.history_months() is None:
        return ()
    own = store.identity.device.raw
    account = store.documents.find(ACCOUNT_DOCUMENT)
    said_seq = 0 if account is None else account.changed_seq
    known = store.standings()
    return tuple(
        str(DeviceId(device))
        for device in sorted(live_devices(store) - {own})
        if device not in known or known[device].has.get(own, 0) < said_seq
    )


# Letting go.


def _going(store: Store, now_ms: int) -> history.Going:
    used_ms = max(now_ms - limits.QUIET_MS, 1)
    before_ms = _horizon(store, now_ms)
    return history.Going(store, trusted(store), before_ms=before_ms, used_ms=used_ms)


def going(store: Store, now_ms: int) -> list[DocumentRow]:
    """What may go now, least recently changed first."""
    if store.missing.history_months() is None or waits_for(store):
        return []
    return _going(store, now_ms).promised()


def to_ask(store: Store, now_ms: int, limit: int) -> list[bytes]:
    """The names of months that others should keep, so that they can go from here."""
    if store.missing.history_months() is None:
        return []
    return [history.name_of(row) for row in _going(store, now_ms).to_ask(limit)]


def to_confirm(store: Store, now_ms: int) -> list[DocumentRow]:
    """The months that could go from here if a checkpoint in a mailbox was found to have them."""
    if store.missing.history_months() is None:
        return []
    return _going(store, now_ms).to_confirm()


def wants_checkpoint(store: Store, now_ms: int) -> bool:
    """Whether months could go from here if a checkpoint had them, and this device has all that belongs into one.

    Once it has let go of any it makes none: others do, when many objects lie there.
    """
    if store.missing.history_months() is None or history.elsewhere(store) or waits_for(store):
        return False
    return bool(to_confirm(store, now_ms))


def is_kept_by_nobody(store: Store) -> bool:
    """Whether all live devices keep the last months only, so that no other one makes checkpoints."""
    return live_devices(store) <= horizons(fields(store)).keys()


def bring_all_back(store: Store) -> None:
    """Have everything come back, for as long as it takes to make a checkpoint. Within a transaction."""
    history.want(store, history.elsewhere(store), Wanted.YES)


def run(store: Store, now_ms: int, *, at_once: bool = False) -> list[DocumentRow]:
    """Let go of what is due; return it. Within a transaction.

    Args:
        store: of the replica.
        now_ms: this device's clock.
        at_once: of what came lately, too.
    """
    announce(store, now_ms)
    gone: list[DocumentRow] = []
    left = _MESSAGES_AT_ONCE
    for row in going(store, now_ms):
        if at_once or _is_old_enough(row, now_ms):
            left -= row.messages
            if gone and left < 0:
                break
            gone.append(row)
    for row in gone:
        history.let_go(store, row)
    return gone


def _is_old_enough(row: DocumentRow, now_ms: int) -> bool:
    return abs(now_ms - row.changed_ms) >= _STAYS_MS


def make_room(replica: Replica) -> int:
    """Let go of all that may go, also of what came lately; return how many months went."""
    now_ms = replica.system.now_ms()
    count = 0
    while True:
        with replica.writing() as store:
            gone = len(run(store, now_ms, at_once=True))
        if not gone:
            break
        count += gone
    if count:
        with replica.lock:
            replica.store().shrink()
    return count


def with_months(store: Store, space: Space, now_ms: int, gone: int | None = None) -> Space:
    """The same with what it says of months; ``gone``: how many went, None if it is a preview."""
    free = len(going(store, now_ms))
    return replace(
        space,
        months_elsewhere=len(history.elsewhere(store)),
        months_free=free,
        months_freed=free if gone is None else gone,
        months_stay=len(to_confirm(store, now_ms)),
        months_wait_for=waits_for(store),
    )


def tell_of_return(replica: Replica) -> None:
    """Have others know at once that this device keeps more again, once what it had let go of has come.

    Within the exchange that brought it: after it both would not hold the same.
    """
    with replica.holding() as store:
        now_ms = replica.system.now_ms()
        with replica.reading():
            is_needed = not history.is_any_wanted(store) and _news(store, now_ms).is_any
        if is_needed:
            with replica.writing():
                announce(store, now_ms)


def upkeep(replica: Replica) -> None:
    """Do what is due, if anything is: for sessions that are idle, and after exchanges."""
    now_ms = replica.system.now_ms()
    with replica.lock:
        store = replica.store()
        if store.database.readonly:
            return
        with replica.reading():
            is_needed = _news(store, now_ms).is_any or any(
                _is_old_enough(row, now_ms) for row in going(store, now_ms)
            )
    if is_needed:
        with replica.writing() as store:
            run(store, now_ms)


# Coming back.


def restores(store: Store, row: DocumentRow, device: bytes, digest: bytes) -> bool:
    """Whether who offers all that it has of a document under this digest has all that is missing here.

    It is what was here; or that device keeps what it has of the month, and has promised it or had it once.
    """
    lacks = row.lacks
    if lacks is None or digest == lacks.digest:
        return True
    if month_bounds(row.id.kind)[0] < horizons(fields(store)).get(device, 0):
        return False
    standing = store.standings().get(device)
    if standing is None:
        return False
    if history.has_promised(store, row, device, standing.store_id):
        return True
    return standing.has.get(store.identity.device.raw, 0) >= lacks.seq


def ask_for_older(replica: Replica, conversation: str, before_ms: int) -> None:
    """Have the newest month of a conversation come that begins before a time and was let go of.

    With the next exchange, as long as somebody waits for older messages of it: see `ask_no_more`. What others of them
    asked for still comes.
    """
    with replica.holding() as store:
        months = _elsewhere(replica, conversation)
        older = [row for row in months if month_bounds(row.id.kind)[0] <= before_ms][:1]
        if older and _is_wanted(older[0], Wanted.NO):
            with replica.writing():
                history.want(store, older, Wanted.WHILE_WAITED_FOR)


def ask_no_more(replica: Replica, conversation: str) -> None:
    """What `ask_for_older` asked for is to come no more, once nobody waits for older messages of a conversation."""
    with suppress(ReplicaClosed), replica.holding() as store:
        if conversation in replica.wants.now():
            return
        months = _elsewhere(replica, conversation)
        to_stay = [row for row in months if _is_wanted(row, Wanted.WHILE_WAITED_FOR)]
        if to_stay:
            with replica.writing():
                history.want(store, to_stay, Wanted.NO)


def _elsewhere(replica: Replica, conversation: str) -> list[DocumentRow]:
    """The months of a conversation that were let go of, newest first; none if none can be asked for."""
    with replica.reading() as store:
        key = store.documents.conversation(conversation)
        if key is None or store.database.readonly:
            return []
        return history.elsewhere(store, key)


def _is_wanted(row: DocumentRow, wanted: Wanted) -> bool:
    return row.lacks is not None and row.lacks.wanted is wanted


def fetch(store: Store, since_ms: int, conversation: str | None) -> int:
    """See `Replica.fetch_history`. Within a transaction."""
    key = None if conversation is None else store.documents.conversation(conversation)
    if conversation is not None and key is None:
        raise unknown_conversation(conversation)
    months = [
        row for row in history.elsewhere(store, key) if month_bounds(row.id.kind)[1] > since_ms
    ]
    history.want(store, months, Wanted.YES)
    return len(months)
