"""Words: how text is cut for the search index, and into what a query is compared with. Source: design 6.

The tokenizer of SQLite finds words between blanks and marks, and folds case and accents. Scripts that write without
blanks are cut into overlapping pairs of characters first, and every emoji stands alone, so that a two-character Chinese
word or one emoji is found. The index has no positions: it says which messages may match. Whether one does, and where,
is decided on its text, which is cut here by the very same tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import apsw

from msgsync.store.schema import TOKENIZER

# Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar: written without spaces, or with them in other places than words.
_DENSE: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SYMBOL: Final = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u29ff\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff"
)
_MODIFIER: Final = "\U0001f3fb-\U0001f3ff"
_JOINER: Final = "\u200d"
_PART: Final = f"[{_SYMBOL}][{_MODIFIER}]?(?:[\U000e0020-\U000e007e]+\U000e007f)?"
# A flag, a key of a keypad, or what is drawn as one: pictographs with skin colours, tags and joiners.
_KEY: Final = "\u20e3"
_EMOJI: Final = f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]{_KEY}|{_PART}(?:{_JOINER}{_PART})*"
_MODIFIERS: Final = tuple(map(chr, range(0x1F3FB, 0x1F400)))
_SELECTORS: Final = "\ufe0e\ufe0f"
# Marks of direction that the tokenizer takes for letters, as it is older than they are.
_DIRECTIONS: Final = dict.fromkeys((0x061C, *range(0x2066, 0x206A)), " ")
_UNSAID: Final[dict[int, str | None]] = dict.fromkeys(map(ord, _SELECTORS)) | _DIRECTIONS
_TAGS: Final = range(0xE0020, 0xE0080)
_TERM_BYTES: Final = 32768
"""Of a longer one FTS5 files the beginning, of so many bytes."""
_SHORT: Final = 256
"""Characters of a text that is composed as a whole, whatever it is."""


class Kind(Enum):
    """What an element of a text is."""

    WORD = 1
    DENSE = 2
    """A run of characters of a script without blanks; a query finds any part of it."""
    EMOJI = 3
    """What is drawn as one, however many characters it has."""


class Element(NamedTuple):
    """A word, a run or an emoji of a text."""

    kind: Kind
    text: str
    """Of a word: without case and accents."""
    start: int
    end: int
    """Characters of the normal text (see `normal`)."""


# These take longer to compile than opening a replica: only if they are needed.
@cache
def _special() -> re.Pattern[str]:
    return re.compile(f"([{_DENSE}]+)|{_EMOJI}")


@cache
def _runs() -> re.Pattern[str]:
    """Runs within which lies what `_special` finds, keys excepted. Seeking one class is far quicker."""
    return re.compile(f"([{_DENSE}{_SYMBOL}{_JOINER}\U000e0020-\U000e007f]+)")


@cache
def _unsaid() -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(chr, _UNSAID))}]")


@cache
def _many_marks() -> re.Pattern[str]:
    return re.compile(r"[^\w\s\x00-\x7f]{32}")  # marks are neither letters nor blanks


@cache
def _far_from_ascii() -> re.Pattern[str]:
    """What is in any text with many marks. Seeking one range is far quicker."""
    return re.compile(r"[^\x00-\x7f]{32}")


def normal(text: str) -> str:
    """Return the text as it is compared: canonically composed (NFC), without selectors of variants.

    The very same object if nothing differs.
    """
    if text.isascii():
        return text
    if _unsaid().search(text):
        text = _unsaid().sub(lambda found: _UNSAID[ord(found[0])] or "", text)
    if len(text) > _SHORT:
        return "".join(unicodedata.normalize("NFC", piece) for piece in _pieces(text))
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _pieces(text: str) -> list[str]:
    """Cut a text so that no piece has many marks in a row: sorting them takes the square of their number."""
    if len(text) <= _SHORT or not _far_from_ascii().search(text):
        return [text]
    edges = [0, *(match.end() for match in _many_marks().finditer(text)), len(text)]
    return [text[first:last] for first, last in pairwise(edges)]


def segmented(text: str) -> str:
    """Return the text as the index gets it."""
    text = normal(text)
    if text.isascii():
        return text
    if _KEY in text:  # a key of a keypad begins with a digit
        return _special().sub(_cut, text)
    parts = _runs().split(text)
    parts[1::2] = [_special().sub(_cut, run) for run in parts[1::2]]
    return "".join(parts)


def segmented_all(texts: Sequence[bytes]) -> list[bytes]:
    """`segmented`, of many texts in UTF-8: one behind the other, as nothing that cutting looks at reaches over a NUL.

    Each by itself takes three times as long.
    """
    joined = b"\0".join(texts).decode()
    if joined.count("\0") >= len(texts) or len(_pieces(joined)) > 1:
        return [segmented(text.decode()).encode() for text in texts]
    return segmented(joined).encode().split(b"\0")


def _cut(match: re.Match[str]) -> str:
    run = match[1]
    # Pairs, and the last character alone, so that one character is found as the beginning of a token.
    cut = _symbols(match[0]) if run is None else [run[i : i + 2] for i in range(len(run))]
    return f" {' '.join(cut)} "


def _symbols(emoji: str) -> list[str]:
    """What of an emoji stands in the index: flags and keys whole, else each pictograph."""
    if len(emoji) == 2 and (emoji[1] == "\u20e3" or "\U0001f1e6" <= emoji[1] <= "\U0001f1ff"):
        return [emoji]
    return [one for one in emoji if one != _JOINER and ord(one) not in _TAGS]


def index_tokens(element: Element, normal_text: str) -> list[tuple[str, bool]]:
    """What the index holds of every text in which an element of a query occurs: tokens, and whether to their end.

    Words are given as they were written: the index folds them itself.
    """
    if element.kind is Kind.WORD:
        return [(normal_text[element.start : element.end], True)]
    if element.kind is Kind.EMOJI:
        return [(one, True) for one in _symbols(element.text)]
    run = element.text
    if len(run) == 1:
        return [(run, False)]
    return [(run[i : i + 2], True) for i in range(len(run) - 1)]


def emoji_within(asked: str, said: str) -> bool:
    """Whether an emoji is the other one or a part of it, with the same colour of skin or none asked for."""
    if asked == said:
        return True
    wanted, parts = asked.split(_JOINER), said.split(_JOINER)
    return any(
        all(
            want in (part, part.rstrip("".join(_MODIFIERS)) or part)
            for want, part in zip(wanted, parts[start:], strict=False)
        )
        for start in range(len(parts) - len(wanted) + 1)
    )


class Tokenizer:
    """Cuts text into elements, as the index does. Use it under the lock of its connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._tokenize = connection.fts5_tokenizer(TOKENIZER[0], list(TOKENIZER[1:]))

    def elements(self, normal_text: str) -> list[Element]:
        """The elements of a text, which is in normal form, in order."""
        if normal_text.isascii():
            return self._words(normal_text, 0)
        found: list[Element] = []
        end = 0
        for match in _special().finditer(normal_text):
            if match.start() > end:
                found += self._words(normal_text[end : match.start()], end)
            if match[1] is not None:
                found += self._runs(match[1], match.start())
            elif self._tokens(" ".join(_symbols(match[0]))):
                found.append(Element(Kind.EMOJI, match[0], *match.span()))
            end = match.end()
        if end < len(normal_text):
            found += self._words(normal_text[end:], end)
        return found

    def terms(self, text: str) -> set[bytes]:
        """The terms, in UTF-8, under which the search index files a text."""
        found: Iterable[Any] = self._tokenize(
            segmented(text).encode(),
            apsw.FTS5_TOKENIZE_DOCUMENT,
            None,
            include_offsets=False,
            include_colocated=False,
        )
        return {term.encode()[:_TERM_BYTES] for term in found}

    def _words(self, piece: str, offset: int) -> list[Element]:
        return [
            Element(Kind.WORD, folded, offset + start, offset + end)
            for start, end, folded in self._tokens(piece)
        ]

    def _runs(self, run: str, offset: int) -> list[Element]:
        return [
            Element(Kind.DENSE, run[start:end], offset + start, offset + end)
            for start, end, _ in self._tokens(run)
        ]

    def _tokens(self, piece: str) -> list[tuple[int, int, str]]:
        """Start and end in characters, and the folded form, of what the tokenizer finds."""
        encoded = piece.encode()
        found: Iterable[Any] = self._tokenize(encoded, apsw.FTS5_TOKENIZE_DOCUMENT, None)
        if len(encoded) == len(piece):
            return [(start, end, folded) for start, end, folded in found if folded]
        tokens = []
        bytes_done = done = 0
        for first, last, folded in found:
            start = done + len(encoded[bytes_done:first].decode())
            done = start + len(encoded[first:last].decode())
            bytes_done = last
            if folded:
                tokens.append((start, done, folded))
        return tokens


