"""The read model: rows an app reads, kept in step with the documents by the rules of `document.fold`.

`ReadModel.apply` takes the entries a document gained and brings the rows and the document's digest up to date. It
asks the fold's own functions who wins, so that applying bit by bit and rebuilding at once give the same rows;
`check` compares the two. Source: design 4 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

import apsw

from msgsync.document.aliases import Group, chosen
from msgsync.document.columns import Messages
from msgsync.document.digest import (
    entry_digest,
    erased_digest,
    messages_digest,
    values_digest,
)
from msgsync.document.fold import deletion_in_force
from msgsync.document.frozen import Frozen
from msgsync.document.gonefiles import NOTHING_GONE, GoneFiles, both, gone_files
from msgsync.document.reader import Deletion, EntryReader
from msgsync.document.said import Said
from msgsync.document.schema import (
    ERASED,
    ID_KEY,
    MESSAGES,
    DocumentId,
    Entry,
    id_of,
    is_about,
    segment_of,
)
from msgsync.errors import InvalidValue, ReplicaDamaged
from msgsync.ids import decode_ids, encode_id, encode_ids
from msgsync.records import MessageColumns, decode_message_columns
from msgsync.store.aliases import AliasRows
from msgsync.store.attachments import AttachmentRows
from msgsync.store.database import Database
from msgsync.store.deletions import DeletionRows
from msgsync.store.filesystem import FileSystem
from msgsync.store.messages import MessageRows, Shown
from msgsync.store.rows import DELETED, EDITED, HIDDEN, LINKED, REACTED, DocumentRow
from msgsync.store.said import SaidRows

_SAID_ABOUT: Final = (
    "select value from carray(?3) where exists(select 1 from edits where document = ?1 and id = value) "
    "or exists(select 1 from reactions where document = ?1 and id = value) "
    "or exists(select 1 from covered where document = ?1 and id = value) "
    "or exists(select 1 from aliases where conversation = ?2 and id = value)"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What entries say, for a writer that has just made them: saves reading them."""

    messages: Messages
    """The first of the entries, in their order."""
    said: Said


class Removed(NamedTuple):
    """What a document must not hold any more."""

    erased: AbstractSet[bytes] = frozenset()
    """Ids that are erased, and were not before."""
    gone: GoneFiles = NOTHING_GONE
    """Attachments that were erased while their messages stay."""


