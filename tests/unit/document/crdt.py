"""Real pycrdt documents: honest writers, and what pycrdt shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pycrdt
from hypothesis import strategies as st

from msgsync.document.schema import Entry

ROOTS = ("messages", "edits", "reactions", "deletions", "erased", "fields", "polls")
Slot = tuple[str, bytes]

_KEYS = [b"%020d" % number for number in range(6)] + [
    b"%020d.%010d.%016d" % (0, number, 0) for number in range(3)
]
_KEYS += [b"%010d.%016d" % (number, 0) for number in range(3)] + [b"k", b"%026d" % 1, b"!" * 200]

slots = st.tuples(st.sampled_from(ROOTS), st.sampled_from(_KEYS))
values = st.binary(max_size=8) | st.sampled_from([b"", b"x" * 127, b"x" * 128, b"x" * 20_000])
clients = st.sampled_from([1, 7, 127, 128, 2**32, 2**53 - 1])


@dataclass(frozen=True)
class Step:
    """What one writer does: write under a new key, remove, or hear from everybody else."""

    client: int
    slot: Slot
    value: bytes | None


steps = st.lists(st.builds(Step, clients, slots, values | values | values | st.none()), max_size=24)


def shown(doc: pycrdt.Doc[Any], roots: Iterable[str] = ROOTS) -> set[Entry]:
    """What pycrdt itself shows in the roots."""
    return {
        Entry(root, key.encode(), bytes(value))
        for root in roots
        for key, value in doc.get(root, type=pycrdt.Map).items()
    }


def applied(update: bytes, roots: Iterable[str] = ROOTS) -> set[Entry]:
    """What pycrdt shows after applying an update to an empty document."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(update)
    return shown(doc, roots)


def played(history: Iterable[Step]) -> pycrdt.Doc[Any]:
    """One document to which several writers contributed; keys are written once, removals happen after."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    used: set[Slot] = set()
    for step in history:
        root, key = step.slot
        if step.value is None:
            items: pycrdt.Map[bytes] = doc.get(root, type=pycrdt.Map)
            if key.decode() in items:
                del items[key.decode()]
        elif step.slot not in used:
            used.add(step.slot)
            writer: pycrdt.Doc[Any] = pycrdt.Doc(client_id=step.client)
            writer.apply_update(doc.get_update())
            writer.get(root, type=pycrdt.Map)[key.decode()] = step.value
            doc.apply_update(writer.get_update(doc.get_state()))
    return doc
