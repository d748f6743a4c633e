"""Many devices, a bad network, wrong clocks and failing disks, all from one seed; the library's own stress test.

    simulate(17, FaultPlan(devices=5))

A run follows from its seed and plan alone. If a promise is broken, the script is run again without some of its steps
until none can be left out, and what remains is raised as `SimulationFailed`: a program of a few lines that a person can
read, with the call that repeats it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgsync.testing.machine import fast_directory
from msgsync.testing.plan import FaultPlan
from msgsync.testing.script import Script, Step, as_program, draw_script, shrink
from msgsync.testing.simulation import Figures, Simulation
from msgsync.testing.station import OpenReplica, open_replica


class SimulationFailed(AssertionError):
    """A simulation found a broken promise; the message says which, and how to repeat it."""

    def __init__(self, words: str, *, seed: int | str, script: Script) -> None:
        super().__init__(words)
        self.seed = seed
        """What it was drawn from."""
        self.script = script
        """The shortest script found that fails in the same way."""


def simulate(
    seed: int | str,
    plan: FaultPlan | None = None,
    *,
    opener: OpenReplica = open_replica,
    shrinks: bool = True,
) -> Figures:
    """Run one schedule of many replicas, with everything that the plan lets go wrong, and check every promise.

    At the end the faults stop, everybody who is left meets everybody, and then: all show the same under one digest;
    every message that was acknowledged is there, unless it was erased or only devices that are gone had it; what was
    erased is nowhere; what was deleted and never restored is deleted; every read model is what a rebuild gives; a new
    device fills with all of it; sizes are within bounds.

    Args:
        seed: what everything follows from.
        plan: what goes wrong, and how often; `FaultPlan()` if not given.
        opener: opens a replica, for testing a wrapper; by default `msgsync.open` does.
        shrinks: whether to look for the shortest script that fails; that takes some hundred runs.

    Returns:
        What happened, in numbers.

    Raises:
        SimulationFailed: a promise was broken.
    """
    plan = plan or FaultPlan()
    return _run(draw_script(seed, plan), seed, plan, opener, shrinks=shrinks)


def replay(
    script: Sequence[Step],
    seed: int | str,
    plan: FaultPlan | None = None,
    *,
    opener: OpenReplica = open_replica,
) -> Figures:
    """Run a script as `SimulationFailed` prints it; see `simulate`.

    Raises:
        SimulationFailed: a promise was broken.
    """
    return _run(tuple(script), seed, plan or FaultPlan(), opener, shrinks=False)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One run of a script, and how it ended."""

    figures: Figures
    told: tuple[str, ...]
    error: Exception | None

    @property
    def kind(self) -> tuple[str, str, str] | None:
        """What went wrong, so that a shorter script can be asked for the same: the error, and where it was raised."""
        if self.error is None:
            return None
        places = traceback.extract_tb(self.error.__traceback__)
        return type(self.error).__name__, places[-1].filename, places[-1].name


def _run(
    script: Script, seed: int | str, plan: FaultPlan, opener: OpenReplica, *, shrinks: bool
) -> Figures:
    before = peak_bytes()
    found = _attempt(script, seed, plan, opener)
    if found.error is None:
        grown = peak_bytes() - before
        if grown > plan.memory_bytes:
            raise SimulationFailed(
                f"seed {seed!r}: the process grew by {grown} bytes", seed=seed, script=script
            )
        return found.figures
    length = len(script)
    if shrinks:
        script = shrink(script, lambda less: _attempt(less, seed, plan, opener).kind == found.kind)
        found = _attempt(script, seed, plan, opener)
    error = found.error
    # Which one it was has to be known where it is repeated: it may have no name of its own.
    given = "" if opener is open_replica else "  opener=...,  # the one that simulate was given\n"
    raise SimulationFailed(
        f"{type(error).__name__}: {error}\n"
        f"Seed {seed!r}, {len(script)} of {length} steps are left. To repeat it:\n"
        f"replay(\n  [\n{as_program(script, found.told)}\n  ],\n  {seed!r},\n  {plan!r},\n{given})",
        seed=seed,
        script=script,
    ) from error


def _attempt(script: Script, seed: int | str, plan: FaultPlan, opener: OpenReplica) -> _Attempt:
    with fast_directory() as name:
        simulation = Simulation(seed, plan, Path(name), opener=opener)
        error: Exception | None = None
        try:
            simulation.run(script)
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is what was looked for
            error = raised
        finally:
            simulation.close()
        return _Attempt(simulation.figures, tuple(simulation.told), error)


def peak_bytes() -> int:
    """The most memory this process ever had, in bytes; 0 where that is not known."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
