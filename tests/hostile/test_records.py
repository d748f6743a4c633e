"""Values of entries from a peer: bombs and mutants of CBOR. Read, or unreadable in words; never more. Source: A2."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.cbor import decode_map
from msgsync.document.schema import DocumentId, Entry, segment_of
from msgsync.errors import InvalidValue
from msgsync.ids import encode_id
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    EditRecord,
    FieldRecord,
    MessageRecord,
    ReactionRecord,
    Stamp,
    decode_deletion,
    decode_edit,
    decode_erased,
    decode_field,
    decode_message,
    decode_reaction,
    encode_deletion,
    encode_edit,
    encode_erased,
    encode_field,
    encode_message,
    encode_reaction,
    erased_key,
)
from tests.hostile.mutation import changes, mutated
from tests.hostile.peer import Liar, update_of
from tests.unit.machine import START_MS

MONTH = DocumentId("family", segment_of(START_MS))
ONE = START_MS.to_bytes(6, "big") + bytes(6)
STAMP = Stamp(3, bytes(9) + b"\x07")
HONEST: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "message": (
        decode_message,
        encode_message(MessageRecord("ann", "hello 👋", 3, "x-17", START_MS, ONE, "image", {"a": [1, {"b": None}]})),
    ),
    "edit": (decode_edit, encode_edit(EditRecord("edited", START_MS, b"12345678"))),
    "reaction": (decode_reaction, encode_reaction(ReactionRecord("ann", "👍", True, START_MS, b"12345678"))),
    "deletion": (
        decode_deletion,
        encode_deletion(DeletionRecord(DeletionKind.RESTORED, 1, b"12345678", (ONE,), frozenset({STAMP}))),
    ),
    "erased": (decode_erased, encode_erased([ONE, bytes(12)])),
    "field": (decode_field, encode_field(FieldRecord("title", {"a": [True, None, 1.5, b"x", "y"]}))),
}  # fmt: skip


def nested(opening: bytes, levels: int) -> bytes:
    return opening * levels + b"\xf6"


def collisions(count: int) -> bytes:
    """A map whose keys have one hash in Python: multiples of the modulus of numeric hashes."""
    modulus = 2**61 - 1
    keys = [cbor2.dumps(modulus * n) for n in range(1, 8)] + [
        cbor2.dumps([modulus * n]) for n in range(count)
    ]
    return b"\xba" + len(keys).to_bytes(4, "big") + b"".join(key + b"\x00" for key in keys)


BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "an array of 2^64": b"\x9b" + b"\xff" * 8,
    "a map of 2^63": b"\xbb\x7f" + b"\xff" * 7,
    "bytes of 2^63": b"\x5b\x7f" + b"\xff" * 7 + b"x",
    "a text of 2^32": b"\x7a" + b"\xff" * 4 + b"x",
    "claims inside claims": b"\x9b\x7f" + b"\xff" * 7 + b"\x9b\x7f" + b"\xff" * 7,
    "arrays inside each other": nested(b"\x81", 1_000_000),
    "maps inside each other": nested(b"\xa1\x00", 500_000),
    "arrays without end": b"\x9f" * 100_000,
    "tags inside each other": nested(b"\xc1", 500_000),
    "keys of one hash": collisions(5_000),
    "very many empty maps": b"\x9a" + (100_000).to_bytes(4, "big") + b"\xa0" * 100_000,
    "a number of a megabyte": b"\xc2\x5a" + (10**6).to_bytes(4, "big") + b"\xff" * 10**6,
    "a regular expression": cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")),
    "a list in itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a date": cbor2.dumps(cbor2.CBORTag(0, "2024-01-01T00:00:00Z")),
    "a set": cbor2.dumps(cbor2.CBORTag(258, [1, 2])),
    "not a number": b"\xf9\x7e\x00",
    "infinity": b"\xf9\x7c\x00",
    "half of a surrogate": b"\x63\xed\xa0\x80",
    "a break": b"\xff",
    "undefined": b"\xf7",
}
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "alone": lambda bomb: bomb,
    "as the text of a message": lambda bomb: b"\xa2\x01\x61a\x02" + bomb,
    "as the extra of a message": lambda bomb: b"\xa3\x01\x61a\x02\x61b\x09" + bomb,
    "in a field of a later version": lambda bomb: b"\xa3\x01\x61a\x02\x61b\x17" + bomb,
    "behind a message": lambda bomb: b"\xa2\x01\x61a\x02\x61b" + bomb,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_read_or_refused_without_time(bomb):
    """What it may take in memory, `test_crashes` says: there the process has little."""
    begun = time.thread_time()
    for place in PLACES.values():
        raw = place(BOMBS[bomb])
        for decode, _ in HONEST.values():
            with suppress(InvalidValue):
                decode(raw)
    assert time.thread_time() - begun < 15


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("root", ["messages", "edits", "reactions", "deletions", "erased"])
def test_a_bomb_in_an_entry_is_kept_as_it_lies_and_disturbs_no_other(
    phone, tablet, family, bomb, root
):
    """Or refused with its document, if it is beyond a limit."""
    family.send("kept")
    raw = BOMBS[bomb]
    key = {
        "messages": encode_id(ONE),
        "deletions": STAMP.key(),
        "erased": erased_key(raw),
    }.get(root, encode_id(ONE) + b"." + STAMP.key())
    report = Liar(phone).push_one(MONTH, update_of(Entry(root, key, raw)))
    assert phone.status().unreadable == (0 if report.refused else 1)
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    for replica in (phone, tablet):
        conversation = replica.conversation("family")
        assert [one.text for one in conversation.messages(include_deleted=True)] == ["kept"]
        assert replica.check().ok
    family.send("goes on")


@settings(max_examples=400)
@given(st.sampled_from(sorted(HONEST)), changes)
def test_a_mutant_is_unreadable_in_words_or_in_the_one_form(name, found):
    """What is read has one encoding only, so equal records have equal bytes."""
    decode, honest = HONEST[name]
    raw = mutated(honest, found)
    try:
        decode(raw)
    except InvalidValue:
        return
    if name != "erased":
        fields = decode_map(raw)
        assert cbor2.dumps(fields, canonical=True) == raw


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_unreadable_in_words(raw):
    for decode, _ in HONEST.values():
        with suppress(InvalidValue):
            decode(raw)
