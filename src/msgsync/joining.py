"""Joining, async: a new device that was given a code becomes one of the account. On anyio.

`msgsync.aio.join`; `msgsync.join` blocks on it. The other side is `msgsync.pairing`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from os import PathLike
from typing import Final

import anyio
from anyio.abc import ByteStream

from msgsync import limits
from msgsync.account.code import Code, Secrets
from msgsync.account.device import Device, check_device_name
from msgsync.account.handshake import NONCE_BYTES, Compare, Event, Joined, State
from msgsync.account.joiner import Joiner
from msgsync.errors import InvalidValue, MsgSyncError
from msgsync.ids import DeviceId
from msgsync.mailbox.address import is_mailbox, open_mailbox
from msgsync.mailbox.mailbox import Mailbox
from msgsync.rendezvous import Search
from msgsync.replica.attempt import Attempt
from msgsync.replica.key import Key
from msgsync.replica.opened import check_options, checked_path
from msgsync.replica.replica import Replica
from msgsync.replica.system import RealSystem, System
from msgsync.transport import tcp
from msgsync.transport.carrier import first_of
from msgsync.transport.line import Frames, Line, carry
from msgsync.transport.timing import Timing

_USUAL = Timing()
_VALID_S = limits.INVITATION_MS / 1000

_INVITE: Final = (
    "a code is good once, for ten minutes, and while msgsync invite waits: make another one there"
)


async def join(  # noqa: PLR0913  one for each thing that may be said
    path: str | PathLike[str],
    code: str,
    via: str | ByteStream | Mailbox,
    *,
    author: str | None = None,
    name: str | None = None,
    passphrase: str | None = None,
    encrypted: bool = False,
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
        via: where that one listens: ``tcp://HOST:PORT``. Or a stream that leads to it; or the mailbox that it invites
            by, or the address of that here.
        author: see `msgsync.open`.
        name: how the device is called when the person is asked whether to approve it; the machine's name if not given.
        passphrase: what the keys of the new device are under; see `msgsync.open`, as for ``encrypted``.
        encrypted: whether its file is encrypted as a whole.
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
        MailboxError: the mailbox cannot be used.
        StorageError: the replica cannot be made.
        PassphraseNeeded, WrongPassphrase: it was made before, under another passphrase.
    """
    check_options(author, "full")
    parsed = Code.parse(code)
    if name is not None:
        check_device_name(name)
    if isinstance(via, str):
        if is_mailbox(via):
            via = open_mailbox(via)
        else:
            tcp.parse_address(via)
    world: System = RealSystem() if system is None else system
    key = Key(checked_path(path), world, passphrase, encrypted=encrypted)
    attempt = await anyio.to_thread.run_sync(Attempt, checked_path(path), world, key)
    if not attempt.done:
        joining = _Joining(attempt, parsed, name, on_emoji, timing, world)
        try:
            if isinstance(via, Mailbox):
                await joining.by_mailbox(via)
            else:
                await joining.by_stream(via)
        finally:
            if attempt.is_new and not (attempt.done or joining.agreed):
                attempt.end()  # nobody can have added it
    await anyio.to_thread.run_sync(attempt.end)
    return await anyio.to_thread.run_sync(
        lambda: Replica(attempt.path, author=author, passphrase=passphrase, system=system)
    )


class _Joining:
    """One attempt to join, at however many places."""

    def __init__(
        self,
        attempt: Attempt,
        code: Code,
        name: str | None,
        on_emoji: Callable[[str], object] | None,
        timing: Timing,
        system: System,
    ) -> None:
        self._attempt, self._code, self._system = attempt, code, system
        self._on_emoji, self._timing = on_emoji, timing
        keys = attempt.keys
        self._device = Device.of(keys, name or _name(keys.device_id), sys.platform)
        self._secrets: Secrets | None = None
        self._sides: list[Joiner] = []

    @property
    def agreed(self) -> bool:
        """Whether the account may have added the device: nothing else was missing."""
        return any(side.agreed for side in self._sides)

    async def by_stream(self, via: str | ByteStream) -> None:
        """Knock at an address, or at what a stream leads to."""
        side = await self._side()
        if isinstance(via, str):
            via = await tcp.connect(via, connect_s=self._timing.connect_s, advice=_INVITE)
        async with via:
            patience_s = {State.PROPOSAL: _VALID_S, State.WELCOME: self._timing.silence_s}
            await self._knock(
                side,
                Line(via, most_bytes=limits.PAIRING_FRAME_BYTES),
                lambda: patience_s.get(side.state, self._timing.greeting_s),
                lambda: None,
            )
        if side.error is not None and not self._attempt.done:
            raise side.error

    async def by_mailbox(self, mailbox: Mailbox) -> None:
        """Knock at what is announced in a mailbox."""

        async def knock(line: Frames, choose: Callable[[], None]) -> MsgSyncError | None:
            side = await self._side()
            await self._knock(side, line, lambda: _VALID_S, choose)
            return None if self._attempt.done else side.error

        await self._stretched()  # before anybody waits
        try:
            await Search(mailbox, self._system).run(knock, within_s=_VALID_S)
        except BaseExceptionGroup as group:
            raise first_of(group) from None

    async def _stretched(self) -> Secrets:
        if self._secrets is None:
            self._secrets = await anyio.to_thread.run_sync(self._code.secrets)
        return self._secrets

    async def _side(self) -> Joiner:
        side = Joiner(
            await self._stretched(),
            keys=self._attempt.keys,
            device=self._device,
            nonces=self._system.random_bytes(2 * NONCE_BYTES),
            typed=self._code.typed,
        )
        self._sides.append(side)
        return side

    async def _knock(
        self,
        side: Joiner,
        line: Frames,
        patience_s: Callable[[], float],
        choose: Callable[[], None],
    ) -> None:
        async def react(event: Event) -> list[Event]:
            if isinstance(event, Compare):
                choose()
                if event.emoji and self._on_emoji is not None:
                    self._on_emoji(event.emoji)
            elif isinstance(event, Joined):
                become = self._attempt.become
                await anyio.to_thread.run_sync(become, event.roster, event.keyring)
                return side.stored()
            return []

        await carry(side, line, hear=side.receive, react=react, patience_s=patience_s)


def _name(device: DeviceId) -> str:
    try:
        return check_device_name(platform.node())
    except InvalidValue:
        return str(device)
