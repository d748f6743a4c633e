"""In which order documents go into a mailbox: a new device that reads them so can be used at once. Source: design 9."""

from __future__ import annotations

from typing import NamedTuple

from msgsync.store.store import Store


class Order(NamedTuple):
    """Documents by key."""

    newest: list[int]
    """The account's own, then all heads, then each conversation's newest segment; by activity, newest first."""
    older: list[int]
    """The other segments, newest first."""


def in_order(store: Store, where: str = "", parameters: tuple[object, ...] = ()) -> Order:
    """Those that a condition on ``documents d`` selects, if anything is in them."""
    rows = [
        (row.conversation, row.newest_ms, row.key, row.id.is_segment)
        for row in store.documents.select(where, parameters)
        if row.digest
    ]
    activity: dict[int, int] = {}
    for conversation, ms, _, _ in rows:
        activity[conversation] = max(activity.get(conversation, -1), ms)
    newest: list[tuple[tuple[bool, bool, int, int], int]] = []
    older: list[tuple[tuple[int, int], int]] = []
    for conversation, ms, key, is_segment in rows:
        if is_segment and ms != activity[conversation]:
            older.append(((-ms, conversation), key))
        else:
            place = bool(conversation), is_segment, -activity[conversation], conversation
            newest.append((place, key))
    return Order([key for _, key in sorted(newest)], [key for _, key in sorted(older)])
