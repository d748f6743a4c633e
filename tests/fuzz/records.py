"""Values of entries, and documents made of them: whatever they hold, they are read, folded and frozen, or left."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import cbor2

from msgsync import limits
from msgsync.cbor import decode_map
from msgsync.document.fold import fold
from msgsync.document.frozen import arrange, decode_frozen, encode_frozen, freeze
from msgsync.document.schema import DocumentId, Entry, is_name
from msgsync.errors import InvalidValue
from msgsync.records import (
    decode_alias,
    decode_deletion,
    decode_edit,
    decode_erased,
    decode_erased_fields,
    decode_field,
    decode_head_deletion,
    decode_message,
    decode_message_columns,
    decode_reaction,
    decode_read,
    decode_rest,
    encode_message_columns,
)
from tests.fuzz.changes import bytes_changed, tree_changed
from tests.fuzz.kind import Kind
from tests.fuzz.seeds import ENTRIES, RECORDS

DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "messages": decode_message, "edits": decode_edit, "reactions": decode_reaction, "deletions": decode_deletion,
    "erased": decode_erased, "aliases": decode_alias, "fields": decode_field, "reads": decode_read,
    "head deletions": decode_head_deletion, "head erasures": decode_erased_fields, "rests": decode_rest,
}  # fmt: skip
NAMES: Final = sorted(DECODERS)


def changed_value(draw: Random, raw: bytes) -> bytes:
    """Another value: changed as bytes, or as what it says, in the one form or in another."""
    choice = draw.random()
    try:
        tree = cbor2.loads(raw)
    except cbor2.CBORDecodeError:
        tree, choice = None, 0
    if choice < 0.35:
        return bytes_changed(draw, raw)
    for _ in range(draw.choice((1, 1, 2, 3))):
        tree = tree_changed(draw, tree)
    raw = cbor2.dumps(tree, canonical=choice < 0.85)
    return bytes_changed(draw, raw) if choice > 0.95 else raw


def draw_record(draw: Random) -> bytes:
    name = draw.choice(NAMES)
    return bytes((NAMES.index(name),)) + changed_value(draw, draw.choice(RECORDS[name]))


def check_record(numbered: bytes) -> bool:
    """What is read has one encoding only; a message is the same in columns."""
    name, raw = NAMES[numbered[0] % len(NAMES)], numbered[1:]
    try:
        found = DECODERS[name](raw)
    except InvalidValue:
        return False
    if name in ("erased", "head erasures"):
        assert cbor2.dumps(cbor2.loads(raw)) == raw
        return True
    assert repr(found)
    assert cbor2.dumps(decode_map(raw), canonical=True) == raw
    if name == "messages":
        columns = decode_message_columns(raw)
        again = encode_message_columns(columns)
        assert repr(decode_message(again)) == repr(
            found
        )  # what is not a number is not equal to itself
    return True


def draw_entries(draw: Random) -> bytes:
    """A document: entries of whatever keys and values, as CBOR."""
    entries: list[tuple[str, bytes, bytes]] = []
    document, pool = draw.choice(ENTRIES)
    for _ in range(draw.choice((1, 2, 4, 8))):
        root, key, value = draw.choice(pool)
        choice = draw.random()
        if choice < 0.4:
            value = changed_value(
                draw, draw.choice(RECORDS[draw.choice(NAMES)]) if choice < 0.05 else value
            )
        elif choice < 0.5:
            key = draw.choice(pool).key
        elif choice < 0.6:
            key = bytes_changed(draw, key)
        elif choice < 0.65:
            root = draw.choice(pool).root
        entries.append((root, key, value))
    return cbor2.dumps([*document, *entries])


def check_entries(raw: bytes) -> bool:
    """The fold reads them or reports them; freezing them loses nothing that matters, however often it is done."""
    conversation, kind, *found = cbor2.loads(raw)
    document = DocumentId(conversation, kind)
    entries = [
        Entry(*one)
        for one in found
        if is_name(one[0].encode(), limits.ROOT_BYTES) and is_name(one[1], limits.KEY_BYTES)
    ]
    entries = list({one[:2]: one for one in entries}.values())
    state = fold(document, entries)
    form = encode_frozen(freeze(document, entries))
    frozen = decode_frozen(document, form)
    again = fold(document, frozen.entries())
    assert again.digest == state.digest
    assert again.unreadable.keys() == state.unreadable.keys() - set(state.irrelevant)
    assert encode_frozen(freeze(document, frozen.entries())) == form
    assert encode_frozen(arrange(document, frozen.entries()[::-1])) == form
    return not state.unreadable


def records() -> Kind:
    return Kind(draw_record, check_record)


def entries() -> Kind:
    return Kind(draw_entries, check_entries)
