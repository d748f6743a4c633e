"""Where this replica syncs and how that goes: what rounds and sessions note, by rounds and sessions.

Rules
-----
- A **place** is a mailbox, by its address; the address of a peer; or a device that came by itself, by its id.
- Every attempt that ends is noted: that it went well, or the code of its error with the words. One that went well
  clears what was noted before. What changes is written at once, and otherwise once a minute that there was an attempt.
- It is noted beside the documents, in a transaction of its own; if that fails nothing else does.
- Something counts as synced only once it was confirmed: by a device, or because a mailbox has taken it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgsync.errors import InvalidValue, MsgSyncError, ReplicaClosed, StorageError, UsageError
from msgsync.replica.listeners import Listeners
from msgsync.store.history import forget_place
from msgsync.store.places import PlaceRow
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.replica.replica import Replica

_WORTH_NOTING_MS: Final = 60_000
_MOST_PLACES: Final = 256
"""Peers' addresses change with every network; those that were tried longest ago are forgotten."""
_WHY_CHARACTERS: Final = 500


@dataclass(eq=False, slots=True)
class Visit:
    """A round or a session that is under way in this process."""

    place: str
    number: int
    """In the order in which they began."""
    device: bytes = b""
    """The device at the other end, once it has shown who it is."""
    objects: int | None = None
    """Of a round: how many objects it saw and has not taken; None if it does not know."""
    settled: bool = False
    """Whether both sides have compared everything: a session that stays goes on after that."""
    ends: list[Callable[[], None]] = field(default_factory=list)
    """What is to be called when it is over; it must not wait for anything."""


