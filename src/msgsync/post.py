"""Syncing by a mailbox, async: rounds of a courier. `msgsync.sync` with a mailbox does this. Source: design 9."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import anyio

from msgsync import limits
from msgsync.errors import MailboxError, ReplicaClosed
from msgsync.mailbox.carrying import carry_async
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.courier import Courier
from msgsync.protocol.events import Completed, Disconnected, Event, SyncReport
from msgsync.replica.chunkmailing import ChunkMailing
from msgsync.replica.mailing import Mailing
from msgsync.replica.replica import Replica
from msgsync.transport.bell import Bell
from msgsync.transport.timing import Timing

OnEvent = Callable[[Event], None]


async def sync_by(replica: Replica, mailbox: Mailbox, on_event: OnEvent | None) -> SyncReport:
    """One round: read what others have left, put what is not there yet, chunks of attachments last.

    Raises:
        MailboxError: the mailbox cannot be used now; what was read and put before stays so.
        AccountError, UsageError, StorageError: why it stopped.
    """
    report, _ = await _round(replica, mailbox, on_event, None)
    return report


async def _round(
    replica: Replica, mailbox: Mailbox, on_event: OnEvent | None, most_chunks: int | None
) -> tuple[SyncReport, bool]:
    """One round with so many chunks at most; and whether there are more."""
    waiting: deque[Event] = deque()
    mailing = await anyio.to_thread.run_sync(partial(Mailing, replica, mailbox.address))
    chunks = ChunkMailing(replica, mailbox.address)
    courier = Courier(mailing, waiting.append, chunks=chunks, most_chunks=most_chunks)

    def tell() -> None:
        while waiting:
            event = waiting.popleft()
            if on_event is not None:
                on_event(event)

    report = await carry_async(courier.run(), mailbox, tell)
    waiting.append(Completed(report))
    tell()
    return report, courier.has_more


async def watch(
    replica: Replica, mailbox: Mailbox, on_event: OnEvent | None, timing: Timing
) -> None:
    """A round after every commit of this replica, and now and then for what others leave; until cancelled.

    Raises:
        ReplicaClosed: the replica was closed.
        AccountError, UsageError, StorageError: why it stopped; a mailbox that cannot be used is tried again.
    """
    attempt = 0
    async with Bell() as bell:
        ends = (
            replica.on_commit(lambda _seq: bell.ring()),
            replica.fetching.listeners.add(lambda _seq: bell.ring()),
            replica.on_close(bell.ring),
        )
        try:
            while True:
                if replica.closed:
                    raise ReplicaClosed(f"{replica.path} was closed; open it again to go on")
                chance = int.from_bytes(replica.system.random_bytes(4), "big") / 2**32
                pause_s = timing.poll_s * (1 - chance / 2)
                try:
                    most = limits.CHUNKS_PER_ROUND
                    _, has_more = await _round(replica, mailbox, on_event, most)
                    attempt = 0
                    if has_more:
                        continue
                except MailboxError as error:
                    pause_s = timing.retry_s(attempt, chance)
                    attempt += 1
                    if on_event is not None:
                        on_event(Disconnected(str(error), pause_s))
                    await anyio.sleep(pause_s)
                    continue
                with anyio.move_on_after(pause_s):
                    await bell.heard()
        finally:
            for end in ends:
                end()
