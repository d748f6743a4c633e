"""What growth comes to: freezing, erasing everything, very many openings, very many read marks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgsync
from benchmarks.figure import BYTES, RATE, Bar, Figure
from benchmarks.history import History, remove, size_bytes
from benchmarks.workload import ME

_OPENINGS: Final = 2_000
_MARKS: Final = 10_000
_MARKS_EACH: Final = 40


def measure_freezing(history: History) -> Iterator[Figure]:
    """Messages frozen a second: every month anew, after one edit in each."""
    path = _copy(history)
    with msgsync.open(path, author=ME, durability="relaxed") as replica:
        _edit_each_month(replica)
        started = time.process_time()
        report = replica.compact()
        taken_s = time.process_time() - started
        yield Figure(
            "freeze",
            f"freeze {report.frozen:,} documents again, CPU",
            RATE,
            [history.messages / taken_s],
        )
    remove(path)


def measure_erasing(history: History) -> Iterator[Figure]:
    """What is left of a message that was erased: in its document, and in the file."""
    path = _copy(history)
    with msgsync.open(path, author=ME, durability="relaxed") as replica:
        for line in replica.conversations():
            conversation = replica.conversation(line.id)
            page = conversation.messages(limit=history.messages, include_deleted=True)
            conversation.erase(*[message.id for message in page])
        replica.compact()
        left = _document_bytes(replica)
    yield Figure(
        "erase",
        "left in the document of an erased message",
        BYTES,
        [left / history.messages],
        bar=Bar(14, "at most", "ours", from_messages=100_000),
    )
    yield Figure(
        "erase",
        "  in the file, with all that is there",
        BYTES,
        [size_bytes(path) / history.messages],
        [size_bytes(history.replica_path) / history.messages],
    )
    remove(path)


def measure_openings(directory: Path) -> Iterator[Figure]:
    """A month written by thousands of openings, beside the same month written by one."""
    sizes = []
    for openings in (_OPENINGS, 1):
        path = directory / f"openings-{openings}.db"
        remove(path)
        with _open(path) as replica:
            replica.create_conversation("Family", id="family")
        for opening in range(openings):
            with _open(path) as replica:
                family = replica.conversation("family")
                for number in range(_OPENINGS // openings):
                    family.send(f"message {opening + number} of a month")
        with _open(path) as replica:
            sizes.append(_document_bytes(replica) / _OPENINGS)
        remove(path)
    yield Figure(
        "openings",
        f"a month written by {_OPENINGS:,} openings: bytes a message",
        BYTES,
        sizes[:1],
        sizes[1:],
    )


def measure_marks(directory: Path) -> Iterator[Figure]:
    """A head with thousands of read marks, a few dozen by each opening."""
    path = directory / "marks.db"
    remove(path)
    with _open(path) as replica:
        replica.create_conversation("Family", id="family").send("read me")
        before = _document_bytes(replica)
    for _ in range(_MARKS // _MARKS_EACH):
        with _open(path) as replica:
            family = replica.conversation("family")
            for _ in range(_MARKS_EACH // 2):
                family.mark_unread()
                family.mark_read()
    with _open(path) as replica:
        yield Figure(
            "marks",
            f"a head after {_MARKS:,} read marks, beside a new one",
            BYTES,
            [_document_bytes(replica)],
            [before],
        )
    remove(path)


def _open(path: Path) -> msgsync.Replica:
    return msgsync.open(path, author=ME, durability="relaxed")


def _copy(history: History) -> Path:
    path = history.directory / "compacted.db"
    remove(path)
    shutil.copyfile(history.replica_path, path)
    return path


def _edit_each_month(replica: msgsync.Replica) -> None:
    for line in replica.conversations():
        conversation = replica.conversation(line.id)
        before, month = None, ""
        while page := conversation.messages(limit=500, before=before):
            for message in reversed(page):
                at = time.strftime("%Y-%m", time.gmtime(message.sent_ms / 1000))
                if at != month:
                    month = at
                    conversation.edit(message.id, f"{message.text} (mended)")
            before = page[0].id


def _document_bytes(replica: msgsync.Replica) -> int:
    """How long the stored forms of all documents are, before they are compressed."""
    with replica.reading() as store:
        total = store.database.one("select total(bytes) from documents")[0]
    return int(total)
