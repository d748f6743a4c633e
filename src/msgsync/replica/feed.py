"""The change feed: what changed since a cursor, and callbacks after each commit. Source: design 6 and 12."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from msgsync.errors import InvalidValue, MsgSyncError, ReplicaClosed, StaleCursor
from msgsync.ids import MessageId
from msgsync.replica.values import Change, ChangePage, Message
from msgsync.store.changes import (
    CONVERSATION,
    END,
    ERASED,
    MESSAGE,
    Place,
    conversation_names,
    erased_message,
)
from msgsync.store.rows import HIDDEN
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica

_CURSOR: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{1,16})-([0-3])-([0-9a-f]{1,40})", re.ASCII)
START: Final = Place(0, 0, 0)
"""Before the first change."""
_PAGE: Final = 1000

Callback = Callable[[ChangePage], object]


def write_cursor(store: Store, place: Place | None = None) -> str:
    """A place as text; without one, behind all that is here."""
    seq, rank, key = place or Place(store.seq, END, 0)
    return f"{store.identity.store_id.hex()}-{seq:x}-{rank}-{key:x}"


def read_cursor(store: Store, cursor: str | None) -> Place:
    """The inverse of `write_cursor`; None is the beginning.

    Raises:
        InvalidValue: it is no cursor. StaleCursor: it is not one of this file's past.
    """
    if cursor is None:
        return START
    match = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None:
        raise InvalidValue("after= takes the cursor of a page of changes, or of Replica.cursor()")
    place = Place(int(match[2], 16), int(match[3]), int(match[4], 16))
    if match[1] != store.identity.store_id.hex() or place.seq > store.seq:
        raise StaleCursor(
            "this cursor comes from another replica, or from a later state of this file than is here; "
            "begin again with after=None"
        )
    return place


def read_changes(
    store: Store,
    cursor: str | None,
    limit: int,
    show: Callable[[Sequence[Any]], list[Message]],
) -> ChangePage:
    """A page of changes; ``show`` makes messages of rows. See `Replica.changes`."""
    places, more = store.changes.after(read_cursor(store, cursor), store.seq, limit)
    keys = [place.key for place in places if place.rank == MESSAGE]
    rows = store.pages.by_keys(keys) if keys else {}
    shown = {key: store.pages.as_shown(row) for key, row in rows.items()}
    messages = dict(zip(shown, show(list(shown.values())), strict=True))
    of_documents, of_keys = conversation_names(store.database, places)
    changes: list[Change] = []
    for place in places:
        if place.rank == MESSAGE:
            row = rows[place.key]
            one = MessageId(row.id)
            kind = "merged" if row.flags & HIDDEN else "message"
            changes.append(
                Change(cast("Any", kind), row.conversation, one, messages[place.key], place.seq)
            )
        elif place.rank == ERASED:
            document, raw = erased_message(place)
            changes.append(
                Change("erased", of_documents[document], MessageId(raw), None, place.seq)
            )
        elif place.rank == CONVERSATION:
            changes.append(Change("conversation", of_keys[place.key], None, None, place.seq))
    return ChangePage(tuple(changes), write_cursor(store, places[-1] if more else None), more)


class Subscriptions:
    """Callbacks, each with its own place in the feed. They run one after the other, outside every lock."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._lock = threading.Lock()
        self._callbacks: dict[object, tuple[Callback, str]] = {}
        self._busy = False
        self._again = False

    def add(self, callback: Callback, cursor: str) -> Callable[[], None]:
        """Call this with what changes from now on; returns what ends that."""
        token = object()
        with self._lock:
            self._callbacks[token] = callback, cursor

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks.pop(token, None)

        return unsubscribe

    def restart(self, cursor: str) -> None:
        """Go on from this place for everybody: what they were told before is of another file."""
        with self._lock:
            self._callbacks = {
                token: (callback, cursor) for token, (callback, _) in self._callbacks.items()
            }

    def deliver(self) -> None:
        """Call everybody with what is new to them.

        If that is going on already, in another thread or since a callback has written, whoever is at it goes on with
        it: so calls never overlap, keep the order of commits, and nobody waits for anybody.
        """
        if not self._callbacks:
            return
        with self._lock:
            self._again = True
            if self._busy:
                return
            self._busy = True
        try:
            while self._take_turn():
                for token in list(self._callbacks):
                    self._call(token)
        except BaseException:
            self._busy = False
            raise

    def _take_turn(self) -> bool:
        with self._lock:
            again, self._again = self._again, False
            self._busy = again
            return again

    def _call(self, token: object) -> None:
        while (found := self._callbacks.get(token)) is not None:
            callback, cursor = found
            try:
                page = self._replica.changes(after=cursor, limit=_PAGE)
            except ReplicaClosed:
                return
            except (
                MsgSyncError
            ) as error:  # what was written is durable: its writer must not hear of this
                _report(error)
                return
            with self._lock:
                if token not in self._callbacks:
                    return
                self._callbacks[token] = callback, page.cursor
            if page:
                try:
                    callback(page)
                except Exception as error:  # noqa: BLE001  the writer has done nothing wrong
                    _report(error)
            if not page.more:
                return


def _report(error: Exception) -> None:
    """Say what a callback raised, where Python says what ends a thread: the writer has done nothing wrong."""
    told = type(error), error, error.__traceback__, threading.current_thread()
    threading.excepthook(threading.ExceptHookArgs(told))
