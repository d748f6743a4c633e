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
   later grant of its signer's key by another that knew of it, and then it is in no circle any more.
6. Who replaces the phrase does not thereby escape it: a change of phrase removes the old one, but not the old one's
   revocation of the device that made the change. So the phrase in force in the past of both decides.

Theory of operation
-------------------
Statements are numbered so that each comes after its past; sets of them are the bits of an integer, so that all that
one key signed is looked at together. Judging finds the effective removals from both sides: those that stand even if
every candidate is effective are, those that do not even stand if only the known ones are effective are not; what is
left after that goes in circles, and of the circles those that no other one bears on are resolved by rule 4, until
nothing is left.

That is done as seldom as can be, since a member may make thousands of statements over circles of a thousand removals:
only grants and removals bear on each other, so sets that have the same of these are judged once; one that is the past
of its last statement follows from the judgement of that past; and a signer that is in the account even if every removal
holds is in it, whatever circles come to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

    signing: bytes
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
        self._removed: dict[int, list[bytes]] = {}
        """The keys that each authorised removal removes."""
        self._granting: Set = 0
        self._removing: Set = 0
        self._revoking: Set = 0
        """Authorised grants, removals, and those of them that are revocations."""
        self._doubtful: Set = 0
        """Adds under an id that several keys were added under."""
        self._judged: dict[Set, Judgement] = {0: _NOTHING}
        """By the grants and removals in a set: which of them stand and are effective."""
        self._at_least: dict[Set, Judgement] = {0: _NOTHING}
        """Likewise: what stands if every removal holds."""
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
            if not self._has_by(statement.signer, self.past[number]):
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
            self._granting |= bit
            same_id = self._same_id[device_id(key)]
            same_id.add(key)
            if len(same_id) > 1:
                self._doubtful |= sum(self._keys[one].granting for one in same_id)
        removed = self._keys_removed_by(number)
        if removed:
            self._removed[number] = removed
            self._removing |= bit
            self._revoking |= bit if isinstance(content, Revoke) else 0
        for key in removed:
            self._key(key).removals.append(number)
            self._key(key).removing |= bit

    def _has_by(self, key: bytes, among: Set) -> bool:
        """Whether a key is in the account by these statements; circles are resolved only if that depends on them."""
        bearing = among & (self._granting | self._removing)
        known = self._judged.get(bearing)
        if known is None and not self._follows(bearing):
            at_least = self._at_least.get(bearing)
            if at_least is None:
                removals = bearing & self._removing
                at_least = Judgement(self._standing(bearing, removals), removals)
                self._at_least[bearing] = at_least
            if self.has(key, at_least):
                return True
        return self.has(key, known or self._judge_bearing(bearing))

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

    def _removed_by(self, number: int) -> Sequence[bytes]:
        """The keys that a removal removes, if it was authorised."""
        return self._removed.get(number, ())

    def _keys_removed_by(self, number: int) -> list[bytes]:
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
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = _Key(key)
        return known

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
        return self._removing

    def about(self, key: bytes) -> tuple[Set, Set]:
        """The authorised removals of a key, and its grants."""
        said = self._keys[key]
        return said.removing, said.granting

    def removed_by(self, removals: Set) -> set[bytes]:
        """The keys that any of these removes."""
        return {key for removal in members_of(removals) for key in self._removed_by(removal)}

    def repeats(self, removal: int, known: Set, among: Set) -> bool:
        """Whether everybody whom a removal removes was out by a known one, and was not let in again since.

        Args:
            removal: the one that is asked about.
            known: effective removals.
            among: what grants there are.
        """
        return all(
            any(
                not self.future[earlier] & said.granting & among
                for earlier in members_of(said.removing & known)
            )
            for said in map(self._key, self._removed_by(removal))
        )

    def knowing(self, key: bytes, effective: Set, among: Set) -> Set:
        """What knows that a key is out: all of these removals of it, or one since which nobody let it in again."""
        said = self._keys[key]
        every, one = -1, 0
        for removal in members_of(said.removing & effective):
            every &= self.future[removal]
            if not self.future[removal] & said.granting & among:
                one |= self.future[removal]
        return every | one

    # Judging.

    def judge(self, among: Set) -> Judgement:
        """Judge a set that contains the past of each member."""
        effective = self._judge_bearing(among & (self._granting | self._removing)).effective
        return Judgement(self._standing(among & self.authorised, effective), effective)

    def _judge_bearing(self, bearing: Set) -> Judgement:
        """Judge the grants and removals of a set that contains the past of each member."""
        later = []
        while (known := self._judged.get(bearing)) is None and self._follows(bearing):
            later.append(bearing)
            bearing ^= 1 << bearing.bit_length() - 1
        if known is None:
            effective = self._effective(bearing)
            known = Judgement(self._standing(bearing, effective), effective)
            self._judged[bearing] = known
        for more in reversed(later):
            bit = more & ~bearing
            known = Judgement(known.standing | bit, known.effective | bit & self._removing)
            self._judged[more] = known
            bearing = more
        return known

    def _follows(self, bearing: Set) -> bool:
        """Whether all the rest is in the past of the last one: it overrides nothing, and nothing overrides it."""
        last = bearing.bit_length() - 1
        return not (bearing ^ 1 << last) & ~self.past[last] and not self._is_return(last)

    def _is_return(self, number: int) -> bool:
        """Whether this lets in a key that was there before, which may decide about what that one removed."""
        return any(
            self._key(key).granting & self.past[number]
            for key in granted_by(self.statements[number])
        )

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
        standing = self._standing(authorised, certain)
        overrides: dict[int, Set] = {}
        falling: dict[tuple[bytes, Set, Set], Set] = {}
        for at in members_of(open_ones):
            removed = self._removed_by(at)
            said = self._key(removed[0])
            # What falls with revocations of one key that know the same of what it said, and that are known alike.
            alike = (
                said.signing,
                (self.past[at] | 1 << at) & said.said,
                self.future[at] & said.granting,
            )
            if self._revoking >> at & 1 == 0:
                overrides[at] = open_ones & self._falling(at, certain, standing)
            else:
                if alike not in falling:
                    falling[alike] = open_ones & self._falling(at, certain, standing)
                overrides[at] = falling[alike]
        return _sources(overrides)

    def _falling(self, removal: int, effective: Set, standing: Set) -> Set:
        """What stands if these removals are effective, and not if this one is as well."""
        effective |= 1 << removal
        fallen = 0
        todo = {*self._removed_by(removal)}
        while todo:
            said = self._key(todo.pop())
            own = said.said & standing & ~fallen & ~1  # the genesis stands
            new = own & ~self._stands(said, effective, standing & ~fallen)
            fallen |= new
            for number in members_of(new & self._granting):
                todo.update(granted_by(self.statements[number]))
        return fallen

    # Rule 3, for all statements at once.

    def _standing(self, authorised: Set, effective: Set) -> Set:
        """The statements that stand if these removals are effective."""
        allowed = authorised
        for number in members_of(authorised & self._doubtful):
            if self.contested(number, authorised):
                allowed ^= 1 << number
        talking = [said for said in self._keys.values() if said.said & allowed]
        standing = allowed & 1  # the genesis
        while True:
            before = standing
            for said in talking:
                left = said.said & allowed & ~standing
                if left:
                    standing |= left & self._stands(said, effective, standing)
            if standing == before:
                return standing

    def _stands(self, said: _Key, effective: Set, standing: Set) -> Set:
        """What stands on these grants if these removals are effective, if it is said by this key."""
        removing, granting = said.removing & effective, said.granting & standing
        found = self._spared(granting, removing)
        if said.said & self._revoking:
            found |= self._excepted(said, granting, removing)
        return found

    def _excepted(self, said: _Key, granting: Set, removing: Set) -> Set:
        """The revocations that stand by rule 5 or 6, if they are said by this key."""
        found = 0
        for other in self._keys.values() if removing & ~self._revoking else ():
            if removing & other.phrases:
                against = removing & ~other.phrases
                found |= other.removing & self._revoking & self._spared(granting, against)
        for grant in members_of(granting):
            by = self.statements[grant].signer
            if by != said.signing:
                found |= self.past[grant] & self._revoking & ~self._key(by).removing
        return found

    def _spared(self, granting: Set, removing: Set) -> Set:
        """What has one of these grants in its past, and each removal either in that one's past or after itself."""
        found = 0
        for grant in members_of(granting):
            spared = self.future[grant]
            for removal in members_of(removing & ~self.past[grant]):
                spared &= self.past[removal] | 1 << removal
                if not spared:
                    break
            found |= spared
        return found


