"""Reading under a replica's lock, in one consistent view. Source: design 6."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.store.store import Store


class Reading:
    """What `Replica.reading` gives: a class, since the generators of contextlib cost as much as a query."""

    __slots__ = ("_replica",)

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def __enter__(self) -> Store:
        replica = self._replica
        replica.lock.acquire()
        try:
            store = replica.store()
            store.begin_reading()
        except BaseException:
            replica.lock.release()
            raise
        return store

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._replica.store().end_reading(error)
        finally:
            self._replica.lock.release()
