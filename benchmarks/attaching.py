"""Files that go with messages: how fast they are taken in and fetched, what is stored of them, and letting them go."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgsync
from benchmarks.figure import MEGABYTES, MILLISECONDS, Bar, Figure
from benchmarks.history import turns
from benchmarks.workload import ME

_BYTES: Final = 100_000_000
_BLOCK: Final = 1 << 20
_SMALL: Final = 10_000
_EDITED_BYTES: Final = 20_000_000
_RATE: Final = "MB/s"


def measure(directory: Path) -> Iterator[Figure]:
    """Attach and fetch beside a plain copy with SHA-256, each in turns; memory; an edited file; 10,000 let go of."""
    folder = directory / "attachments"
    folder.mkdir()
    source = folder / "source"
    rates: dict[str, list[float]] = {"attach": [], "fetch": [], "copy": []}
    stored: list[float] = []
    overwritten: list[float] = []
    inserted: list[float] = []
    with (
        msgsync.open(folder / "phone.db", author=ME) as phone,
        phone.new_device(folder / "tablet.db") as tablet,
    ):
        files = phone.create_conversation("files")
        for turn, _ in enumerate(turns()):
            data = random.Random(turn).randbytes(_BYTES)
            source.write_bytes(data)
            rates["copy"].append(_rate(lambda: copy(source, folder / "copy")))
            rates["attach"].append(_rate(lambda: files.send("", attachments=[source])))
            rates["fetch"].append(_rate(lambda: msgsync.sync(tablet, phone)))
            stored.append(_stored_anew(phone, files, data + b"one more line\n"))
            part = data[:_EDITED_BYTES]
            middle = len(part) // 2
            files.send("", attachments=[part])
            written = part[:middle] + b"##" + part[middle + 2 :]
            overwritten.append(_stored_anew(phone, files, written))
            inserted.append(_stored_anew(phone, files, part[:middle] + b"##" + part[middle:]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    bar = Bar(0.4, "at least")
    copied = rates["copy"]
    yield Figure(
        "attach", "attach a file, beside a copy with SHA-256", _RATE, rates["attach"], copied, bar
    )
    yield Figure(
        "attach", "fetch it over a session in one process", _RATE, rates["fetch"], copied, bar
    )
    yield Figure("attach", "stored anew of a file with a line more at its end", "of it", stored)
    yield Figure("attach", "of one with two bytes changed in its middle", "of it", overwritten)
    yield Figure("attach", "of one with two bytes more in its middle", "of it", inserted)
    yield Figure(
        "attach", "most memory of the process, its file of 100 MB included", MEGABYTES, [peak]
    )
    yield _evicting(folder)


def _stored_anew(phone: msgsync.Replica, files: msgsync.Conversation, edited: bytes) -> float:
    """Send an edited file; return how much of it was not stored yet."""
    before = phone.free_space(preview=True).bytes_here
    files.send("", attachments=[edited])
    return (phone.free_space(preview=True).bytes_here - before) / len(edited)


def _evicting(folder: Path) -> Figure:
    """Let go of many small files that another device has promised to keep."""
    taken_ms = []
    with (
        msgsync.open(folder / "many.db", author=ME, durability="relaxed") as phone,
        phone.new_device(folder / "keeper.db") as keeper,
    ):
        files = phone.create_conversation("many")
        for start in range(0, _SMALL, 50):
            files.send("", attachments=[b"%d" % (start + n) for n in range(50)])
        phone.free_space()
        while phone.free_space(preview=True).bytes_free < phone.free_space(preview=True).bytes_here:
            msgsync.sync(phone, keeper)
        started = time.perf_counter()
        phone.free_space()
        taken_ms.append((time.perf_counter() - started) * 1000)
    return Figure("attach", "let go of 10,000 files", MILLISECONDS, taken_ms)


def _rate(work: object) -> float:
    assert callable(work)
    started = time.perf_counter()
    work()
    return _BYTES / (time.perf_counter() - started) / 1_000_000


def copy(source: Path, target: Path) -> None:
    """Copy a file with SHA-256, and bring it to the disk: once at the end, where each of our batches is."""
    hashed = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(_BLOCK):
            hashed.update(block)
            written.write(block)
        written.flush()
        os.fsync(written.fileno())
