"""Records: one encoding each, read strictly."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.cbor import decode_map, head_of
from msgsync.errors import InvalidValue
from msgsync.records import (
    AttachmentRecord,
    DeletionKind,
    DeletionRecord,
    EditRecord,
    FieldRecord,
    MessageRecord,
    ReactionRecord,
    Stamp,
    carrier_stamp,
    decode_attachments,
    decode_deletion,
    decode_edit,
    decode_erased,
    decode_field,
    decode_message,
    decode_message_columns,
    decode_reaction,
    decode_rest,
    encode_deletion,
    encode_edit,
    encode_erased,
    encode_extra,
    encode_field,
    encode_message,
    encode_message_columns,
    encode_reaction,
    erased_key,
)

characters = st.characters(codec="utf-8")
texts = st.text(characters, max_size=60)
names = st.text(characters, min_size=1, max_size=40)
externals = st.text(characters, min_size=1, max_size=40).filter(lambda s: len(s.encode()) <= 255)
numbers = st.integers(0, 2**48 - 1) | st.sampled_from([0, 23, 24, 255, 256, 65535, 65536, 2**32])
devices = st.none() | st.binary(min_size=8, max_size=8)
ids = st.binary(min_size=12, max_size=12)
stamps = st.builds(Stamp, numbers, st.binary(min_size=10, max_size=10))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(texts, values, max_size=3)

attachments = st.integers(0, 3).flatmap(
    lambda count: st.builds(
        lambda name, media, digest, keys, pixels, duration, preview: AttachmentRecord(
            name,
            media,
            max(0, count * limits.CHUNK_BYTES - 5),
            digest,
            keys,
            pixels[0],
            pixels[1],
            duration,
            preview,
        ),
        st.text(characters, min_size=1, max_size=12),
        st.sampled_from(["image/png", "x"]),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32 * count, max_size=32 * count),
        st.just((None, None)) | st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 9)),
        st.none() | numbers,
        st.none() | st.binary(min_size=1, max_size=9),
    )
)
messages = st.builds(
    MessageRecord,
    author=names,
    text=texts,
    order=st.just(0) | numbers,
    external_id=st.none() | externals,
    sent_ms=st.none() | numbers,
    reply_to=st.none() | ids | externals,
    kind=st.just("text") | names,
    extra=st.none() | extras,
    attachments=st.lists(attachments, max_size=2).map(tuple),
)
edits = st.builds(EditRecord, texts, numbers, devices)
reactions = st.builds(
    ReactionRecord, names, st.sampled_from(["👍", "❤️", "x"]), st.booleans(), numbers, devices
)
deletions = st.builds(
    DeletionRecord,
    st.sampled_from(DeletionKind),
    numbers,
    devices,
    st.lists(ids, min_size=1, max_size=5, unique=True).map(lambda found: tuple(sorted(found))),
    st.frozensets(stamps, max_size=4),
)
fields = st.builds(FieldRecord, names, values)

CODECS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "message": (messages, encode_message, decode_message),
    "edit": (edits, encode_edit, decode_edit),
    "reaction": (reactions, encode_reaction, decode_reaction),
    "deletion": (deletions, encode_deletion, decode_deletion),
    "field": (fields, encode_field, decode_field),
}
ANY = st.one_of(*[record.map(encode) for record, encode, _ in CODECS.values()])


def canonical(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def attachment_of(record: AttachmentRecord) -> bytes:
    said = (
        *(record.name, record.media_type, record.size, record.digest, record.keys),
        *(record.width, record.height, record.duration_ms, record.preview),
    )
    return canonical({n: value for n, value in enumerate(said, 1) if value is not None})


def fields_of(record: MessageRecord) -> dict[int, object]:
    """What docs and design say a message's record is, for a generic encoder."""
    return {1: record.author, 2: record.text} | {
        number: value
        for number, value, absent in (
            (3, record.order, 0),
            (4, record.external_id, None),
            (5, record.sent_ms, None),
            (6, record.reply_to, None),
            (7, [attachment_of(one) for one in record.attachments], []),
            (8, record.kind, "text"),
            (9, record.extra, None),
        )
        if value != absent
    }


# Round trips.


@pytest.mark.parametrize("name", CODECS)
def test_what_is_written_is_read_back(name):
    records, encode, decode = CODECS[name]

    @given(records)
    def round_trip(record: object) -> None:
        raw = encode(record)
        assert decode(raw) == record
        assert canonical(cbor2.loads(raw)) == raw

    round_trip()


