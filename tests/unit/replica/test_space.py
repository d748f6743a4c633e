"""Room on a device: what may go from it, what stays, and what comes back."""

from __future__ import annotations

import threading

import pytest

import msgsync
from msgsync import (
    AttachmentElsewhere,
    AttachmentState,
    Conversation,
    InvalidValue,
    Message,
    Replica,
    limits,
)
from msgsync.protocol.chunks import Chunks
from msgsync.protocol.frames import Keep, Kept
from msgsync.protocol.session import Session
from msgsync.records import chunk_name
from msgsync.replica.exchange import Exchange
from msgsync.replica.fetching import Wait
from msgsync.transport import memory
from tests.unit.conftest import Opener
from tests.unit.machine import Machine
from tests.unit.protocol.line import Line
from tests.unit.protocol.test_chunkcourier import let_go
from tests.unit.replica.test_attachments import files_of, is_tidy, noise
from tests.unit.work import Work, work_of

CHUNK = limits.CHUNK_BYTES
DAY_MS = 86_400_000
ends_early = pytest.mark.filterwarnings("ignore:a session ended")
"""Who was waited for has come, and the session is ended while it is at work on what follows."""


def state_of(replica: Replica, message: Message) -> AttachmentState:
    return replica.message(message.id).attachments[0].state


def photo(family: Conversation, seed: int = 1, chunks: int = 1) -> Message:
    return family.send("look", attachments=[noise(chunks * CHUNK, seed)])


@pytest.fixture
def kept(phone: Replica, tablet: Replica, family: Conversation) -> Message:
    """A photo that the tablet has promised to keep for the phone."""
    sent = photo(family)
    msgsync.sync(phone, tablet)
    phone.free_space()
    msgsync.sync(phone, tablet)
    return sent


def test_what_nobody_else_has_never_goes(phone, family):
    sent = photo(family)
    assert phone.free_space(preview=True) == msgsync.Space(CHUNK, 0, 0)
    assert phone.free_space() == msgsync.Space(CHUNK, 0, 0)
    assert state_of(phone, sent) is AttachmentState.ONLY_HERE


def test_nor_what_another_device_has_but_may_let_go_of_itself(phone, tablet, family):
    sent = photo(family)
    msgsync.sync(phone, tablet)
    assert state_of(phone, sent) is AttachmentState.HERE
    assert phone.free_space().bytes_freed == 0
    assert tablet.free_space().bytes_freed == 0


def test_what_another_device_promised_to_keep_goes_and_comes_back(phone, tablet, kept):
    assert phone.free_space(preview=True) == msgsync.Space(CHUNK, CHUNK, CHUNK)
    assert len(files_of(phone)) == 1
    assert phone.free_space() == msgsync.Space(0, 0, CHUNK)
    assert not files_of(phone)
    assert is_tidy(phone)
    assert state_of(phone, kept) is AttachmentState.ELSEWHERE
    with pytest.raises(AttachmentElsewhere):
        phone.message(kept.id).attachments[0].open().read()
    assert phone.check().ok


def test_it_does_not_come_back_by_itself(phone, tablet, kept):
    phone.free_space()
    assert msgsync.sync(phone, tablet).attachment_bytes_received == 0
    assert not files_of(phone)


def test_who_has_promised_keeps(phone, tablet, kept):
    assert tablet.free_space().bytes_freed == 0
    msgsync.sync(phone, tablet)
    assert tablet.free_space() == msgsync.Space(CHUNK, 0, 0)
    phone.free_space()
    assert tablet.message(kept.id).attachments[0].open().read() == noise(CHUNK)


@ends_early
def test_what_is_read_comes_back_over_a_session_that_stays(phone, tablet, kept):
    phone.free_space()
    one = phone.message(kept.id).attachments[0]
    progress: list[tuple[int, int]] = []
    with msgsync.Server(tablet) as server, msgsync.Watcher(phone, server.address):
        one.ensure_local(timeout=30, on_progress=lambda *so_far: progress.append(so_far))
    assert progress == [(0, CHUNK), (CHUNK, CHUNK)]
    assert phone.message(kept.id).attachments[0].open().read() == noise(CHUNK)
    assert state_of(phone, kept) is AttachmentState.HERE
    assert is_tidy(phone)


