"""Processes of their own, which say what they have to say as lines of JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_HOME: Final = Path(__file__).resolve().parent.parent
_PATIENCE_S: Final = 1_800.0  # after which a process that says nothing is taken to hang

_PEAK: Final = """
try:
    lines = open("/proc/self/status", encoding="ascii").read().splitlines()
except OSError:
    lines = []
print(*[line.split()[1] for line in lines if line.startswith("VmHWM:")])
"""


def _environment() -> dict[str, str]:
    """Ours, but modules may be kept compiled, as those of an installed program are."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Child:
    """A module of this package that runs as a program."""

    def __init__(self, module: str, *arguments: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", *arguments],
            stdout=subprocess.PIPE,
            cwd=_HOME,
            env=_environment(),
            text=True,
        )
        self._watchdog = threading.Timer(_PATIENCE_S, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.cancel()
        if kind is not None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def say(self) -> dict[str, Any]:
        """Wait for the next line it says.

        Raises:
            RuntimeError: it ended, or hung, without one.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self._process.args!r} ended with {self._process.wait()} and said nothing"
            )
        said: dict[str, Any] = json.loads(line)
        return said

    def stop(self) -> dict[str, Any]:
        """Interrupt it, as a person would with Ctrl-C, and return its last words."""
        self._process.send_signal(signal.SIGINT)
        return self.say()


def run(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module to its end and return the one line it says."""
    with Child(module, *arguments) as child:
        return child.say()


def tell(**said: Any) -> None:
    """In a child: say something."""
    print(json.dumps(said), flush=True)


def listen_to_interrupts() -> None:
    """In a child: take Ctrl-C even if a shell started us deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def peak_bytes() -> int | None:
    """The most memory this process ever had resident; None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1_024
    return None


@cache
def interpreter_bytes() -> int:
    """What a Python that does nothing has resident at most."""
    shown = subprocess.run(
        [sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True
    )
    return int(shown.stdout or 0) * 1_024
