"""Sync of one device, switched off and on."""

from __future__ import annotations

import threading

import anyio
import pytest

import msgsync
from msgsync import (
    Event,
    InvalidValue,
    MemoryMailbox,
    NotCaughtUp,
    PlaceState,
    Progress,
    ReadOnly,
    Reason,
    Replica,
    SyncOff,
    aio,
)
from msgsync.mailbox.carrying import perform
from msgsync.protocol.courier import Courier
from msgsync.replica.chunkholder import ChunkHolder
from msgsync.replica.chunkmailing import ChunkMailing
from msgsync.replica.mailing import Mailing
from msgsync.testing import assert_converged
from tests.unit.conftest import Opener


def test_it_is_on_until_it_is_switched_off_and_that_survives_a_restart(
    open_replica: Opener, phone, machine
):
    assert phone.sync.enabled
    phone.sync.disable()
    assert (phone.sync.enabled, phone.sync.off_since_ms) == (False, machine.clock_ms)
    phone.close()
    again = open_replica("phone.db")
    assert not again.sync.enabled
    assert again.status().sync_off_ms == machine.clock_ms
    again.sync.enable()
    again.close()
    assert open_replica("phone.db").sync.off_since_ms is None


def test_switching_off_what_is_off_changes_nothing(phone, machine):
    phone.sync.disable()
    since_ms = machine.clock_ms
    machine.clock_ms += 1000
    phone.sync.disable()
    phone.sync.disable(keep="everything")
    assert phone.sync.off_since_ms == since_ms


def test_nothing_leaves_and_nothing_enters_while_it_is_off(phone, tablet, family, box):
    msgsync.sync(phone, tablet)
    family.send("written while off")
    tablet.conversation("family").send("written elsewhere")
    phone.sync.disable()
    before = phone.digest, tablet.digest
    for one, peer in ((phone, tablet), (tablet, phone), (phone, box), (phone, "tcp://127.0.0.1:1")):
        with pytest.raises(SyncOff, match=r"switch it on: replica.sync.enable\(\)"):
            msgsync.sync(one, peer)
    assert (phone.digest, tablet.digest) == before
    assert (box.list("log"), box.list("keys")) == ([], [])


def test_serving_watching_pairing_and_new_devices_are_refused(phone, tmp_path, box):
    phone.sync.disable()
    with pytest.raises(SyncOff):
        msgsync.serve(phone)
    with pytest.raises(SyncOff):
        msgsync.sync(phone, "tcp://127.0.0.1:1", watch=True)
    with pytest.raises(SyncOff):
        msgsync.sync(phone, box, watch=True)
    with pytest.raises(SyncOff):
        phone.invite(on_code=print, on_request=lambda _: True)
    with pytest.raises(SyncOff):
        phone.new_device(tmp_path / "laptop.db")
    with pytest.raises(SyncOff), msgsync.Watcher(phone, box) as watcher:
        watcher.wait()


def test_local_work_goes_on_and_goes_out_when_it_is_on_again(phone, tablet, family):
    hello = family.send("Hello")
    msgsync.sync(phone, tablet)
    phone.sync.disable()
    family.edit(hello.id, "Hello!")
    family.send("while off")
    tablet.conversation("family").react(hello.id, "👍")
    phone.sync.enable()
    assert msgsync.sync(phone, tablet).complete
    assert_converged(phone, tablet)
    [first, second] = tablet.conversation("family").messages()
    assert (first.text, second.text) == ("Hello!", "while off")
    assert len(first.reactions) == 1


def test_status_says_that_it_is_off_at_every_place(phone, tablet, family, box):
    msgsync.sync(phone, box)
    phone.sync.disable()
    for one in phone.status().places:
        assert (one.state, one.reason) == (PlaceState.OFF, Reason.SWITCHED_OFF)
    family.send("Hello")
    assert any(one.to_send.messages for one in phone.status().places), "what waits is still said"


def test_a_session_that_is_under_way_ends_at_its_next_step(phone, tablet, family):
    for number in range(2000):
        family.send(f"message {number} " + "x" * 300)

    def switch(event: Event) -> None:
        if isinstance(event, Progress) and event.messages:
            tablet.sync.disable()

    with pytest.raises(SyncOff):
        msgsync.sync(tablet, phone, on_event=switch)
    before = tablet.digest
    tablet.sync.enable()
    assert msgsync.sync(tablet, phone).complete
    assert tablet.digest != before
    assert_converged(phone, tablet)


def go_round(replica: Replica, box: MemoryMailbox, stop_at: int) -> None:
    """A round in which sync is switched off before a request; ends with what ends it."""
    errand = Courier(Mailing(replica, box.address)).run()
    request = next(errand)
    number = 0
    while True:
        if number == stop_at:
            replica.sync.disable()
        number += 1
        try:
            answer = perform(box, request)
        except msgsync.NoSuchObject as error:
            request = errand.throw(error)
        else:
            request = errand.send(answer)


