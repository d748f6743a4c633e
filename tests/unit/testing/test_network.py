"""The simulated network and system: what follows from a seed, and what breaks when told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import msgsync
from msgsync.testing import (
    DiskFault,
    SimulatedDisk,
    SimulatedNetwork,
    SimulatedSystem,
    assert_converged,
    view,
)
from msgsync.testing.seed import Seeded

Replicas = list[msgsync.Replica]


def three(directory, stack: ExitStack) -> Replicas:
    """Three replicas of one account, each with a message of its own, deterministic from their seeds."""
    replicas: Replicas = []
    for number in range(3):
        path, system = directory / f"{number}.db", SimulatedSystem(number)
        replicas.append(
            stack.enter_context(
                replicas[0].new_device(path, system=system)
                if replicas
                else msgsync.open(path, author="ann", system=system, durability="relaxed")
            )
        )
        replicas[-1].create_conversation(f"c{number}", id=f"c{number}").send(f"from {number}")
    return replicas


@pytest.fixture
def replicas(tmp_path) -> Iterator[Replicas]:
    with ExitStack() as stack:
        yield three(tmp_path, stack)


def test_replicas_that_sync_converge(replicas):
    network = SimulatedNetwork(1)
    for first, second in ((0, 1), (1, 2), (0, 1)):
        link = network.sync(replicas[first], replicas[second])
        assert link.complete
        assert not link.broken
        assert link.report().complete
    assert_converged(*replicas)
    assert network.links == ()


def test_several_connections_interleave_and_all_complete_in_the_end(replicas):
    network = SimulatedNetwork(2)
    first = network.connect(replicas[0], replicas[1])
    second = network.connect(replicas[1], replicas[2])
    order = []
    while network.step():
        order.append((first.delivered, second.delivered))
    assert first.finished
    assert second.finished
    ends = order[-1]
    both_on_their_way = [each for each in order if 0 < each[0] < ends[0] and 0 < each[1] < ends[1]]
    assert both_on_their_way, "one waited for the other"


def test_one_seed_is_one_run_to_the_byte_and_another_seed_another(tmp_path):
    def play(name: str, seed: int) -> tuple[list[tuple[int, ...]], list[bytes], object]:
        directory = tmp_path / name
        directory.mkdir()
        with ExitStack() as stack:
            replicas = three(directory, stack)
            network = SimulatedNetwork(seed, breaks_one_in=20)
            links = [network.connect(replicas[at], replicas[at + 1]) for at in (0, 1)]
            run = []
            while network.step():
                run.append(tuple(link.delivered for link in links))
            return run, [each.digest for each in replicas], [view(each) for each in replicas]

    first = play("first", 5)
    assert play("again", 5) == first
    assert any(play(f"other-{seed}", seed)[0] != first[0] for seed in range(6, 10))


def test_a_connection_breaks_after_as_many_frames_as_told(replicas):
    network = SimulatedNetwork()
    link = network.sync(replicas[0], replicas[1], frames=4)
    assert link.broken
    assert not link.complete
    assert link.delivered == 4
    assert replicas[0].digest != replicas[1].digest
    assert network.sync(replicas[0], replicas[1]).complete


def test_connections_break_by_chance_and_never_without(replicas):
    broken = 0
    for seed in range(20):
        network = SimulatedNetwork(seed, breaks_one_in=3)
        broken += network.sync(replicas[0], replicas[1]).broken
    assert broken > 0
    assert SimulatedNetwork(1, breaks_one_in=1).sync(replicas[1], replicas[2]).delivered == 0
    with pytest.raises(msgsync.InvalidValue):
        SimulatedNetwork(breaks_one_in=0)


def test_a_held_connection_goes_on_when_it_is_released(replicas):
    network = SimulatedNetwork()
    link = network.connect(replicas[0], replicas[1])
    link.hold()
    network.run()
    assert link.delivered == 0
    assert not link.finished
    link.release()
    network.run()
    assert link.complete


def test_a_partition_breaks_what_it_crosses_until_it_heals(replicas):
    network = SimulatedNetwork()
    across = network.connect(replicas[0], replicas[1])
    within = network.connect(replicas[1], replicas[2])
    network.partition(replicas[:1], replicas[1:])
    assert across.broken
    network.run()
    assert within.complete
    with pytest.raises(msgsync.ConnectionLost, match="partitioned"):
        network.connect(replicas[0], replicas[2])
    network.heal()
    assert network.sync(replicas[0], replicas[2]).complete


def test_another_account_is_refused_as_over_any_transport(tmp_path, replicas):
    with (
        msgsync.open(tmp_path / "other.db", system=SimulatedSystem("other")) as other,
        pytest.raises(msgsync.AccountMismatch),
    ):
        SimulatedNetwork().sync(replicas[0], other)


def test_a_simulated_clock_stands_still_until_told(tmp_path):
    system = SimulatedSystem(now_ms=1_000_000_000_000)
    with msgsync.open(tmp_path / "a.db", author="ann", system=system) as replica:
        family = replica.create_conversation()
        assert family.send("one").sent_ms == family.send("two").sent_ms == 1_000_000_000_000
        system.advance(5)
        assert family.send("three").sent_ms == 1_000_000_000_005
    system.advance(-(10**15))
    assert system.now_ms() == 0
    system.advance(10**18)
    assert system.now_ms() == 253_402_300_799_999
    for wrong in (-1, 1.5, 10**18):
        with pytest.raises(msgsync.InvalidValue):
            system.set(wrong)  # type: ignore[arg-type]
    with pytest.raises(msgsync.InvalidValue):
        system.advance(0.5)  # type: ignore[arg-type]


def test_draws_follow_from_the_seed_and_stay_the_same_with_every_python():
    assert Seeded(1).bytes(4).hex() == Seeded(1).bytes(4).hex()
    assert Seeded(1).bytes(4) != Seeded(2).bytes(4)
    drawn = Seeded("a")
    assert len({drawn.bytes(8) for _ in range(100)}) == 100
    assert {drawn.below(3) for _ in range(100)} == {0, 1, 2}
    assert sorted(Seeded(3).shuffled(range(9))) == list(range(9))
    assert SimulatedSystem(7).random_bytes(6).hex() == "dec10488ac85"


def test_who_stays_connected_is_told_at_once_until_the_connection_ends(replicas):
    network = SimulatedNetwork(1)
    link = network.connect(replicas[0], replicas[1], live=True)
    network.run()
    assert link.idle
    for number in range(3):
        replicas[number % 2].conversation("c0").send(f"number {number}")
        network.run()
        assert replicas[0].digest == replicas[1].digest
    link.keep_alive()
    assert network.step(), "nobody said that it is there"
    network.run()
    link.cut()
    replicas[0].conversation("c0").send("not heard")
    network.run()
    assert replicas[0].digest != replicas[1].digest


def test_streams_that_lose_repeat_or_mix_frames_do_no_harm(replicas):
    spoiled = 0
    for seed in range(30):
        network = SimulatedNetwork(
            seed, loses_one_in=6, repeats_one_in=6, overtakes_one_in=6, breaks_one_in=20
        )
        for first, second in ((0, 1), (1, 2)):
            link = network.connect(replicas[first], replicas[second], live=bool(seed % 2))
            network.run()
            spoiled += link.spoiled
            link.cut()
        replicas[seed % 3].create_conversation(id=f"later {seed}").send("hello")
    assert spoiled > 10
    network = SimulatedNetwork()
    for first, second in ((0, 1), (1, 2), (0, 1)):
        assert network.sync(replicas[first], replicas[second]).complete
    assert_converged(*replicas)


def test_part_of_a_frame_is_no_frame(replicas):
    network = SimulatedNetwork()
    for part in range(0, 60, 7):
        link = network.connect(replicas[0], replicas[1])
        while not link.is_waiting(1):
            network.step()
        link.tear(1, part)
        assert link.broken


def test_a_replica_that_cannot_store_ends_its_connection_and_no_other(tmp_path, replicas):
    with (
        SimulatedDisk() as disk,
        replicas[0].new_device(
            tmp_path / "full.db", system=SimulatedSystem("full", vfs=disk.vfs)
        ) as full,
    ):
        disk.fail(DiskFault.FULL, lasts=True)
        network = SimulatedNetwork(3)
        across, other = network.connect(replicas[0], full), network.connect(*replicas[1:])
        with pytest.raises(msgsync.StorageFull):
            network.run()
        assert across.broken
        network.run()
        assert other.complete
        disk.mend()
        assert network.sync(replicas[0], full).complete
