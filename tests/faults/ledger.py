"""What must be there, from what a program said it did."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from msgsync import Replica

Words = list[Any]


@dataclass(slots=True)
class Shown:
    """A message."""

    text: str
    emojis: set[str] = field(default_factory=set)
    deleted: bool = False


@dataclass(slots=True)
class Ledger:
    """Messages by the text that they began with, and what was erased."""

    messages: dict[str, Shown] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)
    """Every text that erased messages had."""

    def do(self, verb: str, text: str, *more: str) -> None:
        if verb in ("send", "ingest"):
            self.messages |= {one: Shown(one) for one in (text, *more)}
        elif verb == "edit":
            self.messages[text].text = more[0]
        elif verb == "react":
            self.messages[text].emojis.add(more[0])
        elif verb in ("delete", "restore"):
            self.messages[text].deleted = verb == "delete"
        else:
            assert verb == "erase"
            self.erased += [text, self.messages.pop(text).text]

    def add(self, words: Iterable[Words]) -> Ledger | None:
        """Take what was done; return what it is if what was begun and not acknowledged was done as well."""
        begun: Words | None = None
        for what, *verb in words:
            if what == "will":
                begun = verb
            elif what == "done":
                assert verb == begun
                self.do(*verb)
                begun = None
        if begun is None:
            return None
        other = deepcopy(self)
        other.do(*begun)
        return other


def shown(replica: Replica, *conversations: str) -> dict[str, Shown]:
    """What is there."""
    here = {one.id for one in replica.conversations(include_deleted=True)}
    return {
        message.original_text: Shown(
            message.text, {one.emoji for one in message.reactions}, message.deleted
        )
        for one in conversations
        if one in here
        for message in replica.conversation(one).messages(limit=10**6, include_deleted=True)
    }
