"""Runs a script: stations, a network between them, and what happens to both. See `msgsync.testing.simulate`.

What each verb of a script does is in `msgsync.testing.people` and `msgsync.testing.faults`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgsync
from msgsync import limits
from msgsync.testing import holdings
from msgsync.testing.carrier import catalogue
from msgsync.testing.checks import assert_converged, assert_sound
from msgsync.testing.expectation import assert_readable
from msgsync.testing.faults import FAULTS
from msgsync.testing.healing import fill_by_post, settle_post
from msgsync.testing.network import Link, SimulatedNetwork
from msgsync.testing.people import PEOPLE
from msgsync.testing.plan import DAY_MS, FaultPlan
from msgsync.testing.posting import POSTING, places_of
from msgsync.testing.promises import Promises
from msgsync.testing.rounds import SimulatedRound
from msgsync.testing.script import Script, Step
from msgsync.testing.seed import Seeded
from msgsync.testing.station import OpenReplica, Station, open_replica
from msgsync.testing.system import SimulatedSystem

LOSING: Final = frozenset(
    {"leave", "fall_back", "double", "damage", "empty", "put_back", "copy_half", "share"}
)
"""Verbs with which attachments may be gone of which there was one copy left."""
VERBS: Final = PEOPLE | FAULTS | POSTING
_MOST_ROUNDS: Final = 3


@dataclass
class Figures:
    """What happened in a simulation, in numbers."""

    steps: int = 0
    devices: int = 0
    """All that ever took part."""
    messages: int = 0
    """Acknowledged, sent or ingested."""
    attachments: int = 0
    """Of messages that were sent."""
    bytes_freed: int = 0
    """Of attachments, by devices that made room."""
    frames: int = 0
    """That moved in steps of the network."""
    connections: int = 0
    crashes: int = 0
    """Kills and power losses."""
    refusals: int = 0
    """Calls that failed because of a disk."""
    requests: int = 0
    """Of mailboxes, in steps of the script."""
    mailbox_faults: int = 0
    """Of these, not answered as they should have been."""
    claims: int = 0
    """Of devices about others, that were found to be true."""
    rounds: int = 0
    """At mailboxes, that were begun in steps of the script."""
    epochs_forgotten: int = 0
    """Secrets of epochs that were over, and that the devices at the end had erased."""

    @classmethod
    def sum(cls, figures: Iterable[Figures]) -> Figures:
        """Of many simulations together."""
        total = cls()
        for one in figures:
            for each in fields(cls):
                setattr(total, each.name, getattr(total, each.name) + getattr(one, each.name))
        return total


class Simulation:
    """One run of a script."""

    def __init__(
        self,
        seed: int | str,
        plan: FaultPlan,
        directory: Path,
        *,
        opener: OpenReplica = open_replica,
    ) -> None:
        self.seed = seed
        self.plan = plan
        self.directory = directory
        self.figures = Figures()
        self.promises = Promises()
        self.stations: list[Station] = []
        self.told: list[str] = []
        """What each step did, in words."""
        self.at = 0
        """How many steps were taken."""
        self._opener = opener
        self.backups: list[Path] = []
        self.held: list[tuple[int, Link]] = []
        self.apart_until = 0
        self._passed_ms = 0  # really, whatever clocks show
        self.groups: tuple[list[Station], ...] = ()
        self.conversations = [f"talk-{number}" for number in range(plan.conversations)]
        self.upstream = catalogue(seed, self.conversations)
        self.network = SimulatedNetwork(
            seed,
            breaks_one_in=plan.breaks_one_in,
            loses_one_in=plan.loses_one_in,
            repeats_one_in=plan.repeats_one_in,
            overtakes_one_in=plan.overtakes_one_in,
        )
        self.places = places_of(seed, plan)
        self.rounds: list[SimulatedRound] = []
        """Those that are not over."""
        self.copies: dict[str, list[dict[str, bytes]]] = {}
        """Of mailboxes, by address."""
        self.copied: set[msgsync.DeviceId] = set()
        """Devices whose file was ever put back from a copy, or opened twice."""
        self.strangers: list[Path] = []
        """Replicas of other accounts."""
        self._put: dict[tuple[str, str], bytes] = {}
        """What was put into logs, by mailbox and name."""
        for _ in range(plan.devices):
            self.add(self.stations[0] if self.stations else None)

    # Running.

    def run(self, script: Script) -> None:
        """Take every step, then let everybody meet, and check the end.

        Raises:
            AssertionError: a promise was broken.
            Exception: whatever msgsync raises where it should not.
        """
        for step in script:
            self._pass_time(step)
            self.told.append("")
            self.told[-1] = self._take(step)
            self._start_what_is_off(step)
            holdings.assert_none_lost(self)
            self.at += 1
            self.figures.steps += 1
        self._settle()

    def close(self) -> None:
        """Close every replica."""
        for station in self.stations:
            station.close()

    def _pass_time(self, step: Step) -> None:
        """Let the clocks go on, and end what lasts for some steps."""
        passed = Seeded(f"{step.number}/pause").below(self.plan.pause_ms + 1)
        for station in self.stations:
            if station.ill_until == self.at:
                station.disk.mend()
            if station.away_until == self.at > 0:
                passed += self.plan.absence_ms
                with suppress(
                    msgsync.StorageError
                ):  # the power may go again; that is seen to below
                    station.reopen()
        self._start_what_is_off(step)
        self.pass_ms(passed)
        for until, link in self.held:
            if until == self.at:
                link.release()
        if self.apart_until == self.at and self.groups:
            self.heal()

    def pass_ms(self, passed_ms: int) -> None:
        """Let every clock go on."""
        self._passed_ms += passed_ms
        self.promises.may_expire = self._passed_ms >= limits.RETENTION_DAYS * DAY_MS
        for station in self.stations:
            station.system.advance(passed_ms)

    def _take(self, step: Step) -> str:
        here = [station for station in self.stations if station.away_until <= self.at]
        if not here:
            return "nobody is there"
        station = here[step.device % len(here)]
        try:
            done = VERBS[step.verb](self, station, Seeded(step.number))
        except msgsync.StorageError as error:
            self.figures.refusals += 1
            for each in here:
                each.assert_as_acknowledged()
                each.is_certain = False
            words = str(error).replace(f"{self.directory}/", "")  # the same in any place
            done = f"{step.verb} failed: {words}"
        if step.verb in LOSING:
            holdings.recount(self)
        return f"{station}: {done}"

    def _start_what_is_off(self, step: Step) -> None:
        for station in self.stations:
            if station.disk.is_off:
                self.crash(station, f"{step.number}/{station}")

    def crash(self, station: Station, seed: str | None) -> None:
        """Let a device die, by a power loss that the seed describes or killed (None), and start what is left of it."""
        self.figures.crashes += 1
        with self.another_replica(station):
            station.crash(seed)
        self.promises.assert_has(station.replica, station.own)

    @contextmanager
    def another_replica(self, station: Station) -> Iterator[None]:
        """Around what replaces the replica of a station: its connections break; a partition stays."""
        for link in self.network.links:
            if station.replica in link.replicas:
                link.cut()
        for one in [*self.rounds]:
            if one.replica is station.replica:
                self.drop(one)
        yield
        self.divide()

    # Rounds.

    def ask(self, one: SimulatedRound) -> None:
        """Let a round go on by one request.

        Raises:
            AssertionError: it puts something else where something was put before.
            StorageError: the replica could not store what came; the round is over.
        """
        self.figures.requests += 1
        if one.next_put is not None and one.next_put[0].startswith("log/"):
            name, body = one.next_put
            before = self._put.setdefault((one.mailbox.address, name), body)
            assert before == body, f"two objects for one place in a log: {name}"
        try:
            one.move()
        finally:
            if one.is_over:
                self.drop(one)

    def drop(self, one: SimulatedRound) -> None:
        """Break a round off, unless it is over, and forget it."""
        one.drop()
        if one in self.rounds:
            self.rounds.remove(one)
            self.figures.rounds += 1

    def divide(self) -> None:
        """Tell the network who is apart, after a replica was replaced."""
        if self.groups:
            self.network.partition(*([each.replica for each in group] for group in self.groups))

    def heal(self) -> None:
        """End the partition."""
        self.groups = ()
        self.network.heal()

    def add(self, member: Station | None = None) -> Station:
        """Have a device add an empty one, whose clock is about as right as those of the others.

        Raises:
            StorageError: the disk of the one that should add it failed; it is not added.
        """
        number = self.figures.devices
        self.figures.devices += 1
        seeded = Seeded(f"{self.seed}/clock {number}")
        system = SimulatedSystem(f"{self.seed}/device {number}")
        system.advance(seeded.below(2 * self.plan.skew_ms + 1) - self.plan.skew_ms)
        if self.stations:  # it knows what time it is, give or take
            system.advance(self.stations[0].system.now_ms() - SimulatedSystem().now_ms())
        replica = None if member is None else member.replica
        station = Station(f"device{number}", self.directory, system, replica, self._opener)
        station.number = number
        self.stations.append(station)
        return station

    # The end.

    def _settle(self) -> None:
        """End every fault, let everybody meet, and check that all is as it was promised."""
        for station in self.stations:
            station.disk.mend()
        for link in self.network.links:
            self.assert_bounded(link)
            link.cut()
        self.heal()
        for one in [*self.rounds]:
            self.drop(one)
        network = SimulatedNetwork(f"{self.seed}/end")
        replicas = [station.replica for station in self.stations]
        if self.places:
            settle_post(self)
        self._meet(network, replicas)
        assert_converged(*replicas)
        for station in self.stations:
            assert_sound(station.replica)
            self.promises.assert_has(station.replica, station.own)
            size = station.replica.status().file_bytes
            assert size <= self.plan.file_bytes, f"the file of {station} has {size} bytes"
        self.promises.assert_kept(replicas[0])
        assert_readable(replicas[-1])
        holdings.assert_none_lost(self)
        for station in self.stations:
            self.figures.epochs_forgotten += len(station.replica.membership.keyring().forgotten)
            station.replica.set_attachment_budget(None)
        fresh = self.add(self.stations[0])
        if self.places:
            fill_by_post(self, fresh)
        for replica in replicas:  # each of which may have a file that no other one has
            self._meet(network, [replica, fresh.replica])
        # Of two copies of a device one may only now have found out that it is one, and have said so.
        self._meet(network, [replicas[0], fresh.replica])
        fresh.reopen()
        assert_converged(replicas[0], fresh.replica)
        holdings.assert_readable_on(self, fresh)
        for station in self.stations:
            station.reopen()
        holdings.assert_none_left(self)

    def _meet(self, network: SimulatedNetwork, replicas: Sequence[msgsync.Replica]) -> None:
        """Let all meet, until all are equal: what expires when one has heard of all has to go round once more."""
        out = list(pairwise(replicas))
        for _ in range(_MOST_ROUNDS):
            for one, other in [*out, *out[-2::-1]]:
                link = network.sync(one, other)
                assert link.complete, f"{link} did not complete"
                assert not link.report().refused
            if len({replica.digest for replica in replicas}) == 1:
                return

    def assert_bounded(self, link: Link) -> None:
        """Assert that not too much is on its way in a connection."""
        size, bound = link.on_their_way_bytes, self.plan.on_their_way_bytes
        assert size <= bound, f"{size} bytes are on their way in {link}"

    def recount(self) -> None:
        """Promise no more than what those know who are left, or what is left of them."""
        self.promises.recount([station.replica for station in self.stations])
