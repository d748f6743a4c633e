"""Sessions that stay connected, over real sockets, on asyncio and trio."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream

import msgsync
from msgsync import (
    Completed,
    Connected,
    Disconnected,
    Event,
    FirstScreen,
    Incoming,
    Replica,
    Stopped,
    aio,
    limits,
)
from msgsync.protocol.frames import Frame, Known, Push
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.transport.tcp import parse_address
from tests.integration.wire import between, channel_to, pass_on, tapped

pytestmark = pytest.mark.anyio

SENT_MS = 1_706_745_000_000
PATIENCE_S = 20
QUICK = aio.Timing(silence_s=5, keep_alive_s=1, retry_first_s=0.01, retry_most_s=0.05, farewell_s=1)


@pytest.fixture
def phone(phone: Replica) -> Replica:
    phone.ingest(
        Incoming(f"c{n % 7}", "ben", f"text {n}", SENT_MS + n, external_id=str(n))
        for n in range(200)
    )
    return phone


@pytest.fixture
def laptop(phone: Replica, tmp_path: Path) -> Iterator[Replica]:
    with phone.new_device(tmp_path / "laptop.db") as replica:
        yield replica


@asynccontextmanager
async def running(call: Callable[..., Any], *arguments: Any, **named: Any) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, *arguments, **named))
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(
    replica: Replica,
    address: str = "tcp://127.0.0.1:0",
    on_event: Callable[[Event], None] | None = None,
    timing: aio.Timing = QUICK,
) -> AsyncIterator[tuple[str, list[Event]]]:
    events: list[Event] = []
    taken: list[str] = []
    ready = anyio.Event()

    def listening(address: str) -> None:
        taken.append(address)
        ready.set()

    async with running(
        aio.serve,
        replica,
        address,
        on_listening=listening,
        on_event=on_event or events.append,
        timing=timing,
    ):
        await ready.wait()
        yield taken[0], events


@asynccontextmanager
async def watching(
    replica: Replica, address: str, timing: aio.Timing = QUICK
) -> AsyncIterator[list[Event]]:
    events: list[Event] = []
    async with running(
        aio.sync, replica, address, watch=True, on_event=events.append, timing=timing
    ):
        yield events


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def until_equal(*replicas: Replica) -> None:
    await until(lambda: len({replica.digest for replica in replicas}) == 1)


def has(events: list[Event], kind: type, count: int = 1) -> Callable[[], bool]:
    return lambda: sum(isinstance(event, kind) for event in events) >= count


def reasons(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Disconnected)]


def shows(replica: Replica, text: str) -> Callable[[], bool]:
    def shown() -> bool:
        lasts = [one.last_message for one in replica.conversations()]
        return any(last is not None and last.text == text for last in lasts)

    return shown


async def test_what_is_written_on_one_side_appears_on_the_other_while_connected(phone, tablet):
    async with serving(phone) as (address, heard), watching(tablet, address) as events:
        await until(has(events, Completed))
        assert has(events, FirstScreen)()
        await until_equal(phone, tablet)
        phone.conversation("c0").send("from the phone")
        await until(shows(tablet, "from the phone"))
        tablet.conversation("c1").send("from the tablet")
        await until(shows(phone, "from the tablet"))
        message = phone.conversation("c0").messages()[-1]
        tablet.conversation("c0").edit(message, "mended")
        await until(shows(phone, "mended"))
        await until_equal(phone, tablet)
        assert [event.device for event in events if isinstance(event, Connected)] == [
            str(phone.device)
        ]
        await until(has(heard, Connected))
    assert phone.check().ok
    assert tablet.check().ok


async def test_three_devices_that_meet_at_one_see_what_each_writes(phone, tablet, laptop):
    async with (
        serving(phone) as (address, _),
        watching(tablet, address) as first,
        watching(laptop, address) as second,
    ):
        await until(has(first, Completed))
        await until(has(second, Completed))
        for number, writer in enumerate((phone, tablet, laptop) * 3):
            writer.conversation(f"c{number % 7}").send(f"number {number}")
            for reader in (phone, tablet, laptop):
                await until(shows(reader, f"number {number}"))
        await until_equal(phone, tablet, laptop)


async def test_a_message_is_one_frame_and_nothing_comes_back_of_it(phone, tablet, laptop):
    """In a triangle what comes from one neighbour goes to the other once, and there it ends."""
    patient = aio.Timing(retry_first_s=0.01)  # no keep-alive while frames are counted
    async with (
        serving(phone, timing=patient) as (phones, _),
        serving(tablet, timing=patient) as (tablets, _),
        tapped(phones, phone, tablet) as (a, seen_a, _),
        tapped(tablets, tablet, laptop) as (b, seen_b, _),
        watching(tablet, a, patient) as first,
    ):
        await until(has(first, Completed))
        async with (
            tapped(phones, phone, laptop) as (c, seen_c, _),
            watching(laptop, b, patient) as second,
        ):
            await until(has(second, Completed))
            async with watching(laptop, c, patient) as third:
                await until(has(third, Completed))
                phone.conversation("c0").send("the first, so that all know the document")
                await until_equal(phone, tablet, laptop)
                await until(lambda: len(seen_b) > 0)

                def said(kind: type[Frame]) -> int:
                    taps = (seen_a, seen_b, seen_c)
                    return sum(isinstance(frame, kind) for tap in taps for _, frame in tap)

                before = said(Push), said(Known)
                for number in range(10):
                    phone.conversation("c0").send(f"number {number}")
                    await until(shows(tablet, f"number {number}"))
                    await until(shows(laptop, f"number {number}"))
                await until_equal(phone, tablet, laptop)
                # To each neighbour one, and at most one each way between those two; the first message had them too.
                assert said(Push) - before[0] <= 11 * 4
                # And what each has: a word each way with a push, and what that tells of the third one.
                assert said(Known) - before[1] <= 11 * 12


async def test_a_message_can_be_waited_for_until_it_is_on_other_devices(phone, tablet, laptop):
    async with (
        serving(phone) as (address, _),
        watching(tablet, address) as first,
        watching(laptop, address) as second,
    ):
        await until(has(first, Completed))
        await until(has(second, Completed))
        for writer in (tablet, phone):
            message = writer.conversation("c0").send(f"of {writer.device}")
            with anyio.fail_after(PATIENCE_S):
                found = await aio.wait_for(writer, message, devices=2)
            assert set(found.devices) == {phone.device, tablet.device, laptop.device}
            for reader in (phone, tablet, laptop):
                assert reader.message(message.id) == message
            assert writer.wait_for(message, devices=2, timeout=0) == found


async def test_waiting_ends_when_the_replica_is_closed(phone, tablet):
    message = phone.conversation("c0").send("alone")
    with anyio.move_on_after(0) as scope:
        await aio.wait_for(phone, message)
    assert scope.cancelled_caught

    async def close() -> None:
        await until(lambda: phone.watch.listeners._callbacks)
        await anyio.to_thread.run_sync(phone.close)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        with anyio.fail_after(PATIENCE_S), pytest.raises(msgsync.ReplicaClosed):
            await aio.wait_for(phone, message)


async def test_a_connection_that_breaks_is_made_again_and_nothing_is_missed(phone, tablet):
    async with (
        serving(phone) as (address, heard),
        tapped(address, phone, tablet) as (tap, _, cut),
        watching(tablet, tap) as events,
    ):
        for number in range(3):
            await until(has(events, Completed, number + 1))
            await until_equal(phone, tablet)
            cut()
            phone.conversation("c0").send(f"while away {number}")
            tablet.conversation("c1").send(f"meanwhile here {number}")
            await until(has(events, Disconnected, number + 1))
            await until(has(events, Connected, number + 2))
            await until_equal(phone, tablet)
        assert all(
            event.retry_in_s is not None and 0 < event.retry_in_s <= QUICK.retry_most_s
            for event in events
            if isinstance(event, Disconnected)
        )
        await until(has(heard, Disconnected, 3))


async def test_a_server_that_comes_later_or_comes_back_is_found(phone, tablet):
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.listeners[0].extra(SocketAttribute.local_address)[1]
    address = f"tcp://127.0.0.1:{port}"
    async with watching(tablet, address) as events:
        await until(has(events, Disconnected, 2))
        for number in range(2):
            async with serving(phone, address):
                await until(has(events, Completed, number + 1))
                await until_equal(phone, tablet)
            await until(lambda: isinstance(events[-1], Disconnected))
            phone.conversation("c0").send(f"number {number}")


async def test_another_account_is_said_and_tried_again_since_anybody_may_answer(phone, tmp_path):
    with msgsync.open(tmp_path / "stranger.db") as stranger:
        async with (
            serving(phone) as (address, events),
            watching(stranger, address) as heard,
        ):
            await until(has(heard, Disconnected, 2))
            assert all("another account" in one for one in reasons(heard))
            await until(has(events, Stopped))
        assert stranger.conversations() == []


@pytest.mark.parametrize("alert", [48, 70], ids=["unknown CA", "protocol version"])
async def test_a_forged_alert_ends_one_attempt_and_not_the_watching(phone, tablet, alert):
    forged = 0

    async def answer(client: SocketStream, server: SocketStream) -> None:
        nonlocal forged
        if not forged:
            await client.receive()
            await client.send(bytes((0x15, 3, 3, 0, 2, 2, alert)))
            forged += 1
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on, client, server)
            tasks.start_soon(pass_on, server, client)

    async with (
        serving(phone) as (address, _),
        between(address, answer) as relay,
        watching(tablet, relay) as events,
    ):
        await until(has(events, Completed))
        await until_equal(phone, tablet)
        assert isinstance(events[0], Disconnected)
    assert forged == 1


async def test_strangers_that_hold_connections_do_not_take_all_there_are(
    phone, tablet, monkeypatch
):
    monkeypatch.setattr(limits, "UNKNOWN_CONNECTIONS", 2)
    patient = aio.Timing(greeting_s=PATIENCE_S)
    ended = 0

    async def hold(address: str) -> None:
        nonlocal ended
        async with await anyio.connect_tcp(*parse_address(address)) as stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.receive()
            ended += 1

    async with serving(phone, timing=patient) as (address, _):
        async with watching(tablet, address) as events:
            await until(has(events, Completed))
            async with anyio.create_task_group() as strangers:
                for _ in range(5):
                    strangers.start_soon(hold, address)
                await until(lambda: ended == 3)
                phone.conversation("c0").send("those who are in stay in")
                await until_equal(phone, tablet)
                assert ended == 3
                strangers.cancel_scope.cancel()
        async with watching(tablet, address) as events:
            await until(has(events, Completed))  # when they are gone there is room again


async def test_a_callback_that_fails_ends_its_session_and_not_the_server(phone, tablet, laptop):
    failed = threading.Event()
    device = str(tablet.device)

    def hear(event: Event) -> None:
        if isinstance(event, Connected) and event.device == device:
            failed.set()
            raise OSError("the app is out of paper")

    with pytest.warns(RuntimeWarning, match="out of paper"):  # noqa: PT031 - it comes from a task in the block
        async with (
            serving(phone, on_event=hear) as (address, _),
            watching(laptop, address) as others,
        ):
            await until(has(others, Completed))
            async with watching(tablet, address) as events:
                await until(has(events, Disconnected))
            assert failed.is_set()
            phone.conversation("c0").send("the others go on")
            await until(shows(laptop, "the others go on"))


@pytest.mark.parametrize("watch", [False, True])
async def test_what_a_callback_raises_is_raised_as_it_is(phone, tablet, watch):
    class Own(Exception):
        pass

    def hear(_event: Event) -> None:
        raise Own

    async with serving(phone) as (address, _):
        with anyio.fail_after(PATIENCE_S), pytest.raises(Own):
            await aio.sync(tablet, address, on_event=hear, watch=watch, timing=QUICK)


async def test_a_peer_that_says_no_more_is_noticed_and_a_quiet_one_is_not_given_up(phone, tablet):
    quick = aio.Timing(silence_s=0.5, keep_alive_s=0.05, retry_first_s=0.01)
    patient = aio.Timing(silence_s=0.5, keep_alive_s=0.05, retry_first_s=30)
    async with serving(phone, timing=quick) as (address, heard):
        async with (
            tapped(address, phone, tablet) as (tap, seen, _),
            watching(tablet, tap, patient) as events,
        ):
            await until(has(events, Completed))
            count = len(seen)
            await until(lambda: len(seen) > count + 40)  # twice as long as silence is borne
            assert not has(events, Disconnected)()
            assert not has(heard, Disconnected)()
        # One that greets and then keeps still: it is there for the sockets, and for nobody else.
        async with await channel_to(address, tablet) as stream:
            greeting = Session(Exchange(tablet), live=True).next_frame()
            assert greeting is not None
            await stream.send(greeting)
            await until(lambda: any("silent" in reason for reason in reasons(heard)))


async def test_a_peer_that_does_not_read_makes_nothing_grow(phone, tablet):
    """What waits for it is bounded by the sockets and one frame, whatever is written meanwhile."""
    quick = aio.Timing(silence_s=1, keep_alive_s=0.2, retry_first_s=0.01)
    await aio.sync(phone, tablet)
    async with (
        serving(phone, timing=quick) as (address, heard),
        await channel_to(address, tablet) as stream,
    ):
        greeting = Session(Exchange(tablet), live=True).next_frame()
        assert greeting is not None
        await stream.send(greeting)
        await until(has(heard, Connected))
        for _ in range(30):
            phone.conversation("c0").send("x" * 200_000)
        await until(has(heard, Disconnected))
    await aio.sync(phone, tablet)
    assert phone.digest == tablet.digest


def test_it_blocks_until_it_is_told_and_needs_an_address(phone, tablet):
    with pytest.raises(msgsync.InvalidValue, match="address"):
        msgsync.sync(phone, tablet, watch=True)


@pytest.mark.parametrize("wrong", [{"silence_s": 0}, {"keep_alive_s": 120}, {"retry_most_s": -1}])
def test_times_that_make_no_sense_are_refused(wrong):
    with pytest.raises(msgsync.InvalidValue):
        aio.Timing(**wrong)


def test_waiting_grows_to_a_bound_and_chance_shortens_it():
    timing = aio.Timing(retry_first_s=1, retry_most_s=60)
    assert [timing.retry_s(attempt, 0) for attempt in (0, 1, 2, 5, 6, 1000)] == [
        1,
        2,
        4,
        32,
        60,
        60,
    ]
    assert timing.retry_s(2, 0.5) == 3
    assert timing.retry_s(2, 0.999) > 2
