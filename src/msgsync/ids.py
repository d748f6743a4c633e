"""Identifiers: their bytes, their text, their order and their odds. Source: design 3.

Text is Crockford base32 in lower case, the bytes read as one big-endian number and padded in front, so text
sorts as bytes do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from msgsync import limits
from msgsync.errors import InvalidValue

ALPHABET: Final = b"0123456789abcdefghjkmnpqrstvwxyz"
_VALUE_OF: Final = bytes(ALPHABET.index(c) if c in ALPHABET else 255 for c in range(256))
_PAIRS: Final = [bytes((ALPHABET[i >> 5], ALPHABET[i & 31])) for i in range(1024)]


def to_base32(number: int, length: int) -> str:
    """Return ``number`` as exactly ``length`` base32 characters (an even count)."""
    return b"".join(
        [_PAIRS[(number >> shift) & 1023] for shift in range(5 * (length - 2), -1, -10)]
    ).decode("ascii")


def from_base32(text: str) -> int:
    """Return the number that ``text`` writes in base32.

    Raises:
        InvalidValue: a character is not of the alphabet.
    """
    number = 0
    for byte in text.encode("utf-8"):
        value = _VALUE_OF[byte]
        if value == 255:
            raise InvalidValue(
                "not base32: use the digits and the letters a to z without i, l, o and u"
            )
        number = number << 5 | value
    return number


@dataclass(frozen=True, order=True)
class _Id:
    """A fixed number of bytes with a text form. Subclasses are distinct types on purpose."""

    __slots__ = ("raw",)
    raw: bytes
    BYTES: ClassVar[int]
    CHARACTERS: ClassVar[int]

    def __post_init__(self) -> None:
        if type(self.raw) is not bytes or len(self.raw) != self.BYTES:
            raise InvalidValue(f"a {type(self).__name__} has {self.BYTES} bytes")

    def __str__(self) -> str:
        return to_base32(int.from_bytes(self.raw, "big"), self.CHARACTERS)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises:
            InvalidValue: the text has another length, alphabet or range.
        """
        if not isinstance(text, str) or len(text) != cls.CHARACTERS:
            got = f"{len(text)}" if isinstance(text, str) else f"a {type(text).__name__}"
            raise InvalidValue(
                f"{cls.__name__}: expected {cls.CHARACTERS} characters of base32, not {got}"
            )
        number = from_base32(text)
        if number >> (8 * cls.BYTES):
            raise InvalidValue(f"this text is larger than any {cls.__name__}")
        return cls(number.to_bytes(cls.BYTES, "big"))


class MessageId(_Id):
    """12 bytes: 48-bit milliseconds since the Unix epoch, then 48 random or hashed bits.

    Among a million messages that share one millisecond two collide with a chance of about one in 560; among a
    million in a source stamped by minutes, one in ten million or less (design 3).
    """

    __slots__ = ()
    BYTES = 12
    CHARACTERS = 20

    @property
    def ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return int.from_bytes(self.raw[:6], "big")


class DeviceId(_Id):
    """64 bits that name one device of an account: a hash of its signing key."""

    __slots__ = ()
    BYTES = 8
    CHARACTERS = 14


class AccountId(_Id):
    """128 bits that name one person's devices; a hash of the account's first statement."""

    __slots__ = ()
    BYTES = 16
    CHARACTERS = 26


def check_conversation_id(text: str) -> str:
    """Return ``text`` if it can be a conversation id: 1 to 200 bytes of UTF-8 without NUL.

    Raises:
        InvalidValue: it cannot.
    """
    if not isinstance(text, str) or not text:
        raise InvalidValue("a conversation id is a string of at least one character")
    size_bytes = len(encode_text(text, "a conversation id"))
    if size_bytes > limits.CONVERSATION_ID_BYTES or "\0" in text:
        raise InvalidValue(
            f"a conversation id has at most {limits.CONVERSATION_ID_BYTES} bytes of UTF-8 and no NUL; "
            f"this one has {size_bytes} bytes"
        )
    return text


