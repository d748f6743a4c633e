"""Checkpoints of a mailbox: half of what is behind `protocol.correspondent`. Source: design 9."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from msgsync import limits
from msgsync.account.head import LogEnd
from msgsync.account.statements import INCARNATION_BYTES, Position
from msgsync.document.codec import NO_UPDATE
from msgsync.document.frozen import NEVER_FROZEN, Parts
from msgsync.document.schema import DAY_MS, DocumentId
from msgsync.errors import NotAMember
from msgsync.ids import DeviceId
from msgsync.protocol.batch import Documents
from msgsync.protocol.correspondent import Checkpoint, Log, Unfinished
from msgsync.replica import forgetting, history
from msgsync.replica.exchange import Exchange
from msgsync.replica.ordering import in_order
from msgsync.replica.screen import first_screen
from msgsync.replica.switch import check_on
from msgsync.replica.system import draw_client
from msgsync.replica.tidings import Telling
from msgsync.store.history import replace_there
from msgsync.store.mailboxes import LogRow, MailboxRow, Posted
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


class CurrentLog(NamedTuple):
    """The log that this opening puts its objects into."""

    epoch: bytes
    """All of it is sealed under this one."""
    incarnation: bytes
    first: int


@dataclass(slots=True)
class Bag:
    """What an open replica remembers of a mailbox until it is closed."""

    current: CurrentLog | None = None
    """Where the next object is put; not while one is being put."""
    unfinished: dict[str, Unfinished] = field(default_factory=dict)
    losses: int = 0
    """How often nothing counted as being there any more: what a round put before that proves nothing."""
    has_asked: bool = False
    """Whether others were asked for what they know of the account."""
    sought: set[tuple[str, DocumentId, int]] = field(default_factory=set)
    """In which checkpoints which months were looked for that are to come back, and what was known of them then."""
    covered: bool = False
    """Whether a checkpoint of another device was read since it was last asked whether one is due."""


class _Mark(NamedTuple):
    """What lies in the mailbox of a document once the checkpoint is there."""

    key: int
    posted: Posted


class Checkpoints:
    """Those of one mailbox; takes the replica's lock for each step."""

    def __init__(
        self,
        replica: Replica,
        key: int,
        address: str,
        telling: Telling,
        checkpoint_objects: int | None = None,
    ) -> None:
        self._replica = replica
        self._checkpoint_objects = (
            limits.CHECKPOINT_OBJECTS if checkpoint_objects is None else checkpoint_objects
        )
        self._key = key
        self._address = address
        self._bag = replica.bags.setdefault(address, Bag())
        self._telling = telling

    def _row(self, store: Store) -> MailboxRow:
        found = store.mailboxes.find(self._address)
        assert found is not None
        return found

    def _write_log(
        self, store: Store, folder: str, log: Log, *, has_documents: bool = True
    ) -> LogRow:
        """Note how far a log was read or put; where it began stays as it was known.

        Without documents nothing is missed that is gone, and nothing lies there that was erased since.
        """
        known = store.mailboxes.logs(self._key).get(folder)
        first, since, hole, covered = log.first, log.since, log.hole, 0
        position = log.position
        if known is not None:
            first, covered = known.first, known.covered
            if covered > log.covered:  # by a checkpoint that another round has read meanwhile
                since, hole = known.since, known.hole
            if known.sequence > position.sequence:
                position = Position(known.incarnation, known.sequence, known.hash)
        if not has_documents and not hole and (known is None or not known.waits):
            first = position.sequence + 1
        row = LogRow(
            log.device.raw,
            position.incarnation,
            first,
            position.sequence,
            position.hash,
            since,
            covered,
            hole,
        )
        store.mailboxes.write_log(self._key, folder, row)
        return row

    def _lets_go(self) -> bool:
        """Whether a checkpoint of this device would not hold all that it takes the place of."""
        with self._replica.reading() as store:
            return bool(store.missing.kinds_elsewhere())

    def floods(self) -> bool:
        """See `Correspondent.floods`."""
        with self._replica.reading() as store:
            return (
                not self._lets_go()
                and not self._row(store).put_seq
                and _bytes(store) > limits.BATCH_FILL_BYTES
            )

    def _see_accepted(self, log: Log) -> None:
        """See that an object of a log still counts, while no other thread can revoke its device.

        Raises:
            NotAMember: the device was revoked, and nobody had read so far before.
        """
        incarnation, sequence, _ = log.position
        if not self._replica.membership.roster().state.accepts(log.device, incarnation, sequence):
            raise NotAMember(
                f"device {log.device} is not in the account any more, and nobody had accepted this object before"
            )

    def saw(self, listed: Mapping[str, Sequence[int]]) -> None:
        """See `Correspondent.saw`."""
        known = self._replica.membership.moment()
        if len(known.keyring) == 1:
            return
        with self._replica.reading() as store:
            row, logs = self._row(store), store.mailboxes.logs(self._key)
            epoch = forgetting.epoch_there(known, logs, listed)
        if epoch != row.epoch:
            with self._replica.writing() as store:
                row = self._row(store)
                row.epoch = epoch
                store.mailboxes.write(row)

    def checkpoint_due(self, listed: Mapping[str, Sequence[int]]) -> bool:
        """See `Correspondent.checkpoint_due`."""
        now_ms = self._replica.system.now_ms()
        covered, self._bag.covered = self._bag.covered, False
        with self._replica.holding():
            with self._replica.reading() as store:
                row = self._row(store)
                logs = store.mailboxes.logs(self._key)
                old = any(log.waits for folder, log in logs.items() if folder != row.checkpoint)
            if covered and not old:  # nothing is left of what lay there before
                with self._replica.writing() as store:
                    row.checkpoint_seq = store.seq
                    store.mailboxes.write(row)
            self._see_cleared(row, logs, listed)
            if not row.sequence or 0 <= now_ms - row.checkpoint_ms < DAY_MS:
                return False
            is_due = self._is_due(row, logs, listed, old=old)
            if not (is_due and self._lets_go()):
                return is_due
            with self._replica.writing() as store:
                if history.is_kept_by_nobody(store):
                    history.bring_all_back(store)  # then this device makes it
            return False

    def _is_due(
        self,
        row: MailboxRow,
        logs: Mapping[str, LogRow],
        listed: Mapping[str, Sequence[int]],
        *,
        old: bool,
    ) -> bool:
        """Whether it is time; ``old``: objects from before the last one may be there."""
        objects = sum(
            folder not in logs or sequence > logs[folder].covered
            for folder, sequences in listed.items()
            for sequence in sequences
            if folder != row.checkpoint
        )
        if self._lost_logs() or forgetting.is_left(self._replica.membership.moment(), logs, listed):
            return True
        most = self._checkpoint_objects + 2 * row.checkpoint_objects
        now_ms = self._replica.system.now_ms()
        if objects > most and now_ms >= row.collect_ms:
            return True
        with self._replica.reading() as store:
            if not row.checkpoint and history.wants_checkpoint(store, now_ms):
                return True
            return old and store.mailboxes.erased_since(row.checkpoint_seq)

    def _see_cleared(
        self, row: MailboxRow, logs: Mapping[str, LogRow], listed: Mapping[str, Sequence[int]]
    ) -> None:
        """Note it if all is gone that could hold what was erased before the last checkpoint."""
        replaced = unread = False
        for folder, sequences in listed.items():
            log = logs.get(folder)
            unread |= log is None or bool(log.hole) or max(sequences, default=0) > log.sequence
            replaced |= log is not None and min(sequences, default=log.covered + 1) <= log.covered
        is_clear = not (replaced or unread) and len(logs) < limits.POSITIONS
        if is_clear and row.cleared_seq != row.checkpoint_seq:
            with self._replica.writing() as store:
                row.cleared_seq = row.checkpoint_seq
                store.mailboxes.write(row)

    def _lost_logs(self) -> tuple[str, ...]:
        """The logs of which something could not be read for so long that others are to be told."""
        now_ms = self._replica.system.now_ms()
        with self._replica.reading() as store:
            logs = store.mailboxes.logs(self._key)
            stops = store.mailboxes.stops(self._key)
        return tuple(
            folder
            for folder, log in sorted(logs.items())
            if log.hole and now_ms - stops.get(folder, now_ms) >= limits.LOST_LOG_MS
        )

    def begin_checkpoint(self, folders: Collection[str]) -> Checkpoint:
        """See `Correspondent.begin_checkpoint`."""
        Exchange(self._replica).bins()  # looks whether documents are what they were
        with self._replica.reading() as store:
            row = self._row(store)
            self._bag.current = None
            after = None
            if row.incarnation:
                after = Position(row.incarnation, row.sequence, row.hash)
            logs = store.mailboxes.logs(self._key)
            lost = self._lost_logs()
            covers = {
                folder: LogEnd(
                    DeviceId(log.device), Position(log.incarnation, log.sequence, log.hash)
                )
                for folder, log in logs.items()
                if (folder in folders or log.waits) and (not log.hole or folder in lost)
            }
            order = in_order(store)
            changed = "select 1 from documents where changed_seq > ?", (row.put_seq,)
            return Checkpoint(
                self._replica.system.random_bytes(INCARNATION_BYTES),
                row.sequence + 1,
                after,
                dict([*covers.items()][: limits.POSITIONS]),
                store.seq,
                store.database.first(*changed) is not None,
                order.newest[::-1],
                order.older[::-1],
                lost,
                row.checkpoint,
            )

    def screen(self) -> Documents:
        """See `Correspondent.screen`."""
        with self._replica.reading() as store:
            if _bytes(store) <= limits.BATCH_FILL_BYTES:
                return ()  # the first batch shows as much
            return first_screen(store, draw_client(self._replica.system))

    def checkpoint_batch(self, checkpoint: Checkpoint, keys: list[int]) -> Documents:
        """See `Correspondent.checkpoint_batch`."""
        documents: list[tuple[DocumentId, Parts]] = []
        size = 0
        with self._replica.reading() as store:
            check_on(store)
            while keys and size < limits.BATCH_FILL_BYTES:
                row = store.documents.by_key(keys.pop())
                store.documents.check_name(row)
                parts, now = lacking(store, row, None)
                if parts is not None:
                    # Another round, or a person, may have brought what no log has yet since it began.
                    checkpoint.adds |= row.changed_seq > checkpoint.seq
                    checkpoint.marks.append(_Mark(row.key, now))
                    checkpoint.documents += 1
                    checkpoint.messages += row.messages
                    documents.append((row.id, parts))
                    checkpoint.bytes += parts.size_bytes
                    size += parts.size_bytes + len(row.id.conversation)
        return documents

    def checkpointed(self, checkpoint: Checkpoint, folder: str, log: Log, objects: int) -> None:
        """See `Correspondent.checkpointed`."""
        now_ms = self._replica.system.now_ms()
        with self._replica.writing() as store:
            row = self._row(store)
            hurries = store.mailboxes.erased_since(row.checkpoint_seq)
            for mark in checkpoint.marks if checkpoint.adds else ():
                assert isinstance(mark, _Mark)
                store.mailboxes.post(self._key, *mark)
            logs = store.mailboxes.logs(self._key)
            for name, end in checkpoint.covers.items():
                known, sequence = logs.get(name), end.position.sequence
                if known is None:
                    continue  # another round of this replica has found nothing of it there
                if name in checkpoint.holes:
                    sequence = max(sequence, known.since - 1)  # whoever has it puts it again
                    known = known._replace(since=0, hole=0)
                known = known._replace(first=max(known.first, sequence + 1), covered=sequence)
                store.mailboxes.write_log(self._key, name, known)
            if len(checkpoint.covers) < limits.POSITIONS:
                for name in logs.keys() - checkpoint.covers.keys():
                    if logs[name].device != log.device.raw and not logs[name].hole:
                        store.mailboxes.drop_log(self._key, name)  # nothing of it is there
            replace_there(store, self._address, folder, checkpoint.covers, checkpoint.holes)
            self._write_log(store, folder, log)
            self._telling.said(store, log.position.sequence)
            row.incarnation, row.sequence, row.hash = log.position
            if checkpoint.adds:
                row.put_seq = max(row.put_seq, checkpoint.seq)
            row.checkpoint, row.checkpoint_objects = folder, objects
            row.checkpoint_seq = checkpoint.seq
            if checkpoint.covers:  # the first one replaces nothing
                row.checkpoint_ms = now_ms
                row.collect_ms = now_ms if hurries else now_ms + limits.REPLACED_STAY_MS
            store.mailboxes.write(row)

    def cover(
        self, folder: str, log: Log, covers: Mapping[str, LogEnd], holes: Collection[str] = ()
    ) -> Collection[DeviceId]:
        """See `Correspondent.cover`."""
        now_ms = self._replica.system.now_ms()
        with self._replica.writing() as store:
            self._see_accepted(log)
            row = self._row(store)
            logs = store.mailboxes.logs(self._key)
            known = [logs[name] for name in holes if name in logs]
            before = logs.get(row.checkpoint)
            is_unread = (
                row.checkpoint not in {folder, *covers} and before is not None and before.waits
            )
            # What a checkpoint holds that the maker of this one has not read may be damaged as well.
            missed = {
                DeviceId(one.device) for one in known if not one.hole and (one.waits or is_unread)
            }
            if missed:
                self._bag.current = None
                self._bag.losses += 1
                store.mailboxes.forget_posted(row)
            for name, end in covers.items():
                store.mailboxes.write_log(self._key, name, _covered(logs.get(name), end))
            replace_there(store, self._address, folder, covers, holes)
            own = self._write_log(store, folder, log)
            row.checkpoint = folder
            row.checkpoint_objects = own.sequence + 1 - own.since
            # Whoever made it removes what it replaced; if it was this device, that was broken off.
            is_ours = log.device == self._replica.device
            hurries = is_ours and store.mailboxes.erased_since(row.checkpoint_seq)
            if covers:
                row.checkpoint_ms = now_ms
                row.collect_ms = now_ms if hurries else now_ms + limits.REPLACED_STAY_MS
            store.mailboxes.write(row)
        self._bag.covered = True
        return missed

    def garbage(self) -> Mapping[str, int]:
        """See `Correspondent.garbage`."""
        with self._replica.reading() as store:
            row = self._row(store)
            if not row.collect_ms or self._replica.system.now_ms() < row.collect_ms:
                return {}
            logs = store.mailboxes.logs(self._key)
            return {folder: log.covered for folder, log in logs.items() if log.covered}


