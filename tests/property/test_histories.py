"""Random histories of a few devices, compared with the reference model after every step.

At the end of each history everybody meets everybody, in an order of hypothesis's choosing, and all must be in one
state: the model's.
"""

from __future__ import annotations

import random
import sys
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import msgsync
from tests.property.carrier import CATALOGUE, Upstream
from tests.property.world import World, fast_directory

MOST_REPLICAS = 5
NAMES = ("family", "work")

replicas = st.integers(0, MOST_REPLICAS - 1)
names = st.sampled_from(NAMES)
picks = st.integers(0, 6)
"""Which of the messages that can be chosen; as a number it survives shrinking."""
carried = st.lists(st.sampled_from(CATALOGUE), min_size=1, max_size=5, unique=True)


class Histories(RuleBasedStateMachine):
    """Three to five devices that write, meet, fail to meet, reopen and come back from backups."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = fast_directory()
        self.world = World.with_replicas(Path(self.directory.name))
        self.touched: set[int] = set()
        self.written = 0
        self.order = 0
        self.limits = ExitStack()

    @initialize(
        start=st.sampled_from(("filled", "filled apart", "empty")), order=st.integers(0, 99)
    )
    def begin(self, start, order):
        self.order = order
        if start == "empty":
            return
        for name in NAMES:
            self.world.create(0, name, self.text())
            self.world.send(0, name, self.text())
        if start == "filled":
            self.world.ingest(0, CATALOGUE, look=1)
            self.world.sync_all()
        else:
            for at in range(3):
                self.world.ingest(at, CATALOGUE[at::2])

    def teardown(self):
        try:
            if sys.exc_info()[0] is None:
                self.world.sync_all(random.Random(self.order))
                for at in range(len(self.world.twins)):
                    self.world.reopen(at)
                self.world.assert_converged()
        finally:
            self.world.close()
            self.limits.close()
            self.directory.cleanup()

    @invariant()
    def shows_what_the_model_expects(self):
        for at in sorted(self.touched):
            self.world.assert_as_modelled(at)
        self.touched.clear()

    # What people do.

    @rule(who=replicas, name=names, pick=picks, act=st.sampled_from(("send", "reply", "rename")))
    def write(self, who, name, pick, act):
        at = self.at(who)
        if not self.knows(at, name):
            self.world.create(at, name, self.text())
        elif act == "rename":
            self.world.rename(at, name, self.text())
        else:
            target = self.choose(at, name, pick) if act == "reply" else None
            self.world.send(at, name, self.text(), reply_to=target)

    @rule(who=replicas, name=names, pick=picks)
    def edit(self, who, name, pick):
        at = self.at(who)
        if (id := self.choose(at, name, pick, deleted=False)) is not None:
            self.world.edit(at, name, id, self.text())

    @rule(who=replicas, name=names, pick=st.integers(0, 2), user=st.sampled_from(("ann", "ben")))
    def react_or_take_it_back(self, who, name, pick, user):
        at = self.at(who)
        if (id := self.choose(at, name, pick, deleted=False)) is not None:
            self.world.toggle(at, name, id, "👍", user=user)

    @rule(who=replicas, name=names, some=st.sets(picks, min_size=1, max_size=4))
    def delete(self, who, name, some):
        at = self.at(who)
        ids = self.choose_some(at, name, some, deleted=False)
        if ids:
            self.world.delete(at, name, *ids)

    @rule(who=replicas, name=names, some=st.sets(picks, min_size=1, max_size=3))
    def restore_or_delete(self, who, name, some):
        """Restore, or delete where nothing is deleted yet: or restoring would hardly ever come up."""
        at = self.at(who)
        ids = self.choose_some(at, name, some, deleted=True)
        if ids:
            self.world.restore(at, name, *ids)
        else:
            self.delete(who, name, some)

    @rule(who=replicas, name=names, pick=picks, message=st.sampled_from((None, *CATALOGUE)))
    def erase(self, who, name, pick, message: Upstream | None):
        """Erase what is here, or a message that this device may never have seen."""
        at = self.at(who)
        if message is None:
            if (id := self.choose(at, name, pick)) is not None:
                self.world.erase(at, name, id)
        elif self.knows(at, message.conversation):
            self.world.erase(at, message.conversation, message.id)

    # What carriers do.

    @rule(who=replicas, messages=carried, look=st.integers(0, 2), other_reading=st.booleans())
    def ingest(self, who, messages, look, other_reading):
        at = self.at(who)
        self.world.ingest(at, messages, look=look)
        if other_reading and self.order % 4 == 0:
            self.world.ingest(at, [CATALOGUE[look]], text=f"as decoded by {at}")

    @rule(who=replicas, pick=picks, message=st.sampled_from(CATALOGUE))
    def link(self, who, pick, message):
        """Mostly own messages, sometimes one that a carrier has told: chains and circles come up."""
        at, name = self.at(who), message.conversation
        if (id := self.choose(at, name, pick)) is not None:
            self.world.link(at, name, id, message)

    @rule(
        who=replicas,
        message=st.sampled_from(CATALOGUE),
        act=st.sampled_from(("edit", "react", "delete")),
    )
    def say_by_the_carriers_id(self, who, message, act):
        at = self.at(who)
        if self.knows(at, message.conversation):
            self.world.say_externally(at, message, act, self.text())

    # What devices do.

    @rule(first=replicas, second=replicas)
    def meet(self, first, second):
        one, other = self.at(first), self.at(second)
        if one != other:
            self.world.sync(one, other)

    @rule(first=replicas, second=replicas, frames=st.integers(3, 20), pace=st.integers(0, 9))
    def meet_and_be_interrupted(self, first, second, frames, pace):
        one, other = self.at(first), self.at(second)
        if one != other:
            self.world.sync_interrupted(one, other, frames, random.Random(pace))

    @rule(who=replicas)
    def close_and_open(self, who):
        self.world.reopen(self.at(who))

    @rule(who=replicas)
    def back_up_or_bring_a_backup_back(self, who):
        if not self.world.backups:
            self.world.back_up(self.at(who))
        elif len(self.world.twins) < MOST_REPLICAS:
            self.at(self.world.bring_back(0))

    @precondition(lambda self: len(self.world.twins) < MOST_REPLICAS)
    @rule(parent=replicas)
    def add_a_device(self, parent):
        self.at(self.world.add_device(self.at(parent)))

    # Choosing.

    def at(self, who: int) -> int:
        """Return the position of a replica, and look at it after this step."""
        position = who % len(self.world.twins)
        self.touched.add(position)
        return position

    def text(self) -> str:
        """Return a text nobody wrote before."""
        self.written += 1
        return f"text {self.written}"

    def knows(self, at: int, name: str) -> bool:
        """Whether a replica has a conversation."""
        try:
            self.world.conversation(at, name)
        except msgsync.UnknownConversation:
            return False
        return True

    def choose(self, at: int, name: str, pick: int, *, deleted: bool | None = None) -> str | None:
        """Return a message that the replica shows, deleted or not or either, if there is one."""
        if not self.knows(at, name):
            return None
        page = self.world.conversation(at, name).messages(limit=1000, include_deleted=True)
        ids = [str(each.id) for each in page if deleted is None or each.deleted is deleted]
        return ids[pick % len(ids)] if ids else None

    def choose_some(self, at: int, name: str, some: set[int], *, deleted: bool) -> list[str]:
        """Return messages that the replica shows, deleted or not, each once."""
        chosen = {self.choose(at, name, pick, deleted=deleted) for pick in some}
        return sorted(id for id in chosen if id is not None)


Histories.TestCase.settings = settings(stateful_step_count=50)
test_replicas_follow_the_model_and_converge = Histories.TestCase
