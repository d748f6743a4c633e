"""Words and names that nobody ever said, as often as words occur: the raw material of the texts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

_WORD_COUNT: Final = 5_000
_ONSETS: Final = (*"bcdfghjklmnprstvwz", "", "", "br", "ch", "gl", "pr", "sh", "st", "th", "tr")
_NUCLEI: Final = (*"aaaeeeeiiioou" * 12, *("ai", "ea", "ie", "ou") * 12, "é", "ü")
_CODAS: Final = ("", "", "", "", "l", "m", "n", "n", "r", "s", "t", "nd", "ng", "st")
_ENDS: Final = (*[".", "", "", "?", "!"] * 6, "…", " 🙂", " 😂", " 🎉")
_POOL: Final = 4_096


def _syllable(rng: random.Random) -> str:
    return "".join(rng.choice(part) for part in (_ONSETS, _NUCLEI, _CODAS))


def _words() -> list[str]:
    """Distinct words, the commonest first and, as in any language, mostly the shortest."""
    rng = random.Random("words")
    words: dict[str, None] = {}
    while len(words) < _WORD_COUNT:
        rank = len(words)
        longest = 1 if rank < 80 else 2 if rank < 1_200 else 3
        syllables = rng.randint(1 if rank < 400 else 2, longest)
        word = "".join(_syllable(rng) for _ in range(syllables))
        if word.isascii() or rank > 300:
            words[word] = None
    return list(words)


WORDS: Final = _words()
_CUMULATED: Final = list(accumulate(1 / (rank + 3.5) for rank in range(len(WORDS))))


def words(rng: random.Random) -> Iterator[str]:
    """Words without end, by Zipf's law."""
    while True:
        yield from rng.choices(WORDS, cum_weights=_CUMULATED, k=_POOL)


def texts(rng: random.Random) -> Iterator[str]:
    """Texts without end: mostly a short line, sometimes a paragraph; about 60 bytes on average."""
    while True:
        pool = rng.choices(WORDS, cum_weights=_CUMULATED, k=_POOL)
        position = 0
        while position < _POOL - 200:
            length = min(1 + int(rng.lognormvariate(1.95, 0.8)), 200)
            line = " ".join(pool[position : position + length])
            position += length
            yield line[0].upper() + line[1:] + _ENDS[int(rng.random() * len(_ENDS))]


def name(rng: random.Random) -> str:
    """A person's name."""
    return "".join(_syllable(rng) for _ in range(rng.randint(2, 3))).capitalize()
