"""Where a replica syncs, how the last attempt there went, and whether it syncs at all. Source: design 9.

Losing the rows of places costs only what `Replica.status` can say; the switch is kept wherever the device stays the
same.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from msgsync.store.database import Database

OFF: Final = "sync_off"
"""In ``meta``: since when sync is switched off, as 8 bytes of milliseconds; not there while it is on."""


class PlaceRow(NamedTuple):
    """What is known of one place."""

    name: str
    """The address of a mailbox or of a peer; or the id of a device that came by itself."""
    mailbox: bool
    device: bytes
    """The device that was met there last; nothing if none was."""
    tried_ms: int
    """When it was last tried to sync there, Unix milliseconds."""
    done_ms: int
    """When both sides last had everything; 0 if never."""
    code: str
    """Of the error that the last attempt ended with; nothing if it went well."""
    why: str
    """The words of that error."""
    objects: int
    """Of a mailbox: how many objects were seen there, and not taken."""


class PlaceRows:
    """The table; the caller holds the lock, and writes within a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, PlaceRow]:
        """All places, by name."""
        rows: Any = self._database.execute(
            "select name, mailbox, device, tried_ms, done_ms, code, why, objects from places"
        )
        return {name: PlaceRow(name, bool(mailbox), *rest) for name, mailbox, *rest in rows}

    def write(self, row: PlaceRow) -> None:
        """Keep what is known of a place now."""
        self._database.execute("insert or replace into places values(?,?,?,?,?,?,?,?)", tuple(row))

    def forget(self, name: str) -> None:
        """Know nothing of a place any more."""
        self._database.execute("delete from places where name = ?", (name,))

    def is_off(self) -> bool:
        """Whether sync is switched off."""
        return self._database.first("select 1 from meta where name = ?", (OFF,)) is not None

    def off_since_ms(self) -> int | None:
        """Since when sync is switched off, Unix milliseconds; None if it is on."""
        found: Any = self._database.first("select value from meta where name = ?", (OFF,))
        return None if found is None else int.from_bytes(found[0], "big")

    def switch(self, off_ms: int | None) -> None:
        """Switch sync off, as of a time, or on."""
        self._database.execute("delete from meta where name = ?", (OFF,))
        if off_ms is not None:
            self._database.execute(
                "insert into meta values(?, ?)", (OFF, off_ms.to_bytes(8, "big"))
            )
