"""Checkpoints and garbage: how a mailbox stays small, and erased text leaves it. Sans-IO. Source: design 9.

Whichever device finds one due makes it. It puts all that it has into a log of its own, then a manifest; it reads all of
that again, and only then counts as replaced what it had read before it began. Replaced objects go a week later, so that
devices which are a little behind need not read it all again; at once if text was erased since the last one.

Two devices may do so at the same time: each deletes only what its own checkpoint holds, whatever the other does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgsync.account.head import Kind
from msgsync.account.seal import SALT_BYTES, Sealed, Sealer, log_name, object_hash
from msgsync.errors import NoSuchObject, ObjectDamaged, ObjectMissing, RotationDue, UnknownEpoch
from msgsync.protocol.batch import cut, encode_batch
from msgsync.protocol.correspondent import Checkpoint, Correspondent, Log
from msgsync.protocol.errand import Delete, Errand, Round
from msgsync.protocol.logs import name_of
from msgsync.protocol.manifest import write_manifest

_WHAT: Final = "the checkpoint"


class Checkpointer:
    """Looks after one mailbox, in one round."""

    def __init__(self, replica: Correspondent, this_round: Round) -> None:
        self._replica = replica
        self._round = this_round

    def run(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Make a checkpoint if one is due, and remove what one has replaced.

        Args:
            listed: the objects of logs that were there at the beginning of the round.
        """
        yield from self._collect(listed)
        if self._replica.checkpoint_due(listed):
            try:
                yield from self._make(listed)
            except (RotationDue, UnknownEpoch) as error:
                self._round.note(_WHAT, error)
            yield from self._collect(listed)

    def _collect(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        for folder, up_to in self._replica.garbage().items():
            for sequence in listed.get(folder, ()):
                if sequence <= up_to:
                    yield Delete(name_of(folder, sequence))

    def _make(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        roster, keyring = self._replica.account()
        epoch = roster.state.sealing_epoch()
        secret = keyring.secret(epoch)
        plan = self._replica.begin_checkpoint(listed)
        keys = self._replica.keys
        folder = log_name(secret, roster.account, keys.device_id, plan.incarnation)
        sealer = Sealer(keys, keyring, roster, plan.incarnation)
        put: list[tuple[str, bytes]] = []
        after = plan.after
        for sealed in self._sealed(sealer, plan):
            after = sealed.position
            name = name_of(folder, after.sequence)
            yield from self._round.leave(name, sealed.raw)
            put.append((name, after.hash))
        assert after is not None
        for name, expected in put:
            try:
                raw = yield from self._round.get(name)
            except NoSuchObject:
                self._round.note(name, ObjectMissing(f"{_WHAT} is not there as it was put"))
                return
            if object_hash(raw) != expected:
                self._round.note(name, ObjectDamaged(f"{_WHAT} is not there as it was put"))
                return
        log = Log(keys.device_id, plan.first, after, plan.first)
        self._replica.checkpointed(plan, folder, log, len(put))

    def _sealed(self, sealer: Sealer, plan: Checkpoint) -> Iterator[Sealed]:
        after = plan.after
        while documents := self._replica.checkpoint_batch(plan):
            for body in cut(encode_batch(documents)):
                salt = self._replica.random_bytes(SALT_BYTES)
                sealed = sealer.seal(body, Kind.BATCH, after=after, salt=salt)
                after = sealed.position
                yield sealed
        body, ends = write_manifest(plan.first, plan.covers)
        salt = self._replica.random_bytes(SALT_BYTES)
        yield sealer.seal(body, Kind.MANIFEST, after=after, salt=salt, ends=ends)
