"""What is known of devices, reckoned: joining, meeting, beginning anew."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.standing import DAY_MS, Standing, Standings, digest, joined, met

A, B, C = (name * 8 for name in (b"a", b"b", b"c"))
STORE = b"s" * 16
LATER = b"t" * 16


def standing(has: dict[bytes, int], heard_ms: int = 0, *, anew: int = 0) -> Standing:
    return Standing(LATER if anew else STORE, anew, heard_ms, has)


devices = st.sampled_from([A, B, C])
standings = st.dictionaries(
    devices,
    st.builds(
        lambda has, heard_ms, anew: standing(has, heard_ms, anew=anew),
        st.dictionaries(devices, st.integers(1, 9)),
        st.integers(0, 5),
        st.integers(0, 1),
    ),
)


def known(found: Standings, device: bytes) -> dict[bytes, int]:
    return dict(found[device].has)


def test_joining_takes_the_greater_number_each_time():
    one = {A: standing({A: 5, B: 1}, 7), B: standing({B: 3})}
    other = {A: standing({A: 4, B: 2}, 6), B: standing({A: 1, B: 3}, 9)}
    both = joined(one, other)
    assert known(both, A) == {A: 5, B: 2}
    assert known(both, B) == {A: 1, B: 3}
    assert (both[A].heard_ms, both[B].heard_ms) == (7, 9)


@given(st.permutations([0, 1, 2]), st.lists(standings, min_size=3, max_size=3))
def test_what_is_known_in_the_end_depends_neither_on_order_nor_on_repetition(order, sides):
    together = joined(*sides)
    assert joined(*(sides[at] for at in order)) == together
    assert joined(together, sides[order[0]]) == together
    assert joined(*sides, *sides) == together


@given(standings, standings, standings)
def test_what_is_heard_bit_by_bit_comes_to_the_same(one, other, third):
    at_once = joined(one, other, third)
    assert reduce(joined, [one, other, third]) == at_once
    assert joined(one, joined(other, third)) == at_once


def test_of_a_device_that_began_anew_only_what_is_known_since_counts():
    before = {A: standing({A: 9, B: 9}), B: standing({A: 9, B: 9})}
    since = {A: standing({A: 2, B: 1}, anew=1), B: standing({A: 1, B: 3})}
    both = joined(before, since)
    assert both[A].store_id == LATER
    assert known(both, A) == {A: 2, B: 1}
    assert known(both, B) == {A: 1, B: 9}
    assert joined(since, before) == both


def test_after_meeting_both_have_what_either_had():
    ours = {A: standing({A: 5, C: 2}), B: standing({A: 1, B: 1}), C: standing({C: 4})}
    theirs = {B: standing({B: 7, C: 3}), A: standing({A: 2}), C: standing({C: 4})}
    both = met(ours, theirs, (A, B), 50)
    assert known(both, A) == known(both, B) == {A: 5, B: 7, C: 3}
    assert known(both, C) == {C: 4}
    assert (both[A].heard_ms, both[B].heard_ms, both[C].heard_ms) == (50, 50, 0)
    assert met(theirs, ours, (B, A), 50) == both, "both sides reckon the same"


def test_who_has_all_of_a_device_has_all_that_it_is_known_to_have():
    """C has all that B has, and B was just found equal to A: so C has all that A has."""
    ours = {A: standing({A: 5})}
    theirs = {B: standing({B: 7}), C: standing({B: 7, C: 2})}
    assert known(met(ours, theirs, (A, B), 0), C) == {A: 5, B: 7, C: 2}
    behind = {B: standing({B: 7}), C: standing({B: 6, C: 2})}
    assert known(met(ours, behind, (A, B), 0), C) == {B: 6, C: 2}


def test_the_digest_tells_what_is_worth_telling():
    one = {A: standing({A: 5, B: 1}, 3), B: standing({B: 1})}
    assert digest(one) == digest({B: standing({B: 1, A: 0}), A: standing({B: 1, A: 5}, 99)})
    for other in (
        {A: standing({A: 6, B: 1}, 3), B: standing({B: 1})},
        {A: standing({A: 5, B: 1}, 3 + DAY_MS), B: standing({B: 1})},
        {A: standing({A: 5, B: 1}, 3, anew=1), B: standing({B: 1})},
        {A: standing({A: 5}, 3)},
    ):
        assert digest(other) != digest(one)


MANY = {number.to_bytes(8, "big"): standing({}, 5) for number in range(2 * limits.DEVICES)}


def test_of_more_devices_than_are_kept_account_of_the_longest_unheard_are_left_out():
    ours = {A: standing({A: 1}, 6), B: standing({B: 1}, 7), C: standing({C: 1}, 4)}
    both = joined(ours, MANY)
    assert len(both) == limits.DEVICES
    assert {A, B} <= both.keys()
    assert C not in both
    assert joined(MANY, ours) == both
    assert joined(both, MANY, ours) == both


def test_who_is_to_be_kept_is_kept_and_times_that_lie_ahead_keep_nobody():
    assert C in joined(MANY, {C: standing({C: 1})}, first=(C,))
    ahead = {device: each._replace(heard_ms=limits.MS) for device, each in MANY.items()}
    both = joined({A: standing({A: 1}, 6), B: standing({B: 1}, 7)}, ahead, until_ms=100)
    assert len(both) == limits.DEVICES
    assert {A, B} <= both.keys()


def test_two_meet_although_account_is_kept_of_as_many_devices_as_may_be():
    ours = joined({A: standing({A: 5})}, MANY, first=(A,))
    both = met(ours, {B: standing({B: 7})}, (A, B), 50)
    assert len(both) == limits.DEVICES
    assert known(both, A) == known(both, B) == {A: 5, B: 7}
    assert met({B: standing({B: 7})}, ours, (B, A), 50) == both


def test_meeting_somebody_of_whom_nothing_is_known_adds_nothing():
    ours = {A: standing({A: 5})}
    assert met(ours, {C: standing({C: 1})}, (A, B), 50) == joined(ours, {C: standing({C: 1})})
