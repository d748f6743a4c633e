"""Which device brought what a damaged file holds, as far as its rows say, and how a repaired one goes on knowing it.

No checksum confirms it, and nothing rests on it: it is what a person looks through after a device was revoked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from msgsync import limits
from msgsync.document.schema import DocumentId, segment_of
from msgsync.ids import MessageId
from msgsync.store.pagefile import PageRow

if TYPE_CHECKING:
    from msgsync.store.store import Store

_MOVE_MESSAGE: Final = (
    "update messages set changed_seq = ?1 where ms = ?3 and tail = ?4 "
    "and conversation = (select key from conversations where id = ?2)"
)
_MOVE_ERASURE: Final = "update erased set changed_seq = ?1 where document = ?2 and id = ?3"
_MOVE_CONVERSATION: Final = "update conversations set changed_seq = ?1 where id = ?2"


class Origin(NamedTuple):
    """Something that a device brought and nobody has changed since."""

    device: bytes
    conversation: str
    id: bytes | None
    """Of a message, here or erased; None for what is said of the conversation itself."""


def origins(
    rows: Iterable[PageRow],
    arrivals: Mapping[int, bytes],
    names: Mapping[int, str],
    documents: Mapping[int, int],
) -> Iterator[Origin]:
    """What the rows of a file say; rows are told apart by their shape.

    Args:
        rows: all of them.
        arrivals: which device a commit took something in from.
        names: ids of conversations, by key.
        documents: keys of the conversations of documents, by key.
    """
    for row in rows:
        match row.key, row.values:
            case int(), (None, int(key), int(ms), int(), bytes(tail), int(), int(), str(), _, _,
                         int(seq), *_):  # fmt: skip
                one = ms.to_bytes(6, "big") + tail if 0 <= ms <= limits.MS else b""
                device, name = arrivals.get(seq), names.get(key)
                if device is not None and name is not None and len(one) == MessageId.BYTES:
                    yield Origin(device, name, one)
            case int(), (None, str(name), _, _, int(), int(), int(), _, _, _, int(seq), *_):
                device = arrivals.get(seq)
                if device is not None:
                    yield Origin(device, name, None)
            case None, (int(document), bytes(one), int(seq)) if len(one) == MessageId.BYTES:
                device, name = arrivals.get(seq), names.get(documents.get(document, -1))
                if device is not None and name is not None:
                    yield Origin(device, name, one)


def keep(store: Store, device: bytes, found: Collection[Origin]) -> None:
    """Have what is here of all this count as taken in from a device by this commit. Within a transaction."""
    seq = store.seq + 1
    store.arrivals.note(seq, device)
    named = {one.conversation for one in found if one.id is None}
    store.database.executemany(_MOVE_CONVERSATION, [(seq, one) for one in named])
    one_of_each = {row.id.conversation: row.id for row in store.documents.select("")}
    touched = {one_of_each[one] for one in named & one_of_each.keys()}
    for _, conversation, one in found:
        if one is None:
            continue
        ms, tail = int.from_bytes(one[:6], "big"), one[6:]
        row = store.documents.find(DocumentId(conversation, segment_of(ms)))
        if row is not None:
            store.database.execute(_MOVE_MESSAGE, (seq, conversation, ms, tail))
            store.database.execute(_MOVE_ERASURE, (seq, row.key, one))
            touched.add(row.id)
    for document in touched:
        row = store.row(document)
        row.changed_seq = 0  # its rows have changed with this commit
        store.documents.touch(row)
