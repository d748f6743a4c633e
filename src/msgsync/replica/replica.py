"""A replica: one device's conversations in one file. The facade an app holds. Source: design 12."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgsync import limits
from msgsync.document.schema import ACCOUNT, FIELDS, DocumentId, Entry
from msgsync.errors import (
    AccountMismatch,
    ConversationExists,
    ErasedMessage,
    InvalidValue,
    ReplicaClosed,
    UnknownMessage,
)
from msgsync.ids import AccountId, DeviceId, MessageId, check_conversation_id, encode_id
from msgsync.records import APP, FieldRecord, Rest, decode_rest, encode_author, encode_field
from msgsync.replica import devices, expiry, trash
from msgsync.replica.compaction import CompactionProgress, CompactionReport, compact
from msgsync.replica.conversation import Conversation, check_limit
from msgsync.replica.devices import DeviceSummary, Removal, Watch, Whereabouts, wait_for
from msgsync.replica.feed import Subscriptions, read_changes, write_cursor
from msgsync.replica.found import SearchPage
from msgsync.replica.head import checked_name, unknown_conversation
from msgsync.replica.incoming import Ingest
from msgsync.replica.listeners import Listeners, OnCommit
from msgsync.replica.searching import SearchPlace, Wanted, search
from msgsync.replica.system import RealSystem, System, draw_client
from msgsync.replica.trash import DeletedMessage
from msgsync.replica.values import (
    AnyId,
    ChangePage,
    CheckReport,
    ConversationSummary,
    Edit,
    Incoming,
    IngestReport,
    Message,
    Reaction,
    Status,
)
from msgsync.store.check import Check
from msgsync.store.database import Durability
from msgsync.store.heads import FOREVER_MS
from msgsync.store.pages import ConversationRow, MessageRow
from msgsync.store.rows import DELETED
from msgsync.store.store import Identity, Store


class Reading:
    """What `Replica.reading` gives: a class, since the generators of contextlib cost as much as a query."""

    __slots__ = ("_replica",)

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def __enter__(self) -> Store:
        replica = self._replica
        replica.lock.acquire()
        try:
            store = replica.store()
            store.begin_reading()
        except BaseException:
            replica.lock.release()
            raise
        return store

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._replica.store().end_reading(error)
        finally:
            self._replica.lock.release()


class Outside:
    """An app's iterable: an error of its own comes out as it went in, even one of SQLite."""

    def __init__(self, messages: Iterable[Incoming]) -> None:
        self._iterator = iter(messages)
        self._error: BaseException | None = None

    def next(self, count: int) -> list[Incoming]:
        """The next messages, none at the end."""
        try:
            return list(islice(self._iterator, count))
        except BaseException as error:
            self._error = error
            raise

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._error is not None and error is not self._error:
            raise self._error


