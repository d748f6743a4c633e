"""Reading chunks of attachments on this device, and waiting for those that are not here yet. Source: design 11.

Who waits asks for nothing by himself: sessions that stay connected are told what is waited for, and fetch that before
all else; so does the next session that begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from msgsync.attachment.sealing import open_chunk
from msgsync.errors import (
    AttachmentDamaged,
    AttachmentElsewhere,
    AttachmentGone,
    AttachmentPaused,
    ReplicaClosed,
)
from msgsync.replica.claims import Claims
from msgsync.replica.listeners import Listeners
from msgsync.replica.times import check_timeout
from msgsync.store.chunkfiles import ChunkFiles
from msgsync.store.chunkrows import HERE
from msgsync.store.copies import FIRST_ROUND
from msgsync.store.trouble import storage_errors

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.chunkrows import Wanted
    from msgsync.store.store import Store


_LOOK_AGAIN_MS: Final = 10 * 60_000
_TRIES_AT_ONCE: Final = 3
"""So often a mailbox is asked at once for what it lists and does not give: more may have been read wrongly than one."""
_TRY_AGAIN_MS: Final = 1000
"""So long it is left alone then, and twice as long each time."""


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


class Refused(NamedTuple):
    """How often a mailbox has listed a chunk and not given it, or another one each time."""

    times: int
    last_ms: int

    def is_due(self, now_ms: int) -> bool:
        """Whether to ask for it again."""
        doublings = self.times - _TRIES_AT_ONCE
        if doublings < 0:
            return True
        wait_ms = min(_TRY_AGAIN_MS << min(doublings, 10), _LOOK_AGAIN_MS)
        return abs(now_ms - self.last_ms) >= wait_ms


class Fetching:
    """Implements `store.chunkrows.ChunkSource`. Safe to use from several threads; never waits under the lock."""

    def __init__(self, replica: Replica, files: ChunkFiles) -> None:
        """Nobody waits yet."""
        self._replica = replica
        self._files = files
        self._news = threading.Condition()
        self._waited_for: dict[bytes, int] = {}
        """Names of chunks, and how many wait for each, in the order in which they began."""
        self.waits: set[Wait] = set()
        """Who waits."""
        self._arrivals = 0
        """How often something came."""
        self._used: set[bytes] = set()
        self._closed = False
        self.looked: dict[str, Looked] = {}
        """By the address of the mailbox."""
        self.refused: dict[str, dict[bytes, Refused]] = {}
        """By the address of the mailbox, and the name of the chunk; under the replica's lock."""
        self.listeners = Listeners()
        """Who is to look what is waited for."""
        self.claims = Claims(self._look_again)
        self.rounds = count(FIRST_ROUND)
        """Numbers for rounds at mailboxes, as they begin."""

    # Reading.

    def read(self, name: bytes) -> bytes | None:
        """A chunk as it is stored; None if it is not here."""
        sealed = self.give(name)
        if sealed is not None:
            self._used.add(name)
        return sealed

    def give(self, name: bytes) -> bytes | None:
        """The same for somebody else: it does not count as used here."""
        return self._files.read(name)

    def is_here(self, name: bytes) -> bool:
        """Whether a chunk lies in the folder."""
        return self._files.size(name) is not None

    def is_whole(self, name: bytes) -> bool:
        """Whether a chunk lies here as it was stored; it is read. If it should and does not, that is noted."""
        with self._replica.reading() as store:
            wanted = store.attachments.find(name) if store.attachments.here([name]) else None
        if wanted is None:
            return False
        if self._is_sound(wanted):
            return True
        if self.is_here(name):
            self.damaged(name)
        else:
            self.missing(name)
        return False

    def is_needed(self, name: bytes) -> bool:
        """Whether any message needs a chunk."""
        with self._replica.reading() as store:
            return store.attachments.find(name) is not None

    def damaged(self, name: bytes) -> None:
        """A chunk was found to be not what was stored: it goes, and is fetched anew.

        Not if it is sound when it is read again: it may have been read wrongly, or have come anew since, and it may be
        the last copy.
        """
        with suppress(ReplicaClosed), self._replica.holding() as store:
            if not store.database.readonly and not self._is_sound(store.attachments.find(name)):
                with self._replica.writing():
                    store.attachments.vanish(name, damaged=True)

    def _is_sound(self, wanted: Wanted | None) -> bool:
        if wanted is None:
            return False
        with storage_errors(self._replica.path):
            sealed = self._files.read(wanted.name)
        if sealed is None:
            return False
        try:
            open_chunk(wanted.key, sealed, wanted.size)
        except AttachmentDamaged:
            return False
        return True

    def missing(self, name: bytes) -> None:
        """A chunk that should be here is not."""
        with suppress(ReplicaClosed), self._replica.holding() as store:
            if not store.database.readonly and store.attachments.here([name]):
                with self._replica.writing():
                    store.attachments.vanish(name, damaged=False)

    @property
    def has_used(self) -> bool:
        """Whether there is anything for `note_use`."""
        return bool(self._used)

    def note_use(self, store: Store) -> None:
        """Write down what was read, or waited for, since this was asked. Within a transaction."""
        used, self._used = self._used, set()
        # A copy: who has just begun to read may still add to it.
        store.attachments.use([*used], self._replica.system.now_ms())

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
            AttachmentPaused: somebody has stopped it.
            AttachmentGone: no message needs one of them any more.
            ReplicaClosed: the replica was closed meanwhile.
            InvalidValue: it is no time.
        """
        check_timeout(timeout)
        wait = Wait(self, names)
        wait.begin()
        try:
            self._wait(wait, timeout, on_arrival)
        finally:
            wait.end()

    def _wait(
        self, wait: Wait, timeout: float | None, on_arrival: Callable[[], object] | None
    ) -> None:
        with self._news:
            seen = self._arrivals
        while not wait.is_over():
            with self._news:
                came = self._news.wait_for(partial(self._is_news, seen), timeout)
                seen = self._arrivals
            if not came:
                raise AttachmentElsewhere(
                    f"nothing of what is missing came for {timeout} s; connect to a device that has it, "
                    "with sync(..., watch=True) or serve, or wait longer"
                )
            if on_arrival is not None and not self._closed:
                on_arrival()

    def _is_news(self, seen: int) -> bool:
        return self._closed or self._arrivals != seen

    def ring(self) -> None:
        """Have sessions that stay look for what is waited for."""
        with self._replica.lock:
            seq = self._replica.store().seq
        self.listeners.tell(seq)

    def _look_again(self) -> None:
        """A source could not give what it was asked for: others may."""
        self.looked.clear()
        self.listeners.tell(0)

    def ask_anew(self, address: str) -> None:
        """Somebody syncs with a mailbox once: it is asked for everything, whatever it refused before."""
        with self._replica.lock:
            self.refused.pop(address, None)

    def pause(self, names: Collection[bytes]) -> None:
        """Do not fetch these any more, neither by themselves nor for who waits for them."""
        with self._replica.writing() as store:
            store.attachments.pause(names)
        with self._news:
            for wait in self.waits:
                wait.is_stopped = wait.is_stopped or not wait.names.isdisjoint(names)
        self.news()

    def resume(self, names: Collection[bytes]) -> None:
        """Fetch these by themselves again."""
        with self._replica.writing() as store:
            store.attachments.resume(names)
        self.ring()

    def come_back(self) -> int:
        """Fetch by itself again whatever was let go of or paused; return how many bytes of files that is."""
        with self._replica.writing() as store:
            back_bytes = store.attachments.come_back()
        if back_bytes:
            self.looked.clear()
            self.ring()
        return back_bytes

    # What a session tells.

    def waiting(self) -> frozenset[Wait]:
        """Who waits at this moment."""
        with self._news:
            return frozenset(self.waits)

    def names(self) -> list[bytes]:
        """What is waited for, in the order in which that began."""
        with self._news:
            return [name for name in self._waited_for if self._files.size(name) is None]

    def news(self) -> None:
        """Something came, or will not come any more."""
        with self._news:
            self._arrivals += 1
            self._news.notify_all()
            waits = [*self.waits]
        for wait in waits:
            wait.on_news()

    def end(self) -> None:
        """The replica was closed."""
        self._closed = True
        self.news()
        self._files.close()

    @property
    def closed(self) -> bool:
        """Whether the replica was closed."""
        return self._closed

    def join(self, wait: Wait) -> None:
        """Somebody begins to wait."""
        with self._replica.lock:  # what comes does not go again for something else that comes
            self._replica.store().attachments.hold(wait.names)
            for names in self.refused.values():
                for name in wait.names & names.keys():
                    del names[name]
        self._used.update(wait.names)
        with self._news:
            self.waits.add(wait)
            for name in wait.names:
                self._waited_for[name] = self._waited_for.get(name, 0) + 1
        self.ring()

    def part(self, wait: Wait) -> None:
        """He waits no longer."""
        with self._news:
            self.waits.discard(wait)
            for name in wait.names:
                self._waited_for[name] -= 1
                if not self._waited_for[name]:
                    del self._waited_for[name]
        with suppress(ReplicaClosed), self._replica.lock:
            self._replica.store().attachments.let(wait.names)

    def states(self, wait: Wait) -> dict[bytes, int]:
        """Where what somebody waits for is."""
        with self._replica.reading() as store:
            return store.attachments.states(wait.names)


class Wait:
    """Somebody waits for chunks. They are fetched before what nobody waits for, and do not go again."""

    def __init__(
        self,
        fetching: Fetching,
        names: Collection[bytes],
        on_news: Callable[[], object] = lambda: None,
    ) -> None:
        """``on_news``: called, on any thread, when it may be over."""
        self._fetching = fetching
        self.names = frozenset(names)
        self.on_news = on_news
        self.is_stopped = False

    def begin(self) -> None:
        """Wait from now on. Raises ReplicaClosed."""
        self._fetching.join(self)

    def end(self) -> None:
        """Wait no longer."""
        self._fetching.part(self)

    def is_over(self) -> bool:
        """Whether all of it is here.

        Raises:
            AttachmentPaused, AttachmentGone, ReplicaClosed: it does not come any more.
        """
        if self._fetching.closed:
            raise ReplicaClosed("the replica was closed meanwhile")
        states = self._fetching.states(self)
        if not states.keys() >= self.names:
            raise AttachmentGone(
                "it was erased, or the message that it went with; its bytes are nowhere any more"
            )
        if all(state == HERE for state in states.values()):
            return True
        if self.is_stopped:
            raise AttachmentPaused(
                "it was stopped meanwhile; what came is kept, and ensure_local() goes on from there"
            )
        return False
