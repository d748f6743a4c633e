"""Until something has come: a message elsewhere, a file, an older page, all of it. On anyio.

Something else has to exchange meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio

from msgsync.replica.attachment import Attachment, ProgressListener, bytes_here, waiting
from msgsync.replica.conversation import Conversation
from msgsync.replica.history import ask_no_more
from msgsync.replica.progress import FillProgress
from msgsync.replica.replica import Replica
from msgsync.replica.values import AnyId, Cursor, Page
from msgsync.replica.wants import look_for_older
from msgsync.replica.whereabouts import Whereabouts, is_there
from msgsync.transport.bell import Bell


async def progress(replica: Replica) -> AsyncIterator[FillProgress]:
    """How far a new device is in filling itself: now, then whenever that has changed, until all is here.

    Something else has to exchange meanwhile. The last one has ``done``; it comes at once if all is here.

    Raises:
        ReplicaClosed: the replica was closed meanwhile.
    """
    async with Bell() as bell:
        ends = replica.on_progress(bell.ring), replica.on_close(bell.ring)
        try:
            last: FillProgress | None = None
            while last is None or not last.done:
                now = await anyio.to_thread.run_sync(lambda: replica.progress)
                if now != last:
                    last = now
                    yield now
                if not now.done:
                    await bell.heard()
        finally:
            for end in ends:
                end()


async def older(conversation: Conversation, before: Cursor | AnyId, *, limit: int = 50) -> Page:
    """A page before a place; if nothing older is here yet, it is waited for, and comes before all else.

    See `Conversation.older`. For a limit of time put it into ``anyio.fail_after``.

    Raises:
        ReplicaClosed: the replica was closed meanwhile. What `Conversation.messages` raises.
    """
    replica = conversation.replica
    look = partial(look_for_older, conversation, before, limit)
    async with Bell() as bell:
        ends = replica.on_progress(bell.ring), replica.on_close(bell.ring)
        try:
            with replica.wants.wanting(conversation.id):
                while True:
                    page = await anyio.to_thread.run_sync(look)
                    if page is not None:
                        return page
                    await bell.heard()
        finally:
            for end in ends:
                end()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(ask_no_more, replica, conversation.id)


async def ensure_local(
    attachment: Attachment, *, on_progress: ProgressListener | None = None
) -> None:
    """Wait until all bytes of an attachment are on this device; see `Attachment.ensure_local`.

    Something else has to exchange meanwhile. To cancel it ends this wait alone; what came is kept. For a limit of time
    put it into ``anyio.fail_after``.

    Args:
        attachment: which one.
        on_progress: called in the event loop with bytes here and of how many, at once and whenever some came.

    Raises:
        AttachmentPaused, AttachmentGone, ReplicaClosed: it does not come any more.
    """
    async with Bell() as bell:
        wait = waiting(attachment, bell.ring)
        await anyio.to_thread.run_sync(wait.begin)
        try:
            while True:
                is_over = await anyio.to_thread.run_sync(wait.is_over)
                if on_progress is not None:
                    here = await anyio.to_thread.run_sync(bytes_here, attachment)
                    on_progress(here, attachment.size)
                if is_over:
                    break
                await bell.heard()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(wait.end)


async def wait_for(replica: Replica, message: AnyId, *, devices: int = 1) -> Whereabouts:
    """Wait until a message is known to be on so many devices besides this one; see `Replica.wait_for`.

    Something else has to exchange meanwhile. For a limit of time put it into ``anyio.fail_after``.

    Raises:
        UnknownMessage, ErasedMessage, ReplicaClosed, ReadOnly: nothing can be waited for.
    """
    async with Bell() as bell:
        ends = replica.on_known(lambda _seq: bell.ring()), replica.on_close(bell.ring)
        try:
            while True:
                found = await anyio.to_thread.run_sync(
                    partial(is_there, replica, message, devices=devices)
                )
                if found is not None:
                    return found
                await bell.heard()
        finally:
            for end in ends:
                end()