def encode_text(text: str, what: str) -> bytes:
    """Return ``text`` as UTF-8; ``what`` names it in the error.

    Raises:
        InvalidValue: it holds half of a surrogate pair, which no file and no wire can carry.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"{what} holds a lone surrogate at position {error.start}: decode it properly first"
        ) from error


def external_tail(conversation: str, external_id: str) -> bytes:
    """The last 6 bytes of the id of an ingested message: a function of the upstream message alone.

    Source: design 3 (nothing that depends on which other messages a device has seen may enter an id).
    """
    named = encode_text(f"{conversation}\0{external_id}", "an external id")
    return hashlib.sha256(named).digest()[:6]


def ingested_id(conversation: str, external_id: str, sent_ms: int) -> bytes:
    """The 12 bytes of the id of an ingested message."""
    return sent_ms.to_bytes(6, "big") + external_tail(conversation, external_id)


def made_up_external_id(author: str, sent_ms: int, text: str, repetition: int) -> str:
    """The external id of a message whose source has none.

    Args:
        author: who sent it.
        sent_ms: the source's time, Unix milliseconds.
        text: its text.
        repetition: how many identical ones came before it in the run of equal time.

    Source: design 3; the one accepted exception to ids that are a function of the upstream message alone.
    """
    content = encode_text(f"{author}\0{sent_ms}\0{text}\0{repetition}", "the text or the author")
    return "~" + to_base32(int.from_bytes(hashlib.sha256(content).digest()[:16], "big"), 26)


# Many ids at once. A text of 20 characters is 100 bits; with three zero bytes in front an id is 15 bytes, three
# groups of 40 bits, each of which spreads into 8 characters. The spreading runs over one long integer: a
# fifth of a microsecond an id, against two for one at a time.

_CHUNK: Final = 1024


def _mask(pattern: int) -> int:
    return int.from_bytes(pattern.to_bytes(8, "big") * (3 * _CHUNK), "big")


_STEPS: Final = tuple(
    (_mask(high), _mask(low), shift)
    for high, low, shift in (
        (0x000000FFFFF00000, 0x00000000000FFFFF, 12),
        (0x000FFC00000FFC00, 0x000003FF000003FF, 6),
        (0x03E003E003E003E0, 0x001F001F001F001F, 3),
    )
)
_BACK: Final = tuple(
    (_mask(high), _mask(low), shift)
    for high, low, shift in (
        (0x1F001F001F001F00, 0x001F001F001F001F, 3),
        (0x03FF000003FF0000, 0x000003FF000003FF, 6),
        (0x000FFFFF00000000, 0x00000000000FFFFF, 12),
    )
)


def encode_id(raw: bytes) -> bytes:
    """Return the 20 ASCII characters of one 12-byte id."""
    return to_base32(int.from_bytes(raw, "big"), 20).encode("ascii")


def encode_ids(raws: Sequence[bytes]) -> list[bytes]:
    """Return the 20 ASCII characters of each 12-byte id."""
    texts: list[bytes] = []
    for start in range(0, len(raws), _CHUNK):
        chunk = raws[start : start + _CHUNK]
        count = len(chunk)
        packed = b"\0\0\0" + b"\0\0\0".join(chunk)
        spread = bytearray(24 * count)
        for i in range(5):
            spread[3 + i :: 8] = packed[i::5]
        number = int.from_bytes(spread, "big")
        for high, low, shift in _STEPS:
            number = ((number & high) << shift) | (number & low)
        text = number.to_bytes(24 * count, "big").translate(_TO_TEXT)
        texts.extend([text[i + 4 : i + 24] for i in range(0, 24 * count, 24)])
    return texts


def decode_ids(texts: Sequence[bytes]) -> list[bytes]:
    """Return the 12 bytes of each id of 20 characters.

    Raises:
        InvalidValue: one has another length, alphabet or range.
    """
    raws: list[bytes] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        count = len(chunk)
        text = b"0000" + b"0000".join(chunk)
        values = text.translate(_VALUE_OF)
        if set(map(len, chunk)) != {20} or b"\xff" in values:
            raise InvalidValue("a message id has 20 characters of base32")
        number = int.from_bytes(values, "big")
        for high, low, shift in _BACK:
            number = ((number & high) >> shift) | (number & low)
        spread = number.to_bytes(24 * count, "big")
        packed = bytearray(15 * count)
        for i in range(5):
            packed[i::5] = spread[3 + i :: 8]
        if any(packed[0::15]) or any(packed[1::15]) or any(packed[2::15]):
            raise InvalidValue("this text is larger than any message id")
        whole = bytes(packed)
        raws.extend([whole[i + 3 : i + 15] for i in range(0, 15 * count, 15)])
    return raws


_TO_TEXT: Final = ALPHABET + bytes(range(32, 256))


def sort_ids(ids: Iterable[bytes]) -> list[bytes]:
    """Distinct ids in ascending order, as every list of ids in an entry is written."""
    return sorted(set(ids))
