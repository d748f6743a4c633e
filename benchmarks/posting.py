"""Fill an empty device from a folder, in a process of its own; the same over TCP beside it.

And what is asked of a mailbox: for a first screen, of a long history beside a short one, and for a lone message.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgsync
import msgsync.aio
from benchmarks import bare, process
from benchmarks.figure import BYTES, MILLISECONDS, RATE, Bar, Figure
from benchmarks.filling import fills
from benchmarks.history import History, remove, turns
from benchmarks.workload import ME
from msgsync.mailbox.carrying import perform
from msgsync.protocol.courier import Courier
from msgsync.replica.mailing import Mailing

REQUESTS = "requests"


@dataclass
class Counting:
    """A mailbox that counts what it is asked, and how many bytes go there and come from it."""

    mailbox: msgsync.Mailbox
    asked: Counter[str] = field(default_factory=Counter)
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def address(self) -> str:
        """See `Mailbox.address`."""
        return self.mailbox.address

    def put(self, name: str, body: bytes) -> None:
        """See `Mailbox.put`."""
        self.asked["put"] += 1
        self.sent_bytes += len(body)
        self.mailbox.put(name, body)

    def get(self, name: str) -> bytes:
        """See `Mailbox.get`."""
        self.asked["get"] += 1
        body = self.mailbox.get(name)
        self.received_bytes += len(body)
        return body

    def list(self, folder: str) -> list[str]:
        """See `Mailbox.list`."""
        self.asked["list"] += 1
        return self.mailbox.list(folder)

    def delete(self, name: str) -> None:
        """See `Mailbox.delete`."""
        self.asked["delete"] += 1
        self.mailbox.delete(name)


@cache
def folder_of(history: History) -> Path:
    """A folder in which the history lies."""
    folder = history.directory / "mailbox"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with msgsync.open(history.replica_path, author=ME) as replica:
        if not msgsync.sync(replica, folder.as_uri()).complete:
            raise RuntimeError("the history was not put into the folder")
    return folder


def measure(history: History, short: History) -> Iterator[Figure]:
    """All of it."""
    yield from _filling(history)
    yield from _screen(history, short)
    yield from _lone(history)


def _filling(history: History) -> Iterator[Figure]:
    folder = folder_of(history)
    over_tcp = fills(history).replicas
    rates, sizes = [], []
    path = history.directory / "posted.db"
    for _ in turns():
        remove(path)
        with msgsync.open(history.replica_path) as replica:
            replica.new_device(path, author=ME).close()
        said = process.run("posting", str(path), folder.as_uri())
        if said["messages"] < history.messages:
            raise RuntimeError(f"of {history.messages} messages {said['messages']} arrived")
        rates.append(history.messages / said["seconds"])
        sizes.append(said["bytes"] / history.messages)
        remove(path)
    yield Figure(
        "mailbox",
        "fill an empty replica from a folder (beside TCP)",
        RATE,
        rates,
        [history.messages / fill.seconds for fill in over_tcp],
        Bar(0.8, "at least", from_messages=100_000),
    )
    yield Figure(
        "mailbox",
        "  bytes a message (beside TCP)",
        BYTES,
        sizes,
        [fill.wire_bytes / history.messages for fill in over_tcp],
    )


def _screen(history: History, short: History) -> Iterator[Figure]:
    ours: list[tuple[float, int, int]] = []
    reference: list[tuple[float, int, int]] = []
    for _ in turns():
        for source, found in ((history, ours), (short, reference)):
            found.append(_until_screen(source))
    what = f"first screen from a folder (beside {short.messages:,} messages)"
    bars = Bar(2, "at most"), Bar(1.5, "at most"), Bar(1, "at most")
    names = (what, MILLISECONDS), ("  bytes until then", BYTES), ("  requests until then", REQUESTS)
    for number, (bar, (label, unit)) in enumerate(zip(bars, names, strict=True)):
        samples = [one[number] for one in ours]
        yield Figure("mailbox", label, unit, samples, [one[number] for one in reference], bar)


def _until_screen(history: History) -> tuple[float, int, int]:
    """Milliseconds of processor time, bytes, and requests until a first screen is here."""
    path = history.directory / "screen.db"
    remove(path)
    with msgsync.open(history.replica_path, author=ME) as source:
        source.new_device(path, author=ME).close()
    box = Counting(msgsync.open_mailbox(folder_of(history).as_uri()))
    screens: list[msgsync.Event] = []

    def hear(event: msgsync.Event) -> None:
        if isinstance(event, msgsync.FirstScreen):
            screens.append(event)

    with msgsync.open(path, author=ME) as target:
        started = time.process_time()
        errand = Courier(Mailing(target, box.address), hear).run()
        request = next(errand)
        while not screens:
            try:
                answer = perform(box, request)
            except msgsync.NoSuchObject as error:
                request = errand.throw(error)
            else:
                request = errand.send(answer)
        elapsed_ms = 1000 * (time.process_time() - started)
        errand.close()
    remove(path)
    return elapsed_ms, box.received_bytes, box.asked.total()


def _lone(history: History) -> Iterator[Figure]:
    """One message from one device to another, in a folder of its own: what both ask."""
    folder = history.directory / "lone"
    folder.mkdir(exist_ok=True)
    box = Counting(msgsync.open_mailbox(folder.as_uri()))
    requests, sizes = [], []
    for name in ("lone one.db", "lone other.db"):
        remove(history.directory / name)
    with (
        msgsync.open(history.directory / "lone one.db", author=ME) as one,
        one.new_device(history.directory / "lone other.db", author=ME) as other,
    ):
        family = one.create_conversation("Family")
        for replica in (one, other, one, other):
            msgsync.sync(replica, box)
        for number in range(5):
            box.asked.clear()
            box.received_bytes = box.sent_bytes = 0
            family.send(f"Dinner at {number}?")
            msgsync.sync(one, box)
            msgsync.sync(other, box)
            requests.append(box.asked.total())
            sizes.append(box.sent_bytes)
    yield Figure(
        "mailbox",
        "requests for a lone message, both devices",
        REQUESTS,
        requests,
        bar=Bar(6, "at most", of="ours"),
    )
    yield Figure("mailbox", "  bytes put", BYTES, sizes, bar=Bar(1024, "at most", of="ours"))


async def _sync(replica: msgsync.Replica, address: str) -> msgsync.SyncReport:
    return await msgsync.aio.sync(replica, address)


if __name__ == "__main__":
    bare.take(_sync, *sys.argv[1:])
