"""The mailbox in memory."""

from __future__ import annotations

from msgsync import Mailbox, MemoryMailbox
from msgsync.testing import check_mailbox


def test_it_passes_the_acceptance_suite():
    mailbox = MemoryMailbox()
    assert isinstance(mailbox, Mailbox)
    check_mailbox(lambda: mailbox)


def test_what_is_put_is_a_copy():
    mailbox = MemoryMailbox()
    body = bytearray(b"as it was")
    mailbox.put("log/a", body)  # type: ignore[arg-type]
    body[:] = b"as it is."
    assert mailbox.get("log/a") == b"as it was"
