"""The kit's world, fed by this suite's carrier, and what its tests share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import pytest
from hypothesis import settings

import msgsync
from msgsync import limits
from msgsync import testing as kit
from msgsync.protocol import source
from msgsync.store import store
from msgsync.testing.machine import fast_directory
from msgsync.testing.world import reacted
from tests.property.carrier import CATALOGUE, Upstream


class World(kit.World):
    """A world whose carrier has the messages of the catalogue."""

    @classmethod
    def with_replicas(cls, directory: Path, count: int = 3) -> Self:
        """Return a world of that many devices, which know each other and nothing else."""
        world = super().with_replicas(directory, count)
        for message in CATALOGUE:
            world.ms[message.id] = message.sent_ms
        return world

    def link(self, at: int, name: str, id: str, message: Upstream) -> bool:
        """Say that a message which is shown is the carrier's; return whether the carrier's was not erased."""
        conversation, model = self.conversation(at, name), self.devices[at].reference
        if message.id in model.state(name).erased and message.id != id:
            with pytest.raises(msgsync.ErasedMessage):
                conversation.link(id, message.external_id, message.sent_ms)
            return False
        shown = conversation.link(id, message.external_id, message.sent_ms)
        if message.id != id:
            own, echo = (id, self._ms(id)), (message.id, message.sent_ms)
            model.link(name, own, echo, message.external_id)
        assert conversation.message(id) == shown
        return True

    def say_externally(self, at: int, message: Upstream, act: str, text: str) -> None:
        """Edit, react to or delete a message by the carrier's id, whether it is here or not."""
        conversation = self.conversation(at, message.conversation)
        model = self.devices[at].reference
        named = model.named(message.conversation, message.external_id)
        id = message.id if named is None else named
        ids: Any = {"external": message.external_id, "sent": message.sent_ms}
        if named is None:
            with pytest.raises(msgsync.UnknownMessage):
                conversation.edit(text=text, external=message.external_id)
        if id in model.state(message.conversation).erased:
            with pytest.raises(msgsync.ErasedMessage):
                conversation.edit(text=text, **ids)
            return
        match act:
            case "edit":
                shown = conversation.edit(text=text, **ids)
                assert (shown is None) == (named is None)
                model.edit(message.conversation, id, self._ms(id), text)
            case "react":
                there = named is not None and ("ann", "🎈") in reacted(conversation.message(id))
                conversation.react(emoji="🎈", **ids)
                if not there:
                    model.react(
                        message.conversation, id, self._ms(id), user="ann", emoji="🎈", on=True
                    )
            case "delete":
                conversation.delete(**ids)
                model.delete(message.conversation, {id: self._ms(id)})

    def ingest(
        self,
        at: int,
        messages: Sequence[Upstream | msgsync.Incoming],
        *,
        look: int = 0,
        text: str | None = None,
    ) -> None:
        """Take over what a carrier has; ``text`` is this device's own reading of the originals."""
        super().ingest(
            at,
            [
                each.incoming(look, text=text) if isinstance(each, Upstream) else each
                for each in messages
            ],
        )


def cramped() -> ExitStack:
    """Return a context in which everything is cut small: frames, pages, logs, caches and batches.

    So that a few messages reach what otherwise takes thousands: documents in parts, windows that fill, logs that fold.
    """
    small = ExitStack()
    small.enter_context(
        patch.multiple(
            limits,
            FRAME_FILL_BYTES=600,
            UPDATES_FILL_BYTES=600,
            FIRST_FILL_BYTES=600,
            WINDOW_BYTES=4000,
            OFFERS_PER_FRAME=2,
            LOG_ROWS=3,
            DOCUMENT_CACHE_BYTES=1,
            BATCH_MESSAGES=2,
        )
    )
    small.enter_context(patch.object(source, "_WHOLE_BYTES", 400))
    small.enter_context(patch.object(limits, "SCREEN_DOCUMENT_BYTES", 150))
    small.enter_context(patch.object(limits, "SCREEN_MESSAGES", 2))
    small.enter_context(patch.object(store, "_FOLD_ON_CLOSE_ROWS", 1))
    return small


def fewer(divisor: int) -> settings:
    """Return the settings of the profile for a test whose examples cost more than most."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return settings(max_examples=max(profile.max_examples // divisor, 1))


@contextmanager
def fresh_world(count: int = 3) -> Iterator[World]:
    """Give a world in a directory of its own, for tests that need one for each example."""
    with (
        fast_directory() as directory,
        World.with_replicas(Path(directory), count) as world,
    ):
        yield world
