"""How it stands with each place where a replica syncs, for `Replica.status`. Source: design 9, docs/stuck.md.

What was noted (`replica.places`), what is known of devices (`msgsync.standing`) and of mailboxes (`store.mailboxes`)
meet here; nothing is asked of anybody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from msgsync.ids import DeviceId
from msgsync.replica import devices, space
from msgsync.replica.devices import DeviceSummary
from msgsync.replica.places import Places
from msgsync.replica.reasons import PlaceState, Reason, reason_of_code
from msgsync.replica.times import in_words
from msgsync.replica.values import PlaceStatus, Waiting
from msgsync.store.mailboxes import MailboxRow
from msgsync.store.places import PlaceRow
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_FOLDER: Final = re.compile(r"\blog/([0-9a-f]{32})/")


def survey(replica: Replica) -> tuple[PlaceStatus, ...]:
    """See `Status.places`."""
    with replica.reading() as store:
        return _Survey(replica.places, store).statuses()


def with_makers(replica: Replica, address: str, words: str) -> str:
    """What is said of objects in a mailbox, with the devices that put them, where their logs are known."""
    with replica.reading() as store:
        row = store.mailboxes.find(address)
        logs = {} if row is None else store.mailboxes.logs(row.key)
    members = replica.membership.roster().state.members
    found: dict[str, None] = {}
    for folder in _FOLDER.findall(words):
        if folder in logs:
            maker = DeviceId(logs[folder].device)
            name = f" ({members[maker].name})" if maker in members else ""
            found[f"device {maker}{name}"] = None
    return f"{words}; put by {', '.join(found)}" if found else words


class _Verdict(NamedTuple):
    state: PlaceState
    reason: Reason | None
    why: str


class _Survey:
    """One look at all places; within a reading."""

    def __init__(self, places: Places, store: Store) -> None:
        self._places = places
        self._replica = places.replica
        self._store = store
        self._rows = places.rows(store)
        self._off = store.places.off_since_ms() is not None

    def statuses(self) -> tuple[PlaceStatus, ...]:
        mailboxes = {row.address: row for row in self._store.mailboxes.all()}
        names = sorted({*mailboxes, *(name for name, row in self._rows.items() if row.mailbox)})
        found = [self._mailbox(name, mailboxes.get(name)) for name in names]
        others = [
            one
            for one in devices.summaries(self._replica)
            if not (one.is_this or one.revoked or one.retired)
        ]
        found += [self._device(one) for one in others]
        unmet = (row for row in self._rows.values() if not (row.mailbox or row.device))
        return (*found, *map(self._stranger, unmet))

    def _mailbox(self, address: str, known: MailboxRow | None) -> PlaceStatus:
        row = self._rows.get(address) or _untried(address, mailbox=True)
        to_send, done_ms = Waiting(), row.done_ms
        if known is not None:
            documents, size = self._store.mailboxes.not_there(known)
            messages = self._store.changes.count(known.put_seq) if documents else 0
            chunks, chunk_bytes = (
                (0, 0) if space.is_paused(self._store) else self._store.copies.not_there(address)
            )
            to_send = Waiting(messages, documents, chunks, size + chunk_bytes)
            done_ms = max(done_ms, known.used_ms)
        to_receive = Waiting(objects=row.objects)
        moving = any(visit.place == address for visit in self._places.visits)
        verdict = self._judge(
            row, moving=moving, waits=bool(to_send or to_receive), done=bool(done_ms)
        )
        if row.code and verdict.why == row.why:
            verdict = verdict._replace(why=with_makers(self._replica, address, row.why))
        return _status(row, verdict, done_ms, to_send, to_receive)

    def _device(self, one: DeviceSummary) -> PlaceStatus:
        rows = [row for row in self._rows.values() if row.device == one.id.raw and not row.mailbox]
        row = rows[0] if rows else _untried("", mailbox=False)
        done_ms = max((each.done_ms for each in rows), default=0)
        if row.code and row.tried_ms < done_ms:
            row = row._replace(code="", why="")
        own = self._replica.device.raw
        standing = self._store.standings().get(one.id.raw)
        seq = 0 if standing is None else standing.has.get(own, 0)
        documents, size = self._store.database.one(
            "select count(*), total(bytes) from documents where changed_seq > ?", (seq,)
        )
        to_send = Waiting(one.behind, int(documents), bytes=int(size))
        to_receive = Waiting(more=one.has_more)
        visits = [visit for visit in self._places.visits if visit.device == one.id.raw]
        waits = bool(to_send or to_receive)
        moving = any(not visit.settled or waits for visit in visits)
        done = bool(done_ms or one.last_seen_ms or visits)
        verdict = self._judge(row, moving=moving, waits=waits, done=done)
        if verdict.reason is Reason.NEXT_SYNC:
            verdict = _Verdict(PlaceState.WAITING, Reason.WAITING_FOR_DEVICE, _waiting_for(one))
        row = row._replace(device=one.id.raw)
        return _status(row, verdict, done_ms, to_send, to_receive, one)

    def _stranger(self, row: PlaceRow) -> PlaceStatus:
        """An address where nobody was met yet."""
        moving = any(visit.place == row.name for visit in self._places.visits)
        verdict = self._judge(row, moving=moving, waits=False, done=bool(row.done_ms))
        return _status(row, verdict, row.done_ms, Waiting(), Waiting(more=True))

    def _judge(self, row: PlaceRow, *, moving: bool, waits: bool, done: bool) -> _Verdict:
        if self._off:
            return _Verdict(PlaceState.OFF, Reason.SWITCHED_OFF, Reason.SWITCHED_OFF.what)
        if self._replica.revoked:
            return _Verdict(PlaceState.STUCK, Reason.REVOKED, Reason.REVOKED.what)
        if moving:
            return _Verdict(PlaceState.MOVING, None, "")
        if row.code:
            reason = reason_of_code(row.code)
            state = PlaceState.WAITING if reason.passes else PlaceState.STUCK
            return _Verdict(state, reason, row.why or reason.what)
        if waits or not done:
            return _Verdict(PlaceState.WAITING, Reason.NEXT_SYNC, Reason.NEXT_SYNC.what)
        return _Verdict(PlaceState.UP_TO_DATE, None, "")


def _untried(name: str, *, mailbox: bool) -> PlaceRow:
    return PlaceRow(name, mailbox, b"", 0, 0, "", "", 0)


def _waiting_for(one: DeviceSummary) -> str:
    name = one.name or str(one.id)
    if one.last_seen_ms is None:
        return f"{name} was not heard of yet"
    return f"{name} was last heard of {in_words(one.last_seen_ms)}"


def _status(
    row: PlaceRow,
    verdict: _Verdict,
    done_ms: int,
    to_send: Waiting,
    to_receive: Waiting,
    device: DeviceSummary | None = None,
) -> PlaceStatus:
    return PlaceStatus(
        address=row.name if row.mailbox or "://" in row.name else None,
        device=DeviceId(row.device) if row.device and not row.mailbox else None,
        name=None if device is None else device.name,
        state=verdict.state,
        reason=verdict.reason,
        why=verdict.why,
        remedy="" if verdict.reason is None else verdict.reason.remedy,
        last_success_ms=done_ms or None,
        last_attempt_ms=row.tried_ms or None,
        last_seen_ms=None if device is None else device.last_seen_ms,
        to_send=to_send,
        to_receive=to_receive,
        is_mailbox=row.mailbox,
    )
