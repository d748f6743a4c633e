"""From the arguments of a search to a page of hits. Source: specification, Search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from msgsync.document.schema import month_bounds, segment_of
from msgsync.errors import InvalidValue
from msgsync.ids import check_conversation_id
from msgsync.records import encode_author
from msgsync.replica.found import Hit, SearchCursor, SearchPage, snippet
from msgsync.replica.paging import check_limit
from msgsync.replica.times import to_ms
from msgsync.replica.values import Cursor, Message
from msgsync.store.query import Query, parse_query
from msgsync.store.search import Place, Scope, Search

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.store import Store

SearchPlace = SearchCursor | Hit | Message | Cursor
"""Where a search goes on. A `Cursor` names no conversation: all messages of its place are left out."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `Replica.search` was asked for, besides the words."""

    conversation: str | None
    author: str | None
    since: datetime | int | None
    until: datetime | int | None
    before: SearchPlace | None
    limit: int

    def check(self) -> None:
        """Check what the store does not. Raises InvalidValue."""
        check_limit(self.limit)
        if self.conversation is not None:
            check_conversation_id(self.conversation)
        if self.author is not None:
            encode_author(self.author)  # says what is wrong with it


def search(replica: Replica, words: str, wanted: Wanted) -> SearchPage:
    """Search as `Replica.search` says. Raises InvalidValue."""
    wanted.check()
    since_ms = 0 if wanted.since is None else to_ms(wanted.since)
    until_ms = None if wanted.until is None else to_ms(wanted.until)
    before = None if wanted.before is None else _place(wanted.before)
    with replica.reading() as store:
        complete = store.pages.is_complete() and not store.missing.filling
        query = parse_query(words, store.tokenizer)
        conversation = author = None
        if wanted.conversation is not None:
            row = store.pages.conversation(wanted.conversation)
            conversation = None if row is None else row.key
        if wanted.author is not None:
            author = store.pages.author(wanted.author)
        since = _complete_from(store, conversation)
        if (
            query is None
            or (wanted.conversation is not None and conversation is None)
            or (wanted.author is not None and author is None)
        ):
            return SearchPage((), None, complete, since)
        scope = Scope(conversation, author, since_ms, until_ms, before)
        page = _page(replica, store, query, scope, wanted.limit, complete=complete)
        return replace(page, complete_from=since)


def _complete_from(store: Store, conversation: int | None) -> str | None:
    """The first month from which on none is elsewhere, of one conversation or of all; None if none is at all."""
    months = store.missing.kinds_elsewhere(conversation)
    ends = [month_bounds(month)[1] for month in months]
    return segment_of(max(ends)) if ends else None


def _page(
    replica: Replica, store: Store, query: Query, scope: Scope, limit: int, *, complete: bool
) -> SearchPage:
    found = list(islice(Search(store.database, query, scope).newest(), limit + 1))
    more, found = len(found) > limit, found[:limit]
    messages = replica.shown([row for row, _ in found])
    hits = tuple(
        Hit(message, snippet(message.text, spans))
        for message, (_, spans) in zip(messages, found, strict=True)
    )
    return SearchPage(hits, hits[-1].cursor if more else None, complete)


def _place(place: SearchPlace) -> Place:
    if isinstance(place, SearchCursor):
        return place.ms, place.order, place.tail, place.conversation
    if isinstance(place, Hit):
        return _place(place.cursor)
    if isinstance(place, Cursor):
        return place.ms, place.order, place.tail, ""
    if isinstance(place, Message):
        return place.id.ms, place.order, place.id.raw[6:], place.conversation
    raise InvalidValue("before= is page.older, a hit, its cursor, or a message")
