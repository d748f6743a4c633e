"""Exchanges: any order, repetition, grouping and interruption of them ends in one state."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.testing import assert_sound, view
from tests.property.carrier import CATALOGUE, FIRST_OF_FEBRUARY
from tests.property.exchange import exchange
from tests.property.world import World, cramped, fewer, fresh_world

FAMILY = tuple(message for message in CATALOGUE if message.conversation == "family")
positions = st.integers(0, 3)
pairs = st.tuples(positions, positions).filter(lambda pair: pair[0] != pair[1])
ACTS = (
    "send", "edit", "react", "delete", "restore", "erase", "ingest", "rename", "compact", "meet",
)  # fmt: skip
acts = st.lists(
    st.tuples(positions, st.sampled_from(ACTS), st.integers(0, 12), positions),
    min_size=4,
    max_size=24,
)


def live_through(world: World, history) -> None:
    """Let four devices do things, with few exchanges."""
    for at in range(4):
        world.create(at, "family", f"as {at} calls it")
    for number, (at, act, pick, other) in enumerate(history):
        page = world.conversation(at, "family").messages(limit=100, include_deleted=True)
        live = [str(each.id) for each in page if not each.deleted]
        deleted = [str(each.id) for each in page if each.deleted]
        match act:
            case "send":
                world.send(at, "family", f"text {number}")
            case "rename":
                world.rename(at, "family", f"title {number}")
            case "edit" if live:
                world.edit(at, "family", live[pick % len(live)], f"edit {number}")
            case "react" if live:
                world.toggle(at, "family", live[pick % len(live)], "👍")
            case "delete" if live:
                world.delete(at, "family", *live[pick % len(live) :])
            case "restore" if deleted:
                world.restore(at, "family", *deleted[pick % len(deleted) :])
            case "erase" if live:
                world.erase(at, "family", live[pick % len(live)])
            case "ingest":
                world.ingest(at, FAMILY[pick % len(FAMILY) :], look=pick % 3)
            case "compact":
                world.compact(at)
            case "meet" if other != at:
                world.sync(at, other)


@settings(fewer(2))
@given(
    history=acts,
    schedules=st.tuples(*[st.lists(pairs, max_size=10)] * 2),
    lasts=st.tuples(*[st.permutations(range(4))] * 2),
)
def test_any_order_and_repetition_of_exchanges_ends_in_one_state(history, schedules, lasts):
    """Two copies of one world go different ways and meet nowhere; they end alike."""
    with fresh_world(4) as world:
        live_through(world, history)
        world.close()
        ends = []
        for number in range(2):
            directory = world.directory / str(number)
            directory.mkdir()
            order = lasts[number]
            last = [
                *pairwise(order),
                *pairwise(order[::-1]),
            ]
            ends.append(_run(_copies(world, directory), [*schedules[number], *last]))
        assert ends[0] == ends[1]


def _copies(world: World, directory: Path) -> list[Path]:
    return [Path(shutil.copy(twin.path, directory)) for twin in world.devices]


def _run(paths: list[Path], schedule: list[tuple[int, int]]):
    """Let replicas meet, and return the one state they are in."""
    replicas = [msgsync.open(path, author="ann", durability="relaxed") for path in paths]
    try:
        for first, second in schedule:
            assert msgsync.sync(replicas[first], replicas[second]).complete
            assert replicas[first].digest == replicas[second].digest
        for replica in replicas:
            assert_sound(replica)
        views = [view(replica) for replica in replicas]
        assert all(each == views[0] for each in views)
        assert len({replica.digest for replica in replicas}) == 1
        return views[0], replicas[0].digest
    finally:
        for replica in replicas:
            replica.close()


@settings(fewer(2))
@given(history=acts, pair=pairs)
def test_meeting_again_at_once_moves_nothing(history, pair):
    with fresh_world(4) as world:
        live_through(world, history)
        world.sync(*pair)
        for first, second in (pair, pair[::-1]):
            report = world.sync(first, second)
            assert report.documents_received == report.documents_sent == 0
            assert report.messages_received == 0


def test_the_same_message_in_another_conversation_is_another_state(world):
    """Digests must tell the two apart, or nobody would send either."""
    id = msgsync.MessageId(FIRST_OF_FEBRUARY.to_bytes(6, "big") + b"twins!")
    for at, name in enumerate(("here", "there")):
        message = msgsync.Incoming(name, "ben", "twins", FIRST_OF_FEBRUARY, message_id=id)
        world.devices[at].replica.ingest([message])
    one, other = world.devices[0].replica, world.devices[1].replica
    assert one.digest != other.digest
    msgsync.sync(one, other)
    assert one.digest == other.digest
    for replica in (one, other):
        for name in ("here", "there"):
            assert [each.text for each in replica.conversation(name).messages()] == ["twins"]


@settings(fewer(2))
@given(
    history=acts,
    written=st.dictionaries(st.integers(0, 25), st.tuples(positions, st.sampled_from(ACTS[:-1]))),
    small=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_written_during_an_exchange_is_neither_lost_nor_in_its_way(
    history, written, small, seed
):
    with fresh_world(4) as world, cramped() if small else nullcontext():
        live_through(world, history)
        sent = set()

        def write(frame: int) -> None:
            if frame not in written:
                return
            at, act = written[frame]
            family = world.conversation(at % 2, "family")
            page = family.messages(limit=100)
            if act == "edit" and page:
                family.edit(page[0], f"edited at frame {frame}")
            elif act == "delete" and page:
                family.delete(page[-1])
            elif act == "rename":
                family.rename(f"renamed at frame {frame}")
            elif act == "ingest":
                world.devices[at % 2].replica.ingest([FAMILY[frame % len(FAMILY)].incoming(2)])
            else:
                sent.add(str(family.send(f"sent at frame {frame}").id))

        one, other = world.devices[0].replica, world.devices[1].replica
        assert exchange(one, other, seed=seed, meanwhile=write)
        assert msgsync.sync(one, other).complete
        assert view(one) == view(other)
        assert one.digest == other.digest
        assert sent <= world.ids(1, "family")
        for replica in (one, other):
            assert_sound(replica)
