"""Messages in columns, field by field: a thousand of them are handled in the time of a few. Pure; source: design 8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

from msgsync.cbor import head_of
from msgsync.records import MessageColumns, encode_message_columns
from msgsync.records.fields import TEXT_HEADS


class Messages(NamedTuple):
    """Messages of one document in columns, checked, one place a message in each."""

    ids: Sequence[bytes]
    """12 bytes each, distinct."""
    times: Sequence[int]
    """The milliseconds of the ids, which whoever makes the columns has at hand."""
    authors: Sequence[bytes]
    texts: Sequence[bytes]
    orders: Sequence[int]
    externals: Sequence[bytes]
    """External ids; empty where there is none."""
    rests: Sequence[bytes]
    """CBOR maps of all later fields (see `records.Rest`); empty where there are none."""

    @classmethod
    def of(cls, messages: Iterable[tuple[bytes, MessageColumns]]) -> Messages:
        """Put messages, with their ids, into columns."""
        rows = [
            (one, int.from_bytes(one[:6], "big"), author, text, order, external or b"", rest or b"")
            for one, (author, text, order, external, rest) in messages
        ]
        columns: Any = map(list, zip(*rows, strict=True))
        return cls(*columns) if rows else NO_MESSAGES

    def chosen(self, places: Sequence[int]) -> Messages:
        """Those in these places, in this order."""
        columns: Any = ([column[place] for place in places] for column in self)
        return Messages(*columns)

    def between(self, start: int, end: int) -> Messages:
        """Those in places from ``start`` on and before ``end``."""
        columns: Any = (column[start:end] for column in self)
        return Messages(*columns)

    def joined(self, others: Messages) -> Messages:
        """These, and others behind them."""
        columns: Any = ([*column, *more] for column, more in zip(self, others, strict=True))
        return Messages(*columns)

    def values(self, front: Iterable[bytes] = repeat(b"")) -> list[bytes]:
        """The value of each message's entry, with something in front of it.

        The common record (no order, an external id and nothing beyond it) is formatted at once: a third of the time.

        Raises:
            InvalidValue: one is too long.
        """
        _, _, authors, texts, orders, externals, rests = self
        heads = TEXT_HEADS if max(map(len, texts), default=0) < len(TEXT_HEADS) else _HEADS
        names = {name: _HEADS[len(name)] + name for name in set(authors)}
        return [
            _COMMON % (before, names[author], heads[len(text)], text, heads[len(external)], external)
            if external and not order and not rest
            else before + encode_message_columns((author, text, order, external or None, rest or None))
            for before, author, text, order, external, rest in zip(
                front, authors, texts, orders, externals, rests, strict=False
            )
        ]  # fmt: skip


NO_MESSAGES: Final = Messages((), (), (), (), (), (), ())
_COMMON: Final = b"%b\xa3\x01%b\x02%b%b\x04%b%b"


class _Heads(dict[int, bytes]):
    """Heads of CBOR texts by size: those of short texts are kept."""

    def __missing__(self, size: int) -> bytes:
        return head_of(3, size)


_HEADS: Final = _Heads((size, head_of(3, size)) for size in range(256))
