"""Tidings: what a device says with a batch of itself and of other devices; acknowledgements among it. Source: design 9.

Rules
-----
- They have the digest of all that the device held when it said so, and the standings that it knew then. Whoever is
  once in the state with that digest has met it, as in a session: see `msgsync.standing`. Older tidings stay true, for
  states only grow; but nothing follows from those of a store that was given up.
- Whoever has read on until what lies in the mailbox has that digest has all that the device had, whatever else it has
  itself: mostly what it wrote since and is about to put. Digests are sums, so both are told from each other, of each
  document: what merging changes is what lies there. A sum that was reckoned from others proves as much as one that was
  counted: it equals theirs only if every entry of theirs was once in a state that was here.
- They go with the last batch of a round, and with that of a checkpoint, for whoever reads that in place of logs.
  Alone they go if there is anything to tell that neither own tidings nor those of another device have told there; or
  once a day, as a sign of life. What there is to tell waits until `limits.TIDINGS_MS` after the latest ones. A sign
  of life does not: who comes once a day, just after somebody else, would never give one. Nor do the first ones of a
  device that was there before, but not within that time.
- Somebody is **heard** by tidings only as far as a clock shows it that is known to be about right: they name the time
  of the latest tidings of each device that were read. A device that finds its own time in them knows that they are
  younger. Heard counts from the lesser one of both times, if the other clock does not lag behind by more than a day.
- They name logs that could not be read for long. Whoever has put into such a log puts anew what it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.cbor import end_of, load
from msgsync.errors import InvalidValue, PeerError
from msgsync.protocol.frames import Known
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.standing import Standings

_LENGTH_BYTES: Final = 4


class Tidings(NamedTuple):
    """What a device said."""

    root: bytes
    """16 bytes: the digest of the replica."""
    time_ms: int
    """By its clock."""
    known: Standings
    read_ms: Mapping[bytes, int]
    """By device: the time of the latest tidings that were read of it."""
    unreadable: tuple[str, ...] = ()
    """Folders of logs that could not be read for long."""


def write_tidings(tidings: Tidings) -> bytes:
    """The bytes."""
    frame = encode_frame(Known(tidings.root, tidings.time_ms, tidings.known))
    plain = [frame[_LENGTH_BYTES:], dict(tidings.read_ms), list(tidings.unreadable)]
    return cbor2.dumps(plain, canonical=True)


def read_tidings(raw: bytes) -> Tidings | None:
    """Read them; None if they are none: they bring nothing that could not be had otherwise."""
    try:
        if end_of(raw, 0) != len(raw):
            return None
        frame, read_ms, unreadable = load(raw)[:3]
        known = decode_frame(frame)
        if not isinstance(known, Known) or len(read_ms) > limits.DEVICES:
            return None
        if not all(type(at) is bytes and type(ms) is int for at, ms in read_ms.items()):
            return None
        if not all(type(folder) is str for folder in unreadable):
            return None
    except (
        PeerError,
        InvalidValue,
        cbor2.CBORError,
        AttributeError,
        IndexError,
        TypeError,
        ValueError,
    ):
        return None
    return Tidings(known.root, known.time_ms, known.known, read_ms, tuple(unreadable))


def heard_ms(tidings: Tidings, own: bytes, now_ms: int) -> int:
    """When the device that said so was there for certain, by two clocks; 0 if that cannot be told."""
    told_ms = tidings.read_ms.get(own, 0)
    agrees = told_ms - limits.CLOCKS_AGREE_MS <= tidings.time_ms <= now_ms + limits.CLOCKS_AGREE_MS
    return min(told_ms, tidings.time_ms) if told_ms and agrees else 0