@given(messages)
def test_a_message_is_the_canonical_cbor_of_its_fields(record):
    assert encode_message(record) == canonical(fields_of(record))


@given(messages)
def test_columns_and_records_are_one_encoding(record):
    columns = decode_message_columns(encode_message(record))
    assert encode_message_columns(columns) == encode_message(record)
    external_id = None if record.external_id is None else record.external_id.encode()
    assert columns[:4] == (record.author.encode(), record.text.encode(), record.order, external_id)
    kind = None if record.kind == "text" else record.kind
    attached = record.attachments or None
    assert decode_rest(columns[4]) == (
        *(record.sent_ms, record.reply_to, kind, record.extra),
        attached,
    )
    assert decode_attachments(columns[4]) == record.attachments
    assert (columns[4] is None) == all(field is None for field in decode_rest(columns[4]))


@pytest.mark.parametrize("size", [0, 1, 22, 23, 24, 100, 223, 230, 255, 256, 65535, 65536])
@pytest.mark.parametrize("external", [None, "x", "x" * 23, "x" * 24, "x" * 255])
def test_sizes_at_the_steps_of_cbor_round_trip(size, external):
    record = MessageRecord("ann", "x" * size, external_id=external)
    assert encode_message(record) == canonical(fields_of(record))
    assert decode_message(encode_message(record)) == record


@given(st.lists(ids, min_size=1, max_size=9))
def test_an_erasure_lists_its_ids_sorted_and_once(some):
    raw = encode_erased(some)
    assert decode_erased(raw) == tuple(sorted(set(some)))
    assert raw == canonical(b"".join(sorted(set(some))))
    assert erased_key(raw) == erased_key(encode_erased([*some, *some]))
    assert re.fullmatch(rb"[0-9a-hjkmnp-tv-z]{26}", erased_key(raw))


@given(stamps, stamps)
def test_stamps_sort_alike_as_values_as_keys_and_packed(first, second):
    assert Stamp.unpack(first.pack()) == first
    assert (first < second) == (first.key() < second.key())
    assert (first < second) == (first.pack() < second.pack())
    assert len(first.key()) == 27


def test_carrier_stamps_are_a_function_of_what_was_said():
    first, later = encode_edit(EditRecord("a", 5)), encode_edit(EditRecord("b", 6))
    assert carrier_stamp(5, first) == carrier_stamp(5, first)
    assert carrier_stamp(5, first) < carrier_stamp(6, later) < Stamp(1, bytes(10))
    assert carrier_stamp(5, first) != carrier_stamp(5, later)


# What cannot be written.


