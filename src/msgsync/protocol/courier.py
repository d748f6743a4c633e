"""The courier: what a replica reads in a mailbox, and what it puts there. Sans-IO. Source: design 9.

Rules
-----
- A round is: the own key object; the logs of others, as far as they go on from what was read; key objects, if what is
  known of the account has changed; the own log.
- `run` is a generator. It asks for one request at a time, and is sent the answer, or thrown the `MailboxError`.
  Whatever it is thrown, what was read and put before stays, and the next round goes on from there.
- How far a log was read is written in the transaction of what was read. What was put is noted once it is there; if it
  is not known whether it is, the next round begins another log: no device ever signs two objects for one place.
- A damaged, misplaced or missing object stops its log and nothing else; the report names it.
- A batch may go on from entries that came in another log: it waits until those were read, then it is taken as it is.
- Objects that were there and are gone show that the mailbox was emptied, put back or replaced. Then all is put anew.
"""

from __future__ import annotations

import hashlib
import re
from collections import ChainMap
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, TypeVar

from msgsync import limits
from msgsync.account.epochs import Keyring
from msgsync.account.head import Kind
from msgsync.account.keyobject import (
    believe,
    key_object_name,
    read_key_object,
    seal_key_object,
    seal_notice,
)
from msgsync.account.roster import Roster
from msgsync.account.seal import SALT_BYTES, Opened, Sealer, is_clone, log_name, open_object
from msgsync.account.statements import Position
from msgsync.errors import (
    AccountError,
    Inadmissible,
    LogForked,
    MailboxDamaged,
    MsgSyncError,
    NoSuchObject,
    NotAMember,
    ObjectDamaged,
    ObjectMissing,
    RotationDue,
    UnknownEpoch,
    UnknownRoster,
)
from msgsync.ids import DeviceId
from msgsync.protocol.batch import Documents, cut, decode_batch, encode_batch, read_piece
from msgsync.protocol.correspondent import Correspondent, KeysThere, Log, Outgoing, Unfinished
from msgsync.protocol.events import Event, Progress, SyncReport
from msgsync.protocol.keys import revoked


@dataclass(frozen=True, slots=True)
class Put:
    """Leave an object; answered with None."""

    name: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Get:
    """Answered with its bytes."""

    name: str


@dataclass(frozen=True, slots=True)
class List:
    """Answered with a list of names."""

    folder: str


Request = Put | Get | List
_T = TypeVar("_T")
Errand = Generator[Request, Any, _T]
"""Something that takes requests."""

LOGS: Final = "log"
_OBJECT: Final = re.compile(r"log/([0-9a-f]{32})/([0-9a-f]{16})")
_Place = tuple[DeviceId, bytes]
"""Whose log, by device and incarnation."""
_PROBLEMS: Final = 100
"""Named in one report: a mailbox may hold any number of things that are not ours."""


class _End(Enum):
    """How far a log could be read."""

    READ = auto()
    WAITS = auto()
    """For entries that another log may bring."""
    STOPPED = auto()


