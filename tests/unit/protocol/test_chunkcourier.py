"""Chunks of attachments in a mailbox: put once, fetched, read again before they go from a device, and removed."""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest

import msgsync
from msgsync import (
    AttachmentState,
    MailboxUnreachable,
    MemoryMailbox,
    Message,
    Replica,
    limits,
)
from msgsync.mailbox.carrying import carry
from msgsync.post import watch
from msgsync.protocol.chunkcourier import object_name
from msgsync.protocol.courier import Courier
from msgsync.protocol.events import Completed, Event
from msgsync.replica.chunkmailing import ChunkMailing
from msgsync.replica.mailing import Mailing
from msgsync.transport.timing import Timing
from tests.unit.machine import Machine
from tests.unit.protocol.test_checkpoints import opened
from tests.unit.replica.test_attachments import files_of, is_tidy, noise

CHUNK = limits.CHUNK_BYTES


@pytest.fixture
def photo(phone: Replica, tablet: Replica, family: msgsync.Conversation) -> Message:
    return family.send("look", attachments=[noise(2 * CHUNK + 5)])


def state_of(replica: Replica, message: Message) -> AttachmentState:
    return replica.message(message.id).attachments[0].state


def data_of(replica: Replica, message: Message) -> bytes:
    return replica.message(message.id).attachments[0].open().read()


def let_go(machine: Machine, replica: Replica, box: MemoryMailbox) -> int:
    """Have it confirmed what lies there, and let go of all that can go."""
    replica.free_space()
    for _ in range(2):
        msgsync.sync(replica, box)
        assert replica.free_space().bytes_freed == 0
    machine.clock_ms += limits.CONFIRM_MS
    msgsync.sync(replica, box)
    return replica.free_space().bytes_freed


def test_they_follow_their_message_and_are_as_they_lie_in_the_folder(phone, tablet, box, photo):
    msgsync.sync(phone, box)
    assert box.list("chunk") == sorted(
        object_name(bytes.fromhex(path.name)) for path in files_of(phone)
    )
    assert {box.get(name) for name in box.list("chunk")} == {
        path.read_bytes() for path in files_of(phone)
    }
    report = msgsync.sync(tablet, box)
    assert report.complete
    assert report.attachment_bytes_received == sum(path.stat().st_size for path in files_of(phone))
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)
    assert state_of(tablet, photo) is state_of(phone, photo) is AttachmentState.HERE
    assert is_tidy(tablet)


def test_how_much_is_put_and_has_come_is_told(phone, tablet, box, photo):
    events: list[msgsync.Event] = []
    msgsync.sync(phone, box, on_event=events.append)
    put = [one for one in events if isinstance(one, msgsync.AttachmentPutProgress)]
    assert [one.bytes for one in put] == sorted({one.bytes for one in put})
    assert len(put) == 3
    assert put[-1].bytes == put[-1].total_bytes == sum(len(box.get(o)) for o in box.list("chunk"))
    msgsync.sync(tablet, box, on_event=events.append)
    came = [one for one in events if isinstance(one, msgsync.AttachmentProgress)]
    assert [one.total_bytes for one in came] == [2 * CHUNK + 5] * 3
    assert came[-1].bytes == 2 * CHUNK + 5


def test_when_nothing_is_due_nothing_is_asked(phone, tablet, box, photo):
    for replica in (phone, tablet, phone):
        msgsync.sync(replica, box)
    for replica in (phone, tablet):
        asked = list_of_requests(replica, box)
        assert not any("chunk" in one for one in asked)


def list_of_requests(replica: Replica, box: MemoryMailbox) -> list[str]:
    chunks = ChunkMailing(replica, box.address)
    asked: list[str] = []

    class Noting:
        address = box.address

        def put(self, name: str, body: bytes) -> None:
            asked.append(f"put {name}")
            box.put(name, body)

        def get(self, name: str) -> bytes:
            asked.append(f"get {name}")
            return box.get(name)

        def list(self, folder: str) -> list[str]:
            asked.append(f"list {folder}")
            return box.list(folder)

        def delete(self, name: str) -> None:
            asked.append(f"delete {name}")
            box.delete(name)

    carry(Courier(Mailing(replica, box.address), chunks=chunks).run(), Noting())
    return asked