@pytest.mark.parametrize(
    "record",
    [
        MessageRecord("", "x"),
        MessageRecord("a" * (limits.NAME_BYTES + 1), "x"),
        MessageRecord("a", "x" * (limits.TEXT_BYTES + 1)),
        MessageRecord("a", "é" * (limits.TEXT_BYTES // 2 + 1)),
        MessageRecord("a", "\ud800"),
        MessageRecord("\udfff", "x"),
        MessageRecord("a", None),  # type: ignore[arg-type]
        MessageRecord("a", b"x"),  # type: ignore[arg-type]
        MessageRecord(7, "x"),  # type: ignore[arg-type]
        MessageRecord("a", "x", order=-1),
        MessageRecord("a", "x", order=2**48),
        MessageRecord("a", "x", order=1.5),  # type: ignore[arg-type]
        MessageRecord("a", "x", sent_ms=-1),
        MessageRecord("a", "x", sent_ms=True),
        MessageRecord("a", "x", external_id=""),
        MessageRecord("a", "x", external_id="é" * 128),
        MessageRecord("a", "x", reply_to=""),
        MessageRecord("a", "x", kind=""),
        MessageRecord("a", "x" * limits.TEXT_BYTES, extra={"x": "y" * limits.MIB}),
        MessageRecord("a", "x", extra={"now": {1, 2}}),
        MessageRecord("a", "x", extra={1: 2}),  # type: ignore[dict-item]
        MessageRecord("a", "x", extra=[1]),  # type: ignore[arg-type]
        MessageRecord("a", "x", extra={"half": "\ud800"}),
        MessageRecord("a", "x", extra={"big": 2**64}),
    ],
)
def test_a_message_beyond_a_limit_or_of_a_wrong_type_is_refused(record):
    with pytest.raises(InvalidValue):
        encode_message(record)


def test_an_id_that_answers_is_twelve_bytes_when_written_too():
    with pytest.raises(InvalidValue):
        encode_message(MessageRecord("a", "x", reply_to=bytes(11)))


def test_extra_has_a_limited_depth():
    def nested(depth: int) -> dict[str, object]:
        return {"x": nested(depth - 1)} if depth > 1 else {}

    encode_extra({"x": nested(limits.EXTRA_DEPTH)})
    for depth in (limits.EXTRA_DEPTH + 1, 100, 900):
        with pytest.raises(InvalidValue):
            encode_extra({"x": nested(depth)})


@pytest.mark.parametrize(
    ("encode", "record"),
    [
        (encode_edit, EditRecord("x" * (limits.TEXT_BYTES + 1), 0)),
        (encode_edit, EditRecord("x", -1)),
        (encode_edit, EditRecord("x", 2**48)),
        (encode_reaction, ReactionRecord("", "x", True, 0)),
        (encode_reaction, ReactionRecord("a", "", True, 0)),
        (encode_reaction, ReactionRecord("a", "x" * (limits.EMOJI_BYTES + 1), True, 0)),
        (encode_field, FieldRecord("", 1)),
        (encode_field, FieldRecord("x", object())),
        (encode_field, FieldRecord("x", {1, 2})),
    ],
)
def test_other_records_beyond_their_limits_are_refused(encode, record):
    with pytest.raises(InvalidValue):
        encode(record)


def test_errors_do_not_tell_what_a_message_says():
    for record in (
        MessageRecord("a", "secret" * limits.MIB),
        MessageRecord("a", "secret\ud800"),
        MessageRecord("a", "x", external_id="secret" * 99),
    ):
        with pytest.raises(InvalidValue) as raised:
            encode_message(record)
        assert "secret" not in str(raised.value)


# Strict reading.

A, X = b"\x61a", b"\x61x"  # "a" and "x"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xa0",
        b"\x80",
        b"\x61a",
        b"\xa2\x01" + A + b"\x02" + X + b"\x00",  # a byte too many
        b"\xa2\x01" + A + b"\x02\x62x",  # cut off
        b"\xa2\x01" + A + b"\x02" + X[:1],
        b"\xa2\x01" + A,
        b"\xa1\x01" + A,  # no text
        b"\xa1\x02" + X,  # no author
        b"\xa2\x02" + X + b"\x01" + A,  # unsorted
        b"\xa3\x01" + A + b"\x02" + X + b"\x02" + X,  # twice
        b"\xa2\x01\x78\x01a\x02" + X,  # longer than needed
        b"\xa2\x01" + A + b"\x02\x78\x01x",
        b"\xa2\x01" + A + b"\x02\x79\x00\x01x",
        b"\xa2\x18\x01" + A + b"\x02" + X,
        b"\xb8\x02\x01" + A + b"\x02" + X,
        b"\xbf\x01" + A + b"\x02" + X + b"\xff",  # indefinite
        b"\xa2\x01" + A + b"\x02\x7f" + X + b"\xff",
        b"\xa2\x01" + A + b"\x02\x41x",  # bytes for text
        b"\xa2\x01" + A + b"\x02\x61\xff",  # not UTF-8
        b"\xa2\x01" + A + b"\x02\x63\xed\xa0\x80",  # a surrogate
        b"\xa2\x01" + A + b"\x02\xc0" + X,  # a tag
        b"\xa2\x01\x60\x02" + X + b"\x00",
        b"\xa3\x01" + A + b"\x02" + X + b"\x03\x18\x05",  # order 5, too long
        b"\xa3\x01" + A + b"\x02" + X + b"\x03\xf5",  # order true
        b"\xa3\x01" + A + b"\x02" + X + b"\x03\x20",  # order -1
        b"\xa3\x01" + A + b"\x02" + X + b"\x03\x1b\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\xa3\x01" + A + b"\x02" + X + b"\x03\xf9\x45\x00",  # order 5.0
        b"\xa3\x01" + A + b"\x02" + X + b"\x04\x05",
        b"\xa3\x01" + A + b"\x02" + X + b"\x05\x61x",
        b"\xa3\x01" + A + b"\x02" + X + b"\x06\x4b" + bytes(11),  # an id of 11 bytes
        b"\xa3\x01" + A + b"\x02" + X + b"\x09\x81\x00",  # extra is a list
        b"\xa3\x01" + A + b"\x02" + X + b"\x09\xa1\x61x\xc1\x00",  # a tag inside
        b"\xa3\x01" + A + b"\x02" + X + b"\x09\xa2\x61x\x00\x61x\x00",  # a key twice
        b"\xa3\x01" + A + b"\x02" + X + b"\x09\xa2\x61y\x00\x61x\x00",  # keys unsorted
        b"\xa3\x01" + A + b"\x02" + X + b"\x09\xa1\x61x\xfb\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xa3\x01" + A + b"\x02" + X + b"\x09" + b"\xa1\x61x" * 9 + b"\x00",  # nested
        b"\xa3\x01" + A + b"\x02" + X + b"\x18\x40" + b"\x81" * 9000 + b"\x00",
        b"\xa3\x01" + A + b"\x02" + X + b"\x20\x00",  # field -1
        b"\xa3\x01" + A + b"\x02" + X + b"\x61x\x00",  # a field by name
        b"\xa3\x01" + A + b"\x02" + X + b"\x0a\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa3\x01" + A + b"\x02" + X + b"\x0a\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa3\x01" + A + b"\x02" + X + b"\x0a\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa3\x01" + A + b"\x02" + X + b"\x0a\xf8\x14",  # a simple value, too long
        b"\xbb" + b"\xff" * 8,
        b"\xb8\x41" + b"".join(head_of(0, n) + b"\xf5" for n in range(65)),  # 65 fields
        canonical({1: "a" * 1025, 2: "x"}),
        canonical({1: "é" * 513, 2: "x"}),
        canonical({1: "a", 2: "x" * (limits.TEXT_BYTES + 1)}),
        canonical({1: "a", 2: "x", 4: "x" * 256}),
        canonical({1: "a", 2: "x", 4: ""}),
        canonical({1: "a", 2: "x", 8: "x" * 1025}),
    ],
)
def test_another_form_of_a_message_is_refused(raw):
    with pytest.raises(InvalidValue):
        decode_message(raw)
    with pytest.raises(InvalidValue):
        decode_message_columns(raw)


