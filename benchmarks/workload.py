"""The history that everything is measured on: many conversations, a few of them large, over several years.

50 conversations whose sizes follow Zipf's law; in each the messages come in bursts, in order of time, with the
external ids that a carrier would give. 5 % are edited, 2 % deleted, 10 % have a reaction. The same count and
the same end give the same history on every machine; it is made as a stream, so a million need no memory.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks import vocabulary
from benchmarks.reference import Rows
from msgsync import Edit, Incoming, Reaction

CHUNK: Final = 8_192
ME: Final = "Mina"
DAY_MS: Final = 86_400_000
_SPAN_MS: Final = int(4.5 * 365.25 * DAY_MS)
_CONVERSATIONS: Final = 50
_BURST: Final = 15  # messages at most; 8 on average
_GAP_MS: Final = 30_000  # between the messages of a burst, on average
_EMOJI: Final = ("👍", "👍", "👍", "❤️", "❤️", "😂", "😮", "😢", "🎉", "🙏")


@dataclass(frozen=True)
class Workload:
    """A history of ``messages`` that ends at ``end_ms`` (Unix milliseconds)."""

    messages: int
    end_ms: int

    def sizes(self) -> dict[str, int]:
        """Messages of each conversation, the largest first."""
        weights = [1 / rank for rank in range(1, _CONVERSATIONS + 1)]
        total = sum(weights)
        counts = [max(1, int(self.messages * weight / total)) for weight in weights]
        counts[0] += self.messages - sum(counts)
        return {_conversation_id(index): count for index, count in enumerate(counts)}

    @property
    def largest(self) -> str:
        """The id of the largest conversation."""
        return _conversation_id(0)

    def chunks(self) -> Iterator[list[Incoming]]:
        """The history conversation by conversation, as a source hands it over, `CHUNK` at a time."""
        chunk: list[Incoming] = []
        for conversation, count in self.sizes().items():
            for incoming in self._conversation(conversation, count):
                chunk.append(incoming)
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def _conversation(self, conversation: str, count: int) -> Iterator[Incoming]:
        rng = random.Random(conversation)
        people = _people(rng)
        texts = vocabulary.texts(rng)
        words = vocabulary.words(rng)
        external = rng.randrange(10_000_000, 90_000_000)
        author = ME
        last_ms = order = -1
        for sent_ms in self._times(rng, count):
            order = order + 1 if sent_ms == last_ms else 0
            last_ms = sent_ms
            if rng.random() < 0.5:
                author = ME if rng.random() < 0.5 else rng.choice(people)
            external += 1 + int(rng.random() * 9)
            text = next(texts)
            said = rng.random()
            if said >= 0.17:  # nothing was said about it
                yield Incoming(conversation, author, text, sent_ms, str(external), order=order)
                continue
            at_ms = sent_ms + 1_000 + int(rng.random() * 600_000)
            yield Incoming(
                conversation,
                author,
                text,
                sent_ms,
                str(external),
                order=order,
                edits=(Edit(_mended(rng, text, next(words)), at_ms),) if said < 0.05 else (),
                deleted_ms=at_ms if 0.05 <= said < 0.07 else None,
                reactions=(Reaction(rng.choice(people), rng.choice(_EMOJI), at_ms),)
                if said >= 0.07
                else (),
            )

    def _times(self, rng: random.Random, count: int) -> Iterator[int]:
        """Ascending times, in bursts, the last one shortly before the end."""
        share_ms = _SPAN_MS / count
        done = 0
        while done < count:
            length = min(rng.randint(1, _BURST), count - done)
            # Each burst keeps to its share of the time, so none reaches into the next.
            start_ms = self.end_ms - _SPAN_MS + share_ms * (done + 0.2 * length * rng.random())
            gap_ms = min(_GAP_MS, 0.4 * share_ms)
            for _ in range(length):
                yield int(start_ms)
                start_ms += gap_ms * (0.1 + 1.8 * rng.random())
            done += length


def rows_of(chunk: list[Incoming], first_key: int) -> Rows:
    """The same content as rows of the plain table; ``first_key`` is the number of the first message."""
    rows = Rows([], [], [])
    for key, incoming in enumerate(chunk, first_key):
        text = incoming.text
        for number, edit in enumerate(incoming.edits):
            rows.edits.append((key, number, text, edit.at_ms))
            text = edit.text
        for number, reaction in enumerate(incoming.reactions):
            rows.reactions.append((key, number, reaction.user, reaction.emoji, reaction.at_ms))
        place = f"{incoming.conversation}\0{incoming.external_id}".encode()
        rows.messages.append(
            (
                key,
                incoming.conversation,
                incoming.sent_ms,
                incoming.order,
                incoming.sent_ms.to_bytes(6, "big") + hashlib.sha256(place).digest()[:6],
                incoming.author,
                text,
                incoming.external_id,
                incoming.deleted_ms,
            )
        )
    return rows


def _conversation_id(index: int) -> str:
    rng = random.Random(f"conversation {index}")
    return f"+49{rng.randrange(10**9, 10**10)}"


def _people(rng: random.Random) -> list[str]:
    """Who takes part beside the owner: one person, or now and then a group."""
    count = rng.randint(3, 12) if rng.random() < 0.3 else 1
    return [vocabulary.name(rng) for _ in range(count)]


def _mended(rng: random.Random, text: str, word: str) -> str:
    """The text with one word replaced, as people edit."""
    parts = text.split(" ")
    parts[int(rng.random() * len(parts))] = word
    return " ".join(parts)
