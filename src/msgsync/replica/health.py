"""What can be said of a replica's health without asking anybody: half of `msgsync.doctor`. Source: docs/stuck.md."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.document.schema import DAY_MS
from msgsync.errors import AccountError, MsgSyncError, PassphraseNeeded, StorageError, SyncOff
from msgsync.replica import devices, loss, space
from msgsync.replica.membership import problems
from msgsync.replica.reasons import Reason, reason_for
from msgsync.replica.times import in_words

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_QUIET_DAYS: Final = 30
_ROOM_BYTES: Final = 16 * limits.MIB
"""Below that a sync of some size fails."""
_HOUR_MS: Final = 3_600_000
_OK: Final = 0


class Verdict(Enum):
    """What a check comes to."""

    WELL = "well"
    NOTE = "note"
    """Nothing is wrong, but somebody may want to know."""
    ILL = "ill"
    """Something is wrong, and there is something to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    """Which one, in a word or two. Stable."""
    place: str | None
    """The address of the mailbox or peer that it is about; None if it is about this device."""
    verdict: Verdict
    found: str
    """In words."""
    remedy: str
    """What to do, in words; empty if all is well."""
    reason: Reason | None = None
    """What is wrong, if it is something that keeps things from moving."""
    exit_code: int = _OK
    """What ``msgsync doctor`` ends with, if this is the first that is ill; 0 if it is not ill."""

    @classmethod
    def of(cls, check: str, error: MsgSyncError, place: str | None = None) -> Finding:
        """A check that ended with an error."""
        reason = reason_for(type(error))
        return cls(check, place, Verdict.ILL, str(error), reason.remedy, reason, error.exit_code)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found, in order."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is ill."""
        return all(one.verdict is not Verdict.ILL for one in self.findings)

    @property
    def exit_code(self) -> int:
        """Of the first finding that is ill; 0 if none is."""
        return next((one.exit_code for one in self.findings if one.exit_code), _OK)


def well(check: str, found: str, place: str | None = None) -> Finding:
    """A check that found nothing wrong."""
    return Finding(check, place, Verdict.WELL, found, "")


def note(check: str, found: str, remedy: str, place: str | None = None) -> Finding:
    """A check that found something worth knowing."""
    return Finding(check, place, Verdict.NOTE, found, remedy)


def ill(
    check: str, found: str, reason: Reason, exit_code: int, place: str | None = None
) -> Finding:
    """A check that found something wrong."""
    return Finding(check, place, Verdict.ILL, found, reason.remedy, reason, exit_code)


def look_at(replica: Replica) -> Iterator[Finding]:
    """All checks of the device itself, one by one. Nothing is changed."""
    yield _file(replica)
    yield _room(replica)
    yield _keys(replica)
    yield _account(replica)
    yield _switch(replica)
    yield from _attachments(replica)
    yield _clock(replica)
    yield _version(replica)
    yield from _recovery(replica)
    yield from _devices(replica)


def _file(replica: Replica) -> Finding:
    """Whether the file can be read and its documents are those that it says; not every entry, as `check` does."""
    try:
        with replica.reading() as store:
            store.bins()
            found = problems(store)
            lost = loss.left(store).words
            documents, messages = store.counts()
    except StorageError as error:
        return Finding.of("file", error)
    if found:
        what = f"{replica.path}: {found[0]}"
        return ill("file", what, Reason.REPLICA_DAMAGED, StorageError.exit_code)
    if lost:
        return note(
            "file",
            f"a repair could not save {lost[0]}",
            "sync with a device that may have it; or accept it: Replica.accept_loss",
        )
    return well(
        "file", f"{replica.path} is whole: {messages:,} messages in {documents:,} documents"
    )


def _room(replica: Replica) -> Finding:
    try:
        disk = os.statvfs(replica.path.absolute().parent)
        size = replica.path.stat().st_size
    except OSError as error:
        why = f"the disk of {replica.path} cannot be asked ({error.strerror})"
        return ill("room", why, Reason.STORAGE, StorageError.exit_code)
    free = disk.f_bavail * disk.f_frsize
    if free < _ROOM_BYTES:
        found = f"only {free:,} bytes are free on the disk of {replica.path}"
        return ill("room", found, Reason.DISK_FULL, StorageError.exit_code)
    if free < size:
        return note(
            "room",
            f"{free:,} bytes are free, less than the file has: {size:,}",
            "free some space: a backup or a repair needs as much room as the file",
        )
    return well("room", f"{free:,} bytes are free")


