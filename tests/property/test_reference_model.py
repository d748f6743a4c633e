"""The reference model itself: it must be what design 4 says a fold is, or comparing with it proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync.testing.reference.entries import Deletion, Edit, Erasure, Reaction, Record, Stamp
from msgsync.testing.reference.fold import fold, matter, standing
from msgsync.testing.reference.ledger import DigestContradiction, Ledger
from msgsync.testing.reference.replica import ReferenceReplica

IDS = ("a", "b", "c")
MS = 1_700_000_000_000
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("edit", "react", "delete", "restore", "erase", "gone", "carrier", "merge")
        ),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sets(st.sampled_from(IDS), min_size=1),
    ),
    max_size=40,
)


def play(history):
    """Return three model replicas after a history."""
    replicas = [ReferenceReplica("ann") for _ in range(3)]
    for replica in replicas:
        for id in IDS:
            replica.send("c", Record(id, MS, MS, "ann", id, files=2))
    for number, (act, at, other, ids) in enumerate(history):
        replica, id = replicas[at], min(ids)
        match act:
            case "edit":
                replica.edit("c", id, MS, f"edit {number}")
            case "react":
                replica.react("c", id, MS, user="ann", emoji="👍", on=number % 2 == 0)
            case "delete" | "restore":
                replica.delete("c", dict.fromkeys(ids, MS), restored=act == "restore")
            case "erase":
                replica.erase("c", {id: MS})
            case "gone":
                replica.erase_attachment("c", id, MS, other)
            case "carrier":
                record = Record(id, MS, MS, "ann", id, files=2)
                replica.ingest("c", record, edits=[(f"look {other}", other)], deleted_ms=other)
            case "merge":
                replica.merge(replicas[other])
    return replicas


@given(history=steps)
def test_removing_what_lost_changes_nothing_whatever_arrives_later(history):
    for replica in (replicas := play(history)):
        kept = set(standing(replica.entries("c")))
        assert fold(kept) == fold(replica.entries("c"))
        for other in replicas:
            later = other.entries("c")
            assert fold(kept | later) == fold(replica.entries("c") | later)
            assert matter(kept | later) == matter(replica.entries("c") | later)


@given(history=steps)
def test_merging_in_any_grouping_is_the_same(history):
    first, second, third = (replica.entries("c") for replica in play(history))
    together = fold(first | second | third)
    left, right = play(history)[:2]
    left.merge(right)
    right.merge(left)
    assert left.state("c") == right.state("c")
    assert fold(set(standing(first | second)) | third) == together
    assert fold(first | set(standing(second | third))) == together


@given(history=steps)
def test_erased_is_absorbing_and_the_rest_is_never_lost(history):
    for replica in play(history):
        state = replica.state("c")
        assert state.messages.keys() | state.erased >= set(IDS)
        assert not state.messages.keys() & state.erased


def test_a_restore_wins_over_a_concurrent_deletion_but_not_over_a_later_one():
    phone, tablet = play([("delete", 0, 0, {"a"}), ("merge", 1, 0, {"a"})])[:2]
    phone.delete("c", {"a": MS})
    tablet.delete("c", {"a": MS}, restored=True)
    phone.merge(tablet)
    assert "a" in phone.state("c").live
    phone.delete("c", {"a": MS})
    tablet.merge(phone)
    assert "a" not in tablet.state("c").live


def test_an_edit_whose_writer_had_seen_more_wins():
    phone, tablet, _ = play([])
    for text in ("one", "two"):
        phone.edit("c", "a", MS, text)
    tablet.edit("c", "a", MS, "other")
    phone.merge(tablet)
    assert phone.state("c").messages["a"].texts == {"two"}


def test_a_tie_allows_either():
    phone, tablet, _ = play([])
    phone.edit("c", "a", MS, "one")
    tablet.edit("c", "a", MS, "other")
    phone.merge(tablet)
    assert phone.state("c").messages["a"].texts == {"one", "other"}


def test_a_lamport_number_that_may_not_have_been_heard_of_decides_nothing():
    phone, tablet, _ = play([])
    for number in range(3):
        phone.edit("c", "b", MS, f"soon gone {number}")
    phone.erase("c", {"b": MS})
    tablet.merge(phone)
    tablet.edit("c", "a", MS, "one")
    phone.edit("c", "a", MS, "other")
    phone.merge(tablet)
    assert phone.state("c").messages["a"].texts == {"one", "other"}
    tablet.merge(phone)
    tablet.edit("c", "a", MS, "last")
    phone.merge(tablet)
    assert phone.state("c").messages["a"].texts == {"last"}


def test_what_a_carrier_says_twice_is_one_entry():
    said = Stamp(0, 0, "", 5)
    assert Edit("a", "x", said) == Edit("a", "x", replace(said))
    assert Deletion(frozenset("a"), False, said).key == Deletion(frozenset("a"), False, said).key
    assert Reaction("a", "u", "e", True, said).stamp.below(Stamp(1, 1, "w"))


def test_the_ledger_predicts_sums_and_refuses_what_is_none():
    ledger = Ledger()
    a, b, c = Erasure("a"), Erasure("b"), Erasure("c")

    def digest(value):
        return value.to_bytes(16, "big")

    ledger.observe([a, b], digest(30))
    ledger.observe([b, c], digest(2**128 - 5))
    assert ledger.predict([a]) is None
    ledger.observe([a], digest(10))
    assert ledger.predict([b]) == digest(20)
    assert ledger.predict([a, b, c]) == digest(5)
    with pytest.raises(DigestContradiction):
        ledger.observe([a, c], digest(7))
    with pytest.raises(DigestContradiction):
        ledger.observe([a, b, c], digest(30))
