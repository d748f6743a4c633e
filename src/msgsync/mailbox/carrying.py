"""Does what a courier asks for, at a mailbox: blocking, or with each step in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from msgsync.errors import MailboxError
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.errand import Delete, Errand, Get, Put, Request
from msgsync.transport.carrier import first_of

_T = TypeVar("_T")


class _Step(NamedTuple):
    """Where an errand is."""

    request: Request | None
    """None once it is over."""
    result: Any
    """Of all of it."""


class _Answer(NamedTuple):
    """What came of a request."""

    value: Any
    error: MailboxError | None = None


def perform(mailbox: Mailbox, request: Request) -> Any:
    """Do it, and return the answer. Raises MailboxError."""
    if isinstance(request, Put):
        return mailbox.put(request.name, request.body)
    if isinstance(request, Get):
        return mailbox.get(request.name)
    if isinstance(request, Delete):
        return mailbox.delete(request.name)
    return mailbox.list(request.folder)


def _answer(mailbox: Mailbox, request: Request) -> _Answer:
    try:
        return _Answer(perform(mailbox, request))
    except MailboxError as error:
        return _Answer(None, error)


def _advance(errand: Errand[_T], answer: _Answer | None) -> _Step:
    """Hand it the answer, and find out what is asked for next."""
    try:
        if answer is None:
            return _Step(next(errand), None)
        if answer.error is not None:
            return _Step(errand.throw(answer.error), None)
        return _Step(errand.send(answer.value), None)
    except StopIteration as done:
        return _Step(None, done.value)


def _do(errand: Errand[_T], mailbox: Mailbox, request: Request) -> _Step:
    return _advance(errand, _answer(mailbox, request))


def carry(errand: Errand[_T], mailbox: Mailbox) -> _T:
    """Go on until it is over; blocks. Raises what the errand raises."""
    step = _advance(errand, None)
    while step.request is not None:
        step = _do(errand, mailbox, step.request)
    result: _T = step.result
    return result


class _Coming:
    """An object that is fetched before it is asked for."""

    def __init__(self) -> None:
        self.here = anyio.Event()
        self.answer = _Answer(None)


class _Fetching:
    """Fetches objects ahead, several at a time."""

    def __init__(self, mailbox: Mailbox, tasks: TaskGroup) -> None:
        self._mailbox = mailbox
        self._tasks = tasks
        self._coming: dict[str, _Coming] = {}

    async def answer(self, request: Get) -> _Answer | None:
        """The answer, if it was fetched ahead; begins to fetch what comes next, and forgets what does not."""
        found = self._coming.pop(request.name, None)
        wanted = dict.fromkeys(request.ahead)
        self._coming = {name: one for name, one in self._coming.items() if name in wanted}
        for name in wanted:
            if name not in self._coming:
                self._coming[name] = coming = _Coming()
                self._tasks.start_soon(self._fetch, name, coming)
        if found is None:
            return None
        await found.here.wait()
        return found.answer

    async def _fetch(self, name: str, coming: _Coming) -> None:
        coming.answer = await anyio.to_thread.run_sync(
            partial(_answer, self._mailbox, Get(name)), abandon_on_cancel=True
        )
        coming.here.set()


async def carry_async(errand: Errand[_T], mailbox: Mailbox, after_each: Callable[[], None]) -> _T:
    """The same, cancelled between two requests if at all; ``after_each`` is called in the event loop.

    What the errand says that it will ask for next is fetched meanwhile.
    """
    try:
        async with anyio.create_task_group() as tasks:
            fetching = _Fetching(mailbox, tasks)
            step = await anyio.to_thread.run_sync(partial(_advance, errand, None))
            after_each()
            while (request := step.request) is not None:
                answer = await fetching.answer(request) if isinstance(request, Get) else None
                work = partial(_do, errand, mailbox, request)
                if answer is not None:
                    work = partial(_advance, errand, answer)
                step = await anyio.to_thread.run_sync(work)
                after_each()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # of what is inside, none is more telling than the first
        raise first_of(group) from None
    finally:
        errand.close()
    result: _T = step.result
    return result
