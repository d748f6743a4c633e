"""What was acknowledged to people, and so must be true of every replica that has heard everything.

Only what is certain whatever else happened: so this cannot share a mistake with the rules of who wins. What was begun
and not acknowledged may be true or not. What only devices knew that are gone is not promised any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import msgsync


class Files(NamedTuple):
    """The attachments of a message that was acknowledged."""

    contents: tuple[bytes, ...]
    chunks: frozenset[str]
    """What they consist of, by name."""


@dataclass
class Promises:
    """Facts about messages by their ids, as verbs acknowledged them."""

    texts: dict[str, str] = field(default_factory=dict)
    """What was sent or ingested, with its first text."""
    edits: dict[str, set[str]] = field(default_factory=dict)
    """By id: other texts that it was given; all are kept."""
    deleted: set[str] = field(default_factory=set)
    """Put into Recently Deleted."""
    erased: set[str] = field(default_factory=set)
    files: dict[str, Files] = field(default_factory=dict)
    """By id: what was attached, and lies somewhere."""
    perhaps_deleted: set[str] = field(default_factory=set)
    """Those that somebody may have deleted, acknowledged or not."""
    perhaps_restored: set[str] = field(default_factory=set)
    perhaps_erased: set[str] = field(default_factory=set)
    may_expire: bool = False
    """Whether so much time has passed, whatever clocks show, that what was deleted may have been erased by itself."""

    def recount(self, replicas: Iterable[msgsync.Replica]) -> None:
        """Promise no more than what these replicas know between them: others are gone, or fell back."""
        ids = {*self._ids(), *self.deleted, *self.edits}
        known = {id: [look_up(replica, id) for replica in replicas] for id in sorted(ids)}
        shown = {
            id: [each for each in found if isinstance(each, msgsync.Message)]
            for id, found in known.items()
        }
        gone = {id for id, found in known.items() if Absence.ERASED in found}
        self.texts = {id: text for id, text in self.texts.items() if id in gone or shown[id]}
        # Whatever lies somewhere: another message may have had the same chunks.
        self.files = {id: files for id, files in self.files.items() if id in self.texts}
        self.perhaps_erased |= self.erased - gone
        self.erased &= gone
        self.deleted = {id for id in self.deleted if any(each.deleted for each in shown[id])}
        self.edits = {
            id: texts & {edit.text for each in shown[id] for edit in each.edits}
            for id, texts in self.edits.items()
        }

    def _ids(self) -> list[str]:
        return sorted(self.texts.keys() | self.erased)

    def assert_kept(self, replica: msgsync.Replica) -> None:
        """Assert that all of it is true of a replica that has heard everything.

        Raises:
            AssertionError: it is not; says what was lost, or came back.
        """
        self.assert_has(replica, self._ids())
        for id in self._ids():
            found = look_up(replica, id)
            if isinstance(found, msgsync.Message):
                assert id not in self.erased, f"{id} was erased and came back: {found.text!r}"
                self._assert_right(found, id)

    def assert_has(self, replica: msgsync.Replica, ids: Iterable[str]) -> None:
        """Assert that a replica has what was acknowledged on it, or knows that it was erased.

        Raises:
            AssertionError: it does not.
        """
        for id in sorted(ids):
            found = look_up(replica, id)
            assert found is not Absence.UNKNOWN, f"{id} is lost: {self.texts.get(id)!r}"
            if found is Absence.ERASED:
                expired = self.may_expire and id in self.perhaps_deleted
                wanted = expired or id in self.erased | self.perhaps_erased
                assert wanted, f"nobody erased {id}, and it is"

    def _assert_right(self, found: msgsync.Message, id: str) -> None:
        assert found.original_text == self.texts[id], f"{id} has another text: {found!r}"
        lost = self.edits.get(id, set()) - {edit.text for edit in found.edits}
        assert not lost, f"{id} lost its edits {lost}"
        if id in self.deleted - self.perhaps_restored:
            assert found.deleted, f"{id} was deleted, nobody restored it, and it is back"
        if id not in self.perhaps_deleted:
            assert not found.deleted, f"nobody deleted {id}, and it is deleted"


class Absence(Enum):
    """Why a message is not shown."""

    ERASED = "erased"
    UNKNOWN = "unknown"


def look_up(replica: msgsync.Replica, id: str) -> msgsync.Message | Absence:
    """What a replica says of a message."""
    try:
        return replica.message(id)
    except msgsync.ErasedMessage:
        return Absence.ERASED
    except msgsync.UnknownMessage:
        return Absence.UNKNOWN
