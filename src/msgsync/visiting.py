"""Around every round and every session: how it went is noted, and it ends when sync is switched off. On anyio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio

from msgsync.errors import MsgSyncError
from msgsync.protocol.events import Event
from msgsync.replica.places import Visit
from msgsync.replica.replica import Replica
from msgsync.transport.bell import Bell
from msgsync.transport.carrier import first_of

OnEvent = Callable[[Event], None]


@asynccontextmanager
async def while_on(replica: Replica) -> AsyncIterator[None]:
    """Run the block while sync is on; when it is switched off the block is cancelled.

    Raises:
        SyncOff: sync is off, or was switched off.
    """

    async def listen(bell: Bell) -> None:
        while True:
            await bell.heard()
            await anyio.to_thread.run_sync(replica.sync.check)

    async with Bell() as bell:
        end = replica.sync.on_switch(bell.ring)
        try:
            await anyio.to_thread.run_sync(replica.sync.check)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen, bell)
                yield
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_of(group) from None
        finally:
            end()


@asynccontextmanager
async def visiting(replica: Replica, place: str, *, mailbox: bool = False) -> AsyncIterator[Visit]:
    """Run the block, which exchanges something with a place, and note the error if it ends with one.

    Raises:
        SyncOff: sync is off, or was switched off.
    """
    with replica.places.visit(place) as visit:
        try:
            yield visit
        except MsgSyncError as error:
            if visit.place:  # nobody is noted who did not show who it is
                note = partial(
                    replica.places.failed,
                    visit.place,
                    error,
                    visit.device,
                    mailbox=mailbox,
                    objects=visit.objects,
                )
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(note)
            raise
