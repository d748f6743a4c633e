"""What peers send becomes part of the documents that are here. Source: design 4, 5, 7 and 8.

Updates that follow on what is here are admitted and appended; where one of two forms was frozen, or clocks do not tell
what is missing, they meet (`store.union`). Everything happens within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from msgsync.document.admission import Admitted, admit, erased_ids
from msgsync.document.codec import Block, scan
from msgsync.document.frozen import Parts, decode_frozen, encode_frozen
from msgsync.document.gonefiles import GoneFiles, both, gone_files
from msgsync.document.schema import KIND, DocumentId, Entry
from msgsync.errors import Inadmissible, InvalidValue
from msgsync.ids import check_conversation_id
from msgsync.store.rewriting import freeze_document, rewrite
from msgsync.store.rows import DocumentRow
from msgsync.store.union import meet

if TYPE_CHECKING:
    from msgsync.store.store import Store


def merge(store: Store, document: DocumentId, parts: Parts, *, whole: bool) -> int:
    """Take in what a peer sent of a document; return how many entries are new. Within a transaction.

    Args:
        store: of the replica.
        document: which one.
        parts: all that the peer has if there is a frozen form among them, or if nothing is here.
        whole: that they are in any case, sent because clocks do not tell what is missing here.

    Raises:
        Inadmissible: admission refuses it; the transaction can go on without it.
    """
    check_document(document)
    found = store.documents.find(document)
    if found is None or found.is_new:
        return (
            _begin(store, document, parts)
            if parts.frozen
            else _join(store, document, parts.updates)
        )
    if parts.frozen or parts.label != found.label:
        return _meet(store, found, parts)
    gained = _join(store, document, parts.updates)
    # What a peer has and we lack although its clocks are known here, so that they give no update of it: one writer's
    # clocks were given away twice by a machine that was rolled back, or claimed by a peer that lies (decision 15).
    return gained + (_meet(store, store.row(document), parts) if whole else 0)


def _begin(store: Store, document: DocumentId, parts: Parts) -> int:
    """Take in a document with a frozen form of which nothing is here; so nothing of it is known to be erased."""
    frozen = decode_frozen(document, parts.frozen)
    files: GoneFiles = gone_files(document, frozen.others)
    admitted = admit(document, parts.updates, {}, gone_here=files)
    files = both(files, gone_files(document, admitted.entries))
    gone = erased_ids(document, frozen.others) | erased_ids(document, admitted.entries)
    content = parts.frozen
    if gone or files:
        frozen = frozen.without(gone).without_files(files)
        content = encode_frozen(frozen)
        admitted = admit(document, parts.updates, {}, gone, files)
    row = store.row(document)
    store.documents.put_frozen(row, content, parts.label)
    if row.id.is_segment:
        store.readmodel.take_frozen(row, frozen)
        store.touch(row)
    else:
        store.apply_head(row, frozen.others, was_new=True)
    gained = len(frozen.messages.ids) + len(frozen.others)
    if admitted.blocks:
        gained += _gain(store, row, admitted, frozen.entries())
    return gained


def _meet(store: Store, row: DocumentRow, parts: Parts) -> int:
    """Join a document with all that a peer has of it, as two sets of entries (design 8)."""
    erased = store.readmodel.erased_ids(row)
    files = store.attachments.gone_files(row)
    meeting = meet(row.id, store.documents.entries(row), parts, erased, files)
    row.lamport = max(row.lamport, meeting.lamport)
    if meeting.differing:
        _note_differing(store, row, meeting.differing)
        freeze_document(store.documents, row, meeting.union, parts.label.generation)
        _rebuild(store, row, erased)
        return len(meeting.missing)
    if parts.frozen and parts.label > row.label:
        store.documents.replace(row, meeting.theirs)
        for update in meeting.theirs.updates:
            _look_for_clone(store, scan(update))
        if meeting.ours:
            store.compose(row, meeting.ours)
        row.superseded = True
        if meeting.missing or row.id.has_fields:  # a form may hold a title that was erased here
            store.apply(row, meeting.missing, was_new=False)
    else:
        store.write(row, meeting.missing)
    return len(meeting.missing)


def _join(store: Store, document: DocumentId, updates: Sequence[bytes]) -> int:
    """Take in updates that follow on what is here."""
    found = store.documents.find(document)
    erased = set() if found is None else store.readmodel.erased_ids(found)
    files = {} if found is None else store.attachments.gone_files(found)
    state = {} if found is None else store.documents.state(found)
    admitted = admit(document, updates, state, erased, files)
    return _gain(store, store.row(document), admitted) if admitted.blocks else 0


def _gain(
    store: Store, row: DocumentRow, admitted: Admitted, frozen: Sequence[Entry] | None = None
) -> int:
    """Take in an admitted update; ``frozen``: the entries beside it, if they are all that is here."""
    erased = store.readmodel.erased_ids(row)
    was_new = row.is_new
    files = gone_files(row.id, admitted.entries)
    if files and not was_new and frozen is None:
        # First of all ours: else the same value without what is gone would be taken for another one.
        rewrite(store.documents, row, gone=files)
    gained, differing = store.documents.merge(row, admitted, frozen)
    _look_for_clone(store, admitted.blocks)
    if differing:
        _note_differing(store, row, differing)
        _rebuild(store, row, erased)
    else:
        store.apply(row, gained, was_new=was_new)
    return len(gained)


def _look_for_clone(store: Store, blocks: Iterable[Block]) -> None:
    """Write under another client from now on if a peer has clocks of this one that were given away before."""
    if any(block.client == store.documents.client for block in blocks):
        store.note_clone()


def _note_differing(store: Store, row: DocumentRow, differing: Iterable[Entry]) -> None:
    store.database.executemany(
        "insert or ignore into differing values(?,?,?)",
        [(row.key, entry.root, entry.key) for entry in differing],
    )


def _rebuild(store: Store, row: DocumentRow, erased: AbstractSet[bytes]) -> None:
    entries = store.documents.entries(row)
    row.changed_seq = 0  # rows change with this commit though the digest may not
    if not row.id.is_segment:
        row.digest = 0
        store.apply_head(row, entries, was_new=False)
        return
    removed = store.readmodel.rebuild(row, entries)
    newly = store.readmodel.erased_ids(row) - erased
    if newly or removed.gone:
        rewrite(store.documents, row, newly, removed.gone)
    store.touch(row, erased=bool(newly or removed.gone))


def check_document(document: DocumentId) -> None:
    """Check a document's id from outside.

    Raises:
        Inadmissible: it is none.
    """
    try:
        if document.conversation:
            check_conversation_id(document.conversation)
    except InvalidValue as error:
        raise Inadmissible(str(error)) from error
    if not KIND.match(document.kind):
        raise Inadmissible("a kind of document is 1 to 32 lower-case letters, digits or dashes")
