"""Any order and repetition of statements gives the same members, and those are the ones that the rules give."""

from __future__ import annotations

from hypothesis import given, target
from hypothesis import strategies as st

from msgsync.account.roster import Roster, State
from msgsync.account.statements import Revoke, Statement
from tests.property.rosters import PHRASES, Reading, rosters


def in_force(state: State) -> set[str]:
    devices = {member.device.name for member in state.members.values()}
    return devices | {name for name, keys in PHRASES.items() if keys in state.recovery}


@given(said=rosters(), data=st.data())
def test_any_order_and_repetition_gives_the_same(said: list[Statement], data: st.DataObject):
    shuffled = data.draw(st.permutations([*said, *data.draw(st.lists(st.sampled_from(said)))]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    expected = Roster(said)
    grown = Roster(said[:1])
    for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
        grown = grown.merge(shuffled[start:end])
    assert grown == expected
    assert grown.state == expected.state
    assert grown.heads == expected.heads
    assert grown.raws() == expected.raws()


@given(said=rosters())
def test_members_are_those_that_the_rules_give(said: list[Statement]):
    reading = Reading(frozenset(said))
    target(float(sum(isinstance(one.content, Revoke) for one in reading.effective)))
    roster = Roster(said)
    assert in_force(roster.state) == reading.in_force
    fold = roster._fold
    judgement = fold.judge((1 << len(said)) - 1)
    effective = {one for n, one in enumerate(roster.statements) if judgement.effective >> n & 1}
    assert effective == reading.effective


@given(said=rosters(most=8), data=st.data())
def test_what_somebody_knew_is_judged_alone(said: list[Statement], data: st.DataObject):
    roster = Roster(said)
    heads = data.draw(st.lists(st.sampled_from(said), min_size=1, max_size=2))
    known = {one.id for one in heads}
    for one in reversed(roster.statements):
        if one.id in known:
            known |= set(one.parents)
    part = Roster([one for one in said if one.id in known])
    assert roster.state_at([one.id for one in heads]) == part.state


@given(said=rosters())
def test_no_epoch_is_used_that_somebody_removed_may_know(said: list[Statement]):
    state = Roster(said).state
    if state.epoch is None:
        return
    reading = Reading(frozenset(said))
    (begun,) = [one for one in said if getattr(one.content, "commitment", None) == state.epoch]
    past = reading._pasts[begun]
    then = Reading(past | {begun})
    for removal in reading.effective - past:
        for key in reading._ends(removal):
            assert key not in then.keys_in_force
            assert not any(begun in reading._pasts[grant] for grant in reading._grants(key))
