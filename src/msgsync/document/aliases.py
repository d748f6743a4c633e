"""Aliases: which messages are one, and under which id they are shown. Pure. Source: design 3, decision 18.

An app's own message has an id before its carrier gives it one; the carrier's echo makes another. An alias says that
the two are one. The ids may lie in different months, so the alias lies in both segments, about the id of each:

- Two ids are **joined** once both entries are here, each naming the other: so whatever arrives last of two documents,
  it arrives in one that names the message.
- Joining goes on from there: a group is all that joins lead to. Chains and cycles are groups like any other.
- A group is shown under one id, chosen among its messages that are here: one that no alias calls the carrier's, if
  there is one, and of those the least.
- An alias about an id that is not erased, naming one that is, erases its own id too. That is written as an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from msgsync.document.reader import Alias

Group = Mapping[bytes, Collection[Alias]]
"""The ids that are one message, and what aliases say about each."""


def joined(one: bytes, about: Callable[[bytes], Collection[Alias]]) -> Group:
    """Return the group of an id; ``about`` gives the aliases about an id."""
    known = {one: about(one)}
    group = {one: known[one]}
    waiting = [one]
    while waiting:
        current = waiting.pop()
        for alias in known[current]:
            other = alias.other
            if other in group:
                continue
            if other not in known:
                known[other] = about(other)
            if any(back.other == current for back in known[other]):
                group[other] = known[other]
                waiting.append(other)
    return group


def chosen(group: Group, here: Iterable[bytes]) -> bytes:
    """Return the id under which a group is shown, of those whose messages are here; at least one is."""
    return min(here, key=lambda one: (any(not alias.own for alias in group[one]), one))


def carriers_name(group: Group, shown: bytes) -> str | None:
    """Return the external id that a message has by its aliases; the least if there are several."""
    return min((alias.external_id for alias in group[shown] if alias.other in group), default=None)
