"""From rows of the store to what an app sees: messages, the list of conversations, figures. Source: design 12."""

from __future__ import annotations

from collections.abc import Sequence

from msgsync.ids import DeviceId, MessageId
from msgsync.records import decode_rest
from msgsync.replica import expiry, loss, removal, space
from msgsync.replica.attached import attachments
from msgsync.replica.values import (
    ConversationSummary,
    Edit,
    Message,
    PlaceStatus,
    Reaction,
    Status,
    message_of,
)
from msgsync.store.heads import FOREVER_MS
from msgsync.store.pages import ConversationRow, MessageRow
from msgsync.store.rows import DELETED
from msgsync.store.store import Store


def shown(store: Store, rows: Sequence[MessageRow]) -> list[Message]:
    """Messages as they are shown, from their rows."""
    rests = [decode_rest(row.rest) for row in rows]
    replies = [
        (row, rest.reply_to)
        for row, rest in zip(rows, rests, strict=True)
        if rest.reply_to is not None
    ]
    answered = _answered(store, replies) if replies else {}
    joined = _joined(store, replies, answered) if replies else {}
    details = store.pages.said(rows)
    messages = []
    for row, rest in zip(rows, rests, strict=True):
        said = details.get(row.key)
        reply_id: bytes | None
        external: str | None = None
        if isinstance(rest.reply_to, str):
            external = rest.reply_to
            reply_id = answered.get((row.conversation_key, external))
        else:
            reply_id = rest.reply_to
        if reply_id is not None:
            reply_id = joined.get((row.conversation_key, reply_id), reply_id)
        messages.append(
            message_of(
                MessageId(row.id),
                row.conversation,
                row.author,
                row.text,
                row.ms if rest.sent_ms is None else rest.sent_ms,
                row.ord,
                rest.kind or "text",
                None if reply_id is None else MessageId(reply_id),
                external,
                row.external if said is None or row.external else said.external,
                row.text if said is None or said.original is None else said.original,
                () if said is None else tuple([Edit(*edit) for edit in said.edits]),
                () if said is None else tuple([Reaction(*one) for one in said.reactions]),
                bool(row.flags & DELETED),
                None if said is None else said.deleted_ms,
                rest.extra,
                () if rest.attachments is None else attachments(store, rest.attachments),
            )
        )
    return messages


_Replies = Sequence[tuple[MessageRow, bytes | str]]
"""Rows of messages that answer others, and what they name those by."""


def _answered(store: Store, replies: _Replies) -> dict[tuple[int, str], bytes]:
    """The ids of the answered messages that rows name by external ids, where they are here."""
    asked: dict[tuple[int, str], set[str]] = {}
    for row, named in replies:
        if isinstance(named, str):
            asked.setdefault((row.conversation_key, row.conversation), set()).add(named)
    return {
        (key, external): message_id
        for (key, conversation), externals in asked.items()
        for external, message_id in store.pages.answered(key, externals, conversation).items()
    }


def _joined(
    store: Store, replies: _Replies, answered: dict[tuple[int, str], bytes]
) -> dict[tuple[int, bytes], bytes]:
    """The ids under which answered messages are shown, where aliases join them to others."""
    asked: dict[int, set[bytes]] = {}
    for row, named in replies:
        if isinstance(named, bytes):
            asked.setdefault(row.conversation_key, set()).add(named)
    for (key, _), one in answered.items():
        asked.setdefault(key, set()).add(one)
    return {
        (key, one): shown
        for key, ids in asked.items()
        for one, shown in store.pages.shown_ids(key, ids).items()
    }


def summaries(
    store: Store, rows: Sequence[ConversationRow], author: str | None, now_ms: int
) -> list[ConversationSummary]:
    """Lines of the list of conversations, from their rows; ``author`` is whose unread messages are counted."""
    newest = [
        None if row.last_message is None else store.pages.by_key(row.last_message) for row in rows
    ]
    messages = iter(shown(store, [row for row in newest if row is not None]))
    return [
        ConversationSummary(
            id=row.id,
            title=row.title,
            activity_ms=row.activity_ms,
            last_message=None if last is None else next(messages),
            unread=store.reading.count(row.key, author),
            pinned=bool(row.pinned),
            archived=bool(row.archived),
            muted=row.muted_ms is not None
            and (row.muted_ms == FOREVER_MS or row.muted_ms > now_ms),
            muted_until_ms=None if row.muted_ms in (None, FOREVER_MS) else row.muted_ms,
            deleted=not row.listed,
        )
        for row, last in zip(rows, newest, strict=True)
    ]


def status(
    store: Store,
    now_ms: int,
    places: tuple[PlaceStatus, ...],
    epochs_wait_for: tuple[str, ...],
) -> Status:
    """The state of a replica, with how it stands with the places where it syncs, and what `replica.forgetting` says."""
    path = store.database.path
    one = store.database.one(
        "select (select count(*) from conversations where activity_ms is not null),"
        " (select count(*) from documents), (select total(messages) from documents),"
        " (select count(*) from erased), (select count(*) from unreadable),"
        " (select count(*) from differing)"
    )
    refused = tuple(
        f"{conversation} {kind}: {reason}"
        for conversation, kind, reason in store.database.execute(
            "select conversation, kind, reason from refused order by conversation, kind"
        )
    )
    allowed = space.budget(store) or space.Budget(None, None)
    return Status(
        account=str(store.identity.account),
        device=str(store.identity.device),
        path=str(path),
        conversations=one[0],
        documents=one[1],
        messages=int(one[2]),
        months_elsewhere=store.missing.count_months_elsewhere(),
        history_months=store.missing.history_months(),
        erased=one[3],
        unreadable=one[4],
        differing=one[5],
        file_bytes=path.stat().st_size,
        digest=store.root.to_bytes(16, "big").hex(),
        refused=refused,
        erasure_pending=store.erasure_pending,
        cloned=store.cloned,
        only_here=removal.only_here(store),
        bytes_only_here=removal.bytes_only_here(store),
        attachment_bytes_here=store.attachments.bytes_here(),
        attachment_bytes_missing=store.attachments.bytes_missing(),
        attachment_budget=allowed.size,
        attachment_budget_days=allowed.days,
        attachments_paused=space.is_paused(store),
        expiry_waits_for=tuple(str(DeviceId(one)) for one in expiry.waited_for(store, now_ms)),
        epochs_wait_for=epochs_wait_for,
        clock_skew_ms=store.peers.clock_skew_ms(),
        lost=loss.remembered(store).words,
        sync_off_ms=store.places.off_since_ms(),
        places=places,
    )