def _sources(following: Mapping[int, Set]) -> Set:
    """Of a directed graph, all that can be reached from whatever it can be reached from.

    Those are its strongly connected parts that nothing else leads to: what depth first search finishes last is in such
    a part, then what it finishes last of all that cannot be reached from there, and so on.
    """
    left, finished = sum(1 << one for one in following), list[int]()
    while left:
        way = [left.bit_length() - 1]
        left ^= 1 << way[-1]
        while way:
            more = following[way[-1]] & left
            if more:
                way.append(more.bit_length() - 1)
                left ^= 1 << way[-1]
            else:
                finished.append(way.pop())
    found = covered = 0
    for first in reversed(finished):
        if covered >> first & 1:
            continue
        reached = todo = 1 << first
        while todo:
            one = todo.bit_length() - 1
            todo ^= 1 << one
            more = following[one] & ~reached & ~covered
            reached |= more
            todo |= more
        covered |= reached
        leading = 1 << first
        while True:
            before = leading
            for one in members_of(reached & ~leading):
                leading |= 1 << one if following[one] & leading else 0
            if leading == before:
                break
        found |= leading
    return found


def granted_by(statement: Statement) -> list[bytes]:
    """The keys that a statement makes keys of the account."""
    content = statement.content
    keys = []
    if isinstance(content, Genesis | Add):
        keys.append(content.device.keys.signing)
    if isinstance(content, Genesis | Recovery):
        keys.append(content.recovery.signing)
    return keys
