"""Mutation testing: `python -m tests.mutation`, or `make mutants`. Changes one thing at a time; do the tests notice?

--module MODULE     these alone: a path or the beginning of one (document/, store/store.py); may be given several times
--sample N          so many mutants of each module, drawn by --seed; else all
--seed N            0 if not said
--survivors         only those that survived when they were run last
--workers N         processes at a time
--list              say which mutants there are, and run none

Prints every survivor as it is found and, at the end, the figures by module. What survived is kept in
build/mutants.json. Exits with 1 if a module of document/ has less than 90 % killed, or a line of equivalents.toml names
no mutant.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.changes import Mutant, mutants_of
from tests.mutation.targets import MODULES, ROOT, SOURCES, tests_of
from tests.mutation.trial import Trial, prepare, run

_KEPT = ROOT / "build/mutants.json"
_EQUIVALENTS = Path(__file__).with_name("equivalents.toml")
_WANTED = 0.9

Key = tuple[str, str]
"""Function and change."""


@dataclass(slots=True)
class Tally:
    """The figures of one module."""

    made: int = 0
    equivalent: int = 0
    killed: int = 0
    survived: list[Mutant] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Which part of those that were run was killed."""
        return self.killed / max(1, self.killed + len(self.survived))

    def line(self, name: str) -> str:
        run_count = self.killed + len(self.survived)
        return (
            f"{name:26} {self.made:>5} made {self.equivalent:>4} equivalent {run_count:>5} run "
            f"{self.killed:>5} killed {len(self.survived):>4} survived  {self.share:>6.1%}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.mutation")
    parser.add_argument("--module", action="append")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def equivalents() -> dict[str, set[Key]]:
    found: dict[str, set[Key]] = {}
    for one in tomllib.loads(_EQUIVALENTS.read_text()).get("equivalent", []):
        assert one["reason"], one
        found.setdefault(one["module"], set()).add((one["function"], one["change"]))
    return found


def kept() -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
    return found


class Campaign:
    """The mutants of some modules, and what became of them."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        wanted = tuple(chosen.module or [""])
        self.modules = [one for one in MODULES if one.startswith(wanted)]
        self.tallies = {module: Tally() for module in self.modules}
        self.stale: list[str] = []
        self.broken: list[str] = []
        self._chosen = chosen
        self._trials: list[Trial] = []
        self._kept = kept()
        same = equivalents()
        for module in self.modules:
            self._add(module, same.get(module, set()))

    def _add(self, module: str, equivalent: set[Key]) -> None:
        tree, mutants = mutants_of((SOURCES / module).read_text())
        tests = tests_of(module)
        tally = self.tallies[module]
        tally.made = len(mutants)
        there = {(one.function, one.change) for one in mutants}
        self.stale += [f"{module} {' '.join(key)}" for key in sorted(equivalent - there)]
        tally.equivalent = len(equivalent & there)
        left = [one for one in mutants if (one.function, one.change) not in equivalent]
        if self._chosen.survivors:
            before = {tuple(one) for one in self._kept.get(module, [])}
            left = [one for one in left if (one.function, one.change) in before]
        if self._chosen.sample is not None and self._chosen.sample < len(left):
            drawn = random.Random(f"{self._chosen.seed} {module}").sample(left, self._chosen.sample)
            left = sorted(drawn, key=lambda one: one.line)
        if left:
            self._trials.append(Trial(module, tree, None, tests))
        self._trials += [Trial(module, tree, one, tests) for one in left]

    def show(self) -> None:
        for trial in self._trials:
            if trial.mutant is not None:
                print(f"{trial.module}:{trial.mutant.line} {trial.mutant.function}: {trial.mutant.change}")

    def run(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for trial, passed in run(iter(self._trials), self._chosen.workers, Path(scratch)):
                self._take(trial, passed)
        for module, tally in self.tallies.items():
            self._kept[module] = [[one.function, one.change] for one in tally.survived]
        _KEPT.parent.mkdir(exist_ok=True)
        _KEPT.write_text(json.dumps(self._kept, indent=1))

    def _take(self, trial: Trial, passed: bool) -> None:
        tally = self.tallies[trial.module]
        if trial.mutant is None:
            if not passed:
                self.broken.append(trial.module)
        elif passed:
            tally.survived.append(trial.mutant)
            where = f"{trial.module}:{trial.mutant.line} {trial.mutant.function}"
            print(f"survived {where}: {trial.mutant.change}", flush=True)
        else:
            tally.killed += 1

    def totals(self) -> Iterator[tuple[str, Tally]]:
        """The figures of the modules, and of each folder."""
        yield from self.tallies.items()
        for folder in dict.fromkeys(one.split("/")[0] for one in self.modules):
            inside = [tally for one, tally in self.tallies.items() if one.startswith(folder)]
            yield (
                folder + "/",
                Tally(
                    sum(one.made for one in inside),
                    sum(one.equivalent for one in inside),
                    sum(one.killed for one in inside),
                    [mutant for one in inside for mutant in one.survived],
                ),
            )


def main() -> int:
    chosen = arguments()
    begun = time.monotonic()
    campaign = Campaign(chosen)
    if chosen.list:
        campaign.show()
        return 0
    prepare()
    campaign.run()
    for name, tally in campaign.totals():
        print(tally.line(name))
    print(f"{time.monotonic() - begun:.0f} s")
    for one in campaign.stale:
        print(f"equivalents.toml names a mutant that is not there: {one}")
    for one in campaign.broken:
        print(f"the tests of {one} do not pass as it is: these figures are worth nothing")
    total = dict(campaign.totals()).get("document/")
    poor = not chosen.survivors and total is not None and total.share < _WANTED
    return bool(poor or campaign.stale or campaign.broken)


if __name__ == "__main__":
    sys.exit(main())
