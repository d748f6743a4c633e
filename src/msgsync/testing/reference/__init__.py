"""The reference model: what msgsync promises, written from design 3 and 4 and from nothing else.

A replica is a set of entries a document; merging is union; what is shown is a fold of the set. Nothing here
removes an entry, encodes a byte or knows a CRDT library, so nothing here can share a mistake with the core.

It is what a replica must show, not how: `msgsync.testing.expectation` compares the two. Contracts in CI keep the rest
of msgsync out of here.
"""

from __future__ import annotations

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
    Stamp,
)
from msgsync.testing.reference.fold import Shown, State, fold, matter, standing
from msgsync.testing.reference.ledger import DigestContradiction, Ledger
from msgsync.testing.reference.replica import Document, ReferenceReplica, segment

__all__ = [
    "Alias",
    "Deletion",
    "DigestContradiction",
    "Document",
    "Edit",
    "Entry",
    "Erasure",
    "Field",
    "Gone",
    "Ledger",
    "Reaction",
    "Record",
    "ReferenceReplica",
    "Shown",
    "Stamp",
    "State",
    "fold",
    "matter",
    "segment",
    "standing",
]
