"""Very many small documents: conversations of 36 months, with five messages in each of a tenth of the months.

Reported, with nothing to reach: it is what costs by the document and not by the message. The whole is 10,000
conversations (``--conversations 10000``); by default there are fewer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgsync
from benchmarks import vocabulary
from benchmarks.figure import BYTES, MILLISECONDS, RATE, Figure
from benchmarks.history import remove
from benchmarks.workload import DAY_MS, ME
from msgsync.protocol.events import FirstScreen
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.transport import memory

_MONTHS: Final = 36
_SHARE: Final = 0.1
_EACH: Final = 5


def measure(directory: Path, end_ms: int, conversations: int) -> Iterator[Figure]:
    """Import it, fill an empty device in process, and meet again."""
    name = f"{conversations:,} sparse conversations:"
    paths = [directory / f"{side}.db" for side in ("sparse", "sparse-filled")]
    for path in paths:
        remove(path)
    history = list(_history(conversations, end_ms))
    with msgsync.open(paths[0], author=ME) as source:
        started = time.process_time()
        source.ingest(history)
        imported_s = time.process_time() - started
        documents = source.status().documents
        yield Figure(
            "sparse",
            f"{name} import ({documents:,} documents, CPU)",
            RATE,
            [len(history) / imported_s],
        )
        with source.new_device(paths[1], author=ME) as target:
            screen_ms, filled_s, wire_bytes = _fill(target, source)
            yield Figure("sparse", "  first screen (CPU)", MILLISECONDS, [screen_ms])
            yield Figure("sparse", "  fill, in process (CPU)", RATE, [len(history) / filled_s])
            yield Figure("sparse", "  bytes a message", BYTES, [wire_bytes / len(history)])
            source.conversation("sparse 0").send("one more")
            started = time.process_time()
            msgsync.sync(target, source)
            yield Figure(
                "sparse",
                "  meet again with one new message (CPU)",
                MILLISECONDS,
                [1000 * (time.process_time() - started)],
            )
            if source.digest != target.digest:
                raise RuntimeError("the two are not equal")
    for path in paths:
        remove(path)


def _fill(target: msgsync.Replica, source: msgsync.Replica) -> tuple[float, float, int]:
    screen_ms: list[float] = []
    started = time.process_time()

    def on_event(event: msgsync.Event) -> None:
        if isinstance(event, FirstScreen):
            screen_ms.append(1000 * (time.process_time() - started))

    session = Session(Exchange(target))
    memory.exchange(session, Session(Exchange(source)), on_event=on_event)
    taken_s = time.process_time() - started
    if not session.complete or len(screen_ms) != 1:
        raise RuntimeError("the exchange is not complete")
    return screen_ms[0], taken_s, session.bytes_sent + session.bytes_received


def _history(conversations: int, end_ms: int) -> Iterator[msgsync.Incoming]:
    rng = random.Random("sparse")
    texts = vocabulary.texts(rng)
    number = 0
    for conversation in range(conversations):
        for month in range(_MONTHS):
            if rng.random() >= _SHARE and month:  # each has something in the last month
                continue
            for each in range(_EACH):
                number += 1
                yield msgsync.Incoming(
                    f"sparse {conversation}",
                    ME if each % 2 else "Kim",
                    next(texts),
                    end_ms - month * 30 * DAY_MS - (_EACH - each) * 60_000 - conversation,
                    external_id=str(number),
                )
