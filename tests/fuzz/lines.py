"""JSON Lines: each line is read or refused in words, each file is imported as far as it can be read."""

from __future__ import annotations

import base64
import gzip
import io
import json
from functools import cache
from random import Random
from typing import Any, Final

import cbor2

from msgsync import Incoming, Replica, limits
from msgsync.errors import InvalidValue
from msgsync.importers.jsonlines import import_jsonlines
from msgsync.importers.reading import ConversationLine, LineReader
from tests.fuzz.changes import VALUES, bytes_changed, tree_changed
from tests.fuzz.kind import Kind
from tests.fuzz.scratch import Scratch
from tests.unit.machine import START_MS

PACKED: Final = base64.b64encode(cbor2.dumps({"a": b"x", "b": [1, None]}, canonical=True)).decode()
OBJECTS: Final[tuple[dict[str, Any], ...]] = (
    {"conversation": "c0", "author": "ann", "text": "hello", "sent": "2024-01-01T10:00:00Z"},
    {"conversation": "c0", "author": "ben", "text": "Grüße 👍", "sent": START_MS, "id": "17", "order": 3},
    {
        "conversation": "c1", "author": "ann", "text": "x" * 300, "sent": "2024-01-01 10:00", "id": "18",
        "kind": "action",
        "reply_to": "17", "edits": [{"text": "y", "at": START_MS}], "deleted": True, "extra": {"a": [1, 1.5, None, {}]},
        "reactions": [{"user": "ben", "emoji": "👍", "at": "2024-01-01T10:00:00.5+01:00"}],
    },
    {
        "conversation": "c1", "message_id": "06afv5dt000000000001", "author": "ann", "text": "", "sent": 5, "order": 0,
        "reply_external": "17", "deleted": START_MS, "extra_cbor": PACKED,
    },
    {"type": "message", "conversation": "c2", "author": "é" * 60, "text": "\0", "sent": 0, "reply_to": "0" * 20},
    {
        "type": "conversation", "conversation": "c1", "title": "Family", "pinned": True, "archived": False,
        "muted": "2024-01-01", "participants": ["ann", "ben"], "metadata": {"color": "red", "n": [1, {}]},
    },
    {"type": "conversation", "conversation": "c3", "muted": True},
)  # fmt: skip
JSON_VALUES: Final[tuple[Any, ...]] = (
    *(one for one in VALUES if not isinstance(one, bytes | dict)), {}, {"a": {"b": []}}, [[[[]]]],
    "2024-02-30", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-12:00", "2024-01-01T10:00:00Z", "2024-W01-1",
    10**18, 1e308, "=" * 8, "AA==", PACKED, "06afv5dt000000000001", "zzzzzzzzzzzzzzzzzzzz", "\ud800", "\udfff\ud800",
)  # fmt: skip
ODD: Final = (
    b"", b" \t ", b"\xef\xbb\xbf{}", b"[]", b"null", b"{", b'{"type":1}', b"[" * 5000, b'{"a":' * 3000, b"\xff\xfe{}",
    b'{"sent":' + b"9" * 5000 + b"}", b'{"sent":1e999}', b'{"sent":NaN}', b'{"type":"conversation"}', b"{}{}", b"\0",
)  # fmt: skip


def draw_line(draw: Random) -> bytes:
    choice = draw.random()
    if choice < 0.03:
        return draw.choice(ODD)
    tree: Any = draw.choice(OBJECTS)
    if choice < 0.85:
        for _ in range(draw.choice((1, 1, 2, 3))):
            tree = tree_changed(draw, tree, JSON_VALUES)
    raw = json.dumps(tree, ensure_ascii=choice < 0.4, default=repr).encode("utf-8", "surrogatepass")
    return bytes_changed(draw, raw) if choice > 0.75 else raw


def draw_file(draw: Random) -> bytes:
    """A few lines, plain, gzipped, or gzipped and damaged."""
    end = draw.choice((b"\n", b"\n", b"\r\n"))
    raw = end.join(draw_line(draw) for _ in range(draw.choice((1, 5, 20))))
    choice = draw.random()
    if choice < 0.5:
        return raw
    raw = gzip.compress(raw, draw.choice((0, 6)), mtime=0)
    if choice < 0.6:
        raw += gzip.compress(draw_line(draw), mtime=0)
    return bytes_changed(draw, raw) if choice > 0.65 else raw


@cache
def _reader() -> LineReader:
    return LineReader(START_MS + limits.FUTURE_MS)


def check_line(raw: bytes) -> bool:
    try:
        value = _reader().read(raw)
    except InvalidValue:
        return False
    assert value is None or isinstance(value, Incoming | ConversationLine)
    return value is not None


def lines() -> Kind:
    return Kind(draw_line, check_line)


def files() -> Kind:
    scratch = Scratch(
        lambda folder, machine: (Replica(folder / "a.db", author="ann", system=machine),)
    )

    def check_file(raw: bytes) -> bool:
        """Every line is accounted for; a second time nothing is added."""
        with scratch.replicas() as [replica]:
            report = import_jsonlines(replica, io.BytesIO(raw))
            messages = report.added + report.present + report.erased
            assert messages + report.bad_count <= report.lines + 1  # one more that is cut off
            assert len(report.bad) == report.bad_count
            before = replica.digest
            again = import_jsonlines(replica, io.BytesIO(raw))
            assert (again.added, again.present + again.erased) == (0, messages)
            assert (again.lines, again.bad) == (report.lines, report.bad)
            assert replica.digest == before
        return report.added > 0

    return Kind(draw_file, check_file)
