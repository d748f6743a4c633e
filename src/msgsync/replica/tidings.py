"""What devices tell each other through a mailbox; half of what is behind `protocol.correspondent`. Source: design 9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.document.digest import MODULUS, document_share
from msgsync.document.schema import DAY_MS
from msgsync.protocol.tidings import Tidings, heard_ms, read_tidings, write_tidings
from msgsync.replica import expiry
from msgsync.replica.devices import live_devices
from msgsync.standing import digest
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_UNREADABLE: Final = 16
"""Logs that tidings name at most."""


class Telling:
    """The tidings in one mailbox; takes the replica's lock for each step.

    Args:
        replica: whose mailbox it is.
        key: of the mailbox.
        last_round_ms: when a round there was last complete; 0 if none was.
    """

    def __init__(self, replica: Replica, key: int, last_round_ms: int) -> None:
        self._replica = replica
        self._key = key
        self._last_round_ms = last_round_ms or replica.system.now_ms()
        self._said: bytes = b""

    def _all(self, store: Store) -> dict[bytes, Tidings]:
        """The latest of each device, own ones too."""
        found = {}
        for device, _, raw in store.mailboxes.tidings(self._key):
            tidings = read_tidings(raw)
            if tidings is not None:
                found[device] = tidings
        return found

    def hear(self, device: bytes, sequence: int, raw: bytes) -> Tidings | None:
        """Keep what a device said; None if it is none, or of before what is known."""
        tidings = read_tidings(raw)
        if tidings is None or device == self._replica.device.raw:
            return None
        with self._replica.reading() as store:
            known = {at: last for at, last, _ in store.mailboxes.tidings(self._key)}
        if known.get(device, 0) >= sequence:
            return None
        with self._replica.writing() as store:
            store.mailboxes.write_tidings(self._key, device, sequence, raw)
        return tidings

    def learn(self) -> None:
        """Learn what follows from what was said, as all is now that was read."""
        replica = self._replica
        now_ms = replica.system.now_ms()
        own = replica.device.raw
        with replica.watch.learning() as store:
            everybody = self._all(store)
            if everybody.keys() <= {own}:
                return
            there = self._there(store)
            revoked = store.revoked()
            for device, tidings in everybody.items():
                if device == own or device in revoked:
                    continue
                if abs(tidings.time_ms - now_ms) <= limits.CLOCKS_AGREE_MS:
                    store.peers.note_time(tidings.time_ms)
                self._learn_from(store, device, tidings, now_ms, there)
        self._keep(now_ms)

    def _learn_from(
        self, store: Store, device: bytes, tidings: Tidings, now_ms: int, there: int | None
    ) -> None:
        identity, said = store.identity, int.from_bytes(tidings.root, "big")
        fits = store.peers.hear(identity, device, tidings.known, now_ms, lives=False)
        ours = store.standings()
        theirs, known = tidings.known.get(device), ours.get(device)
        if theirs is None or known is None or theirs.store_id != known.store_id:
            return
        if not fits or ours[identity.device.raw].store_id != identity.store_id:
            return
        at_ms = heard_ms(tidings, identity.device.raw, now_ms)
        if said == store.root:
            # What is known of the device by now may be later than what it had then.
            ours = {**ours, device: theirs}
            store.peers.meet(identity, device, ours, tidings.known, at_ms, now_ms, lives=False)
        elif said == there:
            store.peers.include(identity, device, tidings.known, at_ms, now_ms)

    def _there(self, store: Store) -> int | None:
        """The digest of all that lies in the mailbox, whatever else is here; None if it cannot be told."""
        there = store.root
        for key, of_document in store.mailboxes.beside(self._key):
            row = store.documents.by_key(key)
            if row.lacks is not None:
                continue  # whoever has it puts it
            if not of_document:
                return None
            there += document_share(row.id, int.from_bytes(of_document, "big"))
            there -= document_share(row.id, row.digest)
        return there % MODULUS

    def _keep(self, now_ms: int) -> None:
        """Write what was learned, and erase what nobody can restore any more."""
        with self._replica.reading() as store:
            if not store.peers.is_news and not expiry.is_due(store, now_ms):
                return
        with self._replica.writing() as store:
            expiry.run(store, now_ms)

    def say(self, *, anyway: bool) -> bytes:
        """What is to be said now; nothing if others know it, unless ``anyway``."""
        replica = self._replica
        now_ms, own = replica.system.now_ms(), replica.device.raw
        with replica.reading() as store:
            everybody = self._all(store)
            before = everybody.get(own)
            tidings = Tidings(
                store.root.to_bytes(16, "big"),
                now_ms,
                store.standings(),
                {device: one.time_ms for device, one in everybody.items() if device != own},
                self._unreadable(store, now_ms),
            )
            if not anyway and not self._is_news(store, tidings, before, everybody):
                return b""
        self._said = write_tidings(tidings)
        return self._said

    def _is_news(
        self,
        store: Store,
        tidings: Tidings,
        before: Tidings | None,
        everybody: dict[bytes, Tidings],
    ) -> bool:
        own = store.identity.device.raw
        if {*tidings.unreadable} - {*(() if before is None else before.unreadable)}:
            return True
        if not live_devices(store) - {own}:
            return False
        last_ms = max((one.time_ms for one in everybody.values()), default=None)
        if last_ms is None:
            return False
        # A sign of life does not wait: who comes once a day, just after somebody else, would never give one.
        if before is not None and not 0 <= tidings.time_ms - before.time_ms < DAY_MS:
            return True
        if before is None and not 0 <= tidings.time_ms - self._last_round_ms < limits.TIDINGS_MS:
            return True
        if 0 <= tidings.time_ms - last_ms < limits.TIDINGS_MS:
            return False
        told = {digest(one.known) for one in everybody.values()}
        return before is None or digest(tidings.known) not in told

    def _unreadable(self, store: Store, now_ms: int) -> tuple[str, ...]:
        stops = store.mailboxes.stops(self._key)
        long = (at for at, ms in stops.items() if now_ms - ms >= limits.STOPPED_LOG_MS)
        return tuple(sorted(long)[:_UNREADABLE])

    def said(self, store: Store, sequence: int) -> None:
        """It was put; within a transaction."""
        if self._said:
            own = store.identity.device.raw
            store.mailboxes.write_tidings(self._key, own, sequence, self._said)
            self._said = b""
