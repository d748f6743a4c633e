"""Does what a courier asks for, at a mailbox: blocking, or with each step in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import anyio.to_thread

from msgsync.errors import MailboxError
from msgsync.mailbox.mailbox import Mailbox
from msgsync.protocol.errand import Delete, Errand, Get, Put, Request
from msgsync.protocol.events import SyncReport


class _Step(NamedTuple):
    """Where a round is."""

    request: Request | None
    report: SyncReport | None
    """Once it is over."""


def perform(mailbox: Mailbox, request: Request) -> Any:
    """Do it, and return the answer. Raises MailboxError."""
    if isinstance(request, Put):
        return mailbox.put(request.name, request.body)
    if isinstance(request, Get):
        return mailbox.get(request.name)
    if isinstance(request, Delete):
        return mailbox.delete(request.name)
    return mailbox.list(request.folder)


def _advance(errand: Errand[SyncReport], mailbox: Mailbox, request: Request | None) -> _Step:
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


def carry(errand: Errand[SyncReport], mailbox: Mailbox) -> SyncReport:
    """Go on until it is over; blocks. Raises what the courier raises."""
    step = _advance(errand, mailbox, None)
    while step.report is None:
        step = _advance(errand, mailbox, step.request)
    return step.report


async def carry_async(
    errand: Errand[SyncReport], mailbox: Mailbox, after_each: Callable[[], None]
) -> SyncReport:
    """The same, cancelled between two requests if at all; ``after_each`` is called in the event loop."""
    request: Request | None = None
    try:
        while True:
            step = await anyio.to_thread.run_sync(partial(_advance, errand, mailbox, request))
            after_each()
            if step.report is not None:
                return step.report
            request = step.request
    finally:
        errand.close()
