"""The fold: every rule by an example, and what must hold of any set of entries. Source: design 4."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync.document.digest import entries_digest
from msgsync.document.fold import SegmentState, fold_segment
from msgsync.document.fold import fold as by_kind
from msgsync.document.head import HeadState, fold_head
from msgsync.document.schema import DocumentId, Entry
from msgsync.ids import encode_id
from msgsync.records import DeletionKind, MessageRecord, encode_message
from tests.unit.document.said import (
    HEAD,
    MONTH,
    At,
    cover,
    delete,
    edit,
    erase,
    field,
    id_of,
    message,
    react,
    restore,
    stamp,
)


def fold(*entries: Entry) -> SegmentState:
    return fold_segment(MONTH, entries)


def view(state: SegmentState) -> dict[str, Any]:
    """What an app can see of a segment."""
    return {
        "shown": {
            one: (state.text(one), record, state.deletion(one))
            for one, record in state.messages.items()
        },
        "edits": {one: [(e.stamp, e.record) for e in found] for one, found in state.edits.items()},
        "reactions": state.reactions,
        "deleted": {
            one: state.deletion(one)
            for deletion in state.deletions.values()
            for one in deletion.record.ids
            if one not in state.erased
        },
        "erased": state.erased,
        "digest": state.digest,
    }


# Edits.


@pytest.mark.parametrize(
    ("edits", "shown"),
    [
        ([], "text"),
        ([((1, 1), "a")], "a"),
        ([((1, 1), "a"), ((2, 1), "b")], "b"),
        ([((2, 1), "a"), ((1, 9), "b")], "a"),
        ([((1, 1), "a"), ((1, 2), "b")], "b"),
        ([((0, 5), "upstream"), ((1, 1), "here")], "here"),
        ([((0, 5), "early"), ((0, 7), "late")], "late"),
    ],
)
def test_the_edit_of_the_greatest_stamp_is_shown_and_all_are_kept(edits, shown):
    entries = [edit(1, at, text) for at, text in edits]
    for order in permutations(entries):
        state = fold(*order, message(1))
        assert state.text(id_of(1)) == shown
        assert [e.record.text for e in state.edits.get(id_of(1), [])] == [
            text for _, text in sorted(edits)
        ]
        assert state.irrelevant == []


def test_an_edit_may_come_before_its_message():
    assert fold(edit(1, (1, 1), "new")).messages == {}
    assert fold(edit(1, (1, 1), "new"), message(1)).text(id_of(1)) == "new"


# Reactions.


@pytest.mark.parametrize(
    ("reactions", "on"),
    [
        ([((1, 1), True)], True),
        ([((1, 1), True), ((2, 1), False)], False),
        ([((1, 1), True), ((2, 1), False), ((3, 1), True)], True),
        ([((1, 2), True), ((1, 1), False)], True),
        ([((1, 1), True), ((1, 2), False)], False),
        ([((0, 9), True), ((1, 1), False)], False),
        ([((1, 1), False)], False),
    ],
)
def test_the_reaction_of_the_greatest_stamp_wins_an_off_too(reactions, on):
    entries = [react(1, at, on=is_on) for at, is_on in reactions]
    for order in permutations(entries):
        state = fold(*order)
        assert state.reactions[id_of(1), "ann", "👍"].record.on is on
        assert len(state.irrelevant) == len(entries) - 1
        assert max(entries, key=lambda entry: entry.key) not in state.irrelevant


def test_each_user_has_each_emoji_on_each_message_for_itself():
    entries = [
        react(1, (1, 1), "ann", "👍"),
        react(1, (2, 1), "ben", "👍", on=False),
        react(1, (3, 1), "ann", "❤️"),
        react(2, (4, 1), "ann", "👍", on=False),
    ]
    state = fold(*entries)
    assert len(state.reactions) == 4
    assert state.irrelevant == []


# Deletions.

DELETED, LIVE = True, False


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], LIVE),
        ([delete((1, 1), 1)], DELETED),
        ([delete((1, 1), 2)], LIVE),
        ([delete((1, 1), 1), restore((2, 1), 1, names=((1, 1),))], LIVE),
        # Concurrent: restored wins, whatever the Lamport numbers say.
        ([delete((9, 9), 1), restore((1, 1), 1)], LIVE),
        ([delete((1, 1), 1), restore((9, 9), 1)], LIVE),
        # Deleted again, knowing of the restore.
        (
            [
                delete((1, 1), 1),
                restore((2, 1), 1, names=((1, 1),)),
                delete((3, 1), 1, names=((1, 1), (2, 1))),
            ],
            DELETED,
        ),
        # Restored on one device while another deletes anew: restored stands beside deleted.
        (
            [
                delete((1, 1), 1),
                restore((2, 1), 1, names=((1, 1),)),
                delete((2, 2), 1, names=((1, 1),)),
            ],
            LIVE,
        ),
        # The same, and then somebody who saw all that deletes.
        (
            [
                delete((1, 1), 1),
                restore((2, 1), 1, names=((1, 1),)),
                delete((2, 2), 1, names=((1, 1),)),
                delete((3, 3), 1, names=((1, 1), (2, 1), (2, 2))),
            ],
            DELETED,
        ),
        # A stale device brings an old entry back: it is named by the latest one.
        (
            [restore((2, 1), 1, names=((1, 1),)), delete((3, 1), 1, names=((1, 1), (2, 1)))],
            DELETED,
        ),
        ([restore((1, 1), 1), delete((3, 1), 1, names=((1, 1), (2, 1)))], DELETED),
        # Naming only direct predecessors would let (1, 1) stand again.
        ([restore((1, 1), 1), delete((3, 1), 1, names=((2, 1),))], LIVE),
        # A deletion that claims to supersede what was written after it is not believed.
        ([restore((5, 1), 1), delete((4, 9), 1, names=((5, 1),))], LIVE),
        ([restore((5, 2), 1), delete((5, 1), 1, names=((5, 2),))], LIVE),
        ([delete((5, 1), 1, names=((5, 1),))], DELETED),
        # An import deletes; what a person did here is above it.
        ([delete((0, 7), 1), restore((1, 1), 1, names=((0, 7),))], LIVE),
        # Covering several ids, only one of which concerns this message.
        ([delete((1, 1), 1, 2, 3), restore((2, 1), 2, names=((1, 1),))], DELETED),
        ([delete((1, 1), 1, 2, 3), restore((2, 1), 1, names=((1, 1),))], LIVE),
    ],
)
def test_a_message_is_deleted_or_live(entries, expected):
    for order in permutations(entries):
        state = fold(message(1), *order)
        assert (state.deletion(id_of(1)) is not None) is expected
        assert id_of(1) in state.messages  # hidden, not gone


def test_a_message_that_the_deleter_had_not_seen_survives():
    state = fold(message(1), message(2), delete((1, 1), 1))
    assert state.deletion(id_of(2)) is None


def test_what_was_superseded_is_not_in_force_where_it_still_matters_for_another_message():
    """The restoration stays for the second message, and a deletion that knew it hides the first."""
    entries = [message(1), message(2), delete((1, 1), 1, 2), restore((2, 1), 1, 2, names=((1, 1),))]
    state = fold(*entries, delete((3, 1), 1, names=((1, 1), (2, 1))))
    assert state.deletions.keys() == {stamp((2, 1)), stamp((3, 1))}
    in_force = state.deletion(id_of(1))
    assert in_force is not None
    assert in_force.stamp == stamp((3, 1))
    assert state.deletion(id_of(2)) is None


def test_a_deletion_that_names_itself_gives_way_like_any_other():
    odd = delete((1, 1), 1, names=((1, 1),))
    assert fold(message(1), odd, delete((2, 1), 1, names=((1, 1),))).irrelevant == [odd]


def test_of_several_deletions_in_force_the_greatest_is_named():
    state = fold(message(1), delete((1, 1), 1), delete((1, 2), 1))
    named = state.deletion(id_of(1))
    assert named is not None
    assert named.stamp == stamp((1, 2))


@pytest.mark.parametrize(
    ("entries", "irrelevant"),
    [
        ([delete((1, 1), 1), restore((2, 1), 1, names=((1, 1),))], [(1, 1)]),
        # A covers 1 and 2; only 1 was restored: A still says something about 2.
        ([delete((1, 1), 1, 2), restore((2, 1), 1, names=((1, 1),))], []),
        (
            [
                delete((1, 1), 1, 2),
                restore((2, 1), 1, names=((1, 1),)),
                restore((3, 1), 2, names=((1, 1),)),
            ],
            [(1, 1)],
        ),
        # Named by something that does not name all that it names: removing it would revive what it superseded.
        ([restore((2, 1), 1, names=((1, 1),)), delete((3, 1), 1, names=((2, 1),))], []),
        # Concurrent ones are both kept.
        ([delete((1, 1), 1), restore((1, 2), 1)], []),
        # A claim about the future removes nothing.
        ([restore((5, 1), 1), delete((4, 9), 1, names=((5, 1),))], []),
        # Two that claim to supersede each other: only the later one can.
        (
            [delete((1, 1), 1, names=((2, 2),)), restore((2, 2), 1, names=((1, 1), (2, 2)))],
            [(1, 1)],
        ),
        # Everything it covers is erased.
        ([delete((1, 1), 1, 2), erase(1, 2)], [(1, 1)]),
        ([delete((1, 1), 1, 2), erase(1)], []),
        ([delete((1, 1), 1, 2), erase(1), restore((2, 1), 2, names=((1, 1),))], [(1, 1)]),
    ],
)
def test_a_deletion_entry_is_irrelevant_once_dropping_it_changes_nothing(entries, irrelevant):
    for order in permutations(entries):
        gone = {entry.key for entry in fold(*order).irrelevant}
        assert gone == {stamp(at).key() for at in irrelevant}


# Erased.


def test_nothing_about_an_erased_message_matters_whatever_the_root():
    poll = Entry("polls", encode_id(id_of(1)) + b".x", b"yes")
    said = [message(1), edit(1, (5, 1), "x"), react(1, (6, 1)), poll]
    for order in ([erase(1), *said], [*said, erase(1)]):
        state = fold(message(2), *order)
        assert set(state.messages) == {id_of(2)}
        assert (state.edits, state.reactions) == ({}, {})
        assert set(state.irrelevant) == set(said)
        assert state.erased == {id_of(1)}
        assert state.digest == fold(message(2), erase(1)).digest


def test_no_restore_brings_an_erased_message_back():
    state = fold(message(1), erase(1), restore((9, 9), 1), edit(1, (9, 9), "still here"))
    assert state.messages == {}
    assert len(state.irrelevant) == 3


def test_an_id_may_be_erased_before_it_was_seen():
    assert fold(erase(1)).erased == {id_of(1)}
    assert fold(erase(1), message(1)).messages == {}


@pytest.mark.parametrize(
    ("packs", "irrelevant"),
    [
        ([(1,)], []),
        ([(1,), (2,)], []),
        ([(1,), (1, 2)], [(1,)]),
        ([(1,), (1, 2), (1, 2, 3)], [(1,), (1, 2)]),
        ([(1, 2), (2, 3)], []),
        ([(1, 2), (2, 3), (1, 3)], []),  # contained in the others together, but in no single one
        ([(1, 2), (2, 3), (1, 2, 3)], [(1, 2), (2, 3)]),
    ],
)
def test_an_erasure_is_irrelevant_only_if_one_other_holds_all_of_it(packs, irrelevant):
    for order in permutations(packs):
        state = fold(*(erase(*pack) for pack in order))
        assert set(state.irrelevant) == {erase(*pack) for pack in irrelevant}
        assert state.erased == {id_of(number) for pack in packs for number in pack}


def test_erased_ids_count_alike_whatever_packs_they_came_in():
    assert (
        fold(erase(1, 2)).digest
        == fold(erase(1), erase(2)).digest
        == fold(erase(1), erase(1, 2)).digest
    )
    assert fold(erase(1)).digest != fold(erase(2)).digest


# What cannot be read.


@pytest.mark.parametrize(
    "entry",
    [
        Entry("messages", b"k", b"\xa0"),
        Entry("messages", encode_id(id_of(1)), b"\xa0"),
        Entry("messages", encode_id(id_of(1)), encode_message(MessageRecord("ann", "x")) + b"\0"),
        Entry("messages", b"0" * 21, message(1).value),
        Entry("messages", b"0" * 19, message(1).value),
        Entry("messages", encode_id(b"\xff" * 12), message(1).value),  # another month
        Entry("edits", encode_id(id_of(1)), edit(1, (1, 1), "x").value),
        Entry("edits", edit(1, (1, 1), "x").key, message(1).value),
        Entry("reactions", react(1, (1, 1)).key, b""),
        Entry("deletions", b"0" * 26, delete((1, 1), 1).value),
        Entry("deletions", delete((1, 1), 1).key, erase(1).value),
        Entry("erased", b"0" * 26, erase(1).value),
        Entry("erased", erase(1).key, erase(2).value),
    ],
)
def test_what_cannot_be_read_is_kept_and_counted_and_changes_nothing(entry):
    told = [message(2), edit(2, (1, 1), "x")]
    state = fold(*told, entry)
    assert list(state.unreadable) == [entry]
    assert state.unreadable[entry]
    assert entry not in state.irrelevant
    assert state.messages.keys() == {id_of(2)}
    assert state.erased == set()
    assert state.digest == entries_digest([*told, entry])


def test_roots_of_later_versions_count_as_they_lie():
    poll = Entry("polls", b"anything", b"at all")
    assert fold(poll).digest == entries_digest([poll])
    assert fold(poll).unreadable == {}


def test_a_document_is_folded_by_its_kind():
    entries = [message(1), edit(1, (1, 1), "a"), field((2, 1), "title", "x")]
    assert by_kind(MONTH, entries) == fold_segment(MONTH, entries)
    assert by_kind(HEAD, entries) == fold_head(HEAD, entries)
    account = DocumentId("", "account")
    assert by_kind(account, entries) == fold_head(account, entries)
    later = by_kind(DocumentId("c", "polls"), entries)
    assert later == HeadState(digest=entries_digest(entries))


@pytest.mark.parametrize(
    "entry",
    [edit(1, (9, 1), "a"), react(1, (9, 1)), delete((9, 1), 1), restore((9, 1), 1)],
)
def test_the_lamport_numbers_of_all_that_has_one_are_seen(entry):
    assert fold(entry).lamport == fold(entry, edit(1, (8, 1), "b")).lamport == 9
    assert fold(edit(1, (8, 1), "b"), delete((8, 2), 1), react(1, (8, 3)), entry).lamport == 9


def test_erasures_behind_one_that_cannot_be_read_are_taken():
    bad = Entry("erased", b"0" * 26, b"")
    state = fold(bad, erase(1), bad._replace(key=b"1" * 26), erase(2), message(1), message(2))
    assert state.erased == {id_of(1), id_of(2)}
    assert len(state.unreadable) == 2
    assert state.messages == {}


def test_the_greatest_lamport_number_is_seen_in_what_lost_too():
    assert fold(react(1, (7, 1)), react(1, (9, 1), on=False), edit(2, (3, 1), "x")).lamport == 9
    assert fold(delete((8, 1), 1), erase(1)).lamport == 8
    assert fold(message(1)).lamport == 0
    assert fold() == SegmentState(digest=0, lamport=0)
    assert SegmentState().digest == 0


# Fields of a head.


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ([((1, 1), "a")], "a"),
        ([((1, 1), "a"), ((2, 1), "b")], "b"),
        ([((1, 2), "a"), ((1, 1), "b")], "a"),
        ([((1, 1), "a"), ((2, 1), None)], None),
    ],
)
def test_the_field_of_the_greatest_stamp_wins(written, shown):
    entries = [field(at, "title", value) for at, value in written]
    for order in permutations(entries):
        state = fold_head(HEAD, order)
        assert state.fields["title"][1] == shown
        assert len(state.irrelevant) == len(entries) - 1
        assert state.lamport == max(at for at, _ in written)[0]


def test_names_of_fields_are_for_themselves():
    state = fold_head(HEAD, [field((1, 1), "title", "a"), field((2, 1), "created", 5)])
    assert {name: value for name, (_, value) in state.fields.items()} == {
        "title": "a",
        "created": 5,
    }
    assert state.irrelevant == []


# Any set of entries.

numbers = st.integers(1, 3)
ats: st.SearchStrategy[At] = st.tuples(st.integers(0, 4), st.integers(1, 2))
some = st.lists(numbers, min_size=1, max_size=3, unique=True)
entry = st.one_of(
    st.builds(message, numbers),
    st.builds(edit, numbers, ats, st.sampled_from("ab")),
    st.builds(react, numbers, ats, st.sampled_from(["ann", "ben"]), on=st.booleans()),
    st.builds(
        lambda kind, at, covered, names: cover(kind, at, *covered, names=tuple(names)),
        st.sampled_from(DeletionKind),
        ats,
        some,
        st.lists(ats, max_size=4),
    ),
    st.builds(lambda covered: erase(*covered), some),
    st.sampled_from([Entry("polls", encode_id(id_of(1)), b"x"), Entry("messages", b"k", b"x")]),
)
fields = st.builds(field, ats, st.sampled_from(["title", "muted"]), st.integers(0, 2))


def sets(entries: st.SearchStrategy[Entry]) -> st.SearchStrategy[list[Entry]]:
    """The key determines the value, as among honest writers."""
    return st.lists(entries, max_size=14, unique_by=lambda one: one[:2])


@given(sets(entry), st.randoms(use_true_random=False))
def test_a_fold_is_of_a_set(entries, random):
    shuffled = entries * 2
    random.shuffle(shuffled)
    once = list(dict.fromkeys(shuffled))
    first, second = fold(*entries), fold(*once)
    assert view(first) == view(second)
    assert set(first.irrelevant) == set(second.irrelevant)
    assert first.unreadable == second.unreadable


@given(sets(entry), sets(entry))
@example(
    [
        delete((1, 1), 1),
        restore((2, 1), 1, names=((1, 1),)),
        delete((3, 1), 1, names=((1, 1), (2, 1))),
    ],
    [restore((1, 2), 1)],
)
@example([delete((1, 1), 1, 2), restore((2, 1), 1, names=((1, 1),))], [erase(2)])
def test_removing_what_is_irrelevant_changes_nothing_whatever_comes_later(before, later):
    gone = set(fold(*before).irrelevant)
    kept = [one for one in before if one not in gone]
    assert view(fold(*kept)) == view(fold(*before))
    assert fold(*kept).irrelevant == []
    later = [one for one in later if one[:2] not in {other[:2] for other in before}]
    whole, left = fold(*before, *later), fold(*kept, *later)
    assert view(left) == view(whole)
    assert set(left.irrelevant) == set(whole.irrelevant) - gone
    assert gone <= set(whole.irrelevant)


@given(sets(entry), st.integers(0, 14), st.integers(0, 14))
def test_removing_on_both_sides_before_a_merge_changes_nothing(entries, start, end):
    ours, theirs = entries[:end], entries[start:]
    whole = list(dict.fromkeys([*ours, *theirs]))
    left = [
        [one for one in side if one not in set(fold(*side).irrelevant)] for side in (ours, theirs)
    ]
    assert view(fold(*dict.fromkeys([*left[0], *left[1]]))) == view(fold(*whole))


@given(sets(entry))
def test_the_digest_counts_what_matters_and_nothing_else(entries):
    state = fold(*entries)
    erasures = {one for one in entries if one.root == "erased"}
    matter = [one for one in entries if one not in erasures and one not in set(state.irrelevant)]
    assert state.digest == entries_digest(matter, state.erased)


@given(sets(fields), sets(fields), st.randoms(use_true_random=False))
def test_a_head_folds_alike_in_any_order_and_without_what_is_irrelevant(before, later, random):
    def shown(state: HeadState) -> object:
        return state.fields, state.digest

    state = fold_head(HEAD, before)
    shuffled = [*before]
    random.shuffle(shuffled)
    assert shown(fold_head(HEAD, shuffled)) == shown(state)
    kept = [one for one in before if one not in set(state.irrelevant)]
    later = [one for one in later if one[:2] not in {other[:2] for other in before}]
    assert shown(fold_head(HEAD, [*kept, *later])) == shown(fold_head(HEAD, [*before, *later]))
