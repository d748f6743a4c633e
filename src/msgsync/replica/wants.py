"""Older messages that somebody waits for: whatever fills the replica brings those conversations first.

Whoever fills asks between two steps which conversations are wanted, and brings their older months before all others.
Who wants looks again after each step. Source: design 9 and 12.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgsync.errors import NotThereYet
from msgsync.replica import history
from msgsync.replica.names import id_of
from msgsync.replica.times import check_timeout
from msgsync.replica.values import AnyId, Cursor, Page

if TYPE_CHECKING:
    from msgsync.replica.conversation import Conversation


class Wants:
    """Which conversations are wanted; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: Counter[str] = Counter()

    @contextmanager
    def wanting(self, conversation: str) -> Iterator[None]:
        """Older months of a conversation are wanted as long as the block runs."""
        with self._lock:
            self._wanted[conversation] += 1
        try:
            yield
        finally:
            with self._lock:
                self._wanted[conversation] -= 1
                self._wanted += Counter()  # without those that nobody wants

    def now(self) -> list[str]:
        """Those that are wanted, the first one first."""
        with self._lock:
            return list(self._wanted)


def look_for_older(conversation: Conversation, before: Cursor | AnyId, limit: int) -> Page | None:
    """A page before a place; None if it has to come first: then a month that was let go of is asked for."""
    page = conversation.messages(before=before, limit=limit)
    if page.messages or not page.elsewhere:
        return page
    before_ms = before.ms if isinstance(before, Cursor) else id_of(before).ms
    history.ask_for_older(conversation.replica, conversation.id, before_ms)
    return None


def older(
    conversation: Conversation, before: Cursor | AnyId, limit: int, timeout: float | None
) -> Page:
    """See `Conversation.older`."""
    check_timeout(timeout)
    replica = conversation.replica
    changed = threading.Condition()

    def tell() -> None:
        with changed:
            changed.notify_all()

    def look() -> tuple[Page, ...]:
        page = look_for_older(conversation, before, limit)
        return () if page is None else (page,)

    ends = replica.on_progress(tell), replica.on_close(tell)
    try:
        with replica.wants.wanting(conversation.id), changed:
            # What comes after a look is told only when nobody looks: it cannot be missed.
            found = changed.wait_for(look, timeout)
            if not found:
                raise not_yet(conversation.id, timeout)
            return found[0]
    finally:
        for end in ends:
            end()
        history.ask_no_more(replica, conversation.id)


def not_yet(conversation: str, timeout: float | None) -> NotThereYet:
    """What is raised where older messages did not come in time."""
    return NotThereYet(
        f"older messages of {conversation!r} did not come within {timeout} s; they come with the next exchange that is "
        "complete: keep the device in sync"
    )
