"""Ingested messages become entries: ids, records and what the source says about them. Source: design 3 and 4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from msgsync import limits
from msgsync.document.fold import supersedes
from msgsync.document.reader import Deletion, Reaction
from msgsync.document.schema import (
    DAY_MS,
    DELETIONS,
    EDITS,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
    segment_of,
)
from msgsync.errors import FutureTimestamp, InvalidValue
from msgsync.ids import check_conversation_id, encode_id, encode_ids, external_tail, to_base32
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
    encode_extra,
    encode_message_columns,
    encode_reaction,
)
from msgsync.replica.values import Incoming, IngestReport
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store


_Item = tuple[bytes, str | None, Incoming]
"""An incoming message with its id and external id settled."""


class Ingest:
    """Takes incoming messages within one transaction, in order; remembers runs of equal time between batches."""

    def __init__(self, store: Store, now_ms: int) -> None:
        self._store = store
        self._latest_ms = min(now_ms + limits.FUTURE_MS, limits.MS)
        self._days: dict[int, str] = {}
        self._conversations: set[str] = set()
        self._authors: dict[str, bytes] = {}
        self._runs: dict[str, tuple[int, dict[str, int]]] = {}

    def take(self, batch: Iterable[Incoming]) -> IngestReport:
        """Store what is new of a batch.

        Raises:
            InvalidValue, FutureTimestamp: a message cannot be taken; the caller rolls back.
        """
        places: dict[tuple[str, str], list[_Item]] = {}
        for incoming in batch:
            item = self._settle(incoming)
            day = int.from_bytes(item[0][:6], "big") // DAY_MS
            kind = self._days.get(day)
            if kind is None:
                kind = self._days[day] = segment_of(day * DAY_MS)
            place = incoming.conversation, kind
            members = places.get(place)
            if members is None:
                members = places[place] = []
            members.append(item)
        report = IngestReport()
        for (conversation, kind), items in places.items():
            report += self._store_items(DocumentId(conversation, kind), items)
        return report

    def id_of(self, incoming: Incoming) -> bytes:
        """The 12-byte id that `take` would give a message now. Raises as `take` does."""
        return self._settle(incoming)[0]

    def _settle(self, incoming: Incoming) -> _Item:
        conversation = incoming.conversation
        if conversation not in self._conversations:
            self._conversations.add(check_conversation_id(conversation))
        sent_ms = incoming.sent_ms
        if type(sent_ms) is not int or sent_ms < 0:
            raise InvalidValue(f"sent is Unix milliseconds from 0 on, not {sent_ms!r}")
        external_id = incoming.external_id
        if incoming.message_id is not None:
            message_id = incoming.message_id.raw
            self._check_time(incoming.message_id.ms)
        else:
            self._check_time(sent_ms)
            if external_id is None:
                external_id = self._made_up(incoming)
            if type(external_id) is not str or not external_id:
                raise InvalidValue("an external id is a string of at least one character")
            message_id = sent_ms.to_bytes(6, "big") + external_tail(conversation, external_id)
        return message_id, external_id, incoming

    def _check_time(self, ms: int) -> None:
        if ms > self._latest_ms:
            raise FutureTimestamp(
                "a message is dated more than 36 hours ahead of this device's clock; check the clock, "
                "or pass the time at which the source's server received it"
            )

    def _made_up(self, incoming: Incoming) -> str:
        """An external id for a source that has none: repetition counts within a run of equal time."""
        sent_ms, seen = self._runs.get(incoming.conversation, (-1, {}))
        if sent_ms != incoming.sent_ms:
            seen = {}
            self._runs[incoming.conversation] = incoming.sent_ms, seen
        content = f"{incoming.author}\0{incoming.sent_ms}\0{incoming.text}"
        repetition = seen[content] = seen.get(content, -1) + 1
        try:
            hashed = hashlib.sha256(f"{content}\0{repetition}".encode()).digest()[:16]
        except UnicodeEncodeError as error:
            raise InvalidValue("the text or the author holds a lone surrogate: decode it properly first") from error
        return "~" + to_base32(int.from_bytes(hashed, "big"), 26)

    def _store_items(self, document: DocumentId, items: list[_Item]) -> IngestReport:
        store = self._store
        row = store.row(document)
        erased = store.readmodel.erased_ids(row)
        known = self._known(row, items)
        fresh: dict[bytes, MessageColumns] = {}
        values: list[bytes] = []
        said: list[Entry] = []
        present = stay_erased = 0
        for message_id, external_id, incoming in items:
            if message_id in erased:
                stay_erased += 1
                continue
            if message_id in fresh or message_id in known:
                present += 1
            else:
                columns = _columns(external_id, incoming)
                values.append(encode_message_columns(columns, self._author(incoming.author)))
                fresh[message_id] = columns
            if incoming.edits or incoming.reactions or incoming.deleted_ms is not None:
                ask = message_id in known or row.orphans
                said += self._new_said(row, message_id, incoming, ask=ask)
        new = tuple.__new__
        entries = [
            new(Entry, (MESSAGES, key, value))
            for key, value in zip(encode_ids(list(fresh)), values, strict=True)
        ]
        distinct = {entry[:2]: entry for entry in said}
        store.write(row, entries + list(distinct.values()), fresh)
        return IngestReport(len(fresh), present, stay_erased)

    def _known(self, row: DocumentRow, items: Sequence[_Item]) -> set[bytes]:
        """Those already here. An id later than every one ever seen in the document cannot be."""
        newest = row.newest_ms
        return self._store.readmodel.messages.known(
            row.conversation,
            [item[0] for item in items if int.from_bytes(item[0][:6], "big") <= newest],
        )

    def _author(self, author: str) -> bytes:
        encoded = self._authors.get(author)
        if encoded is None:
            if len(self._authors) > 50_000:
                self._authors.clear()
            encoded = self._authors[author] = encode_author(author)
        return encoded

    def _new_said(
        self, row: DocumentRow, message_id: bytes, incoming: Incoming, *, ask: bool
    ) -> list[Entry]:
        """Entries for edits, reactions and deletion: Lamport 0, the same on every device and every repetition."""
        key = encode_id(message_id)
        model = self._store.readmodel
        entries = []
        stamp_ms = -1
        for edit in incoming.edits:
            value = encode_edit(EditRecord(edit.text, edit.at_ms))
            stamp_ms = max(edit.at_ms, stamp_ms + 1)  # keeps the source's order whatever its clock did
            stamp = carrier_stamp(stamp_ms, value)
            if not (ask and model.said.has_edit(row, message_id, stamp)):
                entries.append(Entry(EDITS, key + b"." + stamp.key(), value))
        for reaction in incoming.reactions:
            record = ReactionRecord(reaction.user, reaction.emoji, True, reaction.at_ms)
            value = encode_reaction(record)
            stamp = carrier_stamp(reaction.at_ms, value)
            if not (ask and model.said.outranks(row, message_id, Reaction(stamp, record))):
                entries.append(Entry(REACTIONS, key + b"." + stamp.key(), value))
        if incoming.deleted_ms is not None:
            deletion = DeletionRecord(
                DeletionKind.DELETED, incoming.deleted_ms, None, (message_id,), frozenset()
            )
            value = encode_deletion(deletion)
            stamp = carrier_stamp(incoming.deleted_ms, value)
            if not (ask and _is_old(Deletion(stamp, deletion), model.deletions.covering(row, message_id))):
                entries.append(Entry(DELETIONS, stamp.key(), value))
        return entries


def _columns(external_id: str | None, incoming: Incoming) -> MessageColumns:
    message_id = incoming.message_id
    extra = incoming.extra
    return (
        incoming.author,
        incoming.text,
        incoming.order,
        external_id,
        None if message_id is None or message_id.ms == incoming.sent_ms else incoming.sent_ms,
        incoming.reply_external if incoming.reply_to is None else incoming.reply_to.raw,
        None if incoming.kind == "text" else incoming.kind,
        None if extra is None else encode_extra(extra),
    )


def _is_old(deletion: Deletion, covering: Sequence[Deletion]) -> bool:
    """Whether an entry is there already, or the fold calls it irrelevant."""
    return any(other.stamp == deletion.stamp or supersedes(other, deletion) for other in covering)
