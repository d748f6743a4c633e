"""What a session sees of a replica's attachments: behind the seam `protocol.chunks.Attachable`. Source: design 11."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from mmap import mmap
from typing import TYPE_CHECKING, Final

from msgsync.attachment.sealing import BUFFER_BYTES, check_chunk
from msgsync.errors import ReplicaClosed, StorageError
from msgsync.replica import history, space
from msgsync.replica.switch import check_on
from msgsync.store import history as months
from msgsync.store.trouble import storage_errors
from msgsync.store.worker import Worker

if TYPE_CHECKING:
    from msgsync.replica.places import Visit
    from msgsync.replica.replica import Replica
    from msgsync.store.chunkfiles import ChunkFiles
    from msgsync.store.chunkrows import Wanted
    from msgsync.store.store import Store


_ALL: Final = sys.maxsize


class ChunkHolder:
    """Implements `protocol.chunks.Attachable`; takes the replica's lock for each step."""

    def __init__(self, replica: Replica, claimant: Visit | None = None) -> None:
        """Nothing is looked at yet.

        Args:
            replica: this side.
            claimant: the session or round that it is for; what others fetch is left to them. When it is over `end` is
                called, and `Claims.end`. None: then others do not know what is fetched here.
        """
        self._replica = replica
        self._claimant = claimant
        self._taken: dict[bytes, bytes] = {}
        """Chunks, as they are stored, that nobody writes yet: as many as are settled together."""
        self._written: tuple[bytes, ...] = ()
        """Chunks that are being written: by the next call they are on the disk."""
        self._writing = Worker()
        self._left_bytes = self._counted_bytes = 0
        """What is to come, and what that was when it was last counted."""
        self._counted: object = None
        """What that rested on."""
        self._referred = 0
        """When the peer was asked to keep chunks: which messages came later it may not know when it promises."""
        if claimant is not None:
            claimant.ends.append(self.end)

    def end(self) -> None:
        """The session or round is over: what it was writing is noted once it is on the disk, and its thread ends.

        So it is here even if it is paused in the next moment. Does not wait.
        """
        written, self._written = self._written, ()
        note = partial(self._note_left, written)
        if self._writing.busy:  # and this after that
            self._writing.start(note)
        elif written:
            note()
        self._writing.leave()

    def _note_left(self, written: Collection[bytes]) -> None:
        with (
            suppress(ReplicaClosed, StorageError),  # who looks after the folder next finds it
            storage_errors(self._replica.path),
            self._replica.writing() as store,
        ):
            store.attachments.take_up(written)
        self._replica.fetching.news()

    def asks(self) -> bool:
        """See `Attachable.asks`."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return False
            if history.to_ask(store, self._replica.system.now_ms(), 1):
                return True
            if not store.attachments.any:
                return False
            files = store.attachments.files
        files.settle()  # a session that broke off may have something being written still
        with self._replica.reading() as store:
            is_loose = store.attachments.has_loose()
        if is_loose:
            self._sweep()
        with self._replica.reading() as store:
            return bool(self._lacking(store, (), (), 1) or self._to_keep(store, 1))

    def lacking(
        self, passed: Collection[bytes], asked: Collection[bytes], limit: int
    ) -> list[bytes]:
        """See `Attachable.lacking`."""
        if self._replica.fetching.claims.take_left():
            self._sweep()
        with self._replica.reading() as store:
            if store.database.readonly or not store.attachments.any:
                return []
            return self._claimed(store, passed, asked, limit)

    def _sweep(self) -> None:
        """Note what a session that broke off had brought to the disk."""
        with self._replica.writing() as store:
            has_come = store.attachments.sweep()
        if has_come:
            self._replica.fetching.news()

    def _claimed(
        self, store: Store, passed: Collection[bytes], asked: Collection[bytes], limit: int
    ) -> list[bytes]:
        """What this one fetches: what is lacking and nobody else does."""
        claims = self._replica.fetching.claims
        coming = {*asked, *claims.of_others(self._claimant), *store.attachments.files.expected()}
        found = self._lacking(store, passed, coming, limit)
        names = [one.name for one in found]
        if self._claimant is None:
            return names
        return claims.claim(self._claimant, names[: claims.share(self._claimant, len(names))])

    def _lacking(
        self,
        store: Store,
        passed: Collection[bytes],
        asked: Collection[bytes],
        limit: int,
        among: Collection[bytes] | None = None,
    ) -> list[Wanted]:
        """What is read at this moment first, whether or not there is room; of the rest what the budget allows.

        ``among``: see `AttachmentRows.lacking`. Others take room of the budget all the same: they are newer.
        """
        without = {*passed, *asked}
        read_now = [
            name
            for name in self._replica.fetching.names()
            if name not in without and (among is None or name in among)
        ]
        wanted = self._found(store, read_now)[:limit]
        without.update(one.name for one in wanted)
        if space.is_paused(store) or len(wanted) == limit:
            return wanted
        budget = space.budget(store)
        since_ms = 0 if budget is None else budget.since_ms(self._replica.system.now_ms())
        others = store.attachments.lacking(
            without, limit - len(wanted), since_ms=since_ms, among=among
        )
        if budget is None or budget.size is None or not others:
            return wanted + others
        coming = sum(one.size for one in self._found(store, asked))
        room = budget.size - store.attachments.bytes_here() - coming
        return wanted + space.with_room(store, others, room)

    def _found(self, store: Store, names: Collection[bytes]) -> list[Wanted]:
        found = [store.attachments.find(name) for name in names]
        return [one for one in found if one is not None]

    def read(self, name: bytes, start: int, count: int) -> tuple[int, bytes] | None:
        """See `Attachable.read`."""
        with self._replica.reading() as store:
            check_on(store)
            if start == 0 and (space.is_paused(store) or not store.attachments.here([name])):
                return None
            files = store.attachments.files
        with storage_errors(self._replica.path):
            return files.read_piece(name, start, count)

    def can_give(self, names: Collection[bytes]) -> set[bytes]:
        """See `Attachable.can_give`."""
        with self._replica.reading() as store:
            check_on(store)
            if space.is_paused(store):
                return set()
            here = store.attachments.here(names)
        with storage_errors(self._replica.path):
            return {name for name in here if self._replica.fetching.is_here(name)}

    def bytes_to_come(self) -> int:
        """See `Attachable.bytes_to_come`.

        It is counted anew whenever half of it has come, for others take something too.
        """
        with self._replica.reading() as store:
            waits = self._replica.fetching.waiting()
            now = waits, store.attachments.referred, space.budget(store), space.is_paused(store)
            if now != self._counted or self._left_bytes <= self._counted_bytes // 2:
                coming = {*self._taken, *self._written}
                found = self._lacking(store, (), coming, _ALL)
                self._counted = now
                self._left_bytes = self._counted_bytes = sum(one.size for one in found)
            return self._left_bytes

    def take(self, name: bytes, sealed: bytes) -> int | None:
        """See `Attachable.take`."""
        with self._replica.reading() as store:
            check_on(store)
            wanted = store.attachments.find(name)
        if wanted is None:
            self._settled([name])
            return None
        check_chunk(wanted.key, sealed, wanted.size, self._room)
        self._taken[name] = sealed
        self._left_bytes -= wanted.size
        return wanted.size

    @cached_property
    def _room(self) -> memoryview:
        return memoryview(mmap(-1, BUFFER_BYTES))

    def settle(self, place: bytes | str, store_id: bytes, *, wait: bool) -> list[bytes]:
        """See `Attachable.settle`."""
        stored = self._begin(place, store_id)
        if wait:
            stored += self._begin(place, store_id)
        return stored

    def _begin(self, place: bytes | str, store_id: bytes) -> list[bytes]:
        """Note what was being written, once it is, and have written what was taken since."""
        with storage_errors(self._replica.path):
            self._writing.settle()
        written, self._written = self._written, ()
        taken, self._taken = self._taken, {}
        if not written and not taken:
            return []
        with self._replica.lock:
            files = self._replica.store().attachments.files
            files.expect([*taken])
            try:
                here = self._note(place, store_id, written, taken)
                if taken and files.beside:
                    self._writing.start(partial(self._write, files, taken))
            except BaseException:
                files.forget([*taken])
                raise
        if not files.beside:
            with storage_errors(self._replica.path):
                self._write(files, taken)
        self._written = tuple(taken)
        self._settled(written)
        if here:
            space.keep_to_budget(self._replica)
            self._replica.fetching.news()
        return here

    def _write(self, files: ChunkFiles, chunks: Mapping[bytes, bytes]) -> None:
        try:
            files.write_all(chunks.items())
        finally:
            files.forget([*chunks])
            if self._claimant is not None:
                self._replica.fetching.claims.written(self._claimant)

    def _settled(self, names: Collection[bytes]) -> None:
        if self._claimant is not None:
            self._replica.fetching.claims.settle(self._claimant, names)

    def _free(self, name: bytes) -> None:
        if self._claimant is not None:
            self._replica.fetching.claims.free(self._claimant, name)

    def _note(
        self,
        place: bytes | str,
        store_id: bytes,
        written: Collection[bytes],
        taken: Collection[bytes],
    ) -> list[bytes]:
        """In one commit: what is on the disk, and what is about to be written."""
        with self._replica.writing() as store:
            check_on(store)
            files = store.attachments.files  # what nobody needed any more in between has gone again
            store.attachments.arrive([one for one in written if files.size(one) is not None])
            here = store.attachments.here(written)
            store.attachments.loosen(taken)
            store.copies.confirm(place, store_id, here)
        return sorted(here)

    def confirmed(
        self, device: bytes, store_id: bytes, names: Sequence[bytes], *, promised: bool = False
    ) -> None:
        """See `Attachable.confirmed`."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return
        with self._replica.writing() as store:
            counts = promised and self._referred == store.attachments.referred
            store.copies.confirm(device, store_id, names, promised=counts)
            if promised:
                months.confirm(store, device, store_id, names)
        if promised:
            history.upkeep(self._replica)
            space.keep_to_budget(self._replica)

    def denied(self, device: bytes, name: bytes) -> None:
        """See `Attachable.denied`."""
        with self._replica.writing() as store:
            store.copies.deny(device, name)
        self._free(name)

    def to_keep(self, given: int, limit: int) -> list[bytes] | None:
        """See `Attachable.to_keep`."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return []
            self._referred = store.attachments.referred
            if self._referred > given:
                return None
            found = self._to_keep(store, limit)
            return found + history.to_ask(store, self._replica.system.now_ms(), limit - len(found))

    def _to_keep(self, store: Store, limit: int) -> list[bytes]:
        if not space.wants_promises(store):
            return []
        return store.copies.to_ask(space.trusted(store), limit)

    def grant(self, device: bytes, names: Sequence[bytes]) -> tuple[bytes, ...]:
        """See `Attachable.grant`."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return ()
            promises = space.budget(store) is None
        # Who hears of a promise may let go of the last other copy, so each is read first.
        is_whole = self._replica.fetching.is_whole
        whole = [name for name in names if is_whole(name)] if promises else []
        # Who hears of a promise may let go at once: neither it nor what it is for may be lost with the power.
        with (
            self._replica.holding() as held,
            held.database.synced(),
            self._replica.writing() as store,
        ):
            granted: list[bytes] = []
            if space.budget(store) is None:
                granted += store.copies.grant(device, whole)
            if history.keeps_all(store):
                granted += months.grant(store, device, names)
            return tuple(granted)
