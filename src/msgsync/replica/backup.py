"""Backups of a replica in use, and replicas made of them: copied, verified, then named. Source: design 6 and 7."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from msgsync.account.recovery import RecoveryPhrase
from msgsync.errors import NotAReplica, ReplicaDamaged, SchemaTooNew, SchemaTooOld
from msgsync.replica.key import Key
from msgsync.replica.membership import problems, succeed
from msgsync.replica.system import System, draw_client
from msgsync.store.backup import Copied, copy, encrypt_copy, new_file, renew, unpack
from msgsync.store.check import Check
from msgsync.store.database import Database
from msgsync.store.encryption import Encrypt
from msgsync.store.identity import Fresh
from msgsync.store.store import Store
from msgsync.store.trouble import storage_errors

_MARK_BYTES: Final = 4
"""Two backups under one name at the same moment do not write into each other."""


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """How far a backup, or restoring one, is: after each megabyte copied, then after each document verified."""

    bytes_copied: int
    bytes_total: int
    documents_verified: int = 0
    documents_total: int | None = None
    """None while the file is being copied."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What is in a backup."""

    documents: int
    messages: int
    """Live and deleted ones."""
    file_bytes: int
    digest: str
    """Hexadecimal; that of the replica at the moment of the backup."""
    attachment_bytes_left: int = 0
    """Of attachments on this device, whose chunks are not in it: they lie in the folder beside the replica."""
    months_elsewhere: int = 0
    """Months of conversations that are not in it, as this device has let go of them."""


BackupListener: TypeAlias = Callable[[BackupProgress], object]


class Copying:
    """One copy of a replica's file, from its first page to its verification."""

    def __init__(
        self,
        source: Path,
        system: System,
        on_progress: BackupListener | None,
        encrypt: Encrypt,
    ) -> None:
        self._source = source
        self._system = system
        self._on_progress = on_progress
        self._encrypt = encrypt
        self._bytes = 0

    def new_mark(self) -> str:
        """What tells the file that is being made from others."""
        return self._system.random_bytes(_MARK_BYTES).hex()

    def copy(self, part: Path) -> None:
        """Copy a replica in use into an empty file. Raises StorageError."""
        with closing(
            Database(self._source, readonly=True, durability="full", encrypt=self._encrypt)
        ) as source:
            self._follow(copy(source, part))

    def unpack(self, part: Path) -> None:
        """Copy a backup into an empty file. Raises StorageError, ReplicaDamaged."""
        self._follow(unpack(self._source, part))

    def _follow(self, steps: Generator[Copied, None, None]) -> None:
        with closing(steps):
            for done_bytes, self._bytes in steps:
                self._tell(BackupProgress(done_bytes, self._bytes))

    def verify(self, part: Path, what_now: str) -> BackupReport:
        """Check the copy as `Replica.check` does; ``what_now`` ends the sentence that says it is damaged.

        Raises:
            ReplicaDamaged: it is not whole, so the source is not.
            NotAReplica, SchemaTooNew, SchemaTooOld: as their names say.
        """
        source = self._source
        try:
            report, found = self._look_at(part)
        except NotAReplica as error:
            raise NotAReplica(
                f"{source} is no replica and no backup; choose another file"
            ) from error
        except SchemaTooNew as error:
            raise SchemaTooNew(
                f"{source} was written by a newer msgsync; update msgsync"
            ) from error
        except SchemaTooOld as error:
            raise SchemaTooOld(
                f"{source} was written by an older msgsync; restore it with that one, "
                "then run msgsync repair with this one on the replica"
            ) from error
        except ReplicaDamaged as error:
            report, found = None, [str(error.__cause__ or error)]
        if report is None or found:
            others = f" (and {len(found) - 1:,} more)" if found[1:] else ""
            raise ReplicaDamaged(f"{source} is damaged: {found[0]}{others}; {what_now}")
        return report

    def _look_at(self, part: Path) -> tuple[BackupReport, list[str]]:
        store = Store(
            part,
            fresh=_nobody,
            draw_client=lambda: draw_client(self._system),
            now_ms=self._system.now_ms,
            readonly=True,
            durability="full",
            encrypt=self._encrypt,
        )
        with closing(store):
            with storage_errors(part):
                documents, messages = store.counts()
            check = Check(store, problems)
            steps = check.steps()
            done: int | None = 0
            while done is not None:
                with storage_errors(part):  # not around the app's callback: its errors are its own
                    done = next(steps, None)
                if done is not None:
                    self._tell(BackupProgress(self._bytes, self._bytes, done, documents))
            digest = store.root.to_bytes(16, "big").hex()
            with storage_errors(part):
                left = store.attachments.bytes_here()
                months = store.missing.count_months_elsewhere()
        size = part.stat().st_size
        return BackupReport(documents, messages, size, digest, left, months), check.problems

    def _tell(self, progress: BackupProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)


def restore_file(
    backup: Path,
    path: Path,
    *,
    system: System,
    as_new_device: bool = False,
    by: RecoveryPhrase | None = None,
    key: Key,
    on_progress: BackupListener | None,
) -> None:
    """Make the file of a replica from a backup; see `msgsync.restore`. ``by``: the phrase that adds another device."""
    copying = Copying(backup, system, on_progress, key.cipher)
    with new_file(path, copying.new_mark()) as part:
        copying.unpack(part)
        if key.encrypts:
            encrypt_copy(part, key.cipher)
        copying.verify(part, "nothing was restored; take another backup, or fill a new replica")
        now_ms = system.now_ms()
        become = None
        if as_new_device or by is not None:
            become = partial(succeed, system=system, now_ms=now_ms, phrase=by)
        renew(
            part,
            now_ms=now_ms,
            store_id=system.random_bytes(16),
            become=become,
            unlock=key,
            encrypt=key.cipher,
        )


def _nobody() -> Fresh:
    raise NotAReplica("the copy does not say whose replica it is")
