"""Repairing a damaged replica: what is whole goes into a new file, the rest comes from a peer. Source: design 6.

The damaged file is never written. Beside it a new replica is made of what `store.salvage` finds, by the same way on
which a peer's documents come in, so that its read model, its search index and its digests are made anew. It is checked
as a whole, and only then takes the name; the damaged file is kept under another. It is a new store to its peers: what
they remember of the old one is void, so what was lost comes back with the next sync like anything that is not here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgsync import limits
from msgsync.errors import (
    Inadmissible,
    NotAReplica,
    ReplicaDamaged,
    SchemaTooNew,
    StorageError,
)
from msgsync.ids import DeviceId
from msgsync.replica import attachmentcheck, loss
from msgsync.replica.beginning import recover
from msgsync.replica.key import Key
from msgsync.replica.loss import Loss, Lost
from msgsync.replica.membership import problems
from msgsync.replica.system import System, draw_client
from msgsync.store import origins
from msgsync.store.backup import check_complete, sync, sync_folder
from msgsync.store.check import Check
from msgsync.store.credentials import Credentials, leave_locked
from msgsync.store.identity import Fresh
from msgsync.store.lock import WriterLock
from msgsync.store.places import OFF
from msgsync.store.salvage import Salvage, Saved, Whole
from msgsync.store.store import Store
from msgsync.store.trouble import storage_errors
from msgsync.store.unfinished import unfinished

if TYPE_CHECKING:
    from msgsync.protocol.events import SyncReport
    from msgsync.replica.replica import Replica

_PARTS: Final = ("-wal", "-journal")
"""What of a replica may lie beside its file."""
_BESIDE: Final = (*_PARTS, "-shm")


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did."""

    damaged: bool
    """Whether anything was wrong; if not, nothing was done."""
    problems: tuple[str, ...]
    """What a check of the damaged file said, in words."""
    documents: int
    """Documents that were saved whole."""
    from_rows: int
    """Those of them that had to be put together from rows, and have the digest they should have."""
    messages: int
    """Messages in the repaired replica, with what came from the peer."""
    lost: tuple[Lost, ...]
    """What is still missing, also after the sync with the peer if there was one, and of repairs before."""
    all_known: bool
    """Whether ``lost`` names all that is missing, as far as digests can tell."""
    kept: Path | None
    """The damaged file, which is kept; None if nothing was done."""
    new_device: DeviceId | None = None
    """Set if the keys of the device were lost: under this id it takes part as another one, and the old one should be
    retired."""
    synced: SyncReport | None = None
    """The sync with the peer."""

    @property
    def complete(self) -> bool:
        """Whether nothing was lost, or all of it came back."""
        return self.all_known and not self.lost


