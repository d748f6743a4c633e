"""Sessions over TCP, on anyio (asyncio and trio). The session is the same machine as everywhere. Source: design 7.

Until sessions are encrypted, addresses beyond this machine need ``insecure=True``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from msgsync.errors import (
    ConnectionLost,
    InsecureTransport,
    InvalidValue,
    MsgSyncError,
    PeerError,
)
from msgsync.protocol.events import Event
from msgsync.protocol.frames import FrameReader
from msgsync.protocol.session import Session

_READ_BYTES: Final = 256 * 1024
_CONNECT_SECONDS: Final = 10
_GREETING_SECONDS: Final = 15
"""A peer that does not say hello for this long is no msgsync."""
_SILENCE_SECONDS: Final = 120
"""A peer that neither sends nor takes anything for this long is gone."""


def parse_address(address: str, *, insecure: bool) -> tuple[str, int]:
    """Return host and port of ``tcp://HOST:PORT``.

    Raises:
        InvalidValue: it is no such address.
        InsecureTransport: it leads beyond this machine, and nobody said that this is intended.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidValue(
            f"{address!r} is not an address ({error}); write tcp://HOST:PORT"
        ) from error
    if parts.scheme != "tcp" or not host or port is None or parts.path or parts.query:
        raise InvalidValue(f"{address!r} is not an address; write tcp://HOST:PORT")
    if not insecure and not _is_loopback(host):
        raise InsecureTransport(
            f"{host} is not this machine, and sessions are not encrypted yet: anybody on the way could read "
            "all messages. Pass insecure=True (--insecure) if the network between is your own"
        )
    return host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Carrier:
    """Carries one session over one stream: a task reads, a task writes, the session takes one step at a time."""

    def __init__(
        self, session: Session, stream: SocketStream, on_event: Callable[[Event], None] | None
    ) -> None:
        self._session = session
        self._stream = stream
        self._on_event = on_event
        self._steps = anyio.Lock()
        self._wake = anyio.Event()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            await self._write()
            # The peer may have closed already: it was finished first, and has all it needs.
            gone = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
            with anyio.move_on_after(1), suppress(*gone):
                await self._stream.send_eof()
            tasks.cancel_scope.cancel()

    async def _read(self) -> None:
        session = self._session
        reader = FrameReader()
        while not session.finished:
            try:
                greeted = session.bytes_received > 0
                with anyio.fail_after(_SILENCE_SECONDS if greeted else _GREETING_SECONDS):
                    data = await self._stream.receive(_READ_BYTES)
            except anyio.EndOfStream:
                break
            for frame in reader.feed(data):
                async with self._steps:
                    events = await anyio.to_thread.run_sync(session.receive, frame)
                for event in events:
                    if self._on_event is not None:
                        self._on_event(event)
                self._wake.set()
        if not session.finished and session.error is None:
            raise ConnectionLost(
                "the peer closed the connection early; sync again to go on from there"
            )

    async def _write(self) -> None:
        session = self._session
        while True:
            async with self._steps:
                frame = await anyio.to_thread.run_sync(session.next_frame)
                if frame is None:
                    if session.finished:
                        return
                    self._wake = anyio.Event()
            if frame is None:
                await self._wake.wait()
                continue
            with anyio.fail_after(_SILENCE_SECONDS):
                await self._stream.send(frame)


async def run_session(
    session: Session, stream: SocketStream, on_event: Callable[[Event], None] | None
) -> None:
    """Carry a session over a stream until it is finished.

    Raises:
        ConnectionLost: the peer went away first, or fell silent; what was merged stays.
        MsgSyncError: why the session stopped.
    """
    try:
        await _Carrier(session, stream, on_event).run()
    except BaseExceptionGroup as group:
        _raise_one(session, group)
    if session.error is not None:
        raise session.error


def _raise_one(session: Session, group: BaseExceptionGroup[BaseException]) -> None:
    """Raise the one error that a caller can act on, in place of a group of both tasks' errors.

    What the connection says after the session has finished says nothing: the peer was done first.
    """
    of_connection = (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError)
    ours, others = group.split(MsgSyncError)
    broken, foreign = (None, None) if others is None else others.split(of_connection)
    if foreign is not None:
        raise foreign
    if ours is not None:
        raise _first(ours) from group
    if broken is not None and session.error is None and not session.finished:
        silent = isinstance(_first(broken), TimeoutError)
        what = "the peer fell silent" if silent else "the connection broke"
        raise ConnectionLost(f"{what}; sync again to go on from there") from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def connect(address: str, *, insecure: bool) -> SocketStream:
    """Open a connection.

    Raises:
        InvalidValue, InsecureTransport: see `parse_address`.
        ConnectionLost: nobody answers there.
    """
    host, port = parse_address(address, insecure=insecure)
    try:
        with anyio.fail_after(_CONNECT_SECONDS):
            return await anyio.connect_tcp(host, port)
    except (OSError, TimeoutError) as error:
        raise ConnectionLost(
            f"nobody answers at {address}; start serve there, or check the address and the network"
        ) from error


async def listen(address: str, *, insecure: bool) -> tuple[MultiListener[SocketStream], str]:
    """Listen; port 0 takes a free one. Returns the listener and the address that was taken.

    Raises:
        InvalidValue, InsecureTransport: see `parse_address`.
        PeerError: the address cannot be taken.
    """
    host, port = parse_address(address, insecure=insecure)
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except OSError as error:
        raise PeerError(
            f"cannot listen on {address}: {error.strerror}; choose another port"
        ) from error
    taken = listener.listeners[0].extra(SocketAttribute.local_address)
    return listener, f"tcp://{_bracketed(taken[0])}:{taken[1]}"


def _bracketed(host: object) -> str:
    return f"[{host}]" if ":" in str(host) else str(host)
