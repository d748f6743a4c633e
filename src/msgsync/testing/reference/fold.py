"""From entries to what is shown, and to which entries still matter. Source: design 4.

Both are functions of the set alone. Where the design leaves a choice open (a tie, or two records under one id),
the answer is every value it allows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgsync.testing.reference.entries import (
    Alias,
    Deletion,
    Edit,
    Entry,
    Erasure,
    Field,
    Gone,
    Reaction,
    Record,
)

Register = TypeVar("Register", bound=Edit | Reaction | Field)


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be seen of one message."""

    records: frozenset[Record]
    edits: frozenset[Edit]
    """`Stamp.below` says which order is required."""
    texts: frozenset[str]
    """Texts that may be shown now."""
    reactions: dict[tuple[str, str], frozenset[Reaction]]
    """By user and emoji: entries that may be the winner."""
    deleted: bool
    names: frozenset[str] = frozenset()
    """External ids that aliases give it."""
    gone: frozenset[int] = frozenset()
    """Numbers of attachments that were erased, whether it has them or not."""


@dataclass(frozen=True, slots=True)
class State:
    """What may be seen of some documents of one conversation."""

    messages: dict[str, Shown]
    """By id: every message with a record that is not erased, the deleted ones too."""
    erased: frozenset[str]
    fields: dict[str, frozenset[str]]
    """By name: values that may be shown."""
    merged: dict[str, str]
    """By id of a message that is here and hidden: the id of the one that is shown instead."""

    @property
    def live(self) -> frozenset[str]:
        """Ids of messages that are neither deleted nor erased."""
        return frozenset(id for id, shown in self.messages.items() if not shown.deleted)


def fold(entries: Iterable[Entry]) -> State:
    """Return what a set of entries shows."""
    present = frozenset(entries)
    erased = frozenset(entry.id for entry in present if isinstance(entry, Erasure))
    records: dict[str, set[Record]] = defaultdict(set)
    edits: dict[str, set[Edit]] = defaultdict(set)
    reactions: dict[str, dict[tuple[str, str], set[Reaction]]] = defaultdict(
        lambda: defaultdict(set)
    )
    fields: dict[str, set[Field]] = defaultdict(set)
    for entry in present:
        match entry:
            case Record():
                records[entry.id].add(entry)
            case Edit():
                edits[entry.id].add(entry)
            case Reaction():
                reactions[entry.id][entry.user, entry.emoji].add(entry)
            case Field():
                fields[entry.name].add(entry)
    deletions = [entry for entry in present if isinstance(entry, Deletion)]
    messages: dict[str, Shown] = {}
    merged: dict[str, str] = {}
    for id, candidates in records.items():
        if id in erased:
            continue
        group = one_message(id, present)
        shown = canonical([each for each in group if each in records], present)
        if shown != id:
            merged[id] = shown
            continue
        said = {edit for each in group for edit in edits[each]}
        registers: dict[tuple[str, str], set[Reaction]] = defaultdict(set)
        for each in group:
            for register, rivals in reactions[each].items():
                registers[register] |= rivals
        messages[id] = Shown(
            records=frozenset(candidates),
            edits=frozenset(said),
            texts=frozenset(
                {edit.text for edit in winners(said)} or {each.text for each in candidates}
            ),
            reactions={
                register: frozenset(winners(rivals)) for register, rivals in registers.items()
            },
            deleted=any(is_deleted(each, deletions) for each in group),
            names=frozenset(
                alias.external_id for alias in about(id, present) if alias.other in group
            ),
            gone=frozenset(e.number for e in present if isinstance(e, Gone) and e.id == id),
        )
    return State(
        messages=messages,
        erased=erased,
        fields={
            name: frozenset(field.value for field in winners(rivals))
            for name, rivals in fields.items()
        },
        merged=merged,
    )


def about(id: str, entries: Collection[Entry]) -> list[Alias]:
    """Return the aliases that lie with a message; with an erased one lies none."""
    if Erasure(id) in entries:
        return []
    return [entry for entry in entries if isinstance(entry, Alias) and entry.id == id]


