"""What a support article would ask a person to try, tried: `msgsync.doctor`. Async, on anyio. Source: docs/stuck.md.

Rules
-----
- The device itself first (`replica.health`), then each place in the order of what rests on what: whether it answers,
  whose objects lie there, a round trip of a probe, the clock, and last a sync.
- What cannot be asked because of something that was found before is not asked. Nothing is put into a place that holds
  objects of another account alone.
- Nothing leaves a device that is switched off or revoked: its places are not looked at, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import anyio

from msgsync import limits
from msgsync.account.keyobject import key_object_name
from msgsync.account.seal import log_name, open_object
from msgsync.errors import (
    AccountError,
    InvalidValue,
    MailboxDamaged,
    MailboxError,
    MsgSyncError,
    NoSuchObject,
    UnknownEpoch,
)
from msgsync.mailbox.address import check_place, is_mailbox, open_mailbox
from msgsync.mailbox.mailbox import Dated, Mailbox
from msgsync.protocol.objects import LOGS, by_folder, name_of
from msgsync.replica.health import Diagnosis, Finding, ill, look_at, note, well
from msgsync.replica.reasons import Reason, reason_of_code
from msgsync.replica.replica import Replica
from msgsync.replica.survey import with_makers
from msgsync.replica.times import in_words
from msgsync.settling import known_places
from msgsync.transport import tcp
from msgsync.transport.timing import Timing
from msgsync.visiting import OnEvent

PROBES: Final = "probe"
_PROBE_BYTES: Final = 256 * limits.KIB
"""About as much as a round of some size puts at once: a place that has room for less is full."""
_SAMPLES: Final = 8
_SKEW_MS: Final = 10 * 60_000
"""Storages refuse requests that are dated a quarter of an hour off."""
_USUAL = Timing()


async def doctor(
    replica: Replica,
    places: Iterable[str | Mailbox] | None = None,
    *,
    on_event: OnEvent | None = None,
    timing: Timing = _USUAL,
) -> Diagnosis:
    """Run all checks that tell why something does not sync, and say what each found and what to do.

    It also syncs with each place where nothing speaks against it: nothing else shows that it works. A replica that is
    open for reading is looked at as far as that goes.

    Args:
        replica: the device.
        places: addresses and mailboxes to look at; those that are known, if not given, of each device the
            address where it was met last.
        on_event: called with the events of the syncs.
        timing: how long to wait for what.

    Raises:
        InvalidValue: something is no address.
        ReplicaClosed: the replica is closed.
    """
    asked = None if places is None else [_opened(one) for one in places]
    findings = await anyio.to_thread.run_sync(lambda: [*look_at(replica)])
    if asked is None:
        asked = await anyio.to_thread.run_sync(partial(known_places, replica, latest=True))
    for place in asked:
        findings += await _look(replica, place, on_event, timing)
    if not asked:
        nowhere = "no mailbox and no address of a device is known here"
        findings.append(note("places", nowhere, "name one: msgsync doctor ADDRESS"))
    return Diagnosis(tuple(findings))


def _opened(place: str | Mailbox) -> str | Mailbox:
    check_place(place)
    if isinstance(place, str):
        if is_mailbox(place):
            return open_mailbox(place)
        tcp.parse_address(place)
        return place
    if not isinstance(place, Mailbox):
        raise InvalidValue("a place is an address or a mailbox")
    return place


async def _look(
    replica: Replica, place: str | Mailbox, on_event: OnEvent | None, timing: Timing
) -> list[Finding]:
    address = place if isinstance(place, str) else place.address
    if replica.revoked or not await anyio.to_thread.run_sync(lambda: replica.sync.enabled):
        what = "it was not looked at: this device exchanges nothing now"
        return [note("place", what, "see what is said of this device", address)]
    findings: list[Finding] = []
    if isinstance(place, Mailbox):
        findings = await anyio.to_thread.run_sync(partial(_look_into, replica, place))
        if any(one.exit_code for one in findings):
            return findings
    return [*findings, *await _sync(replica, place, address, on_event, timing)]


# A mailbox.


def _look_into(replica: Replica, mailbox: Mailbox) -> list[Finding]:
    address = mailbox.address
    try:
        names = mailbox.list(LOGS)
    except MailboxError as error:
        return [Finding.of("reach", error, address)]
    findings = [well("reach", f"it answers, and lists {len(names):,} objects", address)]
    try:
        findings += _whose(replica, mailbox, by_folder(names))
    except MailboxError as error:
        return [*findings, Finding.of("account", error, address)]
    if any(one.reason is Reason.UNREADABLE_OBJECT and one.exit_code for one in findings):
        return findings
    return findings + _round_trip(replica, mailbox)


def _whose(
    replica: Replica, mailbox: Mailbox, listed: Mapping[str, Sequence[int]]
) -> list[Finding]:
    """Whose objects lie there, by a sample of those that were not read yet."""
    address = mailbox.address
    with replica.reading() as store:
        row = store.mailboxes.find(address)
        read = {} if row is None else store.mailboxes.logs(row.key)
    if not listed:
        if row is not None and row.sequence:
            emptied = "nothing lies there any more of what was put: it was emptied, or replaced by another one"
            return [note("account", emptied, "nothing: the next sync puts all anew", address)]
        return [well("account", "nothing lies there yet", address)]
    roster, keyring = replica.membership.moment()
    ours, foreign = bool(listed.keys() & read.keys()), 0
    findings: list[Finding] = []
    for folder in [one for one in listed if one not in read][:_SAMPLES]:
        name = name_of(folder, listed[folder][0])
        try:
            open_object(mailbox.get(name), keyring=keyring, roster=roster, positions={})
            ours = True
        except (UnknownEpoch, NoSuchObject):
            foreign += 1
        except (AccountError, MailboxDamaged):
            ours = True  # it is for these keys at least; what is wrong with it the sync says
    if not ours and not _has_key_object(replica, mailbox):
        what = (
            "what lies there is of another account, or this device was never told of its keys there"
        )
        code = AccountError.exit_code
        return [*findings, ill("account", what, Reason.UNREADABLE_OBJECT, code, address)]
    if foreign:
        what = f"besides this account's, {foreign} logs lie there that cannot be opened here"
        findings.append(note("account", what, Reason.UNREADABLE_OBJECT.remedy, address))
    return [*findings, well("account", f"objects of account {replica.account} lie there", address)]


def _has_key_object(replica: Replica, mailbox: Mailbox) -> bool:
    try:
        mailbox.get(key_object_name(replica.membership.keys.public))
    except NoSuchObject:
        return False
    return True


def _round_trip(replica: Replica, mailbox: Mailbox) -> list[Finding]:
    """Put a probe, list it, get it, compare, delete: under a name that readers pass over, the same each time."""
    address = mailbox.address
    name, body = _probe(replica)
    try:
        mailbox.put(name, body)
        try:
            shown = name in mailbox.list(PROBES)
            same = mailbox.get(name) == body
            ahead_ms = None
            if isinstance(mailbox, Dated):
                ahead_ms = mailbox.written_ms(name) - replica.system.now_ms()
        finally:
            mailbox.delete(name)
    except MailboxError as error:
        return [Finding.of("round trip", error, address)]
    if not same:
        what = "a probe came back as another"
        return [ill("round trip", what, Reason.DAMAGED_OBJECT, MailboxError.exit_code, address)]
    findings = [_clock(replica, address, ahead_ms)] if ahead_ms is not None else []
    if not shown:
        late = "a probe can be put, read and removed, but was not listed at once"
        findings.insert(
            0, note("round trip", late, "nothing: what is put there shows later", address)
        )
    else:
        findings.insert(0, well("round trip", "a probe was put, listed, read and removed", address))
    return findings


def _probe(replica: Replica) -> tuple[str, bytes]:
    roster, keyring = replica.membership.moment()
    secret = keyring.secret(next(iter(keyring)))
    name = log_name(secret, roster.account, replica.device, b"probe")
    return f"{PROBES}/{name}", replica.system.random_bytes(_PROBE_BYTES)


def _clock(replica: Replica, address: str, ahead_ms: int) -> Finding:
    if abs(ahead_ms) > _SKEW_MS:
        now_ms = replica.system.now_ms()
        what = f"the storage's clock says {in_words(now_ms + ahead_ms)}, this device's {in_words(now_ms)}"
        return ill("clock", what, Reason.CLOCK, MailboxError.exit_code, address)
    return well("clock", "the storage's clock agrees with this device's", address)


# Any place.


async def _sync(
    replica: Replica,
    place: str | Mailbox,
    address: str,
    on_event: OnEvent | None,
    timing: Timing,
) -> list[Finding]:
    from msgsync import aio

    with replica.reading() as store:
        readonly = store.database.readonly
    if readonly:
        what = "it was not synced with: the replica is open for reading"
        return [note("sync", what, "open it for writing to try that", address)]
    try:
        report = await aio.sync(replica, place, on_event=on_event, timing=timing)
    except MsgSyncError as error:
        return [Finding.of("sync", error, address)]
    findings = [
        ill(
            "sync",
            with_makers(replica, address, words),
            reason_of_code(code),
            MailboxError.exit_code,
            address,
        )
        for words, code in zip(report.refused, report.codes, strict=True)
    ]
    if not findings and not report.complete:
        what = report.reason or "both do not hold the same yet"
        findings.append(note("sync", what, Reason.NOT_EQUAL.remedy, address))
    if not findings:
        what = f"all is there and here: {report.messages_received:,} messages came just now"
        findings.append(well("sync", what, address))
    return findings
