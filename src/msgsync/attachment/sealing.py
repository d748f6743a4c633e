"""Chunks: their keys, their names and how they are sealed. Pure. Source: docs/specification.md, "Attachments".

The key of a chunk is a keyed hash of its text, so it encrypts this text alone, and equal chunks are stored once: within
an epoch, since the key of that hash comes from the epoch's secret, which no storage knows. It can neither tell which
files lie there nor confirm a guess. To read a chunk its key is enough: epochs can be forgotten, and once the record is
erased nobody can read what a storage kept.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.account.padding import LENGTH_BYTES, pad, pad_within, unpad, unpadded_size
from msgsync.account.suite import (
    TAG_BYTES,
    Unsealable,
    context,
    decrypt,
    decrypt_into,
    derive,
    encrypt,
    encrypt_into,
)
from msgsync.errors import AttachmentDamaged, InvalidValue
from msgsync.ids import AccountId
from msgsync.records import chunk_name

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BUFFER_BYTES: Final = LENGTH_BYTES + limits.CHUNK_BYTES


def attachments_key(secret: bytes, account: AccountId) -> bytes:
    """What chunks are hashed with during an epoch, from its secret."""
    return derive(secret, "attachments", account.raw)


def key_of(attachments: bytes, text: ReadableBuffer) -> bytes:
    """The key of a chunk: 32 bytes."""
    return hmac.digest(attachments, text, "sha256")


def seal_chunk(key: bytes, text: bytes) -> bytes:
    """A chunk as it is stored; the same each time."""
    padded = pad(text, least=limits.OBJECT_FILL_BYTES)
    return encrypt(key, padded, _bound(key))


def seal_within(key: bytes, buffer: memoryview, size: int, sealed: memoryview) -> memoryview:
    """The same of a text that lies in a buffer, into another one; return how much of that it is.

    A mebibyte that is new to the process takes longer to get than to encrypt.

    Args:
        key: its key.
        buffer: `BUFFER_BYTES`: room for its length, then the text.
        size: how many bytes the text has.
        sealed: `limits.SEALED_CHUNK_BYTES`.
    """
    padded = pad_within(buffer, size, least=limits.OBJECT_FILL_BYTES)
    sealed = sealed[: len(padded) + TAG_BYTES]
    encrypt_into(key, padded, _bound(key), sealed)
    return sealed


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


def check_chunk(key: bytes, sealed: bytes, size: int, room: memoryview) -> None:
    """See that `open_chunk` would open a chunk, without making its text anew.

    Args:
        key: as for that.
        sealed: as for that.
        size: as for that.
        room: `BUFFER_BYTES` that may be written to; the text lies there afterwards, behind its length.

    Raises:
        AttachmentDamaged: as for that.
    """
    length = len(sealed) - TAG_BYTES
    if not LENGTH_BYTES <= length <= len(room):
        raise AttachmentDamaged("a chunk of an attachment is too short or too long")
    try:
        decrypt_into(key, sealed, _bound(key), room[:length])
        found = unpadded_size(room[:length])
    except (Unsealable, InvalidValue) as error:
        raise AttachmentDamaged("a chunk of an attachment is not what was stored") from error
    if found != size:
        raise AttachmentDamaged("a chunk of an attachment has another size than its record says")


def _bound(key: bytes) -> bytes:
    return context("chunk", chunk_name(key))
