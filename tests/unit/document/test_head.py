"""The fold of heads: a function of the set, whatever the order, and unchanged by removing what it calls irrelevant."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync.document.digest import entries_digest
from msgsync.document.head import HeadState, fold_head
from msgsync.document.schema import DELETIONS, ERASED, FIELDS, READS, Entry
from msgsync.errors import InvalidValue
from msgsync.records import (
    DeletionKind,
    FieldRecord,
    HeadDeletionRecord,
    ReadKind,
    ReadRecord,
    decode_erased_fields,
    decode_head_deletion,
    decode_read,
    encode_erased_fields,
    encode_field,
    encode_head_deletion,
    encode_read,
    erased_key,
    name_hash,
)
from tests.unit.document.said import HEAD, At, stamp

ats = st.tuples(st.integers(1, 4), st.integers(1, 3))
names = st.sampled_from(["title", "pinned"])
kinds = st.sampled_from(DeletionKind)
messages = st.integers(0, 7)


def field(at: At, name: str, value: object) -> Entry:
    return Entry(FIELDS, stamp(at).key(), encode_field(FieldRecord(name, value)))


def delete(at: At, kind: DeletionKind, fields: frozenset[At], named: frozenset[At]) -> Entry:
    record = HeadDeletionRecord(
        kind, 0, None, tuple(sorted(map(stamp, fields))), frozenset(map(stamp, named))
    )
    return Entry(DELETIONS, stamp(at).key(), encode_head_deletion(record))


def place(number: int) -> tuple[int, int, bytes]:
    return number // 2, 0, bytes(5) + bytes((number % 2,)) if number % 2 else bytes(6)


def name_of(number: int) -> bytes:
    ms, _, tail = place(number)
    return ms.to_bytes(6, "big") + tail[:2]


def read(at: At, kind: ReadKind, last: int, from_ms: int, seen: frozenset[int]) -> Entry:
    record = ReadRecord(kind, 0, None, *place(last), from_ms, frozenset(map(name_of, seen)))
    return Entry(READS, stamp(at).key(), encode_read(record))


def erase(bounds: dict[str, At]) -> Entry:
    value = encode_erased_fields({name_hash(name): stamp(at) for name, at in bounds.items()})
    return Entry(ERASED, erased_key(value), value)


# One value for a key: the time of writing decides what an entry is about.
entries = st.one_of(
    st.builds(lambda at, name: field(at, name, f"{at}"), ats, names).filter(
        lambda one: one.key[9] % 4 != 0
    ),
    st.builds(delete, ats, kinds, st.frozensets(ats, max_size=3), st.frozensets(ats, max_size=3)),
    st.builds(
        read, ats, st.sampled_from(ReadKind), messages, st.integers(0, 4), st.frozensets(messages)
    ),
    st.builds(erase, st.dictionaries(names, ats, min_size=1)),
)


def unique(drawn: list[Entry]) -> list[Entry]:
    return list({entry[:2]: entry for entry in drawn}.values())


histories = st.lists(entries, max_size=12).map(unique)


def shown(state: HeadState) -> object:
    """All that can be seen of a head."""
    unread = [
        number
        for number in range(8)
        if not any(mark.record.covers(*place(number)) for mark in state.reads)
    ]
    fields = {name: value for name, (_, value) in state.fields.items()}
    return fields, state.covered, state.live, unread, state.erased


@given(histories, st.randoms())
def test_the_order_does_not_matter(history, random):
    folded = fold_head(HEAD, history)
    shuffled = list(history)
    random.shuffle(shuffled)
    again = fold_head(HEAD, shuffled)
    assert shown(again) == shown(folded)
    assert again.digest == folded.digest
    assert again.lamport == folded.lamport


@given(histories, histories)
@example(
    [read((1, 1), ReadKind.READ, 5, 0, frozenset({4, 5}))],
    [read((2, 1), ReadKind.READ, 5, 0, frozenset({4, 5}))],
)
def test_removing_what_is_irrelevant_changes_nothing_whatever_comes_later(history, later):
    folded = fold_head(HEAD, history)
    kept = [entry for entry in history if entry not in folded.irrelevant]
    assert shown(fold_head(HEAD, kept)) == shown(folded)
    assert fold_head(HEAD, kept).digest == folded.digest
    known = {entry[:2] for entry in history}
    new = [entry for entry in later if entry[:2] not in known]
    with_all, with_kept = fold_head(HEAD, history + new), fold_head(HEAD, kept + new)
    assert shown(with_kept) == shown(with_all)
    assert with_kept.digest == with_all.digest


@given(histories, histories)
def test_an_irrelevant_entry_that_comes_back_changes_nothing(history, later):
    """An old backup brings it: it is irrelevant again."""
    gone = fold_head(HEAD, history).irrelevant
    known = {entry[:2] for entry in history}
    whole = history + [entry for entry in later if entry[:2] not in known]
    state = fold_head(HEAD, whole)
    assert set(gone) <= set(state.irrelevant)


@given(histories)
def test_reading_goes_backwards_only_by_a_persons_word(history):
    """Without marks that say unread, more entries never make a message unread."""
    marks = [one for one in history if one.root == READS and decode_read(one.value).kind == 0]
    covered: set[int] = set()
    for count in range(len(marks) + 1):
        state = fold_head(HEAD, marks[:count])
        now = {
            number
            for number in range(8)
            if any(mark.record.covers(*place(number)) for mark in state.reads)
        }
        assert covered <= now
        covered = now


@given(histories)
def test_marks_that_are_left_cover_what_all_covered(history):
    marks = [one for one in history if one.root == READS and decode_read(one.value).kind == 0]
    state = fold_head(HEAD, marks)
    for number in range(8):
        by_all = any(decode_read(one.value).covers(*place(number)) for one in marks)
        by_left = any(mark.record.covers(*place(number)) for mark in state.reads)
        assert by_all == by_left


def test_a_head_without_fields_does_not_live():
    assert not fold_head(HEAD, []).live
    assert not fold_head(HEAD, [read((1, 1), ReadKind.READ, 3, 0, frozenset())]).live


def test_a_deletion_covers_the_fields_that_its_writer_knew():
    title, deletion = field((1, 1), "title", "x"), (3, 1)
    covered = delete(deletion, DeletionKind.DELETED, frozenset({(1, 1)}), frozenset())
    assert not fold_head(HEAD, [title, covered]).live
    renamed = field((2, 2), "title", "y")
    assert fold_head(HEAD, [title, covered, renamed]).live
    restored = delete((4, 1), DeletionKind.RESTORED, frozenset({(1, 1)}), frozenset({deletion}))
    state = fold_head(HEAD, [title, covered, restored])
    assert state.live
    assert len(state.irrelevant) == 1
    concurrent = delete((4, 2), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset())
    assert fold_head(HEAD, [title, covered, restored, concurrent]).live, "a restoration wins"


def test_what_was_superseded_is_not_in_force_where_it_still_matters_for_another_field():
    title, pinned = field((1, 1), "title", "x"), field((1, 2), "pinned", True)
    restored = delete((2, 1), DeletionKind.RESTORED, frozenset({(1, 1), (1, 2)}), frozenset())
    deleted = delete((3, 1), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset({(2, 1)}))
    state = fold_head(HEAD, [title, pinned, restored, deleted])
    assert state.irrelevant == []
    assert state.covered == {"title"}
    assert state.live


def test_a_deletion_that_names_itself_is_one_like_any_other():
    title = field((1, 1), "title", "x")
    odd = delete((2, 1), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset({(2, 1)}))
    assert fold_head(HEAD, [title, odd]).covered == {"title"}
    same = delete((3, 1), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset({(2, 1)}))
    assert fold_head(HEAD, [title, odd, same]).irrelevant == [odd]


def test_the_digest_of_a_head_counts_what_matters_and_bounds_of_what_is_erased():
    title, mark = field((1, 1), "title", "x"), read((2, 1), ReadKind.READ, 3, 0, frozenset())
    poll = Entry("polls", b"k", b"v")
    deletion = delete((3, 1), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset())
    told = [title, mark, poll, deletion]
    assert fold_head(HEAD, told).digest == entries_digest(told)
    bound = name_hash("title") + stamp((1, 1)).pack()
    gone = [title, mark, erase({"title": (1, 1)})]
    assert fold_head(HEAD, gone).digest == entries_digest([mark], [bound])
    assert fold_head(HEAD, []).digest == HeadState().digest == 0


@pytest.mark.parametrize("root", [FIELDS, DELETIONS, READS, ERASED])
@pytest.mark.parametrize("key", [stamp((1, 1)).key(), b"0" * 26, b"odd"])
def test_what_cannot_be_read_in_a_head_is_kept_and_reported(root, key):
    title, bad = field((1, 2), "title", "x"), Entry(root, key, b"\xff")
    marks = [read((2, 1), ReadKind.READ, 3, 0, frozenset()), erase({"pinned": (1, 2)})]
    deletion = delete((4, 1), DeletionKind.DELETED, frozenset({(1, 1)}), frozenset())
    told = [title, *marks, deletion]
    state, without = fold_head(HEAD, [bad, *told]), fold_head(HEAD, told)
    assert list(state.unreadable) == [bad]
    assert state.unreadable[bad]
    assert state.irrelevant == []
    assert shown(state) == shown(without)
    assert state.digest == (without.digest + entries_digest([bad])) % 2**128


@pytest.mark.parametrize(
    "entry",
    [
        field((9, 1), "title", "x"),
        delete((9, 1), DeletionKind.DELETED, frozenset(), frozenset()),
        read((9, 1), ReadKind.READ, 3, 0, frozenset()),
        erase({"pinned": (9, 1)}),
    ],
)
def test_the_lamport_numbers_of_all_that_a_head_holds_are_seen(entry):
    others = [
        field((8, 1), "title", "y"),
        delete((8, 2), DeletionKind.DELETED, frozenset(), frozenset()),
        read((8, 3), ReadKind.READ, 2, 0, frozenset()),
        erase({"created": (8, 4)}),
    ]
    assert fold_head(HEAD, [entry]).lamport == 9
    assert fold_head(HEAD, [*others, entry]).lamport == 9
    assert fold_head(HEAD, [entry, *others]).lamport == 9
    assert fold_head(HEAD, []).lamport == 0


def test_an_erasure_is_irrelevant_if_one_other_holds_all_of_it():
    one, later = erase({"title": (1, 1)}), erase({"title": (2, 1)})
    both = erase({"title": (1, 1), "pinned": (1, 1)})
    assert fold_head(HEAD, [one, later]).irrelevant == [one]
    assert fold_head(HEAD, [one, both]).irrelevant == [one]
    assert fold_head(HEAD, [later, both]).irrelevant == []
    assert fold_head(HEAD, [both, one, later]).irrelevant == [one]
    assert fold_head(HEAD, [both]).irrelevant == []


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_fields_that_were_outdone_are_irrelevant(order):
    written = [field((number, 1), "title", f"{number}") for number in (1, 2, 3)]
    state = fold_head(HEAD, [written[place] for place in order])
    assert set(state.irrelevant) == set(written[:2])
    assert len(state.irrelevant) == 2
    assert state.digest == entries_digest(written[2:])


def test_marks_that_others_outdo_are_irrelevant():
    first = read((1, 1), ReadKind.READ, 3, 0, frozenset())
    further = read((2, 1), ReadKind.READ, 5, 0, frozenset())
    state = fold_head(HEAD, [first, further])
    assert state.irrelevant == [first]
    assert [mark.stamp for mark in state.reads] == [stamp((2, 1))]
    unread = read((3, 1), ReadKind.UNREAD, 2, 0, frozenset())
    state = fold_head(HEAD, [first, further, unread])
    assert set(state.irrelevant) == {first, further}
    assert [mark.stamp for mark in state.reads] == [stamp((3, 1))]
    again = read((4, 1), ReadKind.UNREAD, 1, 0, frozenset())
    assert fold_head(HEAD, [unread, again]).irrelevant == [unread]
    later = read((5, 1), ReadKind.READ, 5, 0, frozenset())
    state = fold_head(HEAD, [again, later])
    assert state.irrelevant == []
    assert len(state.reads) == 2


def test_an_erasure_is_about_its_own_field_alone():
    early = field((0, 1), "title", "x")  # from a carrier or an import
    state = fold_head(HEAD, [early, erase({"pinned": (5, 1)})])
    assert state.value("title", str) == "x"
    assert not state.remains


def test_a_field_is_told_only_if_it_is_of_its_kind():
    state = fold_head(HEAD, [field((1, 1), "title", "x"), field((2, 1), "pinned", 1)])
    assert state.value("title", str, "none") == "x"
    assert state.value("pinned", bool, False) is False
    assert state.value("muted", bool, True) is True


def test_what_was_erased_stays_so_for_the_beaten_ones_too():
    old, new = field((1, 1), "title", "old"), field((2, 1), "title", "new")
    gone = erase({"title": (2, 1)})
    for history in ([old, new, gone], [old, gone], [gone], [new, gone]):
        state = fold_head(HEAD, history)
        assert state.fields == {}
        assert state.digest == fold_head(HEAD, [gone]).digest
        assert state.remains == (len(history) > 1)
    later = field((3, 1), "title", "again")
    assert fold_head(HEAD, [old, gone, later]).fields["title"][1] == "again"


@pytest.mark.parametrize(
    ("decode", "raw"),
    [
        (decode_read, b"\xa0"),
        (decode_read, b"\xa4\x01\x00\x02\x00\x04\x51" + bytes(17) + b"\x05\x00"),
        (decode_read, b"\xa4\x01\x02\x02\x00\x04\x52" + bytes(18) + b"\x05\x00"),
        (decode_read, b"\xa5\x01\x00\x02\x00\x04\x52" + bytes(18) + b"\x05\x00\x06\x41x"),
        (decode_head_deletion, b"\xa3\x01\x00\x02\x00\x06\x4f" + bytes(15)),
        (decode_head_deletion, b"\xa3\x01\x00\x02\x00\x06\x58\x20" + bytes(32)),
        (decode_head_deletion, b"\xa2\x01\x02\x02\x00"),
        (decode_erased_fields, b""),
        (decode_erased_fields, b"\x40"),
        (decode_erased_fields, b"\x57" + bytes(23)),
        (decode_erased_fields, b"\x58\x30" + bytes(48)),
        (decode_erased_fields, b"\xa0"),
    ],
)
def test_other_values_are_refused(decode, raw):
    with pytest.raises(InvalidValue):
        decode(raw)
