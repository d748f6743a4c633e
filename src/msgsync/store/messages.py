"""Rows of messages, their words in the search index, and the conversations they belong to. Source: design 3 and 6."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple

import apsw

from msgsync import limits
from msgsync.document.columns import Messages
from msgsync.document.schema import month_bounds
from msgsync.records import without_files
from msgsync.store.database import Database
from msgsync.store.rows import DocumentRow
from msgsync.store.words import segmented, segmented_all

# A row travels to SQLite as one blob, many rows as one array, so that one statement takes them all in without coming
# back to the interpreter for each: half the time of a call a row, and time in which another thread works. Numbers have
# a fixed width; behind them lie the external id, the later fields and the text, of the lengths that were said.
_INSERT: Final = (
    "insert into messages select ?1 + rowid, substr(value, 28, 10) + 0, substr(value, 1, 15) + 0, "
    "substr(value, 49, 15) + 0, substr(value, 22, 6), substr(value, 38, 1) + 0, substr(value, 39, 10) + 0, "
    "cast(substr(value, 74 + substr(value, 64, 3) + substr(value, 67, 7)) as text), "
    "iif(substr(value, 64, 3) + 0, cast(substr(value, 74, substr(value, 64, 3)) as text), null), "
    "iif(substr(value, 67, 7) + 0, substr(value, 74 + substr(value, 64, 3), substr(value, 67, 7)), null), ?3 "
    "from carray(?2)"
)
_MS, _ORDER, _SIZE, _REST_SIZE = b"%015d", b"%015d", b"%03d", b"%07d"
_INDEX: Final = "insert into search(rowid, text) values(?,?)"
_INDEX_MANY: Final = (
    "insert into search(rowid, text) select ?1 + rowid, cast(value as text) from carray(?2)"
)
_UNINDEX: Final = "insert into search(search, rowid, text) values('delete', ?, ?)"
_AUTHORS_CACHED: Final = 50_000
_LONG: Final = 512
"""From so many rows on a second thread is worth its while."""

Shown = tuple[int, bytes]
"""The flags and the text (UTF-8) that a message shows."""


class _Queue(NamedTuple):
    """Rows that are to be written, in columns; all of a row's numbers that hardly vary are one column."""

    ids: list[bytes]
    times: list[int]
    by: list[bytes]
    """Conversation, flags and author."""
    texts: list[bytes]
    """As they are shown."""
    orders: list[int]
    externals: list[bytes]
    rests: list[bytes]

    def rows(self) -> tuple[bytes, ...]:
        """Each as `_INSERT` reads it; formatted column by column, without coming back to Python for each."""
        ids, times, by, texts, orders, externals, rests = self
        formatted = zip(
            map(_MS.__mod__, times),
            ids,
            by,
            map(_ORDER.__mod__, orders) if any(orders) else repeat(_ORDER % 0),
            map(_SIZE.__mod__, map(len, externals)),
            map(_REST_SIZE.__mod__, map(len, rests)) if any(rests) else repeat(_REST_SIZE % 0),
            externals,
            rests,
            texts,
            strict=False,
        )
        return tuple(map(b"".join, formatted))


def _words_of(texts: Sequence[bytes]) -> tuple[bytes, ...]:
    """Texts as the index gets them. Latin, Greek and Cyrillic without combining marks need not be looked at."""
    words = list(texts)
    places = [
        place
        for place, text in enumerate(texts)
        if not text.isascii() and text.translate(None, _PLAIN)
    ]
    for place, cut in zip(places, segmented_all([texts[place] for place in places]), strict=True):
        words[place] = cut
    return tuple(words)


_PLAIN: Final = bytes(set(range(0xD6)) - {0xC2, 0xCC, 0xCD})


def _execute(sql: str, parameters: tuple[object, ...], connection: apsw.Connection) -> None:
    connection.execute(sql, parameters)


