"""What devices are said to have is never too much, and is enough once they have met; no wrong clock erases anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.testing import SimulatedNetwork, SimulatedSystem, assert_claims_hold, assert_sound
from msgsync.testing.machine import fast_directory
from tests.property.world import fewer

DAY_MS = 86_400_000
YEARS_MS = 3652 * DAY_MS
COUNT = 3


@dataclass
class Places:
    """Three devices of an account, each with a clock of its own that may be wrong."""

    directory: Path
    systems: list[SimulatedSystem] = field(default_factory=list)
    replicas: list[msgsync.Replica] = field(default_factory=list)
    wrong_ms: list[int] = field(default_factory=lambda: [0] * COUNT)
    now_ms: int = 1_706_745_000_000
    """The true time."""
    deleted_at: dict[str, int] = field(default_factory=dict)
    """True time at which a message was last deleted."""
    erased: set[str] = field(default_factory=set)
    """Those that a person erased."""
    gone: set[str] = field(default_factory=set)
    """Those that were erased by themselves."""
    heard_at: list[list[int]] = field(default_factory=lambda: [[0] * COUNT for _ in range(COUNT)])
    """By two devices: the true time of the last word of the second one that reached the first."""
    copies: int = 0

    def __post_init__(self) -> None:
        for at in range(COUNT):
            self.systems.append(SimulatedSystem(f"device {at}", now_ms=self.now_ms))
            self.replicas.append(self.open(at, self.directory / f"{at}.db"))
        family = self.replicas[0].create_conversation(id="family")
        for number in range(4):
            family.send(f"number {number}")
        self.sync_all()

    def open(self, at: int, path: Path) -> msgsync.Replica:
        system = self.systems[at]
        if self.replicas and not path.exists():
            return self.replicas[0].new_device(path, system=system)
        return msgsync.open(path, author="ann", durability="relaxed", system=system)

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.set_clocks()

    def set_clocks(self) -> None:
        for system, wrong_ms in zip(self.systems, self.wrong_ms, strict=True):
            system.set(max(self.now_ms + wrong_ms, 0))

    def sync(self, one: int, other: int, frames: int | None = None, seed: int = 0) -> bool:
        link = SimulatedNetwork(seed).sync(self.replicas[one], self.replicas[other], frames=frames)
        if link.broken:
            return False
        word = list(map(max, self.heard_at[one], self.heard_at[other]))
        word[one] = word[other] = self.now_ms
        self.heard_at[one], self.heard_at[other] = list(word), word
        for claimant, device in ((one, other), (other, one)):
            with self.replicas[device].reading() as store:
                identity = store.identity
            with self.replicas[claimant].reading() as store:
                assert store.standings()[identity.device.raw].store_id == identity.store_id
        return True

    def sync_all(self) -> None:
        for one, other in permutations(range(COUNT), 2):
            self.sync(one, other)

    def begin_anew(self, at: int, copy: Path) -> None:
        """Put a copy of a device's file in its place, as `msgsync.restore` does."""
        self.replicas[at].close()
        self.copies += 1
        path = self.directory / f"{at} copied {self.copies}.db"
        shutil.copyfile(copy, path)
        with self.open(at, path) as restored, restored.writing() as store:
            store_id = self.systems[at].random_bytes(16)
            store.database.execute("update meta set value = ? where name = 'store_id'", (store_id,))
        self.replicas[at] = self.open(at, path)

    def keep_copy(self, at: int) -> Path:
        path = self.replicas[at].path
        self.replicas[at].close()
        self.copies += 1
        copy = self.directory / f"{at} kept {self.copies}.db"
        shutil.copyfile(path, copy)
        self.replicas[at] = self.open(at, path)
        return copy

    def act(self, at: int, act: str, pick: int) -> None:
        replica = self.replicas[at]
        family = replica.conversation("family")
        page = family.messages(limit=1000, include_deleted=True)
        live = [each for each in page if not each.deleted]
        deleted = [each for each in page if each.deleted]
        match act:
            case "send":
                family.send(f"from {at}")
            case "rename":
                family.rename(f"title {pick}")
            case "edit" if live:
                family.edit(live[pick % len(live)], f"edited on {at}")
            case "delete" if live:
                one = live[pick % len(live)]
                if not any(is_deleted(each, str(one.id)) for each in self.replicas):
                    self.deleted_at[str(one.id)] = self.now_ms
                else:  # retention runs from the first deletion where nobody knows of this one yet
                    self.deleted_at.setdefault(str(one.id), self.now_ms)
                family.delete(one)
            case "restore" if deleted:
                family.restore(deleted[pick % len(deleted)])
            case "erase" if live:
                one = live[pick % len(live)]
                family.erase(one)
                self.erased.add(str(one.id))
            case "expire":
                replica.erase_expired()
            case "retire":
                replica.retire(self.replicas[(at + 1 + pick % 2) % COUNT].device)
            case "freeze":
                replica.compact()

    def assert_claims_hold(self) -> int:
        return sum(assert_claims_hold(replica, self.replicas) for replica in self.replicas)

    def assert_nothing_went_early(self) -> None:
        """Whatever is erased and nobody erased was deleted for long enough, by the true time, a day or two aside.

        And every device was heard of since then, by one that has erased it, or it was deleted for twice as long.
        """
        for id, at_ms in self.deleted_at.items():
            if id in self.erased | self.gone:
                continue
            erasers = [at for at in range(COUNT) if is_erased(self.replicas[at], id)]
            if not erasers:
                continue
            self.gone.add(id)
            days = (self.now_ms - at_ms) / DAY_MS
            assert days >= 28, f"{id} was erased after {days} days"
            if days < 58:
                assert any(min(self.heard_at[at]) >= at_ms + 28 * DAY_MS for at in erasers), (
                    f"{id} was erased after {days} days, and not everybody was heard of since it expired"
                )


