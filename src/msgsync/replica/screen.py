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
from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.schema import DELETIONS, ERASED, HEAD, DocumentId, Entry, segment_of
from msgsync.ids import encode_ids
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

_MOST_BYTES = limits.FIRST_FILL_BYTES
"""Of one document; long texts leave room for fewer messages."""

Document = tuple[DocumentId, tuple[bytes, ...]]


def first_screen(store: Store, client: int) -> list[Document]:
    """Updates with which an empty replica shows it; ``client`` is a writer drawn for this."""
    documents: list[Document] = []
    left = limits.SCREEN_BYTES
    for row in store.pages.conversations(limits.SCREEN_CONVERSATIONS, deleted=False):
        for document in _conversation(store, row.key, row.id, client):
            left -= sum(map(len, document[1]))
            if left < 0:
                return documents
            documents.append(document)
    return documents


def _conversation(store: Store, key: int, conversation: str, client: int) -> Iterator[Document]:
    by_kind: dict[str, list[bytes]] = {HEAD: []}
    page = store.pages.page(
        key, before=None, after=None, limit=limits.SCREEN_MESSAGES, deleted=False
    )
    for message in page[::-1]:  # newest first
        by_kind.setdefault(segment_of(message.ms), []).append(message.id)
    for kind, ids in by_kind.items():
        row = store.documents.find(DocumentId(conversation, kind))
        if row is None:
            continue
        if row.bytes <= limits.SCREEN_DOCUMENT_BYTES:
            yield row.id, tuple(store.documents.updates(row))
        elif entries := _about(store, row, ids):
            yield row.id, (compose([Block(client, 0, list(entries))]),)


def _about(store: Store, row: DocumentRow, ids: list[bytes]) -> list[Entry]:
    """The entries of these messages, newest first, as far as there is room; and what is said about them."""
    wanted = {text: raw for raw, text in zip(ids, encode_ids(ids), strict=True)}
    entries = [
        entry for update in store.documents.updates(row) for entry in entries_of(scan(update))
    ]
    by_message: dict[bytes, list[Entry]] = {text: [] for text in wanted}
    sets = []
    for entry in entries:
        if entry.root in (DELETIONS, ERASED):
            sets.append(entry)
        elif entry.key[:20] in by_message:
            by_message[entry.key[:20]].append(entry)
    chosen: list[Entry] = []
    shown = []
    size = 0
    for text, about in by_message.items():
        size += sum(len(entry.value) + len(entry.key) + 16 for entry in about)
        if size > _MOST_BYTES:
            break
        chosen += about
        shown.append(wanted[text])
    sets = [entry for entry in sets if any(raw in entry.value for raw in shown)]
    if sum(len(entry.value) for entry in sets) <= _MOST_BYTES:
        chosen += (
            sets  # without them a message shows all the same, for these messages are not deleted
        )
    if _is_plain(chosen):
        return chosen
    keys = {
        entry[:2] for entry in chosen
    }  # a key with two values: only the CRDT knows which one shows
    return [entry for entry in store.documents.load(row).entries() if entry[:2] in keys]


def _is_plain(entries: Iterable[Entry]) -> bool:
    keys = [entry[:2] for entry in entries]
    return len(set(keys)) == len(keys)
