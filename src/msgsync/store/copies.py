"""Where else chunks are, and which of them may go from this device. Source: design 11, decision 34.

A chunk goes from here only if somebody else is bound to have it:

- a mailbox that confirmed it: nobody takes it out of there while a message needs it; or
- a device that **promised** to keep it. Who has promised a chunk to anybody lets it go for no other device's promise,
  and a device that has a budget promises nothing. So of two devices that let go at one moment what each believed the
  other had, one has promised, and keeps it; and no circle of promises is possible: who has promised is bound.

A promise is on the promising device's disk before it is told, whatever its durability. It ends with the chunk, and
counts for nothing once that device is revoked or retired, or begins anew with another store. Neither a promise nor what
was seen or read in a mailbox counts for a message that came later: who erases the earlier ones without having heard of
that one lets go of the chunk. So each new message that needs a chunk makes void what was promised or seen before, and
that is asked for, or looked for, anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apsw

from msgsync.store.attachments import AttachmentRows
from msgsync.store.chunkrows import AWAY, HAD_BEFORE, HERE
from msgsync.store.database import Database

Place = bytes | str
"""A device, or a mailbox by its address."""
FIRST_ROUND: Final = 2
"""Rounds are counted from here on: what was noted before one began has its number, negative, until it is dated."""
_HELD: Final = (
    "select chunk from copies where (promised or ?2) "
    "and (typeof(place) = 'text' or cast(place || store_id as blob) in (select value from carray(?1)))"
)
"""Chunks that somebody else is bound to have, or has as far as is known."""


class Room(NamedTuple):
    """What chunks take, in bytes of the files."""

    here: int
    free: int
    """Of those, what may go."""


class CopyRows:
    """Writes and asks within the caller's transaction."""

    def __init__(self, database: Database, attachments: AttachmentRows) -> None:
        """Args: where the rows are, and who keeps the chunks."""
        self._database = database
        self._attachments = attachments

    # What others have.

    def confirm(
        self, place: Place, store_id: bytes, names: Iterable[bytes], *, promised: bool = False
    ) -> None:
        """Somebody has these on its disk; and has promised to keep them."""
        for name in names:
            self._database.execute(
                "insert into copies select key, ?1, ?2, ?3, -1, 0 from chunks where name = ?4 "
                "on conflict do update set store_id = ?2, promised = iif(store_id = ?2, max(promised, ?3), ?3), "
                "noted_ms = iif(typeof(place) = 'blob', -1, noted_ms)",
                (place, store_id, int(promised), name),
            )

    def deny(self, place: Place, name: bytes) -> None:
        """Somebody does not have a chunk after all."""
        self._database.execute(
            "delete from copies where place = ? and chunk = (select key from chunks where name = ?)",
            (place, name),
        )

    def elsewhere(self, names: Collection[bytes], trusted: Mapping[bytes, bytes]) -> set[bytes]:
        """Those of these chunks that somebody else has, as far as is known.

        Args:
            names: of chunks.
            trusted: the devices that count, and their stores.
        """
        if not names:
            return set()
        found = self._database.execute(
            f"select name from carray(?3) join chunks on name = value where key in ({_HELD})",
            (stores(trusted), 1, apsw.carray(tuple(names))),
        )
        return {name for (name,) in found}

    def in_mailbox(self, names: Collection[bytes]) -> set[bytes]:
        """Those of these chunks that a mailbox confirmed."""
        if not names:
            return set()
        found = self._database.execute(
            f"select name from carray(?) join chunks on name = value where {_IN_MAILBOX}",
            (apsw.carray(tuple(names)),),
        )
        return {name for (name,) in found}

    # Mailboxes: what was read there again counts as promised. What was seen there, and nothing may remove it for having
    # erased other messages, is not lost with a device.

    def note_there(self, place: str, name: bytes, *, confirmed: bool) -> None:
        """A chunk lies in a mailbox that has all messages here; since when is not said before `date`."""
        self._database.execute(
            f"insert into copies select key, ?1, x'', ?2, -1, {_ALONE} from chunks where name = ?3 "
            "on conflict do update set promised = iif(noted_ms < 0, promised, max(promised, ?2))",
            (place, int(confirmed), name),
        )

    def note_listed(
        self, place: str, names: Collection[bytes], *, all_put: bool, before_ms: int
    ) -> None:
        """These lie in a mailbox, and no others.

        Args:
            place: the mailbox.
            names: of chunks.
            all_put: whether all messages here are there too.
            before_ms: what was dated by then was looked for long enough after that.
        """
        known: list[Any] = self._database.execute(
            "select name from copies join chunks on key = chunk where place = ?", (place,)
        ).fetchall()
        for (name,) in known:
            if name not in names:
                self.deny(place, name)
        self._database.executemany(
            f"insert or ignore into copies select key, ?, x'', 0, -1, ? and {_ALONE} from chunks where name = ?",
            [(place, int(all_put), name) for name in names],
        )
        self._database.execute(
            f"update copies set seen = 1 where place = ? and {_TO_SEE}", (place, before_ms)
        )

    def is_to_see(self, place: str, before_ms: int) -> bool:
        """Whether anything is to be looked for again: a message came to need it after it was found there."""
        found = self._database.first(
            f"select 1 from copies where place = ? and {_TO_SEE} limit 1", (place, before_ms)
        )
        return found is not None

    def has_undated(self, place: str) -> bool:
        """Whether there is anything to `date`."""
        undated = "select 1 from copies where place = ? and noted_ms < 0 limit 1"
        return self._database.first(undated, (place,)) is not None

    def begin_round(self, place: str, number: int) -> None:
        """A round begins: the messages that need what was noted by now are in the mailbox once all is put.

        What another round, that still goes on, would have dated is left to this one: it may have come since.
        """
        self._database.execute(
            "update copies set noted_ms = ? where place = ? and noted_ms < 0", (-number, place)
        )

    def date(self, place: str, number: int, now_ms: int) -> None:
        """All that was here when the round of this number began is in the mailbox by now."""
        self._database.execute(
            "update copies set noted_ms = ? where place = ? and noted_ms = ?",
            (now_ms, place, -number),
        )

    def to_put(self, place: str, limit: int) -> list[bytes]:
        """Chunks that are here and not known to lie in a mailbox, of the newest messages first."""
        found = self._database.execute(
            f"select name from chunks where state = {HERE} and not exists("
            "select 1 from copies where chunk = key and place = ?) order by key desc limit ?",
            (place, limit),
        )
        return [name for (name,) in found]

    def not_there(self, place: str) -> tuple[int, int]:
        """How many chunks that are here are not known to lie in a mailbox, and how many bytes those have."""
        found = self._database.one(
            f"select count(*), total(size) from chunks where state = {HERE} and not exists("
            "select 1 from copies where chunk = key and place = ?)",
            (place,),
        )
        return int(found[0]), int(found[1])

    def to_confirm(self, place: str, before_ms: int, limit: int) -> list[bytes]:
        """Chunks that are here, and were dated in a mailbox before that time but not read there again."""
        found = self._database.execute(
            "select name from copies join chunks on key = chunk where place = ? and not promised "
            f"and noted_ms between 0 and ? and state = {HERE} order by used_ms, key limit ?",
            (place, before_ms, limit),
        )
        return [name for (name,) in found]

    def forget_place(self, place: str) -> None:
        """A mailbox was emptied, or put back: it is not known what lies there."""
        self._database.execute("delete from copies where place = ?", (place,))

    def rubbish(self, place: str, limit: int) -> list[bytes]:
        """Chunks that may lie in a mailbox and that no message needs."""
        found = self._database.execute(
            "select name from rubbish where place = ? limit ?", (place, limit)
        )
        return [name for (name,) in found]

    def removed(self, place: str, name: bytes) -> None:
        """One of those does not lie there any more."""
        self._database.execute("delete from rubbish where place = ? and name = ?", (place, name))

    # Promises.

    def grant(self, device: bytes, names: Iterable[bytes]) -> list[bytes]:
        """Promise a device to keep these, those that are here and that it has not promised to keep for this one."""
        granted = []
        for name in names:
            found = self._database.first(
                "select key from chunks where name = ?1 and state = ?2 and not exists("
                "select 1 from copies where chunk = key and place = ?3 and promised)",
                (name, HERE, device),
            )
            if found is not None:
                self._database.execute(
                    "insert or ignore into promises values(?,?)", (found[0], device)
                )
                granted.append(name)
        return granted

    def to_ask(self, trusted: Mapping[bytes, bytes], limit: int) -> list[bytes]:
        """Chunks that are here and could go if somebody promised to keep them, least recently used first."""
        found = self._database.execute(
            f"select name from chunks where state = {HERE} and key not in ({_HELD}) "
            "and key not in (select chunk from promises) order by used_ms, key limit ?3",
            (stores(trusted), 0, limit),
        )
        return [name for (name,) in found]

    # What would be lost with a device.

    def only_here(self, trusted: Mapping[bytes, bytes]) -> int:
        """Bytes of what is here, not known to stay in a mailbox, and of which nobody else is bound to have a copy.

        That another device has it counts only if it was promised nothing of it, and said so after the newest message
        came that needs it: else it may have let go of it. So does what lies in a mailbox only if it was seen there
        since all messages that need it are there.
        """
        may_have_gone = f"(key in (select chunk from promises) or key not in ({_HAD}))"
        return self._held_by_nobody(f"state = {HERE} and {may_have_gone}", trusted)

    def not_here(self, trusted: Mapping[bytes, bytes]) -> int:
        """Bytes of what messages need and is not here, not known to stay in a mailbox, nor promised by these."""
        return self._held_by_nobody(f"state != {HERE}", trusted)

    def _held_by_nobody(self, where: str, trusted: Mapping[bytes, bytes]) -> int:
        if not self._attachments.any:
            return 0
        found = self._database.one(
            f"select coalesce(sum(size), 0) from chunks where {where} "
            f"and not {_STAYS_IN_MAILBOX} and key not in ({_HELD})",
            (stores(trusted), 0),
        )
        return int(found[0])

    # Letting go.

    def space(self, trusted: Mapping[bytes, bytes]) -> Room:
        """What chunks take here, and how much of it may go."""
        here, free = self._database.one(
            "select coalesce(sum(size), 0), coalesce(sum(iif(" + _MAY_GO + ", size, 0)), 0) "
            f"from chunks where state = {HERE}",
            (stores(trusted), 0),
        )
        return Room(here, free)

    def ages(self, trusted: Mapping[bytes, bytes]) -> list[tuple[int, int]]:
        """Of what may go, in the order in which `evict` lets it go: when it was used last, and its bytes."""
        found = self._database.execute(
            f"select used_ms, size from chunks where state = {HERE} and {_MAY_GO} order by used_ms",
            (stores(trusted), 0),
        )
        return [(used_ms, size) for used_ms, size in found]

    def may_evict(
        self, keep_bytes: int | None, trusted: Mapping[bytes, bytes], *, since_ms: int
    ) -> bool:
        """Whether `evict` would let anything go."""
        return bool(self._going(keep_bytes, trusted, since_ms))

    def evict(
        self, keep_bytes: int | None, trusted: Mapping[bytes, bytes], *, since_ms: int = 0
    ) -> tuple[int, int]:
        """Let chunks go, least recently used first, as far as they may go.

        Args:
            keep_bytes: until those that stay take no more than this; None for however much.
            trusted: the devices that count, and their stores.
            since_ms: and until those that stay were used since.

        Returns:
            How many went, and how many bytes of files they hold.
        """
        gone = self._going(keep_bytes, trusted, since_ms)
        away = [(name,) for name, _ in gone]
        self._database.executemany(f"update chunks set state = {AWAY} where name = ?", away)
        self._attachments.unlink([name for name, _ in gone])
        return len(gone), sum(size for _, size in gone)

    def _going(
        self, keep_bytes: int | None, trusted: Mapping[bytes, bytes], since_ms: int
    ) -> list[tuple[bytes, int]]:
        """The names of what would go, and how many bytes of files each of them holds."""
        over = 0 if keep_bytes is None else self._attachments.bytes_here() - keep_bytes
        last_ms = "" if over > 0 else "and used_ms < ?3 "
        may_go: Sequence[Any] = self._database.execute(
            f"select name, size, used_ms < ?3 from chunks where state = {HERE} {last_ms}and {_MAY_GO} "
            "order by used_ms, key",
            (stores(trusted), 0, since_ms),
        ).fetchall()
        gone = []
        for name, size, is_old in may_go:
            if over <= 0 and not is_old:
                break
            if not self._attachments.is_pinned(name):
                over -= size
                gone.append((name, size))
        return gone


_IN_MAILBOX: Final = "exists(select 1 from copies where chunk = key and typeof(place) = 'text')"
_STAYS_IN_MAILBOX: Final = _IN_MAILBOX.replace("= 'text'", "= 'text' and (promised or seen)")
_ALONE: Final = (
    "(select count(distinct id) < 2 from parts join attached using(file) where parts.chunk = key)"
)
"""One message needs a chunk: nobody who has read all there is lets go of it for having erased others."""
_TO_SEE: Final = "not seen and not promised and noted_ms between 0 and ?"
_HAD: Final = _HELD.replace(
    "(promised or ?2)", f"typeof(place) = 'blob' and noted_ms != {HAD_BEFORE}"
)
_MAY_GO: Final = (
    "(exists(select 1 from copies where chunk = key and typeof(place) = 'text' and promised) "
    f"or (key in ({_HELD}) and key not in (select chunk from promises)))"
)


def stores(trusted: Mapping[bytes, bytes]) -> Any:
    """Devices with their stores as one parameter, for SQL's ``carray``."""
    return apsw.carray(tuple(device + store for device, store in trusted.items()) or (b"",))
