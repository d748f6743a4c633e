"""One session over one stream: who reads, who writes, and when the peer is gone. On anyio. Source: design 7."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import ByteStream

from msgsync.errors import ConnectionLost, MsgSyncError
from msgsync.protocol.events import Event
from msgsync.protocol.session import Session
from msgsync.protocol.wire import FrameReader
from msgsync.transport.timing import Timing

_READ_BYTES: Final = 256 * 1024
_SEND_BYTES: Final = 64 * 1024
"""What is handed to the stream at once: when it is taken the peer has shown that it is there."""
_GONE: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Carrier:
    """Carries one session over one stream.

    A task reads, a task writes, a task keeps the time; the session takes one step at a time, on a worker thread. What
    is read is merged before more is read, and a frame is made when the last one is on its way: so neither a peer that
    sends nor one that does not read can make memory grow.
    """

    def __init__(
        self,
        session: Session,
        stream: ByteStream,
        on_event: Callable[[Event], None] | None,
        timing: Timing,
    ) -> None:
        """Both sides of the session begin with `run`."""
        self._session = session
        self._stream = stream
        self._on_event = on_event
        self._timing = timing
        self._steps = anyio.Lock()
        self._wake = anyio.Event()
        self._begun_at = self._received_at = self._sent_at = self._active_at = 0.0
        self._within_frame = False
        self._lost = False
        self._apps_error: BaseException | None = None

    def changed(self) -> None:
        """The replica was written to; in the event loop."""
        self._session.changed()
        self._wake.set()

    async def run(self) -> None:
        """Carry the session until it is finished.

        Raises:
            ConnectionLost: the peer went away first, or fell silent; what was merged stays.
            MsgSyncError: why the session stopped.
            Exception: what ``on_event`` raised, as it is; the peer is told goodbye.
        """
        self._begun_at = self._received_at = self._sent_at = self._active_at = anyio.current_time()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read)
                tasks.start_soon(self._keep_time)
                await self._write()
                # The peer may have closed already: it was finished first, and has all it needs.
                with anyio.move_on_after(1), suppress(*_GONE):
                    await self._stream.send_eof()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            self._raise_one(group)
        finally:
            await self._say_goodbye()
        if self._session.error is not None:
            raise self._session.error

    async def _read(self) -> None:
        session = self._session
        reader = FrameReader()
        while not session.finished:
            try:
                data = await self._stream.receive(_READ_BYTES)
            except anyio.EndOfStream:
                break
            self._received_at = self._active_at = anyio.current_time()
            for frame in reader.feed(data):
                async with self._steps:
                    events = await anyio.to_thread.run_sync(session.receive, frame)
                    self._received_at = self._active_at = anyio.current_time()
                self._wake.set()
                self._tell(events)
        if not session.finished and session.error is None:
            raise ConnectionLost(
                "the peer closed the connection early; sync again to go on from there"
            )

    def _tell(self, events: list[Event]) -> None:
        if self._on_event is None:
            return
        for event in events:
            try:
                self._on_event(event)
            except BaseException as error:
                self._apps_error = error
                raise

    async def _write(self) -> None:
        session = self._session
        while True:
            async with self._steps:
                frame = await anyio.to_thread.run_sync(session.next_frame)
                self._active_at = anyio.current_time()
                self._tell(session.take_events())
                if frame is None:
                    if session.finished:
                        return
                    self._wake = anyio.Event()
                    if session.pending:  # written to since: the ring came before the bell was hung
                        self._wake.set()
            if frame is None:
                await self._wake.wait()
                continue
            self._within_frame = True
            for start in range(0, len(frame), _SEND_BYTES):
                await self._stream.send(frame[start : start + _SEND_BYTES])
                self._sent_at = self._active_at = anyio.current_time()
            self._within_frame = False

    async def _keep_time(self) -> None:
        """Give up a peer that is gone; on a session that stays, say now and then that this side is there."""
        timing = self._timing
        while True:
            async with self._steps:  # while this side is at work nobody is silent
                now = anyio.current_time()
                deadline = self._deadline()
                if now >= deadline:
                    raise TimeoutError
                if self._session.idle and now >= self._sent_at + timing.keep_alive_s:
                    await anyio.to_thread.run_sync(self._session.keep_alive)
                    self._sent_at = now
                    self._wake.set()
            next_alive = max(self._sent_at, now - timing.keep_alive_s / 2) + timing.keep_alive_s
            await anyio.sleep(min(deadline, next_alive) - now)

    def _deadline(self) -> float:
        if self._session.bytes_received == 0:
            return self._begun_at + self._timing.greeting_s
        # What a live side sends may lie in a buffer for a long time; that the peer is there only its own words show.
        last = self._received_at if self._session.idle else self._active_at
        return last + self._timing.silence_s

    async def _say_goodbye(self) -> None:
        """Leave in good order if this side was stopped in the middle: cancelled, or by an error of the app."""
        session = self._session
        if session.finished or self._lost or self._within_frame or not session.bytes_received:
            return
        session.stop()
        with (
            anyio.move_on_after(self._timing.farewell_s, shield=True),
            suppress(*_GONE),
        ):
            async with self._steps:
                while (frame := session.next_frame()) is not None:
                    await self._stream.send(frame)
                await self._stream.send_eof()

    def _raise_one(self, group: BaseExceptionGroup[BaseException]) -> None:
        """Raise the one error that a caller can act on, in place of a group of the tasks' errors.

        What the connection says after the session has finished says nothing: the peer was done first.
        """
        if self._apps_error is not None:
            raise self._apps_error
        of_connection = (*_GONE, TimeoutError, anyio.EndOfStream)
        ours, others = group.split(MsgSyncError)
        broken, foreign = (None, None) if others is None else others.split(of_connection)
        if foreign is not None:
            raise first_of(foreign)
        if ours is not None:
            self._lost = isinstance(first_of(ours), ConnectionLost)
            raise first_of(ours) from group
        if broken is not None and self._session.error is None and not self._session.finished:
            self._lost = True
            silent = isinstance(first_of(broken), TimeoutError)
            what = "the peer fell silent" if silent else "the connection broke"
            raise ConnectionLost(f"{what}; sync again to go on from there") from group


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
