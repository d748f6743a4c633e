"""Reading: pages of messages, conversations. Keyset pages only, never offsets. Source: design 3, 6 and 12."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from operator import itemgetter
from typing import Any, Final, NamedTuple

from msgsync.document.schema import MESSAGES, segment_of
from msgsync.ids import external_tail
from msgsync.store.aliases import AliasRows
from msgsync.store.database import Database, integers
from msgsync.store.linked import LinkedRows
from msgsync.store.rows import DELETED, EDITED, HIDDEN, LINKED, REACTED
from msgsync.store.said import ORIGINAL, Remarks

Position = tuple[int, int, bytes]
"""Milliseconds, order and the last 6 bytes of the id: where a message stands in its conversation."""


class MessageRow(NamedTuple):
    """A row of ``messages`` with the names its keys stand for."""

    key: int
    conversation_key: int
    conversation: str
    ms: int
    ord: int
    tail: bytes
    flags: int
    author: str
    text: str
    external: str | None
    rest: bytes | None

    @property
    def id(self) -> bytes:
        """The 12 bytes of the message's id."""
        return self.ms.to_bytes(6, "big") + self.tail

    @property
    def position(self) -> Position:
        """Where it stands in its conversation."""
        return self.ms, self.ord, self.tail


_POSITION: Final = itemgetter(3, 4, 5)
"""`MessageRow.position`, likewise without the interpreter."""
_message_row: Final[Callable[[tuple[Any, ...]], MessageRow]] = partial(tuple.__new__, MessageRow)
"""`MessageRow._make`, without coming back to the interpreter for each row."""


class ConversationRow(NamedTuple):
    """A row of ``conversations``."""

    key: int
    id: str
    title: str | None
    activity_ms: int
    last_message: int | None
    pinned: int
    archived: int
    muted_ms: int | None
    listed: int
    """Whether it is listed: live, or with live messages."""
    is_cut: int
    """Whether a month of it was let go of."""


# `cross join` fixes the order of the tables: the message is found first, by the index each query names.
_COLUMNS: Final = (
    "select m.key, m.conversation, c.id, m.ms, m.ord, m.tail, m.flags, a.name, m.text, m.external, "
    "m.rest from "
)
_JOINS: Final = " cross join conversations c on c.key = m.conversation cross join authors a on a.key = m.author "
_BY_KEY: Final = f"{_COLUMNS}messages m {_JOINS}"
_BY_TAIL: Final = f"{_COLUMNS}messages m indexed by messages_tail {_JOINS}"
_IN_ORDER: Final = (
    "select m.key, m.conversation, ?, m.ms, m.ord, m.tail, m.flags, a.name, m.text, m.external, m.rest "
    "from messages m indexed by messages_order cross join authors a on a.key = m.author "
)


_HAS_ANYTHING: Final = (
    "(exists(select 1 from messages m where m.conversation = c.key) "
    "or exists(select 1 from documents d join fields f on f.document = d.key where d.conversation = c.key))"
)
_CONVERSATION: Final = (
    "key, id, title, coalesce(activity_ms, 0) as activity, last_message, pinned, archived, muted_ms, "
    "activity_ms is not null, exists(select 1 from documents d where d.conversation = c.key and d.lacks != x'')"
)


