"""Manifests: the last object of a checkpoint, which says what it takes the place of. Source: design 9.

A checkpoint is a log of its own: batches with all that a device had, then a manifest. The head of the manifest has how
far the device had read other logs before it began; the body where the checkpoint begins, and in which folders those
logs lie. Whoever has read all of a checkpoint has all that those logs brought up to there.

It names the logs of which its device could not read all: see `protocol.gaps`. It says, too, how much the checkpoint
holds, and where what is shown first ends: see `protocol.candidates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import cbor2

from msgsync.account.head import Head, LogEnd
from msgsync.cbor import end_of, load
from msgsync.errors import InvalidValue, ObjectDamaged

_FOLDER: Final = re.compile(r"[0-9a-f]{32}p?")


class Contents(NamedTuple):
    """How much a checkpoint holds."""

    adds: bool
    """Whether it may hold what no log has that it covers."""
    newest: int
    """The sequence of the last object of what is shown first: all heads, and each conversation's newest segment."""
    documents: int
    messages: int
    bytes: int
    """Of those documents, as they are stored."""
    places: int
    """The sequence of the object that says where the documents are, but for those shown first; 0 if there is none."""


class Manifest(NamedTuple):
    """What a checkpoint says of itself."""

    first: int
    """The sequence of its first object."""
    covers: Mapping[str, LogEnd]
    """How far what it holds goes, by folder of the log."""
    contents: Contents
    holes: tuple[str, ...] = ()
    """Folders of logs of which its device may lack something, whatever it covers."""


def write_manifest(
    first: int, covers: Mapping[str, LogEnd], contents: Contents, holes: Iterable[str] = ()
) -> tuple[bytes, list[LogEnd]]:
    """The body of the object, and what goes into its head."""
    by_end = sorted((end, folder) for folder, end in covers.items())
    folders = [folder for _, folder in by_end]
    body = cbor2.dumps([first, folders, list(contents), sorted(holes)], canonical=True)
    return body, [end for end, _ in by_end]


def read_manifest(head: Head, body: bytes) -> Manifest:
    """Read it.

    Raises:
        ObjectDamaged: it is none, though its device signed it.
    """
    try:
        if end_of(body, 0) != len(body):
            raise InvalidValue("bytes behind the end of a manifest")
        first, folders, contents, holes = [*load(body)[:4], []][:4]
        if type(first) is not int or not 1 <= first <= head.sequence:
            raise InvalidValue("a manifest of a checkpoint that begins elsewhere")
        if not all(type(one) is str and _FOLDER.fullmatch(one) for one in [*folders, *holes]):
            raise InvalidValue("a manifest with a folder that is none")
        covers = dict(zip(folders, head.ends, strict=True))
        if len(covers) != len(folders):
            raise InvalidValue("a manifest that names a folder twice")
        return Manifest(first, covers, _contents(head, first, *contents[:6]), tuple(holes))
    except (InvalidValue, cbor2.CBORError, IndexError, TypeError, ValueError) as error:
        raise ObjectDamaged(
            "a manifest that cannot be read, though its device signed it"
        ) from error


def _contents(head: Head, first: int, adds: Any, *numbers: Any) -> Contents:
    newest, documents, messages, size, index = numbers
    if type(adds) is not bool or any(type(one) is not int or one < 0 for one in numbers):
        raise InvalidValue("a manifest that says otherwise than in numbers how much there is")
    if not first - 1 <= newest < head.sequence or (index and not newest < index < head.sequence):
        raise InvalidValue("a manifest of objects that are not in its checkpoint")
    return Contents(adds, newest, documents, messages, size, index)
