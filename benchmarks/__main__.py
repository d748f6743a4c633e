"""Measure, print one table for each size of history, and write everything to a file.

    python -m benchmarks [--messages N ...] [--only ROW ...] [--json FILE] [--directory DIRECTORY]

Each figure stands beside a reference that was measured in the same run, in turns with it. Nothing here passes or
fails: machines differ, and two runs on a busy one do as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks import (
    appending,
    attaching,
    compacting,
    encrypting,
    filling,
    importing,
    meeting,
    memory,
    opening,
    posting,
    pushing,
    screen,
    securing,
    sparse,
    table,
    upkeep,
)
from benchmarks.figure import Figure
from benchmarks.history import History
from benchmarks.workload import DAY_MS, Workload

_SIZES: Final = (10_000, 100_000)
_SHORT: Final = 10_000  # what the cost of an append into a longer history is compared with
_RESULTS: Final = Path(__file__).parent / "results"

_ROWS: Final[Mapping[str, Callable[[History], Iterator[Figure]]]] = {
    "import": importing.measure_rate,
    "size": importing.measure_size,
    "open": opening.measure,
    "fill": filling.measure_rate,
    "secure": securing.measure_filling,
    "wire": filling.measure_wire,
    "memory": memory.measure,
    "idle": meeting.measure_idle,
    "hundred": meeting.measure_hundred,
    "push": pushing.measure,
    "encrypt": encrypting.measure,
    "freeze": compacting.measure_freezing,
    "erase": compacting.measure_erasing,
}
_ALONE: Final[Mapping[str, Callable[[Path], Iterator[Figure]]]] = {
    "handshake": securing.measure_handshakes,
    "seal": securing.measure_sealing,
    "openings": compacting.measure_openings,
    "marks": compacting.measure_marks,
    "upkeep": upkeep.measure,
    "attach": attaching.measure,
}
"""Figures that do not depend on a history: measured beside the smallest one."""
_BESIDE_SHORT: Final[Mapping[str, Callable[[History, History], Iterator[Figure]]]] = {
    "screen": screen.measure,
    "mailbox": posting.measure,
    "append": appending.measure,
}


class Bench:
    """The histories of one run, each made when first needed."""

    def __init__(self, directory: Path, conversations: int) -> None:
        """All files are made in ``directory``; ``conversations`` is for the row ``sparse``."""
        self._directory = directory
        self._conversations = conversations
        # The history ends this morning, so that the newest messages share a month with what is added here.
        self._end_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
        self._histories: dict[int, History] = {}

    def history(self, messages: int) -> History:
        """The history of that many messages."""
        if messages not in self._histories:
            workload = Workload(messages, self._end_ms)
            self._histories[messages] = History(self._directory / str(messages), workload)
        return self._histories[messages]

    def measure(self, messages: int, rows: list[str]) -> list[Figure]:
        """The figures of one size; those that add to the history come last."""
        history = self.history(messages)
        figures: list[Figure] = []
        for row in rows:
            started = time.perf_counter()
            if row in _BESIDE_SHORT:
                short = history if messages <= _SHORT else self.history(_SHORT)
                figures += _BESIDE_SHORT[row](history, short)
            elif row in _ALONE:
                figures += _ALONE[row](history.directory) if messages <= _SHORT else ()
            elif row == "sparse":
                figures += sparse.measure(history.directory, self._end_ms, self._conversations)
            else:
                figures += _ROWS[row](history)
            print(f"{messages:>9,} {row:8} {time.perf_counter() - started:6.1f} s", file=sys.stderr)
        return figures


def main() -> None:
    """Read the arguments and do it."""
    rows = [*_ROWS, "sparse", *_ALONE, *_BESIDE_SHORT]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--messages", type=int, nargs="+", default=_SIZES, metavar="N")
    parser.add_argument(
        "--only", nargs="+", choices=rows, default=rows, metavar="ROW", help=", ".join(rows)
    )
    parser.add_argument(
        "--conversations", type=int, default=300, metavar="N", help="of the row sparse; default 300"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: in benchmarks/results")
    parser.add_argument("--directory", help="where to put the files, on a disk that is a disk")
    arguments = parser.parse_args()
    results: dict[int, list[Figure]] = {}
    with tempfile.TemporaryDirectory(prefix="msgsync-bench-", dir=arguments.directory) as directory:
        bench = Bench(Path(directory), arguments.conversations)
        for messages in arguments.messages:
            results[messages] = bench.measure(
                messages, [row for row in rows if row in arguments.only]
            )
            print(table.text_of(messages, results[messages]), flush=True)
    path = arguments.json or _RESULTS / f"{'-'.join(map(str, results))}.json"
    table.write(path, results)
    print(f"All samples are in {path}.")


if __name__ == "__main__":
    main()
