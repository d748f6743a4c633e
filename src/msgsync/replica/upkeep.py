"""The verbs of a replica about its file: whether it is well, small, copied, and locked by what. Source: design 6."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from msgsync.errors import (
    InvalidValue,
    StorageError,
)
from msgsync.replica import (
    attachmentcheck,
    erasure,
    history,
    loss,
    space,
)
from msgsync.replica.backup import BackupListener, BackupReport, Copying
from msgsync.replica.compaction import CompactionProgress, CompactionReport, compact
from msgsync.replica.erasure import ErasureReport
from msgsync.replica.feed import START, write_cursor
from msgsync.replica.membership import problems
from msgsync.replica.names import id_of
from msgsync.replica.opened import Opened, checked_path
from msgsync.replica.rekeying import rekey
from msgsync.replica.repair import Repair, RepairReport, after, sync_with
from msgsync.replica.values import (
    AnyId,
    CheckReport,
)
from msgsync.replica.wiping import wipe
from msgsync.store.backup import new_file
from msgsync.store.check import Check
from msgsync.store.seal import seal
from msgsync.store.store import read_only
from msgsync.store.trouble import storage_errors

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


class Upkeep(Opened):
    """`Replica` has these verbs, and those about what is in it."""

    def verify_erased(self, *messages: AnyId, text: str | None = None) -> ErasureReport:
        """Look whether anything is left of erased messages in the replica's files; without an id of all of them.

        Reads everything. Nobody here knows an erased text any more; so it is looked whether any row, or any entry of a
        stored document, is about an erased message, whether the search index knows a word that no text has, and
        whether all bytes that the file does not use are zeros, the write-ahead log is empty and no copy lies beside
        the file. Open for reading, a log that is not empty leaves it open (`ErasureReport.pending`).

        Args:
            messages: erased messages, or their ids.
            text: a text that only an erased message had, if the caller still has it: its bytes are looked for in all
                files, and in what lies in them compressed. At least 8 bytes of UTF-8.

        Raises:
            InvalidValue: something is not an id, or the text is too short, or messages that are here hold it too.
            StorageError: the files cannot be read.
        """
        ids = [id_of(one) for one in messages]
        with self.reading() as store:
            return erasure.verify(store, ids, text)

    def check(self) -> CheckReport:
        """Compare the read model with the documents, every digest with a recount, and attachments with their keys.

        Reads everything.

        What repairs could not save is named beside it, until it came back: the file is well without it.
        Of a sealed backup, opened for reading, the seal is verified as well.
        """
        with self.reading() as store:
            check = Check(store, problems)
            check.run()
            lost = loss.left(store).words
            found = check.problems or attachmentcheck.problems(store)
            return CheckReport(check.documents, check.entries, tuple(found), lost)

    def accept_loss(self) -> None:
        """Say no more, in `status` and `check`, of what repairs could not save and what has not come back since.

        It is not deleted by that: where a device turns up that has it, it comes back all the same.

        Raises:
            ReadOnly: the replica was opened for reading.
        """
        with self.writing() as store:
            loss.accept(store)

    def repair(self, peer: Replica | str | None = None) -> RepairReport:
        """Make a damaged replica whole: what can be saved of the file, and what a peer has of the rest.

        Attachments that are damaged are fetched anew by the sync. If `check` finds nothing else wrong, nothing else is
        done. Else a new file is made of every document that is
        whole, or can be put together so that it has the digest it should have, and of what is left of the others; it is
        checked and takes the name. The damaged file is kept beside it under another name (`RepairReport.kept`): it
        holds what it held, erased messages of its time included, so remove it when all is well. As much space as
        for a second replica is needed meanwhile.

        To peers it is a new store: what was lost comes back with the next sync with anybody who has it, with ``peer``
        at once. Cursors of the change feed end (`StaleCursor`), subscribers are told everything anew, and what lies in
        Recently Deleted is kept for its whole time again. End sessions of this replica first. Blocks until done, other
        threads too. For a file that cannot even be opened there is `msgsync.repair`.

        Args:
            peer: another replica of the account in this process, or the address where one is served.

        Raises:
            ReadOnly: the replica was opened for reading.
            StorageError: the new file cannot be written; the old one is as it was.
            PeerError, AccountMismatch: the sync failed; the repair itself is done.
        """
        with self.lock:
            store = self.store()
            if self._readonly:
                raise read_only()
            known = None
            with suppress(StorageError):
                known = self.membership.credentials()
            self._store = None
            member = None if isinstance(peer, str) else peer
            repair = Repair(self.path, self.system, member=member, known=known, key=self._key)
            try:
                with suppress(StorageError):
                    store.close_as_it_is()
                report = repair.run()
            finally:
                with suppress(StorageError):  # then it is closed; what was raised before says why
                    self._open()
            attachmentcheck.mend(self)
            if report.damaged:
                self._subscriptions.restart(write_cursor(self.store(), START))
        if report.damaged:
            self._subscriptions.deliver()
        if peer is None:
            return report
        synced = sync_with(self._replica, peer)
        return after(report, self._replica, synced)

    def backup(
        self, path: str | PathLike[str], *, on_progress: BackupListener | None = None
    ) -> BackupReport:
        """Write a backup of what the last commit left into a new file, while the replica is in use.

        Other threads and processes go on reading and writing, and nothing of what they do meanwhile is in it, or all of
        a commit. The file is one SQLite database, readable by its owner alone like the replica. It is verified as by
        `check`, sealed with a checksum, on disk, and takes its name only then; `msgsync.restore` makes a replica of it.
        A replica that is open for reading only is backed up as well.

        What was erased before is not in it; what is erased later stays in the file. What another thread erases while
        the file is copied leaves the write-ahead log when that is done, what another process erases with its next
        write (`Status.erasure_pending`).

        Args:
            path: of the new file.
            on_progress: called after each megabyte copied and each document verified, in this thread; what it raises
                ends the backup, and no file stays.

        Raises:
            FileExists: there is a file at the path; it is left as it is.
            ReplicaDamaged: the copy is not whole, so neither is this replica. There is no backup then.
            StorageError: the file cannot be written, or the replica not be read.
        """
        with self.reading() as store:
            here = Path(store.database.connection.filename)  # absolute, wherever the app has gone
        copying = Copying(here, self.system, on_progress, self._key.cipher)
        with new_file(checked_path(path), copying.new_mark()) as part:
            try:
                copying.copy(part)
            finally:
                self._erase_what_waited()
            with storage_errors(part):
                seal(part)
            return copying.verify(part, "no backup was made; run check on it")

    def _erase_what_waited(self) -> None:
        """Empty the write-ahead log if copying stood in the way of it."""
        with self.lock:
            store = self._store
            if store is not None and store.erasure_pending and not store.is_writing:
                store.truncate_log()

    def compact(
        self, *, on_progress: Callable[[CompactionProgress], object] | None = None
    ) -> CompactionReport:
        """Make the file smaller: freeze documents that are hardly written to any more, give free space back.

        Nothing that is shown changes, and nothing has to be sent. It happens by itself, little by little, when a
        replica is closed or idle in a session, but for months of more than some 10,000 messages; call this once in a
        while if there are such, and after importing or erasing much. Other threads may use
        the replica meanwhile. Interrupted anywhere, what was done stays done. Source: design 8.

        Args:
            on_progress: called after every step, outside the lock.

        Raises:
            ReadOnly: the replica was opened for reading.
            StorageError: what was frozen before stays so; making the file smaller takes as much space as its content.
        """
        return compact(self._replica, on_progress)

    def tidy(self) -> None:
        """Freeze what is due today, for a moment at most, let old months and files go; for sessions that are idle."""
        with self.lock:
            if not self.store().database.readonly:
                self.store().tidy()
        history.upkeep(self._replica)
        space.keep_to_budget(self._replica)

    def set_passphrase(self, passphrase: str | None) -> None:
        """Put the keys of this device under a passphrase, or under another one; None takes it away.

        The keys, the secrets of epochs, and the recovery phrase until it is confirmed: whoever has the file alone is
        not this device, and opens nothing that was sealed for it. Messages are not encrypted by it. Nobody can help who
        forgets it: the device has to be revoked and made anew. Takes about two seconds, as does each opening.

        A file that is encrypted as a whole is written anew under the new passphrase, and has one always. That takes
        as long as a backup, and as much space; end sessions of this replica first. Other threads wait meanwhile.

        Raises:
            InvalidValue: it is empty; or None, and the file is encrypted.
            ReadOnly: the replica was opened for reading.
            StorageError: an encrypted file cannot be written anew, or another program reads it; it is as it was.
        """
        with self.reading() as store:
            if store.database.readonly:
                raise read_only()
            encrypted = store.database.cipher is not None
        if encrypted:
            self._rekey(passphrase)
            return
        vault = self._key.make(passphrase)  # takes a while: not under the lock
        with self.holding():
            self.membership.relock(vault)
            self._key.keep(vault)

    def _rekey(self, passphrase: str | None) -> None:
        if passphrase is None:
            raise InvalidValue(
                "a file that is encrypted has a passphrase; to have it in clear, export and import it"
            )
        new = self._key.make_file_key(passphrase)
        with self.lock:
            store = self.store()
            store.database.empty_log()
            self._store = None
            try:
                store.close_as_it_is()
                rekey(self.path, self.system, self._key.cipher, new)
                self._key.keep_file_key(new)
            finally:
                self._open()

    def wipe(self) -> None:
        """Close the replica and delete its file, with everything that lies beside it.

        Nothing is told to other devices, which keep what they have; ask `safe_to_remove` before. On a device that was
        revoked it ends what it can still show. A disk may keep deleted bytes where no program sees them.

        Raises:
            ReadOnly: the replica was opened for reading.
            StorageError: a file cannot be deleted.
        """
        wipe(self._replica)