class Courier:
    """One round of a replica at a mailbox; see the rules above.

    Args:
        replica: with the mailbox.
        on_event: told of `Progress`.
    """

    def __init__(
        self, replica: Correspondent, on_event: Callable[[Event], None] | None = None
    ) -> None:
        self._replica = replica
        self._on_event = on_event
        self._problems: list[str] = []
        self._keys_due = False
        self._asked_for_keys = False
        self._received = self._sent = self._taken = self._messages = self._put = 0
        self._positions: dict[_Place, Position] = {}
        self._last_sequence = 0

    def run(self) -> Errand[SyncReport]:
        """The round.

        Raises:
            DeviceRevoked, NotAMember: this device is not in the account, or not any more.
            MailboxError: the mailbox cannot be used now.
        """
        yield from self._read_keys()
        logs = self._replica.logs()
        self._positions = {
            (log.device, log.position.incarnation): log.position for log in logs.values()
        }
        self._last_sequence = self._replica.last_sequence()
        listed = _by_folder((yield List(LOGS)))
        yield from self._look_for_losses(logs, listed)
        yield from self._read_logs(logs, listed)
        yield from self._put_keys()
        yield from self._put_batches()
        self._replica.finished(complete=not self._problems)
        return self.report()

    def report(self) -> SyncReport:
        """What was done until now."""
        return SyncReport(
            documents_received=self._taken,
            messages_received=self._messages,
            bytes_received=self._received,
            bytes_sent=self._sent,
            documents_sent=self._put,
            complete=not self._problems,
            refused=tuple(self._problems),
        )

    def _note(self, where: str, error: MsgSyncError) -> None:
        if len(self._problems) < _PROBLEMS:
            self._problems.append(f"{where}: {error}")

    def _get(self, name: str) -> Errand[bytes]:
        raw: bytes = yield Get(name)
        self._received += len(raw)
        return raw

    def _leave(self, name: str, raw: bytes) -> Errand[None]:
        yield Put(name, raw)
        self._sent += len(raw)

    # Key objects.

    def _read_keys(self) -> Errand[None]:
        """Learn what others know of the account; notice if they know less than is known here."""
        keys, known = self._replica.keys, self._replica.keys_there()
        name = key_object_name(keys.public)
        try:
            raw = yield from self._get(name)
        except NoSuchObject:
            if known.said:
                self._replica.lost(())
            self._keys_due = True
        else:
            if _hash(raw) != known.own:
                self._keys_due = not self._learn(name, raw)
        state = self._replica.account()[0].state
        if keys.device_id in state.revoked:
            raise revoked()
        if state.member_of(keys.public.signing) is None:
            raise NotAMember("this device is not in the account: who added it was removed before")

    def _learn(self, name: str, raw: bytes) -> bool:
        """Take in the own key object; return whether it holds all that is known by then."""
        try:
            found = read_key_object(raw, self._replica.keys)
            believed = believe(found, self._replica.account()[0])
        except AccountError as error:
            self._note(name, error)
            return False
        self._replica.learn(found.roster.statements, found.secrets)
        said = keys_digest(*self._replica.account())
        if keys_digest(found.roster, believed.keyring) != said:
            return False
        self._replica.note_keys(KeysThere(said, _hash(raw)))
        return True

    def _put_keys(self) -> Errand[None]:
        """Tell members, and phrases in force, what is known here, and those who were revoked that they were."""
        roster, keyring = self._replica.account()
        said = keys_digest(roster, keyring)
        if self._replica.keys_there().said == said and not self._keys_due:
            return
        keys = self._replica.keys
        own = b""
        for recipient in roster.state.recipients().values():
            raw = seal_key_object(recipient, keys=keys, roster=roster, keyring=keyring)
            yield from self._leave(key_object_name(recipient), raw)
            if recipient == keys.public:
                own = _hash(raw)
        for gone in roster.state.revoked.values():
            notice = seal_notice(gone.device.id, keys=keys, roster=roster)
            yield from self._leave(key_object_name(gone.device.keys), notice)
        self._replica.note_keys(KeysThere(said, own))

    # Reading.

    def _look_for_losses(
        self, logs: Mapping[str, Log], listed: Mapping[str, Sequence[int]]
    ) -> Errand[None]:
        """See whether what was put or read is still there for others; a listing alone may be an old one."""
        lost = []
        state = self._replica.account()[0].state
        for folder, log in logs.items():
            gone = state.revoked.get(log.device)
            if gone is not None and log.first <= log.position.sequence:
                accepted = gone.positions.get(log.position.incarnation)
                if accepted is None or accepted.sequence < log.position.sequence:
                    lost.append(folder)  # nobody else reads it any more
                continue
            there = set(listed.get(folder, ()))
            missing = (
                one for one in range(log.first, log.position.sequence + 1) if one not in there
            )
            for sequence in missing:
                try:
                    yield from self._get(_name(folder, sequence))
                except NoSuchObject:
                    lost.append(folder)
                break
        if lost:
            self._replica.lost(lost)

    def _read_logs(
        self, logs: Mapping[str, Log], listed: Mapping[str, Sequence[int]]
    ) -> Errand[None]:
        waiting = {}
        for folder, sequences in listed.items():
            behind = logs[folder].position.sequence if folder in logs else 0
            left = [one for one in sequences if one > behind]
            unfinished = self._replica.unfinished.get(folder)
            if left and (unfinished is None or unfinished.last != left[-1]):
                waiting[folder] = left
        force = False
        while waiting:
            moved = False
            for folder in sorted(waiting):
                before = len(waiting[folder])
                end = yield from self._read_log(folder, waiting[folder], force=force)
                moved = moved or len(waiting[folder]) < before
                if end is not _End.WAITS:
                    del waiting[folder]
            force = not moved
        self._note_unfinished(listed)

    def _note_unfinished(self, listed: Mapping[str, Sequence[int]]) -> None:
        """Name batches that are not whole, unless their devices have put the same in other logs since."""
        for folder, (device, first, last) in [*self._replica.unfinished.items()]:
            reached = max(
                (at.sequence for (of, _), at in self._positions.items() if of == device), default=0
            )
            if reached < first and folder in listed:
                late = (
                    "the batch is not whole yet: its device was broken off, or is still putting it"
                )
                self._note(_name(folder, last), ObjectMissing(late))

    def _read_log(self, folder: str, sequences: list[int], *, force: bool) -> Errand[_End]:
        """Read on in a log; what was taken leaves ``sequences``."""
        first, pieces, device = sequences[0], list[bytes](), None
        positions = ChainMap[_Place, Position]({}, self._positions)
        for sequence in [*sequences]:
            name = _name(folder, sequence)
            try:
                opened = yield from self._open(folder, sequence, positions)
                documents = _documents(opened, pieces)
            except (AccountError, NoSuchObject, MailboxDamaged) as error:
                self._note(name, error)
                return _End.STOPPED
            device, position = opened.head.device, opened.position
            positions[device, position.incarnation] = position
            if documents is None:
                continue
            log = Log(device, first, position)
            taken = self._replica.take(folder, log, documents, force=force)
            if taken.gaps:
                return _End.WAITS
            self._positions.update(positions.maps[0])
            del sequences[: sequences.index(sequence) + 1]
            pieces.clear()
            for refused in taken.refused:
                self._note(name, Inadmissible(f"{refused.document.kind}: {refused.reason}"))
            self._tell(taken.documents, taken.messages)
        if pieces and device is not None:
            self._replica.unfinished[folder] = Unfinished(device, sequences[0], sequences[-1])
        else:
            self._replica.unfinished.pop(folder, None)
        return _End.READ

    def _open(
        self, folder: str, sequence: int, positions: Mapping[_Place, Position]
    ) -> Errand[Opened]:
        raw = yield from self._get(_name(folder, sequence))
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
            self._note(_name(folder, sequence), LogForked(copied))
        return opened

    def _opened(self, raw: bytes, positions: Mapping[_Place, Position]) -> Opened:
        roster, keyring = self._replica.account()
        return open_object(raw, keyring=keyring, roster=roster, positions=positions)

    def _tell(self, documents: int, messages: int) -> None:
        self._taken += documents
        self._messages += messages
        if self._on_event is not None and documents:
            so_far = self._taken, self._taken, self._messages, self._messages, self._received
            self._on_event(Progress(*so_far))

    # Putting.

    def _put_batches(self) -> Errand[None]:
        while (outgoing := self._replica.next_batch()) is not None:
            if not outgoing.documents:
                self._replica.posted(outgoing, "", None)
                continue
            try:
                yield from self._put_batch(outgoing)
            except (RotationDue, UnknownEpoch) as error:
                self._note("nothing is put", error)
                return
            self._put += len(outgoing.documents)

    def _put_batch(self, outgoing: Outgoing) -> Errand[None]:
        roster, keyring = self._replica.account()
        epoch = roster.state.sealing_epoch()
        secret = keyring.secret(epoch)
        own = self._replica.own_log(epoch)
        keys = self._replica.keys
        folder = log_name(secret, roster.account, keys.device_id, own.incarnation)
        sealer = Sealer(keys, keyring, roster, own.incarnation)
        after = own.after
        for body in cut(encode_batch(outgoing.documents)):
            salt = self._replica.random_bytes(SALT_BYTES)
            sealed = sealer.seal(body, Kind.BATCH, after=after, salt=salt)
            after = sealed.position
            yield from self._leave(_name(folder, after.sequence), sealed.raw)
        assert after is not None
        self._replica.posted(outgoing, folder, Log(keys.device_id, own.first, after))


def keys_digest(roster: Roster, keyring: Keyring) -> bytes:
    """32 bytes: equal where the same statements and epochs are known."""
    return _hash(b"".join(sorted(roster.bodies())) + b"".join(sorted(keyring)))


def _documents(opened: Opened, pieces: list[bytes]) -> Documents | None:
    """What a log brings with an object; None if the batch goes on in the next. Unknown kinds bring nothing."""
    if opened.head.kind != Kind.BATCH and not pieces:
        return []
    piece, is_last = read_piece(opened.body)
    pieces.append(piece)
    if sum(map(len, pieces)) > limits.BATCH_BYTES:
        raise ObjectDamaged("a batch that is longer than any, though its device signed it")
    return decode_batch(b"".join(pieces)) if is_last else None


def _name(folder: str, sequence: int) -> str:
    return f"{LOGS}/{folder}/{sequence:016x}"


def _by_folder(names: Iterable[str]) -> dict[str, list[int]]:
    """The sequences that each log has, ascending; what has another name than objects of logs have is left out."""
    found: dict[str, list[int]] = {}
    for name in sorted(names):
        if match := _OBJECT.fullmatch(name):
            found.setdefault(match[1], []).append(int(match[2], 16))
    return found


def _hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
