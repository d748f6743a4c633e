"""How much memory a process takes, over an interpreter that does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks import importing, process
from benchmarks.figure import MEGABYTES, Bar, Figure
from benchmarks.filling import fills
from benchmarks.history import History

_BAR: Final = Bar(200, "at most", "ours")


def measure(history: History) -> Iterator[Figure]:
    """Peaks while importing, filling and serving; nothing where the system does not tell them."""
    made = fills(history)
    peaks: dict[str, tuple[Sequence[int | None], Sequence[int | None]]] = {
        "importing": ([importing.peak_bytes(history)], []),
        "filling": (
            [fill.client_peak_bytes for fill in made.replicas],
            [fill.client_peak_bytes for fill in made.tables],
        ),
        "serving": (
            [fill.server_peak_bytes for fill in made.replicas],
            [fill.server_peak_bytes for fill in made.tables],
        ),
    }
    for doing, (ours, reference) in peaks.items():
        if None not in ours:
            yield Figure(
                "memory",
                f"memory while {doing}",
                MEGABYTES,
                _over_interpreter(ours),
                _over_interpreter(reference),
                _BAR,
            )


def _over_interpreter(peaks: Sequence[int | None]) -> list[float]:
    return [(peak - process.interpreter_bytes()) / 1e6 for peak in peaks if peak is not None]
