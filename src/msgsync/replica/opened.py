"""A replica that is open: its file, its lock, and what belongs to one opening. Source: design 5, 6."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgsync.errors import AccountMismatch, InvalidValue, ReplicaClosed, StorageError
from msgsync.records import encode_author
from msgsync.replica import attempt, space
from msgsync.replica.devices import Watch
from msgsync.replica.feed import Subscriptions
from msgsync.replica.fetching import Fetching
from msgsync.replica.key import Key
from msgsync.replica.listeners import Listeners, OnCommit
from msgsync.replica.membership import Membership, begin, share_rosters
from msgsync.replica.places import Places
from msgsync.replica.progress import Gauge
from msgsync.replica.reading import Reading
from msgsync.replica.switch import Switch
from msgsync.replica.system import RealSystem, System, draw_client
from msgsync.replica.wants import Wants
from msgsync.store.database import Durability, check_kind
from msgsync.store.store import Store
from msgsync.store.trouble import storage_errors

if TYPE_CHECKING:
    from msgsync.replica.checkpoints import Bag
    from msgsync.replica.replica import Replica


def checked_path(path: str | PathLike[str]) -> Path:
    """A path that names a file. Raises InvalidValue."""
    found = path if isinstance(path, Path) else Path(path)
    if str(path) == ":memory:":
        raise InvalidValue(
            "a replica is a file, there is none in memory; pass the path of a file, for tests in a temporary folder"
        )
    if not found.name or "\0" in found.name:
        raise InvalidValue(f"{str(path)!r} names no file; pass the path of a file")
    return found


def check_options(author: str | None, durability: str) -> None:
    """Raise InvalidValue for what `Replica` does not take."""
    if author is not None:
        encode_author(author)  # says what is wrong with it
    if durability not in ("full", "relaxed"):
        raise InvalidValue('durability is "full" or "relaxed"')


class Opened:
    """What is open, and what every verb of `Replica` stands on: the lock, the store, and who is told of a commit."""

    if TYPE_CHECKING:

        @property
        def _replica(self) -> Replica: ...

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        author: str | None = None,
        member: Replica | None = None,
        durability: Durability = "full",
        readonly: bool = False,
        passphrase: str | None = None,
        encrypted: bool = False,
        system: System | None = None,
    ) -> None:
        """See `msgsync.open`; ``member`` is another device, open in this process, whose account a new file belongs to.

        Raises:
            AccountMismatch: the file is there, and of another account than ``member``.
        """
        self.path = checked_path(path)
        check_kind(self.path)
        check_options(author, durability)
        self.author = author
        self.system: System = RealSystem() if system is None else system
        self.lock = threading.RLock()
        self._holds = 0
        """How many blocks of `holding` are open, one within the other."""
        self._store: Store | None = None
        self._reading = Reading(self._replica)
        self._listeners = Listeners()
        self.watch = Watch(self._replica)
        self._closing = Listeners()
        self._subscriptions = Subscriptions(self._replica)
        self._durability: Durability = durability
        self._readonly = readonly
        self.places = Places(self._replica)
        self.sync = Switch(self._replica)
        self.leaving = False
        """Whether this device takes part in exchanges only to say that it goes."""
        self.gauge = Gauge(self._replica)
        """Told of what comes in; `progress` reads it off."""
        self.wants = Wants()
        """Conversations of which older messages are waited for."""
        self.bags: dict[str, Bag] = {}
        """What is remembered of mailboxes until it is closed, by their addresses."""
        self._key = Key(
            self.path, self.system, passphrase, may_stay_locked=readonly, encrypted=encrypted
        )
        self._open(member)

    def _open(self, member: Replica | None = None) -> None:
        store = Store(
            self.path,
            fresh=lambda: (
                begin(self.system) if member is None else member.membership.add_device(self.system)
            ),
            draw_client=lambda: draw_client(self.system),
            now_ms=self.system.now_ms,
            readonly=self._readonly,
            durability=self._durability,
            vfs=self.system.vfs,
            files=self.system.files,
            unlock=self._key,
            encrypt=self._key.cipher,
        )
        try:
            self.account, self.device = store.identity.account, store.identity.device
            if member is not None and self.account != member.account:
                raise AccountMismatch(
                    f"{self.path} belongs to account {self.account}, not to {member.account}; "
                    "open it by itself, or choose another path"
                )
            with storage_errors(self.path):
                self.membership = Membership(self._replica, store)
                if not self._readonly:
                    attempt.finish(self.path, self.membership.has)
        except BaseException:
            with suppress(StorageError):  # the first error says why
                store.close()
            raise
        self._store = store
        self.fetching = Fetching(self._replica, store.attachments.files)
        store.attachments.source = self.fetching
        if member is not None:
            try:
                share_rosters(self._replica, member)
            except BaseException:
                with suppress(StorageError):
                    self.close()
                raise

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
        if store is None:
            return
        try:
            self.fetching.end()  # before another process may look after the folder
            with self.lock:
                try:
                    self._note_use(store)
                finally:
                    store.close()
        finally:
            self.watch.end()
            self._closing.tell(store.seq)

    def _note_use(self, store: Store) -> None:
        """What was read in this opening goes later than the rest; without it it goes too early, and nothing is lost."""
        if store.database.readonly or not self.fetching.has_used:
            return
        with suppress(StorageError), storage_errors(self.path):
            if space.wants_promises(store):
                with store.transaction():
                    self.fetching.note_use(store)

    @property
    def encrypted(self) -> bool:
        """Whether the file is encrypted as a whole."""
        return self.store().database.cipher is not None

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._store is None

    def reading(self) -> Reading:
        """The store under the replica's lock, in one consistent view, as a context; blocks nest."""
        return self._reading

    @contextmanager
    def writing(self) -> Iterator[Store]:
        """The store under the replica's lock, in one transaction: durable at the end, or nothing of it."""
        with self.holding() as store, store.transaction():
            yield store

    @contextmanager
    def holding(self) -> Iterator[Store]:
        """The store under the replica's lock, for several steps that belong together; blocks nest.

        What is committed within is told when the lock is free again: writing under `lock` alone would tell it before.
        """
        before = after = 0
        is_outermost = False
        try:
            with self.lock:
                store = self.store()
                before = store.changed_seq
                self._holds += 1
                try:
                    yield store
                finally:
                    self._holds -= 1
                    is_outermost, after = not self._holds, store.changed_seq
        finally:
            if is_outermost:
                if after != before:
                    self._listeners.tell(after)
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

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called when the replica has been closed, on the thread that closed it.

        Returns:
            A function that ends that.
        """
        return self._closing.add(lambda _seq: callback())

    def store(self) -> Store:
        """The open store; use it under the lock. Raises ReplicaClosed."""
        if self._store is None:
            raise ReplicaClosed(f"{self.path} was closed; open it again with msgsync.open")
        return self._store
