"""An app that knows nothing but the change feed has what pages show, whenever and from wherever it follows."""

from __future__ import annotations

import random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import msgsync
from msgsync.store import changes
from tests.property.carrier import CATALOGUE
from tests.property.feed import Copy
from tests.property.test_aliases import ECHOES, do
from tests.property.world import fewer, fresh_world

ACTS = ("ingest", "link", "edit", "react", "delete", "restore", "meet", "erase", "said", "follow")
steps = st.lists(
    st.tuples(st.sampled_from((*ACTS, "many", "follow")), st.integers(0, 2), st.integers(0, 2)),
    max_size=30,
)


@fewer(2)
@given(
    steps=steps,
    limit=st.integers(1, 5),
    ahead=st.sampled_from((1, 4, 8192)),
    remembered=st.sampled_from((0, 6, 8192)),
)
def test_a_copy_that_follows_from_any_cursor_equals_the_replica(steps, limit, ahead, remembered):
    with (
        fresh_world() as world,
        patch.multiple(changes, _AHEAD=ahead, _REMEMBERED=remembered),
    ):
        world.create(0, "family", "Family")
        own = [world.send(0, "family", each.text) for each in ECHOES]
        for echo in ECHOES:
            world.ms[echo.id] = echo.sent_ms
        world.sync_all()
        kept: list[list[Copy]] = [[Copy()] for _ in world.devices]
        heard = [Copy(twin.replica.cursor()) for twin in world.devices]
        for at, twin in enumerate(world.devices):
            twin.replica.subscribe(heard[at].take)
            heard[at].messages = followed(Copy(), twin.replica, limit).messages
            heard[at].conversations = {"family"}
        for number, (act, at, pick) in enumerate(steps):
            twin = world.devices[at]
            if act == "follow":
                now = kept[at][-1].fork()
                assert followed(now, twin.replica, limit).follow(twin.replica) == 0
                kept[at].append(now)
            elif act == "many":
                world.ingest(at, CATALOGUE, look=pick)
            else:
                do(world, act, at, pick, own, number, random.Random(number))
            heard[at].assert_equals(twin.replica)
        world.sync_all()
        for at, twin in enumerate(world.devices):
            heard[at].assert_equals(twin.replica)
            with msgsync.open(twin.path, readonly=True) as reader:
                for copy in kept[at]:
                    followed(copy.fork(), reader, limit)
                    followed(copy, twin.replica, limit)


def followed(copy: Copy, replica: msgsync.Replica, limit: int) -> Copy:
    """Follow up, and assert that nothing is missing."""
    copy.follow(replica, limit=limit)
    copy.assert_equals(replica)
    return copy


def test_a_copy_that_misses_a_change_is_noticed():
    with fresh_world(1) as world:
        world.create(0, "family", "Family")
        world.send(0, "family", "one")
        copy = followed(Copy(), world.devices[0].replica, 5)
        copy.cursor = None
        world.send(0, "family", "two")
        with pytest.raises(AssertionError, match="differs"):
            copy.assert_equals(world.devices[0].replica)