@ends_early
def test_a_place_that_is_read_brings_its_chunk_alone(phone, tablet, family):
    sent = photo(family, chunks=3)
    for _ in range(2):
        msgsync.sync(phone, tablet)
        phone.free_space()
    with (
        msgsync.Server(tablet) as server,
        msgsync.Watcher(phone, server.address),
        phone.message(sent.id).attachments[0].open(timeout=30) as file,
    ):
        file.seek(CHUNK + 5)
        assert file.read(10) == noise(3 * CHUNK)[CHUNK + 5 : CHUNK + 15]
    assert len(files_of(phone)) == 1


def test_who_waits_and_nothing_comes_is_told_what_to_do(phone, tablet, kept):
    phone.free_space()
    with pytest.raises(AttachmentElsewhere, match="connect to a device that has it"):
        phone.message(kept.id).attachments[0].ensure_local(timeout=0.01)
    with pytest.raises(InvalidValue):
        phone.message(kept.id).attachments[0].ensure_local(timeout=-1)


def test_closing_ends_the_wait(phone, tablet, kept):
    phone.free_space()
    one = phone.message(kept.id).attachments[0]
    waits = threading.Event()

    def close(_done: int, _total: int) -> None:
        waits.set()

    closer = threading.Thread(target=lambda: (waits.wait(), phone.close()))
    closer.start()
    with pytest.raises(msgsync.ReplicaClosed):
        one.ensure_local(on_progress=close)
    closer.join()


def test_a_promise_of_a_device_that_is_out_or_retired_or_another_store_counts_for_nothing(
    phone, tablet, kept
):
    phone.retire(tablet.device)
    assert phone.free_space().bytes_freed == 0
    msgsync.sync(phone, tablet)  # it is back
    assert phone.free_space(preview=True).bytes_freed == CHUNK
    phone.revoke(tablet.device, even_without_recovery=True)
    assert phone.free_space().bytes_freed == 0


def test_the_least_recently_used_goes_first(machine, phone, tablet, family):
    old, new = photo(family, 1), photo(family, 2)
    for _ in range(2):
        msgsync.sync(phone, tablet)
        phone.free_space(10 * CHUNK)
    machine.clock_ms += 1000
    phone.message(old.id).attachments[0].open().read()
    assert phone.free_space(CHUNK).bytes_freed == CHUNK
    assert state_of(phone, old) is AttachmentState.HERE
    assert state_of(phone, new) is AttachmentState.ELSEWHERE


@pytest.mark.parametrize("size", [-1, 1.5, True, "1"])
def test_a_number_of_bytes_is_one(phone, size):
    for call in (phone.free_space, phone.set_attachment_budget):
        with pytest.raises(InvalidValue):
            call(size)


# A budget.


def test_with_a_budget_the_newest_are_fetched_as_far_as_there_is_room(phone, tablet, family):
    photos = [photo(family, seed) for seed in range(4)]
    tablet.set_attachment_budget(2 * CHUNK)
    assert msgsync.sync(tablet, phone).complete
    assert [state_of(tablet, one) for one in photos] == [
        *[AttachmentState.DOWNLOADING] * 2,
        *[AttachmentState.HERE] * 2,
    ]
    tablet.set_attachment_budget(None)
    msgsync.sync(tablet, phone)
    assert [state_of(tablet, one) for one in photos] == [AttachmentState.HERE] * 4


def test_what_a_budget_leaves_where_it_is_does_not_count_as_to_come(phone, tablet, family, box):
    for seed in range(5):
        photo(family, seed)
    events: list[msgsync.Event] = []
    tablet.set_attachment_budget(3 * CHUNK)
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box, on_event=events.append)
    assert totals(events) == [(CHUNK, 3 * CHUNK), (2 * CHUNK, 3 * CHUNK), (3 * CHUNK, 3 * CHUNK)]
    events.clear()
    tablet.set_attachment_budget(4 * CHUNK)
    msgsync.sync(tablet, phone, on_event=events.append)
    assert totals(events) == [(CHUNK, CHUNK)]
    assert tablet.status().attachment_bytes_missing == CHUNK


