"""A new device at a mailbox: what it reads first, how often it asks, and what it never reads twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import anyio
import pytest

from msgsync import (
    Conversation,
    Event,
    FirstScreen,
    Incoming,
    MailboxError,
    MemoryMailbox,
    Replica,
    aio,
    limits,
    sync,
)
from msgsync.account.head import LogEnd
from msgsync.account.seal import is_checkpoint_name
from msgsync.account.statements import Position
from msgsync.ids import DeviceId
from msgsync.mailbox.carrying import perform
from msgsync.protocol.candidates import Candidate, brings_nothing, newest
from msgsync.protocol.correspondent import Log
from msgsync.protocol.courier import Courier
from msgsync.protocol.errand import Get, Put, Request
from msgsync.protocol.manifest import Contents, Manifest
from msgsync.replica.mailing import Mailing
from msgsync.testing import assert_converged, assert_sound
from tests.unit.conftest import Opener
from tests.unit.machine import START_MS, Machine
from tests.unit.protocol.test_courier import flipped, objects, visit, visits

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of some ten messages, and first screens of two conversations with five messages each."""
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 1500)
    monkeypatch.setattr(limits, "SCREEN_MESSAGES", 5)
    monkeypatch.setattr(limits, "SCREEN_CONVERSATIONS", 2)
    monkeypatch.setattr(limits, "SCREEN_DOCUMENT_BYTES", 300)


def history(replica: Replica, months: int, *, conversations: int = 3, each: int = 4) -> None:
    """So many messages in each month of each conversation, the newest one today."""
    replica.ingest(
        Incoming(
            f"number{place}",
            "bob",
            f"message {number} of month {month} in {place}",
            START_MS - month * MONTH_MS - number * DAY_MS - place * 1000,
            f"{month} {number}",
        )
        for place in range(conversations)
        for month in range(months)
        for number in range(each)
    )


def rounds(
    replica: Replica, box: MemoryMailbox, on_event: Callable[[Event], None] | None = None
) -> Iterator[Request]:
    """One round, request by request; each is carried out once the next one is asked for."""
    errand = Courier(Mailing(replica, box.address), on_event).run()
    request = next(errand)
    try:
        while True:
            yield request
            try:
                answer = perform(box, request)
            except MailboxError as error:
                request = errand.throw(error)
            else:
                request = errand.send(answer)
    except StopIteration:
        pass


def until_screen(replica: Replica, box: MemoryMailbox) -> tuple[list[Request], FirstScreen]:
    screens: list[FirstScreen] = []
    asked: list[Request] = []
    for request in rounds(replica, box, lambda event: _keep(event, screens)):
        if screens:
            return asked, screens[0]
        asked.append(request)
    raise AssertionError("no first screen came")


def _keep(event: Event, screens: list[FirstScreen]) -> None:
    if isinstance(event, FirstScreen):
        screens.append(event)


def texts(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation.messages(limit=1000)]


# The first screen.


def test_a_first_screen_costs_as_much_in_a_long_history_as_in_a_short_one(
    small, open_replica: Opener
):
    costs = []
    for months in (4, 40):
        member = open_replica(f"member {months}.db")
        history(member, months)
        box = MemoryMailbox()
        visit(member, box)
        new = open_replica(f"new {months}.db", member=member)
        asked, screen = until_screen(new, box)
        costs.append((len(asked), screen.bytes))
        assert [type(one).__name__ for one in asked] == ["Get", "List", "Get", "Get"]
        for one in member.conversations()[:2]:
            shown = new.conversation(one.id).messages(limit=5)
            assert [*shown] == [*member.conversation(one.id).messages(limit=5)]
    assert costs[0][0] == costs[1][0]
    assert costs[1][1] < 1.2 * costs[0][1]


