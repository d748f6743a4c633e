"""What the processes do that are killed. Each says what it is about to do, does it, and says that it is done.

A line is on its way out of the process as soon as it is said (`os.write` into a file), so a kill takes none of them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import msgsync
from msgsync import Incoming, Replica, limits
from msgsync.importers import jsonlines
from tests.fuzz.worker import bound


class Voice:
    """Where a program says what it does."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: object) -> None:
        os.write(self._handle, json.dumps(words).encode() + b"\n")

    @contextmanager
    def doing(self, *words: object) -> Iterator[None]:
        """Say it before and after."""
        self.say("will", *words)
        yield
        self.say("done", *words)


def started(replica: Replica, ready: Connection) -> None:
    """Tell the parent that from now on a kill counts."""
    ready.send(str(replica.path))


def write(ready: Connection, voice: Path, path: Path, seed: int) -> None:
    """Every verb, in any order, for ever."""
    with msgsync.open(path, author="ann") as replica:
        started(replica, ready)
        writer = Writer(replica, Voice(voice), seed)
        while True:
            writer.step()


class Writer:
    """Writes into two conversations. What it says of a message is the text that it began with."""

    def __init__(self, replica: Replica, voice: Voice, seed: int) -> None:
        self._replica = replica
        self._voice = voice
        self._draw = Random(seed)
        self._seed = seed
        self._count = 0
        self._ids: dict[str, msgsync.MessageId] = {}
        """Of what this writer sent and did not erase."""

    def _new(self) -> str:
        self._count += 1
        return f"<{self._seed}.{self._count}>" + "x" * self._draw.choice((5, 50, 3000))

    def send(self) -> None:
        text = self._new()
        with self._voice.doing("send", text):
            self._ids[text] = self._replica.conversation("family").send(text).id

    def ingest(self) -> None:
        texts = [self._new() for _ in range(self._draw.choice((1, 5, 200)))]
        ms = time.time_ns() // 10**6 - 10**9
        with self._voice.doing("ingest", *texts):
            self._replica.ingest(Incoming("irc", "ben", one, ms, one[:40]) for one in texts)

    def step(self) -> None:
        """One verb."""
        verb = self._draw.choice(
            (*("send",) * 4, "ingest", "edit", "react", "delete", "restore", "erase")
        )
        if verb == "ingest":
            self.ingest()
        elif verb == "send" or not self._ids:
            self.send()
        else:
            text = self._draw.choice(list(self._ids))
            value = self._new() if verb == "edit" else "👍"
            values = (value,) if verb in ("edit", "react") else ()
            with self._voice.doing(verb, text, *values):
                getattr(self._replica.conversation("family"), verb)(self._ids[text], *values)
            if verb == "erase":
                del self._ids[text]


def content(seed: int, number: int) -> bytes:
    """A file: a small one, or of two chunks; some are equal."""
    draw = Random(f"{seed % 3}/{number % 4}")
    return draw.randbytes(draw.choice((10, 5000, limits.CHUNK_BYTES + 7)))


def attach(ready: Connection, voice: Path, path: Path, seed: int) -> None:
    """Send messages with files, erase some of them, look after the file, for ever."""
    with msgsync.open(path, author="ann") as replica:
        started(replica, ready)
        said, draw = Voice(voice), Random(seed)
        family = replica.conversation("family")
        sent: list[tuple[str, msgsync.MessageId]] = []
        for number in count():
            if draw.random() < 0.3 and sent:
                text, id = sent.pop(draw.randrange(len(sent)))
                with said.doing("erase", text):
                    family.erase(id)
            else:
                text = f"{seed}.{number}"
                with said.doing("send", text):
                    sent.append(
                        (text, family.send(text, attachments=[content(seed, number), b"same"]).id)
                    )
            replica.free_space()


def import_(ready: Connection, voice: Path, path: Path, source: Path, lines: int) -> None:
    """Import a file in transactions of so many lines, and say of each how many messages are in."""
    jsonlines.BATCH_LINES = lines  # type: ignore[misc]  # smaller: more moments
    with msgsync.open(path, author="ann") as replica:
        started(replica, ready)
        said = Voice(voice)
        msgsync.import_jsonlines(
            replica, source, on_progress=lambda progress: said.say("imported", progress.messages)
        )


def compact(ready: Connection, voice: Path, path: Path, seed: int) -> None:
    """Freeze what is due and shrink the file, and send a message whenever a step is done."""
    limits.FRAME_FILL_BYTES = 4096  # type: ignore[misc]  # smaller steps: more moments
    with msgsync.open(path, author="ann") as replica:
        started(replica, ready)
        said = Voice(voice)
        writer = Writer(replica, said, seed)

        def on_progress(progress: msgsync.CompactionProgress) -> None:
            said.say("frozen", progress.documents, progress.documents_total)
            writer.send()

        with said.doing("compact"):
            replica.compact(on_progress=on_progress)


def serve(ready: Connection, voice: Path, path: Path, seed: int) -> None:
    """Answer who comes, and send a message whenever an exchange has ended."""
    limits.UPDATES_FILL_BYTES = limits.FIRST_FILL_BYTES = 4096  # type: ignore[misc]  # more commits there
    with msgsync.open(path, author="ann") as replica:
        writer = Writer(replica, Voice(voice), seed)

        def on_event(event: msgsync.Event) -> None:
            if isinstance(event, msgsync.Completed | msgsync.Stopped):
                writer.send()

        msgsync.serve(replica, on_listening=ready.send, on_event=on_event)


def serve_in_little_memory(ready: Connection, voice: Path, path: Path, memory_bytes: int) -> None:
    """Answer who comes, whatever they say."""
    bound(memory_bytes)
    with msgsync.open(path, author="ann") as replica:
        msgsync.serve(replica, on_listening=ready.send)


def sync(ready: Connection, voice: Path, path: Path, seed: int, address: str) -> None:
    """Sync and send in turn until the other one is gone; say how many messages are here."""
    with msgsync.open(path, author="ann") as replica:
        started(replica, ready)
        said = Voice(voice)
        writer = Writer(replica, said, seed)
        try:
            while True:
                msgsync.sync(
                    replica, address, on_event=lambda _: said.say("has", replica.status().messages)
                )
                writer.send()
        except msgsync.PeerError:
            said.say("lost")


def history(path: Path, count: int) -> None:
    """Write a file to import: many conversations and months."""
    with path.open("w") as file:
        for number in range(count):
            line: dict[str, Any] = {
                "conversation": f"c{number % 40}", "author": f"author {number % 7}", "id": str(number),
                "text": f"number {number} of the history", "sent": 1_500_000_000_000 + number * 4_000_000,
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")
