"""Recently Deleted, and deleting whole conversations. Source: design 4.

Deleting a conversation asks first: a preview says what it would concern, and its token is what deleting takes. It
covers only what the preview showed, so a message that arrives in between survives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from msgsync import limits
from msgsync.document.head import unsuperseded
from msgsync.document.schema import DAY_MS, DELETIONS, ERASED, HEAD, DocumentId, Entry
from msgsync.errors import InvalidValue, StalePreview
from msgsync.ids import MessageId
from msgsync.records import (
    DeletionKind,
    ErasedFields,
    HeadDeletionRecord,
    Stamp,
    encode_erased_fields,
    encode_head_deletion,
    erased_key,
    name_hash,
)
from msgsync.replica import deletion, showing
from msgsync.replica.deletion import DeletionListener, Tally
from msgsync.replica.values import Message
from msgsync.store.history import elsewhere, want
from msgsync.store.missing import Wish
from msgsync.store.pages import ConversationRow
from msgsync.store.rows import DocumentRow, Wanted
from msgsync.store.store import Store
from msgsync.store.trash import Weight


@dataclass(frozen=True, slots=True)
class DeletedMessage:
    """A message in Recently Deleted."""

    message: Message
    deleted_ms: int
    """Since when its retention runs, Unix milliseconds: when it was deleted, when this device heard of it, or when this
    replica was made of a backup; the latest of them."""
    erased_from_ms: int
    """The earliest time at which it may be erased by itself, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class DeletionPreview:
    """What deleting a conversation would concern."""

    conversation: str
    title: str | None
    messages: int
    text_bytes: int
    complete: bool
    """Whether all of the conversation is on this device; if not, the rest is deleted as it comes."""
    token: str
    """Pass it to `Conversation.delete_all`; it covers what this preview shows, and nothing that comes later."""


def preview(store: Store, row: ConversationRow) -> DeletionPreview:
    """What deleting a conversation would concern now."""
    weight = store.trash.weight(row.key)
    return DeletionPreview(
        conversation=row.id,
        title=row.title,
        messages=weight.messages,
        text_bytes=weight.text_bytes,
        complete=not store.missing.lacks_some_of(row.id),
        token=_token(store, row, weight),
    )


def _token(store: Store, row: ConversationRow, weight: Weight) -> str:
    head = store.documents.find(DocumentId(row.id, HEAD))
    fields = [] if head is None else sorted(stamp for stamp, _ in store.head(head).fields.values())
    content = f"{row.id}\0{weight.last_key}\0".encode() + weight.last_id
    content += b"".join(stamp.pack() for stamp in fields)
    return f"{weight.last_key}.{hashlib.sha256(store.identity.store_id + content).hexdigest()[:20]}"


def delete_all(
    store: Store,
    row: ConversationRow,
    token: str,
    now_ms: int,
    listener: DeletionListener | None = None,
) -> int:
    """Delete what a preview showed; return how many messages that were. Within a transaction.

    Raises:
        StalePreview: the token is of no preview of this conversation, or its title or the like changed since.
    """
    key = _key_of(token)
    weight = Weight(0, 0, key, store.trash.id_of(row.key, key) if key else b"")
    if token != _token(store, row, weight):
        raise StalePreview(
            "the conversation changed since the preview, or this is no preview of it; "
            "look at a new preview and delete with that"
        )
    ids = [MessageId(one) for one in store.trash.live(row.key, key)]
    # Time and device tell later what went with the conversation: no other deletion may have the same.
    now_ms = store.trash.free_ms(row.key, store.identity.device.raw, now_ms)
    tally = Tally(len(ids), listener)
    deletion.cover(store, row.id, DeletionKind.DELETED, ids, now_ms, tally)
    head = store.row(DocumentId(row.id, HEAD))
    if store.missing.lacks_some_of(row.id):
        store.missing.make_wish(
            row.id, Wish(store.trash.newest_id(row.key), now_ms, not head.is_new)
        )
        want(store, elsewhere(store, row.key), Wanted.YES)
    fields = tuple(sorted(stamp for stamp, _ in store.head(head).fields.values()))
    _say(store, head, DeletionKind.DELETED, fields, now_ms)
    return len(ids)


class Arrival:
    """One document that is about to be merged: what comes of a conversation that was deleted before is deleted.

    Only what this merge brings, and of that only messages about which no deletion or restoration says anything.
    """

    def __init__(self, store: Store, document: DocumentId) -> None:
        """Within a transaction, before the merge."""
        self._store = store
        self._document = document
        self._wish = store.missing.wish(document)
        self._before: set[bytes] = set() if self._wish is None else self._live()
        row = None if self._wish is None else store.documents.find(document)
        self._fields = set() if row is None else self._stamps(row)

    def _live(self) -> set[bytes]:
        row = self._store.documents.find(self._document)
        if row is None or self._wish is None or not self._document.is_segment:
            return set()
        self._store.readmodel.messages.flush()
        up_to = self._wish.up_to
        return set(self._store.trash.live_of_month(row.conversation, self._document.kind, up_to))

    def _stamps(self, row: DocumentRow) -> set[Stamp]:
        if not self._document.is_head:
            return set()
        return {stamp for stamp, _ in self._store.head(row).fields.values()}

    def settle(self) -> None:
        """Within the same transaction, after the merge."""
        store, document, wish = self._store, self._document, self._wish
        row = store.documents.find(document)
        if wish is None or row is None:
            return
        if document.is_segment:
            gained = self._live() - self._before
            said_about = store.readmodel.deletions.covering(row.key, gained).keys()
            ids = [MessageId(one) for one in gained - said_about]
            deletion.cover(store, document.conversation, DeletionKind.DELETED, ids, wish.at_ms)
        elif document.is_head and not wish.head:
            fields = tuple(sorted(self._stamps(row) - self._fields))
            store.missing.make_wish(document.conversation, wish._replace(head=1))
            if fields:
                _say(store, row, DeletionKind.DELETED, fields, wish.at_ms)


