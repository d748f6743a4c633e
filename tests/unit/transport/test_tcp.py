"""Addresses: what is one. Over sockets: tests/integration/test_tcp.py."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.stapled import MultiListener

from msgsync import InvalidValue, PeerError
from msgsync.transport.tcp import answer, from_outside, listen, parse_address


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("tcp://127.0.0.1:0", ("127.0.0.1", 0)),
        ("tcp://127.8.9.1:65535", ("127.8.9.1", 65535)),
        ("tcp://localhost:9", ("localhost", 9)),
        ("tcp://LOCALHOST:9", ("localhost", 9)),
        ("tcp://[::1]:9", ("::1", 9)),
        ("tcp://192.168.0.7:9", ("192.168.0.7", 9)),
        ("tcp://0.0.0.0:0", ("0.0.0.0", 0)),
        ("tcp://[2001:db8::1]:9", ("2001:db8::1", 9)),
        ("tcp://example.org:9", ("example.org", 9)),
    ],
)
def test_an_address_is_a_host_and_a_port(address, place):
    assert parse_address(address) == place


def test_an_address_for_every_interface_is_told_as_one_that_others_reach():
    for everywhere in ("tcp://0.0.0.0:7700", "tcp://[::]:7700"):
        host, port = parse_address(from_outside(everywhere))
        assert port == 7700
        assert host not in ("0.0.0.0", "::")
    assert from_outside("tcp://127.0.0.1:7700") == "tcp://127.0.0.1:7700"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:9",
        "tcp://",
        "tcp://:9",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:x",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:9/path",
        "tcp://127.0.0.1:9?query",
        "http://127.0.0.1:9",
        "tcp://[::1:9",
    ],
)
def test_another_text_is_no_address(address):
    with pytest.raises(InvalidValue, match="tcp://HOST:PORT"):
        parse_address(address)


Accept = Callable[[], Awaitable[SocketStream]]


async def answered_after(monkeypatch: pytest.MonkeyPatch, error: Exception) -> bool:
    """Whether a connection is answered after the one before could not be accepted."""
    listener, address = await listen("tcp://127.0.0.1:0")
    [one] = listener.listeners
    accept: Accept = one.accept  # type: ignore[attr-defined]
    failing = [error]

    async def accept_or_fail() -> SocketStream:
        if failing:
            raise failing.pop()
        return await accept()

    monkeypatch.setattr(one, "accept", accept_or_fail)
    done = anyio.Event()

    async def hear(stream: SocketStream) -> None:
        async with stream:
            done.set()

    with anyio.fail_after(30):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(answer, MultiListener([one]), hear)
            async with await anyio.connect_tcp(*parse_address(address)):
                await done.wait()
            tasks.cancel_scope.cancel()
    return done.is_set()


@pytest.mark.anyio
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ECONNABORTED])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_connection_that_cannot_be_accepted_ends_nothing(monkeypatch, number, wrapped):
    error: Exception = OSError(number, "no")
    if wrapped:  # as trio's listener does
        outer = anyio.BrokenResourceError()
        outer.__cause__ = error
        error = outer
    assert await answered_after(monkeypatch, error)


@pytest.mark.anyio
async def test_when_none_can_be_accepted_any_more_that_is_said(monkeypatch):
    with pytest.raises(BaseExceptionGroup) as caught:
        await answered_after(monkeypatch, OSError(errno.EBADF, "no"))
    assert caught.group_contains(PeerError, match="any more")
