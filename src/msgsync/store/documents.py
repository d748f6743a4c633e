"""Documents in the store: rows, stored updates, the cache of loaded ones. Source: design 4, 5 and 6."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from msgsync import limits
from msgsync.document.admission import Admitted
from msgsync.document.codec import Block, compose, entries_of, join, scan
from msgsync.document.digest import document_share
from msgsync.document.frozen import Frozen, Label, Parts, decode_frozen
from msgsync.document.schema import DocumentId, Entry
from msgsync.errors import Inadmissible, ReplicaDamaged
from msgsync.store.database import Database
from msgsync.store.journal import Journal
from msgsync.store.rows import DocumentRow, Lack
from msgsync.store.updates import Updates, damaged

if TYPE_CHECKING:
    from msgsync.document.crdt import Document

_LOADED_BYTES_PER_ENTRY: Final = 550
_ROWS: Final = 4096
_ABSENT: Final = 100_000
"""So many documents are remembered not to be here: a session asks about each before it comes."""
_UPDATES: Final = 1 << 20
"""Room for the keys of one document's updates; its log is folded long before."""
_BASE_ENTRIES: Final = 10_000
"""Entries of frozen forms that are kept unpacked."""
_SELECT: Final = (
    "select d.key, d.conversation, d.kind, d.digest, d.lamport, d.changed_seq, d.newest_ms, d.messages, d.erased, "
    "d.orphans, d.superseded, d.log_rows, d.bytes, d.generation, d.base, d.writers, d.changed_ms, "
    "d.merged, d.lacks from documents d"
)

_TYPES: Final = [int, int, str, bytes, *[int] * 10, bytes, int, int, bytes, bytes]
"""Of the columns of `_SELECT`: SQLite keeps whatever it is given, and whatever damage makes of it."""


@contextmanager
def as_written() -> Iterator[None]:
    """Around what reads our own bytes: if admission would refuse them they are not what was written."""
    try:
        yield
    except Inadmissible as error:
        raise ReplicaDamaged(damaged(str(error))) from error


def _range(row: DocumentRow) -> tuple[int, int]:
    return row.key * _UPDATES, (row.key + 1) * _UPDATES


def _columns(row: DocumentRow) -> tuple[object, ...]:
    return (
        row.digest.to_bytes(16, "big"),
        row.lamport,
        row.changed_seq,
        row.newest_ms,
        row.messages,
        row.erased,
        int(row.orphans),
        int(row.superseded),
        row.log_rows,
        row.bytes,
        *row.label,
        row.writers,
        row.changed_ms,
        row.merged,
        b"" if row.lacks is None else row.lacks.pack(),
    )