def _key_of(token: str) -> int:
    if not isinstance(token, str):
        raise InvalidValue(f"a token is a string, not {type(token).__name__}")
    key = token.partition(".")[0]
    return int(key) if key.isascii() and key.isdigit() and len(key) < 19 else 0


def restore_all(
    store: Store, row: ConversationRow, now_ms: int, listener: DeletionListener | None = None
) -> int:
    """Restore what went with the conversation when it was deleted; return how many messages. Within a transaction."""
    head = store.row(DocumentId(row.id, HEAD))
    store.missing.drop_wish(row.id)
    standing = [
        one
        for one in unsuperseded(store.head(head).deletions)
        if one.record.kind is DeletionKind.DELETED
    ]
    if not standing:
        return 0
    marks = {(one.record.at_ms, one.record.device) for one in standing}
    ids = [MessageId(one) for one in store.trash.deleted_with(row.key, marks)]
    here = [one for one in ids if store.readmodel.messages.find(row.key, one.raw) is not None]
    tally = Tally(len(here), listener)
    deletion.cover(store, row.id, DeletionKind.RESTORED, here, now_ms, tally)
    fields = {stamp for one in standing for stamp in one.record.fields}
    _say(store, head, DeletionKind.RESTORED, tuple(sorted(fields)), now_ms)
    return len(here)


def _say(
    store: Store, head: DocumentRow, kind: DeletionKind, fields: tuple[Stamp, ...], now_ms: int
) -> None:
    earlier: set[Stamp] = set()
    for one in store.head(head).deletions:
        earlier |= {one.stamp} | one.record.supersedes
    record = HeadDeletionRecord(kind, now_ms, store.identity.device.raw, fields, frozenset(earlier))
    key = store.next_stamp(head).key()
    store.write(head, [Entry(DELETIONS, key, encode_head_deletion(record))])


def erase_deleted(
    store: Store, *, until_ms: int | None, listener: DeletionListener | None = None
) -> int:
    """Erase deleted messages, and what deleted conversations were called; return how many messages.

    With ``until_ms`` only those whose retention began until then. Within a transaction.
    """
    by_conversation: dict[str, list[MessageId]] = {}
    for one in store.trash.deleted(until_ms=until_ms):
        by_conversation.setdefault(one.conversation, []).append(MessageId(one.id))
    tally = Tally(sum(map(len, by_conversation.values())), listener)
    for conversation, ids in by_conversation.items():
        deletion.erase(store, conversation, ids, tally)
    for head in list(store.documents.select("where d.kind = ?", (HEAD,))):
        _erase_head(store, head, until_ms)
    return sum(map(len, by_conversation.values()))


def first_erasable_ms(store: Store) -> int | None:
    """When the first retention began of what `erase_deleted` could erase; None if there is nothing."""
    found = [one.since_ms for one in store.trash.deleted()]
    for document in store.trash.deleted_heads():
        head = store.documents.by_key(document)
        since_ms = store.heads.deleted_since_ms(document)
        if since_ms is not None and _is_head_deleted(store, head):
            found.append(since_ms)
    return min(found, default=None)


def _is_head_deleted(store: Store, head: DocumentRow) -> bool:
    """Whether a conversation is gone and what it was called is still here."""
    shown = store.pages.conversation(head.id.conversation)
    if shown is not None and shown.listed:
        return False
    state = store.head(head)
    return bool(state.fields and not state.live and unsuperseded(state.deletions))


def _erase_head(store: Store, found: DocumentRow, until_ms: int | None) -> None:
    head = store.row(found.id)
    if not _is_head_deleted(store, head):
        return
    state = store.head(head)
    since_ms = store.heads.deleted_since_ms(head.key)
    if until_ms is not None and (since_ms is None or since_ms > until_ms):
        return
    erased: ErasedFields = {name_hash(name): stamp for name, (stamp, _) in state.fields.items()}
    for chunk in _chunks(sorted(erased)):
        value = encode_erased_fields({one: erased[one] for one in chunk})
        store.write(head, [Entry(ERASED, erased_key(value), value)])


def _chunks(names: list[bytes]) -> Iterable[list[bytes]]:
    for start in range(0, len(names), limits.IDS_PER_ENTRY):
        yield names[start : start + limits.IDS_PER_ENTRY]


def recently_deleted(store: Store, limit: int | None) -> list[DeletedMessage]:
    """See `Replica.recently_deleted`."""
    found = store.trash.deleted(limit=limit)
    rows = [store.pages.by_id(one.id, one.conversation) for one in found]
    messages = showing.shown(store, [row for row in rows if row is not None])
    kept_ms = retention_ms(store)
    return [
        DeletedMessage(message, one.since_ms, one.since_ms + kept_ms)
        for one, message in zip(found, messages, strict=True)
    ]


def retention_ms(store: Store) -> int:
    """How long deleted messages are kept."""
    days = store.setting("retention_days")
    return (days if type(days) is int and days >= 1 else limits.RETENTION_DAYS) * DAY_MS
