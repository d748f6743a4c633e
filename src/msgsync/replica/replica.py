"""A replica: one device's conversations in one file. The facade an app holds. Source: design 12."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgsync import limits
from msgsync.errors import (
    ConversationExists,
    ErasedMessage,
    InvalidValue,
    StorageError,
    UnknownMessage,
)
from msgsync.ids import DeviceId, MessageId, check_conversation_id, encode_id
from msgsync.replica import (
    account,
    devices,
    erasure,
    expiry,
    loss,
    settings,
    showing,
    trash,
)
from msgsync.replica.backup import BackupListener, BackupReport, Copying
from msgsync.replica.compaction import CompactionProgress, CompactionReport, compact
from msgsync.replica.conversation import Conversation
from msgsync.replica.deletion import DeletionListener
from msgsync.replica.devices import DeviceSummary, Removal, Whereabouts, wait_for
from msgsync.replica.erasure import ErasureReport
from msgsync.replica.feed import START, read_changes, write_cursor
from msgsync.replica.found import SearchPage
from msgsync.replica.head import unknown_conversation
from msgsync.replica.incoming import Ingest
from msgsync.replica.leaving import Departure, leave
from msgsync.replica.listeners import OnCommit
from msgsync.replica.membership import problems
from msgsync.replica.opened import checked_path
from msgsync.replica.outside import Outside
from msgsync.replica.paging import check_limit
from msgsync.replica.progress import FillProgress
from msgsync.replica.rekeying import rekey
from msgsync.replica.repair import Repair, RepairReport, after, sync_with
from msgsync.replica.searching import SearchPlace, Wanted, search
from msgsync.replica.space import Space, free, set_budget
from msgsync.replica.survey import survey
from msgsync.replica.system import System
from msgsync.replica.trash import DeletedMessage
from msgsync.replica.trust import Trust
from msgsync.replica.values import (
    AnyId,
    ChangePage,
    CheckReport,
    ConversationSummary,
    Incoming,
    IngestReport,
    Message,
    Status,
)
from msgsync.replica.wiping import wipe
from msgsync.store.backup import new_file
from msgsync.store.check import Check
from msgsync.store.database import storage_errors
from msgsync.store.pages import ConversationRow, MessageRow
from msgsync.store.seal import seal
from msgsync.store.store import read_only

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.pairing import Invited, InviteEvent, JoinRequest
    from msgsync.protocol.events import Event


class Replica(Trust):
    """The replica of one device. Close it, or use it in a ``with`` block. Safe to use from several threads."""

    @property
    def _replica(self) -> Replica:
        """This one: what its bases do takes all of it."""
        return self

    def new_device(
        self,
        path: str | PathLike[str],
        *,
        author: str | None = None,
        passphrase: str | None = None,
        encrypted: bool = False,
        system: System | None = None,
    ) -> Replica:
        """Make another device of this account, which this one adds to it: an empty replica that fills by syncing.

        For devices of which one process holds both. If the file is there it is opened, and each of the two learns of
        the devices that the other knows; so what was interrupted is done again.

        Args:
            path: of the other replica.
            author: who "me" is there; the same as here if not given.
            passphrase: what the other device's keys are under; see `msgsync.open`, as for ``encrypted``.
            encrypted: whether its file is encrypted as a whole.
            system: the other device's; this one's if not given.

        Raises:
            AccountMismatch: the file is there and belongs to another account.
            DeviceRevoked: this device was revoked.
            SyncOff: sync is switched off on this device.
            ReadOnly: this replica was opened for reading.
            StorageError: the file cannot be made or opened, or this one not be written.
        """
        account.check_trusted(self)
        self.sync.check()
        with self.lock:
            if self.store().database.readonly:
                raise read_only()
        return Replica(
            path,
            author=self.author if author is None else author,
            member=self,
            durability=self._durability,
            passphrase=passphrase,
            encrypted=encrypted,
            system=self.system if system is None else system,
        )

    def invite(
        self,
        via: str | Mailbox = "tcp://127.0.0.1:0",
        *,
        on_code: Callable[[Invited], object],
        on_request: Callable[[JoinRequest], bool],
        on_event: Callable[[InviteEvent], object] | None = None,
        scanned: bool = False,
    ) -> DeviceId:
        """Show a code, and add the device that joins with it if the person approves; blocks until that is done.

        See `msgsync.aio.invite`, which also says what is raised. ``on_code`` and ``on_event`` are called in this
        thread, ``on_request`` in another one. To stop it from another thread, use `msgsync.Inviter`.
        """
        import anyio

        from msgsync import aio

        return anyio.run(
            partial(
                aio.invite,
                self,
                via,
                on_code=on_code,
                on_request=on_request,
                on_event=on_event,
                scanned=scanned,
            )
        )

    # Conversations.

    def create_conversation(
        self, title: str | None = None, *, id: str | None = None
    ) -> Conversation:
        """Make a conversation, under the app's own id or a generated one.

        Raises:
            ConversationExists: there is one of that id.
            InvalidValue: the id or the title is of the wrong form.
        """
        if id is None:
            id = encode_id(self.system.random_bytes(12)).decode("ascii")
        conversation = Conversation(self, check_conversation_id(id))
        with self.writing() as store:
            if store.pages.conversation(id) is not None:
                raise ConversationExists(
                    f"conversation {id!r} exists; get it with conversation({id!r})"
                )
            conversation.create(title)
        return conversation

    def conversation(self, id: str) -> Conversation:
        """A conversation that is here.

        Raises:
            UnknownConversation: it is not.
            InvalidValue: no conversation can have this id.
        """
        check_conversation_id(id)
        with self.reading() as store:
            if store.pages.conversation(id) is None:
                raise unknown_conversation(id)
        return Conversation(self, id)

    def conversations(
        self, *, limit: int | None = None, include_deleted: bool = False
    ) -> list[ConversationSummary]:
        """The conversations with their last messages, newest activity first.

        With ``include_deleted`` also those in which nothing but deleted messages is left.

        Raises:
            InvalidValue: the limit is not a whole number from 1 on.
        """
        if limit is not None:
            check_limit(limit)
        with self.reading() as store:
            return self.summaries(store.pages.conversations(limit, deleted=include_deleted))

    def summaries(self, rows: Sequence[ConversationRow]) -> list[ConversationSummary]:
        """Lines of the list of conversations, from their rows."""
        with self.reading() as store:
            return showing.summaries(store, rows, self.author, self.system.now_ms())

    # Messages.

    def ingest(self, messages: Incoming | Iterable[Incoming]) -> IngestReport:
        """Take messages from a carrier or an import, of any conversations, in one transaction.

        The same messages ingested again, or on another device, are the same messages; what the source says about
        them (edits, reactions, deletion) changes nothing that a person did here.

        Raises:
            InvalidValue, FutureTimestamp: one of them cannot be taken, and none was.
        What the iterable raises: none was taken.
        """
        report = IngestReport()
        if isinstance(messages, Incoming):
            messages = [messages]
        outside = Outside(messages)
        with outside, self.writing() as store:
            ingest = Ingest(store, self.system.now_ms())
            while batch := outside.next(limits.BATCH_MESSAGES):
                report += ingest.take(batch)
                store.readmodel.messages.flush()
        return report

    def ingest_one(self, message: Incoming) -> tuple[MessageId, IngestReport]:
        """Take one message and return its id as well."""
        with self.writing() as store:
            ingest = Ingest(store, self.system.now_ms())
            message_id = MessageId(ingest.id_of(message))
            return message_id, Ingest(store, self.system.now_ms()).take([message])

    def message(self, id: MessageId | str) -> Message:
        """One message of any conversation, as it is shown now; deleted ones too.

        Raises:
            UnknownMessage: it is not here. ErasedMessage: it was erased.
        """
        one = id if isinstance(id, MessageId) else MessageId.parse(id)
        with self.reading() as store:
            row = store.pages.by_id(one.raw)
            if row is None:
                if store.pages.is_erased(one.raw):
                    raise ErasedMessage(f"message {one} was erased")
                raise UnknownMessage(f"message {one} is not here; sync first, or check the id")
            return self.shown([store.pages.as_shown(row)])[0]

    def search(
        self,
        words: str,
        *,
        conversation: str | None = None,
        author: str | None = None,
        since: datetime | int | None = None,
        until: datetime | int | None = None,
        before: SearchPlace | None = None,
        limit: int = 50,
    ) -> SearchPage:
        """Live messages in which all words occur, newest first. They are searched as they are shown now.

        Case and accents do not matter. ``din*`` finds words that begin so, ``"dinner at eight"`` words in this order;
        so does ``foo-bar`` without quotes. Of scripts without blanks (Chinese, Japanese, Korean, Thai) any part of the
        text is found, of emoji those with any colour of skin if none is asked for. Without a word nothing is found.

        Args:
            words: at most 1 MiB of UTF-8.
            conversation: search this one alone.
            author: find messages of this author alone; the name as it is.
            since: the earliest time (datetime, naive ones are UTC; or Unix milliseconds).
            until: the time from which on nothing is found. Both mean the milliseconds of the message's id.
            before: go on behind this hit: ``page.older``, or the cursor of any hit.
            limit: how many, at most.

        Raises:
            InvalidValue: a value of the wrong form or beyond its limit.
        """
        scope = Wanted(conversation, author, since, until, before, limit)
        return search(self, words, scope)

    def shown(self, rows: Sequence[MessageRow]) -> list[Message]:
        """Messages as they are shown, from their rows."""
        with self.reading() as store:
            return showing.shown(store, rows)

    # Recently Deleted.

    def recently_deleted(self, *, limit: int | None = None) -> list[DeletedMessage]:
        """Deleted messages of all conversations, the last deleted first, with when they may be erased.

        Dates and order are this device's own: a message counts from when it was deleted, or from when this device heard
        of that if it was later. So another device may list the same messages in another order.

        Raises:
            InvalidValue: the limit is not a whole number from 1 on.
        """
        if limit is not None:
            check_limit(limit)
        with self.reading() as store:
            return trash.recently_deleted(store, limit)

    def empty_recently_deleted(self, *, on_progress: DeletionListener | None = None) -> int:
        """Erase all deleted messages and the names of deleted conversations now, on all devices, for good.

        Args:
            on_progress: see `Conversation.delete_all`.

        Returns:
            How many messages were erased.
        """
        with self.writing() as store:
            return trash.erase_deleted(store, until_ms=None, listener=on_progress)

    def erase_expired(self) -> int:
        """Erase what has been deleted for longer than the retention time, as is done after each exchange by itself.

        Waits for word from every device of the account that is not retired, for at most twice the retention time, so
        that a restoration made elsewhere is not overtaken. Only where this device's clock agrees within a day with
        the time of the last peer, so within a day after an exchange: one clock a month off would empty everybody's
        Recently Deleted. A device that has no other has nobody to ask; call this there now and then.

        Returns:
            How many messages were erased.
        """
        with self.writing() as store:
            return expiry.run(store, self.system.now_ms())

    # Attachments.

    def free_space(self, keep_bytes: int = 0, *, preview: bool = False) -> Space:
        """Let attachments go from this device, and from no other: they come back when somebody reads them.

        Least recently used first, until what stays takes no more than ``keep_bytes``. Only what somebody else is bound
        to have goes: a mailbox that confirmed it, or a device that promised to keep it. Other devices are asked for
        that in exchanges from the first call on. Messages, names and previews stay. To delete for all devices see
        `Conversation.erase`.

        Args:
            keep_bytes: of attachments, how much may stay.
            preview: say what would go, and let nothing go.

        Raises:
            InvalidValue: it is no number of bytes. ReadOnly: the replica was opened for reading.
        """
        if preview:
            with self.reading() as store:
                return free(store, keep_bytes, preview=True)
        with self.writing() as store:
            self.fetching.note_use(store)
            return free(store, keep_bytes, preview=False)

    def set_attachment_budget(self, size: int | None) -> None:
        """Say how many bytes of attachments may be on this device; None for all there are.

        What comes beyond that is not fetched until somebody reads it, and what was not read for longest goes for what
        is: as in `free_space`, only if somebody else is bound to have it, so it may take more for a while. A device
        with a budget keeps nothing for others.

        Raises:
            InvalidValue: it is no number of bytes. ReadOnly: the replica was opened for reading.
        """
        with self.writing() as store:
            set_budget(store, size)

    # The devices of the account.

    def devices(self) -> list[DeviceSummary]:
        """The devices that this one knows of, itself first, and how far behind each is known to be.

        Devices learn of each other, and of what each has, in exchanges: of one that they never meet through others.
        """
        return devices.summaries(self)

    def rename_device(self, name: str, *, device: DeviceId | str | None = None) -> None:
        """Call a device, this one unless said otherwise, something else, on all devices.

        Raises:
            UnknownDevice: it is not in the account, as far as is known here.
            InvalidValue: the name has no 1 to 128 bytes, or none that can be shown.
        """
        account.rename(self, name, device)

    def where_is(self, message: AnyId) -> Whereabouts:
        """Which devices are known to have a message as it is here, or to have erased it.

        Never claims too much: a device counts only once an exchange showed that it has the message, which was told
        by the device or by others that it exchanged with. It is no claim about what was done there since, nor about a
        replica that was lost or put back from a backup, until that is heard of here.

        Raises:
            UnknownMessage: it is not here, and was not erased here either.
        """
        return devices.where_is(self, message)

    def safe_to_remove(self, device: DeviceId | str) -> Removal:
        """Whether a device can be wiped: whether all that it is known to have is on another that is not retired.

        Best asked on the device itself, which knows what it has; of another one only what was heard of it is known, as
        of `Removal.as_of_ms`.

        Raises:
            UnknownDevice: it is not known here.
        """
        return devices.safe_to_remove(self, device)

    def retire(self, device: DeviceId | str) -> None:
        """Say on all devices that nothing should wait for a device any more: it is lost, or will not be used.

        It may return: once it takes part in an exchange again it is not retired any more.

        Raises:
            UnknownDevice: it is not known here. InvalidValue: it is this one.
        """
        devices.retire(self, device)

    # Its keys and its file.

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
        wipe(self)

    def leave(
        self,
        *,
        wipe: bool,
        even_if_only_copy: bool = False,
        places: Iterable[str | Mailbox] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Departure:
        """Take this device out of its account: for one that is given away, or not used any more.

        First it syncs with all places that are known, so that others have what it has. Then it says to them that it
        leaves: nothing waits for it any more, and `devices` shows it on all of them. Last the file is wiped, or kept to
        be read: as that of a device that was revoked, it takes part in nothing any more. Blocks until that is done;
        where nobody is reached nobody is told, and that is returned.

        Another device should revoke this one afterwards: a device's word for its own revocation counts for nobody
        else, and until then others go on sealing keys for it.

        Args:
            wipe: whether to delete the file, with its keys, see `wipe`.
            even_if_only_copy: do it even if something is not known to be on any other device.
            places: addresses and mailboxes in place of those that are known.
            on_event: called with the events of the syncs, see `msgsync.sync`.

        Raises:
            OnlyCopy: it may be the only one that has something: sync it first. Nothing was said to anybody.
            SyncOff: sync is switched off; switch it on, so that others can be told.
            DeviceRevoked: it was revoked: it is out of the account. Keep the file, or `wipe` it.
            ReadOnly: the replica was opened for reading.
            StorageError: a file cannot be deleted; others were told.
        """
        return leave(
            self, wipe=wipe, even_if_only_copy=even_if_only_copy, places=places, on_event=on_event
        )

    def wait_for(
        self, message: AnyId, *, devices: int = 1, timeout: float | None = None
    ) -> Whereabouts:
        """Block until a message is known to be on so many devices besides this one.

        Something else has to exchange meanwhile: `serve`, or `sync` with ``watch``, in another thread or process.
        `msgsync.aio.wait_for` is the async form.

        Args:
            message: which one.
            devices: how many, from 1 on.
            timeout: how long to wait, in seconds; None for ever.

        Raises:
            NotThereYet: it was not within that time.
            UnknownMessage, ErasedMessage: it is not here, or not any more.
            DeviceRevoked: this device was revoked, so that it goes nowhere from here.
            ReplicaClosed: this replica was closed meanwhile. ReadOnly: it cannot hear of it.
        """
        return wait_for(self, message, devices=devices, timeout=timeout)

    def caught_up(self, *, timeout: float | None = None) -> None:
        """Block until nothing waits in either direction at the places that this process keeps in sync.

        See `msgsync.aio.caught_up`, which also says what is raised. Something else has to sync meanwhile: a `Watcher`,
        or `serve`.
        """
        import anyio

        from msgsync import aio

        anyio.run(partial(aio.caught_up, self, within_s=timeout))

    def on_known(self, callback: OnCommit) -> Callable[[], None]:
        """Have a callback called whenever something new is known of devices, with the number of the last commit.

        As `on_commit`, on the thread that learned it, when the lock is free again.

        Returns:
            A function that ends the calls.
        """
        return self.watch.add(callback)

    @property
    def progress(self) -> FillProgress:
        """How far this device is in filling itself from others, over all openings; see `msgsync.progress`."""
        alone = len(self.membership.roster().state.members) == 1
        with self.reading() as store:
            return self.gauge.read(store, alone=alone)

    def on_progress(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called whenever `progress` may have changed because something came in.

        As `on_commit`, on the thread that took it in, when the lock is free again.

        Returns:
            A function that ends the calls.
        """
        return self.gauge.on_progress(callback)

    # Settings of the account, the same on all devices.

    def settings(self) -> dict[str, Any]:
        """The app's settings by name, and ``retention_days`` if it was set."""
        with self.reading() as store:
            return settings.read(store)

    def set_setting(self, name: str, value: Any) -> None:
        """Set one of the account's settings on all devices; None removes it. The last one written wins, each by itself.

        ``retention_days`` says how long deleted messages can be restored: a whole number from 1 to 3,650.

        Raises:
            InvalidValue: the name has no 1 to 1,000 bytes, or the value is none that CBOR can hold.
        """
        field = settings.checked(name, value)
        with self.writing() as store:
            settings.write(store, field, value)

    # The change feed.

    def cursor(self) -> str:
        """Now, as a place in the change feed: for ``changes(after=...)``."""
        with self.reading() as store:
            return write_cursor(store)

    def changes(self, *, after: str | None = None, limit: int = 1000) -> ChangePage:
        """What is not as it was at a cursor: each message and each conversation once, as it is now.

        In order of the commits that changed them last. A long list comes in pages: go on with ``after=page.cursor``
        until ``page.more`` is false; what changes meanwhile comes at the end. Asking costs next to nothing if nothing
        changed, and else reads the months that did. Beside a writer, a replica opened with ``readonly=True`` sees
        what the other process has committed.

        Args:
            after: the cursor of an earlier page or of `cursor`, kept by the app as long as it likes; None for all
                that is here.
            limit: the most changes to return.

        Raises:
            StaleCursor: the cursor is not of this file's past, as after restoring a backup; begin with None.
            InvalidValue: it is no cursor, or the limit is not a whole number from 1 on.
        """
        check_limit(limit)
        with self.reading() as store:
            return read_changes(store, after, limit, self.shown)

    def subscribe(self, callback: Callable[[ChangePage], object]) -> Callable[[], None]:
        """Have a callback called after every commit of this replica, with what changed since it was called last.

        It is called outside the replica's lock, by a thread that has just written, in order of commits, never twice
        at a time; it may use the replica, and write. A commit that changes much comes as several pages. What it
        raises is reported to `threading.excepthook` and stops nobody. Commits of other processes call nobody: ask
        `changes` for them.

        Returns:
            A function that ends it; from then on no call begins.
        """
        if not callable(callback):
            raise InvalidValue("subscribe takes a function of one argument, a page of changes")
        with self.reading() as store:
            return self._subscriptions.add(callback, write_cursor(store))

    # The state of things.

    @property
    def digest(self) -> bytes:
        """16 bytes: replicas of an account in which they are equal show the same, and have nothing to exchange."""
        with self.reading() as store:
            return store.root.to_bytes(16, "big")

    def status(self) -> Status:
        """The state of the replica in figures."""
        with self.reading() as store:
            return showing.status(store, self.system.now_ms(), survey(self))

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
        ids = [devices.id_of(one) for one in messages]
        with self.reading() as store:
            return erasure.verify(store, ids, text)

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
        return compact(self, on_progress)

    def tidy(self) -> None:
        """Freeze what is due today, for a moment at most; for sessions that are idle."""
        with self.lock:
            if not self.store().database.readonly:
                self.store().tidy()

    def repair(self, peer: Replica | str | None = None) -> RepairReport:
        """Make a damaged replica whole: what can be saved of the file, and what a peer has of the rest.

        If `check` finds nothing wrong, nothing is done but the sync. Else a new file is made of every document that is
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
            if report.damaged:
                self._subscriptions.restart(write_cursor(self.store(), START))
        if report.damaged:
            self._subscriptions.deliver()
        if peer is None:
            return report
        synced = sync_with(self, peer)
        return after(report, self, synced)

    def accept_loss(self) -> None:
        """Say no more, in `status` and `check`, of what repairs could not save and what has not come back since.

        It is not deleted by that: where a device turns up that has it, it comes back all the same.

        Raises:
            ReadOnly: the replica was opened for reading.
        """
        with self.writing() as store:
            loss.accept(store)

    def check(self) -> CheckReport:
        """Compare the read model with the documents, and every digest with a recount. Reads everything.

        What repairs could not save is named beside it, until it came back: the file is well without it.
        Of a sealed backup, opened for reading, the seal is verified as well.
        """
        with self.reading() as store:
            check = Check(store, problems)
            check.run()
            lost = loss.left(store).words
            return CheckReport(check.documents, check.entries, tuple(check.problems), lost)

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
