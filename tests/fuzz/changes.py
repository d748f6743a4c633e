"""Changing honest inputs, by what they are made of: bytes, trees of values, frames."""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random
from typing import Any, Final

from msgsync import limits
from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import Frame, Offer
from msgsync.standing import Standing
from tests.hostile.mutation import mutated

_VERBS: Final = ("set", "insert", "delete", "flip", "copy", "cut", "grow")
NUMBERS: Final = (
    *(-(2**64), -(2**63), -1, 0, 1, 2, 23, 24, 127, 128, 255, 256, 4095, 4096, 4097, 65_535, 65_536),
    *(2**24 - 1, 2**24, 2**31, 2**32 - 1, 2**32, 2**48 - 1, 2**48, 2**53 - 1, 2**53, 2**63, 2**64 - 1, 2**64),
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    *NUMBERS, None, True, False, 1.5, float("inf"), float("nan"), -0.0,
    "", "a", "\0", "👍", "text", "\u202e", "x" * 256, "0" * 20,
    b"", b"\0", bytes(8), bytes(12), b"\xff" * 12, bytes(16), b"\xff" * 16, bytes(24), b"x" * 256,
    [], {}, [[]], {0: {}}, [[[[[[[[[]]]]]]]]], {"a": {"b": {"c": [1, b"x", None]}}},
)  # fmt: skip
"""What is at the edge of something."""
FIELDS: Final = (0, 1, 2, 5, 9, 23, 24, 63, 64, 255, "type", "sent", "")
NAMES: Final = ("", "c0", "c1", "family", "\0", "x" * 200, "x" * 201, "é" * 100, "../..", "\ufeff")
KINDS: Final = ("head", "account", "1970-01", "2024-01", "2024-13", "10889-08", "polls", "", "x" * 33)  # fmt: skip


def bytes_changed(draw: Random, raw: bytes) -> bytes:
    """A few bytes are others, missing, or there twice."""
    found = [
        (draw.choice(_VERBS), draw.randrange(10**6), draw.randrange(256))
        for _ in range(draw.choice((1, 1, 1, 2, 3, 6)))
    ]
    return mutated(raw, found)


def tree_changed(draw: Random, tree: Any, values: tuple[Any, ...] = VALUES) -> Any:
    """One member of a tree of lists and maps, at whatever depth, is another, missing, or there twice."""
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        changed = dict(tree)
        key = draw.choice(list(tree))
        choice = draw.random()
        if choice < 0.15:
            del changed[key]
        elif choice < 0.25:
            changed[draw.choice(FIELDS)] = draw.choice(values)
        elif choice < 0.3:
            changed[draw.choice(list(tree))] = changed[key]
        else:
            changed[key] = tree_changed(draw, changed[key], values)
        return changed
    if isinstance(tree, list) and tree and draw.random() < 0.9:
        members = list(tree)
        at = draw.randrange(len(members))
        choice = draw.random()
        if choice < 0.15:
            del members[at]
        elif choice < 0.3:
            members.insert(at, draw.choice(members))
        elif choice < 0.4:
            members[at : at + 2] = members[at : at + 2][::-1]
        else:
            members[at] = tree_changed(draw, members[at], values)
        return members
    if isinstance(tree, bytes) and tree and draw.random() < 0.6:
        return bytes_changed(draw, tree)
    if isinstance(tree, str) and tree and draw.random() < 0.4:
        at = draw.randrange(len(tree) + 1)
        return tree[:at] + draw.choice(("\0", "é", "👍", "\ufffe", "x" * 300, '"', "\\u0000")) + tree[at:]  # fmt: skip
    if type(tree) is int and draw.random() < 0.5:
        return tree + draw.choice((-1, 1, 2**16, -(2**16)))
    return draw.choice(values)


def frame_changed(draw: Random, frame: Frame, pieces: list[bytes]) -> Frame:
    """One thing that a frame says is another of its kind, so that it is still a frame: a lie.

    Args:
        draw: chooses.
        frame: an honest one.
        pieces: updates, frozen forms and state vectors of whatever documents.
    """
    members = fields(frame)
    if not members:
        return frame
    name = draw.choice(members).name
    return replace(frame, **{name: _lied(draw, getattr(frame, name), pieces)})


def _lied(draw: Random, value: Any, pieces: list[bytes]) -> Any:  # noqa: PLR0911  one line a type
    if isinstance(value, DocumentId):
        return DocumentId(*draw.choice((
            (draw.choice(NAMES), value.kind), (value.conversation, draw.choice(KINDS)), ("", "account"),
        )))  # fmt: skip
    if isinstance(value, Label):
        return draw.choice((
            Label(), Label(1, bytes(16)), Label(limits.GENERATION, b"\xff" * 16),
            Label(value.generation + 1, draw.randbytes(16)), Label(value.generation or 1, draw.randbytes(16)),
        ))  # fmt: skip
    if isinstance(value, Parts):
        label, frozen, updates = value
        choice = draw.random()
        if choice < 0.3:
            label = _lied(draw, label, pieces)
        elif choice < 0.6:
            frozen = _piece(draw, frozen, pieces)
            label = label if label.generation or not frozen else Label(1, bytes(16))
        else:
            updates = _lied(draw, updates, pieces) or (_piece(draw, b"", pieces),)
        return Parts(label, frozen if label.generation else b"", updates)
    if isinstance(value, Standing):
        name = draw.choice(Standing._fields)
        return value._replace(**{name: _lied(draw, getattr(value, name), pieces)})
    if isinstance(value, dict):
        return _lied_of_devices(draw, value, pieces)
    if isinstance(value, Offer):
        name = draw.choice(fields(value)).name
        return replace(value, **{name: _lied(draw, getattr(value, name), pieces)})
    if isinstance(value, tuple):
        members = list(value)
        if not members:
            return value
        at = draw.randrange(len(members))
        choice = draw.random()
        if choice < 0.1 and isinstance(value, tuple) and type(members[0]) is not int:
            del members[at]
        elif choice < 0.25 and type(members[0]) is not int:
            members.insert(draw.randrange(len(members) + 1), members[at])
        else:
            members[at] = _lied(draw, members[at], pieces)
        return tuple(members)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice([one for one in NUMBERS if 0 <= one <= limits.MS])
    if isinstance(value, str):
        return draw.choice(NAMES)
    if len(value) in (8, 16, 4096):  # ids, digests, bins
        return draw.choice((bytes(len(value)), draw.randbytes(len(value)), value[::-1]))
    return _piece(draw, value, pieces)


def _lied_of_devices(
    draw: Random, known: dict[bytes, Any], pieces: list[bytes]
) -> dict[bytes, Any]:
    """Something else about one device, something about another one, or nothing about one."""
    if not known:
        return known
    changed = dict(known)
    one = draw.choice(sorted(known))
    choice = draw.random()
    if choice < 0.2:
        del changed[one]
    elif choice < 0.5:
        changed[draw.randbytes(8)] = changed[one]
    else:
        changed[one] = _lied(draw, changed[one], pieces)
    return changed


def _piece(draw: Random, piece: bytes, pieces: list[bytes]) -> bytes:
    choice = draw.random()
    if choice < 0.3:
        return draw.choice(pieces)
    if choice < 0.4:
        return b""
    return bytes_changed(draw, piece if piece and choice < 0.7 else draw.choice(pieces))
