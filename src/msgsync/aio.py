"""Syncing and pairing, async: on anyio, so under asyncio and trio alike.

`msgsync.sync`, `msgsync.serve`, `msgsync.join` and `Replica.invite` block on these.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import ByteStream

from msgsync import limits, post
from msgsync.diagnosis import doctor
from msgsync.errors import (
    AccountMismatch,
    InvalidValue,
    MsgSyncError,
    PeerError,
    ProtocolError,
    ReplicaClosed,
    SyncOff,
    VersionMismatch,
)
from msgsync.ids import DeviceId
from msgsync.joining import join
from msgsync.mailbox.address import check_place, is_mailbox, open_mailbox
from msgsync.mailbox.mailbox import Mailbox
from msgsync.pairing import invite
from msgsync.protocol.events import Connected, Disconnected, Event, Stopped, SyncReport
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.places import Visit
from msgsync.replica.replica import Replica
from msgsync.settling import caught_up
from msgsync.transport import memory, tcp
from msgsync.transport.bell import Bell
from msgsync.transport.carrier import Carrier, first_of
from msgsync.transport.channel import PASSWORD_BYTES, Channel, Trust, secure
from msgsync.transport.timing import Timing
from msgsync.visiting import OnEvent, visiting, while_on
from msgsync.waiting import ensure_local, older, progress, wait_for

__all__ = [
    "OnEvent",
    "Timing",
    "caught_up",
    "doctor",
    "ensure_local",
    "invite",
    "join",
    "older",
    "progress",
    "serve",
    "sync",
    "wait_for",
]

_USUAL = Timing()


async def sync(
    replica: Replica,
    peer: Replica | str | ByteStream | Mailbox,
    *,
    on_event: OnEvent | None = None,
    watch: bool = False,
    timing: Timing = _USUAL,
) -> SyncReport:
    """Exchange with another replica of the account until both have everything; or stay connected.

    Args:
        replica: this side.
        peer: the other replica in this process; or the address where one is served, ``tcp://HOST:PORT``; or a stream of
            whatever kind that leads to one, which is closed at the end. Or a mailbox, or the address of one
            (`msgsync.open_mailbox`): what others left there is read, and what is not there yet is put; ``complete``
            says that all of it was.
        on_event: called in the event loop with `Progress`, `FirstScreen`, then `Completed` or `Stopped`; with
            ``watch`` also `Connected` and `Disconnected`. What it raises ends the session and is raised here as it is.
        watch: stay connected until cancelled, or the replica is closed: what either side writes is sent at once, and
            a connection that is lost, or cannot be made, is tried again, for as long as it takes. An address is
            needed then.
        timing: how long to wait for what.

    Raises:
        AccountMismatch: one of the two does not know the other as a device of its account.
        NotAMember, DeviceRevoked: the other device, or this one, is not in the account any more.
        VersionMismatch, UsageError, StorageError: why it stopped. What was merged stays.
        ReplicaClosed: the replica was closed meanwhile.
        SyncOff: sync is switched off on this device, or was meanwhile; see `Replica.sync`.
        PeerError, MailboxError: the same, but with ``watch`` it is told as `Disconnected` and tried again. So is, with
            ``watch``, whatever is said before the other side has shown that it is a device of the account.
    """
    check_place(peer)
    if isinstance(peer, str) and is_mailbox(peer):
        peer = open_mailbox(peer)
    if isinstance(peer, Mailbox):
        if watch:
            await post.watch(replica, peer, on_event, timing)
        return await post.sync_by(replica, peer, on_event)
    if watch and isinstance(peer, str):
        with replica.places.watching(peer):
            async with while_on(replica):
                await _watch(replica, peer, on_event=on_event, timing=timing)
    if watch:
        raise InvalidValue("watch=True needs the address of a peer; in one process call sync again")
    if not isinstance(peer, Replica):
        async with while_on(replica):
            return await _sync_once(replica, peer, on_event, timing)
    return await anyio.to_thread.run_sync(_sync_here, replica, peer, on_event)


async def _sync_once(
    replica: Replica, peer: str | ByteStream, on_event: OnEvent | None, timing: Timing
) -> SyncReport:
    async with visiting(replica, peer if isinstance(peer, str) else "") as visit:
        channel = await _connected(replica, peer, timing)
        async with channel:
            session = await anyio.to_thread.run_sync(_session, replica, channel.peer, visit)
            await Carrier(session, channel, on_event, timing).run()
            return session.report()


async def _connected(replica: Replica, peer: str | ByteStream, timing: Timing) -> Channel:
    if isinstance(peer, str):
        tcp.parse_address(peer)  # that is wrong before anything else is
    trust = await anyio.to_thread.run_sync(_trust, replica)
    stream = await tcp.connect(peer, connect_s=timing.connect_s) if isinstance(peer, str) else peer
    return await secure(stream, trust, server=False, within_s=timing.greeting_s)


def _trust(replica: Replica) -> Trust:
    """What the device shows in channels, and whom it takes, by the roster as it is now.

    Those that were revoked, too: their sessions end before anything is exchanged, but tell them why.
    """
    roster = replica.membership.roster()
    keyring = replica.membership.keyring()
    remnants = keyring.remnants()
    latest_first = reversed(remnants.items())
    seeds = sorted(latest_first, key=lambda one: one[0] != roster.state.epoch)
    members = [one.device for one in roster.state.members.values()]
    return Trust(
        replica.membership.keys,
        [*members, *(one.device for one in roster.state.revoked.values())],
        replica.system.random_bytes(PASSWORD_BYTES),
        seeds=[remnant for _, remnant in seeds],
    )


def _session(replica: Replica, peer: DeviceId, visit: Visit, *, live: bool = False) -> Session:
    visit.device = peer.raw
    visit.place = visit.place or str(peer)
    return Session(Exchange(replica, visit), live=live, authenticated=peer)


def _sync_here(replica: Replica, peer: Replica, on_event: OnEvent | None) -> SyncReport:
    with (
        replica.places.visit(str(peer.device)) as ours,
        peer.places.visit(str(replica.device)) as theirs,
    ):
        ours.device, theirs.device = peer.device.raw, replica.device.raw
        first, second = Session(Exchange(replica, ours)), Session(Exchange(peer, theirs))
        return _exchange_here(first, second, on_event)


def _exchange_here(first: Session, second: Session, on_event: OnEvent | None) -> SyncReport:
    finished = memory.exchange(first, second, on_event=on_event)
    for session in (first, second):
        if session.error is not None:
            raise session.error
    if not finished:
        raise ProtocolError("both sides waited for each other; please report this")
    return first.report()


@asynccontextmanager
async def _listening(replica: Replica) -> AsyncIterator[set[Carrier]]:
    """A set of carriers that are told of every commit while the block runs. Raises ReplicaClosed within it."""
    carriers: set[Carrier] = set()

    async def listen(bell: Bell) -> None:
        while True:
            await bell.heard()
            _check_open(replica)
            for carrier in carriers:
                carrier.changed()

    async with Bell() as bell:
        ends = (
            replica.on_commit(lambda _seq: bell.ring()),
            replica.on_known(lambda _seq: bell.ring()),
            replica.fetching.listeners.add(lambda _seq: bell.ring()),
            replica.on_close(bell.ring),
        )
        try:
            _check_open(replica)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen, bell)
                yield carriers
                tasks.cancel_scope.cancel()
        finally:
            for end in ends:
                end()


def _check_open(replica: Replica) -> None:
    if replica.closed:
        raise ReplicaClosed(
            f"{replica.path} was closed; stop what serves it or keeps it in sync before, or open it again"
        )


async def _watch(
    replica: Replica, address: str, *, on_event: OnEvent | None, timing: Timing
) -> None:
    tcp.parse_address(address)
    attempt = 0

    def hear(event: Event) -> None:
        nonlocal attempt
        if isinstance(event, Connected):
            attempt = 0
        if on_event is not None and not isinstance(event, Stopped):
            on_event(event)

    try:
        async with _listening(replica) as carriers:
            while True:
                reason = await _stay(replica, address, carriers, hear, timing)
                chance = int.from_bytes(replica.system.random_bytes(4), "big") / 2**32
                pause_s = timing.retry_s(attempt, chance)
                attempt += 1
                if on_event is not None:
                    on_event(Disconnected(reason, pause_s))
                await anyio.sleep(pause_s)
    except BaseExceptionGroup as group:
        raise first_of(group) from None


async def _stay(
    replica: Replica, address: str, carriers: set[Carrier], on_event: OnEvent, timing: Timing
) -> str:
    """Stay connected as long as it goes; return why it ended, if it is worth another try.

    Before there is a channel anybody on the way can say anything, and in it only the device at the other end.
    """
    is_met = False
    try:
        async with visiting(replica, address) as visit:
            channel = await _connected(replica, address, timing)
            is_met = True
            async with channel:
                begin = partial(_session, replica, channel.peer, visit, live=True)
                session = await anyio.to_thread.run_sync(begin)
                await _carry(Carrier(session, channel, on_event, timing), carriers)
    except (AccountMismatch, PeerError) as error:
        if is_met and isinstance(error, AccountMismatch | VersionMismatch):
            raise
        return str(error)
    return "the peer left"


async def _carry(carrier: Carrier, carriers: set[Carrier]) -> None:
    carriers.add(carrier)
    try:
        await carrier.run()
    finally:
        carriers.discard(carrier)


async def serve(
    replica: Replica,
    address: str | ByteStream = "tcp://127.0.0.1:0",
    *,
    on_listening: Callable[[str], None] | None = None,
    on_event: OnEvent | None = None,
    timing: Timing = _USUAL,
) -> None:
    """Answer other replicas of the account until cancelled, several at once; those that stay are sent what is new.

    It ends, too, when the replica is closed.

    A session that fails is reported as `Stopped` and does not end the others. Nor does an error that ``on_event``
    raises: it ends the session that it was called for, and is shown as a `RuntimeWarning` with its cause.

    Args:
        replica: what is served.
        address: where to listen; port 0 takes a free one. Or a stream of whatever kind on which another device has
            connected: that one is answered, and the stream closed.
        on_listening: called with the address once connections are accepted.
        on_event: called in the event loop with the events of all sessions; of those that stay connected also
            `Connected` and `Disconnected`.
        timing: how long to wait for what.

    Raises:
        UsageError, PeerError: the address cannot be listened on.
        ReplicaClosed, SyncOff: the replica was closed, or sync switched off; peers were told goodbye.
    """
    try:
        if isinstance(address, str):
            await anyio.to_thread.run_sync(replica.sync.check)
            listener, taken = await tcp.listen(address)
            async with listener, while_on(replica), _listening(replica) as carriers:
                answering = _Answering(replica, carriers, on_event, timing)
                if on_listening is not None:
                    on_listening(taken)
                await tcp.answer(listener, answering.answer)
        else:
            async with while_on(replica), _listening(replica) as carriers:
                await _Answering(replica, carriers, on_event, timing).answer(address)
    except BaseExceptionGroup as group:  # of what is inside, none is more telling than the first
        raise first_of(group) from None


class _Answering:
    """What a server does with a connection."""

    def __init__(
        self, replica: Replica, carriers: set[Carrier], on_event: OnEvent | None, timing: Timing
    ) -> None:
        self._replica = replica
        self._carriers = carriers
        self._on_event = on_event
        self._timing = timing
        self._trusting: tuple[bytes, Trust] | None = None
        self._places = anyio.Semaphore(limits.UNKNOWN_CONNECTIONS)

    async def answer(self, stream: ByteStream) -> None:
        """Carry one session to its end. Who connects while too many have not shown who they are is sent away."""
        async with stream:
            try:
                reason = await self._session(stream)
                if reason is not None and self._on_event is not None:
                    self._on_event(Disconnected(reason, None))
            except (ReplicaClosed, SyncOff):
                raise  # nobody can be served any more
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                if isinstance(error, MsgSyncError):
                    what = f"a session ended: {error}"
                else:
                    what = f"a session ended because its on_event raised {error!r}"
                _warn(what, error)

    async def _session(self, stream: ByteStream) -> str | None:
        """Return why a session that stayed connected has ended; None if it did not stay."""
        session: Session | None = None
        try:
            async with visiting(self._replica, "") as visit:
                channel = await self._secured(stream)
                if channel is None:
                    return None
                begin = partial(_session, self._replica, channel.peer, visit, live=True)
                session = await anyio.to_thread.run_sync(begin)
                carrier = Carrier(session, channel, self._on_event, self._timing)
                await _carry(carrier, self._carriers)
        except MsgSyncError as error:
            if self._on_event is None or isinstance(error, ReplicaClosed | SyncOff):
                raise
            if session is not None and session.live:
                return str(error)
            if session is None or error is not session.error:
                self._on_event(Stopped(error))  # else the session has said so itself
            return None
        return "the peer left" if session.live else None

    async def _secured(self, stream: ByteStream) -> Channel | None:
        """A channel; None if there is no room for who has not shown who it is."""
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            return None
        try:
            trust = await anyio.to_thread.run_sync(self._current_trust)
            return await secure(stream, trust, server=True, within_s=self._timing.greeting_s)
        finally:
            self._places.release()

    def _current_trust(self) -> Trust:
        """Made anew when the roster, or the epochs whose secrets are here, have changed."""
        known = self._replica.membership.digest()
        if self._trusting is None or self._trusting[0] != known:
            self._trusting = known, _trust(self._replica)
        return self._trusting[1]


def _warn(what: str, cause: BaseException) -> None:
    warning = RuntimeWarning(what)
    warning.__cause__ = cause
    warnings.warn(warning, stacklevel=2)
