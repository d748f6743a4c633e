"""Reading entries of one document: key and value must agree. One place for the fold and the read model; pure.

Source: design 4, docs/specification.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from msgsync import limits
from msgsync.cbor import decode_map
from msgsync.document.schema import (
    ID_CHARACTERS,
    ID_HASH_KEY,
    ID_KEY,
    ID_NUMBER_KEY,
    ID_STAMP_KEY,
    STAMP_KEY,
    DocumentId,
    Entry,
    about_of,
    id_of,
    month_bounds,
    new,
    stamp_of,
)
from msgsync.errors import InvalidValue
from msgsync.ids import ingested_id
from msgsync.records import (
    DeletionRecord,
    EditRecord,
    ErasedFields,
    HeadDeletionRecord,
    MessageRecord,
    ReactionRecord,
    ReadRecord,
    Stamp,
    alias_key,
    decode_alias,
    decode_deletion,
    decode_edit,
    decode_erased,
    decode_erased_fields,
    decode_field,
    decode_head_deletion,
    decode_message,
    decode_reaction,
    decode_read,
    erased_key,
)


class Edit(NamedTuple):
    """One edit of a message."""

    stamp: Stamp
    record: EditRecord


class Reaction(NamedTuple):
    """One reaction entry; the winner of its (message, user, emoji) is shown if it is on."""

    stamp: Stamp
    record: ReactionRecord


@dataclass(frozen=True, slots=True)
class Deletion:
    """One deletion entry."""

    stamp: Stamp
    record: DeletionRecord


class HeadDeletion(NamedTuple):
    """One deletion entry of a head."""

    stamp: Stamp
    record: HeadDeletionRecord


def supersedes(later: Deletion | HeadDeletion, earlier: Deletion | HeadDeletion) -> bool:
    """Whether ``later`` names ``earlier``; one that claims to know what was written after it is not believed."""
    return later.stamp > earlier.stamp and earlier.stamp in later.record.supersedes


class ReadMark(NamedTuple):
    """One mark of how far a conversation was read."""

    stamp: Stamp
    record: ReadRecord


class Alias(NamedTuple):
    """That a message and another one are one."""

    other: bytes
    external_id: str
    sent_ms: int
    own: bool
    """Whether the other one has the carrier's id; else it is this one."""


class EntryReader:
    """Reads entries of one document, checking that value and key agree. Pure; one place for fold and read model."""

    def __init__(self, document: DocumentId) -> None:
        self._document = document
        self._first_ms, self._behind_ms = (
            month_bounds(document.kind) if document.is_segment else (0, 0)
        )

    def message(self, entry: Entry) -> tuple[bytes, MessageRecord]:
        """Read a message's entry. Raises InvalidValue with the reason if it cannot be."""
        message_id = self.message_id(entry)
        return message_id, decode_message(entry.value)

    def message_id(self, entry: Entry) -> bytes:
        """Read the key of a message's entry. Raises InvalidValue if it is none or belongs to another month."""
        if not ID_KEY.match(entry.key):
            raise InvalidValue("the key is not a message id")
        return self._here(id_of(entry.key))

    def edit(self, entry: Entry) -> tuple[bytes, Edit]:
        """Read an edit's entry. Raises InvalidValue with the reason if it cannot be."""
        message_id, stamp = self._about(entry)
        return message_id, new(Edit, (stamp, decode_edit(entry.value)))

    def reaction(self, entry: Entry) -> tuple[bytes, Reaction]:
        """Read a reaction's entry. Raises InvalidValue with the reason if it cannot be."""
        message_id, stamp = self._about(entry)
        return message_id, new(Reaction, (stamp, decode_reaction(entry.value)))

    def alias(self, entry: Entry) -> tuple[bytes, Alias]:
        """Read an alias. Raises InvalidValue with the reason if it cannot be."""
        if not ID_HASH_KEY.match(entry.key):
            raise InvalidValue("the key is not a message id and a hash")
        one = self._here(id_of(entry.key[:ID_CHARACTERS]))
        if entry.key != alias_key(one, entry.value):
            raise InvalidValue("the key does not have the hash of the value")
        other, external_id, sent_ms = decode_alias(entry.value)
        carriers = ingested_id(self._document.conversation, external_id, sent_ms)
        if one == other or carriers not in (one, other):
            raise InvalidValue("an alias joins two ids, one of which is the carrier's")
        return one, Alias(other, external_id, sent_ms, own=carriers == other)

    def deletion(self, entry: Entry) -> Deletion:
        """Read a deletion's entry. Raises InvalidValue with the reason if it cannot be."""
        stamp = _stamp(entry)
        record = decode_deletion(entry.value)
        for one in record.ids:
            self._here(one)
        return Deletion(stamp, record)

    def erased(self, entry: Entry) -> tuple[bytes, ...]:
        """Read an ``erased`` entry. Raises InvalidValue with the reason if it cannot be."""
        if entry.key != erased_key(entry.value):
            raise InvalidValue("the key is not the hash of the value")
        ids = decode_erased(entry.value)
        for one in ids:
            self._here(one)
        return ids

    def gone(self, entry: Entry) -> tuple[bytes, int]:
        """Read that an attachment was erased: of which message, and which one. Raises InvalidValue if it cannot be."""
        if not ID_NUMBER_KEY.match(entry.key):
            raise InvalidValue("the key is not a message id and a number")
        number = int(entry.key[ID_CHARACTERS + 1 :])
        if number >= limits.ATTACHMENTS:
            raise InvalidValue(f"a message has at most {limits.ATTACHMENTS} attachments")
        decode_map(entry.value)
        return self._here(id_of(entry.key[:ID_CHARACTERS])), number

    def field(self, entry: Entry) -> tuple[Stamp, str, Any]:
        """Read a field's entry. Raises InvalidValue with the reason if it cannot be."""
        record = decode_field(entry.value)
        return _stamp(entry), record.name, record.value

    def head_deletion(self, entry: Entry) -> HeadDeletion:
        """Read a deletion entry of a head. Raises InvalidValue with the reason if it cannot be."""
        return HeadDeletion(_stamp(entry), decode_head_deletion(entry.value))

    def read_mark(self, entry: Entry) -> ReadMark:
        """Read a mark. Raises InvalidValue with the reason if it cannot be."""
        return ReadMark(_stamp(entry), decode_read(entry.value))

    def erased_fields(self, entry: Entry) -> ErasedFields:
        """Read an ``erased`` entry of a head. Raises InvalidValue with the reason if it cannot be."""
        if entry.key != erased_key(entry.value):
            raise InvalidValue("the key is not the hash of the value")
        return decode_erased_fields(entry.value)

    def _about(self, entry: Entry) -> tuple[bytes, Stamp]:
        if not ID_STAMP_KEY.match(entry.key):
            raise InvalidValue("the key is not a message id and a stamp")
        one, stamp = about_of(entry.key)
        if not self._first_ms <= int.from_bytes(one[:6], "big") < self._behind_ms:
            raise InvalidValue("the message belongs to another month")
        return one, stamp

    def _here(self, message_id: bytes) -> bytes:
        if not self.is_here(message_id):
            raise InvalidValue("the message belongs to another month")
        return message_id

    def is_here(self, message_id: bytes) -> bool:
        """Whether a message of this id belongs into this document, by its month."""
        return self._first_ms <= int.from_bytes(message_id[:6], "big") < self._behind_ms


def _stamp(entry: Entry) -> Stamp:
    if not STAMP_KEY.match(entry.key):
        raise InvalidValue("the key is not a stamp")
    return stamp_of(entry.key)
