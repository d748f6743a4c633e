"""A copy that an app keeps of all messages, from the change feed alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgsync


@dataclass
class Copy:
    """Messages by conversation and id, and how far the feed was read."""

    cursor: str | None = None
    messages: dict[str, dict[str, msgsync.Message]] = field(default_factory=dict)
    conversations: set[str] = field(default_factory=set)

    def fork(self) -> Copy:
        """Another copy that is as far."""
        messages = {name: dict(here) for name, here in self.messages.items()}
        return Copy(self.cursor, messages, set(self.conversations))

    def follow(self, replica: msgsync.Replica, *, limit: int = 7) -> int:
        """Take in what changed; return how many changes that were."""
        count = 0
        while True:
            page = replica.changes(after=self.cursor, limit=limit)
            self.take(page)
            count += len(page)
            assert page or page.cursor == self.cursor or not page.more
            if not page.more:
                return count

    def take(self, page: msgsync.ChangePage) -> None:
        """Take in one page."""
        seqs = [change.seq for change in page]
        assert seqs == sorted(seqs), "out of order"
        for change in page:
            here = self.messages.setdefault(change.conversation, {})
            if change.kind == "message":
                assert change.message is not None
                assert change.id == change.message.id
                here[str(change.id)] = change.message
            elif change.kind == "conversation":
                self.conversations.add(change.conversation)
            else:
                here.pop(str(change.id), None)
        self.cursor = page.cursor

    def assert_equals(self, replica: msgsync.Replica) -> None:
        """Assert that the copy is what pages of messages show, but for `reply_to`, which is settled at reading."""
        for name, here in self.messages.items():
            try:
                page = replica.conversation(name).messages(limit=10_000, include_deleted=True)
            except msgsync.UnknownConversation:
                assert not here
                continue
            shown = {str(each.id): replace(each, reply_to=None) for each in page}
            copied = {id: replace(each, reply_to=None) for id, each in here.items()}
            assert copied == shown, "the copy differs from what is shown"
        listed = {each.id for each in replica.conversations(include_deleted=True)}
        assert listed <= self.messages.keys()
        assert listed <= self.conversations
