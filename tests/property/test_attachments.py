"""Attachments under any order of what people and devices do: none is lost, and nothing stays that nothing needs."""

from __future__ import annotations

import random
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import msgsync
from msgsync import (
    AttachmentElsewhere,
    AttachmentGone,
    AttachmentState,
    MessageId,
    Replica,
    limits,
)
from msgsync.protocol.session import Session
from msgsync.records import chunk_name
from msgsync.replica.exchange import Exchange
from msgsync.transport import memory
from tests.unit.machine import Machine
from tests.unit.replica.test_attachments import is_tidy

DEVICES = 3
BLOCKS = [random.Random(seed).randbytes(limits.CHUNK_BYTES) for seed in range(2)]
FILES = [b"", b"small", BLOCKS[0], BLOCKS[0] + b"tail", BLOCKS[1] + BLOCKS[0]]
devices = st.integers(0, DEVICES - 1)
files = st.lists(st.sampled_from(range(len(FILES))), min_size=1, max_size=2)


class Devices(RuleBasedStateMachine):
    """Three devices of one account that send, sync, stop in the middle, make room, delete and erase."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.sent: dict[MessageId, list[int]] = {}
        self.erased: set[MessageId] = set()
        self.gone: set[tuple[MessageId, int]] = set()
        """Attachments that were erased while their messages stay: message and number."""

    @initialize()
    def begin(self) -> None:
        self.machine = machine = Machine()
        root = Path(self.folder.name)
        first = Replica(root / "0.db", author="ann", durability="relaxed", system=machine)
        others = [
            Replica(
                root / f"{n}.db", author="ann", durability="relaxed", system=machine, member=first
            )
            for n in range(1, DEVICES)
        ]
        self.replicas = [first, *others]
        for replica in self.replicas:
            replica.create_conversation("Family", id="family")

    def teardown(self) -> None:
        for replica in getattr(self, "replicas", ()):
            replica.close()
        self.folder.cleanup()

    @rule(device=devices, attached=files)
    def send(self, device: int, attached: list[int]) -> None:
        family = self.replicas[device].conversation("family")
        message = family.send("", attachments=[FILES[number] for number in attached])
        self.sent[message.id] = attached

    @rule(first=devices, second=devices, frames=st.none() | st.integers(1, 40))
    def sync(self, first: int, second: int, frames: int | None) -> None:
        if first == second:
            return
        one, other = self.replicas[first], self.replicas[second]
        if frames is None:
            assert msgsync.sync(one, other).complete
        else:
            memory.exchange(Session(Exchange(one)), Session(Exchange(other)), frames=frames)

    @rule(device=devices, keep=st.sampled_from([0, limits.CHUNK_BYTES]))
    def free_space(self, device: int, keep: int) -> None:
        replica = self.replicas[device]
        before = replica.free_space(keep, preview=True)
        after = replica.free_space(keep)
        assert after.bytes_here == before.bytes_here - after.bytes_freed

    @rule(
        device=devices,
        size=st.none() | st.sampled_from([0, limits.CHUNK_BYTES]),
        days=st.none() | st.just(1),
    )
    def budget(self, device: int, size: int | None, days: int | None) -> None:
        self.replicas[device].set_attachment_budget(size, days=days)

    @rule()
    def two_days_pass(self) -> None:
        self.machine.clock_ms += 2 * 86_400_000

    @rule(device=devices, pick=st.randoms(use_true_random=False))
    def erase(self, device: int, pick: random.Random) -> None:
        family = self.replicas[device].conversation("family")
        here = [one.id for one in family.messages()]
        if here:
            chosen = pick.choice(here)
            family.erase(chosen)
            self.erased.add(chosen)

    @rule(device=devices, pick=st.randoms(use_true_random=False))
    def erase_attachment(self, device: int, pick: random.Random) -> None:
        family = self.replicas[device].conversation("family")
        here = [(one, each) for one in family.messages() for each in one.attachments]
        if here:
            message, attachment = pick.choice(here)
            family.erase_attachment(message, attachment)
            if (
                attachment.state is not AttachmentState.GONE
            ):  # equal files of the message go with it
                sent = self.sent[message.id]
                equal = sent[attachment.number - 1]
                self.gone |= {
                    (message.id, number) for number, one in enumerate(sent) if one == equal
                }

    @rule(device=devices)
    def rotate(self, device: int) -> None:
        self.replicas[device].rotate()

    @rule(device=devices)
    def read(self, device: int) -> None:
        """What is read is what was sent, or is said to be elsewhere."""
        for message in self.replicas[device].conversation("family").messages():
            pairs = zip(message.attachments, self.sent[message.id], strict=True)
            for attachment, number in pairs:
                with suppress(AttachmentElsewhere, AttachmentGone):
                    assert attachment.open().read() == FILES[number]

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every chunk of a message that nobody erased lies on some device."""
        folders = [
            replica.path.with_name(f"{replica.path.name}.attachments")
            for replica in getattr(self, "replicas", ())
        ]
        lying = {one.name for folder in folders for one in folder.rglob("*") if one.is_file()}
        for replica in getattr(self, "replicas", ()):
            with replica.reading() as store:
                needed = store.database.execute(
                    "select distinct a.id, a.number, c.name from attached a join parts p on p.file = a.file "
                    "join chunks c on c.key = p.chunk"
                ).fetchall()
            for message_id, number, name in needed:
                one = MessageId(message_id)
                if one not in self.erased and (one, number) not in self.gone:
                    assert name.hex() in lying

    @invariant()
    def what_is_said_to_be_elsewhere_is(self) -> None:
        """A device that says that others are bound to have all its files could be lost without losing any."""
        for replica in getattr(self, "replicas", ()):
            if replica.status().bytes_only_here:
                continue
            others = {
                one.name
                for other in self.replicas
                if other is not replica
                for one in other.path.with_name(f"{other.path.name}.attachments").rglob("*")
            }
            for message in replica.conversation("family").messages(limit=1000):
                for one in message.attachments:
                    if message.id in self.erased or (message.id, one.number - 1) in self.gone:
                        continue
                    for key in one._record.chunk_keys():
                        name = chunk_name(key)
                        assert name.hex() in others or not one._source.is_here(name)

    @invariant()
    def nothing_stays_that_nothing_needs(self) -> None:
        assert all(map(is_tidy, getattr(self, "replicas", ())))

    @rule()
    def settle(self) -> None:
        """Without budgets, and once all have met, every device that did not let go of a file has it."""
        for replica in self.replicas:
            replica.set_attachment_budget(None)
        for _ in range(2):
            for first, second in ((0, 1), (1, 2), (0, 2)):
                msgsync.sync(self.replicas[first], self.replicas[second])
        shown = [replica.conversation("family").messages(limit=1000) for replica in self.replicas]
        assert {one.id for one in shown[0]} == self.sent.keys() - self.erased
        assert list(shown[0]) == list(shown[1]) == list(shown[2])
        for message in shown[0]:
            for one in message.attachments:
                is_gone = (message.id, one.number - 1) in self.gone
                assert (one.state is AttachmentState.GONE) is is_gone
        assert all(replica.check().ok for replica in self.replicas)
        assert all(replica.verify_erased().ok for replica in self.replicas)


Devices.TestCase.settings = settings(max_examples=12, stateful_step_count=16, deadline=None)
TestDevices = Devices.TestCase


def test_who_had_a_file_before_it_was_sent_again_may_let_go_of_it():
    """Others erase the first message without having heard of the second: what that one needs is nowhere else."""
    state = Devices()
    state.begin()
    try:
        state.send(0, [3])
        state.settle()
        state.send(0, [3])
        assert state.replicas[0].status().bytes_only_here == len(FILES[3])
        for device in (1, 2):
            family = state.replicas[device].conversation("family")
            (message,) = family.messages()
            family.erase(message)
            state.erased.add(message.id)
            state.what_is_said_to_be_elsewhere_is()
        state.settle()
        assert state.replicas[0].status().bytes_only_here == 0
    finally:
        state.teardown()
