"""Manifests: the last object of a checkpoint, which says what it takes the place of. Source: design 9.

A checkpoint is a log of its own: batches with all that a device had, then a manifest. The head of the manifest has how
far the device had read other logs before it began; the body where the checkpoint begins, and in which folders those
logs lie. Whoever has read all of a checkpoint has all that those logs brought up to there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import cbor2

from msgsync.account.head import Head, LogEnd
from msgsync.cbor import end_of, load
from msgsync.errors import InvalidValue, ObjectDamaged

_FOLDER: Final = re.compile(r"[0-9a-f]{32}")


class Manifest(NamedTuple):
    """What a checkpoint says of itself."""

    first: int
    """The sequence of its first object."""
    covers: Mapping[str, LogEnd]
    """How far what it holds goes, by folder of the log."""


def write_manifest(first: int, covers: Mapping[str, LogEnd]) -> tuple[bytes, list[LogEnd]]:
    """The body of the object, and what goes into its head."""
    by_end = sorted((end, folder) for folder, end in covers.items())
    body = cbor2.dumps([first, [folder for _, folder in by_end]], canonical=True)
    return body, [end for end, _ in by_end]


def read_manifest(head: Head, body: bytes) -> Manifest:
    """Read it.

    Raises:
        ObjectDamaged: it is none, though its device signed it.
    """
    try:
        if end_of(body, 0) != len(body):
            raise InvalidValue("bytes behind the end of a manifest")
        first, folders = load(body)[:2]
        if type(first) is not int or not 1 <= first <= head.sequence:
            raise InvalidValue("a manifest of a checkpoint that begins elsewhere")
        if not all(type(one) is str and _FOLDER.fullmatch(one) for one in folders):
            raise InvalidValue("a manifest with a folder that is none")
        covers = dict(zip(folders, head.ends, strict=True))
        if len(covers) != len(folders):
            raise InvalidValue("a manifest that names a folder twice")
    except (InvalidValue, cbor2.CBORError, IndexError, TypeError, ValueError) as error:
        raise ObjectDamaged(
            "a manifest that cannot be read, though its device signed it"
        ) from error
    return Manifest(first, covers)