class Origin:
    """Where in a text the characters of its normal form come from."""

    def __init__(self, text: str) -> None:
        """Follow what `normal` does to the text."""
        self.normal = normal(text)
        self._starts: list[int] | None = None
        self._ends: list[int] = []
        if self.normal != text:
            self._follow(text)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the text from which those of the normal form come; 0 <= start < end."""
        if self._starts is None:
            return start, end
        return self._starts[start], self._ends[end - 1]

    def _follow(self, text: str) -> None:
        places = [place for place, one in enumerate(text) if one not in _SELECTORS]
        said = text.translate(_UNSAID)
        edges = [0]
        done = 0
        for piece in _pieces(said):
            begin = 0
            for place in range(1, len(piece)):
                if _stands_apart(piece[begin:place], piece[place]):
                    begin = place
                    edges.append(done + place)
            done += len(piece)
            edges.append(done)
        places.append(len(text))
        starts: list[int] = []
        for first, last in pairwise(edges):
            self._add(starts, said[first:last], places[first], places[last])
        self._starts = starts

    def _add(self, starts: list[int], piece: str, begin: int, end: int) -> None:
        composed = unicodedata.normalize("NFC", piece)
        if composed == piece and end - begin == len(piece):
            starts += range(begin, end)
            self._ends += range(begin + 1, end + 1)
        else:
            starts += [begin] * len(composed)
            self._ends += [end] * len(composed)


def _stands_apart(piece: str, following: str) -> bool:
    """Whether normalization changes nothing across the place between the two."""
    decomposed = unicodedata.normalize("NFD", following)
    if unicodedata.combining(decomposed[0]):
        return False
    if piece.isascii() or following.isascii():
        return True
    apart = unicodedata.normalize("NFC", piece) + unicodedata.normalize("NFC", following)
    return unicodedata.normalize("NFC", piece + following) == apart
