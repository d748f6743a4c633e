"""What a repair could not save: remembered until it came back, or until the person accepts that it is gone.

It is kept beside the documents, in ``meta``, and compared with them when an exchange was completed and when somebody
asks. Source: design 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import cbor2

from msgsync.document.schema import ID_CHARACTERS, DocumentId
from msgsync.ids import MessageId, encode_ids
from msgsync.store.salvage import Missing
from msgsync.store.store import Store

_NAME: Final = "lost"


@dataclass(frozen=True, slots=True)
class Lost:
    """A document that was lost, or a part of it."""

    conversation: str | None
    """The conversation's id; None if not even that is known."""
    kind: str
    """``head``: its title and the like. ``2024-03``: what was said in this month."""
    messages: int
    """How many messages are missing, as far as is known; 0 too if that is not known, or only something about messages
    is."""
    ids: tuple[MessageId, ...]
    """Those of them that are known."""

    def __str__(self) -> str:
        """In words."""
        what = f"{self.messages:,} messages" if self.messages else "something"
        where = "an unknown conversation" if self.conversation is None else self.conversation
        return f"{what} of {where}, {self.kind}"


class Loss(NamedTuple):
    """What is missing still."""

    missing: tuple[Missing, ...]
    all_known: bool
    """Whether that is all, as far as digests can tell."""
    root: bytes
    """The digest of the replica when this was so: while it has that nothing came back."""
    before: bytes = b""
    """The digest of the replica when all was there: once it has that again all came back. Empty if it is not known."""

    @property
    def lost(self) -> tuple[Lost, ...]:
        """The same for who asks."""
        return tuple(
            Lost(one.conversation, one.kind, one.messages, tuple(map(MessageId, one.ids)))
            for one in self.missing
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The same in words; empty if nothing is missing."""
        more = () if self.all_known else ("more may be missing, of which no trace is left",)
        return (*map(str, self.lost), *more)


NOTHING: Final = Loss((), True, b"")


def remember(
    store: Store, missing: Iterable[Missing], *, all_known: bool, before: int | None
) -> None:
    """Keep what a repair found missing; nothing if that is nothing. Within a transaction.

    Args:
        store: of the repaired replica.
        missing: what is known to be missing.
        all_known: whether that is all.
        before: the digest of the replica when all was there, if it is known.
    """
    root = b"" if before is None else before.to_bytes(16, "big")
    _write(store, Loss(tuple(missing), all_known, b"", root))


def accept(store: Store) -> None:
    """What is missing will not come back: say no more of it. Within a transaction."""
    _write(store, NOTHING)


def remembered(store: Store) -> Loss:
    """What was missing when that was last looked at."""
    found = store.database.first("select value from meta where name = ?", (_NAME,))
    if found is None:
        return NOTHING
    try:
        all_known, root, rows, *before = cbor2.loads(found[0])
        return Loss(tuple(_missing(*row) for row in rows), all_known, root, *before)
    except (cbor2.CBORDecodeError, TypeError, ValueError):
        return Loss((), False, b"")  # damaged itself: it is known that something was lost


def is_due(store: Store) -> bool:
    """Whether anything is missing of which less may be after an exchange than when that was last looked at."""
    found = remembered(store)
    return found != NOTHING and (
        found.root != _root(store) or any(map(_is_doubtful, found.missing))
    )


def left(store: Store, *, exchanged: bool = False) -> Loss:
    """What is missing still, by what is here now.

    Once an exchange was completed a document is not named any more that was saved, and may lack something: whoever has
    more of it has given that.
    """
    found = remembered(store)
    if found.root == _root(store) and not exchanged:
        return found
    if found.before == _root(store):
        return NOTHING
    missing = (_left(store, one) for one in found.missing if not (exchanged and _is_doubtful(one)))
    left = tuple(one for one in missing if one is not None)
    return found._replace(missing=left, root=_root(store))


def settle(store: Store, *, exchanged: bool = False) -> None:
    """Forget what came back; see `left`. Within a transaction."""
    if remembered(store) != NOTHING:
        _write(store, left(store, exchanged=exchanged))


def _is_doubtful(missing: Missing) -> bool:
    """Whether a document was saved of which nothing says that more was there, or not."""
    return missing.digest is None and missing.saved != 0 and not (missing.ids or missing.slots)


def _root(store: Store) -> bytes:
    return store.root.to_bytes(16, "big")


def _write(store: Store, loss: Loss) -> None:
    store.database.execute("delete from meta where name = ?", (_NAME,))
    if loss.missing or not loss.all_known:
        rows = [
            [
                one.conversation,
                one.kind,
                None if one.digest is None else one.digest.to_bytes(16, "big"),
                one.messages,
                b"".join(one.ids),
                one.total,
                sorted([root, key] for root, key in one.slots),
                one.saved.to_bytes(16, "big"),
            ]
            for one in loss.missing
        ]
        value = cbor2.dumps([loss.all_known, loss.root, rows, loss.before])
        store.database.execute("insert into meta values(?, ?)", (_NAME, value))


def _missing(
    conversation: str | None,
    kind: str,
    digest: bytes | None,
    messages: int,
    ids: bytes,
    total: int,
    slots: list[Any],
    saved: bytes = b"",
) -> Missing:
    return Missing(
        conversation,
        kind,
        None if digest is None else int.from_bytes(digest, "big"),
        messages,
        tuple(
            ids[start : start + MessageId.BYTES] for start in range(0, len(ids), MessageId.BYTES)
        ),
        total,
        frozenset((root, key) for root, key in slots),
        int.from_bytes(saved, "big"),
    )


def _left(store: Store, missing: Missing) -> Missing | None:
    """What of a document is missing still; None if all is here that is known of it."""
    if missing.conversation is None:
        return missing
    row = store.documents.find(DocumentId(missing.conversation, missing.kind))
    if row is None:
        return missing
    if row.digest == missing.digest:
        return None
    if missing.digest is None and row.digest == missing.saved:
        return missing  # how much there was is not known, but nothing came
    erased = store.readmodel.erased_ids(row)
    entries = store.documents.entries(row)
    here = {entry[:2] for entry in entries}
    gone = set(encode_ids(list(erased)))
    slots = {slot for slot in missing.slots - here if slot[1][:ID_CHARACTERS] not in gone}
    known = erased | store.readmodel.messages.known(row.conversation, missing.ids)
    ids = tuple(one for one in missing.ids if one not in known)
    count = max(missing.total - row.messages - len(erased), len(ids))
    if count or slots:
        return replace(missing, messages=count, ids=ids)
    return None
