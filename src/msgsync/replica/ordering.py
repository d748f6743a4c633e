"""In which order documents go to who lacks them: a new device that reads them so can be used at once.

Source: design 7 and 9.
"""

from __future__ import annotations

from typing import NamedTuple

from msgsync.document.digest import bin_of
from msgsync.store.store import Store


class Order(NamedTuple):
    """Documents by key, as they go into a mailbox."""

    newest: list[int]
    """The account's own, then all heads, then each conversation's newest segment; by activity, newest first."""
    older: list[int]
    """The other segments, newest first."""


def in_order(store: Store, where: str = "", parameters: tuple[object, ...] = ()) -> Order:
    """For a mailbox: those that a condition on ``documents d`` selects, if anything is in them."""
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


def for_peer(
    store: Store,
    where: str = "",
    parameters: tuple[object, ...] = (),
    bins: frozenset[int] | None = None,
) -> list[int]:
    """For a peer: those that a condition on ``documents d`` selects, of conversations in these bins, by key.

    Heads with their conversation's newest segment first, by activity; then the other segments, newest first.
    """
    rows = [
        (row.conversation, row.newest_ms, row.key, row.id.is_segment)
        for row in store.documents.select(where, parameters)
        if row.known_digest and (bins is None or bin_of(row.id.conversation) in bins)
    ]
    newest: dict[int, int] = {}
    for conversation, ms, _, _ in rows:
        newest[conversation] = max(newest.get(conversation, -1), ms)

    def place(row: tuple[int, int, int, bool]) -> tuple[bool, int, int, bool]:
        conversation, ms, _, is_segment = row
        first = not is_segment or ms == newest[conversation]
        return (not first, -(newest[conversation] if first else ms), conversation, is_segment)

    return [key for _, _, key, _ in sorted(rows, key=place)]
