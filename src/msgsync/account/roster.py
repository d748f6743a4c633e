"""The roster of an account: a set of statements that only grows, and what it says now. Source: docs/spec/crypto.md.

Two rosters of one account merge by union. Everything else follows from the set: no order of arrival, no clock.
Statements whose past is not here yet wait, and count once it is.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType

from msgsync import limits
from msgsync.account.device import Device
from msgsync.account.fold import Fold, Judgement, Set, members_of
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.account.statements import (
    Add,
    Content,
    Epoch,
    Genesis,
    Position,
    Recovery,
    Rename,
    Revoke,
    Statement,
    make,
    read_statement,
)
from msgsync.errors import AccountMismatch, RotationDue, StatementRefused, UnknownRoster
from msgsync.ids import AccountId, DeviceId


class Fallen(Enum):
    """Why a statement does not count."""

    NOT_A_MEMBER = "its signer was not in the account"
    REMOVED = "its signer was removed by others who did not know of it"
    ID_TAKEN = "another device has the id"


@dataclass(frozen=True, slots=True)
class Member:
    """A device of the account."""

    device: Device
    name: str
    """As it is called now."""
    added_ms: int
    """The clock of who added it, Unix milliseconds."""
    added_by: bytes = field(repr=False)
    """The signing key of who added it: a device, itself in the genesis, or a phrase."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A device that is not trusted any more."""

    device: Device
    name: str
    """As it was called last."""
    added_ms: int
    """The clock of who added it last, Unix milliseconds."""
    added_by: bytes = field(repr=False)
    """The signing key of who did."""
    revoked_ms: int
    """The clock of who revoked it first, by that clock; Unix milliseconds."""
    revoked_by: tuple[bytes, ...] = field(repr=False)
    """The signing keys of who revoked it, sorted."""
    positions: Mapping[bytes, Position]
    """How far its logs are accepted, by incarnation: as far as any of those had read."""


@dataclass(frozen=True, slots=True)
class State:
    """What a roster says."""

    account: AccountId
    members: Mapping[DeviceId, Member]
    revoked: Mapping[DeviceId, Revoked]
    recovery: tuple[PublicKeys, ...]
    """The phrases in force: one, or several that were set by devices that did not know of each other."""
    epoch: bytes | None = field(repr=False)
    """The commitment of the epoch to seal under; None if whoever was removed last may know every secret."""
    fallen: Mapping[bytes, Fallen]
    """The statements that do not count, by id: to be shown."""

    def member_of(self, signing: bytes) -> Member | None:
        """The member with this signing key."""
        for member in self.members.values():
            if member.device.keys.signing == signing:
                return member
        return None

    def accepts(self, device: DeviceId, incarnation: bytes, sequence: int) -> bool:
        """Whether an object of a log counts: its device is a member, or was revoked by who had read that far."""
        if device in self.members:
            return True
        gone = self.revoked.get(device)
        accepted = None if gone is None else gone.positions.get(incarnation)
        return accepted is not None and 1 <= sequence <= accepted.sequence

    def recipients(self) -> dict[bytes, PublicKeys]:
        """Who an epoch is sealed to: all members and phrases, by `PublicKeys.recipient`."""
        keys = [member.device.keys for member in self.members.values()] + list(self.recovery)
        return {one.recipient: one for one in sorted(keys, key=lambda one: one.recipient)}

    def sealing_epoch(self) -> bytes:
        """The commitment of the epoch to seal under.

        Raises:
            RotationDue: there is none that everybody who was removed cannot read.
        """
        if self.epoch is None:
            raise RotationDue(
                "begin a new epoch first: somebody who was removed knows the last one"
            )
        return self.epoch


