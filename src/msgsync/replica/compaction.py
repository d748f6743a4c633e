"""Making a replica smaller: freezing, and giving free space back. Source: design 8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgsync.store.compaction import Compaction

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


@dataclass(frozen=True, slots=True)
class CompactionProgress:
    """How far `Replica.compact` is."""

    documents: int
    """Documents looked at."""
    documents_total: int


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What `Replica.compact` did."""

    frozen: int
    """Documents that were frozen."""
    bytes_before: int
    """Size of the file before, in bytes."""
    bytes_after: int
    """Size of the file afterwards, in bytes; while another process reads it, it shrinks only later."""
    left: tuple[str, ...]
    """Documents that stay as they are and why, in words: damaged ones, of which `Replica.check` says more, and such
    as are too large (64 MiB)."""


def compact(
    replica: Replica, on_progress: Callable[[CompactionProgress], object] | None
) -> CompactionReport:
    """Freeze what is due, a transaction for each step, and give free space back."""
    with replica.reading() as store:
        bytes_before = replica.path.stat().st_size
        compaction = Compaction(store, replica.system.now_ms(), eager=True)
    while not compaction.done:
        with replica.writing():
            compaction.step()
        if on_progress is not None:
            done = compaction.frozen + len(compaction.left)
            on_progress(CompactionProgress(done, compaction.total))
    with replica.lock:
        replica.store().shrink()
    return CompactionReport(
        frozen=compaction.frozen,
        bytes_before=bytes_before,
        bytes_after=replica.path.stat().st_size,
        left=tuple(compaction.left),
    )
