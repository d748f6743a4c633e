"""A year of three devices at one mailbox, simulated: what lies there at the end, what they ask, and what that costs.

A phone, a tablet and a laptop write every day; what one writes is put at once, and the others look a while later. A
tenth of it is deleted, half of that erased for good. Checkpoints are made, and what they replace goes, as it falls due
by a clock that is set. Nothing is measured in time, so a busy machine says the same.

How often a device looks for what others left depends on how long it is in use. What a look asks that finds nothing is
counted, and multiplied.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgsync
from benchmarks.figure import MEGABYTES, Bar, Figure
from benchmarks.history import remove
from benchmarks.posting import REQUESTS, Counting
from benchmarks.vocabulary import texts
from msgsync import limits
from msgsync.aio import Timing
from msgsync.testing import SimulatedSystem

DAY_MS: Final = 86_400_000
_DAYS: Final = 365
_MONTH_DAYS: Final = 30
_A_DAY: Final = 6
"""Messages of each device."""
_DELETED: Final = 0.1
_HOURS: Final = {"phone": 3.0, "tablet": 1.0, "laptop": 8.0}
"""In use a day, looking into the mailbox every `Timing.poll_s` seconds or a little sooner."""
_MILLION: Final = 1_000_000

# S3 Standard, US East (N. Virginia), first tier, in US dollars: https://aws.amazon.com/s3/pricing/, as it was quoted in
# public on 2026-11-26.
STORED_GB_MONTH: Final = 0.023
PUT_LIST: Final = 0.005 / 1000
GET: Final = 0.0004 / 1000
RECEIVED_GB: Final = 0.09
"""The first 100 GB a month are free; here every byte is paid for. What is put costs no transfer, deleting nothing."""
_GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Year:
    """What came of it."""

    messages: int
    """In the end, without those that were erased."""
    stored_bytes: int
    """What lies in the mailbox in the end."""
    live_bytes: int
    """What the documents take in the end, as a device stores them."""
    most_objects: int
    """That ever lay there at the end of a day."""
    asked: Counter[str]
    """In the last 30 days."""
    received_bytes: int
    """In the last 30 days."""
    idle: Counter[str]
    """What a look asks that finds nothing."""


def measure(directory: Path) -> Iterator[Figure]:
    """The year, and a month's bill."""
    year = live(directory)
    yield Figure(
        "upkeep",
        f"a mailbox after a year of {year.messages:,} messages (beside what is live)",
        MEGABYTES,
        [year.stored_bytes / 1e6],
        [year.live_bytes / 1e6],
        Bar(3, "at most"),
    )
    yield Figure("upkeep", "  most objects", "", [year.most_objects])
    sent = _A_DAY * len(_HOURS) * _MONTH_DAYS
    for verb in ("put", "get", "list", "delete"):
        label = f"  {verb} for each message sent, beside looks for news"
        yield Figure("upkeep", label, REQUESTS, [year.asked[verb] / sent])
    yield from _bill(year)


def _bill(year: Year) -> Iterator[Figure]:
    """A month of a mailbox with a million messages and three devices that are used so, in US cents."""
    scale = _MILLION / year.messages
    stored_bytes, received_bytes = scale * year.stored_bytes, scale * year.received_bytes
    # Whoever makes a checkpoint, once a day at most, puts each object of it and reads it again.
    remade = _MONTH_DAYS * stored_bytes / limits.BATCH_FILL_BYTES
    asked = year.asked
    puts, gets = asked["put"] + asked["list"] + remade, asked["get"] + remade
    poll_s = Timing().poll_s * 0.75
    hours = sum(_HOURS.values())
    looks = hours * 3600 / poll_s * _MONTH_DAYS
    parts = {
        "  what lies there": stored_bytes / _GB * STORED_GB_MONTH,
        "  requests of what is put, read and replaced": puts * PUT_LIST + gets * GET,
        "  bytes that are read": received_bytes / _GB * RECEIVED_GB,
        f"  looks for news, one in {poll_s:.0f} s, {hours:.0f} h a day": looks
        * (year.idle["list"] * PUT_LIST + year.idle["get"] * GET),
    }
    label = "a million messages in S3, three devices, a month"
    yield Figure("upkeep", label, "US cents", [100 * sum(parts.values())])
    for label, dollars in parts.items():
        yield Figure("upkeep", label, "US cents", [100 * dollars])


def live(directory: Path, days: int = _DAYS) -> Year:
    """Live through a year, or so many days."""
    chance = random.Random("upkeep")
    words = texts(chance)
    systems = {name: SimulatedSystem(seed=name) for name in _HOURS}
    replicas = _devices(directory, systems)
    memory = msgsync.MemoryMailbox()
    box = Counting(memory)
    most = 0
    try:
        for day in range(days):
            if day == days - _MONTH_DAYS:
                box.asked.clear()
                box.received_bytes = 0
            for replica in replicas.values():
                for system in systems.values():
                    system.advance(DAY_MS // len(replicas))
                msgsync.sync(replica, box)
                for _ in range(_A_DAY):
                    _write(replica, chance, next(words))
                    msgsync.sync(replica, box)
            most = max(most, len(memory.list("log")))
        asked, received_bytes = Counter(box.asked), box.received_bytes
        for replica in (*replicas.values(), *replicas.values()):
            msgsync.sync(replica, box)
        box.asked.clear()
        phone = replicas["phone"]
        msgsync.sync(phone, box)
        with phone.reading() as store:
            live_bytes = int(store.database.one("select total(bytes) from documents")[0])
        return Year(
            phone.status().messages,
            sum(len(memory.get(one)) for one in memory.list("log") + memory.list("keys")),
            live_bytes,
            most,
            asked,
            received_bytes,
            Counter(box.asked),
        )
    finally:
        for replica in replicas.values():
            replica.close()


def _devices(directory: Path, systems: Mapping[str, SimulatedSystem]) -> dict[str, msgsync.Replica]:
    """New ones, each with a clock of its own, and five conversations."""
    replicas: dict[str, msgsync.Replica] = {}
    for name, system in systems.items():
        path = directory / f"upkeep {name}.db"
        remove(path)
        if replicas:
            replicas["phone"].new_device(path, system=system).close()
        replicas[name] = msgsync.open(path, author=name, durability="relaxed", system=system)
    for number in range(5):
        replicas["phone"].create_conversation(f"number {number}", id=f"number{number}")
    return replicas


def _write(replica: msgsync.Replica, chance: random.Random, text: str) -> None:
    """A message; now and then one of the last ones is deleted, for half of them at once and for good."""
    conversation = replica.conversation(f"number{chance.randrange(5)}")
    conversation.send(text)
    if chance.random() < _DELETED:
        page = conversation.messages(limit=30)
        one = chance.choice(page[:])
        verb = conversation.erase if chance.random() < 0.5 else conversation.delete
        verb(one.id)