def totals(events: list[msgsync.Event]) -> list[tuple[int, int]]:
    return [
        (one.bytes, one.total_bytes)
        for one in events
        if isinstance(one, msgsync.AttachmentProgress)
    ]


def test_what_somebody_waits_for_counts_though_it_was_let_go_of(phone, tablet, family, kept):
    phone.free_space()
    events: list[msgsync.Event] = []
    wait = Wait(phone.fetching, [*map(chunk_name, kept.attachments[0]._record.chunk_keys())])
    wait.begin()
    msgsync.sync(phone, tablet, on_event=events.append)
    wait.end()
    assert totals(events) == [(CHUNK, CHUNK)]


def test_what_went_for_a_budget_comes_back_when_all_is_fetched(phone, tablet, family, kept):
    phone.set_attachment_budget(0)
    assert state_of(phone, kept) is AttachmentState.ELSEWHERE
    phone.set_attachment_budget(None)
    msgsync.sync(phone, tablet)
    assert state_of(phone, kept) is AttachmentState.ELSEWHERE
    assert phone.fetch_attachments() == CHUNK
    assert state_of(phone, kept) is AttachmentState.DOWNLOADING
    assert phone.fetch_attachments() == 0
    msgsync.sync(phone, tablet)
    assert state_of(phone, kept) is AttachmentState.HERE


def test_with_a_budget_as_far_as_that_allows(machine, phone, box, family):
    photos = [photo(family, seed) for seed in range(3)]
    assert let_go(machine, phone, box) == 3 * CHUNK
    phone.set_attachment_budget(CHUNK)
    assert phone.fetch_attachments() == 3 * CHUNK
    msgsync.sync(phone, box)
    assert [state_of(phone, one) for one in photos] == [
        *[AttachmentState.DOWNLOADING] * 2,
        AttachmentState.HERE,
    ]


def test_who_reads_alone_has_nothing_come_back(phone, family):
    with (
        msgsync.open(phone.path, readonly=True) as reader,
        pytest.raises(msgsync.ReadOnly),
    ):
        reader.fetch_attachments()


def test_with_a_full_budget_what_is_new_takes_the_place_of_what_was_not_used_for_longest(
    phone, tablet, family
):
    old = [photo(family, seed) for seed in range(3)]
    tablet.set_attachment_budget(2 * CHUNK)
    for _ in range(2):
        msgsync.sync(tablet, phone)
    assert [state_of(tablet, one) for one in old] == [
        AttachmentState.DOWNLOADING,
        *[AttachmentState.HERE] * 2,
    ]
    new = photo(family, 3)
    for _ in range(2):
        msgsync.sync(tablet, phone)
    assert [state_of(tablet, one) for one in (*old, new)] == [
        AttachmentState.DOWNLOADING,
        AttachmentState.ELSEWHERE,
        *[AttachmentState.HERE] * 2,
    ]
    assert len(files_of(tablet)) == 2


@ends_early
def test_with_a_full_budget_what_was_read_later_than_it_was_sent_stays(
    phone, tablet, family, machine
):
    old = [photo(family, seed) for seed in range(2)]
    late = photo(family, 2)
    tablet.sync.pause_attachments()
    msgsync.sync(tablet, phone)
    tablet.sync.resume_attachments()
    tablet.set_attachment_budget(2 * CHUNK)
    machine.clock_ms += 1000
    with msgsync.Server(phone) as server, msgsync.Watcher(tablet, server.address):
        for one in old:
            tablet.message(one.id).attachments[0].ensure_local(timeout=30)
    for one in old:
        tablet.message(one.id).attachments[0].open().read()
    for _ in range(2):
        msgsync.sync(tablet, phone)
    assert [state_of(tablet, one) for one in old] == [AttachmentState.HERE] * 2
    assert state_of(tablet, late) is not AttachmentState.HERE


@ends_early
def test_with_a_budget_it_makes_room_for_what_is_read(phone, tablet, family):
    photos = [photo(family, seed) for seed in range(3)]
    tablet.set_attachment_budget(2 * CHUNK)
    for _ in range(2):
        msgsync.sync(tablet, phone)
    with msgsync.Server(phone) as server, msgsync.Watcher(tablet, server.address):
        tablet.message(photos[0].id).attachments[0].ensure_local(timeout=30)
    assert len(files_of(tablet)) == 2
    assert tablet.message(photos[0].id).attachments[0].open().read() == noise(CHUNK, 0)


