"""Revoking over real sockets: who is refused, who is told, and what a connection that stays hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from msgsync import Completed, DeviceRevoked, Disconnected, NotAMember, Replica, Stopped, aio
from tests.integration.heard import Heard
from tests.integration.wire import channel_to

pytestmark = pytest.mark.anyio


@pytest.fixture
def phone(phone: Replica) -> Replica:
    phone.create_conversation("Family", id="family").send("before")
    return phone


@asynccontextmanager
async def serving(replica: Replica) -> AsyncIterator[tuple[str, Heard]]:
    address: list[str] = []
    ready = anyio.Event()
    heard = Heard()

    def listening(taken: str) -> None:
        address.append(taken)
        ready.set()

    async with anyio.create_task_group() as tasks:
        serve = partial(aio.serve, replica, on_listening=listening, on_event=heard)
        tasks.start_soon(serve)
        await ready.wait()
        yield address[0], heard
        tasks.cancel_scope.cancel()


def texts(replica: Replica) -> list[str]:
    return [one.text for one in replica.conversation("family").messages()]


async def test_a_revoked_device_is_told_so_whoever_serves(phone, tablet):
    async with serving(phone) as (address, heard):
        assert (await aio.sync(tablet, address)).complete
        phone.revoke(tablet.device, even_without_recovery=True)
        phone.conversation("family").send("after")
        with pytest.raises(DeviceRevoked):
            await aio.sync(tablet, address)
        stopped = await heard.until(Stopped)
        assert isinstance(stopped, Stopped)
        assert isinstance(stopped.error, NotAMember)
    assert tablet.revoked
    async with serving(tablet) as (address, heard):
        with pytest.raises(NotAMember) as error:
            await aio.sync(phone, address)
        assert not isinstance(error.value, DeviceRevoked)
    assert texts(tablet) == ["before"]


async def test_a_connection_that_stays_ends_at_once(phone, tablet):
    async with serving(phone) as (address, heard):
        events = Heard()

        async def watch() -> None:
            with pytest.raises(DeviceRevoked):
                await aio.sync(tablet, address, watch=True, on_event=events)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await events.until(Completed)
            phone.revoke(tablet.device, even_without_recovery=True)
            phone.conversation("family").send("after")
        ended = await heard.until(Disconnected)
        assert isinstance(ended, Disconnected)
        assert "revoked" in ended.reason
    assert texts(tablet) == ["before"]


async def test_a_connection_that_stays_hears_of_a_new_device_at_once(phone, tablet, tmp_path):
    async with serving(phone) as (address, _):
        events = Heard()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(aio.sync, tablet, address, watch=True, on_event=events))
            await events.until(Completed)
            news = anyio.Event()
            token = anyio.lowlevel.current_token()
            end = tablet.on_known(lambda _seq: anyio.from_thread.run_sync(news.set, token=token))
            with phone.new_device(tmp_path / "laptop.db") as laptop, anyio.fail_after(30):
                while laptop.device not in tablet.membership.roster().state.members:
                    await news.wait()
                    news = anyio.Event()
            end()
            tasks.cancel_scope.cancel()


async def test_a_channel_opens_for_a_revoked_device_and_nothing_else(phone, tablet, tmp_path):
    """It has to be let in to be told; what it says there by hand gets it nothing."""
    from msgsync.protocol.frames import Offers
    from msgsync.protocol.wire import encode_frame

    phone.revoke(tablet.device, even_without_recovery=True)
    async with serving(phone) as (address, heard):
        channel = await channel_to(address, tablet)
        await channel.send(encode_frame(Offers((), True)))
        await heard.until(Stopped)
        await channel.aclose()
