"""Leaving the account: a device brings others what it has, says that it goes, and goes. Source: design 1.

A revocation that a device makes of itself counts only where it was made: others believe nobody whose own statements put
him out of the account. So it says that it goes in the account document, as it says everything else, while it is still
one of them; nothing waits for it from then on. That it is trusted no more another device has to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from msgsync.account.statements import Revoke
from msgsync.errors import OnlyCopy
from msgsync.replica import devices, forgetting
from msgsync.replica.account import check_trusted
from msgsync.store.store import read_only

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.protocol.events import Event
    from msgsync.replica.replica import Replica
    from msgsync.settling import Visited


@dataclass(frozen=True, slots=True)
class Departure:
    """What became of leaving."""

    told: tuple[str, ...]
    """The addresses where it was said that this device leaves."""
    not_told: tuple[str, ...]
    """Where it could not be said, and why, in words; of those, others hear of it if they hear of it elsewhere."""
    only_here: tuple[str, ...]
    """What no other device is known to have, in words; only with ``even_if_only_copy``."""
    wiped: bool


def leave(
    replica: Replica,
    *,
    wipe: bool,
    even_if_only_copy: bool,
    places: Iterable[str | Mailbox] | None,
    on_event: Callable[[Event], None] | None,
) -> Departure:
    """See `Replica.leave`."""
    with replica.reading() as store:
        if store.database.readonly:
            raise read_only()
    check_trusted(replica)
    replica.sync.check()
    asked = None if places is None else [*places]
    with _attachments_going(replica):
        before = _sync(replica, asked, on_event)
        removal = replica.safe_to_remove(replica.device)
        if not removal.safe and not even_if_only_copy:
            raise _only_copy(removal.reasons, before)
        after = _say_farewell(replica, asked, on_event)
    if wipe:
        replica.wipe()
    else:
        replica.membership.say(Revoke(replica.membership.keys.public.signing, ()))
        replica.leaving = False
    return Departure(
        told=tuple(one.address for one in after if one.reached),
        not_told=tuple(
            f"{one.address}: {'; '.join(one.problems)}" for one in after if not one.reached
        ),
        only_here=removal.reasons,
        wiped=wipe,
    )


def _say_farewell(
    replica: Replica,
    places: list[str | Mailbox] | None,
    on_event: Callable[[Event], None] | None,
) -> list[Visited]:
    replica.leaving = True
    try:
        with replica.writing() as store:
            devices.say_farewell(store, replica.system.now_ms())
            forgetting.say_farewell(store)
        return _sync(replica, places, on_event)
    except BaseException:
        replica.leaving = False  # the next exchange takes it back
        raise


@contextmanager
def _attachments_going(replica: Replica) -> Iterator[None]:
    """Attachments that are paused go on: others need what only this device has. They are paused again if it stays."""
    was_paused = replica.sync.attachments_paused
    replica.sync.resume_attachments()
    try:
        yield
    except BaseException:
        if was_paused:
            replica.sync.pause_attachments()
        raise


def _sync(
    replica: Replica,
    places: list[str | Mailbox] | None,
    on_event: Callable[[Event], None] | None,
) -> list[Visited]:
    import anyio

    from msgsync import settling

    return anyio.run(partial(settling.sync_with_all, replica, places, on_event=on_event))


def _only_copy(reasons: Iterable[str], visits: Iterable[Visited]) -> OnlyCopy:
    failures = [f"{one.address}: {words}" for one in visits for words in one.problems]
    boxes = [one.address for one in visits if one.is_mailbox and one.reached]
    what = "; ".join([*reasons, *failures])
    if boxes:
        what += f"; {', '.join(boxes)} has it, but no device is known to have read it there"
    return OnlyCopy(
        f"this device may be the only one that has something: {what}; sync it with another device first, or leave all "
        "the same: even_if_only_copy=True"
    )
