"""Connections over TCP, on anyio (asyncio and trio). Source: design 7."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from msgsync.errors import ConnectionLost, InvalidValue, NoNetwork, PeerError

_PAUSE_S: Final = 0.1
_PASSING: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
    }
)
"""What accepting fails with while this machine is short of something, or because of who connects. Source: accept(2)."""

_NO_WAY: Final = frozenset({errno.ENETDOWN, errno.ENETUNREACH})
"""What connecting fails with on a machine that is in no network. Source: connect(2)."""


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of ``tcp://HOST:PORT``.

    Raises:
        InvalidValue: it is no such address.
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
    return host, port


_SERVE: Final = "start serve there"


async def connect(address: str, *, connect_s: float, advice: str = _SERVE) -> SocketStream:
    """Open a connection, within so many seconds; ``advice`` is what to do there if nobody answers.

    Raises:
        InvalidValue: see `parse_address`.
        NoNetwork: this machine has no way there.
        ConnectionLost: nobody answers there.
    """
    host, port = parse_address(address)
    try:
        with anyio.fail_after(connect_s):
            return await anyio.connect_tcp(host, port)
    except (OSError, TimeoutError) as error:
        if _has_no_way(error):
            raise NoNetwork(
                f"there is no way from here to {address}; connect to a network, or check the name of the host"
            ) from error
        raise ConnectionLost(
            f"nobody answers at {address}; {advice}, or check the address and the network"
        ) from error


def _has_no_way(error: BaseException | None) -> bool:
    """Whether the machine itself says so, in an error or in what it was raised from."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        if isinstance(error, OSError) and error.errno in _NO_WAY:
            return True
        error = error.__cause__
    return False


async def listen(address: str) -> tuple[MultiListener[SocketStream], str]:
    """Listen; port 0 takes a free one. Returns the listener and the address that was taken.

    Raises:
        InvalidValue: see `parse_address`.
        PeerError: the address cannot be taken.
    """
    host, port = parse_address(address)
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except OSError as error:
        raise PeerError(
            f"cannot listen on {address}: {error.strerror}; choose another port"
        ) from error
    taken = listener.listeners[0].extra(SocketAttribute.local_address)
    return listener, f"tcp://{_bracketed(taken[0])}:{taken[1]}"


async def answer(
    listener: MultiListener[SocketStream],
    handler: Callable[[SocketStream], Coroutine[Any, Any, None]],
) -> None:
    """Have a handler answer each connection, until cancelled; several at once.

    While the machine has no room for another connection the next one waits, and those that there are go on.

    Raises:
        PeerError: none can be accepted any more.
    """
    async with anyio.create_task_group() as tasks:
        for one in listener.listeners:
            tasks.start_soon(_accept, cast("SocketListener", one), handler, tasks)


async def _accept(
    listener: SocketListener,
    handler: Callable[[SocketStream], Coroutine[Any, Any, None]],
    tasks: TaskGroup,
) -> None:
    while True:
        try:
            stream = await listener.accept()
        except (OSError, anyio.BrokenResourceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__  # trio's, wrapped
            if not isinstance(cause, OSError) or cause.errno not in _PASSING:
                raise PeerError(f"no connection can be accepted any more: {cause}") from error
            await anyio.sleep(_PAUSE_S)
        else:
            tasks.start_soon(handler, stream)


def from_outside(address: str) -> str:
    """How others reach what listens at an address: one that stands for every interface is none to connect to."""
    host, port = parse_address(address)
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        return address
    here = "127.0.0.1"
    family, elsewhere = (
        (socket.AF_INET, "192.0.2.1") if host == "0.0.0.0" else (socket.AF_INET6, "2001:db8::1")  # noqa: S104
    )
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((elsewhere, 9))  # sends nothing: it only chooses the way
        here = probe.getsockname()[0]
    return f"tcp://{_bracketed(here)}:{port}"


def _bracketed(host: object) -> str:
    return f"[{host}]" if ":" in str(host) else str(host)
