"""Syncing by a mailbox, async: rounds of a courier. `msgsync.sync` with a mailbox does this. Source: design 9."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import NoReturn

import anyio

from msgsync import limits
from msgsync.errors import MailboxError, NotCaughtUp, ReplicaClosed
from msgsync.mailbox.carrying import carry_async
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.courier import Courier
from msgsync.protocol.events import Completed, Disconnected, Event, SyncReport
from msgsync.protocol.objects import LOGS, by_folder
from msgsync.replica.chunkmailing import ChunkMailing
from msgsync.replica.mailing import Mailing
from msgsync.replica.replica import Replica
from msgsync.transport.bell import Bell
from msgsync.transport.carrier import first_of
from msgsync.transport.timing import Timing
from msgsync.visiting import OnEvent, visiting, while_on
from msgsync.watching import ring_when_told


async def sync_by(replica: Replica, mailbox: Mailbox, on_event: OnEvent | None) -> SyncReport:
    """One round: read what others have left, put what is not there yet, chunks of attachments last.

    Raises:
        MailboxError: the mailbox cannot be used now; what was read and put before stays so.
        SyncOff: sync is switched off, or was meanwhile; the request that was under way came to its end.
        AccountError, UsageError, StorageError: why it stopped.
    """
    await anyio.to_thread.run_sync(replica.fetching.ask_anew, mailbox.address)
    report, _ = await _round(replica, mailbox, on_event, None)
    return report


async def _round(
    replica: Replica, mailbox: Mailbox, on_event: OnEvent | None, most_chunks: int | None
) -> tuple[SyncReport, bool]:
    """One round with so many chunks at most; and whether there are more."""
    async with while_on(replica), visiting(replica, mailbox.address, mailbox=True) as visit:
        replica.places.mailboxes[mailbox.address] = mailbox
        waiting: deque[Event] = deque()
        mailing = await anyio.to_thread.run_sync(partial(Mailing, replica, mailbox.address))
        seen = _Seen(mailbox)
        chunks = await anyio.to_thread.run_sync(
            partial(ChunkMailing, replica, mailbox.address, visit)
        )
        courier = Courier(mailing, waiting.append, chunks=chunks, most_chunks=most_chunks)

        def tell() -> None:
            while waiting:
                event = waiting.popleft()
                if on_event is not None:
                    on_event(event)

        try:
            report = await carry_async(courier.run(), seen, tell)
        except MailboxError:
            if seen.logs is not None:
                visit.objects = await anyio.to_thread.run_sync(_left, mailing, seen.logs)
            raise
        await anyio.to_thread.run_sync(partial(_note, replica, mailing, seen, report))
        waiting.append(Completed(report))
        tell()
        return report, courier.has_more


class _Seen:
    """A mailbox, and what it was last said to hold in logs."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self.address = mailbox.address
        self.put, self.get, self.delete = mailbox.put, mailbox.get, mailbox.delete
        self.logs: list[str] | None = None

    def list(self, folder: str) -> list[str]:
        """See `Mailbox.list`."""
        found = self._mailbox.list(folder)
        if folder == LOGS:
            self.logs = found
        return found


def _note(replica: Replica, mailing: Mailing, seen: _Seen, report: SyncReport) -> None:
    """Note how a round went that came to its end."""
    place = seen.address
    if report.complete:
        replica.places.succeeded(place, mailbox=True)
        return
    objects = _left(mailing, seen.logs or [])
    code = report.codes[0] if report.codes else NotCaughtUp.code
    why = "; ".join(report.refused) or report.reason or "not all was read and put; sync again"
    replica.places.incomplete(place, code, why, mailbox=True, objects=objects)


def _left(mailing: Mailing, names: Iterable[str]) -> int:
    """How many of these objects of logs were not read."""
    read = {folder: log.position.sequence for folder, log in mailing.logs().items()}
    return sum(
        sequence > read.get(folder, 0)
        for folder, sequences in by_folder(names).items()
        for sequence in sequences
    )


async def watch(
    replica: Replica, mailbox: Mailbox, on_event: OnEvent | None, timing: Timing
) -> None:
    """A round after every commit of this replica, and now and then for what others leave; until cancelled.

    Raises:
        ReplicaClosed: the replica was closed.
        SyncOff: sync is switched off, or was meanwhile.
        AccountError, UsageError, StorageError: why it stopped; a mailbox that cannot be used is tried again.
    """
    with replica.places.watching(mailbox.address):
        async with while_on(replica), Bell() as bell:
            ends = (
                replica.on_commit(lambda _seq: bell.ring()),
                replica.fetching.listeners.add(lambda _seq: bell.ring()),
                replica.on_close(bell.ring),
                replica.places.on_look(bell.ring),
            )
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(ring_when_told, mailbox, bell, timing.poll_s)
                    await _rounds(replica, mailbox, on_event, timing, bell)
            except (
                BaseExceptionGroup
            ) as group:  # of what is inside, none is more telling than the first
                raise first_of(group) from None
            finally:
                for end in ends:
                    end()


async def _rounds(
    replica: Replica, mailbox: Mailbox, on_event: OnEvent | None, timing: Timing, bell: Bell
) -> NoReturn:
    attempt = 0
    while True:
        if replica.closed:
            raise ReplicaClosed(f"{replica.path} was closed; open it again to go on")
        chance = int.from_bytes(replica.system.random_bytes(4), "big") / 2**32
        try:
            _, has_more = await _round(replica, mailbox, on_event, limits.CHUNKS_PER_ROUND)
        except MailboxError as error:
            pause_s = timing.retry_s(attempt, chance)
            attempt += 1
            if on_event is not None:
                on_event(Disconnected(str(error), pause_s))
            await anyio.sleep(pause_s)
            continue
        attempt = 0
        if has_more:
            continue
        with anyio.move_on_after(timing.poll_s * (1 - chance / 2)):
            await bell.heard()
