"""Documents, roots and keys: where an entry lives. Source: design 4, docs/specification.md."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final, NamedTuple

from msgsync.records import Stamp

MESSAGES: Final = "messages"
EDITS: Final = "edits"
REACTIONS: Final = "reactions"
ALIASES: Final = "aliases"
DELETIONS: Final = "deletions"
ERASED: Final = "erased"
GONE: Final = "gone"
FIELDS: Final = "fields"
READS: Final = "reads"

HEAD: Final = "head"
"""The kind of a conversation's head."""
SEGMENT: Final = re.compile(r"[0-9]{4,5}-(0[1-9]|1[0-2])\Z")
"""The kind of a segment: its calendar month in UTC."""
ACCOUNT: Final = "account"
"""The kind of the account document, under the empty conversation id."""
KIND: Final = re.compile(r"[a-z0-9-]{1,32}\Z")
"""Any kind of document, known or not."""

ID_CHARACTERS: Final = 20
_BASE32: Final = rb"[0-9a-hjkmnp-tv-z]"
STAMP_KEY: Final = re.compile(rb"[0-7]%b{9}\.%b{16}\Z" % (_BASE32, _BASE32))
ID_KEY: Final = re.compile(rb"[01]%b{19}\Z" % _BASE32)
ID_STAMP_KEY: Final = re.compile(rb"[01]%b{19}\.[0-7]%b{9}\.%b{16}\Z" % (_BASE32, _BASE32, _BASE32))
ID_HASH_KEY: Final = re.compile(rb"[01]%b{19}\.[0-7]%b{25}\Z" % (_BASE32, _BASE32))
ID_NUMBER_KEY: Final = re.compile(rb"[01]%b{19}\.[0-9]{2}\Z" % _BASE32)
DAY_MS: Final = 86_400_000
_PRINTABLE: Final = re.compile(rb"[!-~]+\Z")


class DocumentId(NamedTuple):
    """One document: a conversation's id (empty for the account document) and the kind of document."""

    conversation: str
    kind: str

    @property
    def place(self) -> str:
        """How people are told which document it is."""
        return f"{self.conversation or 'the account'} {self.kind}"

    @property
    def is_segment(self) -> bool:
        """Whether this is a month of a conversation's messages."""
        return bool(self.conversation) and _is_month(self.kind)

    @property
    def has_fields(self) -> bool:
        """Whether this is a head or the account document; another kind that is no segment is opaque."""
        return self.is_head or self == ("", ACCOUNT)

    @property
    def is_head(self) -> bool:
        """Whether this is the head of a conversation."""
        return bool(self.conversation) and self.kind == HEAD


class Entry(NamedTuple):
    """One immutable entry of a document."""

    root: str
    key: bytes
    value: bytes


class AboutKey(NamedTuple):
    """The parts of a key of an edit or a reaction."""

    id: bytes
    stamp: Stamp


new: Final = tuple.__new__
"""Makes a named tuple in a third of the time of calling its class."""


def segment_of(ms: int) -> str:
    """Return the kind of the segment that holds messages of this millisecond: ``2024-03``, UTC."""
    return _month_of_day(ms // DAY_MS)


@lru_cache(maxsize=8192)
def _is_month(kind: str) -> bool:
    return SEGMENT.match(kind) is not None


@lru_cache(maxsize=8192)
def _month_of_day(day: int) -> str:
    """The month of a day since the epoch, by the Gregorian calendar; `datetime` ends with the year 9999."""
    day += 719_468  # days since 0000-03-01, the start of a 400-year era
    era, day_of_era = divmod(day, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153  # 0 is March
    year = era * 400 + year_of_era + (month >= 10)
    return f"{year:04d}-{month + 3 if month < 10 else month - 9:02d}"


@lru_cache(maxsize=8192)
def month_bounds(kind: str) -> tuple[int, int]:
    """The first millisecond of a segment's month, and the first one behind it."""
    year, month = (int(part) for part in kind.split("-"))
    following = (year, month + 1) if month < 12 else (year + 1, 1)
    return _first_day(year, month) * DAY_MS, _first_day(*following) * DAY_MS


def _first_day(year: int, month: int) -> int:
    """Days from the epoch to the first of a month, by the Gregorian calendar."""
    year -= month < 3
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def id_of(key: bytes) -> bytes:
    """Read a key that is a message id (20 characters that match `ID_KEY`)."""
    return _number(key).to_bytes(12, "big")


def stamp_of(key: bytes) -> Stamp:
    """Read a key of the form ``lamport.writer`` (27 characters that match `STAMP_KEY`)."""
    digits = key.translate(_TO_PYTHON)
    lamport = 0 if key[:10] == b"0000000000" else int(digits[:10], 32)  # most: from a carrier
    return new(Stamp, (lamport, int(digits[11:27], 32).to_bytes(10, "big")))


def about_of(key: bytes) -> AboutKey:
    """Read a key of the form ``id.lamport.writer`` (48 characters that match `ID_STAMP_KEY`)."""
    one = int(key[:ID_CHARACTERS].translate(_TO_PYTHON), 32).to_bytes(12, "big")
    return new(AboutKey, (one, stamp_of(key[21:])))


def is_name(name: bytes, limit_bytes: int) -> bool:
    """Whether a root or a key may be called this: printable ASCII without spaces, within a limit."""
    return 1 <= len(name) <= limit_bytes and _PRINTABLE.match(name) is not None


def _number(text: bytes) -> int:
    # Crockford's alphabet maps onto Python's base-32 digits 0-9a-v, which int() reads in C.
    return int(text.translate(_TO_PYTHON), 32)


_TO_PYTHON: Final = bytes.maketrans(
    b"0123456789abcdefghjkmnpqrstvwxyz", b"0123456789abcdefghijklmnopqrstuv"
)


def is_about(entry: Entry, texts: AbstractSet[bytes]) -> bool:
    """Whether an entry is about one of these ids (20 characters each): its key says so in every root, known or not."""
    return entry.root not in (DELETIONS, ERASED) and entry.key[:ID_CHARACTERS] in texts