def test_what_another_device_put_is_not_put_again(phone, tablet, box, photo, family):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    tablet.conversation("family").send("the same", attachments=[noise(2 * CHUNK + 5)])
    assert not [one for one in list_of_requests(tablet, box) if one.startswith("put chunk")]


def test_many_newer_ones_that_do_not_lie_there_do_not_stand_in_the_way(
    phone, tablet, box, photo, family, monkeypatch
):
    monkeypatch.setattr(limits, "CHUNKS_PER_FRAME", 2)
    msgsync.sync(phone, box)
    phone.sync.pause_attachments()
    newer = family.send("newer", attachments=[noise(3 * CHUNK, seed=2)])
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    assert state_of(tablet, newer) is AttachmentState.DOWNLOADING
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


def test_a_chunk_that_was_put_elsewhere_meanwhile_is_found_and_not_put(phone, tablet, box, photo):
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, box)
    assert not [one for one in list_of_requests(tablet, box) if one.startswith("put chunk")]
    assert state_of(tablet, photo) is AttachmentState.HERE


# Letting go.


def test_a_device_lets_go_once_it_has_read_them_again_and_not_at_once(machine, phone, box, photo):
    assert let_go(machine, phone, box) == 2 * CHUNK + 5
    assert not files_of(phone)
    assert state_of(phone, photo) is AttachmentState.ELSEWHERE
    assert msgsync.sync(phone, box).attachment_bytes_received == 0


def test_what_is_read_comes_back(machine, phone, box, photo):
    let_go(machine, phone, box)
    with msgsync.Watcher(phone, box):
        phone.message(photo.id).attachments[0].ensure_local(timeout=30)
    assert data_of(phone, photo) == noise(2 * CHUNK + 5)


def test_both_devices_may_let_go_of_what_lies_there(machine, phone, tablet, box, photo):
    msgsync.sync(phone, tablet)
    assert let_go(machine, phone, box) == let_go(machine, tablet, box) == 2 * CHUNK + 5
    with msgsync.Watcher(tablet, box):
        tablet.message(photo.id).attachments[0].ensure_local(timeout=30)
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_what_is_not_there_as_it_was_does_not_go_and_is_put_again(
    machine, phone, box, photo, change
):
    msgsync.sync(phone, box)
    [first, *_] = box.list("chunk")
    if change == "gone":
        box.delete(first)
    else:
        box.put(first, b"something else")
    assert let_go(machine, phone, box) < 2 * CHUNK + 5
    assert len(files_of(phone)) == 1
    msgsync.sync(phone, box)
    assert {box.get(name) for name in box.list("chunk")} >= {
        path.read_bytes() for path in files_of(phone)
    }


def test_a_mailbox_that_was_emptied_gets_all_anew(machine, phone, tablet, box, photo):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    for folder in ("chunk", "log", "key", "check"):
        for name in box.list(folder):
            box.delete(name)
    for _ in range(2):
        msgsync.sync(phone, box)
    assert len(box.list("chunk")) == 3


def test_without_an_epoch_in_force_no_chunk_is_put(phone, tablet, box, family):
    msgsync.sync(phone, tablet)
    tablet.revoke(phone.device, even_without_recovery=True)
    msgsync.sync(tablet, box)
    family.send("look", attachments=[b"x"])
    with pytest.raises(msgsync.NotAMember):
        msgsync.sync(phone, box)
    assert not box.list("chunk")


def test_what_is_older_than_a_budget_goes_after_the_round_that_read_it_there(
    machine, phone, box, photo
):
    machine.clock_ms += 40 * 86_400_000
    phone.set_attachment_budget(days=30)
    for _ in range(2):
        msgsync.sync(phone, box)
        machine.clock_ms += limits.CONFIRM_MS
    assert state_of(phone, photo) is AttachmentState.HERE
    msgsync.sync(phone, box)
    assert state_of(phone, photo) is AttachmentState.ELSEWHERE


