"""One replica's store: transactions over documents, read model and counters. Source: design 4, 5 and 6.

A write is one transaction: document updates, read model, search index, counters. It is durable before `transaction`
returns; if it fails nothing of it is visible, everything cached is forgotten, and a fresh client id is drawn.
The caller holds one lock around every use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import apsw

from msgsync import limits
from msgsync.document.digest import MODULUS, bin_of, document_share
from msgsync.document.frozen import (
    Parts,
)
from msgsync.document.schema import (
    DAY_MS,
    ERASED,
    DocumentId,
    Entry,
    segment_of,
)
from msgsync.errors import (
    Inadmissible,
    MsgSyncError,
    NotAReplica,
    ReadOnly,
    ReplicaDamaged,
    StorageError,
)
from msgsync.ids import AccountId, DeviceId, sort_ids
from msgsync.records import encode_erased, erased_key
from msgsync.standing import Standings
from msgsync.store.arrivals import Arrivals
from msgsync.store.attachments import AttachmentRows
from msgsync.store.changes import Changes
from msgsync.store.compaction import Compaction, is_crowded
from msgsync.store.copies import CopyRows
from msgsync.store.credentials import CredentialRows, Credentials, Unlock, leave_locked
from msgsync.store.database import Database, Durability
from msgsync.store.documents import Documents
from msgsync.store.encryption import Encrypt, leave_plain
from msgsync.store.filesystem import REAL_FILES, FileSystem
from msgsync.store.heads import HeadRows
from msgsync.store.history import come_back
from msgsync.store.identity import Fresh, Identity
from msgsync.store.lock import WriterLock, is_emptied
from msgsync.store.mailboxes import MailboxRows
from msgsync.store.merging import merge
from msgsync.store.missing import Missing
from msgsync.store.pages import Pages
from msgsync.store.peers import Peers
from msgsync.store.places import PlaceRows
from msgsync.store.reading import Reading
from msgsync.store.readmodel import ReadModel
from msgsync.store.rewriting import freeze_document, rewrite
from msgsync.store.trash import Trash
from msgsync.store.trouble import raise_storage_error, storage_errors
from msgsync.store.words import Tokenizer
from msgsync.store.writing import Writing

_STATE: Final = "select root, seq from state"
_FOLD_ON_CLOSE_ROWS: Final = 32


def _locked(path: Path, *, readonly: bool) -> WriterLock | None:
    """The lock of who writes. Raises ReplicaLocked, ReplicaDamaged and StorageError."""
    lock = None if readonly else WriterLock(path)
    try:
        if is_emptied(path):
            raise ReplicaDamaged(
                f"{path} has no bytes left, and was a replica; put a backup in its place, or let another device of "
                "the account repair it (msgsync repair --member FILE); to begin anew, remove it"
            )
        if lock and not path.exists():
            lock.note(made=False)
    except BaseException:
        if lock:
            lock.close()
        raise
    return lock


class Store(Writing):
    """The open file of one replica."""

    def __init__(  # noqa: PLR0913  one for each thing that it is told
        self,
        path: Path,
        *,
        fresh: Callable[[], Fresh],
        draw_client: Callable[[], int],
        now_ms: Callable[[], int],
        readonly: bool,
        durability: Durability,
        vfs: str | None = None,
        files: FileSystem = REAL_FILES,
        unlock: Unlock = leave_locked,
        encrypt: Encrypt = leave_plain,
    ) -> None:
        """Open or make the file.

        Args:
            path: the file.
            fresh: asked for what a new replica begins with.
            draw_client: asked for client ids.
            now_ms: asked for the time: since when a deletion is known here, and what orders entries in a document that
                has reached the greatest Lamport number.
            readonly: whether to open it beside its writer.
            durability: see `msgsync.open`.
            vfs: the file system that SQLite uses, by the name it knows it by; its default one if None.
            files: the file system under the folder of attachments.
            unlock: asked for what locks and unlocks the device's secrets.
            encrypt: asked for what encrypts the file.

        Raises:
            StorageError: one of its kinds; the file is untouched.
        """
        self._lock = _locked(path, readonly=readonly)
        try:
            self.database = Database(
                path, readonly=readonly, durability=durability, vfs=vfs, encrypt=encrypt
            )
        except BaseException:
            if self._lock:
                self._lock.close()
            raise
        self._draw_client = draw_client
        self._now_ms = now_ms
        self._last_writer_ms = 0
        self.root = self.seq = 0
        """The digest of the replica, and the number of the last commit."""
        self._next_state = 0, 0
        self._stale = False
        """Whether a write ended in an error, so that it is not known what the last commit left."""
        self.documents = Documents(self.database)
        self.readmodel = ReadModel(self.database, self.documents.find, now_ms, files)
        self.heads = HeadRows(self.database, now_ms)
        self.pages = Pages(self.database)
        self.changes = Changes(self.database)
        self.reading = Reading(self.database)
        self.trash = Trash(self.database)
        self.peers = Peers(self.database)
        self.credentials = CredentialRows(self.database)
        self.arrivals = Arrivals(self.database)
        self.missing = Missing(self.database)
        self.mailboxes, self.places = MailboxRows(self.database), PlaceRows(self.database)
        self._tokenizer: Tokenizer | None = None
        self._depth = 0
        self._erased = False
        self.erasure_pending = False
        """Whether erased text still lies in the write-ahead log because another process reads the file."""
        self.changed_seq = 0
        """The last commit of this opening that changed a document."""
        self.revoked: Callable[[], frozenset[bytes]] = frozenset
        """Devices that are not trusted any more, so that nothing waits for them: asked of who knows the account."""
        self.cloned = False
        """Whether a peer knew more of this opening's client id than this replica: the machine was rolled back."""
        self._new_store_id: bytes | None = None
        """The one to go by once it is known to be written."""
        self._touched: set[DocumentId] = set()
        self._compaction: Compaction | None = None
        try:
            with storage_errors(path):
                self.identity = self._load(fresh, unlock)
        except BaseException:
            with suppress(StorageError):  # the first error says why
                self.close()
            raise

    def _load(self, fresh: Callable[[], Fresh], unlock: Unlock) -> Identity:
        state = self.database.first(_STATE)
        if state is None:
            if self.database.readonly:
                raise NotAReplica(
                    f"{self.database.path} was not finished being made; open it for writing once"
                )
            identity, credentials = fresh()
            self.credentials.locker = unlock(None)
            with self.database.transaction():
                self.database.executemany(
                    "insert into meta values(?,?)",
                    [
                        ("account", identity.account.raw),
                        ("device", identity.device.raw),
                        ("store_id", identity.store_id),
                    ],
                )
                self.credentials.write(credentials)
                self.database.execute("insert into state values(?, 0, 0)", (bytes(16),))
            state = self.database.one(_STATE)
        else:
            self.credentials.locker = unlock(self.credentials.wrapped())
        meta = dict(self.database.execute("select name, value from meta"))
        self.missing.filling = "filling" in meta
        try:
            found = Identity(AccountId(meta["account"]), DeviceId(meta["device"]), meta["store_id"])
        except (KeyError, TypeError, MsgSyncError) as error:
            raise ReplicaDamaged(
                f"{self.database.path} does not say whose replica it is; "
                "run repair, restore a backup or fill a new replica from another device"
            ) from error
        self.documents.reset(self._draw_client())
        self._take_state(state)
        self.documents.journal.begin(self.seq)
        if not self.database.readonly and self.database.has_log():
            self.truncate_log()  # the last opening may have ended before it could
        self.erasure_pending = self.erasure_pending or self.database.erasure_waits
        if not self.database.readonly:
            self._see_to_chunks(found.store_id, meta.get("surveyed"))
        if self._lock:
            self._lock.note(made=True)
        return found

    def _see_to_chunks(self, store_id: bytes, surveyed: object) -> None:
        """Remove what was left behind of chunks; and in a file that is another one now see which are here."""
        is_other = surveyed != store_id and self.attachments.any
        if is_other or self.attachments.has_loose():
            with self.database.transaction():
                if is_other:
                    self.attachments.survey()
                    self.database.execute(
                        "insert or replace into meta values('surveyed', ?)", (store_id,)
                    )
                self.attachments.sweep()

    def _read_state(self) -> None:
        self._take_state(self.database.one(_STATE))

    def _take_state(self, state: tuple[Any, ...]) -> None:
        root, seq = state
        if type(root) is not bytes or type(seq) is not int:
            raise ReplicaDamaged(f"{self.database.path} does not say what it holds; run repair")
        self.root, self.seq = int.from_bytes(root, "big"), seq
        if self._new_store_id is not None:
            found = self.database.first("select value from meta where name = 'store_id'")
            if found == (self._new_store_id,):
                self._adopt_store_id()
            self._new_store_id = None
        self._stale = False

    @property
    def attachments(self) -> AttachmentRows:
        """Which chunks messages need, and which are here."""
        return self.readmodel.attachments

    @property
    def copies(self) -> CopyRows:
        """Where else chunks are, and which may go from here."""
        return CopyRows(self.database, self.attachments)

    @property
    def tokenizer(self) -> Tokenizer:
        """What cuts text as the search index does; made when it is first needed."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self.database.connection)
        return self._tokenizer

    # Transactions.

    def begin_reading(self) -> None:
        """Begin a consistent view for several queries; blocks nest."""
        if not self.database.readonly:  # nobody else writes, so what is read is consistent
            if self._stale and not self._depth:
                with storage_errors(self.database.path):
                    self._read_state()
            self.readmodel.messages.flush()
            if not self._depth:
                self.documents.trim()
            return
        if not self._depth:
            self.documents.forget()
            self.readmodel.messages.reset()
            self.attachments.reset()
            with storage_errors(self.database.path):
                self.database.execute("begin")
                try:
                    self._read_state()
                    self.missing.read()
                except BaseException:
                    self.database.connection.execute("rollback")
                    raise
        self._depth += 1

    def end_reading(self, error: BaseException | None) -> None:
        """End it. Raises StorageError for an error that means one."""
        if self.database.readonly:
            self._depth -= 1
            if not self._depth:
                try:
                    self.database.execute("commit")
                except apsw.Error as failed:
                    with suppress(apsw.Error):
                        self.database.connection.execute("rollback")
                    error = error or failed
        if error is not None:
            raise_storage_error(self.database.path, error)

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._depth) and not self.database.readonly

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One write; blocks inside blocks join the outermost.

        Raises:
            ReadOnly: the replica was opened for reading.
            StorageError: nothing of the write happened.
        """
        if self.database.readonly:
            raise read_only()
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self.documents.trim()
        self.missing.begin()
        self._depth = 1
        try:
            with self.database.transaction():
                if self._stale:
                    self._read_state()
                self.readmodel.messages.seq = self.attachments.seq = self.seq + 1
                yield
                self._finish()
        except BaseException:
            self._forget_failed()
            raise
        finally:
            self._depth = 0
        self.seq, self.root = self._next_state
        self._adopt_store_id()
        self.peers.written()
        if self.documents.journal.commit(self.seq):
            self.changed_seq = self.seq
        self.changes.committed(self.seq, self.readmodel.messages.take_changed())
        self.attachments.committed()
        if self._erased or self.erasure_pending:
            self._erased = False
            self.truncate_log()

    def _finish(self) -> None:
        self._erase_doomed()
        for row in self.readmodel.elsewhere:
            row.changed_seq = 0  # what is shown of it has changed, although its entries have not
            self.documents.touch(row)
        self.readmodel.elsewhere.clear()
        self.readmodel.messages.finish()
        self.attachments.finish()
        seq = self.seq + 1
        for row in self.documents.whole_again():
            come_back(self, row, self._now_ms())
        change = self.documents.flush(seq, self._now_ms())
        self._next_state = seq, (self.root + change) % MODULUS
        self.peers.write()
        self.database.execute(
            "update state set root = ?, seq = ?, indexed = ?",
            (self._next_state[1].to_bytes(16, "big"), seq, self.readmodel.messages.indexed()),
        )

    def _erase_doomed(self) -> None:
        """Erase what an alias joins to erased messages, until nothing of that kind is left."""
        doomed = self.readmodel.doomed
        while doomed:
            conversation, ids = doomed.popitem()
            self.erase(conversation, ids)

    def erase(self, conversation: str, ids: Iterable[bytes]) -> None:
        """Write erasures of messages, here or not; those that are erased already are left out. Within a transaction."""
        self.readmodel.messages.flush()
        months: dict[str, list[bytes]] = {}
        for one in sort_ids(ids):
            months.setdefault(segment_of(int.from_bytes(one[:6], "big")), []).append(one)
        for month, members in months.items():
            row = self.row(DocumentId(conversation, month))
            gone = self.readmodel.erased_ids(row)
            left = [one for one in members if one not in gone]
            packs = [
                encode_erased(left[start : start + limits.IDS_PER_ENTRY])
                for start in range(0, len(left), limits.IDS_PER_ENTRY)
            ]
            # At once: the document is rewritten without what was said about them once.
            self.write(row, [Entry(ERASED, erased_key(pack), pack) for pack in packs])

    def keep(self, credentials: Credentials) -> None:
        """Keep these credentials; secrets that are not among them are erased. Within a transaction."""
        self.credentials.write_secrets(credentials)
        self.credentials.add_statements(credentials.statements.items())
        self._erased = True

    def erase_secrets(self) -> None:
        """Erase the keys and the secrets of this device: it is none any more. Within a transaction."""
        self.credentials.erase_secrets()
        self._erased = True

    def _forget_failed(self) -> None:
        self.readmodel.doomed.clear()
        self.readmodel.elsewhere.clear()
        self.peers.forget()
        self._erased = False
        self._stale = True  # the error may have come behind the commit
        self._touched.clear()
        self.readmodel.messages.reset()
        self.attachments.reset()
        self.missing.forget()
        self.documents.reset(self._draw_client())

    def truncate_log(self) -> None:
        """Empty the write-ahead log, so that erased text is in no file.

        Pending while another process reads, or the disk is full: the erasure itself is committed, the next write
        and the next opening try again, and `status` says so until then.
        """
        self.erasure_pending = True
        try:
            with storage_errors(self.database.path):
                self.erasure_pending = not self.database.truncate_log()
        except StorageError:
            return

    def merge(self, document: DocumentId, parts: Parts, *, whole: bool = False) -> int:
        """See `store.merging.merge`."""
        return merge(self, document, parts, whole=whole)

    # What a session asks.

    def bins(self) -> list[int]:
        """The digests of the 256 bins of the digest tree: sums over the documents of conversations by hash.

        Raises:
            ReplicaDamaged: they are not what the digest of the replica says.
        """
        bins = [0] * 256
        for row in self.documents.select(""):
            bins[bin_of(row.id.conversation)] += document_share(row.id, row.known_digest)
        if sum(bins) % MODULUS != self.root:
            raise ReplicaDamaged(
                "the digest of the replica is not the sum of its documents, so one of them is not what it was; "
                "run repair"
            )
        return [number % MODULUS for number in bins]

    def counts(self) -> tuple[int, int]:
        """How many documents and messages are here."""
        found = self.database.one("select count(*), total(messages) from documents")
        return int(found[0]), int(found[1])

    def recall(self, device: bytes) -> tuple[bytes, int] | None:
        """A device's store id, and up to which of our commits it is known to have everything."""
        return self.peers.recall(self.identity, device)

    def standings(self) -> Standings:
        """What is known of all devices, this one included."""
        return self.peers.standings(self.identity, self._now_ms())

    def begin_anew(self, store_id: bytes) -> None:
        """Take part as another store from the commit on: this one was rolled back. Within a transaction."""
        self.peers.begin_anew(self.identity)
        self.database.execute("update meta set value = ? where name = 'store_id'", (store_id,))
        self._new_store_id = store_id

    def _adopt_store_id(self) -> None:
        """Go by the store id that was written, once it is certain that it was."""
        if self._new_store_id is not None:
            self.identity = replace(self.identity, store_id=self._new_store_id)
            self._new_store_id = None
            self.cloned = True
            self.peers.was_rolled_back = False

    def tidy(self) -> None:
        """Freeze what is due, once a day, for `limits.TIDY_MS` at most: what is left comes next time.

        Documents that would take longer than that by themselves stay as they are until somebody calls `compact`.

        Raises:
            StorageError: what was frozen before stays so.
        """
        now_ms = self._now_ms()
        if self._compaction is None:
            found = self.database.first("select value from meta where name = 'tidied_ms'")
            if found is not None and abs(now_ms - found[0]) < DAY_MS:
                return
            self._compaction = Compaction(self, now_ms, up_to_bytes=limits.TIDY_DOCUMENT_BYTES)
        while not self._compaction.done:
            with self.transaction():
                self._compaction.step()
            if abs(self._now_ms() - now_ms) >= limits.TIDY_MS:
                return
        self._compaction = None
        with self.transaction():
            self.database.execute("insert or replace into meta values('tidied_ms', ?)", (now_ms,))

    def shrink(self) -> None:
        """Give free space back to the disk. Outside transactions."""
        if self.database.readonly:
            raise read_only()
        with storage_errors(self.database.path):
            self.database.give_back_space()
            self.truncate_log()

    def close(self) -> None:
        """Leave documents changed since opening in good order, close the file and let go of the lock."""
        try:
            self.leave_in_good_order()
            if self.peers.is_behind and not self.database.readonly:
                # Each transaction writes what was learned of peers; without it less is known, and nothing is lost.
                with suppress(StorageError), self.transaction():
                    pass
        finally:
            self._let_go(moves_log=True)

    def close_as_it_is(self) -> None:
        """Close a file that may be damaged and let go of the lock: nothing more is written into it, or read.

        What lies in its write-ahead log stays there. Raises StorageError; it is closed all the same.
        """
        self._let_go(moves_log=False)

    def _let_go(self, *, moves_log: bool) -> None:
        try:
            self.database.close(moves_log=moves_log)
        finally:
            if self._lock:
                self._lock.close()

    def leave_in_good_order(self) -> None:
        """Fold long logs of documents changed since opening, and freeze what is due. Raises StorageError."""
        if self._touched:
            self._fold_logs()
            self.tidy()
            self._touched.clear()

    def _fold_logs(self) -> None:
        long = [
            document
            for document in self._touched
            if (row := self.documents.find(document))
            and (row.log_rows > _FOLD_ON_CLOSE_ROWS or is_crowded(row))
        ]
        for document in long:
            with self.transaction():
                row = self.documents.find(document)
                if row is None:
                    continue
                rewrite(self.documents, row)
                self.documents.touch(row)
                if is_crowded(row):
                    with suppress(Inadmissible):  # too large for it
                        freeze_document(self.documents, row)
        if self.erasure_pending:
            self.truncate_log()


def read_only() -> ReadOnly:
    """What is raised where a replica that was opened for reading would be changed."""
    return ReadOnly("this replica was opened with readonly=True; open it for writing to change it")
