"""Replicas over real sockets, on asyncio and trio."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

import msgsync
from msgsync import (
    AccountMismatch,
    Completed,
    ConnectionLost,
    Event,
    Incoming,
    Replica,
    Stopped,
    aio,
    limits,
)
from msgsync.document.frozen import NEVER_FROZEN
from msgsync.protocol.frames import Frame, Part, Updates, Want
from msgsync.protocol.session import Session
from msgsync.protocol.wire import encode_frame
from msgsync.replica.exchange import Exchange
from tests.integration.wire import channel_to, port_of
from tests.unit.members import changed
from tests.unit.parts import never_frozen

pytestmark = pytest.mark.anyio

SENT_MS = 1_706_745_000_000
MONTH_MS = 31 * 86_400_000


@pytest.fixture
def phone(phone: Replica) -> Replica:
    """A replica with some hundred messages in a few dozen documents."""
    phone.ingest(
        Incoming(f"c{n % 7}", "ben", f"{n} " * 40, SENT_MS - (n % 5) * MONTH_MS, external_id=str(n))
        for n in range(500)
    )
    return phone


@asynccontextmanager
async def serving(
    replica: Replica, where: str = "tcp://127.0.0.1:0"
) -> AsyncIterator[tuple[str, list[Event]]]:
    """Serve a replica in the background; gives the address and what happens in its sessions."""
    events: list[Event] = []
    address: list[str] = []
    ready = anyio.Event()

    def listening(taken: str) -> None:
        address.append(taken)
        ready.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            partial(aio.serve, replica, where, on_listening=listening, on_event=events.append)
        )
        await ready.wait()
        yield address[0], events
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def breaking(address: str, *, after_bytes: int) -> AsyncIterator[str]:
    """A proxy that closes both sides once the server has sent so many bytes."""

    async def forth(client: SocketStream, server: SocketStream) -> None:
        async for data in client:
            await server.send(data)

    async def answer(client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", port_of(address)) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(forth, client, server)
            left = after_bytes
            async for data in server:
                await client.send(data[:left])
                left -= len(data)
                if left <= 0:
                    break
            tasks.cancel_scope.cancel()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, answer)
        taken = listener.listeners[0].extra(SocketAttribute.local_address)
        yield f"tcp://127.0.0.1:{taken[1]}"
        tasks.cancel_scope.cancel()


def failures(events: list[Event]) -> list[msgsync.MsgSyncError]:
    return [event.error for event in events if isinstance(event, Stopped)]


async def until_failed(events: list[Event], count: int) -> list[msgsync.MsgSyncError]:
    """Wait until so many sessions of a server have failed: it may hear of it later than the client."""
    with anyio.fail_after(20):
        while len(failures(events)) < count:
            await anyio.lowlevel.checkpoint()
    return failures(events)


def assert_equal(*replicas: Replica) -> None:
    assert all(replica.check().ok for replica in replicas)
    assert len({replica.digest for replica in replicas}) == 1


async def test_a_replica_fills_over_a_socket_and_both_keep_in_step(phone, tablet):
    seen: list[Event] = []
    async with serving(phone) as (address, events):
        report = await aio.sync(tablet, address, on_event=seen.append)
        assert report.complete
        assert report.messages_received == 500
        assert isinstance(seen[-1], Completed)
        tablet.conversation("c0").send("from the tablet")
        phone.conversation("c1").send("from the phone")
        assert (await aio.sync(tablet, address)).complete
        nothing = await aio.sync(tablet, address)
        assert nothing.bytes_received + nothing.bytes_sent <= 200
    assert not [event for event in events if isinstance(event, Stopped)]
    assert_equal(phone, tablet)


async def test_several_clients_are_served_at_once(phone, tmp_path):
    others = [
        phone.new_device(tmp_path / f"{number}.db", author=f"device {number}")
        for number in range(4)
    ]
    try:
        for other in others:
            other.create_conversation("Mine", id=f"of {other.path.stem}").send("hello")
        async with serving(phone) as (address, _):
            for _ in range(2):
                async with anyio.create_task_group() as tasks:
                    for other in others:
                        tasks.start_soon(aio.sync, other, address)
            for other in others:
                await aio.sync(other, address)
        assert_equal(phone, *others)
        assert len(phone.search("hello")) == 4
    finally:
        for other in others:
            other.close()


async def test_a_connection_that_is_cut_is_said_to_be_lost_and_the_next_exchange_completes(
    phone, tablet
):
    async with serving(phone) as (address, _):
        for after_bytes in (1, 50, 90, 200, 1500, 4000):
            async with breaking(address, after_bytes=after_bytes) as cut:
                with pytest.raises(ConnectionLost):
                    await aio.sync(tablet, cut)
            assert tablet.check().ok
        report = await aio.sync(tablet, address)
        assert report.complete
    assert_equal(phone, tablet)


async def test_what_came_before_a_cut_is_not_fetched_again(phone, tablet, monkeypatch):
    for name in ("FRAME_FILL_BYTES", "UPDATES_FILL_BYTES", "FIRST_FILL_BYTES"):
        monkeypatch.setattr(limits, name, 1000)
    async with serving(phone) as (address, _):
        async with breaking(address, after_bytes=4000) as cut:
            with pytest.raises(ConnectionLost):
                await aio.sync(tablet, cut)
        before = tablet.status().messages
        assert 0 < before < 500
        report = await aio.sync(tablet, address)
        assert report.messages_received == 500 - before
    assert_equal(phone, tablet)


async def test_another_account_is_refused_in_words_on_both_sides(phone, tmp_path):
    with msgsync.open(tmp_path / "stranger.db") as stranger:
        async with serving(phone) as (address, events):
            with pytest.raises(AccountMismatch, match="another account"):
                await aio.sync(stranger, address)
            await until_failed(events, 1)
            with phone.new_device(tmp_path / "tablet.db") as tablet:
                await aio.sync(tablet, address)  # the server is well
        assert [type(error) for error in failures(events)] == [AccountMismatch]


def tagged() -> bytes:
    """A frame with a CBOR tag that makes libraries do more than read."""
    body = b"\0\x83\x01\xd8\x24\x61a\x60"
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50,
        struct.pack(">I", limits.FRAME_BYTES + 1) + bytes(1000),
        struct.pack(">I", 2**32 - 1),
        struct.pack(">I", 0),
        struct.pack(">I", 500) + bytes(100),
        struct.pack(">I", 6) + b"\1abcde",
        tagged(),
        encode_frame(Want(((0, NEVER_FROZEN, b"\xff"),))),
    ],
    ids=[
        "nothing",
        "HTTP",
        "TLS",
        "oversized",
        "huge",
        "empty",
        "cut off",
        "no zstd",
        "tag",
        "not due",
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["to the socket", "within a channel"])
async def test_garbage_ends_one_session_and_not_the_server(phone, tablet, garbage, inside):
    async with serving(phone) as (address, events):
        for _ in range(2):
            connection: ByteStream
            if inside:
                connection = await channel_to(address, tablet)
            else:
                connection = await anyio.connect_tcp("127.0.0.1", port_of(address))
            await say_and_listen(connection, garbage or b"\0")
        assert (await aio.sync(tablet, address)).complete
        stopped = await until_failed(events, 2)
        assert all(isinstance(error, msgsync.PeerError) for error in stopped)
    assert_equal(phone, tablet)


async def say_and_listen(stream: ByteStream, *said: bytes) -> bytes:
    """Say all of it at once, then listen until the other side has enough."""
    heard = b""
    async with stream:
        try:
            for one in said:
                await stream.send(one)
            await stream.send_eof()
            while True:
                heard += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return heard


async def test_who_says_to_be_another_device_than_its_certificate_shows_is_refused(phone, tablet):
    async with serving(phone) as (address, events):
        stream = await channel_to(address, tablet)
        session = Session(Exchange(phone))  # as if it were the phone itself
        await say_and_listen(stream, session.next_frame() or b"")
        [error] = await until_failed(events, 1)
        assert isinstance(error, msgsync.ProtocolError)
        assert "another device than its certificate" in str(error)


async def test_a_peer_that_breaks_the_rules_in_the_middle_ends_one_session_and_not_the_server(
    phone, tablet
):
    """It speaks the account's name, empty-handed, and then lies."""
    from msgsync.document.schema import DocumentId
    from msgsync.protocol.frames import Hello, Offer, Offers

    hello = Hello(1, phone.account.raw[:8], tablet.device.raw, 0, bytes(16), bytes(16), 0, 0)
    offer = Offer(DocumentId("c0", "2024-01"), b"\1" * 16, 0, 1, 1)
    bad_update = b"\x01\x01\x01\x00\x27\x01\x01a\x01b\x01\x00"
    lies: list[list[Frame]] = [
        [Want(((0, NEVER_FROZEN, b"\xff"),))],
        [Want(((10**6, NEVER_FROZEN, b""),))],
        [Offers((offer,), True), Updates(((0, never_frozen(b"\0\0")), (0, never_frozen(b"\0\0"))))],
        [
            Offers((offer,), True),
            Updates(((0, never_frozen(bad_update)),)),
            Want(((0, NEVER_FROZEN, b""),)),
        ],
        [Offers((offer,), True), Part(1, NEVER_FROZEN, b"x", True, True)],
    ]
    before = phone.digest
    async with serving(phone) as (address, _):
        for frames in lies:
            stream = await channel_to(address, tablet)
            known = changed(hello, phone.membership.digest())
            await say_and_listen(stream, *map(encode_frame, (known, *frames)))
        assert phone.digest == before
        assert (await aio.sync(tablet, address)).complete
    assert_equal(phone, tablet)


async def test_nobody_listening_is_a_lost_connection(tablet):
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.listeners[0].extra(SocketAttribute.local_address)[1]
    with pytest.raises(ConnectionLost, match="nobody answers"):
        await aio.sync(tablet, f"tcp://127.0.0.1:{port}")


async def test_every_address_may_be_listened_on(phone, tablet):
    async with serving(phone, "tcp://0.0.0.0:0") as (address, _):
        assert address.startswith("tcp://0.0.0.0:")
        assert (await aio.sync(tablet, f"tcp://127.0.0.1:{port_of(address)}")).complete
    assert_equal(phone, tablet)


async def test_an_address_that_is_taken_is_said_so(phone, tablet):
    async with serving(phone) as (address, _):
        with pytest.raises(msgsync.PeerError, match="cannot listen"):
            await aio.serve(tablet, address)


async def test_serving_ends_when_it_is_cancelled_and_the_replica_goes_on(phone):
    async with serving(phone):
        pass
    phone.conversation("c0").send("still here")
    assert phone.check().ok
