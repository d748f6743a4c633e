"""What lies on the way between two devices, and peers that say by hand what they like over a real channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from msgsync import Replica, aio
from msgsync.protocol.frames import Frame
from msgsync.protocol.wire import FrameReader, decode_frame
from msgsync.transport.channel import Channel, secure

_GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def channel_to(address: str, replica: Replica) -> Channel:
    """A channel to a server by the keys of a replica, for whatever somebody wants to say there."""
    return await aio._connected(replica, address, aio.Timing())


async def pass_on(
    source: ByteStream, target: ByteStream, look: Callable[[bytes], object] | None = None
) -> None:
    """Carry bytes one way until there are no more."""
    try:
        while True:
            data = await source.receive()
            if look is not None:
                look(data)
            await target.send(data)
    except anyio.EndOfStream:
        try:
            await target.send_eof()
        except _GONE:
            return
    except _GONE:
        return


@asynccontextmanager
async def between(
    address: str, answer: Callable[[SocketStream, SocketStream], object]
) -> AsyncIterator[str]:
    """An address at which each connection is answered together with one to the other address."""

    async def both(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", port_of(address)) as server:
            await answer(client, server)  # type: ignore[misc]

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, both)
        taken = listener.listeners[0].extra(SocketAttribute.local_address)
        yield f"tcp://127.0.0.1:{taken[1]}"
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def recorded(address: str) -> AsyncIterator[tuple[str, bytearray]]:
    """A relay that keeps every byte that goes through it, either way."""
    seen = bytearray()

    async def answer(client: SocketStream, server: SocketStream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on, client, server, seen.extend)
            tasks.start_soon(pass_on, server, client, seen.extend)

    async with between(address, answer) as relay:
        yield relay, seen


@asynccontextmanager
async def tapped(
    address: str, server: Replica, client: Replica
) -> AsyncIterator[tuple[str, list[tuple[str, Frame]], Callable[[], None]]]:
    """Somebody with the keys of both: notes every frame, and cuts all connections when told to."""
    seen: list[tuple[str, Frame]] = []
    scopes: list[anyio.CancelScope] = []

    def note(way: str) -> Callable[[bytes], object]:
        reader = FrameReader()
        return lambda data: seen.extend((way, decode_frame(raw)) for raw in reader.feed(data))

    async def answer(near: SocketStream, far: SocketStream) -> None:
        as_server = await secure(near, aio._trust(server), server=True, within_s=10)
        as_client = await secure(far, aio._trust(client), server=False, within_s=10)
        async with anyio.create_task_group() as tasks:
            scopes.append(tasks.cancel_scope)
            tasks.start_soon(pass_on, as_server, as_client, note("there"))
            tasks.start_soon(pass_on, as_client, as_server, note("back"))

    def cut() -> None:
        for scope in scopes:
            scope.cancel()
        scopes.clear()

    async with between(address, answer) as tap:
        yield tap, seen, cut
