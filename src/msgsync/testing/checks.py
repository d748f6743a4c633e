"""Whether replicas show the same, and whether one of them is right with itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

from msgsync.ids import MessageId
from msgsync.replica.replica import Replica
from msgsync.replica.values import ConversationSummary, Message

_ALL = 2**31
_MOST_DIFFERENCES = 20


def view(replica: Replica) -> dict[str, dict[str, Any]]:
    """Everything an app can see of a replica, as plain values: dictionaries, lists, strings, numbers.

    By conversation id, newest activity first: what `Replica.conversations` says of it, and under ``messages`` every
    message by its id, in order, those in Recently Deleted too. Replicas that show the same have equal views.
    Reads everything; for tests.
    """
    with replica.reading():  # one moment, whatever other threads write meanwhile
        return {
            summary.id: _conversation(replica, summary)
            for summary in replica.conversations(include_deleted=True)
        }


def _conversation(replica: Replica, summary: ConversationSummary) -> dict[str, Any]:
    conversation = replica.conversation(summary.id)
    page = conversation.messages(limit=_ALL, include_deleted=True)
    newest = summary.last_message
    return {
        **_plain(summary),
        "last_message": None if newest is None else str(newest.id),
        "participants": list(conversation.participants),
        "metadata": conversation.metadata,
        "messages": {str(message.id): plain_message(message) for message in page},
    }


def plain_message(message: Message) -> dict[str, Any]:
    """A message as plain values."""
    values: dict[str, Any] = _plain(message)
    return values


def _plain(value: Any) -> Any:
    match value:
        case MessageId():
            return str(value)
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    if is_dataclass(value):
        # But for what is so on this device alone, which does not count when two are compared.
        return {
            each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.compare
        }
    return value


def assert_converged(*replicas: Replica) -> None:
    """Assert that replicas show the same and have equal digests, as they must after a completed exchange.

    Raises:
        AssertionError: they do not; says where they differ, and how.
    """
    if not replicas:
        return
    first, *others = replicas
    expected = view(first)
    for other in others:
        found = view(other)
        lines = list(islice(differences(expected, found), _MOST_DIFFERENCES + 1))
        if lines:
            names = f"{first.path.name} and {other.path.name} differ (left: {first.path.name}):"
            more = ["..."] if len(lines) > _MOST_DIFFERENCES else []
            raise AssertionError("\n  ".join([names, *lines[:_MOST_DIFFERENCES], *more]))
        if first.digest != other.digest:
            raise AssertionError(
                f"{first.path.name} and {other.path.name} show the same, but their digests differ: what decides "
                "later conflicts is not on both. Was the last exchange complete? Is check() all right?"
            )


def assert_sound(replica: Replica) -> None:
    """Assert that what a replica shows is what its documents say, and that every digest is right.

    Raises:
        AssertionError: it is not; says what is wrong.
    """
    report = replica.check()
    if not report.ok:
        raise AssertionError("\n  ".join([f"{replica.path.name} is not sound:", *report.problems]))


def differences(left: object, right: object, *place: str) -> Iterator[str]:
    """Where two views differ: one line for each place, as ``place: left, right``.

    Args:
        left: a view, or a part of one.
        right: what it is compared with.
        place: the names that lead to the two.
    """
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        yield from _differing_names(left, right, place)
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        yield from _differing_lists(left, right, place)
    elif left != right or type(left) is not type(right):
        yield _line(place, f"{left!r}, {right!r}")


def _differing_names(
    left: Mapping[str, Any], right: Mapping[str, Any], place: tuple[str, ...]
) -> Iterator[str]:
    for name, value in left.items():
        if name in right:
            yield from differences(value, right[name], *place, name)
        else:
            yield _line((*place, name), f"only left: {_short(value)}")
    for name, value in right.items():
        if name not in left:
            yield _line((*place, name), f"only right: {_short(value)}")
    if left.keys() == right.keys() and list(left) != list(right):
        yield _line(place, f"in another order: {list(left)}, {list(right)}")


def _differing_lists(
    left: Sequence[Any], right: Sequence[Any], place: tuple[str, ...]
) -> Iterator[str]:
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        yield from differences(one, other, *place, str(number))
    if len(left) != len(right):
        rest, side = (left, "left") if len(left) > len(right) else (right, "right")
        for number in range(min(len(left), len(right)), len(rest)):
            yield _line((*place, str(number)), f"only {side}: {_short(rest[number])}")


def _line(place: tuple[str, ...], what: str) -> str:
    return f"{' > '.join(place) or 'as a whole'}: {what}"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        told = value.get("text", value.get("title"))
        return repr(dict(value) if told is None else told)[:200]
    return repr(value)[:200]
