"""A replica and one mailbox, as a courier sees them: the store behind `protocol.correspondent`. Source: design 9."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgsync import limits
from msgsync.account.epochs import Keyring
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.statements import INCARNATION_BYTES, Position, Statement
from msgsync.document.frozen import NEVER_FROZEN, Parts
from msgsync.document.gonefiles import NOTHING_GONE, GoneFiles
from msgsync.document.schema import DocumentId
from msgsync.errors import Inadmissible
from msgsync.ids import DeviceId
from msgsync.protocol.batch import Documents
from msgsync.protocol.correspondent import KeysThere, Log, Outgoing, OwnLog, Unfinished
from msgsync.protocol.events import Stage
from msgsync.protocol.seam import Refused, Taken
from msgsync.replica import devices, forgetting, history, space
from msgsync.replica.checkpoints import Checkpoints, CurrentLog, lacking
from msgsync.replica.fitting import (
    as_a_set,
    clocks_with,
    fits,
    has_form,
    has_gap,
    is_due_back,
    is_missing_state,
    may_come_early,
    moved,
    restores,
    says_of,
)
from msgsync.replica.ordering import in_order
from msgsync.replica.switch import check_on
from msgsync.replica.system import draw_client
from msgsync.replica.tidings import Telling
from msgsync.replica.trash import Arrival
from msgsync.store.history import (
    come_back,
    confirm_there,
    elsewhere,
    folder_there,
    forget_place,
)
from msgsync.store.mailboxes import Posted
from msgsync.store.merging import check_document
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store, read_only

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_HASH_BYTES = 32
_WORTH_NOTING_MS = 60_000
"""A round that brings nothing writes nothing, but once a minute that there was one."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What to remember once a batch is put."""

    posted: Sequence[tuple[int, Posted]]
    """By key of the document."""
    put_seq: int


