"""Sessions over bare TCP, without a channel: what the protocol costs by itself, and what channels add to it."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import SocketStream

import msgsync
from benchmarks import process
from msgsync.aio import Timing
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.transport import tcp
from msgsync.transport.carrier import Carrier

Serve = Callable[..., Awaitable[None]]
Sync = Callable[[msgsync.Replica, str], Awaitable[msgsync.SyncReport]]


async def sync(replica: msgsync.Replica, address: str) -> msgsync.SyncReport:
    """Exchange with one that serves so."""
    async with await tcp.connect(address, connect_s=10) as stream:
        session = Session(Exchange(replica))
        await Carrier(session, stream, None, Timing()).run()
        return session.report()


async def serve(replica: msgsync.Replica, on_listening: Callable[[str], None]) -> None:
    """Answer whoever comes."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await Carrier(Session(Exchange(replica)), stream, None, Timing()).run()

    listener, address = await tcp.listen("tcp://127.0.0.1:0")
    async with listener:
        on_listening(address)
        await listener.serve(answer)


def give(serve: Serve, path: str) -> None:
    """In a process of its own: give what there is to whoever comes, until interrupted."""
    process.listen_to_interrupts()
    with msgsync.open(Path(path)) as replica, suppress(KeyboardInterrupt):
        tell = partial(serve, replica, on_listening=lambda address: process.tell(address=address))
        anyio.run(tell)
    process.tell(peak_bytes=process.peak_bytes(), processor_s=time.process_time())


def take(sync: Sync, path: str, address: str) -> None:
    """In a process of its own: take what there is."""
    # The event loop is loaded before the clock starts, as sockets are in `copying`.
    anyio.run(anyio.sleep, 0)
    with msgsync.open(Path(path)) as replica:
        started, started_processor = time.perf_counter(), time.process_time()
        report = anyio.run(sync, replica, address)
        taken_s = time.perf_counter() - started
        processor_s = time.process_time() - started_processor
        if not report.complete:
            raise RuntimeError(f"the exchange is not complete; refused: {report.refused}")
        process.tell(
            seconds=taken_s,
            processor_s=processor_s,
            messages=replica.status().messages,
            bytes=report.bytes_received + report.bytes_sent,
            peak_bytes=process.peak_bytes(),
        )


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    if verb == "serve":
        give(serve, *arguments)
    else:
        take(sync, *arguments)
