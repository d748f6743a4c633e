"""What it costs to encrypt the whole file: an encrypted replica beside a plain one, written in turns."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import msgsync
from benchmarks import vocabulary
from benchmarks.appending import take_turns
from benchmarks.figure import BYTES, MILLISECONDS, RATE, Figure
from benchmarks.history import History, remove, size_bytes, turns
from benchmarks.workload import ME

_WORDS: Final = "correct horse battery staple"


def measure(history: History) -> Iterator[Figure]:
    """Import, one append, and what the file takes; nothing where SQLite cannot encrypt."""
    encrypted, plain = history.directory / "encrypted.db", history.directory / "plain.db"
    rates: tuple[list[float], list[float]] = ([], [])
    taken_ms: tuple[list[float], list[float]] = ([], [])
    for _ in turns():
        for path in (encrypted, plain):
            remove(path)
        with ExitStack() as stack:
            try:
                first = msgsync.open(encrypted, author=ME, passphrase=_WORDS, encrypted=True)
            except msgsync.EncryptionMissing as error:
                print(f"row encrypt: {error}", file=sys.stderr)
                return
            replicas = [stack.enter_context(first)]
            replicas.append(stack.enter_context(msgsync.open(plain, author=ME)))
            for rate, taken_s in zip(rates, _import(history, replicas), strict=True):
                rate.append(history.messages / taken_s)
            conversations = [one.conversation(history.workload.largest) for one in replicas]
            texts = vocabulary.texts(random.Random("append"))
            take_turns([one.send for one in conversations], texts, taken_ms)
    yield Figure("encrypt", "import into an encrypted file, beside a plain one", RATE, *rates)
    yield Figure("encrypt", "  one durable append, p50", MILLISECONDS, *taken_ms)
    ours, theirs = (size_bytes(path) / history.messages for path in (encrypted, plain))
    yield Figure("encrypt", "  file size a message", BYTES, [ours], [theirs])
    for path in (encrypted, plain):
        remove(path)


def _import(history: History, replicas: list[msgsync.Replica]) -> list[float]:
    """Seconds that each took, a chunk each in turns."""
    taken_s = [0.0] * len(replicas)
    for number, chunk in enumerate(history.workload.chunks()):
        for turn in range(len(replicas)):
            chosen = (number + turn) % len(replicas)
            started = time.perf_counter()
            replicas[chosen].ingest(chunk)
            taken_s[chosen] += time.perf_counter() - started
    return taken_s
