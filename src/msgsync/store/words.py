"""Words: how text is cut for the search index, and queries alike. Source: design 6, research on scripts.

The tokenizer of SQLite finds words between spaces. Scripts that write without them are cut into overlapping pairs of
characters first, and every emoji stands alone, so that a two-character Chinese word or one emoji is found.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

# Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar: written without spaces, or with them in other places than words.
_DENSE: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_EMOJI: Final = "\u2190-\u21ff\u2300-\u27bf\u2900-\u29ff\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_TOKEN_CATEGORIES: Final = frozenset("LN")
_TOKEN_EXACT: Final = frozenset({"Co", "So", "Mn", "Mc"})


@cache
def _special() -> re.Pattern[str]:
    return re.compile(
        f"[{_DENSE}]+|[{_EMOJI}]"
    )  # takes longer than opening a replica: only if it is needed


@cache
def _dense_run() -> re.Pattern[str]:
    return re.compile(f"[{_DENSE}]+")


def segmented(text: str) -> str:
    """Return the text as the index gets it: the very same object if nothing needs cutting."""
    if text.isascii():
        return text
    return _special().sub(_cut, text) if _special().search(text) else text


def _cut(match: re.Match[str]) -> str:
    run = match[0]
    # Pairs, and the last character alone, so that one character is found as the beginning of a token.
    return f" {' '.join([run[i : i + 2] for i in range(len(run))])} "


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: an FTS5 expression, and what the text itself must contain."""

    expression: str
    pieces: tuple[str, ...]
    """Folded pieces that must occur as they are; the index alone cannot say so."""

    def matches(self, text: str) -> bool:
        """Whether the text contains every piece."""
        if not self.pieces:
            return True
        folded = fold(text)
        return all(piece in folded for piece in self.pieces)


def parse_query(words: str) -> Query | None:
    """Read what a person typed: every word must occur. None if there is no word in it."""
    tokens: list[str] = []
    pieces: list[str] = []
    for word in words.split():
        found = _tokens(word)
        tokens += found
        if len(found) > 1:
            pieces.append(fold(word))
    if not tokens:
        return None
    quoted = " AND ".join(
        f'"{token}" *' if _dense_run().fullmatch(token) and len(token) == 1 else f'"{token}"'
        for token in dict.fromkeys(tokens)
    )
    return Query(quoted, tuple(pieces))


def _tokens(word: str) -> list[str]:
    tokens: list[str] = []
    for part in _query_cut(word).split():
        current = ""
        for character in part:
            category = unicodedata.category(character)
            if category[0] in _TOKEN_CATEGORIES or category in _TOKEN_EXACT:
                current += character
            elif current:
                tokens.append(current)
                current = ""
        if current:
            tokens.append(current)
    return tokens


def _query_cut(word: str) -> str:
    def cut(match: re.Match[str]) -> str:
        run = match[0]
        if len(run) < 2 or not _dense_run().fullmatch(run):
            return f" {run} "
        return " " + " ".join(run[i : i + 2] for i in range(len(run) - 1)) + " "

    return _special().sub(cut, word)


def fold(text: str) -> str:
    """Fold case and marks, as the tokenizer does for words."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