def test_what_was_read_there_does_not_count_for_a_message_that_came_later(
    machine, phone, tablet, box, photo
):
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    tablet.free_space()
    for _ in range(2):
        msgsync.sync(tablet, box)
    machine.clock_ms += limits.CONFIRM_MS
    msgsync.sync(tablet, box)  # what lies there is read again, and could go
    assert tablet.free_space(preview=True).bytes_freed == 2 * CHUNK + 5
    third = tablet.conversation("family").send("third", attachments=[noise(2 * CHUNK + 5)])
    assert tablet.free_space().bytes_freed == 0
    phone.conversation("family").erase(photo)
    msgsync.sync(phone, box)
    assert not box.list("chunk")
    assert let_go(machine, tablet, box) == 0  # it looks, and puts it there again
    assert len(box.list("chunk")) == 3
    assert data_of(tablet, third) == noise(2 * CHUNK + 5)


# What goes wrong.


def test_a_damaged_object_is_named_and_passed_over(phone, tablet, box, photo):
    msgsync.sync(phone, box)
    [first, *_] = box.list("chunk")
    box.put(first, bytes(300))
    report = msgsync.sync(tablet, box)
    assert report.complete
    assert len(report.chunks_refused) == 1
    assert first.rsplit("/", maxsplit=1)[-1] in report.chunks_refused[0]
    assert state_of(tablet, photo) is AttachmentState.DOWNLOADING
    assert first not in box.list("chunk")
    msgsync.sync(tablet, phone)
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


def test_what_was_only_read_wrongly_is_not_removed(phone, tablet, box, photo):
    """It may be the last copy: its sender may have let go of his."""
    msgsync.sync(phone, box)

    given: set[str] = set()

    class Garbling(Failing):
        """Gives an object wrongly the first time."""

        def get(self, name: str) -> bytes:
            body = super().get(name)
            if name.startswith("chunk/") and name not in given:
                given.add(name)
                return body[:-1] + bytes((body[-1] ^ 1,))
            return body

    before = box.list("chunk")
    report = msgsync.sync(tablet, Garbling(box, 1000))
    assert report.chunks_refused
    assert box.list("chunk") == before
    msgsync.sync(tablet, box)
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


class Fickle(MemoryMailbox):
    """Gives other bytes each time, and counts."""

    def __init__(self, box: MemoryMailbox) -> None:
        super().__init__()
        self._box = box
        self.address = box.address
        self.asked = self.lists = self.batches = 0

    def put(self, name: str, body: bytes) -> None:
        self._box.put(name, body)
        self.batches += name.startswith("log/")

    def get(self, name: str) -> bytes:
        if not name.startswith("chunk/"):
            return self._box.get(name)
        self.asked += 1
        return self.asked.to_bytes(300, "big")

    def list(self, folder: str) -> list[str]:
        self.lists += folder == "chunk"
        return self._box.list(folder)

    def delete(self, name: str) -> None:
        self._box.delete(name)


def test_a_mailbox_that_answers_otherwise_each_time_is_not_asked_without_end(
    machine, phone, tablet, box, photo
):
    msgsync.sync(phone, box)
    before_it = box.list("chunk")
    fickle = Fickle(box)
    asked: list[int] = []

    async def follow() -> None:
        rounds = anyio.Event()

        def on_event(event: Event) -> None:
            nonlocal rounds
            if isinstance(event, Completed):
                rounds.set()
                rounds = anyio.Event()

        async with anyio.create_task_group() as tasks:
            timing = Timing(poll_s=3600)
            tasks.start_soon(watch, tablet, fickle, on_event, timing)
            while not tablet.conversations():
                await rounds.wait()
            for number in range(8):
                before = fickle.batches
                machine.clock_ms += 600_000 * (number == 7)
                tablet.conversation("family").send(f"round {number}")
                while fickle.batches == before:
                    await rounds.wait()
                asked.append(fickle.asked)
            tasks.cancel_scope.cancel()

    anyio.run(follow)
    a_try = (
        3 * 3
    )  # chunks; each is read again if it cannot be opened, and what was fetched ahead of that is left
    assert 0 < asked[3] == asked[-2] <= 3 * a_try
    assert asked[-2] < asked[-1] <= asked[-2] + a_try
    assert fickle.lists < 10
    assert box.list("chunk") == before_it
    msgsync.sync(tablet, box)  # who asks himself asks for all
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