class Replica:
    """The replica of one device. Close it, or use it in a ``with`` block. Safe to use from several threads."""

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        author: str | None = None,
        account: AccountId | str | None = None,
        durability: Durability = "full",
        readonly: bool = False,
        system: System | None = None,
    ) -> None:
        """See `msgsync.open`."""
        self.path = Path(path)
        if not self.path.name or "\0" in self.path.name:
            raise InvalidValue(f"{str(path)!r} names no file; pass the path of the replica")
        if author is not None:
            encode_author(author)  # says what is wrong with it
        self.author = author
        self.system: System = RealSystem() if system is None else system
        self.lock = threading.RLock()
        self._store: Store | None = None
        self._reading = Reading(self)
        self._listeners = Listeners()
        self.watch = Watch(self)
        self._subscriptions = Subscriptions(self)
        wanted = AccountId.parse(account) if isinstance(account, str) else account
        if durability not in ("full", "relaxed"):
            raise InvalidValue('durability is "full" or "relaxed"')
        self._durability: Durability = durability

        def identity() -> Identity:
            random = self.system.random_bytes
            return Identity(wanted or AccountId(random(16)), DeviceId(random(8)), random(16))

        store = Store(
            self.path,
            identity=identity,
            draw_client=lambda: draw_client(self.system),
            now_ms=self.system.now_ms,
            readonly=readonly,
            durability=durability,
        )
        if wanted is not None and store.identity.account != wanted:
            store.close()
            raise AccountMismatch(
                f"{self.path} belongs to account {store.identity.account}, not to {wanted}; "
                "open it without account=, or choose another path"
            )
        self._store = store
        self.account = store.identity.account
        self.device = store.identity.device

    def __repr__(self) -> str:
        return f"<Replica {str(self.path)!r} of device {self.device}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_store", None) is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)

    def close(self) -> None:
        """Fold long logs, close the file and let go of it; closing twice is harmless."""
        with self.lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()
        if store is not None:
            self.watch.end()

    def reading(self) -> Reading:
        """The store under the replica's lock, in one consistent view, as a context; blocks nest."""
        return self._reading

    @contextmanager
    def writing(self) -> Iterator[Store]:
        """The store under the replica's lock, in one transaction: durable at the end, or nothing of it."""
        with self.lock:
            store = self.store()
            before = store.changed_seq
            is_outermost = not store.is_writing
            with store.transaction():
                yield store
            seq = store.changed_seq  # as it was within the outermost block, this one joined it
        if seq != before:
            self._listeners.tell(seq)
        if is_outermost:
            self._subscriptions.deliver()

    def on_commit(self, callback: OnCommit) -> Callable[[], None]:
        """Have a callback called after each commit that changed a document, by the app or by a sync.

        It is called with the number of the commit, on the thread that wrote, when the write is durable and the lock
        is free again. Several commits may be told out of order where several threads write. It should return soon;
        what it raises goes to `threading.excepthook` and not to whoever wrote.

        Returns:
            A function that ends the calls.
        """
        return self._listeners.add(callback)

    def store(self) -> Store:
        """The open store; use it under the lock. Raises ReplicaClosed."""
        if self._store is None:
            raise ReplicaClosed(f"{self.path} was closed; open it again with msgsync.open")
        return self._store

    def new_device(self, path: str | PathLike[str], *, author: str | None = None) -> Replica:
        """Make (or open) another device of this account: an empty replica that fills by syncing.

        Raises:
            AccountMismatch: the file is there and belongs to another account.
            StorageError: the file cannot be made or opened.
        """
        return Replica(
            path,
            author=self.author if author is None else author,
            account=self.account,
            durability=self._durability,
            system=self.system,
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
            newest = [
                None if row.last_message is None else store.pages.by_key(row.last_message)
                for row in rows
            ]
            shown = iter(self.shown([row for row in newest if row is not None]))
            now_ms = self.system.now_ms()
            return [
                ConversationSummary(
                    id=row.id,
                    title=row.title,
                    activity_ms=row.activity_ms,
                    last_message=None if last is None else next(shown),
                    unread=store.reading.count(row.key, self.author),
                    pinned=bool(row.pinned),
                    archived=bool(row.archived),
                    muted=row.muted_ms is not None
                    and (row.muted_ms == FOREVER_MS or row.muted_ms > now_ms),
                    muted_until_ms=None if row.muted_ms in (None, FOREVER_MS) else row.muted_ms,
                    deleted=not row.listed,
                )
                for row, last in zip(rows, newest, strict=True)
            ]

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
            rests = [decode_rest(row.rest) for row in rows]
            answered = self._answered(store, rows, rests)
            joined = self._joined(store, rows, rests, answered)
            details = store.pages.said(rows)
            messages = []
            for row, rest in zip(rows, rests, strict=True):
                said = details.get(row.key)
                reply_id: bytes | None
                external: str | None = None
                if isinstance(rest.reply_to, str):
                    external = rest.reply_to
                    reply_id = answered.get((row.conversation_key, external))
                else:
                    reply_id = rest.reply_to
                if reply_id is not None:
                    reply_id = joined.get((row.conversation_key, reply_id), reply_id)
                # By position: twice as fast, and this is what every screen waits for.
                messages.append(
                    Message(
                        MessageId(row.id),
                        row.conversation,
                        row.author,
                        row.text,
                        row.ms if rest.sent_ms is None else rest.sent_ms,
                        row.ord,
                        rest.kind or "text",
                        None if reply_id is None else MessageId(reply_id),
                        external,
                        row.external if said is None or row.external else said.external,
                        row.text if said is None or said.original is None else said.original,
                        () if said is None else tuple([Edit(*edit) for edit in said.edits]),
                        () if said is None else tuple([Reaction(*one) for one in said.reactions]),
                        bool(row.flags & DELETED),
                        None if said is None else said.deleted_ms,
                        rest.extra,
                    )
                )
            return messages

    def _answered(
        self, store: Store, rows: Sequence[MessageRow], rests: Sequence[Rest]
    ) -> dict[tuple[int, str], bytes]:
        """The ids of the answered messages that rows name by external ids, where they are here."""
        asked: dict[tuple[int, str], set[str]] = {}
        for row, rest in zip(rows, rests, strict=True):
            if isinstance(rest.reply_to, str):
                place = row.conversation_key, row.conversation
                asked.setdefault(place, set()).add(rest.reply_to)
        return {
            (key, external): message_id
            for (key, conversation), externals in asked.items()
            for external, message_id in store.pages.answered(key, externals, conversation).items()
        }

    # Recently Deleted.

    def recently_deleted(self, *, limit: int | None = None) -> list[DeletedMessage]:
        """Deleted messages of all conversations, the last deleted first, with when they may be erased.

        Raises:
            InvalidValue: the limit is not a whole number from 1 on.
        """
        if limit is not None:
            check_limit(limit)
        with self.reading() as store:
            found = store.trash.deleted(limit=limit)
            rows = [store.pages.by_id(one.id, one.conversation) for one in found]
            messages = self.shown([row for row in rows if row is not None])
            kept_ms = trash.retention_ms(store)
            return [
                DeletedMessage(message, one.since_ms, one.since_ms + kept_ms)
                for one, message in zip(found, messages, strict=True)
            ]

    def empty_recently_deleted(self) -> int:
        """Erase all deleted messages and the names of deleted conversations now, on all devices, for good.

        Returns:
            How many messages were erased.
        """
        with self.writing() as store:
            return trash.erase_deleted(store, until_ms=None)

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

    # The devices of the account.

    def devices(self) -> list[DeviceSummary]:
        """The devices that this one knows of, itself first, and how far behind each is known to be.

        Devices learn of each other, and of what each has, in exchanges: of one that they never meet through others.
        """
        return devices.summaries(self)

    def name_device(self, name: str | None, *, device: DeviceId | str | None = None) -> None:
        """Name a device, this one unless said otherwise, on all devices; None takes the name away.

        Raises:
            UnknownDevice: it is not known here. InvalidValue: the name has no 1 to 1,024 bytes.
        """
        devices.name_device(self, name, device)

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

        Best asked on the device itself, which knows what it has; of another one only what was heard of it is known.

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
            ReplicaClosed: this replica was closed meanwhile. ReadOnly: it cannot hear of it.
        """
        return wait_for(self, message, devices=devices, timeout=timeout)

    def on_known(self, callback: OnCommit) -> Callable[[], None]:
        """Have a callback called whenever something new is known of devices, with the number of the last commit.

        When the replica is closed it is called once more, with 0. As `on_commit`, on the thread that learned it, when
        the lock is free again.

        Returns:
            A function that ends the calls.
        """
        return self.watch.add(callback)

    # Settings of the account, the same on all devices.

    def settings(self) -> dict[str, Any]:
        """The app's settings by name, and ``retention_days`` if it was set."""
        with self.reading() as store:
            row = store.documents.find(DocumentId("", ACCOUNT))
            if row is None:
                return {}
            found = store.heads.fields(row.key, APP)
            days = store.heads.field(row.key, "retention_days")
            return found | ({} if days is None else {"retention_days": days})

    def set_setting(self, name: str, value: Any) -> None:
        """Set one of the account's settings on all devices; None removes it. The last one written wins, each by itself.

        ``retention_days`` says how long deleted messages can be restored: a whole number from 1 to 3,650.

        Raises:
            InvalidValue: the name has no 1 to 1,000 bytes, or the value is none that CBOR can hold.
        """
        if name == "retention_days":
            if value is not None and not (type(value) is int and 1 <= value <= 3650):
                raise InvalidValue(
                    f"retention_days is a whole number from 1 to 3650, not {value!r}"
                )
        else:
            name = APP + checked_name(name, APP)
        with self.writing() as store:
            row = store.row(DocumentId("", ACCOUNT))
            stamp = store.next_stamp(row)
            store.write(row, [Entry(FIELDS, stamp.key(), encode_field(FieldRecord(name, value)))])

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

    def _joined(
        self,
        store: Store,
        rows: Sequence[MessageRow],
        rests: Sequence[Rest],
        answered: dict[tuple[int, str], bytes],
    ) -> dict[tuple[int, bytes], bytes]:
        """The ids under which answered messages are shown, where aliases join them to others."""
        asked: dict[int, set[bytes]] = {}
        for row, rest in zip(rows, rests, strict=True):
            if isinstance(rest.reply_to, bytes):
                asked.setdefault(row.conversation_key, set()).add(rest.reply_to)
        for (key, _), one in answered.items():
            asked.setdefault(key, set()).add(one)
        return {
            (key, one): shown
            for key, ids in asked.items()
            for one, shown in store.pages.shown_ids(key, ids).items()
        }

    # The state of things.

    @property
    def digest(self) -> bytes:
        """16 bytes: replicas of an account in which they are equal show the same, and have nothing to exchange."""
        with self.reading() as store:
            return store.root.to_bytes(16, "big")

    def status(self) -> Status:
        """The state of the replica in figures."""
        with self.reading() as store:
            one = store.database.one(
                "select (select count(*) from conversations where activity_ms is not null),"
                " (select count(*) from documents), (select total(messages) from documents),"
                " (select count(*) from erased), (select count(*) from unreadable),"
                " (select count(*) from differing)"
            )
            refused = tuple(
                f"{conversation} {kind}: {reason}"
                for conversation, kind, reason in store.database.execute(
                    "select conversation, kind, reason from refused order by conversation, kind"
                )
            )
            return Status(
                account=str(self.account),
                device=str(self.device),
                path=str(self.path),
                conversations=one[0],
                documents=one[1],
                messages=int(one[2]),
                erased=one[3],
                unreadable=one[4],
                differing=one[5],
                file_bytes=self.path.stat().st_size,
                digest=store.root.to_bytes(16, "big").hex(),
                refused=refused,
                erasure_pending=store.erasure_pending,
                cloned=store.cloned,
                only_here=devices.only_here(store),
                expiry_waits_for=tuple(
                    str(DeviceId(one)) for one in expiry.waited_for(store, self.system.now_ms())
                ),
                clock_skew_ms=store.clock_skew_ms(),
            )

    def compact(
        self, *, on_progress: Callable[[CompactionProgress], object] | None = None
    ) -> CompactionReport:
        """Make the file smaller: freeze documents that are hardly written to any more, give free space back.

        Nothing that is shown changes, and nothing has to be sent. It happens by itself, little by little, when a
        replica is closed or idle in a session; call this after importing or erasing much. Other threads may use
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

    def check(self) -> CheckReport:
        """Compare the read model with the documents, and every digest with a recount. Reads everything."""
        with self.reading() as store:
            check = Check(store)
            check.run()
            return CheckReport(check.documents, check.entries, tuple(check.problems))
