"""The long run: schedules and power losses by the thousand, on all cores. `make soak` calls it.

    python -m tests.simulation.soak --schedules 10000 --points 100000 --first-seed 0

The seeds follow one upon the other from the first one; another first seed is another run. What fails is printed with
the call that repeats it, the rest goes on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from msgsync.testing import Figures, assert_survives_power_loss, simulate
from msgsync.testing.machine import fast_directory
from msgsync.testing.simulate import peak_bytes
from tests.simulation.plans import plan_of
from tests.simulation.workloads import filling, long_first, long_second

_SCHEDULES_A_JOB = 20
_POINTS_A_JOB = 1_000
_GROWTH_BYTES = 200 << 20
"""By so much a worker may grow in all."""

Outcome = tuple[Figures, int, list[str], int]
"""Figures, power losses, what failed, and the most memory the worker had, in bytes."""


def schedules(first: int, count: int) -> Outcome:
    """Run some schedules."""
    figures, failures = [], []
    for seed in range(first, first + count):
        try:
            figures.append(simulate(seed, plan_of(seed)))
        except AssertionError as error:
            failures.append(str(error))
    return Figures.sum(figures), 0, failures, peak_bytes()


def power_losses(seed: int, count: int) -> Outcome:
    """Cut a workload off so often."""
    openings = ((long_first, long_second), (filling,))[seed % 2]
    durability: Literal["full", "relaxed"] = "relaxed" if seed % 8 == 7 else "full"
    failures = []
    with fast_directory() as name:
        try:
            assert_survives_power_loss(
                Path(name), *openings, points=count, seed=seed, durability=durability
            )
        except AssertionError as error:
            failures.append(str(error))
    return Figures(), count, failures, peak_bytes()


def parts(total: int, size: int, first: int) -> Iterator[tuple[int, int]]:
    """Cut a number of runs into jobs: the first seed or the number of each, and how many."""
    for start in range(0, total, size):
        yield first + start, min(size, total - start)


def jobs(arguments: argparse.Namespace) -> list[Callable[[], Outcome]]:
    """All that is to be done, in an order in which both kinds get on."""
    first = arguments.first_seed
    wanted: list[tuple[float, Callable[[], Outcome]]] = []
    for seed, count in parts(arguments.schedules, _SCHEDULES_A_JOB, first):
        wanted.append(((seed - first) / arguments.schedules, partial(schedules, seed, count)))
    for start, count in parts(arguments.points, _POINTS_A_JOB, 0):
        seed = first + start // _POINTS_A_JOB
        wanted.append((start / arguments.points, partial(power_losses, seed, count)))
    return [job for _, job in sorted(wanted, key=lambda each: each[0])]


def run(job: Callable[[], Outcome]) -> Outcome:
    """In a worker."""
    return job()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100_000, help="power losses")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    started = time.monotonic()
    total, points, failures, least, most = Figures(), 0, 0, 0, 0
    wanted = jobs(arguments)
    with get_context("spawn").Pool(arguments.workers) as pool:
        for number, (figures, cut, failed, peak) in enumerate(pool.imap_unordered(run, wanted), 1):
            total, points, failures = (
                Figures.sum([total, figures]),
                points + cut,
                failures + len(failed),
            )
            least, most = min(least or peak, peak), max(most, peak)
            for words in failed:
                print(f"\n{words}\n", flush=True)
            if number % 10 == 0 or number == len(wanted):
                done = f"{number} of {len(wanted)} jobs, {time.monotonic() - started:,.0f} s"
                print(f"{done}; {points:,} power losses; {asdict(total)}", flush=True)
    if most - least > _GROWTH_BYTES:
        failures += 1
        print(f"a worker grew by {(most - least) >> 20} MiB", flush=True)
    print(f"{failures} failed" if failures else "all of it held", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
