"""Fuzzing: `python -m tests.fuzz`, or `make fuzz`. Exits with 1 if any input broke anything.

--inputs N          how many, of all kinds together; a million if not said
--kind KIND         this kind alone; may be given several times
--seed N            the inputs of that seed; if not said, of one that nobody has tried
--workers N         processes at a time
--number N          of one kind and seed, this input alone, in this process: for a debugger
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from tests.fuzz.campaign import Finding, Tally, campaign, shares
from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import draw_of


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--number", type=int)
    return parser.parse_args()


def one_input(kind: str, seed: int, number: int) -> int:
    found = KINDS[kind].prepare()
    raw = found.draw(draw_of(seed, number))
    print(f"{len(raw)} bytes: {raw.hex()}", flush=True)
    print("taken" if found.check(raw) else "refused")
    return 0


def line(name: str, tally: Tally) -> str:
    return (
        f"{name:14} {tally.inputs:>9,} inputs  {tally.taken / max(tally.inputs, 1):>4.0%} taken  "
        f"slowest {tally.slowest_s * 1000:>6.1f} ms  grown {tally.grown_bytes >> 20:>3} MiB  "
        f"{len(tally.findings)} findings"
    )


def main() -> int:
    chosen = arguments()
    kinds = chosen.kind or list(KINDS)
    if chosen.number is not None:
        return one_input(kinds[0], chosen.seed, chosen.number)
    begun = time.monotonic()
    counts = shares(chosen.inputs, kinds)
    print(f"{sum(counts.values()):,} inputs of seed {chosen.seed}", flush=True)

    said: set[Finding] = set()

    def on_done(name: str, tally: Tally) -> None:
        for finding in tally.findings:
            if finding not in said:
                print(f"\n{finding}", flush=True)
                said.add(finding)
        if tally.inputs >= counts[name]:
            print(line(name, tally), flush=True)

    tallies = campaign(counts, chosen.seed, chosen.workers, on_done)
    findings = [one for tally in tallies.values() for one in tally.findings]
    total = sum(tally.inputs for tally in tallies.values())
    print(f"{total:,} inputs, {len(findings)} findings, {time.monotonic() - begun:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
