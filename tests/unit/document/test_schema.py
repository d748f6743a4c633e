"""Where an entry lives: months, keys."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.document.schema import (
    ACCOUNT,
    ALIASES,
    DAY_MS,
    DELETIONS,
    EDITS,
    ERASED,
    FIELDS,
    GONE,
    HEAD,
    ID_HASH_KEY,
    ID_KEY,
    ID_NUMBER_KEY,
    ID_STAMP_KEY,
    KIND,
    MESSAGES,
    REACTIONS,
    READS,
    SEGMENT,
    STAMP_KEY,
    AboutKey,
    DocumentId,
    Entry,
    about_of,
    id_of,
    is_about,
    is_name,
    month_bounds,
    segment_of,
    stamp_of,
)
from msgsync.ids import encode_id
from msgsync.records import Stamp

ids = st.binary(min_size=12, max_size=12)
stamps = st.builds(Stamp, st.integers(0, limits.LAMPORT), st.binary(min_size=10, max_size=10))


def test_roots_and_kinds_are_called_as_the_specification_says():
    assert (MESSAGES, EDITS, REACTIONS, ALIASES) == ("messages", "edits", "reactions", "aliases")
    assert (DELETIONS, ERASED, FIELDS, READS) == ("deletions", "erased", "fields", "reads")
    assert GONE == "gone"
    assert (HEAD, ACCOUNT) == ("head", "account")


@given(st.integers(0, 253_402_300_799_999))
def test_a_segment_is_the_calendar_month_in_utc(ms):
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    assert segment_of(ms) == f"{moment.year:04d}-{moment.month:02d}"


@pytest.mark.parametrize(
    ("moment", "kind"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01"),
        (datetime(2000, 2, 29, 23, 59, 59, tzinfo=UTC), "2000-02"),
        (datetime(2000, 3, 1, tzinfo=UTC), "2000-03"),
        (datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC), "2023-12"),
        (datetime(2024, 1, 1, tzinfo=UTC), "2024-01"),
        (datetime(2100, 2, 28, 23, 59, 59, tzinfo=UTC), "2100-02"),
        (datetime(2100, 3, 1, tzinfo=UTC), "2100-03"),
    ],
)
def test_months_change_at_midnight_utc(moment, kind):
    assert segment_of(int(moment.timestamp()) * 1000) == kind


@given(st.integers(0, limits.MS))
def test_every_id_has_a_segment(ms):
    assert SEGMENT.match(segment_of(ms))
    assert segment_of(ms // DAY_MS * DAY_MS) == segment_of(ms)
    assert DocumentId("c", segment_of(ms)).is_segment


def test_the_last_millisecond_of_an_id_is_in_the_year_10889():
    assert segment_of(limits.MS) == "10889-08"


def test_the_bounds_of_a_month_are_its_first_millisecond_and_the_first_behind_it():
    for year in (*range(1970, 2110), 2399, 2400, 2401, 9998):
        for month in range(1, 13):
            first = datetime(year, month, 1, tzinfo=UTC)
            behind = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            bounds = (int(first.timestamp()) * 1000, int(behind.timestamp()) * 1000)
            assert month_bounds(f"{year}-{month:02d}") == bounds
            assert segment_of(bounds[0]) == segment_of(bounds[1] - 1) == f"{year}-{month:02d}"
    assert month_bounds("10889-08")[0] <= limits.MS < month_bounds("10889-08")[1]


@pytest.mark.parametrize(
    "kind", ["2024-13", "2024-00", "2024-1", "24-01", "head", "2024-01\n", "2024-01x"]
)
def test_nothing_else_is_a_segment(kind):
    assert not DocumentId("c", kind).is_segment


def test_documents_of_the_account_are_neither_heads_nor_segments():
    assert not DocumentId("", "head").is_head
    assert not DocumentId("", "2024-01").is_segment
    assert DocumentId("c", "head").is_head


def test_heads_and_the_account_document_have_fields_and_no_other():
    for document, has_fields in (
        (DocumentId("c", "head"), True),
        (DocumentId("", "account"), True),
        (DocumentId("c", "account"), False),
        (DocumentId("", "head"), False),
        (DocumentId("c", "2024-01"), False),
        (DocumentId("c", "polls"), False),
    ):
        assert document.has_fields is has_fields
    assert not DocumentId("c", "2024-01").is_head


def test_people_are_told_where_a_document_is():
    assert DocumentId("family", "head").place == "family head"
    assert DocumentId("", "account").place == "the account account"


@pytest.mark.parametrize("kind", ["a", "0", "-", "z" * 32, "2024-01"])
def test_a_kind_is_of_small_letters_digits_and_hyphens(kind):
    assert KIND.match(kind)
    for wrong in ("", kind + "_", kind.upper() + "A", kind + "\n", "z" * 33, " " + kind):
        assert not KIND.match(wrong)


def test_a_name_is_printable_within_its_limit():
    assert is_name(b"!", 1)
    assert is_name(b"!~az", 4)
    for wrong in (b"", b"!~az5", b"a b", b"a\n", b"\x7f", b" a", b"a\xff"):
        assert not is_name(wrong, 4)


@given(ids, stamps)
def test_keys_round_trip(one, stamp):
    key = encode_id(one)
    assert ID_KEY.match(key)
    assert id_of(key) == one
    assert STAMP_KEY.match(stamp.key())
    assert stamp_of(stamp.key()) == stamp
    about = key + b"." + stamp.key()
    assert ID_STAMP_KEY.match(about)
    assert about_of(about) == AboutKey(one, stamp)
    assert ID_HASH_KEY.match(key + b"." + b"7" * 26)
    assert ID_NUMBER_KEY.match(key + b".07")
    for wrong in (about + b"0", b"z" + about, about[:-1], about + b"\n"):
        assert not ID_STAMP_KEY.match(wrong)
        assert not ID_HASH_KEY.match(wrong)
    for wrong in (about, stamp.key() + b"0", stamp.key()[:-1], stamp.key() + b"\n"):
        assert not STAMP_KEY.match(wrong)
    for wrong in (b"8" + b"0" * 25, b"7" * 25, b"7" * 27, b"7" * 26 + b"\n"):
        assert not ID_HASH_KEY.match(key + b"." + wrong)
    for wrong in (b"7", b"007", b"0a", b"07\n"):
        assert not ID_NUMBER_KEY.match(key + b"." + wrong)


@pytest.mark.parametrize(
    "key", [b"", b"0" * 19, b"0" * 21, b"2" + b"0" * 19, b"l" * 20, b"A" * 20, b"0" * 20 + b"\n"]
)
def test_nothing_else_is_the_key_of_a_message(key):
    assert not ID_KEY.match(key)
    assert not ID_STAMP_KEY.match(key + b"." + Stamp(0, bytes(10)).key())


@given(ids)
def test_entries_of_any_root_are_about_a_message_by_the_beginning_of_their_key(one):
    text = encode_id(one)
    for root in ("messages", "edits", "reactions", "aliases", "polls"):
        assert is_about(Entry(root, text + b".later", b""), {text})
    for root in ("deletions", "erased"):
        assert not is_about(Entry(root, text, b""), {text})
    assert not is_about(Entry("messages", text[:-1], b""), {text})