def is_deleted(replica: msgsync.Replica, id: str) -> bool:
    return any(str(each.message.id) == id for each in replica.recently_deleted())


def is_erased(replica: msgsync.Replica, id: str) -> bool:
    try:
        replica.message(id)
    except msgsync.ErasedMessage:
        return True
    except msgsync.UnknownMessage:
        return False
    return False


@contextmanager
def places() -> Iterator[Places]:
    with fast_directory() as directory:
        here = Places(Path(directory))
        try:
            yield here
        finally:
            for replica in here.replicas:
                replica.close()


devices = st.integers(0, COUNT - 1)
picks = st.integers(0, 9)
ACTS = ("send", "edit", "rename", "delete", "restore", "erase", "retire", "freeze")
steps = st.one_of(
    st.tuples(st.sampled_from(ACTS), devices, picks),
    st.tuples(st.just("sync"), devices, picks),
    st.tuples(st.just("sync"), devices, picks),
    st.tuples(st.just("break"), devices, st.integers(0, 12)),
    st.tuples(st.sampled_from(("keep", "bring back", "reopen")), devices, picks),
)


@settings(fewer(1))
@given(st.lists(steps, max_size=30), st.integers(0, 99))
def test_nothing_is_said_of_a_device_that_is_not_so(history, seed):
    with places() as here:
        kept: list[tuple[int, Path]] = []
        for act, at, pick in history:
            other = (at + 1 + pick % (COUNT - 1)) % COUNT
            match act:
                case "sync":
                    here.sync(at, other, seed=seed)
                case "break":
                    here.sync(at, other, frames=pick, seed=seed)
                case "keep":
                    kept.append((at, here.keep_copy(at)))
                case "bring back" if kept:
                    here.begin_anew(*kept[pick % len(kept)])
                case "reopen":
                    here.replicas[at].close()
                    here.replicas[at] = here.open(at, here.replicas[at].path)
                case _:
                    here.act(at, act, pick)
            here.assert_claims_hold()
        here.sync_all()
        here.sync_all()
        for replica in here.replicas:
            assert_sound(replica)
            assert not replica.status().cloned
            assert all(each.behind == 0 and not each.has_more for each in replica.devices())
            assert not any(each.retired for each in replica.devices())
            assert replica.safe_to_remove(replica.device).safe
            assert replica.status().only_here == 0
            for change in replica.changes():
                if change.id is not None:
                    where = replica.where_is(change.id)
                    assert len(where.erased_on or where.devices) == COUNT
        here.assert_claims_hold()


late = st.one_of(
    st.tuples(st.sampled_from(("delete", "delete", "restore")), devices, picks),
    st.tuples(st.just("sync"), devices, picks),
    st.tuples(st.just("pass"), devices, st.sampled_from([1, 12, 24, 29 * 24, 31 * 24, 61 * 24])),
)
leaps = st.tuples(st.just("leap"), st.integers(1, COUNT), st.sampled_from([-YEARS_MS, 0, YEARS_MS]))
wrongs = st.tuples(
    st.just("wrong"),
    devices,
    st.sampled_from([-YEARS_MS, -45 * DAY_MS, -DAY_MS // 2, 0, 35 * DAY_MS, 70 * DAY_MS, YEARS_MS]),
)


def live_through(here: Places, history: list[tuple[str, int, int]]) -> None:
    for act, at, pick in history:
        match act:
            case "leap":
                here.wrong_ms = [
                    pick if each < at else here.wrong_ms[each] for each in range(COUNT)
                ]
                here.set_clocks()
            case "wrong":
                here.wrong_ms = [pick if each == at else 0 for each in range(COUNT)]
                here.set_clocks()
            case "pass":
                here.pass_time(pick * 3_600_000)
            case "sync":
                here.sync(at, (at + 1 + pick % (COUNT - 1)) % COUNT)
            case _:
                here.act(at, act, pick)
        here.assert_nothing_went_early()
        for each in range(COUNT):
            here.act(each, "expire", 0)
            here.assert_nothing_went_early()


@settings(fewer(1))
@given(st.lists(late | wrongs, max_size=30))
def test_one_clock_that_is_wrong_erases_nothing_early(history):
    with places() as here:
        live_through(here, history)


@settings(fewer(1))
@given(st.lists(late | leaps, max_size=30))
def test_clocks_that_leap_by_years_erase_nothing_early(history):
    with places() as here:
        live_through(here, history)


@settings(fewer(2))
@given(st.lists(late | wrongs, max_size=20))
def test_what_has_expired_is_erased_everywhere_once_all_were_heard(history):
    with places() as here:
        live_through(here, history)
        here.wrong_ms = [0] * COUNT
        here.set_clocks()
        here.sync_all()
        here.pass_time(31 * DAY_MS)
        here.sync_all()
        here.sync_all()
        for replica in here.replicas:
            assert replica.recently_deleted() == []
            assert_sound(replica)
