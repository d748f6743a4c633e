"""Reading entries: key and value must agree, and belong into the document."""

from __future__ import annotations

import pytest

from msgsync import limits
from msgsync.document.gonefiles import gone_entry
from msgsync.document.reader import EntryReader
from msgsync.document.schema import (
    ALIASES,
    DELETIONS,
    ERASED,
    GONE,
    DocumentId,
    Entry,
    month_bounds,
)
from msgsync.errors import InvalidValue
from msgsync.ids import encode_id
from msgsync.records import (
    AliasRecord,
    DeletionKind,
    DeletionRecord,
    encode_alias,
    encode_deletion,
    encode_erased,
    erased_key,
)
from tests.unit.document import test_head
from tests.unit.document.said import HEAD, id_of, stamp

MARCH = DocumentId("c", "2024-03")
FIRST_MS, BEHIND_MS = month_bounds("2024-03")


def in_ms(ms: int) -> bytes:
    return ms.to_bytes(6, "big") + bytes(6)


INSIDE, OUTSIDE = in_ms(FIRST_MS), in_ms(BEHIND_MS)


def test_a_message_belongs_into_its_month_from_the_first_millisecond_to_the_last():
    reader = EntryReader(MARCH)
    assert not reader.is_here(in_ms(FIRST_MS - 1))
    assert reader.is_here(in_ms(FIRST_MS))
    assert reader.is_here(in_ms(BEHIND_MS - 1))
    assert not reader.is_here(in_ms(BEHIND_MS))


def test_no_message_belongs_into_a_head():
    assert not EntryReader(HEAD).is_here(bytes(12))
    assert not EntryReader(HEAD).is_here(INSIDE)


def test_that_an_attachment_was_erased_names_its_message_and_its_number():
    reader, key = EntryReader(MARCH), encode_id(INSIDE)
    for number in (0, 7, 12, limits.ATTACHMENTS - 1):
        entry = gone_entry(INSIDE, number)
        assert (entry.root, entry.key) == ("gone", b"%b.%02d" % (key, number))
        assert reader.gone(entry) == (INSIDE, number)
    for unreadable in (
        gone_entry(INSIDE, limits.ATTACHMENTS),
        gone_entry(OUTSIDE, 0),
        Entry(GONE, key + b".1", b"\xa0"),
        Entry(GONE, key + b"x01", b"\xa0"),
        Entry(GONE, key + b".01", b"\x80"),
    ):
        with pytest.raises(InvalidValue):
            reader.gone(unreadable)


def test_deletions_and_erasures_name_messages_of_their_month_alone():
    reader = EntryReader(MARCH)
    for ids, is_read in (((INSIDE,), True), ((OUTSIDE,), False), ((INSIDE, OUTSIDE), False)):
        record = DeletionRecord(DeletionKind.DELETED, 1, None, ids, frozenset())
        deletion = Entry(DELETIONS, stamp((1, 1)).key(), encode_deletion(record))
        value = encode_erased(list(ids))
        erasure = Entry(ERASED, erased_key(value), value)
        if is_read:
            assert reader.deletion(deletion).record == record
            assert reader.erased(erasure) == ids
            continue
        for read, entry in ((reader.deletion, deletion), (reader.erased, erasure)):
            with pytest.raises(InvalidValue, match="another month"):
                read(entry)


def test_an_erasure_of_fields_lies_under_its_hash():
    entry = test_head.erase({"title": (1, 1)})
    assert EntryReader(HEAD).erased_fields(entry)
    with pytest.raises(InvalidValue, match="hash"):
        EntryReader(HEAD).erased_fields(entry._replace(key=b"0" * 26))


@pytest.mark.parametrize("key", [b"", b"!" * 47, b"\xff" * 47, b"u" * 20 + b"." + b"0" * 26])
def test_the_key_of_an_alias_is_an_id_and_a_hash(key):
    value = encode_alias(AliasRecord(id_of(2), "17", 1))
    with pytest.raises(InvalidValue, match="not a message id and a hash"):
        EntryReader(MARCH).alias(Entry(ALIASES, key, value))
