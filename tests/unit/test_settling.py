"""Waiting until nothing waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest

import msgsync
from msgsync import (
    Event,
    InvalidValue,
    MailboxFull,
    MemoryMailbox,
    MsgSyncError,
    NotCaughtUp,
    ReadOnly,
    Replica,
    ReplicaClosed,
    SyncOff,
    aio,
)
from msgsync.testing import assert_converged

SOON_S = 30
SLOW = aio.Timing(poll_s=3600)
"""Nobody looks by the clock within a test."""


class Failing(MemoryMailbox):
    """A mailbox that raises what it is told to."""

    error: MsgSyncError | None = None

    def get(self, name: str) -> bytes:
        if self.error is not None:
            raise self.error
        return super().get(name)


@pytest.fixture
def box() -> Failing:
    return Failing()


def test_a_device_alone_waits_for_nobody(phone, family):
    family.send("Hello")
    phone.caught_up()


def test_a_device_that_was_not_met_is_waited_for_and_named(phone, tablet, family):
    family.send("Hello")
    phone.rename_device("old tablet", device=tablet.device)
    with pytest.raises(NotCaughtUp, match="old tablet is waiting: old tablet was not heard of yet"):
        phone.caught_up(timeout=0)
    msgsync.sync(phone, tablet)
    phone.caught_up(timeout=0)


def test_it_returns_as_soon_as_another_thread_has_synced(phone, tablet, family):
    family.send("Hello")
    syncing = threading.Thread(target=msgsync.sync, args=(phone, tablet))
    syncing.start()
    phone.caught_up(timeout=SOON_S)
    syncing.join()
    assert_converged(phone, tablet)


def test_of_a_watched_mailbox_it_has_a_round_made_now(phone, tablet, family, box):
    with msgsync.Watcher(tablet, box, timing=SLOW):
        tablet.caught_up(timeout=SOON_S)
        family.send("left while the tablet slept")
        msgsync.sync(phone, box)
        tablet.caught_up(timeout=SOON_S)
        assert len(tablet.conversation("family").messages()) == 1


def test_what_is_written_here_is_put_before_it_returns(phone, family, box):
    with msgsync.Watcher(phone, box, timing=SLOW):
        phone.caught_up(timeout=SOON_S)
        before = len(box.list("log"))
        family.send("Hello")
        phone.caught_up(timeout=SOON_S)
        assert len(box.list("log")) == before + 1


def test_peers_that_stay_connected_are_caught_up_with(phone, tablet, family):
    with (
        msgsync.Server(phone) as server,
        msgsync.Watcher(tablet, server.address),
    ):
        tablet.caught_up(timeout=SOON_S)
        tablet.conversation("family").send("from the tablet")
        tablet.caught_up(timeout=SOON_S)
        assert len(family.messages()) == 1
        family.send("from the phone")
        phone.caught_up(timeout=SOON_S)
        assert len(tablet.conversation("family").messages()) == 2


def test_the_reason_is_told_where_it_cannot_be_reached(phone, family, box):
    box.error = MailboxFull("no room in it; free some space")
    family.send("Hello")
    failed = threading.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, msgsync.Disconnected):
            failed.set()

    with msgsync.Watcher(phone, box, on_event=on_event, timing=SLOW):
        assert failed.wait(SOON_S)
        with pytest.raises(NotCaughtUp, match="memory: is stuck: no room in it; free some space"):
            phone.caught_up(timeout=0)


def test_a_watched_address_where_nobody_was_met_is_named(phone, tablet):
    failed = threading.Event()
    with msgsync.Watcher(phone, "tcp://127.0.0.1:1", on_event=lambda _: failed.set()):
        assert failed.wait(SOON_S)
        with pytest.raises(NotCaughtUp, match=r"nobody answers at tcp://127.0.0.1:1"):
            phone.caught_up(timeout=0)


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        (lambda phone: phone.sync.disable(), SyncOff),
        (lambda phone: phone.close(), ReplicaClosed),
    ],
)
def test_it_ends_when_it_can_no_longer_be_reached(
    phone, tablet, family, ends: Callable[[Replica], None], error: type[Exception]
):
    family.send("Hello")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                with pytest.raises(error):
                    await aio.caught_up(phone)

            tasks.start_soon(wait)
            await anyio.to_thread.run_sync(ends, phone)

    anyio.run(main)


def test_a_reader_and_what_is_no_time_are_refused(open_replica, phone):
    reader = open_replica("phone.db", readonly=True)
    with pytest.raises(ReadOnly):
        reader.caught_up()
    with pytest.raises(InvalidValue, match="timeout"):
        phone.caught_up(timeout=-1)
