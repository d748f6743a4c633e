"""Where else chunks are, and which of them may go from this device. Source: design 11, decision 34.

A chunk goes from here only if somebody else is bound to have it:

- a mailbox that confirmed it: nobody takes it out of there while a message needs it; or
- a device that **promised** to keep it. Who has promised a chunk to anybody lets it go for no other device's promise,
  and a device that has a budget promises nothing. So of two devices that let go at one moment what each believed the
  other had, one has promised, and keeps it; and no circle of promises is possible: who has promised is bound.

A promise is on the promising device's disk before it is told. It ends with the chunk, and counts for nothing once that
device is revoked or retired, or begins anew with another store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apsw

from msgsync.store.attachments import AWAY, HERE, AttachmentRows
from msgsync.store.database import Database

Place = bytes | str
"""A device, or a mailbox by its address."""
_HELD: Final = (
    "select chunk from copies where (typeof(place) = 'text' and store_id = x'') "
    "or ((promised or ?2) and cast(place || store_id as blob) in (select value from carray(?1)))"
)
"""Chunks that somebody else is bound to have, or has as far as is known."""


class Space(NamedTuple):
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
                "insert into copies select key, ?1, ?2, ?3 from chunks where name = ?4 "
                "on conflict do update set store_id = ?2, promised = iif(store_id = ?2, max(promised, ?3), ?3)",
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
            (_stores(trusted), 1, apsw.carray(tuple(names))),
        )
        return {name for (name,) in found}

    def in_mailbox(self, names: Collection[bytes]) -> set[bytes]:
        """Those of these chunks that a mailbox confirmed."""
        if not names:
            return set()
        found = self._database.execute(
            "select name from carray(?) join chunks on name = value "
            "where exists(select 1 from copies where chunk = key and typeof(place) = 'text')",
            (apsw.carray(tuple(names)),),
        )
        return {name for (name,) in found}

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
            (_stores(trusted), 0, limit),
        )
        return [name for (name,) in found]

    # Letting go.

    def space(self, trusted: Mapping[bytes, bytes]) -> Space:
        """What chunks take here, and how much of it may go."""
        here, free = self._database.one(
            "select coalesce(sum(size), 0), coalesce(sum(iif(" + _MAY_GO + ", size, 0)), 0) "
            f"from chunks where state = {HERE}",
            (_stores(trusted), 0),
        )
        return Space(here, free)

    def evict(self, keep_bytes: int, trusted: Mapping[bytes, bytes]) -> tuple[int, int]:
        """Let chunks go, least recently used first, until those that stay take no more than this, or none may go.

        Returns:
            How many went, and how many bytes of files they hold.
        """
        left = self.space(trusted).here
        gone = []
        may_go: Sequence[Any] = self._database.execute(
            f"select name, size from chunks where state = {HERE} and {_MAY_GO} order by used_ms, key",
            (_stores(trusted), 0),
        ).fetchall()
        for name, size in may_go:
            if left <= keep_bytes:
                break
            if not self._attachments.is_pinned(name):
                left -= size
                gone.append((name, size))
        for name, _ in gone:
            self._database.execute(f"update chunks set state = {AWAY} where name = ?", (name,))
        self._attachments.unlink([name for name, _ in gone])
        return len(gone), sum(size for _, size in gone)


_MAY_GO: Final = (
    "(exists(select 1 from copies where chunk = key and typeof(place) = 'text') "
    f"or (key in ({_HELD}) and key not in (select chunk from promises)))"
)


def _stores(trusted: Mapping[bytes, bytes]) -> Any:
    return apsw.carray(tuple(device + store for device, store in trusted.items()) or (b"",))
