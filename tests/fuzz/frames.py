"""Frames: refused in words, or a frame that is written as it was read."""

from __future__ import annotations

from random import Random

import cbor2

from msgsync.errors import ProtocolError
from msgsync.protocol.wire import FrameReader, decode_frame, encode_frame
from tests.fuzz import seeds
from tests.fuzz.changes import bytes_changed, frame_changed, tree_changed
from tests.fuzz.forms import packed, unpacked
from tests.fuzz.kind import Kind


def frames() -> Kind:
    honest = seeds.frames()
    trees = [_tree(encode_frame(frame)[4:]) for frame in honest]

    def draw_frame(draw: Random) -> bytes:
        choice = draw.random()
        if choice < 0.25:
            return bytes_changed(draw, encode_frame(draw.choice(honest)))
        if choice < 0.5:
            return encode_frame(frame_changed(draw, draw.choice(honest), seeds.PIECES))
        tree = draw.choice(trees)
        for _ in range(draw.choice((1, 1, 2, 3))):
            tree = tree_changed(draw, tree)
        body = cbor2.dumps(tree)
        raw = b"\1" + packed(body) if choice < 0.7 else b"\0" + body
        return len(raw).to_bytes(4, "big") + raw

    return Kind(draw_frame, check_frame)


def _tree(raw: bytes) -> object:
    return cbor2.loads(unpacked(raw[1:]) if raw[0] else raw[1:])


def check_frame(raw: bytes) -> bool:
    """Also if it comes in two pieces."""
    reader = FrameReader()
    taken = False
    half = len(raw) // 2
    try:
        for piece in (raw[:half], raw[half:]):
            for body in reader.feed(piece):
                frame = decode_frame(body)
                again = decode_frame(encode_frame(frame)[4:])
                assert repr(again) == repr(frame)
                taken = True
    except ProtocolError:
        return False
    return taken
