"""Rows of what devices are known to have. Source: `msgsync.standing`, design 7.

What a session learns is kept in memory until the next commit, or the end of the exchange: a live session learns
something with every message, and losing it means only to know less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from msgsync import limits
from msgsync.document.schema import DAY_MS
from msgsync.errors import ReplicaDamaged
from msgsync.standing import Standing, Standings, included, joined, met, tell_the_same
from msgsync.store.database import Database

if TYPE_CHECKING:
    from msgsync.store.identity import Identity

_PEER_MS: Final = "peer_ms"
_HOUR_MS: Final = 3_600_000


class Peers:
    """Standings of all devices as this replica knows them; the caller holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._learned: Standings = {}
        self._read: Standings | None = None
        """What is written, read once; not where another process may write."""
        self._reckoned: tuple[bytes, int, Standings] | None = None
        """What `_known` came to, for which store, and until when everybody was heard in it."""
        self._told: tuple[Standings, int, Standings] | None = None
        """What `standings` said last, and what of: without a change it is the same object."""
        self._peer_ms: int | None = None
        self.was_rolled_back = False
        """Whether a peer has commits of this store that it never made, so that it needs a new store id."""

    def standings(self, own: Identity, now_ms: int) -> Standings:
        """What is known now; of this device what is the case.

        When others were heard is not believed if it lies ahead of this clock.
        """
        device = own.device.raw
        known = self._known(own, now_ms + limits.CLOCKS_AGREE_MS)
        last: int = self._database.one("select coalesce(max(changed_seq), 0) from documents")[0]
        if self._told is None or self._told[0] is not known or self._told[1] != last:
            ours = known[device]._replace(has={**known[device].has, device: last})
            self._told = known, last, {**known, device: ours}
        return self._told[2]

    def _known(self, own: Identity, latest_ms: int) -> Standings:
        """`standings`, but for the last commit of this device."""
        device = own.device.raw
        reckoned = self._reckoned
        if (
            reckoned is not None
            and reckoned[0] == own.store_id
            and reckoned[1] <= latest_ms
            and not self._database.readonly
        ):
            return reckoned[2]
        known = joined(self._written(), self._learned, first=(device,), until_ms=latest_ms)
        if device not in known:
            fresh = {device: Standing(own.store_id, 0, 0, {})}
            known = joined(known, fresh, first=(device,), until_ms=latest_ms)
        ours = known[device]
        if ours.store_id != own.store_id:  # this file was put back from a backup
            renewals = _one_more(ours.renewals)
            known[device] = ours._replace(store_id=own.store_id, renewals=renewals)
        heard_ms = max(standing.heard_ms for standing in known.values())
        if heard_ms <= latest_ms:
            self._reckoned = own.store_id, heard_ms, known
            return known
        return {
            each: standing if standing.heard_ms <= latest_ms else standing._replace(heard_ms=0)
            for each, standing in known.items()
        }

    def _learn(self, standings: Standings) -> None:
        if standings != self._learned:
            self._learned = standings
            self._reckoned = None

    def _written(self) -> Standings:
        if self._read is None or self._database.readonly:
            self._read = self._read_rows()
        return self._read

    def _read_rows(self) -> Standings:
        """What is written. Raises ReplicaDamaged if that is none."""
        has: dict[bytes, dict[bytes, int]] = {}
        for device, of, seq in self._rows("device, of, seq from acknowledged", bytes, bytes, int):
            has.setdefault(device, {})[of] = seq
        peers = "device, store_id, renewals, heard_ms from peers"
        return {
            device: Standing(store_id, renewals, heard_ms, has.get(device, {}))
            for device, store_id, renewals, heard_ms in self._rows(peers, bytes, bytes, int, int)
        }

    def _rows(self, what: str, *kinds: type) -> Iterator[tuple[Any, ...]]:
        for row in self._database.execute(f"select {what}"):
            if tuple(map(type, row)) != kinds:
                raise ReplicaDamaged("what is said of devices is not what it was; run repair")
            yield row

    def recall(self, own: Identity, device: bytes) -> tuple[bytes, int] | None:
        """The store id of a device, and up to which of our commits it is known to have everything."""
        standing = self.standings(own, limits.MS).get(device)
        seq = None if standing is None else standing.has.get(own.device.raw)
        return None if standing is None or seq is None else (standing.store_id, seq)

    # Learning.

    def hear(
        self,
        own: Identity,
        peer: bytes,
        theirs: Standings,
        now_ms: int,
        *,
        suspect: bool = True,
        lives: bool = True,
    ) -> bool:
        """Take over what a peer knows; return whether it fits what this replica knows of itself.

        It does not if another replica takes part under this device's id, or this one was rolled back to an earlier
        state without being told so. What the peer knew in common with that other past is not this one's.

        Args:
            own: who this replica is.
            peer: the device that says so. Of itself alone it is believed that it has commits which this replica
                never made; others are not said to have them.
            theirs: what it says.
            now_ms: what this clock says.
            suspect: whether this replica is then taken to have been rolled back.
            lives: whether the peer says so now; else it may have begun anew since.
        """
        ours = dict(self.standings(own, now_ms))
        device = own.device.raw
        standing, rival = ours[device], theirs.get(device)
        if peer != device and lives:
            theirs = _as_it_is_now(ours, theirs, peer)
        fits = True
        if rival is not None and rival.store_id == own.store_id:
            last = standing.has[device]
            if peer in theirs and theirs[peer].has.get(device, 0) > last:
                self.was_rolled_back = self.was_rolled_back or suspect
                return False
            theirs = _without_later(theirs, device, last)
        elif rival is not None and rival.renewals >= standing.renewals:
            ours[device] = standing._replace(renewals=_one_more(rival.renewals))
            theirs = {each: other for each, other in theirs.items() if each != device}
            fits = False
        latest_ms = now_ms + limits.CLOCKS_AGREE_MS
        self._learn(joined(ours, theirs, first=(device,), until_ms=latest_ms))
        return fits

    def meet(
        self,
        own: Identity,
        peer: bytes,
        ours: Standings,
        theirs: Standings,
        at_ms: int,
        now_ms: int,
        *,
        suspect: bool = True,
        lives: bool = True,
    ) -> Standings:
        """Note that this replica and a peer were found equal, as they were when they knew ``ours`` and ``theirs``.

        ``at_ms``: when, if their clocks agreed, else 0; ``suspect``, ``lives``: see `hear`. Return what both know then.
        """
        device = own.device.raw
        if peer == device or peer not in theirs:
            return {}
        fits = self.hear(own, peer, theirs, now_ms, suspect=suspect, lives=lives)
        if not fits or ours[device].store_id != own.store_id:
            return {}
        known = self.standings(own, now_ms)
        if lives:
            theirs = _as_it_is_now(ours, theirs, peer)
        theirs = _without_later(theirs, device, known[device].has[device])
        together = met(ours, theirs, (device, peer), at_ms)
        latest_ms = now_ms + limits.CLOCKS_AGREE_MS
        self._learn(joined(known, together, first=(device, peer), until_ms=latest_ms))
        return together

    def include(
        self,
        own: Identity,
        peer: bytes,
        theirs: Standings,
        at_ms: int,
        now_ms: int,
    ) -> None:
        """Note that all is here that a peer had when it knew ``theirs``, which was heard and fits; see `meet`."""
        device = own.device.raw
        known = self.standings(own, now_ms)
        if known[device].store_id != own.store_id or peer not in theirs:
            return
        theirs = _without_later(theirs, device, known[device].has[device])
        more = included(known, theirs, (device, peer), at_ms)
        latest_ms = now_ms + limits.CLOCKS_AGREE_MS
        self._learn(joined(known, more, first=(device, peer), until_ms=latest_ms))

    def begin_anew(self, own: Identity) -> None:
        """This replica has a new store id from now on; what others were known to have of it is void."""
        device = own.device.raw
        self._learn(
            {
                each: standing._replace(
                    has={of: n for of, n in standing.has.items() if of != device}
                )
                for each, standing in self.standings(own, limits.MS).items()
            }
        )
        self._database.execute("delete from acknowledged where of = ?", (device,))
        self.forget()

    # The last time that a peer said.

    def note_time(self, peer_ms: int) -> None:
        """A peer's clock says so now."""
        self._peer_ms = peer_ms

    def last_time_ms(self) -> int | None:
        """What the last peer's clock said when it was heard; None if there never was one."""
        if self._peer_ms is not None:
            return self._peer_ms
        found: Any = self._database.first("select value from meta where name = ?", (_PEER_MS,))
        return None if found is None else int(found[0])

    def clock_skew_ms(self) -> int | None:
        """By how much the clock of the last peer was ahead of ours, if that is worth saying."""
        found = self._database.first("select value from meta where name = 'clock_skew_ms'")
        return None if found is None else int(found[0])

    @staticmethod
    def worth_saying(ahead_ms: int) -> int | None:
        """A difference of clocks in whole hours, in milliseconds, or None up to a day."""
        return None if abs(ahead_ms) <= DAY_MS else round(ahead_ms / _HOUR_MS) * _HOUR_MS

    def note_clock_skew(self, ahead_ms: int) -> None:
        """Keep by how much the clock of a peer is ahead of ours; within a transaction."""
        self._database.execute("delete from meta where name = 'clock_skew_ms'")
        skew = self.worth_saying(ahead_ms)
        if skew is not None:
            self._database.execute("insert into meta values('clock_skew_ms', ?)", (skew,))

    # Writing.

    def write(self) -> None:
        """Write what was learned. Within a transaction."""
        if self._peer_ms is not None:
            self._database.execute(
                "insert or replace into meta values(?, ?)", (_PEER_MS, self._peer_ms)
            )
        if not self._learned:
            return
        written = self._written()
        self.forget()
        changed = {
            device: standing
            for device, standing in self._learned.items()
            if standing != written.get(device)
        }
        left_out = [(device,) for device in written.keys() - self._learned.keys()]
        self._database.executemany("delete from peers where device = ?", left_out)
        self._database.executemany(
            "delete from acknowledged where device = ?",
            [*left_out, *((device,) for device in changed)],
        )
        self._database.executemany(
            "insert or replace into peers values(?,?,?,?)",
            [(device, *standing[:3]) for device, standing in changed.items()],
        )
        self._database.executemany(
            "insert into acknowledged values(?,?,?)",
            [
                (device, of, seq)
                for device, standing in changed.items()
                for of, seq in standing.has.items()
            ],
        )

    def written(self) -> None:
        """What was written is durable."""
        self._learned = {}
        self._peer_ms = None

    def forget(self) -> None:
        """Read anew what is written: rows change, or did not change as they were to."""
        self._read = None
        self._reckoned = None

    @property
    def is_behind(self) -> bool:
        """Whether anything was learned that is not written."""
        return bool(self._learned) or self._peer_ms is not None

    @property
    def is_news(self) -> bool:
        """Whether it is worth a commit of its own."""
        return bool(self._learned) and not tell_the_same(self._learned, self._written())


def _one_more(renewals: int) -> int:
    return min(renewals + 1, limits.RENEWALS)


def _as_it_is_now(ours: Standings, theirs: Standings, peer: bytes) -> Standings:
    """What a peer knows, where another store of it, given up since, is known here and would count as the later one.

    It takes as many renewals once it hears of that other store, from this side.
    """
    known, now = ours.get(peer), theirs.get(peer)
    if known is None or now is None or known.store_id == now.store_id:
        return theirs
    if now.renewals > known.renewals:
        return theirs
    return {**theirs, peer: now._replace(renewals=_one_more(known.renewals))}


def _without_later(standings: Standings, device: bytes, last: int) -> Standings:
    """Without the claim that anybody has commits of a device beyond its last one."""
    return {
        each: standing
        if standing.has.get(device, 0) <= last
        else standing._replace(has={of: n for of, n in standing.has.items() if of != device})
        for each, standing in standings.items()
    }