class MessageRows:
    """Writes rows of messages, many at a time; the caller's transaction surrounds it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seq = 0
        """The number of the commit that is being written: `changed_seq` of every row it writes."""
        self.reset()

    def reset(self) -> None:
        """Forget what is queued and cached, as after a transaction that was rolled back."""
        self._authors: dict[str, int] = {}
        self._next_author: int | None = None
        self._next: int | None = None
        self._indexed: int | None = None
        self._waiting: int | None = None
        self._queue = _Queue([], [], [], [], [], [], [])
        self._unindexed: list[bytes] = []
        """The texts of the last rows that this transaction has written, which are not in the index yet."""
        self._touched: set[int] = set()
        self.changed: list[range] = []
        """Keys of the rows that this transaction has written, for who watches."""

    def take_changed(self) -> list[range]:
        """The keys of the rows that were written since this was asked."""
        changed, self.changed = self.changed, []
        return changed

    def author(self, name: str) -> int:
        """The key of an author's row, made if there is none."""
        key = self._authors.get(name)
        if key is None:
            if self._next_author is None:
                self._read_authors()
                return self.author(name)
            found = None
            if self._next_author > _AUTHORS_CACHED:  # not all of them are cached
                found = self._database.first("select key from authors where name = ?", (name,))
                if len(self._authors) > _AUTHORS_CACHED:
                    self._authors.clear()
            if found is None:
                key = self._next_author
                self._next_author += 1
                self._database.later("insert into authors values(?,?)", [(key, name)])
            else:
                key = int(found[0])
            self._authors[name] = key
        return key

    def _read_authors(self) -> None:
        newest = self._database.one("select max(key) from authors")[0]
        self._next_author = 1 if newest is None else newest + 1
        rows = self._database.execute(f"select name, key from authors limit {_AUTHORS_CACHED}")
        self._authors = dict(rows)

    def add(
        self,
        row: DocumentRow,
        messages: Messages,
        shown: Mapping[bytes, Shown],
    ) -> None:
        """Have rows of new messages written with the next `flush`; ``shown``: where something was said about them."""
        ids, times, authors, texts, orders, externals, rests = messages
        who = {
            name: b"%010d0%010d" % (row.conversation, self.author(name.decode()))
            for name in dict.fromkeys(authors)
        }
        by = [who[author] for author in authors]
        if shown:
            texts = list(texts)
            for place, one in enumerate(ids):
                if one in shown:
                    flags, texts[place] = shown[one]
                    by[place] = b"%b%d%b" % (by[place][:10], flags, by[place][11:])
        queue = self._queue
        queue.ids.extend(ids)
        queue.times.extend(times)
        queue.by.extend(by)
        queue.texts.extend(texts)
        queue.orders.extend(orders)
        queue.externals.extend(externals)
        queue.rests.extend(rests)
        self._next = self._next_key() + len(ids)
        self.touch(row)
        row.newest_ms = max(row.newest_ms, *times)
        row.messages += len(ids)

    def _next_key(self) -> int:
        """The key that the next message gets: the order of arrival."""
        if self._next is None:
            newest = self._database.one("select max(key) from messages")[0]
            # Not one up to which messages are indexed, though its message was erased: it would not be found.
            self._next = max(newest or 0, self.indexed()) + 1
        return self._next

    def flush_long(self) -> None:
        """Write queued rows if there are many: they are written beside whatever is done next."""
        if len(self._queue.ids) >= limits.ROWS_WRITTEN_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write queued rows; index their words once many are waiting."""
        queue = self._queue
        count = len(queue.ids)
        if not count:
            return
        self._queue = _Queue([], [], [], [], [], [], [])
        last = self._next_key() - 1
        if self._waiting is None:
            waiting = "select coalesce(sum(octet_length(text)), 0) from messages where key > ?"
            self._waiting = int(self._database.one(waiting, (self.indexed(),))[0])
        self._waiting += sum(map(len, queue.texts))
        self.changed.append(range(last - count + 1, last + 1))
        self._unindexed += queue.texts
        self._write(count, _INSERT, (last - count, apsw.carray(queue.rows()), self.seq))
        if len(self._unindexed) >= limits.ROWS_INDEXED_TOGETHER:
            self._index()

    def _index(self) -> None:
        """Index all that is written and not in the index yet."""
        texts, self._unindexed = self._unindexed, []
        last = self._next_key() - 1
        before = last - len(texts)
        self._index_older(before)
        if texts:
            parameters = before, apsw.carray(_words_of(texts))
            self._write(len(texts), _INDEX_MANY, parameters)
        self._indexed, self._waiting = last, 0

    def _write(self, count: int, sql: str, parameters: tuple[object, ...]) -> None:
        """Run a statement that takes so many rows in: beside whatever is done next if they are many."""
        if count < _LONG:
            self._database.execute(sql, parameters)
        else:
            self._database.start(partial(_execute, sql, parameters))

    def indexed(self) -> int:
        """The key up to which messages are in the search index; a search reads the few behind it itself.

        Indexing one message at a time would cost more than all the rest of sending it.
        """
        if self._indexed is None:
            self._indexed = self._database.one("select indexed from state")[0]
        return self._indexed

    def _index_older(self, last: int) -> None:
        """Index what was written by earlier transactions and is not indexed yet, up to the key ``last``."""
        first = self.indexed() + 1
        if first <= last:
            waiting: list[Any] = self._database.execute(
                "select key, text from messages where key between ? and ?", (first, last)
            ).fetchall()
            self._database.executemany(_INDEX, [(key, segmented(text)) for key, text in waiting])

    def find(self, conversation: int, message_id: bytes) -> tuple[int, int, str] | None:
        """The key, flags and text of a message's row."""
        found = self._database.first(
            "select key, flags, text from messages indexed by messages_tail "
            "where tail = ? and ms = ? and conversation = ?",
            (message_id[6:], int.from_bytes(message_id[:6], "big"), conversation),
        )
        return None if found is None else (found[0], found[1], found[2])

    def of_month(self, row: DocumentRow) -> list[bytes]:
        """The ids of all rows of a segment."""
        found: list[Any] = self._database.execute(
            "select ms, tail from messages indexed by messages_order "
            "where conversation = ? and ms >= ? and ms < ?",
            (row.conversation, *month_bounds(row.id.kind)),
        ).fetchall()
        return [ms.to_bytes(6, "big") + tail for ms, tail in found]

    def known(self, conversation: int, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that have a row."""
        ids = list(ids)
        if ids:
            self.flush()
        return {one for one in ids if self.find(conversation, one) is not None}

    def show(self, row: DocumentRow, key: int, old: tuple[int, str], new: tuple[int, str]) -> None:
        """Change the flags and the text that a message shows; its row changes in any case, for who watches."""
        if self._unindexed:  # with the text that it had
            self._index()
        if old[1] != new[1] and key <= self.indexed():
            self._database.execute(_UNINDEX, (key, segmented(old[1])))
            self._database.execute(_INDEX, (key, segmented(new[1])))
        self._database.execute(
            "update messages set flags = ?, text = ?, changed_seq = ? where key = ?",
            (*new, self.seq, key),
        )
        self.changed.append(range(key, key + 1))
        self.touch(row)

    def rest(self, row: DocumentRow, message_id: bytes) -> bytes | None:
        """The later fields of a message's record, if it is here and has any."""
        found = self.find(row.conversation, message_id)
        if found is None:
            return None
        [rest] = self._database.one("select rest from messages where key = ?", (found[0],))
        return None if rest is None else bytes(rest)

    def empty(self, row: DocumentRow, message_id: bytes, numbers: Collection[int]) -> bool:
        """Leave nothing of some attachments of a message but what they were called; say whether there was more."""
        found = self.find(row.conversation, message_id)
        rest = self.rest(row, message_id)
        if found is None or rest is None:
            return False
        left = without_files(rest, numbers)
        if left == rest:
            return False
        self._database.execute(
            "update messages set rest = ?, changed_seq = ? where key = ?",
            (left, self.seq, found[0]),
        )
        self.changed.append(range(found[0], found[0] + 1))
        self.touch(row)
        return True

    def drop(self, row: DocumentRow, message_id: bytes) -> None:
        """Remove a message's row and its words, if it is here."""
        found = self.find(row.conversation, message_id)
        if found is None:
            return
        key, _, text = found
        if self._unindexed:
            self._index()
        if key <= self.indexed():
            self._database.execute(_UNINDEX, (key, segmented(text)))
        self._database.execute("delete from messages where key = ?", (key,))
        row.messages -= 1
        self.touch(row)

    def touch(self, row: DocumentRow) -> None:
        """Have the conversation's last message found anew when the transaction ends."""
        self._touched.add(row.conversation)

    def finish(self) -> None:
        """Write what is queued, and each touched conversation's last message and activity."""
        self.flush()
        # Many need not be read again if they are indexed now.
        if self._unindexed and (
            len(self._unindexed) >= _LONG
            or self._next_key() - 1 - self.indexed() > limits.UNINDEXED_MESSAGES
            or (self._waiting or 0) > limits.UNINDEXED_BYTES
        ):
            self._index()
        self._unindexed.clear()
        for key in sorted(self._touched - {0}):
            newest = self._database.first(
                "select key, ms from messages indexed by messages_order "
                "where conversation = ? and not flags & 1 "
                "order by ms desc, ord desc, tail desc limit 1",
                (key,),
            )
            if newest is None:
                self._database.execute(
                    "update conversations set last_message = null,"
                    " activity_ms = iif(live, coalesce(created_ms, 0), null), changed_seq = ? where key = ?",
                    (self.seq, key),
                )
            else:
                self._database.execute(
                    "update conversations set last_message = ?,"
                    " activity_ms = max(?, iif(live, coalesce(created_ms, 0), 0)), changed_seq = ? where key = ?",
                    (*newest, self.seq, key),
                )
        self._touched.clear()
