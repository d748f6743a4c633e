"""A run of messages as the plain table would send it: CBOR records, 4,096 of them in one zstd stream."""

from __future__ import annotations

import sys
from typing import Any, Final

import cbor2

from benchmarks.reference import EditRow, MessageRow, ReactionRow, Rows

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL: Final = 3


def records_of(rows: Rows) -> list[list[Any]]:
    """A list for each message; the time is in its id, and what was said about it stands at the end."""
    records: list[list[Any]] = []
    place: dict[int, list[Any]] = {}
    for key, conversation, _, order, one, author, text, external, deleted in rows.messages:
        record = [one, conversation, author, text, order, external]
        if deleted is not None:
            record += [[], [], deleted]
        place[key] = record
        records.append(record)
    for key, _, text, at in rows.edits:
        _said(place[key], 6).append([text, at])
    for key, _, user, emoji, at in rows.reactions:
        _said(place[key], 7).append([user, emoji, at])
    return records


def pack(records: list[list[Any]]) -> bytes:
    """The records as bytes on the wire."""
    return zstd.compress(cbor2.dumps(records), _LEVEL)


def unpack(raw: bytes, first_key: int) -> Rows:
    """The inverse of `records_of` and `pack`, with keys counted from ``first_key``."""
    messages: list[MessageRow] = []
    edits: list[EditRow] = []
    reactions: list[ReactionRow] = []
    for key, record in enumerate(cbor2.loads(zstd.decompress(raw)), first_key):
        one, conversation, author, text, order, external = record[:6]
        deleted = None
        if len(record) > 6:
            deleted = record[8]
            edits += [(key, i, before, at) for i, (before, at) in enumerate(record[6])]
            reactions += [(key, i, *reaction) for i, reaction in enumerate(record[7])]
        ms = int.from_bytes(one[:6], "big")
        messages.append((key, conversation, ms, order, one, author, text, external, deleted))
    return Rows(messages, edits, reactions)


def _said(record: list[Any], index: int) -> list[Any]:
    if len(record) == 6:
        record += [[], [], None]
    said: list[Any] = record[index]
    return said
