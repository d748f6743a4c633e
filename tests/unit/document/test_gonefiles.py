"""Attachments that were erased while their messages stay: what entries say of them, and what is left."""

from __future__ import annotations

import cbor2

from msgsync.document.columns import Messages
from msgsync.document.fold import fold_segment
from msgsync.document.frozen import decode_frozen, encode_frozen, freeze
from msgsync.document.gonefiles import (
    both,
    by_text,
    entry_without,
    gone_entry,
    gone_files,
    messages_without,
    without_gone,
)
from msgsync.document.schema import EDITS, GONE, MESSAGES, Entry
from msgsync.ids import encode_id
from msgsync.records import (
    AttachmentRecord,
    MessageRecord,
    decode_message,
    decode_message_columns,
    encode_message,
)
from tests.unit.document.said import HEAD, MONTH, edit, erase, id_of, message

SECRET = b"what nobody is to read any more "


def with_files(number: int, files: int = 2) -> Entry:
    one = AttachmentRecord("a.png", "image/png", 5, SECRET, SECRET)
    record = MessageRecord("ann", "text", attachments=(one,) * files)
    return Entry(MESSAGES, encode_id(id_of(number)), encode_message(record))


def gone_in(entry: Entry) -> list[bool]:
    return [one.is_gone for one in decode_message(entry.value).attachments]


def test_an_entry_names_one_attachment_of_a_message():
    entry = gone_entry(id_of(1), 3)
    assert entry == Entry(GONE, encode_id(id_of(1)) + b".03", b"\xa0")
    assert gone_files(MONTH, [entry]) == {id_of(1): {3}}


def test_entries_are_gathered_by_message_and_others_name_none():
    entries = [gone_entry(id_of(1), 0), with_files(1), gone_entry(id_of(2), 1)]
    assert gone_files(MONTH, [*entries, gone_entry(id_of(1), 2), edit(1, (0, 1), "x")]) == {
        id_of(1): {0, 2},
        id_of(2): {1},
    }
    assert gone_files(MONTH, [with_files(1)]) == {}


def test_one_that_cannot_be_read_names_none_and_the_next_one_counts():
    key = encode_id(id_of(1))
    unreadable = [
        Entry(GONE, key, b"\xa0"),
        Entry(GONE, key + b".77", b"\xa0"),
        Entry(GONE, key + b".00", b"\xff"),
    ]
    for one in unreadable:
        assert gone_files(MONTH, [one, gone_entry(id_of(2), 0)]) == {id_of(2): {0}}


def test_a_head_has_no_messages_and_so_none_of_their_attachments():
    assert gone_files(HEAD, [gone_entry(id_of(1), 0)]) == {}


def test_what_either_names_is_gone():
    one, other = {id_of(1): {0}, id_of(2): {1}}, {id_of(2): {0}, id_of(3): {5}}
    assert both(one, other) == {id_of(1): {0}, id_of(2): {0, 1}, id_of(3): {5}}
    assert both(one, {}) == one
    assert both({}, other) == other
    assert both({}, {}) == {}


def test_of_an_entry_nothing_is_left_of_what_was_in_its_erased_attachments():
    entries = [with_files(1), with_files(2), edit(1, (0, 1), "edited")]
    first, second, third = without_gone(entries, {id_of(1): {1}})
    assert gone_in(first) == [False, True]
    assert first.value.count(SECRET) == 2  # the digest and the key of the other one
    assert (second, third) == (entries[1], entries[2])
    assert without_gone(iter(entries), {}) == entries


def test_an_entry_of_another_root_or_that_cannot_be_read_stays_as_it_lies():
    texts = by_text({id_of(1): {0}})
    assert texts == {encode_id(id_of(1)): {0}}
    files = cbor2.loads(with_files(1).value)[7]
    for entry in (
        Entry(EDITS, encode_id(id_of(1)), with_files(1).value),
        Entry(MESSAGES, encode_id(id_of(1)), b"\xff"),
        Entry(MESSAGES, encode_id(id_of(1)), cbor2.dumps({7: files})),
        with_files(2),
    ):
        assert entry_without(entry, texts) == entry
    assert gone_in(entry_without(with_files(1), texts)) == [True, False]


def test_messages_in_columns_lose_the_same():
    plain = Entry(MESSAGES, encode_id(id_of(2)), message(2).value)
    messages = Messages.of(
        [
            (id_of(number), decode_message_columns(one.value))
            for number, one in ((1, with_files(1)), (2, plain), (3, with_files(3)))
        ]
    )
    left = messages_without(messages, {id_of(1): {0}, id_of(2): {0}})
    expected = entry_without(with_files(1), by_text({id_of(1): {0}}))
    assert left.rests == [
        decode_message_columns(expected.value)[-1],
        messages.rests[1],
        messages.rests[2],
    ]
    assert left._replace(rests=messages.rests) == messages
    assert messages_without(messages, {id_of(4): {0}}) is messages


def test_a_frozen_document_without_them_is_the_one_of_what_is_left():
    files = {id_of(1): {0}, id_of(3): {1}}
    known = [with_files(1), with_files(2), with_files(3)]
    frozen = freeze(MONTH, known)
    left = frozen.without_files(files)
    assert encode_frozen(left) == encode_frozen(freeze(MONTH, without_gone(known, files)))
    assert sorted(decode_frozen(MONTH, encode_frozen(left)).entries()) == sorted(
        without_gone(known, files)
    )
    other = Entry(MESSAGES, encode_id(id_of(1)), known[0].value)  # kept beside the columns
    assert gone_in(frozen._replace(others=[other]).without_files(files).others[0]) == [True, False]


def test_what_a_document_amounts_to_says_which_are_gone_of_messages_that_are_there():
    unreadable = Entry(GONE, encode_id(id_of(1)) + b".77", b"\xa0")
    known = [with_files(1), with_files(2), gone_entry(id_of(1), 1), gone_entry(id_of(2), 0)]
    state = fold_segment(MONTH, [*known, erase(2), unreadable])
    assert state.gone == {id_of(1): {1}}
    assert [one.is_gone for one in state.messages[id_of(1)].attachments] == [False, True]
    assert [*state.unreadable] == [unreadable]
    assert fold_segment(MONTH, known).gone == {id_of(1): {1}, id_of(2): {0}}
    assert fold_segment(MONTH, known[:1]).messages[id_of(1)] == decode_message(known[0].value)
