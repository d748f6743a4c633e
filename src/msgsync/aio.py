"""Syncing, async: on anyio, so under asyncio and trio alike. `msgsync.sync` and `msgsync.serve` block on these."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import anyio
from anyio.abc import SocketStream

from msgsync.errors import MsgSyncError, ProtocolError
from msgsync.protocol.events import Event, Stopped, SyncReport
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.replica import Replica
from msgsync.transport import memory, tcp

OnEvent = Callable[[Event], None]


async def sync(
    replica: Replica,
    peer: Replica | str,
    *,
    insecure: bool = False,
    on_event: OnEvent | None = None,
) -> SyncReport:
    """Exchange with another replica of the account, once, until both have everything.

    Args:
        replica: this side.
        peer: the other replica in this process, or the address where one is served: ``tcp://HOST:PORT``.
        insecure: allow an address beyond this machine although sessions are not encrypted yet.
        on_event: called with `Progress`, then `Completed` or `Stopped`.

    Raises:
        AccountMismatch, PeerError, UsageError, StorageError: why it stopped. What was merged stays; sync again to
            go on from there.
    """
    if isinstance(peer, str):
        stream = await tcp.connect(peer, insecure=insecure)
        async with stream:
            session = await anyio.to_thread.run_sync(_session, replica)
            await tcp.run_session(session, stream, on_event)
            return session.report()
    return await anyio.to_thread.run_sync(_sync_here, replica, peer, on_event)


def _session(replica: Replica) -> Session:
    return Session(Exchange(replica))


def _sync_here(replica: Replica, peer: Replica, on_event: OnEvent | None) -> SyncReport:
    first, second = _session(replica), _session(peer)
    finished = memory.exchange(first, second, on_event=on_event)
    for session in (first, second):
        if session.error is not None:
            raise session.error
    if not finished:
        raise ProtocolError("both sides waited for each other; please report this")
    return first.report()


async def serve(
    replica: Replica,
    address: str = "tcp://127.0.0.1:0",
    *,
    insecure: bool = False,
    on_listening: Callable[[str], None] | None = None,
    on_event: OnEvent | None = None,
) -> None:
    """Answer exchanges with other replicas of the account until cancelled; several at once.

    A session that fails is reported as `Stopped` and does not end the others.

    Args:
        replica: what is served.
        address: where to listen; port 0 takes a free one.
        insecure: allow an address beyond this machine although sessions are not encrypted yet.
        on_listening: called with the address once connections are accepted.
        on_event: called with the events of all sessions.

    Raises:
        UsageError, PeerError: the address cannot be listened on.
    """
    listener, taken = await tcp.listen(address, insecure=insecure)

    async def answer(stream: SocketStream) -> None:
        async with stream:
            session: Session | None = None
            try:
                session = await anyio.to_thread.run_sync(_session, replica)
                await tcp.run_session(session, stream, on_event)
            except MsgSyncError as error:
                if on_event is None:
                    warnings.warn(f"a session ended: {error}", RuntimeWarning, stacklevel=1)
                elif (
                    session is None or error is not session.error
                ):  # that one the session has reported itself
                    on_event(Stopped(error))

    async with listener:
        if on_listening is not None:
            on_listening(taken)
        await listener.serve(answer)
