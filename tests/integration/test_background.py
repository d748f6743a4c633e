"""Serving and watching in a thread of their own: how they begin, and every way in which they end."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import pytest

import msgsync
from msgsync import (
    Completed,
    Disconnected,
    Event,
    PeerError,
    Replica,
    ReplicaClosed,
    Server,
    Watcher,
    aio,
)
from tests.integration.heard import PATIENCE_S, Heard, in_thread

QUICK = aio.Timing(retry_first_s=0.01, retry_most_s=0.05, farewell_s=1)
SLOW = aio.Timing(retry_first_s=3600, retry_most_s=3600)


@pytest.fixture
def phone(phone: Replica) -> Replica:
    phone.create_conversation("Family", id="family").send("one")
    return phone


def test_a_server_serves_until_its_block_ends(phone, tablet):
    with Server(phone) as server:
        assert not server.wait(0)
        assert msgsync.sync(tablet, server.address).complete
    assert server.wait(0)
    with pytest.raises(PeerError):
        msgsync.sync(tablet, server.address)
    with Server(phone, server.address) as again:  # the port is free
        assert again.address == server.address


def test_a_server_is_stopped_from_another_thread_while_one_waits(phone):
    server = Server(phone)
    end = in_thread(server.wait)
    server.stop()
    assert end() is None
    server.stop()


def test_a_watcher_has_what_is_new_until_it_is_stopped(phone, tablet):
    served = Heard()
    arrived = threading.Event()

    def look(page: msgsync.ChangePage) -> None:
        if any(one.message and one.message.text == "two" for one in page):
            arrived.set()

    tablet.subscribe(look)
    with Server(phone, on_event=served, timing=QUICK) as server:
        watched = Heard()
        watcher = Watcher(tablet, server.address, on_event=watched, timing=QUICK)
        served.wait(Completed)
        watched.wait(Completed)
        phone.conversation("family").send("two")
        assert arrived.wait(PATIENCE_S)
        watcher.stop()
        assert served.wait(Disconnected).reason == "the peer left"
        watcher.stop()
    assert phone.digest == tablet.digest


def test_a_watcher_that_waits_for_its_next_attempt_is_stopped_at_once(tablet):
    heard = Heard()
    with Watcher(tablet, "tcp://127.0.0.1:1", on_event=heard, timing=SLOW):
        assert heard.wait(Disconnected).retry_in_s > 60


def test_on_event_may_stop_it(phone, tablet):
    server: Server | None = None

    def on_event(event: Event) -> None:
        if isinstance(event, Completed):
            assert server is not None
            server.stop()

    server = Server(phone, on_event=on_event)
    msgsync.sync(tablet, server.address)
    assert server.wait(PATIENCE_S)


def test_what_on_event_raises_ends_a_watcher_and_comes_out(phone, tablet):
    def on_event(event: Event) -> None:
        raise ZeroDivisionError

    with Server(phone, on_event=Heard()) as server:
        watcher = Watcher(tablet, server.address, on_event=on_event)
        with pytest.raises(ZeroDivisionError):
            watcher.wait(PATIENCE_S)
        with pytest.raises(ZeroDivisionError):
            watcher.stop()


def test_an_address_that_cannot_be_had_is_said_at_once(phone, tablet):
    with Server(phone) as server, pytest.raises(PeerError, match="choose another port"):
        Server(tablet, server.address)
    for make in (partial(Server, phone), partial(Watcher, phone)):
        with pytest.raises(msgsync.InvalidValue, match="tcp://HOST:PORT"):
            make("nonsense")
    with pytest.raises(msgsync.InvalidValue, match="address of a peer"):
        Watcher(phone, tablet)


def test_one_that_is_forgotten_warns_and_ends(phone):
    server = Server(phone)
    ended = server._ended
    with pytest.warns(ResourceWarning, match="was not stopped"):
        del server
    ended.result(PATIENCE_S)


def test_an_error_of_the_block_comes_out_and_not_that_of_the_server(phone):
    def fail() -> None:
        phone.close()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Server(phone):
        fail()


# A replica that is closed.


def test_closing_the_replica_ends_its_server_in_words(phone, tablet):
    heard = Heard()
    server = Server(phone, on_event=heard)
    watched = Heard()
    with Watcher(tablet, server.address, on_event=watched, timing=SLOW):
        heard.wait(Completed)
        watched.wait(Completed)
        phone.close()
        with pytest.raises(ReplicaClosed, match="was closed"):
            server.wait(PATIENCE_S)
        assert watched.wait(Disconnected).reason == "the peer left"
    with pytest.raises(ReplicaClosed):
        server.stop()
    with pytest.raises(ReplicaClosed):
        Server(phone)


@pytest.mark.parametrize("is_there", [True, False])
def test_closing_the_replica_ends_its_watcher_in_words(phone, tablet, is_there):
    heard = Heard()
    with Server(phone, on_event=Heard()) as server:
        address = server.address if is_there else "tcp://127.0.0.1:1"
        watcher = Watcher(tablet, address, on_event=heard, timing=SLOW)
        heard.wait(Completed if is_there else Disconnected)
        tablet.close()
        with pytest.raises(ReplicaClosed):
            watcher.wait(PATIENCE_S)


def test_closing_the_replica_ends_what_blocks(phone, tablet):
    addresses: list[str] = []
    listening = threading.Event()

    def on_listening(address: str) -> None:
        addresses.append(address)
        listening.set()

    heard = Heard()
    serving = in_thread(partial(msgsync.serve, phone, on_listening=on_listening, on_event=Heard()))
    assert listening.wait(PATIENCE_S)
    watching = in_thread(
        partial(msgsync.sync, tablet, addresses[0], watch=True, on_event=heard, timing=SLOW)
    )
    heard.wait(Completed)
    tablet.close()
    assert isinstance(watching(), ReplicaClosed)
    phone.close()
    assert isinstance(serving(), ReplicaClosed)


@pytest.mark.anyio
async def test_closing_the_replica_ends_it_on_either_event_loop(phone):
    with pytest.raises(ReplicaClosed), anyio.fail_after(PATIENCE_S):
        await aio.serve(phone, on_listening=lambda _address: phone.close())


def test_a_replica_says_whether_it_is_closed_and_tells_it_once(phone):
    told: list[bool] = []
    phone.on_close(lambda: told.append(phone.closed))
    unsubscribe = phone.on_close(lambda: told.append(False))
    unsubscribe()
    assert not phone.closed
    phone.close()
    phone.close()
    assert phone.closed
    assert told == [True]
