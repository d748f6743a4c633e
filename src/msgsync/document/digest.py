"""Digests: a hash of the set of entries that still matter, whatever form they are stored in. Source: design 4.

A document's digest is the sum modulo 2^128 of a 16-byte hash of every entry, so that adding and removing an entry
costs one hash. Equal digests mean an equal set of entries that matter, hence equal visible state.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable
from typing import Final

from msgsync.document.columns import Messages
from msgsync.document.schema import (
    EDITS,
    ID_KEY,
    MESSAGES,
    REACTIONS,
    DocumentId,
    Entry,
    id_of,
)

MODULUS: Final = 1 << 128
_ERASED_PREFIX: Final = b"erased\0"
_MESSAGE: Final = b"\0"
"""What no root begins with."""
_PREFIXES: Final = {name: name.encode("ascii") + b"\0" for name in (EDITS, REACTIONS)}


def entry_digest(entry: Entry) -> int:
    """The digest of one entry: SHA-256 over root, key and value, its first 16 bytes as a number.

    The key of a message counts as the 12 bytes that it writes: those are at hand wherever many are counted.
    """
    root, key, value = entry
    if root == MESSAGES and ID_KEY.match(key):
        return _bulk((_MESSAGE + id_of(key) + value,))
    named = _PREFIXES.get(root) or root.encode("ascii") + b"\0"
    return int.from_bytes(hashlib.sha256(b"%b%b\0%b" % (named, key, value)).digest()[:16], "big")


def messages_digest(messages: Messages) -> int:
    """The digest of the entries of messages: `entries_digest` for what an import and a fill count most."""
    return _bulk(messages.values(map(_MESSAGE.__add__, messages.ids)))


def values_digest(ids: Iterable[bytes], values: Iterable[bytes]) -> int:
    """`messages_digest` of ids and values as they lie."""
    return _bulk([_MESSAGE + one + value for one, value in zip(ids, values, strict=True)])


def _bulk(named: Iterable[bytes]) -> int:
    sha256 = hashlib.sha256
    # Numbers of 64 bits, of which each hash has four, summed at once: a call for each takes longer than all the rest.
    words = array("Q", b"".join([sha256(one).digest() for one in named]))
    if sys.byteorder == "little":
        words.byteswap()
    return (sum(words[0::4]) << 64) + sum(words[1::4])


def erased_digest(message_id: bytes) -> int:
    """The digest of one erased id, whatever entry carries it."""
    return int.from_bytes(hashlib.sha256(_ERASED_PREFIX + message_id).digest()[:16], "big")


def entries_digest(entries: Iterable[Entry], erased: Iterable[bytes] = ()) -> int:
    """The digest of a document: its entries that matter (without readable ``erased`` ones) and its erased ids."""
    return (sum(map(entry_digest, entries)) + sum(map(erased_digest, erased))) % MODULUS


def document_share(document: DocumentId, digest: int) -> int:
    """What a document adds to the digest of a replica; nothing if it is empty.

    Bound to the document's id, so that the same entries elsewhere are another state.
    """
    if not digest:
        return 0
    named = b"%b\0%b\0%b" % (
        document.conversation.encode(),
        document.kind.encode(),
        digest.to_bytes(16, "big"),
    )
    return int.from_bytes(hashlib.sha256(named).digest()[:16], "big")


def bin_of(conversation: str) -> int:
    """The bin, 0 to 255, of a conversation's documents in the digest tree."""
    return hashlib.sha256(b"bin\0" + conversation.encode()).digest()[0]
