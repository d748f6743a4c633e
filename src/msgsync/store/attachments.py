"""Rows of attachments: which files messages have, and which chunks those consist of. Source: design 11.

What no message refers to any more is removed when the transaction ends in which it lost its last one: the rows at once,
the files of its chunks once that is on the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from msgsync.document.columns import Messages
from msgsync.document.gonefiles import GoneFiles
from msgsync.records import AttachmentRecord, chunk_name, decode_attachments
from msgsync.store.chunkrows import DAMAGED, HAD_BEFORE, HERE, MISSING, ChunkRows, Wanted
from msgsync.store.database import Database
from msgsync.store.filesystem import REAL_FILES, FileSystem
from msgsync.store.rows import DocumentRow


def file_hash(record: AttachmentRecord) -> bytes:
    """32 bytes: equal where records say the same of a file's bytes."""
    said = record.digest + record.size.to_bytes(8, "big") + record.keys
    return hashlib.sha256(said).digest()


class AttachmentRows(ChunkRows):
    """Writes and asks within the caller's transaction."""

    def __init__(self, database: Database, files: FileSystem = REAL_FILES) -> None:
        """Args: where the rows are, and the file system under the folder that lies beside it."""
        super().__init__(database, files)
        self.seq = 0
        """The number of the commit that is being made."""
        self.referred = 0
        """The commit of this opening in which a message last came to refer to a file: who does not know it yet may
        have promised to keep a chunk, and let go of it."""

    def reset(self) -> None:
        """Forget what a transaction did that was rolled back."""
        super().reset()
        self._any: bool | None = None
        self._any_gone: bool | None = None
        self._lost: set[int] = set()
        """Files that a message let go of."""

    # Messages.

    @property
    def any(self) -> bool:
        """Whether any message here has an attachment."""
        if self._any is None:
            self._any = self._database.first("select 1 from attached limit 1") is not None
        return self._any

    def add(self, row: DocumentRow, messages: Messages) -> set[bytes]:
        """Take in the attachments of messages that are new here; return the ids of those that have any."""
        holders: set[bytes] = set()
        if not any(messages.rests):
            return holders
        for one, ms, rest in zip(messages.ids, messages.times, messages.rests, strict=True):
            for number, record in enumerate(decode_attachments(rest)):
                if record.is_gone:
                    continue
                holders.add(one)
                file = self._file(record, ms)
                self._database.execute(
                    "insert or replace into attached values(?,?,?,?)", (row.key, one, number, file)
                )
                self._any = True
        return holders

    def _file(self, record: AttachmentRecord, ms: int) -> int:
        told = file_hash(record)
        self.referred = self.seq
        found = self._database.first("select key from files where hash = ?", (told,))
        if found is not None:
            self._database.execute(
                "update files set newest_ms = max(newest_ms, ?) where key = ?", (ms, found[0])
            )
            self._refer(int(found[0]), ms)
            return int(found[0])
        [file] = self._database.one(
            "insert into files(hash, digest, size, newest_ms) values(?,?,?,?) returning key",
            (told, record.digest, record.size, ms),
        )
        for number, key in enumerate(record.chunk_keys()):
            name = chunk_name(key)
            self._database.execute("delete from rubbish where name = ?", (name,))
            self._database.execute(
                "insert or ignore into chunks(name, secret, size, state, used_ms) values(?,?,?,?,?)",
                (name, key, record.chunk_size(number), MISSING, ms),
            )
            self._database.execute(
                "insert into parts select ?, ?, key from chunks where name = ?",
                (file, number, name),
            )
        self._refer(int(file), ms)
        return int(file)

    def _refer(self, file: int, ms: int) -> None:
        """Another message, of this time, needs a file: it is as new as that one.

        Who has its chunks, and promised to keep them, may let go before he knows that one.
        """
        self._database.execute(
            "update chunks set used_ms = ?2 where used_ms < ?2 and key in (select chunk from parts where file = ?1)",
            (file, ms),
        )
        self._database.execute(
            f"update copies set promised = 0, seen = 0, noted_ms = iif(typeof(place) = 'text', -1, {HAD_BEFORE}) "
            "where chunk in (select chunk from parts where file = ?)",
            (file,),
        )

    def forget(self, row: DocumentRow, ids: Iterable[bytes]) -> None:
        """Let go of the attachments of messages that are gone."""
        if not self.any:
            return
        for one in ids:
            gone: list[Any] = self._database.execute(
                "delete from attached where document = ? and id = ? returning file", (row.key, one)
            ).fetchall()
            self._lost.update(file for (file,) in gone)

    # Those that were erased while their messages stay.

    @property
    def any_gone(self) -> bool:
        """Whether any attachment here was erased so."""
        if self._any_gone is None:
            self._any_gone = self._database.first("select 1 from gone limit 1") is not None
        return self._any_gone

    def gone_files(self, row: DocumentRow, ids: Collection[bytes] | None = None) -> GoneFiles:
        """Those of a document, or of some of its messages."""
        found: dict[bytes, set[int]] = {}
        if not self.any_gone:
            return found
        rows: list[Any] = self._database.execute(
            "select attachment from gone where document = ?", (row.key,)
        ).fetchall()
        for (attachment,) in rows:
            one, number = attachment[:-1], attachment[-1]
            if ids is None or one in ids:
                found.setdefault(one, set()).add(number)
        return found

    def add_gone(self, row: DocumentRow, gone: GoneFiles, seq: int) -> None:
        """Note that these were erased, with the commit of this number."""
        self._database.executemany(
            "insert or ignore into gone values(?,?,?)",
            [
                (row.key, one + bytes((number,)), seq)
                for one, numbers in gone.items()
                for number in numbers
            ],
        )
        self._any_gone = self._any_gone or bool(gone)

    def clear_gone(self, row: DocumentRow, ids: Iterable[bytes] | None = None) -> None:
        """Forget what was erased so: of a document, or of some of its messages, which are erased themselves."""
        if ids is None:
            self._database.execute("delete from gone where document = ?", (row.key,))
        elif self.any_gone:
            self._database.executemany(
                "delete from gone where document = ? and attachment between ? and ?",
                [(row.key, one + b"\0", one + b"\xff") for one in ids],
            )

    def let_go(self, row: DocumentRow, message_id: bytes, numbers: Iterable[int]) -> None:
        """Let go of some attachments of a message that stays."""
        for number in numbers:
            gone: list[Any] = self._database.execute(
                "delete from attached where document = ? and id = ? and number = ? returning file",
                (row.key, message_id, number),
            ).fetchall()
            self._lost.update(file for (file,) in gone)

    def has(self, row: DocumentRow, message_id: bytes, numbers: Collection[int]) -> bool:
        """Whether any row says that a message has these attachments."""
        found = self._database.execute(
            "select number from attached where document = ? and id = ?", (row.key, message_id)
        )
        return any(number in numbers for (number,) in found)

    # Files.

    def equal_file(self, digest: bytes, size: int) -> list[bytes] | None:
        """The keys of the chunks of a file of this digest that is here, all of it; None if there is none."""
        for (file,) in self._database.execute(
            "select key from files where digest = ? and size = ?", (digest, size)
        ).fetchall():
            found: list[Any] = self._database.execute(
                "select secret, state from parts join chunks on key = chunk where file = ? order by number",
                (file,),
            ).fetchall()
            if all(state == HERE for _, state in found):
                return [key for key, _ in found]
        return None

    def has_file(self, record: AttachmentRecord) -> bool:
        """Whether a message here has a file of which its record says the same."""
        found = self._database.first("select 1 from files where hash = ?", (file_hash(record),))
        return found is not None

    def has_size(self, size: int) -> bool:
        """Whether a file of so many bytes is known here."""
        return self._database.first("select 1 from files where size = ?", (size,)) is not None

    def beginnings(self, size: int, limit: int) -> list[Wanted]:
        """The first chunks, those that are here, of files of so many bytes."""
        found = self._database.execute(
            "select name, secret, c.size, used_ms from files f join parts on file = f.key and number = 0 "
            "join chunks c on c.key = chunk where f.size = ? and state = ? limit ?",
            (size, HERE, limit),
        )
        return [Wanted(*one) for one in found]

    def lacking(
        self,
        without: Collection[bytes],
        limit: int,
        *,
        since_ms: int = 0,
        among: Collection[bytes] | None = None,
    ) -> list[Wanted]:
        """Chunks that are not here, of the newest messages first.

        Args:
            without: but for these.
            limit: so many at most.
            since_ms: only what was sent or read since.
            among: what counts for the limit; others come in between. None: all count.
        """
        wanted: dict[bytes, Wanted] = {}
        for found in self._database.execute(
            "select name, secret, c.size, used_ms "
            "from files f join parts on file = f.key join chunks c on c.key = chunk "
            "where state in (?,?) and used_ms >= ? order by newest_ms desc, f.key, number",
            (MISSING, DAMAGED, since_ms),
        ):
            one = Wanted(*found)
            if one.name in without or one.name in wanted:
                continue
            wanted[one.name] = one
            limit -= among is None or one.name in among
            if limit <= 0:
                break
        return [*wanted.values()]

    # What nothing refers to.

    def finish(self) -> None:
        """Remove the rows of what no message refers to any more; at the end of a transaction."""
        lost, self._lost = self._lost, set()
        for file in lost:
            if self._database.first("select 1 from attached where file = ?", (file,)) is None:
                self._database.execute("delete from files where key = ?", (file,))
                chunks: list[Any] = self._database.execute(
                    "delete from parts where file = ? returning chunk", (file,)
                ).fetchall()
                self._collect_chunks(chunk for (chunk,) in chunks)
