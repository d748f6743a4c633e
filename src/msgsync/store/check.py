"""Checking a replica: the read model against a rebuild, digests against a recount. Source: design 2, 4 and 6."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import apsw

from msgsync.document.aliases import Group, chosen, joined
from msgsync.document.digest import MODULUS, document_share
from msgsync.document.fold import SegmentState, fold, fold_segment
from msgsync.document.head import HeadState
from msgsync.document.reader import Alias, EntryReader
from msgsync.document.schema import DocumentId, Entry, segment_of
from msgsync.errors import InvalidValue, ReplicaDamaged, StorageError
from msgsync.store.documents import as_written
from msgsync.store.expected import Joined, expected_rows
from msgsync.store.heads import Flags, field_columns, read_columns
from msgsync.store.rows import DELETED, EDITED, HIDDEN, LINKED, REACTED, DocumentRow
from msgsync.store.seal import is_as_it_was_sealed, must_have_seal
from msgsync.store.store import Store
from msgsync.store.vocabulary import wrongly_filed

_DAMAGE: Final = (
    apsw.Error,
    StorageError,
    InvalidValue,
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
    AttributeError,
)
"""What reading rows may raise that are not what was written."""
_OF_DOCUMENTS: Final = (
    "edits",
    "reactions",
    "deletions",
    "covered",
    "erased",
    "gone",
    "aliases",
    "fields",
    "reads",
    "unreadable",
    "differing",
)
_PARTS: Final = {
    "stored parts belong to no document": (
        "select count(*) from (select key from updates union all select key from log) p "
        "where not exists(select 1 from documents d where d.key = p.key >> 20)"
    ),
    "documents do not have as many stored parts as they should": (
        "select count(*) from documents d where d.log_rows != "
        "(select count(*) from updates where key >= d.key << 20 and key < (d.key + 1) << 20) + "
        "(select count(*) from log where key >= d.key << 20 and key < (d.key + 1) << 20)"
    ),
    "packs hold no document": (
        "select count(*) from packs where key not in (select pack from updates)"
    ),
}
_FOLDED: Final = 4
"""So many other documents are kept folded, for messages that aliases join."""


class Check:
    """One pass over all documents; every finding is a sentence in ``problems``."""

    def __init__(self, store: Store, account: Callable[[Store], Iterable[str]]) -> None:
        """``account`` says what is wrong with keys and roster: what they mean the layers above know."""
        self._store = store
        self._account = account
        self._execute = store.database.execute
        self._aliases = 0
        self._folded: dict[DocumentId, SegmentState] = {}
        self.problems: list[str] = []
        self.documents = 0
        self.entries = 0

    def run(self) -> None:
        """Look at everything; changes nothing, and raises nothing that damage may cause."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[int]:
        """The same, one document after the other: yields how many are done, so that somebody can be told."""
        with self._noting("pages"):
            for (answer,) in self._execute("pragma integrity_check(10)"):
                if answer != "ok":
                    self.problems.append(f"SQLite reports: {answer}")
        with self._noting("the seal"):
            path = self._store.database.path
            if must_have_seal(path) and not is_as_it_was_sealed(path):
                self.problems.append("the backup is not as it was sealed: take another one")
        with self._noting("the account"):
            self.problems.extend(self._account(self._store))
        with self._noting("what devices have"):
            self._store.standings()
        with self._noting("documents"):
            yield from self._documents()
        with self._noting("stored parts"):
            self._parts()
        with self._noting("rows"):
            self._strangers()
        with self._noting("conversations"):
            self._conversations()
        with self._noting("the search index"):
            self._search()

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Make a finding of what reading damaged rows may raise."""
        try:
            yield
        except _DAMAGE as error:
            self.problems.append(f"{what} cannot be read: {error}")

    def _documents(self) -> Iterator[int]:
        root = messages = 0
        for row in list(self._store.documents.select("")):
            self.documents += 1
            root += document_share(row.id, row.known_digest)
            messages += row.messages
            with self._noting(row.id.place):
                self._document(row)
            yield self.documents
        if root % MODULUS != self._store.root:
            self.problems.append("the digest of the replica is not the sum of its documents")
        rows = self._store.database.one("select count(*) from messages")[0]
        if rows != messages:
            self.problems.append(
                f"there are {rows} rows of messages, but documents hold {messages}"
            )
        if self._store.database.one("select count(*) from aliases")[0] != self._aliases:
            self.problems.append("there are aliases that no document holds")

    def _parts(self) -> None:
        """Whether stored parts belong to documents, and packs hold nothing else."""
        for what, sql in _PARTS.items():
            wrong = self._store.database.one(sql)[0]
            if wrong:
                self.problems.append(f"{wrong} {what}")

    def _strangers(self) -> None:
        """Whether rows are about documents that are here, and no newer than the last commit."""
        for table in _OF_DOCUMENTS:
            wrong = self._store.database.one(
                f"select count(*) from {table} where document not in (select key from documents)"
            )[0]
            if wrong:
                self.problems.append(f"{table}: {wrong} rows are of no document")
        wrong = self._store.database.one(
            "select count(*) from elsewhere "
            "where document not in (select key from documents where lacks != x'')"
        )[0]
        if wrong:
            self.problems.append(f"elsewhere: {wrong} rows are of no month that was let go of")
        for table in ("messages", "documents", "conversations", "erased", "gone"):
            wrong = self._store.database.one(
                f"select count(*) from {table} where changed_seq > (select seq from state)"
            )[0]
            if wrong:
                self.problems.append(f"{table}: {wrong} rows were changed after the last commit")

    def _report(self, row: DocumentRow, what: str) -> None:
        place = row.id.place
        self.problems.append(what if what.startswith(f"{place}: ") else f"{place}: {what}")

    def _document(self, row: DocumentRow) -> None:

        try:
            with as_written():
                entries = self._store.documents.reread(row)
        except ReplicaDamaged as error:
            self._report(row, str(error))
            return
        self.entries += len(entries)
        state = fold(row.id, entries)
        if isinstance(state, SegmentState):
            self._compare(row, self._expected(row, state, entries), self._stored(row))
            newest = max((int.from_bytes(one[:6], "big") for one in state.messages), default=-1)
            if row.newest_ms < newest:
                self._report(row, "a message is newer than the newest that was seen")
            if row.erased != len(state.erased):
                self._report(row, "the count of erased messages is wrong")
        else:
            self._fields(row, state)
        if state.digest != row.digest:
            self._report(row, "the digest is not that of the document")
        if state.lamport > row.lamport:
            self._report(row, "the Lamport number is below one in the document")

    def _compare(
        self, row: DocumentRow, expected: Mapping[str, set[Any]], stored: dict[str, set[object]]
    ) -> None:
        for table, rows in expected.items():
            missing, extra = rows - stored[table], stored[table] - rows
            if missing or extra:
                self._report(
                    row,
                    f"{table}: {len(missing)} rows are missing or wrong, {len(extra)} should not be there",
                )

    def _stored(self, row: DocumentRow) -> dict[str, set[object]]:
        tables = {
            "edits": "id, lamport, writer, text, at, device",
            "deletions": "lamport, writer, kind, at, device, ids, supersedes",
            "covered": "id, lamport, writer",
            "erased": "id",
            "gone": "attachment",
            "unreadable": "root, key",
        }
        stored: dict[str, set[object]] = {
            table: set(
                self._execute(f"select {columns} from {table} where document = ?", (row.key,))
            )
            for table, columns in tables.items()
        }
        stored["reactions"] = set(
            self._execute(
                "select r.id, a.name, r.emoji, r.lamport, r.writer, r.shown, r.at, r.device "
                "from reactions r join authors a on a.key = r.user where r.document = ?",
                (row.key,),
            )
        )
        stored["aliases"] = set(
            self._execute(
                "select id, key, other, external, sent, own from aliases "
                "where conversation = ? and document = ?",
                (row.conversation, row.key),
            )
        )
        self._aliases += len(stored["aliases"])
        stored["messages"] = set(self._stored_messages(row))
        return stored

    def _stored_messages(self, row: DocumentRow) -> Iterator[object]:
        reader = EntryReader(row.id)
        low, high = _month(row.id.kind)
        for ms, tail, *columns in self._execute(
            "select m.ms, m.tail, m.ord, m.flags, a.name, m.text, m.external, m.rest "
            "from messages m join authors a on a.key = m.author "
            "where m.conversation = ? and m.ms >= ? and m.ms < ?",
            (row.conversation, low, high),
        ):
            message_id = ms.to_bytes(6, "big") + tail
            if reader.is_here(message_id):
                yield message_id, *columns

    def _expected(
        self, row: DocumentRow, state: SegmentState, entries: list[Entry]
    ) -> dict[str, set[object]]:
        shown: dict[bytes, Joined] = {}
        for one in state.aliases:
            group = joined(one, lambda other: self._about(row, state, other))
            if len(group) > 1 and one in state.messages:
                shown[one] = self._joined(row, state, one, group)
        return expected_rows(row.id, state, entries, shown)

    def _joined(self, row: DocumentRow, state: SegmentState, one: bytes, group: Group) -> Joined:
        states = {member: self._state_of(row, state, member) for member in group}
        edits = [states[member].edits.get(member, [])[-1:] for member in group]
        last = max((edit for found in edits for edit in found), default=None)
        reacted = any(
            member in {each for each, _, _ in states[member].reactions} for member in group
        )
        deleted = any(states[member].deletion(member) for member in group)
        hidden = one != chosen(group, [each for each in group if each in states[each].messages])
        flags = LINKED | (EDITED if last else 0) | (REACTED if reacted else 0)
        flags |= (HIDDEN | DELETED) if hidden else DELETED if deleted else 0
        return flags, None if last is None else last.record.text

    def _about(
        self, row: DocumentRow, state: SegmentState, message_id: bytes
    ) -> frozenset[Alias] | set[Alias]:
        return self._state_of(row, state, message_id).aliases.get(message_id, frozenset())

    def _state_of(self, row: DocumentRow, state: SegmentState, message_id: bytes) -> SegmentState:
        """What the document of a message says; an empty state if it is not here or cannot be read."""
        document = DocumentId(
            row.id.conversation, segment_of(int.from_bytes(message_id[:6], "big"))
        )
        if document == row.id:
            return state
        if document not in self._folded:
            if len(self._folded) >= _FOLDED:
                self._folded.clear()
            self._folded[document] = self._fold(document)
        return self._folded[document]

    def _fold(self, document: DocumentId) -> SegmentState:
        row = self._store.documents.find(document)
        if row is None:
            return SegmentState()
        try:
            with as_written():
                entries = self._store.documents.reread(row)
        except ReplicaDamaged:
            return SegmentState()  # reported when its turn comes
        return fold_segment(document, entries)

    def _fields(self, row: DocumentRow, state: HeadState) -> None:
        expected = {"fields": set(field_columns(state)), "reads": set(read_columns(state))}
        tables = {
            "fields": "name, lamport, writer, value",
            "reads": "lamport, writer, ms, ord, tail, from_ms, seen",
        }
        stored: dict[str, set[object]] = {
            table: set(
                self._execute(f"select {columns} from {table} where document = ?", (row.key,))
            )
            for table, columns in tables.items()
        }
        self._compare(row, expected, stored)
        if row.id.is_head:
            shown = self._store.database.one(
                "select title, created_ms, live, pinned, archived, muted_ms from conversations where key = ?",
                (row.conversation,),
            )
            if shown != Flags.of(state):
                self._report(row, "the row of the conversation is not what the head says")

    def _search(self) -> None:
        wrong = wrongly_filed(self._store.database, self._store.tokenizer)
        if wrong:
            self.problems.append(
                f"the search index knows at least {wrong} messages by other words than theirs"
            )

    def _conversations(self) -> None:
        newest = (
            "(select {} from messages m where m.conversation = c.key and not m.flags & 1"
            " order by ms desc, ord desc, tail desc limit 1)"
        )
        activity = (
            f"iif({newest.format('ms')} is null, iif(live, coalesce(created_ms, 0), null),"
            f" max({newest.format('ms')}, iif(live, coalesce(created_ms, 0), 0)))"
        )
        wrong = self._store.database.one(
            f"select count(*) from conversations c where last_message is not {newest.format('key')}"
            f" or activity_ms is not {activity}"
        )[0]
        if wrong:
            self.problems.append(f"{wrong} conversations name a wrong last message or activity")


def _month(kind: str) -> tuple[int, int]:
    """Generous bounds, in Unix milliseconds, of a month; the reader decides exactly."""
    year, month = (int(part) for part in kind.split("-"))
    days = (year - 1970) * 365 + (year - 1969) // 4 - (year - 1901) // 100 + (year - 1601) // 400
    first = days + (month - 1) * 30
    return (first - 2) * 86_400_000, (first + 40) * 86_400_000