class Repair:
    """One repair of a file that nobody has open."""

    def __init__(
        self,
        path: Path,
        system: System,
        *,
        member: Replica | None = None,
        known: Credentials | None = None,
        key: Key | None = None,
    ) -> None:
        """Prepare.

        Args:
            path: of the file.
            system: where time and random bytes come from.
            member: another replica of the account, which knows what the file does not say of it any more.
            known: what the file said when it was opened.
            key: what its secrets are locked by, if they are; also those of the repaired file.
        """
        self._path = path.resolve()  # a link to a replica stays one
        self._system = system
        self._member, self._known = member, known
        self._key = key or Key(path, system, None)
        self._new_device: DeviceId | None = None

    def run(self) -> RepairReport:
        """Repair the file if anything is wrong with it.

        Raises:
            ReplicaLocked: somebody has it open for writing.
            NotAReplica: nothing of a replica is left in it, or nobody says whose it is; it is as it was.
            AccountMismatch, SchemaTooNew: it is as it was.
            StorageError: the new file cannot be written; the old one is as it was.
        """
        if not self._path.exists():
            raise StorageError(f"there is no replica at {self._path}; check the path")
        with closing(WriterLock(self._path)):
            found, messages, before = self._look()
            if not found:
                return RepairReport(False, (), 0, 0, messages, before.lost, before.all_known, None)
            with storage_errors(self._path):
                salvage = Salvage(self._path, self._key.cipher)
            self._key.unlock_saved(salvage.secrets)
            if self._known is not None:
                salvage.add(self._known)
            with unfinished(self._path, self._system.random_bytes(4).hex()) as part:
                whole, messages, lost = self._build(part, salvage, before)
                kept = self._swap(part)
        return RepairReport(
            damaged=True,
            problems=found,
            documents=len(whole),
            from_rows=whole.count(Whole.FROM_ROWS),
            messages=messages,
            lost=lost.lost,
            all_known=lost.all_known,
            kept=kept,
            new_device=self._new_device,
        )

    def _look(self) -> tuple[tuple[str, ...], int, Loss]:
        """What is wrong with the file, how many messages are in it, and what it knows to be lost."""
        try:
            with closing(self._store(self._path, None, readonly=True)) as store:
                check = Check(store, problems)
                check.run()
                with storage_errors(self._path):
                    # What SQLite's own check does not see: an empty page in place of an index's.
                    check.problems.extend(attachmentcheck.of_rows(store))
                    before = loss.left(store) if not check.problems else loss.remembered(store)
                    return tuple(check.problems), store.counts()[1], before
        except SchemaTooNew:
            raise
        except StorageError as error:
            return (str(error),), 0, loss.NOTHING

    def _store(self, path: Path, fresh: Fresh | None, *, readonly: bool) -> Store:
        def given() -> Fresh:
            if fresh is None:
                raise NotAReplica(f"{path} does not say whose replica it is")
            return fresh

        return Store(
            path,
            fresh=given,
            draw_client=lambda: draw_client(self._system),
            now_ms=self._system.now_ms,
            readonly=readonly,
            durability="full",
            unlock=leave_locked if readonly else self._key.again,
            encrypt=self._key.cipher,
        )

    def _build(self, part: Path, salvage: Salvage, before: Loss) -> tuple[list[Whole], int, Loss]:
        """Make a replica of what was saved.

        Return how each whole document was saved, the number of messages, and what is lost, with what was ``before``.
        """
        whole: list[Whole] = []
        fresh, is_new = recover(salvage, self._member, self._path, self._system)
        self._new_device = fresh.identity.device if is_new else None
        with closing(self._store(part, fresh, readonly=False)) as store:
            for batch in _batches(salvage.documents()):
                with store.transaction():
                    for saved in batch:
                        try:
                            _take(store, saved)
                        except Inadmissible:
                            salvage.give_up(saved)  # a peer may have it in another form
                        else:
                            if saved.whole is not Whole.IN_PART:
                                whole.append(saved.whole)
            with store.transaction():
                off = salvage.meta.get(OFF)
                if off is not None and not is_new:
                    store.places.switch(int.from_bytes(off, "big"))
                store.missing.remember_as_before(
                    salvage.peers,
                    salvage.wishes,
                    filling="filling" in salvage.meta
                    or bool(salvage.missing)
                    or not salvage.all_known,
                )
                loss.remember(
                    store,
                    {
                        (one.conversation, one.kind): one
                        for one in (*before.missing, *salvage.missing)
                    }.values(),
                    all_known=before.all_known and salvage.all_known,
                    # What was missing before is not covered by the digest of the damaged file.
                    before=salvage.root if before == loss.NOTHING else None,
                )
                loss.settle(store)
            for device, found in salvage.origins().items():
                with store.transaction():
                    origins.keep(store, device, found)
            store.leave_in_good_order()
            check = Check(store, problems)
            check.run()
            if check.problems:
                raise ReplicaDamaged(
                    f"what is left of {self._path} does not check ({check.problems[0]}); nothing was changed"
                )
            store.database.empty_log()  # closing would not say that there is no room
            return whole, store.counts()[1], loss.remembered(store)

    def _swap(self, part: Path) -> Path:
        """Give the new file the name, and keep the damaged one under another.

        There is a replica of the name at every moment: a link keeps the damaged one, the new one takes its place.
        """
        check_complete(part)
        with storage_errors(self._path):
            kept = self._free_name()
            sync(part, os.O_RDWR)
            try:
                self._keep(kept)
                part.replace(self._path)
            except BaseException:
                if part.exists():  # else it has the name, and Ctrl-C came behind that
                    self._undo(kept)
                raise
            sync_folder(self._path)
        return kept

    def _keep(self, kept: Path) -> None:
        """Give the damaged file a second name, and all that lies beside it only that one."""
        for suffix in ("", *_PARTS):
            old = _beside(self._path, suffix)
            if not suffix or (old.exists() and old.stat().st_size):
                _link(old, _beside(kept, suffix))
        sync_folder(kept)
        # What lies beside the damaged file would be taken for a part of the new one, so it goes first.
        for suffix in _BESIDE:
            _beside(self._path, suffix).unlink(missing_ok=True)

    def _undo(self, kept: Path) -> None:
        """Leave the damaged file, and what lay beside it, under its own name alone."""
        for suffix in _PARTS:
            old, copy = _beside(self._path, suffix), _beside(kept, suffix)
            if copy.exists() and not old.exists():
                copy.rename(old)
            copy.unlink(missing_ok=True)
        kept.unlink(missing_ok=True)

    def _free_name(self) -> Path:
        number = 1
        while True:
            kept = self._path.with_name(f"{self._path.name}.damaged{'' if number == 1 else number}")
            if not any(os.path.lexists(_beside(kept, suffix)) for suffix in ("", *_PARTS)):
                return kept
            number += 1


def after(report: RepairReport, replica: Replica, synced: SyncReport) -> RepairReport:
    """The report, once a peer has given what it has."""
    with replica.writing() as store:
        loss.settle(store)
        left = loss.remembered(store)
        return replace(
            report,
            lost=left.lost,
            all_known=left.all_known,
            messages=store.counts()[1],
            synced=synced,
        )


def sync_with(replica: Replica, peer: Replica | str) -> SyncReport:
    """Exchange everything with a peer, and block until that is done."""
    import anyio

    from msgsync import aio

    return anyio.run(partial(aio.sync, replica, peer))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _link(old: Path, new: Path) -> None:
    """Give a file a second name, or its content where the file system has no links (FAT). Raises OSError."""
    try:
        os.link(old, new)
    except OSError:
        with old.open("rb") as file, os.fdopen(_made(new), "wb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())


def _made(path: Path) -> int:
    """A new file that only its owner can read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)


def _take(store: Store, saved: Saved) -> None:
    """Take in what was saved of a document. Raises Inadmissible: the transaction can go on without it."""
    store.merge(saved.id, saved.parts)
    row = store.row(saved.id)
    row.lamport = max(row.lamport, saved.lamport)
    store.documents.touch(row)


def _batches(documents: Iterator[Saved]) -> Iterator[list[Saved]]:
    """Documents, about a pack of them at a time."""
    batch: list[Saved] = []
    filled = 0
    for saved in documents:
        batch.append(saved)
        filled += saved.parts.size_bytes
        if filled >= limits.PACK_BYTES:
            yield batch
            batch, filled = [], 0
    yield batch
