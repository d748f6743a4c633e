"""Until nothing waits: for who wants to know, and before a device is switched off with everything. On anyio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import anyio

from msgsync.errors import MsgSyncError, NotCaughtUp, ReadOnly, UsageError
from msgsync.mailbox.address import is_mailbox, open_mailbox
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.keys import revoked
from msgsync.replica import space
from msgsync.replica.replica import Replica
from msgsync.replica.survey import survey
from msgsync.replica.times import check_timeout
from msgsync.replica.values import PlaceStatus
from msgsync.transport.bell import Bell
from msgsync.transport.timing import Timing
from msgsync.visiting import OnEvent

_USUAL = Timing()


async def caught_up(replica: Replica, *, within_s: float | None = None) -> None:
    """Wait until nothing waits in either direction at the places that this process keeps in sync.

    Those are what watchers stay connected to, and the devices that are connected to a server; if there are none, all
    that `Replica.status` lists. Of a watched mailbox a round has to be over that began after this was called, so what
    others had left there by then is here. It says nothing of devices that are elsewhere: ask `Replica.devices`.

    Args:
        replica: this side.
        within_s: how long to wait, in seconds; None for ever.

    Raises:
        NotCaughtUp: it was not so within that time; the message says what waits, and why.
        SyncOff, DeviceRevoked: it cannot become so.
        ReplicaClosed: the replica was closed meanwhile. ReadOnly: it was opened for reading, and hears of nothing.
    """
    check_timeout(within_s)
    since = replica.places.rounds_begun
    async with Bell() as bell:
        ends = (
            replica.places.on_change(bell.ring),
            replica.on_commit(lambda _seq: bell.ring()),
            replica.on_known(lambda _seq: bell.ring()),
            replica.on_close(bell.ring),
        )
        try:
            replica.places.look()
            left = await anyio.to_thread.run_sync(_left, replica, since)
            with anyio.move_on_after(within_s):
                while left:
                    await bell.heard()
                    left = await anyio.to_thread.run_sync(_left, replica, since)
        finally:
            for end in ends:
                end()
    if left:
        raise NotCaughtUp(
            f"not caught up after {within_s} s: {'; '.join(left)}; what is here stays, and goes on when that is mended"
        )


def _left(replica: Replica, since: int) -> list[str]:
    """What waits, or is not known not to, in words."""
    with replica.reading() as store:
        if store.database.readonly:
            raise ReadOnly("a replica that was opened with readonly=True hears of nothing")
    replica.sync.check()
    if replica.revoked:
        raise revoked()
    found = survey(replica)
    watched = replica.places.watched
    connected = {visit.device for visit in replica.places.visits if visit.device}
    if not watched and not connected:
        return [in_words(one) for one in found if not one.caught_up]
    left = []
    devices = {visit.device for visit in replica.places.visits if visit.settled}
    for place in sorted(watched):
        one = _of(found, place, replica.places.device_at(place))
        settled = replica.places.settled_since(place, since) or (
            one is not None and one.device is not None and one.device.raw in devices
        )
        if one is None or not one.caught_up or not settled:
            left.append(f"{place} has not answered yet" if one is None else in_words(one))
    others = (one for one in found if one.device is not None and one.device.raw in connected)
    return left + [in_words(one) for one in others if not one.caught_up]


def _of(found: Iterable[PlaceStatus], place: str, device: bytes) -> PlaceStatus | None:
    for one in found:
        if one.address == place or (one.device is not None and one.device.raw == device):
            return one
    return None


def in_words(one: PlaceStatus) -> str:
    """How it stands with a place, in a clause."""
    what = one.address or one.name or str(one.device)
    if one.why:
        return f"{what} is {one.state.value}: {one.why}"
    waits = [
        words
        for words, waiting in (
            ("something is to go there", one.to_send),
            ("something is to come", one.to_receive),
        )
        if waiting
    ]
    return f"{what} is {one.state.value}" + (f": {' and '.join(waits)}" if waits else "")


class Visited(NamedTuple):
    """What came of a sync with one place."""

    address: str
    is_mailbox: bool
    reached: bool
    problems: tuple[str, ...]
    """What was not taken, or why it was not reached, in words."""


async def sync_with_all(
    replica: Replica,
    places: Iterable[str | Mailbox] | None,
    *,
    on_event: OnEvent | None = None,
    timing: Timing = _USUAL,
) -> list[Visited]:
    """Sync with all places that are known, or these, one after the other; what fails does not end it.

    Raises:
        UsageError: one is no address, or sync is switched off.
    """
    from msgsync import aio

    if places is None:
        places = await anyio.to_thread.run_sync(known_places, replica)
    found = []
    for place in places:
        address = place if isinstance(place, str) else place.address
        is_box = not isinstance(place, str) or is_mailbox(place)
        try:
            report = await aio.sync(replica, place, on_event=on_event, timing=timing)
        except UsageError:
            raise
        except MsgSyncError as error:
            found.append(Visited(address, is_box, False, (str(error),)))
        else:
            found.append(Visited(address, is_box, True, report.refused))
    return found


async def fetch_everything(
    replica: Replica,
    places: Iterable[str | Mailbox] | None,
    *,
    on_event: OnEvent | None = None,
    timing: Timing = _USUAL,
) -> None:
    """Sync with all places that are known, or these, so that nothing is missing here that is known of.

    A peer that is not reached does not matter where others were, and nothing is known to be on it alone.

    Raises:
        NotCaughtUp: something is missing, or may be; the message says what.
        UsageError, StorageError, AccountError: why it cannot be.
    """
    visits = await sync_with_all(replica, places, on_event=on_event, timing=timing)
    reached = sum(one.reached for one in visits)
    problems = [words for one in visits if one.reached or one.is_mailbox for words in one.problems]
    problems += await anyio.to_thread.run_sync(_missing, replica, reached)
    if problems:
        raise NotCaughtUp(
            f"not everything is known to be here: {'; '.join(problems)}; mend that, name other places, or keep "
            "only what is here"
        )


def known_places(replica: Replica, *, latest: bool = False) -> list[str | Mailbox]:
    """The places to sync with: mailboxes as they were opened last, and addresses where somebody was met.

    Args:
        replica: this side.
        latest: of each device only the address where it was met last: each network gives it another one.
    """
    with replica.reading() as store:
        rows = replica.places.rows(store)
        mailboxes = {row.address for row in store.mailboxes.all()}
    opened = replica.places.mailboxes
    names = sorted(mailboxes | {name for name, row in rows.items() if row.mailbox})
    found: list[str | Mailbox] = [
        opened[name] if name in opened else open_mailbox(name)
        for name in names
        if name in opened or is_mailbox(name)
    ]
    met = [row for name, row in rows.items() if row.device and not row.mailbox and "://" in name]
    if latest:
        last = {row.device: row for row in sorted(met, key=lambda row: row.done_ms)}
        met = [*last.values()]
    return found + sorted(row.name for row in met)


def _missing(replica: Replica, reached: int) -> list[str]:
    """What is known to be missing here, in words."""
    others = [one for one in survey(replica) if one.device is not None]
    if not others and not reached:
        return []  # nobody has anything
    found = [
        f"{one.name or one.device} has something that is not here"
        for one in others
        if one.to_receive
    ]
    with replica.reading() as store:
        if store.missing.filling:
            found.append("this device is still being filled")
        stays = space.budget(store) is not None or space.is_paused(store)
        missing = 0 if stays else store.attachments.bytes_missing()
        if missing:
            found.append(f"{missing:,} bytes of attachments are not here")
    if not reached:
        found.append("no place could be reached")
    return found
