"""What a search finds, from the definition in docs/specification.md: each text is looked at, letter by letter.

Good for the letters that the tests write: the scripts in `KINDS`, blanks and punctuation.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

KINDS = {
    "LATIN": "word", "GREEK": "word", "CYRILLIC": "word", "ARABIC": "word", "HEBREW": "word",
    "DEVANAGARI": "word", "DIGIT": "word", "CJK": "run", "HIRAGANA": "run", "KATAKANA": "run",
    "HANGUL": "run", "THAI": "run",
}  # fmt: skip
SELECTOR = "\ufe0f"
JOINER = "\u200d"


@dataclass(frozen=True)
class Letter:
    """A letter of the composed text, and where it was."""

    character: str
    start: int
    end: int

    @property
    def kind(self) -> str:
        """What sort of letter it is for the search; empty if it separates."""
        name = unicodedata.name(self.character, "")
        if ord(self.character) >= 0x1F000 or name in ("HEAVY BLACK HEART", "UMBRELLA"):
            return "emoji"
        kind = KINDS.get(name.split(" ")[0], "")
        return kind if unicodedata.category(self.character)[0] in "LNM" else ""


@dataclass(frozen=True)
class Thing:
    """A word, a run or an emoji."""

    kind: str
    letters: tuple[Letter, ...]

    @property
    def folded(self) -> str:
        """How it is compared: without case and accents, if it is a word."""
        text = "".join(letter.character for letter in self.letters)
        return "".join(map(fold, text)) if self.kind == "word" else text

    @property
    def span(self) -> tuple[int, int]:
        """Where it stands in the text."""
        return self.letters[0].start, self.letters[-1].end


def fold(character: str) -> str:
    """A letter without case; a Latin one without accents, too."""
    character = character.casefold()
    if unicodedata.name(character, "").startswith("LATIN"):
        character = "".join(
            one for one in unicodedata.normalize("NFD", character) if not unicodedata.combining(one)
        )
    return character


def letters(text: str) -> list[Letter]:
    """The letters of the composed text; selectors belong to the letter before them."""
    composed: list[Letter] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _continues(text[end]):
            end += 1
        piece = unicodedata.normalize("NFC", text[start:end].replace(SELECTOR, ""))
        if piece == text[start:end]:
            composed += [Letter(one, start + i, start + i + 1) for i, one in enumerate(piece)]
        else:
            composed += [Letter(one, start, end) for one in piece]
        start = end
    return composed


def _continues(character: str) -> bool:
    name = unicodedata.name(character, "")
    return (
        unicodedata.combining(character) > 0
        or character == SELECTOR
        or name.startswith(("HANGUL JUNGSEONG", "HANGUL JONGSEONG"))
    )


def things(text: str) -> list[Thing]:
    """The words, runs and emoji of a text."""
    found: list[Thing] = []
    current: list[Letter] = []
    for letter in [*letters(text), Letter(" ", 0, 0)]:
        if current and not _belongs(current, letter):
            if current[-1].character == JOINER:
                current.pop()
            found.append(Thing(current[0].kind, tuple(current)))
            current = []
        if current or letter.kind:
            current.append(letter)
    return found


def _belongs(current: list[Letter], letter: Letter) -> bool:
    kind, last = current[0].kind, current[-1].character
    if kind != "emoji":
        return letter.kind == kind
    if letter.character == JOINER:
        return last != JOINER and not _is_flag(last)
    if _is_flag(letter.character):
        return len(current) == 1 and _is_flag(last)
    if _is_tone(letter.character):
        return last == JOINER or not (_is_tone(last) or _is_flag(last))
    return letter.kind == "emoji" and last == JOINER


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_tone(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff"


@dataclass(frozen=True)
class Asked:
    """A part of a query: things in a row, of which the last may go on."""

    text: str
    prefix: bool = False

    def typed(self, *, quoted: bool) -> str:
        """As a person types it."""
        text = f'"{self.text}"' if quoted else self.text
        return text + "*" if self.prefix else text

    def marks(self, text: str) -> list[tuple[int, int]]:
        """Where it occurs."""
        asked, said = things(self.text), things(text)
        found: list[tuple[int, int]] = []
        for first in range(len(said) - len(asked) + 1):
            found += self._here(asked, said[first : first + len(asked)])
        return found

    def _here(self, asked: list[Thing], said: list[Thing]) -> list[tuple[int, int]]:
        if any(want.kind != have.kind for want, have in zip(asked, said, strict=True)):
            return []
        whole = said[0].span[0], said[-1].span[1]
        if len(asked) == 1 and asked[0].kind == "run":
            return _within(asked[0], said[0])
        start, end = whole
        for place, (want, have) in enumerate(zip(asked, said, strict=True)):
            is_last = place == len(asked) - 1
            if want.kind == "emoji":
                if not _drawn_in(want.folded, have.folded):
                    return []
            elif want.kind == "run" and place == 0:
                if not have.folded.endswith(want.folded):
                    return []
                start = have.letters[-len(want.letters)].start
            elif is_last and (want.kind == "run" or self.prefix):
                if not have.folded.startswith(want.folded):
                    return []
                if want.kind == "run":
                    end = have.letters[len(want.letters) - 1].end
            elif want.folded != have.folded:
                return []
        return [(start, end)]


def _within(want: Thing, have: Thing) -> list[tuple[int, int]]:
    length = len(want.letters)
    return [
        (have.letters[place].start, have.letters[place + length - 1].end)
        for place in range(len(have.letters) - length + 1)
        if have.folded[place : place + length] == want.folded
    ]


def _drawn_in(want: str, have: str) -> bool:
    wants, haves = want.split(JOINER), have.split(JOINER)
    for first in range(len(haves) - len(wants) + 1):
        pairs = zip(wants, haves[first : first + len(wants)], strict=True)
        if all(one == other or (_is_tone(other[-1]) and one == other[:-1]) for one, other in pairs):
            return True
    return False


def marks(asked: list[Asked], text: str) -> list[tuple[int, int]]:
    """Where a text matches a query, overlapping places as one; nothing if it does not match."""
    edges: list[tuple[int, int]] = []
    for one in asked:
        if things(one.text):
            here = one.marks(text)
            if not here:
                return []
            edges += here
    joined: list[tuple[int, int]] = []
    for start, end in sorted(edges):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        elif (start, end) not in joined:
            joined.append((start, end))
    return joined
