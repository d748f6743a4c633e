"""What lies in mailboxes, as far as this replica has put or read it. Source: design 9, docs/specification.md.

Of each mailbox: how far each log in it was read, and of each document what somebody who reads all logs has by that.
Losing any of it costs reading or putting something twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgsync.document.codec import decode_state, encode_state
from msgsync.document.frozen import Label
from msgsync.store.database import Database

SAID_EPOCH: Final = "said_epoch"
"""In ``meta``; see `MailboxRows.said_epoch`."""


@dataclass(slots=True)
class MailboxRow:
    """A row of ``mailboxes``; written by `MailboxRows.write`."""

    key: int
    address: str
    put_seq: int = 0
    """The commit up to which everything that is here lies there."""
    keys: bytes = b""
    """What is known of the key objects there: a hash of what was last put, then one of the own object as last seen."""
    incarnation: bytes = b""
    """Of the last object that this device put there; nothing if it has put none."""
    sequence: int = 0
    hash: bytes = b""
    used_ms: int = 0
    """When all of it was last read, and all put; Unix milliseconds, 0 if never."""
    checkpoint: str = ""
    """The folder of the last checkpoint that was made here or read; nothing if there was none."""
    checkpoint_seq: int = 0
    """The commit since which erasures ask for one."""
    checkpoint_ms: int = 0
    """When that one was made here or read; Unix milliseconds, 0 if never."""
    checkpoint_objects: int = 0
    """Of how many objects it consists."""
    collect_ms: int = 0
    """From when on what the last one has replaced is removed; Unix milliseconds, 0 if there was none."""
    cleared_seq: int = 0
    """Nothing lies there any more that was erased here up to this commit."""
    epoch: bytes = b""
    """The commitment of the epoch that all logs were of in the last listing; nothing if there may be others."""


class LogRow(NamedTuple):
    """How far a log was read."""

    device: bytes
    incarnation: bytes
    first: int
    """From which sequence on its objects were there, and should be there still."""
    sequence: int
    hash: bytes
    since: int
    """From which sequence on all that it brought is here."""
    covered: int
    """Up to which sequence a checkpoint has replaced it."""
    hole: int = 0
    """From which sequence on something before ``since`` may be missing here; 0 if nothing is."""

    @property
    def waits(self) -> bool:
        """Whether objects of it were read or put that no checkpoint has replaced."""
        return self.first <= self.sequence


class Posted(NamedTuple):
    """What lies in a mailbox of a document."""

    label: Label
    clocks: dict[int, int]
    """Behind the last entry of each writer, of the updates beside that form."""
    digest: bytes
    """Of what lies there, reckoned from what merging it changed here; nothing if that cannot be told.

    If it is that of the document here, all of it lies there."""


class MailboxRows:
    """The tables; the caller holds the lock, and writes within a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, address: str) -> MailboxRow | None:
        """What is known of the mailbox at an address."""
        found: Any = self._database.first("select * from mailboxes where address = ?", (address,))
        return None if found is None else MailboxRow(*found)

    def make(self, address: str, seq: int) -> MailboxRow:
        """The row of a mailbox, made if it is new here; ``seq`` is the number of the last commit."""
        found = self.find(address)
        if found is None:
            key = self._database.one("select coalesce(max(key), 0) + 1 from mailboxes")[0]
            found = MailboxRow(int(key), address, checkpoint_seq=seq, cleared_seq=seq)
            self.write(found)
        return found

    def forget(self, address: str) -> None:
        """Know nothing of a mailbox any more, as if it had never been used."""
        found = self.find(address)
        if found is not None:
            for table in ("logs", "tidings", "stops", "posted"):
                self._database.execute(f"delete from {table} where mailbox = ?", (found.key,))
            self._database.execute("delete from mailboxes where key = ?", (found.key,))
        self._database.execute("delete from rubbish where place = ?", (address,))

    def write(self, row: MailboxRow) -> None:
        """Keep what a row says now."""
        self._database.execute(
            "insert or replace into mailboxes values(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                row.key,
                row.address,
                row.put_seq,
                row.keys,
                row.incarnation,
                row.sequence,
                row.hash,
                row.used_ms,
                row.checkpoint,
                row.checkpoint_seq,
                row.checkpoint_ms,
                row.checkpoint_objects,
                row.collect_ms,
                row.cleared_seq,
                row.epoch,
            ),
        )

    def logs(self, mailbox: int) -> dict[str, LogRow]:
        """The logs that were read there, by folder."""
        found: Any = self._database.execute(
            "select folder, device, incarnation, first, sequence, hash, since, covered, hole from logs "
            "where mailbox = ?",
            (mailbox,),
        )
        return {folder: LogRow(*rest) for folder, *rest in found}

    def logs_of(self, device: bytes) -> list[tuple[bytes, int, bytes]]:
        """How far the logs of a device were read in all mailboxes, own ones as put: positions, sorted."""
        return list(
            self._database.execute(
                "select incarnation, max(sequence), hash from logs where device = ? "
                "group by incarnation order by incarnation",
                (device,),
            )
        )

    def write_log(self, mailbox: int, folder: str, log: LogRow) -> None:
        """Keep how far a log was read."""
        self._database.execute(
            "insert or replace into logs values(?,?,?,?,?,?,?,?,?,?)", (mailbox, folder, *log)
        )

    def drop_log(self, mailbox: int, folder: str) -> None:
        """Forget a log of which nothing is left there."""
        self._database.execute(
            "delete from logs where mailbox = ? and folder = ?", (mailbox, folder)
        )

    def tidings(self, mailbox: int) -> list[tuple[bytes, int, bytes]]:
        """What each device said last there, own ones too: device, sequence of the object, and the bytes."""
        return list(
            self._database.execute(
                "select device, sequence, tidings from tidings where mailbox = ?", (mailbox,)
            )
        )

    def write_tidings(self, mailbox: int, device: bytes, sequence: int, tidings: bytes) -> None:
        """Keep what a device said last."""
        self._database.execute(
            "insert or replace into tidings values(?,?,?,?)", (mailbox, device, sequence, tidings)
        )

    def stops(self, mailbox: int) -> dict[str, int]:
        """The logs that could not be read on, by folder: since when, Unix milliseconds."""
        found: Any = self._database.execute(
            "select folder, since_ms from stops where mailbox = ?", (mailbox,)
        )
        return dict(found)

    def write_stops(self, mailbox: int, stops: Mapping[str, int]) -> None:
        """Keep which logs could not be read on, and no others."""
        self._database.execute("delete from stops where mailbox = ?", (mailbox,))
        self._database.executemany(
            "insert into stops values(?,?,?)",
            [(mailbox, folder, since_ms) for folder, since_ms in stops.items()],
        )

    def said_epoch(self) -> bytes:
        """Under which epoch this device last said that it seals: commitment, and the store that said so; or nothing."""
        found: Any = self._database.first("select value from meta where name = ?", (SAID_EPOCH,))
        return b"" if found is None else bytes(found[0])

    def note_said_epoch(self, said: bytes) -> None:
        """It has said so."""
        self._database.execute("insert or replace into meta values(?, ?)", (SAID_EPOCH, said))

    def all(self) -> list[MailboxRow]:
        """All mailboxes, by address."""
        found: Any = self._database.execute("select * from mailboxes order by address")
        return [MailboxRow(*row) for row in found]

    def not_there(self, row: MailboxRow) -> tuple[int, int]:
        """Of how many documents something is not known to lie there yet, and how many bytes those have here."""
        found: Any = self._database.one(
            "select count(*), total(d.bytes) from documents d "
            "left join posted p on p.mailbox = ?1 and p.document = d.key "
            "where d.changed_seq > ?2 and p.digest is not d.digest",
            (row.key, row.put_seq),
        )
        return int(found[0]), int(found[1])

    def is_all_put(self) -> bool:
        """Whether all that is here lies in some mailbox, as far as is known."""
        return any(self.not_there(row) == (0, 0) for row in self.all())

    def erased_since(self, seq: int) -> bool:
        """Whether anything was erased here after a commit."""
        return any(
            self._database.first(
                f"select 1 from documents d join {table} e on e.document = d.key "
                "where d.changed_seq > ?1 and e.changed_seq > ?1",
                (seq,),
            )
            for table in ("erased", "gone")
        )

    def erased_at(self, ids: Collection[bytes] | None) -> int:
        """The last commit that erased any of these ids here or one of their attachments, or any; 0 if none did."""
        asked = {"erased": "id", "gone": "substr(attachment, 1, 12)"}
        if ids is None:
            found = [f"select max(changed_seq) from {table}" for table in asked]
            return max(int(self._database.one(one)[0] or 0) for one in found)
        return max(
            (
                int(
                    self._database.one(
                        f"select max(changed_seq) from {table} where {named} = ?", (one,)
                    )[0]
                    or 0
                )
                for one in ids
                for table, named in asked.items()
            ),
            default=0,
        )

    def has_rubbish(self, address: str) -> bool:
        """Whether chunks may lie there that no message needs."""
        found = self._database.first("select 1 from rubbish where place = ? limit 1", (address,))
        return found is not None

    def posted(self, mailbox: int, document: int) -> Posted | None:
        """What lies there of a document, by its key."""
        found: Any = self._database.first(
            "select generation, base, clocks, digest from posted where mailbox = ? and document = ?",
            (mailbox, document),
        )
        if found is None:
            return None
        generation, base, clocks, digest = found
        return Posted(Label(generation, base), decode_state(clocks), digest)

    def post(self, mailbox: int, document: int, posted: Posted) -> None:
        """Keep what lies there of a document."""
        self._database.execute(
            "insert or replace into posted values(?,?,?,?,?,?)",
            (mailbox, document, *posted.label, encode_state(posted.clocks), posted.digest),
        )

    def beside(self, mailbox: int) -> list[tuple[int, bytes]]:
        """The documents of which not all that is here lies there: the key of each, and the digest of what does."""
        return list(
            self._database.execute(
                "select d.key, coalesce(p.digest, zeroblob(16)) from mailboxes b "
                "join documents d on d.changed_seq > b.put_seq "
                "left join posted p on p.mailbox = b.key and p.document = d.key "
                "where b.key = ? and p.digest is not d.digest",
                (mailbox,),
            )
        )

    def forget_posted(self, row: MailboxRow) -> None:
        """Take nothing for being there: all that is here is to be put anew."""
        self._database.execute("delete from posted where mailbox = ?", (row.key,))
        row.put_seq = 0
        self.write(row)
