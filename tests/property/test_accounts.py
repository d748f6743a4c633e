"""Accounts over sessions: whoever meets whom, in the end all know of the same devices and epochs. Source: issue 6."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import DeviceRevoked, NotAMember, Replica
from msgsync.testing import SimulatedSystem

_MOST_DEVICES = 5
places = st.integers(0, _MOST_DEVICES - 1)
steps = st.one_of(
    st.tuples(st.just("meet"), places, places),
    st.tuples(st.just("meet"), places, places),
    st.tuples(st.sampled_from(["add", "rotate", "rename"]), places, places),
    st.tuples(st.just("revoke"), places, places),
)


class Household:
    """Devices of one account that do things while they are apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices: list[Replica] = []
        first = msgsync.open(folder / "0.db", durability="relaxed", system=SimulatedSystem("0"))
        self.devices.append(first)
        first.create_conversation("Family", id="family")

    def do(self, verb: str, place: int, other: int) -> None:
        one = self.devices[place % len(self.devices)]
        two = self.devices[other % len(self.devices)]
        if verb == "meet":
            if one is not two:
                self.meet(one, two)
        elif verb == "add" and len(self.devices) < _MOST_DEVICES:
            name = str(len(self.devices))
            path = self.folder / f"{name}.db"
            self.devices.append(one.new_device(path, system=SimulatedSystem(name)))
        elif verb == "rotate":
            one.rotate()
        elif verb == "rename":
            one.rename_device(f"named by {place}") if members(one) >= {one.device} else None
        elif verb == "revoke" and one is not two and two.device in members(one):
            one.revoke(two.device, even_without_recovery=True)

    @staticmethod
    def meet(one: Replica, two: Replica) -> None:
        try:
            assert msgsync.sync(one, two).complete
        except (DeviceRevoked, NotAMember):
            event("refused")

    def settle(self) -> None:
        """Let everybody meet everybody until nobody hears of anything new."""
        for _ in range(3 * _MOST_DEVICES):
            before = [one.membership.digest() for one in self.devices]
            for one, two in combinations(self.devices, 2):
                self.meet(one, two)
            if before == [one.membership.digest() for one in self.devices]:
                return
        raise AssertionError("rosters do not come to rest")


def members(replica: Replica) -> set[msgsync.DeviceId]:
    return {*replica.membership.roster().state.members}


RING = [("meet", 0, 1), ("revoke", 0, 2), ("revoke", 1, 0), ("revoke", 2, 1)]
"""Each is revoked by another one, and hears of its own revocation alone."""


@settings(max_examples=40)
@given(st.lists(steps, min_size=1, max_size=14))
@example(RING)
def test_all_who_trust_each_other_know_the_same_in_the_end(script):
    with TemporaryDirectory() as folder:
        household = Household(Path(folder))
        try:
            for number in range(2):
                household.do("add", number, 0)
            for verb, place, other in script:
                try:
                    household.do(verb, place, other)
                except DeviceRevoked:
                    one = household.devices[place % len(household.devices)]
                    assert verb != "meet"
                    assert one.revoked, "only such a one has no say"
            household.settle()
            for one, two in combinations(household.devices, 2):
                # Who knows that it was revoked takes part in nothing any more, whomever it holds to be a member.
                trusting = not one.revoked and not two.revoked
                if trusting and two.device in members(one) and one.device in members(two):
                    assert one.membership.digest() == two.membership.digest()
                    assert one.membership.roster().state == two.membership.roster().state
                    assert one.membership.keyring() == two.membership.keyring()
                    assert one.digest == two.digest
                else:
                    event("parted")
            for one in household.devices:
                state = one.membership.roster().state
                if one.device in state.members:
                    assert state.sealing_epoch() in one.membership.keyring()
                for two in household.devices:  # what the removed ones do not get
                    if two.revoked and one.device in members(two) and one.device in state.members:
                        assert state.epoch not in two.membership.keyring()
                assert one.check().ok
        finally:
            for one in household.devices:
                one.close()
