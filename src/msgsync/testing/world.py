"""A world of devices, each beside its reference: whatever is done is done to both, and then both are compared.

Every verb is a method that does it to the replica, checks what can be told at once, and tells the reference. A verb
that msgsync gains is one more method here and one more rule in `msgsync.testing.machine`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, pairwise
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgsync
from msgsync import limits
from msgsync.ids import external_tail
from msgsync.testing.checks import assert_converged, assert_sound, view
from msgsync.testing.expectation import assert_readable, assert_shows, shows_document
from msgsync.testing.network import SimulatedNetwork
from msgsync.testing.reference import Document, Ledger, Record, ReferenceReplica, fold, standing
from msgsync.testing.seed import Seeded
from msgsync.testing.system import START_MS, SimulatedSystem

_ALL = 10_000
_PASSING_MS = 1_000
"""How far a device's clock moves with each thing that is done on it."""
_MOST_UNDECIDED = 5
"""Documents that may or may not have come before a line broke: every choice of them is tried."""


class Opener(Protocol):
    """How a world opens a replica; `msgsync.open` is one."""

    def __call__(
        self, path: Path, /, *, account: msgsync.AccountId | None, system: SimulatedSystem
    ) -> msgsync.Replica:
        """Open or make the replica in a file: of this account (None: of a new one), on this system."""


@dataclass
class Device:
    """A replica, its reference, and the machine it runs on."""

    path: Path
    replica: msgsync.Replica
    reference: ReferenceReplica
    system: SimulatedSystem


@dataclass
class Backup:
    """A copy of the closed file of a replica, put aside."""

    path: Path
    reference: ReferenceReplica


