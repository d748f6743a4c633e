"""Inviting, async: a device of an account invites another one, by a code and its person's approval. On anyio.

`msgsync.aio.invite`; `Replica.invite` blocks on it. The other side is `msgsync.joining`. What is said in between is
`msgsync.account.handshake`, how it travels `msgsync.transport.line` and `msgsync.rendezvous`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteStream

from msgsync import limits
from msgsync.account.code import SCANNED_BYTES, TYPED_BYTES, Code
from msgsync.account.handshake import (
    NONCE_BYTES,
    Added,
    Event,
    Failed,
    Paired,
    Request,
    WrongGuess,
)
from msgsync.account.host import Host, Invitation
from msgsync.errors import (
    ConnectionLost,
    InvitationOver,
    JoiningDenied,
    MsgSyncError,
    NotAMember,
    UsageError,
)
from msgsync.ids import DeviceId
from msgsync.mailbox.address import is_mailbox, open_mailbox
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.events import Stopped
from msgsync.rendezvous import Meeting
from msgsync.replica.account import check_trusted
from msgsync.replica.replica import Replica
from msgsync.transport import tcp
from msgsync.transport.carrier import first_of
from msgsync.transport.line import Frames, Line, carry
from msgsync.transport.timing import Timing
from msgsync.visiting import while_on

_USUAL = Timing()
_VALID_S = limits.INVITATION_MS / 1000


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation to show: whoever has the code may ask to join, within ten minutes, three guesses and once."""

    code: str = field(repr=False)
    """Three groups of four characters to type; or, to be scanned, a text that begins with ``msgsync:1:``."""
    address: str
    """Where to join: ``tcp://HOST:PORT``, or the mailbox as this device finds it; empty if the invitation came with a
    connection."""
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
    via: str | ByteStream | Mailbox = "tcp://127.0.0.1:0",
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
        via: where to listen; port 0 takes a free one. Or a stream that leads to the other device; or a mailbox, or the
            address of one (`msgsync.open_mailbox`), where both leave objects for each other.
        on_code: called once connections are accepted, or the mailbox says that somebody invites; with the code to show.
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
        MailboxError: the mailbox cannot be used.
        DeviceRevoked, NotAMember: this device was revoked, or the new one while it was being added.
        SyncOff: sync is switched off on this device, or was meanwhile.
        ReadOnly: the replica was opened for reading.
    """
    inviting = await _prepare(replica, on_request, on_event, scanned=scanned, timing=timing)
    if isinstance(via, str) and is_mailbox(via):
        via = open_mailbox(via)
    try:
        async with while_on(replica):
            with anyio.move_on_after(_VALID_S) as inviting.limit:
                if isinstance(via, str):
                    await _listen(inviting, via, on_code)
                elif isinstance(via, Mailbox):
                    await _wait_at(inviting, via, on_code)
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


async def _wait_at(
    inviting: _Inviting, mailbox: Mailbox, on_code: Callable[[Invited], object]
) -> None:
    meeting = inviting.meeting(mailbox)
    await meeting.announce()
    on_code(inviting.shown(mailbox.address))
    with anyio.CancelScope() as inviting.scope:
        await meeting.answer(inviting.attend_by_objects)


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
        self._adding = False
        """Whether a device was added: what becomes of that is what becomes of the invitation."""
        self._result: DeviceId | BaseException | None = None
        self._error: MsgSyncError | None = None
        self.scope: anyio.CancelScope | None = None
        self.limit: anyio.CancelScope | None = None
        """Ends the invitation in time."""

    def meeting(self, mailbox: Mailbox) -> Meeting:
        return Meeting(mailbox, self._replica.system, until_ms=self._invitation.expires_ms)

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
            line = Line(stream, most_bytes=limits.PAIRING_REQUEST_BYTES)
            await self._attend(line, self._timing.greeting_s)

    async def attend_by_objects(self, line: Frames) -> None:
        """The same, where an answer may take as long as the invitation is good, or what brings it."""
        await self._attend(line, _VALID_S)

    async def _attend(self, line: Frames, patience_s: float) -> None:
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            return
        try:
            await self._pair(line, patience_s)
        finally:
            self._places.release()
        if self._result is not None and self.scope is not None:
            self.scope.cancel()

    async def _pair(self, line: Frames, patience_s: float) -> None:
        side = await anyio.to_thread.run_sync(self._host)
        added: list[DeviceId] = []

        async def react(event: Event) -> list[Event]:
            if isinstance(event, Request):
                self._knowing.add(side)
                return await self._ask(side, event)
            if isinstance(event, Added):
                self._adding = True
                await anyio.to_thread.run_sync(self._replica.membership.merge, [event.statement])
                added.append(event.device.id)
                if self.limit is not None:  # it is in the account: nothing hurries any more
                    self.limit.deadline = anyio.current_time() + _VALID_S
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
                line,
                hear=lambda frame: side.receive(frame, now_ms=self._replica.system.now_ms()),
                react=react,
                patience_s=lambda: patience_s,
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
                approved = await anyio.to_thread.run_sync(
                    self._on_request,
                    asked,
                    abandon_on_cancel=True,  # nobody waits for an answer that counts no more
                )
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
        elif self._result is None and not self._adding and self._is_over():
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
