"""The key of an encrypted file, and how its pages are read. Source: docs/spec/crypto.md, "Encrypted files".

The first 16 bytes of the file say how dear a guess at the passphrase is, and are the salt of it. All that follows is
pages of SQLite, each encrypted and authenticated by itself, as SQLite3 Multiple Ciphers does it under ``chacha20``.
That writes and reads them; here that is done without it, where a file is damaged, or a page is to be written by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305

from msgsync.account.passphrase import DEAR, Cost, stretched
from msgsync.errors import SchemaTooNew

SALT_BYTES: Final = 16
_VERSION: Final = 1
_DRAWN_BYTES: Final = 12
_NONCE_BYTES: Final = 16
_TAG_BYTES: Final = 16
_CLEAR_BYTES: Final = 24
"""So much of the first page is not encrypted: the salt, and what says how long pages are."""
_BLOCK_BYTES: Final = 64
_BLOCKS: Final = 1 << 32
_MAGIC: Final = b"SQLite format 3\0"


class FileKey:
    """The key of one file; `new` makes one, `opened` finds that of a file which is there."""

    def __init__(self, salt: bytes, secret: bytes, random: Callable[[int], bytes]) -> None:
        self._random = random
        self.salt: Final = salt
        """The first 16 bytes of the file."""
        self.secret: Final = secret
        """32 bytes; whoever has them reads the file."""

    @classmethod
    def new(cls, passphrase: str, random: Callable[[int], bytes]) -> FileKey:
        """The key of a file that this passphrase opens.

        Raises:
            InvalidValue: the passphrase is empty.
        """
        cost = DEAR
        power = cost.memory_kib.bit_length() - 1
        assert cost.memory_kib == 1 << power
        salt = bytes([_VERSION, power, cost.iterations, cost.lanes]) + random(_DRAWN_BYTES)
        return cls(salt, stretched(passphrase, salt, cost), random)

    @classmethod
    def opened(cls, salt: bytes, passphrase: str, random: Callable[[int], bytes]) -> FileKey:
        """The key of the file that begins so, if this is its passphrase: its pages tell.

        Raises:
            InvalidValue: the passphrase is empty, or a guess would be dearer than a device should be made to do.
            SchemaTooNew: the file was encrypted in a newer way.
        """
        version, power, iterations, lanes = salt[:4]
        if version != _VERSION:
            raise SchemaTooNew(
                "the file is encrypted in a way that this msgsync does not know; update msgsync"
            )
        cost = Cost(1 << power, iterations, lanes)
        return cls(salt, stretched(passphrase, salt, cost), random)

    def page(self, number: int, raw: bytes) -> bytes | None:
        """What SQLite uses of a page, counted from 1: all but its last 32 bytes.

        None if it is not as it was written under this key.
        """
        end = len(raw) - _NONCE_BYTES - _TAG_BYTES
        if end < _CLEAR_BYTES:
            return None
        nonce = raw[end : end + _NONCE_BYTES]
        counter, once = self._once(number, nonce)
        try:
            Poly1305.verify_tag(once[:32], raw[: end + _NONCE_BYTES], raw[end + _NONCE_BYTES :])
        except InvalidSignature:
            return None
        clear = _CLEAR_BYTES if number == 1 else 0
        text = _stream(once[32:], counter + 1, nonce, raw[clear:end])
        begin = _MAGIC + raw[SALT_BYTES:clear] if clear else b""
        return begin + text

    def sealed(self, number: int, text: bytes) -> bytes:
        """The page whose `page` this text is, under a nonce that is drawn for it."""
        drawn = self._random(_NONCE_BYTES)
        nonce = drawn[:-1] + bytes([drawn[-1] & 0x7F])  # so that the counter does not run over
        counter, once = self._once(number, nonce)
        clear = _CLEAR_BYTES if number == 1 else 0
        begin = self.salt + text[SALT_BYTES:clear] if clear else b""
        bound = begin + _stream(once[32:], counter + 1, nonce, text[clear:]) + nonce
        return bound + Poly1305.generate_tag(once[:32], bound)

    def _once(self, number: int, nonce: bytes) -> tuple[int, bytes]:
        """Where the blocks of a page begin, and the two keys for it alone."""
        counter = int.from_bytes(nonce[12:], "little") ^ number
        return counter, _stream(self.secret, counter, nonce, bytes(_BLOCK_BYTES))

    def __repr__(self) -> str:
        return "FileKey(of an encrypted file)"


def _stream(key: bytes, counter: int, nonce: bytes, text: bytes) -> bytes:
    """ChaCha20 with the first 12 bytes of a nonce. Source: RFC 8439; after the last block comes the first."""
    counter %= _BLOCKS
    until = (_BLOCKS - counter) * _BLOCK_BYTES
    parts = [(counter, text[:until]), (0, text[until:])]
    return b"".join(
        Cipher(ChaCha20(key, start.to_bytes(4, "little") + nonce[:12]), None)
        .encryptor()
        .update(one)
        for start, one in parts
        if one
    )
