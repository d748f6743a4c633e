"""The recovery phrase: 24 words that are the keys of an account when no device is left. Source: BIP-39.

The words write 256 random bits and a check of 8; the keys are derived from the bits. The words are never in an error
or a `repr`: a word that is wrong is named by its place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from mnemonic import Mnemonic

from msgsync.account.keys import SecretKeys
from msgsync.account.suite import derive
from msgsync.errors import InvalidValue, WrongPhrase

ENTROPY_BYTES: Final = 32
WORDS: Final = 24
ASKED: Final = 3
"""Words to be typed back, to see that the phrase was written down."""
_PREFIX: Final = 4
"""Letters that tell the words of the list apart."""


@cache
def _list() -> Mnemonic:
    return Mnemonic("english")


class RecoveryPhrase:
    """A phrase of 24 words.

    Args:
        entropy: 32 bytes, drawn for this phrase.

    Raises:
        InvalidValue: another length.
    """

    def __init__(self, entropy: bytes) -> None:
        if type(entropy) is not bytes or len(entropy) != ENTROPY_BYTES:
            raise InvalidValue(f"a recovery phrase is made of {ENTROPY_BYTES} bytes")
        self._entropy = entropy

    @classmethod
    def parse(cls, text: str) -> RecoveryPhrase:
        """Read a phrase as somebody types it: case and spaces do not matter, four letters of a word are enough.

        Raises:
            WrongPhrase: it has another number of words, or a word that is not in the list or in a wrong place.
        """
        words = unicodedata.normalize("NFKD", text).lower().split()
        if len(words) != WORDS:
            raise WrongPhrase(f"a recovery phrase has {WORDS} words; these are {len(words)}")
        found = [_completed(word) for word in words]
        for place, word in enumerate(found, start=1):
            if word is None:
                raise WrongPhrase(f"word {place} is not one of the words of recovery phrases")
        try:
            entropy = _list().to_entropy([word for word in found if word is not None])
        except ValueError as error:
            raise WrongPhrase(
                "each word is in the list, but together they are no phrase: one is wrong or in another place"
            ) from error
        return cls(bytes(entropy))

    @property
    def words(self) -> tuple[str, ...]:
        """The 24 words, to be shown once and written down."""
        return tuple(_list().to_mnemonic(self._entropy).split(" "))

    def keys(self) -> SecretKeys:
        """The keys that the phrase stands for; their public halves are in the roster."""
        return SecretKeys(
            derive(self._entropy, "recovery signing") + derive(self._entropy, "recovery hpke")
        )

    def export(self) -> bytes:
        """The 32 secret bytes, to be kept until the phrase is confirmed, and not longer."""
        return self._entropy

    def wrong(self, answers: Mapping[int, str]) -> tuple[int, ...]:
        """The places (from 1) at which somebody who was asked for words gave another one.

        Raises:
            InvalidValue: other than three places, or places that no word has.
        """
        if len(answers) != ASKED or not all(1 <= place <= WORDS for place in answers):
            raise InvalidValue(f"{ASKED} words are asked for, by their places from 1 to {WORDS}")
        words = self.words
        return tuple(
            place
            for place, answer in sorted(answers.items())
            if _completed(answer.strip().lower()) != words[place - 1]
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecoveryPhrase) and self._entropy == other._entropy

    def __hash__(self) -> int:
        return hash(self._entropy)

    def __repr__(self) -> str:
        return "RecoveryPhrase(of 24 words)"

    def __reduce__(self) -> Any:
        raise TypeError("a recovery phrase is not pickled: store what export() gives")


def places_to_ask(random: bytes) -> tuple[int, ...]:
    """Three different places of words, ascending, chosen by 8 random bytes."""
    number, left, chosen = int.from_bytes(random, "big"), list(range(1, WORDS + 1)), []
    for _ in range(ASKED):
        number, at = divmod(number, len(left))
        chosen.append(left.pop(at))
    return tuple(sorted(chosen))


def _completed(word: str) -> str | None:
    """The word of the list that this one is, or begins with four letters or more."""
    words = _list().wordlist
    if word in words:
        return word
    found = [one for one in words if len(word) >= _PREFIX and one.startswith(word)]
    return found[0] if len(found) == 1 else None
