"""Entries of one month, as devices and carriers write them: ids and stamps by small numbers."""

from __future__ import annotations

from msgsync.document.schema import (
    DELETIONS,
    EDITS,
    ERASED,
    FIELDS,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
)
from msgsync.ids import encode_id
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    EditRecord,
    FieldRecord,
    MessageRecord,
    ReactionRecord,
    Stamp,
    encode_deletion,
    encode_edit,
    encode_erased,
    encode_field,
    encode_message,
    encode_reaction,
    erased_key,
)

MONTH = DocumentId("c", "1970-01")
HEAD = DocumentId("c", "head")

At = tuple[int, int]
"""A stamp: Lamport number, writer."""


def id_of(number: int) -> bytes:
    return bytes(4) + number.to_bytes(2, "big") + bytes(6)


def stamp(at: At) -> Stamp:
    return Stamp(at[0], at[1].to_bytes(10, "big"))


def message(number: int, text: str = "text") -> Entry:
    return Entry(MESSAGES, encode_id(id_of(number)), encode_message(MessageRecord("ann", text)))


def _key(number: int, at: At) -> bytes:
    return encode_id(id_of(number)) + b"." + stamp(at).key()


def edit(number: int, at: At, text: str) -> Entry:
    return Entry(EDITS, _key(number, at), encode_edit(EditRecord(text, at[0])))


def react(number: int, at: At, user: str = "ann", emoji: str = "👍", *, on: bool = True) -> Entry:
    return Entry(
        REACTIONS, _key(number, at), encode_reaction(ReactionRecord(user, emoji, on, at[0]))
    )


def cover(kind: DeletionKind, at: At, *numbers: int, names: tuple[At, ...] = ()) -> Entry:
    ids = tuple(sorted(id_of(number) for number in numbers))
    record = DeletionRecord(kind, at[0], None, ids, frozenset(map(stamp, names)))
    return Entry(DELETIONS, stamp(at).key(), encode_deletion(record))


def delete(at: At, *numbers: int, names: tuple[At, ...] = ()) -> Entry:
    return cover(DeletionKind.DELETED, at, *numbers, names=names)


def restore(at: At, *numbers: int, names: tuple[At, ...] = ()) -> Entry:
    return cover(DeletionKind.RESTORED, at, *numbers, names=names)


def erase(*numbers: int) -> Entry:
    value = encode_erased([id_of(number) for number in numbers])
    return Entry(ERASED, erased_key(value), value)


def field(at: At, name: str, value: object) -> Entry:
    return Entry(FIELDS, stamp(at).key(), encode_field(FieldRecord(name, value)))