@dataclass(slots=True)
class Places:
    """The places of one replica; takes the replica's lock."""

    replica: Replica
    listeners: Listeners = field(default_factory=Listeners)
    """Told after every note, and when a visit begins or ends."""
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    """Those that were used in this process, by address: options that are not in it are kept with them."""
    _looks: Listeners = field(default_factory=Listeners)
    rounds_begun: int = 0
    """How many rounds and sessions have begun in this process."""
    _rounds: dict[str, int] = field(default_factory=dict)
    """Of each mailbox the number of the latest round that went well."""
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _visits: set[Visit] = field(default_factory=set)
    _watched: Counter[str] = field(default_factory=Counter)
    _notes: dict[str, PlaceRow] = field(default_factory=dict)
    """Newer than what is written."""

    # Noting.

    @contextmanager
    def visit(self, place: str) -> Iterator[Visit]:
        """While something is exchanged with a place."""
        with self._guard:
            self.rounds_begun += 1
            visit = Visit(place, self.rounds_begun)
            self._visits.add(visit)
        try:
            yield visit
        finally:
            with self._guard:
                self._visits.discard(visit)
            for end in visit.ends:
                end()
            self.replica.fetching.claims.end(visit)
            self.tell()

    @contextmanager
    def watching(self, place: str) -> Iterator[None]:
        """While this process keeps a place in sync."""
        with self._guard:
            self._watched[place] += 1
        try:
            yield
        finally:
            with self._guard:
                self._watched[place] -= 1

    def settled_since(self, place: str, number: int) -> bool:
        """Whether a round at a mailbox went well that began after so many others."""
        return self._rounds.get(place, 0) > number

    def device_at(self, place: str) -> bytes:
        """The device that was met last at an address; nothing if none was."""
        with self.replica.reading() as store:
            row = self.rows(store).get(place)
        return b"" if row is None else row.device

    @property
    def visits(self) -> tuple[Visit, ...]:
        """What is under way now."""
        with self._guard:
            return tuple(self._visits)

    @property
    def watched(self) -> frozenset[str]:
        """The places that this process keeps in sync now."""
        with self._guard:
            return frozenset(place for place, count in self._watched.items() if count)

    def tell(self) -> None:
        """Tell who waits for news of places."""
        self.listeners.tell(0)

    def succeeded(self, place: str, device: bytes = b"", *, mailbox: bool = False) -> None:
        """Both sides have everything."""
        for visit in self.visits:
            if visit.place == place:
                visit.settled = True
                if mailbox:
                    self._rounds[place] = max(visit.number, self._rounds.get(place, 0))
        self._note(place, device, mailbox=mailbox)

    def failed(
        self,
        place: str,
        error: MsgSyncError,
        device: bytes = b"",
        *,
        mailbox: bool = False,
        objects: int | None = None,
    ) -> None:
        """An attempt ended with an error. What the caller did wrong is none of the place's."""
        if not isinstance(error, UsageError):
            why = str(error)
            self._note(place, device, mailbox=mailbox, code=error.code, why=why, objects=objects)

    def incomplete(
        self,
        place: str,
        code: str,
        why: str,
        device: bytes = b"",
        *,
        mailbox: bool = False,
        objects: int = 0,
    ) -> None:
        """It went well, and yet something was left out."""
        self._note(place, device, mailbox=mailbox, code=code, why=why, objects=objects)

    def _note(
        self,
        place: str,
        device: bytes,
        *,
        mailbox: bool,
        code: str = "",
        why: str = "",
        objects: int | None = 0,
    ) -> None:
        replica = self.replica
        with suppress(StorageError, ReplicaClosed), replica.lock:  # there is less to tell, no more
            now_ms = replica.system.now_ms()
            with replica.reading() as store:
                readonly, written = store.database.readonly, store.places.all()
            known = self._notes.get(place) or written.get(place)
            done_ms = known.done_ms if known is not None else 0
            if known is not None and not device:
                device = known.device
            if not code:
                done_ms = now_ms
            if len(why) > _WHY_CHARACTERS:
                why = f"{why[: _WHY_CHARACTERS - 4]} ..."
            if objects is None:  # as many as there were
                objects = 0 if known is None else known.objects
            row = PlaceRow(place, mailbox, device, now_ms, done_ms, code, why, objects)
            self._notes[place] = row
            if not readonly and _is_due(written.get(place), row):
                self._write(row, written)
        self.tell()

    def _write(self, row: PlaceRow, written: dict[str, PlaceRow]) -> None:
        with self.replica.writing() as store:
            store.places.write(row)
            others = (one for one in written.values() if one.name != row.name)
            for old in sorted(others, key=lambda one: -one.tried_ms)[_MOST_PLACES - 1 :]:
                store.places.forget(old.name)

    def forget(self, address: str) -> None:
        """See `Switch.forget`."""
        if address in self.watched or any(visit.place == address for visit in self.visits):
            raise InvalidValue(f"{address} is being synced with now; end that first")
        with self.replica.writing() as store:
            if address not in self.rows(store) and store.mailboxes.find(address) is None:
                raise InvalidValue(
                    f"{address!r} is no place that is known here; status() names those that are"
                )
            store.places.forget(address)
            store.mailboxes.forget(address)
            store.copies.forget_place(address)
            forget_place(store, address)
            self._notes.pop(address, None)
        self.mailboxes.pop(address, None)
        self.replica.fetching.looked.pop(address, None)
        self.replica.fetching.ask_anew(address)
        self.tell()

    def rows(self, store: Store) -> dict[str, PlaceRow]:
        """What was noted of all places, newest notes first."""
        found = {**store.places.all(), **self._notes}
        return dict(sorted(found.items(), key=lambda one: (-one[1].tried_ms, one[0])))

    # Hearing of it.

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called after every note; return a function that ends that."""
        return self.listeners.add(lambda _seq: callback())

    def on_look(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called when somebody waits for a look into every place; return a function that ends that."""
        return self._looks.add(lambda _seq: callback())

    def look(self) -> None:
        """Have those that keep places in sync look there now."""
        self._looks.tell(0)


def _is_due(written: PlaceRow | None, now: PlaceRow) -> bool:
    if written is None:
        return True
    fixed = written._replace(tried_ms=now.tried_ms, done_ms=now.done_ms, why=now.why)
    changed = fixed != now or bool(written.done_ms) != bool(now.done_ms)
    return changed or abs(now.tried_ms - written.tried_ms) >= _WORTH_NOTING_MS