class Documents:
    """Rows and bytes of documents, within the caller's transaction. Nothing here decides who wins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[DocumentId, DocumentRow] = {}
        self._absent: set[DocumentId] = set()
        self._conversations: dict[str, int | None] = {}
        """The keys of rows; None where there is none."""
        self._whole: set[int] = set()
        """Conversations of which every document's row is remembered."""
        self._next_conversation: int | None = None
        self._dirty: dict[int, DocumentRow] = {}
        self._made: list[DocumentRow] = []
        self._next: int | None = None
        self._stored = Updates(database)
        self._loaded: OrderedDict[int, Document] = OrderedDict()
        self._loaded_bytes: dict[int, int] = {}
        self._behind: dict[int, list[bytes]] = {}
        self._clocks: dict[int, int] = {}
        self._bases: OrderedDict[int, dict[tuple[str, bytes], bytes]] = OrderedDict()
        self.journal = Journal()
        self.client = 0
        self.writer = bytes(10)
        self.redraw_due = False
        """Whether a document lost what this opening wrote in it, so that its clocks must not count on."""

    def reset(self, client: int) -> None:
        """Forget what is cached and write under a fresh client id: at opening and after a failed transaction.

        A client id must never count the same clock twice (design 5).
        """
        self._forget_places()
        self._next_conversation = None
        self._dirty.clear()
        self._made.clear()
        self._next = None
        self._stored.reset()
        self._loaded.clear()
        self._loaded_bytes.clear()
        self._behind.clear()
        self._bases.clear()
        self.journal.forget()
        self.redraw(client)

    def redraw(self, client: int) -> None:
        """Write under a fresh client id from now on."""
        self._clocks.clear()
        self.redraw_due = False
        self.client = client
        self.writer = client.to_bytes(10, "big")

    # Rows.

    def find(self, document: DocumentId) -> DocumentRow | None:
        """The row of a document, or None if it is not here."""
        row = self._rows.get(document)
        if row is None and document not in self._absent:
            conversation = self.conversation(document.conversation)
            if conversation is not None and conversation not in self._whole:
                found = self._database.first(
                    f"{_SELECT} where d.conversation = ? and d.kind = ?",
                    (conversation, document.kind),
                )
                if found is not None:
                    return self._remember(_row(found, document))
            if len(self._absent) >= _ABSENT:
                self._absent.clear()
            self._absent.add(document)
        return row

    def remember(self, conversation_id: str) -> None:
        """Remember the rows of all documents of a conversation, so that none has to be looked for."""
        conversation = self.conversation(conversation_id)
        if conversation is None or conversation in self._whole:
            return
        where = f"{_SELECT} where d.conversation = ?"
        for found in self._database.execute(where, (conversation,)).fetchall():
            document = DocumentId(conversation_id, str(found[2]))
            if document not in self._rows:
                self._remember(_row(found, document))
        self._whole.add(conversation)

    def conversation(self, conversation_id: str) -> int | None:
        """The key of a conversation's row; 0 for the account's own documents, None if there is none."""
        if not conversation_id:
            return 0
        if conversation_id not in self._conversations:
            found = self._database.first(
                "select key from conversations where id = ?", (conversation_id,)
            )
            if len(self._conversations) >= _ABSENT:
                self._conversations.clear()
            self._conversations[conversation_id] = None if found is None else int(found[0])
        return self._conversations[conversation_id]

    def make(self, document: DocumentId) -> DocumentRow:
        """A row for a document that is not here; written when the transaction commits."""
        if self._next is None:
            newest = self._database.one("select max(key) from documents")[0]
            self._next = 1 if newest is None else newest + 1
        conversation = self.conversation(document.conversation)
        if conversation is None:
            conversation = self._make_conversation(document.conversation)
        row = self._remember(DocumentRow(self._next, document, conversation))
        self._absent.discard(document)
        self._next += 1
        self._made.append(row)
        return row

    def _make_conversation(self, conversation_id: str) -> int:
        if self._next_conversation is None:
            newest = self._database.one("select max(key) from conversations")[0]
            self._next_conversation = 1 if newest is None else newest + 1
        key = self._conversations[conversation_id] = self._next_conversation
        self._next_conversation += 1
        self._whole.add(key)
        self._database.later(
            "insert into conversations(key, id) values(?,?)", [(key, conversation_id)]
        )
        return key

    def _remember(self, row: DocumentRow) -> DocumentRow:
        self._rows[row.id] = row
        return row

    def trim(self) -> None:
        """Forget rows if there are many; between transactions, as within one somebody holds on to them."""
        if len(self._rows) > _ROWS:
            self._forget_places()

    def forget_rows(self) -> None:
        """Forget what is cached and may have been written by another process."""
        self._forget_places()
        self._loaded.clear()
        self._loaded_bytes.clear()
        self._bases.clear()
        self._stored.forget()

    def _forget_places(self) -> None:
        self._rows.clear()
        self._absent.clear()
        self._conversations.clear()
        self._whole.clear()

    def select(self, where: str, parameters: tuple[object, ...] = ()) -> Iterator[DocumentRow]:
        """Rows that a condition on ``documents d`` selects; not for changing."""
        # Not from the index, with which `check_name` compares.
        names = dict(self._database.execute("select key, id from conversations not indexed"))
        names[0] = ""
        for found in self._database.execute(f"{_SELECT} {where}", parameters):
            name, kind = names.get(found[1]), found[2]
            if type(name) is not str or type(kind) is not str:
                raise ReplicaDamaged("a document belongs to no conversation; run repair")
            yield _row(found, DocumentId(name, kind))

    def by_key(self, key: int) -> DocumentRow:
        """The row of a document that is here; not for changing."""
        found = self._database.one(f"{_SELECT} where d.key = ?", (key,))
        conversation = ""
        if found[1]:
            name = "select id from conversations where key = ?"
            [conversation] = self._database.one(name, (found[1],))
        return _row(found, DocumentId(conversation, found[2]))

    def check_name(self, row: DocumentRow) -> None:
        """Compare whose document it is, as rows say, with what the indexes say.

        Raises:
            ReplicaDamaged: they differ, so it must not be given away.
        """
        document = row.id
        sql = "select key from documents where conversation = 0 and kind = ?2 and ?1 = ''"
        if document.conversation:
            sql = (
                "select d.key from conversations c join documents d on d.conversation = c.key "
                "where c.id = ?1 and d.kind = ?2"
            )
        if self._database.first(sql, document) != (row.key,):
            raise ReplicaDamaged(
                f"whose document {document.kind} of {document.conversation!r} is was damaged; run repair"
            )

    def touch(self, row: DocumentRow) -> None:
        """Have the row written, and its share counted, when the transaction commits."""
        self._dirty[row.key] = row

    def flush(self, seq: int, now_ms: int) -> int:
        """Write changed rows with this number of commit; return by how much the replica's digest changed."""
        self._stored.finish()
        change = 0
        for row in self._dirty.values():
            known = row.known_digest
            change += document_share(row.id, known) - document_share(row.id, row.stored_digest)
            if known != row.stored_digest or row.changed_seq == 0:
                # Another form of the same entries is no change.
                row.changed_seq, row.changed_ms = seq, now_ms
            row.stored_digest = known
        made = {row.key for row in self._made}
        if made:
            self._database.executemany(
                "insert into documents values(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [(row.key, row.conversation, row.id.kind, *_columns(row)) for row in self._made],
            )
        self._database.executemany(
            "update documents set digest=?, lamport=?, changed_seq=?, newest_ms=?, messages=?, erased=?, orphans=?,"
            " superseded=?, log_rows=?, bytes=?, generation=?, base=?, writers=?, changed_ms=?,"
            " merged=?, lacks=? where key=?",
            [(*_columns(row), row.key) for row in self._dirty.values() if row.key not in made],
        )
        self._made.clear()
        self._dirty.clear()
        return change

    # Writing.

    def next_lamport(self, row: DocumentRow) -> int:
        """One above the greatest ever seen in the document, or the greatest there is."""
        return min(row.lamport + 1, limits.LAMPORT)

    def clock(self, row: DocumentRow) -> int:
        """How many entries of a document the present writer has written."""
        return self._clocks.get(row.key, 0)

    def write(self, row: DocumentRow, entries: Sequence[Entry]) -> None:
        """Store entries of this device. Their keys must be new to the document: then no item has an origin."""
        clock = self._clocks.get(row.key, 0)
        if not clock:
            row.writers += 1
        update = compose([Block(self.client, clock, list(entries))])
        self._clocks[row.key] = clock + len(entries)
        self.journal.wrote(row.id, self.client, clock, by_us=True)
        if row.key in self._loaded:
            self._behind.setdefault(row.key, []).append(update)  # applied when it is asked for
        self.append(row, update)

    def append(self, row: DocumentRow, update: bytes) -> None:
        """Add an update in normal form to what a document consists of."""
        self._stored.append(row.key * _UPDATES + row.log_rows, update)
        row.log_rows += 1
        row.bytes += len(update)
        self.touch(row)

    def put_frozen(self, row: DocumentRow, content: bytes, label: Label) -> None:
        """Begin a document, of which nothing is stored, with a frozen form."""
        row.label = label
        self.append(row, content)
        self.journal.wrote_frozen()

    # Reading.

    def parts(self, row: DocumentRow) -> Parts:
        """What a document consists of.

        Raises:
            ReplicaDamaged: a stored part is not what was written.
        """
        place = row.id.place
        try:
            stored = self._stored.read(*_range(row))
        except ReplicaDamaged as error:
            raise ReplicaDamaged(f"{place}: {error}") from error
        if len(stored) != row.log_rows:
            raise ReplicaDamaged(f"{place}: {damaged('not all of it is there')}")
        if not row.is_frozen:
            return Parts(row.label, b"", tuple(stored))
        return Parts(row.label, stored[0], tuple(stored[1:]))

    def entries(self, row: DocumentRow) -> list[Entry]:
        """All entries that are stored of a document, in no order; without pycrdt where that is sure to say the same.

        Raises:
            ReplicaDamaged: a stored part is not what was written.
        """
        with as_written():
            parts = None
            if row.key in self._loaded:
                entries = self.load(row).entries()
            else:
                parts = self.parts(row)
                entries = entries_of(join(map(scan, parts.updates)))
                if len({entry[:2] for entry in entries}) < len(entries):
                    entries = self.load(row).entries()
            if row.is_frozen:
                return joined(self.frozen(row, parts).entries(), entries)
        return entries

    def frozen(self, row: DocumentRow, parts: Parts | None = None) -> Frozen:
        """The frozen form of a document that has one. Raises Inadmissible where it is damaged."""
        return decode_frozen(row.id, (parts or self.parts(row)).frozen)

    def reread(self, row: DocumentRow) -> list[Entry]:
        """`entries`, from the file alone and as the CRDT says: for checking."""
        from msgsync.document.crdt import Document

        with as_written():
            parts = self.parts(row)
            entries = Document(parts.updates).entries()
            return joined(self.frozen(row, parts).entries(), entries) if row.is_frozen else entries

    def _beside(self, row: DocumentRow) -> dict[tuple[str, bytes], bytes]:
        """The entries of the frozen form by root and key, if there is one."""
        known = self._bases.pop(row.key, None)
        if known is None:
            known = {entry[:2]: entry.value for entry in self.frozen(row).entries()}
        self._bases[row.key] = known
        while len(self._bases) > 1 and sum(map(len, self._bases.values())) > _BASE_ENTRIES:
            self._bases.popitem(last=False)
        return known

    def load(self, row: DocumentRow) -> Document:
        """The loaded document, from the cache or from the store."""
        from msgsync.document.crdt import Document  # pycrdt is loaded with the first document

        document = self._loaded.pop(row.key, None)
        behind = self._behind.pop(row.key, ())
        with as_written():
            if document is None:
                document = Document(self.parts(row).updates)
            else:
                for update in behind:
                    document.apply(update)
        self._loaded[row.key] = document
        entries = row.messages + row.log_rows
        self._loaded_bytes[row.key] = 20_000 + _LOADED_BYTES_PER_ENTRY * entries + row.bytes
        while (
            len(self._loaded) > 1 and sum(self._loaded_bytes.values()) > limits.DOCUMENT_CACHE_BYTES
        ):
            oldest, _ = self._loaded.popitem(last=False)
            del self._loaded_bytes[oldest]
            self._behind.pop(oldest, None)
        return document

    def drop(self, row: DocumentRow) -> None:
        """Drop a loaded document, as after any exception from it."""
        self._loaded.pop(row.key, None)
        self._loaded_bytes.pop(row.key, None)
        self._behind.pop(row.key, None)
        self._bases.pop(row.key, None)

    def merge(
        self, row: DocumentRow, admitted: Admitted, frozen: Sequence[Entry] | None = None
    ) -> tuple[list[Entry], list[Entry]]:
        """Apply an admitted update; ``frozen``: the entries of the frozen form, if that is all that is here.

        Returns:
            The entries gained; and those, as received, of which another value was here under the same key.
        """
        from msgsync.document.crdt import resolved

        update, entries = admitted.update(), admitted.entries
        if admitted.ambiguous:  # one item a key, as admission asks of every single update
            blocks = resolved(admitted.blocks)
            update, entries = compose(blocks), entries_of(blocks)
        row.writers += admitted.writers
        for block in admitted.blocks:
            self.journal.wrote(row.id, block.client, block.clock)
        if row.is_new:
            self.append(row, update)
            return entries, []
        if frozen is not None:  # there is nothing to apply it to
            self.append(row, update)
            here = {entry[:2]: entry.value for entry in frozen}
            gained = [entry for entry in entries if entry[:2] not in here]
            differing = [
                entry for entry in entries if here.get(entry[:2], entry.value) != entry.value
            ]
            return gained, differing
        document = self.load(row)
        beside = self._beside(row) if row.is_frozen else {}
        before = {entry[:2]: _value(document, beside, entry[:2]) for entry in entries}
        try:
            document.apply(update)
        except BaseException:
            self.drop(row)
            raise
        gained = [
            Entry(*slot, _value(document, beside, slot) or b"")
            for slot, old in before.items()
            if old is None
        ]
        differing = [
            entry
            for entry in entries
            if before[entry[:2]] is not None and before[entry[:2]] != entry.value
        ]
        self.append(row, update)
        return gained, differing

    def state(self, row: DocumentRow) -> dict[int, int]:
        """The state vector of a document; empty if nothing of it is here."""
        with as_written():
            return {} if row.is_new else self.load(row).state()

    def update(self, row: DocumentRow, state: dict[int, int]) -> bytes:
        """What a peer with this state vector lacks of a document. Raises ReplicaDamaged."""
        with as_written():
            return self.load(row).update(state)

    def replace(self, row: DocumentRow, parts: Parts, *, ours: bool = False) -> None:
        """Let a document consist of other parts; of the same label without a frozen form, that stays as it is.

        ``ours`` says that what this opening wrote is still in the updates, under the same clocks. Else this opening
        must write under another client id from now on (design 5).
        """
        self.drop(row)
        first, behind = _range(row)
        keeps = row.is_frozen and parts.label == row.label and not parts.frozen
        self._stored.remove(first + keeps, behind)
        if keeps:
            row.log_rows, row.bytes = 1, self._stored.size(first)
        else:
            row.log_rows = row.bytes = 0
        if parts.label != row.label:
            row.label = parts.label
            self.journal.wrote_frozen()  # what the last commits wrote cannot be told by clocks any more
        if parts.frozen:
            self.append(row, parts.frozen)
        for update in parts.updates:
            self.append(row, update)
        row.writers = sum(len(scan(update)) for update in parts.updates)
        self.touch(row)
        if not ours and self._clocks.pop(row.key, 0):
            self.redraw_due = True


