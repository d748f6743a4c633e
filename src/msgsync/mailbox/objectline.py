"""The frames of a pairing as objects in a mailbox: late, early or twice, each is found by its number. On anyio.

Source: docs/spec/crypto.md, "Pairing". Nobody is told when an object comes, so both sides look again and again, with
pauses that grow until something comes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
import anyio.to_thread

from msgsync.errors import (
    ConnectionLost,
    MailboxBusy,
    MailboxDamaged,
    MailboxError,
    MailboxUnreachable,
    NoSuchObject,
    ProtocolError,
)
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.meeting import Note, attempt_by, read_note, write_note

_T = TypeVar("_T")
_FIRST_S: Final = 0.05
_MOST_S: Final = 2.0
_GROWTH: Final = 1.5
_GONE: Final = 3
"""Looks in a row that do not find what shows that the other side is there: one may be late, or of an old listing."""
_TAKEN_S: Final = 5.0
"""For the other side to take the last frame: then it stays there for it."""
_TIDY_S: Final = 10.0
FOR_A_WHILE: Final = (MailboxBusy, MailboxUnreachable, MailboxDamaged)
"""What may be well a moment later: a network that comes and goes, half of a file."""


class Pauses:
    """Times between two looks, in seconds; they grow."""

    def __init__(self) -> None:
        self._next_s = _FIRST_S

    async def wait(self) -> None:
        """Wait for the next look."""
        await anyio.sleep(self._next_s)
        self._next_s = min(self._next_s * _GROWTH, _MOST_S)

    def begin_anew(self) -> None:
        """Something came: more may follow soon."""
        self._next_s = _FIRST_S


async def ask(call: Callable[..., _T], *arguments: object) -> _T:
    """Have the mailbox do something, in a thread. Raises what it raises."""
    return await anyio.to_thread.run_sync(partial(call, *arguments))


class ObjectLine:
    """One attempt to pair. Use it in an ``async with`` block, which removes what is not needed any more.

    Args:
        mailbox: where.
        meeting: the folder of the meeting.
        presence: the object that is there as long as the other side goes on.
        attempt: the name of the attempt, to answer it; None to begin one.
        until_ms: what its objects say of their time.
        most_bytes: of a frame that comes.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        meeting: str,
        *,
        presence: str,
        attempt: str | None,
        until_ms: int,
        most_bytes: int,
    ) -> None:
        self._mailbox, self._meeting = mailbox, meeting
        self._presence, self._attempt = presence, attempt
        self._until_ms, self._most_bytes = until_ms, most_bytes
        self._out, self._in = (1, 2) if attempt is None else (2, 1)
        self._unread: str | None = None
        """What was sent last, if nothing shows that the other side has read it."""
        self._parted = False

    async def send(self, frame: bytes, *, within_s: float) -> None:
        """Leave a frame.

        Raises:
            ConnectionLost: the mailbox did not take it in time.
            MailboxError: it never will.
        """
        if self._attempt is None:
            self._attempt = attempt_by(frame)
        name = f"{self._meeting}/{self._attempt}/{self._out}"
        raw = write_note(Note(self._until_ms, frame))
        pauses = Pauses()
        try:
            with anyio.fail_after(within_s):
                while True:
                    try:
                        await ask(self._mailbox.put, name, raw)
                        break
                    except FOR_A_WHILE:
                        await pauses.wait()
        except TimeoutError as error:
            raise ConnectionLost("the mailbox does not answer any more; start again") from error
        self._out += 2
        self._unread = name

    async def receive(self, *, within_s: float) -> bytes:
        """Wait for the next frame.

        Raises:
            ConnectionLost: none came, or the other side has ended.
            ProtocolError: it is too long.
            MailboxError: the mailbox cannot be used.
        """
        name = f"{self._meeting}/{self._attempt}/{self._in}"
        try:
            with anyio.fail_after(within_s):
                note = await self._wait_for(name)
        except TimeoutError as error:
            raise ConnectionLost("the other device says nothing any more; start again") from error
        if len(note.frame) > self._most_bytes:
            raise ProtocolError(
                f"a frame of {len(note.frame)} bytes while two devices are paired; at most {self._most_bytes} are "
                "allowed"
            )
        self._in += 2
        self._unread = None
        return note.frame

    async def _wait_for(self, name: str) -> Note:
        pauses = Pauses()
        missing = 0
        while True:
            try:
                names = await ask(self._mailbox.list, self._meeting)
                if name in names and (note := read_note(await ask(self._mailbox.get, name))):
                    return note
                there = self._presence in names or await self._is_there(self._presence)
                missing = 0 if there else missing + 1
                if missing >= _GONE:
                    raise ConnectionLost("the other device has ended this; start again")
            except (NoSuchObject, *FOR_A_WHILE):
                pass  # a moment ago it was listed; or the mailbox cannot be asked now
            await pauses.wait()

    async def _is_there(self, name: str) -> bool:
        try:
            await ask(self._mailbox.get, name)
        except NoSuchObject:
            return False
        return True

    async def part(self) -> None:
        """If this side has spoken last, wait until the other one has removed that, for a few seconds at most."""
        self._parted = True
        pauses = Pauses()
        with anyio.move_on_after(_TAKEN_S):
            while self._unread is not None:
                with suppress(*FOR_A_WHILE):
                    if not await self._is_there(self._unread):
                        return
                await pauses.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the frames, but for one that the other side may still read: then that one does, or whoever is next.

        Nothing is concluded from what is not there: who has said the last word leaves all to the other side.
        """
        if self._attempt is None or (self._parted and self._unread is not None):
            return
        with (
            anyio.move_on_after(_TIDY_S, shield=True),
            suppress(MailboxError),
        ):  # others do it later
            for name in await ask(self._mailbox.list, f"{self._meeting}/{self._attempt}"):
                if name != self._unread:
                    await ask(self._mailbox.delete, name)