def test_a_long_history_goes_into_an_empty_mailbox_once_and_is_not_read_again(
    small, phone, tablet, box
):
    history(phone, 10)
    asked = [*rounds(phone, box)]
    assert all(is_checkpoint_name(name.split("/")[1]) for name in objects(box))
    assert not any(isinstance(one, Get) and one.name.startswith("log/") for one in asked)
    assert visit(phone, box).documents_sent == 0
    visits(box, tablet, phone)
    assert_converged(phone, tablet)
    phone.conversation("number0").send("one more")
    assert visit(phone, box).documents_sent == 1
    visit(tablet, box)
    assert_converged(phone, tablet)


def test_who_has_something_takes_nothing_from_a_first_screen_that_it_has(small, phone, tablet, box):
    history(phone, 10)
    history(tablet, 10)
    screens: list[FirstScreen] = []
    visit(phone, box)
    [*rounds(tablet, box, lambda event: _keep(event, screens))]
    assert not screens
    assert_converged(phone, tablet)


# In which order.


def test_heads_come_first_then_the_newest_messages_then_older_ones(small, phone, tablet, box):
    history(phone, 12, conversations=6)
    visit(phone, box)
    heads, newest_months, oldest = [], [], []
    for _ in rounds(tablet, box):
        with tablet.reading() as store:
            rows = [row.id for row in store.documents.select("")]
        heads.append(sum(row.is_head for row in rows))
        kinds = Counter(row.kind for row in rows if row.is_segment)
        newest_months.append(kinds["2024-01"])
        oldest.append(min(kinds, default="9999"))
        if oldest[-1] < "2023-12":
            assert newest_months[-1] == 6
        if newest_months[-1] == 6:
            assert len(tablet.conversations()) == 6
    assert oldest == sorted(oldest, reverse=True)
    assert_converged(phone, tablet)


def test_what_came_after_the_checkpoint_is_here_before_what_is_old(
    small, phone, tablet, open_replica: Opener, box
):
    history(phone, 20)
    visits(box, phone, tablet)
    tablet.conversation("number0").send("after the checkpoint")
    tablet.create_conversation(id="new").send("a new conversation")
    visit(tablet, box)
    late = open_replica("late.db", member=phone)
    for _ in rounds(late, box):
        with late.reading() as store:
            count = store.counts()[1]
        if any(one.id == "new" for one in late.conversations()):
            assert "after the checkpoint" in texts(late.conversation("number0"))
            assert count < 100  # of 240
            break
    else:
        raise AssertionError("it did not come before the end")
    visit(late, box)
    visits(box, phone, tablet, late)
    assert_converged(phone, tablet, late)
    assert_sound(late)


def test_what_goes_on_from_old_messages_is_read_once_they_are_here(
    small, phone, tablet, open_replica: Opener, box
):
    history(phone, 20)
    visits(box, phone, tablet)
    page = tablet.conversation("number0").messages(limit=1000)
    tablet.conversation("number0").edit(page[0].id, "the oldest one, edited")
    visit(tablet, box)
    late = open_replica("late.db", member=phone)
    visit(late, box)
    visit(phone, box)
    assert_converged(phone, tablet, late)


def test_of_two_checkpoints_the_one_that_covers_the_other_is_read(
    small, machine: Machine, monkeypatch, phone, tablet, open_replica: Opener, box
):
    history(phone, 10)
    visits(box, phone, tablet)
    monkeypatch.setattr(limits, "CHECKPOINT_OBJECTS", 2)
    for number in range(40):
        phone.conversation("number0").send(f"number {number}")
        visit(phone, box)
    folders = {
        name.split("/")[1] for name in objects(box) if is_checkpoint_name(name.split("/")[1])
    }
    assert len(folders) == 2
    late = open_replica("late.db", member=phone)
    asked = Counter(
        one.name.split("/")[1]
        for one in rounds(late, box)
        if isinstance(one, Get) and "log/" in one.name
    )
    assert sorted(asked[folder] == 1 for folder in folders) == [False, True]
    assert_converged(phone, late)
    report = visit(late, box)
    assert (report.documents_sent, report.documents_received) == (0, 0)


# What is not read.


