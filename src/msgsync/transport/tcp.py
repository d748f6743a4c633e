"""Connections over TCP, on anyio (asyncio and trio). Source: design 7.

Until sessions are encrypted, addresses beyond this machine need ``insecure=True``.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from msgsync.errors import (
    ConnectionLost,
    InsecureTransport,
    InvalidValue,
    PeerError,
)


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
            "all messages; pass insecure=True if the network between is your own"
        )
    return host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def connect(address: str, *, insecure: bool, connect_s: float) -> SocketStream:
    """Open a connection, within so many seconds.

    Raises:
        InvalidValue, InsecureTransport: see `parse_address`.
        ConnectionLost: nobody answers there.
    """
    host, port = parse_address(address, insecure=insecure)
    try:
        with anyio.fail_after(connect_s):
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
