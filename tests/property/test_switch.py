"""Switching sync off and on, at any moments, changes nothing of what comes out in the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

import msgsync
from msgsync import MemoryMailbox, NoSuchObject, Replica, SyncOff
from msgsync.mailbox.carrying import perform
from msgsync.protocol.courier import Courier
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.mailing import Mailing
from msgsync.testing import SimulatedSystem, assert_converged, assert_sound
from msgsync.testing.machine import fast_directory
from msgsync.transport.memory import exchange

DEVICES = 3


class Step(NamedTuple):
    """Something that a device does."""

    at: int
    what: str
    number: int
    """Of the other device, of the message, or of steps until sync is switched."""


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, DEVICES - 1),
        st.sampled_from(
            ["send", "edit", "delete", "react", "meet", "meet", "round", "round", "turn", "break"]
        ),
        st.integers(0, 7),
    ),
    max_size=30,
)


class Run:
    """The same steps, with the switch or without it."""

    def __init__(self, folder: Path, stack: ExitStack, *, switches: bool) -> None:
        first = msgsync.open(folder / "0.db", author="ann", system=SimulatedSystem(0))
        self.devices: list[Replica] = [stack.enter_context(first)]
        for number in range(1, DEVICES):
            another = first.new_device(folder / f"{number}.db", system=SimulatedSystem(number))
            self.devices.append(stack.enter_context(another))
        self.box = MemoryMailbox()
        self.switches = switches
        self.sent: list[list[msgsync.MessageId]] = [[] for _ in range(DEVICES)]
        first.create_conversation("Family", id="family")
        for other in self.devices[1:]:
            msgsync.sync(first, other)

    def do(self, step: Step, count: int) -> None:
        replica = self.devices[step.at]
        family, own = replica.conversation("family"), self.sent[step.at]
        if step.what == "send":
            own.append(family.send(f"message {count} of {step.at}").id)
        elif step.what in ("edit", "delete", "react") and own:
            one = own[step.number % len(own)]
            if step.what == "edit":
                family.edit(one, f"edit {count}")
            elif step.what == "delete":
                family.delete(one)
            else:
                family.react(one, "👍")
        elif step.what == "meet":
            with suppress(SyncOff):
                msgsync.sync(replica, self.devices[(step.at + 1 + step.number % 2) % DEVICES])
        elif step.what == "round":
            with suppress(SyncOff):
                msgsync.sync(replica, self.box)
        elif step.what == "turn" and self.switches:
            self.turn(replica)
        elif step.what == "break" and self.switches:
            self.break_off(replica, step)

    @staticmethod
    def turn(replica: Replica) -> None:
        if replica.sync.enabled:
            replica.sync.disable()
        else:
            replica.sync.enable()

    def break_off(self, replica: Replica, step: Step) -> None:
        """Switch it off in the middle of something, and on again."""
        peer = self.devices[(step.at + 1) % DEVICES]
        if not (replica.sync.enabled and peer.sync.enabled):
            return
        if step.number % 2:
            exchange(Session(Exchange(replica)), Session(Exchange(peer)), frames=step.number)
            replica.sync.disable()
        else:
            with suppress(SyncOff, StopIteration):
                self.round_until(replica, step.number)
        replica.sync.enable()

    def round_until(self, replica: Replica, requests: int) -> None:
        errand = Courier(Mailing(replica, self.box.address)).run()
        request = next(errand)
        done = 0
        while True:
            if done == requests:
                replica.sync.disable()
            done += 1
            try:
                answer = perform(self.box, request)
            except NoSuchObject as error:
                request = errand.throw(error)
            else:
                request = errand.send(answer)

    def end(self) -> list[tuple[str, str, bool, int, int]]:
        """What all devices show once sync is on everywhere and all have met."""
        for replica in self.devices:
            replica.sync.enable()
        for replica in self.devices * 2:
            msgsync.sync(replica, self.box)
        for other in self.devices[1:] * 2:
            msgsync.sync(self.devices[0], other)
        assert_converged(*self.devices)
        for replica in self.devices:
            assert_sound(replica)
        shown = self.devices[0].conversation("family").messages(limit=100, include_deleted=True)
        return sorted(
            (one.original_text, one.text, one.deleted, len(one.edits), len(one.reactions))
            for one in shown
        )


def outcome(plan: Sequence[Step], *, switches: bool) -> list[tuple[str, str, bool, int, int]]:
    with fast_directory() as folder, ExitStack() as stack:
        run = Run(Path(folder), stack, switches=switches)
        for count, step in enumerate(plan):
            run.do(step, count)
        return run.end()


@given(steps)
@example(
    [
        Step(0, "send", 0),
        Step(0, "round", 0),
        Step(1, "turn", 0),
        Step(1, "send", 0),
        Step(1, "round", 0),
        Step(1, "turn", 0),
        Step(1, "break", 4),
        Step(2, "break", 5),
        Step(0, "break", 2),
    ]
)
def test_with_the_switch_or_without_it_the_same_comes_out(plan):
    assert outcome(plan, switches=True) == outcome(plan, switches=False)
