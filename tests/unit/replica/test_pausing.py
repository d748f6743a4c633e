"""Attachments that are paused: one of them, or all on a device, while messages go on; and who waits stops waiting."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import anyio.lowlevel
import pytest

import msgsync
from msgsync import (
    Attachment,
    AttachmentGone,
    AttachmentPaused,
    AttachmentState,
    MemoryMailbox,
    Message,
    ReadOnly,
    Replica,
    aio,
    limits,
)
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.transport import memory
from tests.unit.conftest import Opener
from tests.unit.replica.test_attachments import files_of, is_tidy, noise
from tests.unit.replica.test_space import ends_early

CHUNK = limits.CHUNK_BYTES


@pytest.fixture
def photo(family: msgsync.Conversation) -> Message:
    return family.send("look", attachments=[noise(3 * CHUNK), b"small"])


def first_of(replica: Replica, message: Message) -> Attachment:
    return replica.message(message.id).attachments[0]


def states(replica: Replica, message: Message) -> list[str]:
    return [one.state.value for one in replica.message(message.id).attachments]


def waits_for(replica: Replica) -> int:
    return len(replica.fetching.names())


# All of them, on a device.


def test_messages_go_on_and_attachments_follow_once_they_may(
    open_replica: Opener, phone, tablet, photo
):
    tablet.sync.pause_attachments()
    tablet.close()
    tablet = open_replica("tablet.db")
    assert tablet.sync.attachments_paused
    report = msgsync.sync(phone, tablet)
    assert report.complete
    assert tablet.message(photo.id).text == "look"
    assert states(tablet, photo) == ["downloading", "downloading"]
    assert not files_of(tablet)
    tablet.sync.resume_attachments()
    assert not tablet.sync.attachments_paused
    msgsync.sync(phone, tablet)
    assert first_of(tablet, photo).open().read() == noise(3 * CHUNK)


def test_nor_is_anything_given_to_others(phone, tablet, photo):
    phone.sync.pause_attachments()
    assert msgsync.sync(phone, tablet).complete
    assert not files_of(tablet)
    phone.sync.resume_attachments()
    msgsync.sync(phone, tablet)
    assert first_of(tablet, photo).open().read() == noise(3 * CHUNK)


def test_what_can_be_given_is_asked_for_many_chunks_at_a_time(phone, photo):
    holder = Exchange(phone).attachments
    names = [bytes.fromhex(path.name) for path in files_of(phone)]
    assert holder.can_give([*names, bytes(16)]) == {*names}
    files_of(phone)[0].unlink()
    assert holder.can_give(names) == {*names[1:]}
    phone.sync.pause_attachments()
    assert holder.can_give(names) == set()


@ends_early
def test_a_session_that_stays_takes_it_up_at_once(phone, tablet, photo):
    phone.sync.pause_attachments()
    msgsync.sync(phone, tablet)
    here = threading.Event()

    def read() -> None:
        first_of(tablet, photo).ensure_local(timeout=30)
        here.set()

    with msgsync.Server(phone) as server, msgsync.Watcher(tablet, server.address):
        thread = threading.Thread(target=read)
        thread.start()
        while not waits_for(tablet):
            pass
        assert not here.is_set()
        phone.sync.resume_attachments()
        thread.join()
    assert here.is_set()


def test_what_somebody_waits_for_is_fetched_all_the_same(phone, tablet, photo):
    tablet.sync.pause_attachments()
    msgsync.sync(phone, tablet)
    reading = threading.Thread(target=partial(first_of(tablet, photo).ensure_local, timeout=30))
    reading.start()
    while not waits_for(tablet):
        pass
    msgsync.sync(phone, tablet)
    reading.join()
    assert states(tablet, photo) == ["here", "downloading"]


def test_in_a_mailbox_nothing_is_put_and_nothing_fetched(phone, tablet, photo):
    box = MemoryMailbox()
    phone.sync.pause_attachments()
    assert msgsync.sync(phone, box).complete
    [place] = [one for one in phone.status().places if one.address == box.address]
    assert not place.to_send
    assert not box.list("chunk")
    phone.sync.resume_attachments()
    msgsync.sync(phone, box)
    assert len(box.list("chunk")) == 4
    tablet.sync.pause_attachments()
    assert msgsync.sync(tablet, box).complete
    assert not files_of(tablet)
    reading = threading.Thread(target=partial(first_of(tablet, photo).ensure_local, timeout=30))
    reading.start()
    while not waits_for(tablet):
        pass
    msgsync.sync(tablet, box)
    reading.join()
    assert len(files_of(tablet)) == 3
    tablet.sync.resume_attachments()
    msgsync.sync(tablet, box)
    assert states(tablet, photo) == ["here", "here"]


def test_who_leaves_gives_first_what_it_has(phone, tablet, photo):
    box = MemoryMailbox()
    msgsync.sync(phone, tablet)
    more = phone.conversation("family").send("more", attachments=[b"more"])
    phone.sync.pause_attachments()
    phone.leave(wipe=True, even_if_only_copy=True, places=[box])
    msgsync.sync(tablet, box)
    assert first_of(tablet, more).open().read() == b"more"


def test_who_only_reads_pauses_nothing(open_replica: Opener, phone, photo):
    reader = open_replica("phone.db", readonly=True)
    with pytest.raises(ReadOnly):
        reader.sync.pause_attachments()
    with pytest.raises(ReadOnly):
        first_of(reader, photo).pause()


# One of them.


def test_one_that_is_paused_does_not_come_by_itself_and_the_others_do(phone, tablet, photo):
    tablet.sync.pause_attachments()
    msgsync.sync(phone, tablet)
    first_of(tablet, photo).pause()
    assert states(tablet, photo) == ["elsewhere", "downloading"]
    tablet.sync.resume_attachments()
    msgsync.sync(phone, tablet)
    assert states(tablet, photo) == ["elsewhere", "here"]
    first_of(tablet, photo).resume()
    assert states(tablet, photo) == ["downloading", "here"]
    msgsync.sync(phone, tablet)
    assert states(tablet, photo) == ["here", "here"]
    assert is_tidy(tablet)


def test_it_goes_on_where_it_was(phone, tablet, photo):
    """Cut in the middle and paused, what came is kept and not fetched again."""
    frames = 0
    while not files_of(tablet):
        frames += 1
        memory.exchange(Session(Exchange(tablet)), Session(Exchange(phone)), frames=frames)
    here = first_of(tablet, photo).bytes_here
    first_of(tablet, photo).pause()
    msgsync.sync(phone, tablet)
    assert first_of(tablet, photo).bytes_here == here
    first_of(tablet, photo).resume()
    report = msgsync.sync(phone, tablet)
    left = 3 * CHUNK - here
    assert left <= report.attachment_bytes_received <= left + 4096
    assert first_of(tablet, photo).open().read() == noise(3 * CHUNK)


def test_pausing_what_is_here_changes_nothing(phone, photo):
    first_of(phone, photo).pause()
    assert first_of(phone, photo).state is AttachmentState.ONLY_HERE
    first_of(phone, photo).resume()
    assert first_of(phone, photo).open().read() == noise(3 * CHUNK)


def test_pausing_from_another_thread_ends_every_wait_for_it(phone, tablet, photo):
    tablet.sync.pause_attachments()
    msgsync.sync(phone, tablet)
    big, small = tablet.message(photo.id).attachments
    ended: list[str] = []

    def wait(one: Attachment) -> None:
        try:
            one.ensure_local(timeout=30)
        except AttachmentPaused:
            ended.append("paused")
        else:
            ended.append("here")

    threads = [threading.Thread(target=wait, args=(one,)) for one in (big, big, small)]
    for thread in threads:
        thread.start()
    while waits_for(tablet) < 4 or len(tablet.fetching.waits) < 3:
        pass
    big.pause()
    for thread in threads[:2]:
        thread.join()
    assert ended == ["paused", "paused"]
    assert waits_for(tablet) == 1
    msgsync.sync(phone, tablet)
    threads[2].join()
    assert ended == ["paused", "paused", "here"]
    assert states(tablet, photo) == ["elsewhere", "here"]


@pytest.mark.parametrize("erase", ["message", "attachment"])
def test_who_waits_for_what_is_erased_meanwhile_is_told(phone, tablet, photo, erase):
    tablet.sync.pause_attachments()
    msgsync.sync(phone, tablet)
    one = first_of(tablet, photo)
    ended: list[bool] = []

    def wait() -> None:
        with pytest.raises(AttachmentGone):
            one.ensure_local()
        ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    while not waits_for(tablet):
        pass
    if erase == "message":
        tablet.conversation("family").erase(photo)
    else:
        tablet.conversation("family").erase_attachment(photo, one)
    thread.join()
    assert ended == [True]
    with pytest.raises(AttachmentGone):
        one.open().read()


# In an event loop.


@pytest.mark.anyio
async def test_waiting_in_an_event_loop_is_cancelled_like_anything_there(phone, tablet, photo):
    tablet.sync.pause_attachments()
    await aio.sync(phone, tablet)
    one = first_of(tablet, photo)
    with anyio.move_on_after(0.05) as scope:
        await aio.ensure_local(one)
    assert scope.cancelled_caught
    assert waits_for(tablet) == 0
    told: list[tuple[int, int]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            partial(aio.ensure_local, one, on_progress=lambda *so_far: told.append(so_far))
        )
        while not waits_for(tablet):
            await anyio.lowlevel.checkpoint()
        await aio.sync(phone, tablet)
    assert told[-1] == (3 * CHUNK, 3 * CHUNK)
    assert one.open().read() == noise(3 * CHUNK)


@pytest.mark.anyio
async def test_pausing_ends_waiting_there_too(phone, tablet, photo):
    tablet.sync.pause_attachments()
    await aio.sync(phone, tablet)
    one = first_of(tablet, photo)

    async def pause() -> None:
        while not waits_for(tablet):
            await anyio.lowlevel.checkpoint()
        one.pause()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pause)
        with pytest.raises(AttachmentPaused):
            await aio.ensure_local(one)