@pytest.mark.parametrize("budget", [{"size": 0}, {"days": 1}])
def test_of_two_with_a_budget_neither_promises(phone, tablet, family, budget):
    photo(family)
    for replica in (phone, tablet):
        replica.set_attachment_budget(**budget)
    phone_first = [(phone, tablet), (tablet, phone)]
    for first, second in phone_first * 2:
        msgsync.sync(first, second)
    for replica in (phone, tablet):
        replica.free_space()
    assert len(files_of(phone)) == 1


# A budget in days.


@pytest.fixture
def aged(machine: Machine, phone: Replica, tablet: Replica, family: Conversation) -> list[Message]:
    """A photo of forty days ago and one of today, on the phone and the tablet."""
    old = photo(family, 1)
    machine.clock_ms += 40 * DAY_MS
    photos = [old, photo(family, 2)]
    msgsync.sync(phone, tablet)
    return photos


def states(replica: Replica, photos: list[Message]) -> list[AttachmentState]:
    return [state_of(replica, one) for one in photos]


def test_what_is_older_goes_by_itself_once_somebody_is_bound_to_have_it(phone, tablet, aged):
    phone.set_attachment_budget(days=30)
    assert states(phone, aged) == [AttachmentState.HERE] * 2
    msgsync.sync(phone, tablet)
    assert states(phone, aged) == [AttachmentState.ELSEWHERE, AttachmentState.HERE]
    assert is_tidy(phone)
    assert phone.check().ok


def test_what_nobody_else_is_bound_to_have_stays_however_old_it_is(phone, tablet, aged):
    for replica in (phone, tablet):
        replica.set_attachment_budget(days=30)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert states(phone, aged) == states(tablet, aged) == [AttachmentState.HERE] * 2


def test_it_goes_when_it_gets_that_old(machine, phone, tablet, aged):
    phone.set_attachment_budget(days=41)
    msgsync.sync(phone, tablet)
    machine.clock_ms += DAY_MS
    phone.tidy()
    assert states(phone, aged) == [AttachmentState.HERE] * 2
    machine.clock_ms += 1
    phone.tidy()
    assert states(phone, aged) == [AttachmentState.ELSEWHERE, AttachmentState.HERE]


def test_what_was_read_lately_stays_as_long(machine, phone, tablet, aged, open_replica):
    phone.message(aged[0].id).attachments[0].open().read()
    phone.set_attachment_budget(days=30)
    msgsync.sync(phone, tablet)
    machine.clock_ms += 20 * DAY_MS
    phone.message(aged[0].id).attachments[0].open().read()
    phone.close()
    machine.clock_ms += 20 * DAY_MS
    phone = open_replica("phone.db")
    msgsync.sync(phone, tablet)
    assert states(phone, aged) == [AttachmentState.HERE, AttachmentState.ELSEWHERE]
    machine.clock_ms += 11 * DAY_MS
    msgsync.sync(phone, tablet)
    assert states(phone, aged) == [AttachmentState.ELSEWHERE] * 2


def test_what_was_sent_again_is_as_new_as_that(phone, tablet, aged):
    phone.conversation("family").send("again", attachments=[noise(CHUNK, 1)])
    phone.set_attachment_budget(days=30)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.free_space(preview=True).bytes_freed == 2 * CHUNK
    assert states(phone, aged) == [AttachmentState.HERE] * 2


def test_what_is_older_is_not_fetched_by_itself(phone, aged, open_replica):
    laptop = open_replica("laptop.db", member=phone)
    laptop.set_attachment_budget(days=30)
    assert msgsync.sync(laptop, phone).complete
    assert states(laptop, aged) == [AttachmentState.DOWNLOADING, AttachmentState.HERE]
    laptop.set_attachment_budget()
    msgsync.sync(laptop, phone)
    assert states(laptop, aged) == [AttachmentState.HERE] * 2


