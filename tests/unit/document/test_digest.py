"""Digests: sums that say the same state, whatever form it has."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from msgsync.document.columns import Messages
from msgsync.document.digest import (
    MODULUS,
    bin_of,
    document_share,
    entries_digest,
    entry_digest,
    erased_digest,
    messages_digest,
    values_digest,
)
from msgsync.document.schema import DocumentId, Entry
from msgsync.ids import encode_id
from msgsync.records import MessageColumns, encode_message_columns
from tests.unit.document import crdt

entries = st.lists(
    st.builds(lambda slot, value: Entry(slot[0], slot[1], value), crdt.slots, crdt.values),
    max_size=8,
)
ids = st.lists(st.binary(min_size=12, max_size=12), max_size=4)


@given(entries, ids, st.randoms(use_true_random=False))
def test_order_does_not_matter(some, erased, random):
    shuffled, others = [*some], [*erased]
    random.shuffle(shuffled)
    random.shuffle(others)
    assert entries_digest(some, erased) == entries_digest(shuffled, others)


@given(entries, entries)
def test_a_digest_is_kept_up_to_date_by_adding_and_taking_away(some, more):
    both = entries_digest([*some, *more])
    assert both == (entries_digest(some) + sum(map(entry_digest, more))) % MODULUS
    assert entries_digest(some) == (both - sum(map(entry_digest, more))) % MODULUS


def test_root_key_and_value_are_told_apart():
    alike = [
        Entry("messages", b"ab", b"c"),
        Entry("messages", b"a", b"bc"),
        Entry("edits", b"ab", b"c"),
        Entry("polls", b"ab", b"c"),
        Entry("messages", b"ab", b"cd"),
        Entry("messages", b"ab", b""),
    ]
    assert len({entry_digest(entry) for entry in alike}) == len(alike)


def test_a_digest_is_the_hash_that_the_specification_names():
    """Source: design 4. Another implementation can count it from this line."""
    raw = hashlib.sha256(b"messages\0key\0value").digest()[:16]
    assert entry_digest(Entry("messages", b"key", b"value")) == int.from_bytes(raw, "big")
    raw = hashlib.sha256(b"erased\0" + bytes(12)).digest()[:16]
    assert erased_digest(bytes(12)) == int.from_bytes(raw, "big")


def test_every_root_counts_with_its_name():
    for root in ("edits", "reactions", "deletions", "polls"):
        raw = hashlib.sha256(root.encode() + b"\0key\0value").digest()[:16]
        assert entry_digest(Entry(root, b"key", b"value")) == int.from_bytes(raw, "big")
    key = encode_id(bytes(12))
    raw = hashlib.sha256(b"edits\0" + key + b"\0value").digest()[:16]
    assert entry_digest(Entry("edits", key, b"value")) == int.from_bytes(raw, "big")


def test_a_digest_has_128_bits():
    entries = [Entry("polls", b"%d" % number, b"") for number in range(40)]
    total = sum(map(entry_digest, entries)) + sum(map(erased_digest, [bytes(12)] * 9))
    assert total >= 2**130
    assert entries_digest(entries, [bytes(12)] * 9) == total % 2**128


def test_the_share_of_a_document_and_its_bin_are_the_hashes_that_the_specification_names():
    named = b"family\0head\0" + (7).to_bytes(16, "big")
    raw = hashlib.sha256(named).digest()[:16]
    assert document_share(DocumentId("family", "head"), 7) == int.from_bytes(raw, "big")
    assert bin_of("family") == hashlib.sha256(b"bin\0family").digest()[0]


def test_the_same_entries_in_another_document_are_another_state():
    shares = {
        document_share(DocumentId(conversation, kind), 7)
        for conversation, kind in (("a", "head"), ("b", "head"), ("a", "2024-01"), ("", "head"))
    }
    assert len(shares) == 4
    assert document_share(DocumentId("a", "head"), 7) != document_share(DocumentId("a", "head"), 8)


def test_an_empty_document_is_no_state():
    assert document_share(DocumentId("a", "head"), 0) == 0
    assert entries_digest([]) == 0


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_documents_of_a_conversation_share_a_bin(conversation):
    assert 0 <= bin_of(conversation) <= 255
    one = bytes(range(1, 13))
    raw = hashlib.sha256(b"\0" + one + b"value").digest()[:16]
    assert entry_digest(Entry("messages", encode_id(one), b"value")) == int.from_bytes(raw, "big")


@given(st.dictionaries(st.binary(min_size=12, max_size=12), st.binary(max_size=40)))
def test_messages_are_counted_together_as_one_by_one(values):
    entries = [Entry("messages", encode_id(one), value) for one, value in values.items()]
    assert values_digest(values.keys(), values.values()) == sum(map(entry_digest, entries))


def test_columns_are_counted_as_their_entries():
    columns: list[MessageColumns] = [
        (b"ann", b"hello", 0, b"e-1", None),
        (b"ann", b"x" * 300, 0, b"e" * 255, None),
        ("jörg".encode(), b"", 7, b"e-2", None),
        (b"a" * 1024, b"hello", 0, None, b"\xa1\x08\x66action"),
    ]
    messages = Messages.of((number.to_bytes(12, "big"), one) for number, one in enumerate(columns))
    entries = [
        Entry("messages", encode_id(number.to_bytes(12, "big")), encode_message_columns(one))
        for number, one in enumerate(columns)
    ]
    assert messages.values() == [entry.value for entry in entries]
    assert messages_digest(messages) == sum(map(entry_digest, entries))