@pytest.mark.parametrize(
    "fields",
    [
        {1: "", 2: "x"},
        {1: "a", 2: "x", 3: 0},
        {1: "a", 2: "x", 4: ""},
        {1: "a", 2: "x", 8: "text"},
    ],
)
def test_a_record_that_nobody_writes_is_read_the_same_in_both_ways(fields):
    """Whether it is taken or not, the fast way and the general one agree: see the mutations below."""
    assert outcome(canonical(fields)) == outcome(canonical(fields), general=True)


@pytest.mark.parametrize("number", [10, 20, 23, 24, 255])
def test_a_field_of_a_later_version_is_passed_over(number):
    value = {"more": [1, None, b"x"]}
    record = MessageRecord("ann", "hello")
    raw = canonical(dict(sorted((fields_of(record) | {number: value}).items())))
    assert decode_message(raw) == record
    assert decode_map(raw)[number] == value
    for decode, known in (
        (decode_edit, {1: "x", 2: 0}),
        (decode_reaction, {1: "a", 2: "x", 3: True, 4: 0}),
        (decode_deletion, {1: 0, 2: 0, 4: bytes(12)}),
        (decode_field, {1: "title", 2: "x"}),
    ):
        later = dict(sorted((known | {number: value}).items()))
        assert decode(canonical(later)) == decode(canonical(known))


@pytest.mark.parametrize("number", [-1, -(2**48), -(2**64)])
@pytest.mark.parametrize(
    ("decode", "fields", "field"),
    [
        (decode_message, {1: "a", 2: "x"}, 3),
        (decode_message, {1: "a", 2: "x"}, 5),
        (decode_edit, {1: "x"}, 2),
        (decode_reaction, {1: "a", 2: "x", 3: True}, 4),
        (decode_deletion, {2: 0, 4: bytes(12)}, 1),
        (decode_deletion, {1: 0, 4: bytes(12)}, 2),
    ],
)
def test_no_number_of_a_record_is_negative(decode, fields, field, number):
    with pytest.raises(InvalidValue):
        decode(canonical(fields | {field: number}))


