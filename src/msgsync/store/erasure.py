"""Looking whether anything of erased messages is left in the files of a replica. Source: design 4 and 6.

After an erasure nobody here knows the text any more, so it cannot be looked for. What can be looked at:

- no row of any table is about an erased id, nor is any entry of a stored part of its document, as it lies;
- packs and the log hold parts of documents that are here, and no byte more;
- the search index knows messages by the words of their texts, and by no others;
- what the file does not use is zeros: free pages, and the parts of other pages that mean nothing;
- of attachments that were erased while their messages stay, neither rows nor stored parts say more than what they were
  called, and their folder holds nothing that no message needs;
- the write-ahead log is empty, and no journal or copy of ours lies beside the file.

A caller who still has the text can have its bytes looked for as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Final

import apsw

from msgsync.document.codec import entries_of, scan
from msgsync.document.frozen import decode_frozen
from msgsync.document.gonefiles import without_gone
from msgsync.document.schema import id_of, is_about
from msgsync.errors import InvalidValue, ReplicaDamaged
from msgsync.ids import encode_ids
from msgsync.records import without_files
from msgsync.store.database import Database
from msgsync.store.documents import as_written
from msgsync.store.residue import opened, unused
from msgsync.store.store import Store
from msgsync.store.updates import expanded
from msgsync.store.vocabulary import wrongly_filed

LEAST_TEXT_BYTES: Final = 8
"""Fewer may stand anywhere by chance."""
_NAMED: Final = 3
"""So many ids are named in a sentence."""
_TABLES: Final = ("edits", "reactions", "covered")
_COPIES: Final = ("-journal", ".*.part", ".*.part-wal", ".*.part-journal", ".damaged*")
"""What lies beside a replica with text in it, if writing a file was broken off or a damaged one was set aside."""


@dataclass(slots=True)
class Looked:
    """How much was looked at."""

    ids: int = 0
    attachments: int = 0
    documents: int = 0
    parts: int = 0
    indexed: int = 0
    pages: int = 0
    free_pages: int = 0
    files: list[str] = field(default_factory=list)


class ErasureCheck:
    """One look at everything; each finding is a sentence in ``found`` that says where, and never what."""

    def __init__(self, store: Store, ids: Collection[bytes] | None, text: str | None) -> None:
        """``ids``: 12 bytes each; all that are erased here if None. ``text``: that of one of them, if it is known."""
        self._store = store
        self._execute = store.database.execute
        self._only = None if ids is None else set(ids)
        self._text = None if text is None else text.encode()
        self.looked = Looked()
        self.found: list[str] = []
        self.not_erased: list[bytes] = []
        self._known: set[bytes] = set()
        self.pending = False

    def run(self) -> None:
        """Look; changes nothing but that the write-ahead log is moved into the file.

        Raises:
            InvalidValue: the text is too short, or also that of messages that are here.
            StorageError: the files cannot be read.
        """
        if self._text is not None:
            self._check_text(self._text)
        database = self._store.database
        if not database.readonly:
            self._store.truncate_log()
        self.pending = self._store.erasure_pending or database.has_log()
        erased, gone = self._erased(), self._gone()
        self._say_what_is_not()
        self._rows(erased)
        self._row_files(gone)
        self._documents(erased, gone)
        self._packs()
        self._index()
        if not self.pending:
            self._pages()
        self._files()

    def _check_text(self, text: bytes) -> None:
        if len(text) < LEAST_TEXT_BYTES:
            raise InvalidValue(
                f"a text of less than {LEAST_TEXT_BYTES} bytes stands anywhere by chance; leave text= out"
            )
        holders = self._store.database.one(
            "select (select count(*) from messages where instr(cast(text as blob), ?1)) + "
            "(select count(*) from edits where instr(cast(text as blob), ?1)) + "
            "(select count(*) from fields where instr(value, ?1))",
            (text,),
        )[0]
        if holders:
            raise InvalidValue(
                "messages or titles that are here hold this text too, so finding its bytes would say nothing; "
                "pass a part of it that only the erased message had, or leave text= out"
            )

    def _erased(self) -> dict[int, set[bytes]]:
        """The ids to look for, by the key of their document."""
        found: dict[int, set[bytes]] = {}
        for document, one in self._execute("select document, id from erased"):
            if self._only is None or one in self._only:
                found.setdefault(document, set()).add(one)
        self._known = set().union(*found.values())
        self.looked.ids = len(self._known)
        return found

    def _gone(self) -> dict[int, dict[bytes, set[int]]]:
        """The attachments to look for, by the key of their document and the id of their message."""
        found: dict[int, dict[bytes, set[int]]] = {}
        for document, attachment in self._execute("select document, attachment from gone"):
            one, number = attachment[:-1], attachment[-1]
            if self._only is None or one in self._only:
                found.setdefault(document, {}).setdefault(one, set()).add(number)
                self.looked.attachments += 1
                self._known.add(one)
        return found

    def _say_what_is_not(self) -> None:
        self.not_erased = sorted((self._only or set()) - self._known)

    def _report(self, where: str, ids: Collection[bytes]) -> None:
        if ids:
            named = ", ".join(one.decode() for one in encode_ids(sorted(ids)[:_NAMED]))
            more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
            self.found.append(f"{where}: something about {named}{more}")

    # Rows.

    def _rows(self, erased: dict[int, set[bytes]]) -> None:
        left: dict[str, set[bytes]] = {}
        for table, one in self._rows_about():
            if self._only is None or one in self._only:
                left.setdefault(table, set()).add(one)
        for table in ("unreadable", "differing"):
            for document, root, key in self._execute(f"select document, root, key from {table}"):
                texts = {
                    text: one for one in erased.get(document, ()) for text in encode_ids([one])
                }
                if root not in ("deletions", "erased") and key[:20] in texts:
                    left.setdefault(table, set()).add(texts[key[:20]])
        for table, ids in left.items():
            self._report(f"rows of {table}", ids)

    def _rows_about(self) -> Iterator[tuple[str, bytes]]:
        for table in _TABLES:
            for (one,) in self._execute(
                f"select x.id from {table} t join erased x on x.document = t.document and x.id = t.id"
            ):
                yield table, one
        of_conversation = "from erased x join documents d on d.key = x.document cross join"
        for (one,) in self._execute(
            f"select x.id {of_conversation} aliases a on a.conversation = d.conversation and a.id = x.id"
        ):
            yield "aliases", one
        for one, ms in self._execute(
            f"select x.id, m.ms {of_conversation} messages m indexed by messages_tail "
            "on m.tail = substr(x.id, 7) and m.conversation = d.conversation"
        ):
            if ms == int.from_bytes(one[:6], "big"):
                yield "messages", one

    def _row_files(self, gone: dict[int, dict[bytes, set[int]]]) -> None:
        """Whether rows say more of erased attachments than what they were called."""
        left: set[bytes] = set()
        for key, messages in gone.items():
            row = self._store.documents.by_key(key)
            for one, numbers in messages.items():
                rest = self._store.readmodel.messages.rest(row, one)
                attached = self._store.attachments.has(row, one, numbers)
                if attached or (rest is not None and without_files(rest, numbers) != rest):
                    left.add(one)
        self._report("rows of attachments", left)

    # What documents consist of.

    def _documents(
        self, erased: dict[int, set[bytes]], gone: dict[int, dict[bytes, set[int]]]
    ) -> None:
        for key in erased.keys() | gone.keys():
            ids = erased.get(key, set())
            row = self._store.documents.by_key(key)
            texts = dict(zip(encode_ids(sorted(ids)), sorted(ids), strict=True))
            place = row.id.place
            try:
                parts = self._store.documents.parts(row)
                with as_written():
                    entries = entries_of(block for one in parts.updates for block in scan(one))
                    if parts.frozen:
                        entries += decode_frozen(row.id, parts.frozen).entries()
            except ReplicaDamaged as error:
                what = str(error)
                self.found.append(what if what.startswith(f"{place}: ") else f"{place}: {what}")
                continue
            self.looked.documents += 1
            about = [entry for entry in entries if is_about(entry, texts.keys())]
            self._report(place, {texts[entry.key[:20]] for entry in about})
            files = gone.get(key, {})
            more = {*entries} - {*without_gone(entries, files)}
            self._report(f"{place}, attachments", {id_of(entry.key) for entry in more})

    def _packs(self) -> None:
        """Whether packs and the log hold anything but parts of documents, and the text if it is known."""
        parts: dict[int, list[tuple[int, int]]] = {}
        for pack, start, size in self._execute(
            "select u.pack, u.start, u.size from updates u join documents d on d.key = u.key >> 20 order by 1, 2"
        ):
            parts.setdefault(pack, []).append((start, size))
            self.looked.parts += 1
        for pack, body in self._execute("select key, body from packs"):
            raw = self._expanded(f"pack {pack}", body)
            end = 0
            for start, size in parts.pop(pack, ()):
                end = start + size if start == end else -1
            if raw is not None and end != len(raw):
                self.found.append(f"pack {pack}: bytes that belong to no document")
        for key, body, document in self._execute(
            "select l.key, l.body, d.key from log l left join documents d on d.key = l.key >> 20"
        ):
            self.looked.parts += 1
            self._expanded(f"part {key}", body)
            if document is None:
                self.found.append(f"part {key}: belongs to no document")

    def _expanded(self, where: str, body: bytes) -> bytes | None:
        try:
            raw = expanded(body)
        except ReplicaDamaged as error:
            self.found.append(f"{where}: {error}")
            return None
        if self._text is not None and self._text in raw:
            self.found.append(f"{where}: the text")
        return raw

    # The search index.

    def _index(self) -> None:
        database = self._store.database
        wrong = wrongly_filed(database, self._store.tokenizer)
        if wrong:
            self.found.append(
                f"the search index: words that no text of at least {wrong:,} messages has"
            )
        self.looked.indexed = database.one(
            "select count(*) from messages where key <= (select indexed from state)"
        )[0]

    # Bytes.

    def _pages(self) -> None:
        """Whether free pages, and the unused parts of others, hold anything."""
        with opened(self._store.database.connection) as file:
            pages = _Pages(file, self._store.database)
            free = self._free_pages(pages)
            for number in range(1, pages.count + 1):
                page = pages.page(number)
                if not page:
                    self.found.append(f"page {number}: it is not as it was written")
                start, end = (0, len(page)) if number in free else unused(page, number)
                if page[start:end] != bytes(end - start):
                    self.found.append(f"page {number}: bytes that nothing uses")
        self.looked.pages = pages.count
        self.looked.free_pages = len(free)

    def _free_pages(self, pages: _Pages) -> set[int]:
        """The free pages that hold nothing; those that list them are looked at here."""
        free: set[int] = set()
        count = pages.count
        following = int.from_bytes(pages.page(1)[32:36], "big")
        seen: set[int] = set()
        while 1 < following <= count and following not in seen:
            seen.add(following)
            page = pages.page(following)
            numbers = [int.from_bytes(page[at : at + 4], "big") for at in range(0, len(page), 4)]
            if any(number > count for number in numbers):  # numbers that it listed before may stay
                self.found.append(f"page {following}: bytes that nothing uses")
            free.update(numbers[2 : 2 + numbers[1]])
            following = numbers[0]
        return free

    def _files(self) -> None:
        path = Path(self._store.database.connection.filename)
        own = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", ".lock")]
        self.looked.files = [one.name for one in own if one.exists()]
        copies = {one for suffix in _COPIES for one in path.parent.glob(escape(path.name) + suffix)}
        left = self._store.attachments.left_over()
        if left:
            self.found.append(f"the folder of attachments: {len(left)} files that no message needs")
        for one in sorted(copies):
            self.found.append(f"{one.name}: a copy beside the replica; move it away or remove it")
        if self._text is None:
            return
        with opened(self._store.database.connection) as file:
            if self._holds(_Pages(file, self._store.database)):
                self.found.append(f"{path.name}: the text")
        log = own[1]  # of the others one holds numbers of pages, one that of a process
        if log.exists() and self._text in log.read_bytes():
            self.found.append(f"{log.name}: the text")

    def _holds(self, pages: _Pages) -> bool:
        """Whether a file has the text in it."""
        assert self._text is not None
        before = b""
        for number in range(1, pages.count + 1):
            raw = before + pages.page(number)
            if self._text in raw:
                return True
            before = raw[-len(self._text) + 1 :]
        return False


class _Pages:
    """The pages of a file as SQLite uses them."""

    def __init__(self, file: apsw.VFSFile, database: Database) -> None:
        self._file = file
        self._cipher = database.cipher
        self._bytes = database.connection.pragma("page_size")
        self.count: Final = file.xFileSize() // self._bytes

    def page(self, number: int) -> bytes:
        """One of them, counted from 1; nothing of an encrypted one that is not as it was written."""
        raw: bytes = self._file.xRead(self._bytes, (number - 1) * self._bytes)
        return raw if self._cipher is None else self._cipher.page(number, raw) or b""
