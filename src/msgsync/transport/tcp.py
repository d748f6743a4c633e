"""Sessions over TCP, on anyio (asyncio and trio). The session is the same machine as everywhere. Source: design 7.

Until sessions are encrypted, addresses beyond this machine need ``insecure=True``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from msgsync.errors import ConnectionLost, InsecureTransport, InvalidValue, PeerError
from msgsync.protocol.frames import FrameReader
from msgsync.protocol.session import Event, Session

_READ_BYTES: Final = 256 * 1024
_CONNECT_SECONDS: Final = 10
_SILENCE_SECONDS: Final = 120
"""A peer that neither sends nor takes anything for this long is gone."""


def parse_address(address: str, *, insecure: bool) -> tuple[str, int]:
    """Return host and port of ``tcp://HOST:PORT``.

    Raises:
        InvalidValue: it is no such address.
        InsecureTransport: it leads beyond this machine, and nobody said that this is intended.
    """
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidValue(f"{address!r} has a port that is none; write tcp://HOST:PORT") from error
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


async def run_session(
    session: Session, stream: SocketStream, on_event: Callable[[Event], None] | None
) -> None:
    """Carry a session over a stream until it is finished.

    Raises:
        ConnectionLost: the peer went away first; what was merged stays.
        MsgSyncError: why the session stopped.
    """
    steps = anyio.Lock()  # the session takes one step at a time, in a worker thread
    wake = anyio.Event()

    async def read() -> None:
        nonlocal wake
        reader = FrameReader()
        while not session.finished:
            try:
                with anyio.fail_after(_SILENCE_SECONDS):
                    data = await stream.receive(_READ_BYTES)
            except anyio.EndOfStream:
                break
            for frame in reader.feed(data):
                async with steps:
                    events = await anyio.to_thread.run_sync(session.receive, frame)
                for event in events:
                    if on_event is not None:
                        on_event(event)
                wake.set()
        if not session.finished and session.error is None:
            raise ConnectionLost(
                "the peer closed the connection early; sync again to go on from there"
            )

    async def write() -> None:
        nonlocal wake
        while True:
            async with steps:
                frame = await anyio.to_thread.run_sync(session.next_frame)
                if frame is None:
                    if session.finished:
                        return
                    wake = anyio.Event()
            if frame is None:
                await wake.wait()
                continue
            with anyio.fail_after(_SILENCE_SECONDS):
                await stream.send(frame)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await write()
            with anyio.move_on_after(1):
                await stream.send_eof()
            tasks.cancel_scope.cancel()
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError) as broken:
        if session.error is None and not session.finished:
            raise ConnectionLost("the connection broke; sync again to go on from there") from broken
    except* TimeoutError as silent:
        raise ConnectionLost("the peer fell silent; sync again to go on from there") from silent
    if session.error is not None:
        raise session.error


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