@dataclass
class World:
    """Devices of one account in a directory, named by their position; deterministic from its seed."""

    directory: Path
    author: str = "ann"
    seed: int | str = 0
    start_ms: int = START_MS
    compares: bool = True
    """Whether replicas are compared with their references: only if nothing is written but by the verbs below."""
    opener: Opener | None = None
    """Opens replicas; `msgsync.open` with the author and ``durability="relaxed"`` if not given."""
    devices: list[Device] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    ms: dict[str, int] = field(default_factory=dict)
    """Milliseconds of every id that was ever used."""
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """By conversation: ids of messages that a `send` or `ingest` returned for."""
    erased: set[str] = field(default_factory=set)
    """Ids that somebody erased, on any replica."""
    _files: int = 0

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
        for device in self.devices:
            device.replica.close()

    @classmethod
    def with_replicas(cls, directory: Path, count: int = 3) -> Self:
        """A world of that many devices, which know each other and nothing else."""
        world = cls(directory)
        world.add_devices(count)
        return world

    def add_devices(self, count: int) -> None:
        """Add empty devices."""
        for _ in range(count):
            self.add_device()

    def add_device(self) -> int:
        """Add an empty device of the account; return its position."""
        return self._add(self._path(), ReferenceReplica(self.author))

    def _add(self, path: Path, reference: ReferenceReplica) -> int:
        system = SimulatedSystem(f"{self.seed}/{path.name}", now_ms=self.start_ms)
        replica = self._open(path, system)
        self.devices.append(Device(path, replica, reference, system))
        return len(self.devices) - 1

    def _open(self, path: Path, system: SimulatedSystem) -> msgsync.Replica:
        account = self.devices[0].replica.account if self.devices else None
        if self.opener is not None:
            return self.opener(path, account=account, system=system)
        return msgsync.open(
            path, author=self.author, account=account, durability="relaxed", system=system
        )

    def _path(self) -> Path:
        self._files += 1
        return self.directory / f"{self._files}.db"

    def reopen(self, at: int) -> None:
        """Close a replica and open it again: nothing may change."""
        with self._changing_nothing(at) as device:
            device.replica.close()

    def crash(self, at: int) -> None:
        """Let a device's process die, and open what it left: all that was acknowledged is there.

        What is left is a copy of the database and its write-ahead log as they lie at this moment, unclosed.
        """
        with self._changing_nothing(at) as device:
            path = self._path()
            for suffix in ("", "-wal"):
                left = device.path.with_name(device.path.name + suffix)
                if left.exists():
                    shutil.copyfile(left, path.with_name(path.name + suffix))
            device.replica.close()
            device.path = path

    def _changing_nothing(self, at: int) -> _Reopening:
        return _Reopening(self.devices[at], self._open)

    def back_up(self, at: int) -> int:
        """Copy the closed file of a replica aside; return the position of the backup."""
        with self._changing_nothing(at) as device:
            device.replica.close()
            path = self._path()
            shutil.copyfile(device.path, path)
        self.backups.append(Backup(path, device.reference.copy()))
        return len(self.backups) - 1

    def bring_back(self, backup: int) -> int:
        """Open a copy of a backup as one more device; return its position."""
        kept = self.backups[backup]
        path = self._path()
        shutil.copyfile(kept.path, path)
        reference = kept.reference.copy()
        reference.open()
        position = self._add(path, reference)
        self._recall_erased()
        return position

    def fall_back(self, at: int, backup: int) -> None:
        """Put a backup in the place of a device's file: what only that device had is gone, and nothing else."""
        device, kept = self.devices[at], self.backups[backup]
        device.replica.close()
        device.path = self._path()
        shutil.copyfile(kept.path, device.path)
        device.reference = kept.reference.copy()
        device.reference.open()
        device.replica = self._open(device.path, device.system)
        for name in self.accepted:
            self.accepted[name] &= set().union(
                *(self.ids(each, name) for each in range(len(self.devices)))
            )
        self._recall_erased()

    def _recall_erased(self) -> None:
        """What is known to be erased depends on who is here: a backup may know of less, or of more."""
        self.erased = {
            id for id in self.ms if any(self._knows_erased(device, id) for device in self.devices)
        }

    @staticmethod
    def _knows_erased(device: Device, id: str) -> bool:
        try:
            device.replica.message(id)
        except msgsync.ErasedMessage:
            return True
        except msgsync.UnknownMessage:
            return False
        return False

    # What people do.

    def conversation(self, at: int, name: str) -> msgsync.Conversation:
        """A conversation of a replica; the device's clock goes on."""
        self.devices[at].system.advance(_PASSING_MS)
        return self.devices[at].replica.conversation(name)

    def create(self, at: int, name: str, title: str) -> None:
        """Create a conversation with an id that the app chose."""
        self.devices[at].replica.create_conversation(title, id=name)
        self.devices[at].reference.create(name, title)

    def rename(self, at: int, name: str, title: str) -> None:
        """Give a conversation another title."""
        self.conversation(at, name).rename(title)
        self.devices[at].reference.set_field(name, "title", title)

    def send(self, at: int, name: str, text: str, *, reply_to: str | None = None) -> str:
        """Send a message; return its id. It sorts after everything shown that is not dated absurdly far ahead."""
        conversation = self.conversation(at, name)
        now_ms = self.devices[at].system.now_ms()
        newest = max((each.id.ms for each in conversation.messages(limit=1)), default=0)
        sent = conversation.send(text, reply_to=reply_to)
        id = str(sent.id)
        assert id not in self.ms, "an id was used twice"
        if newest <= now_ms + limits.FUTURE_MS:
            assert conversation.messages(limit=1)[0].id == sent.id, "sent, but not the newest"
        record = Record(id, sent.id.ms, sent.sent_ms, self.author, text, reply_to=reply_to)
        assert sent.sent_ms <= sent.id.ms
        self._accept(name, id, sent.id.ms)
        self.devices[at].reference.send(name, record)
        return id

    def edit(self, at: int, name: str, id: str, text: str) -> None:
        """Give a message another text; its author sees it at once."""
        shown = self.conversation(at, name).edit(id, text)
        assert shown.text == text
        self.devices[at].reference.edit(name, id, self._ms(id), text)

    def toggle(self, at: int, name: str, id: str, emoji: str, *, user: str | None = None) -> bool:
        """Put a user's emoji on a message, or take it away if it is there; return whether it is on."""
        user = self.author if user is None else user
        conversation = self.conversation(at, name)
        there = (user, emoji) in reacted(conversation.message(id))
        verb = conversation.unreact if there else conversation.react
        shown = verb(id, emoji, user=user)
        assert ((user, emoji) in reacted(shown)) is not there
        reference = self.devices[at].reference
        reference.react(name, id, self._ms(id), user=user, emoji=emoji, on=not there)
        return not there

    def delete(self, at: int, name: str, *ids: str) -> None:
        """Put messages into Recently Deleted."""
        self.conversation(at, name).delete(*ids)
        self.devices[at].reference.delete(name, {id: self._ms(id) for id in ids})

    def restore(self, at: int, name: str, *ids: str) -> None:
        """Bring messages back from Recently Deleted."""
        self.conversation(at, name).restore(*ids)
        self.devices[at].reference.delete(name, {id: self._ms(id) for id in ids}, restored=True)

    def erase(self, at: int, name: str, *ids: str) -> None:
        """Erase messages for good, also such as are not here."""
        self.conversation(at, name).erase(*ids)
        self.erased |= set(ids)
        self.ms |= {id: self._ms(id) for id in ids}
        self.devices[at].reference.erase(name, {id: self._ms(id) for id in ids})

    def ingest(self, at: int, messages: Sequence[msgsync.Incoming]) -> None:
        """Take over what a carrier has: messages with external ids.

        If one of them is too far ahead of the device's clock, it is refused and nothing of it is here.
        """
        device = self.devices[at]
        latest = max((message.sent_ms for message in messages), default=0)
        if latest > device.system.now_ms() + limits.FUTURE_MS:
            self._refused(device, messages)
            return
        outcome = {"added": 0, "present": 0, "erased": 0}
        for message in messages:
            id = carried_id(message)
            became = device.reference.ingest(
                message.conversation,
                _record(id, message),
                edits=[(edit.text, edit.at_ms) for edit in message.edits],
                reactions=[(each.user, each.emoji, each.at_ms) for each in message.reactions],
                deleted_ms=message.deleted_ms,
            )
            outcome[became] += 1
            self._accept(message.conversation, id, message.sent_ms)
        report = device.replica.ingest(messages)
        if self.compares:
            assert (report.added, report.present, report.erased) == tuple(outcome.values())

    @staticmethod
    def _refused(device: Device, messages: Sequence[msgsync.Incoming]) -> None:
        before = device.replica.digest
        try:
            device.replica.ingest(messages)
        except msgsync.FutureTimestamp:
            assert device.replica.digest == before, "refused, but something of it is here"
        else:
            raise AssertionError("a message was taken that is more than 36 hours ahead")

    def _accept(self, name: str, id: str, ms: int) -> None:
        self.ms[id] = ms
        self.accepted.setdefault(name, set()).add(id)

    def _ms(self, id: str) -> int:
        return msgsync.MessageId.parse(id).ms

    # Exchanges and what must hold.

    def sync(self, first: int, second: int) -> msgsync.SyncReport:
        """Let two replicas meet, completely: they end in one state, and nothing is lost."""
        one, other = self.devices[first], self.devices[second]
        before = _everything(one.replica) | _everything(other.replica)
        report = msgsync.sync(one.replica, other.replica)
        assert report.complete
        assert not report.refused
        one.reference.merge(other.reference)
        other.reference.merge(one.reference)
        assert one.replica.digest == other.replica.digest, "completed, but the digests differ"
        for device in (one, other):
            gone = before - _everything(device.replica)
            assert all(self._knows_erased(device, id) for _, id in gone), f"lost: {gone}"
        return report

    def sync_interrupted(self, first: int, second: int, frames: int, seed: int | str) -> bool:
        """Let two replicas meet over a line that breaks after some frames; return whether it was too late."""
        one, other = self.devices[first], self.devices[second]
        digests = one.replica.digest, other.replica.digest
        references = one.reference.copy(), other.reference.copy()
        link = SimulatedNetwork(seed).sync(one.replica, other.replica, frames=frames)
        if not link.broken:
            assert link.complete
            one.reference.merge(references[1])
            other.reference.merge(references[0])
            assert one.replica.digest == other.replica.digest
            return True
        if self.compares:
            learnt = [
                device.replica.digest == digest or self._learn(device, theirs)
                for device, digest, theirs in zip(
                    (one, other), digests, reversed(references), strict=True
                )
            ]
            if not all(learnt):
                self.sync(first, second)
        return False

    def meet_at_once(self, pairs: Sequence[tuple[int, int]], seed: int | str) -> None:
        """Let several pairs of replicas meet at the same time, frame by frame as the seed has it; then again."""
        network = SimulatedNetwork(seed)
        links = [
            network.connect(self.devices[first].replica, self.devices[second].replica)
            for first, second in pairs
        ]
        network.run()
        assert all(link.error is None for link in links)
        for first, second in [*pairs, *pairs[-2::-1]]:
            self.sync(first, second)

    def _learn(self, device: Device, theirs: ReferenceReplica) -> bool:
        """Find out which documents came through before a line broke; return whether that can be told.

        Documents come whole or not at all. Most show whether they came; for those that do not, what is known about
        digests decides, if anything does.
        """
        certain_to_have_come, undecided = [], []
        for name, held in theirs.documents.items():
            ours = device.reference.documents[name].entries
            if set(standing(ours | held.entries)) == set(standing(ours)):
                continue
            came, stayed_away = (
                shows_document(device.replica, name, fold(entries))
                for entries in (ours | held.entries, ours)
            )
            assert came or stayed_away, f"half of {name} came through"
            if came and stayed_away:
                undecided.append(name)
            elif came:
                certain_to_have_come.append(name)
        if len(undecided) > _MOST_UNDECIDED:
            return False
        unknown, explaining = [], []
        for some in subsets(undecided):
            choice = [*certain_to_have_come, *some]
            parts = _with(device.reference, theirs, choice).parts()
            predicted = None if parts is None else self.ledger.predict(parts)
            if predicted is None:
                unknown.append(choice)
            elif predicted == device.replica.digest:
                explaining.append(choice)
        assert explaining or unknown, "no choice of whole documents explains what is here"
        if len(explaining) != 1 and (explaining or len(unknown) != 1):
            return False
        device.reference.merge(theirs, (explaining or unknown)[0])
        return True

    def sync_all(self, order: int | str | None = None) -> None:
        """Let exchanges happen until everybody has everything: out and back along the replicas."""
        positions = list(range(len(self.devices)))
        if order is not None:
            positions = Seeded(order).shuffled(positions)
        out = list(pairwise(positions))
        for first, second in [*out, *out[-2::-1]]:
            self.sync(first, second)

    def assert_as_modelled(self, at: int) -> None:
        """Assert that a replica shows what its reference expects and that its digest fits all earlier ones."""
        device = self.devices[at]
        if not self.compares:
            return
        assert_shows(device.replica, device.reference)
        parts = device.reference.parts()
        if parts is not None:
            self.ledger.observe(parts, device.replica.digest)

    def assert_converged(self) -> None:
        """Assert that all replicas are in one state, that nothing is lost, and that the caches are right."""
        assert_converged(*(device.replica for device in self.devices))
        for at, device in enumerate(self.devices):
            self.assert_as_modelled(at)
            assert_sound(device.replica)
            self.assert_nothing_lost(at)
        assert_readable(self.devices[-1].replica)

    def assert_nothing_lost(self, at: int) -> None:
        """Assert that a replica has every accepted message that nobody erased, and no erased one."""
        for name, accepted in self.accepted.items():
            here = self.ids(at, name)
            lost = accepted - self.erased - here
            if not self.compares:  # an app's own steps may erase
                lost = {id for id in lost if not self._knows_erased(self.devices[at], id)}
            assert not lost, f"lost {lost}"
            assert not here & self.erased, f"not gone: {here & self.erased}"

    def ids(self, at: int, name: str) -> set[str]:
        """The ids a replica shows in a conversation, those in Recently Deleted too."""
        return {
            id for conversation, id in _everything(self.devices[at].replica) if conversation == name
        }

    def texts(self, at: int, name: str) -> list[str]:
        """What a replica shows of a conversation, line by line."""
        return [message.text for message in self.conversation(at, name).messages(limit=_ALL)]


