"""One line at a time: what it says, or why it says nothing."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.errors import InvalidValue
from msgsync.ids import MessageId
from msgsync.importers.reading import ConversationLine, LineReader, read_time
from msgsync.importers.writing import write_time
from msgsync.replica.values import Edit, Incoming, Reaction

SENT_MS = 1_714_579_320_000
LATEST_MS = SENT_MS + 10**9
MESSAGE_ID = str(MessageId(SENT_MS.to_bytes(6, "big") + b"abcdef"))
LINE: dict[str, Any] = {
    "conversation": "family",
    "id": "17",
    "author": "ann",
    "sent": "2024-05-01T16:02:00Z",
    "text": "Dinner?",
}


def read(*lines: object) -> list[Incoming | ConversationLine | None]:
    reader = LineReader(LATEST_MS)
    return [
        reader.read(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        for line in lines
    ]


def read_one(**fields: object) -> Incoming:
    (value,) = read({**LINE, **fields})
    assert isinstance(value, Incoming)
    return value


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in LINE.items() if key != name}


def reason(line: object) -> str:
    with pytest.raises(InvalidValue) as refused:
        read(line)
    return str(refused.value)


def incoming(*lines: dict[str, Any]) -> list[Incoming]:
    values = read(*lines)
    assert all(isinstance(value, Incoming) for value in values)
    return values  # type: ignore[return-value]


def test_the_common_line():
    assert read_one() == Incoming("family", "ann", "Dinner?", SENT_MS, external_id="17")


def test_every_field():
    assert read_one(
        type="message",
        order=3,
        kind="action",
        reply_to="16",
        edits=[{"text": "Dinner!", "at": SENT_MS + 1}],
        reactions=[{"user": "ben", "emoji": "👍🏽", "at": "2024-05-01T18:02:00.002+02:00"}],
        deleted="2024-05-01 16:02:00,003",
        extra={"likes": [1, 2.5, None, {"deep": True}]},
        unknown=["ignored"],
    ) == Incoming(
        "family",
        "ann",
        "Dinner?",
        SENT_MS,
        external_id="17",
        order=3,
        kind="action",
        reply_external="16",
        edits=(Edit("Dinner!", SENT_MS + 1),),
        reactions=(Reaction("ben", "👍🏽", SENT_MS + 2),),
        deleted_ms=SENT_MS + 3,
        extra={"likes": [1, 2.5, None, {"deep": True}]},
    )


def test_null_is_absent():
    names = ("type", "message_id", "order", "kind", "reply_to", "reply_external", "edits")
    more = ("reactions", "deleted", "extra", "extra_cbor")
    assert read_one(**dict.fromkeys(names + more)) == read_one()


@pytest.mark.parametrize(("deleted", "ms"), [(True, SENT_MS), (False, None), (0, 0)])
def test_deleted_without_a_time(deleted, ms):
    assert read_one(deleted=deleted).deleted_ms == ms


def test_a_message_id_is_kept_beside_the_sources_id():
    message = read_one(message_id=MESSAGE_ID)
    assert (str(message.message_id), message.external_id) == (MESSAGE_ID, "17")


def test_no_id_is_made_up_beside_a_message_id():
    (message,) = incoming({**without("id"), "message_id": MESSAGE_ID})
    assert message.external_id is None


def test_a_reply_is_a_msgsync_id_only_on_a_line_that_has_one():
    assert read_one(reply_to=MESSAGE_ID).reply_external == MESSAGE_ID
    exported = read_one(message_id=MESSAGE_ID, reply_to=MESSAGE_ID)
    assert (str(exported.reply_to), exported.reply_external) == (MESSAGE_ID, None)
    assert read_one(message_id=MESSAGE_ID, reply_to="16").reply_external == "16"
    assert read_one(message_id=MESSAGE_ID, reply_to="z" * 20).reply_external == "z" * 20


def test_reply_external_is_never_a_msgsync_id():
    message = read_one(message_id=MESSAGE_ID, reply_to="16", reply_external=MESSAGE_ID)
    assert (message.reply_to, message.reply_external) == (None, MESSAGE_ID)


def test_equal_times_keep_the_order_of_the_file():
    later = "2024-05-01T16:03:00Z"
    lines = [
        LINE,
        {**LINE, "conversation": "work"},
        LINE,
        {**LINE, "order": 40},
        {**LINE, "sent": SENT_MS},  # the same time in another form
        {**LINE, "conversation": "work"},
        {**LINE, "sent": later},
        LINE,  # a run of its own
    ]
    assert [message.order for message in incoming(*lines)] == [0, 0, 1, 40, 3, 1, 0, 0]


def test_a_bad_line_keeps_its_place_so_mending_it_moves_no_other():
    reader = LineReader(LATEST_MS)
    with pytest.raises(InvalidValue):
        reader.read(json.dumps({**LINE, "kind": 5}).encode())
    message = reader.read(json.dumps(LINE).encode())
    assert isinstance(message, Incoming)
    assert message.order == 1


def test_lines_without_ids_are_told_apart_by_what_they_say_and_how_often():
    anonymous = without("id")
    lines = [anonymous, anonymous, {**anonymous, "text": "Yes"}, {**anonymous, "author": "ben"}]
    ids = [message.external_id for message in incoming(*lines)]
    assert len(set(ids)) == len(lines)
    assert ids == [message.external_id for message in incoming(*lines)]


def test_ids_made_up_depend_on_nothing_but_the_run():
    anonymous = without("id")
    other = {**anonymous, "conversation": "work"}
    alone = incoming(anonymous, anonymous)
    among = incoming(other, anonymous, LINE, other, {**anonymous, "text": "Yes"}, anonymous)
    assert [m.external_id for m in alone] == [among[1].external_id, among[5].external_id]


def test_a_conversation_line():
    assert read({"type": "conversation", "conversation": "family", "title": "The family"}) == [
        ConversationLine("family", {"title": "The family"})
    ]
    assert read({"type": "conversation", "conversation": "family"}) == [
        ConversationLine("family", {})
    ]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \t\n", b""])
def test_blank_lines_say_nothing(blank):
    assert read(blank) == [None]


def test_a_carriage_return_is_no_part_of_the_line():
    assert read(json.dumps(LINE).encode() + b"\r\n") == read(LINE)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b'{"text": "Secret"', "not JSON"),
        (b'{"extra": {"a": NaN}}', "NaN"),
        (b'{"extra": {"a": -Infinity}}', "Infinity"),
        (b'{"sent": ' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[1, 2]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"text": "\xff"}', "not UTF-8 at byte 11"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ({**LINE, "text": "\ud800"}, "surrogate"),
        ({**LINE, "extra": {"\udfff": 1}}, "surrogate"),
        ({**LINE, "type": "poll"}, "unknown type"),
        ({**LINE, "type": 1}, "unknown type"),
        ({**LINE, "type": ["message"]}, "unknown type"),
        (without("conversation"), "`conversation` is missing"),
        (without("author"), "`author` is missing"),
        (without("text"), "`text` is missing"),
        (without("sent"), "`sent` is missing"),
        ({**LINE, "author": None}, "`author` is missing"),
        ({**LINE, "conversation": 5}, "`conversation` is a string"),
        ({**LINE, "conversation": ""}, "conversation id"),
        ({**LINE, "conversation": "a\0b"}, "NUL"),
        ({**LINE, "conversation": "ä" * 101}, "202 bytes"),
        ({**LINE, "author": 5}, "`author` is a string"),
        ({**LINE, "author": ""}, "`author` is empty"),
        ({**LINE, "author": "x" * 1025}, "`author` has 1025 bytes"),
        ({**LINE, "text": ["Dinner?"]}, "`text` is a string"),
        ({**LINE, "text": "ä" * (limits.TEXT_BYTES // 2) + "x"}, "`text` has 1048577 bytes"),
        ({**LINE, "id": 17}, "`id` is a string"),
        ({**LINE, "id": ""}, "`id` is empty"),
        ({**LINE, "id": "x" * 256}, "`id` has 256 bytes"),
        ({**LINE, "message_id": "17"}, "`message_id`"),
        ({**LINE, "message_id": 17}, "`message_id`"),
        ({**LINE, "message_id": "z" * 20}, "`message_id`"),
        ({**LINE, "order": -1}, "`order`"),
        ({**LINE, "order": 1.0}, "`order`"),
        ({**LINE, "order": True}, "`order`"),
        ({**LINE, "order": 2**48}, "`order`"),
        ({**LINE, "kind": 1}, "`kind` is a string"),
        ({**LINE, "kind": ""}, "`kind` is empty"),
        ({**LINE, "reply_to": 16}, "`reply_to` is a string"),
        ({**LINE, "reply_to": ""}, "`reply_to` is empty"),
        ({**LINE, "reply_external": 16}, "`reply_external` is a string"),
        ({**LINE, "edits": {"text": "x", "at": 0}}, "`edits` is a list"),
        ({**LINE, "edits": ["x"]}, "`edits` is a list of objects"),
        ({**LINE, "edits": [{"at": 0}]}, "`edits`"),
        ({**LINE, "edits": [{"text": "x"}]}, "`at` is missing"),
        ({**LINE, "edits": [{"text": "x" * (limits.TEXT_BYTES + 1), "at": 0}]}, "1048577 bytes"),
        ({**LINE, "reactions": "👍"}, "`reactions` is a list"),
        ({**LINE, "reactions": [{"user": "ben", "at": 0}]}, "`emoji`"),
        ({**LINE, "reactions": [{"user": "", "emoji": "x", "at": 0}]}, "`user` is empty"),
        ({**LINE, "reactions": [{"user": "ben", "emoji": "x" * 65, "at": 0}]}, "65 bytes"),
        ({**LINE, "reactions": [{"user": "ben", "emoji": "x", "at": "soon"}]}, "`at`"),
        ({**LINE, "deleted": "yes"}, "`deleted`"),
        ({**LINE, "deleted": []}, "`deleted`"),
        ({**LINE, "extra": [1]}, "`extra` is an object"),
        ({**LINE, "extra": {"a": 2**64}}, "extra"),
        ({**LINE, "extra": {"a": [[[[[[[[[[1]]]]]]]]]]}}, "extra"),
        ({**LINE, "extra": {"a": "x" * (limits.VALUE_BYTES + 1)}}, "bytes"),
        ({**LINE, "extra_cbor": "?"}, "`extra_cbor`"),
        ({**LINE, "extra_cbor": {"a": 1}}, "`extra_cbor`"),
        ({**LINE, "extra_cbor": base64.b64encode(b"\x81\x01").decode()}, "`extra`"),
        ({**LINE, "extra_cbor": base64.b64encode(b"\xa1").decode()}, "`extra_cbor`"),
        ({**LINE, "extra_cbor": base64.b64encode(b"\xc1\x01").decode()}, "`extra_cbor`"),
        ({"type": "conversation"}, "`conversation` is missing"),
        ({"type": "conversation", "conversation": ""}, "conversation id"),
        ({"type": "conversation", "conversation": "a", "title": 5}, "`title` is a string"),
        ({"type": "conversation", "conversation": "a", "title": "x" * 1025}, "`title` has 1025"),
    ],
)
def test_a_bad_line_says_why(line, words):
    said = reason(line)
    assert words in said
    assert "Dinner" not in said
    assert "Secret" not in said


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (0, 0),
        (limits.MS, limits.MS),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-05-01T16:02:00Z", SENT_MS),
        ("2024-05-01T16:02:00", SENT_MS),
        ("2024-05-01T16:02", SENT_MS),
        ("2024-05-01 18:02:00+02:00", SENT_MS),
        ("2024-05-01T11:32:00-0430", SENT_MS),
        ("20240501T160200Z", SENT_MS),
        ("2024-05-01T16:02:00.123999Z", SENT_MS + 123),
        ("2024-05-01T16:02:00.5Z", SENT_MS + 500),
        ("2024-05-01", SENT_MS - (16 * 60 + 2) * 60_000),
        ("1970-01-01T00:30:00+00:30", 0),
    ],
)
def test_times(value, ms):
    assert read_time(value, "sent") == ms


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "1714579320000",
        "2024-02-30",
        "2024-05-01T25:00:00Z",
        "2024-05-01T16:02:00+99:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+12:00",
        -1,
        limits.MS + 1,
        1.5,
        True,
        None,
        ["2024"],
    ],
)
def test_what_is_no_time(value):
    with pytest.raises(InvalidValue, match="`sent`"):
        read_time(value, "sent")


@given(st.integers(0, limits.MS))
def test_a_time_written_reads_the_same(ms):
    assert read_time(write_time(ms), "sent") == ms


def test_sent_in_the_future_is_refused_by_the_time_that_makes_the_id():
    assert read_one(sent=LATEST_MS).sent_ms == LATEST_MS
    assert "`sent` is more than 36 hours ahead" in reason({**LINE, "sent": LATEST_MS + 1})
    assert read_one(sent=LATEST_MS + 1, message_id=MESSAGE_ID).sent_ms == LATEST_MS + 1
    ahead = str(MessageId((LATEST_MS + 1).to_bytes(6, "big") + bytes(6)))
    assert "`message_id` is more than" in reason({**LINE, "message_id": ahead})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


FIELDS = [
    *LINE,
    "type",
    "message_id",
    "order",
    "kind",
    "reply_to",
    "edits",
    "reactions",
    "deleted",
    "extra",
    "title",
]
LIKELY = st.sampled_from([*LINE.values(), MESSAGE_ID, "conversation", [{"text": "x", "at": 1}]])


def accept_or_say_why(line: object) -> None:
    """Read a line; nothing but a reason may be raised."""
    try:
        read(line)
    except InvalidValue as refused:
        if not str(refused):
            raise


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | LIKELY))
def test_any_object_is_read_or_refused(record):
    accept_or_say_why(record)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw):
    accept_or_say_why(raw)
