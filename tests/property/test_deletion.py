"""Deleting and restoring: what was seen is covered, what was not survives, and a restore wins."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.carrier import CATALOGUE
from tests.property.exchange import stored_bytes
from tests.property.world import World, cramped, fresh_world

FAMILY = tuple(message for message in CATALOGUE if message.conversation == "family")
orders = st.integers(0, 1000)
some = st.sets(st.sampled_from(FAMILY))


@given(
    seen=some, unseen=some, here_sent=st.integers(0, 2), there_sent=st.integers(0, 2), order=orders
)
def test_deleting_everything_spares_what_the_deleter_had_not_seen(
    seen, unseen, here_sent, there_sent, order
):
    with fresh_world() as world:
        world.create(0, "family", "Family")
        world.ingest(0, sorted(seen, key=str))
        for number in range(here_sent):
            world.send(0, "family", f"seen {number}")
        world.sync_all()
        if covered := world.ids(0, "family"):
            world.delete(0, "family", *covered)
        world.ingest(1, sorted(unseen, key=str))
        late = {world.send(1, "family", f"unseen {number}") for number in range(there_sent)}
        world.sync_all(order)
        world.assert_converged()
        live = {str(each.id) for each in world.conversation(2, "family").messages(limit=1000)}
        assert live == late | {message.id for message in unseen - seen}


@given(
    deleter_writes=st.integers(0, 4),
    restorer_writes=st.integers(0, 4),
    rounds=st.integers(0, 3),
    order=orders,
)
@example(deleter_writes=4, restorer_writes=0, rounds=0, order=0)
@example(deleter_writes=0, restorer_writes=4, rounds=2, order=0)
def test_a_restore_wins_over_a_concurrent_deletion(deleter_writes, restorer_writes, rounds, order):
    """However much either device wrote before, that is, whoever has the greater Lamport number."""
    with fresh_world() as world:
        world.create(0, "family", "Family")
        id, other = world.send(0, "family", "contested"), world.send(0, "family", "beside")
        world.delete(0, "family", id)
        world.sync_all()
        for number in range(deleter_writes):
            world.edit(0, "family", other, f"deleter {number}")
        for number in range(restorer_writes):
            world.edit(1, "family", other, f"restorer {number}")
        # The deleter restores and deletes again, so that its deletion names what the restorer names too.
        for _ in range(rounds):
            world.restore(0, "family", id)
            world.delete(0, "family", id)
        world.restore(1, "family", id)
        world.sync_all(order)
        world.assert_converged()
        shown_again = not world.conversation(2, "family").message(id).deleted
        assert shown_again


# A document that was rewritten holds the last of these entries alone: it must name all that came before.
@given(rounds=st.integers(1, 4), stale_at=st.integers(0, 3), rewritten=st.booleans(), order=orders)
@example(rounds=2, stale_at=0, rewritten=True, order=0)
def test_a_deletion_outlives_a_restore_that_a_stale_device_brings_back(
    rounds, stale_at, rewritten, order
):
    with fresh_world() as world:
        id = _deleted_and_restored(world, rounds, stale_at % rounds, stale_sees="restored")
        world.delete(0, "family", id)
        if rewritten:
            rewrite(world, 0, 1)
        world.sync_all(order)
        world.assert_converged()
        assert world.conversation(2, "family").message(id).deleted


@given(rounds=st.integers(1, 4), stale_at=st.integers(0, 3), rewritten=st.booleans(), order=orders)
@example(rounds=2, stale_at=0, rewritten=True, order=0)
def test_a_restore_outlives_a_deletion_that_a_stale_device_brings_back(
    rounds, stale_at, rewritten, order
):
    with fresh_world() as world:
        id = _deleted_and_restored(world, rounds, stale_at % rounds, stale_sees="deleted")
        if rewritten:
            rewrite(world, 0, 1)
        world.sync_all(order)
        world.assert_converged()
        assert not world.conversation(2, "family").message(id).deleted


def rewrite(world: World, *positions: int) -> None:
    """Have replicas fold their logs, which removes for good what lost."""
    with cramped():
        for at in positions:
            world.reopen(at)


def _deleted_and_restored(world: World, rounds: int, stale_at: int, *, stale_sees: str) -> str:
    """Delete and restore a message by turns on two devices; the third meets them once and then sleeps."""
    world.create(0, "family", "Family")
    id = world.send(0, "family", "back and forth")
    world.sync_all()
    for number in range(rounds):
        world.delete(0, "family", id)
        if number == stale_at and stale_sees == "deleted":
            world.sync(0, 2)
        world.sync(0, 1)
        world.restore(1, "family", id)
        world.sync(0, 1)
        if number == stale_at and stale_sees == "restored":
            world.sync(0, 2)
    return id


@given(
    deleted=st.sets(st.integers(0, 5), min_size=1),
    restored=st.sets(st.integers(0, 5)),
    again=st.sets(st.integers(0, 5)),
    order=orders,
)
def test_a_restore_of_some_leaves_the_others_deleted(deleted, restored, again, order):
    """Also where a stale device has the deletion of all of them, and months differ."""
    with fresh_world() as world:
        ids = [message.id for message in FAMILY[:6]]
        world.ingest(0, FAMILY[:6])
        world.sync_all()
        world.delete(0, "family", *(ids[each] for each in deleted))
        world.sync(0, 2)
        restored &= deleted
        if restored:
            world.restore(0, "family", *(ids[each] for each in restored))
        again &= restored
        if again:
            world.sync(0, 1)
            world.delete(1, "family", *(ids[each] for each in again))
        world.sync_all(order)
        world.assert_converged()
        conversation = world.conversation(2, "family")
        hidden = {each for each in range(6) if conversation.message(ids[each]).deleted}
        assert hidden == deleted - restored | again


def test_an_edit_of_a_message_deleted_elsewhere_shows_once_it_is_restored(world):
    world.create(0, "family", "Family")
    id = world.send(0, "family", "first")
    world.sync_all()
    world.delete(0, "family", id)
    world.edit(1, "family", id, "second")
    world.sync_all()
    assert world.texts(2, "family") == []
    world.restore(2, "family", id)
    world.sync_all()
    world.assert_converged()
    assert world.texts(0, "family") == ["second"]


def test_a_device_that_slept_through_a_deletion_does_not_bring_the_message_back(world):
    world.create(0, "family", "Family")
    id = world.send(0, "family", "gone")
    world.sync_all()
    world.delete(0, "family", id)
    world.sync(0, 1)
    world.send(2, "family", "hello again")
    world.sync_all()
    world.assert_converged()
    assert world.texts(1, "family") == ["hello again"]


def test_what_lost_for_good_is_not_stored_for_ever(world):
    world.create(0, "family", "Family")
    id = world.send(0, "family", "on and off")
    rewrite(world, 0)
    before = stored_bytes(world.devices[0].replica)
    for _ in range(40):
        world.toggle(0, "family", id, "👍")
        world.delete(0, "family", id)
        world.restore(0, "family", id)
    grown = stored_bytes(world.devices[0].replica)
    rewrite(world, 0)
    assert stored_bytes(world.devices[0].replica) < before + (grown - before) // 20
    world.sync_all()
    world.assert_converged()
