"""Which statements of a roster count: a pure function of their set. Source: docs/spec/crypto.md, "Who is a member".

Rules
-----
1. A **grant** makes a key one of the account: the genesis and an `Add` that of a device, the genesis and a `Recovery`
   that of a phrase. A **removal** ends that: a `Revoke` for its target, a `Recovery` for the phrases before it.
2. A statement is **authorised** if its signer was in the account by the statements in its causal past, judged alone.
   An `Add` of a second key under an id that a device has, or had, is not; of two that know nothing of each other the
   one with the smaller statement id has the id.
3. A statement **stands** on a grant of its signer's key in its past, if that grant stands and every removal of the key
   either lies in the past of the grant (which knew of it) or has the statement in its own past (and accepted it).
   So a removal wins over everything that the removed did concurrently, additions included.
4. A removal is **effective** if it stands on a grant by the effective removals. Where that goes in a circle (two that
   revoke each other), the revocations of the circle are all effective and its changes of phrase are not; what the
   removed of a circle did to third ones falls, as by rule 3.
5. A third member, or the phrase, decides who of a circle returns by adding it again: a revocation also stands on a
   later `Add` of its signer by another that knew of it, and then it is in no circle any more.
6. Who replaces the phrase does not thereby escape it: a change of phrase removes the old one, but not the old one's
   revocation of the device that made the change. So the phrase in force in the past of both decides.

Theory of operation
-------------------
Statements are numbered so that each comes after its past; sets of them are the bits of an integer. A set is judged
once. Judging finds the effective removals from both sides: those that stand even if every candidate is effective are,
those that do not even stand if only the known ones are effective are not; what is left after that goes in circles,
and of the circles those that no other one bears on are resolved by rule 4, until nothing is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Final, NamedTuple

from msgsync.account.keys import device_id
from msgsync.account.statements import Add, Genesis, Recovery, Revoke, Statement
from msgsync.ids import DeviceId

Set = int
"""A set of statements: bit i is the statement of number i."""


class Judgement(NamedTuple):
    """What a set of statements amounts to."""

    standing: Set
    effective: Set
    """Removals that hold, those of a circle included."""


_NOTHING: Final = Judgement(0, 0)


def members_of(numbers: Set) -> Iterator[int]:
    """The numbers in a set, ascending."""
    while numbers:
        low = numbers & -numbers
        yield low.bit_length() - 1
        numbers ^= low


@dataclass(slots=True)
class _Key:
    """What authorised statements say about one key."""

    grants: list[int] = field(default_factory=list)
    removals: list[int] = field(default_factory=list)
    granting: Set = 0
    removing: Set = 0
    """The same as sets."""
    said: Set = 0
    """What it signed."""
    phrases: Set = 0
    """Its changes of phrase."""


class Fold:
    """Statements in causal order, and judgements of sets of them that contain the past of each member."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        """Number the statements; each comes after all its parents, which are there, and the genesis first."""
        self.statements = statements
        self.past: list[Set] = []
        """The causal past of each statement, without itself."""
        self.height: list[int] = []
        """The length of the longest way from the genesis."""
        self.authorised: Set = 0
        self.id_taken: Set = 0
        """Adds that are refused, or contested, because of the id: see rule 2."""
        self._keys: dict[bytes, _Key] = {}
        self._same_id: defaultdict[DeviceId, set[bytes]] = defaultdict(set)
        self._judged: dict[Set, Judgement] = {0: _NOTHING}
        number_of: dict[bytes, int] = {}
        for number, statement in enumerate(statements):
            past, height = 0, 0
            for parent in statement.parents:
                of_parent = number_of[parent]
                past |= self.past[of_parent] | 1 << of_parent
                height = max(height, self.height[of_parent] + 1)
            number_of[statement.id] = number
            self.past.append(past)
            self.height.append(height)
        self.future: list[Set] = [0] * len(statements)
        """What builds on each statement, directly or not."""
        for number in range(len(statements) - 1, -1, -1):
            known = self.future[number] | 1 << number
            for parent in statements[number].parents:
                self.future[number_of[parent]] |= known
        for number in range(len(statements)):
            self._authorise(number)

    # Rule 2.

    def _authorise(self, number: int) -> None:
        statement, bit = self.statements[number], 1 << number
        content = statement.content
        if not isinstance(content, Genesis):
            if not self.has(statement.signer, self.judge(self.past[number])):
                return
            if isinstance(content, Add) and self._meets_id(number):
                self.id_taken |= bit
                return
        self.authorised |= bit
        signer = self._key(statement.signer)
        signer.said |= bit
        if isinstance(content, Recovery):
            signer.phrases |= bit
        for key in granted_by(statement):
            self._key(key).grants.append(number)
            self._key(key).granting |= bit
            self._same_id[device_id(key)].add(key)
        for key in self._removed_by(number):
            self._key(key).removals.append(number)
            self._key(key).removing |= bit

    def _meets_id(self, number: int) -> bool:
        """Whether an add knows of a device with the same id and another key."""
        content = self.statements[number].content
        assert isinstance(content, Add)
        own = content.device.keys.signing
        return any(
            self.past[number] >> at & 1 and isinstance(self.statements[at].content, Genesis | Add)
            for key in self._same_id[device_id(own)]
            if key != own
            for at in self._keys[key].grants
        )

    def contested(self, number: int, among: Set) -> bool:
        """Whether an add among these that knows nothing of this one, nor this one of it, has the id first."""
        statement = self.statements[number]
        if not isinstance(statement.content, Add):
            return False
        own = statement.content.device.keys.signing
        return any(
            among >> at & 1
            and isinstance(self.statements[at].content, Add)
            and not self.past[at] >> number & 1
            and not self.past[number] >> at & 1
            and self.statements[at].id < statement.id
            for key in self._same_id[device_id(own)]
            if key != own
            for at in self._keys[key].grants
        )

    def _removed_by(self, number: int) -> list[bytes]:
        """The keys that a removal removes."""
        content = self.statements[number].content
        if isinstance(content, Revoke):
            return [content.target]
        if isinstance(content, Recovery):
            return [
                other.recovery.signing
                for at in members_of(self.past[number] & self.authorised)
                if isinstance(other := self.statements[at].content, Genesis | Recovery)
                and other.recovery.signing != content.recovery.signing
            ]
        return []

    def _key(self, key: bytes) -> _Key:
        return self._keys.setdefault(key, _Key())

    # Questions about a judgement.

    def has(self, key: bytes, judgement: Judgement) -> bool:
        """Whether a key is in the account: some grant of it stands and knew of every removal of it."""
        return bool(self.grants_in_force(key, judgement))

    def grants_in_force(self, key: bytes, judgement: Judgement) -> list[int]:
        """The grants that make a key one of the account; none if it is not."""
        said = self._keys.get(key)
        if said is None:
            return []
        removing = said.removing & judgement.effective
        return [
            grant
            for grant in members_of(said.granting & judgement.standing)
            if not removing & ~self.past[grant]
        ]

    def granted(self) -> Iterator[bytes]:
        """Every key that an authorised grant names."""
        return (key for key, said in self._keys.items() if said.grants)

    def removals(self) -> Set:
        """Every authorised removal."""
        return reduce(or_, (said.removing for said in self._keys.values()), 0)

    def repeats(self, removal: int, known: Set, among: Set) -> bool:
        """Whether everybody whom a removal removes was out by a known one, and was not let in again since.

        Args:
            removal: the one that is asked about.
            known: effective removals.
            among: what grants there are.
        """
        return all(
            any(
                known >> earlier & 1
                and not any(
                    among >> grant & 1 and self.past[grant] >> earlier & 1 for grant in said.grants
                )
                for earlier in said.removals
            )
            for said in map(self._key, self._removed_by(removal))
        )

    # Judging.

    def judge(self, among: Set) -> Judgement:
        """Judge a set that contains the past of each member."""
        known = self._judged.get(among)
        if known is None:
            known = self._judged[among] = self._judge_afresh(among)
        return known

    def _judge_afresh(self, among: Set) -> Judgement:
        last = among.bit_length() - 1
        if self.past[last] == among ^ 1 << last and not self._is_return(last):
            # All the rest is in the past of the last one: it overrides nothing, and nothing overrides it.
            before = self.judge(self.past[last])
            bit = 1 << last & self.authorised
            removal = bit if self._removed_by(last) else 0
            return Judgement(before.standing | bit, before.effective | removal)
        authorised = among & self.authorised
        effective = self._effective(authorised)
        return Judgement(self._standing(authorised, effective), effective)

    def _is_return(self, number: int) -> bool:
        """Whether this adds a device that was there before, which may decide about revocations."""
        content = self.statements[number].content
        if not isinstance(content, Add):
            return False
        grants = self._key(content.device.keys.signing).grants
        return any(self.past[number] >> grant & 1 for grant in grants)

    def _effective(self, authorised: Set) -> Set:
        """Rule 4: the removals that hold."""
        candidates = self.removals() & authorised
        certain, void = 0, 0
        while open_ones := candidates & ~certain & ~void:
            new = open_ones & self._standing(authorised, certain | open_ones)
            dead = open_ones & ~self._standing(authorised, certain)
            if new or dead:
                certain |= new
                void |= dead
                continue
            circle = self._uppermost_circles(authorised, certain, open_ones)
            phrases = sum(
                1 << at
                for at in members_of(circle)
                if isinstance(self.statements[at].content, Recovery)
            )
            if phrases:
                void |= phrases
            else:
                certain |= circle
        return certain

    def _uppermost_circles(self, authorised: Set, certain: Set, open_ones: Set) -> Set:
        """Of removals that override each other in circles, those whose circle no other one bears on."""
        overrides: dict[int, Set] = {}
        standing = self._standing(authorised, certain)
        for at in members_of(open_ones):
            overrides[at] = open_ones & self._falling(at, authorised, certain, standing)
        reached: dict[Set, Set] = {}  # by what is overridden directly: many override the same
        reaching: defaultdict[Set, Set] = defaultdict(int)
        for first in {*overrides.values()}:
            seen, todo = 0, first
            while todo:
                seen |= todo
                steps = {overrides[one] for one in members_of(todo)}
                todo = reduce(or_, steps, 0) & ~seen
            reached[first] = seen
        for at, first in overrides.items():
            reaching[reached[first]] |= 1 << at
        bearing: defaultdict[int, Set] = defaultdict(int)
        for seen, those in reaching.items():
            for at in members_of(seen):
                bearing[at] |= those
        return sum(1 << at for at, first in overrides.items() if not bearing[at] & ~reached[first])

    def _falling(self, removal: int, authorised: Set, effective: Set, standing: Set) -> Set:
        """What stands if these removals are effective, and not if this one is as well."""
        effective |= 1 << removal
        fallen = todo = 0
        for key in self._removed_by(removal):
            todo |= self._key(key).said & standing
        while todo:
            bit = todo & -todo
            todo ^= bit
            number = bit.bit_length() - 1
            if not self._stands(number, authorised, effective, standing & ~fallen):
                fallen |= bit
                for key in granted_by(self.statements[number]):
                    todo |= self._key(key).said & standing & ~fallen
        return fallen

    # Rule 3, for all statements at once.

    def _standing(self, authorised: Set, effective: Set) -> Set:
        """The statements that stand if these removals are effective."""
        standing = 0
        while True:
            before = standing
            for number in members_of(authorised & ~standing):
                if self._stands(number, authorised, effective, standing):
                    standing |= 1 << number
            if standing == before:
                return standing

    def _stands(self, number: int, authorised: Set, effective: Set, standing: Set) -> bool:
        statement = self.statements[number]
        if isinstance(statement.content, Genesis):
            return True
        if self.contested(number, authorised):
            return False
        said = self._keys[statement.signer]
        against = said.removing & effective & ~self.future[number] & ~(1 << number)
        if against and isinstance(statement.content, Revoke):  # rule 6
            against &= ~self._key(statement.content.target).phrases
        grants = said.granting & self.past[number] & standing
        if grants and not against:
            return True
        return any(
            not against & ~self.past[grant] for grant in members_of(grants)
        ) or self._confirmed(number, standing)

    def _confirmed(self, number: int, standing: Set) -> bool:
        """Rule 5: another that knew of this revocation added its signer again."""
        statement = self.statements[number]
        if not isinstance(statement.content, Revoke):
            return False
        grants = self._keys[statement.signer].granting & standing & self.future[number]
        return any(
            self.statements[grant].signer not in (statement.signer, statement.content.target)
            for grant in members_of(grants)
        )


def granted_by(statement: Statement) -> list[bytes]:
    """The keys that a statement makes keys of the account."""
    content = statement.content
    keys = []
    if isinstance(content, Genesis | Add):
        keys.append(content.device.keys.signing)
    if isinstance(content, Genesis | Recovery):
        keys.append(content.recovery.signing)
    return keys