@ends_early
def test_it_comes_when_somebody_wants_it_and_counts_from_then_on(
    machine, phone, tablet, aged, open_replica
):
    laptop = open_replica("laptop.db", member=phone)
    laptop.set_attachment_budget(days=30)
    msgsync.sync(laptop, tablet)
    with msgsync.Server(tablet) as server, msgsync.Watcher(laptop, server.address):
        laptop.message(aged[0].id).attachments[0].ensure_local(timeout=30)
    for _ in range(2):
        msgsync.sync(laptop, tablet)
    assert states(laptop, aged) == [AttachmentState.HERE] * 2
    machine.clock_ms += 31 * DAY_MS
    msgsync.sync(laptop, tablet)
    assert states(laptop, aged) == [AttachmentState.ELSEWHERE] * 2


def test_both_may_be_said(phone, tablet, aged):
    phone.set_attachment_budget(2 * CHUNK, days=30)
    msgsync.sync(phone, tablet)
    assert states(phone, aged) == [AttachmentState.ELSEWHERE, AttachmentState.HERE]
    phone.set_attachment_budget(0, days=30)
    assert states(phone, aged) == [AttachmentState.ELSEWHERE] * 2


def test_a_clock_that_jumps_ahead_loses_nothing(machine, phone, tablet, aged):
    phone.set_attachment_budget(days=30)
    machine.clock_ms += 3650 * DAY_MS
    msgsync.sync(phone, tablet)
    assert states(phone, aged) == [AttachmentState.ELSEWHERE] * 2
    machine.clock_ms -= 3650 * DAY_MS
    phone.message(aged[1].id).attachments[0].resume()
    msgsync.sync(phone, tablet)
    assert states(phone, aged) == [AttachmentState.ELSEWHERE, AttachmentState.HERE]


@pytest.mark.parametrize("days", [0, -1, 1.5, True, "1", 10**6])
def test_a_number_of_days_is_one(phone, days):
    with pytest.raises(InvalidValue, match="from 1 to"):
        phone.set_attachment_budget(days=days)


# Both at one moment.


@pytest.mark.parametrize("frames", range(2, 24))
def test_two_that_let_go_at_one_moment_never_both_do(phone, tablet, family, frames):
    sent = photo(family)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        replica.free_space()
    memory.exchange(Session(Exchange(phone)), Session(Exchange(tablet)), frames=frames)
    freed = [replica.free_space().bytes_freed for replica in (phone, tablet)]
    assert sum(freed) <= CHUNK
    msgsync.sync(phone, tablet)
    freed = [
        replica.free_space().bytes_freed + before
        for replica, before in zip((phone, tablet), freed, strict=True)
    ]
    assert sum(freed) == CHUNK
    assert len(files_of(phone)) + len(files_of(tablet)) == 1
    assert sent.id in {one.id for one in tablet.conversation("family").messages()}


def test_where_both_ask_at_a_time_the_lesser_device_gets_the_promise(phone, tablet, family):
    photo(family)
    msgsync.sync(phone, tablet)
    sides: dict[bytes, Chunks] = {}
    for one, other in ((phone, tablet), (tablet, phone)):
        one.free_space()
        side = Chunks(Exchange(one).attachments, one.device.raw)
        side.begin(other.device.raw, other.store().identity.store_id)
        side.given = one.store().seq
        sides[one.device.raw] = side
    asked = {device: side.next() for device, side in sides.items()}
    assert all(isinstance(frame, Keep) for frame in asked.values())
    lesser, greater = sorted(sides)
    answers: dict[bytes, object] = {}
    for device, other in ((lesser, greater), (greater, lesser)):
        frame = asked[other]
        assert isinstance(frame, Keep)
        sides[device].keep(frame)
        answers[device] = sides[device].next()
    assert answers[lesser] == Kept(())
    answer = answers[greater]
    assert isinstance(answer, Kept)
    assert len(answer.names) == 1


