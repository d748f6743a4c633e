"""Entries made again from rows of the read model, as far as rows say all that their entries said. Source: design 6.

Whether they are the same entries, to the byte, only a digest can say. Heads are not rows alone: of a read mark and of
a deleted conversation the rows keep what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial

import cbor2

from msgsync import limits
from msgsync.document.gonefiles import gone_entry
from msgsync.document.schema import (
    ALIASES,
    DELETIONS,
    EDITS,
    ERASED,
    FIELDS,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
    segment_of,
)
from msgsync.errors import InvalidValue
from msgsync.ids import encode_id, sort_ids
from msgsync.records import (
    AliasRecord,
    DeletionKind,
    DeletionRecord,
    EditRecord,
    FieldRecord,
    ReactionRecord,
    Stamp,
    encode_alias,
    encode_deletion,
    encode_edit,
    encode_erased,
    encode_field,
    encode_message_columns,
    encode_reaction,
    erased_key,
)
from msgsync.store.pagefile import PageRow, Value
from msgsync.store.said import ORIGINAL

_Row = tuple[Value, ...]
_Make = Callable[[], Entry]


class RowEntries:
    """Collects the rows of some documents by their shape, and makes entries of them."""

    def __init__(
        self,
        rows: Iterable[PageRow],
        documents: AbstractSet[int],
        places: AbstractSet[tuple[int, str]],
        authors: Mapping[int, str],
    ) -> None:
        """Args.

        rows: all rows of the file.
        documents: keys of the documents that are asked for.
        places: their conversations (keys) and months.
        authors: names by key.
        """
        self._authors = authors
        self._documents = documents
        self._places = places
        self._messages: dict[tuple[int, str], dict[bytes, _Row]] = {}
        self._originals: dict[tuple[int, bytes], str] = {}
        self._about: dict[int, list[tuple[bytes, _Make]]] = {}
        self._erased: dict[int, set[bytes]] = {}
        for row in rows:
            (self._table_row if row.key is not None else self._index_row)(row.values)

    # Sorting.

    def _table_row(self, values: _Row) -> None:
        match values:
            case (None, int(conversation), int(ms), int(), bytes(tail), int(), int(), str(), _, _,
                  int(), *_):  # fmt: skip
                if 0 <= ms <= limits.MS and len(tail) == 6:
                    place = conversation, segment_of(ms)
                    if place in self._places:
                        one = ms.to_bytes(6, "big") + tail
                        self._messages.setdefault(place, {})[one] = values

    def _index_row(self, values: _Row) -> None:
        match values:
            case (int(document), bytes(one), int(lamport), bytes(writer), str(text), at, device):
                if lamport == ORIGINAL:
                    self._originals[document, one] = text
                else:
                    record = EditRecord(text, at, device)  # type: ignore[arg-type]
                    self._say(
                        document,
                        one,
                        lambda: _about(EDITS, one, lamport, writer, encode_edit(record)),
                    )
            case (int(document), bytes(one), int(user), str(emoji), int(lamport), bytes(writer), int(on),
                  at, device, bytes()):  # fmt: skip
                self._say(
                    document, one,
                    lambda: _about(
                        REACTIONS, one, lamport, writer,
                        encode_reaction(ReactionRecord(self._authors[user], emoji, bool(on), at, device)),  # type: ignore[arg-type]
                    ),
                )  # fmt: skip
            case (int(document), int(lamport), bytes(writer), int(kind), int(at), device, bytes(ids),
                  bytes(supersedes), bytes(), int(), int()):  # fmt: skip
                self._say(
                    document, b"",
                    lambda: _deletion(Stamp(lamport, writer), kind, at, device, ids, supersedes),  # type: ignore[arg-type]
                )  # fmt: skip
            case (int(document), bytes(one), int()) if len(one) == 12:
                self._erased.setdefault(document, set()).add(one)
            case (int(document), bytes(attachment), int()) if len(attachment) == 13:
                one, number = attachment[:-1], attachment[-1]
                self._say(document, one, partial(gone_entry, one, number))
            case (
                int(),
                bytes(one),
                bytes(key),
                bytes(other),
                str(external),
                int(sent),
                int(),
                int(document),
            ):
                alias = AliasRecord(other, external, sent)
                self._say(
                    document, one,
                    lambda: Entry(ALIASES, encode_id(one) + b"." + key, encode_alias(alias)),
                )  # fmt: skip
            case (int(document), str(name), int(lamport), bytes(writer), bytes(value)):
                self._say(document, b"", lambda: _field(Stamp(lamport, writer), name, value))

    def _say(self, document: int, one: bytes, make: _Make) -> None:
        if document in self._documents:
            self._about.setdefault(document, []).append((one, make))

    # What they say.

    def erased(self, document: int) -> set[bytes]:
        """The ids erased in a document."""
        return self._erased.get(document, set())

    def ids_in(self, conversation: int, kind: str) -> set[bytes]:
        """The ids of messages of a month that have a row."""
        return {*self._messages.get((conversation, kind), ())}

    def entries(self, key: int, conversation: int, document: DocumentId) -> list[Entry]:
        """What the rows of a document say; rows that cannot be read are left out."""
        erased = self.erased(key)
        found: list[Entry] = []
        makes = [make for one, make in self._about.get(key, ()) if one not in erased]
        if document.is_segment:
            for one, values in self._messages.get((conversation, document.kind), {}).items():
                if one not in erased:
                    makes.append(partial(self._message, key, one, values))
        for make in makes:
            try:
                found.append(make())
            except (InvalidValue, KeyError, TypeError, ValueError, OverflowError, cbor2.CBORError):
                continue  # a damaged row
        return [*found, *_erasures(erased)]

    def _message(self, document: int, one: bytes, values: _Row) -> Entry:
        _, _, _, order, _, _, author, text, external, rest, *_ = values
        shown = self._originals.get((document, one), text)
        columns = (
            self._authors[author].encode(),  # type: ignore[index]
            shown.encode(),  # type: ignore[union-attr]
            order,
            None if external is None else external.encode(),  # type: ignore[union-attr]
            rest,
        )
        return Entry(MESSAGES, encode_id(one), encode_message_columns(columns))  # type: ignore[arg-type]


def _about(root: str, one: bytes, lamport: int, writer: bytes, value: bytes) -> Entry:
    return Entry(root, encode_id(one) + b"." + Stamp(lamport, writer).key(), value)


def _deletion(
    stamp: Stamp, kind: int, at: int, device: bytes | None, ids: bytes, supersedes: bytes
) -> Entry:
    record = DeletionRecord(
        DeletionKind(kind),
        at,
        device,
        tuple(ids[start : start + 12] for start in range(0, len(ids), 12)),
        frozenset(
            Stamp.unpack(supersedes[start : start + 16]) for start in range(0, len(supersedes), 16)
        ),
    )
    return Entry(DELETIONS, stamp.key(), encode_deletion(record))


def _field(stamp: Stamp, name: str, value: bytes) -> Entry:
    return Entry(FIELDS, stamp.key(), encode_field(FieldRecord(name, cbor2.loads(value))))


def _erasures(ids: set[bytes]) -> Iterator[Entry]:
    ordered = sort_ids(ids)
    for start in range(0, len(ordered), limits.IDS_PER_ENTRY):
        value = encode_erased(ordered[start : start + limits.IDS_PER_ENTRY])
        yield Entry(ERASED, erased_key(value), value)
