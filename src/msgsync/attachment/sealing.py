"""Chunks: their keys, their names and how they are sealed. Pure. Source: docs/specification.md, "Attachments".

The key of a chunk is a keyed hash of its text, so it encrypts this text alone, and equal chunks are stored once: within
an epoch, since the key of that hash comes from the epoch's secret, which no storage knows. It can neither tell which
files lie there nor confirm a guess. To read a chunk its key is enough: epochs can be forgotten, and once the record is
erased nobody can read what a storage kept.
"""

from __future__ import annotations

import hmac

from msgsync import limits
from msgsync.account.padding import pad, unpad
from msgsync.account.suite import Unsealable, context, decrypt, derive, encrypt
from msgsync.errors import AttachmentDamaged, InvalidValue
from msgsync.ids import AccountId
from msgsync.records import chunk_name


def attachments_key(secret: bytes, account: AccountId) -> bytes:
    """What chunks are hashed with during an epoch, from its secret."""
    return derive(secret, "attachments", account.raw)


def key_of(attachments: bytes, text: bytes) -> bytes:
    """The key of a chunk: 32 bytes."""
    return hmac.digest(attachments, text, "sha256")


def seal_chunk(key: bytes, text: bytes) -> bytes:
    """A chunk as it is stored; the same each time."""
    padded = pad(text, least=limits.OBJECT_FILL_BYTES)
    return encrypt(key, padded, _bound(key))


def open_chunk(key: bytes, sealed: bytes, size: int) -> bytes:
    """The text of a chunk.

    Args:
        key: its key.
        sealed: as it was stored.
        size: how many bytes it has, as the record says.

    Raises:
        AttachmentDamaged: these are not the bytes that were stored, or another number of them.
    """
    if len(sealed) > limits.SEALED_CHUNK_BYTES:
        raise AttachmentDamaged("a chunk of an attachment is too long")
    try:
        text = unpad(decrypt(key, sealed, _bound(key)))
    except (Unsealable, InvalidValue) as error:
        raise AttachmentDamaged("a chunk of an attachment is not what was stored") from error
    if len(text) != size:
        raise AttachmentDamaged("a chunk of an attachment has another size than its record says")
    return text


def _bound(key: bytes) -> bytes:
    return context("chunk", chunk_name(key))
