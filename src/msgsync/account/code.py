"""Codes that pair a new device: twelve characters to type, or a picture to scan. Source: docs/spec/crypto.md, "Codes".

Sixty random bits are too many to guess online, and stretching makes them too many to guess offline; the picture holds
128 and is not stretched. What both sides derive from a code: where they meet, and the key of what they say there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from msgsync.account.passphrase import DEAR, Cost
from msgsync.account.suite import derive, stretch
from msgsync.errors import InvalidValue
from msgsync.ids import from_base32, to_base32

TYPED_BYTES: Final = 8
"""Random bytes that a typed code is made of; 60 of the 64 bits are used."""
SCANNED_BYTES: Final = 16
_TYPED_CHARACTERS: Final = 12
_SCANNED_CHARACTERS: Final = 26
_SCHEME: Final = "msgsync:1:"
_ALIKE: Final = str.maketrans("ilo", "110")
"""Letters that are not in the alphabet because they look like digits."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What follows from a code."""

    rendezvous: str
    """32 hexadecimal digits: where the two devices find each other. Says nothing about the code."""
    root: bytes = field(repr=False)
    """The key of the exchange."""


class Code:
    """A code, typed or scanned.

    Args:
        bits: what it writes.
        typed: whether a person types it; else it is scanned.
    """

    def __init__(self, bits: int, *, typed: bool) -> None:
        self._bits = bits
        self.typed = typed

    @classmethod
    def to_type(cls, random: bytes) -> Code:
        """A code of 60 bits, from 8 random bytes.

        Raises:
            InvalidValue: another number of bytes.
        """
        if len(random) != TYPED_BYTES:
            raise InvalidValue(f"a code to type is made of {TYPED_BYTES} bytes")
        return cls(int.from_bytes(random, "big") >> 4, typed=True)

    @classmethod
    def to_scan(cls, random: bytes) -> Code:
        """A code of 128 bits, from 16 random bytes.

        Raises:
            InvalidValue: another number of bytes.
        """
        if len(random) != SCANNED_BYTES:
            raise InvalidValue(f"a code to scan is made of {SCANNED_BYTES} bytes")
        return cls(int.from_bytes(random, "big"), typed=False)

    @classmethod
    def parse(cls, text: str) -> Code:
        """Read a code as somebody types it, or as it was scanned.

        Raises:
            InvalidValue: it is none; the message does not repeat it.
        """
        folded = text.strip().lower()
        typed = not folded.startswith(_SCHEME)
        size = _TYPED_CHARACTERS if typed else _SCANNED_CHARACTERS
        folded = folded.removeprefix(_SCHEME)
        if typed:
            folded = "".join(folded.replace("-", " ").split()).translate(_ALIKE)
        if len(folded) != size or not folded.isascii():
            raise InvalidValue(
                "a code has twelve characters, in three groups of four: digits, and letters without i, l, o and u"
            )
        bits = from_base32(folded)
        if not typed and bits >> 8 * SCANNED_BYTES:
            raise InvalidValue("this was scanned wrong: no code is as large")
        return cls(bits, typed=typed)

    def text(self) -> str:
        """What to show: three groups to type, or the content of the picture."""
        if not self.typed:
            return _SCHEME + to_base32(self._bits, _SCANNED_CHARACTERS)
        characters = to_base32(self._bits, _TYPED_CHARACTERS).upper()
        return "-".join(characters[at : at + 4] for at in range(0, _TYPED_CHARACTERS, 4))

    def secrets(self, *, cost: Cost = DEAR) -> Secrets:
        """What follows from the code; takes about two seconds for one that was typed.

        Args:
            cost: of stretching; both sides have to take the same, and a guess costs an attacker as much.
        """
        if self.typed:
            # The code is the only thing that both sides know, so the salt is the same for all; what an attacker
            # could compute beforehand is all 2^60 codes, at two seconds and 256 MiB each.
            salt = derive(b"", "typed code")[:16]
            secret = stretch(
                self._bits.to_bytes(TYPED_BYTES, "big"),
                salt,
                memory_kib=cost.memory_kib,
                iterations=cost.iterations,
                lanes=cost.lanes,
            )
        else:
            secret = self._bits.to_bytes(SCANNED_BYTES, "big")
        return Secrets(derive(secret, "rendezvous")[:16].hex(), derive(secret, "pairing"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self._bits, self.typed) == (other._bits, other.typed)

    def __hash__(self) -> int:
        return hash((self._bits, self.typed))

    def __repr__(self) -> str:
        return f"Code(to {'type' if self.typed else 'scan'})"
