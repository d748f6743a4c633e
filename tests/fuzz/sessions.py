"""Peers that speak the protocol and lie: documents pushed into a replica, and whole sessions with changed frames.

Nothing a peer says may crash or hang a replica, take anything of what is there, or keep two honest ones apart.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

import msgsync
from msgsync import MsgSyncError, Replica, limits
from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId, segment_of
from msgsync.errors import ProtocolError
from msgsync.protocol.wire import decode_frame, encode_frame
from tests.fuzz import seeds
from tests.fuzz.changes import bytes_changed, frame_changed
from tests.fuzz.forms import draw_form
from tests.fuzz.kind import Kind
from tests.fuzz.scratch import Scratch, reopen
from tests.fuzz.updates import draw_update
from tests.hostile.peer import Liar, session_of
from tests.unit.machine import START_MS

KEPT: Final = {"phone kept", "phone after", "tablet kept", "tablet after"}
PLACES: Final = (
    DocumentId("c", "1970-01"), DocumentId("c", "head"), DocumentId("family", "head"), DocumentId("", "account"),
    DocumentId("family", segment_of(START_MS)), DocumentId("c0", "2024-01"), DocumentId("c", "polls"),
)  # fmt: skip
LABELS: Final = (
    Label(1, bytes(16)),
    Label(2, b"\xaa" * 16),
    Label(limits.GENERATION, b"\xff" * 16),
)
FRAMES: Final = 3000
"""Far more than any of these sessions has."""


def _texts(replica: Replica) -> set[str]:
    return {
        one.text
        for conversation in replica.conversations(include_deleted=True)
        for one in replica.conversation(conversation.id).messages(limit=1000)
    }


def _converge(replicas: list[Replica]) -> None:
    """The honest meet, opened anew: afterwards they are equal, and what nobody took back is there.

    But for what `docs/guarantees.md` excepts: two records under one key and one clock stay two.
    """
    reopen(replicas)
    for _ in range(2):
        msgsync.sync(*replicas)
    first, second = map(_entries, replicas)
    if replicas[0].digest == replicas[1].digest:
        assert _texts(replicas[0]) == _texts(replicas[1]) >= KEPT
        return
    assert first.keys() == second.keys()
    for document, entries in first.items():
        assert entries.keys() == second[document].keys()
    for replica, name in zip(replicas, ("phone", "tablet"), strict=True):
        assert _texts(replica) >= {f"{name} kept", f"{name} after"}


def _entries(replica: Replica) -> dict[DocumentId, dict[tuple[str, bytes], bytes]]:
    """All entries that are here, by document, root and key."""
    with replica.reading() as store:
        rows = list(store.documents.select(""))
        return {row.id: {one[:2]: one.value for one in store.documents.reread(row)} for row in rows}


def documents() -> Kind:
    """What a peer sends for a document: three of them, to one of two replicas, which then meet."""
    scratch = Scratch(seeds.pair)

    def check(seed: bytes) -> bool:
        draw = Random(seed)
        taken = False
        with scratch.replicas() as replicas:
            victim = draw.choice(replicas)
            for _ in range(3):
                document = draw.choice(PLACES)
                updates = tuple(draw_update(draw)[1:] for _ in range(draw.choice((0, 1, 1, 2))))
                frozen = draw_form(draw)[1:] if draw.random() < 0.4 or not updates else b""
                parts = Parts(draw.choice(LABELS) if frozen else Label(), frozen, updates)
                report = Liar(victim).push_parts(document, parts)
                taken = taken or not report.refused
            replicas[0].conversation("family").send("goes on")
            _converge(replicas)
        return taken

    return Kind(lambda draw: draw.randbytes(8), check)


def sessions() -> Kind:
    """Two replicas whose frames somebody between them changes: into other frames, or into none."""
    scratch = Scratch(seeds.pair)

    def check(seed: bytes) -> bool:
        draw = Random(seed)
        with scratch.replicas() as replicas:
            for _ in range(2):
                _exchange(draw, replicas)
            before = [replica.digest for replica in replicas]
            _converge(replicas)
            return before[0] == before[1]

    return Kind(lambda draw: draw.randbytes(8), check)


def _exchange(draw: Random, replicas: list[Replica]) -> None:
    """Carry frames either way, one in so many changed, sent twice, held back or made up."""
    sides = [session_of(replica) for replica in replicas]
    often = draw.choice((0.05, 0.2, 0.6))
    carried = 0
    heard: deque[bytes] = deque(maxlen=20)
    while not all(side.finished for side in sides):
        moved = False
        for number, side in enumerate(sides):
            raw = side.next_frame()
            if raw is None:
                continue
            moved = True
            carried += 1
            assert carried < FRAMES, "a session that does not end"
            heard.append(raw[4:])
            for body in said_instead(draw, raw[4:], heard) if draw.random() < often else (raw[4:],):
                sides[1 - number].receive(body)
        if not moved:
            break
    for side in sides:
        assert side.error is None or isinstance(side.error, MsgSyncError)


def said_instead(draw: Random, body: bytes, heard: deque[bytes]) -> tuple[bytes, ...]:
    """What arrives in place of a frame (without its length): mostly another frame, as good as the honest one."""
    choice = draw.random()
    if choice < 0.7:
        frame = frame_changed(draw, decode_frame(body), seeds.PIECES)
        changed = encode_frame(frame)[4:]
        try:
            decode_frame(changed)
        except ProtocolError:
            return (body,)  # somebody who lies, not somebody who errs: that is the next case
        return (changed,)
    if choice < 0.75:
        return (bytes_changed(draw, body)[: limits.FRAME_BYTES],)
    if choice < 0.85:
        return body, body
    if choice < 0.9:
        return ()
    return body, draw.choice(heard)
