"""The index of a checkpoint: which object has which month, so that one that is asked for comes first. Source: design 9.

It is an object behind the batches, before the manifest, and is read only by who asks for older messages while filling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cbor2

from msgsync.cbor import end_of, load
from msgsync.document.schema import DocumentId
from msgsync.errors import InvalidValue, ObjectDamaged

Places = Sequence[tuple[str, int]]
"""Kinds of documents, and the sequence of the object that each begins in."""


def write_index(first: int, places: Iterable[tuple[DocumentId, int]]) -> bytes:
    """The body of the object; sequences count from that of the first object."""
    by_conversation: dict[str, list[str | int]] = {}
    for document, sequence in places:
        by_conversation.setdefault(document.conversation, []).extend(
            (document.kind, sequence - first)
        )
    return cbor2.dumps([[*one] for one in by_conversation.items()], canonical=True)


def read_index(first: int, body: bytes) -> Mapping[str, Places]:
    """Where the documents of each conversation are, as they lie there: newest first.

    Raises:
        ObjectDamaged: it is no index, though its device signed it.
    """
    try:
        if end_of(body, 0) != len(body):
            raise InvalidValue("bytes behind the end of an index")
        found: dict[str, Places] = {}
        for conversation, pairs in load(body):
            kinds, offsets = pairs[::2], pairs[1::2]
            if type(conversation) is not str or not all(type(one) is str for one in kinds):
                raise InvalidValue("an index of what is no document")
            if not all(type(one) is int and one >= 0 for one in offsets):
                raise InvalidValue("an index of no objects")
            places = zip(kinds, offsets, strict=True)
            found[conversation] = [(kind, first + offset) for kind, offset in places]
    except (InvalidValue, cbor2.CBORError, IndexError, TypeError, ValueError) as error:
        raise ObjectDamaged("an index that cannot be read, though its device signed it") from error
    return found
