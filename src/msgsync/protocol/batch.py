"""Batches: what a device puts into its log in a mailbox, and their bytes. Source: design 9, docs/specification.md.

A batch is the CBOR of documents with what of them is new there, of where its log begins, and of what its device says
besides. It is cut into pieces that fit an object each; one byte in front of a piece says whether another one follows in
the next object of the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.cbor import end_of, load
from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.errors import InvalidValue, ObjectDamaged

Documents = Sequence[tuple[DocumentId, Parts]]


class Batch(NamedTuple):
    """What a device puts at once."""

    documents: Documents
    first: int = 0
    """The sequence of the first object of its log; 0 if it does not say."""
    tidings: bytes = b""
    """See `protocol.tidings`; nothing if it has nothing to say."""


_LAST: Final = b"\0"
_GOES_ON: Final = b"\1"


def encode_batch(documents: Documents, first: int = 0, tidings: bytes = b"") -> bytes:
    """The bytes of a batch."""
    plain = [
        [*document, *parts.label, parts.frozen, parts.updates] for document, parts in documents
    ]
    return cbor2.dumps([plain, first, tidings], canonical=True)


def cut(batch: bytes) -> Iterator[bytes]:
    """The bodies of the objects that a batch is put as, in order."""
    for start in range(0, len(batch), limits.BATCH_PIECE_BYTES):
        end = start + limits.BATCH_PIECE_BYTES
        yield (_GOES_ON if end < len(batch) else _LAST) + batch[start:end]


def read_piece(body: bytes) -> tuple[bytes, bool]:
    """What a body brings of a batch, and whether it is the last of it.

    Raises:
        ObjectDamaged: it is of no such form.
    """
    if body[:1] not in (_LAST, _GOES_ON):
        raise ObjectDamaged("a batch of a form that this version does not know; update msgsync")
    return body[1:], body[:1] == _LAST


def decode_batch(batch: bytes) -> Documents:
    """The documents of a batch; see `read_batch`."""
    return read_batch(batch).documents


def read_batch(batch: bytes) -> Batch:
    """Read a batch; what of its documents is admissible is seen when they are merged.

    Raises:
        ObjectDamaged: it is none, though its device signed it.
    """
    try:
        if end_of(batch, 0) != len(batch):
            raise InvalidValue("bytes behind the end of a batch")
        documents, first, tidings = [*load(batch), 0, b""][:3]
        if type(first) is not int or not 0 <= first < 1 << 64 or type(tidings) is not bytes:
            raise InvalidValue("a batch with a margin of the wrong form")
        return Batch([_document(*document) for document in documents], first, tidings)
    except (InvalidValue, cbor2.CBORError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ObjectDamaged("a batch that cannot be read, though its device signed it") from error


def _document(
    conversation: Any, kind: Any, generation: Any, base: Any, frozen: Any, updates: Any
) -> tuple[DocumentId, Parts]:
    texts = type(conversation) is str and type(kind) is str
    numbers = type(generation) is int and 0 <= generation <= limits.GENERATION
    pieces = all(type(one) is bytes for one in (base, frozen, *updates))
    if not (texts and numbers and pieces) or len(base) != (16 if generation else 0):
        raise InvalidValue("a document of a batch is of the wrong form")
    if (frozen and not generation) or max(len(conversation), len(kind)) > limits.NAME_BYTES:
        raise InvalidValue("a document of a batch is beyond its limits")
    return DocumentId(conversation, kind), Parts(Label(generation, base), frozen, tuple(updates))
