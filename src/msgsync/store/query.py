"""Queries: what a person typed, what the index is asked, and where a text matches. Source: specification, Search.

A query is phrases, all of which must occur. A word is a phrase of one element, or of several (``foo-bar``); quotes make
one of several words. The index is asked for what every match contains; the text decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgsync import limits
from msgsync.errors import InvalidValue
from msgsync.ids import encode_text
from msgsync.store.words import (
    Element,
    Kind,
    Origin,
    Tokenizer,
    emoji_within,
    index_tokens,
    normal,
)

_QUOTES: Final = str.maketrans("\u201c\u201d\u201e\u201f", '""""')
_PARTS: Final = re.compile(r'"([^"]*)("\*?)?|([^\s"]+)')
_ASKED_TOKENS: Final = 64
"""So many the index is asked for at most: each that is left out only makes more texts to look at."""

Span = tuple[int, int]
"""Start and end, in characters."""


class Phrase(NamedTuple):
    """Elements that must follow each other."""

    elements: tuple[tuple[Kind, str], ...]
    is_prefix: bool
    """Whether the last word may go on."""

    def spans(self, text: _Cut) -> list[Span]:
        """Where it occurs, in characters of the normal text."""
        kind, asked = self.elements[0]
        if len(self.elements) > 1:
            starts = text.words.get(asked, ()) if kind is Kind.WORD else range(len(text.elements))
            return [span for start in starts if (span := self._at(text.elements, start))]
        if kind is Kind.WORD and not self.is_prefix:
            return [text.elements[place][2:] for place in text.words.get(asked, ())]
        if kind is Kind.DENSE:
            return [span for one in text.elements for span in _occurrences(asked, one)]
        return [one[2:] for one in text.elements if self._fits(one, 0)]

    def _at(self, elements: Sequence[Element], start: int) -> Span | None:
        last = start + len(self.elements) - 1
        if last >= len(elements):
            return None
        if not all(self._fits(elements[start + i], i) for i in range(len(self.elements))):
            return None
        begin, end = elements[start].start, elements[last].end
        if elements[start].kind is Kind.DENSE:
            begin = elements[start].end - len(self.elements[0][1])
        if elements[last].kind is Kind.DENSE:
            end = elements[last].start + len(self.elements[-1][1])
        return begin, end

    def _fits(self, element: Element, place: int) -> bool:
        """Whether an element of a text can stand at a place of the phrase."""
        kind, asked = self.elements[place]
        if element.kind is not kind:
            return False
        said = element.text
        if kind is Kind.EMOJI:
            return emoji_within(asked, said)
        is_last = place == len(self.elements) - 1
        if kind is Kind.WORD:
            return said.startswith(asked) if is_last and self.is_prefix else said == asked
        if place == 0:
            return said.endswith(asked)
        return said.startswith(asked) if is_last else said == asked


class _Cut:
    """A text that was cut: its elements, and where each word is."""

    def __init__(self, elements: Sequence[Element]) -> None:
        self.elements = elements
        self.words: dict[str, list[int]] = {}
        for place, element in enumerate(elements):
            if element.kind is Kind.WORD:
                self.words.setdefault(element.text, []).append(place)


def _occurrences(asked: str, element: Element) -> Iterable[Span]:
    if element.kind is Kind.DENSE:
        place = element.text.find(asked)
        while place >= 0:
            yield element.start + place, element.start + place + len(asked)
            place = element.text.find(asked, place + 1)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for."""

    phrases: tuple[Phrase, ...]
    expression: str
    """FTS5: what a match has in the index, whatever else has it."""
    is_broad: bool
    """Whether the expression asks for beginnings: the index then gathers all that has them before the first one."""
    tokenizer: Tokenizer

    def spans(self, text: str) -> list[Span]:
        """Where the text matches, in characters of the text, in order and apart; nothing if it does not match."""
        if text.isascii() and not self._may_match(text):
            return []
        origin = Origin(text)
        cut = _Cut(self.tokenizer.elements(origin.normal))
        found: list[Span] = []
        for phrase in self.phrases:
            spans = phrase.spans(cut)
            if not spans:
                return []
            found += spans
        return _joined(origin.span(*span) for span in found)

    def _may_match(self, text: str) -> bool:
        """Whether an ASCII text has all the letters: far quicker than cutting it."""
        small = text.lower()
        return all(asked in small for phrase in self.phrases for _, asked in phrase.elements)


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(set(spans)):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def parse_query(words: str, tokenizer: Tokenizer) -> Query | None:
    """Read what a person typed. None if there is no word in it.

    Raises:
        InvalidValue: it is no string of Unicode, or longer than a text can be.
    """
    if not isinstance(words, str):
        raise InvalidValue(f"search takes the words as one string, not {type(words).__name__}")
    if len(encode_text(words, "a query")) > limits.TEXT_BYTES:
        raise InvalidValue(
            f"a query has at most {limits.TEXT_BYTES} bytes of UTF-8; search for fewer words"
        )
    phrases: dict[Phrase, None] = {}
    tokens: dict[tuple[str, bool], None] = {}
    for part in _PARTS.finditer(words.translate(_QUOTES)):
        quoted, closing, word = part.groups()
        piece = normal(quoted if word is None else word)
        elements = tokenizer.elements(piece)
        if not elements:
            continue
        last = elements[-1]
        star = piece[last.end :] if word is not None else (closing or "").strip('"')
        is_prefix = last.kind is Kind.WORD and star != "" and not star.strip("*")
        phrases[Phrase(tuple((kind, text) for kind, text, _, _ in elements), is_prefix)] = None
        for element in elements:
            for token, whole in index_tokens(element, piece):
                tokens[token, whole and not (is_prefix and element is last)] = None
    if not phrases:
        return None
    # Long words are rare, beginnings dear.
    asked = sorted(tokens, key=lambda token: (not token[1], -len(token[0])))[:_ASKED_TOKENS]
    expression = " AND ".join(f'"{token}"' if whole else f'"{token}" *' for token, whole in asked)
    return Query(tuple(phrases), expression, not asked[-1][1], tokenizer)
