"""Whether a replica's lock is free while something is called."""

from __future__ import annotations

import threading

from msgsync import Replica


class LockWatch:
    """To be called back: sees each time whether another thread could use the replica meanwhile."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.seen: list[bool] = []

    def __call__(self, *_: object) -> None:
        thread = threading.Thread(target=self._look)
        thread.start()
        thread.join()

    def _look(self) -> None:
        is_free = self._replica.lock.acquire(timeout=5)
        self.seen.append(is_free)
        if is_free:
            self._replica.lock.release()
