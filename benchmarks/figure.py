"""A figure: ours, the reference's, and what it is to reach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure is to reach, and from how many messages on that counts."""

    limit: float
    sense: Literal["at least", "at most"]
    of: Literal["ratio", "ours"] = "ratio"
    from_messages: int = 0

    def holds(self, value: float) -> bool:
        """Whether ``value`` reaches it."""
        return value >= self.limit if self.sense == "at least" else value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table: medians of samples that were taken in turns."""

    row: str
    """The name for ``--only``; several figures may share it."""
    label: str
    unit: str
    samples: Sequence[float]
    reference_samples: Sequence[float] = ()
    bar: Bar | None = None
    note: dict[str, float] = field(default_factory=dict)
    """Other numbers of the same runs, for the file."""

    @property
    def ours(self) -> float:
        """The median of our samples."""
        return statistics.median(self.samples)

    @property
    def reference(self) -> float | None:
        """The median of the reference's samples, if it has any."""
        return statistics.median(self.reference_samples) if self.reference_samples else None

    @property
    def ratio(self) -> float | None:
        """Ours in proportion to the reference."""
        return self.ours / self.reference if self.reference else None

    def verdict(self, messages: int) -> str:
        """``ok`` or ``short``; empty where nothing is asked at this many messages."""
        if self.bar is None or messages < self.bar.from_messages:
            return ""
        value = self.ratio if self.bar.of == "ratio" else self.ours
        assert value is not None, "a bar on the ratio needs a reference"
        return "ok" if self.bar.holds(value) else "short"


RATE: Final = "messages/s"
MILLISECONDS: Final = "ms"
BYTES: Final = "B"
MEGABYTES: Final = "MB"
TRIPS: Final = "round trips"
