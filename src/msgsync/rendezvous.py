"""Where two devices that pair find each other in a mailbox: who waits there, and who comes. On anyio.

Rules
-----
- The device that invites draws a name for the meeting, announces it, and looks for knocks. It counts wrong guesses by
  itself: nothing that the storage removes, repeats or makes up gives anybody another one. An attempt is
  named by its knock, so one that is put back, or comes again under another name, is none.
- The device that joins knocks at each meeting that is announced, for it cannot tell by the names which one is its own.
  One that it can read the answer of is; the others are told nothing more.
- Both look again and again, since nobody tells them that something came. Who ends removes what is not needed any more;
  what is left is removed a day later by whoever pairs there next.

Source: docs/spec/crypto.md, "Pairing".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import anyio

from msgsync import limits
from msgsync.errors import (
    ConnectionLost,
    MailboxBusy,
    MailboxDamaged,
    MailboxError,
    MsgSyncError,
    NoSuchObject,
    WrongCode,
)
from msgsync.mailbox.carrying import carry
from msgsync.mailbox.mailbox import Mailbox
from msgsync.mailbox.objectline import FOR_A_WHILE, ObjectLine, Pauses, ask
from msgsync.protocol.meeting import (
    NAME_BYTES,
    PAIRINGS,
    Note,
    announced,
    announcement_of,
    attempt_by,
    folder_of,
    knocking,
    read_note,
    remove_leftovers,
    write_note,
)
from msgsync.replica.system import System

_OTHERS_S: Final = 15.0
"""For other invitations to answer, once one has refused."""
_TIDY_S: Final = 10.0


class Meeting:
    """The side that invites.

    Args:
        mailbox: where.
        system: whose clock and random bytes.
        until_ms: when the invitation ends.
    """

    def __init__(self, mailbox: Mailbox, system: System, *, until_ms: int) -> None:
        self._mailbox, self._system = mailbox, system
        self._until_ms = until_ms
        self._meeting = system.random_bytes(NAME_BYTES).hex()
        self._seen: set[str] = set()
        """Attempts that were looked at."""

    async def announce(self) -> None:
        """Say that somebody invites here. Raises MailboxError."""
        await _tidy(self._mailbox, self._system)
        note = write_note(Note(self._until_ms, b""))
        await ask(self._mailbox.put, announcement_of(self._meeting), note)

    async def answer(self, attend: Callable[[ObjectLine], Awaitable[None]]) -> None:
        """Have each attempt attended to, several at once, until cancelled; then remove what there was.

        Raises:
            MailboxError: the mailbox cannot be used.
        """
        try:
            async with anyio.create_task_group() as tasks:
                pauses = Pauses()
                while True:
                    try:
                        new = await self._new_attempts()
                    except FOR_A_WHILE:
                        new = []
                    for attempt in new:
                        tasks.start_soon(self._attend, attempt, attend)
                        pauses.begin_anew()
                    await pauses.wait()
        finally:
            with anyio.move_on_after(_TIDY_S, shield=True):
                await self._leave()

    async def _new_attempts(self) -> list[str]:
        folder = folder_of(self._meeting)
        found = []
        for attempt in knocking(await ask(self._mailbox.list, folder)):
            if attempt in self._seen or len(self._seen) >= limits.PAIRING_ATTEMPTS:
                continue
            note = await _look_at(self._mailbox, f"{folder}/{attempt}/1")
            if note is not None:
                self._seen.add(attempt)
                if attempt_by(note.frame) == attempt:
                    found.append(attempt)
        return found

    async def _attend(self, attempt: str, attend: Callable[[ObjectLine], Awaitable[None]]) -> None:
        line = ObjectLine(
            self._mailbox,
            folder_of(self._meeting),
            presence=f"{folder_of(self._meeting)}/{attempt}/1",
            attempt=attempt,
            until_ms=self._until_ms,
            most_bytes=limits.PAIRING_REQUEST_BYTES,
        )
        async with line:
            await attend(line)

    async def _leave(self) -> None:
        try:
            await ask(self._mailbox.delete, announcement_of(self._meeting))
        except MailboxError:
            return  # whoever pairs here next does it


async def _tidy(mailbox: Mailbox, system: System) -> None:
    """Remove what others have left. Raises MailboxError if the mailbox is not there at all."""
    with suppress(MailboxBusy, MailboxDamaged):  # that may wait
        await ask(carry, remove_leftovers(system.now_ms()), mailbox)


async def _look_at(mailbox: Mailbox, name: str) -> Note | None:
    """What lies there; None if it is not whole yet, or gone again. Raises MailboxError."""
    try:
        return read_note(await ask(mailbox.get, name))
    except (NoSuchObject, *FOR_A_WHILE):
        return None


Knock = Callable[[ObjectLine, Callable[[], None]], Awaitable[MsgSyncError | None]]
"""Make one attempt; call the function once the other side is known to have the code; return why it ended."""


class Search:
    """The side that joins.

    Args:
        mailbox: where.
        system: whose clock and random bytes.
    """

    def __init__(self, mailbox: Mailbox, system: System) -> None:
        self._mailbox, self._system = mailbox, system
        self._scopes: dict[str, anyio.CancelScope] = {}
        """The meetings at which it has knocked."""
        self._waiting: set[str] = set()
        self._chosen: str | None = None
        self._error: MsgSyncError | None = None
        self._refused_at = 0.0

    async def run(self, knock: Knock, *, within_s: float) -> None:
        """Knock until one attempt has ended that the other side had the code in, or none is left.

        Raises:
            MsgSyncError: why it ended, if not well.
            MailboxError: the mailbox cannot be used.
        """
        await _tidy(self._mailbox, self._system)
        async with anyio.create_task_group() as tasks:
            deadline = anyio.current_time() + within_s
            pauses = Pauses()
            while self._chosen is None and not self._given_up():
                if anyio.current_time() > deadline:
                    self._error = self._error or self._nobody()
                    break
                for meeting, until_ms in await self._new_meetings():
                    self._waiting.add(meeting)
                    self._scopes[meeting] = anyio.CancelScope()
                    tasks.start_soon(self._try, meeting, until_ms, knock)
                    pauses.begin_anew()
                await pauses.wait()
            if self._chosen is None:
                tasks.cancel_scope.cancel()
        if self._error is not None:
            raise self._error

    def _given_up(self) -> bool:
        if self._error is None:
            return False
        if not self._waiting and isinstance(self._error, WrongCode):
            return True
        return anyio.current_time() > self._refused_at + _OTHERS_S

    async def _new_meetings(self) -> list[tuple[str, int]]:
        try:
            names = await ask(self._mailbox.list, PAIRINGS)
        except FOR_A_WHILE:
            return []
        found: list[tuple[str, int]] = []
        for meeting in announced(names):
            places = limits.PAIRING_CONNECTIONS - len(self._scopes) - len(found)
            if meeting not in self._scopes and places > 0:
                note = await _look_at(self._mailbox, announcement_of(meeting))
                if note is not None:
                    found.append((meeting, note.until_ms))
        return found

    async def _try(self, meeting: str, until_ms: int, knock: Knock) -> None:
        def choose() -> None:
            self._chosen = meeting
            for other, scope in self._scopes.items():
                if other != meeting:
                    scope.cancel()

        with self._scopes[meeting]:
            error = await self._knock_at(meeting, until_ms, knock, choose)
            self._waiting.discard(meeting)
            if self._chosen == meeting:
                self._error = error
            elif self._chosen is None and error is not None:
                self._error = error
                self._refused_at = anyio.current_time()

    async def _knock_at(
        self, meeting: str, until_ms: int, knock: Knock, choose: Callable[[], None]
    ) -> MsgSyncError | None:
        line = ObjectLine(
            self._mailbox,
            folder_of(meeting),
            presence=announcement_of(meeting),
            attempt=None,
            until_ms=until_ms,
            most_bytes=limits.PAIRING_FRAME_BYTES,
        )
        async with line:
            return await knock(line, choose)

    def _nobody(self) -> ConnectionLost:
        return ConnectionLost(
            f"no invitation with this code came up in {self._mailbox.address}; is it the same place as on the other "
            "device, and is what lies there brought here? A code is good once, for ten minutes, and while msgsync "
            "invite waits"
        )
