"""Attachments that were erased while their messages stay: nothing of what was in them is left in a document. Pure.

An entry of the root ``gone`` names one attachment of a message. It is absorbing, like ``erased``: whatever the record
of the message says, and whenever it comes, of this attachment it says no more than what it was called and how large it
was. So the value of a message's entry is, for whoever has such an entry, the value without the rest. Source: decision
41.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgsync.document.columns import Messages
from msgsync.document.reader import EntryReader
from msgsync.document.schema import GONE, MESSAGES, DocumentId, Entry
from msgsync.errors import InvalidValue
from msgsync.ids import encode_id
from msgsync.records import decode_message_columns, without_files

GoneFiles = Mapping[bytes, Collection[int]]
"""By the id of a message (12 bytes): which of its attachments were erased, from 0 on."""
NOTHING_GONE: Final[GoneFiles] = {}
_SAID: Final = b"\xa0"
"""The value: an empty map. The key says it all."""


def gone_entry(message_id: bytes, number: int) -> Entry:
    """That an attachment was erased."""
    return Entry(GONE, b"%b.%02d" % (encode_id(message_id), number), _SAID)


def gone_files(document: DocumentId, entries: Iterable[Entry]) -> dict[bytes, set[int]]:
    """What readable ``gone`` entries among these name."""
    found: dict[bytes, set[int]] = {}
    members = [entry for entry in entries if entry[0] == GONE]
    if not members or not document.is_segment:
        return found
    reader = EntryReader(document)
    for entry in members:
        try:
            message_id, number = reader.gone(entry)
        except InvalidValue:
            continue  # unreadable: kept as it lies, erases nothing, reported by the fold
        found.setdefault(message_id, set()).add(number)
    return found


def both(one: GoneFiles, other: GoneFiles) -> GoneFiles:
    """What either names."""
    if not other or not one:
        return one or other
    return {each: {*one.get(each, ()), *other.get(each, ())} for each in one.keys() | other.keys()}


def without_gone(entries: Iterable[Entry], gone: GoneFiles) -> list[Entry]:
    """Entries without what was in these attachments."""
    if not gone:
        return list(entries)
    texts = by_text(gone)
    return [entry_without(entry, texts) for entry in entries]


def by_text(gone: GoneFiles) -> dict[bytes, Collection[int]]:
    """The same by the text of the id, as it stands in keys."""
    return {encode_id(one): numbers for one, numbers in gone.items()}


def entry_without(entry: Entry, texts: Mapping[bytes, Collection[int]]) -> Entry:
    """An entry without what was in these attachments."""
    if entry.root != MESSAGES or entry.key not in texts:
        return entry
    try:
        decode_message_columns(entry.value)
    except InvalidValue:
        return entry  # unreadable: kept as it lies
    return entry._replace(value=without_files(entry.value, texts[entry.key]))


def messages_without(messages: Messages, gone: GoneFiles) -> Messages:
    """Messages in columns without what was in these attachments."""
    if gone.keys().isdisjoint(messages.ids):
        return messages
    rests = [
        without_files(rest, gone[one]) if rest and one in gone else rest
        for one, rest in zip(messages.ids, messages.rests, strict=True)
    ]
    return messages._replace(rests=rests)
