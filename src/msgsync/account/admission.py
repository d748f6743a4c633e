"""What a roster takes in of the statements that another device tells. Source: docs/spec/crypto.md, "How much is kept".

A member may lie about how much it has to say: sign without end, sign other things for each device, sign with the keys
of strangers. None of this may keep two honest devices from hearing of each other, or a removal from being heard. So
taking in never fails because there is too much: what cannot count is not kept, and of what is too much removals come
first, with their past.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgsync import limits
from msgsync.account.fold import Set, members_of
from msgsync.account.roster import Roster
from msgsync.account.statements import Statement


def take_in(known: Roster, told: Iterable[Statement]) -> Roster:
    """What is known and what of this can count; that very roster if there is nothing new.

    Kept of what is new is what was authorised by its own past: nothing that is told later changes that. If all of it
    would be too much, what fell and what nothing that counts builds on is dropped, and then kept what is known, the
    removals in force with their past, and the rest in causal order as long as there is room.

    Raises:
        AccountMismatch: a statement is of another account.
    """
    union = known.merge(told)
    if union is known:
        return known
    every = _authorised(known, union)
    roster = union if every == _all(union) else _of(union, every)
    if _fits(roster):
        return roster if len(roster) > len(known) else known
    roster = _of(roster, roster.counting())
    if not _fits(roster):
        roster = _Room(known, roster).filled()
    return known if roster == known else roster


def _all(roster: Roster) -> Set:
    return (1 << len(roster.statements)) - 1


def _of(roster: Roster, numbers: Set) -> Roster:
    """These statements of a roster, and those that wait, which may be somebody's past."""
    statements = roster.statements
    return Roster([*(statements[number] for number in members_of(numbers)), *roster.waiting_ones()])


def _authorised(known: Roster, union: Roster) -> Set:
    """What is known, and what of the rest was authorised and builds on such alone."""
    kept: Set = 0
    for number, statement in enumerate(union.statements):
        fits = union.is_authorised(number) and not union.past(number) & ~kept
        if statement.id in known or fits:
            kept |= 1 << number
    return kept


def _fits(roster: Roster) -> bool:
    """Whether a roster leaves room for what the device that has it says itself, and for removals."""
    by_signer = Counter(one.signer for one in roster.statements)
    return (
        len(roster) <= limits.ROSTER_STATEMENTS
        and roster.size_bytes <= limits.ROSTER_BYTES
        and max(by_signer.values()) <= limits.STATEMENTS
        and roster.all_removals().bit_count() <= limits.ROSTER_REMOVALS
    )


class _Room:
    """What of a roster there is room for, beside what is known already."""

    def __init__(self, known: Roster, roster: Roster) -> None:
        self._roster = roster
        self._removals = roster.all_removals()
        self._kept: Set = 0
        self._count = self._bytes = 0
        self._by_signer: Counter[bytes] = Counter()
        for number, statement in enumerate(roster.statements):
            if statement.id in known:
                self._keep(1 << number)

    def filled(self) -> Roster:
        roster = self._roster
        removals = [*members_of(roster.removals())]
        for of_a_member in (True, False):
            for number in removals:
                if roster.is_first_removal(number, self._kept) is of_a_member:
                    self._try(roster.past(number) | 1 << number, number, limits.STATEMENTS // 2)
        for number in range(len(roster.statements)):
            if not roster.past(number) & ~self._kept:
                self._try(1 << number, number, 0)
        return _of(roster, self._kept)

    def _try(self, numbers: Set, last: int, more: int) -> None:
        """Keep these if there is room, ``more`` than usual, and the last one's signer has not said too much."""
        new = numbers & ~self._kept
        size = sum(len(self._roster.statements[number].raw) for number in members_of(new))
        signer = self._roster.statements[last].signer
        if (
            new
            and self._by_signer[signer] < limits.STATEMENTS
            and ((self._kept | new) & self._removals).bit_count() <= limits.ROSTER_REMOVALS
            and self._count + new.bit_count() <= limits.ROSTER_STATEMENTS + more
            and self._bytes + size
            <= limits.ROSTER_BYTES + more * limits.ROSTER_BYTES // limits.ROSTER_STATEMENTS
        ):
            self._keep(new)

    def _keep(self, new: Set) -> None:
        self._kept |= new
        for number in members_of(new):
            statement = self._roster.statements[number]
            self._count += 1
            self._bytes += len(statement.raw)
            self._by_signer[statement.signer] += 1
