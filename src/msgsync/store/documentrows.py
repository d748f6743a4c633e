"""Rows of documents: found, made, remembered, and written when the transaction commits. Source: design 4 and 6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgsync.document.digest import document_share
from msgsync.document.frozen import Label
from msgsync.document.schema import DocumentId
from msgsync.errors import ReplicaDamaged
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow, Lack

_ROWS: Final = 4096
_ABSENT: Final = 100_000
"""So many documents are remembered not to be here: a session asks about each before it comes."""
_SELECT: Final = (
    "select d.key, d.conversation, d.kind, d.digest, d.lamport, d.changed_seq, d.newest_ms, d.messages, d.erased, "
    "d.orphans, d.superseded, d.log_rows, d.bytes, d.generation, d.base, d.writers, d.changed_ms, "
    "d.merged, d.lacks from documents d"
)

_TYPES: Final = [int, int, str, bytes, *[int] * 10, bytes, int, int, bytes, bytes]
"""Of the columns of `_SELECT`: SQLite keeps whatever it is given, and whatever damage makes of it."""


class DocumentRows:
    """Those of one replica, within the caller's transaction."""

    def __init__(self, database: Database) -> None:
        """Nothing is remembered yet."""
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

    def _reset_rows(self) -> None:
        """Forget what is cached, and what was changed. Keys that were given to rows are not given again."""
        self._forget_places()
        self._dirty.clear()
        self._made.clear()

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

    def whole_again(self) -> list[DocumentRow]:
        """Changed rows of what was let go of and is here as it was then."""
        return [row for row in self._dirty.values() if row.is_whole_again]

    def flush(self, seq: int, now_ms: int) -> int:
        """Write changed rows with this number of commit; return by how much the replica's digest changed."""
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
