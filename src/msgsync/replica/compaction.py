"""Making a replica smaller: freezing, and giving free space back. Source: design 8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgsync.store.compaction import Compaction
from msgsync.store.database import look_at

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
    """Size of the file and its write-ahead log before, in bytes."""
    bytes_after: int
    """The same afterwards; while another process reads it, it shrinks only later."""
    left: tuple[str, ...]
    """Documents that stay as they are and why, in words: damaged ones, of which `Replica.check` says more, and such
    as are too large (64 MiB)."""


def compact(
    replica: Replica, on_progress: Callable[[CompactionProgress], object] | None
) -> CompactionReport:
    """Freeze what is due, a transaction for each step, and give free space back."""
    with replica.reading() as store:
        bytes_before = _size(replica.path)
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
        bytes_after=_size(replica.path),
        left=tuple(compaction.left),
    )


def _size(path: Path) -> int:
    """Of a replica's file and its log. The log is gone when the last one closes it, so it may not be there."""
    found = path.resolve()  # the log lies beside the file itself, not beside a link to it
    log = look_at(f"{found}-wal")
    return found.stat().st_size + (0 if log is None else log.st_size)
