"""All kinds of inputs, and how many of a million each gets: those with a replica take a hundred times as long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tests.fuzz import forms, frames, lines, pairings, records, sessions, updates
from tests.fuzz.kind import Kind


class Share(NamedTuple):
    """How one kind is tried."""

    prepare: Callable[[], Kind]
    """Makes what it needs; once in a process."""
    inputs: int
    """Of a million."""
    together: int
    """Inputs that one process tries."""


KINDS: Final[dict[str, Share]] = {
    "records": Share(records.records, 246_000, 25_000),
    "entries": Share(records.entries, 80_000, 10_000),
    "updates": Share(updates.updates, 200_000, 20_000),
    "state vectors": Share(updates.states, 50_000, 25_000),
    "frames": Share(frames.frames, 150_000, 15_000),
    "frozen forms": Share(forms.forms, 110_000, 10_000),
    "lines": Share(lines.lines, 150_000, 25_000),
    "files": Share(lines.files, 4_000, 500),
    "pairings": Share(pairings.pairings, 4_000, 500),
    "documents": Share(sessions.documents, 3_000, 250),
    "sessions": Share(sessions.sessions, 3_000, 250),
}
