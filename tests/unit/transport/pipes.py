"""Two ends of a stream of bytes in memory, for channels and pairings."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import ByteStream


class End(ByteStream):
    """One end. What it sends can be changed on its way."""

    def __init__(self) -> None:
        self.other: End = self
        self.sent = bytearray()
        self.change: Callable[[int, bytes], bytes] = lambda _at, data: data
        """Given the position of the first byte and the bytes; what it returns arrives."""
        self._come = bytearray()
        self._ended = False
        self._bell = anyio.Event()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while not self._come:
            if self._ended:
                raise anyio.EndOfStream
            await self._bell.wait()
            self._bell = anyio.Event()
        data = bytes(self._come[:max_bytes])
        del self._come[:max_bytes]
        return data

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        changed = self.change(len(self.sent), item)
        self.sent += item
        self.other._come += changed
        self.other._bell.set()

    async def send_eof(self) -> None:
        self.other._ended = True
        self.other._bell.set()

    async def aclose(self) -> None:
        await self.send_eof()


def pipe() -> tuple[End, End]:
    one, other = End(), End()
    one.other, other.other = other, one
    return one, other


def flipped(position: int) -> Callable[[int, bytes], bytes]:
    """One bit is another on the way."""

    def change(at: int, data: bytes) -> bytes:
        if not at <= position < at + len(data):
            return data
        bent = bytearray(data)
        bent[position - at] ^= 1 << position % 8
        return bytes(bent)

    return change
