"""Backups come back: nothing diverges, erased stays erased, and what only they had is there again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tests.property.carrier import CATALOGUE
from tests.property.world import World, cramped, fewer, fresh_world

FAMILY = tuple(message for message in CATALOGUE if message.conversation == "family")
orders = st.integers(0, 1000)
devices = st.integers(0, 2)
ways = st.sampled_from(({}, {"as_new_device": True}))
ACTS = (
    "send",
    "edit",
    "react",
    "delete",
    "restore",
    "erase",
    "ingest",
    "sync",
    "reopen",
    "compact",
)
acts = st.lists(
    st.tuples(devices, st.sampled_from(ACTS), st.integers(0, len(FAMILY) - 1)), max_size=8
)


@dataclass
class Story:
    """What happens in one example; every text is new, as the reference cannot tell equal ones apart."""

    world: World
    texts: Iterator[int] = field(default_factory=count)

    def act(self, steps: Sequence[tuple[int, str, int]], positions: Sequence[int]) -> None:
        """Let things happen on devices, to one of their messages each, where that can be done."""
        for at, what, number in steps:
            _act(self.world, positions[at], what, number, f"text {next(self.texts)}")


def _act(world: World, at: int, what: str, number: int, text: str) -> None:
    other = (at + 1 + number % (len(world.devices) - 1)) % len(world.devices)
    match what:
        case "sync":
            world.sync(at, other)
        case "compact":
            world.compact(at)
        case "reopen":
            world.reopen(at)
        case "ingest":
            world.ingest(at, FAMILY[number:], look=number % 3)
        case "send":
            world.send(at, "family", text)
        case _:
            _act_on(world, at, what, number, text)


def _act_on(world: World, at: int, what: str, number: int, text: str) -> None:
    shown = world.conversation(at, "family").messages(limit=100, include_deleted=True)
    wanted = {"restore": True, "edit": False, "react": False, "delete": False}.get(what)
    found = [one for one in shown if wanted is None or one.deleted is wanted]
    if not found:
        return
    id = str(found[number % len(found)].id)
    match what:
        case "edit":
            world.edit(at, "family", id, text)
        case "react":
            world.toggle(at, "family", id, "👍")
        case "delete":
            world.delete(at, "family", id)
        case "restore":
            world.restore(at, "family", id)
        case "erase":
            world.erase(at, "family", id)


@fewer(2)
@given(
    before=acts,
    owner=devices,
    meanwhile=acts,
    way=ways,
    and_again=st.booleans(),
    after=acts,
    small=st.booleans(),
    order=orders,
)
def test_a_backup_that_is_restored_beside_everybody_converges(
    before, owner, meanwhile, way, and_again, after, small, order
):
    """The original goes on, and may be back as well: under its own device id, or as another device, or twice."""
    with fresh_world() as world, cramped() if small else nullcontext():
        world.create(0, "family", "Family")
        world.ingest(0, FAMILY)
        world.sync_all()
        story = Story(world)
        story.act(before, (0, 1, 2))
        backup = world.back_up(owner)
        story.act(meanwhile, (0, 1, 2))
        back = world.bring_back(backup, **way)
        if and_again:
            world.bring_back(backup)
        assert world.devices[back].replica.check().ok
        story.act(after, [back if at == owner else at for at in range(3)])
        world.sync_all(order)
        world.assert_converged()


@fewer(2)
@given(before=acts, way=ways, meanwhile=acts, after=acts, order=orders)
def test_what_only_the_backup_had_comes_back_and_what_was_erased_meanwhile_does_not(
    before, way, meanwhile, after, order
):
    """The device is lost with what it never told anybody; all that the backup had of it is on all devices again."""
    with fresh_world() as world:
        world.create(0, "family", "Family")
        world.ingest(0, FAMILY)
        world.sync_all()
        story = Story(world)
        story.act(before, (0, 1, 2))
        only_here = world.send(0, "family", "never told to anybody")
        backup = world.back_up(0)
        had = world.ids(0, "family")
        lost = world.devices.pop(0)
        lost.replica.close()
        story.act(meanwhile, (0, 1, 0))
        assert only_here not in world.ids(0, "family") | world.ids(1, "family")
        back = world.bring_back(backup, **way)
        assert had == world.ids(back, "family")
        story.act(after, (0, 1, back))
        world.sync_all(order)
        world.assert_converged()
        assert had - world.erased <= world.ids(0, "family")
        assert not world.erased & world.ids(0, "family")