def test_other_things_that_lie_there_are_passed_over(phone, tablet, box, photo):
    msgsync.sync(phone, box)
    for name in ("chunk/ab/cd", "chunk/x", "chunk/00/" + "f" * 32, "chunk/ff/" + "f" * 33):
        box.put(name, b"?")
    assert msgsync.sync(tablet, box).complete
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


class Failing:
    """A mailbox that is reached so many times, and then not any more."""

    def __init__(self, box: MemoryMailbox, requests: int) -> None:
        self._box = box
        self._left = requests
        self.address = box.address

    def _reach(self) -> MemoryMailbox:
        self._left -= 1
        if self._left < 0:
            raise MailboxUnreachable("the network is gone")
        return self._box

    def put(self, name: str, body: bytes) -> None:
        self._reach().put(name, body)

    def get(self, name: str) -> bytes:
        return self._reach().get(name)

    def list(self, folder: str) -> list[str]:
        return self._reach().list(folder)

    def delete(self, name: str) -> None:
        self._reach().delete(name)


@pytest.mark.parametrize("requests", range(1, 16, 2))
def test_cut_anywhere_it_goes_on_from_there(machine, phone, tablet, box, photo, requests):
    for replica in (phone, tablet):
        with suppress(MailboxUnreachable):
            msgsync.sync(replica, Failing(box, requests))
        assert is_tidy(replica)
    for replica in (phone, tablet, phone):
        assert msgsync.sync(replica, box).complete
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)
    phone.conversation("family").erase(photo)
    for replica in (phone, tablet):
        with suppress(MailboxUnreachable):
            msgsync.sync(replica, Failing(box, requests))
    for replica in (phone, tablet):
        msgsync.sync(replica, box)
    assert not box.list("chunk")


def test_a_round_of_one_who_follows_carries_so_many_and_says_that_there_are_more(
    phone, tablet, box, photo
):
    def round_of(replica: Replica) -> bool:
        chunks = ChunkMailing(replica, box.address)
        courier = Courier(Mailing(replica, box.address), chunks=chunks, most_chunks=2)
        carry(courier.run(), box)
        return courier.has_more

    assert round_of(phone)
    assert len(box.list("chunk")) == 2
    assert state_of(phone, photo) is AttachmentState.UPLOADING
    assert not round_of(phone)
    assert len(box.list("chunk")) == 3
    assert round_of(tablet)
    assert len(files_of(tablet)) == 2
    assert not round_of(tablet)
    assert data_of(tablet, photo) == noise(2 * CHUNK + 5)


# Garbage.


def test_what_was_erased_goes_from_there_too_whoever_comes_first(phone, tablet, box, photo):
    for replica in (phone, tablet):
        msgsync.sync(replica, box)
    phone.conversation("family").erase(photo)
    msgsync.sync(phone, tablet)
    msgsync.sync(tablet, box)
    assert not box.list("chunk")
    msgsync.sync(phone, box)
    with phone.reading() as store:
        assert store.database.one("select count(*) from rubbish") == (0,)


def test_what_another_message_has_too_stays_there(phone, tablet, box, photo):
    again = tablet.create_conversation("Family", id="family").send(
        "the same", attachments=[noise(2 * CHUNK + 5)]
    )
    for replica in (phone, tablet, phone):
        msgsync.sync(replica, box)
    phone.conversation("family").erase(photo)
    for replica in (phone, tablet, phone):
        msgsync.sync(replica, box)
    assert len(box.list("chunk")) == 3
    assert data_of(phone, again) == noise(2 * CHUNK + 5)


