"""Checkpoints and garbage: how a mailbox stays small, and erased text leaves it. Sans-IO. Source: design 9.

Whichever device finds one due makes it. It puts all that it has into a log of its own, then a manifest; it reads all of
that again, and only then counts as replaced what it had read before it began. Replaced objects go a week later, so that
devices which are a little behind need not read it all again; at once if text was erased since the last one. Logs that
are refused, because their devices were revoked before anybody read them, go after a week as well.

Two devices may do so at the same time: each deletes only what its own checkpoint holds, whatever the other does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgsync import limits
from msgsync.account.head import Kind, LogEnd
from msgsync.account.seal import (
    SALT_BYTES,
    Sealed,
    Sealer,
    checkpoint_name,
    object_hash,
)
from msgsync.document.schema import DocumentId
from msgsync.errors import (
    AccountError,
    MailboxDamaged,
    NoSuchObject,
    ObjectDamaged,
    ObjectMissing,
    RotationDue,
    UnknownEpoch,
)
from msgsync.protocol.batch import cut, encode_batch
from msgsync.protocol.correspondent import Checkpoint, Correspondent, Log
from msgsync.protocol.errand import Delete, Errand, Round
from msgsync.protocol.index import write_index
from msgsync.protocol.manifest import Contents, read_manifest, write_manifest
from msgsync.protocol.objects import Objects, name_of

_WHAT: Final = "the checkpoint"


class Checkpointer:
    """Looks after one mailbox, in one round."""

    def __init__(self, replica: Correspondent, this_round: Round, objects: Objects) -> None:
        self._replica = replica
        self._round = this_round
        self._objects = objects

    def run(self, listed: Mapping[str, Sequence[int]]) -> Errand[bool]:
        """Make a checkpoint if one is due, and remove what one has replaced; return whether one was made.

        Args:
            listed: the objects of logs that were there at the beginning of the round.
        """
        self._replica.saw(listed)
        listed = yield from self._collect(listed)
        if self._replica.checkpoint_due(listed):
            made = yield from self._try_to_make(listed)
            yield from self._collect(listed)
            return made
        return False

    def begin(self, listed: Mapping[str, Sequence[int]]) -> Errand[None]:
        """Put a long history into an empty mailbox as a checkpoint, for whoever reads all of it."""
        if not listed and self._replica.floods():
            yield from self._try_to_make(listed)

    def remove(self, listed: Mapping[str, Sequence[int]], folders: Collection[str]) -> Errand[None]:
        """Remove logs that nobody takes anything from: they would lie there for ever, and under an old epoch."""
        for folder in sorted(folders):
            for sequence in listed.get(folder, ()):
                yield Delete(name_of(folder, sequence))

    def _try_to_make(self, listed: Mapping[str, Sequence[int]]) -> Errand[bool]:
        try:
            return (yield from self._make(listed))
        except (RotationDue, UnknownEpoch) as error:
            self._round.note(_WHAT, error)
            return False

    def _collect(self, listed: Mapping[str, Sequence[int]]) -> Errand[Mapping[str, Sequence[int]]]:
        """Remove what was replaced; return what is left of the listing."""
        left = dict(listed)
        for folder, up_to in self._replica.garbage().items():
            for sequence in listed.get(folder, ()):
                if sequence <= up_to:
                    yield Delete(name_of(folder, sequence))
            if folder in left:
                left[folder] = [one for one in left[folder] if one > up_to]
        return left

    def _make(self, listed: Mapping[str, Sequence[int]]) -> Errand[bool]:
        roster, keyring = self._replica.account()
        epoch = roster.state.sealing_epoch()
        secret = keyring.secret(epoch)
        plan = self._replica.begin_checkpoint(listed)
        plan.holes = yield from self._holes(plan, listed)
        keys = self._replica.keys
        folder = checkpoint_name(secret, roster.account, keys.device_id, plan.incarnation)
        sealer = Sealer(keys, keyring, roster, plan.incarnation)
        put: list[tuple[str, bytes]] = []
        after = plan.after
        for sealed in self._sealed(sealer, plan):
            after = sealed.position
            name = name_of(folder, after.sequence)
            yield from self._round.leave(name, sealed.raw)
            put.append((name, after.hash))
        assert after is not None
        for name, expected in put if plan.covers else ():  # it takes the place of something
            try:
                raw = yield from self._round.get(name)
            except NoSuchObject:
                self._round.note(name, ObjectMissing(f"{_WHAT} is not there as it was put"))
                return False
            if object_hash(raw) != expected:
                self._round.note(name, ObjectDamaged(f"{_WHAT} is not there as it was put"))
                return False
        log = Log(keys.device_id, plan.first, after, plan.first)
        self._replica.checkpointed(plan, folder, log, len(put))
        return True

    def _holes(
        self, plan: Checkpoint, listed: Mapping[str, Sequence[int]]
    ) -> Errand[tuple[str, ...]]:
        """The logs of which something may be missing in what is put, though they are covered.

        Of some of them the checkpoint before says so, and whoever has all of such a log need not have read that one.
        """
        found, sequences = {*plan.holes}, listed.get(plan.before)
        if sequences and plan.before in plan.covers:
            with suppress(AccountError, NoSuchObject, MailboxDamaged):  # nobody else can read it
                opened = yield from self._objects.look_at(plan.before, sequences[-1])
                if opened.head.kind == Kind.MANIFEST:
                    found.update(read_manifest(opened.head, opened.body).holes)
        return tuple(sorted(found.intersection(plan.covers)))

    def _sealed(self, sealer: Sealer, plan: Checkpoint) -> Iterator[Sealed]:
        after, newest = plan.after, list[int]()

        def seal(body: bytes, kind: Kind, ends: Sequence[LogEnd] = ()) -> Sealed:
            nonlocal after
            salt = self._replica.random_bytes(SALT_BYTES)
            sealed = sealer.seal(body, kind, after=after, salt=salt, ends=ends)
            after = sealed.position
            return sealed

        if screen := self._replica.screen():
            yield seal(encode_batch(screen, plan.first), Kind.SCREEN)
        places: list[tuple[DocumentId, int]] = []
        for keys in (plan.newest, plan.older):
            places.clear()
            while documents := self._replica.checkpoint_batch(plan, keys):
                begins = plan.first if after is None else after.sequence + 1
                places += [(document, begins) for document, _ in documents]
                is_last = not (plan.newest or plan.older)
                tidings = self._replica.say(anyway=True) if is_last else b""
                for body in cut(encode_batch(documents, plan.first, tidings)):
                    yield seal(body, Kind.BATCH)
            newest.append(plan.first - 1 if after is None else after.sequence)
        index = 0
        written = write_index(plan.first, places)
        if (
            places and len(written) <= limits.BATCH_PIECE_BYTES
        ):  # else months come in their turn alone
            index = newest[-1] + 1
            yield seal(written, Kind.INDEX)
        counts = plan.documents, plan.messages, plan.bytes
        contents = Contents(plan.adds, newest[0], *counts, index)
        body, ends = write_manifest(plan.first, plan.covers, contents, plan.holes)
        yield seal(body, Kind.MANIFEST, ends)
