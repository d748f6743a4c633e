"""The functions of `msgsync` itself: opening, repairing and restoring a replica, joining and syncing, all blocking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Literal

from msgsync.account.device import check_device_name
from msgsync.account.recovery import RecoveryPhrase
from msgsync.errors import InvalidValue
from msgsync.replica.account import keep_confirmed
from msgsync.replica.backup import BackupListener, restore_file
from msgsync.replica.key import Key
from msgsync.replica.opened import check_options, checked_path
from msgsync.replica.progress import FillProgress
from msgsync.replica.recovery import make_of_mailbox
from msgsync.replica.repair import Repair, RepairReport, after, sync_with
from msgsync.replica.replica import Replica
from msgsync.replica.system import RealSystem, System

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.protocol.events import Event, SyncReport
    from msgsync.replica.health import Diagnosis
    from msgsync.transport.timing import Timing


def open_replica(
    path: str | PathLike[str],
    *,
    author: str | None = None,
    durability: Literal["full", "relaxed"] = "full",
    readonly: bool = False,
    passphrase: str | None = None,
    encrypted: bool = False,
    system: System | None = None,
) -> Replica:
    """Open the replica in a file, or make one: a device with keys of its own, the first of an account of its own.

    Further devices of an account are added by one that belongs to it: see `Replica.new_device`.

    Args:
        path: the SQLite file; beside it lie its write-ahead log and a lock file.
        author: who "me" is: the author of what is sent and the user of reactions, unless said otherwise.
        durability: "full" survives a power failure after each call; "relaxed" may lose the last moments then.
        readonly: open an existing file beside its writer; verbs that write raise `ReadOnly`.
        passphrase: what the keys in the file are under; of a new file, what they will be under. See
            `Replica.set_passphrase`. Without it, a file whose keys are under one can be opened for reading alone.
        encrypted: whether a new file is encrypted as a whole, under the passphrase: `msgsync[encrypted]`. One that is
            encrypted is opened as such without it, and by the passphrase alone; with it, one that is not is refused.
        system: where time and random bytes come from, and what the file lies on; this machine if not given. For
            tests: see `msgsync.testing`.

    Raises:
        ReplicaLocked: another process, or this one, has it open for writing.
        NotAReplica, SchemaTooNew, SchemaTooOld, ReplicaDamaged, StorageError: the file cannot be used; it is untouched.
        PassphraseNeeded, WrongPassphrase: its keys, or all of it, are under another one.
        EncryptionMissing: it is encrypted, or is to be, and the SQLite that is installed cannot do that.
        InvalidValue: it is to be encrypted, and there is no passphrase; or it is there, and is not encrypted.
    """
    return Replica(
        path,
        author=author,
        durability=durability,
        readonly=readonly,
        passphrase=passphrase,
        encrypted=encrypted,
        system=system,
    )


def repair(
    path: str | PathLike[str],
    peer: Replica | str | None = None,
    *,
    passphrase: str | None = None,
    system: System | None = None,
) -> RepairReport:
    """Make a damaged replica whole that nobody has open, even if it cannot be opened; see `Replica.repair`.

    Args:
        path: of the replica.
        peer: another replica of the account in this process, or the address where one is served. One in this process
            also makes it a device again if the file has lost its keys: a new one, with another id, which ``peer``
            adds to the account.
        passphrase: what the keys in the file, or all of it, are under, if they are.
        system: see `msgsync.open`.

    Raises:
        ReplicaLocked: somebody has it open for writing.
        NotAReplica: nothing of a replica is left in it, or it does not say whose it is; it is as it was.
        AccountMismatch: it belongs to another account; it is as it was.
        StorageError: the new file cannot be written; the old one is as it was.
        PeerError: the sync failed; the repair itself is done.
    """
    file, own = checked_path(path), RealSystem() if system is None else system
    work = Repair(
        file,
        own,
        member=peer if isinstance(peer, Replica) else None,
        key=Key(file, own, passphrase),
    )
    report = work.run()
    if peer is None:
        return report
    with Replica(path, passphrase=passphrase, system=system) as replica:
        synced = sync_with(replica, peer)
        return after(report, replica, synced)


def restore(  # noqa: PLR0913  one for each thing that may be said
    backup: str | PathLike[str],
    path: str | PathLike[str],
    *,
    author: str | None = None,
    as_new_device: bool = False,
    passphrase: str | None = None,
    encrypted: bool = False,
    durability: Literal["full", "relaxed"] = "full",
    system: System | None = None,
    on_progress: BackupListener | None = None,
) -> Replica:
    """Make a replica of a backup, and open it. It takes part in syncs at once, however old the backup is.

    What only the backup had comes back on all devices; what was erased meanwhile disappears again with the first sync
    that tells of it. What others remembered of the file that was backed up does not count for this one, nor do cursors
    of its change feed (`StaleCursor`). What lies in Recently Deleted is kept for its whole retention time again.

    By default it is the same device: for a file that was lost or damaged. If the original still lives, or several
    replicas are made of one backup, say ``as_new_device=True``: two files of one device merge without loss, but are
    listed and waited for as one.

    Args:
        backup: a file that `Replica.backup` wrote, or a copy of a replica that was closed. It is left as it is.
        path: of the replica; nothing may be there.
        author: see `msgsync.open`, as are ``durability`` and ``system``.
        as_new_device: whether to be another device of the account, which the one that was backed up adds.
        passphrase: what the backup is under, or the keys in it, if they are; the replica, or its keys, then are, too.
        encrypted: whether the replica is encrypted as a whole, under the passphrase, also if the backup is not.
        durability: of what is written from now on.
        system: where time and random bytes come from.
        on_progress: called after each megabyte copied and each document verified, in this thread; what it raises ends
            it, and no file stays.

    Raises:
        FileExists: there is a file at the path; it is left as it is.
        ReplicaDamaged: the backup is not as it was when it was made.
        PassphraseNeeded, WrongPassphrase: its keys are under a passphrase, and not this one.
        NotAReplica, SchemaTooNew, SchemaTooOld, StorageError: it cannot be used, or the file not be written.
    """
    check_options(author, durability)
    own = RealSystem() if system is None else system
    restore_file(
        checked_path(backup),
        checked_path(path),
        system=own,
        as_new_device=as_new_device,
        key=Key(checked_path(backup), own, passphrase, encrypted=encrypted),
        on_progress=on_progress,
    )
    return Replica(path, author=author, durability=durability, passphrase=passphrase, system=system)


def recover(  # noqa: PLR0913  one for each thing that may be said
    path: str | PathLike[str],
    phrase: str,
    *,
    via: str | Mailbox | None = None,
    backup: str | PathLike[str] | None = None,
    author: str | None = None,
    name: str | None = None,
    passphrase: str | None = None,
    encrypted: bool = False,
    system: System | None = None,
    on_progress: BackupListener | None = None,
) -> Replica:
    """Make a new device with the recovery phrase, and open it: when all others are gone.

    Of a mailbox, it is an empty replica that fills by syncing through that mailbox, which also tells others of it. Of a
    backup, it has what the backup had. Either way it is the phrase that adds the device, so it stays when all others
    are revoked, and the phrase counts as confirmed.

    Revoke all devices that are lost with `Replica.revoke`; of a backup, also those that were revoked after it was made:
    it does not know of that, and they are in the account here until it syncs. A mailbox that somebody put back to an
    older state shows an older account in the same way. Last, make another phrase with
    `Replica.replace_recovery_phrase` and confirm it.

    Args:
        path: of the replica; nothing may be there.
        phrase: the 24 words; case and spaces do not matter, four letters of a word are enough.
        via: a mailbox that devices of the account have synced by, or its address (`msgsync.open_mailbox`).
        backup: in place of that: as for `restore`, of any device of the account.
        author: see `msgsync.open`, as is ``system``.
        name: how the device is called on all devices, if that is said now; see `Replica.rename_device`.
        passphrase: what the backup is under, or the keys in it, if they are; the replica, or its keys, then are, too.
            Of a mailbox: what they will be under.
        encrypted: whether the replica is encrypted as a whole, under the passphrase.
        system: where time and random bytes come from.
        on_progress: of a backup; see `restore`.

    Raises:
        InvalidValue: the name or the address is none, or it is not one of mailbox and backup.
        WrongPhrase: these are not the words of a phrase, or not those of the account when the backup was made; or the
            phrase was replaced, or the mailbox has nothing for it.
        ObjectDamaged: what the mailbox has for this phrase is not as it was put.
        MailboxError: the mailbox cannot be used, or nothing of an account is there.
        FileExists, ReplicaDamaged, NotAReplica, SchemaTooNew, StorageError, PassphraseNeeded, WrongPassphrase: see
            `restore`.
    """
    if (via is None) == (backup is None):
        raise InvalidValue("recover takes a mailbox, via=, or a backup, backup=: one of both")
    words = RecoveryPhrase.parse(phrase)
    check_options(author, "full")
    if name is not None:
        check_device_name(name)
    own = RealSystem() if system is None else system
    if backup is not None:
        restore_file(
            checked_path(backup),
            checked_path(path),
            system=own,
            by=words,
            key=Key(checked_path(backup), own, passphrase, encrypted=encrypted),
            on_progress=on_progress,
        )
    elif via is not None:
        from msgsync.mailbox.address import open_mailbox

        mailbox = open_mailbox(via) if isinstance(via, str) else via
        key = Key(checked_path(path), own, passphrase, encrypted=encrypted)
        make_of_mailbox(mailbox, checked_path(path), words, system=own, key=key)
    replica = Replica(path, author=author, passphrase=passphrase, system=system)
    keep_confirmed(replica, words)
    if name is not None:
        replica.rename_device(name)
    return replica


def join(  # noqa: PLR0913  one for each thing that may be said
    path: str | PathLike[str],
    code: str,
    via: str | Mailbox,
    *,
    author: str | None = None,
    name: str | None = None,
    passphrase: str | None = None,
    encrypted: bool = False,
    on_emoji: Callable[[str], object] | None = None,
    timing: Timing | None = None,
    system: System | None = None,
) -> Replica:
    """Become a device of an account that another device invites to, and block until that is done.

    See `msgsync.aio.join`; ``on_emoji`` is called in this thread.
    """
    import anyio

    from msgsync import aio

    return anyio.run(
        partial(
            aio.join,
            path,
            code,
            via,
            author=author,
            name=name,
            passphrase=passphrase,
            encrypted=encrypted,
            on_emoji=on_emoji,
            timing=timing or aio.Timing(),
            system=system,
        )
    )


def sync(
    replica: Replica,
    peer: Replica | str | Mailbox,
    *,
    on_event: Callable[[Event], None] | None = None,
    watch: bool = False,
    timing: Timing | None = None,
) -> SyncReport:
    """Exchange with another replica, or by a mailbox, and block until that is done; see `msgsync.aio.sync`.

    With ``watch`` stay connected, and block until interrupted, or until the replica is closed, which raises
    `ReplicaClosed`. To do something else meanwhile, or to stop it from another thread, use `msgsync.Watcher`.
    """
    import anyio

    from msgsync import aio

    return anyio.run(
        partial(
            aio.sync,
            replica,
            peer,
            on_event=on_event,
            watch=watch,
            timing=timing or aio.Timing(),
        )
    )


def doctor(
    replica: Replica,
    places: Iterable[str | Mailbox] | None = None,
    *,
    on_event: Callable[[Event], None] | None = None,
    timing: Timing | None = None,
) -> Diagnosis:
    """Run all checks that tell why something does not sync, and block until that is done.

    Of the device: its file, room, keys, account, switch, clock, version, and the other devices. Of each place: whether
    it answers, whose objects lie there, a round trip of a probe, the clock, and a sync, if nothing speaks against it.
    See `msgsync.aio.doctor`, which also says what is raised.
    """
    import anyio

    from msgsync import aio

    call = partial(aio.doctor, replica, places, on_event=on_event, timing=timing or aio.Timing())
    return anyio.run(call)


def progress(replica: Replica) -> Iterator[FillProgress]:
    """How far a new device is in filling itself: now, then whenever that has changed, until all is here.

    It blocks in between; something else, such as a `msgsync.Watcher`, has to exchange meanwhile.

    Raises:
        ReplicaClosed: the replica was closed meanwhile.
    """
    changed = threading.Event()
    ends = replica.on_progress(changed.set), replica.on_close(changed.set)
    try:
        last: FillProgress | None = None
        while last is None or not last.done:
            changed.clear()
            now = replica.progress
            if now != last:
                last = now
                yield now
            if not now.done:
                changed.wait()
    finally:
        for end in ends:
            end()


def serve(
    replica: Replica,
    address: str = "tcp://127.0.0.1:0",
    *,
    on_listening: Callable[[str], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    timing: Timing | None = None,
) -> None:
    """Answer exchanges, and block until interrupted; see `msgsync.aio.serve`.

    Closing the replica ends it, too, with `ReplicaClosed`. To do something else meanwhile, or to stop it from another
    thread, use `msgsync.Server`.
    """
    import anyio

    from msgsync import aio

    call = partial(
        aio.serve,
        replica,
        address,
        on_listening=on_listening,
        on_event=on_event,
        timing=timing or aio.Timing(),
    )
    anyio.run(call)
