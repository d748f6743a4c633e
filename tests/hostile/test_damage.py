"""A file that is damaged anywhere: a check says so or nothing is wrong; repaired and synced, all is as it was."""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from pathlib import Path

import pytest

import msgsync
from msgsync import Edit, Incoming, MsgSyncError, Reaction, Replica
from tests.unit.machine import START_MS, Machine

PAGE = 4096
TIMES = 12
"""Damaged files a test."""
OLD_MS = START_MS - 90 * 86_400_000


def replica(path: Path, machine: Machine, **options: object) -> Replica:
    return Replica(path, author="ann", durability="relaxed", system=machine, **options)  # type: ignore[arg-type]


def fill(phone: Replica) -> None:
    """A little of everything: every kind of entry, live and frozen documents, many and few in a pack."""
    family = phone.create_conversation("Family", id="family")
    for n in range(40):
        one = family.send(f"hello {n} " + "word " * (n % 7))
        if n % 5 == 0:
            family.edit(one, f"edited {n}")
        if n % 4 == 0:
            family.react(one, "👍")
        if n % 9 == 0:
            family.delete(one)
    family.mark_read()
    family.pin()
    family.erase(family.send("gone"))
    own = family.send("linked")
    family.link(own, "echo", START_MS + 40)
    phone.ingest(
        [
            Incoming(f"c{n % 5}", "ben", f"text {n} of many", OLD_MS - n * 43_200_000, str(n))
            for n in range(200)
        ]
    )
    phone.ingest(
        [
            Incoming(
                "irc",
                "cy",
                f"irc {n}",
                START_MS - n * 1000,
                external_id=f"i{n}",
                edits=(Edit("x", START_MS),) if n % 3 == 0 else (),
                reactions=(Reaction("ann", "y", START_MS),) if n % 7 == 0 else (),
                deleted_ms=START_MS if n % 11 == 0 else None,
            )
            for n in range(60)
        ]
    )


def shown(one: Replica) -> object:
    """All that an app can see of messages."""
    listed = one.conversations(include_deleted=True)
    messages = {line.id: tuple(one.conversation(line.id).messages(limit=10_000)) for line in listed}
    return listed, messages, one.recently_deleted(), one.status().messages, one.digest


class Pair:
    """The files of two devices that hold the same, and what they show."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine()
        self.folder = folder
        with closing(replica(folder / "phone", self.machine)) as phone:
            fill(phone)
            self.account = phone.account
            with closing(replica(folder / "tablet", self.machine, member=phone)) as tablet:
                assert msgsync.sync(phone, tablet).complete
                self.shown = shown(phone)
                assert shown(tablet) == self.shown
        self.raw = (folder / "phone").read_bytes()

    def damaged(self, raw: bytes) -> Path:
        """The path of phone's file with these bytes."""
        for left in self.folder.glob("damaged*"):
            left.unlink()
        path = self.folder / "damaged"
        path.write_bytes(raw)
        return path

    def tablet(self) -> Replica:
        """The other device, as it was."""
        shutil.copy(self.folder / "tablet", self.folder / "damaged.peer")
        return replica(self.folder / "damaged.peer", self.machine)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"))


def flip(raw: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]


def noise(raw: bytes, draw: random.Random) -> bytes:
    at, length = draw.randrange(len(raw)), draw.choice([2, 8, 500])
    return raw[:at] + draw.randbytes(len(raw[at : at + length])) + raw[at + length :]


def zero(raw: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(raw) // PAGE) * PAGE
    return raw[:at] + bytes(PAGE) + raw[at + PAGE :]


def swap(raw: bytes, draw: random.Random) -> bytes:
    """A page that was written to another page's place."""
    at, other = (draw.randrange(len(raw) // PAGE) * PAGE for _ in range(2))
    return raw[:at] + raw[other : other + PAGE] + raw[at + PAGE :]


def cut(raw: bytes, draw: random.Random) -> bytes:
    return raw[: draw.randrange(1, len(raw))]


def is_seen(path: Path, pair: Pair) -> bool:
    """Whether opening or checking says that something is wrong; if not, all has to be as it was."""
    try:
        with closing(replica(path, pair.machine)) as one:
            if not one.check().ok:
                return True
            assert shown(one) == pair.shown
            return False
    except MsgSyncError:
        return True


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("damage", [flip, noise, zero, swap, cut])
def test_damage_is_said_or_changes_nothing_and_repair_and_a_peer_bring_all_back(pair, damage, part):
    for number in range(TIMES):
        seed = f"{damage.__name__} {part} {number}"
        path = pair.damaged(damage(pair.raw, random.Random(seed)))
        if not is_seen(path, pair):
            continue
        with closing(pair.tablet()) as tablet:
            report = msgsync.repair(path, tablet, system=pair.machine)
            assert report.damaged, seed
            assert report.synced is not None
            assert report.synced.complete, seed
            with closing(replica(path, pair.machine)) as repaired:
                assert shown(repaired) == pair.shown, seed
                assert repaired.check().ok, seed
                assert shown(tablet) == pair.shown, seed


@pytest.mark.parametrize("part", range(4))
def test_what_is_whole_is_never_lost_though_there_is_no_peer(pair, part):
    """With one page lost in a file of many, most is there twice; what is missing is named."""
    for number in range(TIMES):
        seed = f"alone {part} {number}"
        path = pair.damaged(zero(pair.raw, random.Random(seed)))
        if not is_seen(path, pair):
            continue
        report = msgsync.repair(path, system=pair.machine)
        with closing(replica(path, pair.machine)) as repaired:
            assert repaired.check().ok, seed
            now = shown(repaired)
        if report.complete:
            assert now == pair.shown, seed
        else:
            missing = sum(lost.messages for lost in report.lost)
            assert now[3] + missing >= pair.shown[3], seed  # type: ignore[index]
