"""Other forms of the same document: without what is gone, without its log, frozen. Source: design 4, 6 and 8.

A replacement is read again, and its digest compared, before what it replaces is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgsync import limits
from msgsync.document.admission import blocks_without_files, erased_ids
from msgsync.document.codec import NO_UPDATE, compose, entries_of, scan
from msgsync.document.digest import entries_digest
from msgsync.document.fold import fold
from msgsync.document.frozen import (
    Label,
    Parts,
    arrange,
    base_of,
    decode_frozen,
    encode_frozen,
    freeze,
)
from msgsync.document.gonefiles import NOTHING_GONE, GoneFiles, without_gone
from msgsync.document.schema import ERASED, Entry, is_about
from msgsync.errors import ReplicaDamaged
from msgsync.ids import encode_ids
from msgsync.store.documents import Documents, as_written, joined
from msgsync.store.rows import DocumentRow


def rewrite(
    documents: Documents,
    row: DocumentRow,
    erased: Iterable[bytes] = (),
    gone: GoneFiles = NOTHING_GONE,
) -> None:
    """Replace the updates of a document by one of what still matters.

    Entries about ``erased`` ids, and all that the fold calls irrelevant, are removed, from the frozen form as well;
    garbage collection drops their bytes. Of attachments that are ``gone`` nothing is left but what they were called.

    Raises:
        ReplicaDamaged: the replacement is not what it should be; nothing was replaced.
    """
    with as_written():
        _rewrite(documents, row, set(erased), gone)


def _rewrite(documents: Documents, row: DocumentRow, erased: set[bytes], gone: GoneFiles) -> None:
    from msgsync.document.crdt import Document

    document = documents.load(row)
    frozen = documents.frozen(row).entries() if row.is_frozen else []
    left, content = frozen, b""
    if erased or row.superseded:
        entries = joined(frozen, document.entries())
        texts = set(encode_ids(list(erased)))
        kept = [entry for entry in entries if not is_about(entry, texts)]
        matter = {*(entry[:2] for entry in kept)}
        matter -= {entry[:2] for entry in fold(row.id, kept).irrelevant}
        by_root: dict[str, list[bytes]] = {}
        for entry in document.entries():
            if entry[:2] not in matter:
                by_root.setdefault(entry.root, []).append(entry.key)
        for root, keys in by_root.items():
            document.remove(root, keys)
        left = [entry for entry in frozen if entry[:2] in matter]
    left = without_gone(left, gone)
    if left != frozen:
        content = encode_frozen(arrange(row.id, left))
        left = decode_frozen(row.id, content).entries()
    update = compose(blocks_without_files(document.blocks(), gone))
    digest = _recount(row, joined(left, entries_of(scan(update))))
    if Document([update]).update() != update or (not erased and not gone and digest != row.digest):
        documents.drop(row)
        raise _unsafe(row)
    row.digest = digest
    row.superseded = False
    updates = () if row.is_frozen and update == NO_UPDATE else (update,)
    documents.replace(row, Parts(row.label, content, updates), ours=True)


def freeze_document(
    documents: Documents,
    row: DocumentRow,
    entries: Sequence[Entry] | None = None,
    generation: int = 0,
) -> None:
    """Replace what a document consists of by its frozen form: the entries that matter, or ``entries``.

    Args:
        documents: those of the replica, within a transaction.
        row: of the document.
        entries: what it is to consist of, if that is not what it consists of now.
        generation: at least this one.

    Raises:
        Inadmissible: it is too much for a frozen form; nothing was replaced.
        ReplicaDamaged: the frozen form would not say the same; nothing was replaced.
    """
    found = documents.entries(row) if entries is None else entries
    content = encode_frozen(freeze(row.id, found))
    with as_written():
        digest = _recount(row, decode_frozen(row.id, content).entries())
    if entries is None and digest != row.digest:
        raise _unsafe(row)
    row.digest = digest
    row.superseded = False
    following = min(row.label.generation + 1, limits.GENERATION)
    label = Label(max(following, generation), base_of(content))
    documents.replace(row, Parts(label, content, ()))


def _unsafe(row: DocumentRow) -> ReplicaDamaged:
    return ReplicaDamaged(
        f"rewriting {row.id.kind} of a conversation would not keep its state; nothing was changed; run check"
    )


def _recount(row: DocumentRow, entries: Sequence[Entry]) -> int:
    """The digest of a document counted from its entries: by hashes alone where all of them matter."""
    erased = erased_ids(row.id, entries) if row.id.is_segment else ()
    digest = entries_digest((e for e in entries if e.root != ERASED), erased)
    return digest if digest == row.digest else fold(row.id, entries).digest
