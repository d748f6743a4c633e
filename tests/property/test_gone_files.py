"""Erased attachments in documents: whatever is known in which order, nothing is left of what was in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from msgsync.document.columns import Messages
from msgsync.document.digest import MODULUS, entries_digest
from msgsync.document.fold import SegmentState, fold_segment
from msgsync.document.frozen import decode_frozen, encode_frozen, freeze
from msgsync.document.gonefiles import gone_entry, gone_files, messages_without, without_gone
from msgsync.document.schema import ERASED, GONE, MESSAGES, Entry
from msgsync.ids import encode_id
from msgsync.records import (
    AttachmentRecord,
    MessageRecord,
    decode_message,
    decode_message_columns,
    encode_message,
    without_files,
)
from tests.unit.document.said import MONTH, edit, erase, id_of

SECRET = b"what nobody is to read any more "
NUMBERS = st.integers(0, 3)
PLACES = st.tuples(NUMBERS, NUMBERS)


def file(number: int) -> AttachmentRecord:
    preview = SECRET if number % 2 else None
    return AttachmentRecord("a.png", "image/png", 5, SECRET, SECRET, 3, 4, number, preview)


def holder(number: int, files: int) -> Entry:
    record = MessageRecord(
        "ann", f"text {number}", extra={"a": 1}, attachments=tuple(map(file, range(files)))
    )
    return Entry(MESSAGES, encode_id(id_of(number)), encode_message(record))


entries = st.lists(
    st.one_of(
        st.builds(lambda place: gone_entry(id_of(place[0]), place[1]), PLACES),
        st.builds(lambda number, at: edit(number, at, "edited"), NUMBERS, PLACES),
        st.builds(erase, NUMBERS),
        st.builds(lambda number: Entry(GONE, encode_id(id_of(number)) + b".77", b"\xa0"), NUMBERS),
    ),
    unique=True,
    max_size=8,
).map(lambda some: [*some, *(holder(number, number) for number in range(4))])


def stored(known: Sequence[Entry]) -> list[Entry]:
    """What a replica that knows these keeps of them."""
    return without_gone(known, gone_files(MONTH, known))


def counted(state: SegmentState, known: Sequence[Entry]) -> int:
    """The digest of what matters, from the entries as they are stored."""
    gone = {one[:2] for one in state.irrelevant}
    left = [one for one in stored(known) if one[:2] not in gone and one.root != ERASED]
    return (entries_digest(left, state.erased)) % MODULUS


def shown(state: SegmentState) -> object:
    """All of it but the entries that do not matter, of which the values may be either."""
    return replace(state, irrelevant=[])


@given(entries, st.randoms(use_true_random=False))
def test_the_order_does_not_matter_nor_who_took_it_away_when(known, pick):
    """Some entries may have met an erasure on their way, others not: what they amount to is the same."""
    whole = fold_segment(MONTH, known)
    half = [one for one in known if pick.random() < 0.5]
    shuffled = [*stored(half), *(one for one in known if one not in half)]
    pick.shuffle(shuffled)
    assert shown(fold_segment(MONTH, shuffled)) == shown(whole)
    assert shown(fold_segment(MONTH, stored(known))) == shown(whole)
    assert whole.digest == counted(whole, known)
    for one, numbers in whole.gone.items():
        for number, record in enumerate(whole.messages[one].attachments):
            assert record.is_gone is (number in numbers)
            assert (record.name, record.size, record.duration_ms) == ("a.png", 5, number)


@given(entries)
def test_a_frozen_form_has_nothing_of_them_and_says_the_same(known):
    frozen = freeze(MONTH, known)
    raw = encode_frozen(frozen)
    again = decode_frozen(MONTH, raw)
    assert fold_segment(MONTH, again.entries()).digest == fold_segment(MONTH, known).digest
    assert encode_frozen(freeze(MONTH, stored(known))) == raw
    live = fold_segment(MONTH, known)
    left = [record for one in live.messages.values() for record in one.attachments]
    # Twice in each that is not gone: digest and key; and once more in each of an odd number, as the preview.
    assert raw.count(SECRET) == sum(
        2 + (record.preview is not None) for record in left if not record.is_gone
    )


@given(st.integers(0, 4), st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_taking_away_is_the_same_in_any_order_and_twice(files, some, others):
    value = holder(1, files).value
    one = without_files(without_files(value, some), others)
    assert one == without_files(without_files(value, others), some)
    assert one == without_files(value, some | others)
    assert one == without_files(one, some | others)
    before, after = decode_message(value), decode_message(one)
    assert [record.is_gone for record in after.attachments] == [
        number in some | others for number in range(files)
    ]
    assert (after.author, after.text, after.extra) == (before.author, before.text, before.extra)
    columns = Messages.of([(id_of(1), decode_message_columns(value))])
    [there] = messages_without(columns, {id_of(1): some | others}).values()
    assert there == one


@given(st.binary(max_size=40), st.integers(0, 60), st.sets(st.integers(0, 3)))
def test_what_cannot_be_read_stays_as_it_is(noise, at, numbers):
    value = holder(1, 3).value
    for broken in (noise, value[:at], value[:at] + noise + value[at:]):
        left = without_files(broken, numbers)
        assert left == broken or decode_message(left) is not None
