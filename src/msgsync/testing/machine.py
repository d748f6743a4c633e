"""A stateful test over devices, to run as it is or to extend with an app's own steps.

Hypothesis draws steps (rules) one after the other: people write on their devices, carriers deliver, devices meet, fail
to meet, crash, come back from backups, and have wrong clocks. At the end everybody meets everybody, and all must
show the same. A failing run is shrunk to the shortest one that fails, printed as a program, and kept in hypothesis's
database, so that the next run repeats it first; ``@reproduce_failure`` repeats it elsewhere. Nothing but what
hypothesis draws decides anything: clocks, ids and the network are simulated.

Simulated
---------
Connections that break at any frame, exchanges of several devices at once, devices that die at any moment between two
calls (what they acknowledged is there), backups restored, files put back from one or opened twice, clocks that jump by
up to ten years, carriers that repeat and miss messages.

Not simulated
-------------
A power failure in the middle of a write, damaged files and disks, full disks, hostile peers, threads. What is
acknowledged with ``durability="relaxed"``, as here, outlives a process and not a power failure.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import msgsync
from msgsync.testing.devices import Device
from msgsync.testing.seed import Seeded
from msgsync.testing.strategies import deliveries, emojis, histories, texts
from msgsync.testing.system import START_MS, SimulatedSystem
from msgsync.testing.world import World, carried_id

_DAY = 86_400_000
_ALL = 10_000

some = st.integers(0, 11)
"""Which one: of the devices, conversations or messages there are then. As a number it survives shrinking."""
jumps = st.sampled_from([sign * days * _DAY for days in (1, 31, 366, 3_653) for sign in (1, -1)])
"""How far a clock jumps, milliseconds."""


ABOUT_ALL_OF_IT: dict[str, Callable[[msgsync.Conversation, int], object]] = {
    "read": lambda one, _: one.mark_read(),
    "unread": lambda one, _: one.mark_unread(),
    "pin": lambda one, number: (one.pin if number % 2 else one.unpin)(),
    "mute": lambda one, number: (one.mute if number % 2 else one.unmute)(),
    "archive": lambda one, number: (one.archive if number % 2 else one.unarchive)(),
    "take in": lambda one, number: one.add_participant(f"person {number % 3}"),
    "let go": lambda one, number: one.remove_participant(f"person {number % 3}"),
    "note": lambda one, number: one.set_metadata(f"note {number % 2}", number),
    "delete": lambda one, _: one.delete_all(one.preview_deletion().token),
    "restore": lambda one, _: one.restore_all(),
}
"""What can be said about a conversation as a whole, each with a number to vary it."""


class ReplicaMachine(RuleBasedStateMachine):
    """Devices of one account that write, meet, fail to meet, crash, and come back; extend it with your own rules.

    Run it with ``TestName = YourMachine.TestCase``; ``YourMachine.TestCase.settings`` says how long.

    In a subclass, ``@rule`` methods are further steps and ``@invariant`` methods are checked after each step; `device`
    gives the device of a step. Set a rule to None to do without it: ``erase = None``. `check_converged` is called at
    the end, when all have met. The machine itself checks that nothing is lost, that reopening and crashing change
    nothing, that all replicas converge and are sound; with `with_reference` also that each shows after every step what
    `msgsync.testing.reference` says it must.
    """

    author: ClassVar[str] = "ann"
    """Who "me" is on every device."""
    conversation_ids: ClassVar[Sequence[str]] = ("family", "work")
    """The conversations that the machine's own rules write to."""
    first_devices: ClassVar[int] = 3
    """How many devices there are at the beginning."""
    most_devices: ClassVar[int] = 5
    with_reference: ClassVar[bool] = False
    """Compare with the reference model after every step. Only where nothing but the machine's own rules writes."""
    start_ms: ClassVar[int] = START_MS
    """What every clock shows at the beginning, Unix milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = fast_directory()
        self.world = World(
            Path(self._directory.name),
            author=self.author,
            start_ms=self.start_ms,
            compares=self.with_reference,
            opener=self.open_replica,
        )
        self.world.add_devices(self.first_devices)
        self._touched: set[int] = set()
        self._written = 0
        self._seed = 0
        self._upstream: tuple[msgsync.Incoming, ...] = ()

    # For subclasses.

    def open_replica(self, path: Path, /, *, system: SimulatedSystem) -> msgsync.Replica:
        """Open a device's replica; override it to open replicas as the app does, with this path and system."""
        return msgsync.open(path, author=self.author, durability="relaxed", system=system)

    def check_converged(self) -> None:
        """Called once at the end, when all devices have met and show the same: what must hold of the app then."""

    @property
    def devices(self) -> list[Device]:
        """The devices: each with ``replica``, ``system`` (its clock) and ``path``."""
        return self.world.devices

    def device(self, which: int) -> Device:
        """The device a step is about; ``which`` is any number, as `some` draws it."""
        return self.devices[self.at(which)]

    def at(self, which: int) -> int:
        """The position of the device a step is about."""
        position = which % len(self.devices)
        self._touched.add(position)
        return position

    # Beginning and end.

    @initialize(
        seed=st.integers(0, 2**16),
        start=st.sampled_from(("filled", "filled apart", "empty")),
        data=st.data(),
    )
    def begin(self, seed: int, start: str, data: st.DataObject) -> None:
        """Choose what the carrier has, and what the devices have of it."""
        self._seed = seed
        self._upstream = data.draw(histories(conversations=self.conversation_ids, max_size=8))
        if start == "empty":
            return
        for name in self.conversation_ids:
            self.world.create(0, name, self.text("title"))
            self.world.send(0, name, self.text("first"))
        if start == "filled":
            self.world.ingest(0, self._upstream)
            self.world.sync_all()
        else:
            runs = data.draw(deliveries(self._upstream, devices=len(self.devices)))
            for at, run in enumerate(runs):
                self.world.ingest(at, run)

    def teardown(self) -> None:
        """Let everybody meet, unless something failed before, and check the end."""
        try:
            if sys.exc_info()[0] is None:
                self.world.sync_all(self._seed)
                for at in range(len(self.devices)):
                    self.world.reopen(at)
                self.world.assert_converged()
                self.check_converged()
        finally:
            self.world.close()
            self._directory.cleanup()

    @invariant()
    def shows_what_the_reference_expects(self) -> None:
        """After each step, of the devices it was about."""
        for at in sorted(self._touched):
            self.world.assert_as_modelled(at)
        self._touched.clear()

    # What people do.

    @rule(who=some, where=some, pick=some, text=texts(max_size=20), files=st.integers(0, 1))
    def send(self, who: int, where: int, pick: int, text: str, files: int) -> None:
        """Send a message, as an answer or not, with a file or not, in a conversation that is made if it is not here."""
        at, name = self.at(who), self.name(where)
        if not self.knows(at, name):
            self.world.create(at, name, self.text(text))
        target = self.choose(at, name, pick) if pick % 2 else None
        self.world.send(at, name, self.text(text), reply_to=target, files=files)

    @rule(who=some, where=some, text=texts(max_size=20))
    def create_or_rename_a_conversation(self, who: int, where: int, text: str) -> None:
        """Give a conversation a title."""
        at, name = self.at(who), self.name(where)
        verb = self.world.rename if self.knows(at, name) else self.world.create
        verb(at, name, self.text(text))

    @rule(who=some, where=some, pick=some, text=texts(max_size=20))
    def edit(self, who: int, where: int, pick: int, text: str) -> None:
        """Give a message another text."""
        at, name = self.at(who), self.name(where)
        if (id := self.choose(at, name, pick, deleted=False)) is not None:
            self.world.edit(at, name, id, self.text(text))

    @rule(who=some, where=some, pick=st.integers(0, 2), emoji=emojis(), user=st.booleans())
    def react_or_unreact(self, who: int, where: int, pick: int, emoji: str, user: bool) -> None:
        """Put an emoji on a message, or take it back if it is there."""
        at, name = self.at(who), self.name(where)
        if (id := self.choose(at, name, pick, deleted=False)) is not None:
            self.world.toggle(at, name, id, emoji, user="ben" if user else None)

    @rule(who=some, where=some, picks=st.sets(some, min_size=1, max_size=4))
    def delete(self, who: int, where: int, picks: set[int]) -> None:
        """Put messages into Recently Deleted."""
        at, name = self.at(who), self.name(where)
        if ids := self.choose_some(at, name, picks, deleted=False):
            self.world.delete(at, name, *ids)

    @rule(who=some, where=some, picks=st.sets(some, min_size=1, max_size=3))
    def restore(self, who: int, where: int, picks: set[int]) -> None:
        """Bring messages back; delete some where nothing is deleted, or restoring would hardly ever come up."""
        at, name = self.at(who), self.name(where)
        if ids := self.choose_some(at, name, picks, deleted=True):
            self.world.restore(at, name, *ids)
        elif ids := self.choose_some(at, name, picks, deleted=False):
            self.world.delete(at, name, *ids)

    @rule(who=some, where=some, pick=some, unseen=st.booleans())
    def erase(self, who: int, where: int, pick: int, unseen: bool) -> None:
        """Erase a message that is here, or one of the carrier's that this device may never have seen."""
        at, name = self.at(who), self.name(where)
        carried = [each for each in self._upstream if each.conversation == name]
        if unseen and carried and self.knows(at, name):
            self.world.erase(at, name, carried_id(carried[pick % len(carried)]))
        elif (id := self.choose(at, name, pick)) is not None:
            self.world.erase(at, name, id)

    @rule(who=some, where=some, pick=some)
    def erase_attachment(self, who: int, where: int, pick: int) -> None:
        """Erase the file of a message that has one, erased already or not; the message stays."""
        at, name = self.at(who), self.name(where)
        if not self.knows(at, name):
            return
        page = self.world.conversation(at, name).messages(limit=_ALL, include_deleted=True)
        if ids := [str(one.id) for one in page if one.attachments]:
            self.world.erase_attachment(at, name, ids[pick % len(ids)])

    @precondition(lambda self: not self.with_reference)  # which knows messages and titles alone
    @rule(who=some, where=some, act=st.sampled_from(sorted(ABOUT_ALL_OF_IT)), number=some)
    def say_something_about_a_conversation(
        self, who: int, where: int, act: str, number: int
    ) -> None:
        """Read it, pin it, take somebody in, delete it, restore it, and the like."""
        at, name = self.at(who), self.name(where)
        if self.knows(at, name):
            ABOUT_ALL_OF_IT[act](self.world.conversation(at, name), number)

    # What carriers do.

    @rule(who=some, picks=st.lists(some, min_size=1, max_size=5))
    def ingest(self, who: int, picks: list[int]) -> None:
        """Deliver some of the carrier's messages, in any order, some again."""
        if self._upstream:
            messages = [self._upstream[pick % len(self._upstream)] for pick in picks]
            self.world.ingest(self.at(who), messages)

    # What devices do.

    @rule(first=some, second=some)
    def sync(self, first: int, second: int) -> None:
        """Two devices meet."""
        one, other = self.at(first), self.at(second)
        if one != other:
            self.world.sync(one, other)

    @rule(first=some, second=some, frames=st.integers(1, 20), seed=some)
    def sync_interrupted(self, first: int, second: int, frames: int, seed: int) -> None:
        """Two devices meet over a line that breaks."""
        one, other = self.at(first), self.at(second)
        if one != other:
            self.world.sync_interrupted(one, other, frames, seed)

    @rule(seed=some, first=some)
    def several_meet_at_once(self, seed: int, first: int) -> None:
        """A device talks to two others at the same time."""
        positions = Seeded(f"{seed}/{first}").shuffled(range(len(self.devices)))
        left, middle, right = (self.at(position) for position in positions[:3])
        self.world.meet_at_once([(left, middle), (middle, right)], seed)

    @rule(who=some)
    def close_and_open(self, who: int) -> None:
        """A device's app is closed and started again."""
        self.world.reopen(self.at(who))

    @rule(who=some)
    def crash(self, who: int) -> None:
        """A device's app is killed and started again."""
        self.world.crash(self.at(who))

    @rule(who=some)
    def compact(self, who: int) -> None:
        """A device's app finds time to make its file smaller."""
        self.world.compact(self.at(who))

    @rule(who=some, jump=jumps)
    def clock_jumps(self, who: int, jump: int) -> None:
        """A device's clock is set, rightly or wrongly."""
        self.device(who).system.advance(jump)

    @rule(who=some)
    def back_up(self, who: int) -> None:
        """A device is backed up."""
        if len(self.world.backups) < 2:
            self.world.back_up(self.at(who))

    @precondition(lambda self: self.world.backups)
    @rule(which=some, how=st.sampled_from(({}, {"as_new_device": True}, {"copied": True})))
    def bring_a_backup_back(self, which: int, how: dict[str, bool]) -> None:
        """A backup is restored beside the device it came from, as the same or another one, or merely copied."""
        if len(self.devices) < self.most_devices:
            self.at(self.world.bring_back(which % len(self.world.backups), **how))

    @precondition(lambda self: self.world.backups)
    @rule(who=some, which=some)
    def fall_back(self, who: int, which: int) -> None:
        """A device's file is replaced by a backup, its own or another device's."""
        self.world.fall_back(self.at(who), which % len(self.world.backups))

    @rule(parent=some, frames=st.integers(0, 25), seed=some)
    def add_a_device(self, parent: int, frames: int, seed: int) -> None:
        """A new device begins to fill, and is interrupted."""
        if len(self.devices) < self.most_devices:
            source = self.at(parent)
            new = self.at(self.world.add_device())
            if frames:
                self.world.sync_interrupted(new, source, frames, seed)

    # Choosing.

    def name(self, where: int) -> str:
        """The conversation a step is about."""
        return self.conversation_ids[where % len(self.conversation_ids)]

    def text(self, drawn: str) -> str:
        """A text nobody wrote before."""
        self._written += 1
        return f"{drawn} n{self._written}"

    def knows(self, at: int, name: str) -> bool:
        """Whether a replica has a conversation."""
        try:
            self.world.conversation(at, name)
        except msgsync.UnknownConversation:
            return False
        return True

    def choose(self, at: int, name: str, pick: int, *, deleted: bool | None = None) -> str | None:
        """The id of a message that the replica shows, deleted or not or either, if there is one."""
        if not self.knows(at, name):
            return None
        page = self.world.conversation(at, name).messages(limit=_ALL, include_deleted=True)
        ids = [str(each.id) for each in page if deleted is None or each.deleted is deleted]
        return ids[pick % len(ids)] if ids else None

    def choose_some(self, at: int, name: str, picks: set[int], *, deleted: bool) -> list[str]:
        """Ids of messages that the replica shows, deleted or not, each once."""
        chosen = {self.choose(at, name, pick, deleted=deleted) for pick in picks}
        return sorted(id for id in chosen if id is not None)


def fast_directory() -> tempfile.TemporaryDirectory[str]:
    """A directory that is in memory where the system offers that; these tests are not about disks."""
    memory = Path("/dev/shm")  # noqa: S108  # only a place for a directory with a name of its own
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
