"""Reading the logs in a mailbox; the rules are in `protocol.courier`. Source: design 9, docs/specification.md."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto

from msgsync.account.head import Kind, LogEnd
from msgsync.account.seal import Opened, is_checkpoint_name
from msgsync.account.statements import Position
from msgsync.errors import (
    AccountError,
    Inadmissible,
    MailboxDamaged,
    MsgSyncError,
    NoSuchObject,
    NotAMember,
    ObjectMissing,
    UnknownEpoch,
    UnknownRoster,
)
from msgsync.protocol.batch import Batch, Documents, decode_batch
from msgsync.protocol.candidates import (
    Candidate,
    brings_nothing,
    is_farther,
    is_whole,
    newest,
)
from msgsync.protocol.correspondent import Correspondent, Log, Unfinished
from msgsync.protocol.errand import Errand, Round
from msgsync.protocol.events import Stage
from msgsync.protocol.gaps import Gaps, holes, read_so_far
from msgsync.protocol.manifest import read_manifest
from msgsync.protocol.objects import Objects, Place, batch_of, name_of
from msgsync.protocol.wanted import Wanted


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
        objects: opens them.
    """

    def __init__(self, replica: Correspondent, this_round: Round, objects: Objects) -> None:
        self._replica = replica
        self._round = this_round
        self._objects = objects
        self._logs: dict[str, Log] = {}
        self._positions: dict[Place, Position] = {}
        self._stopped: dict[str, tuple[str, MsgSyncError]] = {}
        """Folders of logs that could not be read on: the object, and why."""
        self.met_strangers = False
        """Whether an object builds on statements that are not here, or is of an epoch that is not."""
        self.misses_statements = False
        """Whether objects of the account could not be opened for long, for want of what others know of it."""
        self.refused: set[str] = set()
        """Folders of logs of which nothing was ever taken, since their devices are not in the account, or no more."""
        self._covered = False
        """Whether a checkpoint has brought logs forward that are to be looked at anew."""
        self._also_covered: Mapping[str, LogEnd] = {}
        """By checkpoints that the one that is read first covers."""
        self._also_holes: tuple[str, ...] = ()
        """The logs of which something may be missing in those."""
        self._wanted: Wanted | None = None
        """While the older part of a checkpoint is read."""
        self._early: dict[str, Log] = {}
        """How far logs were read while the checkpoint that covers what comes before was not, by folder."""
        self._look()

    def _look(self) -> None:
        self._logs = {**self._replica.logs()}
        self._positions = {
            (log.device, log.position.incarnation): log.position for log in self._logs.values()
        }

    def read(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Read all of them as far as they go.

        Of the newest checkpoint what is shown first, then what came after it, then the rest of it, then all others.
        """
        candidates = yield from self._candidates(listed)
        begin_with = newest(self._pass(candidates))
        if begin_with is not None and is_farther(begin_with, self._logs, listed):
            yield from self._read_all(
                {one: listed[one] for one in listed if not is_checkpoint_name(one)}
            )
            begin_with = newest(self._pass(candidates))
        if begin_with is not None:
            yield from self._read_checkpoint(begin_with, listed)
        yield from self._read_all(listed)
        self._look()
        yield from self._read_with_gaps(listed)
        yield from self._read_months(listed)
        for name, error in self._stopped.values():
            self._round.note(name, error)

    def _read_months(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Read of checkpoints, whether they were read or not, the months that are to come back to this device.

        And see which months they have that could go from here.
        """
        for folder, sequences in listed.items():
            if not is_checkpoint_name(folder):
                continue
            back, here = self._replica.due_back(folder), self._replica.to_confirm(folder)
            if not (back or here):
                continue
            found = yield from self._candidate(folder, sequences[-1], sequences)
            if found is not None:
                wanted = Wanted(self._replica, self._round, self._objects, found)
                yield from wanted.read_months(back)
                yield from wanted.confirm_months(here)
                self._replica.sought(folder, [*back, *here])

    def _read_with_gaps(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Read what is there of logs of which something is not."""
        gaps = Gaps(self._replica, self._round, self._objects, self._take_as_a_set)
        for folder, log in holes(self._logs).items():
            yield from gaps.look_again(folder, log, listed.get(folder, ()))
        unfinished = self._look_at_unfinished(listed)
        concerned = {*self._stopped, *unfinished, *holes(self._replica.logs())}
        overdue = self._replica.stopped(concerned)
        self.met_strangers = any(
            isinstance(error, UnknownRoster | UnknownEpoch) for _, error in self._stopped.values()
        )
        self.refused = {
            folder
            for folder, (_, error) in self._stopped.items()
            if isinstance(error, NotAMember) and folder not in self._logs
        }
        for folder in sorted(self._stopped.keys() & overdue):
            error = self._stopped[folder][1]
            is_ours = isinstance(error, UnknownRoster) or folder in self._logs
            if is_ours and isinstance(error, UnknownRoster | UnknownEpoch):
                self.misses_statements = True
            log_so_far = self._logs.get(folder)
            behind = read_so_far(log_so_far)
            left = [one for one in listed[folder] if one > behind]
            yield from gaps.read_past(folder, log_so_far, left)
        for folder in unfinished & {*overdue}:
            log, _ = self._replica.unfinished.pop(folder)
            self._replica.take(folder, log, (), force=True)

    def _take_as_a_set(self, folder: str, log: Log, documents: Documents) -> None:
        with suppress(NotAMember):  # its device was revoked meanwhile
            self._take(folder, log, documents, force=True)

    def _read_all(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        waiting = self._unread(listed)
        for folder in self._stopped:
            waiting.pop(folder, None)
        force = False
        while waiting:
            moved = False
            self._objects.plan(waiting)
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

    def _candidates(self, listed: Mapping[str, Sequence[int]]) -> Errand[list[Candidate]]:
        """The checkpoints that were not read and are whole."""
        candidates = []
        for folder, left in self._unread(listed).items():
            if is_checkpoint_name(folder):
                found = yield from self._candidate(folder, left[-1], listed[folder])
                candidates += [] if found is None else [found]
        return candidates

    def _pass(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Take those for read that bring nothing; return the others."""
        for one in candidates:
            if not brings_nothing(one, self._logs):
                continue
            with suppress(NotAMember):  # its device was revoked meanwhile
                manifest = one.manifest
                for device in self._replica.cover(
                    one.folder, one.log, manifest.covers, manifest.holes
                ):
                    self._round.lose(device, 0)
                self._look()
        return [
            one
            for one in candidates
            if one.folder not in self._logs
            or self._logs[one.folder].position.sequence < one.log.position.sequence
        ]

    def _candidate(self, folder: str, last: int, listed: Sequence[int]) -> Errand[Candidate | None]:
        """A checkpoint, by its manifest; None if it is not whole: then it is a log like any other."""
        try:
            opened = yield from self._objects.look_at(folder, last)
            if opened.head.kind != Kind.MANIFEST:
                return None
            manifest = read_manifest(opened.head, opened.body)
        except (AccountError, NoSuchObject, MailboxDamaged):
            return None  # it is named when it is its turn
        if not is_whole(manifest, last, listed):
            return None
        log = Log(opened.head.device, manifest.first, opened.position, manifest.first)
        return Candidate(folder, log, manifest)

    def _read_checkpoint(self, one: Candidate, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Read a checkpoint, and what came after it as soon as it shows there to most people's benefit."""
        contents = one.manifest.contents
        self._also_covered, self._also_holes = one.manifest.covers, one.manifest.holes
        self._round.expect(contents.documents, contents.messages)
        self._replica.begin(Stage.NEWEST, messages=contents.messages, size=contents.bytes)
        left = self._unread({one.folder: listed[one.folder]}).get(one.folder, [])
        shown_first = [sequence for sequence in left if sequence <= contents.newest]
        beyond = self._beyond(one, listed) if shown_first else {}
        rest = left[len(shown_first) :]
        self._objects.plan({one.folder: shown_first}, beyond, {one.folder: rest})
        end = _End.READ
        if shown_first:
            end = yield from self._read_log(one.folder, shown_first, force=False)
        if end is _End.READ:
            self._replica.begin(Stage.LATER)
            for folder, sequences in beyond.items():
                yield from self._read_early(folder, sequences)
            self._replica.begin(Stage.HISTORY)
            self._wanted = Wanted(self._replica, self._round, self._objects, one)
            yield from self._read_log(one.folder, rest, force=False)
            self._wanted = None
        if self._covered:
            self._covered = False
            for folder, log in self._early.items():
                self._replica.take(folder, log, (), force=True)
        self._also_covered, self._also_holes = {}, ()
        self._look()
        self._replica.begin(Stage.LATER)

    def _beyond(self, one: Candidate, listed: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """What lies in logs behind what a checkpoint covers, where nothing is missing in between."""
        found = {}
        for folder, left in self._unread(listed).items():
            end = one.manifest.covers.get(folder)
            if is_checkpoint_name(folder) or (end is None and folder in self._logs):
                continue
            after = left[0] - 1 if end is None else end.position.sequence
            behind = [sequence for sequence in left if sequence > after]
            if behind and behind[0] == after + 1:
                found[folder] = behind
        return found

    def _read_early(self, folder: str, sequences: Sequence[int]) -> Errand[None]:
        """Take of a log what fits, before that comes which it goes on from.

        That it was read is noted once the checkpoint was read, if all of it fitted; else it is read again.
        """
        pieces: list[bytes] = []
        positions: dict[Place, Position] = {}
        whole = True
        for sequence in sequences:
            try:
                opened = yield from self._objects.open(folder, sequence, positions)
                position = opened.position
                positions[opened.head.device, position.incarnation] = position
                batch = batch_of(opened, pieces)
                if batch is None:
                    continue
                pieces.clear()
                log = Log(opened.head.device, sequences[0], position, sequences[0])
                taken = self._replica.take_early(log, batch.documents)
            except (AccountError, NoSuchObject, MailboxDamaged):
                return  # it is named when it is its turn
            self._round.took(taken.documents, taken.messages)
            whole = whole and not taken.gaps and not taken.refused
            if whole:
                self._early[folder] = log

    def _unread(self, listed: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        waiting = {}
        for folder, sequences in listed.items():
            behind = read_so_far(self._logs.get(folder))
            left = [one for one in sequences if one > behind]
            unfinished = self._replica.unfinished.get(folder)
            if left and (unfinished is None or unfinished.log.position.sequence != left[-1]):
                waiting[folder] = left
        return waiting

    def _look_at_unfinished(self, listed: Mapping[str, Sequence[int]]) -> set[str]:
        """Name batches that are not whole; pass over those that their devices have begun again in another log."""
        waiting = set()
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
                waiting.add(folder)
        return waiting

    def _read_log(self, folder: str, sequences: list[int], *, force: bool) -> Errand[_End]:
        """Read on in a log; what was taken leaves ``sequences``."""
        known, pieces, log = self._logs.get(folder), list[bytes](), None
        first, since, hole = sequences[0], sequences[0], 0
        positions = ChainMap[Place, Position]({}, self._positions)
        if known is not None:
            first, since, hole = known.first, known.since, known.hole
            if known.covered > known.position.sequence:  # what comes before was given up
                positions = ChainMap({}, self._positions_but(known))
        for sequence in [*sequences]:
            if self._wanted is not None:
                yield from self._wanted.read()
            name = name_of(folder, sequence)
            try:
                opened = yield from self._objects.open(folder, sequence, positions)
                device, position = opened.head.device, opened.position
                positions[device, position.incarnation] = position
                log = Log(device, first, position, since, hole)
                if opened.head.kind == Kind.MANIFEST and not pieces:
                    done = self._pass_manifest(folder, log, opened, force=force)
                elif opened.head.kind == Kind.SCREEN and not pieces:
                    done = self._show_screen(folder, log, opened)
                elif (batch := batch_of(opened, pieces)) is None:
                    continue
                else:
                    if known is None and 0 < batch.first < since:
                        first = hole = batch.first  # what comes before is late, replaced or lost
                        log = log._replace(first=first, hole=hole)
                    done = self._take(folder, log, batch.documents, force=force)
                    self._hear(log, batch, done=done)
            except (AccountError, NoSuchObject, MailboxDamaged) as error:
                self._stopped[folder] = name, error
                return _End.STOPPED
            if not done:
                return _End.WAITS
            self._positions.update(positions.maps[0])
            self._logs[folder] = log
            del sequences[: sequences.index(sequence) + 1]
            pieces.clear()
        if pieces and log is not None:
            self._replica.unfinished[folder] = Unfinished(log, sequences[0])
        else:
            self._replica.unfinished.pop(folder, None)
        return _End.READ

    def _positions_but(self, log: Log) -> dict[Place, Position]:
        """All positions but that of one log: it may go on anywhere."""
        place = log.device, log.position.incarnation
        return {each: at for each, at in self._positions.items() if each != place}

    def _hear(self, log: Log, batch: Batch, *, done: bool) -> None:
        """Keep what a device says besides, once its batch was taken."""
        if done and batch.tidings:
            for device in self._replica.hear(log, batch.tidings):
                self._round.lose(device, 0)

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

    def _show_screen(self, folder: str, log: Log, opened: Opened) -> bool:
        """Take in what a new device shows first; of documents that are here, nothing."""
        taken = self._replica.take_screen(folder, log, decode_batch(opened.body))
        self._round.took(0, taken.messages)
        self._round.show_screen(taken.documents, taken.messages)
        return True

    def _pass_manifest(self, folder: str, log: Log, opened: Opened, *, force: bool) -> bool:
        """Take other logs for read, as far as a checkpoint holds them; return False if it has to wait.

        It does if some of the checkpoint was not read; if no other log brings that, nothing is taken for read.
        """
        manifest = read_manifest(opened.head, opened.body)
        if log.since <= manifest.first:
            covers = {**self._also_covered, **manifest.covers}
            holes = {*self._also_holes, *manifest.holes}
            for device in self._replica.cover(folder, log, covers, holes):
                self._round.lose(device, 0)
            self._covered = True
            return True
        if force:
            since = log.position.sequence + 1
            nothing_of_it = log._replace(since=since, hole=manifest.first)
            self._replica.take(folder, nothing_of_it, (), force=True)
        return force

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
            begin = max(log.first, log.since)
            missing = [one for one in range(begin, log.position.sequence + 1) if one not in there]
            for sequence in missing[:1]:
                try:
                    yield from self._round.get(name_of(folder, sequence))
                except NoSuchObject:
                    lost.append(folder)
                    self._round.lose(log.device, len(missing))
        if lost:
            self._replica.lost(lost)
