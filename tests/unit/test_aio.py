"""Sessions over streams that are no sockets: everything is as over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest

import msgsync
from msgsync import AccountMismatch, Completed, MsgSyncError, Replica, Stopped, aio
from tests.unit.transport.pipes import pipe

pytestmark = pytest.mark.anyio


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Replica]:
    with msgsync.open(tmp_path / "phone.db", author="ann", durability="relaxed") as replica:
        replica.create_conversation("Family").send("Dinner at eight?")
        yield replica


async def exchange(
    server: Replica, client: Replica
) -> tuple[msgsync.SyncReport | MsgSyncError, list[object]]:
    """What the client has, what the server heard; and nothing of it in clear."""
    near, far = pipe()
    events: list[object] = []
    result: msgsync.SyncReport | MsgSyncError
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(aio.serve, server, far, on_event=events.append))
        try:
            result = await aio.sync(client, near)
        except MsgSyncError as error:
            result = error
    assert b"Dinner" not in near.sent + far.sent
    return result, events


async def test_two_devices_exchange_everything_over_any_stream(phone, tmp_path):
    with phone.new_device(tmp_path / "tablet.db") as tablet:
        report, events = await exchange(phone, tablet)
        assert isinstance(report, msgsync.SyncReport)
        assert report.complete
        assert isinstance(events[-1], Completed)
        assert tablet.digest == phone.digest


async def test_strangers_are_refused_there_as_well(phone, tmp_path):
    with msgsync.open(tmp_path / "stranger.db") as stranger:
        refused, events = await exchange(phone, stranger)
        assert isinstance(refused, AccountMismatch)
        [stopped] = events
        assert isinstance(stopped, Stopped)
        assert isinstance(stopped.error, AccountMismatch)


async def test_a_stream_cannot_be_connected_to_again(phone):
    with pytest.raises(msgsync.InvalidValue, match="address"):
        await aio.sync(phone, pipe()[0], watch=True)
