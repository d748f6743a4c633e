"""Devices that meet in mailboxes alone, or there and elsewhere, come to show the same, whatever the mailboxes do."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import msgsync
from msgsync import MailboxUnreachable, MemoryMailbox, NoSuchObject, Replica, limits
from msgsync.mailbox.carrying import perform
from msgsync.protocol.courier import Courier
from msgsync.protocol.errand import List, Put, Request
from msgsync.protocol.events import SyncReport
from msgsync.replica.mailing import Mailing
from msgsync.testing import SimulatedSystem, assert_converged, assert_sound


class Post:
    """Mailboxes that fail by chance, and remember whether two objects were ever put under one name in a log."""

    def __init__(self, chance: random.Random, faults: float) -> None:
        self.chance = chance
        self.faults = faults
        self.boxes = [MemoryMailbox("memory:home"), MemoryMailbox("memory:away")]
        self.listings: dict[tuple[int, str], list[str]] = {}
        self.put: dict[tuple[int, str], bytes] = {}

    def round(self, replica: Replica, place: int) -> SyncReport | None:
        """One round; None if the mailbox failed in between."""
        errand = Courier(Mailing(replica, self.boxes[place].address)).run()
        step: Callable[[], Request] = partial(next, errand)
        try:
            while True:
                request = step()
                step = self._answer(errand, request, place)
        except StopIteration as done:
            report: SyncReport = done.value
            return report
        except MailboxUnreachable:
            return None

    def _answer(
        self, errand: Generator[Request, Any, SyncReport], request: Request, place: int
    ) -> Callable[[], Request]:
        box = self.boxes[place]
        fails = self.chance.random() < self.faults
        done_all_the_same = fails and self.chance.random() < 0.5
        if not fails or done_all_the_same:
            if isinstance(request, Put) and request.name.startswith("log/"):
                before = self.put.setdefault((place, request.name), request.body)
                assert before == request.body, "two objects for one place in a log"
            try:
                answer = perform(box, request)
            except NoSuchObject as error:
                missing = error
                return lambda: errand.throw(missing)
            if isinstance(request, List):
                fresh = answer
                if self.chance.random() < self.faults:
                    answer = self.listings.get((place, request.folder), fresh)
                self.listings[place, request.folder] = fresh
        if fails:
            return lambda: errand.throw(MailboxUnreachable("for now"))
        return lambda: errand.send(answer)

    def lose(self, place: int) -> None:
        """An object, or all of them."""
        names = self.boxes[place].list("log") + self.boxes[place].list("keys")
        if names and self.chance.random() < 0.3:
            names = [self.chance.choice(names)] if self.chance.random() < 0.8 else names
            for name in names:
                self.boxes[place].delete(name)


def write(replica: Replica, chance: random.Random) -> None:
    found = replica.conversations()
    if not found or chance.random() < 0.1:
        replica.create_conversation("Family")
        return
    conversation = replica.conversation(chance.choice(found).id)
    messages = conversation.messages(limit=20)
    if len(messages) == 0 or chance.random() < 0.5:
        conversation.send(f"message {chance.random()}")
        return
    one = chance.choice(list(messages))
    verb = chance.choice(["edit", "react", "delete", "erase"])
    if verb == "edit":
        conversation.edit(one.id, f"edited {chance.random()}")
    elif verb == "react":
        conversation.react(one.id, "👍")
    elif verb == "delete":
        conversation.delete(one.id)
    else:
        conversation.erase(one.id)


DAY_MS = 86_400_000


def play(folder: Path, seed: int, faults: float, steps: int, fill_bytes: int = 2**20) -> None:
    before = limits.CHECKPOINT_OBJECTS, limits.BATCH_FILL_BYTES
    limits.CHECKPOINT_OBJECTS, limits.BATCH_FILL_BYTES = 3, fill_bytes  # type: ignore[misc]
    try:
        _play(folder, seed, faults, steps)
    finally:
        limits.CHECKPOINT_OBJECTS, limits.BATCH_FILL_BYTES = before  # type: ignore[misc]


def _play(folder: Path, seed: int, faults: float, steps: int) -> None:
    chance = random.Random(seed)
    systems = [SimulatedSystem(seed=f"{seed} {number}") for number in range(3)]
    first = msgsync.open(folder / "0.db", author="ann", durability="relaxed", system=systems[0])
    replicas = [first]
    replicas += [first.new_device(folder / f"{n}.db", system=systems[n]) for n in (1, 2)]
    first.create_conversation("Family", id="family")
    post = Post(chance, faults)
    try:
        for _ in range(steps):
            number = chance.randrange(3)
            replica = replicas[number]
            for system in systems:
                system.advance(1000 if chance.random() < 0.95 else chance.randrange(9) * DAY_MS)
            act = chance.random()
            if act < 0.45:
                write(replica, chance)
            elif act < 0.8:
                post.round(replica, 0 if chance.random() < 0.7 else 1)
            elif act < 0.86:
                replica.compact()
            elif act < 0.91:
                msgsync.sync(
                    replica, chance.choice([one for one in replicas if one is not replica])
                )
            elif act < 0.96:
                replica.close()
                replicas[number] = msgsync.open(
                    folder / f"{number}.db",
                    author="ann",
                    durability="relaxed",
                    system=systems[number],
                )
            elif faults:
                post.lose(chance.randrange(2))
        post.faults = 0
        for _ in range(3):
            for replica in replicas:
                report = post.round(replica, 0)
                assert report is not None
        assert_converged(*replicas)
        late = replicas[0].new_device(folder / "late.db", system=SimulatedSystem(seed="late"))
        replicas.append(late)
        for replica in (late, replicas[0], late):
            post.round(replica, 0)
        assert_converged(replicas[0], late)
        for replica in replicas:
            assert_sound(replica)
        for replica in replicas:  # all is there: another round moves nothing
            report = post.round(replica, 0)
            assert report is not None
            assert (report.documents_received, report.documents_sent) == (0, 0)
    finally:
        for replica in replicas:
            replica.close()


@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.02, 0.1]),
    st.integers(5, 80),
    st.sampled_from([2**20, 400, 1500]),
)
def test_devices_come_to_show_the_same_through_a_mailbox(seed, faults, steps, fill_bytes):
    with TemporaryDirectory() as folder:
        play(Path(folder), seed, faults, steps, fill_bytes)