@pytest.mark.parametrize("stop_at", range(12))
def test_switching_in_the_middle_of_a_round_is_harmless(phone, tablet, family, box, stop_at):
    family.send("Hello")
    msgsync.sync(tablet, box)
    tablet.create_conversation("Trip").send("Where?")
    msgsync.sync(tablet, box)
    with pytest.raises((SyncOff, StopIteration)):
        go_round(phone, box, stop_at)
    phone.sync.enable()
    for replica in (phone, tablet, phone, tablet):
        assert msgsync.sync(replica, box).complete
    assert_converged(phone, tablet)
    assert len(phone.conversations()) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_watcher_ends_in_words_when_it_is_switched_off(phone, family, box, backend):
    rounds: list[Event] = []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            turned = anyio.Event()

            def on_event(event: Event) -> None:
                rounds.append(event)
                turned.set()

            async def watch() -> None:
                with pytest.raises(SyncOff):
                    await aio.sync(phone, box, watch=True, on_event=on_event)

            tasks.start_soon(watch)
            await turned.wait()
            await anyio.to_thread.run_sync(phone.sync.disable)

    anyio.run(main, backend=backend)
    assert rounds


def test_live_sessions_end_at_once_on_both_sides(phone, tablet, family):
    goodbyes: list[str] = []
    gone = threading.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, msgsync.Disconnected):
            goodbyes.append(event.reason)
            gone.set()

    with msgsync.Server(phone, on_event=on_event) as server:
        watcher = msgsync.Watcher(tablet, server.address)
        tablet.caught_up(timeout=30)
        tablet.sync.disable()
        with pytest.raises(SyncOff):
            watcher.wait(30)
        with pytest.raises(SyncOff):
            watcher.stop()
        assert gone.wait(30)
    [_] = goodbyes  # in words: it left, or the connection ended while it said something else


# Keeping everything.


def test_with_everything_it_first_fetches_what_is_missing(phone, tablet, family, box):
    for number in range(50):
        family.send(f"message {number}")
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    family.send("the last one")
    msgsync.sync(phone, box)
    events: list[Event] = []
    tablet.sync.disable(keep="everything", on_event=events.append)
    assert not tablet.sync.enabled
    texts = [one.text for one in tablet.conversation("family").messages(limit=100)]
    assert texts[-1] == "the last one"
    assert any(isinstance(one, Progress) for one in events)


def test_what_is_here_stops_now(phone, tablet, family, box):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    family.send("the last one")
    msgsync.sync(phone, box)
    tablet.sync.disable(keep="what is here")
    assert len(tablet.conversation("family").messages()) == 0


def test_with_everything_it_stays_on_where_a_place_cannot_be_reached(
    phone, tablet, family, tmp_path
):
    folder = tmp_path / "box"
    folder.mkdir()
    msgsync.sync(phone, folder.as_uri())
    msgsync.sync(tablet, folder.as_uri())
    folder.rename(tmp_path / "unplugged")
    with pytest.raises(NotCaughtUp, match="plug in or mount"):
        tablet.sync.disable(keep="everything")
    assert tablet.sync.enabled


def test_with_everything_places_can_be_named(phone, tablet, family, box):
    family.send("Hello")
    msgsync.sync(phone, box)
    with pytest.raises(NotCaughtUp, match="no place could be reached"):
        tablet.sync.disable(keep="everything")
    tablet.sync.disable(keep="everything", places=[box])
    assert [one.text for one in tablet.conversation("family").messages()] == ["Hello"]


def test_a_device_alone_has_everything(phone):
    phone.sync.disable(keep="everything")
    assert not phone.sync.enabled


def test_what_is_not_known_to_keep_is_refused(phone):
    with pytest.raises(InvalidValue, match="what is here"):
        phone.sync.disable(keep="half of it")
    assert phone.sync.enabled


# The file.


def test_a_reader_sees_it_and_cannot_switch(open_replica: Opener, phone):
    phone.sync.disable()
    reader = open_replica("phone.db", readonly=True)
    assert not reader.sync.enabled
    with pytest.raises(ReadOnly):
        reader.sync.enable()


def test_a_restored_device_is_as_it_was_and_a_new_one_syncs(phone, tmp_path):
    phone.sync.disable()
    phone.backup(tmp_path / "it.backup")
    with msgsync.restore(tmp_path / "it.backup", tmp_path / "same.db") as same:
        assert not same.sync.enabled
    with msgsync.restore(
        tmp_path / "it.backup", tmp_path / "new.db", as_new_device=True
    ) as another:
        assert another.sync.enabled


def test_a_repair_leaves_it_as_it_was(phone, family):
    family.send("Hello")
    phone.sync.disable()
    since_ms = phone.sync.off_since_ms
    with phone.writing() as store:
        store.database.execute("update documents set digest = zeroblob(16)")
    assert phone.repair().damaged
    assert phone.sync.off_since_ms == since_ms
    assert [one.text for one in phone.conversation("family").messages()] == ["Hello"]


def test_attachments_stay_where_they_are_while_it_is_off(phone, tablet, family):
    message = family.send("Look", attachments=[b"x" * 1000])
    holder = ChunkHolder(phone)
    phone.sync.disable()
    with phone.reading() as store:
        [name] = store.copies.to_put("memory:", 9)
    with pytest.raises(SyncOff):
        holder.read(name, 0, 100)
    with pytest.raises(SyncOff):
        ChunkMailing(phone, "memory:").to_put(9)
    assert len(message.attachments) == 1