def test_a_checkpoint_is_passed_by_who_has_all_that_it_covers(
    small, machine: Machine, monkeypatch, phone, tablet, family, box
):
    history(phone, 10)
    visits(box, phone, tablet)
    monkeypatch.setattr(limits, "CHECKPOINT_OBJECTS", 2)
    before = set(objects(box))
    asked: list[str] = []
    count = 0
    while not any(is_checkpoint_name(name.split("/")[1]) for name in set(objects(box)) - before):
        family.send(f"number {count}")
        count += 1
        visit(phone, box)
        asked = [one.name for one in rounds(tablet, box) if isinstance(one, Get)]
    new = [one for one in set(objects(box)) - before if is_checkpoint_name(one.split("/")[1])]
    assert len(new) > 5
    assert len([one for one in asked if one in new]) == 1  # the manifest
    assert_converged(phone, tablet)
    machine.clock_ms += 8 * DAY_MS
    visit(tablet, box)  # which removes what the checkpoint replaced
    assert not before & set(objects(box))
    report = visit(tablet, box)
    assert report.complete
    assert (report.documents_sent, report.bytes_sent) == (0, 0)


def test_a_log_in_the_place_of_a_checkpoint_is_refused(phone, tablet, family, box):
    family.send("Hello")
    visit(phone, box)
    [name] = objects(box)
    _, folder, sequence = name.split("/")
    box.put(f"log/{folder}p/{sequence}", box.get(name))
    box.delete(name)
    report = visit(tablet, box)
    assert any("under a name that is not its own" in one for one in report.refused)
    visits(box, phone, tablet)  # which puts it anew
    assert_converged(phone, tablet)


def test_a_checkpoint_of_which_something_is_missing_is_read_as_a_log(
    small, phone, tablet, family, box
):
    history(phone, 10)
    visit(phone, box)
    family.send("Hello")
    visit(phone, box)
    gone = [one for one in objects(box) if is_checkpoint_name(one.split("/")[1])][4]
    kept = box.get(gone)
    box.delete(gone)
    report = visit(tablet, box)
    assert not report.complete
    assert texts(tablet.conversation("family")) == ["Hello"]
    box.put(gone, kept)
    visits(box, tablet, phone)
    assert_converged(phone, tablet)


def test_a_damaged_checkpoint_stops_no_log(small, phone, tablet, family, box):
    history(phone, 10)
    visit(phone, box)
    family.send("Hello")
    visit(phone, box)
    broken = [one for one in objects(box) if is_checkpoint_name(one.split("/")[1])][3]
    whole = box.get(broken)
    box.put(broken, flipped(whole))
    report = visit(tablet, box)
    assert any(broken in one for one in report.refused)
    assert texts(tablet.conversation("family")) == ["Hello"]
    box.put(broken, whole)
    visits(box, tablet, phone)
    assert_converged(phone, tablet)


def test_a_lone_message_takes_three_requests_on_either_side(phone, tablet, family, box):
    visits(box, phone, tablet, phone, tablet)
    family.send("Hello")
    asked = [[type(one).__name__ for one in rounds(replica, box)] for replica in (phone, tablet)]
    assert asked == [["Get", "List", "Put"], ["Get", "List", "Get"]]


# Broken off.


class Stops(MailboxError):
    """What a mailbox raises that stops here."""


def test_a_device_that_is_broken_off_anywhere_reads_nothing_twice_but_the_manifest(
    small, phone, open_replica: Opener, box
):
    history(phone, 20)
    visit(phone, box)
    manifest = objects(box)[-1]
    tablet = open_replica("tablet.db", member=phone)
    count = len([*rounds(open_replica("whole.db", member=phone), box)])
    read: Counter[str] = Counter()
    done = False
    while not done:
        errand = Courier(Mailing(tablet, box.address)).run()
        request, gets = next(errand), 0
        try:
            while gets < 4:  # then it breaks off
                if isinstance(request, Get) and request.name.startswith("log/"):
                    read[request.name] += 1
                    gets += 1
                try:
                    answer = perform(box, request)
                except MailboxError as error:
                    request = errand.throw(error)
                else:
                    request = errand.send(answer)
        except StopIteration:
            done = True
        else:
            with pytest.raises(Stops):
                errand.throw(Stops("here"))
            tablet.close()
            tablet = open_replica("tablet.db")
    assert count > 12
    del read[manifest]
    assert set(read.values()) == {1}
    assert_converged(phone, tablet)