class Mailing(Checkpoints):
    """Implements `protocol.correspondent.Correspondent`; takes the replica's lock for each step."""

    def __init__(
        self, replica: Replica, address: str, *, checkpoint_objects: int | None = None
    ) -> None:
        """Begin, with the mailbox at an address.

        Args:
            replica: whose mailbox it is.
            address: of the mailbox.
            checkpoint_objects: see `limits.CHECKPOINT_OBJECTS`; None for that one.

        Raises:
            ReadOnly: the replica was opened for reading: how far it has read could not be kept.
            SyncOff: sync is switched off.
        """
        with replica.reading() as store:
            check_on(store)
            if store.database.readonly:
                raise read_only()
            found = store.mailboxes.find(address)
            stays = replica.leaving or not devices.is_retired(store)
            is_known = found is not None and stays
        if found is None or not is_known:
            with replica.writing() as store:
                if not stays:
                    devices.return_from_retirement(store)
                found = store.mailboxes.make(address, store.seq)
        forgetting.say_if_due(replica)
        history.say_if_due(replica)
        telling = Telling(replica, found.key, found.used_ms)
        super().__init__(replica, found.key, address, telling, checkpoint_objects)
        self._current: CurrentLog | None = None
        self._losses = 0
        """Of the bag, when it was found what is to be put."""
        self._stage = Stage.LOGS
        self._to_put: list[int] = []
        """The documents that are to be looked at, by key; the next one last."""
        self._whole: set[DocumentId] = set()
        """Months of which all that is missing is in what is being taken in."""
        self._put_until = 0
        """The commit up to which all is there once they are put."""

    # The account.

    @property
    def keys(self) -> SecretKeys:
        """See `Correspondent.keys`."""
        return self._replica.membership.keys

    def random_bytes(self, count: int) -> bytes:
        """See `Correspondent.random_bytes`."""
        return self._replica.system.random_bytes(count)

    def now_ms(self) -> int:
        """See `Correspondent.now_ms`."""
        return self._replica.system.now_ms()

    def account(self) -> tuple[Roster, Keyring]:
        """See `Correspondent.account`."""
        return self._replica.membership.moment()

    def learn(
        self,
        statements: Iterable[Statement],
        secrets: Iterable[bytes],
        forgotten: Mapping[bytes, bytes],
    ) -> None:
        """See `Correspondent.learn`."""
        with self._replica.reading() as store:
            check_on(store)
        self._replica.membership.merge(statements, secrets, forgotten)

    def keys_there(self) -> KeysThere:
        """See `Correspondent.keys_there`."""
        with self._replica.reading() as store:
            keys = self._row(store).keys
            return KeysThere(keys[:_HASH_BYTES], keys[_HASH_BYTES:])

    def note_keys(self, keys: KeysThere) -> None:
        """See `Correspondent.note_keys`."""
        with self._replica.writing() as store:
            row = self._row(store)
            row.keys = keys.said + keys.own
            store.mailboxes.write(row)

    # Logs.

    def logs(self) -> Mapping[str, Log]:
        """See `Correspondent.logs`."""
        with self._replica.reading() as store:
            return {
                folder: Log(
                    DeviceId(row.device),
                    row.first,
                    Position(row.incarnation, row.sequence, row.hash),
                    row.since,
                    row.hole,
                    row.covered,
                )
                for folder, row in store.mailboxes.logs(self._key).items()
            }

    def last_sequence(self) -> int:
        """See `Correspondent.last_sequence`."""
        with self._replica.reading() as store:
            return self._row(store).sequence

    @property
    def unfinished(self) -> MutableMapping[str, Unfinished]:
        """See `Correspondent.unfinished`."""
        return self._bag.unfinished

    def lost(self, folders: Iterable[str]) -> None:
        """See `Correspondent.lost`."""
        self._bag.current = None
        self._bag.losses += 1
        with self._replica.writing() as store:
            store.mailboxes.forget_posted(self._row(store))
            store.copies.forget_place(self._address)
            forget_place(store, self._address)
            logs = store.mailboxes.logs(self._key)
            for folder in [*folders] or logs:
                log = logs.get(folder)
                if log is None:
                    continue  # another round of this replica has found all of it replaced
                store.mailboxes.write_log(self._key, folder, log._replace(first=log.sequence + 1))

    def stopped(self, folders: Collection[str]) -> Collection[str]:
        """See `Correspondent.stopped`."""
        now_ms = self._replica.system.now_ms()
        with self._replica.reading() as store:
            before = store.mailboxes.stops(self._key)
        # A clock that was set back begins anew.
        stops = {folder: min(before.get(folder, now_ms), now_ms) for folder in folders}
        if stops != before:
            with self._replica.writing() as store:
                store.mailboxes.write_stops(self._key, stops)
        long = limits.STOPPED_LOG_MS
        return {folder for folder, since_ms in stops.items() if now_ms - since_ms >= long}

    def refused_for_long(self, folders: Collection[str]) -> Collection[str]:
        """See `Correspondent.refused_for_long`."""
        if not folders:
            return ()
        now_ms = self._replica.system.now_ms()
        with self._replica.reading() as store:
            stops = store.mailboxes.stops(self._key)
        long = limits.REPLACED_STAY_MS
        return {one for one in folders if now_ms - stops.get(one, now_ms) >= long}

    def hear(self, log: Log, tidings: bytes) -> Collection[DeviceId]:
        """See `Correspondent.hear`."""
        device = self._replica.device
        heard = self._telling.hear(log.device.raw, log.position.sequence, tidings)
        if heard is None or not heard.unreadable:
            return ()
        logs = self.logs()
        missed = [
            folder
            for folder in heard.unreadable
            if folder in logs
            and logs[folder].device == device
            and logs[folder].first <= logs[folder].position.sequence
        ]
        if missed:
            self.lost(missed)
        return [device] if missed else ()

    def learn_tidings(self) -> None:
        """See `Correspondent.learn_tidings`."""
        self._telling.learn()

    def say(self, *, anyway: bool) -> bytes:
        """See `Correspondent.say`."""
        return self._telling.say(anyway=anyway)

    def has_asked(self) -> bool:
        """See `Correspondent.has_asked`."""
        before, self._bag.has_asked = self._bag.has_asked, True
        return before

    # Reading.

    def begin(self, stage: Stage, *, messages: int = 0, size: int = 0) -> None:
        """See `Correspondent.begin`."""
        self._replica.gauge.expect(messages, size)
        self._stage = stage

    def take(self, folder: str, log: Log, documents: Documents, *, force: bool) -> Taken:
        """See `Correspondent.take`."""
        # What another thread writes in between fills gaps; one that it makes, by freezing, `_merge` copes with.
        if not force and self._has_gaps(documents):
            return Taken(0, 0, (), True)
        taken = self._take(documents, log, folder)
        self._replica.gauge.tell()
        return taken

    def _take(
        self,
        documents: Documents,
        log: Log,
        folder: str | None = None,
        *,
        is_screen: bool = False,
    ) -> Taken:
        """Merge them, and note in the same transaction how far the log in a folder is read."""
        refused: list[Refused] = []
        notes: dict[int, Posted] = {}
        taken = messages = 0
        # The first screen comes again with its documents.
        size = 0 if is_screen else sum(parts.size_bytes for _, parts in documents)
        with self._replica.writing() as store:
            check_on(store)
            if documents:
                self._see_accepted(log)
                store.missing.begin_filling()
                store.arrivals.note(store.seq + 1, log.device.raw)
            for document, parts in documents:
                row = store.documents.find(document)
                before = (0, 0) if row is None else (row.messages, row.digest)
                try:
                    self._merge(store, document, parts, notes)
                except Inadmissible as error:
                    refused.append(Refused(document, str(error)))
                    continue
                row = store.documents.find(document)
                if row is not None:
                    taken += row.digest != before[1]
                    messages += max(row.messages - before[0], 0)
            for key, there in notes.items():  # at the end: each waits for what is written meanwhile
                store.mailboxes.post(self._key, key, there)
            if folder is not None:
                self._write_log(store, folder, log, has_documents=bool(documents))
            self._replica.gauge.begin(self._stage)
            self._replica.gauge.note(store, messages, size, (one for one, _ in documents))
        return Taken(taken, messages, tuple(refused), False)

    def _ask_for_checkpoint(self, store: Store) -> None:
        """Something erased lies there: its device had not heard of that when it put it."""
        row = self._row(store)
        row.checkpoint_seq = row.cleared_seq = 0
        store.mailboxes.write(row)

    def wanted(self) -> Sequence[str]:
        """See `Correspondent.wanted`."""
        return self._replica.wants.now()

    def lacks(self, document: DocumentId) -> bool:
        """See `Correspondent.lacks`."""
        with self._replica.reading() as store:
            row = store.documents.find(document)
            return row is None or (row.lacks is not None and not row.is_away)

    def due_back(self, folder: str) -> Sequence[DocumentId]:
        """See `Correspondent.due_back`."""
        with self._replica.reading() as store:
            return self._not_sought(folder, _due_back(store))

    def waits_for(self) -> int:
        """See `Correspondent.waits_for`."""
        with self._replica.reading() as store:
            return len(_due_back(store))

    def to_confirm(self, folder: str) -> Sequence[DocumentId]:
        """See `Correspondent.to_confirm`."""
        with self._replica.reading() as store:
            rows = history.to_confirm(store, self._replica.system.now_ms())
            return self._not_sought(folder, rows)

    def _not_sought(self, folder: str, rows: Sequence[DocumentRow]) -> list[DocumentId]:
        sought = self._bag.sought
        return [row.id for row in rows if (folder, row.id, row.known_digest) not in sought]

    def sought(self, folder: str, months: Sequence[DocumentId]) -> None:
        """See `Correspondent.sought`."""
        with self._replica.reading() as store:
            found = [store.documents.find(one) for one in months]
        self._bag.sought |= {(folder, row.id, row.known_digest) for row in found if row is not None}

    def take_months(
        self, log: Log, documents: Documents, folder: str, covers: Collection[str]
    ) -> Taken:
        """See `Correspondent.take_months`."""
        with self._replica.reading() as store:
            due = [one for one in documents if is_due_back(store, one[0])]
            whole = {
                document
                for document, _ in due
                if (row := store.documents.find(document)) is not None
                and folder_there(store, self._address, row) in {folder, *covers}
            }
            due = [one for one in due if one[0] in whole or is_missing_state(store, *one)]
        self._whole = whole
        try:
            taken = self._take(due, log) if due else Taken(0, 0, (), False)
        finally:
            self._whole = set()
        if due:
            history.tell_of_return(self._replica)
        self._replica.gauge.tell()
        return taken

    def confirm_months(self, folder: str, documents: Documents) -> None:
        """See `Correspondent.confirm_months`."""
        with self._replica.writing() as store:
            for document, parts in documents:
                row = store.documents.find(document)
                if row is not None and row.lacks is None:
                    digest = row.digest.to_bytes(16, "big")
                    if restores(document, parts, digest, ()):
                        confirm_there(store, self._address, folder, row)

    def take_early(self, log: Log, documents: Documents) -> Taken:
        """See `Correspondent.take_early`."""
        with self._replica.reading() as store:
            fitting = [one for one in documents if may_come_early(store, *one)]
        taken = self._take(fitting, log) if fitting else Taken(0, 0, (), False)
        self._replica.gauge.tell()
        return replace(taken, gaps=len(fitting) < len(documents))

    def take_screen(self, folder: str, log: Log, documents: Documents) -> Taken:
        """See `Correspondent.take_screen`."""
        with self._replica.holding():
            with self._replica.reading() as store:
                new = [one for one in documents if store.documents.find(one[0]) is None]
            taken = self._take(new, log, folder, is_screen=True)
        self._replica.gauge.tell()
        return taken

    def _has_gaps(self, documents: Documents) -> bool:
        with self._replica.reading() as store:
            return not all(fits(store, *one) for one in documents)

    def _merge(
        self, store: Store, document: DocumentId, parts: Parts, notes: dict[int, Posted]
    ) -> None:
        """Merge a document; what lies there of it by that is added to the notes, by its key."""
        check_document(document)
        row = store.documents.find(document)
        label, there, before, erased = NEVER_FROZEN, None, 0, set[bytes]()
        gone: GoneFiles = NOTHING_GONE
        if row is not None:
            label, before, erased = row.label, row.digest, store.readmodel.erased_ids(row)
            gone = store.attachments.gone_files(row)
            there = notes.get(row.key) or store.mailboxes.posted(self._key, row.key)
        lacks = None if row is None else row.lacks
        is_back = False
        if row is not None and lacks is not None:
            is_back = document in self._whole or is_missing_state(store, document, parts)
            if row.is_away and is_back:
                return  # what was let go of comes when somebody asks for it
        if row is not None and has_form(store, row, parts):  # another source was faster
            parts = Parts(label, b"", parts.updates)
        goes_on = parts.frozen or (
            lacks is None and parts.label == label and not has_gap(store, document, parts)
        )
        arrival = Arrival(store, document)
        store.missing.came(document)
        store.merge(
            document, parts if goes_on else as_a_set(parts, draw_client(self._replica.system))
        )
        if (erased or gone) and says_of(document, parts, erased, gone):
            self._ask_for_checkpoint(store)
        row = store.documents.find(document)
        if row is not None and is_back:
            come_back(store, row, self._replica.system.now_ms())
        digest = b"" if row is None else moved(there, row.digest - before)
        arrival.settle()  # which may write something that does not lie there
        store.readmodel.messages.flush_long()
        row = store.documents.find(document)
        if row is None:
            return
        if lacks is not None:
            if there is not None:
                notes[row.key] = there._replace(digest=b"")
        elif row.label == parts.label:
            notes[row.key] = Posted(row.label, clocks_with(row.label, there, parts.updates), digest)
        elif there is not None:
            notes[row.key] = there._replace(digest=digest)

    # Putting.

    def own_log(self, epoch: bytes) -> OwnLog:
        """See `Correspondent.own_log`."""
        with self._replica.reading() as store:
            row = self._row(store)
            after = None
            if row.incarnation:
                after = Position(row.incarnation, row.sequence, row.hash)
            # Whoever puts has it to himself; if it is not put back, it is not known what became of the object.
            current, self._bag.current = self._bag.current, None
            if current is None or (current.epoch, current.incarnation) != (epoch, row.incarnation):
                incarnation = self._replica.system.random_bytes(INCARNATION_BYTES)
                current = CurrentLog(epoch, incarnation, row.sequence + 1)
            self._current = current
            return OwnLog(current.incarnation, current.first, after)

    def next_batch(self) -> Outgoing | None:
        """See `Correspondent.next_batch`."""
        with self._replica.reading() as store:
            check_on(store)
            put_seq = self._row(store).put_seq
            if self._losses != self._bag.losses:
                self._to_put, self._losses = [], self._bag.losses
            if not self._to_put:
                if put_seq == store.seq:
                    return None
                order = in_order(store, "where d.changed_seq > ?", (put_seq,))
                self._to_put = [*order.newest, *order.older][::-1]
                self._put_until = store.seq
                if not self._to_put:
                    return None
            documents: list[tuple[DocumentId, Parts]] = []
            posted: list[tuple[int, Posted]] = []
            size = 0
            while self._to_put and size < limits.BATCH_FILL_BYTES:
                row = store.documents.by_key(self._to_put.pop())
                there = store.mailboxes.posted(self._key, row.key)
                parts, now = lacking(store, row, there)
                if now != there:
                    posted.append((row.key, now))
                if parts is not None:
                    store.documents.check_name(row)
                    documents.append((row.id, parts))
                    size += parts.size_bytes + len(row.id.conversation)
            done = put_seq if self._to_put else self._put_until
            return Outgoing(documents, _Mark(posted, done), not self._to_put)

    def posted(self, outgoing: Outgoing, folder: str, log: Log | None) -> None:
        """See `Correspondent.posted`."""
        mark = outgoing.mark or _Mark((), 0)
        assert isinstance(mark, _Mark)
        with self._replica.writing() as store:
            row = self._row(store)
            if self._losses == self._bag.losses:  # else another round has found it gone meanwhile
                for key, posted in mark.posted:
                    store.mailboxes.post(self._key, key, posted)
                row.put_seq = max(row.put_seq, mark.put_seq)
            if log is not None:
                row.incarnation, row.sequence, row.hash = log.position
                has_documents = bool(outgoing.documents)
                self._write_log(store, folder, log, has_documents=has_documents)
                self._telling.said(store, log.position.sequence)
            store.mailboxes.write(row)
        if log is not None:
            self._bag.current = self._current

    def finished(self, *, complete: bool) -> None:
        """See `Correspondent.finished`."""
        history.upkeep(self._replica)
        space.keep_to_budget(self._replica)
        forgetting.forget(self._replica)
        if not complete:
            return
        now_ms = self._replica.system.now_ms()
        with self._replica.reading() as store:
            used_ms = self._row(store).used_ms
            if abs(now_ms - used_ms) < _WORTH_NOTING_MS and not store.missing.filling:
                return
        with self._replica.writing() as store:
            row = self._row(store)
            row.used_ms = now_ms
            store.mailboxes.write(row)
            store.missing.end_filling()
        self._replica.gauge.tell()


def _due_back(store: Store) -> list[DocumentRow]:
    return [row for row in elsewhere(store) if not row.is_away]
