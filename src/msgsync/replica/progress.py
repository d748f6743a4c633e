"""How far a new device is in filling itself, whatever it fills from, over all openings. Source: design 7 and 9.

What counts is written in the transactions that take something in, so it goes on where it was after a restart. The
fraction is raised by such a transaction alone, and never lowered: what was expected may turn out to be more, or to have
been erased. It reaches 1 when the first exchange, or the first round at a mailbox, is complete, and not before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgsync.document.schema import DocumentId
from msgsync.protocol.events import Stage
from msgsync.replica.listeners import Listeners
from msgsync.store.missing import Filling
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_PARTS: Final = 1_000_000
_MOST: Final = 999_000
"""Of the parts, before all is here."""
_WINDOW_MS: Final = 30_000
_LEAST_MS: Final = 1_000
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class FillProgress:
    """How far a new device is in filling itself."""

    doing: str
    """What it does now, in words: ``newest messages``, ``history back to March 2021``, ``all is here``."""
    done: bool
    """Whether all is here that was there when it was last complete."""
    fraction: float
    """From 0 to 1; never less than before, and 1 exactly when it is done."""
    messages: int
    """Those that are here; while it fills, those that came in."""
    total_messages: int | None
    """Those expected; None while that is unknown."""
    bytes: int
    """Of documents that came in, as they are stored."""
    total_bytes: int | None
    rate: float | None
    """Messages a second, over the last half minute; None if none came in."""
    seconds_left: float | None
    """At that rate; None while it is unknown."""


class Gauge:
    """What `Replica.progress` reads off; told by whatever takes something in from elsewhere."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._stage = Stage.WAITING
        self._month = ""
        self._total_messages = self._total_bytes = 0
        self._last = Filling(0, 0, 0, 0, 0)
        self._samples: deque[tuple[int, int]] = deque(maxlen=256)
        self._listeners = Listeners()

    def on_progress(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called after each step; return a function that ends that."""
        return self._listeners.add(lambda _seq: callback())

    def expect(self, messages: int, size: int) -> None:
        """A source has so many messages, in documents of so many bytes, or at least so many (0: it does not say)."""
        self._total_messages = max(self._total_messages, messages)
        self._total_bytes = max(self._total_bytes, size)

    def begin(self, stage: Stage) -> None:
        """This is read from now on."""
        self._stage = stage

    def note(
        self, store: Store, messages: int, size: int, documents: Iterable[DocumentId] = ()
    ) -> None:
        """So much was taken in, of these documents. Within the transaction, and behind all else in it."""
        before = store.missing.filling_state()
        if before is None:
            return
        kinds = [one.kind for one in documents if one.is_segment]
        if kinds:
            self._month = min(kinds)
        here = before.messages + messages
        total = max(before.total_messages, self._total_messages, here)
        reached = min(_PARTS * here // total, _MOST) if total else 0
        total_bytes = max(before.total_bytes, self._total_bytes)
        bytes_here = before.bytes + size
        now = Filling(
            max(before.parts, reached),
            here,
            total,
            min(bytes_here, total_bytes) if total_bytes else bytes_here,
            total_bytes,
        )
        store.missing.note_filling(now)
        self._last = now
        self._samples.append((self._replica.system.now_ms(), here))

    def tell(self) -> None:
        """Something may have changed; outside of the lock."""
        self._listeners.tell(0)

    def read(self, store: Store, *, alone: bool) -> FillProgress:
        """How far it is; ``alone``: there is no other device that anything could come from."""
        state = store.missing.filling_state()
        if state is None:
            return self._whole(store, alone=alone)
        total = max(state.total_messages, self._total_messages)
        total_bytes = max(state.total_bytes, self._total_bytes)
        rate = self._rate()
        left = None if rate is None or not total else max(total - state.messages, 0) / rate
        return FillProgress(
            self._words(),
            done=False,
            fraction=state.parts / _PARTS,
            messages=state.messages,
            total_messages=total or None,
            bytes=state.bytes,
            total_bytes=total_bytes or None,
            rate=rate,
            seconds_left=left,
        )

    def _whole(self, store: Store, *, alone: bool) -> FillProgress:
        documents, messages = store.counts()
        done = bool(documents) or alone or store.missing.was_complete()
        stage = Stage.NEWEST if self._total_messages else Stage.WAITING
        stage = Stage.DONE if done else stage
        total = messages if done else self._total_messages or None
        return FillProgress(
            stage.value, done, float(done), messages, total, self._last.bytes, None, None, None
        )

    def _words(self) -> str:
        words: str = self._stage.value
        if self._stage is not Stage.HISTORY:
            return words
        if not self._month:
            return str(Stage.NEWEST.value)
        year, month = self._month.split("-")
        return words.format(f"{_MONTHS[int(month) - 1]} {int(year)}")

    def _rate(self) -> float | None:
        now_ms = self._replica.system.now_ms()
        recent = [one for one in self._samples if 0 <= now_ms - one[0] <= _WINDOW_MS]
        if not recent or now_ms - recent[0][0] < _LEAST_MS:
            return None
        return (recent[-1][1] - recent[0][1]) * 1000 / (now_ms - recent[0][0]) or None
