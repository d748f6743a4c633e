"""Names for files that somebody else chose. Pure.

A name comes from whoever sent the message. It may hold a path, what a terminal obeys, what a file system refuses, or
what one of them takes for a device: nothing of that gets into a folder here.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from msgsync import limits

FALLBACK: Final = "attachment"
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
_SUFFIX_BYTES: Final = 16
"""A longer one is none."""
_DIGEST_CHARACTERS: Final = 16
"""64 bits: of a million files no two are alike by chance."""
_FORBIDDEN: Final = frozenset('<>:"/\\|?*')
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
"""Marks that turn the order of letters: `exe.jpg` may be shown for `gpj.exe`."""


def safe_name(name: str) -> str:
    """A name under which a file can be put into any folder, as like this one as can be.

    No path, no control character, nothing that turns the order of letters, nothing that Windows, macOS or Linux
    refuses or takes for something else; at most 255 bytes of UTF-8, with the suffix kept where it is short.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(
        "_" if one in _FORBIDDEN else one
        for one in unicodedata.normalize("NFC", last)
        if one not in _TURNING and unicodedata.category(one) not in ("Cc", "Cs", "Zl", "Zp")
    )
    before = ""
    while kept != before:  # a dot may hide a space, and a space a dot
        before, kept = kept, kept.strip().strip(".")
    if not kept:
        return FALLBACK
    stem, dot, suffix = kept.partition(".")
    if stem.rstrip().casefold() in _RESERVED:
        kept = f"_{stem}{dot}{suffix}"
    return _shortened(kept)


def numbered(name: str, number: int) -> str:
    """Another name beside one that is taken: ``photo (2).jpg``."""
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    return _shortened(f"{stem} ({number}){dot}{suffix}")


def with_digest(name: str, digest: str) -> str:
    """A safe name of a file that no other file has: ``photo.3f2a9c1b8d7e6f50.jpg``."""
    stem, dot, suffix = safe_name(name).rpartition(".")
    if not dot or len(suffix.encode()) > _SUFFIX_BYTES:
        stem, dot, suffix = safe_name(name), "", ""
    tail = f".{digest[:_DIGEST_CHARACTERS]}{dot}{suffix}"
    room = limits.FILE_NAME_BYTES - len(tail.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + tail


def _shortened(name: str) -> str:
    if len(name.encode()) <= limits.FILE_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    tail = f"{dot}{suffix}" if dot and len(suffix.encode()) <= _SUFFIX_BYTES else ""
    room = limits.FILE_NAME_BYTES - len(tail.encode())
    cut = (stem if tail else name).encode()[:room].decode(errors="ignore")
    return cut.rstrip(". ") + tail
