"""A replica: one device's conversations in one file. The facade an app holds. Source: design 12."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from msgsync import limits
from msgsync.errors import (
    ConversationExists,
    ErasedMessage,
    InvalidValue,
)
from msgsync.ids import DeviceId, MessageId, check_conversation_id, encode_id
from msgsync.replica import (
    account,
    expiry,
    forgetting,
    history,
    settings,
    showing,
    trash,
)
from msgsync.replica.company import Company
from msgsync.replica.conversation import Conversation
from msgsync.replica.deletion import DeletionListener
from msgsync.replica.feed import read_changes, write_cursor
from msgsync.replica.found import SearchPage
from msgsync.replica.head import unknown_conversation
from msgsync.replica.incoming import Ingest
from msgsync.replica.names import unknown
from msgsync.replica.outside import Outside
from msgsync.replica.paging import check_limit
from msgsync.replica.searching import SearchPlace, Wanted, search
from msgsync.replica.space import Space, free, keep_to_budget, set_budget
from msgsync.replica.survey import survey
from msgsync.replica.system import System
from msgsync.replica.times import to_ms
from msgsync.replica.trash import DeletedMessage
from msgsync.replica.trust import Trust
from msgsync.replica.upkeep import Upkeep
from msgsync.replica.values import (
    ChangePage,
    ConversationSummary,
    Incoming,
    IngestReport,
    Message,
    Status,
)
from msgsync.store.pages import ConversationRow, MessageRow
from msgsync.store.store import read_only

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.pairing import Invited, InviteEvent, JoinRequest


class Replica(Company, Trust, Upkeep):
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
                raise unknown(store, one)
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

        Least recently used first, until what stays takes no more than ``keep_bytes``. With a budget for months
        (`set_history_budget`) those go as well that are older; they come back with `Conversation.older`. Only what
        somebody else is bound to have goes: a mailbox that confirmed it, or a device that promised to keep it. Other
        devices are asked for that in exchanges from the first call on. Names and previews stay. To delete for all
        devices see `Conversation.erase`.

        Args:
            keep_bytes: of attachments, how much may stay.
            preview: say what would go, and let nothing go.

        Raises:
            InvalidValue: it is no number of bytes. ReadOnly: the replica was opened for reading.
        """
        now_ms = self.system.now_ms()
        if preview:
            with self.reading() as store:
                return history.with_months(store, free(store, keep_bytes, preview=True), now_ms)
        with self.writing() as store:
            self.fetching.note_use(store)
            space = free(store, keep_bytes, preview=False)
        gone = history.make_room(self)
        with self.lock:
            return history.with_months(self.store(), space, now_ms, gone)

    def set_attachment_budget(self, size: int | None = None, *, days: int | None = None) -> None:
        """Say which attachments may be on this device: so many bytes, the last so many days, or both; else all.

        In place of what was said before. The newest are fetched, and what is beyond it once somebody reads it. What was
        neither sent nor read for longest goes for those, and what was not in these days: now, after exchanges, and in
        sessions that are idle. As in `free_space`, only if somebody else is bound to have it, so it may take more for
        a while. A device with a budget keeps nothing for others. What has gone for a budget does not come back by
        itself when that is lifted: see `fetch_attachments`.

        Args:
            size: how many bytes of them; None for however many.
            days: how many days count, by this device's clock; None for all time.

        Raises:
            InvalidValue: it is no number of bytes, or of days from 1 on. ReadOnly: the replica was opened for reading.
        """
        with self.writing() as store:
            set_budget(store, size, days)
        keep_to_budget(self)

    def fetch_attachments(self) -> int:
        """Have all attachments come back that this device has let go of: with the next exchanges with who has them.

        For instance when a budget was lifted: by itself each comes back when somebody reads it. Those that were paused
        (`Attachment.pause`) go on. With a budget they come as far as that allows.

        Returns:
            How many bytes of files are to come that would not have.

        Raises:
            ReadOnly: the replica was opened for reading.
        """
        return self.fetching.come_back()

    # Old months.

    def set_history_budget(self, months: int | None) -> None:
        """Say how many months of messages are kept on this device, besides the present one; None for all there are.

        What is older goes from this device, and from no other: in sessions that are idle, after exchanges, and at once
        with `free_space`. Only what somebody else is bound to have goes: another device that has promised to keep it,
        or a mailbox with a checkpoint in which it was read. So it may take more for a while. The newest month of a
        conversation stays, and so do months with attachments or with something in Recently Deleted. A page that reaches
        beyond what is here says so (`Page.elsewhere`), and `Conversation.older` fetches it; a search says from when on
        it has seen everything (`SearchPage.complete_from`). What is changed elsewhere comes back for a while. The
        change feed does not speak of what goes, as nothing is deleted; it tells what comes back. A device with such a
        budget keeps no months for others.

        Raises:
            InvalidValue: it is no number of months from 1 on. ReadOnly: the replica was opened for reading.
        """
        with self.writing() as store:
            history.set_budget(store, months, self.system.now_ms())

    def fetch_history(self, since: datetime | int = 0, *, conversation: str | None = None) -> int:
        """Have old months come back that this device has let go of: with the next exchange with who has them.

        They stay for a day, and go again then like any others beyond the budget. As long as nobody brings them,
        exchanges with others are not complete; `set_history_budget` ends it.

        Args:
            since: from the month of this time on (datetime, naive ones are UTC; or Unix milliseconds).
            conversation: of this one alone.

        Returns:
            How many months of conversations are to come.

        Raises:
            UnknownConversation: it is not here. InvalidValue: it is no time.
            ReadOnly: the replica was opened for reading.
        """
        since_ms = to_ms(since)
        with self.writing() as store:
            return history.fetch(store, since_ms, conversation)

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
            waits_for = tuple(forgetting.waits_for(self, store))
            return showing.status(store, self.system.now_ms(), survey(self), waits_for)
