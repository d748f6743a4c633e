"""The read model: rows an app reads, kept in step with the documents by the rules of `document.fold`.

`ReadModel.apply` takes the entries a document gained and brings the rows and the document's digest up to date. It
asks the fold's own functions who wins, so that applying bit by bit and rebuilding at once give the same rows;
`check` compares the two. Source: design 4 and 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cbor2

from msgsync.document.digest import MODULUS, entry_digest, erased_digest
from msgsync.document.fold import deletion_in_force, irrelevant_deletions
from msgsync.document.reader import Deletion, Edit, EntryReader, Reaction
from msgsync.document.schema import (
    DELETIONS,
    EDITS,
    ERASED,
    FIELDS,
    ID_KEY,
    MESSAGES,
    REACTIONS,
    Entry,
    is_about,
)
from msgsync.errors import InvalidValue
from msgsync.ids import decode_ids, encode_ids
from msgsync.records import (
    DeletionKind,
    DeletionRecord,
    Stamp,
    decode_message_columns,
)
from msgsync.store.database import Database
from msgsync.store.rows import DELETED, EDITED, REACTED, DocumentRow
from msgsync.store.words import segmented

ORIGINAL = -1
"""The lamport under which `edits` keeps the text that an edited message was sent with."""

_INSERT_MESSAGE = "insert into messages values(?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_WORDS = "insert into search(rowid, text) values(?,?)"
_INSERT_EDIT = "insert or replace into edits values(?,?,?,?,?,?,?)"
_INSERT_REACTION = "insert or replace into reactions values(?,?,?,?,?,?,?,?,?,?)"
_INSERT_DELETION = "insert or replace into deletions values(?,?,?,?,?,?,?,?,?)"
_INSERT_COVERED = "insert or ignore into covered values(?,?,?,?)"


class ReadModel:
    """Brings rows up to date within the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reset()

    def reset(self) -> None:
        """Forget everything cached, as after a transaction that was rolled back."""
        self._authors: dict[str, int] = {}
        self._next_message: int | None = None
        self._rows: list[list[Any]] = []
        self._touched_conversations: set[int] = set()

    # Conversations and authors.

    def conversation(self, conversation_id: str) -> int:
        """The key of a conversation's row, made if there is none."""
        if not conversation_id:
            return 0
        found = self._database.execute(
            "select key from conversations where id = ?", (conversation_id,)
        ).fetchone()
        if found:
            return int(found[0])
        self._database.execute("insert into conversations(id) values(?)", (conversation_id,))
        return self._database.connection.last_insert_rowid()

    def _author(self, name: str) -> int:
        key = self._authors.get(name)
        if key is None:
            found = self._database.execute(
                "select key from authors where name = ?", (name,)
            ).fetchone()
            if found is None:
                self._database.execute("insert into authors(name) values(?)", (name,))
                key = self._database.connection.last_insert_rowid()
            else:
                key = int(found[0])
            if len(self._authors) > 50_000:
                self._authors.clear()
            self._authors[name] = key
        return key

    # Applying entries.

    def apply(self, row: DocumentRow, added: Sequence[Entry]) -> set[bytes]:
        """Take in entries that a document gained; return the ids that they erased and that were not erased before.

        The caller then rewrites the document without what was said about these ids and calls `forget`.
        """
        if row.id.is_segment:
            return self._apply_segment(row, added)
        self._apply_fields(row, added)
        return set()

    def rebuild(self, row: DocumentRow, entries: Sequence[Entry]) -> None:
        """Make a document's rows anew from all its entries.

        For the rare case of two values under one key (design 3: one is kept, the same everywhere), and for repair.
        """
        self.flush()
        reader = EntryReader(row.id)
        for entry in entries:
            if entry.root == MESSAGES and ID_KEY.match(entry.key):
                self._drop_message(row, decode_ids([entry.key])[0])
        for table in ("edits", "reactions", "deletions", "covered", "erased", "fields", "unreadable"):
            self._database.execute(f"delete from {table} where document = ?", (row.key,))
        row.digest = row.messages = row.erased = 0
        row.orphans = False
        gone = set()
        for entry in entries:
            if entry.root == ERASED:
                try:
                    gone.update(reader.erased(entry))
                except InvalidValue:
                    continue  # reported by apply below
        texts = set(encode_ids(list(gone)))
        self.apply(row, [entry for entry in entries if not is_about(entry, texts)])
        self.flush()

    def _apply_segment(self, row: DocumentRow, added: Sequence[Entry]) -> set[bytes]:
        by_root: dict[str, list[Entry]] = {}
        for entry in added:
            members = by_root.get(entry.root)
            if members is None:
                members = by_root[entry.root] = []
            members.append(entry)
        reader = EntryReader(row.id)
        erased = self._add_erased(row, by_root.pop(ERASED, ()), reader)
        fresh = self._add_messages(row, by_root.pop(MESSAGES, ()), reader)
        said = _Said()
        for root, members in by_root.items():
            self._add_said(row, root, members, reader, said)
        self._settle(row, fresh, said)
        return erased

    def _add_erased(
        self, row: DocumentRow, entries: Iterable[Entry], reader: EntryReader
    ) -> set[bytes]:
        new: set[bytes] = set()
        known = self.erased_ids(row)
        for entry in entries:
            try:
                ids = reader.erased(entry)
            except InvalidValue as error:
                self._unreadable(row, entry, error)
                continue
            if known.issuperset(ids) or new.issuperset(ids):
                row.superseded = True
            new.update(ids)
        new -= known
        if new:
            self._database.executemany(
                "insert into erased values(?,?)", [(row.key, one) for one in sorted(new)]
            )
            row.erased += len(new)
            _add_digest(row, sum(map(erased_digest, new)))
        return new

    def erased_ids(self, row: DocumentRow) -> set[bytes]:
        """The ids erased in a document."""
        if not row.erased:
            return set()
        found = self._database.execute("select id from erased where document = ?", (row.key,))
        return {one for (one,) in found}

    def _add_messages(
        self, row: DocumentRow, entries: Sequence[Entry], reader: EntryReader
    ) -> dict[bytes, list[Any]]:
        """Queue rows for messages; return them by id."""
        fresh: dict[bytes, list[Any]] = {}
        if not entries:
            return fresh
        total = 0
        newest = row.newest_ms
        key = self._next_key()
        for entry, message_id in self._message_ids(row, entries, reader):
            total += entry_digest(entry)
            try:
                author, text, order, external, sent, reply, kind, extra = decode_message_columns(
                    entry.value
                )
            except InvalidValue as error:
                self._unreadable(row, entry, error, counted=True)
                continue
            ms = int.from_bytes(message_id[:6], "big")
            if ms > newest:
                newest = ms
            columns = [
                key,
                row.conversation,
                ms,
                order,
                message_id[6:],
                0,
                self._authors.get(author) or self._author(author),
                text,
                external,
                sent,
                reply,
                kind,
                extra,
            ]
            key += 1
            fresh[message_id] = columns
        self._rows += fresh.values()
        self._next_message = key
        _add_digest(row, total)
        row.newest_ms = newest
        row.messages += len(fresh)
        self._touched_conversations.add(row.conversation)
        return fresh

    def _message_ids(
        self, row: DocumentRow, entries: Sequence[Entry], reader: EntryReader
    ) -> Iterable[tuple[Entry, bytes]]:
        try:
            ids = decode_ids([entry.key for entry in entries])
        except InvalidValue:
            ids = None
        if ids is not None and all(reader.is_here(one) for one in ids):
            return zip(entries, ids, strict=True)
        readable = []
        for entry in entries:
            try:
                readable.append((entry, reader.message_id(entry)))
            except InvalidValue as error:
                self._unreadable(row, entry, error)
        return readable

    def _add_said(
        self, row: DocumentRow, root: str, entries: Sequence[Entry], reader: EntryReader, said: _Said
    ) -> None:
        for entry in entries:
            try:
                if root == EDITS:
                    message_id, edit = reader.edit(entry)
                    said.edits.setdefault(message_id, []).append(edit)
                    row.lamport = max(row.lamport, edit.stamp.lamport)
                    _add_digest(row, entry_digest(entry))
                elif root == REACTIONS:
                    message_id, reaction = reader.reaction(entry)
                    said.reactions.setdefault(message_id, []).append((reaction, entry))
                    row.lamport = max(row.lamport, reaction.stamp.lamport)
                elif root == DELETIONS:
                    deletion = reader.deletion(entry)
                    said.deletions.append((deletion, entry))
                    row.lamport = max(row.lamport, deletion.stamp.lamport)
                else:
                    _add_digest(row, entry_digest(entry))
            except InvalidValue as error:
                self._unreadable(row, entry, error)

    def _settle(self, row: DocumentRow, fresh: dict[bytes, list[Any]], said: _Said) -> None:
        """Write what was said, and decide what each message it concerns shows."""
        gone = self.erased_ids(row) if said.deletions else set()
        touched = said.ids() - gone
        if not touched and not (fresh and row.orphans):
            return
        self._write_edits(row, said)
        self._write_reactions(row, said, fresh)
        self._write_deletions(row, said, gone)
        if row.orphans and fresh:
            touched |= self._orphans_among(row, fresh)
        simple = touched & fresh.keys() if not row.orphans else set()
        for one in simple:
            self._show_fresh(row, fresh[one], one, said)
        rest = touched - simple
        if rest:
            self.flush()
            self._refresh(row, rest)

    def _show_fresh(
        self, row: DocumentRow, columns: list[Any], message_id: bytes, said: _Said
    ) -> None:
        """Decide what a message shows about which nothing was stored before, without asking the database."""
        edits = said.edits.get(message_id)
        if edits:
            self._keep_original(row, message_id, columns[7])
            columns[7] = max(edits, key=lambda edit: edit.stamp).record.text
            columns[5] |= EDITED
        if message_id in said.reactions:
            columns[5] |= REACTED
        covering = said.covering.get(message_id)
        if covering and deletion_in_force(covering):
            columns[5] |= DELETED

    def _orphans_among(self, row: DocumentRow, fresh: dict[bytes, list[Any]]) -> set[bytes]:
        found = self._database.execute(
            "select id from edits where document = ?1 union select id from reactions where document = ?1 "
            "union select id from covered where document = ?1",
            (row.key,),
        )
        return {one for (one,) in found} & fresh.keys()

    # What was said about messages.

    def _keep_original(self, row: DocumentRow, message_id: bytes, text: str) -> None:
        self._database.execute(
            "insert or ignore into edits values(?,?,?,?,?,null,null)",
            (row.key, message_id, ORIGINAL, b"", text),
        )

    def _write_edits(self, row: DocumentRow, said: _Said) -> None:
        self._database.executemany(
            _INSERT_EDIT,
            [
                (row.key, one, e.stamp.lamport, e.stamp.writer, e.record.text, e.record.at_ms, e.record.device)
                for one, edits in said.edits.items()
                for e in edits
            ],
        )

    def _write_reactions(
        self, row: DocumentRow, said: _Said, fresh: dict[bytes, list[Any]]
    ) -> None:
        rows = []
        for one, members in said.reactions.items():
            ask = row.orphans or one not in fresh
            standing: dict[tuple[str, str], tuple[Stamp, int]] = {}
            for reaction, entry in members:
                slot = reaction.record.user, reaction.record.emoji
                if slot not in standing and ask:
                    stored = self._stored_reaction(row, one, *slot)
                    if stored:
                        standing[slot] = stored
                if slot in standing:
                    row.superseded = True
                    if standing[slot][0] >= reaction.stamp:
                        continue
                    _add_digest(row, -standing[slot][1])
                digest = entry_digest(entry)
                _add_digest(row, digest)
                standing[slot] = reaction.stamp, digest
                r = reaction.record
                rows.append(
                    (
                        row.key,
                        one,
                        self._author(r.user),
                        r.emoji,
                        reaction.stamp.lamport,
                        reaction.stamp.writer,
                        int(r.on),
                        r.at_ms,
                        r.device,
                        digest.to_bytes(16, "big"),
                    )
                )
        self._database.executemany(_INSERT_REACTION, rows)

    def _stored_reaction(
        self, row: DocumentRow, message_id: bytes, user: str, emoji: str
    ) -> tuple[Stamp, int] | None:
        found = self._database.execute(
            "select lamport, writer, digest from reactions where document = ? and id = ? and user = ? and emoji = ?",
            (row.key, message_id, self._author(user), emoji),
        ).fetchone()
        if found is None:
            return None
        return Stamp(found[0], found[1]), int.from_bytes(found[2], "big")

    def outranks(self, row: DocumentRow, message_id: bytes, reaction: Reaction) -> bool:
        """Whether a stored reaction in the same place is this one or a greater one."""
        stored = self._stored_reaction(row, message_id, reaction.record.user, reaction.record.emoji)
        return stored is not None and stored[0] >= reaction.stamp

    def has_edit(self, row: DocumentRow, message_id: bytes, stamp: Stamp) -> bool:
        """Whether an edit is stored already."""
        found = self._database.execute(
            "select 1 from edits where document = ? and id = ? and lamport = ? and writer = ?",
            (row.key, message_id, stamp.lamport, stamp.writer),
        ).fetchone()
        return found is not None

    def _write_deletions(self, row: DocumentRow, said: _Said, gone: set[bytes]) -> None:
        if not said.deletions:
            return
        suspects: set[bytes] = set()
        for deletion, entry in said.deletions:
            d = deletion.record
            digest = entry_digest(entry)
            _add_digest(row, digest)
            self._database.execute(
                _INSERT_DELETION,
                (
                    row.key,
                    deletion.stamp.lamport,
                    deletion.stamp.writer,
                    int(d.kind),
                    d.at_ms,
                    d.device,
                    b"".join(d.ids),
                    b"".join(sorted(stamp.pack() for stamp in d.supersedes)),
                    digest.to_bytes(16, "big"),
                ),
            )
            live = [one for one in d.ids if one not in gone]
            self._database.executemany(
                _INSERT_COVERED,
                [(row.key, one, deletion.stamp.lamport, deletion.stamp.writer) for one in live],
            )
            for one in live:
                said.covering.setdefault(one, []).append(deletion)
            suspects.update(live)
            if not live:
                self._drop_deletions(row, {deletion.stamp})
        self._drop_superseded(row, suspects)

    def _drop_superseded(self, row: DocumentRow, ids: set[bytes]) -> None:
        """Drop deletion entries about these ids that have become irrelevant."""
        covering = {one: self.covering(row, one) for one in ids}
        suspects = {d.stamp: d for members in covering.values() if len(members) > 1 for d in members}
        if not suspects:
            return
        for deletion in list(suspects.values()):
            for one in deletion.record.ids:
                if one not in covering:
                    members = self.covering(row, one)
                    covering[one] = members
        everyone = {d.stamp: d for members in covering.values() for d in members}
        stamps = {one: [d.stamp for d in members] for one, members in covering.items() if members}
        gone = irrelevant_deletions(everyone, stamps) & suspects.keys()
        self._drop_deletions(row, gone)

    def _drop_deletions(self, row: DocumentRow, stamps: set[Stamp]) -> None:
        for stamp in stamps:
            where = (row.key, stamp.lamport, stamp.writer)
            digest, ids = self._database.execute(
                "select digest, ids from deletions where document = ? and lamport = ? and writer = ?", where
            ).fetchone()
            _add_digest(row, -int.from_bytes(digest, "big"))
            self._database.execute(
                "delete from deletions where document = ? and lamport = ? and writer = ?", where
            )
            self._database.executemany(
                "delete from covered where document = ? and id = ? and lamport = ? and writer = ?",
                [(row.key, ids[i : i + 12], stamp.lamport, stamp.writer) for i in range(0, len(ids), 12)],
            )
            row.superseded = True

    def covering(self, row: DocumentRow, message_id: bytes) -> list[Deletion]:
        """The deletion entries that matter and cover an id."""
        found = self._database.execute(
            "select d.lamport, d.writer, d.kind, d.at, d.device, d.ids, d.supersedes from covered c join deletions d "
            "on d.document = c.document and d.lamport = c.lamport and d.writer = c.writer "
            "where c.document = ? and c.id = ?",
            (row.key, message_id),
        )
        return [_deletion(*columns) for columns in found]

    # Rows of messages that are here.

    def _refresh(self, row: DocumentRow, ids: set[bytes]) -> None:
        """Decide anew what messages show, from everything stored about them."""
        for one in ids:
            found = self.find_row(row.conversation, one)
            if found is None:
                row.orphans = True
                continue
            key, flags, text = found
            edits = self._database.execute(
                "select lamport, text from edits where document = ? and id = ? "
                "order by lamport desc, writer desc limit 1",
                (row.key, one),
            ).fetchone()
            new_flags, new_text = 0, text
            if edits and edits[0] != ORIGINAL:
                if not flags & EDITED:
                    self._keep_original(row, one, text)
                new_text = edits[1]
                new_flags |= EDITED
            reacted = self._database.execute(
                "select 1 from reactions where document = ? and id = ? limit 1", (row.key, one)
            ).fetchone()
            if reacted:
                new_flags |= REACTED
            if deletion_in_force(self.covering(row, one)):
                new_flags |= DELETED
            if new_text != text:
                self._unindex(key, text)
                self._database.execute(_INSERT_WORDS, (key, segmented(new_text)))
            if (new_flags, new_text) != (flags, text):
                self._database.execute(
                    "update messages set flags = ?, text = ? where key = ?", (new_flags, new_text, key)
                )
                self._touched_conversations.add(row.conversation)

    def find_row(self, conversation: int, message_id: bytes) -> tuple[int, int, str] | None:
        """The key, flags and text of a message's row."""
        found = self._database.execute(
            "select key, flags, text from messages where tail = ? and ms = ? and conversation = ?",
            (message_id[6:], int.from_bytes(message_id[:6], "big"), conversation),
        ).fetchone()
        return found  # type: ignore[no-any-return]

    def known_ids(self, conversation: int, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that have a row."""
        self.flush()
        return {one for one in ids if self.find_row(conversation, one) is not None}

    def _unindex(self, key: int, text: str) -> None:
        self._database.execute(
            "insert into search(search, rowid, text) values('delete', ?, ?)", (key, segmented(text))
        )

    def _drop_message(self, row: DocumentRow, message_id: bytes) -> None:
        found = self.find_row(row.conversation, message_id)
        if found is None:
            return
        key, _, text = found
        self._unindex(key, text)
        self._database.execute("delete from messages where key = ?", (key,))
        self._database.execute(
            "delete from edits where document = ? and id = ? and lamport = ?",
            (row.key, message_id, ORIGINAL),
        )
        row.messages -= 1
        self._touched_conversations.add(row.conversation)

    def forget(self, row: DocumentRow, ids: Iterable[bytes]) -> None:
        """Remove every row about erased ids; the caller recounts the digest from the rewritten document."""
        self.flush()
        covering: dict[Stamp, Deletion] = {}
        for one in ids:
            self._drop_message(row, one)
            covering |= {d.stamp: d for d in self.covering(row, one)}
            for table in ("edits", "reactions", "covered"):
                self._database.execute(
                    f"delete from {table} where document = ? and id = ?", (row.key, one)
                )
        self._drop_superseded(row, {one for d in covering.values() for one in d.record.ids} - set(ids))
        for stamp in covering:
            left = self._database.execute(
                "select 1 from covered where document = ? and lamport = ? and writer = ? limit 1",
                (row.key, stamp.lamport, stamp.writer),
            ).fetchone()
            if not left:
                self._database.execute(
                    "delete from deletions where document = ? and lamport = ? and writer = ?",
                    (row.key, stamp.lamport, stamp.writer),
                )

    def _unreadable(
        self, row: DocumentRow, entry: Entry, reason: InvalidValue, *, counted: bool = False
    ) -> None:
        """Keep an entry as it lies: not shown, counted in the digest, reported by check and status."""
        if not counted:
            _add_digest(row, entry_digest(entry))
        self._database.execute(
            "insert or replace into unreadable values(?,?,?,?)",
            (row.key, entry.root, entry.key, str(reason)),
        )

    # Heads.

    def _apply_fields(self, row: DocumentRow, added: Sequence[Entry]) -> None:
        reader = EntryReader(row.id)
        for entry in added:
            if entry.root != FIELDS:
                _add_digest(row, entry_digest(entry))
                continue
            try:
                stamp, name, value = reader.field(entry)
            except InvalidValue as error:
                self._unreadable(row, entry, error)
                continue
            row.lamport = max(row.lamport, stamp.lamport)
            self._write_field(row, entry, stamp, name, value)
        self._touched_conversations.add(row.conversation)

    def _write_field(self, row: DocumentRow, entry: Entry, stamp: Stamp, name: str, value: Any) -> None:
        digest = entry_digest(entry)
        found = self._database.execute(
            "select lamport, writer, digest from fields where document = ? and name = ?", (row.key, name)
        ).fetchone()
        if found:
            row.superseded = True
            if Stamp(found[0], found[1]) >= stamp:
                return
            _add_digest(row, -int.from_bytes(found[2], "big"))
        _add_digest(row, digest)
        self._database.execute(
            "insert or replace into fields values(?,?,?,?,?,?)",
            (
                row.key,
                name,
                stamp.lamport,
                stamp.writer,
                cbor2.dumps(value, canonical=True),
                digest.to_bytes(16, "big"),
            ),
        )
        if not row.id.is_head:
            return
        if name == "title" and (value is None or type(value) is str):
            self._database.execute(
                "update conversations set title = ? where key = ?", (value, row.conversation)
            )
        elif name == "created" and type(value) is int and 0 <= value < 1 << 48:
            self._database.execute(
                "update conversations set created_ms = ? where key = ?", (value, row.conversation)
            )

    # Writing out.

    def _next_key(self) -> int:
        if self._next_message is None:
            newest = self._database.execute("select max(key) from messages").fetchone()[0]
            self._next_message = 1 if newest is None else newest + 1
        return self._next_message

    def flush(self) -> None:
        """Write queued rows of messages and their words."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        self._database.executemany(_INSERT_MESSAGE, rows)
        self._database.executemany(_INSERT_WORDS, [(c[0], segmented(c[7])) for c in rows])

    def finish(self) -> None:
        """Bring the conversations' rows up to date; the last step of a transaction."""
        self.flush()
        for key in self._touched_conversations - {0}:
            self._database.execute(
                "update conversations set (last_message, activity_ms) = ("
                " select key, max(ms, coalesce(created_ms, 0)) from messages"
                " where conversation = ?1 and not flags & 1 order by ms desc, ord desc, tail desc limit 1"
                ") where key = ?1",
                (key,),
            )
            self._database.execute(
                "update conversations set activity_ms = coalesce(created_ms, iif(title is null, null, 0))"
                " where key = ?1 and last_message is null",
                (key,),
            )
        self._touched_conversations.clear()


class _Said:
    """What a batch of entries says about messages, by id."""

    def __init__(self) -> None:
        self.edits: dict[bytes, list[Edit]] = {}
        self.reactions: dict[bytes, list[tuple[Reaction, Entry]]] = {}
        self.deletions: list[tuple[Deletion, Entry]] = []
        self.covering: dict[bytes, list[Deletion]] = {}

    def ids(self) -> set[bytes]:
        """Every id that something is said about."""
        covered = {one for deletion, _ in self.deletions for one in deletion.record.ids}
        return self.edits.keys() | self.reactions.keys() | covered


def _add_digest(row: DocumentRow, amount: int) -> None:
    row.digest = (row.digest + amount) % MODULUS


def _deletion(
    lamport: int, writer: bytes, kind: int, at_ms: int, device: bytes | None, ids: bytes, supersedes: bytes
) -> Deletion:
    return Deletion(
        Stamp(lamport, writer),
        DeletionRecord(
            DeletionKind(kind),
            at_ms,
            device,
            tuple(ids[i : i + 12] for i in range(0, len(ids), 12)),
            frozenset(Stamp.unpack(supersedes[i : i + 16]) for i in range(0, len(supersedes), 16)),
        ),
    )
