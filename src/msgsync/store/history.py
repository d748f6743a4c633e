"""Months that a device lets go of, and what it keeps of them. Source: design 4 and 11, decision 42.

Rules
-----
- A month goes whole or not at all. What stays is its row, with the digest that it had, and the ids of erased messages:
  what is erased stays so, wherever the month comes back from. The digest of the replica stays as it was.
- It goes only if somebody else is bound to have it as it is: a device that **promised** to keep it, or a mailbox with a
  checkpoint in which it was read. The rules are those of chunks (`store.copies`): who has promised a month to anybody
  lets it go for no other device's promise.
- It goes only if nothing that is shown of other months, or waits for a person or for another version, hangs on it: see
  `Going`.
- It comes back whole. Where something comes of it from somebody who may lack part of what was here, the row goes on
  saying what is missing, until it comes from somebody who has that; or until it is here in the state in which it went,
  whoever that came from: a carrier that brings the same history again is enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgsync.document.digest import MODULUS, document_share, erased_digest
from msgsync.document.frozen import NEVER_FROZEN, Parts
from msgsync.document.schema import ERASED, month_bounds
from msgsync.store.copies import stores
from msgsync.store.reading import DIVIDES
from msgsync.store.rows import DELETED, HIDDEN, DocumentRow, Lack, Wanted

if TYPE_CHECKING:
    from msgsync.store.store import Store

_SEGMENT: Final = "d.kind glob '[0-9][0-9][0-9][0-9]*-[0-9][0-9]'"
_MAY_GO: Final = (
    f"d.lacks = x'' and d.generation > 0 and d.messages > 0 and {_SEGMENT} "
    "and not exists(select 1 from unreadable where document = d.key) "
    "and not exists(select 1 from attached where document = d.key) "
    "and not exists(select 1 from gone where document = d.key) "
    "and not exists(select 1 from mailboxes b where b.used_ms >= ?2 and not exists("
    "select 1 from posted where mailbox = b.key and document = d.key and digest = d.digest))"
)
"""What can be asked of the rows of documents; ``?2``: a mailbox that was not used since is given up."""
_BY_DEVICE: Final = (
    "exists(select 1 from keepers where document = d.key and digest = d.digest and typeof(place) = 'blob' "
    "and cast(place || store_id as blob) in (select value from carray(?1)))"
)
_BY_MAILBOX: Final = (
    "exists(select 1 from keepers where document = d.key and digest = d.digest "
    "and typeof(place) = 'text')"
)
_PROMISED: Final = "d.key in (select document from kept)"
_MAY_BE_LEFT: Final = f"({_BY_MAILBOX} or ({_BY_DEVICE} and not {_PROMISED}))"
_SAID: Final = ("edits", "reactions", "deletions", "covered")


class Going:
    """Which months of a replica may go.

    Not the newest month of a conversation that has a live message, which its line in the list shows, nor a later one;
    not one with something in Recently Deleted, with attachments or some that were erased, with entries that this
    version cannot read, with messages that are one with some of another month, in which marks tell read messages from
    unread ones, or with anything that is to be put into a mailbox.
    """

    def __init__(
        self, store: Store, trusted: Mapping[bytes, bytes], *, before_ms: int, used_ms: int
    ) -> None:
        """Look.

        Args:
            store: of the replica.
            trusted: the devices whose promises count, and their stores.
            before_ms: months that are over by then, Unix milliseconds.
            used_ms: mailboxes that were not used since are given up.
        """
        self._store = store
        self._parameters = (stores(trusted), used_ms)
        self._before_ms = before_ms
        found: Any = store.database.execute(
            "select c.key, m.ms from conversations c join messages m on m.key = c.last_message"
        )
        self._last_ms: dict[int, int] = dict(found)

    def promised(self) -> list[DocumentRow]:
        """Those that somebody else is bound to have as they are: they may go now. Least recently changed first."""
        return self._select(_MAY_BE_LEFT, limit=None)

    def to_ask(self, limit: int) -> list[DocumentRow]:
        """Those that could go if a device promised to keep them; at most so many."""
        return self._select(f"not {_MAY_BE_LEFT} and not {_PROMISED}", limit=limit)

    def to_confirm(self) -> list[DocumentRow]:
        """Those that could go if a mailbox was found to have them."""
        return self._select(f"not {_MAY_BE_LEFT}", limit=None)

    def _select(self, condition: str, *, limit: int | None) -> list[DocumentRow]:
        chosen: list[DocumentRow] = []
        for row in self._store.documents.select(
            f"where {_MAY_GO} and {condition} order by d.changed_ms, d.newest_ms",
            self._parameters,
        ):
            if limit is not None and len(chosen) >= limit:
                break
            if self._is_old(row) and not self._is_needed(row):
                chosen.append(row)
        return chosen

    def _is_old(self, row: DocumentRow) -> bool:
        behind_ms = month_bounds(row.id.kind)[1]
        return behind_ms <= min(self._before_ms, self._last_ms.get(row.conversation, -1))

    def _is_needed(self, row: DocumentRow) -> bool:
        from_ms, behind_ms = month_bounds(row.id.kind)
        store = self._store
        if store.readmodel.aliases.lead_out(row.conversation, from_ms, behind_ms):
            return True
        if store.reading.divides(row.conversation, from_ms, behind_ms):
            return True
        deleted = store.database.first(
            "select 1 from messages indexed by messages_order where conversation = ? and ms >= ? and ms < ? "
            f"and flags & {DELETED} and not flags & {HIDDEN} limit 1",
            (row.conversation, from_ms, behind_ms),
        )
        return deleted is not None


# Promises. A state of a document is named by its share in the digest of the replica.


def name_of(row: DocumentRow) -> bytes:
    """16 bytes: equal where a document is in the same state."""
    return document_share(row.id, row.digest).to_bytes(16, "big")


def _named(store: Store, names: Collection[bytes]) -> dict[bytes, DocumentRow]:
    """The months that are here, all of them, in the states of these names."""
    wanted = set(names)
    rows = store.documents.select(f"where d.lacks = x'' and d.messages > 0 and {_SEGMENT}")
    return {name: row for row in rows if (name := name_of(row)) in wanted}


def grant(store: Store, device: bytes, names: Collection[bytes]) -> list[bytes]:
    """Promise a device to keep these, those that are here as it has them; return which. Within a transaction.

    Not those that it has promised to keep for this device.
    """
    granted = []
    for name, row in _named(store, names).items():
        keeps = "select 1 from keepers where document = ? and place = ?"
        if store.database.first(keeps, (row.key, device)) is None:
            store.database.execute("insert or ignore into kept values(?,?)", (row.key, device))
            granted.append(name)
    return granted


def confirm(store: Store, device: bytes, store_id: bytes, names: Collection[bytes]) -> None:
    """A device, as this store, has promised to keep these. Within a transaction."""
    for row in _named(store, names).values():
        store.database.execute(
            "insert or replace into keepers values(?,?,?,?)",
            (row.key, device, store_id, row.digest.to_bytes(16, "big")),
        )


def has_promised(store: Store, row: DocumentRow, device: bytes, store_id: bytes) -> bool:
    """Whether a device, as this store, has ever promised to keep a document for this one."""
    found = store.database.first(
        "select 1 from keepers where document = ? and place = ? and store_id = ?",
        (row.key, device, store_id),
    )
    return found is not None


# Checkpoints. A mailbox keeps what one of them has: whoever makes the next one has all of it.


def confirm_there(store: Store, place: str, folder: str, row: DocumentRow) -> None:
    """A checkpoint in this folder of a mailbox has a month as it is here. Within a transaction."""
    store.database.execute(
        "insert or replace into keepers values(?,?,?,?)",
        (row.key, place, folder.encode(), row.digest.to_bytes(16, "big")),
    )


def replace_there(
    store: Store, place: str, folder: str, covers: Collection[str], holes: Collection[str]
) -> None:
    """A checkpoint has taken the place of others: it has what those have, but for ``holes``. Within a transaction."""
    store.database.executemany(
        "update keepers set store_id = ? where place = ? and store_id = ?",
        [(folder.encode(), place, one.encode()) for one in {*covers}.difference(holes)],
    )
    for one in holes:
        _doubt(store, "place = ? and store_id = ?", (place, one.encode()))


def folder_there(store: Store, place: str, row: DocumentRow) -> str | None:
    """The folder of the checkpoint in a mailbox that has what is missing of a month; None if that is not known."""
    found = store.database.first(
        "select store_id from keepers where document = ? and place = ?", (row.key, place)
    )
    return None if found is None else bytes(found[0]).decode()


def forget_place(store: Store, place: str) -> None:
    """A mailbox lost something: it is not known what is there. Within a transaction."""
    _doubt(store, "place = ?", (place,))


def _doubt(store: Store, which: str, parameters: tuple[object, ...]) -> None:
    """It is not known any more whether some checkpoints are there.

    Of what was let go of for one the folder is remembered all the same: found again, it has all of that.
    """
    away = "document in (select key from documents where lacks != x'')"
    store.database.execute(f"delete from keepers where {which} and not {away}", parameters)
    store.database.execute(f"update keepers set digest = x'' where {which}", parameters)


def kept_by_nobody(store: Store, trusted: Mapping[bytes, bytes]) -> list[str]:
    """The conversations with months that are elsewhere, and that nobody is known to have, sorted.

    Args:
        store: of the replica.
        trusted: the devices whose promises count, and their stores.
    """
    found = set()
    for row in elsewhere(store):
        keepers = store.database.execute(
            "select place, store_id from keepers where document = ? and digest != x''", (row.key,)
        )
        if not any(type(at) is str or trusted.get(at) == store_id for at, store_id in keepers):
            found.add(row.id.conversation)
    return sorted(found)


# Letting go and coming back.


def let_go(store: Store, found: DocumentRow) -> None:
    """Let go of a month that may go. Within a transaction."""
    row = store.row(found.id)
    readmodel = store.readmodel
    readmodel.messages.flush()
    _count_messages(store, row)
    erased = [one for one in store.documents.entries(row) if one.root == ERASED]
    digest = row.digest
    _forget_others(store, row)
    for one in readmodel.messages.of_month(row):
        readmodel.messages.drop(row, one)
    for table in _SAID:
        store.database.execute(f"delete from {table} where document = ?", (row.key,))
    readmodel.aliases.clear(row)
    row.digest = sum(map(erased_digest, readmodel.erased_ids(row))) % MODULUS
    row.orphans = row.superseded = False
    row.merged = b""
    row.lacks = Lack(digest.to_bytes(16, "big"), row.digest.to_bytes(16, "big"), row.changed_seq)
    store.documents.replace(row, Parts(NEVER_FROZEN, b"", ()))
    if erased:
        store.compose(row, erased)
    store.touch(row)


def _forget_others(store: Store, row: DocumentRow) -> None:
    """Who had a month in another state than it is in now may lack what is let go of here."""
    store.database.execute(
        "delete from keepers where document = ? and digest != ?",
        (row.key, row.digest.to_bytes(16, "big")),
    )


def _count_messages(store: Store, row: DocumentRow) -> None:
    """Keep how many live messages of whom a month has, for what is unread."""
    store.database.execute(
        "insert or replace into elsewhere select ?1, author, ?3, ?4, count(*) "
        "from messages indexed by messages_order where conversation = ?2 and ms >= ?3 and ms < ?4 "
        f"and not flags & {DELETED} group by author",
        (row.key, row.conversation, *month_bounds(row.id.kind)),
    )


def come_back(store: Store, row: DocumentRow, now_ms: int) -> None:
    """All is here again that was known to be elsewhere of a document. Within a transaction."""
    store.database.execute("delete from elsewhere where document = ?", (row.key,))
    row.lacks = None
    row.changed_ms = now_ms
    store.touch(row)


def want(store: Store, rows: Iterable[DocumentRow], wanted: Wanted) -> None:
    """Have months come back with the next exchange, or not. Within a transaction."""
    for found in rows:
        row = store.row(found.id)
        if row.lacks is not None and row.lacks.wanted != wanted:
            row.lacks = row.lacks._replace(wanted=wanted)
            store.documents.journal.wrote_frozen()  # sessions that stay have to compare digests
            store.touch(row)


def due(store: Store, since_ms: int) -> list[DocumentRow]:
    """The months that were let go of and are to be here.

    Those from a time on, those of conversations of which something is to be deleted as it comes, and those of which
    marks say that part was read.
    """
    divides = DIVIDES.format(
        conversation="d.conversation", from_ms="e.from_ms", behind_ms="e.behind_ms"
    )
    rows = store.documents.select(
        "where d.lacks != x'' and (d.newest_ms >= ? "
        "or d.conversation in (select c.key from wishes w join conversations c on c.id = w.conversation) "
        "or exists(select 1 from (select * from elsewhere where document = d.key limit 1) e "
        f"where exists({divides})))",
        (since_ms,),
    )
    return list(rows)


def is_any_wanted(store: Store) -> bool:
    """Whether anybody has asked for a month that is not here."""
    wanted = "select 1 from documents where lacks != x'' and substr(lacks, 41, 1) != x'00' limit 1"
    return store.database.first(wanted) is not None


def elsewhere(store: Store, conversation: int | None = None) -> list[DocumentRow]:
    """The months of which something is known to be elsewhere, newest first; of one conversation, or of all."""
    where = "where d.lacks != x''" + ("" if conversation is None else " and d.conversation = ?")
    parameters = () if conversation is None else (conversation,)
    rows = store.documents.select(where, parameters)
    return sorted(rows, key=lambda row: month_bounds(row.id.kind), reverse=True)
