"""What a search finds: hits, snippets, and the way on. Source: specification, Search."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, overload

from msgsync.replica.values import Message

SNIPPET_CHARACTERS: Final = 160
"""Two lines of a list of hits."""
_LEAD_CHARACTERS: Final = 40
"""So much at most stands before the first mark."""
_WORD_CHARACTERS: Final = 24
"""So far a cut is moved to fall between words."""
_BLANKS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")
_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """A place among hits, for ``before=``."""

    ms: int
    order: int
    tail: bytes
    conversation: str
    """Messages of one place in time are in the order of their conversations' ids."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a message's text on one line, and where in it the search matched."""

    text: str
    """Line breaks and controls are blanks in it; an ellipsis stands where it was cut."""
    marks: tuple[tuple[int, int], ...]
    """Start and end of each match, in characters of ``text``: in order, not empty, not overlapping."""

    def parts(self) -> Iterator[tuple[str, bool]]:
        """The text in pieces, each with whether it is a match: for rendering that has to escape text."""
        end = 0
        for start, stop in self.marks:
            if end < start:
                yield self.text[end:start], False
            yield self.text[start:stop], True
            end = stop
        if end < len(self.text):
            yield self.text[end:], False

    def highlighted(self, before: str, after: str) -> str:
        """The text with these around each match. Text is not escaped: for HTML, use `parts`."""
        return "".join(
            f"{before}{text}{after}" if is_match else text for text, is_match in self.parts()
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found."""

    message: Message
    snippet: Snippet

    @property
    def cursor(self) -> SearchCursor:
        """Its place: ``search(words, before=hit.cursor)`` goes on behind it."""
        place = self.message.cursor
        return SearchCursor(place.ms, place.order, place.tail, self.message.conversation)


@dataclass(frozen=True, slots=True)
class SearchPage(Sequence[Message]):
    """Messages that a search found, newest first, and the way on."""

    hits: tuple[Hit, ...]
    older: SearchCursor | None
    """Pass it as ``before=``; None if nothing older was found."""
    complete: bool
    """Whether all messages of the account that this device knows of were searched.

    Not so where a document or a record could not be taken in (``status()`` names them), or where old months were let
    go of (`Replica.set_history_budget`). What other devices have and never sent, no device knows.
    """
    complete_from: str | None = None
    """The first month, as ``2024-05``, from which on this device has let go of nothing that is searched; None if it has
    let go of none of it. `Conversation.older` and `Replica.fetch_history` bring back what is older."""

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        if isinstance(index, slice):
            return tuple(hit.message for hit in self.hits[index])
        return self.hits[index].message

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Message]:
        return (hit.message for hit in self.hits)


def snippet(text: str, spans: Sequence[tuple[int, int]]) -> Snippet:
    """Cut a snippet around the matches that lie closest together.

    Args:
        text: the message's text.
        spans: where it matches, in characters: at least one; in order, not overlapping.
    """
    start, end = _window(len(text), spans)
    begin = 0 if start == 0 else _between_words(text, start, spans, forward=True)
    stop = len(text) if end == len(text) else _between_words(text, end, spans, forward=False)
    before = _CUT if begin else ""
    shift = begin - len(before)
    marks = [
        (max(first, begin) - shift, min(last, stop) - shift)
        for first, last in spans
        if first < stop and last > begin
    ]
    after = _CUT if stop < len(text) else ""
    return Snippet(f"{before}{text[begin:stop].translate(_BLANKS)}{after}", tuple(marks))


def _window(length: int, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The stretch to show: that with most matches in it, of several the first."""
    if length <= SNIPPET_CHARACTERS:
        return 0, length
    room = SNIPPET_CHARACTERS - _LEAD_CHARACTERS
    best = most = last = 0
    for first, (begin, _) in enumerate(spans):
        while last < len(spans) and spans[last][1] <= begin + room:
            last += 1
        if last - first > most:
            best, most = first, last - first
    start = max(0, min(spans[best][0] - _LEAD_CHARACTERS, length - SNIPPET_CHARACTERS))
    return start, start + SNIPPET_CHARACTERS


_BLANK: Final = re.compile(r"\s")
_JOINING: Final = re.compile("[\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG: Final = re.compile("[\U0001f1e6-\U0001f1ff]")
_FLAGS_END: Final = re.compile(r"[\U0001f1e6-\U0001f1ff]+\Z")


def _between_words(
    text: str, place: int, spans: Sequence[tuple[int, int]], *, forward: bool
) -> int:
    """Move a cut inwards to the next blank, if one is near and no match is lost by it."""
    if forward:
        nearest = min((first for first, last in spans if last > place), default=len(text))
        latest = min(place + _WORD_CHARACTERS, nearest)
        found = _BLANK.search(text, place, latest)
        if found is not None:
            return found.end()
        return next((end for end in range(place, latest) if not _joins(text, end)), place)
    nearest = max((last for first, last in spans if first < place), default=0)
    earliest = max(place - _WORD_CHARACTERS, nearest)
    for end in range(place, earliest, -1):
        if text[end - 1].isspace():
            return end - 1
    return next((end for end in range(place, earliest, -1) if not _joins(text, end)), place)


def _joins(text: str, place: int) -> bool:
    """Whether what stands on both sides of a place is drawn as one."""
    before, after = text[place - 1], text[place]
    if _JOINING.match(after) or before == "\u200d":
        return True
    if unicodedata.category(after) in ("Mn", "Mc", "Me"):
        return True
    flags = _FLAGS_END.search(text, max(0, place - SNIPPET_CHARACTERS), place)
    return _FLAG.match(after) is not None and flags is not None and len(flags[0]) % 2 == 1
