"""The process that tries inputs, one after another, under bounds. It dies of the first that breaks one.

    python -m tests.fuzz.worker KIND SEED FIRST COUNT NOTE

It writes the number of the input it is at into the file NOTE, so that whoever started it knows which one it died of,
and at the end says how it went, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.kind import Kind

MEMORY_BYTES: Final = 384 * 1024 * 1024
"""What all inputs together may take beyond what the process had before the first: windows of sessions and a reserve."""
SECONDS: Final = 10
"""Of the processor, for one input: a thousand times what any takes; the machine may be busy."""


def draw_of(seed: int, number: int) -> Random:
    """What an input is drawn from."""
    return Random(seed << 40 | number)


def address_space() -> int:
    """Bytes of memory that this process has mapped."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()


def bound(memory_bytes: int) -> None:
    """Let this process have so much more memory than it has: what takes more of it ends the process, or raises."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + memory_bytes, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(kind: Kind, seed: int, first: int, count: int, note: int) -> dict[str, float]:
    """Try so many inputs from a number on; what one raises comes out."""
    taken = 0
    slowest_s = 0.0
    for number in range(first, first + count):
        os.pwrite(note, number.to_bytes(8, "big"), 0)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
        raw = kind.draw(draw_of(seed, number))
        begun = time.thread_time()
        taken += kind.check(raw)
        slowest_s = max(slowest_s, time.thread_time() - begun)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return {"taken": taken, "slowest_s": slowest_s}


def main(name: str, *numbers_and_note: str) -> None:
    from tests.fuzz.kinds import KINDS

    seed, first, count = map(int, numbers_and_note[:3])
    kind = KINDS[name].prepare()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bound(MEMORY_BYTES)
    handle = os.open(numbers_and_note[3], os.O_WRONLY | os.O_CREAT)
    found = run(kind, seed, first, count, handle)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(json.dumps(found | {"grown_bytes": grown * 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:6])
