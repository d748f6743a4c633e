"""Frozen documents: one form for the same content, and nothing else is read. Source: design 8."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from msgsync import Inadmissible, InvalidValue, limits
from msgsync.document import frozen as frozen_forms
from msgsync.document.columns import Messages
from msgsync.document.fold import fold
from msgsync.document.frozen import (
    NEVER_FROZEN,
    Frozen,
    Label,
    Parts,
    arrange,
    base_of,
    decode_frozen,
    encode_frozen,
    freeze,
)
from msgsync.document.schema import (
    ACCOUNT,
    DAY_MS,
    DELETIONS,
    EDITS,
    ERASED,
    FIELDS,
    MESSAGES,
    DocumentId,
    Entry,
)
from msgsync.ids import encode_id
from msgsync.records import (
    DeletionKind,
    MessageColumns,
    MessageRecord,
    ReadKind,
    decode_erased,
    decode_erased_fields,
    decode_message_columns,
    encode_erased,
    encode_message,
    encode_message_columns,
    erased_key,
)
from tests.unit.document import said, test_head
from tests.unit.document.said import HEAD, MONTH, delete, edit, erase, id_of, message, react
from tests.unit.document.test_fold import entry as any_entry
from tests.unit.document.test_head import histories as heads

LATER = DocumentId("c", "polls")
"""A kind of a later version."""
SETTINGS = DocumentId("", ACCOUNT)


def record(number: int, author: str = "ann", text: str = "text", **more: Any) -> Entry:
    value = encode_message(MessageRecord(author, text, **more))
    return Entry(MESSAGES, encode_id(id_of(number)), value)


FOREIGN = Entry(MESSAGES, encode_id((40 * DAY_MS).to_bytes(6, "big") + bytes(6)), message(1).value)
"""A message of another month."""
EVERYTHING = [
    record(1),
    record(2, "ben", "Grüße 👍", external_id="17", order=3),
    record(3, text="", sent_ms=7, reply_to=id_of(1), kind="action", extra={"color": "red"}),
    record(4, "åsa", "x" * 300, reply_to="17", order=2**40),
    Entry(MESSAGES, message(5).key, b"\xa3\x01\x61a\x02\x61x\x18\x40\xf6"),  # a later field
    Entry(MESSAGES, message(6).key, b"\xa3\x01\x61a\x02\x61x\x03\x00"),  # an order that says 0
    Entry(MESSAGES, message(7).key, b"\xa2\x01\x60\x02\x60"),  # a name of nothing
    Entry(MESSAGES, message(8).key, b"no record"),
    Entry(MESSAGES, b"no-id", message(1).value),
    FOREIGN,
    edit(1, (1, 1), "a"),
    edit(9, (2, 1), "of a message that is not here"),
    react(2, (1, 1)),
    delete((1, 1), 3),
    erase(10, 11),
    Entry(ERASED, b"0" * 26, encode_erased([id_of(12)])),  # whose key is not its hash
    Entry(DELETIONS, b"odd", b""),
    Entry("polls", b"~", b"later"),
    Entry("polls", b"!", b""),
]
EVERY_HEAD = [
    said.field((1, 1), "title", "Family"),
    said.field((2, 1), "pinned", True),
    test_head.delete((3, 1), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset()),
    test_head.read((4, 1), ReadKind.READ, 5, 3, frozenset({1})),
    test_head.erase({"created": (1, 2)}),
    Entry(FIELDS, b"odd", b"\xff"),
    Entry("polls", b"~", b"later"),
]
DOCUMENTS = [
    (MONTH, EVERYTHING),
    (HEAD, EVERY_HEAD),
    (SETTINGS, EVERY_HEAD),
    (LATER, [*EVERYTHING, *EVERY_HEAD[:-1]]),
    (MONTH, []),
    (MONTH, [erase(1)]),
    (MONTH, [message(1)]),
    (HEAD, [message(1)]),
]


def unique(drawn: list[Entry]) -> list[Entry]:
    return list({one[:2]: one for one in drawn}.values())


def form_of(document: DocumentId, entries: list[Entry]) -> bytes:
    return encode_frozen(freeze(document, entries))


def is_form(document: DocumentId, content: bytes) -> bool:
    """Whether bytes are a frozen form: if they are, they are the only one of what they hold."""
    try:
        frozen = decode_frozen(document, content)
    except Inadmissible:
        return False
    entries = frozen.entries()
    assert len({one[:2] for one in entries}) == len(entries)
    assert encode_frozen(frozen) == content
    assert encode_frozen(arrange(document, entries[::-1])) == content
    return True


# There and back.


@pytest.mark.parametrize(("document", "entries"), DOCUMENTS)
def test_entries_of_every_kind_come_back_as_they_were(document, entries):
    content = encode_frozen(arrange(document, entries))
    assert sorted(decode_frozen(document, content).entries()) == sorted(entries)
    assert is_form(document, content)


@pytest.mark.parametrize(("document", "entries"), DOCUMENTS)
def test_what_is_frozen_says_the_same(document, entries):
    frozen = decode_frozen(document, form_of(document, entries)).entries()
    before, after = fold(document, entries), fold(document, frozen)
    assert after.digest == before.digest
    assert after.irrelevant == []
    assert set(after.unreadable) == set(before.unreadable) - set(before.irrelevant)
    assert form_of(document, frozen) == form_of(document, entries)


@given(st.lists(any_entry, max_size=20).map(unique), st.randoms())
def test_any_month_is_frozen_to_equal_bytes_in_any_order(entries, random):
    content = form_of(MONTH, entries)
    assert is_form(MONTH, content)
    frozen = decode_frozen(MONTH, content).entries()
    assert fold(MONTH, frozen).digest == fold(MONTH, entries).digest
    random.shuffle(entries)
    assert form_of(MONTH, entries) == content
    left = [one for one in entries if one not in set(fold(MONTH, entries).irrelevant)]
    assert form_of(MONTH, left) == form_of(MONTH, frozen) == content


@given(heads, st.randoms())
def test_any_head_is_frozen_to_equal_bytes_in_any_order(entries, random):
    for document in (HEAD, SETTINGS):
        content = form_of(document, entries)
        assert is_form(document, content)
        frozen = decode_frozen(document, content).entries()
        assert fold(document, frozen).digest == fold(document, entries).digest
        shuffled = list(entries)
        random.shuffle(shuffled)
        assert form_of(document, shuffled) == form_of(document, frozen) == content


numbers = st.one_of(
    st.integers(0, 3), st.integers(0, limits.MS), st.sampled_from([255, 256, 65536])
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
records = st.builds(
    MessageRecord,
    names,
    st.text(st.characters(codec="utf-8"), max_size=300),
    numbers,
    st.none() | names,
    st.none() | numbers,
    st.none() | names | st.binary(min_size=12, max_size=12),
    st.just("text") | names,
    st.none() | st.dictionaries(names, numbers | st.binary(max_size=9) | names, max_size=2),
)
tails = st.binary(min_size=6, max_size=6)
times = st.integers(0, 31 * DAY_MS - 1)


@given(st.dictionaries(st.tuples(times, tails), records, max_size=12))
def test_any_messages_lie_in_columns_and_come_back(found):
    entries = [
        Entry(MESSAGES, encode_id(ms.to_bytes(6, "big") + tail), encode_message(one))
        for (ms, tail), one in found.items()
    ]
    frozen = freeze(MONTH, entries)
    assert frozen.others == []
    assert frozen.ids == sorted(ms.to_bytes(6, "big") + tail for ms, tail in found)
    content = encode_frozen(frozen)
    assert decode_frozen(MONTH, content).entries() == sorted(entries)
    assert is_form(MONTH, content)


# A map with the fields of a message and others, each as somebody may have written it.
loose_values = st.dictionaries(
    st.integers(1, 30),
    st.one_of(
        st.just(0), st.just(""), names, numbers, st.booleans(), st.binary(max_size=12), st.none(),
        st.dictionaries(names, st.integers(0, 9), max_size=2),
    ),
    max_size=6,
).map(lambda fields: cbor2.dumps({1: "a", 2: "b"} | fields, canonical=True))  # fmt: skip


@settings(max_examples=300)
@given(loose_values | st.binary(max_size=20))
@example(b"\xa3\x01\x61a\x02\x61x\x03\x00")
@example(b"\xa3\x01\x61a\x02\x61x\x04\x60")
@example(b"\xa3\x01\x61a\x02\x61x\x09\xa0")
def test_any_value_of_a_message_is_kept_to_the_byte(value):
    entry = Entry(MESSAGES, message(1).key, value)
    content = form_of(MONTH, [entry])
    assert decode_frozen(MONTH, content).entries() == [entry]
    assert is_form(MONTH, content)


def test_a_record_of_the_most_fields_is_kept_and_one_of_more_is_none():
    def of(count: int) -> bytes:
        return cbor2.dumps({1: "a", 2: "b"} | dict.fromkeys(range(10, 8 + count)), canonical=True)

    def form(order: bytes, rest: bytes) -> bytes:
        entry = Entry(MESSAGES, message(1).key, of(limits.FIELDS))
        fields = cbor2.loads(form_of(MONTH, [entry]))
        return cbor2.dumps([*fields[:8], order, *fields[9:-2], bytes([len(rest)]), rest])

    fields = limits.FIELDS
    full, less = (decode_message_columns(of(count))[4] or b"" for count in (fields, fields - 1))
    more = cbor2.dumps(dict.fromkeys(range(10, 9 + fields)))
    assert form(b"", full) == form_of(MONTH, [Entry(MESSAGES, message(1).key, of(fields))])
    assert is_form(MONTH, form(b"\1", less))
    assert not is_form(MONTH, form(b"\1", full))
    assert not is_form(MONTH, form(b"", more))


def test_a_column_may_be_full_of_any_number():
    for number in (*range(256), 2**16 - 1, 2**16, 2**32 - 1, 2**32, limits.MS):
        entries = [record(1, order=number), record(2, order=number)]
        content = form_of(MONTH, entries)
        assert decode_frozen(MONTH, content).entries() == entries
        assert is_form(MONTH, content)


def test_only_messages_of_a_month_lie_in_columns():
    alike = Entry("polls", message(1).key, message(1).value)
    for document, entry in ((MONTH, alike), (HEAD, message(1)), (LATER, message(1))):
        frozen = arrange(document, [entry])
        assert (frozen.ids, frozen.others) == ([], [entry])
        assert is_form(document, encode_frozen(frozen))
    assert arrange(MONTH, [message(1)]).others == []


def test_a_document_of_more_roots_than_a_form_may_have_is_not_frozen(monkeypatch):
    roots = [Entry(name, b"k", b"") for name in ("a", "b", "c")]
    monkeypatch.setattr("msgsync.document.frozen._MOST_ROOTS", 3)
    assert encode_frozen(arrange(MONTH, roots))
    monkeypatch.setattr("msgsync.document.frozen._MOST_ROOTS", 2)
    with pytest.raises(Inadmissible, match="more than 2 roots"):
        encode_frozen(arrange(MONTH, roots))


def test_what_a_form_may_hold_is_65536_roots_with_all_their_fields():
    assert frozen_forms._MOST_ROOTS == 65_536
    assert frozen_forms._MOST_FIELDS == 15 + 6 * 65_536
    assert NEVER_FROZEN == (0, b"")


def test_a_form_of_more_fields_than_one_may_have_is_not_read(monkeypatch):
    content = form_of(MONTH, EVERYTHING)
    count = len(cbor2.loads(content))
    monkeypatch.setattr("msgsync.document.frozen._MOST_FIELDS", count)
    assert is_form(MONTH, content)
    monkeypatch.setattr("msgsync.document.frozen._MOST_FIELDS", count - 1)
    with pytest.raises(Inadmissible, match="too many fields"):
        decode_frozen(MONTH, content)


# Erasures.


def test_erasures_are_joined_however_they_were_spread():
    one = form_of(MONTH, [erase(1), erase(2, 3), erase(4)])
    assert one == form_of(MONTH, [erase(1, 2), erase(3, 4), erase(2)])
    [left] = decode_frozen(MONTH, one).others
    assert decode_erased(left.value) == tuple(map(id_of, (1, 2, 3, 4)))
    assert left.key == erased_key(left.value)


def test_an_erasure_leaves_nothing_of_what_it_erases():
    content = form_of(MONTH, [*EVERYTHING, erase(1, 2)])
    for text in ("Grüße".encode(), encode_id(id_of(1)), encode_id(id_of(2))):
        assert text not in content


def test_more_erasures_than_an_entry_holds_are_several(monkeypatch):
    monkeypatch.setattr(limits, "IDS_PER_ENTRY", 2)
    ids = [id_of(number) for number in range(1, 6)]
    spread = [erase(number) for number in (5, 3, 1, 2, 4)]
    found = [decode_erased(one.value) for one in freeze(MONTH, spread).others]
    assert sorted(found) == [tuple(ids[:2]), tuple(ids[2:4]), tuple(ids[4:])]
    assert fold(MONTH, freeze(MONTH, spread).others).digest == fold(MONTH, spread).digest
    fields = [test_head.erase({name: (1, 1)}) for name in "abcde"]
    heads = [decode_erased_fields(one.value) for one in freeze(HEAD, fields).others]
    assert sorted(map(len, heads)) == [1, 2, 2]
    assert fold(HEAD, freeze(HEAD, fields).others).digest == fold(HEAD, fields).digest


def test_a_document_of_a_later_version_keeps_what_it_calls_erased():
    entries = [erase(1), Entry(ERASED, b"later", b"x")]
    assert sorted(freeze(LATER, entries).entries()) == sorted(entries)


def test_without_leaves_out_all_that_is_about_a_message():
    frozen = freeze(MONTH, EVERYTHING)
    left = frozen.without({id_of(1), id_of(8)})
    assert id_of(1) not in left.ids
    texts = {encode_id(id_of(1)), encode_id(id_of(8))}
    gone = {
        one
        for one in frozen.entries()
        if one.root not in (DELETIONS, ERASED) and one.key[:20] in texts
    }
    assert {one.root for one in gone} == {MESSAGES, EDITS}
    assert set(left.entries()) == set(frozen.entries()) - gone
    assert is_form(MONTH, encode_frozen(left))
    assert frozen.without(set()) == frozen


# Labels.


def test_a_form_is_named_by_its_content():
    content = form_of(MONTH, [message(1)])
    assert base_of(content) == hashlib.sha256(content).digest()[:16]
    assert Label(2, bytes(16)) > Label(1, b"\xff" * 16) > Label(1, bytes(16)) > NEVER_FROZEN
    assert Parts(Label(1, base_of(content)), content, (b"abc", b"d")).size_bytes == len(content) + 4


# Other bytes.

SMALL = [
    (
        MONTH,
        [record(1, order=1), record(2, "ben", external_id="7"), edit(1, (1, 1), "a"), erase(9)],
    ),
    (MONTH, [record(1, text="é", kind="k"), record(300, sent_ms=1), record(301), FOREIGN]),
    (HEAD, EVERY_HEAD[-2:] + EVERY_HEAD[4:5]),
]


@pytest.mark.parametrize(("document", "entries"), SMALL)
def test_every_other_byte_is_refused_or_the_only_form_of_something_else(document, entries):
    content = form_of(document, entries)
    forms = set()
    for place in range(len(content)):
        for byte in range(256):
            changed = content[:place] + bytes((byte,)) + content[place + 1 :]
            if is_form(document, changed):
                forms.add(changed)
    assert content in forms
    assert len(forms) < 256 * len(content) / 2


@pytest.mark.parametrize(("document", "entries"), DOCUMENTS)
def test_what_is_cut_off_or_goes_on_is_refused(document, entries):
    content = form_of(document, entries)
    for end in range(len(content)):
        assert not is_form(document, content[:end])
        assert not is_form(document, content[end + 1 :])
    for byte in range(256):
        assert not is_form(document, content + bytes((byte,)))
        assert not is_form(document, bytes((byte,)) + content)


FORMS = [(document, cbor2.loads(form_of(document, entries))) for document, entries in DOCUMENTS]
columns: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, 300),
    st.integers(0, 2**64 - 1),
    st.sampled_from([b"", b"\0", b"\1", b"\0\1", b"\1\0", bytes(6), bytes(12), b"\xff" * 8]),
    st.binary(max_size=16),
    st.sampled_from([None, "a", -1, [], {}, 1.5, True]),
)


@settings(max_examples=2000)
@given(
    st.sampled_from(FORMS),
    st.lists(
        st.tuples(st.integers(0, 40), columns, st.sampled_from(["set", "insert", "drop", "swap"])),
        min_size=1,
        max_size=3,
    ),
)
def test_other_columns_are_refused_or_the_only_form_of_something_else(form, changes):
    document, fields = form[0], list(form[1])
    for place, value, what in changes:
        at = place % (len(fields) or 1)
        if what == "set":
            fields[at : at + 1] = [value]
        elif what == "insert":
            fields.insert(at, value)
        elif what == "drop":
            del fields[at : at + 1]
        else:
            fields[at : at + 2] = fields[at : at + 2][::-1]
    is_form(document, cbor2.dumps(fields))


@settings(max_examples=500)
@given(
    st.sampled_from(DOCUMENTS),
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 9), st.binary(max_size=9)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_mutated_form_is_refused_or_the_only_form_of_something_else(document, changes):
    raw = bytearray(form_of(*document))
    for place, length, put in changes:
        at = place % (len(raw) + 1)
        raw[at : at + length] = put
    is_form(document[0], bytes(raw))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_the_only_form_of_something(raw):
    for document in (MONTH, HEAD, SETTINGS, LATER):
        is_form(document, raw)


BARE = cbor2.loads(form_of(MONTH, []))
PLAIN = cbor2.loads(form_of(MONTH, [record(1), record(2)]))
NAMED = cbor2.loads(form_of(MONTH, [Entry("polls", b"a", b"x"), Entry("polls", b"b", b"")]))


def changed(fields: list[Any], place: int, value: object) -> list[Any]:
    return [*fields[:place], value, *fields[place + 1 :]]


@pytest.mark.parametrize(
    "fields",
    [
        changed(BARE, 0, 0),
        changed(BARE, 0, 2),  # a later format
        changed(BARE, 1, 1),  # a first message without messages
        changed(BARE, 2, b"\1"),
        changed(BARE, 3, b"x"),
        changed(BARE, 4, 1),  # a name that nobody has
        changed(BARE, 4, 2**62),
        changed(BARE, 7, b"\1"),
        BARE[:-1],
        [*BARE, b"root"],
        changed(PLAIN, 1, 2**48),
        changed(PLAIN, 1, 2**48 - 1),  # the next one is beyond
        changed(PLAIN, 2, b"\1\1"),  # the first step is none
        changed(PLAIN, 2, b"\0\0\1\0"),  # wider than it needs to be
        changed(PLAIN, 2, b"\0\0"),
        changed(PLAIN, 2, b"\0\1\1"),
        changed(PLAIN, 2, b""),  # twice the same id
        changed(PLAIN, 2, bytes(15) + b"\xff"),
        changed(PLAIN, 4, 2),
        changed(PLAIN, 6, b"annx"),
        changed(PLAIN, 7, b"\0\1"),
        changed(PLAIN, 8, b"\0" * 10 + b"\1" + b"\0" * 5),  # wider than it needs to be
        changed(PLAIN, 8, b"\0" * 14 + b"\1\0"),  # an order beyond its limit
        changed(PLAIN, 9, b""),
        changed(PLAIN, 10, b"texttex\xff"),
        changed(NAMED, 15, b""),
        changed(NAMED, 15, b"p\xc3\xb6ll"),
        changed(NAMED, 15, b"x" * 65),
        changed(NAMED, 16, 0),
        changed(NAMED, 16, 1),
        changed(NAMED, 16, 3),
        changed(NAMED, 18, b"ba"),  # not sorted
        changed(NAMED, 18, b"aa"),
        changed(NAMED, 18, b"a "),
        changed(changed(changed(NAMED, 16, 2**62), 17, b""), 18, b""),  # so many keys of nothing
        changed(changed(NAMED, 17, b"\2\0"), 18, b"ab"),
        [*NAMED, *NAMED[15:]],  # a root twice
        [*NAMED, b"edits", 1, b"\1", b"a", b"", b""],  # roots that are not sorted
        [*BARE, b"polls", 1, b"\x01\x02", b"a" * 513, b"", b""],  # a key beyond its limit
        [*BARE, b"messages", 1, b"\x14", message(1).key, b"\x0d", message(1).value],
        [*PLAIN, b"messages", 1, b"\x14", message(1).key, b"", b""],  # one key, two values
        [*PLAIN, b"messages", 2, b"\x14\x14", message(1).key + message(5).key, b"", b""],
    ],
    ids=repr,
)
def test_another_form_is_refused(fields):
    assert not is_form(MONTH, cbor2.dumps(fields))


def test_a_message_of_another_month_or_in_a_head_has_no_column():
    content = form_of(MONTH, [message(1)])
    for document in (DocumentId("c", "1970-02"), HEAD, SETTINGS, LATER):
        assert not is_form(document, content)


def test_what_is_beyond_a_limit_is_refused(monkeypatch):
    entries = [record(1, "a" * 9, "t" * 90, external_id="e" * 9), record(2, kind="k" * 90)]
    content = form_of(MONTH, entries)
    for name, limit in [
        ("NAME_BYTES", 8), ("TEXT_BYTES", 89), ("EXTERNAL_ID_BYTES", 8), ("VALUE_BYTES", 90),
        ("DOCUMENT_BYTES", len(content) - 1),
    ]:  # fmt: skip
        assert is_form(MONTH, content)
        with monkeypatch.context() as lower:
            lower.setattr(limits, name, limit)
            assert not is_form(MONTH, content), name
            if name not in ("NAME_BYTES", "VALUE_BYTES"):  # which hold for the other message too
                lower.setattr(limits, name, limit + 1)
                assert is_form(MONTH, content), name


def test_a_name_of_an_author_has_up_to_as_many_bytes_as_it_may(monkeypatch):
    content = form_of(MONTH, [record(1, "a" * 9)])
    monkeypatch.setattr(limits, "NAME_BYTES", 9)
    assert is_form(MONTH, content)
    monkeypatch.setattr(limits, "NAME_BYTES", 8)
    assert not is_form(MONTH, content)


def test_a_message_that_is_too_much_together_is_refused_though_no_part_of_it_is(monkeypatch):
    entry = record(1, text="t" * 60, kind="k" * 60)
    content = form_of(MONTH, [entry])
    monkeypatch.setattr(limits, "VALUE_BYTES", len(entry.value))
    assert decode_frozen(MONTH, content).entries() == [entry]
    monkeypatch.setattr(limits, "VALUE_BYTES", len(entry.value) - 1)
    with pytest.raises(Inadmissible):
        decode_frozen(MONTH, content)


def test_an_order_beyond_its_limit_is_refused_for_that():
    for orders in (b"\0" * 14 + b"\1\0", b"\0" * 6 + b"\1" + b"\0" * 9):
        with pytest.raises(Inadmissible, match="an order beyond its limit"):
            decode_frozen(MONTH, cbor2.dumps(changed(PLAIN, 8, orders)))


def test_the_last_id_that_there_is_has_a_column_and_none_behind_it():
    last = DocumentId("c", "10889-08")
    entry = Entry(MESSAGES, encode_id(limits.MS.to_bytes(6, "big") + b"\xff" * 6), message(1).value)
    content = form_of(last, [entry])
    assert decode_frozen(last, content).entries() == [entry]
    beyond = cbor2.dumps(changed(cbor2.loads(content), 1, limits.MS + 1))
    with pytest.raises(Inadmissible, match="beyond its limit"):
        decode_frozen(last, beyond)


def test_a_document_that_is_too_large_is_not_frozen(monkeypatch):
    frozen = freeze(MONTH, EVERYTHING)
    content = encode_frozen(frozen)
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", len(content))
    assert encode_frozen(frozen) == content
    assert is_form(MONTH, content)
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", len(content) - 1)
    with pytest.raises(Inadmissible, match="bytes"):
        encode_frozen(frozen)


def test_a_document_of_too_many_messages_is_neither_frozen_nor_read(monkeypatch):
    frozen = freeze(MONTH, EVERYTHING)
    content = encode_frozen(frozen)
    count = len(frozen.messages.ids)
    monkeypatch.setattr(limits, "DOCUMENT_MESSAGES", count)
    assert encode_frozen(frozen) == content
    assert is_form(MONTH, content)
    monkeypatch.setattr(limits, "DOCUMENT_MESSAGES", count - 1)
    with pytest.raises(Inadmissible, match="messages"):
        encode_frozen(frozen)
    with pytest.raises(Inadmissible, match="messages"):
        decode_frozen(MONTH, content)


def test_whatever_is_frozen_can_be_read_again_of_however_many_roots():
    many = [Entry(f"root-{number:05}", b"k", b"") for number in range(400)]
    assert decode_frozen(HEAD, form_of(HEAD, many)).others == many


def test_a_number_too_great_for_a_column_is_no_message():
    columns: MessageColumns = (b"a", b"b", 2**64, None, None)
    with pytest.raises(InvalidValue):
        encode_frozen(Frozen(Messages.of([(id_of(1), columns)]), []))
    with pytest.raises(InvalidValue):
        encode_message_columns(columns)


GOLDEN = json.loads((Path(__file__).parents[2] / "vectors" / "frozen-1.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", GOLDEN["documents"], ids=lambda vector: vector["name"])
def test_golden_forms_are_made_and_read_as_they_were_when_the_format_was_fixed(vector):
    document = DocumentId(vector["conversation"], vector["kind"])

    def entries(listed: list[list[str]]) -> list[Entry]:
        return [Entry(root, key.encode(), bytes.fromhex(value)) for root, key, value in listed]

    frozen = bytes.fromhex(vector["frozen"])
    assert encode_frozen(freeze(document, entries(vector["entries"]))) == frozen
    assert sorted(decode_frozen(document, frozen).entries()) == entries(vector["left"])