def test_what_was_sent_anew_after_it_was_erased_is_not_removed(phone, tablet, box, photo):
    for replica in (phone, tablet):
        msgsync.sync(replica, box)
    phone.conversation("family").erase(photo)
    again = tablet.conversation("family").send("again", attachments=[noise(2 * CHUNK + 5)])
    msgsync.sync(tablet, box)
    msgsync.sync(phone, box)
    assert len(box.list("chunk")) == 3
    msgsync.sync(tablet, box)
    assert len(box.list("chunk")) == 3
    assert data_of(phone, again) == noise(2 * CHUNK + 5)


def test_a_round_that_took_long_removes_nothing(machine, phone, box, photo):
    msgsync.sync(phone, box)
    phone.conversation("family").erase(photo)
    chunks = ChunkMailing(phone, box.address)
    machine.clock_ms += limits.CONFIRM_MS
    carry(Courier(Mailing(phone, box.address), chunks=chunks).run(), box)
    assert len(box.list("chunk")) == 3
    msgsync.sync(phone, box)
    assert not box.list("chunk")


def test_an_attachment_erased_alone_leaves_the_mailbox_and_the_receipt_says_so(
    phone, tablet, box, photo
):
    preview = b"a picture of swordfish"
    family = phone.conversation("family")
    small = family.send("", attachments=[msgsync.Attach(b"swordfish", preview=preview)])
    for replica in (phone, tablet):
        msgsync.sync(replica, box)
    key = small.attachments[0].record
    assert any(preview in body for _, body in opened(phone, box).values())
    family.erase_attachment(small, small.attachments[0])
    [told] = phone.verify_erased(small.id).mailboxes
    assert (told.gone, told.due_ms) == (False, 0)
    for _ in range(2):
        msgsync.sync(phone, box)
    assert len(box.list("chunk")) == 3  # those of the other message
    bodies = [body for _, body in opened(phone, box).values()]
    assert not any(preview in body or key in body for body in bodies)
    assert phone.verify_erased(small.id).mailboxes[0].gone
    assert msgsync.sync(tablet, box).complete
    assert state_of(tablet, small) is AttachmentState.GONE
    assert len(files_of(tablet)) == 3
    assert tablet.check().ok


def test_while_its_chunks_are_there_the_receipt_says_so(phone, box, photo, monkeypatch):
    msgsync.sync(phone, box)
    phone.conversation("family").erase_attachment(photo, photo.attachments[0])
    with monkeypatch.context() as patched:
        patched.setattr(ChunkMailing, "rubbish", lambda _self: [])  # as if the round took long
        for _ in range(2):
            msgsync.sync(phone, box)
    assert not phone.verify_erased(photo.id).mailboxes[0].gone
    msgsync.sync(phone, box)
    assert not box.list("chunk")
    assert phone.verify_erased(photo.id).mailboxes[0].gone


def test_what_comes_late_with_the_keys_of_an_erased_attachment_is_taken_out(
    machine, phone, tablet, box, photo
):
    msgsync.sync(phone, box)
    before = {name: box.get(name) for folder in ("log", "check") for name in box.list(folder)}
    phone.conversation("family").erase_attachment(photo, photo.attachments[0])
    for _ in range(2):
        msgsync.sync(phone, box)
    assert phone.verify_erased(photo.id).mailboxes[0].gone
    for name, body in before.items():
        box.put(name, body)
    msgsync.sync(tablet, box)
    assert state_of(tablet, photo) is AttachmentState.GONE
    assert not files_of(tablet)
    machine.clock_ms += 2 * 86_400_000
    for _ in range(2):
        msgsync.sync(phone, box)
    key = photo.attachments[0].record
    assert not any(key in body for _, body in opened(phone, box).values())


def test_of_two_rounds_at_a_time_the_earlier_one_dates_nothing_that_came_after_it_began(
    phone, family, box
):
    family.send("one", attachments=[noise(100)])
    msgsync.sync(phone, box)
    earlier = ChunkMailing(phone, box.address)
    family.send("two", attachments=[noise(100)])
    later = ChunkMailing(phone, box.address)
    earlier.date()
    with phone.reading() as store:
        assert store.copies.has_undated(box.address)
    later.date()
    with phone.reading() as store:
        assert not store.copies.has_undated(box.address)