@pytest.mark.parametrize(
    ("decode", "fields"),
    [
        (decode_edit, {1: "x"}),
        (decode_edit, {1: "x", 2: "0"}),
        (decode_edit, {1: "x", 2: 2**48}),
        (decode_edit, {1: "x", 2: 0, 3: bytes(7)}),
        (decode_edit, {1: "x", 2: 0, 3: "a" * 8}),
        (decode_reaction, {1: "a", 2: "x", 3: 1, 4: 0}),
        (decode_reaction, {1: "a", 2: "x", 4: 0}),
        (decode_reaction, {1: "a", 2: "x" * 65, 3: True, 4: 0}),
        (decode_reaction, {1: "a", 2: "x", 3: True, 4: 0, 5: bytes(9)}),
        (decode_deletion, {1: 2, 2: 0, 4: bytes(12)}),
        (decode_deletion, {1: True, 2: 0, 4: bytes(12)}),
        (decode_deletion, {1: 0, 2: 0, 4: b""}),
        (decode_deletion, {1: 0, 2: 0, 4: bytes(13)}),
        (decode_deletion, {1: 0, 2: 0, 4: bytes(24)}),
        (decode_deletion, {1: 0, 2: 0, 4: b"b" * 12 + b"a" * 12}),
        (decode_deletion, {1: 0, 2: 0, 4: bytes(12), 5: bytes(15)}),
        (decode_deletion, {1: 0, 2: 0, 4: b"".join(n.to_bytes(12, "big") for n in range(4097))}),
        (decode_field, {1: "title"}),
        (decode_field, {1: 1, 2: "x"}),
    ],
)
def test_other_records_are_read_strictly_too(decode, fields):
    with pytest.raises(InvalidValue):
        decode(canonical(fields))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x40",
        b"\x4c",
        b"\x58\x0c" + bytes(12),
        b"\x4d" + bytes(12),
        b"\x4c" + bytes(13),
        b"\x4d" + bytes(13),
        b"\x58\x18" + bytes(24),
        b"\x58\x18" + b"b" * 12 + b"a" * 12,
        b"\x6c" + bytes(12),
        b"\x58",
        b"\x5f\x4c" + bytes(12) + b"\xff",
    ],
)
def test_an_erasure_in_another_form_is_refused(raw):
    with pytest.raises(InvalidValue):
        decode_erased(raw)


# Mutations: the fast way and the general way accept the same bytes and read the same.


def outcome(raw: bytes, *, general: bool = False) -> object:
    """What reading gives, or that it is refused. The fast way only takes values of under 256 bytes."""
    try:
        if not general:
            columns = decode_message_columns(raw)
            return *columns[:4], decode_rest(columns[4])
        # A field far away, which nobody reads, makes the record too long for the fast way.
        count = raw[0] & 31
        if raw[0] >> 5 != 5 or count > 22:
            return InvalidValue
        columns = decode_message_columns(
            bytes((raw[0] + 1,)) + raw[1:] + b"\x18\xff" + canonical(bytes(300))
        )
    except InvalidValue:
        return InvalidValue
    except IndexError:
        return InvalidValue
    return *columns[:4], decode_rest(columns[4])  # the far field is kept with the others