def _keys(replica: Replica) -> Finding:
    try:
        known = replica.membership.moment()
        _ = replica.membership.keys
    except (PassphraseNeeded, StorageError) as error:
        return Finding.of("keys", error)
    state = known.roster.state
    if replica.revoked:
        return well("keys", "the keys of this device are there, and good for nothing more")
    if state.epoch is None:
        return ill("keys", Reason.ROTATION_DUE.what, Reason.ROTATION_DUE, AccountError.exit_code)
    if state.epoch not in known.keyring:
        return note(
            "keys",
            "the secret of the epoch in use has not come here yet: nothing can be put into mailboxes",
            "sync with a device that has it",
        )
    return well("keys", f"the keys are there, and the secrets of {len(known.keyring)} epoch(s)")


def _account(replica: Replica) -> Finding:
    state = replica.membership.roster().state
    if replica.revoked:
        return ill("account", Reason.REVOKED.what, Reason.REVOKED, AccountError.exit_code)
    if replica.device not in state.members:
        found = "this device is not in the account: who added it was removed before"
        return ill("account", found, Reason.WRONG_ACCOUNT, AccountError.exit_code)
    return well(
        "account", f"device {replica.device} is one of {len(state.members)} in {replica.account}"
    )


def _switch(replica: Replica) -> Finding:
    since_ms = replica.sync.off_since_ms
    if since_ms is None:
        return well("switch", "sync is on")
    found = f"sync is switched off on this device since {in_words(since_ms)}"
    return ill("switch", found, Reason.SWITCHED_OFF, SyncOff.exit_code)


def _attachments(replica: Replica) -> Iterator[Finding]:
    """Why attachments do not come, where that is what somebody wanted once."""
    with replica.reading() as store:
        missing = store.attachments.bytes_missing()
        paused, allowed = space.is_paused(store), space.budget(store)
    wait = f"{missing:,} bytes of them are not here"
    if paused:
        found = f"attachments are paused on this device: {wait}, and none leave it"
        yield note("attachments", found, "have them go on: msgsync on --attachments")
    elif allowed is not None and missing:
        found = f"this device has a budget for attachments: {wait}"
        remedy = "read them (msgsync save ID --from ADDRESS), or allow more: msgsync free-space --budget BYTES"
        yield note("attachments", found, remedy)


def _clock(replica: Replica) -> Finding:
    """Whether this clock agrees with what others said: the last peer, and who dated statements and messages."""
    now_ms = replica.system.now_ms()
    with replica.reading() as store:
        skew_ms = store.peers.clock_skew_ms()
        newest_ms = int(store.database.one("select coalesce(max(newest_ms), 0) from documents")[0])
    statements = replica.membership.roster().statements
    stated_ms = max((one.time_ms for one in statements), default=0)
    found = ""
    if skew_ms is not None:
        hours, which = abs(skew_ms) // _HOUR_MS, "ahead of" if skew_ms > 0 else "behind"
        found = f"the clock of the last peer was {hours} hours {which} this one"
    elif stated_ms > now_ms + limits.CLOCKS_AGREE_MS:
        found = f"a device of the account has dated something {in_words(stated_ms)}, and here it is {in_words(now_ms)}"
    elif newest_ms > now_ms + limits.FUTURE_MS:
        found = (
            f"the newest message is dated {in_words(newest_ms)}, and here it is {in_words(now_ms)}"
        )
    if found:
        return ill("clock", found, Reason.CLOCK, StorageError.exit_code)
    return well("clock", f"it is {in_words(now_ms)}, and nobody is known to differ by a day")


def _version(replica: Replica) -> Finding:
    with replica.reading() as store:
        unreadable = int(store.database.one("select count(*) from unreadable")[0])
    if unreadable:
        return note(
            "version",
            f"msgsync {version('msgsync')} cannot read {unreadable:,} entries that other devices wrote",
            "update msgsync here: they are kept, and shown then",
        )
    return well("version", f"msgsync {version('msgsync')} reads all that is here")


def _recovery(replica: Replica) -> Iterator[Finding]:
    if not replica.revoked and not replica.account_status().recovery_confirmed:
        yield note(
            "recovery",
            "nobody has shown that they wrote the recovery phrase down",
            "write it down and confirm it: msgsync recovery",
        )


def _devices(replica: Replica) -> Iterator[Finding]:
    now_ms = replica.system.now_ms()
    for one in devices.summaries(replica):
        if one.is_this or one.revoked or one.retired:
            continue
        name = one.name or str(one.id)
        if one.last_seen_ms is None:
            yield note(
                "device",
                f"{name} was not heard of yet, in an exchange with it or with one that met it",
                "sync it; retire it if it will not be used",
            )
        elif now_ms - one.last_seen_ms > _QUIET_DAYS * DAY_MS:
            yield note(
                "device",
                f"{name} was last heard of {in_words(one.last_seen_ms)}",
                "open the app on it; retire it if it will not be used any more",
            )
        else:
            yield well("device", f"{name} was last heard of {in_words(one.last_seen_ms)}")
