"""Which device a commit came from: so that it can be looked through what a device that was revoked had brought.

Nobody signs single entries, so what a device passed on for others counts as what came from it.
"""

from __future__ import annotations

from msgsync import limits
from msgsync.store.database import Database


class Arrivals:
    """Rows of the last commits that took in what a peer sent; the caller holds the lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, seq: int, device: bytes) -> None:
        """The commit that is being written, which has this number, takes in what a device sent."""
        self._database.execute("insert or replace into arrivals values(?,?)", (seq, device))
        self._database.execute("delete from arrivals where seq <= ?", (seq - limits.ARRIVALS,))

    def of(self, device: bytes) -> list[int]:
        """The numbers of the commits that took in what a device sent, ascending."""
        rows = self._database.execute(
            "select seq from arrivals where device = ? order by seq", (device,)
        )
        return [seq for (seq,) in rows]
