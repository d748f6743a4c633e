"""What is said about a message: edits and reactions. Source: design 4."""

from __future__ import annotations

from msgsync.document.schema import EDITS, REACTIONS, Entry
from msgsync.ids import encode_id
from msgsync.records import EditRecord, ReactionRecord, encode_edit, encode_reaction
from msgsync.replica.names import Named, Names
from msgsync.replica.values import Message


def edit(names: Names, named: Named, text: str) -> Message | None:
    """See `Conversation.edit`."""
    with names.replica.writing() as store:
        one, is_here = names.target(named)
        row = names.document(one)
        record = EditRecord(text, names.replica.system.now_ms(), store.identity.device.raw)
        key = encode_id(one.raw) + b"." + names.stamp(store, row, one).key()
        store.write(row, [Entry(EDITS, key, encode_edit(record))])
        return names.shown(one) if is_here else None


def react(names: Names, named: Named, user: str, emoji: str, *, on: bool) -> Message | None:
    """See `Conversation.react` and, with ``on`` false, `Conversation.unreact`."""
    with names.replica.writing() as store:
        one, is_here = names.target(named)
        now_ms = names.replica.system.now_ms()
        value = encode_reaction(ReactionRecord(user, emoji, on, now_ms, store.identity.device.raw))
        if is_here:
            before = names.shown(one)
            if any((r.user, r.emoji) == (user, emoji) for r in before.reactions) == on:
                return before
        row = names.document(one)
        key = encode_id(one.raw) + b"." + names.stamp(store, row, one).key()
        store.write(row, [Entry(REACTIONS, key, value)])
        return names.shown(one) if is_here else None