mutations = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "flip"]),
        st.integers(0, 299),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def mutated(raw: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    out = bytearray(raw)
    for what, place, byte in changes:
        at = place % (len(out) + 1)
        if what == "insert":
            out.insert(at, byte)
        elif at < len(out):
            if what == "delete":
                del out[at]
            else:
                out[at] = byte if what == "set" else out[at] ^ 1 << byte % 8
    return bytes(out)


common = st.builds(
    MessageRecord,
    author=st.text(characters, min_size=1, max_size=8),
    text=st.text(characters, max_size=90),
    order=st.just(0) | st.integers(0, 30),
    external_id=st.none() | st.text(characters, min_size=1, max_size=30),
).map(encode_message)


@given(common, mutations)
@example(b"\xa2\x01\x61a\x02\x78\x18" + b"x" * 24, [])
@example(b"\xa2\x01\x61a\x02\x78\x17" + b"x" * 23, [])
@example(b"\xa4\x01\x61a\x02\x61x\x03\x00\x04\x61e", [])
@example(b"\xa3\x01\x61a\x02\x61x\x04\x78\x17" + b"e" * 23, [])
@example(b"\xa4\x01\x61a\x02\x61x\x03\x05\x05\x61e", [])
@example(b"\xa4\x01\x61a\x02\x61x\x04\x61e\x05", [])
@example(b"\xa3\x01\x61a\x02\x61x\x04\x60", [])
@example(b"\xa2\x01\x61\xff\x02\x61xx", [])
def test_the_fast_way_and_the_general_one_read_the_same(raw, changes):
    changed = mutated(raw, changes)
    assert outcome(changed) == outcome(changed, general=True)


encoded_reactions = st.builds(
    ReactionRecord,
    user=st.text(characters, min_size=1, max_size=30),
    emoji=st.text(characters, min_size=1, max_size=30).filter(
        lambda emoji: len(emoji.encode()) <= 64
    ),
    on=st.booleans(),
    at_ms=st.sampled_from((0, 2**32 - 1, 2**32, 1_700_000_000_000, limits.MS)),
    device=st.none() | st.binary(min_size=8, max_size=8),
).map(encode_reaction)


times = st.sampled_from((0, 2**32 - 1, 2**32, 1_700_000_000_000, limits.MS))
encoded_edits = st.builds(
    EditRecord,
    text=st.text(characters, max_size=30),
    at_ms=times,
    device=st.none() | st.binary(min_size=8, max_size=8),
).map(encode_edit)
encoded_deletions = st.builds(
    DeletionRecord,
    kind=st.sampled_from(DeletionKind),
    at_ms=times,
    device=st.none() | st.binary(min_size=8, max_size=8),
    ids=st.lists(ids, min_size=1, max_size=2, unique=True).map(lambda found: tuple(sorted(found))),
    supersedes=st.just(frozenset()),
).map(encode_deletion)


@given(
    st.one_of(
        st.tuples(st.just(decode_reaction), encoded_reactions),
        st.tuples(st.just(decode_edit), encoded_edits),
        st.tuples(st.just(decode_deletion), encoded_deletions),
    ),
    mutations | st.just([]),
)
@example((decode_edit, b"\xa2\x01\x78\x17" + b"x" * 23 + b"\x02\x1b\0\0\1\0\0\0\0\0"), [])
@example((decode_edit, b"\xa2\x01\x78\x18" + b"x" * 24 + b"\x02\x1b\0\0\1\0\0\0\0\0"), [])
@example((decode_edit, b"\xa2\x01\x78\x19" + b"x" * 24 + b"\x02\x1b\0\0\1\0\0\0\0\0"), [])
@example((decode_edit, b"\xa2\x01\x78\xff" + b"x" * 255 + b"\x02\x1b\0\0\1\0\0\0\0\0"), [])
@example((decode_edit, b"\xa2\x01\x60\x02\x1b\0\0\1\0\0\0\0\0"), [])
@example((decode_edit, b"\xa2\x01\x61\xff\x02\x1b\0\0\1\0\0\0\0\0"), [])
def test_the_fast_way_and_the_general_one_read_the_same_of_what_was_said(encoded, changes):
    decode, raw = encoded
    changed = mutated(raw, changes)
    if changed and changed[0] >> 5 == 5 and changed[0] & 31 <= 22:
        # A field far away, which nobody reads, makes the record none that the fast way takes.
        further = bytes((changed[0] + 1,)) + changed[1:] + b"\x18\xff\x00"
        found = read_by(decode, changed)
        # What the general way refuses may be right with the bytes of that field.
        assert found is InvalidValue or found == read_by(decode, further)


def read_by(decode: Callable[[bytes], object], raw: bytes) -> object:
    try:
        return decode(raw)
    except InvalidValue:
        return InvalidValue


@given(common, mutations)
def test_what_is_read_is_what_is_written_again(raw, changes):
    """A record is a function of its bytes and back, unless it holds fields of later versions or says defaults."""
    changed = mutated(raw, changes)
    try:
        record = decode_message(changed)
    except InvalidValue:
        return
    fields = cbor2.loads(changed)
    assert canonical(fields) == changed
    assert {key: value for key, value in fields.items() if key in fields_of(record)} == fields_of(
        record
    )


@given(ANY | st.binary(max_size=60), mutations)
def test_whatever_the_bytes_reading_refuses_in_words(raw, changes):
    changed = mutated(raw, changes)
    for _, _, decode in CODECS.values():
        with suppress(InvalidValue):
            decode(changed)
    with suppress(InvalidValue):
        decode_erased(changed)
