"""Who is told after a commit. Source: design 7 and 12."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

OnCommit = Callable[[int], None]
"""Takes the number of the commit."""


class Listeners:
    """Callbacks by subscription; safe to use from several threads."""

    def __init__(self) -> None:
        self._callbacks: dict[object, OnCommit] = {}

    def add(self, callback: OnCommit) -> Callable[[], None]:
        """Have it called from now on; return a function that ends that."""
        subscription = object()
        self._callbacks[subscription] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(subscription, None)

        return unsubscribe

    def tell(self, seq: int) -> None:
        """Call each. What one raises goes to `threading.excepthook`: the write is done, and not to blame."""
        for callback in list(self._callbacks.values()):
            try:
                callback(seq)
            except Exception:  # noqa: BLE001 - it is the app's callback, and is reported whatever it is
                threading.excepthook(
                    threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
                )
