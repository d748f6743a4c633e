"""Rosters as hypothesis draws them, and a second reading of the rules of membership, without bit sets or caches.

Statements are built without signatures: what a signature says is checked when bytes are read, not here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from msgsync.account.device import Device
from msgsync.account.statements import (
    Add,
    Content,
    Epoch,
    Genesis,
    Recovery,
    Rename,
    Revoke,
    Statement,
)
from msgsync.ids import AccountId
from tests.unit.account.accounts import drawn, keys_of

DEVICES = {name: Device.of(keys_of(name), name, "test") for name in "abcde"}
PHRASES = {name: keys_of(name).public for name in ("first", "second", "third")}
SIGNERS = {name: device.keys.signing for name, device in DEVICES.items()} | {
    name: keys.signing for name, keys in PHRASES.items()
}
ACCOUNT = AccountId(bytes(16))


def statement(signer: str, content: Content, *parents: Statement) -> Statement:
    """A statement that nobody signed, with an id that follows from what it says and knows."""
    ids = tuple(sorted(one.id for one in parents))
    said = repr((signer, content, ids)).encode()
    if isinstance(content, Revoke | Rename):
        said += content.target
    if isinstance(content, Epoch):
        said += content.commitment
    named = hashlib.sha256(said + b"".join(ids)).digest()
    return Statement(said, named, ACCOUNT, ids, SIGNERS[signer], 0, content)


def genesis() -> Statement:
    return statement("a", Genesis(DEVICES["a"], PHRASES["first"]))


def add(signer: str, who: str, *parents: Statement) -> Statement:
    return statement(signer, Add(DEVICES[who]), *parents)


def revoke(signer: str, who: str, *parents: Statement) -> Statement:
    return statement(signer, Revoke(SIGNERS[who], ()), *parents)


def replace(signer: str, phrase: str, *parents: Statement) -> Statement:
    return statement(signer, Recovery(PHRASES[phrase]), *parents)


def epoch(signer: str, name: str, *parents: Statement) -> Statement:
    return statement(signer, Epoch(drawn(name)), *parents)


@st.composite
def rosters(draw: st.DrawFn, most: int = 12) -> list[Statement]:
    """Anything that anybody could say, member or not, knowing anything that was said before."""
    said = [genesis()]
    said.append(add("a", "b", said[0]))
    said.append(add(draw(st.sampled_from("ab")), "c", said[1]))
    for number in range(draw(st.integers(1, most))):
        behind = draw(st.integers(0, min(4, len(said) - 1)))
        parents = [said[len(said) - 1 - behind]]
        if draw(st.booleans()):
            parents.append(said[draw(st.integers(0, len(said) - 1))])
        parents = list({one.id: one for one in parents}.values())
        who = draw(st.sampled_from("abcabcde"))
        signer = draw(st.sampled_from(["a", "b", "c", "a", "b", "c", "d", "e", *PHRASES]))
        kind = draw(
            st.sampled_from(["revoke", "revoke", "revoke", "add", "add", "phrase", "epoch"])
        )
        if kind == "revoke":
            one = revoke(signer, who, *parents)
        elif kind == "add":
            one = add(signer, who, *parents)
        elif kind == "phrase":
            one = replace(signer, draw(st.sampled_from(sorted(PHRASES))), *parents)
        else:
            one = epoch(signer, f"epoch {number}", *parents)
        if one.id not in {other.id for other in said}:
            said.append(one)
    return said


# The second reading.


@dataclass(frozen=True)
class Reading:
    """What a set of statements amounts to, from the rules of docs/spec/crypto.md, as slow as they read."""

    said: frozenset[Statement]

    @cached_property
    def _of(self) -> dict[bytes, Statement]:
        return {one.id: one for one in self.said}

    @cached_property
    def _pasts(self) -> dict[Statement, frozenset[Statement]]:
        pasts: dict[Statement, frozenset[Statement]] = {}
        while len(pasts) < len(self.said):
            for one in self.said:
                parents = [self._of[parent] for parent in one.parents]
                if all(parent in pasts for parent in parents):
                    pasts[one] = frozenset(parents).union(*(pasts[parent] for parent in parents))
        return pasts

    @cached_property
    def authorised(self) -> frozenset[Statement]:
        return frozenset(
            one
            for one in self.said
            if isinstance(one.content, Genesis)
            or one.signer in Reading(self._pasts[one]).keys_in_force
        )

    def _grants(self, key: bytes) -> list[Statement]:
        return [one for one in self.authorised if key in grants_of(one)]

    def _ends(self, removal: Statement) -> set[bytes]:
        content = removal.content
        if isinstance(content, Revoke):
            return {content.target}
        if not isinstance(content, Recovery):
            return set()
        phrases = {
            one.content.recovery.signing
            for one in self._pasts[removal] & self.authorised
            if isinstance(one.content, Genesis | Recovery)
        }
        return phrases - {content.recovery.signing}

    def _standing(self, effective: set[Statement]) -> set[Statement]:
        stand: set[Statement] = set()
        grew = True
        while grew:
            more = {one for one in self.authorised if self._stands(one, effective, stand)}
            grew = more != stand
            stand = more
        return stand

    def _stands(self, one: Statement, effective: set[Statement], stand: set[Statement]) -> bool:
        if isinstance(one.content, Genesis):
            return True
        past = self._pasts[one]
        for grant in self._grants(one.signer):
            if grant in stand and grant in past:
                ending = [
                    removal
                    for removal in effective - {one}
                    if one.signer in self._ends(removal)
                    and removal not in self._pasts[grant]
                    and one not in self._pasts[removal]
                ]
                if isinstance(one.content, Revoke):
                    target = one.content.target
                    ending = [
                        removal
                        for removal in ending
                        if not (isinstance(removal.content, Recovery) and removal.signer == target)
                    ]
                if not ending:
                    return True
            if (
                isinstance(one.content, Revoke)
                and grant in stand
                and one in self._pasts[grant]
                and grant.signer not in (one.signer, one.content.target)
            ):
                return True
        return False

    @cached_property
    def effective(self) -> set[Statement]:
        open_ones = {one for one in self.authorised if self._ends(one)}
        held: set[Statement] = set()
        while open_ones:
            for one in sorted(open_ones, key=lambda one: one.id):
                if one in self._standing(held | open_ones):
                    held.add(one)
                    open_ones.discard(one)
                    break
                if one not in self._standing(held):
                    open_ones.discard(one)
                    break
            else:
                self._break_circles(held, open_ones)
        return held

    def _break_circles(self, held: set[Statement], open_ones: set[Statement]) -> None:
        bears = {
            (one, other) for one in open_ones for other in open_ones - self._standing(held | {one})
        }
        for middle in open_ones:
            bears |= {
                (one, other)
                for one in open_ones
                for other in open_ones
                if (one, middle) in bears and (middle, other) in bears
            }
        upper = {
            one
            for one in open_ones
            if all((one, other) in bears for other in open_ones if (other, one) in bears)
        }
        phrases = {one for one in upper if isinstance(one.content, Recovery)}
        if not phrases:
            held |= upper
        open_ones -= phrases or upper

    @cached_property
    def keys_in_force(self) -> frozenset[bytes]:
        stand = self._standing(self.effective)
        return frozenset(
            key
            for key in SIGNERS.values()
            if any(
                grant in stand
                and all(
                    removal in self._pasts[grant]
                    for removal in self.effective
                    if key in self._ends(removal)
                )
                for grant in self._grants(key)
            )
        )

    @property
    def in_force(self) -> set[str]:
        """The names of the devices and phrases that are in the account."""
        return {name for name, key in SIGNERS.items() if key in self.keys_in_force}


def grants_of(one: Statement) -> set[bytes]:
    """The keys that a statement makes keys of the account."""
    content, keys = one.content, set()
    if isinstance(content, Genesis | Add):
        keys.add(content.device.keys.signing)
    if isinstance(content, Genesis | Recovery):
        keys.add(content.recovery.signing)
    return keys
