"""Rung on any thread, heard in the event loop: how a commit wakes the sessions that are to push it. Source: design 7.

A pair of sockets does it under asyncio and trio alike; what writes never waits for the event loop.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio


class Bell:
    """A bell; ``async with`` it in the event loop. Rings that nobody has heard yet count as one."""

    def __init__(self) -> None:
        self._ears, self._hammer = socket.socketpair()
        for end in (self._ears, self._hammer):
            end.setblocking(False)

    def ring(self) -> None:
        """Ring; from any thread, at any time."""
        with suppress(
            BlockingIOError, OSError
        ):  # full: it has been rung often enough; closed: nobody listens
            self._hammer.send(b"\0")

    async def heard(self) -> None:
        """Wait until it is rung."""
        await anyio.wait_readable(self._ears)
        with suppress(BlockingIOError):
            while self._ears.recv(4096):
                pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ears.close()
        self._hammer.close()
