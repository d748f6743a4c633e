"""A world of devices, each beside its reference: whatever is done is done to both, and then both are compared.

Every verb is a method that does it to the replica, checks what can be told at once, and tells the reference. A verb
that msgsync gains is one more method here and one more rule in `msgsync.testing.machine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, pairwise

import msgsync
from msgsync import limits
from msgsync.ids import external_tail
from msgsync.testing.checks import assert_converged, assert_sound
from msgsync.testing.devices import Device, Fleet, everything, knows_erased
from msgsync.testing.expectation import assert_readable, assert_shows, shows_document
from msgsync.testing.network import SimulatedNetwork
from msgsync.testing.reference import (
    Alias,
    Document,
    Ledger,
    Record,
    ReferenceReplica,
    fold,
    standing,
)
from msgsync.testing.seed import Seeded

_ALL = 10_000
_PASSING_MS = 1_000
"""How far a device's clock moves with each thing that is done on it."""
_MOST_UNDECIDED = 5
"""Documents that may or may not have come before a line broke: every choice of them is tried."""


@dataclass
class World(Fleet):
    """Devices of one account, and all that people, carriers and networks do to them."""

    ledger: Ledger = field(default_factory=Ledger)
    """What is known about digests."""

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

    def send(
        self, at: int, name: str, text: str, *, reply_to: str | None = None, files: int = 0
    ) -> str:
        """Send a message; return its id. It sorts after everything shown that is not dated absurdly far ahead.

        ``files`` says how many attachments it has; they are empty, and have previews.
        """
        conversation = self.conversation(at, name)
        now_ms = self.devices[at].system.now_ms()
        newest = max((each.id.ms for each in conversation.messages(limit=1)), default=0)
        attached = [msgsync.Attach(b"", preview=text.encode()[:64])] * files
        sent = conversation.send(text, reply_to=reply_to, attachments=attached)
        id = str(sent.id)
        assert id not in self.ms, "an id was used twice"
        if newest <= now_ms + limits.FUTURE_MS:
            assert conversation.messages(limit=1)[0].id == sent.id, "sent, but not the newest"
        record = Record(
            id, sent.id.ms, sent.sent_ms, self.author, text, reply_to=reply_to, files=files
        )
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

    def erase_attachment(self, at: int, name: str, id: str) -> None:
        """Erase the first attachment of a message for good, and with it those that are equal; the message stays."""
        conversation = self.conversation(at, name)
        shown = conversation.message(id)
        now = conversation.erase_attachment(id, shown.attachments[0])
        reference = self.devices[at].reference
        for number, one in enumerate(now.attachments):
            assert one.state is msgsync.AttachmentState.GONE, "equal files stay"
            reference.erase_attachment(name, id, self._ms(id), number)

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
        before = everything(one.replica) | everything(other.replica)
        report = msgsync.sync(one.replica, other.replica)
        assert report.complete
        assert not report.refused
        one.reference.merge(other.reference)
        other.reference.merge(one.reference)
        for device in (one, other):
            gone = {
                (name, id)
                for name, id in before - everything(device.replica)
                if id not in device.reference.state(name).merged  # shown under another id
            }
            assert all(knows_erased(device, id) for _, id in gone), f"lost: {gone}"
        self._end_equal(first, second)
        return report

    def _end_equal(self, first: int, second: int) -> None:
        """Assert that an exchange that completed left two replicas equal, but for what one of them erased at its end.

        What has expired is erased when it is known that nobody can restore it any more: that goes round once more.
        """
        one, other = self.devices[first], self.devices[second]
        if self.compares:
            for device in (one, other):
                for name, ids in self._expired(device, device.reference).items():
                    device.reference.erase(name, {id: self._ms(id) for id in ids})
        if one.replica.digest == other.replica.digest:
            return
        assert any(
            knows_erased(device, id)
            for device, peer in ((one, other), (other, one))
            for _, id in everything(peer.replica)
            if peer.replica.message(id).deleted
        ), "completed, but the digests differ"
        self.sync(first, second)

    def _expired(self, device: Device, *references: ReferenceReplica) -> dict[str, set[str]]:
        """What a device erased by itself, by conversation: what is deleted as these know it, and erased in none."""
        expired: dict[str, set[str]] = {}
        for name in set().union(*(each.conversations() for each in references)):
            states = [each.state(name) for each in references]
            deleted = {
                id for state in states for id, shown in state.messages.items() if shown.deleted
            }
            deleted -= set().union(*(state.erased for state in states))
            if ids := {id for id in deleted if knows_erased(device, id)}:
                expired[name] = ids
        return expired

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
            self._end_equal(first, second)
            return True
        if self.compares and any(self._expired(device, *references) for device in (one, other)):
            self.sync(first, second)
        elif self.compares:
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
        everybody = [*device.reference.documents.values(), *theirs.documents.values()]
        if any(isinstance(entry, Alias) for held in everybody for entry in held.entries):
            return False  # what is shown of one month may then depend on another
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
            state = self.devices[at].reference.state(name)
            erased = self.erased | state.erased
            lost = accepted - erased - here - state.merged.keys()
            if not self.compares:  # an app's own steps may erase
                lost = {id for id in lost if not knows_erased(self.devices[at], id)}
            assert not lost, f"lost {lost}"
            assert not here & erased, f"not gone: {here & erased}"

    def texts(self, at: int, name: str) -> list[str]:
        """What a replica shows of a conversation, line by line."""
        return [message.text for message in self.conversation(at, name).messages(limit=_ALL)]


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


def _with(
    ours: ReferenceReplica, theirs: ReferenceReplica, came: Iterable[Document]
) -> ReferenceReplica:
    merged = ours.copy()
    merged.merge(theirs, came)
    return merged
