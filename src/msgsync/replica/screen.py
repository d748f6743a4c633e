"""The first screen for an empty replica: the newest messages of the most recent conversations. Source: design 7 and 8.

A month may hold thousands of messages of which a screen shows fifty. A document cannot be cut at a clock, for updates
have no gaps; but it is a set of entries, and a part of a set can be written under a writer of its own. So of a large
document the entries of the newest messages, and all that is said about them, are composed as the entries of a writer
drawn for the purpose. They merge as anything does, and the document that follows brings the same entries again.
See docs/decisions/0016.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgsync import limits
from msgsync.document.codec import Block, compose
from msgsync.document.frozen import NEVER_FROZEN, Parts
from msgsync.document.schema import DELETIONS, ERASED, FIELDS, HEAD, DocumentId, Entry, segment_of
from msgsync.errors import InvalidValue
from msgsync.ids import encode_ids
from msgsync.records import decode_deletion, decode_erased
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

_MOST_BYTES = limits.FIRST_FILL_BYTES
"""Of one document; long texts leave room for fewer messages."""

Document = tuple[DocumentId, Parts]


def first_screen(store: Store, client: int) -> list[Document]:
    """Documents with which an empty replica shows it; ``client`` is a writer drawn for this."""
    documents: list[Document] = []
    left = limits.SCREEN_BYTES
    for row in store.pages.conversations(limits.SCREEN_CONVERSATIONS, deleted=False):
        for document in _conversation(store, row.key, row.id, client):
            left -= document[1].size_bytes
            if left < 0:
                return documents
            documents.append(document)
    return documents


def _conversation(store: Store, key: int, conversation: str, client: int) -> Iterator[Document]:
    by_kind: dict[str, list[bytes]] = {HEAD: []}
    page = store.pages.page(
        (key, conversation), before=None, after=None, limit=limits.SCREEN_MESSAGES, deleted=False
    )
    for message in page[::-1]:  # newest first
        by_kind.setdefault(segment_of(message.ms), []).append(message.id)
    for kind, ids in by_kind.items():
        row = store.documents.find(DocumentId(conversation, kind))
        if row is None:
            continue
        if row.bytes <= limits.SCREEN_DOCUMENT_BYTES:
            yield row.id, store.documents.parts(row)
        elif entries := _about(store, row, ids):
            yield row.id, Parts(NEVER_FROZEN, b"", (compose([Block(client, 0, [*entries])]),))


def _about(store: Store, row: DocumentRow, ids: list[bytes]) -> list[Entry]:
    """The entries of these messages, newest first, as far as there is room; and what is said about them."""
    wanted = {text: raw for raw, text in zip(ids, encode_ids(ids), strict=True)}
    entries = store.documents.entries(row)
    return _of_head(store, row, entries) if row.id.is_head else _of_messages(wanted, entries)


def _of_messages(wanted: dict[bytes, bytes], entries: Iterable[Entry]) -> list[Entry]:
    """The entries about messages, by text and bytes of their ids, the first ones first.

    A message comes with every deletion, restoration and erasure that names it, or not at all: without them the new
    device would not know what it undoes.
    """
    by_message: dict[bytes, list[Entry]] = {text: [] for text in wanted}
    sets: list[tuple[Entry, frozenset[bytes]]] = []
    for entry in entries:
        if entry.root in (DELETIONS, ERASED):
            sets.append((entry, _ids_of(entry)))
        elif entry.key[:20] in by_message:
            by_message[entry.key[:20]].append(entry)
    chosen: list[Entry] = []
    chosen_sets: dict[tuple[str, bytes], Entry] = {}
    size = size_of_sets = 0
    for text, about in by_message.items():
        named = {
            entry[:2]: entry
            for entry, ids in sets
            if wanted[text] in ids and entry[:2] not in chosen_sets
        }
        size_of_named = sum(len(entry.value) for entry in named.values())
        if size_of_sets + size_of_named > _MOST_BYTES:
            continue
        size += sum(len(entry.value) + len(entry.key) + 16 for entry in about)
        if size > _MOST_BYTES:
            break
        size_of_sets += size_of_named
        chosen += about
        chosen_sets |= named
    return [*chosen, *chosen_sets.values()]


def _ids_of(entry: Entry) -> frozenset[bytes]:
    """The ids that a deletion, restoration or erasure names; none if it cannot be read, for then it says nothing."""
    try:
        if entry.root == ERASED:
            return frozenset(decode_erased(entry.value))
        return frozenset(decode_deletion(entry.value).ids)
    except InvalidValue:
        return frozenset()


def _of_head(store: Store, row: DocumentRow, entries: Iterable[Entry]) -> list[Entry]:
    """What a head is called and whether it was deleted; not how far it was read."""
    winners = {stamp.key() for stamp, _ in store.head(row).fields.values()}
    chosen = [
        entry
        for entry in entries
        if entry.root in (DELETIONS, ERASED) or (entry.root == FIELDS and entry.key in winners)
    ]
    return chosen if sum(len(entry.value) for entry in chosen) <= _MOST_BYTES else []
