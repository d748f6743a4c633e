"""Runs a script: stations, a network between them, and what happens to both. See `msgsync.testing.simulate`.

Each verb of a script is a method here, in a table below the class; it does one thing and says in words what it did. A
verb that msgsync gains is one more method, one more row, and one more word in `msgsync.testing.script`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgsync
from msgsync.testing.carrier import catalogue
from msgsync.testing.checks import assert_converged, assert_sound
from msgsync.testing.disk import DiskFault
from msgsync.testing.expectation import assert_readable
from msgsync.testing.machine import ABOUT_ALL_OF_IT
from msgsync.testing.network import Link, SimulatedNetwork
from msgsync.testing.plan import FaultPlan
from msgsync.testing.promises import Absence, Promises, look_up
from msgsync.testing.script import Script, Step
from msgsync.testing.seed import Seeded
from msgsync.testing.station import OpenReplica, Station, copy_database, open_replica
from msgsync.testing.strategies import EMOJI, PHRASES
from msgsync.testing.system import SimulatedSystem
from msgsync.testing.world import carried_id

_ALL: Final = 10_000
_MOST_LINKS: Final = 8
_MOST_FRAMES: Final = 60
"""That many frames move in a step, at most."""
_MOST_STEPS_ILL: Final = 12
_MOST_STEPS_AWAY: Final = 40
_MOST_STEPS_APART: Final = 30


@dataclass
class Figures:
    """What happened in a simulation, in numbers."""

    steps: int = 0
    devices: int = 0
    """All that ever took part."""
    messages: int = 0
    """Acknowledged, sent or ingested."""
    frames: int = 0
    """That moved in steps of the network."""
    connections: int = 0
    crashes: int = 0
    """Kills and power losses."""
    refusals: int = 0
    """Calls that failed because of a disk."""

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
        self, seed: int | str, plan: FaultPlan, directory: Path, *, opener: OpenReplica = open_replica
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
        self._backups: list[Path] = []
        self._held: list[tuple[int, Link]] = []
        self._apart_until = 0
        self._groups: tuple[list[Station], ...] = ()
        self._conversations = [f"talk-{number}" for number in range(plan.conversations)]
        self._upstream = catalogue(seed, self._conversations)
        self._network = SimulatedNetwork(
            seed,
            breaks_one_in=plan.breaks_one_in,
            loses_one_in=plan.loses_one_in,
            repeats_one_in=plan.repeats_one_in,
            overtakes_one_in=plan.overtakes_one_in,
        )
        for _ in range(plan.devices):
            self._add()

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
                with suppress(msgsync.StorageError):  # the power may go again; that is seen to below
                    station.reopen()
        self._start_what_is_off(step)
        for station in self.stations:
            station.system.advance(passed)
        for until, link in self._held:
            if until == self.at:
                link.release()
        if self._apart_until == self.at and self._groups:
            self._heal()

    def _take(self, step: Step) -> str:
        here = [station for station in self.stations if station.away_until <= self.at]
        if not here:
            return "nobody is there"
        station = here[step.device % len(here)]
        try:
            return f"{station}: {_VERBS[step.verb](self, station, Seeded(step.number))}"
        except msgsync.StorageError as error:
            self.figures.refusals += 1
            for each in here:
                each.assert_as_acknowledged()
                each.is_certain = False
            return f"{station}: {step.verb} failed: {error}"

    def _start_what_is_off(self, step: Step) -> None:
        for station in self.stations:
            if station.disk.is_off:
                self._crash(station, f"{step.number}/{station}")

    def _crash(self, station: Station, seed: str | None) -> None:
        self.figures.crashes += 1
        with self._another_replica(station):
            station.crash(seed)
        self.promises.assert_has(station.replica, station.own)

    @contextmanager
    def _another_replica(self, station: Station) -> Iterator[None]:
        """Around what replaces the replica of a station: its connections break; a partition stays."""
        for link in self._network.links:
            if station.replica in link.replicas:
                link.cut()
        yield
        self._divide()

    def _divide(self) -> None:
        if self._groups:
            self._network.partition(*([each.replica for each in group] for group in self._groups))

    def _heal(self) -> None:
        self._groups = ()
        self._network.heal()

    def _add(self) -> Station:
        number = self.figures.devices
        self.figures.devices += 1
        seeded = Seeded(f"{self.seed}/clock {number}")
        system = SimulatedSystem(f"{self.seed}/device {number}")
        system.advance(seeded.below(2 * self.plan.skew_ms + 1) - self.plan.skew_ms)
        if self.stations:  # it knows what time it is, give or take
            system.advance(self.stations[0].system.now_ms() - SimulatedSystem().now_ms())
        account = self.stations[0].account if self.stations else None
        station = Station(f"device{number}", self.directory, account, system, self._opener)
        self.stations.append(station)
        return station

    # The end.

    def _settle(self) -> None:
        """End every fault, let everybody meet, and check that all is as it was promised."""
        for station in self.stations:
            station.disk.mend()
        for link in self._network.links:
            self._assert_bounded(link)
            link.cut()
        self._heal()
        network = SimulatedNetwork(f"{self.seed}/end")
        out = list(pairwise(station.replica for station in self.stations))
        for one, other in [*out, *out[-2::-1]]:
            link = network.sync(one, other)
            assert link.complete, f"{link} did not complete"
            assert not link.report().refused
        replicas = [station.replica for station in self.stations]
        assert_converged(*replicas)
        for station in self.stations:
            assert_sound(station.replica)
            self.promises.assert_has(station.replica, station.own)
            size = station.replica.status().file_bytes
            assert size <= self.plan.file_bytes, f"the file of {station} has {size} bytes"
        self.promises.assert_kept(replicas[0])
        assert_readable(replicas[-1])
        fresh = self._add()
        assert network.sync(replicas[0], fresh.replica).complete
        fresh.reopen()
        assert_converged(replicas[0], fresh.replica)

    def _assert_bounded(self, link: Link) -> None:
        size, bound = link.on_their_way_bytes, self.plan.on_their_way_bytes
        assert size <= bound, f"{size} bytes are on their way in {link}"

    # What people and carriers do.

    def _conversation(self, station: Station, seeded: Seeded) -> msgsync.Conversation:
        name = seeded.choice(self._conversations)
        try:
            return station.replica.conversation(name)
        except msgsync.UnknownConversation:
            return station.replica.create_conversation(f"title {name}", id=name)

    def _pick(
        self, station: Station, seeded: Seeded, *, deleted: bool | None = None, most: int = 1
    ) -> tuple[msgsync.Conversation, list[str]]:
        """A conversation, and some of the messages it shows; none if there are none."""
        conversation = self._conversation(station, seeded)
        page = conversation.messages(limit=_ALL, include_deleted=True)
        ids = [str(each.id) for each in page if deleted is None or each.deleted is deleted]
        return conversation, seeded.shuffled(ids)[: 1 + seeded.below(most)]

    def _text(self, seeded: Seeded) -> str:
        """A text nobody wrote before."""
        filler = seeded.choice(PHRASES) if seeded.below(2) else "x" * seeded.below(self.plan.text_bytes - 39)
        return f"{filler[: self.plan.text_bytes // 4]} n{self.at}"

    def _send(self, station: Station, seeded: Seeded) -> str:
        conversation, targets = self._pick(station, seeded)
        text = self._text(seeded)
        reply_to = targets[0] if targets and seeded.below(2) else None
        sent = conversation.send(text, reply_to=reply_to)
        self._accept(station, str(sent.id), text)
        return f"sends {text!r} in {conversation.id}: {sent.id}"

    def _accept(self, station: Station, id: str, text: str) -> None:
        self.figures.messages += 1
        self.promises.texts[id] = text
        station.own.add(id)

    def _edit(self, station: Station, seeded: Seeded) -> str:
        conversation, ids = self._pick(station, seeded, deleted=False)
        if not ids:
            return "has nothing to edit"
        text = self._text(seeded)
        conversation.edit(ids[0], text)
        self.promises.edits.setdefault(ids[0], set()).add(text)
        return f"edits {ids[0]}: {text!r}"

    def _react(self, station: Station, seeded: Seeded) -> str:
        conversation, ids = self._pick(station, seeded, deleted=False)
        if not ids:
            return "has nothing to react to"
        emoji, verb = seeded.choice(EMOJI), seeded.choice(("react", "unreact"))
        (conversation.react if verb == "react" else conversation.unreact)(ids[0], emoji)
        return f"{verb}s {emoji} to {ids[0]}"

    def _delete(self, station: Station, seeded: Seeded) -> str:
        conversation, ids = self._pick(station, seeded, deleted=False, most=4)
        self.promises.perhaps_deleted |= set(ids)
        conversation.delete(*ids)
        self.promises.deleted |= set(ids)
        return f"deletes {', '.join(ids)}"

    def _restore(self, station: Station, seeded: Seeded) -> str:
        conversation, ids = self._pick(station, seeded, deleted=True, most=4)
        self.promises.perhaps_restored |= set(ids)
        conversation.restore(*ids)
        return f"restores {', '.join(ids)}"

    def _erase(self, station: Station, seeded: Seeded) -> str:
        conversation, ids = self._pick(station, seeded, most=3)
        unseen = seeded.choice(self._upstream)
        if not seeded.below(3) and unseen.conversation == conversation.id:
            ids.append(carried_id(unseen))
        self.promises.perhaps_erased |= set(ids)
        conversation.erase(*ids)
        self.promises.erased |= set(ids)
        return f"erases {', '.join(ids)}"

    def _rename(self, station: Station, seeded: Seeded) -> str:
        conversation, title = self._conversation(station, seeded), f"title n{self.at}"
        conversation.rename(title)
        return f"renames {conversation.id}: {title!r}"

    def _say(self, station: Station, seeded: Seeded) -> str:
        conversation = self._conversation(station, seeded)
        act = seeded.choice(sorted(ABOUT_ALL_OF_IT))
        if act in ("delete", "restore"):
            concerned = self.promises.texts.keys() | {carried_id(each) for each in self._upstream}
            self.promises.perhaps_deleted |= concerned
            if act == "restore":
                self.promises.perhaps_restored |= concerned
        ABOUT_ALL_OF_IT[act](conversation, seeded.below(12))
        return f"says about {conversation.id}: {act}"

    def _expire(self, station: Station, _: Seeded) -> str:
        ids = {str(each.message.id) for each in station.replica.recently_deleted()}
        self.promises.perhaps_erased |= ids
        count = station.replica.erase_expired()
        erased = {id for id in ids if look_up(station.replica, id) is Absence.ERASED}
        assert len(erased) == count
        self.promises.erased |= erased
        return f"erases what expired: {', '.join(sorted(erased))}"

    def _ingest(self, station: Station, seeded: Seeded) -> str:
        messages = [seeded.choice(self._upstream) for _ in range(1 + seeded.below(5))]
        names = ", ".join(str(each.external_id) for each in messages)
        self.promises.perhaps_deleted |= {
            carried_id(each) for each in messages if each.deleted_ms is not None
        }
        before = station.replica.digest
        try:
            station.replica.ingest(messages)
        except msgsync.FutureTimestamp:
            assert station.replica.digest == before, "refused, but something of it is here"
            return f"refuses {names}, which its clock takes for the future"
        for message in messages:
            id = carried_id(message)
            self._accept(station, id, message.text)
            if message.deleted_ms is not None:
                self.promises.deleted.add(id)
        return f"ingests {names}"

    # What networks do.

    def _connect(self, station: Station, seeded: Seeded, *, live: bool = False) -> str:
        others = [each for each in self.stations if each is not station and each.away_until <= self.at]
        if not others or len(self._network.links) >= _MOST_LINKS:
            return "connects to nobody"
        other = seeded.choice(others)
        try:
            self._network.connect(station.replica, other.replica, live=live)
        except msgsync.ConnectionLost:
            return f"does not reach {other}"
        self.figures.connections += 1
        return f"connects to {other}{', to stay' if live else ''}"

    def _stay(self, station: Station, seeded: Seeded) -> str:
        return self._connect(station, seeded, live=True)

    def _carry(self, _: Station, seeded: Seeded) -> str:
        self._network.reseed(seeded.below(1 << 32))
        moved = 0
        for _ in range(1 + seeded.below(_MOST_FRAMES)):
            if not self._network.step():
                for link in self._network.links:
                    if not link.held:
                        (link.cut if link.spoiled else link.keep_alive)()
                continue
            moved += 1
        for link in self._network.links:
            self._assert_bounded(link)
        self.figures.frames += moved
        return f"the network carries {moved} frames"

    def _stall(self, _: Station, seeded: Seeded) -> str:
        if not self._network.links:
            return "nothing is connected that could stall"
        link = seeded.choice(self._network.links)
        link.hold()
        self._held.append((self.at + 1 + seeded.below(_MOST_STEPS_ILL), link))
        return f"stalls {link}"

    def _partition(self, _: Station, seeded: Seeded) -> str:
        mixed = seeded.shuffled(self.stations)
        middle = 1 + seeded.below(len(mixed) - 1)
        self._groups = mixed[:middle], mixed[middle:]
        self._apart_until = self.at + 1 + seeded.below(_MOST_STEPS_APART)
        self._divide()
        return f"the network falls apart: {self._groups[0]}, {self._groups[1]}"

    # What happens to devices.

    def _reopen(self, station: Station, _: Seeded) -> str:
        with self._another_replica(station):
            station.reopen()
        return "is closed and opened"

    def _kill(self, station: Station, _: Seeded) -> str:
        self._crash(station, None)
        return "is killed and started"

    def _join(self, _: Station, __: Seeded) -> str:
        if len(self.stations) >= self.plan.most_devices:
            return "nobody joins, there are enough"
        return f"is joined by {self._add()}"

    def _leave(self, station: Station, _: Seeded) -> str:
        if len(self.stations) <= 2:
            return "stays, or there would be nobody to talk to"
        with self._another_replica(station):
            station.close()
            self.stations.remove(station)
            for group in self._groups:
                with suppress(ValueError):
                    group.remove(station)
        self._recount()
        return "is gone for good"

    def _recount(self) -> None:
        self.promises.recount([station.replica for station in self.stations])

    def _back_up(self, station: Station, _: Seeded) -> str:
        path = self.directory / f"backup-{len(self._backups)}.db"
        with self._another_replica(station):
            station.reopen(copying_to=path)
        if not path.exists():
            return "could not be closed, to be copied"
        self._backups.append(path)
        return f"is copied to {path.name}"

    def _fall_back(self, station: Station, seeded: Seeded) -> str:
        if not self._backups:
            return "has no copy to fall back to"
        path = seeded.choice(self._backups)
        with self._another_replica(station):
            station.fall_back(path)
        self._recount()
        return f"falls back to {path.name}"

    def _double(self, _: Station, seeded: Seeded) -> str:
        if not self._backups or len(self.stations) >= self.plan.most_devices:
            return "has no double"
        path = seeded.choice(self._backups)
        station = self._add()
        station.fall_back(path)
        return f"{station} is made of {path.name}"

    def _go_away(self, station: Station, seeded: Seeded) -> str:
        with self._another_replica(station):
            station.away_until = self.at + 2 + seeded.below(_MOST_STEPS_AWAY)
        return f"is switched off for {station.away_until - self.at} steps"

    def _jump(self, station: Station, seeded: Seeded) -> str:
        most = max(self.plan.jump_ms >> seeded.below(20), 1)
        by_ms = seeded.below(2 * most + 1) - most
        station.system.advance(by_ms)
        return f"its clock jumps by {by_ms} ms"

    # What happens to disks.

    def _lose_power(self, station: Station, seeded: Seeded) -> str:
        return self._fail(station, seeded, DiskFault.POWER, lasts=False)

    def _fill_disk(self, station: Station, seeded: Seeded) -> str:
        return self._fail(station, seeded, DiskFault.FULL, lasts=True)

    def _break_disk(self, station: Station, seeded: Seeded) -> str:
        return self._fail(station, seeded, DiskFault.BROKEN, lasts=not seeded.below(2))

    def _cut_short(self, station: Station, seeded: Seeded) -> str:
        return self._fail(station, seeded, DiskFault.SHORT, lasts=False)

    def _fail(self, station: Station, seeded: Seeded, fault: DiskFault, *, lasts: bool) -> str:
        after = seeded.below(self.plan.within_operations)
        station.disk.fail(fault, after=after, lasts=lasts)
        words = f"its disk will have a fault after {after} operations: {fault.value}"
        if not lasts:
            return words
        station.ill_until = self.at + 1 + seeded.below(_MOST_STEPS_ILL)
        return f"{words}, for {station.ill_until - self.at} steps"

    def _inspect(self, station: Station, _: Seeded) -> str:
        assert_sound(station.replica)
        self.promises.assert_has(station.replica, station.own)
        return "is looked at, and is sound"


_VERBS: Final[dict[str, Callable[[Simulation, Station, Seeded], str]]] = {
    "send": Simulation._send,
    "edit": Simulation._edit,
    "react": Simulation._react,
    "delete": Simulation._delete,
    "restore": Simulation._restore,
    "erase": Simulation._erase,
    "rename": Simulation._rename,
    "say": Simulation._say,
    "expire": Simulation._expire,
    "ingest": Simulation._ingest,
    "connect": Simulation._connect,
    "stay": Simulation._stay,
    "carry": Simulation._carry,
    "stall": Simulation._stall,
    "partition": Simulation._partition,
    "reopen": Simulation._reopen,
    "kill": Simulation._kill,
    "join": Simulation._join,
    "leave": Simulation._leave,
    "back_up": Simulation._back_up,
    "fall_back": Simulation._fall_back,
    "double": Simulation._double,
    "go_away": Simulation._go_away,
    "jump": Simulation._jump,
    "lose_power": Simulation._lose_power,
    "fill_disk": Simulation._fill_disk,
    "break_disk": Simulation._break_disk,
    "cut_short": Simulation._cut_short,
    "inspect": Simulation._inspect,
}
