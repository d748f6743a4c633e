"""What can be saved of a damaged file: documents, and what is known of those that are lost. Source: design 4 and 6.

SQLite does not notice flipped bits, so nothing is believed because it can be read. A document is saved

- **whole**, if all its stored parts are there: each has a checksum, and together they have the document's digest;
- **from rows**, if what is left of the parts and the rows of the read model together have that digest: an entry can be
  made again from its row, and the digest says that it is the same, to the byte;
- **in part** otherwise: the entries of the parts that are there. What else the rows say is not trusted, since entries
  spread to other devices and can never be changed there; but the ids in them tell which messages are missing.

Which conversation a document belongs to is stored twice, in its row and in an index, and the digest of the replica
covers it: where the two differ the digest decides, and if it cannot the document is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Final, NamedTuple

from msgsync import limits
from msgsync.document.admission import admit
from msgsync.document.codec import entries_of, scan
from msgsync.document.digest import MODULUS, document_share
from msgsync.document.fold import fold
from msgsync.document.frozen import (
    NEVER_FROZEN,
    Label,
    Parts,
    base_of,
    decode_frozen,
    encode_frozen,
    freeze,
)
from msgsync.document.schema import (
    ERASED,
    ID_KEY,
    KIND,
    MESSAGES,
    DocumentId,
    Entry,
    id_of,
    segment_of,
)
from msgsync.errors import Inadmissible, InvalidValue, ReplicaDamaged
from msgsync.ids import check_conversation_id
from msgsync.store.documents import joined
from msgsync.store.pagefile import PageFile, PageRow
from msgsync.store.rowentries import RowEntries
from msgsync.store.updates import expanded

_UPDATES: Final = 1 << 20
"""As in `store.documents`: the key of a part is the document's key times this plus its number."""
_FRAME: Final = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins."""
_TRIES: Final = 4096
"""So many combinations of doubtful names are tried."""


class Identified(NamedTuple):
    """What a row of ``documents`` says."""

    conversation: int
    kind: str
    digest: int
    lamport: int
    messages: int
    parts: int
    label: Label


@dataclass(frozen=True, slots=True)
class Saved:
    """A document that was saved, or a part of it."""

    id: DocumentId
    parts: Parts
    lamport: int
    """The greatest ever seen in it, as far as is known."""
    from_rows: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """What a document lacks, or one that is lost."""

    conversation: str | None
    """None if it is not known."""
    kind: str
    digest: int | None
    """That of the document before, if it is known."""
    messages: int
    """How many of its messages are missing, as far as is known."""
    ids: tuple[bytes, ...]
    """Those that are known."""


@dataclass(slots=True)
class Salvage:
    """What was found in a damaged file."""

    saved: list[Saved] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    meta: dict[str, bytes] = field(default_factory=dict)
    """Facts about the replica: account, device."""
    peers: list[tuple[bytes, int]] = field(default_factory=list)
    """Devices, and when an exchange with them was complete."""
    wishes: list[tuple[str, bytes, int, int]] = field(default_factory=list)
    all_known: bool = False
    """Whether the digest of the replica confirms that every document was found, or is named as missing."""


def salvage(path: Path) -> Salvage:
    """Read all that is left of a damaged file. Nothing is written. Raises OSError."""
    return _Reader(PageFile(path).rows()).result()


class _Reader:
    """Sorts rows by their shape, then makes documents of them."""

    def __init__(self, rows: Iterable[PageRow]) -> None:
        self._found = Salvage()
        self._root: int | None = None
        self._gap: int | None = None
        """By how much the digest of the replica differs from what the rows of its documents say."""
        self._documents: dict[int, Identified] = {}
        self._indexed: dict[int, tuple[int, str]] = {}
        self._conversations: dict[int, str] = {}
        self._names: dict[int, set[str]] = {}
        self._packs: dict[int, bytes] = {}
        self._cut: dict[int, tuple[int, int, int]] = {}
        self._log: dict[int, bytes] = {}
        self._rows = RowEntries()
        for row in rows:
            (self._index_row if row.key is None else self._table_row)(row)

    # Sorting.

    def _table_row(self, row: PageRow) -> None:
        assert row.key is not None
        match row.values:
            case (None, bytes(body)) if body.startswith(_FRAME):
                (self._log if row.key >= _UPDATES else self._packs)[row.key] = body
            case (None, int(pack), int(start), int(size)):
                self._cut[row.key] = pack, start, size
            case (bytes(root), int(), int()) if len(root) == 16:
                self._root = int.from_bytes(root, "big")
            case (None, str(name), _, _, int(), int(), int(), _, _, _, int()):
                self._conversations[row.key] = name
            case (None, int(conversation), str(kind), bytes(digest), int(lamport), int(), int(), int(messages),
                  int(), int(), int(), int(parts), int(), int(generation), bytes(base), int(), int()):  # fmt: skip
                number = int.from_bytes(digest, "big")
                self._documents[row.key] = Identified(
                    conversation, kind, number, lamport, messages, parts, Label(generation, base)
                )
            case _:
                self._rows.table_row(row.key, row.values)

    def _index_row(self, row: PageRow) -> None:
        match row.values:
            case (int(conversation), str(kind), int(key)) if KIND.match(kind):
                self._indexed[key] = conversation, kind
            case (str("account" | "device" as name), bytes(value)):
                self._found.meta[name] = value
            case (str(name), int(key)):
                self._names.setdefault(key, set()).add(name)  # of an author or a conversation
            case (bytes(device), bytes(store), int(), int(at)) if (
                len(device) == 8 and len(store) == 16
            ):
                self._found.peers.append((device, at))
            case (str(name), bytes(up_to), int(at), int(head)) if len(up_to) == 12:
                self._found.wishes.append((name, up_to, at, head))
            case _:
                self._rows.index_row(row.values)

    # Making documents.

    def result(self) -> Salvage:
        """Make documents of what was found."""
        names = self._identify()
        shares = (document_share(one, self._digest_of(key)) for key, one in names.items())
        self._gap = None if self._root is None else (self._root - sum(shares)) % MODULUS
        stored = {key >> 20 for key in (*self._cut, *self._log)}
        for key in sorted(stored | self._documents.keys() | self._indexed.keys()):
            document = names.get(key)
            if document is None:
                self._miss(key, None, set())
            else:
                self._document(key, document)
        self._forgotten()
        self._found.all_known = self._gap == 0
        return self._found

    def _digest_of(self, key: int) -> int:
        return self._documents[key].digest if key in self._documents else 0

    def _identify(self) -> dict[int, DocumentId]:
        """The ids of documents that are sure."""
        choices: dict[int, list[DocumentId]] = {}
        for key in self._documents.keys() | self._indexed.keys():
            said = {self._place(key)}
            if key in self._indexed:
                said.add(self._indexed[key])
            choices[key] = sorted({one for place in said for one in self._candidates(*place)})
        names = {key: ids[0] for key, ids in choices.items() if len(ids) == 1}
        doubtful = {key: ids for key, ids in choices.items() if len(ids) > 1}
        for tried in islice(product(*doubtful.values()), _TRIES if doubtful else 0):
            ids = names | dict(zip(doubtful, tried, strict=True))
            shares = (document_share(one, self._digest_of(key)) for key, one in ids.items())
            if sum(shares) % MODULUS == self._root:
                return ids
        return names

    def _place(self, key: int) -> tuple[int, str]:
        """The conversation and the kind of a document, as its row says, or else the index."""
        row = self._documents.get(key)
        return self._indexed.get(key, (-1, "")) if row is None else (row.conversation, row.kind)

    def _candidates(self, conversation: int, kind: str) -> Iterator[DocumentId]:
        if not KIND.match(kind):
            return
        if conversation == 0:
            yield DocumentId("", kind)
            return
        name = self._conversations.get(conversation)
        for one in self._names.get(conversation, set()) | ({name} if name is not None else set()):
            # Another index has the names of authors by keys of their own.
            if one == name or not self._rows.is_author(conversation, one):
                try:
                    yield DocumentId(check_conversation_id(one), kind)
                except InvalidValue:
                    continue

    def _document(self, key: int, document: DocumentId) -> None:
        row = self._documents.get(key)
        stored = dict(self._stored(key))
        if [*stored] == [*range(len(stored))] and self._save_whole(
            key, document, row, [*stored.values()]
        ):
            return
        entries = _of_parts(document, stored)
        rows = {
            entry[:2]: entry for entry in self._rows.entries(key, self._place(key)[0], document)
        }
        union = [*(rows | entries).values()]
        if self._agrees(key, document, _digest(document, union)):
            self._save(document, row, union, from_rows=True)
            return
        # What was erased stays erased; anything else that only rows say may be wrong.
        believed = [entry for entry in rows.values() if entry.root == ERASED]
        left = [*entries.values(), *(one for one in believed if one[:2] not in entries)]
        if left:
            self._save(document, row, left, from_rows=False)
        self._miss(key, document, {one.key for one in left if one.root == MESSAGES})

    def _agrees(self, key: int, document: DocumentId, digest: int | None) -> bool:
        """Whether this is the digest of a document: by its row, or by the digest of the replica."""
        if digest is None:
            return False
        said = self._digest_of(key)
        if digest == said:
            return True
        change = document_share(document, digest) - document_share(document, said)
        if self._gap and change % MODULUS == self._gap:
            self._gap = 0
            return True
        return False

    def _stored(self, key: int) -> Iterator[tuple[int, bytes]]:
        """The parts of a document that are there and as they were written, by number."""
        unpacked: dict[int, bytes | None] = {}
        numbers = sorted({one for one in (*self._cut, *self._log) if one >> 20 == key})
        for number in numbers:
            if number in self._log:
                raw = _unpacked(self._log[number])
            else:
                pack, start, size = self._cut[number]
                if pack not in unpacked:
                    unpacked[pack] = _unpacked(self._packs.get(pack))
                whole = unpacked[pack]
                raw = whole[start : start + size] if whole is not None and 0 <= start else None
                if raw is not None and len(raw) != size:
                    raw = None
            if raw is not None:
                yield number & _UPDATES - 1, raw

    def _save_whole(
        self, key: int, document: DocumentId, row: Identified | None, stored: list[bytes]
    ) -> bool:
        """Save a document as it is stored, if it is what its digest says."""
        if row is None or not stored:
            return False
        frozen = stored[0] if row.label.generation else b""
        updates = stored[1:] if frozen else stored
        try:
            found = decode_frozen(document, frozen).entries() if frozen else []
            admitted = admit(document, updates, {}, set())
        except Inadmissible:
            return False
        if not self._agrees(key, document, _digest(document, joined(found, admitted.entries))):
            return False
        label = row.label if frozen else NEVER_FROZEN
        parts = Parts(label, frozen, tuple(updates))
        self._found.saved.append(Saved(document, parts, row.lamport, from_rows=False))
        return True

    def _save(
        self, document: DocumentId, row: Identified | None, entries: list[Entry], *, from_rows: bool
    ) -> None:
        """Save a document in frozen form."""
        content = encode_frozen(freeze(document, entries))
        generation = 0 if row is None else row.label.generation
        label = Label(min(generation + 1, limits.GENERATION), base_of(content))
        lamport = 0 if row is None else row.lamport
        parts = Parts(label, content, ())
        self._found.saved.append(Saved(document, parts, lamport, from_rows=from_rows))

    def _miss(self, key: int, document: DocumentId | None, kept: set[bytes]) -> None:
        row = self._documents.get(key)
        conversation, kind = self._place(key)
        name = self._conversations.get(conversation) if document is None else document.conversation
        of_kept = {id_of(one) for one in kept if ID_KEY.match(one)}
        ids = self._rows.ids_in(conversation, kind) - of_kept - self._rows.erased(key)
        count = 0 if row is None else row.messages - len(of_kept)
        digest = None if row is None else row.digest
        self._found.missing.append(
            Missing(name, kind, digest, max(count, len(ids)), tuple(sorted(ids)))
        )

    def _forgotten(self) -> None:
        """Months of which nothing is left but rows of messages."""
        here = {self._place(key) for key in self._documents.keys() | self._indexed.keys()}
        for conversation, ids in self._rows.ids().items():
            months: dict[str, list[bytes]] = {}
            for one in sorted(ids):
                months.setdefault(segment_of(int.from_bytes(one[:6], "big")), []).append(one)
            for kind, members in months.items():
                if (conversation, kind) not in here:
                    name = self._conversations.get(conversation)
                    missing = Missing(name, kind, None, len(members), tuple(members))
                    self._found.missing.append(missing)


def _digest(document: DocumentId, entries: list[Entry]) -> int | None:
    """The digest of entries of distinct keys; None if there are others."""
    if len({entry[:2] for entry in entries}) < len(entries):
        return None
    return fold(document, entries).digest


def _unpacked(body: bytes | None) -> bytes | None:
    if body is None:
        return None
    try:
        return expanded(body)
    except ReplicaDamaged:
        return None


def _of_parts(document: DocumentId, stored: dict[int, bytes]) -> dict[tuple[str, bytes], Entry]:
    """The entries of the parts that are there, whatever lies between them; of two values the greater one."""
    found: dict[tuple[str, bytes], Entry] = {}
    for raw in stored.values():
        for entry in _entries_of(document, raw):
            known = found.get(entry[:2])
            if known is None or entry.value > known.value:
                found[entry[:2]] = entry
    return found


def _entries_of(document: DocumentId, raw: bytes) -> list[Entry]:
    """The entries of one stored part of either form; none if it is not what was written."""
    try:
        return entries_of(scan(raw))
    except Inadmissible:
        pass  # no update, so it is a frozen form or damaged
    try:
        return decode_frozen(document, raw).entries()
    except Inadmissible:
        return []