@pytest.mark.parametrize("lacks", [False, True])
def test_who_may_lack_a_message_promises_nothing(phone, tablet, family, lacks):
    photo(family)
    msgsync.sync(phone, tablet)
    phone.free_space()
    with phone.reading() as store:
        names = store.copies.to_ask({}, 1)
    assert names
    side = Chunks(Exchange(tablet).attachments, tablet.device.raw)
    side.begin(phone.device.raw, phone.store().identity.store_id)
    side.given = None if lacks else tablet.store().seq
    side.keep(Keep(tuple(names)))
    assert side.next() == Kept(() if lacks else tuple(names))


def test_what_was_erased_meanwhile_frees_both(phone, tablet, kept):
    phone.conversation("family").erase(kept)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        with replica.reading() as store:
            for table in ("copies", "promises", "chunks"):
                assert store.database.one(f"select count(*) from {table}") == (0,)


# Another file under the same name.


def test_a_replica_made_of_a_backup_sees_what_is_in_its_folder(phone, tablet, family, tmp_path):
    sent = photo(family)
    phone.backup(tmp_path / "backup")
    with msgsync.restore(tmp_path / "backup", tmp_path / "again.db") as again:
        assert state_of(again, sent) is AttachmentState.DOWNLOADING
        assert msgsync.sync(again, phone).attachment_bytes_received > 0
        assert again.message(sent.id).attachments[0].open().read() == noise(CHUNK)


def test_a_promise_does_not_count_for_a_message_that_came_later(phone, tablet, kept):
    """Who promised may erase what he promised it for, and not know that something else needs it."""
    again = phone.conversation("family").send("again", attachments=[noise(CHUNK)])
    assert phone.free_space().bytes_freed == 0
    tablet.conversation("family").erase(kept)
    msgsync.sync(phone, tablet)
    assert tablet.message(again.id).attachments[0].open().read() == noise(CHUNK)
    msgsync.sync(phone, tablet)  # asks again
    assert phone.free_space().bytes_freed == CHUNK


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("frames", range(6))
def test_who_does_not_know_a_message_yet_does_not_promise_to_keep_its_file(
    phone, tablet, family, frames, live
):
    """Seed 1005068: a file was promised for the messages known there, and one that was sent meanwhile lost it."""
    sent = photo(family)
    msgsync.sync(phone, tablet)
    phone.free_space()
    line = Line(Session(Exchange(phone), live=live), Session(Exchange(tablet), live=live))
    line.carry(frames)
    again = family.send("again", attachments=[noise(CHUNK)])
    line.first.changed()
    line.carry(2)  # not to the end: what was written may be on its way
    tablet.conversation("family").erase(sent)
    line.second.changed()
    line.carry(4)
    phone.free_space()
    msgsync.sync(phone, tablet)
    assert phone.message(again.id).attachments[0].open().read() == noise(CHUNK)
    assert tablet.message(again.id).attachments[0].open().read() == noise(CHUNK)


def test_what_was_found_damaged_is_fetched_anew(phone, tablet, family):
    sent = photo(family)
    msgsync.sync(phone, tablet)
    [path] = files_of(phone)
    path.write_bytes(bytes(272))
    with pytest.raises(msgsync.AttachmentDamaged):
        phone.message(sent.id).attachments[0].open().read()
    assert state_of(phone, sent) is AttachmentState.DAMAGED
    assert not files_of(phone)
    msgsync.sync(phone, tablet)
    assert state_of(phone, sent) is AttachmentState.HERE
    assert phone.message(sent.id).attachments[0].open().read() == noise(CHUNK)


def test_letting_go_of_many_is_one_commit_and_as_much_work_for_each(open_replica: Opener):
    def work(count: int) -> tuple[Work, int]:
        phone = open_replica(f"phone-{count}.db")
        tablet = open_replica(f"tablet-{count}.db", member=phone)
        files = phone.create_conversation("many", id="many")
        files.send("", attachments=[b"%d" % n for n in range(count)])
        phone.free_space()
        msgsync.sync(phone, tablet)
        msgsync.sync(phone, tablet)
        with phone.reading() as store:
            before = store.seq
        done = work_of(phone, phone.free_space)
        assert phone.free_space(preview=True).bytes_here == 0
        with phone.reading() as store:
            return done, store.seq - before

    (few, one), (many, as_many) = work(16), work(64)
    assert one == as_many
    assert many.steps < 5 * few.steps
    assert many.calls < 5 * few.calls