def test_sending_while_it_fills_works(small, phone, tablet, box):
    history(phone, 20)
    visit(phone, box)
    sent = False
    for _ in rounds(tablet, box):
        if not sent and any(one.id == "number0" for one in tablet.conversations()):
            tablet.conversation("number0").send("from the tablet")
            sent = True
    assert sent
    visits(box, tablet, phone)
    assert "from the tablet" in texts(phone.conversation("number0"))
    assert_converged(phone, tablet)


def test_a_conversation_that_is_deleted_while_it_fills_is_deleted_everywhere(
    small, phone, tablet, box
):
    history(phone, 20)
    visit(phone, box)
    deleted = False
    for _ in rounds(tablet, box):
        if not deleted and any(one.id == "number0" for one in tablet.conversations()):
            conversation = tablet.conversation("number0")
            conversation.delete_all(conversation.preview_deletion().token)
            deleted = True
    assert deleted
    visits(box, tablet, phone)
    for replica in (phone, tablet):
        assert "number0" not in [one.id for one in replica.conversations()]
    assert_converged(phone, tablet)


# From several sources.


def test_what_came_from_a_device_is_not_taken_in_again_nor_put(small, phone, tablet, box):
    history(phone, 20)
    phone.compact()
    visit(phone, box)
    sync(tablet, phone)
    report = visit(tablet, box)
    assert (report.documents_received, report.messages_received) == (0, 0)
    assert (
        report.documents_sent <= 2
    )  # as which the first screen was written that the device had pushed
    assert report.bytes_sent < 1000
    assert not any(is_put(one) for one in rounds(tablet, box))


def test_what_came_from_a_mailbox_is_not_asked_of_a_device(small, phone, tablet, box):
    history(phone, 20)
    visit(phone, box)
    visit(tablet, box)
    report = sync(tablet, phone)
    assert (report.documents_received, report.documents_sent) == (0, 0)
    assert report.complete


def test_half_from_a_mailbox_and_half_from_a_device(small, phone, tablet, box):
    history(phone, 20)
    visit(phone, box)
    going = rounds(tablet, box)
    for _ in range(12):
        next(going)
    before = tablet.progress.messages
    report = sync(tablet, phone)
    assert report.complete
    assert before + report.messages_received == 240
    assert [*going]
    assert_converged(phone, tablet)
    assert_sound(tablet)
    assert visit(tablet, box).documents_sent == 0


def is_put(request: Request) -> bool:
    return isinstance(request, Put) and request.name.startswith("log/")


# Fetched ahead.


