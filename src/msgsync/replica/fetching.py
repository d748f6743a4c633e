"""Reading chunks of attachments on this device, and waiting for those that are not here yet. Source: design 11.

Who waits asks for nothing by himself: sessions that stay connected are told what is waited for, and fetch that before
all else; so does the next session that begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from msgsync.errors import AttachmentElsewhere, AttachmentGone, ReplicaClosed
from msgsync.replica.claims import Claims
from msgsync.replica.devices import check_timeout
from msgsync.replica.listeners import Listeners
from msgsync.store.attachments import HERE
from msgsync.store.chunkfiles import ChunkFiles

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.store import Store


_LOOK_AGAIN_MS: Final = 10 * 60_000


class Looked(NamedTuple):
    """When chunks were looked for in a mailbox that were not there."""

    seq: int
    """After which commit: what came with a later one may be there at once."""
    first_ms: int
    last_ms: int

    def is_due(self, seq: int, now_ms: int) -> bool:
        """Whether to look again: more and more rarely, until it is every ten minutes."""
        waited_ms = abs(now_ms - self.last_ms)
        passed_ms = abs(self.last_ms - self.first_ms)
        return seq != self.seq or waited_ms >= min(passed_ms, _LOOK_AGAIN_MS)


class Fetching:
    """Implements `store.attachments.ChunkSource`. Safe to use from several threads; never waits under the lock."""

    def __init__(self, replica: Replica, files: ChunkFiles) -> None:
        """Nobody waits yet."""
        self._replica = replica
        self._files = files
        self._news = threading.Condition()
        self._waited_for: dict[bytes, int] = {}
        """Names of chunks, and how many wait for each, in the order in which they began."""
        self._arrivals = 0
        """How often something came."""
        self._used: set[bytes] = set()
        self._closed = False
        self.looked: dict[str, Looked] = {}
        """By the address of the mailbox."""
        self.listeners = Listeners()
        """Who is to look what is waited for."""
        self.claims = Claims(self._look_again)

    # Reading.

    def read(self, name: bytes) -> bytes | None:
        """A chunk as it is stored; None if it is not here."""
        sealed = self._files.read(name)
        if sealed is not None:
            self._used.add(name)
        return sealed

    def is_here(self, name: bytes) -> bool:
        """Whether a chunk lies in the folder."""
        return self._files.size(name) is not None

    def is_needed(self, name: bytes) -> bool:
        """Whether any message needs a chunk."""
        with self._replica.reading() as store:
            return store.attachments.find(name) is not None

    def damaged(self, name: bytes) -> None:
        """A chunk was found to be not what was stored: it goes, and is fetched anew."""
        with suppress(ReplicaClosed), self._replica.lock:
            if not self._replica.store().database.readonly:
                with self._replica.writing() as store:
                    store.attachments.vanish(name, damaged=True)

    def missing(self, name: bytes) -> None:
        """A chunk that should be here is not."""
        with suppress(ReplicaClosed), self._replica.lock:
            store = self._replica.store()
            if not store.database.readonly and store.attachments.here([name]):
                with self._replica.writing():
                    store.attachments.vanish(name, damaged=False)

    def note_use(self, store: Store) -> None:
        """Write down what was read since this was asked. Within a transaction."""
        used, self._used = self._used, set()
        store.attachments.use(used, self._replica.system.now_ms())

    # Waiting.

    def fetch(
        self,
        names: Collection[bytes],
        timeout: float | None,
        on_arrival: Callable[[], object] | None = None,
    ) -> None:
        """Block until these are here.

        Args:
            names: of chunks.
            timeout: how long to wait for the next of them, in seconds; None for ever.
            on_arrival: called whenever one came.

        Raises:
            AttachmentElsewhere: none came for so long.
            AttachmentGone: no message needs one of them any more.
            ReplicaClosed: the replica was closed meanwhile.
            InvalidValue: it is no time.
        """
        check_timeout(timeout)
        with self._news:
            for name in names:
                self._waited_for[name] = self._waited_for.get(name, 0) + 1
        pinned = [*names]
        with self._replica.lock:  # what comes does not go again for something else that comes
            attachments = self._replica.store().attachments
            attachments.pin(pinned)
        try:
            self._ring()
            self._wait_for(names, timeout, on_arrival)
        finally:
            with self._replica.lock:
                attachments.release(pinned)
            with self._news:
                for name in names:
                    self._waited_for[name] -= 1
                    if not self._waited_for[name]:
                        del self._waited_for[name]

    def _wait_for(
        self,
        names: Collection[bytes],
        timeout: float | None,
        on_arrival: Callable[[], object] | None,
    ) -> None:
        with self._news:
            seen = self._arrivals
        while self._lacks(names):
            with self._news:
                came = self._news.wait_for(partial(self._is_news, seen), timeout)
                seen = self._arrivals
            if self._closed:
                raise ReplicaClosed(f"{self._replica.path} was closed meanwhile")
            if not came:
                raise AttachmentElsewhere(
                    f"nothing of what is missing came for {timeout} s; connect to a device that has it, "
                    "with sync(..., watch=True) or serve, or wait longer"
                )
            if on_arrival is not None:
                on_arrival()

    def _is_news(self, seen: int) -> bool:
        return self._closed or self._arrivals != seen

    def _lacks(self, names: Collection[bytes]) -> bool:
        with self._replica.reading() as store:
            states = store.attachments.states(names)
        if not states.keys() >= set(names):
            raise AttachmentGone(
                "it was erased, or the message that it went with; its bytes are nowhere any more"
            )
        return any(state != HERE for state in states.values())

    def _ring(self) -> None:
        """Have sessions that stay look for what is waited for."""
        with self._replica.lock:
            seq = self._replica.store().seq
        self.listeners.tell(seq)

    def _look_again(self) -> None:
        """A source could not give what it was asked for: others may."""
        self.looked.clear()
        self.listeners.tell(0)

    # What a session tells.

    def names(self) -> list[bytes]:
        """What is waited for, in the order in which that began."""
        with self._news:
            return [name for name in self._waited_for if self._files.size(name) is None]

    def news(self) -> None:
        """Something came."""
        with self._news:
            self._arrivals += 1
            self._news.notify_all()

    def end(self) -> None:
        """The replica was closed."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._files.close()
