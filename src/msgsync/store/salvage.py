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

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, auto
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
    GONE,
    ID_KEY,
    KIND,
    MESSAGES,
    DocumentId,
    Entry,
    id_of,
    segment_of,
)
from msgsync.errors import Inadmissible, InvalidValue, ReplicaDamaged
from msgsync.ids import DeviceId, check_conversation_id, encode_ids
from msgsync.store.credentials import (
    EPOCHS,
    FORGOTTEN,
    ID_BYTES,
    KEYS,
    PHRASE,
    WRAPPED,
    Credentials,
)
from msgsync.store.documents import joined
from msgsync.store.encryption import Encrypt, leave_plain
from msgsync.store.origins import Origin, origins
from msgsync.store.pagefile import PageFile, PageRow
from msgsync.store.rowentries import RowEntries
from msgsync.store.updates import KEYS_PER_DOCUMENT, expanded

_FRAME: Final = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins."""
_TRIES: Final = 4096
"""So many combinations of doubtful names are tried."""


Slot = tuple[str, bytes]
"""Root and key of an entry."""


class Identified(NamedTuple):
    """What a row of ``documents`` says."""

    conversation: int
    kind: str
    digest: int
    lamport: int
    messages: int
    erased: int
    label: Label


class Whole(Enum):
    """How much of a document was saved, and of what."""

    AS_STORED = auto()
    FROM_ROWS = auto()
    """All of it, made again from rows and what parts there were."""
    IN_PART = auto()


@dataclass(frozen=True, slots=True)
class Saved:
    """A document that was saved, or a part of it."""

    key: int
    """Of its row in the damaged file."""
    id: DocumentId
    parts: Parts
    lamport: int
    """The greatest ever seen in it, as far as is known."""
    whole: Whole


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
    total: int
    """How many messages it had, erased ones included; 0 if that is not known."""
    slots: frozenset[Slot]
    """Roots and keys of entries that rows speak of and that were not saved."""
    saved: int = 0
    """The digest of what was saved of it."""


class Salvage:
    """What is left of a damaged file. Nothing is written.

    The file is read three times at most: for documents, for what rows say of those that are not whole, and for who
    brought what.
    """

    def __init__(self, path: Path, encrypt: Encrypt = leave_plain) -> None:
        """Read the file. Raises OSError, and what ``encrypt`` does."""
        self._file = PageFile(path, encrypt)
        self.meta: dict[str, bytes] = {}
        """Facts about the replica: account, device, and whether it was being filled."""
        self.secrets: dict[str, list[bytes]] = {
            KEYS: [],
            EPOCHS: [],
            PHRASE: [],
            FORGOTTEN: [],
            WRAPPED: [],
        }
        """What lies in either copy of the device's secrets."""
        self.statements: list[tuple[bytes, bytes]] = []
        """What lies in either copy of the roster: ids and statements."""
        self.peers: list[tuple[bytes, int, int]] = []
        """Devices, how often each began anew, and when an exchange with them was last complete."""
        self.wishes: list[tuple[str, bytes, int, int]] = []
        self._arrivals: dict[int, bytes] = {}
        self.missing: list[Missing] = []
        """Known when all documents have been taken."""
        self.root: int | None = None
        """The digest of the replica, if it was found."""
        self._gap: int | None = None
        """By how much the digest of the replica differs from what the rows of its documents say."""
        self._documents: dict[int, Identified] = {}
        self._indexed: dict[int, tuple[int, str]] = {}
        self._conversations: dict[int, str] = {}
        self._authors: dict[int, str] = {}
        self._names: dict[int, set[str]] = {}
        self._months: set[tuple[int, str]] = set()
        self._packs: dict[int, bytes] = {}
        self._cut: dict[int, tuple[int, int, int]] = {}
        self._log: dict[int, bytes] = {}
        self._parts: dict[int, list[int]] = {}
        self._unpacked: tuple[int, bytes | None] = (-1, None)
        self._unlisted: list[tuple[Missing, int]] = []
        """What may be missing of documents without a row, and the share in the digest of what was saved of them."""
        for row in self._file.rows():
            (self._index_row if row.key is None else self._table_row)(row)
        for number in sorted({*self._cut, *self._log}):
            self._parts.setdefault(number >> 20, []).append(number)

    @property
    def all_known(self) -> bool:
        """Whether every document was found, or is named as missing.

        The digest of the replica confirms it; if that is lost, that the index names no other documents than their rows.
        """
        if self._gap is None:
            listed = self._documents.keys()
            return bool(listed) and listed == self._indexed.keys() and not self.missing
        return self._gap == 0

    def add(self, credentials: Credentials) -> None:
        """Take what somebody still had in memory for saved as well."""
        self.secrets[KEYS].append(credentials.keys)
        self.secrets[EPOCHS].append(b"".join(credentials.epochs))
        if credentials.phrase is not None:
            self.secrets[PHRASE].append(credentials.phrase)
        self.secrets[FORGOTTEN].append(b"".join(credentials.forgotten))
        self.statements += credentials.statements.items()

    # Sorting.

    def _table_row(self, row: PageRow) -> None:
        assert row.key is not None
        match row.values:
            case (None, bytes(body)) if body.startswith(_FRAME):
                (self._log if row.key >= KEYS_PER_DOCUMENT else self._packs)[row.key] = body
            case (None, int(pack), int(start), int(size)):
                self._cut[row.key] = pack, start, size
            case (None, bytes(device)) if len(device) == DeviceId.BYTES:
                self._arrivals[row.key] = device
            case (bytes(root), int(), int()) if len(root) == 16:
                self.root = int.from_bytes(root, "big")
            # Columns that later versions add stand behind these.
            case (None, str(name), _, _, int(), int(), int(), _, _, _, int(), *_):
                self._conversations[row.key] = name
            case (None, int(conversation), str(kind), bytes(digest), int(lamport), int(), int(), int(messages),
                  int(erased), int(), int(), int(), int(), int(generation), bytes(base), *_):  # fmt: skip
                label = Label(generation, base)
                number = int.from_bytes(digest, "big")
                self._documents[row.key] = Identified(
                    conversation, kind, number, lamport, messages, erased, label
                )
            case (None, str(name)):
                self._authors[row.key] = name
            case (None, int(conversation), int(ms), int(), bytes(), int(), int(), str(), _, _, int(), *_):  # fmt: skip
                if 0 <= ms <= limits.MS:
                    self._months.add((conversation, segment_of(ms)))

    def _index_row(self, row: PageRow) -> None:
        match row.values:
            case (int(conversation), str(kind), int(key)) if KIND.match(kind):
                self._indexed[key] = conversation, kind
            case (str("account" | "device" | "filling" | "sync_off" as name), bytes(value)):
                self.meta[name] = value
            case (str(name), bytes(value)) if name in self.secrets:
                self.secrets[name].append(value)
            case (bytes(id), bytes(statement)) if len(id) == ID_BYTES:
                self.statements.append((id, statement))
            case (str(name), int(key)):
                self._names.setdefault(key, set()).add(name)  # of an author or a conversation
            case (bytes(device), bytes(store), int(renewals), int(at)) if (
                len(device) == 8 and len(store) == 16 and 0 <= renewals <= limits.MS
            ):
                self.peers.append((device, renewals, at))
            case (str(name), bytes(up_to), int(at), int(head)) if len(up_to) == 12:
                self.wishes.append((name, up_to, at, head))

    def origins(self) -> dict[bytes, list[Origin]]:
        """What rows say of which device brought what, by device."""
        found: dict[bytes, list[Origin]] = {}
        if self._arrivals:
            places = {
                key: self._place(key)[0] for key in self._documents.keys() | self._indexed.keys()
            }
            rows = self._file.rows()
            for one in origins(rows, self._arrivals, self._conversations, places):
                found.setdefault(one.device, []).append(one)
        return found

    # Making documents.

    def documents(self) -> Iterator[Saved]:
        """Every document of which anything can be saved; afterwards it is known what is missing."""
        names = self._identify()
        shares = (document_share(one, self._digest_of(key)) for key, one in names.items())
        self._gap = None if self.root is None else (self.root - sum(shares)) % MODULUS
        keys = self._parts.keys() | self._documents.keys() | self._indexed.keys()
        left: list[int] = []
        for key in sorted(keys):
            saved = self._whole(key, names[key]) if key in names else None
            if saved is None:
                left.append(key)
            else:
                yield saved
        forgotten = self._months - {self._place(key) for key in keys}
        if self._gap == 0:
            forgotten = set()  # there are no other documents, so these rows are not what they were
        if left or forgotten:
            places = forgotten | {self._place(key) for key in left}
            rows = RowEntries(self._file.rows(), {*left}, places, self._authors)
            for key in left:
                if key in names:
                    yield from self._rest(key, names[key], rows)
                else:
                    self._miss(key, None, set(), rows, set())
            for conversation, kind in sorted(forgotten):
                ids = tuple(sorted(rows.ids_in(conversation, kind)))
                name = self._conversations.get(conversation)
                self.missing.append(Missing(name, kind, None, len(ids), ids, 0, frozenset()))
        unlisted = sum(share for _, share in self._unlisted) % MODULUS
        if self._unlisted and unlisted == self._gap:  # all of them were saved whole
            self._gap = 0
            for missing, _ in self._unlisted:
                self.missing.remove(missing)

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
            if sum(shares) % MODULUS == self.root:
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
        indexed = self._names.get(conversation, set())  # names of authors by keys of their own, too
        said = {name} if name in indexed else indexed | ({name} if name is not None else set())
        for one in said:
            if one == name or self._authors.get(conversation) != one:
                try:
                    yield DocumentId(check_conversation_id(one), kind)
                except InvalidValue:
                    continue

    def _rest(self, key: int, document: DocumentId, rows: RowEntries) -> Iterator[Saved]:
        """A document from its rows, or what of it is left."""
        entries = _of_parts(document, [raw for _, raw in self._stored(key)])
        said = {one[:2]: one for one in rows.entries(key, self._place(key)[0], document)}
        home = self._at_home(key, entries, rows)
        for some in (entries, home):
            union = [*(said | some).values()]
            if self._agrees(key, document, _digest(document, union)):
                saved = self._frozen(key, document, union, Whole.FROM_ROWS)
                if saved is not None:
                    yield saved
                    return
        entries = home
        # What was erased stays erased; anything else that rows alone say may be wrong.
        erased = [
            one for slot, one in said.items() if one.root in (ERASED, GONE) and slot not in entries
        ]
        left = [*entries.values(), *erased]
        saved = self._frozen(key, document, left, Whole.IN_PART) if left else None
        if saved is None:
            left = []
        else:
            yield saved
        kept = {entry[:2] for entry in left}
        digest = _digest(document, left) or 0
        missing = self._miss(key, document, kept, rows, said.keys() - kept, digest)
        if key not in self._documents:
            self._unlisted.append((missing, document_share(document, digest)))

    def _at_home(self, key: int, entries: dict[Slot, Entry], rows: RowEntries) -> dict[Slot, Entry]:
        """Those entries that are not of another document, whose part got under this key.

        Where every message of the document has a row, no other message can be one of its own.
        """
        row = self._documents.get(key)
        known = rows.ids_in(*self._place(key))
        if row is None or len(known) < row.messages:
            return entries
        texts = set(encode_ids([*known, *rows.erased(key)]))
        return {
            slot: entry
            for slot, entry in entries.items()
            if entry.root != MESSAGES or entry.key in texts
        }

    def _agrees(self, key: int, document: DocumentId, digest: int | None) -> bool:
        """Whether this is the digest of a document: by its row, or by the digest of the replica."""
        if digest is None:
            return False
        said = self._digest_of(key)
        # That a document is empty has to be known: its row says so, or all others together are what there was.
        if digest == said and (key in self._documents or self._gap == 0):
            return True
        change = document_share(document, digest) - document_share(document, said)
        if self._gap and change % MODULUS == self._gap:
            self._gap = 0
            return True
        return False

    def _stored(self, key: int) -> Iterator[tuple[int, bytes]]:
        """The parts of a document that are there and as they were written, by number."""
        for number in self._parts.get(key, ()):
            raw = _unpacked(self._log[number]) if number in self._log else self._cut_out(number)
            if raw is not None:
                yield number % KEYS_PER_DOCUMENT, raw

    def _cut_out(self, number: int) -> bytes | None:
        pack, start, size = self._cut[number]
        if self._unpacked[0] != pack:
            self._unpacked = pack, _unpacked(self._packs.get(pack))
        raw = self._unpacked[1]
        if raw is None or start < 0 or size < 0 or start + size > len(raw):
            return None
        return raw[start : start + size]

    def _whole(self, key: int, document: DocumentId) -> Saved | None:
        """A document as it is stored, if it is what its digest says."""
        row = self._documents.get(key)
        numbered = dict(self._stored(key))
        if row is None or not numbered or [*numbered] != [*range(len(numbered))]:
            return None
        stored = [*numbered.values()]
        frozen = stored.pop(0) if row.label.generation else b""
        try:
            found = decode_frozen(document, frozen).entries() if frozen else []
            admitted = admit(document, stored, {}, set())
        except Inadmissible:
            return None
        if not self._agrees(key, document, _digest(document, joined(found, admitted.entries))):
            return None
        label = row.label if frozen else NEVER_FROZEN
        parts = Parts(label, frozen, tuple(stored))
        return Saved(key, document, parts, row.lamport, Whole.AS_STORED)

    def _frozen(
        self, key: int, document: DocumentId, entries: list[Entry], whole: Whole
    ) -> Saved | None:
        """Entries as a frozen document; None if they are too many for one."""
        row = self._documents.get(key)
        try:
            content = encode_frozen(freeze(document, entries))
        except Inadmissible:
            return None
        generation = 0 if row is None else row.label.generation
        label = Label(min(generation + 1, limits.GENERATION), base_of(content))
        lamport = 0 if row is None else row.lamport
        return Saved(key, document, Parts(label, content, ()), lamport, whole)

    def give_up(self, saved: Saved) -> None:
        """Name as missing what was saved of a document: it cannot be taken in."""
        row = self._documents.get(saved.key)
        is_all = (
            saved.whole is not Whole.IN_PART
        )  # else what was not saved of it is named by itself
        self.missing.append(
            Missing(
                conversation=saved.id.conversation,
                kind=saved.id.kind,
                digest=None if row is None else row.digest,
                messages=row.messages if row is not None and is_all else 0,
                ids=(),
                total=0 if row is None else row.messages + row.erased,
                slots=frozenset(),
            )
        )

    def _miss(
        self,
        key: int,
        document: DocumentId | None,
        kept: AbstractSet[Slot],
        rows: RowEntries,
        slots: AbstractSet[Slot],
        saved: int = 0,
    ) -> Missing:
        row = self._documents.get(key)
        conversation, kind = self._place(key)
        name = self._conversations.get(conversation) if document is None else document.conversation
        of_kept = {id_of(one) for root, one in kept if root == MESSAGES and ID_KEY.match(one)}
        ids = rows.ids_in(conversation, kind) - of_kept - rows.erased(key)
        missing = Missing(
            conversation=name,
            kind=kind,
            digest=None if row is None else row.digest,
            messages=max(0 if row is None else row.messages - len(of_kept), len(ids)),
            ids=tuple(sorted(ids)),
            total=0 if row is None else row.messages + row.erased,
            slots=frozenset(slots),
            saved=saved,
        )
        self.missing.append(missing)
        return missing


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


def _of_parts(document: DocumentId, stored: list[bytes]) -> dict[Slot, Entry]:
    """The entries of the parts that are there, whatever lies between them; of two values the greater one."""
    found: dict[Slot, Entry] = {}
    for raw in stored:
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
