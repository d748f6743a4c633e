"""Frozen forms: refused, or the only form of what they hold."""

from __future__ import annotations

import sys
from random import Random

import cbor2

from msgsync.document.fold import fold
from msgsync.document.frozen import arrange, decode_frozen, encode_frozen, freeze
from msgsync.errors import Inadmissible
from tests.fuzz.changes import bytes_changed, tree_changed
from tests.fuzz.kind import Kind
from tests.fuzz.seeds import FORMS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DOCUMENTS = [document for document, _ in FORMS]


def packed(raw: bytes) -> bytes:
    return zstd.compress(raw)


def unpacked(raw: bytes) -> bytes:
    return zstd.decompress(raw)


def draw_form(draw: Random) -> bytes:
    """First a number that says whose form it claims to be."""
    number = draw.randrange(len(FORMS))
    form = FORMS[number][1]
    choice = draw.random()
    if choice < 0.05:
        number = draw.randrange(len(FORMS))
    if choice < 0.4:
        return bytes((number,)) + bytes_changed(draw, form)
    tree = cbor2.loads(form)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        tree = tree_changed(draw, tree)
    return bytes((number,)) + cbor2.dumps(tree)


def check_form(numbered: bytes) -> bool:
    document, raw = DOCUMENTS[numbered[0] % len(DOCUMENTS)], numbered[1:]
    try:
        frozen = decode_frozen(document, raw)
    except Inadmissible:
        return False
    entries = frozen.entries()
    assert len({one[:2] for one in entries}) == len(entries)
    assert encode_frozen(frozen) == raw
    assert encode_frozen(arrange(document, entries[::-1])) == raw
    assert (
        fold(document, freeze(document, entries).entries()).digest == fold(document, entries).digest
    )
    return True


def forms() -> Kind:
    return Kind(draw_form, check_form)
