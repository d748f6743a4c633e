"""Entries made again from rows of the read model, as far as rows say all that their entries said. Source: design 6.

Whether they are the same entries, to the byte, only a digest can say. Heads are not rows alone: of a read mark and of
a deleted conversation the rows keep what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cbor2

from msgsync import limits
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
from msgsync.store.pagefile import Value
from msgsync.store.said import ORIGINAL

_Row = tuple[Value, ...]
_Make = Callable[[], Entry]


class RowEntries:
    """Collects rows by their shape, and makes entries of those of one document."""

    def __init__(self) -> None:
        self._authors: dict[int, str] = {}
        self._messages: dict[int, dict[bytes, _Row]] = {}
        self._originals: dict[tuple[int, bytes], str] = {}
        self._about: dict[int, list[tuple[bytes, _Make]]] = {}
        self._erased: dict[int, set[bytes]] = {}

    # Sorting.

    def table_row(self, key: int, values: _Row) -> None:
        """Take a row of a table with rowids, if it is one of the read model."""
        match values:
            case (None, str(name)):
                self._authors[key] = name
            case (
                None,
                int(conversation),
                int(ms),
                int(),
                bytes(tail),
                int(),
                int(),
                str(),
                _,
                _,
                int(),
            ):
                if 0 <= ms <= limits.MS and len(tail) == 6:
                    one = ms.to_bytes(6, "big") + tail
                    self._messages.setdefault(conversation, {})[one] = values

    def index_row(self, values: _Row) -> None:
        """Take a row of a table without rowids, if it is one of the read model."""
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
                  bytes(supersedes), bytes(), int()):  # fmt: skip
                self._say(
                    document, b"",
                    lambda: _deletion(Stamp(lamport, writer), kind, at, device, ids, supersedes),  # type: ignore[arg-type]
                )  # fmt: skip
            case (int(document), bytes(one), int()) if len(one) == 12:
                self._erased.setdefault(document, set()).add(one)
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
        self._about.setdefault(document, []).append((one, make))

    # What they say.

    def is_author(self, key: int, name: str) -> bool:
        """Whether a name is that of the author under this key."""
        return self._authors.get(key) == name

    def erased(self, document: int) -> set[bytes]:
        """The ids erased in a document."""
        return self._erased.get(document, set())

    def ids(self) -> dict[int, set[bytes]]:
        """The ids of messages that have a row, by the key of their conversation."""
        return {conversation: {*rows} for conversation, rows in self._messages.items()}

    def ids_in(self, conversation: int | None, kind: str) -> set[bytes]:
        """Those of one document."""
        if conversation is None:
            return set()
        return {
            one
            for one in self._messages.get(conversation, ())
            if segment_of(int.from_bytes(one[:6], "big")) == kind
        }

    def entries(self, key: int, conversation: int, document: DocumentId) -> list[Entry]:
        """What the rows of a document say; rows that cannot be read are left out."""
        erased = self.erased(key)
        found: list[Entry] = []
        makes = [make for one, make in self._about.get(key, ()) if one not in erased]
        if document.is_segment:
            for one in self.ids_in(conversation, document.kind) - erased:
                makes.append(lambda one=one: self._message(key, conversation, one))  # type: ignore[misc]
        for make in makes:
            try:
                found.append(make())
            except (InvalidValue, KeyError, TypeError, ValueError, OverflowError, cbor2.CBORError):
                continue  # a damaged row
        return [*found, *_erasures(erased)]

    def _message(self, document: int, conversation: int, one: bytes) -> Entry:
        values = self._messages[conversation][one]
        _, _, _, order, _, _, author, text, external, rest, _ = values
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