class Roster:
    """A set of statements of one account. Immutable: `merge` gives another."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        """Take the statements as a set.

        Raises:
            AccountMismatch: they are of several accounts.
            StatementRefused: the genesis is not among them.
        """
        self._by_id = {statement.id: statement for statement in statements}
        origins = [one for one in self._by_id.values() if isinstance(one.content, Genesis)]
        if len(origins) != 1 or any(
            one.account != origins[0].account for one in self._by_id.values()
        ):
            if origins:
                raise AccountMismatch("statements of more than one account")
            raise StatementRefused("a roster without the genesis of its account")
        self.account: AccountId = origins[0].account
        self._order = self._in_causal_order(origins[0])
        self._fold = Fold(self._order)
        self._number_of = {one.id: number for number, one in enumerate(self._order)}

    @classmethod
    def read(cls, raws: Iterable[bytes]) -> Roster:
        """The roster of statements as bytes.

        Raises:
            AccountMismatch: they are of several accounts.
            StatementRefused: one is none, or the genesis is missing.
        """
        return cls([read_statement(raw) for raw in raws])

    @classmethod
    def begin(
        cls, keys: SecretKeys, recovery: SecretKeys, *, name: str, platform: str, now_ms: int
    ) -> Roster:
        """A new account of one device. An epoch has to follow before anything is sealed.

        Raises:
            InvalidValue: a name that cannot be shown.
        """
        content = Genesis(Device.of(keys, name, platform), recovery.public)
        return cls([make(content, keys, account=None, parents=(), time_ms=now_ms, agreed=recovery)])

    def _in_causal_order(self, origin: Statement) -> list[Statement]:
        """Those whose whole past is here, each after its past; otherwise by id."""
        children: dict[bytes, list[Statement]] = {}
        missing = {}
        for statement in self._by_id.values():
            missing[statement.id] = len(statement.parents)
            for parent in statement.parents:
                children.setdefault(parent, []).append(statement)
        order, ready = [], [origin.id]
        while ready:
            statement = self._by_id[heapq.heappop(ready)]
            order.append(statement)
            for child in children.get(statement.id, ()):
                missing[child.id] -= 1
                if not missing[child.id]:
                    heapq.heappush(ready, child.id)
        return order

    # The set.

    def merge(self, statements: Iterable[Statement]) -> Roster:
        """This roster and these statements; this very one if all are in it.

        Raises:
            AccountMismatch: one is of another account.
        """
        new = [one for one in statements if one.id not in self._by_id]
        for one in new:
            if one.account != self.account:
                raise AccountMismatch("a statement of another account")
        return Roster([*self._by_id.values(), *new]) if new else self

    def say(
        self, content: Content, keys: SecretKeys, *, now_ms: int, agreed: SecretKeys | None = None
    ) -> Roster:
        """This roster with one more statement, which knows of all the others.

        If more statements stand at its end than one can name, others that say nothing new gather them first.

        Args:
            content: what it says.
            keys: who says it; whether that counts is seen in the `state`.
            now_ms: the clock, Unix milliseconds.
            agreed: the keys that the statement introduces, if they are at hand.

        Raises:
            InvalidValue: something of it is beyond a limit.
            StatementRefused: keys that have to agree did not, or these keys have said as much as they may.
        """
        roster = self.gathered(keys, now_ms=now_ms)
        counted = isinstance(content, Revoke | Epoch | Recovery)
        most = limits.STATEMENTS - (0 if counted else limits.STATEMENTS_RESERVED)
        if roster.said_by(keys.public.signing) >= most:
            raise StatementRefused(f"a device makes at most {most} such statements")
        return _longer(roster, content, keys, roster.heads, now_ms, agreed)

    def gathered(self, keys: SecretKeys, *, now_ms: int) -> Roster:
        """This roster, with so few heads that one statement can name them all."""
        roster = self
        while len(roster.heads) > limits.PARENTS:
            content = Rename(keys.public.signing, str(keys.device_id))
            member = roster.state.member_of(keys.public.signing)
            if member is not None:
                content = Rename(keys.public.signing, member.name)
            roster = _longer(roster, content, keys, roster.heads[: limits.PARENTS], now_ms)
        return roster

    def before(self, ids: Iterable[bytes]) -> Roster:
        """These statements and all that they build on, as a roster.

        Raises:
            UnknownRoster: one of them is not here.
        """
        among = self._among(ids)
        return Roster([self._order[number] for number in members_of(among)])

    def _among(self, ids: Iterable[bytes]) -> Set:
        """These statements and their past."""
        among = 0
        for one in ids:
            number = self._number_of.get(one)
            if number is None:
                raise UnknownRoster("this builds on statements that are not here yet")
            among |= self._fold.past[number] | 1 << number
        return among

    def __contains__(self, statement_id: object) -> bool:
        return statement_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Roster) and self._by_id.keys() == other._by_id.keys()

    def __hash__(self) -> int:
        return hash(frozenset(self._by_id))

    def __repr__(self) -> str:
        return f"Roster(of account {self.account}, {len(self)} statements)"

    @property
    def statements(self) -> Sequence[Statement]:
        """Those that count or could, each after its past."""
        return tuple(self._order)

    def raws(self) -> list[bytes]:
        """All statements as bytes, those that wait at the end: what is stored and sent."""
        waiting = sorted(self._by_id.keys() - self._number_of.keys())
        return [one.raw for one in self._order] + [self._by_id[one].raw for one in waiting]

    def bodies(self) -> dict[bytes, bytes]:
        """The same by id."""
        return {one.id: one.raw for one in self._by_id.values()}

    @cached_property
    def size_bytes(self) -> int:
        """The length of all statements."""
        return sum(len(one.raw) for one in self._by_id.values())

    def said_by(self, signing: bytes) -> int:
        """How many statements these keys signed."""
        return sum(one.signer == signing for one in self._by_id.values())

    def waiting_ones(self) -> list[Statement]:
        """The statements that build on some that are not here."""
        return [one for one in self._by_id.values() if one.id not in self._number_of]

    @property
    def waiting(self) -> int:
        """How many statements build on some that are not here."""
        return len(self._by_id) - len(self._order)

    def missing(self) -> set[bytes]:
        """The ids of statements that others here build on."""
        parents = {parent for one in self._by_id.values() for parent in one.parents}
        return parents - self._by_id.keys()

    @cached_property
    def heads(self) -> tuple[bytes, ...]:
        """The ids of the statements that nothing builds on, sorted: what the next one names, and what objects cite."""
        parents = {parent for one in self._order for parent in one.parents}
        return tuple(sorted(one.id for one in self._order if one.id not in parents))

    def begun(self) -> set[bytes]:
        """The commitments of all epochs that statements here begin."""
        contents = (one.content for one in self._order)
        return {content.commitment for content in contents if isinstance(content, Epoch)}

    # Of single statements, by their place in `statements`.

    def past(self, number: int) -> Set:
        """What it builds on, directly or not."""
        return self._fold.past[number]

    def is_authorised(self, number: int) -> bool:
        """Whether its signer was in the account by its past."""
        return bool(self._fold.authorised >> number & 1)

    def counting(self) -> Set:
        """Those that count, and all that they build on."""
        judgement = self._fold.judge(self._all)
        kept = judgement.standing | judgement.effective
        for number in members_of(kept):
            kept |= self._fold.past[number]
        return kept

    def all_removals(self) -> Set:
        """The removals that were authorised."""
        return self._fold.removals()

    def removals(self) -> Set:
        """The removals in force."""
        return self._fold.judge(self._all).effective

    def is_first_removal(self, number: int, among: Set) -> bool:
        """Whether a removal removes somebody that no other one among these has removed."""
        return not self._fold.repeats(number, among, self._all)

    @property
    def _all(self) -> Set:
        return (1 << len(self._order)) - 1

    # What it says.

    @cached_property
    def state(self) -> State:
        """What the roster says with all that is here."""
        return self._state(self._all)

    def state_at(self, heads: Sequence[bytes]) -> State:
        """What it said to somebody who knew these statements and their past.

        Raises:
            UnknownRoster: one of them is not here.
        """
        among = self._among(heads)
        return self.state if among == self._all else self._state(among)

    def _state(self, among: Set) -> State:
        judgement = self._fold.judge(among)
        members, revoked, recovery = self._devices(among, judgement)
        counting = judgement.standing | judgement.effective
        return State(
            self.account,
            MappingProxyType(dict(sorted(members.items()))),
            MappingProxyType(dict(sorted(revoked.items()))),
            tuple(sorted(recovery, key=lambda keys: keys.recipient)),
            self._epoch(among, judgement),
            MappingProxyType(
                {
                    self._order[number].id: self._why(number, among)
                    for number in members_of(among & ~counting)
                }
            ),
        )

    def _devices(
        self, among: Set, judgement: Judgement
    ) -> tuple[dict[DeviceId, Member], dict[DeviceId, Revoked], list[PublicKeys]]:
        fold = self._fold
        members, revoked, recovery = {}, {}, []
        names = self._names(judgement)
        for key in fold.granted():
            in_force = fold.grants_in_force(key, judgement)
            if in_force:
                grant = self._order[self._latest(in_force)]
                match grant.content:
                    case Genesis(device=device) | Add(device) if device.keys.signing == key:
                        name = names.get(key, device.name)
                        members[device.id] = Member(device, name, grant.time_ms, grant.signer)
                    case Genesis(recovery=phrase) | Recovery(phrase):
                        recovery.append(phrase)
            elif (gone := self._revocation(key, among, judgement, names)) is not None:
                revoked[gone.device.id] = gone
        return members, revoked, recovery

    def _latest(self, numbers: Iterable[int]) -> int:
        """The statement that knows most; of several, the one with the greatest id."""
        return max(numbers, key=lambda number: (self._fold.height[number], self._order[number].id))

    def _names(self, judgement: Judgement) -> dict[bytes, str]:
        """What devices were called last, by their signing keys, if they were ever called otherwise than at first."""
        renames: defaultdict[bytes, list[int]] = defaultdict(list)
        for number in members_of(judgement.standing):
            if isinstance(content := self._order[number].content, Rename):
                renames[content.target].append(number)
        names = {}
        for key, numbers in renames.items():
            content = self._order[self._latest(numbers)].content
            assert isinstance(content, Rename)
            names[key] = content.name
        return names

    def _revocation(
        self, key: bytes, among: Set, judgement: Judgement, names: Mapping[bytes, str]
    ) -> Revoked | None:
        removing, granting = self._fold.about(key)
        said = [
            (statement, statement.content)
            for number in members_of(judgement.effective & removing)
            if isinstance((statement := self._order[number]).content, Revoke)
        ]
        grants = [
            number
            for number in members_of(among & granting)
            if isinstance(content := self._order[number].content, Genesis | Add)
            and content.device.keys.signing == key
        ]
        if not said or not grants:
            return None
        grant = self._order[self._latest(grants)]
        content = grant.content
        assert isinstance(content, Genesis | Add)
        positions: dict[bytes, Position] = {}
        for _, revoke in said:
            assert isinstance(revoke, Revoke)
            for position in revoke.positions:
                known = positions.get(position.incarnation, position)
                positions[position.incarnation] = max(known, position)
        return Revoked(
            content.device,
            names.get(key, content.device.name),
            grant.time_ms,
            grant.signer,
            min(statement.time_ms for statement, _ in said),
            tuple(sorted({statement.signer for statement, _ in said})),
            MappingProxyType(positions),
        )

    def _epoch(self, among: Set, judgement: Judgement) -> bytes | None:
        clean = sum(
            1 << number
            for number in members_of(judgement.standing)
            if isinstance(self._order[number].content, Epoch)
        )
        for key in self._fold.removed_by(judgement.effective):  # whoever is out was given nothing
            clean &= self._fold.knowing(key, judgement.effective, among)
        if not clean:
            return None
        content = self._order[self._latest(members_of(clean))].content
        assert isinstance(content, Epoch)
        return content.commitment

    def _why(self, number: int, among: Set) -> Fallen:
        if self._fold.authorised >> number & 1:
            contested = self._fold.contested(number, among & self._fold.authorised)
            return Fallen.ID_TAKEN if contested else Fallen.REMOVED
        if self._fold.id_taken >> number & 1:
            return Fallen.ID_TAKEN
        return Fallen.NOT_A_MEMBER


def _longer(
    roster: Roster,
    content: Content,
    keys: SecretKeys,
    parents: Sequence[bytes],
    now_ms: int,
    agreed: SecretKeys | None = None,
) -> Roster:
    one = make(
        content, keys, account=roster.account, parents=parents, time_ms=now_ms, agreed=agreed
    )
    size = roster.size_bytes + len(one.raw)
    if len(roster) >= limits.KEY_STATEMENTS or size > limits.ROSTER_TOLD_BYTES:
        raise StatementRefused("the account has so many statements that no more could be told")
    return roster.merge([one])
