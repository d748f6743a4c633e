"""Entries of documents as plain values. Source: design 4.

Two entries are one entry exactly if they are equal. What a person does is told apart by its writer (one opening
of a replica) and Lamport number; what a carrier says is a function of what it said, so saying it again is nothing.

Which of two entries of one register wins is not always the model's to know: writers are random numbers, and a
replica may or may not have heard of a Lamport number that only an erased message carried. So a stamp holds a
range of Lamport numbers and the entries of the register that its writer had seen; `Stamp.below` is true only
where the design leaves no choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

DeletionKey: TypeAlias = "tuple[int, str, int, frozenset[str]]"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When an entry was written, as far as it decides who wins."""

    least: int
    """The smallest Lamport number the entry can have; 0 exactly for a carrier's."""
    greatest: int
    """The greatest it can have; equal to ``least`` unless erased messages are involved."""
    writer: str
    """The opening that wrote it; empty for a carrier's, which is the same from whoever writes it."""
    upstream_ms: int = 0
    """Orders what carriers say among itself; 0 for a person's."""
    seen: frozenset[Stamp] = field(default=frozenset(), compare=False, repr=False)
    """Stamps of the entries of the same register that the writer knew."""

    def below(self, other: Stamp) -> bool:
        """Whether this certainly loses against ``other``."""
        if self in other.seen or self.greatest < other.least:
            return True
        both_upstream = self.greatest == other.greatest == 0
        return both_upstream and self.upstream_ms < other.upstream_ms


@dataclass(frozen=True, slots=True)
class Record:
    """A message as its source wrote it. Two of one id are the exception that design 3 allows."""

    id: str
    ms: int
    """Milliseconds of the id, which order and segment follow from."""
    sent_ms: int
    """Milliseconds at the sender's or the source's clock."""
    author: str
    text: str
    order: int = 0
    kind: str = "text"
    external_id: str | None = None
    reply_to: str | None = None
    reply_external: str | None = None
    files: int = 0
    """How many attachments it has."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Another text for a message."""

    id: str
    text: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Reaction:
    """One user's emoji on a message, put there (``on``) or taken away."""

    id: str
    user: str
    emoji: str
    on: bool
    stamp: Stamp

    @property
    def register(self) -> tuple[str, str, str]:
        """What it competes for."""
        return self.id, self.user, self.emoji


@dataclass(frozen=True, slots=True)
class Deletion:
    """Messages put into Recently Deleted, or brought back from there (``restored``)."""

    ids: frozenset[str]
    restored: bool
    stamp: Stamp
    superseded: frozenset[DeletionKey] = field(default=frozenset(), compare=False)
    """Every earlier entry about these ids that the writer knew, and all that those name."""

    @property
    def key(self) -> DeletionKey:
        """What another entry names it by."""
        about = frozenset[str]() if self.stamp.writer else self.ids
        return self.stamp.least, self.stamp.writer, self.stamp.upstream_ms, about


@dataclass(frozen=True, slots=True)
class Erasure:
    """A message gone for good, whether it was ever here or not."""

    id: str


@dataclass(frozen=True, slots=True)
class Gone:
    """An attachment of a message, gone for good while the message stays."""

    id: str
    number: int
    """From 0 on."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A message and another one are one; it lies with the message of ``id``, and its mirror with the other."""

    id: str
    other: str
    ms: int
    other_ms: int
    external_id: str
    own: bool
    """Whether ``other`` is the carrier's id; in the mirror it is ``id``."""


@dataclass(frozen=True, slots=True)
class Field:
    """A named value of a conversation, such as its title."""

    name: str
    value: str
    stamp: Stamp


Entry: TypeAlias = Record | Edit | Reaction | Deletion | Erasure | Gone | Alias | Field
