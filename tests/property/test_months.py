"""Letting go of old months, whatever people and devices do: nothing is lost, and nothing comes to life again."""

from __future__ import annotations

import random
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import msgsync
from msgsync import MailboxError, MemoryMailbox, MessageId, Replica, UsageError, limits
from msgsync.document.schema import EDITS, MESSAGES, id_of, month_bounds
from msgsync.mailbox.carrying import carry, perform
from msgsync.protocol.courier import Courier
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.mailing import Mailing
from msgsync.store import history
from msgsync.transport import memory
from tests.unit.machine import Machine

DAY_MS = 86_400_000
DEVICES = 3
SMALL = {
    "BATCH_FILL_BYTES": 300,
    "SCREEN_MESSAGES": 2,
    "SCREEN_DOCUMENT_BYTES": 100,
    "TIDINGS_MS": 0,
}
MONTHS = ("2022-03", "2022-04", "2023-03", "2024-01")
devices = st.integers(0, DEVICES - 1)


def entries(replica: Replica) -> set[tuple[str, str, bytes]]:
    """What is here about messages: by conversation's month, root and key."""
    found = set()
    with replica.reading() as store:
        for row in store.documents.select(""):
            if row.id.is_segment:
                for entry in store.documents.entries(row):
                    found.add((row.id.kind, entry.root, entry.key))
    return found