class ReadModel:
    """Brings rows up to date within the caller's transaction."""

    def __init__(
        self,
        database: Database,
        find: Callable[[DocumentId], DocumentRow | None],
        now_ms: Callable[[], int],
        files: FileSystem,
    ) -> None:
        """Args.

        database: where the rows are.
        find: gives the rows of documents: an alias may join messages of two months.
        now_ms: this device's clock, which says since when a deletion is known here.
        files: the file system under the folder of attachments.
        """
        self._database = database
        self._find = find
        self.elsewhere: list[DocumentRow] = []
        """Documents, not those taken in, of which rows have changed since the caller emptied this."""
        self.doomed: dict[str, set[bytes]] = {}
        """By conversation: ids to erase too, since an alias names an erased one. The caller erases and forgets them."""
        self.aliases = AliasRows(database)
        self.messages = MessageRows(database)
        self.said = SaidRows(database, self.messages)
        self.deletions = DeletionRows(database, now_ms)
        self.attachments = AttachmentRows(database, files)

    # Taking entries in.

    def take_told(self, row: DocumentRow, told: Told, digest: int) -> Removed:
        """Take in what entries say that were just made; they erase nothing. Return as `apply` does.

        ``digest``: of those of messages.
        """
        row.add_digest(digest)
        return Removed(gone=self._strip(row, self._settle(row, told.messages, told.said)))

    def apply(self, row: DocumentRow, added: Sequence[Entry], told: Told | None = None) -> Removed:
        """Take in entries that a document gained; return what was erased by that, or before it came.

        The rows are without it then; the caller rewrites the document without it, and recounts its digest.
        ``told`` is what the entries say, if the caller knows; they then erase nothing.
        """
        if told is not None:
            ids = told.messages.ids
            values = [entry.value for entry in added[: len(ids)]]
            return self.take_told(row, told, values_digest(ids, values))
        entries = [entry for entry in added if entry[0] == MESSAGES]
        others = [entry for entry in added if entry[0] != MESSAGES]
        reader = EntryReader(row.id)
        # Before anything else: what is said below must not be weighed against rows about erased messages.
        erased = self._erase(row, others, reader)
        gone = self._add_gone(row, others)
        records = self._read_messages(row, entries, reader)
        holders = self._settle(row, records, Said.of(others, reader))
        return Removed(erased, both(gone, self._strip(row, holders | gone.keys())))

    def take_frozen(self, row: DocumentRow, frozen: Frozen) -> None:
        """Take in a frozen form of a document of which nothing was here; it holds nothing about what it erases."""
        reader = EntryReader(row.id)
        row.add_digest(messages_digest(frozen.messages))
        self._erase(row, frozen.others, reader)
        self._add_gone(row, frozen.others)
        beside = [entry for entry in frozen.others if entry.root == MESSAGES]
        messages = frozen.messages
        if beside:
            messages = messages.joined(self._read_messages(row, beside, reader))
        self._settle(row, messages, Said.of(frozen.others, reader))

    def _erase(self, row: DocumentRow, others: Iterable[Entry], reader: EntryReader) -> set[bytes]:
        erasures = [entry for entry in others if entry.root == ERASED]
        erased = self._add_erased(row, erasures, reader) if erasures else set()
        if erased:
            self._forget(row, erased)
        return erased

    def _add_gone(self, row: DocumentRow, others: Iterable[Entry]) -> GoneFiles:
        """Note which attachments were erased; return them."""
        gone = gone_files(row.id, others)
        if gone:
            self.attachments.add_gone(row, gone, self.messages.seq)
        return gone

    def _strip(self, row: DocumentRow, ids: Collection[bytes]) -> GoneFiles:
        """See that rows of messages say no more of erased attachments than their names; return all that are erased."""
        gone = self.attachments.gone_files(row, ids) if ids else NOTHING_GONE
        if gone:
            self.messages.flush()
        for one, numbers in gone.items():
            if self.messages.empty(row, one, numbers):
                self.attachments.let_go(row, one, numbers)
        return gone

    def rebuild(self, row: DocumentRow, entries: Sequence[Entry]) -> Removed:
        """Make a document's rows anew from all its entries; return as `apply` does.

        For the rare case of two values under one key (design 3: one is kept, the same everywhere), and for repair.
        """
        reader = EntryReader(row.id)
        self.messages.flush()
        ids = self.messages.of_month(row)
        for one in ids:
            self.messages.drop(row, one)
        self.attachments.forget(row, ids)
        self.attachments.clear_gone(row)
        tables = ("edits", "reactions", "deletions", "covered", "erased", "unreadable")
        for table in tables:
            self._database.execute(f"delete from {table} where document = ?", (row.key,))
        self.aliases.clear(row)
        row.digest = row.messages = row.erased = 0
        row.orphans = False
        gone: set[bytes] = set()
        for entry in entries:
            if entry.root == ERASED:
                try:
                    gone.update(reader.erased(entry))
                except InvalidValue:
                    continue  # apply reports it
        texts = set(encode_ids(list(gone)))
        removed = self.apply(row, [entry for entry in entries if not is_about(entry, texts)])
        self.messages.flush()
        return removed

    def erased_ids(self, row: DocumentRow) -> set[bytes]:
        """The ids erased in a document."""
        if not row.erased or not row.id.is_segment:
            return set()
        found = self._database.execute("select id from erased where document = ?", (row.key,))
        return {one for (one,) in found}

    def unreadable_messages(self, row: DocumentRow) -> set[bytes]:
        """The ids under which records lie that this version cannot read: their keys are taken."""
        found = self._database.execute(
            "select key from unreadable where document = ? and root = ?", (row.key, MESSAGES)
        )
        return {id_of(key) for (key,) in found if ID_KEY.match(key)}

    def _forget(self, row: DocumentRow, erased: Collection[bytes]) -> None:
        """Remove every row about erased ids."""
        self.messages.flush()
        for one in erased:
            self.messages.drop(row, one)
        self.attachments.forget(row, erased)
        self.attachments.clear_gone(row, erased)
        self._doom(row, self.aliases.naming(row.conversation, erased))
        self.aliases.forget(row, erased)
        for table in ("unreadable", "differing"):
            self._database.executemany(
                f"delete from {table} where document = ? and substr(key, 1, 20) = ? "
                "and root not in ('deletions', 'erased')",
                [(row.key, text) for text in encode_ids(list(erased))],
            )
        self.said.forget(row, erased)
        self.deletions.forget(row, erased)

    def _doom(self, row: DocumentRow, ids: Collection[bytes]) -> None:
        if ids:
            self.doomed.setdefault(row.id.conversation, set()).update(ids)

    # Segments.

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
            if not known.isdisjoint(ids) or not new.isdisjoint(ids):
                row.superseded = True  # perhaps: one pack may hold all of another
            new.update(ids)
        new -= known
        if not new:
            return new
        self._database.executemany(
            "insert into erased values(?,?,?)",
            [(row.key, one, self.messages.seq) for one in sorted(new)],
        )
        row.erased += len(new)
        row.add_digest(sum(map(erased_digest, new)))
        return new

    def _read_messages(
        self, row: DocumentRow, entries: Sequence[Entry], reader: EntryReader
    ) -> Messages:
        """Read the entries of messages, and count them in the digest."""
        messages: dict[bytes, MessageColumns] = {}
        read, ids = self._message_ids(row, entries, reader)
        for (_, _, value), message_id in zip(read, ids, strict=True):
            try:
                messages[message_id] = decode_message_columns(value)
            except InvalidValue as error:
                self._unreadable(
                    row, Entry(MESSAGES, encode_id(message_id), value), error, counted=True
                )
        row.add_digest(values_digest(ids, [entry.value for entry in read]))
        return Messages.of(messages.items())

    def _message_ids(
        self, row: DocumentRow, entries: Sequence[Entry], reader: EntryReader
    ) -> tuple[Sequence[Entry], list[bytes]]:
        """The entries whose keys are ids, and those: all at once if all are well, which is ten times as fast."""
        try:
            ids = decode_ids([entry.key for entry in entries])
        except InvalidValue:
            ids = []
        if (
            ids and reader.is_here(min(ids)) and reader.is_here(max(ids))
        ):  # a month is one stretch of time
            return entries, ids
        readable, ids = [], []
        for entry in entries:
            try:
                ids.append(reader.message_id(entry))
                readable.append(entry)
            except InvalidValue as error:
                self._unreadable(row, entry, error)
        return readable, ids

    def _settle(self, row: DocumentRow, messages: Messages, said: Said) -> set[bytes]:
        """Write new messages and what was said, and decide what each message that it concerns shows.

        Return which of the messages have attachments.
        """
        holders: set[bytes] = set()
        row.lamport = max(row.lamport, said.lamport)
        row.add_digest(said.digest)
        for entry, reason in said.unreadable:
            self._unreadable(row, entry, reason)
        shown: dict[bytes, Shown] = {}
        unsettled: set[bytes] = set()
        if said.edits or said.reactions or said.deletions or said.aliases or row.orphans:
            erased = self.erased_ids(row) if said.deletions else set()
            touched = said.ids() - erased
            texts = dict(zip(messages.ids, messages.texts, strict=True))
            untold = () if row.orphans else texts.keys()
            self.said.add_edits(row, said.edits)
            self.said.add_reactions(row, said.reactions, untold)
            covering = self.deletions.add(row, said.deletions, erased, untold)
            self.aliases.add(row, said.aliases)
            self._doom(row, self._erased_elsewhere(row, said))
            if row.orphans and texts:
                touched |= self._orphans(row, texts)
            unsettled = (touched - set(untold)) | (said.aliases.keys() & touched)
            for one in touched - unsettled:
                shown[one] = self._shown(row, one, texts[one], said, covering.get(one, ()))
        if messages.ids:
            self.messages.add(row, messages, shown)
            holders = self.attachments.add(row, messages)
        if unsettled:
            self.messages.flush()
            self._refresh(row, unsettled)
        return holders

    def _shown(
        self,
        row: DocumentRow,
        message_id: bytes,
        text: bytes,
        said: Said,
        covering: Iterable[Deletion],
    ) -> Shown:
        """What a new message shows about which nothing was stored before, without asking the database."""
        flags = 0
        edits = said.edits.get(message_id)
        if edits:
            self.said.keep_original(row, message_id, text.decode())
            last = edits[0] if len(edits) == 1 else max(edits, key=lambda edit: edit.stamp)
            text = last.record.text.encode()
            flags = EDITED
        if message_id in said.reactions:
            flags |= REACTED
        if covering and deletion_in_force(covering):
            flags |= DELETED
        return flags, text

    def _refresh(self, row: DocumentRow, ids: Collection[bytes]) -> None:
        """Decide anew what messages show, from everything stored about them."""
        joined: set[bytes] = set()
        deleted = self.deletions.in_force(row.key, ids)
        for one in ids:
            if one in joined:
                continue
            group = self.aliases.group(row.conversation, one)
            if len(group) > 1:
                joined.update(group)
                self._refresh_group(row, group)
                continue
            found = self.messages.find(row.conversation, one)
            if found is None:
                row.orphans = True
                continue
            key, old_flags, old_text = found
            flags, text = 0, old_text
            edited = self.said.shown_edit(row, one)
            if edited is not None:
                if not old_flags & EDITED:
                    self.said.keep_original(row, one, old_text)
                flags, text = EDITED, edited[1]
            if self.said.has_reactions(row, one):
                flags |= REACTED
            if one in deleted:
                flags |= DELETED
            self.messages.show(row, key, (old_flags, old_text), (flags, text))

    def _refresh_group(self, row: DocumentRow, group: Group) -> None:
        """Decide anew what messages show that are one. Those that are hidden are kept as if they were shown."""
        rows = {one: self._row_of(row, one) for one in group}
        found = {
            one: here
            for one in group
            if (here := self.messages.find(row.conversation, one)) is not None
        }
        for one in group.keys() - found.keys():
            rows[one].orphans = True
        if not found:
            return
        edits = [edit for one in group if (edit := self.said.shown_edit(rows[one], one))]
        flags = LINKED | (EDITED if edits else 0)
        if any(self.said.has_reactions(rows[one], one) for one in group):
            flags |= REACTED
        if any(self.deletions.in_force(rows[one].key, [one]) for one in group):
            flags |= DELETED
        shown = chosen(group, found)
        for one, (key, old_flags, old_text) in found.items():
            text = old_text
            if edits:
                if not old_flags & EDITED:
                    self.said.keep_original(rows[one], one, old_text)
                text = max(edits)[1]
            now = flags if one == shown else flags | HIDDEN | DELETED
            self.messages.show(rows[one], key, (old_flags, old_text), (now, text))
            if rows[one] is not row:
                self.elsewhere.append(rows[one])

    def _row_of(self, row: DocumentRow, message_id: bytes) -> DocumentRow:
        """The row of the document of a message that an alias is about, in the conversation of ``row``."""
        kind = segment_of(int.from_bytes(message_id[:6], "big"))
        if kind == row.id.kind:
            return row
        found = self._find(DocumentId(row.id.conversation, kind))
        if found is None:
            raise ReplicaDamaged("an alias lies in a document that is not here; run check")
        return found

    def _erased_elsewhere(self, row: DocumentRow, said: Said) -> set[bytes]:
        """The ids that the new aliases name as one with an erased one."""
        doomed = set()
        for one, members in said.aliases.items():
            for alias, _ in members:
                kind = segment_of(int.from_bytes(alias.other[:6], "big"))
                found = self._find(DocumentId(row.id.conversation, kind))
                if found is not None and self.is_erased(found, alias.other):
                    doomed.add(one)
        return doomed

    def is_erased(self, row: DocumentRow, message_id: bytes) -> bool:
        """Whether an id is erased in a document."""
        found = row.erased and self._database.first(
            "select 1 from erased where document = ? and id = ?", (row.key, message_id)
        )
        return bool(found)

    def _orphans(self, row: DocumentRow, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that something is said about."""
        found = self._database.execute(
            _SAID_ABOUT, (row.key, row.conversation, apsw.carray(tuple(ids)))
        )
        return {one for (one,) in found}

    def _unreadable(
        self, row: DocumentRow, entry: Entry, reason: InvalidValue, *, counted: bool = False
    ) -> None:
        """Keep an entry as it lies: not shown, counted in the digest, reported by check and status."""
        if not counted:
            row.add_digest(entry_digest(entry))
        self._database.execute(
            "insert or replace into unreadable values(?,?,?,?)",
            (row.key, entry.root, entry.key, str(reason)),
        )

    def greatest_writer_ms(self, row: DocumentRow, lamport: int, before_ms: int) -> int:
        """The time in the greatest stamp of this Lamport number, where the clock decides, before a time."""
        tables = ("edits", "reactions", "deletions", "fields", "reads")
        greatest = " union all ".join(
            f"select writer from {table} where document = ?1 and lamport = ?2 and writer < ?3"
            for table in tables
        )
        [writer] = self._database.one(
            f"select max(writer) from ({greatest})",
            (row.key, lamport, before_ms.to_bytes(6, "big") + bytes(4)),
        )
        return 0 if writer is None else int.from_bytes(writer[:6], "big")
