"""A world of replicas, each beside its model: whatever is done is done to both, and then both are compared."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, combinations, pairwise, product
from pathlib import Path
from types import TracebackType
from typing import Self
from unittest.mock import patch

from hypothesis import settings

import msgsync
from msgsync import limits
from msgsync.protocol import source
from msgsync.store import store
from tests.model.entries import Record
from tests.model.fold import standing
from tests.model.ledger import Ledger
from tests.model.replica import Document, ModelReplica
from tests.property.carrier import CATALOGUE, Upstream
from tests.property.exchange import exchange
from tests.property.expectation import assert_conversation, assert_readable, assert_shows, view


@dataclass
class Twin:
    """A replica and its model."""

    path: Path
    real: msgsync.Replica
    model: ModelReplica


@dataclass
class Backup:
    """A copy of the closed file of a replica, put aside."""

    path: Path
    model: ModelReplica
    restored_count: int = 0


@dataclass
class World:
    """Replicas of one account in a directory. Twins are named by their position."""

    directory: Path
    twins: list[Twin] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    ms: dict[str, int] = field(default_factory=dict)
    """Milliseconds of every id that was ever used."""
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """By conversation: ids of messages that a `send` or `ingest` returned for."""
    erased: set[str] = field(default_factory=set)
    """Ids that somebody erased, on any replica."""

    # Replicas.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every replica."""
        for twin in self.twins:
            twin.real.close()

    @classmethod
    def with_replicas(cls, directory: Path, count: int = 3) -> World:
        """Return a world of that many devices, which know each other and nothing else."""
        world = cls(directory)
        first = msgsync.open(world._path("0"), author="ann", durability="relaxed")
        world.twins.append(Twin(world._path("0"), first, ModelReplica("ann")))
        for _ in range(1, count):
            world.add_device(0)
        for message in CATALOGUE:
            world.ms[message.id] = message.sent_ms
        return world

    def add_device(self, parent: int) -> int:
        """Let a device make another one; return its position."""
        position = len(self.twins)
        path = self._path(str(position))
        real = self.twins[parent].real.new_device(path)
        self.twins.append(Twin(path, real, ModelReplica("ann")))
        return position

    def reopen(self, at: int) -> None:
        """Close a replica and open it again: nothing may change."""
        twin = self.twins[at]
        before, digest = view(twin.real), twin.real.digest
        twin.real.close()
        twin.real = msgsync.open(twin.path, author="ann", durability="relaxed")
        twin.model.open()
        assert twin.real.digest == digest
        assert view(twin.real) == before

    def back_up(self, at: int) -> int:
        """Copy the closed file of a replica aside; return the position of the backup."""
        twin = self.twins[at]
        twin.real.close()
        path = self._path(f"backup-{len(self.backups)}")
        shutil.copyfile(twin.path, path)
        self.backups.append(Backup(path, twin.model.copy()))
        twin.real = msgsync.open(twin.path, author="ann", durability="relaxed")
        twin.model.open()
        return len(self.backups) - 1

    def bring_back(self, backup: int) -> int:
        """Open a copy of a backup as one more device; return its position."""
        kept = self.backups[backup]
        kept.restored_count += 1
        path = self._path(f"{kept.path.stem}-{kept.restored_count}")
        shutil.copyfile(kept.path, path)
        model = kept.model.copy()
        model.open()
        real = msgsync.open(path, author="ann", durability="relaxed")
        self.twins.append(Twin(path, real, model))
        return len(self.twins) - 1

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.db"

    # What people do.

    def conversation(self, at: int, name: str) -> msgsync.Conversation:
        """Return a conversation of a replica."""
        return self.twins[at].real.conversation(name)

    def create(self, at: int, name: str, title: str) -> None:
        """Create a conversation with an id that the app chose."""
        self.twins[at].real.create_conversation(title, id=name)
        self.twins[at].model.create(name, title)

    def rename(self, at: int, name: str, title: str) -> None:
        """Give a conversation another title."""
        self.conversation(at, name).rename(title)
        self.twins[at].model.set_field(name, "title", title)

    def send(self, at: int, name: str, text: str, *, reply_to: str | None = None) -> str:
        """Send a message; return its id. It sorts after everything shown."""
        conversation = self.conversation(at, name)
        sent = conversation.send(text, reply_to=reply_to)
        id = str(sent.id)
        assert id not in self.ms, "an id was used twice"
        assert conversation.messages(limit=1)[0].id == sent.id, "sent, but not the newest"
        record = Record(id, sent.id.ms, sent.sent_ms, "ann", text, reply_to=reply_to)
        assert sent.sent_ms <= sent.id.ms
        self._accept(name, id, sent.id.ms)
        self.twins[at].model.send(name, record)
        return id

    def edit(self, at: int, name: str, id: str, text: str) -> None:
        """Give a message another text; its author sees it at once."""
        shown = self.conversation(at, name).edit(id, text)
        assert shown.text == text
        self.twins[at].model.edit(name, id, self.ms[id], text)

    def toggle(self, at: int, name: str, id: str, emoji: str, *, user: str = "ann") -> bool:
        """Put a user's emoji on a message, or take it away if it is there; return whether it is on."""
        conversation = self.conversation(at, name)
        there = (user, emoji) in reacted(conversation.message(id))
        verb = conversation.unreact if there else conversation.react
        shown = verb(id, emoji, user=user)
        assert ((user, emoji) in reacted(shown)) is not there
        model = self.twins[at].model
        model.react(name, id, self.ms[id], user=user, emoji=emoji, on=not there)
        return not there

    def delete(self, at: int, name: str, *ids: str) -> None:
        """Put messages into Recently Deleted."""
        self.conversation(at, name).delete(*ids)
        self.twins[at].model.delete(name, {id: self.ms[id] for id in ids})

    def restore(self, at: int, name: str, *ids: str) -> None:
        """Bring messages back from Recently Deleted."""
        self.conversation(at, name).restore(*ids)
        self.twins[at].model.delete(name, {id: self.ms[id] for id in ids}, restored=True)

    def erase(self, at: int, name: str, *ids: str) -> None:
        """Erase messages for good, also such as are not here."""
        self.conversation(at, name).erase(*ids)
        self.erased |= set(ids)
        self.twins[at].model.erase(name, {id: self.ms[id] for id in ids})

    def ingest(
        self, at: int, messages: Sequence[Upstream], *, look: int = 0, text: str | None = None
    ) -> None:
        """Take over what a carrier has; ``text`` is this device's own reading of the originals."""
        twin = self.twins[at]
        outcome = {"added": 0, "present": 0, "erased": 0}
        for message in messages:
            said = message.look(look)
            became = twin.model.ingest(
                message.conversation,
                message.record(text=text),
                edits=said.edits,
                reactions=said.reactions,
                deleted_ms=said.deleted_ms,
            )
            outcome[became] += 1
            self._accept(message.conversation, message.id, message.sent_ms)
        report = twin.real.ingest([message.incoming(look, text=text) for message in messages])
        assert (report.added, report.present, report.erased) == tuple(outcome.values())

    def _accept(self, name: str, id: str, ms: int) -> None:
        self.ms[id] = ms
        self.accepted.setdefault(name, set()).add(id)

    # Exchanges and what must hold.

    def sync(self, first: int, second: int) -> msgsync.SyncReport:
        """Let two replicas meet, completely."""
        one, other = self.twins[first], self.twins[second]
        report = msgsync.sync(one.real, other.real)
        assert report.complete
        assert not report.refused
        one.model.merge(other.model)
        other.model.merge(one.model)
        assert one.real.digest == other.real.digest, "completed, but the digests differ"
        return report

    def sync_interrupted(self, first: int, second: int, frames: int, pace: random.Random) -> bool:
        """Let two replicas meet over a line that breaks after some frames; return whether it was too late."""
        one, other = self.twins[first], self.twins[second]
        digests = one.real.digest, other.real.digest
        models = one.model.copy(), other.model.copy()
        if exchange(one.real, other.real, frames=frames, pace=pace):
            one.model.merge(models[1])
            other.model.merge(models[0])
            assert one.real.digest == other.real.digest
            return True
        learnt = [
            twin.real.digest == digest or self._learn(twin, theirs)
            for twin, digest, theirs in zip((one, other), digests, reversed(models), strict=True)
        ]
        if not all(learnt):
            self.sync(first, second)
        return False

    def _learn(self, twin: Twin, theirs: ModelReplica) -> bool:
        """Find out which documents came through before a line broke; return whether that can be told.

        Documents come whole or not at all, so what is shown, and what is known about digests, must fit one of
        the combinations.
        """
        by_conversation: dict[str, list[Document]] = {}
        for name, held in theirs.documents.items():
            ours = twin.model.documents[name].entries
            if set(standing(ours | held.entries)) != set(standing(ours)):
                by_conversation.setdefault(name.conversation, []).append(name)
        possible = [
            [some for some in subsets(news) if self._could_show(twin, theirs, conversation, some)]
            for conversation, news in by_conversation.items()
        ]
        unknown, certain = [], []
        for choice in product(*possible):
            came = [name for some in choice for name in some]
            parts = _with(twin.model, theirs, came).parts()
            predicted = None if parts is None else self.ledger.predict(parts)
            if predicted is None:
                unknown.append(came)
            elif predicted == twin.real.digest:
                certain.append(came)
        assert certain or unknown, "no choice of whole documents explains what is here"
        if len(certain) != 1 and (certain or len(unknown) != 1):
            return False
        twin.model.merge(theirs, (certain or unknown)[0])
        return True

    def _could_show(
        self, twin: Twin, theirs: ModelReplica, conversation: str, came: Iterable[Document]
    ) -> bool:
        try:
            model = _with(twin.model, theirs, came)
            assert_conversation(twin.real, conversation, model.state(conversation))
        except AssertionError:
            return False
        return True

    def sync_all(self, order: random.Random | None = None) -> None:
        """Let exchanges happen until everybody has everything: out and back along the replicas."""
        positions = list(range(len(self.twins)))
        if order is not None:
            order.shuffle(positions)
        out = list(pairwise(positions))
        for first, second in [*out, *out[-2::-1]]:
            self.sync(first, second)

    def assert_as_modelled(self, at: int) -> None:
        """Assert that a replica shows what its model expects and that its digest fits all earlier ones."""
        twin = self.twins[at]
        assert_shows(twin.real, twin.model)
        parts = twin.model.parts()
        if parts is not None:
            self.ledger.observe(parts, twin.real.digest)

    def assert_converged(self) -> None:
        """Assert that all replicas are in one state, that nothing is lost, and that the caches are right."""
        expected, digest = view(self.twins[0].real), self.twins[0].real.digest
        for at, twin in enumerate(self.twins):
            assert view(twin.real) == expected, f"replica {at} shows something else than replica 0"
            assert twin.real.digest == digest, f"replica {at} shows the same under another digest"
            self.assert_as_modelled(at)
            assert_sound(twin.real)
            self.assert_nothing_lost(at)
        assert_readable(self.twins[-1].real)

    def assert_nothing_lost(self, at: int) -> None:
        """Assert that a replica has every accepted message that nobody erased, and no erased one."""
        for name, accepted in self.accepted.items():
            here = self.ids(at, name)
            assert accepted - self.erased <= here, f"lost {accepted - self.erased - here}"
            assert not here & self.erased, f"not gone: {here & self.erased}"

    def ids(self, at: int, name: str) -> set[str]:
        """Return the ids a replica shows in a conversation, those in Recently Deleted too."""
        try:
            conversation = self.conversation(at, name)
        except msgsync.UnknownConversation:
            return set()
        page = conversation.messages(limit=10_000, include_deleted=True)
        return {str(message.id) for message in page}

    def texts(self, at: int, name: str) -> list[str]:
        """Return what a replica shows of a conversation, line by line."""
        return [message.text for message in self.conversation(at, name).messages(limit=10_000)]


def reacted(message: msgsync.Message) -> set[tuple[str, str]]:
    """Return who put which emoji on a message."""
    return {(reaction.user, reaction.emoji) for reaction in message.reactions}


def assert_sound(replica: msgsync.Replica) -> None:
    """Assert that what is stored for reading equals what the documents say."""
    report = replica.check()
    assert report.ok, report


def subsets(of: Sequence[Document]) -> Iterator[tuple[Document, ...]]:
    """Give every choice of some documents, none and all of them included."""
    return chain.from_iterable(combinations(of, size) for size in range(len(of) + 1))


def _with(ours: ModelReplica, theirs: ModelReplica, came: Iterable[Document]) -> ModelReplica:
    merged = ours.copy()
    merged.merge(theirs, came)
    return merged


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


def fast_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a directory that is in memory where the system offers that; these tests are not about disks."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


@contextmanager
def fresh_world(count: int = 3) -> Iterator[World]:
    """Give a world in a directory of its own, for tests that need one for each example."""
    with (
        fast_directory() as directory,
        World.with_replicas(Path(directory), count) as world,
    ):
        yield world
