"""Verifying that what was erased is gone. Source: design 4 and 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgsync.document.schema import DAY_MS
from msgsync.ids import MessageId, encode_text
from msgsync.store.erasure import ErasureCheck
from msgsync.store.store import Store


@dataclass(frozen=True, slots=True)
class MailboxErasure:
    """What is known of erased messages in one mailbox: by what this device has put, read and seen listed there."""

    address: str
    gone: bool
    """Whether a checkpoint has taken the place of all that could hold them, a listing shows that to be removed, and no
    piece of a file is there that no message needs."""
    due_ms: int | None
    """From when on a round of this device takes them out at the latest, Unix milliseconds, 0 for the next one; None if
    they are gone."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What a look at all files of a replica found of erased messages."""

    checked: int
    """How many erased messages were looked for."""
    attachments: int
    """How many attachments were looked for that were erased while their messages stay."""
    not_erased: tuple[MessageId, ...]
    """Those asked for of which no erasure is stored here, nor one of an attachment."""
    found: tuple[str, ...]
    """What is left and where, in words that never contain a text; empty if nothing is."""
    pending: bool
    """Whether another process reads the file, so that the write-ahead log could not be emptied; ask again later."""
    documents: int
    """How many documents were decoded and looked at entry by entry."""
    parts: int
    """How many stored parts of documents packs and the log were compared with."""
    indexed: int
    """How many messages the search index was compared with, word by word."""
    pages: int
    """How many pages of the file were looked at for bytes that nothing uses; 0 while pending."""
    free_pages: int
    """How many of them are free."""
    files: tuple[str, ...]
    """The names of the replica's files."""
    text_searched: bool
    """Whether the bytes of a text were looked for as well."""
    mailboxes: tuple[MailboxErasure, ...] = ()
    """The same of the mailboxes that this device has used; `ok` is about the replica's own files alone."""

    @property
    def ok(self) -> bool:
        """Whether all are erased, nothing is left, and nothing had to wait."""
        return not (self.not_erased or self.found or self.pending)


def verify(store: Store, messages: Sequence[MessageId], text: str | None) -> ErasureReport:
    """See `Replica.verify_erased`."""
    if text is not None:
        encode_text(text, "text")
    check = ErasureCheck(store, [one.raw for one in messages] or None, text)
    check.run()
    looked = check.looked
    return ErasureReport(
        checked=looked.ids,
        attachments=looked.attachments,
        not_erased=tuple(map(MessageId, check.not_erased)),
        found=tuple(check.found),
        pending=check.pending,
        documents=looked.documents,
        parts=looked.parts,
        indexed=looked.indexed,
        pages=looked.pages,
        free_pages=looked.free_pages,
        files=tuple(looked.files),
        text_searched=text is not None,
        mailboxes=_in_mailboxes(store, [one.raw for one in messages] or None),
    )


def _in_mailboxes(store: Store, ids: Sequence[bytes] | None) -> tuple[MailboxErasure, ...]:
    at = store.mailboxes.erased_at(ids)
    found = []
    for row in store.mailboxes.all():
        due_ms = None
        if at > row.cleared_seq:
            due_ms = row.collect_ms
            if at > row.checkpoint_seq:
                due_ms = row.checkpoint_ms + DAY_MS if row.checkpoint_ms else 0
        if due_ms is None and store.mailboxes.has_rubbish(row.address):
            due_ms = 0
        found.append(MailboxErasure(row.address, due_ms is None, due_ms))
    return tuple(found)
