"""Ingested messages become entries: ids, records and what the source says about them. Source: design 3 and 4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from msgsync import limits
from msgsync.document.fold import supersedes
from msgsync.document.frozen import Frozen
from msgsync.document.reader import Deletion, Edit, Reaction
from msgsync.document.schema import (
    DAY_MS,
    DELETIONS,
    EDITS,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
    month_bounds,
    segment_of,
)
from msgsync.errors import FutureTimestamp, InvalidValue
from msgsync.ids import (
    check_conversation_id,
    encode_id,
    encode_ids,
    made_up_external_id,
)
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    EditRecord,
    MessageColumns,
    ReactionRecord,
    carrier_stamp,
    encode_author,
    encode_deletion,
    encode_edit,
    encode_external_id,
    encode_extra,
    encode_message_columns,
    encode_message_text,
    encode_reaction,
    encode_rest,
)
from msgsync.replica.values import Incoming, IngestReport
from msgsync.store.readmodel import Said, Told
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

_FIELDS: Final = attrgetter(
    "conversation",
    "author",
    "text",
    "sent_ms",
    "external_id",
    "message_id",
    "order",
    "kind",
    "reply_external",
    "reply_to",
    "extra",
)


class _Place:
    """The incoming messages of one document, in order, repetitions included."""

    __slots__ = ("document", "ids", "incoming", "records")

    def __init__(self, document: DocumentId) -> None:
        self.document = document
        self.ids: list[bytes] = []
        self.records: list[MessageColumns] = []
        self.incoming: list[Incoming] = []


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
        return place.ids[0]

    def _sort(self, batch: Iterable[Incoming]) -> list[_Place]:  # noqa: C901, PLR0915  one pass, no calls
        """Settle ids and records, and group them by document. The hot loop of every import."""
        places: dict[DocumentId, _Place] = {}
        by_day: dict[tuple[str, int], _Place] = {}
        latest_ms = self._latest_ms
        conversations, authors = self._conversations, self._authors
        sha256 = hashlib.sha256
        for incoming in batch:
            if type(incoming) is not Incoming:
                raise InvalidValue(f"ingest takes Incoming values, not {type(incoming).__name__}")
            (
                conversation, author, text, sent_ms, external_id, message_id,
                order, kind, reply_external, reply_to, extra,
            ) = _FIELDS(incoming)  # fmt: skip
            of_conversation = conversations.get(conversation)
            if of_conversation is None:
                of_conversation = check_conversation_id(conversation).encode() + b"\0"
                conversations[conversation] = of_conversation
            if type(sent_ms) is not int or not 0 <= sent_ms <= latest_ms:
                self._refuse_time(sent_ms)
            if message_id is None and external_id is None:
                external_id = self._made_up(incoming)
            external: bytes | None = None
            try:
                raw = text.encode()
                if external_id is not None:
                    external = external_id.encode()
            except (AttributeError, UnicodeEncodeError):
                self._refuse_text(text, external_id)
                raise
            if len(raw) > limits.TEXT_BYTES or not (
                external is None or 0 < len(external) <= limits.EXTERNAL_ID_BYTES
            ):
                self._refuse_text(text, external_id)
            if message_id is None:
                ms, sent = sent_ms, None
                one = (
                    ms.to_bytes(6, "big") + sha256(of_conversation + (external or b"")).digest()[:6]
                )
            else:
                one = message_id.raw
                ms = message_id.ms
                sent = None if ms == sent_ms else sent_ms
                if ms > latest_ms:
                    self._refuse_time(ms)
            place = by_day.get((conversation, ms // DAY_MS))
            if place is None:
                document = DocumentId(conversation, segment_of(ms))
                place = places.get(document)
                if place is None:
                    place = places[document] = _Place(document)
                by_day[conversation, ms // DAY_MS] = place
            reply = reply_external if reply_to is None else reply_to.raw
            rest = None
            if sent is not None or reply is not None or kind != "text" or extra is not None:
                rest = encode_rest(
                    sent,
                    reply,
                    None if kind == "text" else kind,
                    None if extra is None else encode_extra(extra),
                )
            by = authors.get(author) or self._author(author)
            place.ids.append(one)
            place.records.append((by, raw, order, external, rest))
            place.incoming.append(incoming)
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
        return _Here(row, self._known(row, place.ids), self._store.readmodel.erased_ids(row))

    def _store_place(self, place: _Place, here: _Here) -> IngestReport:
        row, known, erased = here
        fresh: dict[bytes, MessageColumns] = {}
        said = Said()
        about: dict[tuple[str, bytes], Entry] = {}
        present = stay_erased = waiting = 0
        for one, columns, incoming in zip(place.ids, place.records, place.incoming, strict=True):
            if one in erased:
                stay_erased += 1
                continue
            if one in fresh or one in known:
                present += 1
            elif not incoming.is_message:
                waiting += 1
            else:
                fresh[one] = columns
            if (
                incoming.edits
                or incoming.reactions
                or incoming.deleted_ms is not None
                or incoming.taken_back
            ):
                ask = one in known or row.orphans
                self._say(row, one, encode_id(one), incoming, about, said, ask=ask)
        self._write(row, about.values(), Told(fresh, said))
        return IngestReport(len(fresh), present, stay_erased, waiting)

    def _write(self, row: DocumentRow, about: Iterable[Entry], told: Told) -> None:
        """Write what is new; a month that has long been over begins frozen (design 8)."""
        fresh = told.messages
        if row.is_new and fresh and month_bounds(row.id.kind)[1] <= self._quiet_before_ms:
            ids = sorted(fresh)
            self._store.write_frozen(
                row, Frozen(ids, [fresh[one] for one in ids], sorted(about)), told
            )
            return
        values = map(encode_message_columns, fresh.values())
        messages = [
            Entry(MESSAGES, *pair) for pair in zip(encode_ids(list(fresh)), values, strict=True)
        ]
        self._store.write(row, [*messages, *about], told)

    def _known(self, row: DocumentRow, ids: Sequence[bytes]) -> set[bytes]:
        """Those already here. An id later than every one ever seen in the document cannot be."""
        if row.is_new:
            return set()
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

    def _say(
        self,
        row: DocumentRow,
        one: bytes,
        key: bytes,
        incoming: Incoming,
        about: dict[tuple[str, bytes], Entry],
        said: Said,
        *,
        ask: bool,
    ) -> None:
        """Entries for edits, reactions and deletion: Lamport 0, the same on every device and every repetition."""
        model = self._store.readmodel
        stamp_ms = -1
        for edit in incoming.edits:
            edit_record = EditRecord(edit.text, edit.at_ms)
            value = encode_edit(edit_record)
            stamp_ms = max(
                edit.at_ms, stamp_ms + 1
            )  # keeps the source's order whatever its clock did
            stamp = carrier_stamp(stamp_ms, value)
            entry = Entry(EDITS, key + b"." + stamp.key(), value)
            if entry[:2] not in about and not (ask and model.said.has_edit(row, one, edit_record)):
                about[entry[:2]] = entry
                said.add_edit(one, Edit(stamp, edit_record), entry)
        reactions = [(reaction, True) for reaction in incoming.reactions]
        reactions += [(reaction, False) for reaction in incoming.taken_back]
        for reaction, on in reactions:
            record = ReactionRecord(reaction.user, reaction.emoji, on, reaction.at_ms)
            value = encode_reaction(record)
            stamp = carrier_stamp(reaction.at_ms, value)
            entry = Entry(REACTIONS, key + b"." + stamp.key(), value)
            standing = Reaction(stamp, record)
            if entry[:2] not in about and not (ask and model.said.outranks(row, one, standing)):
                about[entry[:2]] = entry
                said.add_reaction(one, standing, entry)
        if incoming.deleted_ms is not None:
            deletion = DeletionRecord(
                DeletionKind.DELETED, incoming.deleted_ms, None, (one,), frozenset()
            )
            value = encode_deletion(deletion)
            stamp = carrier_stamp(incoming.deleted_ms, value)
            entry = Entry(DELETIONS, stamp.key(), value)
            covering = model.deletions.covering(row, one) if ask else ()
            if entry[:2] not in about and not _is_old(Deletion(stamp, deletion), covering):
                about[entry[:2]] = entry
                said.add_deletion(Deletion(stamp, deletion), entry)


def _is_old(deletion: Deletion, covering: Iterable[Deletion]) -> bool:
    """Whether the same deletion is there already, or the fold calls it irrelevant."""
    return any(
        supersedes(other, deletion)
        or (other.record.kind, other.record.at_ms) == (deletion.record.kind, deletion.record.at_ms)
        for other in covering
    )
