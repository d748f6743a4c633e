"""Ingested messages become entries: ids, records and what the source says about them. Source: design 3 and 4."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter, le, lt
from typing import Final, NamedTuple

from msgsync import limits
from msgsync.document.columns import Messages
from msgsync.document.frozen import Frozen, message_entries
from msgsync.document.gonefiles import gone_entry
from msgsync.document.schema import (
    DocumentId,
    Entry,
    month_bounds,
    segment_of,
)
from msgsync.errors import FutureTimestamp, InvalidValue
from msgsync.ids import (
    check_conversation_id,
    made_up_external_id,
)
from msgsync.records import (
    decode_attachments,
    encode_attachments,
    encode_author,
    encode_external_id,
    encode_extra,
    encode_message_text,
    encode_rest,
    read_attachments,
)
from msgsync.replica.upstream import Saying, said_upstream, sayings_of
from msgsync.replica.values import Incoming, IngestReport
from msgsync.store.readmodel import Told
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

_PART: Final = 512
"""Messages that are taken in together, if their months allow."""


class _Place(NamedTuple):
    """The incoming messages of one document, in order of time, repetitions included."""

    document: DocumentId
    behind_ms: int
    """The first millisecond behind it."""
    messages: Messages
    incomings: Sequence[Incoming]


class _Here(NamedTuple):
    """What is here already of what comes."""

    row: DocumentRow
    known: set[bytes]
    erased: set[bytes]


class Ingest:
    """Takes incoming messages within one transaction, in order; remembers runs of equal time between batches."""

    def __init__(self, store: Store, now_ms: int) -> None:
        self._store = store
        self._latest_ms = min(now_ms + limits.FUTURE_MS, limits.MS)
        self._quiet_before_ms = now_ms - limits.QUIET_MS
        self._conversations: dict[str, bytes] = {}
        self._authors: dict[str, bytes] = {}
        self._runs: dict[str, tuple[int, dict[tuple[str, str], int]]] = {}

    def take(self, batch: Sequence[Incoming]) -> IngestReport:
        """Store what is new of a batch.

        Raises:
            InvalidValue, FutureTimestamp: a message cannot be taken; the caller rolls back.
        """
        counts = Counter[str]()
        for places in self._sort(batch):
            # All questions first: what is written afterwards goes on beside the preparation of what comes next.
            settled = [(place, self._look_up(place)) for place in places]
            for (place, here), said in zip(settled, _sayings(places), strict=True):
                self._store_place(place, here, said, counts)
                self._store.readmodel.messages.flush_long()
        return IngestReport(**counts)

    def id_of(self, incoming: Incoming) -> bytes:
        """The 12-byte id that `take` would give a message now. Raises as `take` does."""
        [[place]] = self._sort([incoming])
        return place.messages.ids[0]

    def _sort(self, batch: Sequence[Incoming]) -> Iterator[list[_Place]]:
        """Settle ids and records, and cut them by documents. The hot path of every import: column by column."""
        for kind in {*map(type, batch)} - {Incoming}:
            raise InvalidValue(f"ingest takes Incoming values, not {kind.__name__}")
        conversations: dict[str, list[Incoming]] = {}
        for conversation, run in groupby(batch, attrgetter("conversation")):
            conversations.setdefault(conversation, []).extend(run)
        for conversation, incomings in conversations.items():
            if len(incomings) > 1:  # before anything is written that a question would wait for
                self._store.documents.remember(conversation)
        for conversation, incomings in conversations.items():
            for part in _parts(incomings):
                yield list(_cut(conversation, self._columns(conversation, part), part))

    def _columns(self, conversation: str, incomings: Sequence[Incoming]) -> Messages:
        """The messages of one conversation in columns, checked."""
        before = self._conversations.get(conversation)
        if before is None:
            before = check_conversation_id(conversation).encode() + b"\0"
            self._conversations[conversation] = before
        times = [one.sent_ms for one in incomings]
        orders = [one.order for one in incomings]
        try:
            texts = [one.text.encode() for one in incomings]
            externals = [(one.external_id or "").encode() for one in incomings]
        except (AttributeError, UnicodeEncodeError):
            self._refuse(incomings)
            raise
        if not (
            {*map(type, times), *map(type, orders)} == {int}
            and 0 <= min(times) <= max(times) <= self._latest_ms
            and 0 <= min(orders) <= max(orders) <= limits.MS
            and max(map(len, texts)) <= limits.TEXT_BYTES
            and max(map(len, externals)) <= limits.EXTERNAL_ID_BYTES
        ):
            self._refuse(incomings)
        if b"" in externals:
            self._make_up(incomings, externals)
        known = [place for place, one in enumerate(incomings) if one.message_id is not None]
        sha256 = hashlib.sha256
        ids = [
            ms.to_bytes(6, "big") + sha256(before + external).digest()[:6]
            for ms, external in zip(times, externals, strict=True)
        ]
        for place in known:
            one = incomings[place].message_id
            assert one is not None
            ids[place], times[place] = one.raw, one.ms
            if one.ms > self._latest_ms:
                _refuse_time(one.ms)
        by = [self._authors.get(one.author) or self._author(one.author) for one in incomings]
        return Messages(ids, times, by, texts, orders, externals, _rests(incomings, known))

    def _refuse(self, incomings: Iterable[Incoming]) -> None:
        """Say what is wrong with one of them."""
        for one in incomings:
            if type(one.sent_ms) is not int or not 0 <= one.sent_ms <= self._latest_ms:
                _refuse_time(one.sent_ms)
            encode_message_text(one.text)
            if one.external_id is not None:
                encode_external_id(one.external_id)
            if type(one.order) is not int or not 0 <= one.order <= limits.MS:
                raise InvalidValue(
                    f"the order is a whole number from 0 to {limits.MS}, not {one.order!r}"
                )

    def _make_up(self, incomings: Sequence[Incoming], externals: list[bytes]) -> None:
        """Give external ids to those of a source that has none: repetition counts within a run of equal time."""
        for place, one in enumerate(incomings):
            if one.external_id is not None:
                encode_external_id(one.external_id)  # refuses an empty one
            elif one.message_id is None:
                externals[place] = self._made_up(one).encode()

    def _made_up(self, incoming: Incoming) -> str:
        """An external id for a message of a source that has none."""
        sent_ms = incoming.sent_ms
        of_ms, seen = self._runs.get(incoming.conversation, (-1, {}))
        if of_ms != sent_ms:
            seen = {}
            self._runs[incoming.conversation] = sent_ms, seen
        content = incoming.author, incoming.text
        repetition = seen[content] = seen.get(content, -1) + 1
        return made_up_external_id(incoming.author, sent_ms, incoming.text, repetition)

    def _look_up(self, place: _Place) -> _Here:
        row = self._store.row(place.document)
        known = set() if row.is_new else self._known(row, place.messages.ids)
        return _Here(row, known, self._store.readmodel.erased_ids(row))

    def _store_place(
        self, place: _Place, here: _Here, sayings: list[Saying], counts: Counter[str]
    ) -> None:
        row, known, erased = here
        messages, incomings = place.messages, place.incomings
        ids = messages.ids
        fresh: Sequence[int] = range(len(ids))
        if (
            known
            or erased
            or len({*ids}) < len(ids)
            or not all(map(attrgetter("is_message"), incomings))
        ):
            seen, fresh = {*known}, []
            for number, (one, incoming) in enumerate(zip(ids, incomings, strict=True)):
                if one in erased:
                    counts["erased"] += 1
                elif one in seen:
                    counts["present"] += 1
                elif not incoming.is_message:
                    counts["waiting"] += 1
                else:
                    seen.add(one)
                    fresh.append(number)
            sayings = [saying for saying in sayings if saying.id not in erased]
        said, about = said_upstream(self._store.readmodel, row, sayings, known)
        if len(fresh) < len(ids):
            messages = messages.chosen(fresh)
        self._write(row, about, Told(messages, said), place.behind_ms)
        self._say_what_is_gone(row, messages)
        counts["added"] += len(fresh)

    def _say_what_is_gone(self, row: DocumentRow, messages: Messages) -> None:
        """Of what an export says to be gone nothing comes back, whatever another device still has of it."""
        if not any(messages.rests):
            return
        for one, rest in zip(messages.ids, messages.rests, strict=True):
            if rest:
                records = decode_attachments(rest)
                gone = [number for number, record in enumerate(records) if record.is_gone]
                known = self._store.attachments.gone_files(row, [one]).get(one, ()) if gone else ()
                said = [gone_entry(one, number) for number in gone if number not in known]
                self._store.write(row, said)

    def _write(self, row: DocumentRow, about: Iterable[Entry], told: Told, behind_ms: int) -> None:
        """Write what is new; a month that has long been over begins frozen (design 8)."""
        messages, said = told.messages, told.said
        ids = messages.ids
        if not (row.is_new and ids and behind_ms <= self._quiet_before_ms):
            self._store.write(row, [*message_entries(messages), *about], told)
            return
        if not all(map(lt, ids, ids[1:])):
            messages = messages.chosen(sorted(range(len(ids)), key=ids.__getitem__))
        self._store.write_frozen(row, Frozen(messages, sorted(about)), said)

    def _known(self, row: DocumentRow, ids: Sequence[bytes]) -> set[bytes]:
        """Those already here. An id later than every one ever seen in the document cannot be."""
        newest = row.newest_ms
        known = self._store.readmodel.messages.known(
            row.conversation, [one for one in ids if int.from_bytes(one[:6], "big") <= newest]
        )
        return known | self._store.readmodel.unreadable_messages(row)

    def _author(self, author: str) -> bytes:
        if len(self._authors) > 50_000:
            self._authors.clear()
        encoded = self._authors[author] = encode_author(author)
        return encoded


def _refuse_time(ms: object) -> None:
    if type(ms) is not int or ms < 0:
        raise InvalidValue(f"sent is Unix milliseconds from 0 on, not {ms!r}")
    raise FutureTimestamp(
        "a message is dated more than 36 hours ahead of this device's clock; check the clock, "
        "or pass the time at which the source's server received it"
    )


def _parts(incomings: Sequence[Incoming]) -> Iterator[Sequence[Incoming]]:
    """Cut the messages of a conversation where months end: few enough that what is made of them is still at hand.

    As they came, if they did not come in the order of their ids.
    """
    start = 0
    if len(incomings) > _PART and all(one.message_id is None for one in incomings):
        times = [one.sent_ms for one in incomings]
        if {*map(type, times)} == {int} and times[0] >= 0 and all(map(le, times, times[1:])):
            while start + _PART < len(times) and times[start + _PART] <= limits.MS:
                behind_ms = month_bounds(segment_of(times[start + _PART]))[0]
                end = bisect_left(times, behind_ms, start)
                if end == start:  # a month of many messages
                    break
                yield incomings[start:end]
                start = end
    yield incomings[start:]


def _cut(conversation: str, messages: Messages, incomings: Sequence[Incoming]) -> Iterator[_Place]:
    """Cut the messages of a conversation by months; those of one time stay in the order in which they came."""
    times = messages.times
    if not all(map(le, times, times[1:])):
        order = sorted(range(len(times)), key=times.__getitem__)
        messages, incomings = messages.chosen(order), [incomings[place] for place in order]
        times = messages.times
    start = 0
    while start < len(times):
        kind = segment_of(times[start])
        behind_ms = month_bounds(kind)[1]
        end = bisect_left(times, behind_ms, start)
        yield _Place(
            DocumentId(conversation, kind),
            behind_ms,
            messages.between(start, end),
            incomings[start:end],
        )
        start = end


def _sayings(places: Iterable[_Place]) -> list[list[Saying]]:
    """What the messages of each place say about themselves."""
    telling: list[tuple[bytes, Incoming]] = []
    belongs: list[list[Saying]] = []
    sayings: list[list[Saying]] = []
    for place in places:
        sayings.append([])
        for one, incoming in zip(place.messages.ids, place.incomings, strict=True):
            if (
                incoming.edits
                or incoming.reactions
                or incoming.deleted_ms is not None
                or incoming.taken_back
            ):
                telling.append((one, incoming))
                belongs.append(sayings[-1])
    for saying in sayings_of(telling):
        belongs[saying.number].append(saying)
    return sayings


def _rests(incomings: Sequence[Incoming], known: Sequence[int]) -> Sequence[bytes]:
    """The later fields of each record; ``known``: the places of messages whose ids were given."""
    rests = [b""] * len(incomings)
    for place in known:
        incoming = incomings[place]
        if incoming.message_id is not None and incoming.message_id.ms != incoming.sent_ms:
            rests[place] = _rest(incoming, incoming.sent_ms)
    for place, incoming in enumerate(incomings):
        if (
            incoming.kind != "text"
            or incoming.reply_external is not None
            or incoming.reply_to is not None
            or incoming.extra is not None
            or incoming.attachments
        ) and not rests[place]:
            rests[place] = _rest(incoming, None)
    return rests


def _rest(incoming: Incoming, sent_ms: int | None) -> bytes:
    reply = incoming.reply_external if incoming.reply_to is None else incoming.reply_to.raw
    rest = encode_rest(
        sent_ms,
        reply,
        None if incoming.kind == "text" else incoming.kind,
        None if incoming.extra is None else encode_extra(incoming.extra),
        encode_attachments(read_attachments([*incoming.attachments]))
        if incoming.attachments
        else None,
    )
    return rest or b""