def _bytes(store: Store) -> int:
    """How long all documents are together."""
    return int(store.database.one("select total(bytes) from documents")[0])


def lacking(store: Store, row: DocumentRow, there: Posted | None) -> tuple[Parts | None, Posted]:
    """What somebody lacks of a document who has what lies in the mailbox, and what lies there then."""
    digest = row.digest.to_bytes(16, "big")
    if there is not None and there.digest == digest:
        return None, there
    if row.lacks is not None and digest == row.lacks.kept:  # whoever has it puts it
        return None, there or Posted(NEVER_FROZEN, {}, b"")
    if row.is_new:
        return None, Posted(row.label, {}, digest)
    clocks = store.documents.state(row)
    now = Posted(row.label, clocks, digest)
    if there is None or there.label != row.label:
        return store.documents.parts(row), now
    update = store.documents.update(row, there.clocks)
    return (None if update == NO_UPDATE else Parts(row.label, b"", (update,))), now


def _covered(known: LogRow | None, end: LogEnd) -> LogRow:
    """A log as it is known when a checkpoint was read that holds all it brought up to an end."""
    position = end.position
    behind = position.sequence + 1
    if known is None or known.sequence < position.sequence:
        return LogRow(
            end.device.raw,
            position.incarnation,
            behind,
            position.sequence,
            position.hash,
            0,
            position.sequence,
        )
    since, hole = known.since, known.hole
    if since <= behind:
        since = hole = 0
    return known._replace(
        first=max(known.first, behind),
        since=since,
        hole=hole and max(hole, behind),
        covered=max(known.covered, position.sequence),
    )