class Pages:
    """Queries over the read model; the caller holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.aliases = AliasRows(database)
        self._linked = LinkedRows(database, self.aliases)

    def conversation(self, conversation_id: str) -> ConversationRow | None:
        """A conversation of which anything is here, deleted messages included; None if there is none."""
        found = self._database.first(
            f"select {_CONVERSATION} from conversations c where id = ?", (conversation_id,)
        )
        if found is None:
            return None
        row = ConversationRow(*found)
        is_here = row.listed or self._database.first(
            f"select 1 from conversations c where key = ? and {_HAS_ANYTHING}", (row.key,)
        )
        return row if is_here else None

    def conversations(self, limit: int | None, *, deleted: bool) -> list[ConversationRow]:
        """Listed conversations, newest activity first; with ``deleted`` those of deleted messages alone, too."""
        found = self._database.execute(
            f"select {_CONVERSATION} from conversations c where activity_ms is not null "
            f"or ? and {_HAS_ANYTHING} order by activity desc, id limit ?",
            (deleted, -1 if limit is None else limit),
        )
        return [ConversationRow(*row) for row in found]

    def newest_ms(self, conversation_id: str, until_ms: int) -> int:
        """Milliseconds of the newest message id of a conversation, none after ``until_ms``; -1 if there is none.

        Deleted messages count.
        """
        found = self._database.one(
            "select max(ms) from messages where conversation = (select key from conversations where id = ?)"
            " and ms <= ?",
            (conversation_id, until_ms),
        )[0]
        return -1 if found is None else int(found)

    def by_key(self, key: int) -> MessageRow | None:
        """One message by the key of its row."""
        return self._first(_BY_KEY + "where m.key = ?", (key,))

    def by_keys(self, keys: Iterable[int]) -> dict[int, MessageRow]:
        """Messages by the keys of their rows."""
        found = self._database.execute(
            f"{_COLUMNS}carray(?) i cross join messages m {_JOINS} where m.key = i.value",
            (integers(keys),),
        )
        return {row.key: row for row in map(_message_row, found)}

    def by_id(self, message_id: bytes, conversation_id: str | None = None) -> MessageRow | None:
        """One message by its id, of one conversation or of any."""
        of = "1" if conversation_id is None else "id = ?3"
        of = f"m.conversation in (select key from conversations where {of})"
        sql = f"{_BY_TAIL}where {of} and m.tail = ?1 and m.ms = ?2"
        place = message_id[6:], int.from_bytes(message_id[:6], "big")
        return self._first(sql, place if conversation_id is None else (*place, conversation_id))

    def is_erased(self, message_id: bytes) -> bool:
        """Whether a message of any conversation was erased under this id."""
        return self._database.first("select 1 from erased where id = ?", (message_id,)) is not None

    def by_tail(self, tail: bytes, conversation_id: str, external_id: str) -> MessageRow | None:
        """The message that was ingested under an external id."""
        return self._first(
            _BY_TAIL
            + "where m.conversation = (select key from conversations where id = ?) and m.tail = ? and m.external = ?",
            (conversation_id, tail, external_id),
        )

    def answered(
        self, conversation_key: int, external_ids: Collection[str], conversation_id: str
    ) -> dict[str, bytes]:
        """The ids of those messages of a conversation that were ingested under these external ids."""
        tails = {external_tail(conversation_id, one): one for one in external_ids}
        marks = ",".join("?" * len(tails))
        found = self._database.execute(
            "select tail, ms, external from messages indexed by messages_tail "
            f"where tail in ({marks}) and conversation = ?",
            (*tails, conversation_key),
        )
        answered = {
            external: ms.to_bytes(6, "big") + tail
            for tail, ms, external in found
            if external == tails[tail]
        }
        for tail, external in tails.items():
            if external not in answered:
                one = self.aliases.by_external(conversation_key, tail, external)
                if one is not None and self.aliases.here(conversation_key, [one]):
                    answered[external] = one
        return answered

    def by_external(self, conversation_id: str, external_id: str) -> MessageRow | None:
        """The message that has an external id, by its record or by an alias, as it is shown."""
        tail = external_tail(conversation_id, external_id)
        row = self.by_tail(tail, conversation_id, external_id)
        if row is not None:
            return self.as_shown(row)
        key = self._database.first("select key from conversations where id = ?", (conversation_id,))
        one = None if key is None else self.aliases.by_external(key[0], tail, external_id)
        row = None if one is None else self.by_id(one, conversation_id)
        return None if row is None else self.as_shown(row)

    def as_shown(self, row: MessageRow) -> MessageRow:
        """The row of the message that is shown for a row: another one if an alias says so."""
        if not row.flags & HIDDEN:
            return row
        shown = self.by_id(self.aliases.shown(row.conversation_key, row.id), row.conversation)
        return row if shown is None else shown

    def shown_ids(self, conversation_key: int, ids: Collection[bytes]) -> dict[bytes, bytes]:
        """The ids under which messages are shown, for those of the ids that aliases are about."""
        return {
            one: self.aliases.shown(conversation_key, one)
            for one in self.aliases.told(conversation_key, ids)
        }

    def _first(self, sql: str, parameters: tuple[object, ...]) -> MessageRow | None:
        found = self._database.first(sql, parameters)
        return None if found is None else MessageRow(*found)

    def page(
        self,
        of: tuple[int, str],
        *,
        before: Position | None,
        after: Position | None,
        limit: int,
        deleted: bool,
    ) -> list[MessageRow]:
        """At most ``limit`` messages in ascending order: the newest ones before, or the first ones after a place.

        ``of``: the conversation, by its key and its id.
        """
        key, conversation = of
        where = "where m.conversation = ? "
        parameters: list[object] = [conversation, key]
        where += f"and not m.flags & {HIDDEN if deleted else DELETED} "
        if before is not None:
            where += "and (m.ms, m.ord, m.tail) < (?, ?, ?) "
            parameters += before
        if after is not None:
            where += "and (m.ms, m.ord, m.tail) > (?, ?, ?) "
            parameters += after
        way = "asc" if after is not None and before is None else "desc"
        # As the index has them, which spares SQLite a sorter; it does not order what is of one place but for the id.
        order = f"order by m.ms {way}, m.ord {way} limit ?"
        found = self._database.execute(_IN_ORDER + where + order, (*parameters, limit + 1))
        rows = list(map(_message_row, found))
        if (
            len(rows) > limit and rows.pop()[3:5] == rows[-1][3:5]
        ):  # which of these are in is not known yet
            order = f"order by m.ms {way}, m.ord {way}, m.tail {way} limit ?"
            found = self._database.execute(_IN_ORDER + where + order, (*parameters, limit))
            rows = list(map(_message_row, found))
        rows.sort(key=_POSITION)
        return rows

    def author(self, name: str) -> int | None:
        """The key of an author; None if nobody of that name is here."""
        found = self._database.first("select key from authors where name = ?", (name,))
        return None if found is None else int(found[0])

    def is_complete(self) -> bool:
        """Whether all messages of the account that this device knows of are here, to be read and searched.

        A document that was refused, a record that this version cannot read, or a month that was let go of, is missing.
        """
        found = self._database.one(
            "select exists(select 1 from refused) or exists(select 1 from unreadable where root = ?) "
            "or exists(select 1 from documents where lacks != x'')",
            (MESSAGES,),
        )
        return not found[0]

    def said(self, rows: Iterable[MessageRow]) -> dict[int, Remarks]:
        """What was said about those of these messages about which anything was, by the keys of their rows."""
        said: dict[int, Remarks] = {}
        members: list[tuple[MessageRow, int]] = []
        """With the keys of their documents."""
        documents: dict[tuple[int, str], int | None] = {}
        for row in rows:
            if row.flags & LINKED:
                said[row.key] = self._linked.said(row.conversation_key, row.id, row.flags)
            elif row.flags:
                place = row.conversation_key, segment_of(row.ms)
                if place not in documents:
                    found = self._database.first(_DOCUMENT, place)
                    documents[place] = None if found is None else int(found[0])
                document = documents[place]
                if document is not None:
                    members.append((row, document))
        edits: dict[int, list[tuple[str, int]]] = {}
        originals: dict[int, str] = {}
        for key, lamport, text, at in self._about(_EDITS, members, EDITED):
            if lamport == ORIGINAL:
                originals[key] = text
                continue
            of_message = edits.setdefault(key, [])
            # The same edit twice: made here, and come back with an import elsewhere.
            if (text, at) in of_message:
                of_message.remove((text, at))
            of_message.append((text, at))
        reactions: dict[int, list[tuple[int, str, str]]] = {}
        for key, *reaction in self._about(_REACTIONS, members, REACTED):
            reactions.setdefault(key, []).append(tuple(reaction))
        deleted = dict(self._about(_DELETIONS, members, DELETED))
        for row, _ in members:
            said[row.key] = Remarks(
                originals.get(row.key),
                tuple(edits.get(row.key, ())),
                tuple(
                    [(user, emoji, at) for at, user, emoji in sorted(reactions.get(row.key, ()))]
                ),
                deleted.get(row.key),
            )
        return said

    def _about(
        self, sql: str, members: Iterable[tuple[MessageRow, int]], flag: int
    ) -> Iterable[Any]:
        asked = [(row.key, document, row.id) for row, document in members if row.flags & flag]
        return self._database.each(sql, asked) if asked else ()


# Of one message each, so that little is to be prepared: a page waits for that longer than for what is found.
_DOCUMENT: Final = "select key from documents where conversation = ? and kind = ?"
_EDITS: Final = "select ?1, lamport, text, at from edits where document = ?2 and id = ?3 order by lamport, writer"
_REACTIONS: Final = (
    "select ?1, r.at, a.name, r.emoji from reactions r cross join authors a on a.key = r.user "
    "where r.document = ?2 and r.id = ?3 and r.shown"
)
# The last one comes last, and stays.
_DELETIONS: Final = (
    "select ?1, d.at from covered c cross join deletions d "
    "on d.document = c.document and d.lamport = c.lamport and d.writer = c.writer "
    "where c.document = ?2 and c.id = ?3 and d.kind = 0 order by d.lamport, d.writer"
)