def joined(frozen: Sequence[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a frozen form and of the updates beside it; of two values under one key the greater one."""
    if not entries:
        return list(frozen)
    values = {entry[:2]: entry.value for entry in frozen}
    for entry in entries:
        slot = entry[:2]
        values[slot] = max(entry.value, values.get(slot, entry.value))
    return [Entry(*slot, value) for slot, value in values.items()]


def _value(
    document: Document, beside: dict[tuple[str, bytes], bytes], slot: tuple[str, bytes]
) -> bytes | None:
    value, frozen = document.get(*slot), beside.get(slot)
    return value if frozen is None else max(frozen, value or b"")


def _row(found: tuple[Any, ...], document: DocumentId) -> DocumentRow:
    (
        key,
        conversation,
        _,
        digest,
        lamport,
        seq,
        newest,
        messages,
        erased,
        orphans,
        superseded,
        log_rows,
        size,
        generation,
        base,
        writers,
        changed_ms,
        merged,
        lacks,
    ) = found
    if [*map(type, found)] != _TYPES or len(digest) != 16 or not Lack.is_packed(lacks):
        raise ReplicaDamaged("the row of a document is not what was written; run repair")
    if min(lamport, seq, messages, erased, log_rows, size, generation) < 0:
        raise ReplicaDamaged("the row of a document has a number that cannot be; run repair")
    row = DocumentRow(
        key=key,
        id=document,
        conversation=conversation,
        digest=int.from_bytes(digest, "big"),
        lamport=lamport,
        changed_seq=seq,
        newest_ms=newest,
        messages=messages,
        erased=erased,
        orphans=bool(orphans),
        superseded=bool(superseded),
        log_rows=log_rows,
        bytes=size,
        label=Label(generation, base),
        writers=writers,
        changed_ms=changed_ms,
        merged=merged,
        lacks=Lack.unpack(lacks),
    )
    row.stored_digest = row.known_digest
    return row
