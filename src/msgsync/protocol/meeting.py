"""What two devices that pair leave for each other in a mailbox: names and form. Source: docs/spec/crypto.md.

A meeting is a folder of a random name, which says nothing of the code: so there is nothing in it to guess by before
somebody who has the code comes. In it lie the announcement, and for each attempt to join a folder of its own, named
by the hash of its first frame, with the frames of the pairing by their numbers: odd ones are the joiner's. So nothing
depends on the order in which objects come. Each ends with a hash, by which half of one is told from
a whole one; what it says is protected by the frames themselves.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from msgsync.errors import MailboxDamaged, NoSuchObject
from msgsync.protocol.errand import Delete, Errand, Get, List

PAIRINGS: Final = "pairing"
"""The folder of all meetings."""
NAME_BYTES: Final = 16
"""Of the names of meetings, which are drawn, and of attempts."""
_VERSION: Final = b"\1"
_TIME_BYTES: Final = 8
_HASH_BYTES: Final = 32
_LEAST_BYTES: Final = len(_VERSION) + _TIME_BYTES + _HASH_BYTES
_LEFT_MS: Final = 86_400_000
"""A day after its end, nobody is at a meeting any more; clocks that are off by less end none."""
_LOOKED_AT: Final = 256
"""Objects in one look for leftovers."""


class Note(NamedTuple):
    """An object of a meeting."""

    until_ms: int
    """When the invitation ends, by the clock of the device that made it; Unix milliseconds."""
    frame: bytes
    """Nothing in an announcement."""


def write_note(note: Note) -> bytes:
    """The object."""
    said = _VERSION + note.until_ms.to_bytes(_TIME_BYTES, "big") + note.frame
    return said + hashlib.sha256(said).digest()


def read_note(raw: bytes) -> Note | None:
    """What an object says; None if it is not whole, or of another version."""
    said, ending = raw[:-_HASH_BYTES], raw[-_HASH_BYTES:]
    if len(raw) < _LEAST_BYTES or raw[:1] != _VERSION or hashlib.sha256(said).digest() != ending:
        return None
    at = len(_VERSION) + _TIME_BYTES
    return Note(int.from_bytes(said[len(_VERSION) : at], "big"), said[at:])


def announcement_of(meeting: str) -> str:
    """Where the announcement of a meeting lies."""
    return f"{PAIRINGS}/{meeting}/0"


def folder_of(meeting: str) -> str:
    """Where a meeting lies."""
    return f"{PAIRINGS}/{meeting}"


def attempt_by(knock: bytes) -> str:
    """The name of the attempt that begins with this frame: no other one can be put in its place."""
    return hashlib.sha256(knock).digest()[:NAME_BYTES].hex()


def announced(names: list[str]) -> list[str]:
    """The meetings of which announcements are listed."""
    parts = [name.split("/") for name in names]
    return [one[1] for one in parts if len(one) == 3 and one[2] == "0" and _is_digits(one[1])]


def knocking(names: list[str]) -> list[str]:
    """The attempts of which the first frame is listed, in the listing of one meeting."""
    parts = [name.split("/") for name in names]
    return [one[2] for one in parts if len(one) == 4 and one[3] == "1" and _is_digits(one[2])]


def _is_digits(name: str) -> bool:
    return len(name) == 2 * NAME_BYTES and all(digit in "0123456789abcdef" for digit in name)


def remove_leftovers(now_ms: int) -> Errand[None]:
    """Remove what meetings that ended a day ago have left; what is not whole is nobody's, and stays."""
    names: list[str] = yield List(PAIRINGS)
    for name in names[:_LOOKED_AT]:
        try:
            note = read_note((yield Get(name)))
        except (NoSuchObject, MailboxDamaged):
            continue
        if note is not None and note.until_ms + _LEFT_MS < now_ms:
            yield Delete(name)
