"""The verbs of a replica about the other devices: what each has, and who is waited for. Source: design 9 and 12."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from msgsync.ids import DeviceId
from msgsync.replica import (
    account,
    devices,
)
from msgsync.replica.devices import DeviceSummary
from msgsync.replica.leaving import Departure, leave
from msgsync.replica.listeners import OnCommit
from msgsync.replica.opened import Opened
from msgsync.replica.progress import FillProgress
from msgsync.replica.removal import Removal, safe_to_remove
from msgsync.replica.values import (
    AnyId,
)
from msgsync.replica.whereabouts import Whereabouts, wait_for, where_is

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.protocol.events import Event


class Company(Opened):
    """`Replica` has these verbs, and those about what is in it."""

    def devices(self) -> list[DeviceSummary]:
        """The devices that this one knows of, itself first, and how far behind each is known to be.

        Devices learn of each other, and of what each has, in exchanges: of one that they never meet through others.
        """
        return devices.summaries(self._replica)

    def rename_device(self, name: str, *, device: DeviceId | str | None = None) -> None:
        """Call a device, this one unless said otherwise, something else, on all devices.

        Raises:
            UnknownDevice: it is not in the account, as far as is known here.
            InvalidValue: the name has no 1 to 128 bytes, or none that can be shown.
        """
        account.rename(self._replica, name, device)

    def where_is(self, message: AnyId) -> Whereabouts:
        """Which devices are known to have a message as it is here, or to have erased it.

        Never claims too much: a device counts only once an exchange showed that it has the message, which was told
        by the device or by others that it exchanged with. It is no claim about what was done there since, nor about a
        replica that was lost or put back from a backup, until that is heard of here.

        Raises:
            UnknownMessage: it is not here, and was not erased here either.
        """
        return where_is(self._replica, message)

    def wait_for(
        self, message: AnyId, *, devices: int = 1, timeout: float | None = None
    ) -> Whereabouts:
        """Block until a message is known to be on so many devices besides this one.

        Something else has to exchange meanwhile: `serve`, or `sync` with ``watch``, in another thread or process.
        `msgsync.aio.wait_for` is the async form.

        Args:
            message: which one.
            devices: how many, from 1 on.
            timeout: how long to wait, in seconds; None for ever.

        Raises:
            NotThereYet: it was not within that time.
            UnknownMessage, ErasedMessage: it is not here, or not any more.
            DeviceRevoked: this device was revoked, so that it goes nowhere from here.
            ReplicaClosed: this replica was closed meanwhile. ReadOnly: it cannot hear of it.
        """
        return wait_for(self._replica, message, devices=devices, timeout=timeout)

    def safe_to_remove(self, device: DeviceId | str) -> Removal:
        """Whether a device can be wiped: whether all that it is known to have is on another that is not retired.

        Best asked on the device itself, which knows what it has; of another one only what was heard of it is known, as
        of `Removal.as_of_ms`.

        Raises:
            UnknownDevice: it is not known here.
        """
        return safe_to_remove(self._replica, device)

    def retire(self, device: DeviceId | str) -> None:
        """Say on all devices that nothing should wait for a device any more: it is lost, or will not be used.

        It may return: once it takes part in an exchange again it is not retired any more.

        Raises:
            UnknownDevice: it is not known here. InvalidValue: it is this one.
        """
        devices.retire(self._replica, device)

    def leave(
        self,
        *,
        wipe: bool,
        even_if_only_copy: bool = False,
        places: Iterable[str | Mailbox] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Departure:
        """Take this device out of its account: for one that is given away, or not used any more.

        First it syncs with all places that are known, so that others have what it has. Then it says to them that it
        leaves: nothing waits for it any more, and `devices` shows it on all of them. Last the file is wiped, or kept to
        be read: as that of a device that was revoked, it takes part in nothing any more. Blocks until that is done;
        where nobody is reached nobody is told, and that is returned.

        Another device should revoke this one afterwards: a device's word for its own revocation counts for nobody
        else, and until then others go on sealing keys for it.

        Args:
            wipe: whether to delete the file, with its keys, see `wipe`.
            even_if_only_copy: do it even if something is not known to be on any other device.
            places: addresses and mailboxes in place of those that are known.
            on_event: called with the events of the syncs, see `msgsync.sync`.

        Raises:
            OnlyCopy: it may be the only one that has something: sync it first. Nothing was said to anybody.
            SyncOff: sync is switched off; switch it on, so that others can be told.
            DeviceRevoked: it was revoked: it is out of the account. Keep the file, or `wipe` it.
            ReadOnly: the replica was opened for reading.
            StorageError: a file cannot be deleted; others were told.
        """
        return leave(
            self._replica,
            wipe=wipe,
            even_if_only_copy=even_if_only_copy,
            places=places,
            on_event=on_event,
        )

    def caught_up(self, *, timeout: float | None = None) -> None:
        """Block until nothing waits in either direction at the places that this process keeps in sync.

        See `msgsync.aio.caught_up`, which also says what is raised. Something else has to sync meanwhile: a `Watcher`,
        or `serve`.
        """
        import anyio

        from msgsync import aio

        anyio.run(partial(aio.caught_up, self._replica, within_s=timeout))

    def on_known(self, callback: OnCommit) -> Callable[[], None]:
        """Have a callback called whenever something new is known of devices, with the number of the last commit.

        As `on_commit`, on the thread that learned it, when the lock is free again.

        Returns:
            A function that ends the calls.
        """
        return self.watch.add(callback)

    @property
    def progress(self) -> FillProgress:
        """How far this device is in filling itself from others, over all openings; see `msgsync.progress`."""
        alone = len(self.membership.roster().state.members) == 1
        with self.reading() as store:
            return self.gauge.read(store, alone=alone)

    def on_progress(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called whenever `progress` may have changed because something came in.

        As `on_commit`, on the thread that took it in, when the lock is free again.

        Returns:
            A function that ends the calls.
        """
        return self.gauge.on_progress(callback)
