"""Whether what a mailbox brings of a document goes on from what is here, and what then. Source: design 9."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet

from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.digest import MODULUS
from msgsync.document.fold import fold
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts, decode_frozen
from msgsync.document.gonefiles import GoneFiles, without_gone
from msgsync.document.schema import ERASED, DocumentId, Entry, is_about
from msgsync.errors import Inadmissible
from msgsync.ids import encode_ids
from msgsync.store.mailboxes import Posted
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store


def has_form(store: Store, row: DocumentRow, parts: Parts) -> bool:
    """Whether a document lies here in this very frozen form."""
    if row.is_new or not parts.frozen or parts.label != row.label:
        return False
    return store.documents.parts(row).frozen == parts.frozen


def clocks_with(label: Label, there: Posted | None, updates: Iterable[bytes]) -> dict[int, int]:
    """What lies there beside a form once these updates do."""
    clocks = {} if there is None or there.label != label else there.clocks
    for update in updates:
        for block in scan(update):
            clocks[block.client] = max(block.end, clocks.get(block.client, 0))
    return clocks


def moved(there: Posted | None, gained: int) -> bytes:
    """The digest of what lies there of a document once that does which changed the digest here by so much.

    What was here before and is not known to lie there adds nothing. Then it may be the digest of nothing at all, but
    never that of the document here.
    """
    if there is not None and not there.digest:
        return b""
    lay = 0 if there is None else int.from_bytes(there.digest, "big")
    return ((lay + gained) % MODULUS).to_bytes(16, "big")


def fits(store: Store, document: DocumentId, parts: Parts) -> bool:
    """Whether nothing is missing before it; nothing is waited for that will be refused."""
    try:
        return not has_gap(store, document, parts)
    except Inadmissible:
        return True


def has_gap(store: Store, document: DocumentId, parts: Parts) -> bool:
    """Whether something is missing here that updates go on from, in the form that the document has here."""
    row = store.documents.find(document)
    label = NEVER_FROZEN if row is None else row.label
    if parts.frozen or (row is not None and row.lacks is not None):
        return False  # a month that was let go of takes in what comes as a set
    if parts.label != label:
        return parts.label > label
    known = {} if row is None else dict(store.documents.state(row))
    for update in parts.updates:
        for block in scan(update):
            if block.clock > known.get(block.client, 0):
                return True
            known[block.client] = max(block.end, known.get(block.client, 0))
    return False


def restores(document: DocumentId, parts: Parts, digest: bytes, here: Collection[Entry]) -> bool:
    """Whether parts are all of a document in the state of this digest, or that with something that is here."""
    entries = decode_frozen(document, parts.frozen).entries() if parts.frozen else []
    for update in parts.updates:
        entries += entries_of(scan(update))
    by_slot = {entry[:2]: entry for entry in sorted(entries)}
    known = {entry[:2] for entry in here if entry.root != ERASED}
    without = [entry for slot, entry in by_slot.items() if slot not in known]
    wanted = int.from_bytes(digest, "big")
    return fold(document, [*by_slot.values()]).digest == wanted or (
        bool(known) and fold(document, without).digest == wanted
    )


def says_of(document: DocumentId, parts: Parts, ids: AbstractSet[bytes], gone: GoneFiles) -> bool:
    """Whether anything that was merged into a document is about one of these messages, or has one of these files."""
    texts = set(encode_ids([*ids]))
    entries = decode_frozen(document, parts.frozen).entries() if parts.frozen else []
    for update in parts.updates:
        entries += entries_of(scan(update))
    return any(is_about(entry, texts) for entry in entries) or (
        without_gone(entries, gone) != entries
    )


def as_a_set(parts: Parts, client: int) -> Parts:
    """Updates as the entries of a writer drawn for the purpose: they go on from nothing, and fit any form."""
    entries: dict[tuple[str, bytes], Entry] = {}
    for update in parts.updates:
        for entry in entries_of(scan(update)):
            known = entries.get(entry[:2])
            if known is None or entry.value > known.value:
                entries[entry[:2]] = entry
    updates = (compose([Block(client, 0, [*entries.values()])]),) if entries else ()
    return Parts(NEVER_FROZEN, b"", updates)


def is_due_back(store: Store, document: DocumentId) -> bool:
    """Whether a month was let go of and is to come back."""
    row = store.documents.find(document)
    return row is not None and row.lacks is not None and not row.is_away


def is_missing_state(store: Store, document: DocumentId, parts: Parts) -> bool:
    """Whether these are all of a month as it was here, or that with something that is here."""
    row = store.documents.find(document)
    if row is None or row.lacks is None:
        return False
    return restores(document, parts, row.lacks.digest, store.documents.entries(row))


def may_come_early(store: Store, document: DocumentId, parts: Parts) -> bool:
    """Whether a document goes on from what is here; and if it was let go of, that it is waited for and this is it."""
    row = store.documents.find(document)
    if row is None or row.lacks is None:
        return fits(store, document, parts)
    return not row.is_away and is_missing_state(store, document, parts)