class Slow(MemoryMailbox):
    """Objects of logs come only once two were asked for at the same time; but for one."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = ""
        self.at_once = self.most = 0
        self.two = threading.Event()
        self.changed = threading.Lock()

    def get(self, name: str) -> bytes:
        with self.changed:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            if self.at_once > 1:
                self.two.set()
        if name.startswith("log/") and name != self.alone and not self.two.wait(timeout=20):
            raise AssertionError("nothing else was asked for meanwhile")
        try:
            return super().get(name)
        finally:
            with self.changed:
                self.at_once -= 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_several_objects_are_on_their_way_at_once_but_not_all(small, phone, tablet, backend):
    history(phone, 20)
    slow = Slow()
    visit(phone, slow)
    slow.alone = objects(slow)[-1]  # the manifest
    anyio.run(aio.sync, tablet, slow, backend=backend)
    assert 2 <= slow.most <= limits.GETS_AHEAD + 1
    assert_converged(phone, tablet)


def test_objects_that_are_fetched_ahead_are_fetched_once(small, phone, tablet, family):
    history(phone, 20)
    family.send("Hello")

    class Counting(MemoryMailbox):
        def get(self, name: str) -> bytes:
            fetched[name] += 1
            return super().get(name)

    fetched: Counter[str] = Counter()
    box = Counting()
    visit(phone, box)
    fetched.clear()
    anyio.run(aio.sync, tablet, box)
    assert set(fetched.values()) == {1}
    assert_converged(phone, tablet)


# Which checkpoint.


def candidate(
    folder: str,
    device: int,
    sequence: int,
    covers: dict[str, tuple[int, int]],
    *,
    adds: bool = False,
) -> Candidate:
    """A checkpoint of a device that ends at a sequence and covers logs: devices and sequences by folder."""
    ends = {name: LogEnd(device_id(one), place(end)) for name, (one, end) in covers.items()}
    contents = Contents(adds, 1, 1, 1, 1, 0)
    log = Log(device_id(device), 1, place(sequence), 1)
    return Candidate(folder, log, Manifest(1, ends, contents))


def device_id(number: int) -> DeviceId:
    return DeviceId(bytes([number] * 8))


def place(sequence: int) -> Position:
    return Position(bytes(16), sequence, bytes(32))


def log(sequence: int, since: int = 1) -> Log:
    return Log(device_id(1), 1, place(sequence), since)


def test_of_no_checkpoints_none_is_read():
    assert newest([]) is None


def test_a_checkpoint_that_another_one_covers_is_not_read_first():
    old = candidate("oldp", 1, 900, {"gone": (2, 800)})
    new = candidate("newp", 3, 10, {"oldp": (1, 900), "log": (2, 5)})
    found = newest([old, new])
    assert found is not None
    assert found.folder == "newp"
    assert set(found.manifest.covers) == {"oldp", "log", "gone"}


def test_what_may_be_missing_in_a_checkpoint_may_be_missing_in_one_that_covers_it():
    old = candidate("oldp", 1, 900, {"gone": (2, 800)})
    old = old._replace(manifest=old.manifest._replace(holes=("gone",)))
    found = newest([candidate("newp", 3, 10, {"oldp": (1, 900)}), old])
    assert found is not None
    assert found.folder == "newp"
    assert found.manifest.holes == ("gone",)


def test_of_two_that_do_not_know_each_other_the_one_that_goes_farther_is_read():
    one = candidate("onep", 1, 50, {"log": (2, 10)})
    other = candidate("otherp", 3, 5, {"log": (2, 70)})
    found = newest([one, other])
    assert found is not None
    assert found.folder == "otherp"


@pytest.mark.parametrize(
    ("logs", "adds", "expected"),
    [
        ({}, False, False),
        ({"log": log(9)}, False, False),
        ({"log": log(10)}, False, False),
        ({"log": log(10), "oldp": log(4)}, False, True),
        ({"log": log(11), "oldp": log(5)}, False, True),
        ({"log": log(10), "oldp": log(4)}, True, False),
        ({"log": log(10), "oldp": log(4, since=5)}, False, False),
        ({"log": log(10, since=9), "oldp": log(4)}, False, True),
    ],
)
def test_a_checkpoint_brings_nothing_to_who_has_read_all_that_it_covers(logs, adds, expected):
    one = candidate("newp", 1, 20, {"log": (1, 10), "oldp": (1, 4)}, adds=adds)
    assert brings_nothing(one, logs) is expected


def test_a_checkpoint_that_covers_nothing_is_read():
    assert not brings_nothing(candidate("newp", 1, 20, {}), {})


def test_a_checkpoint_that_could_not_name_all_that_it_covers_is_read(monkeypatch):
    monkeypatch.setattr(limits, "POSITIONS", 1)
    assert not brings_nothing(candidate("newp", 1, 20, {"log": (1, 10)}), {"log": log(10)})
