"""Does what a courier asks for, at a mailbox: blocking, or with each step in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import anyio.to_thread

from msgsync.errors import MailboxError
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.errand import Delete, Errand, Get, Put, Request

_T = TypeVar("_T")


class _Step(NamedTuple):
    """Where an errand is."""

    request: Request | None
    """None once it is over."""
    result: Any
    """Of all of it."""


def perform(mailbox: Mailbox, request: Request) -> Any:
    """Do it, and return the answer. Raises MailboxError."""
    if isinstance(request, Put):
        return mailbox.put(request.name, request.body)
    if isinstance(request, Get):
        return mailbox.get(request.name)
    if isinstance(request, Delete):
        return mailbox.delete(request.name)
    return mailbox.list(request.folder)


def _advance(errand: Errand[_T], mailbox: Mailbox, request: Request | None) -> _Step:
    """Do what was asked for, and find out what is asked for next."""
    try:
        if request is None:
            return _Step(next(errand), None)
        try:
            answer = perform(mailbox, request)
        except MailboxError as error:
            return _Step(errand.throw(error), None)
        return _Step(errand.send(answer), None)
    except StopIteration as done:
        return _Step(None, done.value)


def carry(errand: Errand[_T], mailbox: Mailbox) -> _T:
    """Go on until it is over; blocks. Raises what the errand raises."""
    step = _advance(errand, mailbox, None)
    while step.request is not None:
        step = _advance(errand, mailbox, step.request)
    result: _T = step.result
    return result


async def carry_async(errand: Errand[_T], mailbox: Mailbox, after_each: Callable[[], None]) -> _T:
    """The same, cancelled between two requests if at all; ``after_each`` is called in the event loop."""
    request: Request | None = None
    try:
        while True:
            step = await anyio.to_thread.run_sync(partial(_advance, errand, mailbox, request))
            after_each()
            if step.request is None:
                result: _T = step.result
                return result
            request = step.request
    finally:
        errand.close()