class Devices(RuleBasedStateMachine):
    """Three devices and a mailbox: budgets come and go, sessions and rounds break, people write about old messages."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.said: set[tuple[str, str, bytes]] = set()
        self.erased: set[MessageId] = set()
        self.count = 0
        self.history: list[msgsync.Incoming] = []
        self.box = MemoryMailbox()
        self.patch = pytest.MonkeyPatch()
        for name, value in SMALL.items():
            self.patch.setattr(limits, name, value)

    @initialize()
    def begin(self) -> None:
        self.machine = Machine()
        root = Path(self.folder.name)
        first = Replica(root / "0.db", author="ann", durability="relaxed", system=self.machine)
        others = [
            Replica(
                root / f"{n}.db",
                author="ann",
                durability="relaxed",
                system=self.machine,
                member=first,
            )
            for n in range(1, DEVICES)
        ]
        self.replicas = [first, *others]
        first.create_conversation("Family", id="family")
        self.ingest(0, 0)
        for other in others:
            msgsync.sync(first, other)
        self.note()

    def teardown(self) -> None:
        self.patch.undo()
        for replica in getattr(self, "replicas", ()):
            replica.close()
        self.folder.cleanup()

    def note(self) -> None:
        """All that anybody has is to be kept, but for what was erased."""
        for replica in self.replicas:
            self.said |= {one for one in entries(replica) if one[1] in (MESSAGES, EDITS)}

    @rule(device=devices, month=st.sampled_from(range(len(MONTHS))))
    def ingest(self, device: int, month: int) -> None:
        """New messages of an old month, or of all."""
        self.count += 1
        months = MONTHS if month == 0 else MONTHS[month : month + 1]
        brought = [
            msgsync.Incoming(
                "family",
                "ben",
                f"number{self.count}",
                month_bounds(one)[0] + self.count,
                f"{one}.{self.count}",
            )
            for one in months
        ]
        self.history += brought
        self.replicas[device].ingest(brought)
        self.note()

    @rule(device=devices, most=st.sampled_from([2, 1000]))
    def ingest_again(self, device: int, most: int) -> None:
        """The same history, or the beginning of it, whatever was let go of here."""
        self.replicas[device].ingest(self.history[:most])
        self.note()

    @rule(device=devices, pick=st.randoms(use_true_random=False))
    def edit(self, device: int, pick: random.Random) -> None:
        family = self.conversation(device)
        here = [one.id for one in family.messages(limit=100)]
        if here:
            family.edit(pick.choice(here), f"edit{self.count}")
        self.note()

    @rule(device=devices, pick=st.randoms(use_true_random=False), is_read=st.booleans())
    def mark(self, device: int, pick: random.Random, *, is_read: bool) -> None:
        family = self.conversation(device)
        here = [one.id for one in family.messages(limit=100)]
        if here:
            chosen = pick.choice(here)
            family.mark_read(chosen) if is_read else family.mark_unread(chosen)

    @rule()
    def unread(self) -> None:
        """Those that are in the same state count alike, whatever they have let go of."""
        for replica in self.replicas:
            replica.tidy()
        shown: dict[str, set[int]] = {}
        for replica in self.replicas:
            count = msgsync.Conversation(replica, "family").unread
            shown.setdefault(str(replica.digest), set()).add(count)
        assert all(len(counts) == 1 for counts in shown.values())

    @rule(device=devices, pick=st.randoms(use_true_random=False))
    def erase(self, device: int, pick: random.Random) -> None:
        """Messages that are here, or that another device alone has."""
        known = sorted({id_of(key) for _, root, key in self.said if root == MESSAGES})
        chosen = MessageId(pick.choice(known))
        with self.replicas[device].writing() as store:
            store.erase("family", [chosen.raw])
        self.erased.add(chosen)

    @rule(first=devices, second=devices, frames=st.none() | st.integers(1, 40))
    def sync(self, first: int, second: int, frames: int | None) -> None:
        if first == second:
            return
        one, other = self.replicas[first], self.replicas[second]
        if frames is None:
            msgsync.sync(one, other)
        else:
            memory.exchange(Session(Exchange(one)), Session(Exchange(other)), frames=frames)

    @rule(
        device=devices, objects=st.sampled_from([4, 100]), requests=st.none() | st.integers(1, 12)
    )
    def visit(self, device: int, objects: int, requests: int | None) -> None:
        """A round at a mailbox, perhaps broken off, that makes a checkpoint after few or many objects."""
        mailing = Mailing(self.replicas[device], self.box.address, checkpoint_objects=objects)
        errand = Courier(mailing).run()
        if requests is None:
            report = carry(errand, self.box)
            with self.replicas[device].reading() as store:
                is_waiting = any(not row.is_away for row in history.elsewhere(store))
            assert not (report.complete and is_waiting)
            return
        with suppress(StopIteration):
            request = next(errand)
            for _ in range(requests):
                try:
                    answer = perform(self.box, request)
                except MailboxError as error:
                    request = errand.throw(error)
                else:
                    request = errand.send(answer)
        errand.close()

    @rule(days=st.integers(1, 8))
    def wait(self, days: int) -> None:
        self.machine.clock_ms += days * DAY_MS

    @rule(device=devices)
    def fetch(self, device: int) -> None:
        self.replicas[device].fetch_history()

    @rule(device=devices, months=st.sampled_from([None, None, 1, 12]))
    def budget(self, device: int, months: int | None) -> None:
        self.replicas[device].set_history_budget(months)

    @rule(device=devices, keeper=devices, frames=st.none() | st.integers(1, 60))
    def make_room(self, device: int, keeper: int, frames: int | None) -> None:
        """All that it takes, unless a session breaks: a budget that all have heard of, and somebody who keeps."""
        self.replicas[keeper].set_history_budget(None)
        for other in range(DEVICES):
            self.sync(other, keeper, None)
        self.replicas[device].set_history_budget(1)
        for other in range(DEVICES):
            self.sync(device, other, None if other == keeper else frames)
        self.sync(device, keeper, frames)
        self.free_space(device)

    @rule(
        letters=st.lists(devices, max_size=2, unique=True), requests=st.none() | st.integers(1, 12)
    )
    def make_room_with_a_mailbox(self, letters: list[int], requests: int | None) -> None:
        """The same where nobody but a mailbox keeps anything, for some of the devices or none."""
        for device in range(DEVICES):
            self.replicas[device].set_history_budget(1)
        for _ in range(3):
            for device in range(DEVICES):
                self.visit(device, 100, None)
        for device in letters:
            self.visit(device, 4, requests)
            self.free_space(device)

    @rule(device=devices)
    def free_space(self, device: int) -> None:
        replica = self.replicas[device]
        before = replica.free_space(preview=True)
        after = replica.free_space()
        assert after.months_elsewhere == before.months_elsewhere + after.months_freed

    @rule(device=devices)
    def reopen(self, device: int) -> None:
        path = self.replicas[device].path
        self.replicas[device].close()
        self.replicas[device] = Replica(
            path, author="ann", durability="relaxed", system=self.machine
        )

    def conversation(self, device: int) -> msgsync.Conversation:
        return msgsync.Conversation(self.replicas[device], "family")

    @invariant()
    def nothing_is_lost(self) -> None:
        """Whatever was said about a message that nobody erased lies on some device, or in the mailbox."""
        here = set()
        for replica in getattr(self, "replicas", ()):
            here |= entries(replica)
        missing = {
            one for one in self.said - here if MessageId(id_of(one[2][:20])) not in self.erased
        }
        if missing:
            assert missing <= self.in_the_mailbox()

    def in_the_mailbox(self) -> set[tuple[str, str, bytes]]:
        """What copies of the devices find in a copy of the mailbox."""
        found = set()
        for replica in self.replicas:
            with tempfile.TemporaryDirectory() as name:
                copy = Path(name) / "copy.db"
                replica.backup(Path(name) / "backup")
                msgsync.restore(Path(name) / "backup", copy).close()
                box = MemoryMailbox()
                for one in (*self.box.list("keys"), *self.box.list("log")):
                    box.put(one, self.box.get(one))
                with Replica(
                    copy, author="ann", durability="relaxed", system=self.machine
                ) as reader:
                    reader.fetch_history()
                    for _ in range(2):
                        carry(Courier(Mailing(reader, box.address)).run(), box)
                    found |= entries(reader)
        return found

    @invariant()
    def nothing_comes_to_life_again(self) -> None:
        """Who knows that something was erased has nothing of it, and goes on knowing it."""
        for replica in getattr(self, "replicas", ()):
            with replica.reading() as store:
                gone = {
                    MessageId(one) for (one,) in store.database.execute("select id from erased")
                }
            known = self.__dict__.setdefault("known", {}).setdefault(replica.path, set())
            assert known <= gone
            known |= gone
            for one in gone:
                try:
                    replica.message(one)
                except UsageError:
                    continue
                raise AssertionError("an erased message is shown")

    @invariant()
    def what_is_said_of_others_is_so(self) -> None:
        """Who is said to have a message has it as it is here; and what may be wiped is elsewhere."""
        replicas = getattr(self, "replicas", ())
        here = {replica.device: entries(replica) for replica in replicas}
        for replica in replicas:
            for month, root, key in here[replica.device]:
                if root != MESSAGES:
                    continue
                one = MessageId(id_of(key))
                about = {
                    each
                    for each in here[replica.device]
                    if each[0] == month and each[1] in (MESSAGES, EDITS) and each[2][:20] == key
                }
                for device in replica.where_is(one).devices:
                    with self.by_device(device).reading() as store:
                        erased = store.pages.is_erased(one.raw)
                    assert erased or about <= here[device]
            if replica.safe_to_remove(replica.device).safe:
                others = set().union(*(here[one] for one in here if one != replica.device))
                for month, root, key in here[replica.device]:
                    if root in (MESSAGES, EDITS) and MessageId(id_of(key[:20])) not in self.erased:
                        assert (month, root, key) in others

    def by_device(self, device: msgsync.DeviceId) -> Replica:
        [found] = [one for one in self.replicas if one.device == device]
        return found

    @rule()
    def check(self) -> None:
        for replica in self.replicas:
            assert replica.check().problems == ()

    @rule()
    def settle(self) -> None:
        """Without budgets, and once all have met, every device has everything."""
        for replica in self.replicas:
            replica.set_history_budget(None)
        for _ in range(3):
            for device in range(DEVICES):
                self.visit(device, 100, None)
        for _ in range(4):
            for first, second in ((0, 1), (1, 2), (0, 2)):
                msgsync.sync(self.replicas[first], self.replicas[second])
        shown = [replica.digest for replica in self.replicas]
        assert shown[0] == shown[1] == shown[2]
        for replica in self.replicas:
            assert replica.free_space(preview=True).months_elsewhere == 0
            here = {one for one in entries(replica) if one[1] in (MESSAGES, EDITS)}
            left = {one for one in self.said if MessageId(id_of(one[2][:20])) not in self.erased}
            assert here == left
            assert replica.check().problems == ()


Devices.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestDevices = Devices.TestCase