def one_message(id: str, entries: Collection[Entry]) -> set[str]:
    """Return the ids that are one message with this one: those that name each other, and on from there."""
    group = {id}
    while True:
        more = {
            alias.other
            for each in group
            for alias in about(each, entries)
            if any(back.other == each for back in about(alias.other, entries))
        }
        if more <= group:
            return group
        group |= more


def canonical(here: Collection[str], entries: Collection[Entry]) -> str:
    """Return the id shown, of those of one message that are here: an own one if there is one, then the least."""
    own = [id for id in here if all(alias.own for alias in about(id, entries))]
    return min(own or here)


def doomed(entries: Collection[Entry]) -> set[tuple[str, int]]:
    """Return ids (and their milliseconds) that are not erased and lie with an alias to an erased one."""
    return {
        (alias.id, alias.ms)
        for alias in entries
        if isinstance(alias, Alias)
        and Erasure(alias.id) not in entries
        and Erasure(alias.other) in entries
    }


def reached(id: str, ms: int, entries: Collection[Entry]) -> dict[str, int]:
    """Return all ids, with milliseconds, that any alias joins to an id, in either direction."""
    found = {id: ms}
    aliases = [
        entry for entry in entries if isinstance(entry, Alias) and Erasure(entry.id) not in entries
    ]
    while True:
        more = {a.other: a.other_ms for a in aliases if a.id in found}
        more |= {a.id: a.ms for a in aliases if a.other in found}
        if more.keys() <= found.keys():
            return found
        found |= more


def winners(rivals: Collection[Register]) -> list[Register]:
    """Return the entries of one register that may win: those that certainly lose to none."""
    return [
        entry
        for entry in rivals
        if not any(entry.stamp.below(other.stamp) for other in rivals if other is not entry)
    ]


def is_deleted(id: str, deletions: Iterable[Deletion]) -> bool:
    """Whether a message is in Recently Deleted: of entries nobody supersedes, a restore wins."""
    standing = unsuperseded(id, deletions)
    return bool(standing) and not any(entry.restored for entry in standing)


def unsuperseded(id: str, deletions: Iterable[Deletion]) -> list[Deletion]:
    """Return the entries about a message that no other entry about it names."""
    about = [entry for entry in deletions if id in entry.ids]
    named = {key for entry in about for key in entry.superseded}
    return [entry for entry in about if entry.key not in named]


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that may still matter: all but those that lost for good.

    Lost are everything about an erased id, a deletion that is superseded for each of its ids that is not erased,
    a beaten reaction or field. Edits are history and always matter.
    """
    present = frozenset(entries)
    erased = frozenset(entry.id for entry in present if isinstance(entry, Erasure))
    deletions = [entry for entry in present if isinstance(entry, Deletion)]
    rivals: dict[Hashable, list[Reaction | Field]] = defaultdict(list)
    kept: list[Entry] = []
    for entry in present:
        match entry:
            case Erasure():
                kept.append(entry)
            case Record() | Edit() | Gone() | Alias() if entry.id not in erased:
                kept.append(entry)
            case Reaction() if entry.id not in erased:
                rivals[entry.register].append(entry)
            case Field():
                rivals[entry.name].append(entry)
            case Deletion():
                if any(entry in unsuperseded(id, deletions) for id in entry.ids - erased):
                    kept.append(entry)
    for competing in rivals.values():
        kept.extend(winners(competing))
    return kept


def matter(entries: Iterable[Entry]) -> frozenset[Entry] | None:
    """Return the entries a digest counts; None where that depends on what the design leaves open."""
    kept = standing(entries)
    registers = [
        entry.register if isinstance(entry, Reaction) else (type(entry), entry.id)
        for entry in kept
        if isinstance(entry, Reaction | Record)
    ] + [entry.name for entry in kept if isinstance(entry, Field)]
    return frozenset(kept) if len(set(registers)) == len(registers) else None
