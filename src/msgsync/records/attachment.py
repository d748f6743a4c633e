"""What a message's record says of its attachments. Source: design 11, docs/specification.md, "Attachments".

The bytes of a file lie elsewhere, cut into chunks and sealed; the record has what it takes to read them. A chunk has a
key of its own and a name made of it: who has the record can read, who has the name alone can only keep. Of one that was
erased a record is left that says what it was called and how large it was, and nothing of what was in it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from msgsync import limits
from msgsync.cbor import decode_map, head_of
from msgsync.errors import InvalidValue
from msgsync.records import fields as of
from msgsync.records.fields import bytes_of, number_of, record_of, text_of

CHUNK_KEY_BYTES: Final = 32
CHUNK_NAME_BYTES: Final = 16
DIGEST_BYTES: Final = 32
_NAME: Final = b"msgsync/chunk name\0\1"


def chunk_name(key: bytes) -> bytes:
    """16 bytes that name a chunk to whoever keeps it, and say nothing of its key."""
    return hmac.digest(key, _NAME, "sha256")[:CHUNK_NAME_BYTES]


def chunk_count(size: int) -> int:
    """How many chunks a file of so many bytes has."""
    return -(-size // limits.CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class AttachmentRecord:
    """A file that was sent with a message: what it is, and how to read it."""

    name: str
    """As its sender called it: 1 to 255 bytes of UTF-8, good for showing and not for a path."""
    media_type: str
    """1 to 127 bytes."""
    size: int
    """Bytes."""
    digest: bytes
    """SHA-256 of the whole; nothing if it was erased."""
    keys: bytes = field(repr=False)
    """Of its chunks, in order, 32 bytes each. All but the last have `limits.CHUNK_BYTES`. None if it was erased."""
    width: int | None = None
    """Pixels; with ``height`` or not at all."""
    height: int | None = None
    duration_ms: int | None = None
    preview: bytes | None = field(default=None, repr=False)
    """A small picture, at most 16 KiB, which nobody here has looked at."""

    def __post_init__(self) -> None:
        """Raises InvalidValue."""
        if type(self.keys) is not bytes or type(self.digest) is not bytes:
            raise InvalidValue("the digest and the keys of an attachment are bytes")
        if type(self.size) is not int or self.size < 0:
            raise InvalidValue("the size of an attachment is a number of bytes")
        if (self.width is None) != (self.height is None):
            raise InvalidValue("an attachment has a width and a height, or neither")
        if self.is_gone:
            if self.keys or self.preview is not None:
                raise InvalidValue("of an erased attachment there are neither keys nor a preview")
            return
        if len(self.digest) != DIGEST_BYTES:
            raise InvalidValue(f"the digest of an attachment has {DIGEST_BYTES} bytes")
        count = len(self.keys) // CHUNK_KEY_BYTES
        if len(self.keys) % CHUNK_KEY_BYTES or count > limits.CHUNKS:
            raise InvalidValue(f"an attachment has at most {limits.CHUNKS} keys of 32 bytes")
        if chunk_count(self.size) != count:
            raise InvalidValue("an attachment has a key for each chunk of its size")

    @property
    def is_gone(self) -> bool:
        """Whether it was erased, so that nothing is left of what was in it."""
        return not self.digest

    def without_content(self) -> AttachmentRecord:
        """What is left of it when it was erased."""
        return replace(self, digest=b"", keys=b"", preview=None)

    def chunk_keys(self) -> list[bytes]:
        """The keys of its chunks, in order."""
        step = CHUNK_KEY_BYTES
        return [self.keys[start : start + step] for start in range(0, len(self.keys), step)]

    def chunk_size(self, number: int) -> int:
        """How many bytes of the file a chunk holds."""
        return min(limits.CHUNK_BYTES, self.size - number * limits.CHUNK_BYTES)


def encode_attachments(records: Sequence[AttachmentRecord]) -> bytes:
    """The CBOR array of a message's attachments: each a record of its own, in a byte string.

    Raises:
        InvalidValue: one is beyond its limits, or there are too many.
    """
    if not 1 <= len(records) <= limits.ATTACHMENTS:
        raise InvalidValue(f"a message has at most {limits.ATTACHMENTS} attachments")
    return head_of(4, len(records)) + b"".join(bytes_of(encode_attachment(one)) for one in records)


def encode_attachment(record: AttachmentRecord) -> bytes:
    """One of them. Raises InvalidValue if it is beyond its limits."""
    fields: dict[int, bytes | None] = {
        1: text_of(record.name, "the name of a file", limits.FILE_NAME_BYTES, at_least=1),
        2: text_of(record.media_type, "a media type", limits.MEDIA_TYPE_BYTES, at_least=1),
        3: number_of(record.size, "a size", limits.CHUNKS * limits.CHUNK_BYTES),
    }
    if not record.is_gone:
        fields[4] = bytes_of(record.digest)
        fields[5] = bytes_of(record.keys)
    if record.width is not None and record.height is not None:
        fields[6] = number_of(record.width, "a width", limits.PIXELS)
        fields[7] = number_of(record.height, "a height", limits.PIXELS)
    if record.duration_ms is not None:
        fields[8] = number_of(record.duration_ms, "a duration", limits.MS)
    if record.preview is not None:
        if not 0 < len(record.preview) <= limits.PREVIEW_BYTES:
            raise InvalidValue(f"a preview has at most {limits.PREVIEW_BYTES} bytes")
        fields[9] = bytes_of(record.preview)
    return record_of(fields)


def read_attachments(value: Any) -> tuple[AttachmentRecord, ...]:
    """The attachments of a record, from what CBOR says. Raises InvalidValue."""
    if type(value) is not list or not 1 <= len(value) <= limits.ATTACHMENTS:
        raise InvalidValue(f"a message has 1 to {limits.ATTACHMENTS} attachments, or no such field")
    return tuple(map(_read, value))


def without_content(records: Sequence[bytes], numbers: Collection[int]) -> bytes:
    """The CBOR array of a message's attachments, of some only what is left when they were erased.

    Args:
        records: all of them, as they lie; each can be read.
        numbers: which are erased, from 0 on.
    """
    left = [
        encode_attachment(_read(raw).without_content()) if number in numbers else raw
        for number, raw in enumerate(records)
    ]
    return head_of(4, len(left)) + b"".join(map(bytes_of, left))


def _read(raw: Any) -> AttachmentRecord:
    if type(raw) is not bytes:
        raise InvalidValue("an attachment is a record in a byte string")
    fields = decode_map(raw)
    name: str = of.field(fields, 1, str, limits.FILE_NAME_BYTES)
    media_type: str = of.field(fields, 2, str, limits.MEDIA_TYPE_BYTES)
    preview: bytes | None = of.optional_field(fields, 9, bytes, limits.PREVIEW_BYTES)
    digest: bytes | None = of.optional_field(fields, 4, bytes, DIGEST_BYTES)
    keys: bytes | None = of.optional_field(fields, 5, bytes, limits.CHUNKS * CHUNK_KEY_BYTES)
    if (
        not name
        or not media_type
        or preview == b""
        or digest == b""
        or (digest is None) != (keys is None)
    ):
        raise InvalidValue("an attachment with an empty field, or with one that is not there")
    return AttachmentRecord(
        name,
        media_type,
        of.field(fields, 3, int, limits.CHUNKS * limits.CHUNK_BYTES),
        digest or b"",
        keys or b"",
        of.optional_field(fields, 6, int, limits.PIXELS),
        of.optional_field(fields, 7, int, limits.PIXELS),
        of.optional_field(fields, 8, int, limits.MS),
        preview,
    )
