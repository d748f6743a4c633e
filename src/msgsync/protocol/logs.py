"""Reading the logs in a mailbox; the rules are in `protocol.courier`. Source: design 9, docs/specification.md."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from msgsync import limits
from msgsync.account.head import Kind
from msgsync.account.seal import Opened, is_clone, log_name, open_object
from msgsync.account.statements import Position
from msgsync.errors import (
    AccountError,
    Inadmissible,
    LogForked,
    MailboxDamaged,
    MsgSyncError,
    NoSuchObject,
    ObjectDamaged,
    ObjectMissing,
    UnknownEpoch,
    UnknownRoster,
)
from msgsync.ids import DeviceId
from msgsync.protocol.batch import Documents, decode_batch, read_piece
from msgsync.protocol.correspondent import Correspondent, Log, Unfinished
from msgsync.protocol.errand import Errand, Round
from msgsync.protocol.manifest import read_manifest

LOGS: Final = "log"
_OBJECT: Final = re.compile(r"log/([0-9a-f]{32})/([0-9a-f]{16})")
_Place = tuple[DeviceId, bytes]
"""Whose log, by device and incarnation."""


class _End(Enum):
    """How far a log could be read."""

    READ = auto()
    WAITS = auto()
    """For what another log may bring."""
    STOPPED = auto()


class LogReader:
    """The logs, in one round.

    Args:
        replica: with the mailbox.
        this_round: kept account of.
        read_keys: the errand that learns what others know of the account.
    """

    def __init__(
        self, replica: Correspondent, this_round: Round, read_keys: Callable[[], Errand[None]]
    ) -> None:
        self._replica = replica
        self._round = this_round
        self._read_keys = read_keys
        self._asked_for_keys = False
        self._logs: Mapping[str, Log] = {}
        self._positions: dict[_Place, Position] = {}
        self._last_sequence = replica.last_sequence()
        self._stopped: dict[str, tuple[str, MsgSyncError]] = {}
        """Folders of logs that could not be read on: the object, and why."""
        self._covered = False
        """Whether a checkpoint has brought logs forward that are to be looked at anew."""
        self._look()

    def _look(self) -> None:
        self._logs = self._replica.logs()
        self._positions = {
            (log.device, log.position.incarnation): log.position for log in self._logs.values()
        }

    def read(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Read all of them as far as they go."""
        waiting = self._unread(listed)
        force = False
        while waiting:
            moved = False
            for folder in sorted(waiting):
                before = len(waiting[folder])
                end = yield from self._read_log(folder, waiting[folder], force=force)
                moved = moved or len(waiting[folder]) < before
                if end is not _End.WAITS:
                    del waiting[folder]
            if self._covered:
                self._covered = False
                self._look()
                waiting = self._unread(listed)
                self._stopped.clear()
            force = not moved
        for name, error in self._stopped.values():
            self._round.note(name, error)
        self._look_at_unfinished(listed)

    def _unread(self, listed: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        waiting = {}
        for folder, sequences in listed.items():
            behind = self._logs[folder].position.sequence if folder in self._logs else 0
            left = [one for one in sequences if one > behind]
            unfinished = self._replica.unfinished.get(folder)
            if left and (unfinished is None or unfinished.log.position.sequence != left[-1]):
                waiting[folder] = left
        return waiting

    def _look_at_unfinished(self, listed: Mapping[str, Sequence[int]]) -> None:
        """Name batches that are not whole; pass over those that their devices have begun again in another log."""
        logs = self._replica.logs().values()
        for folder, (log, first) in [*self._replica.unfinished.items()]:
            if any(other.device == log.device and other.since == first for other in logs):
                self._replica.take(folder, log, (), force=True)
                del self._replica.unfinished[folder]
            elif folder in listed:
                late = (
                    "the batch is not whole yet: its device was broken off, or is still putting it"
                )
                name = name_of(folder, log.position.sequence)
                self._round.note(name, ObjectMissing(late))

    def _read_log(self, folder: str, sequences: list[int], *, force: bool) -> Errand[_End]:
        """Read on in a log; what was taken leaves ``sequences``."""
        since, pieces, log = sequences[0], list[bytes](), None
        if folder in self._logs:
            since = self._logs[folder].since
        positions = ChainMap[_Place, Position]({}, self._positions)
        for sequence in [*sequences]:
            name = name_of(folder, sequence)
            try:
                opened = yield from self._open(folder, sequence, positions)
                device, position = opened.head.device, opened.position
                positions[device, position.incarnation] = position
                log = Log(device, since, position, since)
                if opened.head.kind == Kind.MANIFEST and not pieces:
                    done = self._pass_manifest(folder, log, opened, force=force)
                elif (documents := _documents(opened, pieces)) is None:
                    continue
                else:
                    done = self._take(folder, log, documents, force=force)
            except (AccountError, NoSuchObject, MailboxDamaged) as error:
                self._stopped[folder] = name, error
                return _End.STOPPED
            if not done:
                return _End.WAITS
            self._positions.update(positions.maps[0])
            del sequences[: sequences.index(sequence) + 1]
            pieces.clear()
        if pieces and log is not None:
            self._replica.unfinished[folder] = Unfinished(log, sequences[0])
        else:
            self._replica.unfinished.pop(folder, None)
        return _End.READ

    def _take(self, folder: str, log: Log, documents: Documents, *, force: bool) -> bool:
        """Take in a batch; return False if it has to wait."""
        taken = self._replica.take(folder, log, documents, force=force)
        if taken.gaps:
            return False
        for refused in taken.refused:
            name = name_of(folder, log.position.sequence)
            self._round.note(name, Inadmissible(f"{refused.document.kind}: {refused.reason}"))
        self._round.took(taken.documents, taken.messages)
        return True

    def _pass_manifest(self, folder: str, log: Log, opened: Opened, *, force: bool) -> bool:
        """Take other logs for read, as far as a checkpoint holds them; return False if it has to wait.

        It does if some of the checkpoint was not read; if no other log brings that, nothing is taken for read.
        """
        manifest = read_manifest(opened.head, opened.body)
        if log.since <= manifest.first:
            self._replica.cover(folder, log, manifest.covers)
            self._covered = True
            return True
        if force:
            self._replica.take(folder, log, (), force=True)
        return force

    def _open(
        self, folder: str, sequence: int, positions: Mapping[_Place, Position]
    ) -> Errand[Opened]:
        raw = yield from self._round.get(name_of(folder, sequence))
        try:
            opened = self._opened(raw, positions)
        except (UnknownEpoch, UnknownRoster):
            if self._asked_for_keys:
                raise
            self._asked_for_keys = True
            yield from self._read_keys()  # it may say more by now
            opened = self._opened(raw, positions)
        roster, keyring = self._replica.account()
        head = opened.head
        secret = keyring.secret(head.epoch)
        own_name = log_name(secret, roster.account, head.device, head.incarnation)
        if (own_name, head.sequence) != (folder, sequence):
            raise ObjectDamaged("the object lies under a name that is not its own")
        own = self._replica.keys.device_id
        known = {incarnation for device, incarnation in self._positions if device == own}
        if is_clone(head, own, known, self._last_sequence):
            copied = (
                "this device's replica was copied, or put back from a backup, and both are in use"
            )
            self._round.note(name_of(folder, sequence), LogForked(copied))
        return opened

    def _opened(self, raw: bytes, positions: Mapping[_Place, Position]) -> Opened:
        roster, keyring = self._replica.account()
        return open_object(raw, keyring=keyring, roster=roster, positions=positions)

    def look_for_losses(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """See whether what was put or read is still there for others; a listing alone may be an old one."""
        lost = []
        state = self._replica.account()[0].state
        for folder, log in self._replica.logs().items():
            incarnation, sequence, _ = log.position
            if log.device in state.revoked and log.first <= sequence:
                if not state.accepts(log.device, incarnation, sequence):
                    lost.append(folder)  # nobody else reads it any more
                continue
            there = set(listed.get(folder, ()))
            missing = (
                one for one in range(log.first, log.position.sequence + 1) if one not in there
            )
            for sequence in missing:
                try:
                    yield from self._round.get(name_of(folder, sequence))
                except NoSuchObject:
                    lost.append(folder)
                break
        if lost:
            self._replica.lost(lost)


def _documents(opened: Opened, pieces: list[bytes]) -> Documents | None:
    """What a log brings with an object; None if the batch goes on in the next. Unknown kinds bring nothing."""
    if opened.head.kind != Kind.BATCH and not pieces:
        return []
    piece, is_last = read_piece(opened.body)
    pieces.append(piece)
    if sum(map(len, pieces)) > limits.BATCH_BYTES:
        raise ObjectDamaged("a batch that is longer than any, though its device signed it")
    return decode_batch(b"".join(pieces)) if is_last else None


def name_of(folder: str, sequence: int) -> str:
    """Where an object of a log lies."""
    return f"{LOGS}/{folder}/{sequence:016x}"


def by_folder(names: Iterable[str]) -> dict[str, list[int]]:
    """The sequences that each log has, ascending; what has another name than objects of logs have is left out."""
    found: dict[str, list[int]] = {}
    for name in sorted(names):
        if match := _OBJECT.fullmatch(name):
            found.setdefault(match[1], []).append(int(match[2], 16))
    return found
