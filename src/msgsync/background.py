"""Serving, staying connected and inviting in a thread of their own, for programs that do other things meanwhile."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import anyio

from msgsync import aio
from msgsync.errors import InvalidValue
from msgsync.ids import DeviceId
from msgsync.mailbox.address import is_mailbox, open_mailbox
from msgsync.mailbox.mailbox import Mailbox
from msgsync.pairing import Invited, InviteEvent, JoinRequest
from msgsync.protocol.events import Event
from msgsync.replica.replica import Replica
from msgsync.transport import tcp
from msgsync.transport.bell import Bell
from msgsync.transport.carrier import first_of
from msgsync.transport.timing import Timing


class Background:
    """Work in an event loop in a thread of its own, until it is stopped. Stop it, or use it in a ``with`` block."""

    def __init__(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        """Begin."""
        self._name = name
        self._bell = Bell()
        self._ended: Future[None] = Future()
        # The thread does not know this object, so one that is forgotten can say so.
        run = partial(_run, work, self._bell, self._ended)
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<{self._name}, {'ended' if self._ended.done() else 'running'}>"

    def stop(self) -> None:
        """Leave peers in good order, and wait until that is done; from any thread. Stopping twice is harmless.

        Called by ``on_event``, which runs in that very thread, it does not wait.

        Raises:
            MsgSyncError: what had ended it before: see `wait`.
        """
        self._bell.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._ended.result()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, at most so many seconds; return whether it has.

        Raises:
            ReplicaClosed: it has, because the replica was closed.
            MsgSyncError: it has, because of this.
            Exception: it has, because ``on_event`` raised this (of a `Server` that ends one session alone).
        """
        wait_for([self._ended], timeout_s)
        if not self._ended.done():
            return False
        self._ended.result()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except Exception:
            if error is None:
                raise

    def __del__(self) -> None:
        ended = getattr(self, "_ended", None)
        if ended is not None and not ended.done():
            self._bell.ring()
            warnings.warn(f"{self!r} was not stopped", ResourceWarning, stacklevel=2, source=self)


class Server(Background):
    """A replica, served by a thread of its own from now on: what `msgsync.serve` does, without blocking.

    Stop it before the replica is closed: by `stop`, or by leaving its ``with`` block. One that is forgotten goes on
    until it is collected, or the program ends.

    Attributes:
        address: where it listens, with the port that was taken.
    """

    def __init__(
        self,
        replica: Replica,
        address: str = "tcp://127.0.0.1:0",
        *,
        on_event: Callable[[Event], None] | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Begin to listen; connections are accepted when this returns.

        Args:
            replica: what is served.
            address: where to listen; port 0 takes a free one.
            on_event: called in the server's thread, see `msgsync.aio.serve`. It may call `stop`.
            timing: how long to wait for what.

        Raises:
            UsageError, PeerError: the address cannot be listened on.
            ReplicaClosed: the replica is closed.
        """
        listening: Future[str] = Future()
        work = partial(
            aio.serve,
            replica,
            address,
            on_listening=listening.set_result,
            on_event=on_event,
            timing=timing or Timing(),
        )
        super().__init__(work, f"server of {replica.path.name}")
        either: list[Future[Any]] = [listening, self._ended]
        wait_for(either, return_when=FIRST_COMPLETED)
        if not listening.done():
            self._ended.result()
        self.address = listening.result()


class Watcher(Background):
    """A replica that stays connected to a peer, by a thread of its own: what `msgsync.sync` with ``watch`` does.

    Stop it before the replica is closed: by `stop`, or by leaving its ``with`` block. One that is forgotten goes on
    until it is collected, or the program ends.
    """

    def __init__(
        self,
        replica: Replica,
        peer: str | Mailbox,
        *,
        on_event: Callable[[Event], None] | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Begin to connect; whether it succeeds, events tell.

        Args:
            replica: this side.
            peer: the address where another one is served: ``tcp://HOST:PORT``; or a mailbox, or the address of one.
            on_event: called in the watcher's thread, see `msgsync.aio.sync`. It may call `stop`.
            timing: how long to wait for what.

        Raises:
            InvalidValue: it is no address.
        """
        if isinstance(peer, str) and is_mailbox(peer):
            peer = open_mailbox(peer)
        if isinstance(peer, str):
            tcp.parse_address(peer)
        elif not isinstance(peer, Mailbox):
            raise InvalidValue(
                "a watcher needs the address of a peer; in one process call sync again"
            )
        work = partial(
            aio.sync,
            replica,
            peer,
            on_event=on_event,
            watch=True,
            timing=timing or Timing(),
        )
        super().__init__(work, f"watcher of {replica.path.name}")


class Inviter(Background):
    """An invitation in a thread of its own, which any other can stop: what `Replica.invite` does, without blocking.

    It ends by itself when a device has joined, or none can any more; stop it before the replica is closed.

    Attributes:
        invited: the code to show, and where the new device finds this one.
    """

    def __init__(
        self,
        replica: Replica,
        via: str | Mailbox = "tcp://127.0.0.1:0",
        *,
        on_request: Callable[[JoinRequest], bool],
        on_event: Callable[[InviteEvent], object] | None = None,
        scanned: bool = False,
        timing: Timing | None = None,
    ) -> None:
        """Begin to invite; a device can come when this returns.

        `stop` ends it: the code is not valid any more, and whoever was about to join is not let in, whatever a person
        says then. A device that was let in before is in the account, see `Replica.devices`, even if it did not hear of
        it: it joins with another code, or is revoked.

        Args:
            replica: a device of the account.
            via: where to listen, or a mailbox, as for `msgsync.aio.invite`.
            on_request: called in a further thread; whether a device that knows the code may join.
            on_event: called in the thread of the invitation; see `msgsync.aio.invite`.
            scanned: make a code to be scanned.
            timing: how long to wait for what.

        Raises:
            UsageError, PeerError: the address cannot be listened on.
            MailboxError: the mailbox cannot be used.
            DeviceRevoked: this device was revoked.
            ReadOnly: the replica was opened for reading.
            ReplicaClosed: the replica is closed.
        """
        shown: Future[Invited] = Future()
        self._joined: Future[DeviceId] = Future()

        async def work(joined: Future[DeviceId] = self._joined) -> None:
            joined.set_result(
                await aio.invite(
                    replica,
                    via,
                    on_code=shown.set_result,
                    on_request=on_request,
                    on_event=on_event,
                    scanned=scanned,
                    timing=timing or Timing(),
                )
            )

        super().__init__(work, f"invitation of {replica.path.name}")
        either: list[Future[Any]] = [shown, self._ended]
        wait_for(either, return_when=FIRST_COMPLETED)
        if not shown.done():
            self._ended.result()
        self.invited: Final = shown.result()

    @property
    def device(self) -> DeviceId | None:
        """The device that has joined; None as long as none has."""
        return self._joined.result() if self._joined.done() else None


def _run(work: Callable[[], Awaitable[object]], bell: Bell, ended: Future[None]) -> None:
    try:
        anyio.run(_until_rung, work, bell)
    except BaseException as error:  # noqa: BLE001 - whatever it is, `stop` and `wait` raise it
        ended.set_exception(error)
    else:
        ended.set_result(None)


async def _until_rung(work: Callable[[], Awaitable[object]], bell: Bell) -> None:
    async def hear() -> None:
        await bell.heard()
        tasks.cancel_scope.cancel()

    try:
        async with bell, anyio.create_task_group() as tasks:
            tasks.start_soon(hear)
            await work()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_of(group) from None
