"""Mutation testing: `python -m tests.mutation`, or `make mutants`. Changes one thing at a time; do the tests notice?

--module MODULE     these alone: a path or the beginning of one (document/, store/store.py); may be given several times
--function NAME     these alone: a function, a method, or the beginning of one (Store.transaction); several times too
--sample N          so many mutants of each module, drawn by --seed; else all
--seed N            0 if not said
--survivors         only those that survived when they were run last
--near              with the tests of the module itself alone: quick, for a first look
--workers N         processes at a time
--list              say which mutants there are, and run none

Prints every survivor as it is found and, at the end, the figures by module. What survived is kept in
build/mutants.json, or where --kept says. Exits with 1 if less than 90 % of document/ were killed, or if a line of
equivalents.toml names no mutant.
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
from tests.mutation.targets import MODULES, ROOT, SOURCES, files_for
from tests.mutation.trial import Module, prepare

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
    parser.add_argument("--function", action="append")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--kept", type=Path, default=ROOT / "build/mutants.json")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def equivalents() -> dict[str, set[Key]]:
    found: dict[str, set[Key]] = {}
    for one in tomllib.loads(_EQUIVALENTS.read_text()).get("equivalent", []):
        assert one["reason"], one
        found.setdefault(one["module"], set()).add((one["function"], one["change"]))
    return found


def kept(path: Path) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = json.loads(path.read_text()) if path.exists() else {}
    return found


class Campaign:
    """The mutants of some modules, and what became of them."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        wanted = tuple(chosen.module or [""])
        self.modules = [one for one in MODULES if one.startswith(wanted)]
        self.tallies = {module: Tally() for module in self.modules}
        self.stale: list[str] = []
        self._chosen = chosen
        self._kept = kept(chosen.kept)
        same = equivalents()
        self.drawn = {
            module: self._drawn(module, same.get(module, set())) for module in self.modules
        }

    def _drawn(self, path: str, equivalent: set[Key]) -> tuple[Module, list[Mutant]]:
        tree, mutants = mutants_of((SOURCES / path).read_text())
        tally = self.tallies[path]
        tally.made = len(mutants)
        there = {(one.function, one.change) for one in mutants}
        self.stale += [f"{path} {' '.join(key)}" for key in sorted(equivalent - there)]
        tally.equivalent = len(equivalent & there)
        left = [one for one in mutants if (one.function, one.change) not in equivalent]
        if self._chosen.function:
            left = [one for one in left if one.function.startswith(tuple(self._chosen.function))]
        if self._chosen.survivors:
            before = {tuple(one) for one in self._kept.get(path, [])}
            left = [one for one in left if (one.function, one.change) in before]
        if self._chosen.sample is not None and self._chosen.sample < len(left):
            drawn = random.Random(f"{self._chosen.seed} {path}").sample(left, self._chosen.sample)
            left = sorted(drawn, key=lambda one: one.line)
        return Module(path, tree, files_for(path, near=self._chosen.near)), left

    def show(self) -> None:
        for path, (_, mutants) in self.drawn.items():
            for one in mutants:
                print(f"{path}:{one.line} {one.function}: {one.change}")

    def run(self) -> None:
        for path, (module, mutants) in self.drawn.items():
            if not mutants:
                continue
            print(f"{path}: {' '.join(module.tests)}", flush=True)
            tally = self.tallies[path]
            with tempfile.TemporaryDirectory() as scratch:
                for one, passed in module.try_all(mutants, self._chosen.workers, Path(scratch)):
                    if passed:
                        tally.survived.append(one)
                        print(
                            f"survived {path}:{one.line} {one.function}: {one.change}", flush=True
                        )
                    else:
                        tally.killed += 1
            print(tally.line(path), flush=True)
            self._kept[path] = [[one.function, one.change] for one in tally.survived]
            self._chosen.kept.parent.mkdir(exist_ok=True)
            self._chosen.kept.write_text(json.dumps(self._kept, indent=1))

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
    total = dict(campaign.totals()).get("document/")
    poor = not chosen.survivors and total is not None and total.share < _WANTED
    return bool(poor or campaign.stale)


if __name__ == "__main__":
    sys.exit(main())
