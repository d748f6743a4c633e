"""Updates and state vectors: refused, or the same in our scan and in pycrdt, and nothing that is here is lost."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from random import Random
from typing import Any, Final

import pycrdt

from msgsync import limits
from msgsync.document.admission import admit
from msgsync.document.codec import Block, compose, decode_state, encode_state, entries_of, scan
from msgsync.document.schema import Entry
from msgsync.errors import Inadmissible
from tests.fuzz.changes import bytes_changed
from tests.fuzz.kind import Kind
from tests.fuzz.records import changed_value
from tests.fuzz.seeds import BLOCKS, SEGMENT, STATES, UPDATES
from tests.unit.document.said import MONTH, id_of

CLIENTS: Final = (0, 1, 5, 7, 9, 2**31, 2**53 - 2, 2**53 - 1, 2**53)
CLOCKS: Final = (0, 0, 0, 1, 2, 3, 4, 6, limits.CLOCK - 1, limits.CLOCK, 2**31, 2**53)
RUNS: Final = (1, 1, 2, 100, limits.DEAD_RUN, limits.DEAD_RUN + 1, 2**31)
ROOTS: Final = ("messages", "erased", "polls", "x", "r" * 64, "r" * 65)


def draw_update(draw: Random) -> bytes:
    """First a number that says what is here already."""
    here = bytes((draw.randrange(3),))
    choice = draw.random()
    if choice < 0.4:
        return here + bytes_changed(draw, draw.choice(UPDATES))
    blocks = deepcopy(draw.choice(BLOCKS))
    for _ in range(draw.choice((1, 1, 2, 4))):
        _change(draw, blocks)
    raw = compose(blocks)
    return here + (bytes_changed(draw, raw) if choice > 0.9 else raw)


def _change(draw: Random, blocks: list[Block]) -> None:
    block = draw.choice(blocks)
    what = draw.randrange(7)
    if what == 0:
        block.client = draw.choice(CLIENTS)
    elif what == 1:
        block.clock = draw.choice(CLOCKS)
    elif what == 2:
        blocks.append(Block(draw.choice(CLIENTS), draw.choice(CLOCKS), [draw.choice(SEGMENT)]))
    elif what == 3:
        block.structs.insert(draw.randrange(len(block.structs) + 1), draw.choice(RUNS))
    elif what == 4:
        block.structs.insert(draw.randrange(len(block.structs) + 1), draw.choice(SEGMENT))
    else:
        entries = [at for at, one in enumerate(block.structs) if isinstance(one, Entry)]
        if entries:
            at = draw.choice(entries)
            entry: Any = block.structs[at]
            root, key, value = entry
            if what == 5 and entry.value[:1] and entry.value[0] >> 5 == 5:
                value = changed_value(draw, value)
            elif draw.random() < 0.5:
                root = draw.choice(ROOTS)
            else:
                key = draw.choice(
                    (
                        draw.choice(SEGMENT).key,
                        b"k",
                        b"k" * 512,
                        b"k" * 513,
                        bytes_changed(draw, key),
                    )
                )
            block.structs[at] = Entry(root, key, value)


@cache
def _here(number: int) -> tuple[bytes, dict[int, int], frozenset[bytes]]:
    """A document that is here: nothing; three entries of a writer; and with a message that was erased."""
    if not number:
        return b"", {}, frozenset()
    update = compose([Block(5, 0, list(SEGMENT[:3]))])
    return update, {5: 3}, frozenset({id_of(2)} if number == 2 else ())


def check_update(numbered: bytes) -> bool:
    base, state, erased = _here(numbered[0] % 3)
    try:
        admitted = admit(MONTH, [numbered[1:]], dict(state), erased)
    except Inadmissible:
        return False
    update = admitted.update()
    assert compose(scan(update)) == update
    assert not erased or all(
        SEGMENT[1].key != one.key for one in admitted.entries if one.root == "messages"
    )
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    if base:
        doc.apply_update(base)
    doc.apply_update(update)
    ends = state | {block.client: block.end for block in admitted.blocks}
    assert decode_state(doc.get_state()) == ends
    shown = {entry[:2]: entry.value for entry in entries_of(scan(doc.get_update()))}
    before = {entry[:2]: entry.value for entry in (SEGMENT[:3] if base else ())}
    offered = {entry[:2]: entry.value for entry in admitted.entries}
    assert shown.keys() == before.keys() | offered.keys()
    assert all(value in (before.get(slot), offered.get(slot)) for slot, value in shown.items())
    for root in {root for root, _ in shown}:
        read = doc.get(root, type=pycrdt.Map).to_py()
        assert read == {key.decode(): value for (name, key), value in shown.items() if name == root}
    return True


def draw_state(draw: Random) -> bytes:
    return bytes_changed(draw, draw.choice(STATES))


def check_state(raw: bytes) -> bool:
    try:
        state = decode_state(raw)
    except Inadmissible:
        return False
    assert decode_state(encode_state(state)) == state
    return True


def updates() -> Kind:
    return Kind(draw_update, check_update)


def states() -> Kind:
    return Kind(draw_state, check_state)
