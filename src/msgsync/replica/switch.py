"""Whether this device syncs at all: the switch that its person has. Source: design 1.

Off means that nothing leaves this device and nothing enters. It is durable. What looks at it are the seams that rounds
and sessions reach the replica through, step by step, so nothing that is under way gets past it; and whatever waits is
told. Nothing is forgotten meanwhile, so the first sync afterwards merges as after any time apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from msgsync.errors import InvalidValue, SyncOff
from msgsync.replica import space
from msgsync.replica.listeners import Listeners

if TYPE_CHECKING:
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.protocol.events import Event
    from msgsync.replica.replica import Replica
    from msgsync.store.store import Store

Keep = Literal["everything", "what is here"]
_KEEPS: Final = ("everything", "what is here")


class Switch:
    """Turns sync of one device off and on, and forgets places: `Replica.sync`."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._listeners = Listeners()

    @property
    def enabled(self) -> bool:
        """Whether sync is on."""
        return self.off_since_ms is None

    @property
    def off_since_ms(self) -> int | None:
        """When it was switched off, Unix milliseconds; None if it is on."""
        with self._replica.reading() as store:
            return store.places.off_since_ms()

    def disable(
        self,
        *,
        keep: Keep = "what is here",
        places: Iterable[str | Mailbox] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Switch sync off on this device, until it is switched on again; other devices are as they were.

        Nothing leaves the device and nothing enters: `msgsync.sync`, `msgsync.serve`, watchers and pairing raise
        `SyncOff`, and what is under way ends in good order. Everything else goes on. Switching off what is off changes
        nothing.

        Args:
            keep: ``"what is here"`` stops at once. ``"everything"`` first syncs with all places that are known, until
                nothing is missing here that is known of, and stops only then; it blocks as long. Attachments are part
                of it unless this device has a budget for them, or they are paused.
            places: addresses and mailboxes to sync with in place of those that are known.
            on_event: called with the events of these syncs, see `msgsync.sync`.

        Raises:
            NotCaughtUp: with ``"everything"``, something is missing here, or a place that may have it cannot be
                synced with; sync stays on.
            ReadOnly: the replica was opened for reading.
            InvalidValue: ``keep`` is neither.
        """
        if keep not in _KEEPS:
            raise InvalidValue(f'keep is "everything" or "what is here", not {keep!r}')
        if keep == "everything" and self.enabled:
            self._fetch_everything(places, on_event)
        with self._replica.writing() as store:
            if store.places.off_since_ms() is None:
                store.places.switch(self._replica.system.now_ms())
        self._tell()

    def _fetch_everything(
        self,
        places: Iterable[str | Mailbox] | None,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        import anyio

        from msgsync import settling

        fetch = partial(settling.fetch_everything, self._replica, places, on_event=on_event)
        anyio.run(fetch)

    def enable(self) -> None:
        """Switch sync on. The next sync merges what happened here and elsewhere, without loss and without doubles.

        Watchers and servers that ended are to be started again.

        Raises:
            ReadOnly: the replica was opened for reading.
        """
        with self._replica.writing() as store:
            store.places.switch(None)
        self._tell()

    def forget(self, address: str) -> None:
        """Know nothing of a place any more: a mailbox that is not used now, or an address that was mistyped or is old.

        It is not in `Status.places` any more, `msgsync.doctor` does not look there, and `verify_erased` does not wait
        for it. Nothing is removed there, and nothing is lost: whoever syncs with it again knows it again. Until then
        what this device has let go of does not come from there.

        Args:
            address: as `PlaceStatus.address` has it.

        Raises:
            InvalidValue: nothing is known of it, or it is being synced with now.
            ReadOnly: the replica was opened for reading.
        """
        self._replica.places.forget(address)

    @property
    def attachments_paused(self) -> bool:
        """Whether attachments stay where they are."""
        with self._replica.reading() as store:
            return space.is_paused(store)

    def pause_attachments(self) -> None:
        """Leave attachments where they are, until `resume_attachments`, however often the replica is opened.

        Messages go on, on a metered connection for instance. Nothing of attachments is fetched, given to other devices
        or put into mailboxes by itself; what somebody on this device reads, or waits for with
        `Attachment.ensure_local`, is fetched all the same. What was asked for already may still come. What came is
        kept, and is not fetched again.

        Raises:
            ReadOnly: the replica was opened for reading.
        """
        self._pause(paused=True)

    def resume_attachments(self) -> None:
        """Have attachments follow their messages again: sessions and watchers that go on take them up at once.

        Raises:
            ReadOnly: the replica was opened for reading.
        """
        self._pause(paused=False)

    def _pause(self, *, paused: bool) -> None:
        with self._replica.writing() as store:
            space.pause(store, paused=paused)
        self._replica.fetching.ring()
        self._replica.places.tell()

    def on_switch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a callback called when it was switched, on the thread that did it; return a function that ends that."""
        return self._listeners.add(lambda _seq: callback())

    def check(self) -> None:
        """Raise SyncOff if sync is off."""
        with self._replica.reading() as store:
            check_on(store)

    def _tell(self) -> None:
        self._listeners.tell(0)
        self._replica.places.tell()


def check_on(store: Store) -> None:
    """See that sync is on; within a reading or a transaction.

    Raises:
        SyncOff: it is not.
    """
    if store.places.is_off():
        raise SyncOff(
            f"sync is switched off for {store.database.path}: nothing leaves it and nothing enters; switch it on: "
            "replica.sync.enable()"
        )
