"""Rounds of replicas at mailboxes, request by request: the real courier, and a script that says who goes on when."""

from __future__ import annotations

from typing import Any

from msgsync import Mailbox
from msgsync.errors import MailboxError
from msgsync.protocol.courier import Courier
from msgsync.protocol.errand import Delete, Get, Put, Request
from msgsync.protocol.events import SyncReport
from msgsync.replica.mailing import Mailing
from msgsync.replica.replica import Replica


class SimulatedRound:
    """A round that was begun; nothing was asked of the mailbox yet.

    Args:
        replica: whose it is.
        mailbox: where.
        checkpoint_objects: see `msgsync.limits.CHECKPOINT_OBJECTS`; None for that one.
    """

    def __init__(
        self, replica: Replica, mailbox: Mailbox, *, checkpoint_objects: int | None = None
    ) -> None:
        self.replica = replica
        self.mailbox = mailbox
        self.report: SyncReport | None = None
        """Once it is over."""
        self.error: MailboxError | None = None
        """Why it ended before."""
        mailing = Mailing(replica, mailbox.address, checkpoint_objects=checkpoint_objects)
        self._errand = Courier(mailing).run()
        self._request: Request | None = next(self._errand)

    def __repr__(self) -> str:
        return f"a round of {self.replica.path.name} at {self.mailbox.address}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be asked."""
        return self._request is None

    @property
    def next_put(self) -> tuple[str, bytes] | None:
        """What it is about to put, and under which name."""
        request = self._request
        return (request.name, request.body) if isinstance(request, Put) else None

    def move(self) -> None:
        """Ask for one thing, and find out what is next.

        Raises:
            StorageError: the replica could not store what came; the round is over.
        """
        request, self._request = self._request, None
        assert request is not None, "a round that is over goes on"
        try:
            try:
                answer = _perform(self.mailbox, request)
            except MailboxError as error:
                self._request = self._errand.throw(error)
            else:
                self._request = self._errand.send(answer)
        except StopIteration as done:
            self.report = done.value
        except MailboxError as error:
            self.error = error

    def run(self) -> None:
        """Go on until it is over. Raises StorageError: see `move`."""
        while not self.is_over:
            self.move()

    def drop(self) -> None:
        """Break it off: the app was closed or killed, or a person lost patience."""
        self._request = None
        self._errand.close()


def _perform(mailbox: Mailbox, request: Request) -> Any:
    if isinstance(request, Put):
        return mailbox.put(request.name, request.body)
    if isinstance(request, Get):
        return mailbox.get(request.name)
    if isinstance(request, Delete):
        return mailbox.delete(request.name)
    return mailbox.list(request.folder)
