"""Conversations as a whole on three devices: what is true after any history, said without the code's own words."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

import msgsync
from msgsync import UnknownConversation
from msgsync.testing.machine import fast_directory
from tests.property.world import fewer
from tests.unit.machine import START_MS, Machine

REPLICAS = range(3)
CONVERSATION = "family"

verbs = st.sampled_from(
    [
        "receive",
        "receive",
        "send",
        "read",
        "unread",
        "rename",
        "pin",
        "delete",
        "restore",
        "join",
        "sync",
    ]
)
steps = st.lists(st.tuples(verbs, st.sampled_from(REPLICAS), st.integers(0, 5)), max_size=14)


class Histories:
    """Three devices and, beside them, what a bystander wrote down."""

    def __init__(self, replicas: list[msgsync.Replica], machine: Machine) -> None:
        self.replicas = replicas
        self.machine = machine
        self.here: list[set[str]] = [set() for _ in replicas]
        self.received: set[str] = set()
        self.marked: set[str] = set()
        self.covered: set[str] = set()
        self.said_unread = self.restored = False

    def step(self, verb: str, at: int, number: int) -> None:
        self.machine.clock_ms += 1000
        replica = self.replicas[at]
        conversation = msgsync.Conversation(replica, CONVERSATION)
        try:
            getattr(self, verb)(at, conversation, number)
        except UnknownConversation:
            assert not self.here[at] or verb in ("restore", "read_all", "unread", "delete")

    def receive(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        """From ben, at one of a few minutes of the last days: some arrive late."""
        name = f"{len(self.received)}"
        sent_ms = START_MS - number * 3_600_000
        self.replicas[at].ingest(msgsync.Incoming(CONVERSATION, "ben", name, sent_ms, name))
        self.received.add(name)
        self.here[at].add(name)

    def send(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        conversation.send("mine")

    def read_all(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        conversation.mark_read()
        assert conversation.unread == 0
        self.marked |= self.here[at]

    def rename(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        conversation.rename(f"name {number}")
        assert conversation.title == f"name {number}"

    def pin(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        (conversation.pin if number % 2 else conversation.unpin)()
        assert conversation.info().pinned == bool(number % 2)

    def join(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        name = f"person {number // 2}"
        (conversation.add_participant if number % 2 else conversation.remove_participant)(name)
        assert (name in conversation.participants) == bool(number % 2)

    def unread(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        conversation.mark_unread()
        self.said_unread = True

    def delete(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        conversation.delete_all(conversation.preview_deletion().token)
        self.covered |= self.here[at]
        assert CONVERSATION not in {line.id for line in self.replicas[at].conversations()}

    def restore(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        before = {message.id for message in conversation.messages()}
        if conversation.restore_all():
            self.restored = True
            assert before < {message.id for message in conversation.messages()}

    def sync(self, at: int, conversation: msgsync.Conversation, number: int) -> None:
        other = (at + 1 + number % 2) % 3
        assert msgsync.sync(self.replicas[at], self.replicas[other]).complete
        both = self.here[at] | self.here[other]
        self.here[at], self.here[other] = set(both), set(both)


def seen(replica: msgsync.Replica) -> Any:
    """All that an app can see of the conversation."""
    conversation = msgsync.Conversation(replica, CONVERSATION)
    lines = replica.conversations(include_deleted=True)
    if not lines:
        return None
    page = conversation.messages(limit=100, include_deleted=True)
    return lines, tuple(page), conversation.participants, conversation.unread


@fewer(4)
@given(steps)
@example([("receive", 0, 0), ("sync", 0, 0), ("delete", 0, 0), ("receive", 1, 0), ("sync", 0, 0)])
@example([("receive", 0, 0), ("read", 0, 0), ("receive", 1, 3), ("sync", 0, 0)])
def test_any_history_ends_equal_and_keeps_its_promises(history):
    machine = Machine()
    with fast_directory() as directory, ExitStack() as stack:
        first = stack.enter_context(
            msgsync.Replica(
                Path(directory) / "0.db", author="ann", durability="relaxed", system=machine
            )
        )
        others = [
            stack.enter_context(first.new_device(Path(directory) / f"{number}.db"))
            for number in (1, 2)
        ]
        story = Histories([first, *others], machine)
        for verb, at, number in history:
            story.step("read_all" if verb == "read" else verb, at, number)
        for _ in range(2):
            for one, other in permutations(story.replicas, 2):
                assert msgsync.sync(one, other).complete
        views = [seen(replica) for replica in story.replicas]
        assert views[0] == views[1] == views[2]
        assert len({replica.digest for replica in story.replicas}) == 1
        for replica in story.replicas:
            assert replica.check().problems == ()
        if views[0] is None:
            return
        keep_promises(story)


def keep_promises(story: Histories) -> None:
    conversation = msgsync.Conversation(story.replicas[0], CONVERSATION)
    live = {message.text for message in conversation.messages(limit=100)} - {"mine"}
    assert live >= story.received - story.covered, "nobody deleted these"
    if not story.restored:
        assert live <= story.received - story.covered
    if not story.said_unread:
        # None of what was read is unread, all of what nobody had seen when reading is.
        unread = len(live - story.marked)
        assert conversation.unread == unread
