"""Sessions that stay: whatever is written at whatever moment, all who are connected end equal, and fall silent."""

from __future__ import annotations

import random
from contextlib import nullcontext

from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.testing import assert_sound, view
from tests.property.exchange import LiveLine, settle
from tests.property.test_exchanges import ACTS, acts, live_through
from tests.property.world import World, cramped, fewer, fresh_world

SHAPES = {"pair": [(0, 1)], "chain": [(0, 1), (1, 2)], "ring": [(0, 1), (1, 2), (2, 0)]}
# What is done next: steps of the lines, then something that a person does, or a line that breaks.
moments = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 2),
        st.sampled_from([*ACTS[:-1], "alive", "break"]),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=12,
)


def do(world: World, at: int, act: str, pick: int, number: int) -> None:
    """Let one device do something; the model is left behind, for it knows nothing of lines."""
    replica = world.devices[at].replica
    try:
        family = replica.conversation("family")
    except msgsync.UnknownConversation:
        family = replica.create_conversation(id="family")
    page = family.messages(limit=100, include_deleted=True)
    live = [each for each in page if not each.deleted]
    deleted = [each for each in page if each.deleted]
    match act:
        case "edit" if live:
            family.edit(live[pick % len(live)], f"edited at {number}")
        case "react" if live:
            family.react(live[pick % len(live)], "👍")
        case "delete" if live:
            family.delete(*live[pick % len(live) :])
        case "restore" if deleted:
            family.restore(*deleted[pick % len(deleted) :])
        case "erase" if live:
            family.erase(live[pick % len(live)])
        case "rename":
            family.rename(f"title {number}")
        case "compact":
            world.compact(at)
        case "ingest":
            from tests.property.carrier import CATALOGUE

            replica.ingest([message.incoming(1) for message in CATALOGUE[pick:]])
        case _:
            family.send(f"sent at {number} " + "x" * (pick * 40))


@settings(fewer(2))
@given(
    history=acts,
    shape=st.sampled_from(sorted(SHAPES)),
    met=st.booleans(),
    happening=moments,
    small=st.booleans(),
    seed=st.integers(0, 99),
)
def test_all_who_stay_connected_end_equal_whatever_is_written_when(
    history, shape, met, happening, small, seed
):
    pace = random.Random(seed)
    with fresh_world(4) as world, cramped() if small else nullcontext():
        live_through(world, history)
        pairs = SHAPES[shape]
        if met:
            for pair in pairs:
                world.sync(*pair)
        real = [device.replica for device in world.devices]
        lines = [LiveLine(real[one], real[other]) for one, other in pairs]
        for number, (steps, at, act, pick) in enumerate(happening):
            for _ in range(steps):
                pace.choice(lines).step(pace)
            if act == "break":
                broken = pick % len(lines)
                lines[broken].close()
                lines[broken] = LiveLine(*(real[end] for end in pairs[broken]))
            elif act == "alive":
                pace.choice(lines).keep_alive()
            else:
                do(world, at, act, pick, number)
        settle(lines, pace)
        connected = real[: max(max(pair) for pair in pairs) + 1]
        assert len({replica.digest for replica in connected}) == 1
        views = [view(replica) for replica in connected]
        assert all(each == views[0] for each in views)
        for replica in connected:
            assert_sound(replica)
        # Nobody has anything to add, and signs of life are all that is said from now on.
        frames = sum(line.frames for line in lines)
        for line in lines:
            line.keep_alive()
        settle(lines, pace)
        assert sum(line.frames for line in lines) == frames + 2 * len(lines)
        for line in lines:
            line.close()


@settings(fewer(4))
@given(history=acts, writes=st.integers(1, 8), seed=st.integers(0, 99))
def test_what_is_written_while_nothing_else_happens_costs_one_push_and_a_word_of_each_side(
    history, writes, seed
):
    pace = random.Random(seed)
    with fresh_world(4) as world:
        live_through(world, history)
        one, other = world.devices[0].replica, world.devices[1].replica
        world.sync(0, 1)
        line = LiveLine(one, other)
        settle([line], pace)
        for first in ("the first of this opening", "and one more"):
            # The first may find that the two wrote the same under other numbers, or froze it apart; the second one
            # that the peer's form is the greater one.
            one.conversation("family").send(first)
            settle([line], pace)
        for number in range(writes):
            frames = line.frames
            one.conversation("family").send(f"number {number}")
            settle([line], pace)
            assert line.frames == frames + 3
            assert one.digest == other.digest
        line.close()
