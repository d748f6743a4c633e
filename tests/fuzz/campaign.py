"""Many inputs in processes of their own, so that one that kills its process is named and the others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import MEMORY_BYTES, SECONDS

ROOT: Final = Path(__file__).parents[2]
FINDINGS: Final = 20
"""So many of one process's inputs may fail before the rest of them is left."""
STALL_S: Final = 120
"""Of waiting for one input that takes no time of the processor either."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that broke something."""

    kind: str
    seed: int
    number: int
    how: str
    """In words: what its process died of."""
    output: str
    """What it said."""

    def __str__(self) -> str:
        again = (
            f"python -m tests.fuzz --kind {self.kind!r} --seed {self.seed} --number {self.number}"
        )
        return f"{self.kind}: {self.how}\n  again: {again}\n{self.output[-3000:]}"


@dataclass(slots=True)
class Tally:
    """How the inputs of one kind, or of one process, went."""

    inputs: int = 0
    taken: int = 0
    """Inputs that were not refused."""
    slowest_s: float = 0.0
    """What one of them took of the processor at most."""
    grown_bytes: int = 0
    """By how much a process grew at most."""
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.taken += other.taken
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.grown_bytes = max(self.grown_bytes, other.grown_bytes)
        self.seconds += other.seconds
        self.findings += other.findings


def shares(inputs: int, kinds: list[str]) -> dict[str, int]:
    """How many inputs of each kind, if there are so many in all."""
    whole = sum(KINDS[name].inputs for name in kinds)
    return {name: max(1, KINDS[name].inputs * inputs // whole) for name in kinds}


def campaign(
    counts: dict[str, int], seed: int, workers: int, on_done: Callable[[str, Tally], None]
) -> dict[str, Tally]:
    """Try so many inputs of each kind; ``on_done`` hears of each kind's sum whenever it has grown."""
    tallies = {name: Tally() for name in counts}
    with ThreadPoolExecutor(workers) as pool:
        jobs = [
            (name, pool.submit(trial, name, seed, first, count))
            for name, total in counts.items()
            for first, count in _chunks(total, KINDS[name].together)
        ]
        for name, job in jobs:
            tallies[name].add(job.result())
            on_done(name, tallies[name])
    return tallies


def _chunks(total: int, together: int) -> Iterator[tuple[int, int]]:
    for first in range(0, total, together):
        yield first, min(together, total - first)


def trial(
    kind: str, seed: int, first: int, count: int, *, program: str = "tests.fuzz.worker"
) -> Tally:
    """Try inputs from a number on, in as many processes as it takes."""
    tally = Tally()
    end = first + count
    begun = time.monotonic()
    with TemporaryDirectory() as folder:
        note = Path(folder, "note")
        while first < end and len(tally.findings) < FINDINGS:
            output = Path(folder, "output")
            arguments = [kind, str(seed), str(first), str(end - first), str(note)]
            note.write_bytes(first.to_bytes(8, "big"))
            how = _run(
                [sys.executable, "-X", "faulthandler", "-m", program, *arguments], note, output
            )
            said = output.read_text("utf-8", "replace")
            if how is None:
                done = json.loads(said.splitlines()[-1])
                tally.add(Tally(end - first, **done))
                break
            number = int.from_bytes(note.read_bytes(), "big")
            tally.inputs += number + 1 - first
            tally.findings.append(Finding(kind, seed, number, how, said))
            first = number + 1
    tally.seconds = time.monotonic() - begun
    return tally


def _run(command: list[str], note: Path, output: Path) -> str | None:
    """Run a worker to its end; return what it died of, or None if it did not."""
    environment = (
        os.environ
        | {
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "MALLOC_ARENA_MAX": "1",  # else each thread maps 64 MB to have them, and the bound says nothing
        }
    )
    with output.open("wb") as out, subprocess.Popen(
        command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
    ) as child:  # fmt: skip
        at = b""
        while True:
            try:
                child.wait(STALL_S)
                break
            except subprocess.TimeoutExpired:
                if note.read_bytes() == at:
                    child.kill()
                    child.wait()
                    return f"no end of one input within {STALL_S} s"
                at = note.read_bytes()
    return _words(child.returncode)


def _words(code: int) -> str | None:
    if code == -signal.SIGPROF:
        return f"more than {SECONDS} s of the processor for one input"
    if code < 0:
        return f"the process died of {signal.Signals(-code).name}"
    return f"an error (with {MEMORY_BYTES >> 20} MiB of memory to use)" if code else None
