"""A process that is killed at a random moment."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.forking import FORKS

_NUMBERS: Final = count()
START_S: Final = 60
"""For a process to say that it has begun; the machine may be busy."""
END_S: Final = 60


def _run(program: Callable[..., None], output: Path, *arguments: Any) -> None:
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    program(*arguments)


class Victim:
    """A running program; see `programs`."""

    def __init__(self, program: Callable[..., None], path: Path, *arguments: object) -> None:
        folder = path.parent / "said"
        folder.mkdir(exist_ok=True)
        number = next(_NUMBERS)
        self._said = folder / f"{number}.said"
        self._output = folder / f"{number}.output"
        here, there = FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(
            target=_run, args=(program, self._output, there, self._said, path, *arguments)
        )
        self._process.start()
        there.close()
        self.ready = self._hear(here)
        """What it said when it had begun."""
        self.begun = time.monotonic()

    def _hear(self, here: Connection) -> str:
        with here, suppress(EOFError):
            if here.poll(START_S):
                return str(here.recv())
        self.kill()
        raise AssertionError(f"it did not begin: {self._output.read_text('utf-8', 'replace')}")

    def kill_within(self, seconds: float) -> bool:
        """Kill it then; False if it has ended by itself before, as it should."""
        self._process.join(max(0.0, self.begun + seconds - time.monotonic()))
        return self.kill()

    def wait_for_words(self, number: int, seconds: float) -> None:
        """Wait until it has said so much, or for so long, or until it has ended."""
        end = time.monotonic() + seconds
        while len(self.words()) < number and time.monotonic() < end:
            self._process.join(0.002)
            if self._process.exitcode is not None:
                return

    def kill(self) -> bool:
        """Kill it now; False if it has ended by itself before, as it should."""
        self._process.kill()
        self._process.join(END_S)
        code = self._process.exitcode
        self._process.close()
        if code == -signal.SIGKILL:
            return True
        assert code == 0, self._output.read_text("utf-8", "replace")
        return False

    def words(self) -> list[list[Any]]:
        """What it said, line by line; of a long one only a part may be there, which was not said."""
        if not self._said.exists():
            return []
        whole, _, _ = self._said.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]


class Moments:
    """Random moments within what a program takes, which is learnt when it ends before it is killed."""

    def __init__(self, draw: Random, seconds: float) -> None:
        self._draw = draw
        self._seconds = seconds

    def next(self) -> float:
        """Seconds."""
        return self._draw.uniform(0, self._seconds)

    def ended(self, victim: Victim) -> None:
        self._seconds = min(self._seconds, max(time.monotonic() - victim.begun, 0.01))