class _Reopening:
    """Opens a device's replica again at the end, and asserts that it shows what it showed before."""

    def __init__(
        self, device: Device, open: Callable[[Path, SimulatedSystem], msgsync.Replica]
    ) -> None:
        self._device = device
        self._open = open
        self._before = view(device.replica), device.replica.digest

    def __enter__(self) -> Device:
        return self._device

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        device = self._device
        device.replica = self._open(device.path, device.system)
        device.reference.open()
        assert (view(device.replica), device.replica.digest) == self._before, "reopening changed it"


def carried_id(message: msgsync.Incoming) -> str:
    """The id that a carrier's message gets on every device: a function of the message alone (it has an external id)."""
    assert message.external_id is not None, "the reference needs messages with external ids"
    tail = external_tail(message.conversation, message.external_id)
    return str(msgsync.MessageId(message.sent_ms.to_bytes(6, "big") + tail))


def _record(id: str, message: msgsync.Incoming) -> Record:
    return Record(
        id=id,
        ms=message.sent_ms,
        sent_ms=message.sent_ms,
        author=message.author,
        text=message.text,
        order=message.order,
        kind=message.kind,
        external_id=message.external_id,
        reply_external=message.reply_external,
    )


def reacted(message: msgsync.Message) -> set[tuple[str, str]]:
    """Who put which emoji on a message."""
    return {(reaction.user, reaction.emoji) for reaction in message.reactions}


def subsets(of: Sequence[Document]) -> Iterator[tuple[Document, ...]]:
    """Every choice of some documents, none and all of them included."""
    return chain.from_iterable(combinations(of, size) for size in range(len(of) + 1))


def _everything(replica: msgsync.Replica) -> set[tuple[str, str]]:
    """Every message a replica shows, by conversation and id, those in Recently Deleted too."""
    return {
        (summary.id, str(message.id))
        for summary in replica.conversations(include_deleted=True)
        for message in replica.conversation(summary.id).messages(limit=_ALL, include_deleted=True)
    }


def _with(
    ours: ReferenceReplica, theirs: ReferenceReplica, came: Iterable[Document]
) -> ReferenceReplica:
    merged = ours.copy()
    merged.merge(theirs, came)
    return merged
