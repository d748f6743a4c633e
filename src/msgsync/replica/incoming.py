"""Ingested messages become entries: ids, records and what the source says about them. Source: design 3 and 4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from operator import lt
from typing import NamedTuple

from msgsync import limits
from msgsync.document.columns import Messages
from msgsync.document.frozen import Frozen, message_entries
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
    encode_author,
    encode_external_id,
    encode_extra,
    encode_message_text,
    encode_rest,
)
from msgsync.replica.upstream import said_upstream
from msgsync.replica.values import Incoming, IngestReport
from msgsync.store.readmodel import Told
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

_Row = tuple[bytes, int, bytes, bytes, int, bytes, bytes, Incoming]
"""A place in each column of `document.columns.Messages`, and where it comes from."""


class _Place:
    """The incoming messages of one document, in order, repetitions included."""

    __slots__ = ("bounds_ms", "document", "rows")

    def __init__(self, document: DocumentId) -> None:
        self.document = document
        self.bounds_ms = month_bounds(document.kind)
        self.rows: list[_Row] = []


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

    def take(self, batch: Iterable[Incoming]) -> IngestReport:
        """Store what is new of a batch.

        Raises:
            InvalidValue, FutureTimestamp: a message cannot be taken; the caller rolls back.
        """
        report = IngestReport()
        places = self._sort(batch)
        # All questions first: what is written afterwards goes on beside the preparation of what comes next.
        settled = [(place, self._look_up(place)) for place in places]
        for place, here in settled:
            report += self._store_place(place, here)
            self._store.readmodel.messages.flush_long()
        return report

    def id_of(self, incoming: Incoming) -> bytes:
        """The 12-byte id that `take` would give a message now. Raises as `take` does."""
        [place] = self._sort([incoming])
        return place.rows[0][0]

    def _sort(self, batch: Iterable[Incoming]) -> list[_Place]:  # noqa: C901, PLR0915  one pass, no calls
        """Settle ids and records, and group them by document. The hot loop of every import."""
        places: dict[DocumentId, _Place] = {}
        latest_ms = self._latest_ms
        conversations, authors = self._conversations, self._authors
        sha256 = hashlib.sha256
        # Where the last message belonged, as the next one mostly does.
        of: str | None = None
        first_ms = behind_ms = 0
        of_conversation = b""
        rows: list[_Row] = []
        add = rows.append
        for incoming in batch:
            if type(incoming) is not Incoming:
                raise InvalidValue(f"ingest takes Incoming values, not {type(incoming).__name__}")
            conversation = incoming.conversation
            if conversation != of:
                found = conversations.get(conversation)
                if found is None:
                    found = check_conversation_id(conversation).encode() + b"\0"
                    conversations[conversation] = found
                of, of_conversation, behind_ms = conversation, found, 0
            sent_ms = incoming.sent_ms
            if type(sent_ms) is not int or not 0 <= sent_ms <= latest_ms:
                self._refuse_time(sent_ms)
            text, external_id = incoming.text, incoming.external_id
            message_id = incoming.message_id
            if message_id is None and external_id is None:
                external_id = self._made_up(incoming)
            try:
                raw = text.encode()
                external = b"" if external_id is None else external_id.encode()
            except (AttributeError, UnicodeEncodeError):
                self._refuse_text(text, external_id)
                raise
            if (
                len(raw) > limits.TEXT_BYTES
                or len(external) > limits.EXTERNAL_ID_BYTES
                or not (external or external_id is None)
            ):
                self._refuse_text(text, external_id)
            order = incoming.order
            if type(order) is not int or not 0 <= order <= limits.MS:
                raise InvalidValue(
                    f"the order is a whole number from 0 to {limits.MS}, not {order!r}"
                )
            if message_id is None:
                ms, sent = sent_ms, None
                one = ms.to_bytes(6, "big") + sha256(of_conversation + external).digest()[:6]
            else:
                one = message_id.raw
                ms = message_id.ms
                sent = None if ms == sent_ms else sent_ms
                if ms > latest_ms:
                    self._refuse_time(ms)
            if not first_ms <= ms < behind_ms:
                document = DocumentId(conversation, segment_of(ms))
                place = places.get(document)
                if place is None:
                    place = places[document] = _Place(document)
                first_ms, behind_ms = place.bounds_ms
                add = place.rows.append
            rest = b""
            if (
                sent is not None
                or incoming.kind != "text"
                or incoming.reply_external is not None
                or incoming.reply_to is not None
                or incoming.extra is not None
            ):
                rest = _rest(incoming, sent)
            author = incoming.author
            by = authors.get(author) or self._author(author)
            add((one, ms, by, raw, order, external, rest, incoming))
        return list(places.values())

    def _refuse_text(self, text: str, external_id: str | None) -> None:
        """Say what is wrong with one of the two."""
        encode_message_text(text)
        if external_id is not None:
            encode_external_id(external_id)

    def _refuse_time(self, ms: object) -> None:
        if type(ms) is not int or ms < 0:
            raise InvalidValue(f"sent is Unix milliseconds from 0 on, not {ms!r}")
        raise FutureTimestamp(
            "a message is dated more than 36 hours ahead of this device's clock; check the clock, "
            "or pass the time at which the source's server received it"
        )

    def _made_up(self, incoming: Incoming) -> str:
        """An external id for a source that has none: repetition counts within a run of equal time."""
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
        known = set() if row.is_new else self._known(row, [one for one, *_ in place.rows])
        return _Here(row, known, self._store.readmodel.erased_ids(row))

    def _store_place(self, place: _Place, here: _Here) -> IngestReport:
        row, known, erased = here
        *columns, incomings = zip(*place.rows, strict=True)
        messages = Messages(*columns)
        present = stay_erased = waiting = 0
        seen = set(known)
        fresh: list[int] = []
        telling: list[tuple[bytes, Incoming]] = []
        for number, (one, incoming) in enumerate(zip(messages.ids, incomings, strict=True)):
            if one in erased:
                stay_erased += 1
                continue
            if one in seen:
                present += 1
            elif not incoming.is_message:
                waiting += 1
            else:
                seen.add(one)
                fresh.append(number)
            if (
                incoming.edits
                or incoming.reactions
                or incoming.deleted_ms is not None
                or incoming.taken_back
            ):
                telling.append((one, incoming))
        said, about = said_upstream(self._store.readmodel, row, telling, known)
        if len(fresh) < len(incomings):
            messages = messages.chosen(fresh)
        self._write(row, about, Told(messages, said), place.bounds_ms[1])
        return IngestReport(len(fresh), present, stay_erased, waiting)

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


def _rest(incoming: Incoming, sent_ms: int | None) -> bytes:
    reply = incoming.reply_external if incoming.reply_to is None else incoming.reply_to.raw
    rest = encode_rest(
        sent_ms,
        reply,
        None if incoming.kind == "text" else incoming.kind,
        None if incoming.extra is None else encode_extra(incoming.extra),
    )
    return rest or b""
