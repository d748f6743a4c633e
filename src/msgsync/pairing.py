"""Pairing, async: a device of an account invites another one, by a code and its person's approval. On anyio.

`msgsync.aio` has both functions; `msgsync.join` and `Replica.invite` block on them. What is said in between is
`msgsync.account.pairing`, how it travels `msgsync.transport.line`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Final

import anyio
from anyio.abc import ByteStream

from msgsync import limits
from msgsync.account.code import SCANNED_BYTES, TYPED_BYTES, Code
from msgsync.account.device import Device, check_device_name
from msgsync.account.host import Host, Invitation
from msgsync.account.joiner import Joiner
from msgsync.account.pairing import (
    NONCE_BYTES,
    Added,
    Compare,
    Event,
    Failed,
    Joined,
    Paired,
    Request,
    State,
    WrongGuess,
)
from msgsync.errors import (
    ConnectionLost,
    InvalidValue,
    InvitationOver,
    JoiningDenied,
    MsgSyncError,
    NotAMember,
    UsageError,
)
from msgsync.ids import DeviceId
from msgsync.protocol.events import Stopped
from msgsync.replica.account import check_trusted
from msgsync.replica.attempt import Attempt
from msgsync.replica.replica import Replica, check_options, checked_path
from msgsync.replica.system import RealSystem, System
from msgsync.transport import tcp
from msgsync.transport.carrier import first_of
from msgsync.transport.line import Line, carry
from msgsync.transport.timing import Timing
from msgsync.visiting import while_on

_USUAL = Timing()
_VALID_S = limits.INVITATION_MS / 1000

_INVITE: Final = (
    "a code is good once, for ten minutes, and while msgsync invite waits: make another one there"
)


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation to show: whoever has the code may ask to join, within ten minutes, three guesses and once."""

    code: str = field(repr=False)
    """Three groups of four characters to type; or, to be scanned, a text that begins with ``msgsync:1:``."""
    address: str
    """Where to join: ``tcp://HOST:PORT``; empty if the invitation came with a connection."""
    expires_ms: int
    """Unix milliseconds by this device's clock."""

    def qr_svg(self) -> str:
        """The code as a picture to scan, in SVG.

        Raises:
            UsageError: the package for it is not installed: ``pip install msgsync[qr]``.
        """
        return str(self._picture().svg_inline(scale=4))

    def qr_text(self) -> str:
        """The code as a picture to scan, for a terminal.

        Raises:
            UsageError: see `qr_svg`.
        """
        import io

        drawn = io.StringIO()
        self._picture().terminal(drawn, compact=True)
        return drawn.getvalue()

    def _picture(self) -> Any:
        try:
            import segno
        except ImportError as error:
            raise UsageError("pictures need another package; pip install msgsync[qr]") from error
        return segno.make_qr(self.code)


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A device that knows the code asks to join."""

    device: DeviceId
    name: str
    platform: str
    emoji: str
    """Six, to be compared with those that the device shows; empty if the code was scanned."""


InviteEvent = WrongGuess | Stopped
"""What an invitation tells: somebody tried another code; or a connection has ended in vain, and why."""


async def invite(
    replica: Replica,
    via: str | ByteStream = "tcp://127.0.0.1:0",
    *,
    on_code: Callable[[Invited], object],
    on_request: Callable[[JoinRequest], bool],
    on_event: Callable[[InviteEvent], object] | None = None,
    scanned: bool = False,
    timing: Timing = _USUAL,
) -> DeviceId:
    """Show a code, and add the device that joins with it if the person approves.

    Two factors: who has the code but no approval learns nothing, and changes nothing; without the code nobody gets as
    far as to be approved. What either side says is encrypted by the code, so any network will do.

    Args:
        replica: a device of the account.
        via: where to listen; port 0 takes a free one. Or a stream that leads to the other device.
        on_code: called once connections are accepted, with the code to show.
        on_request: called, on a worker thread, with the device that knows the code; whether it may join. With a typed
            code its emoji have to be those that the device shows. What it raises denies, and is raised here.
        on_event: called in the event loop when somebody tried another code, or a connection ended in vain.
        scanned: make a code of 128 bits to be scanned, in place of one of 60 to be typed.
        timing: how long to wait for what.

    Returns:
        The new device. It is in the account, and has stored all that it needs.

    Raises:
        InvitationOver: nobody joined within ten minutes, or the third wrong code was tried.
        JoiningDenied: the person did not approve; the code is not valid any more.
        ConnectionLost: the device was added, and then the connection ended. It goes on if it joins again with another
            code; else revoke it.
        UsageError, PeerError: the address cannot be listened on.
        DeviceRevoked, NotAMember: this device was revoked, or the new one while it was being added.
        SyncOff: sync is switched off on this device, or was meanwhile.
        ReadOnly: the replica was opened for reading.
    """
    inviting = await _prepare(replica, on_request, on_event, scanned=scanned, timing=timing)
    try:
        async with while_on(replica):
            with anyio.move_on_after(_VALID_S):
                if isinstance(via, str):
                    await _listen(inviting, via, on_code)
                else:
                    on_code(inviting.shown(""))
                    await inviting.answer(via)
                    inviting.no_more()
    except BaseExceptionGroup as group:
        raise first_of(group) from None
    return inviting.outcome()


async def _prepare(
    replica: Replica,
    on_request: Callable[[JoinRequest], bool],
    on_event: Callable[[InviteEvent], object] | None,
    *,
    scanned: bool,
    timing: Timing,
) -> _Inviting:
    system = replica.system
    make = Code.to_scan if scanned else Code.to_type
    code = make(system.random_bytes(SCANNED_BYTES if scanned else TYPED_BYTES))

    def prepare() -> Invitation:
        check_trusted(replica)
        replica.sync.check()
        with replica.writing():
            pass  # it can be written: known before a code is shown
        replica.membership.gather()
        return Invitation(code, now_ms=system.now_ms())

    invitation = await anyio.to_thread.run_sync(prepare)
    return _Inviting(replica, invitation, on_request, on_event, timing)


async def _listen(inviting: _Inviting, address: str, on_code: Callable[[Invited], object]) -> None:
    listener, taken = await tcp.listen(address)
    async with listener:
        inviting.scope = anyio.CancelScope()
        on_code(inviting.shown(tcp.from_outside(taken)))
        with inviting.scope:
            await tcp.answer(listener, inviting.answer)


class _Inviting:
    """One invitation, and whoever connects."""

    def __init__(
        self,
        replica: Replica,
        invitation: Invitation,
        on_request: Callable[[JoinRequest], bool],
        on_event: Callable[[InviteEvent], object] | None,
        timing: Timing,
    ) -> None:
        self._replica = replica
        self._invitation = invitation
        self._on_request = on_request
        self._on_event = on_event
        self._timing = timing
        self._places = anyio.Semaphore(limits.PAIRING_CONNECTIONS)
        self._asking = anyio.Lock()
        self._knowing: set[Host] = set()
        """Connections of those who have shown to know the code, as long as they go on."""
        self._result: DeviceId | BaseException | None = None
        self._error: MsgSyncError | None = None
        self.scope: anyio.CancelScope | None = None

    def shown(self, address: str) -> Invited:
        return Invited(self._invitation.code.text(), address, self._invitation.expires_ms)

    def outcome(self) -> DeviceId:
        """The new device, or why there is none."""
        if isinstance(self._result, DeviceId):
            return self._result
        raise self._result or InvitationOver(
            "nobody joined in time; make another code, it is good for ten minutes"
        )

    def no_more(self) -> None:
        """There was one connection alone, and it has ended."""
        self._result = self._result or self._error

    async def answer(self, stream: ByteStream) -> None:
        """Carry one pairing to its end. Who connects while too many wait is sent away."""
        async with stream:
            try:
                self._places.acquire_nowait()
            except anyio.WouldBlock:
                return
            try:
                await self._pair(stream)
            finally:
                self._places.release()
        if self._result is not None and self.scope is not None:
            self.scope.cancel()

    async def _pair(self, stream: ByteStream) -> None:
        side = await anyio.to_thread.run_sync(self._host)
        added: list[DeviceId] = []

        async def react(event: Event) -> list[Event]:
            if isinstance(event, Request):
                self._knowing.add(side)
                return await self._ask(side, event)
            if isinstance(event, Added):
                await anyio.to_thread.run_sync(self._replica.membership.merge, [event.statement])
                added.append(event.device.id)
                return await anyio.to_thread.run_sync(self._stored, side)
            if isinstance(event, WrongGuess):
                self._tell(event)
            elif isinstance(event, Paired):
                [self._result] = added
            elif isinstance(event, Failed):
                self._knowing.discard(side)
                self._failed(event.error, added)
            return []

        try:
            await carry(
                side,
                Line(stream, most_bytes=limits.PAIRING_REQUEST_BYTES),
                hear=lambda frame: side.receive(frame, now_ms=self._replica.system.now_ms()),
                react=react,
                patience_s=lambda: self._timing.greeting_s,
            )
        finally:
            if added and self._result is None:  # stopped in the middle
                self._result = _unfinished(added[0])

    def _host(self) -> Host:
        return Host(
            self._invitation,
            keys=self._replica.membership.keys,
            nonce=self._replica.system.random_bytes(NONCE_BYTES),
        )

    def _stored(self, side: Host) -> list[Event]:
        return side.stored(*self._replica.membership.moment())

    async def _ask(self, side: Host, request: Request) -> list[Event]:
        """Have the person decide; one question at a time."""
        device = request.device
        asked = JoinRequest(device.id, device.name, device.platform, request.emoji)
        async with self._asking:
            if self._result is not None:
                return side.deny()
            try:
                await anyio.to_thread.run_sync(check_trusted, self._replica)
                approved = await anyio.to_thread.run_sync(self._on_request, asked)
            except Exception as error:  # noqa: BLE001 - the app's too: the device is told, then it is raised
                self._result = error
                approved = False
        if approved is not True:
            return side.deny()
        roster = await anyio.to_thread.run_sync(self._replica.membership.roster)
        return side.approve(roster, now_ms=self._replica.system.now_ms())

    def _failed(self, error: MsgSyncError, added: list[DeviceId]) -> None:
        """A connection has ended in vain: is the invitation over?"""
        if isinstance(error, NotAMember):  # this device, or the new one, was revoked meanwhile
            self._result = error
        elif added:
            self._result = _unfinished(added[0])
        elif self._result is None and self._is_over():
            denied = isinstance(error, JoiningDenied)
            self._result = (
                JoiningDenied("the device was not approved; the code is not valid any more")
                if denied
                else InvitationOver("the code is not valid any more; make another one")
            )
        self._error = error
        self._tell(Stopped(error))

    def _is_over(self) -> bool:
        is_over = self._invitation.over_for_all if self._knowing else self._invitation.over
        return is_over(self._replica.system.now_ms())

    def _tell(self, event: InviteEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)


def _unfinished(device: DeviceId) -> ConnectionLost:
    return ConnectionLost(
        f"device {device} was added, and then the connection ended; let it join again with another code, or revoke it"
    )


async def join(
    path: str | PathLike[str],
    code: str,
    via: str | ByteStream,
    *,
    author: str | None = None,
    name: str | None = None,
    on_emoji: Callable[[str], object] | None = None,
    timing: Timing = _USUAL,
    system: System | None = None,
) -> Replica:
    """Become a device of an account that a device of it invites to, and open the new replica. It fills by syncing.

    Cut off anywhere, call it again with the same path: with the same code if it was not used yet, else with another.
    The keys of the attempt lie in ``PATH.joining`` meanwhile, so that it ends with one device and not with two.

    Args:
        path: of the new replica; nothing may be there.
        code: as the other device shows it, typed or scanned.
        via: where that one listens: ``tcp://HOST:PORT``. Or a stream that leads to it.
        author: see `msgsync.open`.
        name: how the device is called when the person is asked whether to approve it; the machine's name if not given.
        on_emoji: called in the event loop with six emoji, if the code was typed: to be shown, since the person compares
            them with those on the other device.
        timing: how long to wait for what.
        system: see `msgsync.open`.

    Raises:
        WrongCode: the other device was given another code.
        InvitationOver: the code was used, is too old, or was guessed wrong three times.
        JoiningDenied: the person did not approve.
        FileExists: there is a file at the path; it is left as it is.
        InvalidValue: the code, the name or the address is none.
        ConnectionLost, PeerError: the other device is not there, went away, or is no msgsync.
        VersionMismatch: it runs another version.
        StorageError: the replica cannot be made.
    """
    check_options(author, "full")
    parsed = Code.parse(code)
    if name is not None:
        check_device_name(name)
    if isinstance(via, str):
        tcp.parse_address(via)
    world: System = RealSystem() if system is None else system
    attempt = await anyio.to_thread.run_sync(Attempt, checked_path(path), world)
    if not attempt.done:
        keys = attempt.keys
        device = Device.of(keys, name or _name(keys.device_id), sys.platform)
        joiner = await anyio.to_thread.run_sync(
            lambda: Joiner(
                parsed.secrets(),
                keys=keys,
                device=device,
                nonces=world.random_bytes(2 * NONCE_BYTES),
                typed=parsed.typed,
            )
        )
        try:
            if isinstance(via, str):
                via = await tcp.connect(via, connect_s=timing.connect_s, advice=_INVITE)
            async with via:
                await _knock(joiner, via, attempt, on_emoji, timing)
        finally:
            if attempt.is_new and not (attempt.done or joiner.agreed):
                attempt.end()  # nobody can have added it
    await anyio.to_thread.run_sync(attempt.end)
    return await anyio.to_thread.run_sync(
        lambda: Replica(attempt.path, author=author, system=system)
    )


async def _knock(
    joiner: Joiner,
    stream: ByteStream,
    attempt: Attempt,
    on_emoji: Callable[[str], object] | None,
    timing: Timing,
) -> None:
    patience_s = {State.PROPOSAL: _VALID_S, State.WELCOME: timing.silence_s}

    async def react(event: Event) -> list[Event]:
        if isinstance(event, Compare) and event.emoji and on_emoji is not None:
            on_emoji(event.emoji)
        elif isinstance(event, Joined):
            await anyio.to_thread.run_sync(attempt.become, event.roster, event.keyring.export())
            return joiner.stored()
        return []

    await carry(
        joiner,
        Line(stream, most_bytes=limits.PAIRING_FRAME_BYTES),
        hear=joiner.receive,
        react=react,
        patience_s=lambda: patience_s.get(joiner.state, timing.greeting_s),
    )
    if joiner.error is not None and not attempt.done:
        raise joiner.error


def _name(device: DeviceId) -> str:
    try:
        return check_device_name(platform.node())
    except InvalidValue:
        return str(device)
