"""A replica's chunks and one mailbox: the store behind `protocol.chunkcourier`. Source: design 11, decision 36."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.document.schema import DAY_MS
from msgsync.replica import space
from msgsync.replica.chunkholder import ChunkHolder
from msgsync.replica.fetching import Looked, Refused
from msgsync.replica.switch import check_on

if TYPE_CHECKING:
    from msgsync.replica.places import Visit
    from msgsync.replica.replica import Replica

_REMOVE_WITHIN_MS: Final = limits.CONFIRM_MS // 2
"""After the logs were read, in a round; see the rules of `protocol.chunkcourier`."""


class ChunkMailing(ChunkHolder):
    """Implements `protocol.chunkcourier.ChunkCorrespondent`; takes the replica's lock for each step."""

    def __init__(self, replica: Replica, address: str, claimant: Visit | None = None) -> None:
        """Begin a round, with the mailbox at an address."""
        super().__init__(replica, claimant)
        self._address = address
        self._begun_ms = replica.system.now_ms()
        self._seen_before_ms = self._begun_ms - limits.CONFIRM_MS
        self._listed: Collection[bytes] = ()
        self._all_put = False
        self._number = next(replica.fetching.rounds)
        with replica.reading() as store:
            if not store.copies.has_undated(address):
                return
        with replica.writing() as store:
            store.copies.begin_round(address, self._number)

    def rubbish(self) -> list[bytes]:
        """See `ChunkCorrespondent.rubbish`."""
        if abs(self._replica.system.now_ms() - self._begun_ms) > _REMOVE_WITHIN_MS:
            return []
        with self._replica.reading() as store:
            return store.copies.rubbish(self._address, 1)  # time passes with each that is removed

    def removed(self, name: bytes) -> None:
        """See `ChunkCorrespondent.removed`."""
        with self._replica.writing() as store:
            store.copies.removed(self._address, name)

    def is_listing_due(self) -> bool:
        """See `ChunkCorrespondent.is_listing_due`."""
        with self._replica.reading() as store:
            if not store.attachments.any:
                return False
            is_paused = space.is_paused(store)
            if not is_paused and store.copies.to_put(self._address, 1):
                return True
            looked = self._replica.fetching.looked.get(self._address)
            now_ms = self._replica.system.now_ms()
            if not is_paused and (looked is None or abs(now_ms - looked.last_ms) > DAY_MS):
                return True
            if not is_paused and store.copies.is_to_see(self._address, self._seen_before_ms):
                return True
            if not self._lacking(store, self._refused(), (), 1):
                return False
            if looked is None:
                return True
            return looked.is_due(store.changed_seq, now_ms) or bool(self._replica.fetching.names())

    def note_listed(self, names: Collection[bytes]) -> None:
        """See `ChunkCorrespondent.note_listed`."""
        self._listed = names
        with self._replica.writing() as store:
            refused = self._replica.fetching.refused
            if known := refused.get(self._address):
                refused[self._address] = {one: known[one] for one in known.keys() & names}
            store.copies.note_listed(
                self._address, names, all_put=self._all_put, before_ms=self._seen_before_ms
            )

    def to_fetch(self, limit: int) -> list[bytes]:
        """See `ChunkCorrespondent.to_fetch`."""
        with self._replica.reading() as store:
            check_on(store)
            others = self._replica.fetching.claims.of_others(self._claimant)
            coming = {*others, *self._taken, *self._written}
            found = self._lacking(store, self._refused(), coming, limit, among=self._listed)
            return [one.name for one in found if one.name in self._listed]

    def _refused(self) -> set[bytes]:
        """What this mailbox has listed and not given so often that it is asked for it only later."""
        now_ms = self._replica.system.now_ms()
        known = self._replica.fetching.refused.get(self._address, {})
        return {name for name, refused in known.items() if not refused.is_due(now_ms)}

    def claim(self, names: Sequence[bytes]) -> list[bytes]:
        """See `ChunkCorrespondent.claim`."""
        if self._claimant is None:
            return [*names]
        return self._replica.fetching.claims.claim(self._claimant, names)

    def fetched(self) -> None:
        """See `ChunkCorrespondent.fetched`."""
        with self._replica.reading() as store:
            seq = store.changed_seq
        before = self._replica.fetching.looked.get(self._address)
        now_ms = self._replica.system.now_ms()
        first_ms = now_ms if before is None or before.seq != seq else before.first_ms
        self._replica.fetching.looked[self._address] = Looked(seq, first_ms, now_ms)

    def settle_here(self, *, wait: bool) -> None:
        """See `ChunkCorrespondent.settle_here`."""
        self.settle(self._address, b"", wait=wait)

    def to_put(self, limit: int) -> list[bytes]:
        """See `ChunkCorrespondent.to_put`."""
        with self._replica.reading() as store:
            check_on(store)
            return [] if space.is_paused(store) else store.copies.to_put(self._address, limit)

    def bytes_to_put(self) -> int:
        """See `ChunkCorrespondent.bytes_to_put`."""
        with self._replica.reading() as store:
            return store.copies.not_there(self._address)[1]

    def sealed(self, name: bytes) -> bytes | None:
        """See `ChunkCorrespondent.sealed`."""
        self._replica.sync.check()
        return self._replica.fetching.give(name)

    def noted(self, name: bytes, *, confirmed: bool) -> None:
        """See `ChunkCorrespondent.noted`."""
        with self._replica.writing() as store:
            store.copies.note_there(self._address, name, confirmed=confirmed)

    def date(self) -> None:
        """See `ChunkCorrespondent.date`."""
        self._all_put = True
        with self._replica.reading() as store:
            if not store.copies.has_undated(self._address):
                return
        with self._replica.writing() as store:
            store.copies.date(self._address, self._number, self._replica.system.now_ms())

    def gone(self, name: bytes) -> None:
        """See `ChunkCorrespondent.gone`."""
        with self._replica.writing() as store:
            store.copies.deny(self._address, name)
            known = self._replica.fetching.refused.setdefault(self._address, {})
            times = known[name].times if name in known else 0
            known[name] = Refused(times + 1, self._replica.system.now_ms())
        self._free(name)

    def to_confirm(self, limit: int) -> list[bytes]:
        """See `ChunkCorrespondent.to_confirm`."""
        with self._replica.reading() as store:
            if not space.wants_promises(store) or space.is_paused(store):
                return []
            before_ms = self._replica.system.now_ms() - limits.CONFIRM_MS
            return store.copies.to_confirm(self._address, before_ms, limit)
