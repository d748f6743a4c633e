"""A carrier: a few messages as their source has them, and what it says about them as time goes by.

Every device is told the same; some miss some. Most share their minute with others, as in real logs, and the
source's order in that minute is not the order of their ids.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgsync
from msgsync.testing.reference.entries import Record


def _ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


LAST_OF_JANUARY = _ms(2024, 1, 31, 23, 59)
FIRST_OF_FEBRUARY = _ms(2024, 2, 1)
SAID_LATER = _ms(2024, 3, 1)


@dataclass(frozen=True, slots=True)
class Said:
    """What the carrier says about a message at some time."""

    edits: tuple[tuple[str, int], ...] = ()
    reactions: tuple[tuple[str, str, int], ...] = ()
    deleted_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """A message at its source."""

    conversation: str
    external_id: str
    author: str
    text: str
    sent_ms: int
    order: int
    said: tuple[Said, ...] = (Said(),)
    """What is said about it, from the first look at the source to the last."""
    kind: str = "text"
    reply_external: str | None = None

    def look(self, number: int) -> Said:
        """Return what is said at the given look; the last one lasts."""
        return self.said[min(number, len(self.said) - 1)]

    def incoming(self, look: int = 0, *, text: str | None = None) -> msgsync.Incoming:
        """Return what a device hands to `ingest`; ``text`` is how this device decodes the original."""
        said = self.look(look)
        return msgsync.Incoming(
            self.conversation,
            self.author,
            self.text if text is None else text,
            self.sent_ms,
            external_id=self.external_id,
            order=self.order,
            kind=self.kind,
            reply_external=self.reply_external,
            edits=tuple(msgsync.Edit(text, at_ms) for text, at_ms in said.edits),
            reactions=tuple(
                msgsync.Reaction(user, emoji, at_ms) for user, emoji, at_ms in said.reactions
            ),
            deleted_ms=said.deleted_ms,
        )

    def record(self, *, text: str | None = None) -> Record:
        """Return the record the model expects."""
        return Record(
            id=self.id,
            ms=self.sent_ms,
            sent_ms=self.sent_ms,
            author=self.author,
            text=self.text if text is None else text,
            order=self.order,
            kind=self.kind,
            external_id=self.external_id,
            reply_external=self.reply_external,
        )

    @property
    def id(self) -> str:
        """The id every device gives it."""
        return identities((self,))[self.conversation, self.external_id]


def _first_edit(text: str) -> Said:
    return Said(edits=((text, SAID_LATER),))


CATALOGUE = (
    Upstream("family", "f1", "ben", "Anyone home?", LAST_OF_JANUARY, 0),
    Upstream(
        "family",
        "f2",
        "cleo",
        "Dinner at eihgt",
        LAST_OF_JANUARY,
        1,
        (
            Said(),
            _first_edit("Dinner at eight"),
            Said(
                edits=(("Dinner at eight", SAID_LATER), ("Dinner at nine", SAID_LATER + 60_000)),
                reactions=(("ben", "👍", SAID_LATER + 61_000), ("ann", "🎉", SAID_LATER + 62_000)),
            ),
        ),
    ),
    Upstream("family", "f3", "ben", "waves", LAST_OF_JANUARY, 2, kind="action"),
    Upstream(
        "family",
        "f4",
        "cleo",
        "wrong chat",
        LAST_OF_JANUARY,
        3,
        (
            Said(),
            Said(reactions=(("ann", "👍", SAID_LATER),)),
            Said(deleted_ms=SAID_LATER + 90_000),
        ),
        reply_external="f1",
    ),
    Upstream("family", "f5", "ben", "明天见", FIRST_OF_FEBRUARY, 2, reply_external="f2"),
    Upstream("family", "f6", "cleo", "До завтра", FIRST_OF_FEBRUARY, 1),
    Upstream("family", "f7", "ben", "🙂", FIRST_OF_FEBRUARY, 0, (Said(), _first_edit("🙃"))),
    Upstream("work", "w1", "dora", "minutes attached", LAST_OF_JANUARY, 1),
    Upstream("work", "w2", "emil", "thanks", LAST_OF_JANUARY, 0, (Said(), _first_edit("Thanks!"))),
)


@cache
def identities(messages: tuple[Upstream, ...]) -> dict[tuple[str, str], str]:
    """Ask a replica that has nothing to do with the tests for the ids of messages."""
    with (
        tempfile.TemporaryDirectory() as directory,
        msgsync.open(Path(directory) / "aside.db", author="nobody") as aside,
    ):
        aside.ingest([message.incoming() for message in messages])
        ids = {}
        for message in messages:
            found = aside.conversation(message.conversation).find(message.external_id)
            assert found is not None
            assert found.id.ms == message.sent_ms
            ids[message.conversation, message.external_id] = str(found.id)
        return ids


def in_source_order(messages: Iterable[Upstream]) -> list[Upstream]:
    """Return messages as their source shows them."""
    return sorted(messages, key=lambda each: (each.conversation, each.sent_ms, each.order))
