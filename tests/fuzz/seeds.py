"""Honest inputs of every kind: what real replicas write, and one of everything that a format has room for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import cbor2

from msgsync import Incoming, Reaction, Replica, limits
from msgsync.document.codec import Block, Struct, compose, encode_state
from msgsync.document.frozen import arrange, encode_frozen, freeze
from msgsync.document.schema import DocumentId, Entry
from msgsync.protocol.frames import Ask, Enough, Frame, Keep, Kept, Piece, Stored
from msgsync.protocol.wire import encode_frame
from msgsync.records import (
    AliasRecord,
    AttachmentRecord,
    MessageRecord,
    alias_key,
    encode_alias,
    encode_attachments,
    encode_message,
    encode_rest,
)
from tests.hostile.peer import said, session_of
from tests.hostile.test_updates import ATTACKS
from tests.unit.document.said import (
    HEAD,
    MONTH,
    delete,
    edit,
    erase,
    id_of,
    message,
    react,
    restore,
)
from tests.unit.document.test_frozen import EVERY_HEAD, EVERYTHING, LATER, SETTINGS
from tests.unit.machine import START_MS, Machine
from tests.unit.parts import freeze as freeze_in

_ALIAS: Final = encode_alias(AliasRecord(id_of(2), "x-1", 5))
SEGMENT: Final = [
    *EVERYTHING,
    *(message(number, f"text {number}") for number in range(20, 26)),
    *(edit(20, (n, w), f"text {n}") for n, w in ((1, 1), (2, 1), (2, 2))),
    *(react(21, (n, 1), on=on) for n, on in ((1, True), (2, False), (3, True))),
    delete((1, 2), 22, 23), restore((2, 1), 22, names=((1, 2),)), delete((3, 1), 22, names=((2, 1), (1, 2))),
    erase(24), erase(24, 25),
    Entry("aliases", alias_key(id_of(1), _ALIAS), _ALIAS),
]  # fmt: skip
ENTRIES: Final = [(MONTH, SEGMENT), (HEAD, EVERY_HEAD), (SETTINGS, EVERY_HEAD), (LATER, SEGMENT)]


def _records() -> dict[str, list[bytes]]:
    """Values that are CBOR, by what they are of."""
    found: dict[str, list[bytes]] = {
        "rests": [b"\xa1\x05\x07"],
        "head deletions": [],
        "head erasures": [],
    }
    for name, entries in (("", SEGMENT), ("head ", EVERY_HEAD)):
        for entry in entries:
            if entry.value and entry.value[0] >> 5 in (2, 5):
                root = {"head deletions": "head deletions", "head erased": "head erasures"}.get(
                    name + entry.root, entry.root
                )
                found.setdefault(root, []).append(entry.value)
    rich = MessageRecord(
        "ann", "hello 👋", 3, "x-17", START_MS, id_of(1), "image", {"a": [1, {"b": None}]}
    )
    found["messages"].append(encode_message(rich))
    photo = AttachmentRecord("a.png", "image/png", 7, bytes(32), bytes(32), 640, 480, None, b"x")
    video = AttachmentRecord(
        "v", "video/mp4", limits.CHUNK_BYTES + 1, bytes(32), bytes(64), None, None, 5
    )
    with_files = encode_rest(START_MS, None, None, None, encode_attachments([photo, video]))
    assert with_files is not None
    found["rests"].append(with_files)
    found["rests"].append(
        cbor2.dumps({5: START_MS, 6: id_of(1), 8: "image", 9: {"a": [1, {"b": None}]}})
    )
    return found


RECORDS: Final = _records()


def _blocks() -> list[list[Block]]:
    dead: list[Struct] = [message(40), 3, message(41), 1]
    return [
        [Block(5, 0, list(SEGMENT[:4]))],
        [Block(9, 0, dead), Block(5, 0, [2, message(42)])],
        [Block(client, 0, [one]) for client, one in enumerate(SEGMENT[10:], 1)],
        [Block(7, 3, [erase(1, 2), message(1), edit(1, (1, 1), "a")])],
        [Block(2**53 - 1, 0, [delete((1, 1), 1), restore((2, 1), 1, names=((1, 1),))])],
    ]


BLOCKS: Final = _blocks()
UPDATES: Final = [*map(compose, BLOCKS), *(raw for raw in ATTACKS.values() if len(raw) < 500)]
STATES: Final = [encode_state(one) for one in ({}, {5: 4}, {9: 6, 5: 3}, {2**53 - 1: 2**24, 1: 1})]
FORMS: Final = [(one, encode_frozen(freeze(one, entries))) for one, entries in ENTRIES] + [
    (MONTH, encode_frozen(arrange(MONTH, entries))) for entries in ([], [message(1)], [*map(message, range(300))])
]  # fmt: skip
PIECES: Final = [*UPDATES, *STATES, *(form for _, form in FORMS)]


def history(count: int, of: str) -> list[Incoming]:
    """Messages of three conversations and many months."""
    return [
        Incoming(
            f"c{n % 3}", "ben", f"{of} {n}", START_MS - n * 10**9, external_id=f"{of}{n}",
            reactions=(Reaction("ann", "👍", START_MS),) if n % 4 == 0 else (),
            deleted_ms=START_MS if n % 9 == 8 else None,
        )
        for n in range(count)
    ]  # fmt: skip


def pair(folder: Path, machine: Machine) -> tuple[Replica, Replica]:
    """Two replicas of one account that have not met, with a little of everything, some of it frozen."""
    options: dict[str, Any] = {"author": "ann", "durability": "relaxed", "system": machine}
    phone = Replica(folder / "phone.db", **options)
    tablet = Replica(folder / "tablet.db", member=phone, **options)
    for replica, name, count in ((phone, "phone", 12), (tablet, "tablet", 9)):
        replica.ingest(history(count, name))
        conversation = replica.create_conversation("Family", id="family")
        kept, edited, gone, erased = (
            conversation.send(f"{name} {word}") for word in ["kept", "edited", "gone", "erased"]
        )
        conversation.edit(edited, f"{name} after")
        conversation.react(kept, "👍")
        conversation.delete(gone)
        conversation.erase(erased)
        for document in (DocumentId("c0", "2024-01"), DocumentId("family", "head")):
            freeze_in(replica, document)
    return phone, tablet


@cache
def frames() -> list[Frame]:
    """All frames of an exchange between two replicas that have much to tell each other."""
    with TemporaryDirectory() as folder:
        phone, tablet = pair(Path(folder), Machine())
        with phone, tablet:
            sides = session_of(phone), session_of(tablet)
            names = (b"m" * 16, b"n" * 16)
            found: list[Frame] = [
                *(Ask(names), Piece(names[0], 300, bytes(300)), Stored(names), Enough()),
                *(Keep(names), Kept(names[:1])),
            ]
            while True:
                spoken = [said(side) for side in sides]
                if not any(spoken):
                    return found
                for number, words in enumerate(spoken):
                    for frame in words:
                        found.append(frame)
                        sides[1 - number].receive(encode_frame(frame)[4:])
