"""The frames of a pairing: over a stream of bytes, each with its length in four bytes before it. On anyio.

Source: docs/spec/crypto.md, "Pairing". Frames are encrypted by themselves, so the stream need not be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import anyio
from anyio.abc import ByteStream

from msgsync.account.handshake import Event, Side
from msgsync.errors import ConnectionLost, ProtocolError

_LENGTH_BYTES: Final = 4
_READ_BYTES: Final = 64 * 1024
_PART_S: Final = 1.0
_GONE: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Frames(Protocol):
    """What leads to the other side: a `Line`, or objects in a mailbox."""

    async def send(self, frame: bytes, *, within_s: float) -> None:
        """Send a frame. Raises ConnectionLost."""

    async def receive(self, *, within_s: float) -> bytes:
        """Wait for a frame. Raises ConnectionLost, ProtocolError."""

    async def part(self) -> None:
        """Nothing more will be sent or is waited for; see that what was sent last arrives, for a while."""


class Line:
    """One stream, frame by frame.

    Args:
        stream: any that keeps the order of bytes.
        most_bytes: of a frame that comes.
    """

    def __init__(self, stream: ByteStream, *, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._buffer = bytearray()

    async def send(self, frame: bytes, *, within_s: float) -> None:
        """Send a frame.

        Raises:
            ConnectionLost: nobody is there any more, or nobody takes it.
        """
        try:
            with anyio.fail_after(within_s):
                await self._stream.send(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
        except (TimeoutError, *_GONE) as error:
            raise ConnectionLost("the connection ended before the devices were paired") from error

    async def receive(self, *, within_s: float) -> bytes:
        """Wait for a frame.

        Raises:
            ConnectionLost: none came.
            ProtocolError: a frame that is too long was announced.
        """
        try:
            with anyio.fail_after(within_s):
                await self._fill(_LENGTH_BYTES)
                size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
                if size > self._most_bytes:
                    raise ProtocolError(
                        f"a frame of {size} bytes while two devices are paired; at most {self._most_bytes} are allowed"
                    )
                await self._fill(_LENGTH_BYTES + size)
        except TimeoutError as error:
            raise ConnectionLost("the other device says nothing any more; start again") from error
        except _GONE as error:
            raise ConnectionLost("the connection ended before the devices were paired") from error
        frame = bytes(self._buffer[_LENGTH_BYTES : _LENGTH_BYTES + size])
        del self._buffer[: _LENGTH_BYTES + size]
        return frame

    async def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            self._buffer += await self._stream.receive(_READ_BYTES)

    async def part(self) -> None:
        """End this half, and read on until the other has ended: a stream that is closed at once takes words with it."""
        with anyio.move_on_after(_PART_S), suppress(*_GONE):
            await self._stream.send_eof()
            while True:
                await self._stream.receive(_READ_BYTES)


async def carry(
    side: Side,
    line: Frames,
    *,
    hear: Callable[[bytes], list[Event]],
    react: Callable[[Event], Awaitable[list[Event]]],
    patience_s: Callable[[], float],
) -> None:
    """Carry frames between one side of a pairing and its peer until that side is finished; `Side.error` tells how.

    Args:
        side: the machine.
        line: what leads to the peer.
        hear: has the machine take a frame.
        react: asks and stores what an event says; returns what happened by that.
        patience_s: how long to wait for what is due, in seconds.
    """
    while True:
        events: list[Event] = []
        try:
            while (frame := side.next_frame()) is not None:
                await line.send(frame, within_s=patience_s())
            if side.finished:
                await line.part()
                return
            events = hear(await line.receive(within_s=patience_s()))
        except ProtocolError as error:
            events = side.broken(error)
        except ConnectionLost as error:
            events = side.lost(error)
        while events:
            happened, events = events, []
            for event in happened:
                events += await react(event)
