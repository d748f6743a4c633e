"""Pages of a conversation: which messages, and whether there are more on either side. Source: design 12."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgsync import limits
from msgsync.document.schema import month_bounds
from msgsync.errors import InvalidValue
from msgsync.replica.head import unknown_conversation
from msgsync.replica.names import Names
from msgsync.replica.values import AnyId, Cursor, Message, Page
from msgsync.store.pages import Position
from msgsync.store.store import Store


@dataclass(frozen=True, slots=True)
class Around:
    """What `Conversation.messages` is asked for."""

    before: Cursor | AnyId | None
    after: Cursor | AnyId | None
    limit: int
    deleted: bool
    """Whether deleted messages are shown too."""

    @property
    def is_forward(self) -> bool:
        """Whether the page goes on from ``after``, and not back from the newest or from ``before``."""
        return self.after is not None and self.before is None


def page(names: Names, around: Around) -> Page:
    """See `Conversation.messages`."""
    limit = around.limit
    with names.replica.reading() as store:
        conversation = store.pages.conversation(names.conversation)
        if conversation is None:
            raise unknown_conversation(names.conversation)
        low, high = _place(names, around.after), _place(names, around.before)
        gap = None
        if conversation.is_cut and not around.is_forward:
            gap = _gap(store, names.conversation, high)
        is_cut = gap is not None and (low is None or low < gap)
        if is_cut:  # what lies beyond would be taken for what comes next
            low = gap
        of = conversation.key, conversation.id
        rows = store.pages.page(of, before=high, after=low, limit=limit + 1, deleted=around.deleted)
        more = len(rows) > limit
        if more:
            rows = rows[:limit] if around.is_forward else rows[1:]
        messages = names.replica.shown(rows)
        older, newer = _ways_on(store, of, around, messages, more=more)
        is_short = (
            conversation.is_cut and _skips(store, names.conversation, messages)
            if around.is_forward
            else is_cut and not more
        )
        elsewhere = bool(is_short) or (
            not _has_older(store, of, around, messages, older)
            and store.missing.may_gain_of(names.conversation)
        )
        return Page(tuple(messages), older, newer, elsewhere)


def _place(names: Names, place: Cursor | AnyId | None) -> tuple[int, int, bytes] | None:
    if place is None or isinstance(place, Cursor):
        return None if place is None else _tuple(place)
    return _tuple(names.shown(names.known(place)).cursor)


def _gap(store: Store, conversation: str, high: Position | None) -> Position | None:
    """The end of the newest month before a place of which not all is here; None if there is none."""
    ends = [
        behind_ms
        for begin_ms, behind_ms in map(month_bounds, store.missing.months_elsewhere(conversation))
        if high is None or begin_ms <= high[0]
    ]
    return (max(ends) - 1, limits.MS, b"\xff" * 6) if ends else None


def _skips(store: Store, conversation: str, messages: Sequence[Message]) -> bool:
    """Whether a month is not here that begins before the end of a page that goes forward."""
    last_ms = messages[-1].id.ms if messages else limits.MS
    months = store.missing.months_elsewhere(conversation)
    return any(month_bounds(month)[0] <= last_ms for month in months)


def _ways_on(
    store: Store, of: tuple[int, str], around: Around, messages: Sequence[Message], *, more: bool
) -> tuple[Cursor | None, Cursor | None]:
    """Where the page goes on to older and to newer messages."""
    if not messages:
        return None, None
    first, last = messages[0].cursor, messages[-1].cursor

    def any_is(*, before: Cursor | None = None, after: Cursor | None = None) -> bool:
        low = None if after is None else _tuple(after)
        high = None if before is None else _tuple(before)
        return bool(store.pages.page(of, before=high, after=low, limit=1, deleted=around.deleted))

    if around.is_forward:
        has_older, has_newer = any_is(before=first), more
    else:
        has_older, has_newer = more, around.before is not None and any_is(after=last)
    return first if has_older else None, last if has_newer else None


def _has_older(
    store: Store,
    of: tuple[int, str],
    around: Around,
    messages: Sequence[Message],
    older: Cursor | None,
) -> bool:
    """Whether anything older than a page is here; an empty page has no way on by itself."""
    if messages or around.after is None:
        return older is not None
    return bool(store.pages.page(of, before=None, after=None, limit=1, deleted=around.deleted))


def check_limit(limit: int) -> None:
    """Check a limit of how much to return. Raises InvalidValue if it is no whole number from 1 on."""
    if type(limit) is not int or not 1 <= limit <= limits.MS:
        raise InvalidValue(f"limit is a whole number from 1 on, not {limit!r}")


def _tuple(cursor: Cursor) -> tuple[int, int, bytes]:
    return cursor.ms, cursor.order, cursor.tail
